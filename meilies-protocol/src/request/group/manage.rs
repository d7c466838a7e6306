//! The sub-commands of XGROUP.

// The table holds functions of one shape, though some of these cannot fail.
#![allow(clippy::unnecessary_wraps)]

use bytes::Bytes;

use crate::request::misformed::{Absent, unless_absent};
use crate::request::stream::error::StreamRequestError;
use crate::request::stream::ids::event_id;
use crate::request::stream::stream;
use crate::request::{Options, Request, RequestError, integer};
use crate::{Arguments, EventId, StreamName};

/// Arguments of `XGROUP CREATE key group id MKSTREAM ENTRIESREAD n`: there are never more.
const CREATE_ARGUMENTS_MAX: usize = 8;

/// Arguments of `XGROUP SETID key group id ENTRIESREAD n`: there are never more.
const SET_ID_ARGUMENTS_MAX: usize = 7;

/// `XGROUP …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XGroup {
    /// `CREATE`.
    Create {
        /// Of which stream. Not a name of the system.
        key: StreamName,
        /// What it is called.
        group: Bytes,
        /// Where it begins.
        start: GroupStart,
        /// Whether a stream that is not there is made, without an event.
        make_stream: bool,
        /// How many events the group counts as having read, if that is known.
        entries_read: Option<u64>,
    },
    /// `SETID`: moves a group.
    SetId {
        /// Of which stream.
        key: StreamName,
        /// Which.
        group: Bytes,
        /// Where it goes on.
        start: GroupStart,
        /// How many events the group counts as having read, if that is known.
        entries_read: Option<u64>,
    },
    /// `DESTROY`.
    Destroy {
        /// Of which stream.
        key: StreamName,
        /// Which.
        group: Bytes,
    },
    /// `CREATECONSUMER`.
    CreateConsumer {
        /// Of which stream.
        key: StreamName,
        /// Of which group.
        group: Bytes,
        /// What it is called.
        consumer: Bytes,
    },
    /// `DELCONSUMER`: also forgets what is pending for it.
    DelConsumer {
        /// Of which stream.
        key: StreamName,
        /// Of which group.
        group: Bytes,
        /// Which.
        consumer: Bytes,
    },
    /// `HELP`.
    Help,
}

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStart {
    /// Behind this id.
    Id(EventId),
    /// `$`: behind the last id that there is.
    End,
}

impl GroupStart {
    fn parse(text: &[u8]) -> Result<GroupStart, RequestError> {
        match text {
            b"$" => Ok(GroupStart::End),
            id => event_id(id).map(GroupStart::Id),
        }
    }
}

pub(crate) fn create(arguments: &Arguments) -> Result<Request, RequestError> {
    let parsed = created(arguments);
    let makes_stream = arguments
        .iter()
        .skip(5)
        .any(|word| word.eq_ignore_ascii_case(b"MKSTREAM"));
    match parsed {
        Err(RequestError::EventId(_)) if !makes_stream => {
            let needs = || Ok(vec![(stream(arguments, 2)?, None)]);
            unless_absent(parsed, arguments, needs, Absent::Group)
        }
        parsed => parsed,
    }
}

fn created(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (arguments.bytes(2), arguments.bytes(3));
    let key = StreamName::parse_writable(key)?;
    let (mut make_stream, mut entries_read) = (false, None);
    let mut options = Options::from(arguments, 5);
    while let Some((word, _)) = options.next() {
        match (word.as_bytes(), options.left()) {
            (b"MKSTREAM", _) => make_stream = true,
            (b"ENTRIESREAD", 1..) => entries_read = events_read(&mut options)?,
            _ => return Err(RequestError::subcommand_arguments(arguments)),
        }
    }
    if arguments.len() > CREATE_ARGUMENTS_MAX {
        return Err(RequestError::subcommand_arguments(arguments));
    }
    let start = GroupStart::parse(arguments.get(4))?;
    Ok(Request::XGroup(XGroup::Create {
        key,
        group,
        start,
        make_stream,
        entries_read,
    }))
}

pub(crate) fn set_id(arguments: &Arguments) -> Result<Request, RequestError> {
    let parsed = id_set(arguments);
    match parsed {
        Err(RequestError::EventId(_)) => {
            let needs = || Ok(vec![(stream(arguments, 2)?, Some(arguments.bytes(3)))]);
            unless_absent(parsed, arguments, needs, Absent::Group)
        }
        parsed => parsed,
    }
}

fn id_set(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (stream(arguments, 2)?, arguments.bytes(3));
    let mut entries_read = None;
    let mut options = Options::from(arguments, 5);
    while let Some((word, _)) = options.next() {
        match (word.as_bytes(), options.left()) {
            (b"ENTRIESREAD", 1..) => entries_read = events_read(&mut options)?,
            _ => return Err(RequestError::subcommand_arguments(arguments)),
        }
    }
    if arguments.len() > SET_ID_ARGUMENTS_MAX {
        return Err(RequestError::subcommand_arguments(arguments));
    }
    // Unlike CREATE it takes the ends of all ids by their signs.
    let start = match arguments.get(4) {
        b"-" => GroupStart::Id(EventId::MIN),
        b"+" => GroupStart::Id(EventId::MAX),
        text => GroupStart::parse(text)?,
    };
    Ok(Request::XGroup(XGroup::SetId {
        key,
        group,
        start,
        entries_read,
    }))
}

/// The value of `ENTRIESREAD`: -1 means that it is not known.
fn events_read(options: &mut Options<'_>) -> Result<Option<u64>, RequestError> {
    match integer(&options.required()?)? {
        -1 => Ok(None),
        read => match u64::try_from(read) {
            Ok(read) => Ok(Some(read)),
            Err(_) => Err(StreamRequestError::EntriesRead.into()),
        },
    }
}

pub(crate) fn destroy(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (stream(arguments, 2)?, arguments.bytes(3));
    Ok(Request::XGroup(XGroup::Destroy { key, group }))
}

pub(crate) fn create_consumer(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (stream(arguments, 2)?, arguments.bytes(3));
    let consumer = arguments.bytes(4);
    Ok(Request::XGroup(XGroup::CreateConsumer {
        key,
        group,
        consumer,
    }))
}

pub(crate) fn delete_consumer(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (stream(arguments, 2)?, arguments.bytes(3));
    let consumer = arguments.bytes(4);
    Ok(Request::XGroup(XGroup::DelConsumer {
        key,
        group,
        consumer,
    }))
}

pub(crate) fn help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::XGroup(XGroup::Help))
}
