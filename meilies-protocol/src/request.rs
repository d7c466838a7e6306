//! Commands with their arguments parsed: what a connection asks for.
//!
//! The same types are read by the server and written by clients, so both have one grammar.

pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod diagnostics;
mod encode;
mod error;
pub(crate) mod events;
pub(crate) mod group;
pub(crate) mod keyspace;
mod misformed;
pub(crate) mod server;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod transaction;

use std::ops::Range;

use bytes::Bytes;

pub use self::client::{
    ClientAttribute, ClientRequest, ClientType, Kill, KillFilter, PauseMode, ReplyMode,
    UnblockReason,
};
pub use self::connection::{Hello, HelloAuth};
pub use self::diagnostics::{LatencyRequest, MemoryRequest, ObjectRequest, SlowLogRequest};
pub use self::error::RequestError;
pub use self::events::{Expect, GivenSpec, Publish, PublishMany};
pub use self::group::claim::{Delivered, XAutoClaim, XClaim};
pub use self::group::manage::{GroupStart, XGroup};
pub use self::group::pending::PendingFilter;
pub use self::group::read::{GroupFrom, XReadGroup};
pub use self::group::release::{NackMode, XNack};
pub use self::keyspace::Scan;
pub use self::misformed::{Absent, Misformed};
pub use self::server::{
    BackgroundRequest, CommandFilter, CommandRequest, ConfigRequest, ModuleRequest, Save, Shutdown,
};
pub use self::stream::XSetId;
pub use self::stream::add::{Idempotency, NewId, XAdd};
pub use self::stream::error::StreamRequestError;
pub use self::stream::info::{Full, XInfo};
pub use self::stream::range::XRange;
pub use self::stream::read::{ReadFrom, XRead};
pub use self::stream::trim::{References, Trim, TrimBy};

use crate::integer::parse_i64;
use crate::limits::REQUEST_BYTES_MAX;
use crate::{Arguments, EventId, Spec, StreamName, table};

