//! Group commit: requests wait here while a commit is under way, and the next one takes them all.
//!
//! A thread works the queue off, so while one commit syncs the next one gathers, without a timer.
//! When nothing is under way and nothing waits, the first who comes with a small request commits
//! it by itself: two switches between threads would cost it about as much again as the sync.
//! (Measured with one client and one event at a time; with several clients it is better to gather,
//! so their commits are left to the thread.) A request that finds its forerunners
//! unanswered always waits behind them, so each caller's order holds.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use meilies_protocol::limits::COMMIT_BYTES_MAX;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task;

use super::answers::{Answer, Answers};
use super::catalog::StreamHandle;
use super::committer::Committer;
use super::index::Checkpoint;
use super::transaction::{Attempt, Transacted};
use crate::engine::{AppendRequest, StoreError, WriteOutcome};

/// Requests that wait.
const REQUESTS_MAX: usize = 4096;
/// Their bytes together, in KiB.
const KIB_MAX: usize = 64 * 1024;
/// A commit takes no more requests once it has about so many bytes.
const GATHER_BYTES: usize = 4 * 1024 * 1024;
/// A request of no more bytes may be committed by who brings it.
const DIRECT_BYTES_MAX: usize = 64 * 1024;
/// And only after so many commits for one request only.
const SINGLES_MIN: u32 = 8;
/// How often the thread steps back before a commit for many.
const YIELDS_MAX: u32 = 16;

const _: () = assert!(KIB_MAX * 1024 >= COMMIT_BYTES_MAX);
const _: () = assert!(GATHER_BYTES < COMMIT_BYTES_MAX);

/// The way to the committer.
#[derive(Debug)]
pub(super) struct Queue {
    orders: mpsc::Sender<Order>,
    bytes: Arc<Semaphore>,
    /// Requests that have a place and are not answered.
    placed: Arc<AtomicUsize>,
    committer: Arc<Mutex<Committer>>,
    /// How many of the last commits, without a break, were for one request only.
    singles: Arc<AtomicU32>,
    answers: Answers,
}

/// Something to commit, on its way.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) work: Work,
    /// About how many bytes it takes in the log, never fewer than it does.
    pub(super) bytes: usize,
    /// Its place in the queue, given back when it is answered.
    pub(super) place: Place,
}

/// What is to be committed, and who waits for it.
#[derive(Debug)]
pub(super) enum Work {
    Append {
        request: AppendRequest,
        /// The streams of the writes: each handle stands for so many consecutive writes.
        handles: Vec<(Arc<StreamHandle>, usize)>,
        done: oneshot::Sender<Result<Vec<WriteOutcome>, StoreError>>,
    },
    Transact {
        attempt: Box<Attempt>,
        done: oneshot::Sender<Transacted>,
    },
}

impl Work {
    /// The answer to work that failed.
    pub(super) fn fail(self, error: &StoreError) -> Answer {
        match self {
            Work::Append { done, .. } => Answer::Append(done, Err(error.clone())),
            Work::Transact { attempt, done } => {
                let count = attempt.operations.len();
                Answer::Transact(done, Transacted::failed(count, error))
            }
        }
    }
}

/// What is asked for through the queue.
#[derive(Debug)]
enum Order {
    Commit(Queued),
    Close(oneshot::Sender<Result<Checkpoint, StoreError>>),
}

/// A request's place: its share of the queue's bytes. Given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    placed: Arc<AtomicUsize>,
    _bytes: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.placed.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Works the queue off.
#[derive(Debug)]
pub(super) struct Worker {
    orders: mpsc::Receiver<Order>,
    committer: Arc<Mutex<Committer>>,
    singles: Arc<AtomicU32>,
}

/// A queue before this committer, and what works it off.
pub(super) fn queue(committer: Committer) -> (Queue, Worker) {
    let (sender, orders) = mpsc::channel(REQUESTS_MAX);
    let answers = committer.answers().clone();
    let committer = Arc::new(Mutex::new(committer));
    let singles = Arc::new(AtomicU32::new(SINGLES_MIN));
    let worker = Worker {
        orders,
        committer: Arc::clone(&committer),
        singles: Arc::clone(&singles),
    };
    let queue = Queue {
        orders: sender,
        bytes: Arc::new(Semaphore::new(KIB_MAX)),
        placed: Arc::default(),
        committer,
        singles,
        answers,
    };
    (queue, worker)
}

