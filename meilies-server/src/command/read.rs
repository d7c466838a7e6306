//! `READ-EVENTS spec [COUNT n] [BYTES n] [REVERSE]`, `LAST-EVENT-NUMBER stream`, `STREAM-NAMES
//! [pattern]`.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use meilies_protocol::{From, Source, Spec, StreamName, Version, glob, writer};

use super::data::Scope;
use super::pieces::{Pieces, send_alone};
use super::stream::range::Part;
use super::{Flow, Next, blocking, store_error};
use crate::context::Context;
use crate::engine::{
    Access, Form, ReadOutcome, ReadRequest, ReadSource, Run, StoreError, StreamsPage, View,
};
use crate::limits::{EVENT_READ_BYTES_MAX, NAMES_REPLY_BYTES_MAX, STREAMS_PAGE_MAX};
use crate::output::Output;
use crate::session::Session;

/// `LAST-EVENT-NUMBER stream`
pub(super) fn last_number(
    view: &dyn View,
    stream: &StreamName,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let tail = match stream.as_bytes() == Source::All.as_bytes() {
        true => view.next_position().checked_sub(1),
        false => view.stream(stream)?.and_then(|stream| stream.tail),
    };
    match tail {
        Some(number) => writer::number(out, number),
        None => writer::nil(out, scope.version),
    }
    Ok(())
}

/// `STREAM-NAMES [pattern]`
pub(super) fn names(
    view: &dyn View,
    pattern: Option<&[u8]>,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let mut names = BytesMut::new();
    let mut count = 0;
    let mut after = None;
    loop {
        let mut page = view.streams(&StreamsPage::ByName(after), STREAMS_PAGE_MAX)?;
        for stream in &page {
            let name = stream.name.as_bytes();
            if pattern.is_none_or(|pattern| glob::matches(pattern, name)) {
                writer::bulk(&mut names, name);
                count += 1;
            }
        }
        if names.len() > NAMES_REPLY_BYTES_MAX {
            let text = format!(
                "ERR the names take more than {NAMES_REPLY_BYTES_MAX} bytes: \
                 use a pattern or SCAN"
            );
            writer::error(out, &text);
            return Ok(());
        }
        let Some(last) = page.pop() else {
            writer::array_header(out, count);
            out.extend_from_slice(&names);
            return Ok(());
        };
        after = Some(last.name);
    }
}

/// The arguments of READ-EVENTS.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) spec: Spec,
    pub(super) count: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) reverse: bool,
}

/// `READ-EVENTS spec [COUNT n] [BYTES n] [REVERSE]`
pub(super) fn read_events(
    context: &Arc<Context>,
    session: &mut Session,
    wanted: Wanted,
    out: &mut Output,
) -> Flow {
    let Wanted {
        spec,
        count,
        bytes,
        reverse,
    } = wanted;
    let from = match spec.from {
        None => 0,
        Some(From::Number(number)) => number,
        // Events after this command are not there yet.
        Some(From::New) => u64::MAX,
    };
    let until = spec.until.unwrap_or(u64::MAX);
    let bytes = bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX).max(1));
    match &spec.source {
        Source::All => {
            let until = until.min(context.event_log.visible());
            let reading = Reading {
                from,
                until: until.max(from),
                left: count.unwrap_or(u64::MAX),
                bytes,
                reverse,
                begun: false,
                verified: false,
            };
            reading.begin(context, out)
        }
        Source::Stream(name) => {
            let name = name.clone();
            send_alone(context, session, out, move |view| {
                let part = part(view, &name, from..until, count, reverse)?;
                let mut header = BytesMut::new();
                let part = match (part, bytes) {
                    (Some(part), Some(bytes)) => Some(part.within_bytes(view, bytes)?),
                    (part, _) => part,
                };
                writer::array_header(&mut header, part.as_ref().map_or(0, Part::count));
                Ok(Pieces {
                    form: Form::Read,
                    parts: part
                        .map(|part| (header.clone(), part))
                        .into_iter()
                        .collect(),
                    nothing: header,
                })
            })
        }
    }
}

/// What of a stream is asked for, if it is there.
fn part(
    view: &dyn View,
    name: &StreamName,
    numbers: Range<u64>,
    count: Option<u64>,
    reverse: bool,
) -> Result<Option<Part>, StoreError> {
    let Some(stream) = view.stream(name)? else {
        return Ok(None);
    };
    let from = numbers.start.max(stream.first);
    let part = Part {
        deleted: view.deleted(&stream)?,
        numbers: from..numbers.end.min(stream.next_number()).max(from),
        stream,
        reverse,
    };
    let part = part.limited(count);
    Ok((part.count() > 0).then_some(part))
}

/// A reply with events of all streams, made in pieces as the client takes them. Its length is told
/// first. What does not fit one piece is read twice: once to see that all of it can be read and
/// how much it is, then to send it.
#[derive(Debug)]
struct Reading {
    /// Invariant: the positions from here to before `until` are still to be sent.
    from: u64,
    until: u64,
    /// How many events are still to be sent, at most.
    left: u64,
    /// Where said: one piece is enough, and no more of it than reaches so many bytes.
    bytes: Option<usize>,
    reverse: bool,
    /// Whether all of it was read once, and `left` is exact.
    verified: bool,
    begun: bool,
}

