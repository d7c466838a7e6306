//! A subscription: a cursor that reads, then follows.

use bytes::Bytes;
use meilies_protocol::StreamName;

use super::watchers::{Moment, Token};
use crate::engine::{Form, ReadRequest, ReadSource};
use crate::limits::EVENT_READ_BYTES_MAX;

/// The wire's name of all streams.
const ALL: &[u8] = b"$all";

/// Where a subscription begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// With this number, whether it exists yet or not: what exists is replayed first.
    At {
        /// The number, or position.
        number: u64,
        /// The stream's id, if there is a stream.
        stream_id: Option<u64>,
    },
    /// Behind the tail as it was looked up.
    BehindTail {
        /// The source's last number, `None` when it had none.
        tail: Option<u64>,
        /// The stream's id, if there is a stream.
        stream_id: Option<u64>,
        /// Before the look-up.
        moment: Moment,
    },
}

/// One subscription. It holds no events, so a slow reader costs this and nothing else.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) source: ReadSource,
    /// Known if there was a stream at SUBSCRIBE, else after the first read that found one.
    pub(super) stream_id: Option<u64>,
    /// Invariant: everything below it was sent or not asked for.
    pub(super) next: u64,
    /// First number not wanted, and the spec as it was given, which names the subscription when
    /// it has ended.
    pub(super) end: Option<(u64, Bytes)>,
    /// Replay has not reached the tail yet.
    pub(super) replaying: bool,
    /// It began at a number that did not exist yet: nothing is sent until that number does.
    pub(super) ahead: bool,
    pub(super) phase: Phase,
    /// What it knew of before its last read, beside events.
    pub(super) touches: u64,
    /// Where it slept last.
    pub(super) token: Option<Token>,
    /// Which SUBSCRIBE of its connection it comes from: a read for an older one is not for it.
    pub(super) epoch: u64,
}

/// What a cursor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for its turn to read.
    Queued,
    /// Its events are being read or sent.
    Reading,
    /// Nothing is left for it.
    Sleeping,
}

impl Cursor {
    /// The source as pushes name it.
    pub(super) fn name(&self) -> &[u8] {
        match &self.source {
            ReadSource::All => ALL,
            ReadSource::Stream(name) => name.as_bytes(),
        }
    }

    pub(super) fn form(&self) -> Form {
        match self.source {
            ReadSource::All => Form::PeventAll,
            ReadSource::Stream(_) => Form::Event,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.end.as_ref().is_some_and(|(end, _)| self.next >= *end)
    }

    pub(super) fn request(&self) -> ReadRequest {
        ReadRequest {
            source: self.source.clone(),
            stream_id: self.stream_id,
            from: self.next,
            until: self.end.as_ref().map(|(end, _)| *end),
            bytes_max: EVENT_READ_BYTES_MAX,
            reverse: false,
        }
    }
}

/// A source whose name does not keep a read buffer in memory.
pub(super) fn detached(source: &meilies_protocol::Source) -> ReadSource {
    match source {
        meilies_protocol::Source::All => ReadSource::All,
        meilies_protocol::Source::Stream(name) => ReadSource::Stream(StreamName::detached(name)),
    }
}
