//! Redis' commands about a stream and its events: XADD, XLEN, XRANGE, XREVRANGE, XREAD, XDEL,
//! XDELEX, XTRIM, XSETID, XCFGSET and XINFO.

// The table holds functions of one shape, though some of these cannot fail.
#![allow(clippy::unnecessary_wraps)]

pub(crate) mod add;
pub(crate) mod error;
pub(crate) mod ids;
pub(crate) mod info;
pub(crate) mod range;
pub(crate) mod read;
pub(crate) mod trim;

use std::time::SystemTime;

use self::error::StreamRequestError;
use self::ids::{event_id, event_ids};
use super::misformed::{Absent, unless_absent};
use super::{Options, Request, RequestError, integer};
use crate::integer::parse_i64;
use crate::limits::{IDEMPOTENCY_DURATION_S_MAX, IDEMPOTENCY_KEYS_MAX};
use crate::{Arguments, EventId, StreamName};

/// `XSETID key id [ENTRIESADDED n] [MAXDELETEDID id]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XSetId {
    /// Of which stream.
    pub key: StreamName,
    /// The id that counts as the last one given.
    pub id: EventId,
    /// How many events were ever added; nothing leaves that as it is.
    pub entries_added: Option<u64>,
    /// The greatest id of a deleted event; nothing leaves that as it is. Invariant: it is not
    /// above `id`.
    pub max_deleted: Option<EventId>,
}

pub(crate) fn length(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = stream(arguments, 1)?;
    Ok(Request::XLen { key })
}

pub(crate) fn delete(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = stream(arguments, 1)?;
    let parsed = event_ids(arguments, 2..arguments.len()).map(|ids| Request::XDel {
        key: key.clone(),
        ids,
    });
    unless_absent(parsed, arguments, || Ok(vec![(key, None)]), Absent::Zero)
}

pub(crate) fn delete_by_reference(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = stream(arguments, 1)?;
    let (references, ids) = ids::referenced(arguments, 2)?;
    let count = ids.len();
    let parsed = event_ids(arguments, ids).map(|ids| Request::XDelEx {
        key: key.clone(),
        references,
        ids,
    });
    let needs = || Ok(vec![(key, None)]);
    unless_absent(parsed, arguments, needs, Absent::Each { count })
}

pub(crate) fn set_id(arguments: &Arguments) -> Result<Request, RequestError> {
    let mut set = XSetId {
        key: stream(arguments, 1)?,
        id: event_id(arguments.get(2))?,
        entries_added: None,
        max_deleted: None,
    };
    let mut options = Options::from(arguments, 3);
    while let Some((word, _)) = options.next() {
        let value = options.required()?;
        match word.as_bytes() {
            b"ENTRIESADDED" => {
                let added = u64::try_from(integer(&value)?);
                set.entries_added = Some(added.map_err(|_| StreamRequestError::EntriesAdded)?);
            }
            b"MAXDELETEDID" => {
                let deleted = event_id(&value)?;
                if set.id < deleted {
                    return Err(StreamRequestError::DeletedBehindLast.into());
                }
                set.max_deleted = Some(deleted);
            }
            _ => return Err(RequestError::Syntax),
        }
    }
    Ok(Request::XSetId(set))
}

pub(crate) fn configure(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = stream(arguments, 1)?;
    let parsed = configuration(arguments).map(|(duration_s, max_size)| Request::XCfgSet {
        key: key.clone(),
        duration_s,
        max_size,
    });
    unless_absent(parsed, arguments, || Ok(vec![(key, None)]), Absent::Key)
}

/// What XCFGSET sets: for how long and how many keys of producers are known.
fn configuration(arguments: &Arguments) -> Result<(Option<u64>, Option<u64>), RequestError> {
    let (mut duration_s, mut max_size) = (None, None);
    let mut options = Options::from(arguments, 2);
    while let Some((word, _)) = options.next() {
        let value = options.required()?;
        match word.as_bytes() {
            b"IDMP-DURATION" => {
                let refused = StreamRequestError::Duration;
                once(duration_s, "IDMP-DURATION")?;
                duration_s = Some(within(&value, IDEMPOTENCY_DURATION_S_MAX, refused)?);
            }
            b"IDMP-MAXSIZE" => {
                let refused = StreamRequestError::KeysKept;
                once(max_size, "IDMP-MAXSIZE")?;
                max_size = Some(within(&value, IDEMPOTENCY_KEYS_MAX, refused)?);
            }
            _ => return Err(RequestError::Syntax),
        }
    }
    if duration_s.is_none() && max_size.is_none() {
        return Err(StreamRequestError::NothingSet.into());
    }
    Ok((duration_s, max_size))
}

fn once(before: Option<u64>, option: &'static str) -> Result<(), RequestError> {
    match before {
        Some(_) => Err(StreamRequestError::SetTwice { option }.into()),
        None => Ok(()),
    }
}

/// A number from 1 to `most`.
fn within(text: &[u8], most: u64, refused: StreamRequestError) -> Result<u64, RequestError> {
    match u64::try_from(integer(text)?) {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(refused.into()),
    }
}

/// An argument that names a stream which is read, or changed without a new event.
pub(super) fn stream(arguments: &Arguments, index: usize) -> Result<StreamName, RequestError> {
    Ok(StreamName::parse(arguments.bytes(index))?)
}

/// A number of events where 0 and less mean that there is no limit.
pub(super) fn limit(text: &[u8]) -> Result<Option<u64>, RequestError> {
    let limit = u64::try_from(integer(text)?).ok();
    Ok(limit.filter(|limit| *limit > 0))
}

/// For how long to wait, in milliseconds; 0 means for ever.
pub(crate) fn timeout(text: &[u8]) -> Result<u64, RequestError> {
    let timeout = parse_i64(text).ok_or(RequestError::Timeout)?;
    let timeout = u64::try_from(timeout).map_err(|_| RequestError::TimeoutNegative)?;
    match ends_in_time(timeout) {
        true => Ok(timeout),
        false => Err(RequestError::TimeoutTooLong),
    }
}

/// Whether a wait ends at a time that Redis can tell: at an i64 of milliseconds since 1970.
fn ends_in_time(timeout_ms: u64) -> bool {
    let latest = i64::MAX.cast_unsigned();
    if timeout_ms <= latest / 2 {
        return true;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_ms = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    timeout_ms <= latest.saturating_sub(now_ms)
}

/// A number of milliseconds that is taken for 0 if it is negative, as Redis does.
pub(super) fn milliseconds(text: &[u8]) -> Option<u64> {
    parse_i64(text).map(|ms| u64::try_from(ms).unwrap_or(0))
}
