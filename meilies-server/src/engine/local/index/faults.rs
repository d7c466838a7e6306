//! An index that a test ends between two changes, as a kill would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::IndexError;

/// Lets a test end the index between any two changes, as a kill would.
#[derive(Clone, Debug, Default)]
pub struct IndexFaults {
    calls: Arc<AtomicU64>,
    last: Arc<AtomicU64>,
}

impl IndexFaults {
    /// Changes from the `n`th on (from 0, counted from now) fail and change nothing.
    pub fn fail_from(&self, n: u64) {
        self.calls.store(0, Ordering::SeqCst);
        self.last.store(n + 1, Ordering::SeqCst);
    }

    /// How many changes were begun since.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn step(&self) -> Result<(), IndexError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let last = self.last.load(Ordering::SeqCst);
        match last != 0 && call >= last {
            true => Err(IndexError::Stopped),
            false => Ok(()),
        }
    }
}