impl Queue {
    /// Waits for room for a request of so many bytes.
    pub(super) async fn place(&self, bytes: usize) -> Result<Place, StoreError> {
        let kib = u32::try_from((bytes / 1024 + 1).min(KIB_MAX)).map_err(|_| StoreError::Closed)?;
        let permit = Arc::clone(&self.bytes).acquire_many_owned(kib).await;
        let bytes = permit.map_err(|_| StoreError::Closed)?;
        self.placed.fetch_add(1, Ordering::AcqRel);
        Ok(Place {
            placed: Arc::clone(&self.placed),
            _bytes: bytes,
        })
    }

    /// Hands a request over. It has its place in the order of writes when this returns.
    pub(super) async fn send(&self, queued: Queued) -> Result<(), StoreError> {
        self.answers.start();
        match self.commit_directly(queued) {
            None => Ok(()),
            Some(queued) => self.order(Order::Commit(queued)).await,
        }
    }

    /// Lets everything that waits be committed, then makes it durable and takes no more.
    pub(super) async fn close(&self) -> Result<Checkpoint, StoreError> {
        let (done, closed) = oneshot::channel();
        self.order(Order::Close(done)).await?;
        closed.await.map_err(|_| StoreError::Closed)?
    }

    async fn order(&self, order: Order) -> Result<(), StoreError> {
        let sent = self.orders.send(order).await;
        sent.map_err(|_| StoreError::Closed)
    }

    /// Commits a small request here and now if it is alone; gives it back otherwise.
    fn commit_directly(&self, queued: Queued) -> Option<Queued> {
        // Where several write, their next requests are worth gathering.
        let alone = self.placed.load(Ordering::Acquire) == 1
            && self.singles.load(Ordering::Relaxed) >= SINGLES_MIN;
        if !alone || queued.bytes > DIRECT_BYTES_MAX || !may_block() {
            return Some(queued);
        }
        let Ok(mut committer) = self.committer.try_lock() else {
            return Some(queued);
        };
        // The runtime's other tasks go on elsewhere meanwhile.
        task::block_in_place(|| committer.commit(vec![queued]));
        None
    }
}

/// Whether the runtime lets a task wait for the disk.
fn may_block() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

impl Worker {
    /// Works until the queue is closed or nobody can ask for anything any more.
    pub(super) fn run(mut self) {
        let mut carried = None;
        while let Some(order) = carried.take().or_else(|| self.orders.blocking_recv()) {
            // Whoever commits directly is waited for; what comes meanwhile is gathered.
            let committer = Arc::clone(&self.committer);
            let mut committer = lock(&committer);
            match order {
                Order::Commit(first) => {
                    if self.singles.load(Ordering::Relaxed) == 0 {
                        self.let_others_come();
                    }
                    let requests;
                    (requests, carried) = self.gather(first);
                    let singles = match requests.len() {
                        1 => self.singles.load(Ordering::Relaxed).saturating_add(1),
                        _ => 0,
                    };
                    self.singles.store(singles, Ordering::Relaxed);
                    committer.commit(requests);
                }
                Order::Close(done) => {
                    // Whoever closed may have stopped waiting.
                    let _nobody_waits = done.send(committer.close());
                    return;
                }
            }
        }
    }

    /// Where several write, those who were answered last are about to ask again: lets them run for
    /// as long as that brings more requests. No timer: nobody waits for anybody who does not come.
    fn let_others_come(&self) {
        for _ in 0..YIELDS_MAX {
            let waiting = self.orders.len();
            thread::yield_now();
            if self.orders.len() == waiting {
                return;
            }
        }
    }

    /// Takes what else waits, up to the size of a commit, and perhaps one order too many.
    fn gather(&mut self, first: Queued) -> (Vec<Queued>, Option<Order>) {
        let mut bytes = first.bytes;
        let mut requests = vec![first];
        while bytes < GATHER_BYTES {
            match self.orders.try_recv() {
                Ok(Order::Commit(next)) if bytes + next.bytes <= COMMIT_BYTES_MAX => {
                    bytes += next.bytes;
                    requests.push(next);
                }
                Ok(other) => return (requests, Some(other)),
                Err(_) => break,
            }
        }
        (requests, None)
    }
}

/// A committer that panicked is in no known state: nothing is written any more.
fn lock(committer: &Mutex<Committer>) -> MutexGuard<'_, Committer> {
    committer.lock().expect("the committer did not panic")
}
