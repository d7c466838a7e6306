//! What commands need of a store, apart from how it is kept.
//!
//! [`Engine`] is the one place where the layers above meet storage. Nothing above it may assume
//! that it is the only writer: tail notices come from the engine. Two engines are here: `local`
//! (a log on this machine's disk) and `memory` (for tests only: it forgets everything).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use meilies_protocol::{EventId, Expect, NewId, StreamName};
use tokio::sync::{broadcast, oneshot, watch};

/// Notices of touched streams that are kept for who has not taken them.
const TOUCHED_MAX: usize = 1024;

pub mod batch;
mod deleted;
mod group;
mod keys;
pub mod local;
pub mod memory;
mod varint;
mod view;

pub use batch::{Batch, EventRef, Form, Run};
pub use deleted::DeletedNumbers;
pub use group::{Consumer, Group, NOBODY, PendingEntry, Sightings, Wanted};
pub use keys::{Known, Producer, Producing, Remembered, WriteKey, hash};
pub use view::{Found, Look, NameWatch, Operation, OperationFn, Transaction, Verdict, View};

/// A store of streams.
///
/// Contract: `append` resolves when the request has its place in the order of writes; two requests
/// of one caller keep their order when the second is handed over after the first has its place.
/// The reply comes through [`Appending`], and never before what it acknowledges is as durable as
/// the store's policy says. Whatever one commit wrote becomes visible to `read` and `look` at once,
/// and only then does `tail_notice` move.
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// Queues writes. Waits while the queue is full; may look up cold streams on the disk.
    fn append(&self, request: AppendRequest) -> BoxFuture<'static, Result<Appending, StoreError>>;

    /// Reads events from `request.from` on, up to what is visible now and about
    /// `request.bytes_max` bytes (one batch at least).
    fn read(&self, request: &ReadRequest, access: Access) -> Result<ReadOutcome, StoreError>;

    /// Runs operations one after the other, each as a whole, and resolves with their replies when
    /// these are as durable as the store's policy says. They share a commit, unless one of them
    /// needs something from the disk: then it and those behind it run in a later one. Operations of
    /// other callers may come between two of them, never into one.
    fn transact_each(
        &self,
        operations: Vec<Operation>,
    ) -> BoxFuture<'static, Vec<Result<BytesMut, StoreError>>>;

    /// Runs an operation as a whole in a commit, and resolves with its reply when that is as
    /// durable as the store's policy says.
    fn transact(&self, operation: Operation) -> BoxFuture<'static, Result<BytesMut, StoreError>> {
        let transacted = self.transact_each(vec![operation]);
        async move { transacted.await.pop().unwrap_or(Err(StoreError::Closed)) }.boxed()
    }

    /// Lets a command look at what is visible. What it sees does not change while it runs; when it
    /// needs something from the disk it runs again.
    fn look(&self, access: Access, look: Look<'_>) -> Result<(), StoreError>;

    /// The first position that is not visible yet: it moves with every commit that has events.
    fn tail_notice(&self) -> watch::Receiver<u64>;

    /// Names of streams that were created, renamed or deleted, that lost a consumer group, or in a
    /// group of which something is pending for longer than before, some time after that is visible.
    fn touched(&self) -> broadcast::Receiver<Arc<[StreamName]>>;

    /// Figures for INFO, each computed.
    fn statistics(&self) -> Statistics;

    /// Says who is told how long each sync of the log took. Only the first call counts; an engine
    /// that does not sync tells nobody.
    fn watch_syncs(&self, _watch: SyncWatch) {}

    /// Makes all that is visible now durable, and whatever else is kept on the disk follow it.
    fn checkpoint(&self) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Drains the queue, makes everything durable, marks the store cleanly closed.
    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>>;

    /// What is known of one stream; `None` when there is none of that name.
    fn stream(
        &self,
        name: &StreamName,
        access: Access,
    ) -> Result<Option<StreamSummary>, StoreError> {
        let mut found = None;
        self.look(access, &mut |view| {
            found = view.stream(name)?;
            Ok(())
        })?;
        Ok(found)
    }

    /// A page of at most `limit` streams. May block on the disk.
    fn streams(&self, page: &StreamsPage, limit: usize) -> Result<Vec<StreamSummary>, StoreError> {
        let mut found = Vec::new();
        self.look(Access::Disk, &mut |view| {
            found = view.streams(page, limit)?;
            Ok(())
        })?;
        Ok(found)
    }
}

/// See [`Engine::watch_syncs`]. It is called on a thread that others wait for.
pub type SyncWatch = Box<dyn Fn(Duration) + Send + Sync>;

/// Whether a call may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Answer from memory or fail with [`StoreError::WouldBlock`]: for async contexts.
    Memory,
    /// Wait for the disk where needed: for blocking contexts.
    Disk,
}

/// Writes that share one reply.
#[derive(Debug, Default)]
pub struct AppendRequest {
    /// In the order in which they take effect.
    pub writes: Vec<Write>,
    /// All or none: one refused write refuses all.
    pub atomic: bool,
}