/// One command, typed. Its strings share the frame that the command came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `PUBLISH stream name data …`: stores an event.
    Publish(Publish),
    /// `PUBLISH channel message`: sends a message that is not stored.
    Message {
        /// Where to.
        channel: Bytes,
        /// What.
        message: Bytes,
    },
    /// `PUBLISH-MANY stream count name data …`: stores events, all or none.
    PublishMany(PublishMany),
    /// `SUBSCRIBE spec …`.
    Subscribe {
        /// What to follow, in order.
        specs: Vec<GivenSpec>,
    },
    /// `UNSUBSCRIBE [name …]`.
    Unsubscribe {
        /// What to leave; nothing means all.
        names: Vec<Bytes>,
    },
    /// `LAST-EVENT-NUMBER stream`.
    LastEventNumber {
        /// Whose.
        stream: StreamName,
    },
    /// `STREAM-INFO stream`.
    StreamInfo {
        /// Of which stream. Not `$all`.
        stream: StreamName,
    },
    /// `STREAM-NAMES [pattern]`.
    StreamNames {
        /// Which; nothing means all.
        pattern: Option<Bytes>,
    },
    /// `READ-EVENTS spec [COUNT n] [BYTES n] [REVERSE]`.
    ReadEvents {
        /// What to read. Without a start it is the whole stream.
        spec: Spec,
        /// How many at most.
        count: Option<u64>,
        /// Bytes of the reply at which it ends, if there is an event in it. It may end before.
        bytes: Option<u64>,
        /// From the last to the first.
        reverse: bool,
    },
    /// `XADD key … <*|ms-*|id> field value …`.
    XAdd(Box<XAdd>),
    /// `XLEN key`.
    XLen {
        /// Of which stream.
        key: StreamName,
    },
    /// `XRANGE key start end [COUNT n]`, and `XREVRANGE`.
    XRange(XRange),
    /// `XREAD … STREAMS key … id …`.
    XRead(XRead),
    /// `XDEL key id …`.
    XDel {
        /// From which stream.
        key: StreamName,
        /// Which. Invariant: there is one at least.
        ids: Vec<EventId>,
    },
    /// `XDELEX key [KEEPREF|DELREF|ACKED] IDS count id …`.
    XDelEx {
        /// From which stream.
        key: StreamName,
        /// What becomes of them in consumer groups.
        references: References,
        /// Which. Invariant: there is one at least.
        ids: Vec<EventId>,
    },
    /// `XTRIM key <MAXLEN|MINID> [=|~] threshold [LIMIT n] [KEEPREF|DELREF|ACKED]`.
    XTrim {
        /// Which stream.
        key: StreamName,
        /// What is left of it.
        trim: Trim,
        /// What becomes of the others in consumer groups.
        references: References,
    },
    /// `XSETID key id …`.
    XSetId(XSetId),
    /// `XCFGSET key [IDMP-DURATION seconds] [IDMP-MAXSIZE n]`. Invariant: one of them is given.
    XCfgSet {
        /// Of which stream.
        key: StreamName,
        /// For how many seconds the keys of producers are remembered.
        duration_s: Option<u64>,
        /// How many keys of each producer are remembered.
        max_size: Option<u64>,
    },
    /// `XINFO …`.
    XInfo(XInfo),
    /// `XGROUP …`.
    XGroup(XGroup),
    /// `XREADGROUP GROUP group consumer … STREAMS key … id …`.
    XReadGroup(Box<XReadGroup>),
    /// `XACK key group id …`.
    XAck {
        /// Of which stream.
        key: StreamName,
        /// Of which group.
        group: Bytes,
        /// Which. Invariant: there is one at least.
        ids: Vec<EventId>,
    },
    /// `XACKDEL key group [KEEPREF|DELREF|ACKED] IDS count id …`.
    XAckDel {
        /// Of which stream.
        key: StreamName,
        /// Of which group.
        group: Bytes,
        /// What becomes of them in consumer groups.
        references: References,
        /// Which. Invariant: there is one at least.
        ids: Vec<EventId>,
    },
    /// `XNACK key group <SILENT|FAIL|FATAL> IDS count id …`.
    XNack(XNack),
    /// `XPENDING key group [[IDLE ms] start end count [consumer]]`.
    XPending {
        /// Of which stream.
        key: StreamName,
        /// Of which group.
        group: Bytes,
        /// Which are listed; nothing means that they are counted.
        filter: Option<Box<PendingFilter>>,
    },
    /// `XCLAIM key group consumer min-idle id …`.
    XClaim(Box<XClaim>),
    /// `XAUTOCLAIM key group consumer min-idle start …`.
    XAutoClaim(XAutoClaim),
    /// A command of the Streams family with a wrong argument that is told only where what it is
    /// about is there.
    Misformed(Box<Misformed>),
    /// `MULTI`.
    Multi,
    /// `EXEC`.
    Exec,
    /// `DISCARD`.
    Discard,
    /// `WATCH key …`.
    Watch {
        /// Any bytes, also such as can name no stream.
        keys: Vec<Bytes>,
    },
    /// `UNWATCH`.
    Unwatch,
    /// `PING [message]`.
    Ping {
        /// What to answer instead of `PONG`.
        message: Option<Bytes>,
    },
    /// `ECHO message`.
    Echo {
        /// What to answer.
        message: Bytes,
    },
    /// `QUIT`.
    Quit,
    /// `RESET`.
    Reset,
    /// `SELECT index`.
    Select {
        /// Which database: there is only 0.
        index: i64,
    },
    /// `HELLO [version [AUTH user password] [SETNAME name]]`.
    Hello(Hello),
    /// `AUTH [user] password`.
    Auth {
        /// Nothing means the default user.
        user: Option<Bytes>,
        /// The password.
        password: Bytes,
    },
    /// `CLIENT …`.
    Client(ClientRequest),
    /// `COMMAND …`.
    Command(CommandRequest),
    /// `CONFIG …`.
    Config(ConfigRequest),
    /// `INFO [section …]`.
    Info {
        /// Which; nothing means the default ones.
        sections: Vec<Bytes>,
    },
    /// `DBSIZE`.
    DbSize,
    /// `TYPE key`.
    Type {
        /// Any bytes, also such as can name no stream.
        key: Bytes,
    },
    /// `EXISTS key …`.
    Exists {
        /// Any bytes, also such as can name no stream.
        keys: Vec<Bytes>,
    },
    /// `KEYS pattern`.
    Keys {
        /// Which.
        pattern: Bytes,
    },
    /// `SCAN cursor …`.
    Scan(Scan),
    /// `DEL key …`.
    Del {
        /// Any bytes, also such as can name no stream.
        keys: Vec<Bytes>,
    },
    /// `UNLINK key …`.
    Unlink {
        /// Any bytes, also such as can name no stream.
        keys: Vec<Bytes>,
    },
    /// `TOUCH key …`.
    Touch {
        /// Any bytes, also such as can name no stream.
        keys: Vec<Bytes>,
    },
    /// `RANDOMKEY`.
    RandomKey,
    /// `RENAME from to`.
    Rename {
        /// What it is called: any bytes, also such as can name no stream.
        from: Bytes,
        /// What it is to be called: any bytes, also such as can name no stream.
        to: Bytes,
    },
    /// `RENAMENX from to`.
    RenameNx {
        /// What it is called: any bytes, also such as can name no stream.
        from: Bytes,
        /// What it is to be called: any bytes, also such as can name no stream.
        to: Bytes,
    },
    /// `FLUSHALL [ASYNC|SYNC]`.
    FlushAll,
    /// `FLUSHDB [ASYNC|SYNC]`.
    FlushDb,
    /// `TTL key`.
    Ttl {
        /// Any bytes, also such as can name no stream.
        key: Bytes,
    },
    /// `PTTL key`.
    PTtl {
        /// Any bytes, also such as can name no stream.
        key: Bytes,
    },
    /// `EXPIRETIME key`.
    ExpireTime {
        /// Any bytes, also such as can name no stream.
        key: Bytes,
    },
    /// `PEXPIRETIME key`.
    PExpireTime {
        /// Any bytes, also such as can name no stream.
        key: Bytes,
    },
    /// `PERSIST key`.
    Persist {
        /// Any bytes, also such as can name no stream.
        key: Bytes,
    },
    /// `MEMORY …`.
    Memory(MemoryRequest),
    /// `OBJECT …`.
    Object(ObjectRequest),
    /// `SLOWLOG …`.
    SlowLog(SlowLogRequest),
    /// `LATENCY …`.
    Latency(LatencyRequest),
    /// `MODULE …`.
    Module(ModuleRequest),
    /// `MONITOR`.
    Monitor,
    /// `WAIT numreplicas timeout`.
    Wait {
        /// How many other servers must have what was written.
        replicas: u64,
        /// For how long to wait; 0 means for ever.
        timeout_ms: u64,
    },
    /// `WAITAOF numlocal numreplicas timeout`.
    WaitAof {
        /// Whether it must be durable here.
        local: bool,
        /// On how many other servers it must be durable.
        replicas: u64,
        /// For how long to wait; 0 means for ever.
        timeout_ms: u64,
    },
    /// `TIME`.
    Time,
    /// `SAVE`.
    Save,
    /// `BGSAVE …`, `BGREWRITEAOF`.
    Background(BackgroundRequest),
    /// `LASTSAVE`.
    LastSave,
    /// `SHUTDOWN …`.
    Shutdown(Shutdown),
}

