//! A transaction as a command sees it: the visible state, with what this commit does so far laid
//! over it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::limits::IDEMPOTENCY_KEYS_MAX;
use meilies_protocol::{EventId, StreamName};

use super::assembly::{Assembly, unproven};
use super::catalog::StreamHandle;
use super::facts::{Facts, Need};
use super::index::DamageRow;
use super::shared::Shared;
use super::snapshot::Snapshot;
use crate::engine::keys::hash;
use crate::engine::{
    Appended, DeletedNumbers, Found, Group, NameWatch, Operation, PendingEntry, Producer,
    Producing, Refusal, Run, Sightings, StoreError, StreamSummary, StreamsPage, Transaction,
    Verdict, View, Wanted, Write, WriteKey, WriteOutcome,
};

/// Operations that run one after the other, and what was read for them so far.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) operations: VecDeque<Operation>,
    pub(super) facts: Facts,
}

/// What became of operations in a commit.
#[derive(Debug)]
pub(super) struct Transacted {
    /// What each of those said that have run to their end, or why it cannot be done.
    pub(super) replies: Vec<Result<BytesMut, StoreError>>,
    /// The others: something that they need is not in memory; that is to be read, and they run
    /// again.
    pub(super) missed: Option<Box<Attempt>>,
}

impl Transacted {
    /// So many operations whose commit cannot be written.
    pub(super) fn failed(count: usize, error: &StoreError) -> Transacted {
        Transacted {
            replies: vec![Err(error.clone()); count],
            missed: None,
        }
    }

    /// The commit cannot be written. Those that were to run again fail, too: what they saw may have
    /// been of this commit.
    pub(super) fn fail(&mut self, error: &StoreError) {
        let missed = self.missed.as_ref();
        let missed = missed.map_or(0, |attempt| attempt.operations.len());
        *self = Transacted::failed(self.replies.len() + missed, error);
    }
}

/// Runs operations as parts of a commit: all of each, or nothing.
pub(super) fn run(
    shared: &Shared,
    assembly: &mut Assembly,
    mut attempt: Box<Attempt>,
) -> Transacted {
    let mut replies = Vec::with_capacity(attempt.operations.len());
    while let Some(mut operation) = attempt.operations.pop_front() {
        match run_one(shared, assembly, &attempt.facts, &mut operation) {
            Ran::Replied(reply) => replies.push(reply),
            Ran::Missed => {
                // What the others will miss is read in one go.
                for operation in &mut attempt.operations {
                    look_ahead(shared, assembly, &attempt.facts, operation);
                }
                attempt.operations.push_front(operation);
                return Transacted {
                    replies,
                    missed: Some(attempt),
                };
            }
        }
    }
    Transacted {
        replies,
        missed: None,
    }
}

/// What became of one operation.
enum Ran {
    Replied(Result<BytesMut, StoreError>),
    Missed,
}

fn run_one(
    shared: &Shared,
    assembly: &mut Assembly,
    facts: &Facts,
    operation: &mut Operation,
) -> Ran {
    let mut reply = BytesMut::new();
    assembly.set_savepoint();
    let verdict = run_in(shared, assembly, facts, operation, &mut reply);
    match verdict {
        Ok(Verdict::Commit) => {
            assembly.release();
            Ran::Replied(Ok(reply))
        }
        Ok(Verdict::Abort) => {
            assembly.roll_back();
            Ran::Replied(Ok(reply))
        }
        Err(error) => {
            assembly.roll_back();
            match error {
                StoreError::WouldBlock if facts.has_needs() => Ran::Missed,
                other => Ran::Replied(Err(other)),
            }
        }
    }
}

/// Lets an operation note what it needs: nothing of what it does stays.
fn look_ahead(shared: &Shared, assembly: &mut Assembly, facts: &Facts, operation: &mut Operation) {
    assembly.set_savepoint();
    // It runs again when those before it have run.
    let _reply = run_in(shared, assembly, facts, operation, &mut BytesMut::new());
    assembly.roll_back();
}

fn run_in(
    shared: &Shared,
    assembly: &mut Assembly,
    facts: &Facts,
    operation: &mut Operation,
    reply: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let live = shared.live();
    let damage = shared.damage();
    let now = assembly.recorded_at();
    let mut transaction = LocalTransaction {
        shared,
        base: Snapshot::new(shared, &live, facts, now),
        facts,
        damage: &damage,
        assembly,
    };
    (operation.run)(&mut transaction, reply)
}

/// A stream that is there, and its deleted numbers.
type Existing = (Arc<StreamHandle>, Arc<DeletedNumbers>);

