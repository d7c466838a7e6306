//! What the store in memory holds, and what a transaction does to it: plain maps, changed in place.
//!
//! It shares nothing with the local engine but the types, so that each checks the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, Expect, NewId, StreamName};

use super::number_at;
use crate::engine::batch::{Batch, BatchHead, BodyWriter};
use crate::engine::keys::StoredKey;
use crate::engine::{
    Appended, DeletedNumbers, Found, Group, NameWatch, PendingEntry, Producer, Producing, Refusal,
    Run, Sightings, StoreError, StreamSummary, StreamsPage, Transaction, View, Wanted, Write,
    WriteKey, WriteOutcome,
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// The time by which it answers, ms since 1970 UTC.
    pub(super) now: u64,
    pub(super) next_position: u64,
    /// Changes other than new events, as commands count them.
    pub(super) counted: u64,
    /// All batches in commit order, one event each; positions are without gaps.
    all: Vec<Arc<Batch>>,
    names: BTreeMap<StreamName, u64>,
    /// By which commit each name was bound last.
    bound: BTreeMap<StreamName, u64>,
    streams: BTreeMap<u64, Stream>,
    next_stream_id: u64,
    pending: BTreeMap<(u64, EventId), PendingEntry>,
    /// One for all copies: what is seen is not taken back.
    sightings: Arc<Sightings>,
    /// The number of the commit under way.
    commit: u64,
    /// Streams that were created, renamed or deleted or lost a group since this was taken.
    pub(super) touched: Vec<StreamName>,
    /// Whether that has changed anything.
    pub(super) is_changed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) summary: StreamSummary,
    /// One event each.
    pub(super) batches: Vec<Arc<Batch>>,
    deleted: Arc<DeletedNumbers>,
    groups: BTreeMap<Bytes, Arc<Group>>,
}

impl State {
    /// How many changes there ever were.
    pub(super) fn changes(&self) -> u64 {
        self.next_position + self.counted
    }

    /// All events in the order of their positions, deleted ones too.
    pub(super) fn all(&self) -> &[Arc<Batch>] {
        &self.all
    }

    pub(super) fn find_stream(&self, name: &StreamName) -> Option<&Stream> {
        self.streams.get(self.names.get(name)?)
    }

    fn find_mut(&mut self, name: &StreamName) -> Option<&mut Stream> {
        let stream = self.streams.get_mut(self.names.get(name)?)?;
        stream.summary.changed = self.commit;
        self.is_changed = true;
        Some(stream)
    }

    /// Events of a stream, deleted ones too.
    fn batches(&self, stream: &StreamSummary) -> &[Arc<Batch>] {
        let found = self.streams.get(&stream.id);
        found.map_or(&[][..], |stream| &stream.batches)
    }

    /// What is left of a run without deleted events.
    pub(super) fn kept(&self, run: Run, reverse: bool) -> Vec<Run> {
        let Some(stream) = self.streams.get(&run.batch.stream_id) else {
            return Vec::new();
        };
        let first = stream.summary.first;
        let renamed = Run {
            batch: Arc::new(run.batch.renamed(&stream.summary.name)),
            indexes: run.indexes,
        };
        Run::keep_all(vec![renamed], first, Some(&stream.deleted), reverse)
    }

    /// Begins a commit.
    pub(super) fn begin(&mut self, now: u64, commit: u64) {
        self.now = now;
        self.commit = commit;
        self.is_changed = false;
    }

    /// Decides on a write and takes it in.
    pub(super) fn write(&mut self, write: Write) -> Result<WriteOutcome, Refusal> {
        let found = self
            .find_stream(&write.stream)
            .map(|stream| &stream.summary);
        let tail = found.and_then(|stream| stream.tail);
        let holds = match write.expect {
            Expect::Any => true,
            Expect::None => tail.is_none(),
            Expect::Exists => tail.is_some(),
            Expect::Number(number) => tail == Some(number),
        };
        if !holds {
            return Err(Refusal::Conflict {
                stream: write.stream,
                tail,
                expected: write.expect,
            });
        }
        if found.is_none() && !write.make_stream {
            return Err(Refusal::NoStream);
        }
        let last = found.map_or(EventId::MIN, |stream| stream.last_id);
        let id = new_id(write.id, last, self.now)?;
        let (position, now) = (self.next_position, self.now);
        self.next_position += 1;
        let stream = self.stream_for(&write.stream);
        let number = stream.summary.next_number();
        let key = write.key.map(|key| {
            if let WriteKey::OfProducer { unless_set, .. } = &*key {
                stream.summary.producing.count(*unless_set);
            }
            key.encode(stream.summary.producing.added)
        });
        let mut body = BytesMut::new();
        let place = (position, id);
        BodyWriter::new(now).push(&mut body, place, key.as_deref(), write.fields.items());
        let head = BatchHead {
            stream: stream.summary.name.clone(),
            stream_id: stream.summary.id,
            first_number: number,
            first_position: position,
            last_position: position,
            count: 1,
            recorded_at: now,
        };
        let batch = Arc::new(Batch::new(head, body.freeze()));
        stream.summary.tail = Some(number);
        stream.summary.last_id = id;
        stream.batches.push(Arc::clone(&batch));
        self.all.push(batch);
        Ok(WriteOutcome::Stored {
            number,
            position,
            id,
        })
    }

