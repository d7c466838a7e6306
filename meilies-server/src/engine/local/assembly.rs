//! One commit in the making: which changes are accepted, with which numbers.
//!
//! Plain computation over the handles of the streams: no I/O, no clock. The state of a stream in
//! its handle runs ahead of what is visible; `undo` takes it back when the commit cannot be
//! written, and a savepoint takes back a part of it that is all or none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::{EventId, Expect, NewId, StreamName};

use super::catalog::{StreamHandle, StreamState};
use super::index::DamageRow;
use crate::engine::{
    DeletedNumbers, Fields, Group, PendingEntry, Producer, Refusal, StreamSummary, Write, WriteKey,
    WriteOutcome,
};

mod encode;
mod groups;
mod keys;
mod look;
mod savepoint;

use savepoint::{Savepoint, Undo};

pub(super) use encode::NewBatch;

/// "No entry".
const NONE: u32 = u32::MAX;

/// Where the log stands before the commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Never the same twice, and never 0: a commit number is, when a commit could not be written.
    pub(super) assembly: u64,
    pub(super) commit: u64,
    pub(super) position: u64,
    pub(super) stream_id: u64,
    /// The commit's time, ms since 1970 UTC, not below that of the commit before.
    pub(super) now: u64,
}

/// A commit in the making.
#[derive(Debug)]
pub(super) struct Assembly {
    start: Start,
    next_position: u64,
    next_stream_id: u64,
    slots: Vec<Slot>,
    /// Accepted events, linked by stream.
    entries: Vec<Entry>,
    /// What was of every name before this commit changed it.
    before: Vec<(Arc<StreamHandle>, StreamState)>,
    /// What it does to consumer groups, by stream id and name.
    groups: BTreeMap<(u64, Bytes), GroupSlot>,
    /// What is pending in groups by this commit, or is not any more.
    pending: BTreeMap<(u64, EventId), Option<PendingEntry>>,
    /// Keys of events that it adds: by stream, what stands for the key, and the event's number.
    keys: BTreeSet<(u64, u128, u64)>,
    /// Producers whose keys it changes, by stream and what stands for the name.
    producers: BTreeMap<(u64, u128), Arc<Producer>>,
    /// Changes other than new events, as commands count them.
    counted: u64,
    /// How many savepoints were set; what changes under one is in the journal.
    savepoints: u64,
    savepoint: Option<Savepoint>,
}

/// What the commit does to one stream.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its name's, as long as it has one: a deleted stream has none.
    handle: Option<Arc<StreamHandle>>,
    /// Its state before the commit; `None` if the commit creates it.
    before: Option<StreamSummary>,
    /// Its last state when it is deleted.
    gone: Option<StreamSummary>,
    first_entry: u32,
    last_entry: u32,
    /// All its deleted numbers, if the commit changes them.
    deleted: Option<Arc<DeletedNumbers>>,
    /// Those that the commit deletes.
    deletions: Vec<Range<u64>>,
    /// The savepoint under which it was last noted.
    noted: u64,
}

#[derive(Debug)]
struct Entry {
    fields: Fields,
    /// As it lies in the event.
    key: Option<Box<[u8]>>,
    position: u64,
    number: u64,
    id: EventId,
    /// The stream's next event in this commit.
    next: u32,
}

/// What the commit does to the groups of one name.
#[derive(Clone, Debug)]
pub(super) struct GroupSlot {
    /// The name of its stream.
    pub(super) stream: StreamName,
    /// The group before the commit.
    pub(super) before: Option<Arc<Group>>,
    pub(super) now: Option<Arc<Group>>,
    /// Those that had the name and are gone, but for `before`.
    pub(super) gone: Vec<u64>,
}

impl Assembly {
    pub(super) fn new(start: Start) -> Assembly {
        debug_assert!(start.assembly > 0);
        Assembly {
            start,
            next_position: start.position,
            next_stream_id: start.stream_id,
            slots: Vec::new(),
            entries: Vec::new(),
            before: Vec::new(),
            groups: BTreeMap::new(),
            pending: BTreeMap::new(),
            keys: BTreeSet::new(),
            producers: BTreeMap::new(),
            counted: 0,
            savepoints: 0,
            savepoint: None,
        }
    }

