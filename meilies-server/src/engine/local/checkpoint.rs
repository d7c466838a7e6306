//! Work in the background: checkpoints bring the index up to the log, sealed segments get footers.
//!
//! A checkpoint of commit c: (1) sync the log up to c; (2) write the trees, flush, sync; (3) write
//! `meta` = c, flush, sync. Changes that are not in the index stay in memory, so when checkpoints
//! fall behind the committer waits, and when they fail for too long it refuses.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::committer::now_ms;
use super::log::Sealed;
use super::pending::Pending;
use super::seal;
use super::shared::{Shared, index_failed};
use crate::engine::StoreError;

/// A checkpoint begins when so many locations and pending entries are not in the index.
const DUE_LOCATIONS: usize = 128 * 1024;
/// Or so many bytes of log.
const DUE_LOG_BYTES: u64 = 64 * 1024 * 1024;
/// The committer waits for the checkpoint under way when so many locations came since it began.
const OVERDUE_LOCATIONS: usize = 256 * 1024;
/// Or so many bytes of log: with those of the checkpoint under way 256 MiB.
const OVERDUE_LOG_BYTES: u64 = 192 * 1024 * 1024;
/// A failed checkpoint is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is to be done in the background.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    checkpoint: bool,
    sealed: Vec<Sealed>,
    closing: bool,
    /// Why the last checkpoint failed.
    failure: Option<Arc<str>>,
}

impl Maintenance {
    /// Whether these changes are enough for a checkpoint.
    pub(super) fn is_due(pending: &Pending) -> bool {
        pending.changes() >= DUE_LOCATIONS || pending.log_bytes >= DUE_LOG_BYTES
    }

    /// Whether these changes, beside those that a checkpoint writes, are as many as memory is
    /// meant to hold.
    pub(super) fn is_overdue(pending: &Pending) -> bool {
        pending.changes() >= OVERDUE_LOCATIONS || pending.log_bytes >= OVERDUE_LOG_BYTES
    }

    /// Asks for a checkpoint.
    pub(super) fn request_checkpoint(&self) {
        self.lock().checkpoint = true;
        self.changed.notify_all();
    }

    /// Hands over a segment that gets no more commits.
    pub(super) fn seal(&self, sealed: Sealed) {
        self.lock().sealed.push(sealed);
        self.changed.notify_all();
    }

    /// Ends the thread once it has done what it was asked for.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    /// The same, and forgets that the last one failed, if it did: who waits is told of the next.
    fn request_anew(&self) {
        let mut work = self.lock();
        (work.checkpoint, work.failure) = (true, None);
        self.changed.notify_all();
    }

    fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Why the last checkpoint failed, if it did.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.lock().failure.clone()
    }

    /// Blocks while the condition holds, looking again after each checkpoint; an error when the
    /// last checkpoint failed.
    pub(super) fn wait_while(&self, condition: impl Fn() -> bool) -> Result<(), StoreError> {
        while condition() {
            let work = self.lock();
            if let Some(reason) = &work.failure {
                return Err(StoreError::CheckpointFailed(Arc::clone(reason)));
            }
            // A time-out, for the notice may have come between the condition and the lock.
            let waited = self.changed.wait_timeout(work, Duration::from_millis(10));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; `None` when there is none left and the store closes.
    fn next(&self) -> Option<Work> {
        let mut work = self.lock();
        loop {
            if work.checkpoint || !work.sealed.is_empty() {
                return Some(Work {
                    checkpoint: std::mem::take(&mut work.checkpoint),
                    sealed: std::mem::take(&mut work.sealed),
                    closing: work.closing,
                    failure: work.failure.clone(),
                });
            }
            if work.closing {
                return None;
            }
            let patience = if work.failure.is_some() {
                RETRY_AFTER
            } else {
                Duration::MAX
            };
            let waited = self.changed.wait_timeout(work, patience);
            let timed_out;
            (work, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
            work.checkpoint |= timed_out.timed_out();
        }
    }

    fn finished(&self, result: Result<(), StoreError>) {
        let mut work = self.lock();
        work.failure = match result {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "a checkpoint failed, trying again in a second");
                Some(error.to_string().into())
            }
        };
        self.changed.notify_all();
    }
}

/// The thread's work.
pub(super) fn run(shared: &Shared) {
    while let Some(work) = shared.maintenance.next() {
        for sealed in &work.sealed {
            if let Err(error) = seal::seal(sealed) {
                let segment = &sealed.segment.name;
                tracing::warn!(%error, %segment, "a sealed segment could not be given a footer");
            }
        }
        if work.checkpoint {
            shared.maintenance.finished(checkpoint(shared));
        }
    }
}

/// Brings the index up to what is visible now, or finishes what an earlier one could not.
pub(super) fn checkpoint(shared: &Shared) -> Result<(), StoreError> {
    let Some(frozen) = shared.live_mut().freeze() else {
        return Ok(());
    };
    shared.sync_up_to(frozen.end.commits)?;
    let damage = shared.damage().clone();
    shared
        .index
        .write(&frozen.changes, &frozen.end, &damage)
        .map_err(index_failed)?;
    shared.live_mut().thaw();
    let figures = &shared.figures;
    figures
        .checkpoint_commits
        .store(frozen.end.commits, Ordering::Release);
    figures.checkpoint_at.store(now_ms(), Ordering::Relaxed);
    Ok(())
}

/// Lets the thread bring the index up to what is visible now, and waits for that.
pub(super) fn wait_for_one(shared: &Shared) -> Result<(), StoreError> {
    let (maintenance, figures) = (&shared.maintenance, &shared.figures);
    let commits = shared.live().end.commits;
    let is_behind = || {
        let written = figures.checkpoint_commits.load(Ordering::Acquire);
        written < commits && shared.live().has_changes()
    };
    if is_behind() {
        maintenance.request_anew();
    }
    maintenance.wait_while(|| {
        // Again each time: the one under way may end with what was visible before.
        let waits = is_behind() && !maintenance.is_closing();
        if waits {
            maintenance.request_checkpoint();
        }
        waits
    })?;
    if is_behind() {
        return Err(StoreError::Closed);
    }
    figures
        .checkpoint_commits
        .fetch_max(commits, Ordering::AcqRel);
    figures.checkpoint_at.store(now_ms(), Ordering::Relaxed);
    Ok(())
}
