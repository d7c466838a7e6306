//! What can go wrong, and what the caller can do about it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use meilies_protocol::{
    EventNameError, EventNumber, ReplyError, SpecError, StreamName, StreamNameError, Value,
};

use crate::append::FIELDS_MAX;
use crate::limits::{PUBLISH_BYTES_MAX, PUBLISH_EVENTS_MAX, SHOWN_BYTES_MAX};

/// Why something could not be done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be read. Nothing was sent.
    #[error("cannot read the URL '{url}': {reason}")]
    Url {
        /// As it was given, without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The name cannot be a stream's. Nothing was sent.
    #[error(transparent)]
    StreamName(#[from] StreamNameError),
    /// The name cannot be an event's. Nothing was sent.
    #[error(transparent)]
    EventName(#[from] EventNameError),
    /// The spec cannot be read. Nothing was sent.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The value cannot be written as JSON. Nothing was sent.
    #[cfg(feature = "json")]
    #[error("cannot write the data as JSON: {0}")]
    Json(Arc<serde_json::Error>),
    /// There is nothing to subscribe to. Nothing was sent.
    #[error("no spec was given")]
    NoSpec,
    /// What is to be published is too long for one command. Nothing was sent.
    #[error("what is to be published is {bytes} bytes, the limit is {PUBLISH_BYTES_MAX}")]
    TooLong {
        /// How long it is on the wire.
        bytes: usize,
    },
    /// There are too many events for one command. Nothing was sent.
    #[error("there are {events} events to be published, the limit is {PUBLISH_EVENTS_MAX}")]
    TooMany {
        /// How many there are.
        events: usize,
    },
    /// An event has one field at least, and no more than a command can hold. Nothing was sent.
    #[error("an event has 1 to {FIELDS_MAX} fields, got {fields}")]
    Fields {
        /// How many there are.
        fields: usize,
    },
    /// Two specs of one source cannot both be served by a subscription. Nothing was sent.
    #[error(
        "'{}' is named by several specs: use two subscriptions",
        shown(source_name)
    )]
    RepeatedSource {
        /// What is named more than once.
        source_name: Bytes,
    },
    /// The client has as many subscriptions and consumers as it may have. Nothing was sent.
    #[error("the client has {limit} subscriptions and consumers, which is the limit")]
    TooManySubscriptions {
        /// What the builder was told.
        limit: usize,
    },
    /// The client was closed. Nothing was sent.
    #[error("the client is closed")]
    ClientClosed,
    /// The server could not be reached.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// `host:port`.
        address: String,
        /// What the system said.
        #[source]
        error: Arc<io::Error>,
    },
    /// The server could not be reached and greeted in time.
    #[error("cannot connect to {address} within {} ms", .limit.as_millis())]
    ConnectTimeout {
        /// `host:port`.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection broke.
    #[error("the connection to {address} is lost: {error}")]
    Lost {
        /// `host:port`.
        address: String,
        /// What the system said.
        #[source]
        error: Arc<io::Error>,
    },
    /// The server closed the connection.
    #[error("the connection to {address} was closed by the server")]
    Closed {
        /// `host:port`.
        address: String,
    },
    /// No reply came in time, or there was no connection for so long. If this comes from a
    /// publish, it was not sent.
    #[error("no reply from {address} within {} ms", .limit.as_millis())]
    RequestTimeout {
        /// `host:port`.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The reply to a publish is lost: the event is stored or not, and it would be unsafe to send
    /// it again.
    #[error("{}", unknown(stream, *found, error))]
    Unknown {
        /// Where it was published to.
        stream: StreamName,
        /// Where an event with this name and this data stands, at the very number that the
        /// expectation left for it; of several the first. It is this one, unless another writer has
        /// published the same: who puts something into the data that no other writer has can take
        /// it for this one.
        found: Option<EventNumber>,
        /// How the reply was lost.
        #[source]
        error: Box<Error>,
    },
    /// What came is not the protocol.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// What came is not what the command is answered with.
    #[error("unexpected reply {0}")]
    Unexpected(String),
    /// The stream is not where `EXPECT` said. Nothing was stored.
    #[error("{0}")]
    Conflict(ServerError),
    /// The server refused the command.
    #[error("{0}")]
    Refused(ServerError),
    /// A subscription cannot go on because its next events are damaged. Its others can.
    #[error(
        "the subscription to '{}' ended at {next}: {reason}",
        shown(source_name)
    )]
    Unreadable {
        /// What was subscribed to.
        source_name: Bytes,
        /// The first number that was not sent.
        next: EventNumber,
        /// What the server said.
        reason: String,
    },
    /// The store is not the one that was read before the connection was lost: it may have lost
    /// events that were seen, and given their numbers to others. The subscription to this source
    /// has ended. Subscribe again from a number that is known to be right.
    #[error("the subscription to '{}' ended: {reason}", shown(source_name))]
    Diverged {
        /// What was subscribed to.
        source_name: Bytes,
        /// The last number that was seen.
        number: Option<EventNumber>,
        /// How that was noticed.
        reason: String,
    },
    /// While the connection was lost the stream was deleted and made anew: numbers mean other
    /// events now. The subscription to this stream has ended.
    #[error("{}", replaced(source_name, *number))]
    Replaced {
        /// The stream.
        source_name: Bytes,
        /// The last number that was seen.
        number: Option<EventNumber>,
    },
}

