//! What is visible: one consistent state that a commit changes at once and every read is cut at.
//!
//! Lock order: [`Live`] is behind one lock which is held for memory work only, never across I/O;
//! no other lock is taken while it is held but that of a group's zones.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::{EventId, StreamName};

use super::group_entries::EntryChanges;
use super::index::Checkpoint;
use super::log::{CommitPlace, Location};
use super::pending::{Pending, PendingStream};
use super::recent::Recent;
use super::zones::{Divided, Zones};
use crate::engine::batch::Batch;
use crate::engine::{DeletedNumbers, Group, Producer, StreamSummary};

/// Sets of deleted numbers that are kept though none of them changed lately.
const DELETED_SETS_MAX: usize = 4096;

/// The visible state.
#[derive(Debug)]
pub(super) struct Live {
    /// As of the last visible commit.
    pub(super) end: Checkpoint,
    /// Changes of commits since the last checkpoint began.
    pub(super) pending: Pending,
    /// Changes that a checkpoint writes now, and up to where they reach.
    pub(super) frozen: Option<Frozen>,
    pub(super) recent: Recent,
    /// Deleted numbers of streams that have any: all of those that changed since the index was
    /// written, and of others that were looked at.
    pub(super) deleted: HashMap<u64, Arc<DeletedNumbers>>,
    /// Where pending entries of large groups may lie.
    pub(super) zones: Zones,
    /// How often what a checkpoint wrote was dropped from here.
    pub(super) thaws: u64,
    /// The index holds nothing of streams with this id and higher ones.
    indexed_streams: u64,
}

/// What memory knows of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known<T> {
    /// It is there, and so it is.
    There(T),
    /// It is not there, or not any more.
    Gone,
    /// It did not change since the index was written.
    InIndex,
}

/// What a checkpoint writes.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    pub(super) changes: Arc<Pending>,
    pub(super) end: Checkpoint,
}

/// What one commit changes.
#[derive(Debug)]
pub(super) struct CommitChanges {
    pub(super) place: CommitPlace,
    pub(super) end: Checkpoint,
    /// Changes other than its events, as commands count them.
    pub(super) counted: u64,
    /// Streams that changed.
    pub(super) streams: Vec<StreamChange>,
    /// Names that are bound to another stream now, or to none.
    pub(super) names: Vec<(StreamName, Option<u64>)>,
    /// Other streams of which more changes than their events.
    pub(super) touched: Vec<StreamName>,
    /// Consumer groups that changed.
    pub(super) groups: Vec<GroupChanges>,
    /// Keys of its events: stream, what stands for the key, number of the event.
    pub(super) keys: Vec<(u64, u128, u64)>,
    /// Producers whose last keys changed, by stream and what stands for the name.
    pub(super) producers: BTreeMap<(u64, u128), Arc<Producer>>,
    /// Its batches of events and where they lie, in the order of the commit.
    pub(super) located: Vec<(u64, Location)>,
    /// The same batches, for memory; empty while a log is scanned at open.
    pub(super) batches: Vec<Arc<Batch>>,
}

impl CommitChanges {
    /// None yet, of a commit that lies here.
    pub(super) fn new(place: CommitPlace, end: Checkpoint) -> CommitChanges {
        CommitChanges {
            place,
            end,
            counted: 0,
            streams: Vec::new(),
            names: Vec::new(),
            touched: Vec::new(),
            groups: Vec::new(),
            keys: Vec::new(),
            producers: BTreeMap::new(),
            located: Vec::new(),
            batches: Vec::new(),
        }
    }
}

/// What one commit changes of one stream.
#[derive(Debug)]
pub(super) struct StreamChange {
    /// Its state after the commit; the last one if it is gone.
    pub(super) row: StreamSummary,
    /// Whether the stream itself was deleted.
    pub(super) is_gone: bool,
    /// All of its deleted numbers, and those among them that were deleted by this commit.
    pub(super) deleted: Option<(Arc<DeletedNumbers>, Vec<Range<u64>>)>,
}

/// What one commit changes of one consumer group.
#[derive(Debug)]
pub(super) struct GroupChanges {
    pub(super) stream_id: u64,
    pub(super) name: Bytes,
    /// The group after the commit, if there is one of this name.
    pub(super) group: Option<Arc<Group>>,
    /// Ids of those that had the name and are gone.
    pub(super) gone: Vec<u64>,
    /// What is pending now, or is not any more.
    pub(super) entries: EntryChanges,
}

