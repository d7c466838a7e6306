//! `PUBLISH stream name data [EXPECT n|none|exists|any]`: stores an event and answers its number.
//! `PUBLISH-MANY stream count name data … [IDS id …]`: stores several, all or none, and answers
//! the last number.
//!
//! The connection gathers consecutive ones into one request for the engine; here is what makes a
//! write of one, and what refuses it before it gets that far.

use std::iter;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventName, Expect, NewId, Publish, PublishMany, StreamName, writer};

use super::data::Scope;
use super::{Flow, blocking, store_error};
use crate::config::Settings;
use crate::context::Context;
use crate::engine::{
    Access, Fields, Refusal, StoreError, Transaction, Verdict, Write, WriteOutcome,
};
use crate::limits::{PUBLISH_MANY_BYTES_AN_EVENT, PUBLISH_MANY_BYTES_MAX};
use crate::output::Output;

const NO_KEY: &str = "ERR PUBLISH does not take ID yet";

/// What becomes of a PUBLISH before it is handed over.
#[derive(Debug)]
pub(crate) enum Publishing {
    /// It may be written.
    Write(Write),
    /// It may not: the line of the error.
    Refused(String),
}

/// Makes a write of a PUBLISH. Nothing is copied.
pub(crate) fn write(settings: &Settings, publish: Publish) -> Publishing {
    let Publish {
        stream,
        name,
        data,
        expect,
        key,
    } = publish;
    if key.is_some() {
        return Publishing::Refused(NO_KEY.to_owned());
    }
    let fields = Fields::One([name.into_bytes(), data]);
    let (bytes, limit) = (fields.bytes(), settings.max_event_bytes());
    if bytes > limit {
        return Publishing::Refused(format!("ERR event is {bytes} bytes, the limit is {limit}"));
    }
    Publishing::Write(Write::new(stream, expect, fields))
}

/// Makes the writes of a PUBLISH-MANY, or the line of the error. Nothing is copied.
pub(crate) fn writes(settings: &Settings, many: PublishMany) -> Result<Vec<Write>, String> {
    let limit = settings.max_event_bytes();
    let mut bytes_together = 0;
    let mut writes = Vec::with_capacity(many.events.len());
    let mut expect = many.expect;
    for (index, (name, data)) in many.events.into_iter().enumerate() {
        let fields = Fields::One([name.into_bytes(), data]);
        let bytes = fields.bytes();
        if bytes > limit {
            return Err(format!("ERR event is {bytes} bytes, the limit is {limit}"));
        }
        bytes_together += bytes + PUBLISH_MANY_BYTES_AN_EVENT;
        // Nothing comes between them: the first speaks for all.
        let expect = std::mem::take(&mut expect);
        let mut write = Write::new(many.stream.clone(), expect, fields);
        write.id = many.ids.get(index).copied().unwrap_or(NewId::Auto);
        writes.push(write);
    }
    if bytes_together > PUBLISH_MANY_BYTES_MAX {
        return Err(format!(
            "ERR the events are {bytes_together} bytes together, each counted with \
             {PUBLISH_MANY_BYTES_AN_EVENT} more, the limit is {PUBLISH_MANY_BYTES_MAX}"
        ));
    }
    Ok(writes)
}

/// What stands for the outcomes of writes that are all or none: that of the last one, or the reason
/// why none is stored.
pub(crate) fn together(outcomes: &[WriteOutcome]) -> &WriteOutcome {
    let is_reason = |outcome: &&WriteOutcome| match outcome {
        WriteOutcome::Stored { .. } | WriteOutcome::Refused(Refusal::Aborted) => false,
        WriteOutcome::Refused(_) => true,
    };
    let reason = outcomes.iter().find(is_reason);
    reason
        .or(outcomes.last())
        .expect("there is one write at least")
}

/// The line of the error for a write that the engine refused.
pub(crate) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Conflict { .. } => format!("CONFLICT {refusal}"),
        Refusal::Unproven { .. } => format!("MISCONF {refusal}"),
        Refusal::Aborted => format!("EXECABORT {refusal}"),
        Refusal::NoStream | Refusal::IdTooSmall | Refusal::IdZero | Refusal::IdsExhausted => {
            format!("ERR {refusal}")
        }
    }
}

/// A PUBLISH in a transaction: replies with the number; a failed expectation ends all of it.
pub(super) fn publish(
    transaction: &mut dyn Transaction,
    request: &Publish,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    if request.key.is_some() {
        writer::error(out, NO_KEY);
        return Ok(Verdict::Commit);
    }
    let event = (request.name.clone(), request.data.clone(), NewId::Auto);
    append(
        transaction,
        &request.stream,
        request.expect,
        [event],
        scope,
        out,
    )
}

/// A PUBLISH-MANY in a transaction.
pub(super) fn publish_many(
    transaction: &mut dyn Transaction,
    request: &PublishMany,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let ids = request.ids.iter().copied();
    let ids = ids.chain(iter::repeat(NewId::Auto));
    let events = request.events.iter().cloned().zip(ids);
    let events = events.map(|((name, data), id)| (name, data, id));
    append(
        transaction,
        &request.stream,
        request.expect,
        events,
        scope,
        out,
    )
}

fn append(
    transaction: &mut dyn Transaction,
    stream: &StreamName,
    expect: Expect,
    events: impl IntoIterator<Item = (EventName, Bytes, NewId)>,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let mut expect = expect;
    let mut last = None;
    for (name, data, id) in events {
        let fields = Fields::One([name.into_bytes(), data]);
        let (bytes, limit) = (fields.bytes(), scope.event_bytes_max);
        if bytes > limit {
            let text = format!("ERR event is {bytes} bytes, the limit is {limit}");
            writer::error(out, &text);
            return Ok(Verdict::Abort);
        }
        // Nothing comes between them: the first speaks for all.
        let expect = std::mem::take(&mut expect);
        match transaction.append(stream, expect, true, id, fields)? {
            Ok(added) => last = Some(added.number),
            Err(refused) => {
                writer::error(out, &refusal(&refused));
                return Ok(Verdict::Abort);
            }
        }
    }
    writer::number(out, last.expect("there is one event at least"));
    Ok(Verdict::Commit)
}

/// `PUBLISH channel message`: refused. Where a stream has the channel's name, the event's name
/// was probably forgotten.
pub(super) fn message(context: &Arc<Context>, channel: Bytes, out: &mut Output) -> Flow {
    let Ok(name) = StreamName::parse(channel) else {
        return answer_message(Ok(None), out);
    };
    match context.event_log.engine().stream(&name, Access::Memory) {
        Err(StoreError::WouldBlock) => blocking(
            context,
            move |engine| {
                let found = engine.stream(&name, Access::Disk);
                found.map(|found| found.map(|stream| stream.name))
            },
            |found, _context, _session, out| answer_message(found, out),
        ),
        found => answer_message(found.map(|found| found.map(|stream| stream.name)), out),
    }
}

fn answer_message(found: Result<Option<StreamName>, StoreError>, out: &mut Output) -> Flow {
    let text = match found {
        Ok(Some(name)) => format!(
            "ERR '{name}' is a stream: PUBLISH stream name data stores an event, \
             SPUBLISH sends a message"
        ),
        Ok(None) => "ERR messages are not supported yet: PUBLISH stream name data stores an event"
            .to_owned(),
        Err(error) => store_error(&error),
    };
    writer::error(out.buffer(), &text);
    Flow::Done
}
