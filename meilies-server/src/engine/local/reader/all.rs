//! Reads of all streams in commit order: the log itself, from a noted position on.

use std::collections::HashMap;
use std::sync::Arc;

use super::below;
use super::load::{batch, read_failed};
use crate::engine::batch::Batch;
use crate::engine::local::commit::{FormatError, Kind, batches};
use crate::engine::local::log::CommitPlace;
use crate::engine::local::scan::{Scanner, Step};
use crate::engine::local::segment::SEGMENT_HEADER_BYTES;
use crate::engine::local::shared::{Shared, index_failed};
use crate::engine::{Access, DeletedNumbers, ReadOutcome, ReadRequest, Run, StoreError};

/// How much of the log is read at a time.
const WINDOW_BYTES: usize = 256 * 1024;
/// How many positions a backward read takes from memory at a time.
const BACKWARD_POSITIONS: u64 = 1024;

pub(super) fn read(
    shared: &Shared,
    request: &ReadRequest,
    access: Access,
) -> Result<ReadOutcome, StoreError> {
    let visible = shared.live().end.next_position;
    let tail = visible.checked_sub(1);
    let below = below(request, tail);
    let mut outcome = ReadOutcome {
        runs: Vec::new(),
        next: request.from,
        tail,
        stream_id: None,
        visible,
    };
    if request.from >= below {
        return Ok(outcome);
    }
    let part = match from_memory(shared, request, below) {
        Some(found) => found,
        None if access == Access::Memory => return Err(StoreError::WouldBlock),
        None => from_log(shared, request, below)?,
    };
    outcome.runs = part.runs;
    outcome.next = if request.reverse {
        part.start
    } else {
        part.end
    };
    if request.reverse {
        outcome.runs.reverse();
    }
    Ok(outcome)
}

/// Ascending runs of all that is kept from one position up to another.
struct Part {
    start: u64,
    end: u64,
    runs: Vec<Run>,
}

/// What memory has.
fn from_memory(shared: &Shared, request: &ReadRequest, below: u64) -> Option<Part> {
    let live = shared.live();
    let mut start = request.from;
    let mut bytes_max = request.bytes_max;
    if request.reverse {
        let first = live.recent.first_position()?;
        start = start
            .max(first)
            .max(below.saturating_sub(BACKWARD_POSITIONS));
        bytes_max = usize::MAX;
        if start >= below {
            return None;
        }
    }
    let (runs, end) = live.recent.all_runs(start, below, bytes_max)?;
    Some(Part { start, end, runs })
}

