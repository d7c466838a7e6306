//! Changes that are in the log but not in the index yet.
//!
//! One set gathers what commits bring; a checkpoint takes the whole set, writes it into the index
//! and drops it. Both sets together are what readers lay over the index.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::{EventId, StreamName};

use super::commit::HEADER_BYTES;
use super::index::{Checkpoint, PositionRow};
use super::live::GroupChanges;
use super::log::{CommitPlace, Location};
use crate::engine::{DeletedNumbers, Group, PendingEntry, Producer, StreamSummary};

/// A position is noted about once in so many bytes of log.
const POSITION_NOTE_BYTES: u64 = 1024 * 1024;

/// Changes since a checkpoint, all absolute.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) streams: BTreeMap<u64, PendingStream>,
    /// Names that are bound to another stream since, or to none.
    pub(super) names: BTreeMap<StreamName, Option<u64>>,
    /// Positions noted since, ascending.
    pub(super) positions: Vec<(u64, PositionRow)>,
    /// Consumer groups that changed since, by stream and name; `None` for those that are gone.
    pub(super) groups: BTreeMap<(u64, Bytes), Option<Arc<Group>>>,
    /// Groups that are gone since, by id.
    pub(super) groups_gone: Vec<u64>,
    /// What is pending in a group since, or is not any more.
    pub(super) entries: BTreeMap<(u64, EventId), Option<PendingEntry>>,
    /// Keys of events since: stream, what stands for the key, number of the event.
    pub(super) keys: BTreeSet<(u64, u128, u64)>,
    /// Producers whose last keys changed since, by stream and what stands for the name.
    pub(super) producers: BTreeMap<(u64, u128), Arc<Producer>>,
    /// How many keys these hold.
    producers_keys: usize,
    /// How many changes there are, as commands count them.
    pub(super) counted: u64,
    /// How many locations all streams have together.
    pub(super) locations: usize,
    /// Bytes of the commits.
    pub(super) log_bytes: u64,
}

/// What changed of one stream.
#[derive(Debug)]
pub(super) struct PendingStream {
    /// As of the last change.
    pub(super) row: StreamSummary,
    /// Whether the stream itself is deleted.
    pub(super) is_gone: bool,
    /// New locations, ascending.
    pub(super) locations: Vec<Location>,
    /// All of its deleted numbers, if any of these changed.
    pub(super) deleted: Option<Arc<DeletedNumbers>>,
    /// The blocks of these that changed.
    pub(super) deleted_blocks: BTreeSet<u64>,
}

impl Pending {
    /// Whether there is anything to write.
    pub(super) fn is_empty(&self) -> bool {
        self.log_bytes == 0
    }

    /// Notes the latest state of a stream.
    pub(super) fn stream_changed(&mut self, row: &StreamSummary) -> &mut PendingStream {
        match self.streams.entry(row.id) {
            btree_map::Entry::Occupied(entry) => {
                let stream = entry.into_mut();
                stream.row.clone_from(row);
                stream
            }
            btree_map::Entry::Vacant(entry) => entry.insert(PendingStream {
                row: row.clone(),
                is_gone: false,
                locations: Vec::new(),
                deleted: None,
                deleted_blocks: BTreeSet::new(),
            }),
        }
    }

    /// Notes that a stream is deleted.
    pub(super) fn stream_gone(&mut self, row: &StreamSummary) {
        let stream = self.stream_changed(row);
        stream.is_gone = true;
        let locations = std::mem::take(&mut stream.locations);
        stream.deleted = None;
        stream.deleted_blocks.clear();
        self.locations -= locations.len();
    }

    /// Notes what became of a group.
    pub(super) fn group_changed(&mut self, change: GroupChanges) {
        let key = (change.stream_id, change.name);
        for id in change.gone {
            let entries = (id, EventId::MIN)..=(id, EventId::MAX);
            let dead: Vec<_> = self.entries.range(entries).map(|(key, _)| *key).collect();
            for key in dead {
                self.entries.remove(&key);
            }
            self.groups_gone.push(id);
        }
        if let Some(group) = &change.group {
            let id = group.id;
            let entries = change.entries.into_iter();
            self.entries
                .extend(entries.map(|(event, entry)| ((id, event), entry)));
        }
        self.groups.insert(key, change.group);
    }

    /// How many changes there are that memory is bounded by.
    pub(super) fn changes(&self) -> usize {
        let streams = self.locations.max(self.streams.len());
        streams + self.entries.len() + self.keys.len() + self.producers_keys
    }

    /// Notes the last keys of a producer.
    pub(super) fn producer_changed(&mut self, key: (u64, u128), producer: Arc<Producer>) {
        self.producers_keys += producer.len();
        if let Some(before) = self.producers.insert(key, producer) {
            self.producers_keys -= before.len();
        }
    }

    /// Notes where a batch of the stream lies.
    pub(super) fn located(&mut self, id: u64, location: Location) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.locations.push(location);
            self.locations += 1;
        }
    }

    /// Notes a whole commit: after its streams. `end` is what a scan after it needs to know; a
    /// commit that does not follow the one before (damage lies between) is always noted, so that
    /// readers find a way around.
    pub(super) fn committed(
        &mut self,
        place: CommitPlace,
        first_position: u64,
        follows: bool,
        end: &Checkpoint,
    ) {
        let bytes = end.byte - u64::from(place.byte);
        debug_assert!(bytes >= HEADER_BYTES as u64);
        let noted = self.positions.last().is_some_and(|(_, row)| {
            row.place.serial == place.serial
                && u64::from(place.byte - row.place.byte) < POSITION_NOTE_BYTES
        });
        if !(noted && follows) && end.next_position > first_position {
            let recorded_at = end.recorded_at;
            self.positions
                .push((first_position, PositionRow { place, recorded_at }));
        }
        self.log_bytes += bytes;
    }

    /// The last noted commit that begins at or before this position.
    pub(super) fn position(&self, at: u64) -> Option<(u64, PositionRow)> {
        let above = self
            .positions
            .partition_point(|(position, _)| *position <= at);
        Some(self.positions[above.checked_sub(1)?])
    }
}
