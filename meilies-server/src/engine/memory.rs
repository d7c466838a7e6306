//! An engine that keeps everything in memory and forgets it at the end: for tests only.
//!
//! It is the plainest thing that keeps the contract of [`Engine`], with what tests need to reach
//! the corners of the layers above: commits that are held back, and events that count as being on
//! the disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use meilies_protocol::StreamName;
use tokio::sync::{broadcast, oneshot, watch};

mod state;

use state::State;

use super::{
    Access, AppendRequest, Appending, Batch, Engine, Look, Operation, ReadOutcome, ReadRequest,
    ReadSource, Refusal, Run, Statistics, StoreError, TOUCHED_MAX, Verdict, View, WriteOutcome,
};

/// A store that lasts as long as the process.
#[derive(Debug)]
pub struct MemoryEngine {
    inner: Mutex<Inner>,
    notice: watch::Sender<u64>,
    touched: broadcast::Sender<Arc<[StreamName]>>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    commits: u64,
    checkpoint_commits: u64,
    checkpoint_changes: u64,
    checkpoint_at: u64,
    closed: bool,
    /// What waits for the commits to go on, when they are held.
    held: Option<Vec<Held>>,
    /// Events whose positions are below the tail by more than this count as being on the disk.
    recent_events_max: Option<u64>,
}

#[derive(Debug)]
enum Held {
    Append(
        AppendRequest,
        oneshot::Sender<Result<Vec<WriteOutcome>, StoreError>>,
    ),
    Transact(
        Vec<Operation>,
        oneshot::Sender<Vec<Result<BytesMut, StoreError>>>,
    ),
}

impl Default for MemoryEngine {
    fn default() -> Self {
        MemoryEngine::new()
    }
}

impl MemoryEngine {
    /// An empty store.
    pub fn new() -> Self {
        MemoryEngine {
            inner: Mutex::default(),
            notice: watch::Sender::new(0),
            touched: broadcast::Sender::new(TOUCHED_MAX),
        }
    }

    /// Lets all but the last events count as being on the disk: they are read with
    /// [`Access::Disk`] only.
    pub fn set_recent_events_max(&self, events: u64) {
        self.inner().recent_events_max = Some(events);
    }

    /// Holds commits back: appends have their place, but no reply.
    pub fn hold(&self) {
        self.inner().held.get_or_insert_default();
    }

    /// Commits what was held back, in order, and holds no more.
    pub fn release(&self) {
        let mut inner = self.inner();
        for held in inner.held.take().unwrap_or_default() {
            self.commit(&mut inner, held);
        }
    }

    /// How many appends are held back.
    pub fn held(&self) -> usize {
        self.inner().held.as_ref().map_or(0, Vec::len)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, work: Held) -> Result<(), StoreError> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(StoreError::Closed);
        }
        match &mut inner.held {
            Some(held) => held.push(work),
            None => self.commit(&mut inner, work),
        }
        Ok(())
    }

    fn commit(&self, inner: &mut Inner, work: Held) {
        inner.state.begin(now_ms(), inner.commits + 1);
        match work {
            Held::Append(request, reply) => {
                let before = request.atomic.then(|| inner.state.clone());
                let (outcomes, is_kept) = append(&mut inner.state, request);
                if let (Some(before), false) = (before, is_kept) {
                    inner.state = before;
                }
                self.finish(inner);
                // Whoever asked may be gone.
                let _heard = reply.send(Ok(outcomes));
            }
            Held::Transact(operations, reply) => {
                let run = |mut operation: Operation| {
                    let mut out = BytesMut::new();
                    let before = inner.state.clone();
                    let verdict = (operation.run)(&mut inner.state, &mut out);
                    if verdict != Ok(Verdict::Commit) {
                        inner.state = before;
                    }
                    verdict.map(|_| out)
                };
                let replies = operations.into_iter().map(run).collect();
                self.finish(inner);
                let _heard = reply.send(replies);
            }
        }
    }

    fn finish(&self, inner: &mut Inner) {
        inner.commits += u64::from(inner.state.is_changed);
        self.notice.send_if_modified(|seen| {
            let moved = *seen != inner.state.next_position;
            *seen = inner.state.next_position;
            moved
        });
        let touched = std::mem::take(&mut inner.state.touched);
        if !touched.is_empty() {
            // Nobody may listen.
            let _listeners = self.touched.send(touched.into());
        }
    }
}

/// The outcomes of the writes, and whether what they did is kept.
fn append(state: &mut State, request: AppendRequest) -> (Vec<WriteOutcome>, bool) {
    let atomic = request.atomic;
    let write = |write| match state.write(write) {
        Ok(outcome) => outcome,
        Err(refusal) => WriteOutcome::Refused(refusal),
    };
    let mut outcomes: Vec<WriteOutcome> = request.writes.into_iter().map(write).collect();
    let is_refused = |outcome: &WriteOutcome| matches!(outcome, WriteOutcome::Refused(_));
    let first = outcomes.iter().position(is_refused);
    let Some(first) = first.filter(|_| atomic) else {
        return (outcomes, true);
    };
    for (at, outcome) in outcomes.iter_mut().enumerate() {
        if at != first {
            *outcome = WriteOutcome::Refused(Refusal::Aborted);
        }
    }
    (outcomes, false)
}

