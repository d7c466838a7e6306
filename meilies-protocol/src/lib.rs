//! What MeiliES and its clients say to each other, without any I/O.
//!
//! Bytes come in and typed values go out, or the other way round; nothing here opens a socket,
//! waits, or keeps state about streams. The path of a command through this crate:
//! [`CommandScanner`] splits one whole command off the read buffer and leaves its [`Arguments`];
//! [`table::resolve`] finds its row in the command table; [`Request::parse`] makes it typed. The
//! server answers with [`writer`], [`push`] and [`reply`]; a client reads that through
//! [`ReplyScanner`], which gives a [`Value`], or on a connection of RESP3 an [`Incoming`].
//!
//! Invariant: nothing in this crate panics on, recurses into, or reserves memory for a number
//! that a peer has sent.

mod arguments;
mod event_id;
mod event_name;
pub mod glob;
mod integer;
pub mod limits;
pub mod push;
pub mod reply;
mod reply_scanner;
mod request;
mod resp;
mod scanner;
mod spec;
mod stream_name;
pub mod table;
mod value;
mod version;
pub mod writer;

pub use arguments::Arguments;
pub use event_id::{EVENT_ID_TEXT_BYTES_MAX, EventId, EventIdError};
pub use event_name::{EventName, EventNameError};
pub use push::Push;
pub use reply::Event;
pub use reply_scanner::{Incoming, ReplyError, ReplyLimits, ReplyScanner};
pub use request::{
    Absent, BackgroundRequest, ClientAttribute, ClientRequest, ClientType, CommandFilter,
    CommandRequest, ConfigRequest, Delivered, Expect, Full, GivenSpec, GroupFrom, GroupStart,
    Hello, HelloAuth, Idempotency, Kill, KillFilter, LatencyRequest, MemoryRequest, Misformed,
    ModuleRequest, NackMode, NewId, ObjectRequest, PauseMode, PendingFilter, Publish, PublishMany,
    ReadFrom, References, ReplyMode, Request, RequestError, Save, Scan, Shutdown, SlowLogRequest,
    StreamRequestError, Trim, TrimBy, UnblockReason, XAdd, XAutoClaim, XClaim, XGroup, XInfo,
    XNack, XRange, XRead, XReadGroup, XSetId,
};
pub use scanner::{CommandScanner, ProtocolError, ScanLimits};
pub use spec::{From, Source, Spec, SpecError, SpecReason};
pub use stream_name::{StreamName, StreamNameError};
pub use value::Value;
pub use version::Version;

/// The number of an event in its stream: from 0, without gaps.
pub type EventNumber = u64;

/// The number of an event over all streams: from 0, without gaps.
pub type Position = u64;
