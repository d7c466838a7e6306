//! The sub-commands of XINFO.

// The table holds functions of one shape, though some of these cannot fail.
#![allow(clippy::unnecessary_wraps)]

use bytes::Bytes;

use super::stream;
use crate::limits::INFO_COUNT_DEFAULT;
use crate::request::misformed::{Absent, unless_absent};
use crate::request::{Request, RequestError, integer, word};
use crate::{Arguments, StreamName};

/// `XINFO …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XInfo {
    /// `STREAM`: what is known of a stream.
    Stream {
        /// Which.
        key: StreamName,
        /// Whether its events and groups are shown as well.
        full: Option<Full>,
    },
    /// `GROUPS`: what is known of its groups.
    Groups {
        /// Of which stream.
        key: StreamName,
    },
    /// `CONSUMERS`: what is known of the consumers of a group.
    Consumers {
        /// Of which stream.
        key: StreamName,
        /// Which group.
        group: Bytes,
    },
    /// `HELP`.
    Help,
}

/// `FULL [COUNT n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many events, and how many pending ones of each group and consumer; 0 means all.
    pub count: u64,
}

pub(crate) fn about_stream(arguments: &Arguments) -> Result<Request, RequestError> {
    let needs = || Ok(vec![(stream(arguments, 2)?, None)]);
    unless_absent(shown(arguments), arguments, needs, Absent::Key)
}

fn shown(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = stream(arguments, 2)?;
    let is = |index: usize, expected: &[u8]| word(arguments, index).as_bytes() == expected;
    let full = match arguments.len() {
        3 => None,
        4 if is(3, b"FULL") => Some(Full {
            count: INFO_COUNT_DEFAULT,
        }),
        6 if is(3, b"FULL") && is(4, b"COUNT") => {
            // A negative number is none, so it is as if there were no COUNT.
            let count = u64::try_from(integer(arguments.get(5))?);
            let count = count.unwrap_or(INFO_COUNT_DEFAULT);
            Some(Full { count })
        }
        _ => return Err(RequestError::subcommand_arguments(arguments)),
    };
    Ok(Request::XInfo(XInfo::Stream { key, full }))
}

pub(crate) fn about_groups(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = stream(arguments, 2)?;
    Ok(Request::XInfo(XInfo::Groups { key }))
}

pub(crate) fn about_consumers(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = stream(arguments, 2)?;
    let group = arguments.bytes(3);
    Ok(Request::XInfo(XInfo::Consumers { key, group }))
}

pub(crate) fn help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::XInfo(XInfo::Help))
}