struct LocalTransaction<'a> {
    shared: &'a Shared,
    base: Snapshot<'a>,
    facts: &'a Facts,
    damage: &'a [DamageRow],
    assembly: &'a mut Assembly,
}

impl LocalTransaction<'_> {
    /// The handle of a name that is to be written to; the refusal if it may not be.
    fn handle(&self, name: &StreamName) -> Result<Result<Arc<StreamHandle>, Refusal>, StoreError> {
        let Ok(handle) = self.shared.catalog.find(name) else {
            return self.facts.need(Need::Handle(name.clone()));
        };
        let unproven = unproven(&handle.state(), name, self.damage);
        Ok(match unproven {
            Some(refusal) => Err(refusal),
            None => Ok(handle),
        })
    }

    /// Adds the key of an event that was just added to those of its producer.
    fn add_key(
        &mut self,
        handle: &StreamHandle,
        name: &[u8],
        key: &[u8],
        event: Appended,
    ) -> Result<(), StoreError> {
        let stream = handle.state().stream.clone();
        let stream = stream.expect("it has an event");
        let producer = (stream.id, hash(name));
        let before = match self.assembly.producer(producer.0, producer.1) {
            Some(_) => None,
            None => Some(self.base.producer(&stream, name)?),
        };
        let keys_max = stream.producing.keys_max.unwrap_or(IDEMPOTENCY_KEYS_MAX);
        let event = (event.number, event.id, self.now_ms());
        self.assembly
            .add_to_producer(producer, before, key, event, keys_max);
        Ok(())
    }

    /// A group as it was before the commit.
    fn group_before(
        &self,
        stream: &StreamSummary,
        name: &[u8],
    ) -> Result<Option<Arc<Group>>, StoreError> {
        match self.assembly.group(stream.id, name) {
            Some(slot) => Ok(slot.before.clone()),
            None => self.base.group(stream, name),
        }
    }

    /// Where a stream stands in the commit, if that changes it.
    fn slot(&self, stream: &StreamSummary) -> Option<usize> {
        let handle = self.shared.catalog.find(&stream.name).ok()?;
        self.assembly.slot_of(&handle)
    }

    /// The handle of a stream that is there, and its deleted numbers.
    fn existing(&self, name: &StreamName) -> Result<Result<Existing, Refusal>, StoreError> {
        let handle = match self.handle(name)? {
            Ok(handle) => handle,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let stream = handle.state().stream.clone();
        match stream {
            Some(stream) => Ok(Ok((handle, self.deleted(&stream)?))),
            None => Ok(Err(Refusal::NoStream)),
        }
    }
}