    fn rebound(&mut self, name: &StreamName) {
        self.touched.push(name.detached());
        // Two in one commit are two for who watches.
        let bound = self.bound.entry(name.detached()).or_insert(0);
        *bound = self.commit.max(*bound + 1);
    }

    fn stream_for(&mut self, name: &StreamName) -> &mut Stream {
        let new = self.next_stream_id;
        if !self.names.contains_key(name) {
            self.rebound(name);
        }
        let id = *self.names.entry(name.detached()).or_insert(new);
        self.next_stream_id += u64::from(id == new);
        let now = self.now;
        let stream = self.streams.entry(id).or_insert_with(|| Stream {
            summary: StreamSummary::new(id, name.detached(), now),
            batches: Vec::new(),
            deleted: Arc::default(),
            groups: BTreeMap::new(),
        });
        stream.summary.changed = self.commit;
        self.is_changed = true;
        stream
    }
}

fn new_id(wanted: NewId, last: EventId, now: u64) -> Result<EventId, Refusal> {
    let Some(next) = last.next() else {
        return Err(Refusal::IdsExhausted);
    };
    let id = match wanted {
        NewId::Auto => next.max(EventId { ms: now, seq: 0 }),
        NewId::AutoSeq { ms } if ms > last.ms => EventId { ms, seq: 0 },
        NewId::AutoSeq { ms } if ms == next.ms => next,
        NewId::AutoSeq { .. } => return Err(Refusal::IdTooSmall),
        NewId::Given(EventId::MIN) => return Err(Refusal::IdZero),
        NewId::Given(id) => id,
    };
    if id > last {
        Ok(id)
    } else {
        Err(Refusal::IdTooSmall)
    }
}

impl View for State {
    fn now_ms(&self) -> u64 {
        self.now
    }

    fn stream(&self, name: &StreamName) -> Result<Option<StreamSummary>, StoreError> {
        Ok(self.find_stream(name).map(|stream| stream.summary.clone()))
    }

    fn watch(&self, name: &StreamName) -> Result<NameWatch, StoreError> {
        // Nothing is ever forgotten, and no commit is under way.
        Ok(NameWatch::new(self.bound(name) + 1, Arc::new(())))
    }

    fn bound(&self, name: &StreamName) -> u64 {
        self.bound.get(name).copied().unwrap_or(0)
    }

    fn streams(&self, page: &StreamsPage, limit: usize) -> Result<Vec<StreamSummary>, StoreError> {
        let summary = |stream: &Stream| stream.summary.clone();
        Ok(match page {
            StreamsPage::ByName(after) => {
                let start = after.as_ref().map_or(Unbounded, Excluded);
                let ids = self
                    .names
                    .range::<StreamName, _>((start, Unbounded))
                    .take(limit);
                ids.map(|(_, id)| summary(&self.streams[id])).collect()
            }
            StreamsPage::ById(from) => {
                let streams = self.streams.range(from..).take(limit);
                streams.map(|(_, stream)| summary(stream)).collect()
            }
        })
    }

    fn next_position(&self) -> u64 {
        self.next_position
    }

    fn count(&self) -> u64 {
        self.names.len() as u64
    }

    fn deleted(&self, stream: &StreamSummary) -> Result<Arc<DeletedNumbers>, StoreError> {
        let found = self.streams.get(&stream.id);
        Ok(found
            .map(|stream| Arc::clone(&stream.deleted))
            .unwrap_or_default())
    }

