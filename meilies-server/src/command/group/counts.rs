//! How many events a group has read, and how many it has not: Redis' rules, as documented with
//! XINFO GROUPS. Where deletions make it impossible to tell, nothing is told.

use meilies_protocol::EventId;

use crate::engine::{Group, StoreError, StreamSummary, View};

/// What the counts go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    added: u64,
    length: u64,
    /// Id of the first event; none if there is no event.
    first: Option<EventId>,
    last: EventId,
    max_deleted: EventId,
}

impl Counts {
    pub(super) fn of(view: &dyn View, stream: &StreamSummary) -> Result<Counts, StoreError> {
        let first = match stream.length() {
            0 => None,
            _ => view.id_of(stream, stream.first)?,
        };
        Ok(Counts {
            added: stream.added(),
            length: stream.length(),
            first,
            last: stream.last_id,
            max_deleted: stream.max_deleted_id,
        })
    }

    /// Whether an event at or behind this id may be deleted.
    fn has_deleted_from(&self, id: EventId) -> bool {
        self.max_deleted > EventId::MIN && self.max_deleted >= id
    }

    /// How many events were ever added up to this id, if that can be told.
    fn estimate(&self, id: EventId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        let Some(first) = self.first else {
            return (id <= self.last).then_some(self.added);
        };
        if id > EventId::MIN && id < self.max_deleted {
            return None;
        }
        if id == self.last {
            return Some(self.added);
        }
        if id > self.last || self.has_deleted_from(first) {
            return None;
        }
        match id.cmp(&first) {
            std::cmp::Ordering::Less => Some(self.added.wrapping_sub(self.length)),
            std::cmp::Ordering::Equal => Some(self.added.wrapping_sub(self.length) + 1),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// How many events are read when a group that stood at `from` goes on to the event `to`.
    pub(super) fn read(&self, read: Option<u64>, from: EventId, to: EventId) -> Option<u64> {
        let is_inside = self.first.is_some_and(|first| from >= first);
        match read {
            Some(read) if is_inside && !self.has_deleted_from(from) => {
                // It may have been set to more than it had read.
                Some((read + 1).min(self.added))
            }
            _ => self.estimate(to),
        }
    }

    fn lag(&self, group: &Group) -> Option<i64> {
        if self.added == 0 || self.length == 0 {
            return Some(0);
        }
        let is_before = self.first.is_some_and(|first| group.last_id < first);
        if is_before
            && self
                .first
                .is_some_and(|first| !self.has_deleted_from(first))
        {
            return Some(signed(self.length));
        }
        let read = match group.entries_read {
            Some(read) if !self.has_deleted_from(group.last_id) => Some(read),
            _ => self.estimate(group.last_id),
        };
        read.map(|read| signed(self.added.wrapping_sub(read)))
    }
}

fn signed(count: u64) -> i64 {
    count.cast_signed()
}

/// How many events a group has still to get, if that can be told.
pub(in crate::command) fn lag(
    view: &dyn View,
    stream: &StreamSummary,
    group: &Group,
) -> Result<Option<i64>, StoreError> {
    Ok(Counts::of(view, stream)?.lag(group))
}