    /// Whether nothing was accepted.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.groups.is_empty()
    }

    /// The first position after the commit.
    pub(super) fn next_position(&self) -> u64 {
        self.next_position
    }

    /// The first stream id after the commit.
    pub(super) fn next_stream_id(&self) -> u64 {
        self.next_stream_id
    }

    /// Counts changes other than new events.
    pub(super) fn count(&mut self, changes: u64) {
        self.counted += changes;
    }

    /// How many changes other than new events were counted.
    pub(super) fn counted(&self) -> u64 {
        self.counted
    }

    /// The commit's time.
    pub(super) fn recorded_at(&self) -> u64 {
        self.start.now
    }

    /// How many streams there are more after the commit, as a wrapping number.
    pub(super) fn streams_added(&self) -> u64 {
        self.slots.iter().fold(0, |sum, slot| {
            let created = u64::from(slot.before.is_none());
            let gone = u64::from(slot.handle.is_none());
            sum.wrapping_add(created).wrapping_sub(gone)
        })
    }

    /// Whether it deletes any event or stream.
    pub(super) fn has_deletions(&self) -> bool {
        self.slots.iter().any(|slot| {
            let first = slot.before.as_ref().map_or(0, |before| before.first);
            slot.is_gone() || !slot.deletions.is_empty() || slot.summary().first != first
        })
    }

    /// About how many bytes its events take in the log, never fewer than they do take.
    pub(super) fn bytes_max(&self) -> usize {
        let events: usize = self
            .entries
            .iter()
            .map(|entry| {
                let key = entry.key.as_ref().map_or(0, |key| key.len());
                fields_bytes_max(&entry.fields) + key
            })
            .sum();
        let of_slot = |slot: &Slot| 512 + slot.name().as_bytes().len() + 20 * slot.deletions.len();
        let of_group = |slot: &GroupSlot| {
            let consumers = slot.now.iter().flat_map(|group| &group.consumers);
            512 + consumers
                .map(|consumer| 64 + consumer.name.len())
                .sum::<usize>()
        };
        let groups: usize = self.groups.values().map(of_group).sum();
        events + self.slots.iter().map(of_slot).sum::<usize>() + groups + 64 * self.pending.len()
    }

    /// Streams that the commit changes.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Names that the commit binds to another stream or to none.
    pub(super) fn bindings(&self) -> impl Iterator<Item = (StreamName, Option<u64>)> {
        self.before.iter().filter_map(|(handle, before)| {
            let bound = |state: &StreamState| state.stream.as_ref().map(|stream| stream.id);
            let now = bound(&handle.state());
            (now != bound(before)).then(|| (handle.name.clone(), now))
        })
    }

    /// Decides on writes to a stream, one after the other.
    pub(super) fn write(
        &mut self,
        handle: &Arc<StreamHandle>,
        write: Write,
        damage: &[DamageRow],
    ) -> WriteOutcome {
        if let Some(refusal) = refusal(&handle.state(), &write, damage) {
            return WriteOutcome::Refused(refusal);
        }
        match self.append(handle, write.id, write.fields, write.key.as_deref()) {
            Ok(stored) => stored,
            Err(refusal) => WriteOutcome::Refused(refusal),
        }
    }

    /// Adds an event to a stream, which is created if need be.
    pub(super) fn append(
        &mut self,
        handle: &Arc<StreamHandle>,
        id: NewId,
        fields: Fields,
        key: Option<&WriteKey>,
    ) -> Result<WriteOutcome, Refusal> {
        let last_id = handle
            .state()
            .stream
            .as_ref()
            .map_or(EventId::MIN, |stream| stream.last_id);
        let id = next_id(id, last_id, self.start.now)?;
        let slot = self.open(handle);
        let entry = index(self.entries.len());
        let position = self.next_position;
        self.next_position += 1;
        let mut stored_key = None;
        let number = {
            let mut state = handle.state();
            let stream = state.stream.as_mut().expect("`open` has created it");
            let number = stream.next_number();
            stream.tail = Some(number);
            stream.last_id = id;
            if let Some(key) = key {
                stored_key = Some(self.note_key(stream, number, key));
            }
            number
        };
        let slot = &mut self.slots[slot];
        match slot.last_entry {
            NONE => slot.first_entry = entry,
            last => self.entries[last as usize].next = entry,
        }
        slot.last_entry = entry;
        self.entries.push(Entry {
            fields,
            key: stored_key,
            position,
            number,
            id,
            next: NONE,
        });
        Ok(WriteOutcome::Stored {
            number,
            position,
            id,
        })
    }

    /// Creates the stream of this name, which is not there, without an event.
    pub(super) fn create(&mut self, handle: &Arc<StreamHandle>) {
        self.open(handle);
    }

    /// Changes a stream's state, which does not touch its events.
    pub(super) fn change(
        &mut self,
        handle: &Arc<StreamHandle>,
        change: impl FnOnce(&mut StreamSummary),
    ) {
        self.open(handle);
        change(
            handle
                .state()
                .stream
                .as_mut()
                .expect("`open` has created it"),
        );
    }

    /// Deletes numbers of a stream, ascending ones that are not deleted yet. `set` is what was
    /// deleted before.
    pub(super) fn delete(
        &mut self,
        handle: &Arc<StreamHandle>,
        set: Arc<DeletedNumbers>,
        numbers: &[u64],
    ) {
        let slot = self.open(handle);
        let slot = &mut self.slots[slot];
        let mut state = handle.state();
        let stream = state.stream.as_mut().expect("`open` has created it");
        let mut set = set;
        let deleted = Arc::make_mut(&mut set);
        // What was noted before may be needed again as it is: only new ranges grow.
        let begin = slot.deletions.len();
        for number in numbers {
            deleted.insert(*number);
            match slot.deletions[begin..].last_mut() {
                Some(last) if last.end == *number => last.end += 1,
                _ => slot.deletions.push(*number..*number + 1),
            }
        }
        stream.deleted += numbers.len() as u64;
        let first = deleted.first_kept(stream.first);
        trim(stream, deleted, first);
        slot.deleted = Some(set);
    }

    /// Deletes all numbers of a stream below this one. `set` is what was deleted before.
    pub(super) fn trim(
        &mut self,
        handle: &Arc<StreamHandle>,
        set: Arc<DeletedNumbers>,
        first: u64,
    ) {
        let slot = self.open(handle);
        let mut state = handle.state();
        let stream = state.stream.as_mut().expect("`open` has created it");
        let mut set = set;
        let first = set.first_kept(first.max(stream.first));
        if set.is_empty() {
            stream.first = first;
        } else {
            trim(stream, Arc::make_mut(&mut set), first);
            self.slots[slot].deleted = Some(set);
        }
    }

    /// Deletes the stream of this name.
    pub(super) fn remove(&mut self, handle: &Arc<StreamHandle>) {
        let slot = self.open(handle);
        let mut state = handle.state();
        self.slots[slot].handle = None;
        self.slots[slot].gone = state.stream.take();
        state.slot = None;
        state.bound = self.start.commit;
    }

    /// Gives the stream of the name `from` the name `to`, which no stream has.
    pub(super) fn rename(&mut self, from: &Arc<StreamHandle>, to: &Arc<StreamHandle>) {
        let slot = self.open(from);
        self.note(to);
        let (stream, place) = {
            let mut from = from.state();
            from.bound = self.start.commit;
            (from.stream.take(), from.slot.take())
        };
        let mut state = to.state();
        state.changed = self.start.commit;
        state.bound = self.start.commit;
        state.slot = place;
        state.stream = stream.map(|stream| StreamSummary {
            name: to.name.clone(),
            ..stream
        });
        self.slots[slot].handle = Some(Arc::clone(to));
    }

    /// The slot of a name's stream in this commit; the stream is created if it is not there.
    fn open(&mut self, handle: &Arc<StreamHandle>) -> usize {
        self.note(handle);
        let mut state = handle.state();
        state.changed = self.start.commit;
        if let Some((assembly, slot)) = state.slot
            && assembly == self.start.assembly
        {
            let slot = slot as usize;
            drop(state);
            self.note_slot(slot);
            if let Some(stream) = &mut handle.state().stream {
                stream.changed = self.start.commit;
            }
            return slot;
        }
        let slot = self.slots.len();
        let before = state.stream.clone();
        if before.is_none() {
            state.bound = self.start.commit;
        }
        let stream = state.stream.get_or_insert_with(|| {
            let id = self.next_stream_id;
            self.next_stream_id += 1;
            StreamSummary::new(id, handle.name.clone(), self.start.now)
        });
        stream.changed = self.start.commit;
        state.slot = Some((self.start.assembly, index(slot)));
        self.slots.push(Slot {
            handle: Some(Arc::clone(handle)),
            before,
            gone: None,
            first_entry: NONE,
            last_entry: NONE,
            deleted: None,
            deletions: Vec::new(),
            noted: self.savepoints,
        });
        slot
    }
}

