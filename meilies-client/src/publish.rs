//! Publishing: what is sent, and what a lost reply means.
//!
//! A publish that expects a number can be sent again without harm: it is stored at that place or
//! nowhere. What the second reply means is another matter. If it is a conflict, either the first
//! one was stored after all, or another writer was faster, and only what stands there can tell:
//! other events mean that nothing of ours was stored, the same ones leave it open whose they are.

use bytes::{BufMut, Bytes, BytesMut};
use futures_core::Stream;
use meilies_protocol::{
    EventId, EventName, EventNumber, Expect, From, Source, Spec, StreamName, Value, writer,
};
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use tokio::time::Instant;

use crate::commands::{Commands, Outcome};
use crate::limits::{PUBLISH_BYTES_MAX, PUBLISH_EVENTS_MAX};
use crate::{Client, Error, Read};

/// What a publish takes on the wire beside its strings.
const FRAME_BYTES: usize = 128;

/// Publishes one event: name and data.
pub(crate) async fn one(
    client: &Client,
    stream: &[u8],
    (name, data): (&[u8], &[u8]),
    expect: Expect,
) -> Result<EventNumber, Error> {
    StreamName::check_writable(stream)?;
    EventName::check(name)?;
    let bytes = stream.len() + name.len() + data.len() + FRAME_BYTES;
    check_bytes(bytes)?;
    let encode = |out: &mut BytesMut| write_one(out, stream, name, data, expect);
    let error = match client.commands().tell(bytes, encode).await {
        Outcome::Replied(Value::Integer(number)) if number >= 0 => {
            return Ok(number.unsigned_abs());
        }
        Outcome::MaybeSent(error) => error,
        outcome => return Err(failure(stream, outcome)),
    };
    // What is needed only now was not made before.
    let mut events = Batch::default();
    events.add(name, data)?;
    Box::pin(settle(client, name_of(stream)?, &events, expect, error)).await
}

/// Publishes events, all or none, and returns their numbers.
pub(crate) async fn all(
    client: &Client,
    stream: StreamName,
    events: Batch,
    expect: Expect,
) -> Result<Vec<EventNumber>, Error> {
    let count = events.len() as u64;
    if count == 0 {
        return Ok(Vec::new());
    }
    let last = many(client, stream, events, expect).await?;
    let first = (last + 1).checked_sub(count);
    let first = first.ok_or_else(|| Error::Unexpected(format!("{last}")))?;
    Ok((first..=last).collect())
}

/// Publishes several events, all or none, and returns the number of the last one.
async fn many(
    client: &Client,
    stream: StreamName,
    events: Batch,
    expect: Expect,
) -> Result<EventNumber, Error> {
    match events.send(client.commands(), &stream, expect).await {
        Outcome::Replied(Value::Integer(last))
            if u64::try_from(last).is_ok_and(|last| last >= events.len() as u64 - 1) =>
        {
            Ok(last.unsigned_abs())
        }
        Outcome::MaybeSent(error) => Box::pin(settle(client, stream, &events, expect, error)).await,
        outcome => Err(failure(stream.as_bytes(), outcome)),
    }
}

/// Sends again what has no reply, if it may be, until it is known what became of it or the time of
/// a request is over.
async fn settle(
    client: &Client,
    stream: StreamName,
    events: &Batch,
    expect: Expect,
    mut error: Error,
) -> Result<EventNumber, Error> {
    let Some(first) = place(expect) else {
        return Err(unknown(&stream, None, error));
    };
    let commands = client.commands();
    let begun = Instant::now();
    while begun.elapsed() <= commands.request_timeout() {
        match events.send(commands, &stream, expect).await {
            Outcome::Replied(Value::Integer(number)) if number >= 0 => {
                return Ok(number.unsigned_abs());
            }
            Outcome::MaybeSent(new) => error = new,
            Outcome::NotSent(new) => return Err(unknown(&stream, None, new)),
            Outcome::Replied(reply) => {
                let refusal = Error::from_reply(&reply);
                let Error::Conflict(_) = refusal else {
                    // Why it was refused now says nothing of what was before.
                    return Err(unknown(&stream, None, refusal));
                };
                return Err(match stands(client, &stream, events, first).await {
                    Some(false) => refusal,
                    Some(true) => unknown(&stream, Some(first), error),
                    None => unknown(&stream, None, error),
                });
            }
        }
    }
    Err(unknown(&stream, None, error))
}

/// Whether these events stand in the stream from this number on. Nothing if that cannot be told:
/// some may be deleted, or cannot be read.
async fn stands(
    client: &Client,
    stream: &StreamName,
    events: &Batch,
    first: EventNumber,
) -> Option<bool> {
    let spec = Spec {
        source: Source::Stream(stream.clone()),
        from: Some(From::Number(first)),
        until: first.checked_add(events.len() as u64),
    };
    let mut there = Read::new(client.clone(), spec);
    for index in 0..events.len() {
        let next = poll_fn(|waking| Pin::new(&mut there).poll_next(waking)).await;
        let event = next?.ok()?;
        if event.number != first + index as u64 {
            return None;
        }
        let is_same = event.fields.len() == 1 && (event.name(), event.data()) == events.get(index);
        if !is_same {
            return Some(false);
        }
    }
    Some(true)
}

