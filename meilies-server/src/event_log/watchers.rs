//! The cursors that sleep, by the stream they wait for.
//!
//! A cursor is armed once and taken out when an event of its source comes, when it is disarmed, or
//! when it is armed anew. Arming, disarming and waking each cost the same however many others
//! sleep: the watchers of a source are a list whose links are slot numbers.
//!
//! No wake-up is lost: who arms says up to where it has read. If the fan-out has already gone past
//! that place, whatever lies between may be for this cursor, so it is not put to sleep.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meilies_protocol::StreamName;

use super::inbox::{CursorKey, Inbox};
use crate::engine::{ReadSource, Run};

/// The end of a list.
const NONE: u32 = u32::MAX;

/// All sleeping cursors of the server.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    registry: Mutex<Registry>,
}

/// Where a sleeping cursor was put. It may be stale: the cursor may have been woken since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(u32);

#[derive(Debug)]
struct Registry {
    /// Everything below this position has been looked at by the fan-out.
    processed: u64,
    /// How often it was told of streams that changed otherwise.
    touches: u64,
    /// First watcher of each stream that has one.
    streams: HashMap<StreamName, u32>,
    /// First watcher of all streams.
    all: u32,
    slots: Vec<Slot>,
    /// First slot that is free; they are linked by `next`.
    free: u32,
    armed: usize,
}

#[derive(Debug)]
struct Slot {
    /// `None` when the slot is free.
    inbox: Option<Arc<Inbox>>,
    cursor: CursorKey,
    /// `NONE` for the first of its list.
    previous: u32,
    next: u32,
}

/// Up to when somebody has seen everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// All events below this position.
    pub(super) visible: u64,
    /// All that happened otherwise to streams, as often as it was told.
    pub(super) touches: u64,
}

impl Moment {
    /// All events below this position were there.
    pub fn visible(self) -> u64 {
        self.visible
    }
}

/// Who has to be woken, outside the lock.
pub(super) type Woken = Vec<(Arc<Inbox>, CursorKey)>;

impl Watchers {
    /// Puts a cursor to sleep that has seen everything up to this moment, and forgets where it
    /// slept before. `None`: something may have come since, read again.
    pub(super) fn arm(
        &self,
        source: &ReadSource,
        moment: Moment,
        inbox: &Arc<Inbox>,
        cursor: CursorKey,
        before: Option<Token>,
    ) -> Option<Token> {
        let mut registry = self.lock();
        if let Some(token) = before {
            registry.disarm(source, inbox, cursor, token);
        }
        if registry.processed > moment.visible || registry.touches != moment.touches {
            return None;
        }
        Some(registry.insert(source, inbox, cursor))
    }

    /// Forgets a cursor, if it still sleeps where `token` says.
    pub(super) fn disarm(
        &self,
        source: &ReadSource,
        inbox: &Arc<Inbox>,
        cursor: CursorKey,
        token: Token,
    ) {
        self.lock().disarm(source, inbox, cursor, token);
    }

    /// Passes over everything below `visible` when nobody sleeps.
    pub(super) fn skip_to(&self, visible: u64) -> bool {
        let mut registry = self.lock();
        if registry.armed > 0 {
            return false;
        }
        registry.processed = registry.processed.max(visible);
        true
    }

    /// Takes out the watchers of these events, which are all those below `visible` that have not
    /// been looked at.
    pub(super) fn wake(&self, runs: &[Run], visible: u64, woken: &mut Woken) {
        let mut registry = self.lock();
        for run in runs {
            if registry.streams.is_empty() {
                break;
            }
            if let Some(first) = registry.streams.remove(&run.batch.stream) {
                registry.take_list(first, woken);
            }
        }
        if !runs.is_empty() {
            let first = std::mem::replace(&mut registry.all, NONE);
            registry.take_list(first, woken);
        }
        registry.processed = registry.processed.max(visible);
    }

    /// Takes out the watchers of streams that were created, renamed or deleted, or lost a group.
    pub(super) fn wake_streams(&self, names: &[StreamName], woken: &mut Woken) {
        let mut registry = self.lock();
        for name in names {
            if let Some(first) = registry.streams.remove(name) {
                registry.take_list(first, woken);
            }
        }
        registry.touches += 1;
    }