impl Engine for MemoryEngine {
    fn append(&self, request: AppendRequest) -> BoxFuture<'static, Result<Appending, StoreError>> {
        let (reply, appending) = oneshot::channel();
        let taken = self.take(Held::Append(request, reply));
        ready(taken.map(|()| appending)).boxed()
    }

    fn transact_each(
        &self,
        operations: Vec<Operation>,
    ) -> BoxFuture<'static, Vec<Result<BytesMut, StoreError>>> {
        let count = operations.len();
        let (reply, transacted) = oneshot::channel();
        let taken = self.take(Held::Transact(operations, reply));
        async move {
            let replies = match taken {
                Ok(()) => transacted.await.map_err(|_| StoreError::Closed),
                Err(error) => Err(error),
            };
            replies.unwrap_or_else(|error| vec![Err(error); count])
        }
        .boxed()
    }

    fn look(&self, access: Access, look: Look<'_>) -> Result<(), StoreError> {
        let mut inner = self.inner();
        if access == Access::Memory && inner.recent_events_max.is_some() {
            return Err(StoreError::WouldBlock);
        }
        inner.state.now = now_ms();
        look(&inner.state)
    }

    fn read(&self, request: &ReadRequest, access: Access) -> Result<ReadOutcome, StoreError> {
        let inner = self.inner();
        let recent = match access {
            Access::Memory => inner.recent_events_max,
            Access::Disk => None,
        };
        read(&inner.state, request, recent)
    }

    fn tail_notice(&self) -> watch::Receiver<u64> {
        self.notice.subscribe()
    }

    fn touched(&self) -> broadcast::Receiver<Arc<[StreamName]>> {
        self.touched.subscribe()
    }

    fn statistics(&self) -> Statistics {
        let inner = self.inner();
        Statistics {
            engine: "memory",
            streams: inner.state.count(),
            events: inner.state.next_position,
            commits: inner.commits,
            unsaved_changes: inner.state.changes() - inner.checkpoint_changes,
            checkpoint_commits: inner.checkpoint_commits,
            checkpoint_at: inner.checkpoint_at,
            fsync: "no",
            store_id: "0".repeat(40),
            ..Statistics::default()
        }
    }

    /// There is no disk: nothing is to be done.
    fn checkpoint(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        let mut inner = self.inner();
        (inner.checkpoint_commits, inner.checkpoint_at) = (inner.commits, now_ms());
        inner.checkpoint_changes = inner.state.changes();
        ready(Ok(())).boxed()
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        self.release();
        self.inner().closed = true;
        ready(Ok(())).boxed()
    }
}

/// Reads where events that are `recent` positions or more below the tail are on the disk.
fn read(
    state: &State,
    request: &ReadRequest,
    recent: Option<u64>,
) -> Result<ReadOutcome, StoreError> {
    let visible = state.next_position;
    let (batches, tail, stream_id) = match &request.source {
        ReadSource::All => (state.all(), visible.checked_sub(1), None),
        ReadSource::Stream(name) => {
            let found = state.find_stream(name);
            let id = found.map(|stream| stream.summary.id);
            if request.stream_id.is_some() && request.stream_id != id {
                return Err(StoreError::Deleted(name.clone()));
            }
            match found {
                None => (&[][..], None, None),
                Some(stream) => (&stream.batches[..], stream.summary.tail, id),
            }
        }
    };
    let end = tail.map_or(0, |tail| tail + 1);
    let until = request.until.unwrap_or(end).min(end);
    let runs = if request.reverse {
        backward(batches, request, until)
    } else {
        forward(batches, request, until)
    };
    let is_cold = |run: &Run| recent.is_some_and(|max| run.batch.first_position + max < visible);
    if runs.iter().any(is_cold) {
        return Err(StoreError::WouldBlock);
    }
    let all = request.source == ReadSource::All;
    let next = match (runs.last(), request.reverse) {
        (Some(run), false) => number_at(&run.batch, run.indexes.end, all),
        (Some(run), true) => number_at(&run.batch, run.indexes.start, all),
        (None, false) => request.from,
        (None, true) => until,
    };
    let runs = runs
        .into_iter()
        .flat_map(|run| state.kept(run, request.reverse));
    Ok(ReadOutcome {
        runs: runs.collect(),
        next,
        tail,
        stream_id,
        visible,
    })
}

fn forward(batches: &[Arc<Batch>], request: &ReadRequest, until: u64) -> Vec<Run> {
    let all = request.source == ReadSource::All;
    let skipped =
        batches.partition_point(|batch| number_at(batch, batch.count, all) <= request.from);
    take(batches[skipped..].iter(), request, until)
}

fn backward(batches: &[Arc<Batch>], request: &ReadRequest, until: u64) -> Vec<Run> {
    let all = request.source == ReadSource::All;
    let kept = batches.partition_point(|batch| number_at(batch, 0, all) < until);
    take(batches[..kept].iter().rev(), request, until)
}

fn take<'a>(
    batches: impl Iterator<Item = &'a Arc<Batch>>,
    request: &ReadRequest,
    until: u64,
) -> Vec<Run> {
    let all = request.source == ReadSource::All;
    let mut runs = Vec::new();
    let mut bytes = 0;
    for batch in batches {
        let first = number_at(batch, 0, all);
        let index = |number: u64| {
            let within = number.saturating_sub(first).min(u64::from(batch.count));
            u32::try_from(within).expect("not above the batch's count")
        };
        let indexes = index(request.from)..index(until);
        if indexes.start >= indexes.end || bytes >= request.bytes_max {
            break;
        }
        bytes += batch.body_bytes();
        runs.push(Run {
            batch: Arc::clone(batch),
            indexes,
        });
    }
    runs
}

/// The event number, or the position, of a batch's event; both are without gaps here.
fn number_at(batch: &Batch, index: u32, all: bool) -> u64 {
    let first = if all {
        batch.first_position
    } else {
        batch.first_number
    };
    first + u64::from(index)
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
