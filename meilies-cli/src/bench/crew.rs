//! The threads of a run. Those who publish or read are its members: each has a connection of its
//! own, all begin at the same time, and each gives what it has measured, also when it is stopped or
//! fails. Members are spread over threads, so that this program is not what limits the server.

use std::future::Future;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::limits::PROGRESS_INTERVAL;
use crate::failure::Failure;
use crate::interrupt::interrupted;
use crate::progress::Progress;

/// What a member has measured, and why it ended too early if it did.
pub(crate) type Measured<T> = (T, Result<(), Failure>);

type Task<T> = Pin<Box<dyn Future<Output = Measured<T>> + Send>>;

/// What a member does once its thread runs.
pub(crate) type Job<T> = Box<dyn FnOnce(Member) -> Task<T> + Send>;

/// What all members have measured, and how it ended.
#[derive(Debug)]
pub(crate) struct Results<T> {
    /// What each has measured, in no order.
    pub(crate) parts: Vec<T>,
    /// Whether the program was told to stop.
    pub(crate) is_interrupted: bool,
    /// Why it ended too early.
    pub(crate) failure: Option<Failure>,
}

impl<T> Results<T> {
    /// Whether it went to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.failure.is_none() && !self.is_interrupted
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Not all members are connected.
    Preparing,
    /// Since this time.
    Running(Instant),
    /// It is to end at once.
    Stopped,
}

/// What a member has of the others.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    phase: watch::Receiver<Phase>,
    ready: mpsc::UnboundedSender<()>,
    events: Arc<AtomicU64>,
}

impl Member {
    /// Says that this member is ready and waits until all are. Gives when they begin, and nothing
    /// if it is over before.
    pub(crate) async fn begin(&mut self) -> Option<Instant> {
        let _nobody_waits = self.ready.send(());
        let is_decided = |phase: &Phase| !matches!(phase, Phase::Preparing);
        match self.phase.wait_for(is_decided).await.as_deref() {
            Ok(Phase::Running(begin)) => Some(*begin),
            Ok(_) | Err(_) => None,
        }
    }

    /// Waits until it is over for all. May be dropped.
    pub(crate) async fn stopped(&mut self) {
        let is_over = |phase: &Phase| matches!(phase, Phase::Stopped);
        // Without anybody who could say so it is over, too.
        let _over = self.phase.wait_for(is_over).await.is_ok();
    }

    /// Does some work, and gives nothing if it is over for all before that is done.
    pub(crate) async fn or_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.stopped() => None,
        }
    }

    /// The same member, whose events are not counted for the progress that is shown.
    pub(crate) fn uncounted(&self) -> Member {
        Member {
            events: Arc::default(),
            ..self.clone()
        }
    }

    /// Counts events for the progress that is shown.
    pub(crate) fn count(&self, events: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
    }
}

/// Lets all members do their jobs, and shows how many events of so many are done.
pub(crate) async fn run<T: Send + 'static>(
    jobs: Vec<Job<T>>,
    threads: Option<NonZero<usize>>,
    events: Option<u64>,
) -> Result<Results<T>, Failure> {
    let (phase, phase_receiver) = watch::channel(Phase::Preparing);
    let (ready, ready_receiver) = mpsc::unbounded_channel();
    let (measured, measured_receiver) = mpsc::unbounded_channel();
    let done = Arc::new(AtomicU64::new(0));
    let member = Member {
        phase: phase_receiver,
        ready,
        events: Arc::clone(&done),
    };
    let members = jobs.len();
    let threads = spawn(jobs, threads, &member, &measured)?;
    drop((member, measured));
    let lead = Lead {
        members,
        phase,
        ready: ready_receiver,
        measured: measured_receiver,
        done,
        progress: Progress::events(events),
    };
    let results = lead.run().await;
    for thread in threads {
        // All have sent what they measured, or have panicked.
        if thread.join().is_err() {
            return Err(Failure::Program("a thread has panicked".to_owned()));
        }
    }
    results
}

fn spawn<T: Send + 'static>(
    jobs: Vec<Job<T>>,
    threads: Option<NonZero<usize>>,
    member: &Member,
    measured: &mpsc::UnboundedSender<Measured<T>>,
) -> Result<Vec<JoinHandle<()>>, Failure> {
    let cores = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let threads = threads.unwrap_or(cores).get().min(jobs.len());
    let mut shares: Vec<Vec<Job<T>>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, job) in jobs.into_iter().enumerate() {
        shares[index % threads].push(job);
    }
    let mut handles = Vec::new();
    for (index, share) in shares.into_iter().enumerate() {
        let (member, measured) = (member.clone(), measured.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::Runtime)?;
        let thread = thread::Builder::new().name(format!("bench-{index}"));
        let handle = thread.spawn(move || runtime.block_on(work(share, member, measured)));
        handles.push(handle.map_err(Failure::Runtime)?);
    }
    Ok(handles)
}

