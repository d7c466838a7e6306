//! What a client of RESP3 reads: pushes typed, replies as values.

use bytes::{Bytes, BytesMut};

use super::direct::{self, EventShape};
use super::{Dialect, ReplyError, ReplyScanner, decode};
use crate::{Push, Value};

/// What a push shows of its version that holds nothing of RESP2.
const PUSH: Dialect = Dialect {
    resp2: false,
    resp3: true,
};

/// What a server sent on a connection that speaks RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// What the server sends unasked, in a form that this crate knows.
    Push(Push),
    /// The reply to a command, or a push of another form.
    Value(Value),
}

impl ReplyScanner {
    /// As [`ReplyScanner::next`], but a push of RESP3 comes typed if it is one of [`Push`]. What
    /// RESP2 sends as an array stays a value: only the caller knows what it waits for.
    ///
    /// ```
    /// # use bytes::BytesMut;
    /// # use meilies_protocol::{Incoming, Push, ReplyError, ReplyLimits, ReplyScanner, Value};
    /// let mut scanner = ReplyScanner::new(ReplyLimits::default());
    /// let bytes = b">3\r\n$9\r\nsubscribe\r\n$6\r\norders\r\n:1\r\n:42\r\n";
    /// let mut buffer = BytesMut::from(&bytes[..]);
    /// let push = Push::Subscribed { spec: "orders".into(), count: 1 };
    /// assert_eq!(scanner.next_incoming(&mut buffer)?, Some(Incoming::Push(push)));
    /// let reply = Value::Integer(42);
    /// assert_eq!(scanner.next_incoming(&mut buffer)?, Some(Incoming::Value(reply)));
    /// assert_eq!(scanner.next_incoming(&mut buffer)?, None);
    /// # Ok::<(), ReplyError>(())
    /// ```
    pub fn next_incoming(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, ReplyError> {
        // Only where a reply begins: what has come of it is looked at once, however long it is.
        if !self.is_mid_reply() {
            if let Some(shape) = EventShape::read(buffer, self.limits) {
                let frame = buffer.split_to(shape.length()).freeze();
                return typed(&frame, Some(shape), PUSH).map(Some);
            }
            if let Some(value) = direct::scalar(buffer, self.limits) {
                return Ok(Some(Incoming::Value(value)));
            }
        }
        let Some((frame, dialect)) = self.scan(buffer)? else {
            return Ok(None);
        };
        let shape = EventShape::read(&frame, self.limits);
        typed(&frame, shape, dialect).map(Some)
    }
}

/// Decodes a whole frame, at once if it has the shape of an event.
fn typed(
    frame: &Bytes,
    shape: Option<EventShape>,
    dialect: Dialect,
) -> Result<Incoming, ReplyError> {
    if let Some(push) = shape.and_then(|shape| shape.push(frame)) {
        return Ok(Incoming::Push(push));
    }
    Ok(match decode(frame, dialect)? {
        push @ Value::Push(_) => {
            Push::from_value(push).map_or_else(Incoming::Value, Incoming::Push)
        }
        reply => Incoming::Value(reply),
    })
}
