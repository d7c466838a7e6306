//! `XRANGE key start end [COUNT n]` and `XREVRANGE key end start [COUNT n]`.
//!
//! Alone, a range is sent in pieces as its client takes them, however long it is: what is visible
//! when it begins is what it gives. Inside EXEC it is one reply with the others, and bounded.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use meilies_protocol::{EventId, Version, XRange, writer};

use crate::command::Flow;
use crate::command::data::Scope;
use crate::command::pieces::{Pieces, send_alone};
use crate::context::Context;
use crate::engine::{DeletedNumbers, Form, Run, StoreError, StreamSummary, View};
use crate::limits::{EVENT_READ_BYTES_MAX, REPLY_BYTES_MAX};
use crate::output::Output;
use crate::session::Session;

/// Inside a transaction.
pub(in crate::command) fn write(
    view: &dyn View,
    request: &XRange,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let begin = out.len();
    match Part::of(view, request)? {
        None => write_nothing(view, request, scope.version, out)?,
        Some(part) => {
            writer::array_header(out, part.count());
            part.write_all(view, out)?;
        }
    }
    check_size(out, begin);
    Ok(())
}

/// As in Redis: a stream that is there gives nil to who wants none of its events.
fn write_nothing(
    view: &dyn View,
    request: &XRange,
    version: Version,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let wants_none = request.count.is_some_and(|count| count <= 0);
    match wants_none && view.stream(&request.key)?.is_some() {
        true => writer::null_array(out, version),
        false => writer::array_header(out, 0),
    }
    Ok(())
}

/// What of a stream is to be given. It stays so, whatever is deleted meanwhile.
#[derive(Clone, Debug)]
pub(in crate::command) struct Part {
    pub(in crate::command) stream: StreamSummary,
    pub(in crate::command) deleted: Arc<DeletedNumbers>,
    /// What is left.
    pub(in crate::command) numbers: Range<u64>,
    pub(in crate::command) reverse: bool,
}

impl Part {
    /// What an XRANGE asks for; `None` when that is nothing.
    pub(in crate::command) fn of(
        view: &dyn View,
        request: &XRange,
    ) -> Result<Option<Part>, StoreError> {
        let Some(stream) = view.stream(&request.key)? else {
            return Ok(None);
        };
        if request.from > request.to || request.count.is_some_and(|count| count <= 0) {
            return Ok(None);
        }
        let from = view.find(&stream, request.from)?.number;
        let end = match request.to.next() {
            Some(behind) => view.find(&stream, behind)?.number,
            None => stream.next_number(),
        };
        let deleted = view.deleted(&stream)?;
        let count = request.count.and_then(|count| u64::try_from(count).ok());
        let part = Part {
            stream,
            deleted,
            numbers: from..end.max(from),
            reverse: request.reverse,
        };
        Ok(Some(part.limited(count)))
    }

    /// The first `count` of it, in its direction.
    pub(in crate::command) fn limited(mut self, count: Option<u64>) -> Part {
        let Some(count) = count.filter(|count| *count < self.count() as u64) else {
            return self;
        };
        let Range { start, end } = self.numbers;
        self.numbers = match self.reverse {
            true => self.deleted.start_of_last(start, end, count)..end,
            false => start..self.deleted.end_of_first(start, end, count),
        };
        self
    }

    /// The first events of it that reach so many bytes on the wire, one at least; fewer where that
    /// needs more than one look at the log.
    pub(in crate::command) fn within_bytes(
        mut self,
        view: &dyn View,
        bytes_max: usize,
    ) -> Result<Part, StoreError> {
        let whole = self.numbers.clone();
        let mut runs = Vec::new();
        while runs.is_empty() && !self.numbers.is_empty() {
            runs = self.next(view)?;
        }
        let (mut bytes, mut count) = (BytesMut::new(), 0);
        for mut run in runs {
            if count > 0 && bytes.len() >= bytes_max {
                break;
            }
            let left = bytes_max.saturating_sub(bytes.len());
            count += run.take_written(Form::Read, self.reverse, left, &mut bytes);
        }
        self.numbers = whole;
        Ok(self.limited(Some(count as u64)))
    }

