//! Who waits for the same group of a stream waits in line: the first is woken, and takes what it
//! wants; when it leaves, the next one looks whether anything is left. So an event wakes one of ten
//! thousand, and they are served in the order in which they came. Who waits for what others leave
//! idle, too, stands in a second line with those who wait for as long. Who looks at a group after
//! something came lets those who wait for it take that first.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use meilies_protocol::StreamName;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::inbox::{BLOCKED, Inbox};

/// What one waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) stream: StreamName,
    pub(crate) group: Bytes,
    pub(crate) what: What,
}

/// What of a group one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// Events that were not delivered yet.
    New,
    /// What is pending and has been idle for so many ms.
    Idle(u64),
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lines: Mutex<Lines>,
    /// How many places were taken.
    taken: AtomicU64,
    /// Tells when someone leaves.
    left: Notify,
}

/// Who stands there: the number of the place, and whom to wake.
type Lines = HashMap<Line, VecDeque<(u64, Arc<Inbox>)>>;

/// A place in lines, given up when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    turns: Arc<Turns>,
    lines: Vec<Line>,
    number: u64,
}

impl Turns {
    /// Takes the last place of each of these lines.
    pub(super) fn join(self: &Arc<Self>, lines: Vec<Line>, inbox: &Arc<Inbox>) -> Place {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let mut all = self.lock();
        for line in &lines {
            all.entry(line.clone())
                .or_default()
                .push_back((number, Arc::clone(inbox)));
        }
        drop(all);
        Place {
            turns: Arc::clone(self),
            lines,
            number,
        }
    }

    /// The lines for groups of a stream in which someone stands.
    pub(super) fn waited_for(&self, stream: &StreamName) -> Vec<Line> {
        let all = self.lock();
        let lines = all.keys().filter(|line| line.stream == *stream);
        lines.cloned().collect()
    }

    /// Resolves when someone leaves a line after this was called.
    pub(super) fn left(&self) -> Notified<'_> {
        self.left.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether it is this one's turn to get new events of a stream.
    pub(crate) fn is_first(&self, stream: &StreamName) -> bool {
        self.is_first_in(stream, |what| *what == What::New)
    }

    /// Whether it is this one's turn to look for what is idle in a stream.
    pub(crate) fn is_first_to_claim(&self, stream: &StreamName) -> bool {
        self.is_first_in(stream, |what| matches!(what, What::Idle(_)))
    }

    /// Whether it is this one's turn to look at a stream for any reason.
    pub(super) fn is_first_in_any(&self, stream: &StreamName) -> bool {
        self.is_first_in(stream, |_| true)
    }

    fn is_first_in(&self, stream: &StreamName, is_meant: impl Fn(&What) -> bool) -> bool {
        let all = self.turns.lock();
        let own = self.lines.iter();
        let mut own = own.filter(|line| line.stream == *stream && is_meant(&line.what));
        own.any(|line| {
            let first = all.get(line).and_then(VecDeque::front);
            first.is_some_and(|(number, _)| *number == self.number)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut next = Vec::new();
        let mut all = self.turns.lock();
        for line in &self.lines {
            let Some(waiting) = all.get_mut(line) else {
                continue;
            };
            let place = waiting
                .iter()
                .position(|(number, _)| *number == self.number);
            if let Some(at) = place {
                waiting.remove(at);
            }
            match waiting.front() {
                Some((_, first)) if place == Some(0) => next.push(Arc::clone(first)),
                Some(_) => {}
                None => {
                    all.remove(line);
                }
            }
        }
        drop(all);
        self.turns.left.notify_waiters();
        for inbox in next {
            inbox.deliver(BLOCKED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_comes_when_the_first_leaves() {
        let turns = Arc::new(Turns::default());
        let stream = StreamName::parse(Bytes::from_static(b"s")).unwrap();
        let line = vec![Line {
            stream: stream.clone(),
            group: Bytes::from_static(b"g"),
            what: What::New,
        }];
        let inboxes = [(); 3].map(|()| Arc::new(Inbox::default()));
        let [first, second, third] = [0, 1, 2].map(|at| turns.join(line.clone(), &inboxes[at]));
        inboxes[2].block();
        assert!(first.is_first(&stream) && !second.is_first(&stream));
        drop(second);
        assert!(first.is_first(&stream) && !third.is_first(&stream));
        assert!(inboxes[2].poll_unblocked().is_pending());
        drop(first);
        assert!(third.is_first(&stream));
        assert!(inboxes[2].poll_unblocked().is_ready());
        drop(third);
        assert!(turns.lock().is_empty());
    }

    #[test]
    fn who_claims_stands_in_two_lines() {
        let turns = Arc::new(Turns::default());
        let stream = StreamName::parse(Bytes::from_static(b"s")).unwrap();
        let line = |what| Line {
            stream: stream.clone(),
            group: Bytes::from_static(b"g"),
            what,
        };
        let inbox = Arc::new(Inbox::default());
        let reader = turns.join(vec![line(What::New)], &inbox);
        let claims = |idle_ms| vec![line(What::New), line(What::Idle(idle_ms))];
        let claimants = [10, 10, 20].map(|idle_ms| turns.join(claims(idle_ms), &inbox));
        assert!(reader.is_first(&stream) && !reader.is_first_to_claim(&stream));
        assert!(!claimants[0].is_first(&stream) && claimants[0].is_first_in_any(&stream));
        assert_eq!(
            claimants
                .each_ref()
                .map(|place| place.is_first_to_claim(&stream)),
            [true, false, true]
        );
        assert!(!claimants[1].is_first_in_any(&stream));
        assert_eq!(turns.waited_for(&stream).len(), 3);
    }
}