/// The error of a publish that has no number.
pub(crate) fn failure(stream: &[u8], outcome: Outcome) -> Error {
    let stream = match name_of(stream) {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    match outcome {
        Outcome::NotSent(error) => error,
        Outcome::MaybeSent(error) => unknown(&stream, None, error),
        Outcome::Replied(reply) => match Error::from_reply(&reply) {
            Error::Refused(error) if error.is_sync_failure() => {
                unknown(&stream, None, Error::Refused(error))
            }
            // Nobody knows what such a server has done.
            error @ Error::Unexpected(_) => unknown(&stream, None, error),
            error => error,
        },
    }
}

fn name_of(stream: &[u8]) -> Result<StreamName, Error> {
    Ok(StreamName::parse(Bytes::copy_from_slice(stream))?)
}

pub(crate) fn unknown(stream: &StreamName, found: Option<EventNumber>, error: Error) -> Error {
    Error::Unknown {
        stream: stream.detached(),
        found,
        error: Box::new(error),
    }
}

/// The number that the first event gets if it is stored, where the expectation says it.
pub(crate) fn place(expect: Expect) -> Option<EventNumber> {
    match expect {
        Expect::None => Some(0),
        Expect::Number(last) => last.checked_add(1),
        Expect::Any | Expect::Exists => None,
    }
}

fn check_bytes(bytes: usize) -> Result<(), Error> {
    match bytes > PUBLISH_BYTES_MAX {
        true => Err(Error::TooLong { bytes }),
        false => Ok(()),
    }
}

fn write_one(out: &mut BytesMut, stream: &[u8], name: &[u8], data: &[u8], expect: Expect) {
    out.reserve(stream.len() + name.len() + data.len() + FRAME_BYTES);
    writer::array_header(out, 4 + expect_words(expect));
    writer::bulk(out, b"PUBLISH");
    writer::bulk(out, stream);
    writer::bulk(out, name);
    writer::bulk(out, data);
    write_expect(out, expect);
}

fn expect_words(expect: Expect) -> usize {
    if expect == Expect::Any { 0 } else { 2 }
}

fn write_expect(out: &mut BytesMut, expect: Expect) {
    let words: &[&[u8]] = match expect {
        Expect::Any => &[],
        Expect::None => &[b"EXPECT", b"none"],
        Expect::Exists => &[b"EXPECT", b"exists"],
        Expect::Number(_) => &[b"EXPECT"],
    };
    for word in words {
        writer::bulk(out, word);
    }
    if let Expect::Number(last) = expect {
        writer::bulk_number(out, last);
    }
}

/// Events that are published together, in the form in which they are sent.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    encoded: BytesMut,
    /// Where name and data of each lie.
    spans: Vec<(Range<usize>, Range<usize>)>,
    /// Their ids, in the form in which they are sent.
    ids: BytesMut,
    has_ids: bool,
}

impl Batch {
    /// Adds an event whose id the server chooses, if there is none.
    pub(crate) fn add_with_id(
        &mut self,
        id: Option<EventId>,
        name: &[u8],
        data: &[u8],
    ) -> Result<(), Error> {
        match id {
            Some(id) => writer::bulk_id(&mut self.ids, id),
            None => writer::bulk(&mut self.ids, b"*"),
        }
        self.has_ids |= id.is_some();
        self.add(name, data)
    }

    pub(crate) fn add(&mut self, name: &[u8], data: &[u8]) -> Result<(), Error> {
        EventName::check(name)?;
        let name = put(&mut self.encoded, name);
        let data = put(&mut self.encoded, data);
        self.spans.push((name, data));
        Ok(())
    }

    /// Whether one command can hold them.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let events = self.spans.len();
        // With ids an event has three elements instead of two.
        let elements = if self.has_ids { 3 } else { 2 };
        if events > PUBLISH_EVENTS_MAX * 2 / elements {
            return Err(Error::TooMany { events });
        }
        check_bytes(self.encoded.len() + self.ids.len())
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Name and data of an event.
    fn get(&self, index: usize) -> (&[u8], &[u8]) {
        let (name, data) = &self.spans[index];
        (&self.encoded[name.clone()], &self.encoded[data.clone()])
    }

    async fn send(&self, commands: &Commands, stream: &StreamName, expect: Expect) -> Outcome {
        let stream = stream.as_bytes();
        let bytes = stream.len() + self.encoded.len() + self.ids.len() + FRAME_BYTES;
        let encode = |out: &mut BytesMut| {
            out.reserve(bytes);
            let events = self.spans.len();
            // One event is published with the command for one, which takes no id.
            let is_one = events == 1 && !self.has_ids;
            let words = if is_one { 2 } else { 3 };
            let ids = if self.has_ids { 1 + events } else { 0 };
            writer::array_header(out, words + 2 * events + expect_words(expect) + ids);
            writer::bulk(out, if is_one { b"PUBLISH" } else { b"PUBLISH-MANY" });
            writer::bulk(out, stream);
            if !is_one {
                writer::bulk_number(out, self.spans.len() as u64);
            }
            out.put_slice(&self.encoded);
            write_expect(out, expect);
            if self.has_ids {
                writer::bulk(out, b"IDS");
                out.put_slice(&self.ids);
            }
        };
        commands.tell(bytes, encode).await
    }
}

/// Appends a string. Returns where its bytes lie.
fn put(out: &mut BytesMut, bytes: &[u8]) -> Range<usize> {
    writer::bulk(out, bytes);
    let end = out.len() - b"\r\n".len();
    end - bytes.len()..end
}
