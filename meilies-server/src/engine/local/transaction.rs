//! A transaction as a command sees it: the visible state, with what this commit does so far laid
//! over it.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, Expect, NewId, StreamName};

use super::assembly::{Assembly, unproven};
use super::catalog::StreamHandle;
use super::facts::{Facts, Need};
use super::index::DamageRow;
use super::shared::Shared;
use super::snapshot::Snapshot;
use crate::engine::{
    Appended, DeletedNumbers, Fields, Found, Group, Operation, PendingEntry, Refusal, Run,
    StoreError, StreamSummary, StreamsPage, Transaction, Verdict, View, Write, WriteOutcome,
};

/// An operation and what was read for it so far.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) operation: Operation,
    pub(super) facts: Facts,
}

/// What became of an operation in a commit.
#[derive(Debug)]
pub(super) enum Transacted {
    /// It has run to its end: its reply.
    Done(BytesMut),
    /// Something that it needs is not in memory: that is to be read, and it runs again.
    Missed(Box<Attempt>),
    /// It cannot be done.
    Failed(StoreError),
}

/// Runs an operation as a part of a commit: all of it, or nothing.
pub(super) fn run(
    shared: &Shared,
    assembly: &mut Assembly,
    mut attempt: Box<Attempt>,
) -> Transacted {
    let mut reply = BytesMut::new();
    assembly.set_savepoint();
    let verdict = {
        let live = shared.live();
        let damage = shared.damage();
        let now = assembly.recorded_at();
        let mut transaction = LocalTransaction {
            shared,
            base: Snapshot::new(shared, &live, &attempt.facts, now),
            facts: &attempt.facts,
            damage: &damage,
            assembly,
        };
        (attempt.operation.run)(&mut transaction, &mut reply)
    };
    match verdict {
        Ok(Verdict::Commit) => {
            assembly.release();
            Transacted::Done(reply)
        }
        Ok(Verdict::Abort) => {
            assembly.roll_back();
            Transacted::Done(reply)
        }
        Err(error) => {
            assembly.roll_back();
            match error {
                StoreError::WouldBlock if attempt.facts.has_needs() => Transacted::Missed(attempt),
                other => Transacted::Failed(other),
            }
        }
    }
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
        let batches = self.assembly.batches(slot, stream);
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
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let (low, high) = (*ids.start(), *ids.end());
        if low > high || !self.assembly.has_pending(group.id) {
            return self.base.pending(group, ids, reverse, limit);
        }
        let changed: BTreeMap<_, _> = self.assembly.pending(group.id, low, high).collect();
        if low == high
            && let Some(known) = changed.get(&low)
        {
            return Ok(known.iter().copied().collect());
        }
        // As many as the commit may take out of them.
        let limit_before = limit.saturating_add(changed.len());
        let before = self.base.pending(group, ids, reverse, limit_before)?;
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
        Ok(match reverse {
            true => entries.rev().take(limit).collect(),
            false => entries.take(limit).collect(),
        })
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
    fn append(
        &mut self,
        name: &StreamName,
        expect: Expect,
        make_stream: bool,
        id: NewId,
        fields: Fields,
    ) -> Result<Result<Appended, Refusal>, StoreError> {
        let handle = match self.handle(name)? {
            Ok(handle) => handle,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let write = Write {
            stream: name.clone(),
            expect,
            make_stream,
            id,
            fields,
        };
        Ok(match self.assembly.write(&handle, write, self.damage) {
            WriteOutcome::Stored {
                number,
                position,
                id,
            } => Ok(Appended {
                number,
                position,
                id,
            }),
            WriteOutcome::Refused(refusal) => Err(refusal),
        })
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

    fn new_id(&mut self) -> u64 {
        self.assembly.new_id()
    }

    fn put_group(&mut self, stream: &StreamSummary, group: Group) -> Result<(), StoreError> {
        let before = self.group_before(stream, &group.name)?;
        let name = group.name.clone();
        self.assembly
            .put_group(stream.id, name, before, Some(Arc::new(group)));
        Ok(())
    }

    fn remove_group(&mut self, stream: &StreamSummary, name: &[u8]) -> Result<(), StoreError> {
        let before = self.group_before(stream, name)?;
        let name = Bytes::copy_from_slice(name);
        self.assembly.put_group(stream.id, name, before, None);
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
