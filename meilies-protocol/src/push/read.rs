//! Pushes as a client reads them.

use bytes::Bytes;

use super::Push;
use crate::{Event, Value};

impl Push {
    /// Takes a push, in RESP2 an array, and gives back what is none. In RESP2 a list of names can
    /// look like a `message`, so a client asks this only of what is no reply to a command.
    pub fn from_value(value: Value) -> Result<Push, Value> {
        // Most are taken apart without a copy; what cannot be is put together again.
        match value {
            Value::Push(elements) => from_elements(elements).map_err(Value::Push),
            Value::Array(elements) => from_elements(elements).map_err(Value::Array),
            other => Err(other),
        }
    }
}

fn from_elements(mut elements: Vec<Value>) -> Result<Push, Vec<Value>> {
    let push = match elements.first().and_then(Value::as_bytes) {
        Some(b"event") if elements.len() == 6 => event(&mut elements, 1).map(Push::Event),
        Some(b"pevent") if elements.len() == 7 => pevent(&mut elements),
        Some(b"error") if elements.len() == 4 => unreadable(&elements),
        Some(kind) if elements.len() == 3 => three(kind, &elements),
        _ => None,
    };
    push.ok_or(elements)
}

/// The five elements of an event, from `begin` on. They are taken only if they are all good.
fn event(elements: &mut [Value], begin: usize) -> Option<Event> {
    Event::take(elements.get_mut(begin..)?)
}

fn pevent(elements: &mut [Value]) -> Option<Push> {
    let source = bytes(&elements[1])?;
    Some(Push::Pevent {
        source,
        event: event(elements, 2)?,
    })
}

fn unreadable(elements: &[Value]) -> Option<Push> {
    Some(Push::Unreadable {
        source: bytes(&elements[1])?,
        next: elements[2].as_u64()?,
        reason: bytes(&elements[3])?,
    })
}

fn three(kind: &[u8], elements: &[Value]) -> Option<Push> {
    let (name, last) = (&elements[1], &elements[2]);
    Some(match kind {
        b"caught-up" if last.is_nil() => Push::CaughtUp {
            source: bytes(name)?,
            number: None,
        },
        b"caught-up" => Push::CaughtUp {
            source: bytes(name)?,
            number: Some(last.as_u64()?),
        },
        b"ended" => Push::Ended {
            spec: bytes(name)?,
            next: last.as_u64()?,
        },
        b"deleted" => Push::Deleted {
            stream: bytes(name)?,
            number: last.as_u64()?,
        },
        b"subscribe" => Push::Subscribed {
            spec: bytes(name)?,
            count: last.as_u64()?,
        },
        b"unsubscribe" => {
            let name = if name.is_nil() {
                None
            } else {
                Some(bytes(name)?)
            };
            Push::Unsubscribed {
                name,
                count: last.as_u64()?,
            }
        }
        b"message" => Push::Message {
            channel: bytes(name)?,
            message: bytes(last)?,
        },
        _ => return None,
    })
}

fn bytes(value: &Value) -> Option<Bytes> {
    match value {
        Value::Bulk(bytes) => Some(bytes.clone()),
        _ => None,
    }
}
