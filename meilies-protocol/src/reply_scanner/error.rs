//! Why a client does not understand what a server sends.

use crate::limits::{INLINE_BYTES_MAX, REPLY_DEPTH_MAX};

/// Why a server's bytes cannot be understood. The connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A frame begins with a byte that is no type.
    #[error("reply begins with byte {got}, which is no type of the protocol")]
    UnknownType {
        /// The byte.
        got: u8,
    },
    /// A length is no number or negative.
    #[error("reply has a length that is not a number from 0")]
    BadLength,
    /// A line or string does not end with CR LF.
    #[error("reply lacks CR LF at the end of a line or string")]
    Unterminated,
    /// A line does not end within the limit.
    #[error("reply has a line over the limit of {INLINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// The reply is too long.
    #[error("reply is {bytes} bytes or more, the limit is {limit}")]
    TooBig {
        /// Its length as far as it is known.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The reply has too many elements.
    #[error("reply has {elements} elements or more, the limit is {limit}")]
    TooMany {
        /// Their count as far as it is known.
        elements: usize,
        /// The limit.
        limit: usize,
    },
    /// Lists lie too deep in each other.
    #[error("reply is nested deeper than {REPLY_DEPTH_MAX} levels")]
    TooDeep,
    /// The frame has types of RESP3 and nulls of RESP2.
    #[error("reply mixes RESP2 and RESP3")]
    Mixed,
    /// An element is not what its type says.
    #[error("reply does not decode: {details}")]
    Decode {
        /// What the decoder says.
        details: String,
    },
}