/// One event to append.
#[derive(Clone, Debug)]
pub struct Write {
    /// The stream.
    pub stream: StreamName,
    /// What must hold of the stream for the write to be accepted.
    pub expect: Expect,
    /// Whether the stream is created when it does not exist; else the write is refused then.
    pub make_stream: bool,
    /// The event's id.
    pub id: NewId,
    /// The event's (name, value) pairs.
    pub fields: Fields,
    /// By which a repetition is known. The engine stores it; whoever writes has looked for it.
    pub key: Option<Box<WriteKey>>,
}

impl Write {
    /// What PUBLISH writes: an event with the next id.
    pub fn new(stream: StreamName, expect: Expect, fields: Fields) -> Write {
        Write {
            stream,
            expect,
            make_stream: true,
            id: NewId::Auto,
            fields,
            key: None,
        }
    }
}

/// The pairs of one event, without an allocation for the common single pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fields {
    /// What PUBLISH writes: event name and event data.
    One([Bytes; 2]),
    /// Name, value, name, value …: an even number of items, two at least.
    Many(Vec<Bytes>),
}

impl Fields {
    /// Name, value, name, value …
    pub fn items(&self) -> &[Bytes] {
        match self {
            Fields::One(pair) => pair,
            Fields::Many(items) => items,
        }
    }

    /// Bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.items().iter().map(Bytes::len).sum()
    }
}

/// Resolves once the writes are as durable as the policy says: one outcome per write, in order.
pub type Appending = oneshot::Receiver<Result<Vec<WriteOutcome>, StoreError>>;

/// An event that a transaction adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number in its stream.
    pub number: u64,
    /// Its position in the store.
    pub position: u64,
    /// Its id.
    pub id: EventId,
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The event is stored.
    Stored {
        /// Its number in its stream.
        number: u64,
        /// Its position in the store.
        position: u64,
        /// Its id.
        id: EventId,
    },
    /// The write was refused; nothing of it is stored.
    Refused(Refusal),
}

/// Why a write was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The expectation did not hold.
    #[error("{}", conflict(.stream, *.tail, *.expected))]
    Conflict {
        /// The stream written to.
        stream: StreamName,
        /// Number of its last event.
        tail: Option<u64>,
        /// What was expected.
        expected: Expect,
    },
    /// The log is damaged where events of this stream may have been: its tail is not proven.
    #[error(
        "stream '{stream}' may have lost events to damage in {file} at byte {byte}: \
         writes are refused until 'meilies-server repair' accepts the loss"
    )]
    Unproven {
        /// The stream written to.
        stream: StreamName,
        /// The damaged file's name.
        file: Arc<str>,
        /// Where in it the damage begins.
        byte: u64,
    },
    /// There is no stream of that name, and none was to be created.
    #[error("there is no such stream")]
    NoStream,
    /// The id is not above the stream's last one.
    #[error("The ID specified in XADD is equal or smaller than the target stream top item")]
    IdTooSmall,
    /// The id is the least, which no event has.
    #[error("The ID specified in XADD must be greater than 0-0")]
    IdZero,
    /// The stream's last id is the greatest.
    #[error("The stream has exhausted the last possible ID, unable to add more items")]
    IdsExhausted,
    /// Another write of the same atomic request was refused.
    #[error("another write of the same transaction was refused")]
    Aborted,
}

fn conflict(stream: &StreamName, tail: Option<u64>, expected: Expect) -> String {
    match tail {
        Some(tail) => format!("stream '{stream}' is at {tail}, expected {expected}"),
        None => format!("stream '{stream}' has no event, expected {expected}"),
    }
}

/// Where a read looks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReadSource {
    /// One stream: numbers are event numbers.
    Stream(StreamName),
    /// All events in commit order: numbers are positions.
    All,
}

/// What to read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Where to look.
    pub source: ReadSource,
    /// The stream id that the reader is bound to, once it knows one: a stream deleted and created
    /// again under the same name is another stream.
    pub stream_id: Option<u64>,
    /// First number wanted; when reading backward the numbers below `until` come first.
    pub from: u64,
    /// First number not wanted.
    pub until: Option<u64>,
    /// Stop after about so many bytes of events; one batch is always given.
    pub bytes_max: usize,
    /// Newest first.
    pub reverse: bool,
}

