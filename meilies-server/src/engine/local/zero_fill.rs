//! Zeros ahead of the log's end, written in the background.
//!
//! A commit that overwrites bytes which are already allocated costs one write of data; one that
//! extends the file costs the file system a journal commit as well. So a thread keeps a stretch of
//! zeros ahead of the end of the segment. Writer and thread never touch the same bytes: a chunk is
//! claimed before it is written, and the writer waits for a claimed chunk that it needs, or takes
//! the ground beyond all claims for itself.
//!
//! Large commits do without: the journal costs them little, while the zeros would be as many bytes
//! again for each sync to flush, under the same lock of the file.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::file::{File, write_all_at};

/// How much is claimed and written at a time.
const CHUNK_BYTES: u64 = 128 * 1024;
/// Commits that are larger on average are not filled ahead for.
const COMMIT_BYTES_MAX: u64 = 64 * 1024;

/// Keeps zeros ahead of the end of the segment that is written.
#[derive(Debug)]
pub(super) struct ZeroFill {
    shared: Arc<Shared>,
    /// How far ahead of the log's end the zeros reach.
    ahead_bytes: u64,
    /// Where the last commit ended, and the moving average of the commits' bytes.
    last_end: u64,
    average_bytes: u64,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    file: Option<Arc<dyn File>>,
    /// Bytes below are written, by either side.
    filled: u64,
    /// Bytes from `filled` up to here are being zeroed now. Invariant: `filled <= claimed`.
    claimed: u64,
    /// Fill up to here.
    target: u64,
    /// The most that the file may have.
    limit: u64,
    closing: bool,
}

impl ZeroFill {
    /// Starts the thread, with nothing to fill yet; 0 bytes ahead fills nothing.
    pub(super) fn start(ahead_bytes: u64) -> io::Result<ZeroFill> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                file: None,
                filled: 0,
                claimed: 0,
                target: 0,
                limit: 0,
                closing: false,
            }),
            changed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("zero-fill".into())
            .spawn(move || for_thread.run())?;
        Ok(ZeroFill {
            shared,
            ahead_bytes,
            last_end: 0,
            average_bytes: 0,
            thread: Some(thread),
        })
    }

    /// Turns to another file whose bytes below `filled` are in use or zero already; leaves the one
    /// before alone from the return on. The handle is none that commits are synced through.
    pub(super) fn turn_to(
        &mut self,
        file: Option<Arc<dyn File>>,
        filled: u64,
        end: u64,
        limit: u64,
    ) {
        self.last_end = end;
        let mut state = self.shared.idle_state();
        state.file = file;
        state.filled = filled;
        state.claimed = filled;
        state.limit = limit;
        state.target = match self.average_bytes > COMMIT_BYTES_MAX {
            true => 0,
            false => (end + self.ahead_bytes).min(limit),
        };
        self.shared.changed.notify_all();
    }

    /// Stops touching the file until the next `turn_to`: for cutting it.
    pub(super) fn pause(&self) {
        let mut state = self.shared.idle_state();
        state.file = None;
    }

    /// The caller may write the bytes up to `end` when this returns; zeros ahead of `end` follow.
    pub(super) fn reserve(&mut self, end: u64) {
        let bytes = end.saturating_sub(self.last_end);
        self.average_bytes = (self.average_bytes * 15 + bytes) / 16;
        self.last_end = end;
        let mut state = self.shared.lock();
        while end > state.filled && state.claimed > state.filled && state.file.is_some() {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if end > state.filled {
            state.filled = end;
            state.claimed = end;
        }
        // Topped up in large steps, so that most commits pass without waking the thread.
        if self.average_bytes > COMMIT_BYTES_MAX {
            state.target = 0;
        } else if state.filled < (end + self.ahead_bytes / 2).min(state.limit) {
            state.target = (end + self.ahead_bytes).min(state.limit);
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for ZeroFill {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread does not panic; if it did there would be nothing to do about it here.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no chunk is claimed.
    fn idle_state(&self) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.lock();
        while state.claimed > state.filled {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn run(&self) {
        let zeros = vec![0; usize::try_from(CHUNK_BYTES).expect("a chunk fits memory")];
        while let Some((file, start, end, last)) = self.claim() {
            let chunk = usize::try_from(end - start).expect("a chunk fits memory");
            let mut filled = write_all_at(&*file, &zeros[..chunk], start);
            if filled.is_ok() && last {
                filled = file.sync_data();
            }
            let mut state = self.lock();
            match filled {
                Ok(()) => state.filled = state.claimed,
                Err(error) => {
                    // Zeros are only there to be fast: commits go on without, and a real fault of
                    // the disk meets the committer, which knows what to say.
                    tracing::debug!(%error, "cannot fill the segment with zeros ahead");
                    state.claimed = state.filled;
                    state.target = 0;
                }
            }
            self.changed.notify_all();
        }
    }

    /// The next chunk to write, and whether it is the last before the target.
    fn claim(&self) -> Option<(Arc<dyn File>, u64, u64, bool)> {
        let mut state = self.lock();
        loop {
            if state.closing {
                return None;
            }
            if let Some(file) = &state.file
                && state.filled < state.target
            {
                let file = Arc::clone(file);
                let start = state.filled;
                let end = (start + CHUNK_BYTES).min(state.target);
                state.claimed = end;
                return Some((file, start, end, end == state.target));
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
