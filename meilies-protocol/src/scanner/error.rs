//! Why a connection cannot be understood any more, in Redis' words.

use bytes::BytesMut;

use crate::limits::FRAME_BYTES_MAX;
use crate::writer;

/// A break of the protocol. The peer is told, then the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The count of an array is no number, or more than the limit.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// More elements than a peer without a password may send.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// The length of an argument is no number, negative, or more than the limit.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// A longer argument than a peer without a password may send.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// Something other than a bulk string stands in an array.
    #[error("Protocol error: expected '$', got '{}'", shown(*got))]
    ExpectedBulk {
        /// Its first byte.
        got: u8,
    },
    /// An argument does not end with CR LF where its length says.
    #[error("Protocol error: expected CR LF after bulk string")]
    UnterminatedBulk,
    /// An inline command does not end within the limit.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// The count of an array does not end within the limit.
    #[error("Protocol error: too big mbulk count string")]
    TooBigCount,
    /// The length of an argument does not end within the limit.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkCount,
    /// The arguments of one command are too long together.
    #[error("Protocol error: request is over the limit of {FRAME_BYTES_MAX} bytes")]
    TooBigFrame,
    /// An inline command has a quote without its partner.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The peer speaks HTTP. It gets no reply.
    #[error("Protocol error: possible cross-protocol request (HTTP)")]
    Http,
}

impl ProtocolError {
    /// Appends the reply that the peer gets before the connection is closed: none for
    /// [`ProtocolError::Http`].
    pub fn write(&self, out: &mut BytesMut) {
        if *self != ProtocolError::Http {
            writer::error(out, &format!("ERR {self}"));
        }
    }
}

/// The byte as Redis shows it where it is printable.
fn shown(byte: u8) -> String {
    match byte {
        b'\r' | b'\n' => " ".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => byte.escape_ascii().to_string(),
    }
}
