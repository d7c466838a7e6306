//! `MEMORY USAGE` and `OBJECT`: what is known of how a stream is kept.
//!
//! A stream takes the bytes of its name and of its events: their names and values, and an id each.
//! What it takes is estimated from events that are spread evenly over it, unless all are asked for:
//! then they are read page by page.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{MemoryRequest, ObjectRequest, StreamName, table, writer};

use crate::command::data::{Scope, all, finish};
use crate::command::{Flow, blocking, look, looking, store_error};
use crate::context::Context;
use crate::engine::{Access, EventRef, Run, StoreError, StreamSummary, View};
use crate::limits::{EVENT_READ_BYTES_MAX, MEMORY_SAMPLES_MAX};
use crate::session::{Output, Session};

/// Events that are looked at where nothing is said, as in Redis.
const SAMPLES: u64 = 5;

/// Bytes of an event beside its names and values: its id.
const ID_BYTES: u64 = 16;

const NO_FREQUENCY: &str = "ERR An LFU maxmemory policy is not selected, access frequency not \
                            tracked. Please note that when switching between policies at runtime \
                            LRU and LFU data will take some time to adjust.";

const NO_TIME: &str = "ERR all events of the stream are deleted: when it was last written to is \
                       not known";

/// `MEMORY …`, alone.
pub(crate) fn memory(
    context: &Arc<Context>,
    session: &mut Session,
    request: MemoryRequest,
    out: &mut Output,
) -> Flow {
    let scope = Scope::of(context, session);
    let whole = match &request {
        MemoryRequest::Usage { key, samples } => {
            (sample_count(*samples) > MEMORY_SAMPLES_MAX).then(|| key.clone())
        }
        MemoryRequest::Help => None,
    };
    let find = move |view: &dyn View| {
        let stream = match &whole {
            Some(key) => stream(view, key)?,
            None => None,
        };
        let mut reply = BytesMut::new();
        if stream.is_none() {
            write_memory(view, &request, scope, &mut reply)?;
        }
        Ok((stream, reply))
    };
    looking(
        context,
        session,
        out,
        find,
        |found, context, _session, out| match found {
            Ok((Some(stream), _)) => Counting::begin(stream).go_on(context),
            Ok((None, reply)) => finish(Ok(reply), out),
            Err(error) => finish(Err(error), out),
        },
    )
}

/// `MEMORY …`, from what one look sees: at most [`MEMORY_SAMPLES_MAX`] events.
pub(crate) fn write_memory(
    view: &dyn View,
    request: &MemoryRequest,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    match request {
        MemoryRequest::Usage { key, samples } => match stream(view, key)? {
            Some(stream) => {
                let samples = sample_count(*samples).min(MEMORY_SAMPLES_MAX);
                writer::number(out, estimate(view, &stream, samples)?);
            }
            None => writer::nil(out, scope.version),
        },
        MemoryRequest::Help => {
            let command = table::find(b"memory").expect("MEMORY is in the table: it was parsed");
            table::write_help(out, command);
        }
    }
    Ok(())
}

/// How many events to look at: 0 means all.
fn sample_count(samples: Option<u64>) -> u64 {
    match samples {
        None => SAMPLES,
        Some(0) => u64::MAX,
        Some(samples) => samples,
    }
}

fn stream(view: &dyn View, key: &Bytes) -> Result<Option<StreamSummary>, StoreError> {
    match StreamName::parse(key.clone()) {
        Ok(name) => view.stream(&name),
        // What cannot be a stream's name is none.
        Err(_) => Ok(None),
    }
}

