//! What commands see of a store at one moment, and what a transaction changes of it.
//!
//! A [`View`] answers from memory or says that it cannot ([`StoreError::WouldBlock`]) and remembers
//! what it was asked: the store then reads that from the disk and asks the command again, from its
//! beginning. So a command is a plain function that may run several times, and only its last run
//! counts. What a command needs of a stored event is looked up here, never scanned for.

use std::any::Any;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use bytes::BytesMut;
use meilies_protocol::{EventId, StreamName};

use super::keys::StoredKey;
use super::{
    Appended, DeletedNumbers, Group, PendingEntry, Producer, Producing, Refusal, Run, Sightings,
    StoreError, StreamSummary, StreamsPage, Wanted, Write,
};

/// A store at one moment.
pub trait View {
    /// The moment, ms since 1970 UTC.
    fn now_ms(&self) -> u64;

    /// What is known of the stream of this name; `None` when there is none.
    fn stream(&self, name: &StreamName) -> Result<Option<StreamSummary>, StoreError>;

    /// Keeps account of a name from this moment on.
    fn watch(&self, name: &StreamName) -> Result<NameWatch, StoreError>;

    /// The last commit by which another stream got this name or none has it any more, as far as
    /// that is known: where the name is watched all such commits since are. One that is under way
    /// counts.
    fn bound(&self, name: &StreamName) -> u64;

    /// A page of at most `limit` streams.
    fn streams(&self, page: &StreamsPage, limit: usize) -> Result<Vec<StreamSummary>, StoreError>;

    /// The position that the next event gets.
    fn next_position(&self) -> u64;

    /// How many streams there are.
    fn count(&self) -> u64;

    /// Which numbers between its first event and its tail are deleted.
    fn deleted(&self, stream: &StreamSummary) -> Result<Arc<DeletedNumbers>, StoreError>;

    /// Events of a stream with numbers in this range, deleted ones too, about `bytes_max` bytes of
    /// them and one batch at least, from one end of the range on without gaps: the newest batch
    /// first if `reverse`. The range lies between the stream's first number and its tail.
    fn whole_runs(
        &self,
        stream: &StreamSummary,
        numbers: Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Result<Vec<Run>, StoreError>;

    /// A consumer group of a stream; `None` when there is none of this name.
    fn group(&self, stream: &StreamSummary, name: &[u8]) -> Result<Option<Arc<Group>>, StoreError>;

    /// All groups of a stream, in the order of their names.
    fn groups(&self, stream: &StreamSummary) -> Result<Vec<Arc<Group>>, StoreError>;

    /// At most `limit` wanted pending entries of a group with ids in this range, from one end of it
    /// on: the highest first if `reverse`. There may be more when there are `limit`.
    fn pending(
        &self,
        group: &Group,
        ids: RangeInclusive<EventId>,
        wanted: &Wanted,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError>;

    /// At most `limit` wanted pending entries of a group for which `is_meant` holds, those whose
    /// turn to be claimed comes first ([`PendingEntry::turn`]), in this order.
    fn first_in_turn(
        &self,
        group: &Group,
        wanted: &Wanted,
        limit: usize,
        is_meant: &dyn Fn(&PendingEntry) -> bool,
    ) -> Result<Vec<PendingEntry>, StoreError>;

    /// The last keys of a producer in a stream.
    fn producer(&self, stream: &StreamSummary, name: &[u8]) -> Result<Arc<Producer>, StoreError>;

    /// The last keys of every producer in a stream, in no order.
    fn producers(&self, stream: &StreamSummary) -> Result<Vec<Arc<Producer>>, StoreError>;

    /// Numbers of events that may have been written with this key, deleted ones too, ascending:
    /// all that have, and with a chance of 2^-64 another one.
    fn keyed(&self, stream: &StreamSummary, key: &[u8]) -> Result<Vec<u64>, StoreError>;

    /// When consumers asked for events in vain. A command that does so notes it here.
    fn sightings(&self) -> &Sightings;

    /// Where ids from this one on begin in a stream, deleted events counted.
    fn find(&self, stream: &StreamSummary, id: EventId) -> Result<Found, StoreError>;
}

/// As long as it lives, it is known by which commits from `since` on a name was bound.
#[derive(Clone)]
pub struct NameWatch {
    /// The first commit that was not visible when the watch began.
    pub since: u64,
    /// What the store keeps in memory for it.
    _held: Arc<dyn Any + Send + Sync>,
}

impl NameWatch {
    /// Of what a store keeps.
    pub fn new(since: u64, held: Arc<dyn Any + Send + Sync>) -> NameWatch {
        NameWatch { since, _held: held }
    }
}

impl fmt::Debug for NameWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameWatch")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// What is found when an id is looked for in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The first number from which on the ids are that one or higher: at least the stream's first
    /// and at most the next number to be given.
    pub number: u64,
    /// Whether the event of that number, deleted or not, has that very id.
    pub is_exact: bool,
}

/// What changes a store: all that one command, or one EXEC, does takes effect at once or not at
/// all. A stream that is written to may be refused for damage: then the command has to be refused.
pub trait Transaction: View {
    /// Adds an event to a stream, which is created if need be and wanted.
    fn append(&mut self, write: Write) -> Result<Result<Appended, Refusal>, StoreError>;