impl View for LocalTransaction<'_> {
    fn now_ms(&self) -> u64 {
        self.base.now_ms()
    }

    fn stream(&self, name: &StreamName) -> Result<Option<StreamSummary>, StoreError> {
        // No commit but this one is under way, so handles are what is visible and what was done.
        match self.shared.catalog.find(name) {
            Ok(handle) => Ok(handle.state().stream.clone()),
            Err(_) => self.base.stream(name),
        }
    }

    fn watch(&self, name: &StreamName) -> Result<NameWatch, StoreError> {
        self.base.watch(name)
    }

    fn bound(&self, name: &StreamName) -> u64 {
        self.base.bound(name)
    }

    fn streams(&self, page: &StreamsPage, limit: usize) -> Result<Vec<StreamSummary>, StoreError> {
        self.assembly
            .lay_over(page, limit, |page, limit| self.base.streams(page, limit))
    }

    fn next_position(&self) -> u64 {
        self.assembly.next_position()
    }

    fn count(&self) -> u64 {
        let added = self.assembly.streams_added();
        self.base.count().wrapping_add(added)
    }

    fn deleted(&self, stream: &StreamSummary) -> Result<Arc<DeletedNumbers>, StoreError> {
        match self
            .slot(stream)
            .and_then(|slot| self.assembly.deleted(slot))
        {
            Some(deleted) => Ok(deleted),
            None => self.base.deleted(stream),
        }
    }

    fn whole_runs(
        &self,
        stream: &StreamSummary,
        numbers: Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Result<Vec<Run>, StoreError> {
        let slot = self.slot(stream);
        let written = slot.and_then(|slot| Some((slot, self.assembly.written(slot)?)));
        let Some((slot, written)) = written else {
            return self.base.whole_runs(stream, numbers, reverse, bytes_max);
        };
        let is_new = match reverse {
            true => numbers.end > written,
            false => numbers.start >= written,
        };
        if !is_new {
            let numbers = numbers.start..numbers.end.min(written);
            return self.base.whole_runs(stream, numbers, reverse, bytes_max);
        }
        let batches = self.assembly.batches(slot, stream, &numbers);
        let within = |batch: &Arc<_>| Run::between(batch, numbers.start, numbers.end);
        let mut runs: Vec<Run> = batches.iter().filter_map(within).collect();
        if reverse {
            runs.reverse();
        }
        Ok(runs)
    }

    fn group(&self, stream: &StreamSummary, name: &[u8]) -> Result<Option<Arc<Group>>, StoreError> {
        match self.assembly.group(stream.id, name) {
            Some(slot) => Ok(slot.now.clone()),
            None => self.base.group(stream, name),
        }
    }

    fn groups(&self, stream: &StreamSummary) -> Result<Vec<Arc<Group>>, StoreError> {
        let before = self.base.groups(stream)?;
        let before = before
            .into_iter()
            .map(|group| (group.name.clone(), Some(group)));
        let mut groups: BTreeMap<Bytes, Option<Arc<Group>>> = before.collect();
        for (name, slot) in self.assembly.groups(stream.id) {
            groups.insert(name.clone(), slot.now.clone());
        }
        Ok(groups.into_values().flatten().collect())
    }

    fn pending(
        &self,
        group: &Group,
        ids: RangeInclusive<EventId>,
        wanted: &Wanted,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let (low, high) = (*ids.start(), *ids.end());
        if low > high || !self.assembly.has_pending(group.id) {
            return self.base.pending(group, ids, wanted, reverse, limit);
        }
        let changed: BTreeMap<_, _> = self.assembly.pending(group.id, low, high).collect();
        if low == high
            && let Some(known) = changed.get(&low)
        {
            let known = known.iter().filter(|entry| wanted.admits(entry));
            return Ok(known.copied().collect());
        }
        // As many as the commit may take out of them.
        let limit_before = limit.saturating_add(changed.len());
        let before = self
            .base
            .pending(group, ids, wanted, reverse, limit_before)?;
        let last = before
            .last()
            .filter(|_| before.len() >= limit_before)
            .map(|last| last.id);
        let before = before.into_iter().map(|entry| (entry.id, Some(entry)));
        let mut entries: BTreeMap<EventId, Option<PendingEntry>> = before.collect();
        entries.extend(changed.into_iter().filter(|(id, _)| match reverse {
            true => last.is_none_or(|last| *id >= last),
            false => last.is_none_or(|last| *id <= last),
        }));
        let entries = entries.into_values().flatten();
        let entries = entries.filter(|entry| wanted.admits(entry));
        Ok(match reverse {
            true => entries.rev().take(limit).collect(),
            false => entries.take(limit).collect(),
        })
    }

    fn first_in_turn(
        &self,
        group: &Group,
        wanted: &Wanted,
        limit: usize,
        is_meant: &dyn Fn(&PendingEntry) -> bool,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let is_unchanged = |id| self.assembly.pending(group.id, id, id).next().is_none();
        let is_meant_before = |entry: &PendingEntry| is_unchanged(entry.id) && is_meant(entry);
        let before = self
            .base
            .first_in_turn(group, wanted, limit, &is_meant_before)?;
        let all = (EventId::MIN, EventId::MAX);
        let changed = self.assembly.pending(group.id, all.0, all.1);
        let changed = changed.filter_map(|(_, entry)| entry);
        let changed = changed.filter(|entry| wanted.admits(entry) && is_meant(entry));
        let mut first: Vec<PendingEntry> = before.into_iter().chain(changed).collect();
        first.sort_unstable_by_key(PendingEntry::turn);
        first.truncate(limit);
        Ok(first)
    }

    fn producer(&self, stream: &StreamSummary, name: &[u8]) -> Result<Arc<Producer>, StoreError> {
        match self.assembly.producer(stream.id, hash(name)) {
            Some(producer) => Ok(Arc::clone(producer)),
            None => self.base.producer(stream, name),
        }
    }

    fn producers(&self, stream: &StreamSummary) -> Result<Vec<Arc<Producer>>, StoreError> {
        let mut producers = self.base.producers_by_hash(stream.id)?;
        let changed = self.assembly.producers(stream.id);
        producers.extend(changed.map(|(hash, producer)| (hash, Arc::clone(producer))));
        Ok(producers.into_values().collect())
    }

    fn keyed(&self, stream: &StreamSummary, key: &[u8]) -> Result<Vec<u64>, StoreError> {
        let mut numbers = self.base.keyed(stream, key)?;
        numbers.extend(self.assembly.keyed(stream.id, hash(key)));
        Ok(numbers)
    }

    fn sightings(&self) -> &Sightings {
        &self.shared.sightings
    }

    fn find(&self, stream: &StreamSummary, id: EventId) -> Result<Found, StoreError> {
        let slot = self.slot(stream);
        match slot.and_then(|slot| self.assembly.find(slot, stream, id)) {
            Some(found) => Ok(found),
            None => self.base.find(stream, id),
        }
    }
}

