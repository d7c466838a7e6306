//! Redis' commands that look into the server and its keys: MEMORY, OBJECT, SLOWLOG and LATENCY.

// The table holds functions of one shape, though some of these cannot fail.
#![allow(clippy::unnecessary_wraps)]

use bytes::Bytes;

use super::{Options, Request, RequestError, integer, tail};
use crate::Arguments;
use crate::integer::parse_i64;
use crate::limits::SLOW_LOG_COUNT_DEFAULT;

/// `MEMORY …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryRequest {
    /// `USAGE`: what a key takes.
    Usage {
        /// Any bytes, also such as can name no stream.
        key: Bytes,
        /// How many parts of it to look at, if that was said; 0 means all.
        samples: Option<u64>,
    },
    /// `HELP`.
    Help,
}

/// `OBJECT …`. Keys are any bytes, also such as can name no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectRequest {
    /// `ENCODING`: how a key is kept.
    Encoding {
        /// Which.
        key: Bytes,
    },
    /// `FREQ`: how often a key is used.
    Frequency {
        /// Which.
        key: Bytes,
    },
    /// `IDLETIME`: for how long a key was not used.
    IdleTime {
        /// Which.
        key: Bytes,
    },
    /// `REFCOUNT`: how many places hold a key's value.
    ReferenceCount {
        /// Which.
        key: Bytes,
    },
    /// `HELP`.
    Help,
}

/// `SLOWLOG …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlowLogRequest {
    /// `GET`: the last commands that were slow.
    Get {
        /// How many at most; nothing means all.
        count: Option<u64>,
    },
    /// `LEN`: how many there are.
    Length,
    /// `RESET`: forgets them.
    Reset,
    /// `HELP`.
    Help,
}

/// `LATENCY …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LatencyRequest {
    /// `DOCTOR`: a report for people.
    Doctor,
    /// `HISTOGRAM`: how long commands took.
    Histogram {
        /// Which; nothing means all.
        commands: Vec<Bytes>,
    },
    /// `HISTORY`: when something took long, and how long.
    History {
        /// What, in Redis' words.
        event: Bytes,
    },
    /// `LATEST`: what took long last.
    Latest,
    /// `RESET`: forgets it.
    Reset {
        /// Of what, in Redis' words; nothing means all.
        events: Vec<Bytes>,
    },
    /// `HELP`.
    Help,
}

pub(crate) fn memory_usage(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, mut samples) = (arguments.bytes(2), None);
    let mut options = Options::from(arguments, 3);
    while let Some((word, _)) = options.next() {
        match (word.as_bytes(), options.left()) {
            (b"SAMPLES", 1..) => {
                let given = u64::try_from(integer(&options.required()?)?);
                samples = Some(given.map_err(|_| RequestError::Syntax)?);
            }
            _ => return Err(RequestError::Syntax),
        }
    }
    Ok(Request::Memory(MemoryRequest::Usage { key, samples }))
}

pub(crate) fn memory_help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Memory(MemoryRequest::Help))
}

pub(crate) fn object_encoding(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(2);
    Ok(Request::Object(ObjectRequest::Encoding { key }))
}

pub(crate) fn object_frequency(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(2);
    Ok(Request::Object(ObjectRequest::Frequency { key }))
}

pub(crate) fn object_idle_time(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(2);
    Ok(Request::Object(ObjectRequest::IdleTime { key }))
}

pub(crate) fn object_reference_count(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = arguments.bytes(2);
    Ok(Request::Object(ObjectRequest::ReferenceCount { key }))
}

pub(crate) fn object_help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Object(ObjectRequest::Help))
}

pub(crate) fn slow_log_get(arguments: &Arguments) -> Result<Request, RequestError> {
    let count = match arguments.len() {
        2 => Some(SLOW_LOG_COUNT_DEFAULT),
        3 => match parse_i64(arguments.get(2)) {
            Some(-1) => None,
            Some(count @ 0..) => u64::try_from(count).ok(),
            _ => return Err(RequestError::SlowLogCount),
        },
        _ => return Err(RequestError::subcommand_arguments(arguments)),
    };
    Ok(Request::SlowLog(SlowLogRequest::Get { count }))
}

pub(crate) fn slow_log_length(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::SlowLog(SlowLogRequest::Length))
}

pub(crate) fn slow_log_reset(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::SlowLog(SlowLogRequest::Reset))
}

pub(crate) fn slow_log_help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::SlowLog(SlowLogRequest::Help))
}

pub(crate) fn latency_doctor(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Latency(LatencyRequest::Doctor))
}

pub(crate) fn latency_histogram(arguments: &Arguments) -> Result<Request, RequestError> {
    let commands = tail(arguments, 2);
    Ok(Request::Latency(LatencyRequest::Histogram { commands }))
}

pub(crate) fn latency_history(arguments: &Arguments) -> Result<Request, RequestError> {
    let event = arguments.bytes(2);
    Ok(Request::Latency(LatencyRequest::History { event }))
}

pub(crate) fn latency_latest(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Latency(LatencyRequest::Latest))
}

pub(crate) fn latency_reset(arguments: &Arguments) -> Result<Request, RequestError> {
    let events = tail(arguments, 2);
    Ok(Request::Latency(LatencyRequest::Reset { events }))
}

pub(crate) fn latency_help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Latency(LatencyRequest::Help))
}