fn estimate(view: &dyn View, stream: &StreamSummary, samples: u64) -> Result<u64, StoreError> {
    let (begin, end) = (stream.first, stream.next_number());
    let count = samples.min(end - begin);
    // The ends are among them.
    let spread = |sample: u64| match count {
        0 | 1 => begin,
        count => {
            let among = u128::from(end - 1 - begin) * u128::from(sample) / u128::from(count - 1);
            begin + u64::try_from(among).expect("it is below the number of events")
        }
    };
    let seen = all((0..count).map(|sample| {
        let number = spread(sample);
        let (runs, _) = view.runs(stream, number..number + 1, false, 1)?;
        let events = runs.iter().flat_map(Run::events);
        Ok(events.map(|event| event_bytes(&event)).next())
    }))?;
    let seen: Vec<u64> = seen.into_iter().flatten().collect();
    let bytes = u128::from(seen.iter().sum::<u64>()) * u128::from(stream.length());
    let bytes = bytes.checked_div(seen.len() as u128).unwrap_or(0);
    Ok(name_bytes(stream).saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)))
}

fn name_bytes(stream: &StreamSummary) -> u64 {
    stream.name.as_bytes().len() as u64
}

fn event_bytes(event: &EventRef<'_>) -> u64 {
    let fields = event.fields().map(|(name, value)| name.len() + value.len());
    ID_BYTES + fields.sum::<usize>() as u64
}

/// All events of a stream, page by page.
struct Counting {
    stream: StreamSummary,
    next: u64,
    bytes: u64,
}

impl Counting {
    fn begin(stream: StreamSummary) -> Counting {
        Counting {
            next: stream.first,
            bytes: name_bytes(&stream),
            stream,
        }
    }

    fn go_on(mut self, context: &Arc<Context>) -> Flow {
        blocking(
            context,
            move |engine| {
                let end = self.stream.next_number();
                let page = look(engine, Access::Disk, &|view| {
                    view.runs(&self.stream, self.next..end, false, EVENT_READ_BYTES_MAX)
                });
                page.map(|(runs, next)| {
                    let events = runs.iter().flat_map(Run::events);
                    self.bytes += events.map(|event| event_bytes(&event)).sum::<u64>();
                    self.next = next;
                    self
                })
            },
            |counted, context, _session, out| match counted {
                Ok(counting) if counting.next < counting.stream.next_number() => {
                    counting.go_on(context)
                }
                Ok(counting) => {
                    writer::number(out.buffer(), counting.bytes);
                    Flow::Done
                }
                Err(error) => {
                    writer::error(out.buffer(), &store_error(&error));
                    Flow::Done
                }
            },
        )
    }
}

/// `OBJECT …`
pub(crate) fn write_object(
    view: &dyn View,
    request: &ObjectRequest,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let key = match request {
        ObjectRequest::Help => {
            let command = table::find(b"object").expect("OBJECT is in the table: it was parsed");
            table::write_help(out, command);
            return Ok(());
        }
        ObjectRequest::Encoding { key }
        | ObjectRequest::Frequency { key }
        | ObjectRequest::IdleTime { key }
        | ObjectRequest::ReferenceCount { key } => key,
    };
    let Some(stream) = stream(view, key)? else {
        writer::nil(out, scope.version);
        return Ok(());
    };
    match request {
        ObjectRequest::Encoding { .. } => writer::bulk(out, b"stream"),
        ObjectRequest::ReferenceCount { .. } => writer::number(out, 1),
        ObjectRequest::IdleTime { .. } => match written_at(view, &stream)?.max(scope.used_at) {
            Some(at_ms) => writer::number(out, view.now_ms().saturating_sub(at_ms) / 1000),
            None => writer::error(out, NO_TIME),
        },
        ObjectRequest::Frequency { .. } | ObjectRequest::Help => writer::error(out, NO_FREQUENCY),
    }
    Ok(())
}

/// When the last event was added that is still in the log, or the stream was created; `None` when
/// neither is known any more.
fn written_at(view: &dyn View, stream: &StreamSummary) -> Result<Option<u64>, StoreError> {
    let Some(tail) = stream.tail else {
        return Ok(Some(stream.created_at));
    };
    if tail < stream.first {
        return Ok(None);
    }
    // Also of a deleted event it is known when it was added.
    let runs = view.whole_runs(stream, tail..tail + 1, false, 1)?;
    let events = runs.iter().flat_map(|run| run.batch.events());
    let last = events.filter(|event| event.number == tail).last();
    Ok(last.map(|event| event.recorded_at))
}