/// What a read gave.
#[derive(Debug)]
pub struct ReadOutcome {
    /// Runs of events in the order asked for; in a backward read the last event of each run comes
    /// first.
    pub runs: Vec<Run>,
    /// Where to go on: the next number wanted (forward), or the new `until` (backward).
    pub next: u64,
    /// The source's last number that is visible, `None` when it has no event yet.
    pub tail: Option<u64>,
    /// The stream's id, `None` for all or when the stream does not exist.
    pub stream_id: Option<u64>,
    /// The value of the tail notice at which this read was cut: it contains everything below.
    pub visible: u64,
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamSummary {
    /// Never reused.
    pub id: u64,
    /// Its name.
    pub name: StreamName,
    /// Number last given, `None` when there never was an event.
    pub tail: Option<u64>,
    /// Number of the first event that is kept; the next number to be given when none is.
    pub first: u64,
    /// How many of the numbers from `first` to the tail are deleted.
    pub deleted: u64,
    /// Id last given, or a higher one that was set: later ids are above it.
    pub last_id: EventId,
    /// The highest id that was deleted by itself.
    pub max_deleted_id: EventId,
    /// What the count of events ever added is above the count of numbers given, wrapping: Redis
    /// lets it be set.
    pub surplus: u64,
    /// What is set and counted of producers' keys.
    pub producing: Producing,
    /// When it was created, ms since 1970 UTC.
    pub created_at: u64,
    /// The last commit that changed it.
    pub changed: u64,
}

impl StreamSummary {
    /// A stream without events.
    pub fn new(id: u64, name: StreamName, created_at: u64) -> StreamSummary {
        StreamSummary {
            id,
            name,
            tail: None,
            first: 0,
            deleted: 0,
            last_id: EventId::MIN,
            max_deleted_id: EventId::MIN,
            surplus: 0,
            producing: Producing::default(),
            created_at,
            changed: 0,
        }
    }

    /// The number that the next event gets.
    pub fn next_number(&self) -> u64 {
        self.tail.map_or(0, |tail| tail + 1)
    }

    /// How many events it has.
    pub fn length(&self) -> u64 {
        self.next_number() - self.first - self.deleted
    }

    /// How many events were ever added, as Redis counts.
    pub fn added(&self) -> u64 {
        self.next_number().wrapping_add(self.surplus)
    }
}

/// Which page of streams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamsPage {
    /// In the order of their names, after this one.
    ByName(Option<StreamName>),
    /// In the order of their ids (that of their creation), from this one on.
    ById(u64),
}

/// Figures about the store, all computed.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// `memory` or `local`.
    pub engine: &'static str,
    /// Streams that exist.
    pub streams: u64,
    /// Events ever appended: the next position.
    pub events: u64,
    /// Number of the next commit.
    pub commits: u64,
    /// Bytes of commits in the log, zero-filled space not counted.
    pub log_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Completed syncs of the log since the start.
    pub syncs: u64,
    /// Time they took together, in µs.
    pub sync_us_total: u64,
    /// The longest of them, in µs.
    pub sync_us_max: u64,
    /// New events and other changes that the index on disk does not cover, as Redis counts them;
    /// of what was found at the start, each group or stream that a commit changes counts once.
    pub unsaved_changes: u64,
    /// Commits that the index on disk covers.
    pub checkpoint_commits: u64,
    /// When it was written, ms since 1970 UTC; 0 when never since the start.
    pub checkpoint_at: u64,
    /// Raised at each open after an unclean stop under a policy weaker than `always`.
    pub epoch: u64,
    /// Sync policy in force.
    pub fsync: &'static str,
    /// Bytes of recent events held in memory.
    pub recent_bytes: u64,
    /// Places where the log is damaged.
    pub damaged: u64,
    /// Why writes are refused, if they are.
    pub failure: Option<String>,
    /// 40 hexadecimal digits drawn when the store was created.
    pub store_id: String,
}

/// Why the store could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The answer is not in memory and the caller must not wait for the disk.
    #[error("the answer is not in memory")]
    WouldBlock,
    /// The store is closing or closed.
    #[error("the store is shutting down")]
    Closed,
    /// The log could not be written; it may heal (a full disk) and writes are tried again.
    #[error("errors writing to the log: {0}")]
    WriteFailed(Arc<str>),
    /// A sync failed: what is on the disk is unknown, nothing more is written until a restart.
    // Clients know by these words that the event may be there after the restart.
    #[error("a sync of the log failed, no more writes until a restart: {0}")]
    Poisoned(Arc<str>),
    /// The index could not be kept up with the log for too long.
    #[error("the index falls behind the log: {0}")]
    CheckpointFailed(Arc<str>),
    /// Events could not be read back as they were written.
    #[error("{stream} {first} to {last} cannot be read: {reason} in {file} at byte {byte}")]
    Damaged {
        /// `stream 'name'` or `positions`.
        stream: Arc<str>,
        /// First number that cannot be read.
        first: u64,
        /// Last number that cannot be read.
        last: u64,
        /// What does not verify.
        reason: Arc<str>,
        /// File name of the segment.
        file: Arc<str>,
        /// Where in the file.
        byte: u64,
    },
    /// A file could not be read.
    #[error("reading {file}: {reason}")]
    ReadFailed {
        /// The file.
        file: Arc<str>,
        /// What the system said.
        reason: Arc<str>,
    },
    /// The stream that the reader was bound to is gone.
    #[error("stream '{0}' was deleted")]
    Deleted(StreamName),
}