    /// How many events it has.
    pub(in crate::command) fn count(&self) -> usize {
        let numbers = self.numbers.clone();
        let count = (numbers.end - numbers.start) - self.deleted.count(numbers);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Takes the next events out of it. There may be none though some are left.
    pub(in crate::command) fn next(&mut self, view: &dyn View) -> Result<Vec<Run>, StoreError> {
        let numbers = self.numbers.clone();
        let whole = view.whole_runs(&self.stream, numbers, self.reverse, EVENT_READ_BYTES_MAX)?;
        match (whole.last(), self.reverse) {
            (None, _) => self.numbers.start = self.numbers.end,
            (Some(run), true) => {
                self.numbers.end = run.batch.first_number + u64::from(run.indexes.start);
            }
            (Some(run), false) => {
                self.numbers.start = run.batch.first_number + u64::from(run.indexes.end);
            }
        }
        Ok(Run::keep_all(whole, 0, Some(&self.deleted), self.reverse))
    }

    /// The ids of all its events.
    pub(in crate::command) fn ids(&self, view: &dyn View) -> Result<Vec<EventId>, StoreError> {
        let mut left = self.clone();
        let mut ids = Vec::new();
        while !left.numbers.is_empty() {
            for run in left.next(view)? {
                ids.extend(run.events().map(|event| event.id));
            }
        }
        Ok(ids)
    }

    /// Writes all of it, from one view.
    pub(in crate::command) fn write_all(
        mut self,
        view: &dyn View,
        out: &mut BytesMut,
    ) -> Result<(), StoreError> {
        while !self.numbers.is_empty() && !is_too_large(out) {
            // First all is found that fits: where a visit to the disk is needed, the command
            // begins anew, and then nothing was written in vain.
            let (mut runs, mut bytes) = (Vec::new(), 0);
            while !self.numbers.is_empty() && bytes <= REPLY_BYTES_MAX {
                let next = self.next(view)?;
                bytes += next.iter().map(|run| run.batch.body_bytes()).sum::<usize>();
                runs.extend(next);
            }
            for run in runs {
                if is_too_large(out) {
                    break;
                }
                match self.reverse {
                    true => run.write_reversed(Form::Entry, Version::Resp2, out),
                    false => out.extend_from_slice(&run.encoded(Form::Entry, Version::Resp2)),
                }
            }
        }
        Ok(())
    }
}

/// Whether what is written has grown too large for one piece: nothing more needs to be read for it.
pub(in crate::command) fn is_too_large(out: &BytesMut) -> bool {
    out.len() > REPLY_BYTES_MAX
}

/// Puts an error in the place of a reply that has grown too large for one piece, by itself or, in a
/// transaction, with those before it.
pub(in crate::command) fn check_size(out: &mut BytesMut, begin: usize) {
    if !is_too_large(out) {
        return;
    }
    let what = match out.len() - begin > REPLY_BYTES_MAX {
        true => "the reply takes",
        false => "the replies of a transaction take",
    };
    out.truncate(begin);
    let text = format!("ERR {what} more than {REPLY_BYTES_MAX} bytes: read less");
    writer::error(out, &text);
}

/// A range alone.
pub(in crate::command) fn alone(
    context: &Arc<Context>,
    session: &mut Session,
    request: XRange,
    out: &mut Output,
) -> Flow {
    let version = session.version;
    send_alone(context, session, out, move |view| {
        let mut header = BytesMut::new();
        let part = Part::of(view, &request)?;
        match &part {
            Some(part) => writer::array_header(&mut header, part.count()),
            None => write_nothing(view, &request, version, &mut header)?,
        }
        Ok(Pieces {
            form: Form::Entry,
            parts: part
                .map(|part| (header.clone(), part))
                .into_iter()
                .collect(),
            nothing: header,
        })
    })
}