/// What the log has.
fn from_log(shared: &Shared, request: &ReadRequest, below: u64) -> Result<Part, StoreError> {
    let sought = if request.reverse {
        below - 1
    } else {
        request.from
    };
    let (noted, place) = place(shared, sought)?;
    let mut walk = Walk {
        shared,
        scanner: scanner(shared, place)?,
        position: noted,
        below,
        bytes: 0,
        runs: Vec::new(),
        has_deletions: shared.live().end.has_deletions,
        streams: HashMap::new(),
    };
    let start = match request.reverse {
        false => request.from,
        true => request.from.max(noted),
    };
    let bytes_max = if request.reverse {
        usize::MAX
    } else {
        request.bytes_max
    };
    let mut damaged = false;
    while walk.position < below && walk.bytes < bytes_max {
        match walk.commit(start) {
            Ok(()) => {}
            // What was read before the damage is given; the next read meets it first.
            Err(_) if walk.position > start && !request.reverse => {
                damaged = true;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    if !request.reverse && !damaged && walk.position < below {
        let header = &walk.scanner.segment().header;
        let byte = u32::try_from(walk.scanner.at()).expect("segments are below 4 GiB");
        let (serial, generation) = (header.serial, header.generation);
        let place = CommitPlace {
            serial,
            generation,
            byte,
        };
        shared.resume_places.put(walk.position, place);
    }
    let end = walk.position.min(below).max(start);
    Ok(Part {
        start,
        end,
        runs: walk.runs,
    })
}

/// A commit at or before the position.
fn place(shared: &Shared, position: u64) -> Result<(u64, CommitPlace), StoreError> {
    if let Some(place) = shared.resume_places.take(position) {
        return Ok((position, place));
    }
    {
        let live = shared.live();
        let frozen = live.frozen.as_ref();
        let found = live
            .pending
            .position(position)
            .or_else(|| frozen.and_then(|frozen| frozen.changes.position(position)));
        if let Some((noted, row)) = found {
            return Ok((noted, row.place));
        }
    }
    let found = shared.index.position(position).map_err(index_failed)?;
    if let Some((noted, row)) = found {
        return Ok((noted, row.place));
    }
    let segments = shared.log.segments();
    let first = segments.first();
    let first = first.ok_or_else(|| lost(position, "is empty", "log", 0))?;
    let place = CommitPlace {
        serial: first.header.serial,
        generation: first.header.generation,
        byte: u32::try_from(SEGMENT_HEADER_BYTES).expect("a header is small"),
    };
    Ok((first.header.first_position, place))
}

fn scanner(shared: &Shared, place: CommitPlace) -> Result<Scanner, StoreError> {
    let segment = shared
        .log
        .segment(place.serial)
        .ok_or_else(|| lost(0, "is missing", "a segment", place.serial.into()))?;
    Ok(Scanner::new(segment, place.byte.into(), WINDOW_BYTES))
}

/// A walk over commits from a noted position on.
struct Walk<'a> {
    shared: &'a Shared,
    scanner: Scanner,
    /// First position of the next commit.
    position: u64,
    below: u64,
    bytes: usize,
    runs: Vec<Run>,
    has_deletions: bool,
    /// What is kept of the streams that were met, if there is anything of them.
    streams: HashMap<u64, Option<(u64, Arc<DeletedNumbers>)>>,
}

/// The first number that is kept of a stream, and which behind it are deleted; `None` when the
/// stream is.
fn kept(shared: &Shared, id: u64) -> Result<Option<(u64, Arc<DeletedNumbers>)>, StoreError> {
    let Some(stream) = shared.row(id, Access::Disk)? else {
        return Ok(None);
    };
    if stream.deleted > 0 {
        shared.load_deleted(id)?;
    }
    let deleted = shared.live().deleted.get(&id).cloned();
    Ok(Some((stream.first, deleted.unwrap_or_default())))
}

impl Walk<'_> {
    /// Takes the next commit's events from position `from` on; at the end of a segment turns to
    /// the next.
    fn commit(&mut self, from: u64) -> Result<(), StoreError> {
        let segment = Arc::clone(self.scanner.segment());
        let step = self
            .scanner
            .next()
            .map_err(|error| read_failed(&segment, &error))?;
        let (header, at, body) = match step {
            Step::Commit { header, at, body } => (header, at, body),
            Step::Other { at, error } => return self.next_segment(at, error),
        };
        if header.first_position != self.position {
            return Err(self.lost("events before this commit are missing", at));
        }
        let (found, events) = match self.events(&body) {
            Ok(read) => read,
            Err(reason) => return self.pass_by(&reason, at, from),
        };
        self.position += events;
        if self.position > from {
            self.bytes += body.len();
            let mut runs = Vec::new();
            Run::in_commit_order(&found, from, self.below, &mut runs);
            for run in runs {
                self.keep(run)?;
            }
        }
        Ok(())
    }

    /// Adds the part of a run that is not deleted.
    fn keep(&mut self, run: Run) -> Result<(), StoreError> {
        if !self.has_deletions {
            self.runs.push(run);
            return Ok(());
        }
        let id = run.batch.stream_id;
        if !self.streams.contains_key(&id) {
            let kept = kept(self.shared, id)?;
            self.streams.insert(id, kept);
        }
        if let Some(Some((first, deleted))) = self.streams.get(&id) {
            run.keep(*first, Some(deleted), &mut self.runs);
        }
        Ok(())
    }

    /// The commit's batches of events, verified, and how many positions they take.
    fn events(&self, body: &bytes::Bytes) -> Result<(Vec<Arc<Batch>>, u64), String> {
        let mut found = Vec::new();
        let mut events = 0;
        for part in batches(body) {
            let part = part.map_err(|error| error.to_string())?;
            if part.header.kind == Kind::Events {
                events += part.header.events();
                let batch = self.batch(&part.header, body.slice_ref(part.body))?;
                found.extend(batch.map(Arc::new));
            }
        }
        Ok((found, events))
    }

    /// Goes on behind a damaged commit when none of its events is wanted.
    fn pass_by(&mut self, reason: &str, at: u64, from: u64) -> Result<(), StoreError> {
        let error = self.lost(reason, at);
        let behind = self.scanner.at();
        let Ok(Step::Commit { header, .. }) = self.scanner.next() else {
            return Err(error);
        };
        if header.first_position > from {
            return Err(error.up_to(header.first_position));
        }
        self.position = header.first_position;
        self.scanner.seek(behind);
        Ok(())
    }

    fn batch(
        &self,
        header: &crate::engine::local::commit::BatchHeader,
        body: bytes::Bytes,
    ) -> Result<Option<Batch>, String> {
        let name = self.shared.name(header.stream_id);
        match name.map_err(|error| error.to_string())? {
            Some(name) => batch(header, body, &name)
                .map(Some)
                .map_err(|error| error.to_string()),
            // Where damage took a stream's name it was given another: this one is deleted.
            None => Ok(None),
        }
    }

    fn next_segment(&mut self, at: u64, error: FormatError) -> Result<(), StoreError> {
        let serial = self.scanner.segment().header.serial;
        match self.shared.log.segment_after(serial) {
            Some(next) if next.header.first_position == self.position => {
                self.scanner = Scanner::new(next, SEGMENT_HEADER_BYTES, WINDOW_BYTES);
                Ok(())
            }
            _ => Err(self.lost(&error.to_string(), at)),
        }
    }

    fn lost(&self, reason: &str, at: u64) -> StoreError {
        lost(self.position, reason, &self.scanner.segment().name, at)
            .up_to(self.first_position_after(at))
    }

    /// Where reading can go on after damage at this byte: known damage says, else the next segment.
    fn first_position_after(&self, at: u64) -> u64 {
        let serial = self.scanner.segment().header.serial;
        let damage = self.shared.damage();
        let known = damage
            .iter()
            .find(|place| {
                place.serial == serial && place.byte >= at && place.positions.1 > self.position
            })
            .map(|place| place.positions.1);
        let next_segment = || {
            let next = self.shared.log.segment_after(serial);
            next.map(|segment| segment.header.first_position)
        };
        known.or_else(next_segment).unwrap_or(self.below)
    }
}

fn lost(position: u64, reason: &str, file: &str, byte: u64) -> StoreError {
    StoreError::Damaged {
        stream: "positions".into(),
        first: position,
        last: position,
        reason: reason.into(),
        file: file.into(),
        byte,
    }
}

impl StoreError {
    /// The same damage, reaching up to this number, exclusive.
    fn up_to(mut self, end: u64) -> StoreError {
        if let StoreError::Damaged { first, last, .. } = &mut self {
            *last = end.saturating_sub(1).max(*first);
        }
        self
    }
}
