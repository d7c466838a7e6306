//! `XREAD [COUNT n] [BLOCK ms] [MAXCOUNT n] [MAXSIZE bytes] STREAMS key … id …`

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use meilies_protocol::{EventId, ReadFrom, StreamName, UnblockReason, Version, XRead, writer};

use super::range::{Part, check_size};
use crate::command::data::{Scope, all};
use crate::command::pieces::{Pieces, begin, send_alone};
use crate::command::{Flow, Next, look, looking};
use crate::context::Context;
use crate::engine::{Access, Form, StoreError, View};
use crate::event_log::{EventLog, Waiter};
use crate::output::Output;
use crate::session::Session;

/// Inside a transaction, where it never waits.
pub(in crate::command) fn write_all(
    view: &dyn View,
    request: &XRead,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let begin = out.len();
    let parts = parts(view, request)?;
    if parts.is_empty() {
        writer::null_array(out, scope.version);
        return Ok(());
    }
    write_header(out, scope.version, parts.len());
    for (key, part) in parts {
        write_stream(out, scope.version, &key, part.count());
        part.write_all(view, out)?;
    }
    check_size(out, begin);
    Ok(())
}

/// Alone: it waits if it is to and there is nothing.
pub(in crate::command) fn alone(
    context: &Arc<Context>,
    session: &mut Session,
    request: XRead,
    out: &mut Output,
) -> Flow {
    let version = session.version;
    let Some(block_ms) = request.block_ms else {
        return send_alone(context, session, out, move |view| {
            pieces(view, &request, version)
        });
    };
    let find = move |view: &dyn View| {
        let waiting = XRead {
            streams: from_now_on(view, &request.streams)?,
            ..request.clone()
        };
        Ok((pieces(view, &request, version)?, waiting))
    };
    looking(
        context,
        session,
        out,
        find,
        move |found, context, session, out| match found {
            Ok((pieces, waiting)) if pieces.parts.is_empty() => {
                wait(context, session, waiting, block_ms)
            }
            found => begin(context, found.map(|(pieces, _)| pieces), out),
        },
    )
}

/// What is waited for: for `$` what comes after the events that are there now. There is none where
/// the last one is wanted: that is then the last of those that come.
fn from_now_on(
    view: &dyn View,
    streams: &[(StreamName, ReadFrom)],
) -> Result<Vec<(StreamName, ReadFrom)>, StoreError> {
    let resolved = streams.iter().map(|(key, from)| match from {
        ReadFrom::After(_) | ReadFrom::Last => Ok((key.detached(), *from)),
        ReadFrom::New => {
            let stream = view.stream(key)?;
            let last_id = stream.map_or(EventId::MIN, |stream| stream.last_id);
            Ok((key.detached(), ReadFrom::After(last_id)))
        }
    });
    all(resolved)
}

fn wait(context: &Arc<Context>, session: &Session, request: XRead, block_ms: u64) -> Flow {
    let version = session.version;
    let log = context.event_log.clone();
    let streams = request.streams.iter().map(|(key, _)| key.detached());
    let waiter = Waiter::new(&log, session.client.inbox(), streams.collect(), None);
    let found = async move { found(&log, waiter, &Arc::new(request), version).await };
    blocked(found, block_ms, version, begin)
}

/// Waits until something is found, until the time is over, or until it shall wait no longer.
/// `answer` says what was found.
pub(in crate::command) fn blocked<T: Send + 'static>(
    found: impl Future<Output = Result<T, UnblockReason>> + Send + 'static,
    block_ms: u64,
    version: Version,
    answer: impl FnOnce(&Arc<Context>, T, &mut Output) -> Flow + Send + 'static,
) -> Flow {
    Flow::Blocked(Box::pin(async move {
        let time_out = async {
            match block_ms {
                0 => std::future::pending().await,
                ms => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
        };
        let found = tokio::select! {
            found = found => found,
            () = time_out => Err(UnblockReason::Timeout),
        };
        let next: Next = Box::new(move |context, _session, out| match found {
            Ok(found) => answer(context, found, out),
            Err(UnblockReason::Timeout) => {
                writer::null_array(out.buffer(), version);
                Flow::Done
            }
            Err(UnblockReason::Error) => {
                let text = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
                writer::error(out.buffer(), text);
                Flow::Done
            }
        });
        next
    }))
}

/// Looks again and again until there is something, or until it shall wait no longer.
async fn found(
    log: &EventLog,
    mut waiter: Waiter,
    request: &Arc<XRead>,
    version: Version,
) -> Result<Result<Pieces, StoreError>, UnblockReason> {
    loop {
        let moment = log.moment();
        let request = Arc::clone(request);
        match look_async(log, move |view| pieces(view, &request, version)).await {
            Ok(found) if found.parts.is_empty() => {}
            found => return Ok(found),
        }
        if let Some(reason) = waiter.sleep(moment).await {
            return Err(reason);
        }
    }
}

/// Looks at once if memory has what it needs, else on a thread that may wait for the disk.
pub(in crate::command) async fn look_async<T: Send + 'static>(
    log: &EventLog,
    find: impl Fn(&dyn View) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match look(&**log.engine(), Access::Memory, &find) {
        Err(StoreError::WouldBlock) => {
            let engine = Arc::clone(log.engine());
            let looked = tokio::task::spawn_blocking(move || look(&*engine, Access::Disk, &find));
            looked.await.unwrap_or(Err(StoreError::Closed))
        }
        found => found,
    }
}