    fn whole_runs(
        &self,
        stream: &StreamSummary,
        numbers: Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Result<Vec<Run>, StoreError> {
        let batches = self.batches(stream);
        let within = batches
            .iter()
            .filter(|batch| numbers.contains(&batch.first_number));
        let mut within: Vec<&Arc<Batch>> = within.collect();
        if reverse {
            within.reverse();
        }
        let mut bytes = 0;
        let wanted = within.into_iter().take_while(|batch| {
            let is_wanted = bytes < bytes_max;
            bytes += batch.body_bytes();
            is_wanted
        });
        let renamed = wanted.map(|batch| Arc::new(batch.renamed(&stream.name)));
        Ok(renamed
            .filter_map(|batch| Run::between(&batch, 0, u64::MAX))
            .collect())
    }

    fn group(&self, stream: &StreamSummary, name: &[u8]) -> Result<Option<Arc<Group>>, StoreError> {
        let found = self.streams.get(&stream.id);
        Ok(found.and_then(|stream| stream.groups.get(name).cloned()))
    }

    fn groups(&self, stream: &StreamSummary) -> Result<Vec<Arc<Group>>, StoreError> {
        let found = self.streams.get(&stream.id).into_iter();
        Ok(found
            .flat_map(|stream| stream.groups.values().cloned())
            .collect())
    }

    fn pending(
        &self,
        group: &Group,
        ids: RangeInclusive<EventId>,
        wanted: &Wanted,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let range = (group.id, *ids.start())..=(group.id, *ids.end());
        let entries = self.pending.range(range).map(|(_, entry)| *entry);
        let entries = entries.filter(|entry| wanted.admits(entry));
        Ok(match reverse {
            true => entries.rev().take(limit).collect(),
            false => entries.take(limit).collect(),
        })
    }

    /// Sorted at each question.
    fn first_in_turn(
        &self,
        group: &Group,
        wanted: &Wanted,
        limit: usize,
        is_meant: &dyn Fn(&PendingEntry) -> bool,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let all = EventId::MIN..=EventId::MAX;
        let mut entries = self.pending(group, all, wanted, false, usize::MAX)?;
        entries.retain(is_meant);
        entries.sort_by_key(PendingEntry::turn);
        entries.truncate(limit);
        Ok(entries)
    }

    /// Found among all events ever added.
    fn producer(&self, stream: &StreamSummary, name: &[u8]) -> Result<Arc<Producer>, StoreError> {
        let mut producer = Producer::default();
        for batch in self.batches(stream) {
            for event in batch.events() {
                match event.key.and_then(StoredKey::decode) {
                    Some(StoredKey::OfProducer {
                        producer: found,
                        key,
                        ..
                    }) if found == name => {
                        let event = (event.number, event.id, event.recorded_at);
                        producer.add(key, event, u64::MAX);
                    }
                    _ => {}
                }
            }
        }
        Ok(Arc::new(producer))
    }

    fn producers(&self, stream: &StreamSummary) -> Result<Vec<Arc<Producer>>, StoreError> {
        let mut names = BTreeSet::new();
        for batch in self.batches(stream) {
            for event in batch.events() {
                if let Some(StoredKey::OfProducer { producer, .. }) =
                    event.key.and_then(StoredKey::decode)
                {
                    names.insert(producer.to_vec());
                }
            }
        }
        let producers = names.iter().map(|name| self.producer(stream, name));
        producers.collect()
    }

    fn keyed(&self, stream: &StreamSummary, key: &[u8]) -> Result<Vec<u64>, StoreError> {
        let events = self.batches(stream).iter().flat_map(|batch| batch.events());
        let has_key = events
            .filter(|event| event.key.and_then(StoredKey::decode) == Some(StoredKey::Own(key)));
        Ok(has_key.map(|event| event.number).collect())
    }

    fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    fn find(&self, stream: &StreamSummary, id: EventId) -> Result<Found, StoreError> {
        let batches = self.batches(stream);
        let found = batches
            .iter()
            .find(|batch| batch.first_id() >= id && batch.first_number >= stream.first);
        Ok(match found {
            Some(batch) => Found {
                number: number_at(batch, 0, false),
                is_exact: batch.first_id() == id,
            },
            None => Found {
                number: stream.next_number(),
                is_exact: false,
            },
        })
    }
}

impl Transaction for State {
    fn append(&mut self, write: Write) -> Result<Result<Appended, Refusal>, StoreError> {
        Ok(match self.write(write) {
            Ok(WriteOutcome::Stored {
                number,
                position,
                id,
            }) => Ok(Appended {
                number,
                position,
                id,
            }),
            Ok(WriteOutcome::Refused(refusal)) | Err(refusal) => Err(refusal),
        })
    }

