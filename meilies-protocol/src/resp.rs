//! The RESP library, and the only file that names it: decodes whole frames for clients.
//!
//! It must never be given bytes that [`crate::ReplyScanner`] has not passed: it recurses, and has
//! no limits of its own.

use bytes::Bytes;
use redis_protocol::error::RedisProtocolError;
use redis_protocol::resp2::types::BytesFrame as Frame2;
use redis_protocol::resp3::types::{BytesFrame as Frame3, VerbatimStringFormat};
use redis_protocol::{resp2, resp3};

use crate::Value;
use crate::reply_scanner::{Dialect, ReplyError};

/// Decodes one whole frame, whose strings the value then shares.
pub(crate) fn decode(frame: &Bytes, dialect: Dialect) -> Result<Value, ReplyError> {
    match dialect {
        Dialect {
            resp2: true,
            resp3: true,
        } => Err(ReplyError::Mixed),
        Dialect { resp3: false, .. } => match resp2::decode::decode_bytes(frame) {
            Ok(Some((value, _))) => Ok(from_resp2(value)),
            Ok(None) => Err(incomplete()),
            Err(error) => Err(undecodable(&error)),
        },
        Dialect { resp3: true, .. } => match resp3::decode::complete::decode_bytes(frame) {
            Ok(Some((value, _))) => from_resp3(value),
            Ok(None) => Err(incomplete()),
            Err(error) => Err(undecodable(&error)),
        },
    }
}

fn from_resp2(frame: Frame2) -> Value {
    match frame {
        Frame2::SimpleString(bytes) => Value::SimpleString(bytes),
        Frame2::Error(text) => Value::Error(text.into_inner()),
        Frame2::Integer(number) => Value::Integer(number),
        Frame2::BulkString(bytes) => Value::Bulk(bytes),
        Frame2::Array(frames) => Value::Array(frames.into_iter().map(from_resp2).collect()),
        Frame2::Null => Value::Nil,
    }
}

fn from_resp3(frame: Frame3) -> Result<Value, ReplyError> {
    Ok(match frame {
        Frame3::BlobString { data, .. } => Value::Bulk(data),
        Frame3::BlobError { data, .. } => Value::Error(data),
        Frame3::SimpleString { data, .. } => Value::SimpleString(data),
        Frame3::SimpleError { data, .. } => Value::Error(data.into_inner()),
        Frame3::Boolean { data, .. } => Value::Boolean(data),
        Frame3::Null => Value::Nil,
        Frame3::Number { data, .. } => Value::Integer(data),
        Frame3::Double { data, .. } => Value::Double(data),
        Frame3::BigNumber { data, .. } => Value::BigNumber(data),
        Frame3::VerbatimString { data, format, .. } => {
            let format = match format {
                VerbatimStringFormat::Text => *b"txt",
                VerbatimStringFormat::Markdown => *b"mkd",
            };
            Value::Verbatim { format, text: data }
        }
        Frame3::Array { data, .. } => Value::Array(all(data)?),
        Frame3::Push { data, .. } => Value::Push(all(data)?),
        Frame3::Set { data, .. } => Value::Set(all(data)?),
        Frame3::Map { data, .. } => {
            // The decoder inserts the pairs from the last to the first.
            let pairs = data.into_iter().rev();
            let pairs = pairs.map(|(key, value)| Ok((from_resp3(key)?, from_resp3(value)?)));
            Value::Map(pairs.collect::<Result<_, _>>()?)
        }
        Frame3::Hello { .. } | Frame3::ChunkedString(_) => {
            return Err(ReplyError::Decode {
                details: "a frame that is no reply".to_owned(),
            });
        }
    })
}

fn all(frames: impl IntoIterator<Item = Frame3>) -> Result<Vec<Value>, ReplyError> {
    frames.into_iter().map(from_resp3).collect()
}

fn incomplete() -> ReplyError {
    ReplyError::Decode {
        details: "the frame is not whole".to_owned(),
    }
}

fn undecodable(error: &RedisProtocolError) -> ReplyError {
    ReplyError::Decode {
        details: error.details().to_owned(),
    }
}

/// Decodes one frame of RESP2 that takes all the bytes, for comparison with the scanner.
#[cfg(test)]
pub(crate) fn decode_whole(frame: &Bytes) -> Option<Value> {
    match resp2::decode::decode_bytes(frame) {
        Ok(Some((value, length))) if length == frame.len() => Some(from_resp2(value)),
        _ => None,
    }
}
