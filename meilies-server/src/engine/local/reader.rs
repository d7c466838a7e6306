//! Reading events back: from memory where they are recent, else from the log through the index.
//!
//! A read is cut at what is visible when it begins. Whatever comes from the log is verified first;
//! what does not verify is an error with its place, never served and never skipped in silence.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::log::CommitPlace;
use super::shared::Shared;
use crate::engine::{Access, ReadOutcome, ReadRequest, ReadSource, Run, StoreError};

mod all;
mod load;
mod stream;

pub(super) use stream::{Finder, load_batches};

/// Locations looked up at a time.
const LOCATIONS_MAX: usize = 512;
/// Places kept for readers of all streams that go on where they stopped.
const RESUME_PLACES_MAX: usize = 4096;

/// Where readers of all streams stopped: position to commit, so that they go on without a search.
#[derive(Debug, Default)]
pub(super) struct ResumePlaces(Mutex<HashMap<u64, CommitPlace>>);

impl ResumePlaces {
    fn take(&self, position: u64) -> Option<CommitPlace> {
        self.lock().remove(&position)
    }

    fn put(&self, position: u64, place: CommitPlace) {
        let mut places = self.lock();
        if places.len() >= RESUME_PLACES_MAX {
            // Readers that are gone left theirs here; the others search once.
            places.clear();
        }
        places.insert(position, place);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, CommitPlace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads as [`crate::engine::Engine::read`] promises.
pub(super) fn read(
    shared: &Shared,
    request: &ReadRequest,
    access: Access,
) -> Result<ReadOutcome, StoreError> {
    let request = &ReadRequest {
        // One batch at least is always given.
        bytes_max: request.bytes_max.max(1),
        ..request.clone()
    };
    match &request.source {
        ReadSource::Stream(name) => stream::read(shared, name, request, access),
        ReadSource::All => all::read(shared, request, access),
    }
}

/// The first number not wanted of a source whose last number is `tail`.
fn below(request: &ReadRequest, tail: Option<u64>) -> u64 {
    let end = tail.map_or(0, |tail| tail.saturating_add(1));
    request.until.map_or(end, |until| until.min(end))
}

/// What is left to read after these runs of a stream.
fn next_of(runs: &[Run], request: &ReadRequest, below: u64) -> u64 {
    match (runs.last(), request.reverse) {
        (Some(run), false) => run.batch.first_number + u64::from(run.indexes.end),
        (Some(run), true) => run.batch.first_number + u64::from(run.indexes.start),
        (None, false) => request.from,
        (None, true) => below.min(request.from),
    }
}
