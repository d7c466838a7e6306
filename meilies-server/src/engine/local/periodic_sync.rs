//! The policy `everysec`: what was written is synced within a second.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::shared::Shared;

const EVERY: Duration = Duration::from_secs(1);

/// Syncs the log once a second while it changes; ends when dropped.
#[derive(Debug)]
pub(super) struct PeriodicSync {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PeriodicSync {
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<PeriodicSync> {
        let (stop, stopped) = mpsc::channel();
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new().name("periodic-sync".into());
        let thread = thread.spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let written = shared.written.load(Ordering::Acquire);
                if shared.sync_up_to(written).is_err() {
                    // The store is poisoned and has said so.
                    return;
                }
            }
        })?;
        Ok(PeriodicSync {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for PeriodicSync {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic, and there is nothing to tell anyone if it did.
            let _ended = thread.join();
        }
    }
}
