//! From locations to verified batches, neighbours in one read.

use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::StreamName;

use crate::engine::StoreError;
use crate::engine::batch::{Batch, BatchHead, Events};
use crate::engine::local::commit::{BatchHeader, FormatError, Kind};
use crate::engine::local::file::read_full_at;
use crate::engine::local::log::{Location, Log, Segment};

/// Batches not further apart than this are read together.
const GAP_BYTES_MAX: u64 = 4 * 1024;
/// And no more than this at a time, unless one batch is larger.
const READ_BYTES_MAX: u64 = 1024 * 1024;

/// Whose batches are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a StreamName,
    pub(super) stream_id: u64,
}

/// Reads the batches at these locations, in their order. When one does not verify the ones before
/// it are given; the error comes when it is the first.
pub(super) fn load(
    log: &Log,
    source: Source<'_>,
    locations: &[Location],
) -> Result<Vec<Arc<Batch>>, StoreError> {
    let mut batches = Vec::with_capacity(locations.len());
    let mut rest = locations;
    while !rest.is_empty() {
        let (group, following) = rest.split_at(neighbours(rest));
        rest = following;
        if let Err(error) = load_group(log, source, group, &mut batches) {
            return if batches.is_empty() {
                Err(error)
            } else {
                Ok(batches)
            };
        }
    }
    Ok(batches)
}

/// How many of the first locations, ascending or descending, are read at once.
fn neighbours(locations: &[Location]) -> usize {
    let first = span(&locations[0]);
    let (mut low, mut high) = first;
    let serial = locations[0].serial;
    let mut count = 1;
    for location in &locations[1..] {
        let (start, end) = span(location);
        let gap = start.saturating_sub(high).max(low.saturating_sub(end));
        let bytes = end.max(high) - start.min(low);
        if location.serial != serial || gap > GAP_BYTES_MAX || bytes > READ_BYTES_MAX {
            break;
        }
        (low, high) = (low.min(start), high.max(end));
        count += 1;
    }
    count
}

fn span(location: &Location) -> (u64, u64) {
    let start = u64::from(location.byte);
    (start, start + u64::from(location.bytes))
}

fn load_group(
    log: &Log,
    source: Source<'_>,
    group: &[Location],
    batches: &mut Vec<Arc<Batch>>,
) -> Result<(), StoreError> {
    let first = &group[0];
    let segment = log
        .segment(first.serial)
        .filter(|segment| segment.header.generation == first.generation)
        .ok_or_else(|| damaged(source, first, "is missing", &file_of(first)))?;
    let low = group.iter().map(|location| span(location).0).min();
    let high = group.iter().map(|location| span(location).1).max();
    let (low, high) = (low.unwrap_or(0), high.unwrap_or(0));
    let mut bytes = vec![0; usize::try_from(high - low).expect("a read fits memory")];
    let read = read_full_at(&*segment.file, &mut bytes, low);
    let read = read.map_err(|error| read_failed(&segment, &error))?;
    bytes.truncate(read);
    let bytes = Bytes::from(bytes);
    for location in group {
        let start = usize::try_from(u64::from(location.byte) - low).expect("a read fits memory");
        let part = bytes.slice(start.min(read)..);
        match decode(&part, source, location) {
            Ok(batch) => batches.push(Arc::new(batch)),
            Err(error) => {
                return Err(damaged(source, location, &error.to_string(), &segment.name));
            }
        }
    }
    Ok(())
}

fn decode(bytes: &Bytes, source: Source<'_>, location: &Location) -> Result<Batch, FormatError> {
    let (header, body) = BatchHeader::decode(bytes)?;
    let expected = header.kind == Kind::Events
        && header.stream_id == source.stream_id
        && header.first_number == location.first_number
        && header.count == location.count;
    if !expected {
        return Err(FormatError::Length);
    }
    batch(&header, bytes.slice(body), source.name)
}

/// A batch of events from its verified header and its body, which is walked once.
pub(super) fn batch(
    header: &BatchHeader,
    body: Bytes,
    name: &StreamName,
) -> Result<Batch, FormatError> {
    let walked = Events::verify(&body, header.recorded_at, header.count);
    let walked = walked.map_err(|_| FormatError::Body)?;
    let head = BatchHead {
        stream: name.clone(),
        stream_id: header.stream_id,
        first_number: header.first_number,
        first_position: header.first_position,
        last_position: header.first_position + walked.positions - 1,
        count: header.count,
        recorded_at: header.recorded_at,
    };
    Ok(Batch::new(head, body))
}

fn damaged(source: Source<'_>, location: &Location, reason: &str, file: &str) -> StoreError {
    StoreError::Damaged {
        stream: format!("stream '{}'", source.name).into(),
        first: location.first_number,
        last: location.next_number() - 1,
        reason: reason.into(),
        file: file.into(),
        byte: u64::from(location.byte),
    }
}

fn file_of(location: &Location) -> String {
    crate::engine::local::segment::file_name(location.serial, location.generation)
}

pub(super) fn read_failed(segment: &Segment, error: &std::io::Error) -> StoreError {
    StoreError::ReadFailed {
        file: segment.name.as_ref().into(),
        reason: error.to_string().into(),
    }
}
