//! Redis' commands about keys of any type, where a key is a stream.

// The table holds functions of one shape, though some of these cannot fail.
#![allow(clippy::unnecessary_wraps)]

use bytes::Bytes;

use super::{Options, Request, RequestError, positive, tail, word};
use crate::Arguments;
use crate::integer::parse_digits;

/// How many keys SCAN looks at when it is not told.
const SCAN_COUNT_DEFAULT: u64 = 10;

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Where to go on: 0, or what the SCAN before gave.
    pub cursor: u64,
    /// Which keys.
    pub pattern: Option<Bytes>,
    /// How many keys to look at, about. At least 1.
    pub count: u64,
    /// Keys of which type: all that there are are of type `stream`.
    pub key_type: Option<Bytes>,
}

pub(crate) fn db_size(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::DbSize)
}

pub(crate) fn key_type(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Type {
        key: arguments.bytes(1),
    })
}

pub(crate) fn exists(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Exists {
        keys: tail(arguments, 1),
    })
}

pub(crate) fn keys(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Keys {
        pattern: arguments.bytes(1),
    })
}

pub(crate) fn delete(arguments: &Arguments) -> Result<Request, RequestError> {
    let keys = tail(arguments, 1);
    Ok(Request::Del { keys })
}

pub(crate) fn unlink(arguments: &Arguments) -> Result<Request, RequestError> {
    let keys = tail(arguments, 1);
    Ok(Request::Unlink { keys })
}

pub(crate) fn touch(arguments: &Arguments) -> Result<Request, RequestError> {
    let keys = tail(arguments, 1);
    Ok(Request::Touch { keys })
}

pub(crate) fn random_key(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::RandomKey)
}

pub(crate) fn rename(arguments: &Arguments) -> Result<Request, RequestError> {
    let (from, to) = (arguments.bytes(1), arguments.bytes(2));
    Ok(Request::Rename { from, to })
}

pub(crate) fn rename_to_new(arguments: &Arguments) -> Result<Request, RequestError> {
    let (from, to) = (arguments.bytes(1), arguments.bytes(2));
    Ok(Request::RenameNx { from, to })
}

pub(crate) fn flush_all(arguments: &Arguments) -> Result<Request, RequestError> {
    flush(arguments, Request::FlushAll)
}

pub(crate) fn flush_database(arguments: &Arguments) -> Result<Request, RequestError> {
    flush(arguments, Request::FlushDb)
}

/// `[ASYNC|SYNC]` says who frees the memory, which means nothing here.
fn flush(arguments: &Arguments, request: Request) -> Result<Request, RequestError> {
    match arguments.len() {
        1 => Ok(request),
        2 if matches!(word(arguments, 1).as_bytes(), b"ASYNC" | b"SYNC") => Ok(request),
        _ => Err(RequestError::Syntax),
    }
}

pub(crate) fn time_to_live(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(1);
    Ok(Request::Ttl { key })
}

pub(crate) fn time_to_live_ms(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(1);
    Ok(Request::PTtl { key })
}

pub(crate) fn expire_time(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(1);
    Ok(Request::ExpireTime { key })
}

pub(crate) fn expire_time_ms(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(1);
    Ok(Request::PExpireTime { key })
}

pub(crate) fn persist(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(1);
    Ok(Request::Persist { key })
}

pub(crate) fn scan(arguments: &Arguments) -> Result<Request, RequestError> {
    let cursor = parse_digits(arguments.get(1)).ok_or(RequestError::Cursor)?;
    let mut scan = Scan {
        cursor,
        pattern: None,
        count: SCAN_COUNT_DEFAULT,
        key_type: None,
    };
    let mut options = Options::from(arguments, 2);
    while let Some((word, _)) = options.next() {
        let value = options.required()?;
        match word.as_bytes() {
            b"MATCH" => scan.pattern = Some(value),
            b"COUNT" => scan.count = positive(&value, RequestError::Syntax)?,
            b"TYPE" => scan.key_type = Some(value),
            _ => return Err(RequestError::Syntax),
        }
    }
    Ok(Request::Scan(scan))
}
