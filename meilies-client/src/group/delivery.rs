//! Events as a group gives them.

use std::str::{self, Utf8Error};

use bytes::Bytes;
use meilies_protocol::{EventId, GroupFrom, Value};

use super::Claimed;
use super::info::id;
use crate::Error;

/// An event that a consumer of a group got. It is pending for it until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The event's id.
    pub id: EventId,
    /// Its names and values: one pair, the event's name and data, if PUBLISH stored it.
    pub fields: Vec<(Bytes, Bytes)>,
    /// How it comes here.
    pub kind: DeliveryKind,
    /// How often it was delivered, this time included: 1 for what is new. Nothing where it is not
    /// told, that is by [`Group::history`](crate::Group::history) and the methods that claim.
    pub deliveries: Option<u64>,
    /// For what was taken over from another consumer because it was idle: milliseconds since it was
    /// delivered before.
    pub idle_ms: Option<u64>,
}

/// How an event comes to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryKind {
    /// No consumer of the group has had it.
    New,
    /// The consumer, or one of its name, has had it and did not acknowledge it.
    Pending,
    /// Another consumer may have had it and did not acknowledge it.
    Claimed,
}

impl Delivery {
    /// The value of the first field of this name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let is_it = |field: &&(Bytes, Bytes)| field.0 == name.as_ref();
        self.fields.iter().find(is_it).map(|(_, value)| &value[..])
    }

    /// The name of an event that PUBLISH stored: that of its first field.
    pub fn name(&self) -> &[u8] {
        self.fields.first().map_or(&[], |(name, _)| name)
    }

    /// The data of an event that PUBLISH stored: the value of its first field.
    pub fn data(&self) -> &[u8] {
        self.fields.first().map_or(&[], |(_, data)| data)
    }

    /// The data of an event that PUBLISH stored, as text.
    pub fn data_text(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(self.data())
    }
}

/// What a read gives.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) deliveries: Vec<Delivery>,
    /// What is pending and deleted.
    pub(super) deleted: Vec<EventId>,
    /// The last id of both; nothing if there is nothing more.
    pub(super) last: Option<EventId>,
}

/// Reads the reply to XREADGROUP about one stream.
pub(super) fn read(reply: Value, from: GroupFrom) -> Result<Reading, Error> {
    let entries = match reply {
        Value::Nil => return Ok(Reading::default()),
        Value::Map(mut streams) => match streams.pop() {
            None => return Ok(Reading::default()),
            Some((_, entries)) => entries,
        },
        other => return Err(Error::from_reply(&other)),
    };
    let mut reading = Reading::default();
    for entry in elements(entries)? {
        let (id, delivery) = self::entry(entry)?;
        reading.last = Some(id);
        match delivery {
            None => reading.deleted.push(id),
            Some(mut delivery) => {
                if let GroupFrom::History(_) = from {
                    delivery.kind = DeliveryKind::Pending;
                    delivery.deliveries = None;
                }
                reading.deliveries.push(delivery);
            }
        }
    }
    Ok(reading)
}

/// Reads the reply to XCLAIM.
pub(super) fn claimed(reply: Value) -> Result<Vec<Delivery>, Error> {
    let mut deliveries = Vec::new();
    for entry in elements(reply)? {
        if let (_, Some(delivery)) = self::entry(entry)? {
            deliveries.push(Delivery {
                kind: DeliveryKind::Claimed,
                deliveries: None,
                ..delivery
            });
        }
    }
    Ok(deliveries)
}

/// Reads the reply to XAUTOCLAIM.
pub(super) fn claimed_idle(reply: Value) -> Result<Claimed, Error> {
    let parts = elements(reply)?;
    let [next, entries, deleted]: [Value; 3] = parts
        .try_into()
        .map_err(|parts| Error::from_reply(&Value::Array(parts)))?;
    let next_id = id(&next).ok_or_else(|| Error::from_reply(&next))?;
    let deleted = elements(deleted)?;
    Ok(Claimed {
        deliveries: claimed(entries)?,
        next: (next_id > EventId::MIN).then_some(next_id),
        deleted: deleted.iter().filter_map(id).collect(),
    })
}

/// An entry, without its fields if it is deleted. What was claimed says how long it was idle and
/// how often it was delivered before; for what is new both are 0.
fn entry(value: Value) -> Result<(EventId, Option<Delivery>), Error> {
    let unexpected = || Error::Unexpected("an entry that is none".to_owned());
    let Value::Array(mut parts) = value else {
        return Err(unexpected());
    };
    let claimed = match &parts[..] {
        [_, _, idle_ms, deliveries] => idle_ms.as_u64().zip(deliveries.as_u64()),
        _ => None,
    };
    parts.truncate(2);
    let (Some(fields), Some(id)) = (parts.pop(), parts.pop().as_ref().and_then(id)) else {
        return Err(unexpected());
    };
    if fields.is_nil() {
        return Ok((id, None));
    }
    let fields = pairs(fields).ok_or_else(unexpected)?;
    let claimed = claimed.filter(|(_, deliveries)| *deliveries > 0);
    let delivery = Delivery {
        id,
        fields,
        kind: match claimed {
            None => DeliveryKind::New,
            Some(_) => DeliveryKind::Claimed,
        },
        deliveries: Some(claimed.map_or(1, |(_, before)| before.saturating_add(1))),
        idle_ms: claimed.map(|(idle_ms, _)| idle_ms),
    };
    Ok((id, Some(delivery)))
}

fn pairs(fields: Value) -> Option<Vec<(Bytes, Bytes)>> {
    let Value::Array(strings) = fields else {
        return None;
    };
    let mut pairs = Vec::with_capacity(strings.len() / 2);
    let mut strings = strings.into_iter();
    while let Some(name) = strings.next() {
        pairs.push((name.into_bytes()?, strings.next()?.into_bytes()?));
    }
    Some(pairs)
}

fn elements(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(elements) => Ok(elements),
        other => Err(Error::from_reply(&other)),
    }
}
