//! What a subscriber is sent: written by the server, read by clients.
//!
//! Every form is a push in RESP3 and an array in RESP2, and begins with its kind:
//!
//! ```text
//! event stream number position id [name data …]
//! pevent source stream number position id [name data …]
//! caught-up source number|nil
//! ended spec next
//! deleted stream number
//! error source next text
//! subscribe spec count
//! unsubscribe name|nil count
//! message channel message
//! ```
//!
//! Numbers are integers; everything else is a bulk string.

mod read;

use bytes::{Bytes, BytesMut};

use crate::reply::{Fields, put_event};
use crate::{Event, EventId, Version, writer};

/// Something that a subscriber is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// An event of a stream that was subscribed to by its name.
    Event(Event),
    /// An event of a source of several streams.
    Pevent {
        /// What was subscribed to.
        source: Bytes,
        /// The event.
        event: Event,
    },
    /// Everything that was there has been sent: what comes now is live.
    CaughtUp {
        /// What was subscribed to.
        source: Bytes,
        /// The number of the last event that there is: behind it a subscription resumes.
        number: Option<u64>,
    },
    /// The end of the spec is reached.
    Ended {
        /// The spec as it was given.
        spec: Bytes,
        /// The number that would be next.
        next: u64,
    },
    /// The stream is gone.
    Deleted {
        /// Its name.
        stream: Bytes,
        /// The number of its last event.
        number: u64,
    },
    /// The subscription has ended because an event of it cannot be read.
    Unreadable {
        /// What was subscribed to.
        source: Bytes,
        /// The number or position that would be next.
        next: u64,
        /// What went wrong, as text.
        reason: Bytes,
    },
    /// The reply to a spec of SUBSCRIBE.
    Subscribed {
        /// The spec as it was given.
        spec: Bytes,
        /// How many subscriptions the connection has now.
        count: u64,
    },
    /// The reply to a name of UNSUBSCRIBE.
    Unsubscribed {
        /// The name; nothing if there was no subscription.
        name: Option<Bytes>,
        /// How many subscriptions the connection has now.
        count: u64,
    },
    /// A message that is not stored.
    Message {
        /// Where it was sent to.
        channel: Bytes,
        /// What was sent.
        message: Bytes,
    },
}

/// An event of a stream that was subscribed to by its name. `fields` is walked twice.
pub fn write_event<'a>(
    out: &mut BytesMut,
    version: Version,
    stream: &[u8],
    number: u64,
    position: u64,
    id: EventId,
    fields: impl Fields<'a>,
) {
    put_event(
        out,
        &[b"event"],
        stream,
        (number, position, id),
        fields,
        |out, length| {
            writer::push_header(out, version, length);
        },
    );
}

/// An event of `source`, which has several streams. `fields` is walked twice.
// One more than the events of one stream: the arguments are the fields of the push, in order.
#[allow(clippy::too_many_arguments)]
pub fn write_pevent<'a>(
    out: &mut BytesMut,
    version: Version,
    source: &[u8],
    stream: &[u8],
    number: u64,
    position: u64,
    id: EventId,
    fields: impl Fields<'a>,
) {
    put_event(
        out,
        &[b"pevent", source],
        stream,
        (number, position, id),
        fields,
        |out, length| {
            writer::push_header(out, version, length);
        },
    );
}

/// Everything that was there has been sent; `number` is that of the last event, if there is one.
pub fn write_caught_up(out: &mut BytesMut, version: Version, source: &[u8], number: Option<u64>) {
    begin(out, version, b"caught-up", source);
    match number {
        Some(number) => writer::number(out, number),
        None => writer::nil(out, version),
    }
}

/// The end of `spec` is reached; `next` is the number that would follow.
pub fn write_ended(out: &mut BytesMut, version: Version, spec: &[u8], next: u64) {
    begin(out, version, b"ended", spec);
    writer::number(out, next);
}

/// The stream is gone; `number` was that of its last event.
pub fn write_deleted(out: &mut BytesMut, version: Version, stream: &[u8], number: u64) {
    begin(out, version, b"deleted", stream);
    writer::number(out, number);
}

/// The subscription has ended because `next`, an event of it, cannot be read; `reason` says why.
pub fn write_error(out: &mut BytesMut, version: Version, source: &[u8], next: u64, reason: &[u8]) {
    writer::push_header(out, version, 4);
    writer::bulk(out, b"error");
    writer::bulk(out, source);
    writer::number(out, next);
    writer::bulk(out, reason);
}

/// The reply to a spec of SUBSCRIBE; `count` is how many subscriptions there are now.
pub fn write_subscribe(out: &mut BytesMut, version: Version, spec: &[u8], count: u64) {
    begin(out, version, b"subscribe", spec);
    writer::number(out, count);
}

/// The reply to a name of UNSUBSCRIBE; without a name there was no subscription to end.
pub fn write_unsubscribe(out: &mut BytesMut, version: Version, name: Option<&[u8]>, count: u64) {
    if let Some(name) = name {
        begin(out, version, b"unsubscribe", name);
    } else {
        writer::push_header(out, version, 3);
        writer::bulk(out, b"unsubscribe");
        writer::nil(out, version);
    }
    writer::number(out, count);
}

/// A message that is not stored.
pub fn write_message(out: &mut BytesMut, version: Version, channel: &[u8], message: &[u8]) {
    begin(out, version, b"message", channel);
    writer::bulk(out, message);
}

/// The first two of three elements.
fn begin(out: &mut BytesMut, version: Version, kind: &[u8], name: &[u8]) {
    writer::push_header(out, version, 3);
    writer::bulk(out, kind);
    writer::bulk(out, name);
}

#[cfg(test)]
mod tests;
