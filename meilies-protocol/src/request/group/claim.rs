//! XCLAIM and XAUTOCLAIM: pending events change their consumer.

use bytes::Bytes;

use crate::integer::parse_i64;
use crate::limits::{AUTO_CLAIM_COUNT_DEFAULT, AUTO_CLAIM_COUNT_MAX};
use crate::request::error::short;
use crate::request::misformed::{Absent, unless_absent};
use crate::request::stream::error::StreamRequestError;
use crate::request::stream::ids::event_id;
use crate::request::stream::range::range_start;
use crate::request::stream::{milliseconds, stream};
use crate::request::{Options, Request, RequestError};
use crate::{Arguments, EventId, StreamName};

/// `XCLAIM key group consumer min-idle id … [IDLE ms] [TIME ms] [RETRYCOUNT n] [FORCE] [JUSTID]
/// [LASTID id]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XClaim {
    /// Of which stream.
    pub key: StreamName,
    /// Of which group.
    pub group: Bytes,
    /// Who gets them.
    pub consumer: Bytes,
    /// For how long at least they have been pending.
    pub min_idle_ms: u64,
    /// Which events. There may be none.
    pub ids: Vec<EventId>,
    /// When they count as having been delivered; nothing means now.
    pub delivered: Option<Delivered>,
    /// How often they count as having been delivered; nothing means once more, or as often as
    /// before with `just_ids`.
    pub deliveries: Option<u64>,
    /// Whether events that are not pending become so.
    pub force: bool,
    /// Whether only ids are returned.
    pub just_ids: bool,
    /// The id up to which the group counts as having read, if it has not read further.
    pub last_id: Option<EventId>,
}

/// When an event counts as having been delivered. What lies in the future means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// `IDLE`: so many milliseconds ago.
    AgoMs(u64),
    /// `TIME`: so many milliseconds after the begin of 1970, UTC.
    AtMs(u64),
}

/// `XAUTOCLAIM key group consumer min-idle start [COUNT n] [JUSTID]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XAutoClaim {
    /// Of which stream.
    pub key: StreamName,
    /// Of which group.
    pub group: Bytes,
    /// Who gets them.
    pub consumer: Bytes,
    /// For how long at least they have been pending.
    pub min_idle_ms: u64,
    /// The least id.
    pub start: EventId,
    /// How many events at most; 1 to [`AUTO_CLAIM_COUNT_MAX`].
    pub count: u64,
    /// Whether only ids are returned.
    pub just_ids: bool,
}

pub(crate) fn claim(arguments: &Arguments) -> Result<Request, RequestError> {
    let needs = || Ok(vec![(stream(arguments, 1)?, Some(arguments.bytes(2)))]);
    unless_absent(claimed(arguments), arguments, needs, Absent::Claim)
}

fn claimed(arguments: &Arguments) -> Result<Request, RequestError> {
    let mut claim = XClaim {
        key: stream(arguments, 1)?,
        group: arguments.bytes(2),
        consumer: arguments.bytes(3),
        min_idle_ms: min_idle(arguments, "XCLAIM")?,
        ids: Vec::new(),
        delivered: None,
        deliveries: None,
        force: false,
        just_ids: false,
        last_id: None,
    };
    // The options begin with the first word that is no id.
    let ids = arguments.iter().skip(5).map_while(|id| event_id(id).ok());
    claim.ids.extend(ids);
    let mut options = Options::from(arguments, 5 + claim.ids.len());
    while let Some((word, given)) = options.next() {
        match (word.as_bytes(), options.left()) {
            (b"FORCE", _) => claim.force = true,
            (b"JUSTID", _) => claim.just_ids = true,
            (b"IDLE", 1..) => {
                let ago_ms = value(&mut options, "IDLE")?;
                claim.delivered = Some(Delivered::AgoMs(u64::try_from(ago_ms).unwrap_or(0)));
            }
            (b"TIME", 1..) => {
                let at_ms = u64::try_from(value(&mut options, "TIME")?);
                // A time before 1970 is none, which means now.
                claim.delivered = Some(at_ms.map_or(Delivered::AgoMs(0), Delivered::AtMs));
            }
            (b"RETRYCOUNT", 1..) => {
                // As in Redis, a negative number is as good as none.
                claim.deliveries = u64::try_from(value(&mut options, "RETRYCOUNT")?).ok();
            }
            (b"LASTID", 1..) => claim.last_id = Some(event_id(&options.required()?)?),
            _ => {
                let option = short(given);
                return Err(StreamRequestError::ClaimOption { option }.into());
            }
        }
    }
    Ok(Request::XClaim(Box::new(claim)))
}

fn value(options: &mut Options<'_>, option: &'static str) -> Result<i64, RequestError> {
    let value = parse_i64(&options.required()?);
    Ok(value.ok_or(StreamRequestError::ClaimValue { option })?)
}

pub(crate) fn auto_claim(arguments: &Arguments) -> Result<Request, RequestError> {
    let mut claim = XAutoClaim {
        key: stream(arguments, 1)?,
        group: arguments.bytes(2),
        consumer: arguments.bytes(3),
        min_idle_ms: min_idle(arguments, "XAUTOCLAIM")?,
        start: range_start(arguments.get(5))?,
        count: AUTO_CLAIM_COUNT_DEFAULT,
        just_ids: false,
    };
    let mut options = Options::from(arguments, 6);
    while let Some((word, _)) = options.next() {
        match (word.as_bytes(), options.left()) {
            (b"COUNT", 1..) => {
                let count = parse_i64(&options.required()?);
                claim.count = count
                    .and_then(|count| u64::try_from(count).ok())
                    .filter(|count| (1..=AUTO_CLAIM_COUNT_MAX).contains(count))
                    .ok_or(StreamRequestError::AutoClaimCount)?;
            }
            (b"JUSTID", _) => claim.just_ids = true,
            _ => return Err(RequestError::Syntax),
        }
    }
    Ok(Request::XAutoClaim(claim))
}

fn min_idle(arguments: &Arguments, command: &'static str) -> Result<u64, RequestError> {
    let ms = milliseconds(arguments.get(4));
    Ok(ms.ok_or(StreamRequestError::MinIdle { command })?)
}
