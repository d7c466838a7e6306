//! XRANGE and XREVRANGE, and ranges of ids in general.

use super::error::StreamRequestError;
use super::ids::partial_id;
use super::{event_id, stream};
use crate::request::{Options, Request, RequestError, integer};
use crate::{Arguments, EventId, StreamName};

/// `XRANGE key start end [COUNT n]`, and `XREVRANGE key end start [COUNT n]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XRange {
    /// Of which stream.
    pub key: StreamName,
    /// The least id that is wanted.
    pub from: EventId,
    /// The greatest id that is wanted. It may be below `from`: then there is nothing.
    pub to: EventId,
    /// How many events at most, if that was said. Never negative: Redis takes such a number
    /// for 0.
    pub count: Option<i64>,
    /// From the greatest to the least.
    pub reverse: bool,
}

pub(crate) fn forward(arguments: &Arguments) -> Result<Request, RequestError> {
    range(arguments, false)
}

pub(crate) fn backward(arguments: &Arguments) -> Result<Request, RequestError> {
    range(arguments, true)
}

fn range(arguments: &Arguments, reverse: bool) -> Result<Request, RequestError> {
    let (start, end) = if reverse { (3, 2) } else { (2, 3) };
    let key = stream(arguments, 1)?;
    let from = range_start(arguments.get(start))?;
    let to = range_end(arguments.get(end))?;
    let mut count = None;
    let mut options = Options::from(arguments, 4);
    while let Some((word, _)) = options.next() {
        match (word.as_bytes(), options.left()) {
            (b"COUNT", 1..) => count = Some(integer(&options.required()?)?.max(0)),
            _ => return Err(RequestError::Syntax),
        }
    }
    Ok(Request::XRange(XRange {
        key,
        from,
        to,
        count,
        reverse,
    }))
}

/// The least id of a range: `-`, `+`, an id, or `(` and an id that is not part of it.
pub(crate) fn range_start(text: &[u8]) -> Result<EventId, RequestError> {
    match text {
        b"-" => Ok(EventId::MIN),
        b"+" => Ok(EventId::MAX),
        [b'(', id @ ..] => match event_id(id)?.next() {
            Some(id) => Ok(id),
            None => Err(StreamRequestError::RangeStart.into()),
        },
        id => event_id(id),
    }
}

/// The greatest id of a range, as [`range_start`]. Milliseconds alone mean their last id.
pub(crate) fn range_end(text: &[u8]) -> Result<EventId, RequestError> {
    match text {
        b"-" => Ok(EventId::MIN),
        b"+" => Ok(EventId::MAX),
        [b'(', id @ ..] => match partial_id(id, u64::MAX)?.previous() {
            Some(id) => Ok(id),
            None => Err(StreamRequestError::RangeEnd.into()),
        },
        id => partial_id(id, u64::MAX),
    }
}
