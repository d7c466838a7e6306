//! XREADGROUP.

use bytes::Bytes;

use crate::request::misformed::{Absent, unless_absent};
use crate::request::stream::error::StreamRequestError;
use crate::request::stream::ids::event_id;
use crate::request::stream::read::{ReadOptions, Reader};
use crate::request::{Request, RequestError};
use crate::{Arguments, EventId, StreamName};

/// `XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [CLAIM ms] [MAXCOUNT n] [MAXSIZE bytes]
/// [NOACK] STREAMS key … id …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XReadGroup {
    /// For which group.
    pub group: Bytes,
    /// For which consumer of it.
    pub consumer: Bytes,
    /// How many events of each stream at most.
    pub count: Option<u64>,
    /// For how long to wait for an event if there is none; 0 means for ever.
    pub block_ms: Option<u64>,
    /// Events that have been pending for at least so long are taken over first.
    pub claim_ms: Option<u64>,
    /// Whether what is read does not become pending.
    pub no_ack: bool,
    /// How many events of all the streams at most.
    pub max_count: Option<u64>,
    /// How many bytes of events at most.
    pub max_size: Option<u64>,
    /// Which streams, in order, and what of each. One may be named several times.
    pub streams: Vec<(StreamName, GroupFrom)>,
}

/// What XREADGROUP reads of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupFrom {
    /// `>`: what the group has not got yet.
    New,
    /// What is pending for the consumer and behind this id.
    History(EventId),
}

impl GroupFrom {
    fn parse(text: &[u8]) -> Result<GroupFrom, RequestError> {
        match text {
            b">" => Ok(GroupFrom::New),
            b"$" => Err(StreamRequestError::IdOfXRead { id: '$' }.into()),
            b"+" => Err(StreamRequestError::IdOfXRead { id: '+' }.into()),
            // As in Redis, nothing can be behind the highest id but what is new.
            id => Ok(match event_id(id)? {
                EventId::MAX => GroupFrom::New,
                id => GroupFrom::History(id),
            }),
        }
    }
}

pub(crate) fn read(arguments: &Arguments) -> Result<Request, RequestError> {
    let mut options = ReadOptions::parse(arguments, Reader::Group)?;
    let group = options.group.take();
    let (group, consumer) = group.ok_or(StreamRequestError::GroupMissing)?;
    let streams = match options.streams(arguments, GroupFrom::parse) {
        Ok(streams) => streams,
        Err(error) => {
            let needs = || options.named_up_to(arguments, &group, GroupFrom::parse);
            return unless_absent(Err(error), arguments, needs, Absent::Read);
        }
    };
    Ok(Request::XReadGroup(Box::new(XReadGroup {
        group,
        consumer,
        count: options.count,
        block_ms: options.block_ms,
        claim_ms: options.claim_ms,
        no_ack: options.no_ack,
        max_count: options.max_count,
        max_size: options.max_size,
        streams,
    })))
}