impl StreamChange {
    /// A stream that has new events.
    pub(super) fn of(row: StreamSummary) -> StreamChange {
        StreamChange {
            row,
            is_gone: false,
            deleted: None,
        }
    }
}

impl Live {
    /// Nothing but what is in the index up to `end`.
    pub(super) fn new(end: Checkpoint, recent_bytes_max: usize) -> Live {
        Live {
            end,
            pending: Pending::default(),
            frozen: None,
            recent: Recent::new(recent_bytes_max),
            deleted: HashMap::new(),
            zones: Zones::default(),
            thaws: 0,
            indexed_streams: end.next_stream_id,
        }
    }

    /// Makes a commit visible.
    pub(super) fn apply(&mut self, changes: CommitChanges) {
        let first_position = self.end.next_position;
        for (name, id) in &changes.names {
            if let Some(id) = id {
                self.recent.rename(*id, name);
            }
        }
        self.pending.counted += changes.counted + (changes.end.next_position - first_position);
        self.pending.names.extend(changes.names);
        for change in &changes.streams {
            self.pending.stream_changed(&change.row);
        }
        for change in changes.groups {
            for id in &change.gone {
                self.zones.forget(*id);
            }
            if let Some(group) = &change.group {
                let entries = change.entries.values().flatten();
                self.zones.note(group.id, entries);
            }
            self.pending.group_changed(change);
        }
        self.pending.keys.extend(changes.keys);
        for (key, producer) in changes.producers {
            self.pending.producer_changed(key, producer);
        }
        for (id, location) in changes.located {
            self.pending.located(id, location);
        }
        let follows = u64::from(changes.place.byte) == self.end.byte;
        self.pending
            .committed(changes.place, first_position, follows, &changes.end);
        self.end = changes.end;
        if !changes.batches.is_empty() {
            let next_position = self.end.next_position;
            self.recent
                .push(first_position, next_position, changes.batches);
        }
        // After the events: a commit may delete what it adds.
        for change in changes.streams {
            self.apply_deletions(change);
        }
    }

    fn apply_deletions(&mut self, change: StreamChange) {
        let StreamChange {
            row,
            is_gone,
            deleted,
        } = change;
        if is_gone {
            self.pending.stream_gone(&row);
            self.deleted.remove(&row.id);
            self.recent.forget_stream(row.id);
            return;
        }
        if let Some((set, ranges)) = deleted {
            let pending = self.pending.stream_changed(&row);
            let blocks = ranges.into_iter().flat_map(DeletedNumbers::blocks_of);
            pending.deleted_blocks.extend(blocks);
            pending.deleted = Some(Arc::clone(&set));
            self.recent.delete(row.id, Arc::clone(&set));
            self.deleted.insert(row.id, set);
        }
        if row.first > 0 {
            self.recent.trim(row.id, row.first);
        }
    }

    /// Takes the changes for a checkpoint. What an unfinished one left is taken up again first.
    pub(super) fn freeze(&mut self) -> Option<Frozen> {
        if self.frozen.is_none() && !self.pending.is_empty() {
            self.frozen = Some(Frozen {
                changes: Arc::new(std::mem::take(&mut self.pending)),
                end: self.end,
            });
        }
        self.frozen.clone()
    }

    /// Keeps zones for a group: what is not in the index is told from this moment on.
    pub(super) fn begin_zones(&mut self, group: u64, size: usize) {
        if self.zones.has(group) {
            return;
        }
        let range = (group, EventId::MIN)..=(group, EventId::MAX);
        let changed = self.layers().map(|layer| {
            let mut changed = Divided::new(size);
            let entries = layer.entries.range(range.clone());
            for entry in entries.filter_map(|(_, entry)| entry.as_ref()) {
                changed.push(entry);
            }
            changed
        });
        let changed = changed.collect();
        self.zones.begin(group, changed, size);
    }

    /// Changes that are not in the index yet, as commands count them.
    pub(super) fn counted(&self) -> u64 {
        self.layers().map(|layer| layer.counted).sum()
    }

    /// Whether anything is not in the index yet.
    pub(super) fn has_changes(&self) -> bool {
        self.frozen.is_some() || !self.pending.is_empty()
    }