// What would make every request larger is kept in a box.
const _: () = assert!(size_of::<Request>() <= REQUEST_BYTES_MAX);

impl Request {
    /// Finds the command in the table and parses its arguments.
    pub fn parse(arguments: &Arguments) -> Result<Request, RequestError> {
        table::resolve(arguments)?.parse(arguments)
    }
}

/// Walks the options of a command, whose words may be in any letter case.
pub(crate) struct Options<'a> {
    arguments: &'a Arguments,
    at: usize,
}

impl<'a> Options<'a> {
    /// Begins at an argument.
    pub(crate) fn from(arguments: &'a Arguments, at: usize) -> Options<'a> {
        Options { arguments, at }
    }

    /// The next option's word in upper case and as it was given.
    pub(crate) fn next(&mut self) -> Option<(Word, &'a [u8])> {
        if self.at >= self.arguments.len() {
            return None;
        }
        let given = self.arguments.get(self.at);
        self.at += 1;
        Some((Word::of(given), given))
    }

    /// The value of the option that came last.
    pub(crate) fn value(&mut self) -> Option<Bytes> {
        if self.at >= self.arguments.len() {
            return None;
        }
        self.at += 1;
        Some(self.arguments.bytes(self.at - 1))
    }

    /// The value of the option that came last, or a syntax error.
    pub(crate) fn required(&mut self) -> Result<Bytes, RequestError> {
        self.value().ok_or(RequestError::Syntax)
    }

    /// Where the next arguments are, so many of them, which are taken.
    pub(crate) fn take(&mut self, count: usize) -> Option<Range<usize>> {
        if count > self.left() {
            return None;
        }
        let begin = self.at;
        self.at += count;
        Some(begin..self.at)
    }

    /// How many arguments are left.
    pub(crate) fn left(&self) -> usize {
        self.arguments.len() - self.at
    }
}

/// Bytes of the longest word that any option has.
const WORD_BYTES_MAX: usize = 16;

/// A word of up to 16 bytes in upper case, kept without allocation. Longer ones become empty:
/// they are no option.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    bytes: [u8; WORD_BYTES_MAX],
    length: usize,
}

impl Word {
    fn of(given: &[u8]) -> Word {
        let mut bytes = [0; WORD_BYTES_MAX];
        let Some(head) = bytes.get_mut(..given.len()) else {
            return Word { bytes, length: 0 };
        };
        head.copy_from_slice(given);
        head.make_ascii_uppercase();
        Word {
            bytes,
            length: given.len(),
        }
    }

    /// The word, to be matched against byte strings.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The upper case of one argument, to be matched against byte strings.
pub(crate) fn word(arguments: &Arguments, index: usize) -> Word {
    Word::of(arguments.get(index))
}

/// The arguments from one on.
pub(crate) fn tail(arguments: &Arguments, from: usize) -> Vec<Bytes> {
    (from..arguments.len())
        .map(|index| arguments.bytes(index))
        .collect()
}

pub(crate) fn integer(text: &[u8]) -> Result<i64, RequestError> {
    parse_i64(text).ok_or(RequestError::NotAnInteger)
}

/// A number that must be above 0; anything else that is a number is `otherwise`.
pub(crate) fn positive(text: &[u8], otherwise: RequestError) -> Result<u64, RequestError> {
    match u64::try_from(integer(text)?) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(otherwise),
    }
}
