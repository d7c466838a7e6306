//! Which event is handled next: several at once, but those of one stream one after the other.

use std::collections::{BTreeSet, HashSet, VecDeque};

use meilies_client::{Event, StreamName};

use crate::limits::{INSPECT_WAITING_BYTES_MAX, INSPECT_WAITING_EVENTS_MAX};

/// See the module. Numbers are event numbers, or positions for `$all`; they come in rising order.
#[derive(Debug)]
pub(super) struct Schedule {
    waiting: VecDeque<(u64, Event)>,
    /// Streams of which an event has a place: it is being handled, or was and is not released.
    busy: HashSet<StreamName>,
    /// What was begun and is not done.
    begun: BTreeSet<u64>,
    /// What is done, from `next` on.
    done: BTreeSet<u64>,
    /// What comes behind everything that was read.
    end: u64,
    bytes: usize,
    parallel: usize,
}

impl Schedule {
    /// Begins at `next`, with what is done from there on.
    pub(super) fn new(parallel: usize, next: u64, done: impl IntoIterator<Item = u64>) -> Schedule {
        Schedule {
            waiting: VecDeque::new(),
            busy: HashSet::new(),
            begun: BTreeSet::new(),
            done: done.into_iter().collect(),
            end: next,
            bytes: 0,
            parallel,
        }
    }

    /// Begins at another number. No event must have been added.
    pub(super) fn start_at(&mut self, next: u64) {
        self.end = next;
    }

    /// Whether another event may be added.
    pub(super) fn has_room(&self) -> bool {
        let events = self.waiting.len() + self.begun.len() + self.done.len();
        events < INSPECT_WAITING_EVENTS_MAX && self.bytes < INSPECT_WAITING_BYTES_MAX
    }

    /// Whether every event that was added is done.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.begun.is_empty()
    }

    /// Adds the event that comes next. One that is done already is left out.
    pub(super) fn add(&mut self, number: u64, event: Event) {
        self.end = number.saturating_add(1);
        if self.done.contains(&number) {
            self.forget_done();
        } else {
            self.bytes += event.data().len();
            self.waiting.push_back((number, event));
        }
    }

    /// The event to begin now, if there is one.
    pub(super) fn begin(&mut self) -> Option<(u64, Event)> {
        if self.busy.len() >= self.parallel {
            return None;
        }
        let is_free = |(_, event): &(u64, Event)| !self.busy.contains(&event.stream);
        let index = self.waiting.iter().position(is_free)?;
        let (number, event) = self.waiting.remove(index)?;
        self.bytes -= event.data().len();
        self.busy.insert(event.stream.clone());
        self.begun.insert(number);
        Some((number, event))
    }

    /// An event was handled. It keeps its place.
    pub(super) fn finish(&mut self, number: u64) {
        self.begun.remove(&number);
        self.done.insert(number);
        self.forget_done();
    }

    /// The place of a stream's event is free for others.
    pub(super) fn release(&mut self, stream: &StreamName) {
        self.busy.remove(stream);
    }

    /// Everything below this is done.
    pub(super) fn next(&self) -> u64 {
        let waiting = self.waiting.front().map_or(self.end, |(number, _)| *number);
        self.begun
            .first()
            .map_or(waiting, |begun| waiting.min(*begun))
    }

    /// What is done besides.
    pub(super) fn done(&self) -> impl Iterator<Item = u64> {
        self.done.iter().copied()
    }

    /// What is known by [`Schedule::next`] need not be known twice.
    fn forget_done(&mut self) {
        self.done = self.done.split_off(&self.next());
    }
}

#[cfg(test)]
mod tests {
    use meilies_client::EventId;

    use super::*;

    fn event(stream: &'static str, number: u64) -> Event {
        Event {
            stream: name(stream),
            number,
            position: number,
            id: EventId::new(1, number),
            fields: vec![("name".into(), "data".into())],
        }
    }

    fn name(stream: &'static str) -> StreamName {
        StreamName::parse(stream.into()).expect("a good name")
    }

