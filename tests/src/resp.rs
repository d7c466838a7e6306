//! A RESP reader and printer of the tests' own: both protocol versions, strictly.
//!
//! It shares no code with the product, so that a fault in the product's protocol cannot hide
//! itself. What a version does not have (a map in RESP2, `$-1` in RESP3) is an error here.

use std::fmt;
use std::io::{self, BufRead, Read};

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection begins with.
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// One value of the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`
    Simple(Vec<u8>),
    /// `-ERR …`
    Error(Vec<u8>),
    /// `:1`
    Integer(i64),
    /// `$3`
    Bulk(Vec<u8>),
    /// `$-1` in RESP2, `_` in RESP3.
    Nil,
    /// `*-1`, RESP2 only.
    NilArray,
    /// `*2`
    Array(Vec<Value>),
    /// `>2`
    Push(Vec<Value>),
    /// `~2`
    Set(Vec<Value>),
    /// `%1`
    Map(Vec<(Value, Value)>),
    /// `#t`
    Boolean(bool),
    /// `,1.5`
    Double(String),
    /// `=7`: the text behind `txt:`.
    Verbatim(Vec<u8>),
}

impl Value {
    /// The integer, or a failure that shows what came instead.
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("expected an integer, got {other}"),
        }
    }

    /// The integer of a number that cannot be negative.
    pub fn number(&self) -> u64 {
        u64::try_from(self.integer()).expect("event numbers are not negative")
    }

    /// The bytes of any kind of string.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::Verbatim(bytes) => bytes,
            other => panic!("expected a string, got {other}"),
        }
    }

    /// A string that is text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).expect("the reply is text")
    }

    /// The elements of an array, set or push.
    pub fn items(&self) -> &[Value] {
        match self {
            Self::Array(items) | Self::Push(items) | Self::Set(items) => items,
            other => panic!("expected an array, got {other}"),
        }
    }

    /// The text of an error.
    pub fn error(&self) -> &str {
        match self {
            Self::Error(text) => std::str::from_utf8(text).expect("error texts are text"),
            other => panic!("expected an error, got {other}"),
        }
    }

    /// Whether the server sent this unasked, or as the confirmation of a subscription.
    ///
    /// RESP3 has a type for it; in RESP2 it is an array whose first element says its kind.
    pub fn is_push(&self, protocol: Protocol) -> bool {
        const KINDS: [&str; 8] = [
            "event",
            "pevent",
            "caught-up",
            "ended",
            "deleted",
            "error",
            "subscribe",
            "unsubscribe",
        ];
        let is_kind = |kind: &[u8]| KINDS.iter().any(|known| known.as_bytes() == kind);
        match (self, protocol) {
            (Self::Push(_), _) => true,
            (Self::Array(items), Protocol::Resp2) => {
                items.len() >= 3 && matches!(&items[0], Self::Bulk(kind) if is_kind(kind))
            }
            _ => false,
        }
    }
}

/// Reads one whole value.
pub fn read_value(input: &mut impl BufRead, protocol: Protocol) -> io::Result<Value> {
    let line = read_line(input)?;
    let (kind, rest) = line
        .split_first()
        .ok_or_else(|| malformed("an empty line"))?;
    if protocol == Protocol::Resp2 && !b"+-:$*".contains(kind) {
        return Err(malformed(&format!("type '{}' in RESP2", char::from(*kind))));
    }
    match kind {
        b'+' => Ok(Value::Simple(rest.to_vec())),
        b'-' => Ok(Value::Error(rest.to_vec())),
        b':' => Ok(Value::Integer(decimal(rest)?)),
        b'$' => read_bulk(input, decimal(rest)?, protocol),
        b'*' if rest == b"-1" && protocol == Protocol::Resp2 => Ok(Value::NilArray),
        b'*' => Ok(Value::Array(read_items(input, count(rest)?, protocol)?)),
        b'>' => Ok(Value::Push(read_items(input, count(rest)?, protocol)?)),
        b'~' => Ok(Value::Set(read_items(input, count(rest)?, protocol)?)),
        b'%' => read_map(input, count(rest)?, protocol),
        b'_' if rest.is_empty() => Ok(Value::Nil),
        b'#' if rest == b"t" => Ok(Value::Boolean(true)),
        b'#' if rest == b"f" => Ok(Value::Boolean(false)),
        b',' => Ok(Value::Double(String::from_utf8_lossy(rest).into_owned())),
        b'=' => match read_bulk(input, decimal(rest)?, protocol)? {
            Value::Bulk(bytes) if bytes.starts_with(b"txt:") => {
                Ok(Value::Verbatim(bytes[4..].to_vec()))
            }
            other => Err(malformed(&format!("verbatim string {other}"))),
        },
        _ => Err(malformed(&format!(
            "line '{}'",
            String::from_utf8_lossy(&line)
        ))),
    }
}

fn read_items(
    input: &mut impl BufRead,
    count: usize,
    protocol: Protocol,
) -> io::Result<Vec<Value>> {
    (0..count).map(|_| read_value(input, protocol)).collect()
}