impl Slot {
    /// The stream's state now; its last one if it is deleted.
    pub(super) fn summary(&self) -> StreamSummary {
        let bound = self
            .handle
            .as_ref()
            .and_then(|handle| handle.state().stream.clone());
        bound
            .or_else(|| self.gone.clone())
            .expect("a stream is bound or gone")
    }

    /// Whether the commit deletes the stream.
    pub(super) fn is_gone(&self) -> bool {
        self.handle.is_none()
    }

    /// All deleted numbers and those that the commit deletes, if it changes any.
    pub(super) fn deleted(&self) -> Option<(Arc<DeletedNumbers>, Vec<Range<u64>>)> {
        let deleted = self.deleted.as_ref()?;
        Some((Arc::clone(deleted), self.deletions.clone()))
    }

    fn name(&self) -> StreamName {
        match &self.handle {
            Some(handle) => handle.name.clone(),
            None => self.summary().name,
        }
    }
}

/// About how many bytes a write takes in the log, never fewer than it does take.
pub(super) fn write_bytes_max(write: &Write) -> usize {
    use super::commit::BATCH_HEADER_BYTES;
    let key = write.key.as_ref().map_or(0, |key| key.bytes());
    // The stream's creation and the batch header.
    let overhead = 2 * BATCH_HEADER_BYTES + write.stream.as_bytes().len();
    overhead + fields_bytes_max(&write.fields) + key
}