    /// How often `wake_streams` was called.
    pub(super) fn touches(&self) -> u64 {
        self.lock().touches
    }

    /// Takes out all watchers: the events below `visible` cannot be told.
    pub(super) fn wake_all(&self, visible: u64, woken: &mut Woken) {
        let mut registry = self.lock();
        registry.streams.clear();
        registry.all = NONE;
        let slots = std::mem::take(&mut registry.slots);
        woken.extend(
            slots
                .into_iter()
                .filter_map(|slot| Some((slot.inbox?, slot.cursor))),
        );
        registry.free = NONE;
        registry.armed = 0;
        registry.processed = registry.processed.max(visible);
        registry.touches += 1;
    }

    /// Everything below this position has been looked at.
    pub(super) fn processed(&self) -> u64 {
        self.lock().processed
    }

    /// How many cursors sleep.
    pub(super) fn armed(&self) -> usize {
        self.lock().armed
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            processed: 0,
            touches: 0,
            streams: HashMap::new(),
            all: NONE,
            slots: Vec::new(),
            free: NONE,
            armed: 0,
        }
    }
}

impl Registry {
    fn insert(&mut self, source: &ReadSource, inbox: &Arc<Inbox>, cursor: CursorKey) -> Token {
        let at = self.free_slot();
        let next = match source {
            ReadSource::All => std::mem::replace(&mut self.all, at),
            ReadSource::Stream(name) => match self.streams.entry(name.clone()) {
                Entry::Occupied(mut entry) => entry.insert(at),
                Entry::Vacant(entry) => {
                    entry.insert(at);
                    NONE
                }
            },
        };
        if next != NONE {
            self.slots[next as usize].previous = at;
        }
        self.slots[at as usize] = Slot {
            inbox: Some(Arc::clone(inbox)),
            cursor,
            previous: NONE,
            next,
        };
        self.armed += 1;
        Token(at)
    }

    fn free_slot(&mut self) -> u32 {
        if self.free != NONE {
            let at = self.free;
            self.free = self.slots[at as usize].next;
            return at;
        }
        // 4 billion sleeping cursors would take more memory than any machine has.
        let at = u32::try_from(self.slots.len()).expect("fewer than 2^32 cursors sleep");
        assert!(at != NONE, "fewer than 2^32 cursors sleep");
        self.slots.push(Slot {
            inbox: None,
            cursor: 0,
            previous: NONE,
            next: NONE,
        });
        at
    }

    fn release(&mut self, at: u32) -> Slot {
        let free = Slot {
            inbox: None,
            cursor: 0,
            previous: NONE,
            next: self.free,
        };
        self.free = at;
        self.armed -= 1;
        std::mem::replace(&mut self.slots[at as usize], free)
    }

    fn disarm(&mut self, source: &ReadSource, inbox: &Arc<Inbox>, cursor: CursorKey, token: Token) {
        let Some(slot) = self.slots.get(token.0 as usize) else {
            return;
        };
        let same = slot
            .inbox
            .as_ref()
            .is_some_and(|other| Arc::ptr_eq(other, inbox));
        if !same || slot.cursor != cursor {
            return;
        }
        let slot = self.release(token.0);
        if slot.next != NONE {
            self.slots[slot.next as usize].previous = slot.previous;
        }
        if slot.previous != NONE {
            self.slots[slot.previous as usize].next = slot.next;
            return;
        }
        match source {
            ReadSource::All => self.all = slot.next,
            ReadSource::Stream(name) if slot.next == NONE => {
                self.streams.remove(name);
            }
            ReadSource::Stream(name) => {
                if let Some(first) = self.streams.get_mut(name) {
                    *first = slot.next;
                }
            }
        }
        self.shrink();
    }

    fn take_list(&mut self, first: u32, woken: &mut Woken) {
        let mut at = first;
        while at != NONE {
            let slot = self.release(at);
            at = slot.next;
            woken.extend(slot.inbox.map(|inbox| (inbox, slot.cursor)));
        }
    }