/// What a thread does.
async fn work<T: Send + 'static>(
    jobs: Vec<Job<T>>,
    member: Member,
    measured: mpsc::UnboundedSender<Measured<T>>,
) {
    let mut tasks: JoinSet<Measured<T>> = jobs.into_iter().map(|job| job(member.clone())).collect();
    drop(member);
    while let Some(part) = tasks.join_next().await {
        let part = part.expect("a member does not panic and is not aborted");
        let _nobody_waits = measured.send(part);
    }
}

/// Who says when the members begin and stop.
struct Lead<T> {
    members: usize,
    phase: watch::Sender<Phase>,
    ready: mpsc::UnboundedReceiver<()>,
    measured: mpsc::UnboundedReceiver<Measured<T>>,
    done: Arc<AtomicU64>,
    progress: Progress,
}

impl<T> Lead<T> {
    async fn run(mut self) -> Result<Results<T>, Failure> {
        let mut results = Results {
            parts: Vec::new(),
            is_interrupted: false,
            failure: None,
        };
        let mut ready = 0;
        let mut progress = tokio::time::interval(PROGRESS_INTERVAL);
        let mut interrupt = std::pin::pin!(interrupted());
        loop {
            tokio::select! {
                part = self.measured.recv() => match part {
                    Some((part, outcome)) => self.take(&mut results, part, outcome),
                    None => break,
                },
                Some(()) = self.ready.recv() => {
                    ready += 1;
                    if ready == self.members {
                        self.phase.send_replace(Phase::Running(Instant::now()));
                    }
                }
                told = &mut interrupt, if !results.is_interrupted => {
                    told?;
                    results.is_interrupted = true;
                    self.phase.send_replace(Phase::Stopped);
                }
                _ = progress.tick() => {
                    let done = self.done.load(Ordering::Relaxed);
                    self.progress.set(done, done);
                }
            }
        }
        self.progress.finish();
        Ok(results)
    }

    /// What one has measured. If it failed, the others stop, and the first failure is told.
    fn take(&self, results: &mut Results<T>, part: T, outcome: Result<(), Failure>) {
        results.parts.push(part);
        if let Err(failure) = outcome {
            self.phase.send_replace(Phase::Stopped);
            results.failure.get_or_insert(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<F>(job: impl FnOnce(Member) -> F + Send + 'static) -> Job<u64>
    where
        F: Future<Output = Measured<u64>> + Send + 'static,
    {
        Box::new(|member| Box::pin(job(member)))
    }

    #[tokio::test]
    async fn all_begin_at_the_same_time_and_give_what_they_measured() {
        let begins = Arc::new(std::sync::Mutex::new(Vec::new()));
        let jobs = (0..5).map(|index| {
            let begins = Arc::clone(&begins);
            job(move |mut member| async move {
                let begin = member.begin().await.expect("nobody stops it");
                begins.lock().expect("nobody panics").push(begin);
                member.count(1);
                (index, Ok(()))
            })
        });
        let threads = NonZero::new(2);
        let results = run(jobs.collect(), threads, None).await.expect("it runs");
        let mut parts = results.parts;
        parts.sort_unstable();
        assert_eq!(parts, [0, 1, 2, 3, 4]);
        assert!(results.failure.is_none() && !results.is_interrupted);
        let begins = begins.lock().expect("nobody panics");
        assert!(begins.iter().all(|begin| *begin == begins[0]));
    }

    #[tokio::test]
    async fn one_that_fails_stops_the_others_before_and_while_they_work() {
        for fails_first in [true, false] {
            let failing = job(move |mut member| async move {
                if !fails_first {
                    member.begin().await;
                }
                (1, Err(Failure::Program("it fails".to_owned())))
            });
            let waiting = job(|mut member| async move {
                if member.begin().await.is_some() {
                    member.stopped().await;
                }
                (2, Ok(()))
            });
            let results = run(vec![waiting, failing], None, None)
                .await
                .expect("it runs");
            assert_eq!(results.parts.iter().sum::<u64>(), 3);
            let failure = results.failure.expect("one has failed");
            assert_eq!(failure.to_string(), "it fails");
        }
    }
}