    /// Creates a stream without events, if there is none of this name.
    fn create(&mut self, name: &StreamName) -> Result<Result<(), Refusal>, StoreError>;

    /// Deletes events by their numbers: ascending, none of them deleted yet. `max_id` is the
    /// highest of their ids.
    fn delete(
        &mut self,
        name: &StreamName,
        numbers: &[u64],
        max_id: EventId,
    ) -> Result<Result<(), Refusal>, StoreError>;

    /// Deletes all events with numbers below this one.
    fn trim(&mut self, name: &StreamName, first: u64) -> Result<Result<(), Refusal>, StoreError>;

    /// Sets what Redis lets be set of a stream: the last id, what the count of events ever added is
    /// above that of the numbers given, the highest id that was deleted.
    fn set_ids(
        &mut self,
        name: &StreamName,
        last_id: EventId,
        surplus: u64,
        max_deleted_id: EventId,
    ) -> Result<Result<(), Refusal>, StoreError>;

    /// Sets what is set and counted of producers' keys in a stream.
    fn set_producing(
        &mut self,
        name: &StreamName,
        producing: Producing,
    ) -> Result<Result<(), Refusal>, StoreError>;

    /// Counts changes other than new events, as many as Redis would: they are told until they are
    /// saved.
    fn count(&mut self, changes: u64);

    /// An id for a new group or consumer.
    fn new_id(&mut self) -> u64;

    /// Adds a group to a stream that is there, or changes it.
    fn put_group(&mut self, stream: &StreamSummary, group: Group) -> Result<(), StoreError>;

    /// Deletes a group of a stream with all that is pending in it.
    fn remove_group(&mut self, stream: &StreamSummary, name: &[u8]) -> Result<(), StoreError>;

    /// Adds a pending entry to a group, or changes it; the group itself is changed, too.
    fn put_pending(&mut self, group: u64, entry: PendingEntry);

    /// Takes a pending entry out of a group; the group itself is changed, too.
    fn remove_pending(&mut self, group: u64, id: EventId);

    /// Deletes a stream with its groups. Says whether there was one.
    fn remove(&mut self, name: &StreamName) -> Result<Result<bool, Refusal>, StoreError>;

