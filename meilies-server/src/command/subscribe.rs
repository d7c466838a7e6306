//! `SUBSCRIBE spec [spec …]` and `UNSUBSCRIBE [name …]`.
//!
//! New events only means: those after this command. And the stream that there is when the command
//! is executed is the one that is followed: if it is replaced before its first event is sent, the
//! client is told. So all streams are looked up before anything is confirmed, together when one of
//! them is on the disk.

use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::{From, GivenSpec, Source, push, writer};

use super::{Flow, blocking, store_error};
use crate::context::Context;
use crate::engine::{Access, Engine, ReadSource, StoreError};
use crate::event_log::{Moment, Start};
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::output::Output;
use crate::session::Session;

pub(super) fn subscribe(
    context: &Arc<Context>,
    session: &mut Session,
    specs: Vec<GivenSpec>,
    out: &mut Output,
) -> Flow {
    let is_new = |given: &&GivenSpec| !session.subscriptions.contains(&given.spec.source);
    let count = session.subscriptions.count() + specs.iter().filter(is_new).count();
    if count > SUBSCRIPTIONS_MAX {
        let text = format!("ERR {count} subscriptions, the limit is {SUBSCRIPTIONS_MAX}");
        writer::error(out.buffer(), &text);
        return Flow::Done;
    }
    let moment = context.event_log.moment();
    match starts(
        &**context.event_log.engine(),
        &specs,
        moment,
        Access::Memory,
    ) {
        Err(StoreError::WouldBlock) => blocking(
            context,
            move |engine| {
                let starts = starts(engine, &specs, moment, Access::Disk);
                (specs, starts)
            },
            |(specs, starts), _context, session, out| confirm(session, &specs, starts, out),
        ),
        starts => confirm(session, &specs, starts, out),
    }
}

fn starts(
    engine: &dyn Engine,
    specs: &[GivenSpec],
    moment: Moment,
    access: Access,
) -> Result<Vec<Start>, StoreError> {
    let start = |given: &GivenSpec| {
        let stream = match &given.spec.source {
            Source::All => None,
            Source::Stream(name) => engine.stream(name, access)?,
        };
        let tail = match given.spec.source {
            Source::All => moment.visible().checked_sub(1),
            Source::Stream(_) => stream.as_ref().and_then(|stream| stream.tail),
        };
        let stream_id = stream.map(|stream| stream.id);
        Ok(match given.spec.from {
            Some(From::Number(number)) => Start::At { number, stream_id },
            Some(From::New) | None => Start::BehindTail {
                tail,
                stream_id,
                moment,
            },
        })
    };
    specs.iter().map(start).collect()
}

fn confirm(
    session: &mut Session,
    specs: &[GivenSpec],
    starts: Result<Vec<Start>, StoreError>,
    out: &mut Output,
) -> Flow {
    let starts = match starts {
        Ok(starts) => starts,
        Err(error) => {
            writer::error(out.buffer(), &store_error(&error));
            return Flow::Done;
        }
    };
    let version = session.version;
    let out = out.buffer();
    for (given, start) in specs.iter().zip(starts) {
        let follows = session
            .subscriptions
            .subscribe(&given.spec, &given.text, &start);
        let count = session.subscriptions.count() as u64;
        push::write_subscribe(out, version, &given.text, count);
        if let (true, Start::BehindTail { tail, .. }) = (follows, start) {
            push::write_caught_up(out, version, given.spec.source.as_bytes(), tail);
        }
    }
    Flow::Done
}

pub(super) fn unsubscribe(session: &mut Session, names: &[Bytes], out: &mut Output) -> Flow {
    let version = session.version;
    let out = out.buffer();
    if !names.is_empty() {
        for name in names {
            session.subscriptions.unsubscribe(name);
            let count = session.subscriptions.count() as u64;
            push::write_unsubscribe(out, version, Some(name), count);
        }
        return Flow::Done;
    }
    let sources = session.subscriptions.sources();
    session.subscriptions.clear();
    if sources.is_empty() {
        push::write_unsubscribe(out, version, None, 0);
    }
    for (source, left) in sources.iter().zip((0..sources.len() as u64).rev()) {
        let name = match source {
            ReadSource::All => Source::All.as_bytes(),
            ReadSource::Stream(name) => name.as_bytes(),
        };
        push::write_unsubscribe(out, version, Some(name), left);
    }
    Flow::Done
}