fn read_map(input: &mut impl BufRead, count: usize, protocol: Protocol) -> io::Result<Value> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let key = read_value(input, protocol)?;
        entries.push((key, read_value(input, protocol)?));
    }
    Ok(Value::Map(entries))
}

fn read_bulk(input: &mut impl BufRead, length: i64, protocol: Protocol) -> io::Result<Value> {
    if length == -1 && protocol == Protocol::Resp2 {
        return Ok(Value::Nil);
    }
    let length = usize::try_from(length).map_err(|_| malformed("a negative length"))?;
    let mut bytes = vec![0; length + 2];
    input.read_exact(&mut bytes)?;
    if !bytes.ends_with(b"\r\n") {
        return Err(malformed("a bulk string that does not end with CR LF"));
    }
    bytes.truncate(length);
    Ok(Value::Bulk(bytes))
}

fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    const LINE_BYTES_MAX: u64 = 1 << 20;
    let mut line = Vec::new();
    input
        .by_ref()
        .take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !line.ends_with(b"\r\n") {
        let text = String::from_utf8_lossy(&line).into_owned();
        return Err(malformed(&format!("line '{text}' does not end with CR LF")));
    }
    line.truncate(line.len() - 2);
    if line.contains(&b'\r') {
        return Err(malformed("a CR inside a line"));
    }
    Ok(line)
}

fn decimal(bytes: &[u8]) -> io::Result<i64> {
    let text = String::from_utf8_lossy(bytes);
    text.parse()
        .map_err(|_| malformed(&format!("number '{text}'")))
}

fn count(bytes: &[u8]) -> io::Result<usize> {
    usize::try_from(decimal(bytes)?).map_err(|_| malformed("a negative count"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("malformed reply: {what}"),
    )
}

impl fmt::Display for Value {
    /// The canonical form, as transcripts write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(bytes) => write!(f, "+{}", escape(bytes)),
            Self::Error(bytes) => write!(f, "-{}", escape(bytes)),
            Self::Integer(number) => write!(f, ":{number}"),
            Self::Bulk(bytes) => write!(f, "\"{}\"", escape(bytes)),
            Self::Nil => write!(f, "nil"),
            Self::NilArray => write!(f, "nil-array"),
            Self::Array(items) => write_items(f, "", items),
            Self::Push(items) => write_items(f, ">", items),
            Self::Set(items) => write_items(f, "~", items),
            Self::Map(entries) => {
                write!(f, "{{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{key}: {value}")?;
                }
                write!(f, "}}")
            }
            Self::Boolean(true) => write!(f, "#t"),
            Self::Boolean(false) => write!(f, "#f"),
            Self::Double(text) => write!(f, ",{text}"),
            Self::Verbatim(bytes) => write!(f, "=\"{}\"", escape(bytes)),
        }
    }
}

fn write_items(f: &mut fmt::Formatter<'_>, prefix: &str, items: &[Value]) -> fmt::Result {
    write!(f, "{prefix}[")?;
    for (index, item) in items.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    write!(f, "]")
}

/// Printable ASCII as it is, the rest as escapes; long strings are cut in the middle.
pub fn escape(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 20_000;
    if bytes.len() > SHOWN_MAX {
        let (head, tail) = (&bytes[..100], &bytes[bytes.len() - 100..]);
        return format!("{}…({} bytes)…{}", escape(head), bytes.len(), escape(tail));
    }
    bytes
        .iter()
        .map(|byte| match byte {
            b'"' => "\\\"".to_owned(),
            byte => byte.escape_ascii().to_string(),
        })
        .collect::<String>()
        .replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], protocol: Protocol) -> io::Result<Value> {
        read_value(&mut &bytes[..], protocol)
    }

    #[test]
    fn every_type_prints_canonically() {
        let bytes: &[u8] =
            b"*8\r\n+OK\r\n-ERR no\r\n:-7\r\n$4\r\na\"\r\n\r\n_\r\n%1\r\n$1\r\nk\r\n#t\r\n\
            >2\r\n,1.5\r\n~0\r\n=6\r\ntxt:hi\r\n";
        let value = read(bytes, Protocol::Resp3).unwrap();
        let text = r#"[+OK, -ERR no, :-7, "a\"\r\n", nil, {"k": #t}, >[,1.5, ~[]], ="hi"]"#;
        assert_eq!(value.to_string(), text);
    }

    #[test]
    fn what_a_version_does_not_have_is_refused() {
        assert_eq!(read(b"$-1\r\n", Protocol::Resp2).unwrap(), Value::Nil);
        assert_eq!(read(b"*-1\r\n", Protocol::Resp2).unwrap(), Value::NilArray);
        assert!(read(b"$-1\r\n", Protocol::Resp3).is_err());
        assert!(read(b"*-1\r\n", Protocol::Resp3).is_err());
        assert!(read(b"_\r\n", Protocol::Resp2).is_err());
        assert!(read(b">1\r\n:1\r\n", Protocol::Resp2).is_err());
        assert!(read(b"+OK\n", Protocol::Resp2).is_err());
        assert!(read(b"$2\r\nabc\r\n", Protocol::Resp2).is_err());
    }
}