    /// The index holds what was frozen.
    pub(super) fn thaw(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.indexed_streams = frozen.end.next_stream_id;
        }
        self.thaws += 1;
        if self.deleted.len() > DELETED_SETS_MAX {
            let pending = &self.pending.streams;
            self.deleted.retain(|id, _| pending.contains_key(id));
        }
    }

    /// Changed streams of both sets, the newest change first.
    fn changed(&self, id: u64) -> impl Iterator<Item = &PendingStream> {
        let frozen = self.frozen.as_ref().map(|frozen| &*frozen.changes);
        [Some(&self.pending), frozen]
            .into_iter()
            .flatten()
            .filter_map(move |changes| changes.streams.get(&id))
    }

    /// The stream's state, if it changed since the index was written.
    pub(super) fn row(&self, id: u64) -> Known<&StreamSummary> {
        match self.changed(id).next() {
            Some(stream) if stream.is_gone => Known::Gone,
            Some(stream) => Known::There(&stream.row),
            None => Known::InIndex,
        }
    }

    /// Id of the stream of this name, if the name was bound since the index was written.
    pub(super) fn stream_id(&self, name: &StreamName) -> Known<u64> {
        let frozen = self.frozen.as_ref().map(|frozen| &*frozen.changes);
        let bound = [Some(&self.pending), frozen]
            .into_iter()
            .flatten()
            .find_map(|changes| changes.names.get(name).copied());
        match bound {
            Some(Some(id)) => Known::There(id),
            Some(None) => Known::Gone,
            None => Known::InIndex,
        }
    }

    /// A group, if it changed since the index was written.
    pub(super) fn group(&self, stream_id: u64, name: &[u8]) -> Known<&Arc<Group>> {
        let key = (stream_id, Bytes::copy_from_slice(name));
        let found = self.layers().find_map(|changes| changes.groups.get(&key));
        match found {
            Some(Some(group)) => Known::There(group),
            Some(None) => Known::Gone,
            None => Known::InIndex,
        }
    }

    /// Whether the index may know of a stream: not if it was created since it was written.
    pub(super) fn may_be_indexed(&self, stream_id: u64) -> bool {
        stream_id < self.indexed_streams
    }

    /// The last keys of a producer, if they changed since the index was written.
    pub(super) fn producer(&self, stream_id: u64, hash: u128) -> Option<&Arc<Producer>> {
        self.layers()
            .find_map(|changes| changes.producers.get(&(stream_id, hash)))
    }

    /// What changed since the index was written, the newest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Pending> {
        let frozen = self.frozen.as_ref().map(|frozen| &*frozen.changes);
        [Some(&self.pending), frozen].into_iter().flatten()
    }

    /// The last location of the stream that is not in the index and whose first id is this one or
    /// lower, among those of numbers from `first` on.
    pub(super) fn location_of(&self, id: u64, first: u64, event: EventId) -> Option<Location> {
        self.changed(id).find_map(|stream| {
            let start = stream
                .locations
                .partition_point(|at| at.next_number() <= first);
            let kept = &stream.locations[start..];
            let after = kept.partition_point(|at| at.first_id <= event);
            Some(kept[after.checked_sub(1)?])
        })
    }

    /// The stream's locations that are not in the index, ascending, and the first number among
    /// them: numbers below are in the index.
    pub(super) fn locations(&self, id: u64, from: u64, below: u64, limit: usize) -> Vec<Location> {
        let mut found = Vec::new();
        let frozen = self.frozen.as_ref().map(|frozen| &*frozen.changes);
        for changes in [frozen, Some(&self.pending)].into_iter().flatten() {
            if let Some(stream) = changes.streams.get(&id) {
                let all = &stream.locations;
                let start = all.partition_point(|location| location.next_number() <= from);
                let wanted = all[start..]
                    .iter()
                    .take_while(|location| location.first_number < below);
                found.extend(wanted.take(limit - found.len().min(limit)).copied());
            }
        }
        found
    }

    /// As `locations`, descending from the one that holds the last number below `below`.
    pub(super) fn locations_before(&self, id: u64, below: u64, limit: usize) -> Vec<Location> {
        let mut found = Vec::new();
        for stream in self.changed(id) {
            let end = stream
                .locations
                .partition_point(|location| location.first_number < below);
            let wanted = stream.locations[..end].iter().rev();
            found.extend(wanted.take(limit - found.len().min(limit)).copied());
        }
        found
    }

    /// The first number after the locations of the stream that are not in the index.
    pub(super) fn next_pending_number(&self, id: u64) -> Option<u64> {
        let last = |stream: &PendingStream| stream.locations.last().map(Location::next_number);
        self.changed(id).filter_map(last).max()
    }

    /// The first number of the stream whose location is not in the index; `u64::MAX` when all are.
    pub(super) fn first_pending_number(&self, id: u64) -> u64 {
        let first = |stream: &PendingStream| stream.locations.first().map(|at| at.first_number);
        self.changed(id).filter_map(first).min().unwrap_or(u64::MAX)
    }
}