/// The reply of what there is.
fn pieces(view: &dyn View, request: &XRead, version: Version) -> Result<Pieces, StoreError> {
    let parts = parts(view, request)?;
    let mut nothing = BytesMut::new();
    writer::null_array(&mut nothing, version);
    let mut header = BytesMut::new();
    write_header(&mut header, version, parts.len());
    let parts = parts.into_iter().map(|(key, part)| {
        let mut header = std::mem::take(&mut header);
        write_stream(&mut header, version, &key, part.count());
        (header, part)
    });
    Ok(Pieces {
        form: Form::Entry,
        parts: parts.collect(),
        nothing,
    })
}

pub(in crate::command) fn write_header(out: &mut BytesMut, version: Version, streams: usize) {
    match version {
        Version::Resp2 => writer::array_header(out, streams),
        Version::Resp3 => writer::map_header(out, version, streams),
    }
}

pub(in crate::command) fn write_stream(
    out: &mut BytesMut,
    version: Version,
    key: &StreamName,
    events: usize,
) {
    if version == Version::Resp2 {
        writer::array_header(out, 2);
    }
    writer::bulk(out, key.as_bytes());
    writer::array_header(out, events);
}

/// What is to be given of each stream that has anything, in the order of the command.
fn parts(view: &dyn View, request: &XRead) -> Result<Vec<(StreamName, Part)>, StoreError> {
    let mut parts = Vec::new();
    let mut left = request.max_count.unwrap_or(u64::MAX);
    for (key, from) in &request.streams {
        if left == 0 {
            break;
        }
        let count = request.count.unwrap_or(u64::MAX).min(left);
        if let Some(part) = part(view, key, *from, count)? {
            left -= part.count() as u64;
            parts.push((key.clone(), part));
        }
    }
    if let Some(bytes) = request.max_size {
        limit_bytes(view, &mut parts, bytes)?;
    }
    Ok(parts)
}

fn part(
    view: &dyn View,
    key: &StreamName,
    from: ReadFrom,
    count: u64,
) -> Result<Option<Part>, StoreError> {
    let Some(stream) = view.stream(key)? else {
        return Ok(None);
    };
    let end = stream.next_number();
    let numbers = match from {
        ReadFrom::New => return Ok(None),
        ReadFrom::After(EventId::MAX) => end..end,
        ReadFrom::After(id) => {
            let behind = id.next().unwrap_or(EventId::MAX);
            view.find(&stream, behind)?.number..end
        }
        ReadFrom::Last => match view.ends(&stream)? {
            Some((_, last)) => last..last + 1,
            None => end..end,
        },
    };
    let deleted = view.deleted(&stream)?;
    let part = Part {
        stream,
        deleted,
        numbers,
        reverse: false,
    };
    let part = part.limited(Some(count));
    Ok((part.count() > 0).then_some(part))
}

/// Takes away what is too much: all that is given together has no more bytes of fields than this,
/// but for the first event.
fn limit_bytes(
    view: &dyn View,
    parts: &mut Vec<(StreamName, Part)>,
    bytes_max: u64,
) -> Result<(), StoreError> {
    let mut bytes = 0;
    let mut is_first = true;
    for (_, part) in parts.iter_mut() {
        let mut left = part.clone();
        let mut end = part.numbers.start;
        'part: while !left.numbers.is_empty() {
            for run in left.next(view)? {
                for event in run.events() {
                    let fields = event.fields();
                    bytes += fields
                        .map(|(name, value)| name.len() + value.len())
                        .sum::<usize>();
                    if bytes as u64 > bytes_max && !is_first {
                        break 'part;
                    }
                    is_first = false;
                    end = event.number + 1;
                }
            }
        }
        part.numbers.end = end;
    }
    parts.retain(|(_, part)| part.count() > 0);
    Ok(())
}