    fn schedule(parallel: usize, streams: &[&'static str]) -> Schedule {
        let mut schedule = Schedule::new(parallel, 0, []);
        for (number, stream) in (0..).zip(streams) {
            schedule.add(number, event(stream, number));
        }
        schedule
    }

    fn begin(schedule: &mut Schedule) -> Option<u64> {
        schedule.begin().map(|(number, _)| number)
    }

    fn finish(schedule: &mut Schedule, number: u64, stream: &'static str) {
        schedule.finish(number);
        schedule.release(&name(stream));
    }

    fn state(schedule: &Schedule) -> (u64, Vec<u64>) {
        (schedule.next(), schedule.done().collect())
    }

    #[test]
    fn one_at_a_time_is_in_order() {
        let mut schedule = schedule(1, &["a", "b", "a"]);
        for (number, stream) in [(0, "a"), (1, "b"), (2, "a")] {
            assert_eq!(begin(&mut schedule), Some(number));
            assert_eq!(begin(&mut schedule), None);
            assert_eq!(state(&schedule), (number, vec![]));
            finish(&mut schedule, number, stream);
            assert_eq!(state(&schedule), (number + 1, vec![]));
        }
        assert!(schedule.is_idle());
    }

    #[test]
    fn streams_overtake_each_other_but_keep_their_order() {
        let mut schedule = schedule(3, &["a", "a", "b", "a", "b", "c"]);
        assert_eq!(begin(&mut schedule), Some(0));
        assert_eq!(begin(&mut schedule), Some(2));
        assert_eq!(begin(&mut schedule), Some(5));
        assert_eq!(begin(&mut schedule), None, "three run");
        finish(&mut schedule, 5, "c");
        assert_eq!(begin(&mut schedule), None, "a and b are busy");
        assert_eq!(state(&schedule), (0, vec![5]));
        finish(&mut schedule, 2, "b");
        assert_eq!(begin(&mut schedule), Some(4));
        assert_eq!(state(&schedule), (0, vec![2, 5]));
        finish(&mut schedule, 0, "a");
        assert_eq!(state(&schedule), (1, vec![2, 5]));
        assert_eq!(begin(&mut schedule), Some(1));
        finish(&mut schedule, 1, "a");
        assert_eq!(state(&schedule), (3, vec![5]));
        finish(&mut schedule, 4, "b");
        assert_eq!(begin(&mut schedule), Some(3));
        assert!(!schedule.is_idle());
        finish(&mut schedule, 3, "a");
        assert_eq!(state(&schedule), (6, vec![]));
        assert!(schedule.is_idle());
    }

    #[test]
    fn a_place_is_free_when_it_is_released() {
        let mut schedule = schedule(2, &["a", "b", "a", "c"]);
        assert_eq!(
            (begin(&mut schedule), begin(&mut schedule)),
            (Some(0), Some(1))
        );
        schedule.finish(0);
        assert_eq!(state(&schedule), (1, vec![]));
        assert_eq!(begin(&mut schedule), None);
        schedule.release(&name("a"));
        assert_eq!(begin(&mut schedule), Some(2));
    }

    #[test]
    fn what_was_done_before_is_left_out() {
        let mut schedule = Schedule::new(2, 4, [5, 7]);
        assert_eq!(state(&schedule), (4, vec![5, 7]));
        for number in 4..8 {
            schedule.add(number, event("a", number));
        }
        assert_eq!(begin(&mut schedule), Some(4));
        finish(&mut schedule, 4, "a");
        assert_eq!(state(&schedule), (6, vec![7]));
        assert_eq!(begin(&mut schedule), Some(6));
        finish(&mut schedule, 6, "a");
        assert_eq!(state(&schedule), (8, vec![]));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut schedule = Schedule::new(2, 0, []);
        let mut number = 0;
        while schedule.has_room() {
            schedule.add(number, event("a", number));
            number += 1;
        }
        assert_eq!(number, INSPECT_WAITING_EVENTS_MAX as u64);
        begin(&mut schedule);
        assert!(!schedule.has_room());
        finish(&mut schedule, 0, "a");
        assert!(schedule.has_room());
    }
}
