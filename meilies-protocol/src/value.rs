//! A reply as a client sees it, in either version of the protocol.

use bytes::Bytes;

/// One whole reply or push. Its strings share the buffer that they were read into.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A status, such as `OK`.
    SimpleString(Bytes),
    /// An error: a code in capitals, a space and a text. Never an error of the connection.
    Error(Bytes),
    /// A whole number.
    Integer(i64),
    /// A string of any bytes.
    Bulk(Bytes),
    /// Nothing: what RESP2 writes as a string or array of length -1.
    Nil,
    /// A list.
    Array(Vec<Value>),
    /// Pairs in the order in which they came.
    Map(Vec<(Value, Value)>),
    /// A list without order or repetition.
    Set(Vec<Value>),
    /// A number with a fraction.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// The digits of a number that may not fit 64 bits.
    BigNumber(Bytes),
    /// Text that says what it is.
    Verbatim {
        /// `txt` or `mkd`.
        format: [u8; 3],
        /// The text itself.
        text: Bytes,
    },
    /// What the server sends unasked, in RESP3.
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of a string of any kind, but not of an error.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::SimpleString(bytes)
            | Value::Bulk(bytes)
            | Value::BigNumber(bytes)
            | Value::Verbatim { text: bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The bytes of a string of any kind, but not of an error.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Value::SimpleString(bytes)
            | Value::Bulk(bytes)
            | Value::BigNumber(bytes)
            | Value::Verbatim { text: bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The number of an integer.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The number of an integer that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        u64::try_from(self.as_i64()?).ok()
    }

    /// Whether this is nothing.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }
}
