//! Reads of one stream.

use std::ops::Range;
use std::sync::Arc;

use meilies_protocol::{EventId, StreamName};

use super::load::{Source, load};
use super::{LOCATIONS_MAX, below, next_of};
use crate::engine::batch::Batch;
use crate::engine::local::facts::Facts;
use crate::engine::local::live::{Known, Live};
use crate::engine::local::log::Location;
use crate::engine::local::shared::{Shared, index_failed};
use crate::engine::local::snapshot::Snapshot;
use crate::engine::{Access, Found, ReadOutcome, ReadRequest, StoreError, StreamSummary, View};

pub(super) fn read(
    shared: &Shared,
    name: &StreamName,
    request: &ReadRequest,
    access: Access,
) -> Result<ReadOutcome, StoreError> {
    let mut facts = Facts::default();
    loop {
        let read = {
            let live = shared.live();
            let visible = live.end.next_position;
            let snapshot = Snapshot::new(shared, &live, &facts, 0);
            let mut outcome = ReadOutcome {
                runs: Vec::new(),
                next: request.from,
                tail: None,
                stream_id: None,
                visible,
            };
            match from_memory(&live, name, request, &mut outcome) {
                Some(read) => read.map(|()| outcome),
                None => look(&snapshot, name, request, &mut outcome).map(|()| outcome),
            }
        };
        match read {
            Err(StoreError::WouldBlock) if access == Access::Disk && facts.has_needs() => {
                facts.load(shared)?;
            }
            other => return other,
        }
    }
}

/// Reads on for a cursor that is bound to a stream, if memory has it all.
fn from_memory(
    live: &Live,
    name: &StreamName,
    request: &ReadRequest,
    outcome: &mut ReadOutcome,
) -> Option<Result<(), StoreError>> {
    let id = request.stream_id?;
    let (tail, bound) = match live.row(id) {
        Known::There(row) => (row.tail, &row.name),
        Known::Gone => return Some(Err(StoreError::Deleted(name.clone()))),
        Known::InIndex => live
            .recent
            .tail(id)
            .map(|(tail, name)| (Some(tail), name))?,
    };
    if bound != name {
        return Some(Err(StoreError::Deleted(name.clone())));
    }
    let below = below(request, tail);
    outcome.tail = tail;
    outcome.stream_id = Some(id);
    if request.from >= below {
        outcome.next = next_of(&[], request, below);
        return Some(Ok(()));
    }
    let numbers = request.from..below;
    let (reverse, bytes_max) = (request.reverse, request.bytes_max);
    let runs = live.recent.whole_runs(id, numbers, reverse, bytes_max)?;
    outcome.next = next_of(&runs, request, below);
    outcome.runs = live.recent.without_deleted(id, runs, reverse);
    Some(Ok(()))
}

fn look(
    view: &dyn View,
    name: &StreamName,
    request: &ReadRequest,
    outcome: &mut ReadOutcome,
) -> Result<(), StoreError> {
    let found = view.stream(name)?;
    if let Some(bound) = request.stream_id
        && found.as_ref().map(|stream| stream.id) != Some(bound)
    {
        return Err(StoreError::Deleted(name.clone()));
    }
    let Some(stream) = found else {
        return Ok(());
    };
    outcome.stream_id = Some(stream.id);
    outcome.tail = stream.tail;
    let below = below(request, stream.tail);
    let from = request.from.max(stream.first);
    outcome.next = match request.reverse {
        true => below.min(from),
        false => from,
    };
    if from < below {
        let (reverse, bytes_max) = (request.reverse, request.bytes_max);
        (outcome.runs, outcome.next) = view.runs(&stream, from..below, reverse, bytes_max)?;
    }
    Ok(())
}

/// Batches of a stream from one end of these numbers on, without gaps, about `bytes_max` bytes of
/// them. They are there: the stream has the numbers.
pub(in crate::engine::local) fn load_batches(
    shared: &Shared,
    stream: &StreamSummary,
    numbers: Range<u64>,
    reverse: bool,
    bytes_max: usize,
) -> Result<Vec<Arc<Batch>>, StoreError> {
    let mut locations = match reverse {
        false => locations(shared, stream.id, numbers.start, numbers.end)?,
        true => locations_before(shared, stream.id, numbers.end)?,
    };
    let first_wanted = if reverse {
        numbers.end - 1
    } else {
        numbers.start
    };
    let contiguous = contiguous(&locations, first_wanted, reverse);
    if contiguous == 0 {
        return Err(missing(shared, &stream.name, &locations, numbers, reverse));
    }
    locations.truncate(contiguous);
    locations.truncate(within_budget(&locations, bytes_max));
    let source = Source {
        name: &stream.name,
        stream_id: stream.id,
    };
    load(&shared.log, source, &locations)
}