    /// Gives memory back once nobody sleeps after many have.
    fn shrink(&mut self) {
        if self.armed == 0 && self.slots.len() > 1024 {
            self.slots = Vec::new();
            self.free = NONE;
            self.streams = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn stream(name: &'static str) -> ReadSource {
        let name = StreamName::parse(Bytes::from_static(name.as_bytes())).unwrap();
        ReadSource::Stream(name)
    }

    fn at(visible: u64) -> Moment {
        Moment {
            visible,
            touches: 0,
        }
    }

    #[test]
    fn a_cursor_that_does_not_know_of_a_change_does_not_sleep() {
        let watchers = Watchers::default();
        let inbox = Arc::new(Inbox::default());
        let before = at(watchers.processed());
        let mut woken = Vec::new();
        let name = StreamName::parse(Bytes::from_static(b"a")).unwrap();
        watchers.wake_streams(&[name], &mut woken);
        assert_eq!(watchers.arm(&stream("a"), before, &inbox, 0, None), None);
        let touches = watchers.touches();
        let now = Moment { touches, ..before };
        assert!(watchers.arm(&stream("a"), now, &inbox, 0, None).is_some());
    }

    #[test]
    fn a_cursor_that_is_behind_the_fan_out_does_not_sleep() {
        let watchers = Watchers::default();
        let inbox = Arc::new(Inbox::default());
        assert!(watchers.skip_to(10));
        assert_eq!(watchers.arm(&stream("a"), at(9), &inbox, 0, None), None);
        assert!(
            watchers
                .arm(&stream("a"), at(10), &inbox, 0, None)
                .is_some()
        );
        assert!(!watchers.skip_to(11));
    }

    #[test]
    fn a_cursor_is_armed_once_however_often_it_asks() {
        let watchers = Watchers::default();
        let inbox = Arc::new(Inbox::default());
        let token = watchers.arm(&stream("a"), at(0), &inbox, 7, None);
        let token = watchers.arm(&stream("a"), at(0), &inbox, 7, token);
        assert_eq!(watchers.armed(), 1);
        watchers.disarm(&stream("a"), &inbox, 7, token.unwrap());
        watchers.disarm(&stream("a"), &inbox, 7, token.unwrap());
        assert_eq!(watchers.armed(), 0);
        assert!(watchers.lock().streams.is_empty());
    }

    #[test]
    fn a_stale_token_does_not_disarm_another() {
        let watchers = Watchers::default();
        let inbox = Arc::new(Inbox::default());
        let other = Arc::new(Inbox::default());
        let token = watchers.arm(&stream("a"), at(0), &inbox, 7, None).unwrap();
        let mut woken = Vec::new();
        watchers.wake_all(0, &mut woken);
        assert_eq!(woken.len(), 1);
        let touches = watchers.touches();
        let now = Moment { touches, ..at(0) };
        let theirs = watchers.arm(&stream("b"), now, &other, 7, None).unwrap();
        assert_eq!(token, theirs);
        watchers.disarm(&stream("a"), &inbox, 7, token);
        assert_eq!(watchers.armed(), 1);
    }

    /// Any order of removal leaves the lists whole: compared with a plain list.
    #[test]
    fn lists_stay_whole_in_any_order() {
        let watchers = Watchers::default();
        let inbox = Arc::new(Inbox::default());
        for order in 0..24_usize {
            let mut tokens: Vec<(u32, Token)> = (0..4)
                .map(|key| {
                    (
                        key,
                        watchers
                            .arm(&stream("a"), at(0), &inbox, key, None)
                            .unwrap(),
                    )
                })
                .collect();
            let mut choice = order;
            for left in (1..=4).rev() {
                let (key, token) = tokens.remove(choice % left);
                choice /= left;
                watchers.disarm(&stream("a"), &inbox, key, token);
                let mut listed = Vec::new();
                let registry = watchers.lock();
                let name = StreamName::parse(Bytes::from_static(b"a")).unwrap();
                let mut at = registry.streams.get(&name).copied().unwrap_or(NONE);
                while at != NONE {
                    listed.push(registry.slots[at as usize].cursor);
                    at = registry.slots[at as usize].next;
                }
                listed.reverse();
                assert_eq!(
                    listed,
                    tokens.iter().map(|(key, _)| *key).collect::<Vec<_>>()
                );
            }
            assert_eq!(watchers.armed(), 0);
        }
    }
}