fn fields_bytes_max(fields: &Fields) -> usize {
    // The event header, a length for each item.
    64 + fields.bytes() + fields.items().len() * 10
}

/// The events below `first` are no more; the set says which others.
fn trim(stream: &mut StreamSummary, set: &mut DeletedNumbers, first: u64) {
    let first = first.max(stream.first);
    let below = set.count(stream.first..first);
    stream.deleted -= below;
    stream.first = first;
    set.remove_below(first);
}

/// The id of an event recorded now: ids never run backwards when the clock does.
fn next_id(wanted: NewId, last: EventId, now: u64) -> Result<EventId, Refusal> {
    if last == EventId::MAX {
        return Err(Refusal::IdsExhausted);
    }
    let next = last.next().unwrap_or(EventId::MAX);
    match wanted {
        NewId::Auto if now > last.ms => Ok(EventId { ms: now, seq: 0 }),
        NewId::Auto => Ok(next),
        NewId::AutoSeq { ms } if ms > last.ms => Ok(EventId { ms, seq: 0 }),
        NewId::AutoSeq { ms } if next.ms == ms => Ok(next),
        NewId::Given(EventId::MIN) => Err(Refusal::IdZero),
        NewId::Given(id) if id > last => Ok(id),
        NewId::AutoSeq { .. } | NewId::Given(_) => Err(Refusal::IdTooSmall),
    }
}

fn refusal(state: &StreamState, write: &Write, damage: &[DamageRow]) -> Option<Refusal> {
    if let Some(unproven) = unproven(state, &write.stream, damage) {
        return Some(unproven);
    }
    let tail = state.stream.as_ref().and_then(|stream| stream.tail);
    let holds = match write.expect {
        Expect::Any => true,
        Expect::None => tail.is_none(),
        Expect::Exists => tail.is_some(),
        Expect::Number(number) => tail == Some(number),
    };
    if !holds {
        return Some(Refusal::Conflict {
            stream: write.stream.detached(),
            tail,
            expected: write.expect,
        });
    }
    (!write.make_stream && state.stream.is_none()).then_some(Refusal::NoStream)
}

/// Why a stream that may have lost its last events is not written to.
pub(super) fn unproven(
    state: &StreamState,
    name: &StreamName,
    damage: &[DamageRow],
) -> Option<Refusal> {
    // Damage before the stream's last change cannot hide a later event of it.
    let place = damage.iter().find(|place| {
        place.unproven && (state.stream.is_none() || state.changed < place.commits.1)
    })?;
    Some(Refusal::Unproven {
        stream: name.clone(),
        file: place.file.as_str().into(),
        byte: place.byte,
    })
}

fn index(at: usize) -> u32 {
    u32::try_from(at).expect("a commit has fewer than 2^32 writes")
}