/// Looks for ids in streams, and keeps the last batch that it read.
#[derive(Debug, Default)]
pub(in crate::engine::local) struct Finder {
    last: Option<Arc<Batch>>,
}

impl Finder {
    /// Where ids from this one on begin in a stream.
    pub(in crate::engine::local) fn find(
        &mut self,
        shared: &Shared,
        stream: &StreamSummary,
        id: EventId,
    ) -> Result<Found, StoreError> {
        let covers = |batch: &&Arc<Batch>| {
            batch.stream_id == stream.id
                && batch.first_id() <= id
                && batch.find(id).number <= batch.last_number()
        };
        if let Some(batch) = self.last.as_ref().filter(covers) {
            return Ok(batch.find(id));
        }
        let pending = shared.live().location_of(stream.id, stream.first, id);
        let location = if pending.is_some() {
            pending
        } else {
            let numbers = stream.first..stream.next_number();
            let found = shared.index.location_of(stream.id, numbers, id);
            found.map_err(index_failed)?
        };
        let Some(location) = location else {
            return Ok(Found {
                number: stream.first,
                is_exact: false,
            });
        };
        let source = Source {
            name: &stream.name,
            stream_id: stream.id,
        };
        let batches = load(&shared.log, source, &[location])?;
        let batch = batches.into_iter().next().expect("one was asked for");
        let found = batch.find(id);
        self.last = Some(batch);
        Ok(found)
    }
}

/// How many locations follow each other without a gap, from the one with this number on.
fn contiguous(locations: &[Location], number: u64, reverse: bool) -> usize {
    let mut expected = number;
    let mut count = 0;
    for location in locations {
        let holds = location.first_number <= expected && expected < location.next_number();
        if !holds {
            break;
        }
        count += 1;
        expected = match (reverse, location.first_number.checked_sub(1)) {
            (false, _) => location.next_number(),
            (true, Some(before)) => before,
            (true, None) => break,
        };
    }
    count
}

/// How many of the locations together have about so many bytes; one at least.
fn within_budget(locations: &[Location], bytes_max: usize) -> usize {
    let mut bytes = 0;
    let over = locations.iter().position(|location| {
        let full = bytes >= bytes_max;
        bytes += location.bytes as usize;
        full
    });
    over.unwrap_or(locations.len()).max(1)
}

/// Ascending, from the one that holds `from` or the first after it.
fn locations(shared: &Shared, id: u64, from: u64, below: u64) -> Result<Vec<Location>, StoreError> {
    // What memory has first, at one moment: what leaves it meanwhile is in the index by then.
    let (first_pending, pending) = {
        let live = shared.live();
        let first_pending = live.first_pending_number(id);
        let from = from.max(first_pending);
        (
            first_pending,
            live.locations(id, from, below, LOCATIONS_MAX),
        )
    };
    let mut found = Vec::new();
    if from < first_pending {
        let below = below.min(first_pending);
        let indexed = shared.index.locations(id, from, below, LOCATIONS_MAX);
        found = indexed.map_err(index_failed)?;
    }
    found.extend(pending);
    Ok(found)
}

/// Descending, from the one that holds the last number below `below`.
fn locations_before(shared: &Shared, id: u64, below: u64) -> Result<Vec<Location>, StoreError> {
    let (first_pending, mut found) = {
        let live = shared.live();
        let pending = live.locations_before(id, below, LOCATIONS_MAX);
        (live.first_pending_number(id), pending)
    };
    if found.len() < LOCATIONS_MAX {
        let limit = LOCATIONS_MAX - found.len();
        let below = below.min(first_pending);
        let indexed = shared.index.locations_before(id, below, limit);
        found.extend(indexed.map_err(index_failed)?);
    }
    Ok(found)
}

/// The error for numbers that no location holds: they were lost to damage.
fn missing(
    shared: &Shared,
    name: &StreamName,
    locations: &[Location],
    numbers: Range<u64>,
    reverse: bool,
) -> StoreError {
    let (first, last) = match (locations.first(), reverse) {
        (Some(next), false) => (numbers.start, next.first_number - 1),
        (Some(before), true) => (before.next_number(), numbers.end - 1),
        (None, _) => (numbers.start, numbers.end - 1),
    };
    let damage = shared.damage();
    let place = damage.first();
    StoreError::Damaged {
        stream: format!("stream '{name}'").into(),
        first,
        last,
        reason: "the log is damaged".into(),
        file: place.map_or("the log", |place| place.file.as_str()).into(),
        byte: place.map_or(0, |place| place.byte),
    }
}
