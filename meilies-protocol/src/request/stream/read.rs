//! XREAD, and what it has in common with XREADGROUP.

use bytes::Bytes;

use super::error::StreamRequestError;
use super::{event_id, limit, stream, timeout};
use crate::integer::parse_i64;
use crate::request::{Options, Request, RequestError, positive};
use crate::{Arguments, EventId, StreamName};

/// `XREAD [COUNT n] [BLOCK ms] [MAXCOUNT n] [MAXSIZE bytes] STREAMS key … id …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XRead {
    /// How many events of each stream at most.
    pub count: Option<u64>,
    /// For how long to wait for an event if there is none; 0 means for ever.
    pub block_ms: Option<u64>,
    /// How many events of all the streams at most.
    pub max_count: Option<u64>,
    /// How many bytes of events at most.
    pub max_size: Option<u64>,
    /// Which streams, in order, and from where on. One may be named several times.
    pub streams: Vec<(StreamName, ReadFrom)>,
}

/// Where XREAD begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// Behind this id.
    After(EventId),
    /// `$`: behind the last id that there is.
    New,
    /// `+`: at the last event, which is then the only one.
    Last,
}

impl ReadFrom {
    fn parse(text: &[u8]) -> Result<ReadFrom, RequestError> {
        match text {
            b"$" => Ok(ReadFrom::New),
            b"+" => Ok(ReadFrom::Last),
            b">" => Err(StreamRequestError::NewWithoutGroup.into()),
            id => event_id(id).map(ReadFrom::After),
        }
    }
}

pub(crate) fn read(arguments: &Arguments) -> Result<Request, RequestError> {
    let options = ReadOptions::parse(arguments, Reader::Alone)?;
    let streams = options.streams(arguments, ReadFrom::parse)?;
    Ok(Request::XRead(XRead {
        count: options.count,
        block_ms: options.block_ms,
        max_count: options.max_count,
        max_size: options.max_size,
        streams,
    }))
}

/// Who reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// XREAD.
    Alone,
    /// XREADGROUP.
    Group,
}

/// What stands in front of the streams, and where they are.
#[derive(Default)]
pub(crate) struct ReadOptions {
    pub(crate) group: Option<(Bytes, Bytes)>,
    pub(crate) count: Option<u64>,
    pub(crate) block_ms: Option<u64>,
    pub(crate) max_count: Option<u64>,
    pub(crate) max_size: Option<u64>,
    pub(crate) claim_ms: Option<u64>,
    pub(crate) no_ack: bool,
    /// The argument behind the word `STREAMS`.
    streams_at: usize,
}

impl ReadOptions {
    pub(crate) fn parse(
        arguments: &Arguments,
        reader: Reader,
    ) -> Result<ReadOptions, RequestError> {
        let mut read = ReadOptions::default();
        let mut options = Options::from(arguments, 1);
        loop {
            let (word, _) = options.next().ok_or(RequestError::Syntax)?;
            match (word.as_bytes(), options.left()) {
                (b"STREAMS", 1..) => break,
                (b"COUNT", 1..) => read.count = limit(&options.required()?)?,
                (b"BLOCK", 1..) => read.block_ms = Some(timeout(&options.required()?)?),
                (b"MAXCOUNT", 1..) => read.max_count = Some(bound(&mut options, "MAXCOUNT")?),
                (b"MAXSIZE", 1..) => read.max_size = Some(bound(&mut options, "MAXSIZE")?),
                (word, left) => read.take_of_group(word, left, &mut options, reader)?,
            }
        }
        if !options.left().is_multiple_of(2) {
            return Err(match reader {
                Reader::Alone => StreamRequestError::ReadUnbalanced,
                Reader::Group => StreamRequestError::GroupReadUnbalanced,
            }
            .into());
        }
        if read.max_count.is_some_and(|most| Some(most) < read.count) {
            return Err(StreamRequestError::ReadBoundBelowCount.into());
        }
        read.streams_at = arguments.len() - options.left();
        Ok(read)
    }

    /// Takes an option that only XREADGROUP has.
    fn take_of_group(
        &mut self,
        word: &[u8],
        left: usize,
        options: &mut Options<'_>,
        reader: Reader,
    ) -> Result<(), RequestError> {
        let option = match (word, left) {
            (b"GROUP", 2..) => "GROUP",
            (b"CLAIM", 1..) => "CLAIM",
            (b"NOACK", _) => "NOACK",
            _ => return Err(RequestError::Syntax),
        };
        if reader == Reader::Alone {
            return Err(StreamRequestError::OptionOfGroup { option }.into());
        }
        match option {
            "GROUP" => self.group = Some((options.required()?, options.required()?)),
            "CLAIM" => {
                let idle_ms = parse_i64(&options.required()?);
                let idle_ms = u64::try_from(idle_ms.ok_or(StreamRequestError::ReadMinIdle)?);
                let idle_ms = idle_ms.map_err(|_| StreamRequestError::ReadMinIdleNegative)?;
                self.claim_ms = Some(idle_ms);
            }
            _ => self.no_ack = true,
        }
        Ok(())
    }

    /// The streams up to the first whose id is wrong, with their group.
    pub(crate) fn named_up_to<From>(
        &self,
        arguments: &Arguments,
        group: &Bytes,
        from: impl Fn(&[u8]) -> Result<From, RequestError>,
    ) -> Result<Vec<(StreamName, Option<Bytes>)>, RequestError> {
        let count = (arguments.len() - self.streams_at) / 2;
        let mut named = Vec::new();
        for index in self.streams_at..self.streams_at + count {
            named.push((stream(arguments, index)?, Some(group.clone())));
            if from(arguments.get(index + count)).is_err() {
                break;
            }
        }
        Ok(named)
    }

    /// The streams with where to begin in each: first all the names stand there, then as many
    /// ids.
    pub(crate) fn streams<From>(
        &self,
        arguments: &Arguments,
        from: impl Fn(&[u8]) -> Result<From, RequestError>,
    ) -> Result<Vec<(StreamName, From)>, RequestError> {
        let count = (arguments.len() - self.streams_at) / 2;
        let names = self.streams_at..self.streams_at + count;
        names
            .map(|index| {
                let from = from(arguments.get(index + count))?;
                Ok((stream(arguments, index)?, from))
            })
            .collect()
    }
}

/// The value of an option that bounds what is read of all the streams.
fn bound(options: &mut Options<'_>, option: &'static str) -> Result<u64, RequestError> {
    let refused = StreamRequestError::ReadBound { option };
    positive(&options.required()?, refused.into())
}
