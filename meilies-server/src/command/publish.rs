//! `PUBLISH stream name data [EXPECT n|none|exists|any] [ID key]`: stores an event and answers its
//! number. One with a key is stored once, as long as the event is kept.
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
    Access, Fields, Refusal, StoreError, Transaction, Verdict, View, Write, WriteKey, WriteOutcome,
};
use crate::limits::{PUBLISH_MANY_BYTES_AN_EVENT, PUBLISH_MANY_BYTES_MAX};
use crate::output::Output;

/// What becomes of a PUBLISH before it is handed over.
#[derive(Debug)]
pub(crate) enum Publishing {
    /// It may be written.
    Write(Write),
    /// It may not: the line of the error.
    Refused(String),
}

/// Makes a write of a PUBLISH without a key. Nothing is copied.
pub(crate) fn write(settings: &Settings, publish: Publish) -> Publishing {
    let Publish {
        stream,
        name,
        data,
        expect,
        ..
    } = publish;
    let fields = Fields::One([name.into_bytes(), data]);
    let (bytes, limit) = (fields.bytes(), settings.max_event_bytes());
    if bytes > limit {
        return Publishing::Refused(format!("ERR event is {bytes} bytes, the limit is {limit}"));
    }
    Publishing::Write(Write::new(stream, expect, fields))
}

/// Makes the writes of a PUBLISH-MANY, or the line of the error. Nothing is copied.
pub(crate) fn writes(settings: &Settings, many: PublishMany) -> Result<Vec<Write>, String> {
    check_many(&many, settings.max_event_bytes())?;
    let mut expect = many.expect;
    let ids = many.ids.into_iter().chain(iter::repeat(NewId::Auto));
    let write = |((name, data), id): ((EventName, Bytes), NewId)| {
        let fields = Fields::One([name.into_bytes(), data]);
        // Nothing comes between them: the first speaks for all.
        let expect = std::mem::take(&mut expect);
        Write {
            id,
            ..Write::new(many.stream.clone(), expect, fields)
        }
    };
    Ok(many.events.into_iter().zip(ids).map(write).collect())
}

/// The line of the error if an event is too large, or all of them together.
fn check_many(many: &PublishMany, limit: usize) -> Result<(), String> {
    let mut bytes_together = 0;
    for (name, data) in &many.events {
        let bytes = name.as_bytes().len() + data.len();
        if bytes > limit {
            return Err(format!("ERR event is {bytes} bytes, the limit is {limit}"));
        }
        bytes_together += bytes + PUBLISH_MANY_BYTES_AN_EVENT;
    }
    if bytes_together > PUBLISH_MANY_BYTES_MAX {
        return Err(format!(
            "ERR the events are {bytes_together} bytes together, each counted with \
             {PUBLISH_MANY_BYTES_AN_EVENT} more, the limit is {PUBLISH_MANY_BYTES_MAX}"
        ));
    }
    Ok(())
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
    if let Some(key) = &request.key {
        return publish_once(transaction, request, key, scope, out);
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

/// A PUBLISH with a key: an event that has it already is what is answered, if it is the same one.
fn publish_once(
    transaction: &mut dyn Transaction,
    request: &Publish,
    key: &Bytes,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let fields = Fields::One([request.name.clone().into_bytes(), request.data.clone()]);
    let (bytes, limit) = (fields.bytes(), scope.event_bytes_max);
    if bytes > limit {
        let text = format!("ERR event is {bytes} bytes, the limit is {limit}");
        writer::error(out, &text);
        return Ok(Verdict::Abort);
    }
    let view: &dyn View = transaction;
    if let Some(stream) = view.stream(&request.stream)?
        && let Some(run) = view.event_of_key(&stream, key)?
        && let Some(event) = run.events().next()
    {
        let number = event.number;
        if event
            .fields()
            .eq([(&fields.items()[0][..], &fields.items()[1][..])])
        {
            writer::number(out, number);
            return Ok(Verdict::Commit);
        }
        let text = format!(
            "CONFLICT event {number} of stream '{}' has this ID and is another one",
            request.stream
        );
        writer::error(out, &text);
        return Ok(Verdict::Abort);
    }
    let write = Write {
        key: Some(Box::new(WriteKey::Own(key.clone()))),
        ..Write::new(request.stream.clone(), request.expect, fields)
    };
    match transaction.append(write)? {
        Ok(added) => {
            writer::number(out, added.number);
            Ok(Verdict::Commit)
        }
        Err(refused) => {
            writer::error(out, &refusal(&refused));
            Ok(Verdict::Abort)
        }
    }
}

/// A PUBLISH-MANY in a transaction.
pub(super) fn publish_many(
    transaction: &mut dyn Transaction,
    request: &PublishMany,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    if let Err(text) = check_many(request, scope.event_bytes_max) {
        writer::error(out, &text);
        return Ok(Verdict::Abort);
    }
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
        let write = Write {
            id,
            ..Write::new(stream.clone(), expect, fields)
        };
        match transaction.append(write)? {
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