    /// Gives a stream, which is there, another name; the stream that has it is deleted.
    fn rename(
        &mut self,
        from: &StreamName,
        to: &StreamName,
    ) -> Result<Result<(), Refusal>, StoreError>;
}

impl dyn View + '_ {
    /// Events of a stream with numbers in this range, and where to go on: about `bytes_max` bytes
    /// of them are looked at. There may be none though some follow.
    pub fn runs(
        &self,
        stream: &StreamSummary,
        numbers: Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Result<(Vec<Run>, u64), StoreError> {
        let numbers = numbers.start.max(stream.first)..numbers.end.min(stream.next_number());
        if numbers.is_empty() {
            let end = if reverse { numbers.start } else { numbers.end };
            return Ok((Vec::new(), end));
        }
        let whole = self.whole_runs(stream, numbers.clone(), reverse, bytes_max)?;
        let next = whole.last().map_or(numbers.end, |run| {
            let within = if reverse {
                run.indexes.start
            } else {
                run.indexes.end
            };
            run.batch.first_number + u64::from(within)
        });
        let deleted = self.deleted(stream)?;
        let runs = Run::keep_all(whole, stream.first, Some(&deleted), reverse);
        Ok((runs, next))
    }

    /// The number of the event with this id; `None` when there is none or it is deleted.
    pub fn number_of(
        &self,
        stream: &StreamSummary,
        id: EventId,
    ) -> Result<Option<u64>, StoreError> {
        let found = self.find(stream, id)?;
        let is_there = found.is_exact && !self.deleted(stream)?.contains(found.number);
        Ok(is_there.then_some(found.number))
    }

    /// A pending entry of a group by its id.
    pub fn pending_entry(
        &self,
        group: &Group,
        id: EventId,
    ) -> Result<Option<PendingEntry>, StoreError> {
        if group.pending == 0 || id > group.top {
            return Ok(None);
        }
        let found = self.pending(group, id..=id, &Wanted::ALL, false, 1)?;
        Ok(found.into_iter().next())
    }

    /// The id of the event with this number; `None` when there is none or it is deleted.
    pub fn id_of(
        &self,
        stream: &StreamSummary,
        number: u64,
    ) -> Result<Option<EventId>, StoreError> {
        let (runs, _) = self.runs(stream, number..number.saturating_add(1), false, 1)?;
        Ok(runs
            .first()
            .and_then(|run| run.events().next().map(|event| event.id)))
    }

    /// The event that was written with this key and is not deleted, as a run of one.
    pub fn event_of_key(
        &self,
        stream: &StreamSummary,
        key: &[u8],
    ) -> Result<Option<Run>, StoreError> {
        let has_key = |run: &Run| {
            let stored = run.events().next().and_then(|event| event.key);
            stored.and_then(StoredKey::decode) == Some(StoredKey::Own(key))
        };
        let numbers = self.keyed(stream, key)?;
        if numbers.is_empty() {
            return Ok(None);
        }
        let deleted = self.deleted(stream)?;
        let kept = numbers.into_iter().rev();
        for number in kept.filter(|number| !deleted.contains(*number)) {
            let (runs, _) = self.runs(stream, number..number + 1, false, 1)?;
            if let Some(run) = runs.into_iter().find(has_key) {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// The number of the first event that is not deleted, and that of the last.
    pub fn ends(&self, stream: &StreamSummary) -> Result<Option<(u64, u64)>, StoreError> {
        if stream.length() == 0 {
            return Ok(None);
        }
        let deleted = self.deleted(stream)?;
        let last = deleted.start_of_last(stream.first, stream.next_number(), 1);
        Ok(Some((stream.first, last)))
    }
}

/// What a command does in a transaction, and its reply. It may run several times: each run begins
/// with an empty reply, and nothing of an earlier one has taken effect.
pub struct Operation {
    /// Names of streams that it is about, as far as they are known: they are looked up before it
    /// first runs.
    pub names: Vec<StreamName>,
    /// About how many bytes of events it writes, never fewer than it does.
    pub bytes: usize,
    /// What it does.
    pub run: OperationFn,
}

/// See [`Operation`].
pub type OperationFn = Box<
    dyn FnMut(&mut dyn Transaction, &mut BytesMut) -> Result<Verdict, StoreError> + Send + Sync,
>;

/// Whether what an operation did is to take effect; its reply is sent in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Commit,
    /// Nothing of it.
    Abort,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("names", &self.names)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// What a command does that only looks. It may run several times.
pub type Look<'a> = &'a mut dyn FnMut(&dyn View) -> Result<(), StoreError>;