    fn create(&mut self, name: &StreamName) -> Result<Result<(), Refusal>, StoreError> {
        if self.find_stream(name).is_none() {
            self.stream_for(name);
        }
        Ok(Ok(()))
    }

    fn delete(
        &mut self,
        name: &StreamName,
        numbers: &[u64],
        max_id: EventId,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let Some(stream) = self.find_mut(name) else {
            return Ok(Err(Refusal::NoStream));
        };
        let deleted = Arc::make_mut(&mut stream.deleted);
        for number in numbers {
            deleted.insert(*number);
        }
        let summary = &mut stream.summary;
        summary.max_deleted_id = summary.max_deleted_id.max(max_id);
        stream.trim(stream.summary.first);
        Ok(Ok(()))
    }

    fn trim(&mut self, name: &StreamName, first: u64) -> Result<Result<(), Refusal>, StoreError> {
        let Some(stream) = self.find_mut(name) else {
            return Ok(Err(Refusal::NoStream));
        };
        stream.trim(first);
        Ok(Ok(()))
    }

    fn count(&mut self, changes: u64) {
        self.counted += changes;
    }

    fn set_ids(
        &mut self,
        name: &StreamName,
        last_id: EventId,
        surplus: u64,
        max_deleted_id: EventId,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let Some(stream) = self.find_mut(name) else {
            return Ok(Err(Refusal::NoStream));
        };
        stream.summary.last_id = last_id;
        stream.summary.surplus = surplus;
        stream.summary.max_deleted_id = max_deleted_id;
        Ok(Ok(()))
    }

    fn set_producing(
        &mut self,
        name: &StreamName,
        producing: Producing,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let Some(stream) = self.find_mut(name) else {
            return Ok(Err(Refusal::NoStream));
        };
        stream.summary.producing = producing;
        Ok(Ok(()))
    }

    fn new_id(&mut self) -> u64 {
        self.next_stream_id += 1;
        self.next_stream_id - 1
    }

    fn put_group(&mut self, stream: &StreamSummary, group: Group) -> Result<(), StoreError> {
        if let Some(stream) = self.streams.get_mut(&stream.id) {
            stream.groups.insert(group.name.clone(), Arc::new(group));
            self.is_changed = true;
        }
        Ok(())
    }

    fn remove_group(&mut self, stream: &StreamSummary, name: &[u8]) -> Result<(), StoreError> {
        if let Some(stream) = self.streams.get_mut(&stream.id)
            && let Some(gone) = stream.groups.remove(name)
        {
            self.touched.push(stream.summary.name.clone());
            self.pending.retain(|(group, _), _| *group != gone.id);
            self.is_changed = true;
        }
        Ok(())
    }

    fn put_pending(&mut self, group: u64, entry: PendingEntry) {
        if entry.delivered_at_ms() < self.now {
            let mut streams = self.streams.values();
            let has_it = |stream: &&Stream| stream.groups.values().any(|it| it.id == group);
            let name = streams
                .find(has_it)
                .map(|stream| stream.summary.name.clone());
            self.touched.extend(name);
        }
        self.pending.insert((group, entry.id), entry);
    }

    fn remove_pending(&mut self, group: u64, id: EventId) {
        self.pending.remove(&(group, id));
    }

    fn remove(&mut self, name: &StreamName) -> Result<Result<bool, Refusal>, StoreError> {
        let removed = self.names.remove(name);
        if let Some(id) = removed {
            self.streams.remove(&id);
            self.rebound(name);
            self.is_changed = true;
        }
        Ok(Ok(removed.is_some()))
    }

    fn rename(
        &mut self,
        from: &StreamName,
        to: &StreamName,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let Some(id) = self.names.get(from).copied() else {
            return Ok(Err(Refusal::NoStream));
        };
        if from == to {
            return Ok(Ok(()));
        }
        self.names.remove(from);
        self.rebound(from);
        self.rebound(to);
        if let Some(replaced) = self.names.insert(to.detached(), id) {
            self.streams.remove(&replaced);
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.summary.name = to.detached();
            stream.summary.changed = self.commit;
            self.is_changed = true;
        }
        Ok(Ok(()))
    }
}

impl Stream {
    /// Numbers below this one, and deleted ones that follow it without a gap, are no more.
    fn trim(&mut self, first: u64) {
        let deleted = Arc::make_mut(&mut self.deleted);
        let first = deleted.first_kept(first.max(self.summary.first));
        deleted.remove_below(first);
        self.summary.first = first;
        self.summary.deleted = deleted.count(first..self.summary.next_number());
    }
}
