//! XPENDING.

use bytes::Bytes;

use crate::request::stream::range::{range_end, range_start};
use crate::request::stream::stream;
use crate::request::{Request, RequestError, integer, word};
use crate::{Arguments, EventId};

/// `[IDLE ms] start end count [consumer]`: which pending events XPENDING lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingFilter {
    /// For how long at least they have been pending.
    pub idle_ms: u64,
    /// The least id.
    pub from: EventId,
    /// The greatest id. It may be below `from`: then there is nothing.
    pub to: EventId,
    /// How many at most.
    pub count: u64,
    /// For whom; nothing means any consumer.
    pub consumer: Option<Bytes>,
}

pub(crate) fn pending(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (stream(arguments, 1)?, arguments.bytes(2));
    let filter = match arguments.len() {
        3 => None,
        6..=9 => Some(Box::new(filter(arguments)?)),
        _ => return Err(RequestError::Syntax),
    };
    Ok(Request::XPending { key, group, filter })
}

fn filter(arguments: &Arguments) -> Result<PendingFilter, RequestError> {
    let not_negative = |index: usize| -> Result<u64, RequestError> {
        Ok(u64::try_from(integer(arguments.get(index))?).unwrap_or(0))
    };
    let (mut first, mut idle_ms) = (3, 0);
    if word(arguments, 3).as_bytes() == b"IDLE" {
        idle_ms = not_negative(4)?;
        if arguments.len() < 8 {
            return Err(RequestError::Syntax);
        }
        first = 5;
    }
    let count = not_negative(first + 2)?;
    let from = range_start(arguments.get(first))?;
    let to = range_end(arguments.get(first + 1))?;
    // As in Redis, what stands behind the consumer is not looked at where there is no IDLE.
    let consumer = (first + 3 < arguments.len()).then(|| arguments.bytes(first + 3));
    Ok(PendingFilter {
        idle_ms,
        from,
        to,
        count,
        consumer,
    })
}