impl Reading {
    fn begin(self, context: &Arc<Context>, out: &mut Output) -> Flow {
        if self.from < self.until && self.left > 0 {
            return self.next_piece(context);
        }
        writer::array_header(out.buffer(), 0);
        Flow::Done
    }

    fn request(&self) -> ReadRequest {
        ReadRequest {
            source: ReadSource::All,
            stream_id: None,
            from: self.from,
            until: Some(self.until),
            bytes_max: EVENT_READ_BYTES_MAX.min(self.bytes.unwrap_or(usize::MAX)),
            reverse: self.reverse,
        }
    }

    /// Moves behind what was read. Returns the events that are wanted of it.
    fn take(&mut self, outcome: ReadOutcome) -> Vec<Run> {
        let mut runs = Vec::with_capacity(outcome.runs.len());
        for mut run in outcome.runs {
            let wanted = u32::try_from(self.left).unwrap_or(u32::MAX);
            if self.reverse {
                let start = run.indexes.end.saturating_sub(wanted);
                run.indexes.start = run.indexes.start.max(start);
            } else {
                let end = run.indexes.start.saturating_add(wanted);
                run.indexes.end = run.indexes.end.min(end);
            }
            self.left -= u64::from(run.count());
            if run.count() > 0 {
                runs.push(run);
            }
        }
        match self.reverse {
            true => self.until = outcome.next,
            false => self.from = outcome.next,
        }
        runs
    }

    fn is_done(&self) -> bool {
        self.left == 0 || self.from >= self.until
    }

    /// Reads all of it without sending, on a thread that may wait.
    fn verify(mut self, context: &Arc<Context>) -> Flow {
        let mut ahead = Reading { ..self };
        blocking(
            context,
            move |engine| {
                let mut count = 0;
                while !ahead.is_done() {
                    let outcome = engine.read(&ahead.request(), Access::Disk)?;
                    count += ahead
                        .take(outcome)
                        .iter()
                        .map(|run| u64::from(run.count()))
                        .sum::<u64>();
                }
                Ok(count)
            },
            move |count: Result<u64, StoreError>, context, _session, out| match count {
                Ok(0) => {
                    writer::array_header(out.buffer(), 0);
                    Flow::Done
                }
                Ok(count) => {
                    self.left = count;
                    self.verified = true;
                    self.next_piece(context)
                }
                Err(error) => self.fail(&error, out),
            },
        )
    }

    fn next_piece(self, context: &Arc<Context>) -> Flow {
        let request = self.request();
        let log = context.event_log.clone();
        Flow::Later(Box::pin(async move {
            let outcome = log.read(request).await;
            let next: Next = Box::new(move |context, _session, out| match outcome {
                Ok(outcome) => self.send(context, outcome, out),
                Err(error) => self.fail(&error, out),
            });
            next
        }))
    }

    fn send(mut self, context: &Arc<Context>, outcome: ReadOutcome, out: &mut Output) -> Flow {
        let before = Reading { ..self };
        let runs = self.take(outcome);
        if let Some(bytes) = self.bytes {
            if runs.is_empty() && !self.is_done() {
                return self.next_piece(context);
            }
            return send_some(&runs, bytes, self.reverse, out);
        }
        if !self.begun {
            if !self.is_done() && !self.verified {
                return before.verify(context);
            }
            let count = match self.verified {
                true => before.left,
                false => runs.iter().map(|run| u64::from(run.count())).sum(),
            };
            self.begun = true;
            // A reply of more elements than memory has bytes cannot be asked for.
            writer::array_header(out.buffer(), usize::try_from(count).unwrap_or(usize::MAX));
        }
        for run in runs {
            match self.reverse {
                true => run.write_reversed(Form::Read, Version::Resp2, out.buffer()),
                false => out.push_shared(run.encoded(Form::Read, Version::Resp2)),
            }
        }
        match self.is_done() {
            // Some of what was counted is deleted by now.
            true if self.verified && self.left > 0 => self.fail(&StoreError::Closed, out),
            true => Flow::Done,
            false => self.next_piece(context),
        }
    }

    /// Before the first element an error is a reply. After it the client waits for elements that
    /// cannot come, and only the end of the connection tells it so.
    fn fail(&self, error: &StoreError, out: &mut Output) -> Flow {
        if !self.begun {
            writer::error(out.buffer(), &store_error(error));
            return Flow::Done;
        }
        tracing::error!(%error, "a reply was cut short");
        Flow::Close
    }
}

/// Replies with the first events of what was read: as many as reach `bytes`, one at least.
fn send_some(runs: &[Run], bytes: usize, reverse: bool, out: &mut Output) -> Flow {
    let (mut events, mut count) = (BytesMut::new(), 0);
    for run in runs {
        if count > 0 && events.len() >= bytes {
            break;
        }
        let left = bytes.saturating_sub(events.len());
        count += run
            .clone()
            .take_written(Form::Read, reverse, left, &mut events);
    }
    writer::array_header(out.buffer(), count);
    out.push_shared(events.freeze());
    Flow::Done
}
