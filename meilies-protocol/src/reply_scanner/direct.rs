//! Reads what makes up nearly all that a server sends straight from its bytes: replies of one
//! element, the pushes `event` and `pevent` as [`crate::push`] writes them, and lists of the usual
//! types.
//!
//! Invariant: what is taken here, the scanner and the library behind it would have taken, within
//! the same limits and with the same result. All else is left to them, errors included.

#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::ReplyLimits;
use super::walk::Walk;
use crate::limits::REPLY_DEPTH_MAX;
use crate::{Event, EventId, Push, StreamName, Value};

// An event is a list of fields in a push.
const _: () = assert!(2 <= REPLY_DEPTH_MAX);

/// Splits a whole reply of one element off the front of `buffer`, if it is of the usual form.
pub(super) fn scalar(buffer: &mut BytesMut, limits: ReplyLimits) -> Option<Value> {
    let mut walk = Walk::new(buffer, 0);
    match walk.kind()? {
        b':' => {
            let number = i64::try_from(walk.number(b':')?).ok()?;
            buffer.advance(walk.within(limits)?);
            Some(Value::Integer(number))
        }
        b'$' => {
            let text = walk.bulk()?;
            let frame = buffer.split_to(walk.within(limits)?).freeze();
            Some(Value::Bulk(frame.slice(text)))
        }
        b'+' => {
            let text = walk.line()?;
            let frame = buffer.split_to(walk.within(limits)?).freeze();
            Some(Value::SimpleString(frame.slice(text)))
        }
        b'_' => {
            walk.skip(b"_\r\n")?;
            buffer.advance(walk.within(limits)?);
            Some(Value::Nil)
        }
        _ => None,
    }
}

/// Reads a frame that holds only the usual types. The scanner must have passed it: that bounds
/// the recursion here, and the memory.
pub(super) fn value(frame: &Bytes) -> Option<Value> {
    let mut walk = Walk::new(frame, 0);
    let value = element(&mut walk, frame)?;
    (walk.at() == frame.len()).then_some(value)
}

fn element(walk: &mut Walk<'_>, frame: &Bytes) -> Option<Value> {
    Some(match walk.kind()? {
        b':' => Value::Integer(i64::try_from(walk.number(b':')?).ok()?),
        b'$' if walk.skip(b"$-1\r\n").is_some() => Value::Nil,
        b'$' => Value::Bulk(frame.slice(walk.bulk()?)),
        b'+' => Value::SimpleString(frame.slice(walk.line()?)),
        b'_' => {
            walk.skip(b"_\r\n")?;
            Value::Nil
        }
        b'*' if walk.skip(b"*-1\r\n").is_some() => Value::Nil,
        b'*' => Value::Array(elements(walk, b'*', frame)?),
        b'>' => Value::Push(elements(walk, b'>', frame)?),
        _ => return None,
    })
}

fn elements(walk: &mut Walk<'_>, kind: u8, frame: &Bytes) -> Option<Vec<Value>> {
    let count = usize::try_from(walk.number(kind)?).ok()?;
    // The scanner has counted them: as many as are announced are there.
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(element(walk, frame)?);
    }
    Some(values)
}

/// Where the parts of an event lie in a push that is whole.
#[derive(Debug)]
pub(super) struct EventShape {
    /// What was subscribed to, if the push says it.
    source: Option<Range<usize>>,
    stream: Range<usize>,
    number: u64,
    position: u64,
    id: Range<usize>,
    /// Where the names and values begin.
    fields: usize,
    pairs: usize,
    length: usize,
}

impl EventShape {
    /// Finds the parts of the event at the front of `bytes`, if it is whole and within the limits.
    pub(super) fn read(bytes: &[u8], limits: ReplyLimits) -> Option<EventShape> {
        let mut walk = Walk::new(bytes, 0);
        let (source, elements) = if walk.skip(b">6\r\n$5\r\nevent\r\n").is_some() {
            (None, 6)
        } else {
            walk.skip(b">7\r\n$6\r\npevent\r\n")?;
            (Some(walk.bulk()?), 7)
        };
        let stream = walk.bulk()?;
        let number = walk.number(b':')?;
        let position = walk.number(b':')?;
        let id = walk.bulk()?;
        let count = usize::try_from(walk.number(b'*')?).ok()?;
        if !count.is_multiple_of(2) || count > limits.elements_max.checked_sub(elements)? {
            return None;
        }
        let fields = walk.at();
        for _ in 0..count {
            walk.bulk()?;
        }
        Some(EventShape {
            source,
            stream,
            number,
            position,
            id,
            fields,
            pairs: count / 2,
            length: walk.within(limits)?,
        })
    }

    /// Bytes of the push.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Makes the push of its parts, which then share `frame`. Nothing if one of them is not what
    /// it must be.
    pub(super) fn push(self, frame: &Bytes) -> Option<Push> {
        let stream = StreamName::parse(frame.slice(self.stream)).ok()?;
        let id = EventId::parse(&frame[self.id]).ok()?;
        // As many as were found in the frame, not only announced.
        let mut fields = Vec::with_capacity(self.pairs);
        let mut walk = Walk::new(frame, self.fields);
        for _ in 0..self.pairs {
            let (name, value) = (walk.bulk()?, walk.bulk()?);
            fields.push((frame.slice(name), frame.slice(value)));
        }
        let event = Event {
            stream,
            number: self.number,
            position: self.position,
            id,
            fields,
        };
        Some(match self.source {
            Some(source) => Push::Pevent {
                source: frame.slice(source),
                event,
            },
            None => Push::Event(event),
        })
    }
}