impl Transaction for LocalTransaction<'_> {
    fn append(&mut self, write: Write) -> Result<Result<Appended, Refusal>, StoreError> {
        let handle = match self.handle(&write.stream)? {
            Ok(handle) => handle,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let key = write.key.clone();
        let added = match self.assembly.write(&handle, write, self.damage) {
            WriteOutcome::Stored {
                number,
                position,
                id,
            } => Appended {
                number,
                position,
                id,
            },
            WriteOutcome::Refused(refusal) => return Ok(Err(refusal)),
        };
        if let Some(WriteKey::OfProducer { producer, key, .. }) = key.as_deref() {
            self.add_key(&handle, producer, key, added)?;
        }
        Ok(Ok(added))
    }

    fn create(&mut self, name: &StreamName) -> Result<Result<(), Refusal>, StoreError> {
        let handle = self.handle(name)?;
        Ok(handle.map(|handle| {
            let is_there = handle.state().stream.is_some();
            if !is_there {
                self.assembly.create(&handle);
            }
        }))
    }

    fn delete(
        &mut self,
        name: &StreamName,
        numbers: &[u64],
        max_id: EventId,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let found = self.existing(name)?;
        Ok(found.map(|(handle, deleted)| {
            self.assembly.delete(&handle, deleted, numbers);
            self.assembly.change(&handle, |stream| {
                stream.max_deleted_id = stream.max_deleted_id.max(max_id);
            });
        }))
    }

    fn trim(&mut self, name: &StreamName, first: u64) -> Result<Result<(), Refusal>, StoreError> {
        let found = self.existing(name)?;
        Ok(found.map(|(handle, deleted)| self.assembly.trim(&handle, deleted, first)))
    }

    fn set_ids(
        &mut self,
        name: &StreamName,
        last_id: EventId,
        surplus: u64,
        max_deleted_id: EventId,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let found = self.existing(name)?;
        Ok(found.map(|(handle, _)| {
            self.assembly.change(&handle, |stream| {
                stream.last_id = last_id;
                stream.surplus = surplus;
                stream.max_deleted_id = max_deleted_id;
            });
        }))
    }

    fn set_producing(
        &mut self,
        name: &StreamName,
        producing: Producing,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let found = self.existing(name)?;
        Ok(found.map(|(handle, _)| {
            let change = |stream: &mut StreamSummary| stream.producing = producing;
            self.assembly.change(&handle, change);
        }))
    }

    fn count(&mut self, changes: u64) {
        self.assembly.count(changes);
    }

    fn new_id(&mut self) -> u64 {
        self.assembly.new_id()
    }

    fn put_group(&mut self, stream: &StreamSummary, group: Group) -> Result<(), StoreError> {
        let before = self.group_before(stream, &group.name)?;
        let name = group.name.clone();
        self.assembly
            .put_group(stream, name, before, Some(Arc::new(group)));
        Ok(())
    }

    fn remove_group(&mut self, stream: &StreamSummary, name: &[u8]) -> Result<(), StoreError> {
        let before = self.group_before(stream, name)?;
        let name = Bytes::copy_from_slice(name);
        self.assembly.put_group(stream, name, before, None);
        Ok(())
    }

    fn put_pending(&mut self, group: u64, entry: PendingEntry) {
        self.assembly.put_pending(group, entry.id, Some(entry));
    }

    fn remove_pending(&mut self, group: u64, id: EventId) {
        self.assembly.put_pending(group, id, None);
    }

    fn remove(&mut self, name: &StreamName) -> Result<Result<bool, Refusal>, StoreError> {
        let handle = self.handle(name)?;
        Ok(handle.map(|handle| {
            let is_there = handle.state().stream.is_some();
            if is_there {
                self.assembly.remove(&handle);
            }
            is_there
        }))
    }

    fn rename(
        &mut self,
        from: &StreamName,
        to: &StreamName,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let (from, to) = match (self.handle(from)?, self.handle(to)?) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(refusal), _) | (_, Err(refusal)) => return Ok(Err(refusal)),
        };
        if from.state().stream.is_none() {
            return Ok(Err(Refusal::NoStream));
        }
        if Arc::ptr_eq(&from, &to) {
            return Ok(Ok(()));
        }
        let is_there = to.state().stream.is_some();
        if is_there {
            self.assembly.remove(&to);
        }
        self.assembly.rename(&from, &to);
        Ok(Ok(()))
    }
}
