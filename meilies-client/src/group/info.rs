//! What is known of groups, of their consumers, and of what is pending.

use bytes::Bytes;
use meilies_protocol::{EventId, Value};

use crate::Error;

/// What is known of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// What it is called.
    pub name: Bytes,
    /// How many consumers it has.
    pub consumers: u64,
    /// How many events were given and not acknowledged.
    pub pending: u64,
    /// The id up to which it has read.
    pub last_delivered_id: EventId,
    /// How many events it has read, as far as that is known.
    pub entries_read: Option<u64>,
    /// How many events it has still to read, as far as that is known.
    pub lag: Option<u64>,
}

/// What is known of a consumer of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerInfo {
    /// What it is called.
    pub name: Bytes,
    /// How many events are pending for it.
    pub pending: u64,
    /// Milliseconds since it last asked for something.
    pub idle_ms: u64,
    /// Milliseconds since it last got something; nothing if it never did.
    pub inactive_ms: Option<u64>,
}

/// How much is pending in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingSummary {
    /// How many events.
    pub count: u64,
    /// The least of their ids.
    pub first: Option<EventId>,
    /// The greatest of their ids.
    pub last: Option<EventId>,
    /// The consumers for whom something is pending, with how many events.
    pub consumers: Vec<(Bytes, u64)>,
}

/// An event that is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEntry {
    /// Its id.
    pub id: EventId,
    /// For whom.
    pub consumer: Bytes,
    /// Milliseconds since it was last delivered.
    pub idle_ms: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl GroupInfo {
    pub(crate) fn all(reply: &Value) -> Result<Vec<GroupInfo>, Error> {
        all(reply, |value| {
            let fields = Fields::of(value)?;
            Some(GroupInfo {
                name: fields.bytes("name")?,
                consumers: fields.number("consumers")?,
                pending: fields.number("pending")?,
                last_delivered_id: id(fields.get("last-delivered-id")?)?,
                entries_read: fields.number("entries-read"),
                lag: fields.number("lag"),
            })
        })
    }
}

impl ConsumerInfo {
    pub(crate) fn all(reply: &Value) -> Result<Vec<ConsumerInfo>, Error> {
        all(reply, |value| {
            let fields = Fields::of(value)?;
            Some(ConsumerInfo {
                name: fields.bytes("name")?,
                pending: fields.number("pending")?,
                idle_ms: fields.number("idle")?,
                // -1 means never.
                inactive_ms: fields.number("inactive"),
            })
        })
    }
}

impl PendingSummary {
    pub(crate) fn from_reply(reply: &Value) -> Result<PendingSummary, Error> {
        let read = || {
            let Value::Array(elements) = reply else {
                return None;
            };
            let [count, first, last, consumers] = &elements[..] else {
                return None;
            };
            let consumers = match consumers {
                Value::Array(consumers) => consumers.iter().map(consumer).collect::<Option<_>>()?,
                _ => Vec::new(),
            };
            Some(PendingSummary {
                count: count.as_u64()?,
                first: id(first),
                last: id(last),
                consumers,
            })
        };
        read().ok_or_else(|| Error::from_reply(reply))
    }
}

impl PendingEntry {
    pub(crate) fn all(reply: &Value) -> Result<Vec<PendingEntry>, Error> {
        all(reply, |value| {
            let Value::Array(elements) = value else {
                return None;
            };
            let [id_text, consumer, idle_ms, deliveries] = &elements[..] else {
                return None;
            };
            Some(PendingEntry {
                id: id(id_text)?,
                consumer: bytes(consumer)?,
                idle_ms: idle_ms.as_u64()?,
                deliveries: deliveries.as_u64()?,
            })
        })
    }
}

/// A consumer with the number of its pending events, which is written as text.
fn consumer(value: &Value) -> Option<(Bytes, u64)> {
    let Value::Array(elements) = value else {
        return None;
    };
    let [name, count] = &elements[..] else {
        return None;
    };
    let count = std::str::from_utf8(count.as_bytes()?).ok()?.parse().ok()?;
    Some((bytes(name)?, count))
}

fn all<T>(reply: &Value, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Error> {
    let elements = match reply {
        Value::Array(elements) => elements.iter().map(read).collect::<Option<Vec<T>>>(),
        _ => None,
    };
    elements.ok_or_else(|| Error::from_reply(reply))
}

/// An id, as a reply has it.
pub(super) fn id(value: &Value) -> Option<EventId> {
    EventId::parse(value.as_bytes()?).ok()
}

/// By itself: what is kept of a reply does not keep all of it.
fn bytes(value: &Value) -> Option<Bytes> {
    value.as_bytes().map(Bytes::copy_from_slice)
}

/// The fields of a map.
struct Fields<'a>(&'a [(Value, Value)]);

impl<'a> Fields<'a> {
    fn of(value: &'a Value) -> Option<Fields<'a>> {
        match value {
            Value::Map(fields) => Some(Fields(fields)),
            _ => None,
        }
    }

    fn get(&self, wanted: &str) -> Option<&'a Value> {
        let is_it = |name: &Value| name.as_bytes() == Some(wanted.as_bytes());
        let found = self.0.iter().find(|(name, _)| is_it(name));
        found.map(|(_, value)| value)
    }

    fn number(&self, wanted: &str) -> Option<u64> {
        self.get(wanted)?.as_u64()
    }

    fn bytes(&self, wanted: &str) -> Option<Bytes> {
        bytes(self.get(wanted)?)
    }
}