/// What an error means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// An argument is wrong. Nothing was sent.
    Argument,
    /// The server was not reached, or the connection is gone. Nothing was stored.
    Connection,
    /// A publish may be stored or not.
    Unknown,
    /// The other side does not speak the protocol as it should.
    Protocol,
    /// The expectation did not hold. Read what is new and decide again.
    Conflict,
    /// The server refused, and says why.
    Server,
    /// The store is another one than before.
    Diverged,
    /// The stream is another one than before.
    Replaced,
    /// A bound of the client.
    Limit,
    /// The client was closed.
    Closed,
}

impl Error {
    /// What this means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Url { .. }
            | Error::StreamName(_)
            | Error::EventName(_)
            | Error::Spec(_)
            | Error::NoSpec
            | Error::TooLong { .. }
            | Error::TooMany { .. }
            | Error::Fields { .. }
            | Error::RepeatedSource { .. } => ErrorKind::Argument,
            #[cfg(feature = "json")]
            Error::Json(_) => ErrorKind::Argument,
            Error::TooManySubscriptions { .. } => ErrorKind::Limit,
            Error::ClientClosed => ErrorKind::Closed,
            Error::Connect { .. }
            | Error::ConnectTimeout { .. }
            | Error::Lost { .. }
            | Error::Closed { .. }
            | Error::RequestTimeout { .. } => ErrorKind::Connection,
            Error::Unknown { .. } => ErrorKind::Unknown,
            Error::Reply(_) | Error::Unexpected(_) => ErrorKind::Protocol,
            Error::Conflict(_) => ErrorKind::Conflict,
            Error::Refused(_) | Error::Unreadable { .. } => ErrorKind::Server,
            Error::Diverged { .. } => ErrorKind::Diverged,
            Error::Replaced { .. } => ErrorKind::Replaced,
        }
    }

    /// Whether the same call may succeed later without anybody doing anything wrong now: there was
    /// no connection, or the server said that it cannot at the moment. Nothing was stored.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Refused(error) => error.is_passing(),
            error => error.kind() == ErrorKind::Connection,
        }
    }

    /// The error that a reply is, if it is one; else that it is not what was expected.
    pub(crate) fn from_reply(reply: &Value) -> Error {
        let Value::Error(line) = reply else {
            let shown: String = format!("{reply:?}").chars().take(SHOWN_BYTES_MAX).collect();
            return Error::Unexpected(shown);
        };
        let error = ServerError::parse(line);
        match error.code.as_str() {
            "CONFLICT" => Error::Conflict(error),
            _ => Error::Refused(error),
        }
    }
}

fn shown(source_name: &Bytes) -> impl fmt::Display {
    source_name.escape_ascii()
}

fn replaced(source_name: &Bytes, number: Option<EventNumber>) -> String {
    let name = shown(source_name);
    match number {
        None => format!("the stream '{name}' is not the one that was subscribed to"),
        Some(number) => format!("the stream '{name}' is not the one whose event {number} was seen"),
    }
}

fn unknown(stream: &StreamName, found: Option<EventNumber>, error: &Error) -> String {
    match found {
        None => format!("an event for '{stream}' is stored or not: {error}"),
        Some(number) => format!(
            "event {number} of '{stream}' is what was published, by this client or by another: \
             {error}"
        ),
    }
}

/// An error reply: a code in capitals and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// Such as `ERR` or `CONFLICT`.
    pub code: String,
    /// What follows the code.
    pub message: String,
}

impl ServerError {
    fn parse(line: &[u8]) -> ServerError {
        let line = String::from_utf8_lossy(line);
        let (code, message) = line.split_once(' ').unwrap_or((&line, ""));
        ServerError {
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// Whether the server may say otherwise a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self.code.as_str() {
            "MISCONF" => !self.is_sync_failure(),
            "LOADING" | "BUSY" => true,
            _ => [
                "max number of clients reached",
                "the store is shutting down",
            ]
            .contains(&self.message.as_str()),
        }
    }

    /// Whether the disk did not say that the event is on it: it may be there after a restart.
    pub(crate) fn is_sync_failure(&self) -> bool {
        self.code == "MISCONF" && self.message.starts_with("a sync of the log failed")
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if !self.message.is_empty() {
            write!(f, " {}", self.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &'static str) -> Error {
        Error::from_reply(&Value::Error(Bytes::from_static(line.as_bytes())))
    }

    #[test]
    fn an_error_reply_keeps_its_words() {
        for line in ["ERR unknown command 'X'", "NOAUTH", "MISCONF no space left"] {
            let error = reply(line);
            assert_eq!(error.kind(), ErrorKind::Server);
            assert_eq!(error.to_string(), line);
        }
    }

    #[test]
    fn a_conflict_is_a_kind_of_its_own() {
        let error = reply("CONFLICT stream 'orders' is at 7, expected 5");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(!error.is_retryable());
    }

    #[test]
    fn what_passes_may_be_tried_again() {
        assert!(reply("MISCONF no space left").is_retryable());
        assert!(reply("ERR max number of clients reached").is_retryable());
        assert!(!reply("ERR unknown command 'X'").is_retryable());
        assert!(!reply("NOAUTH").is_retryable());
        assert!(!reply("MISCONF a sync of the log failed, no more writes").is_retryable());
        let address = || "h:1".to_owned();
        let closed = Error::Closed { address: address() };
        assert!(closed.is_retryable());
        let unknown = Error::Unknown {
            stream: StreamName::parse("s".into()).expect("a good name"),
            found: None,
            error: Box::new(closed),
        };
        assert_eq!(unknown.kind(), ErrorKind::Unknown);
        assert!(!unknown.is_retryable());
    }

    #[test]
    fn another_reply_is_shown_only_in_part() {
        let long = Value::Bulk(Bytes::from(vec![b'x'; 10_000]));
        let error = Error::from_reply(&long);
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().len() < 2 * SHOWN_BYTES_MAX);
    }
}
