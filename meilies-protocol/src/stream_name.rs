//! The name of a stream: 1 to 4,096 bytes of any value.

use std::borrow::Borrow;
use std::fmt;

use bytes::Bytes;

use crate::limits::STREAM_NAME_BYTES_MAX;

/// A stream's name. Invariant: it has 1 to [`STREAM_NAME_BYTES_MAX`] bytes.
///
/// It shares the buffer that it was parsed from; whoever keeps it for long calls
/// [`StreamName::detached`], or the whole read buffer stays in memory with it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Bytes);

impl StreamName {
    /// Takes a name to be read: any that a stream can have, the system's included.
    pub fn parse(name: Bytes) -> Result<StreamName, StreamNameError> {
        check(&name)?;
        Ok(StreamName(name))
    }

    /// Takes a name to be written to: as [`StreamName::parse`], but the names that begin with `$`
    /// are the system's and are refused.
    pub fn parse_writable(name: Bytes) -> Result<StreamName, StreamNameError> {
        StreamName::check_writable(&name)?;
        Ok(StreamName(name))
    }

    /// Whether [`StreamName::parse_writable`] would take these bytes, without keeping them.
    pub fn check_writable(name: &[u8]) -> Result<(), StreamNameError> {
        check(name)?;
        if name.starts_with(b"$") {
            let name = StreamName(Bytes::copy_from_slice(name)).to_string();
            return Err(StreamNameError::System { name });
        }
        Ok(())
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as shared bytes.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The name as shared bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Whether the name begins with `$` and so belongs to the system.
    pub fn is_system(&self) -> bool {
        self.0[0] == b'$'
    }

    /// The same name in a buffer of its own, to be kept.
    #[must_use]
    pub fn detached(&self) -> StreamName {
        StreamName(Bytes::copy_from_slice(&self.0))
    }
}

fn check(name: &[u8]) -> Result<(), StreamNameError> {
    match name.len() {
        0 => Err(StreamNameError::Empty),
        1..=STREAM_NAME_BYTES_MAX => Ok(()),
        bytes => Err(StreamNameError::TooLong { bytes }),
    }
}

impl Borrow<[u8]> for StreamName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for StreamName {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Shows UTF-8 as it is, and escapes control characters and all other bytes as `redis-cli` does.
impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, &self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamName(\"{self}\")")
    }
}

/// Writes bytes that may be text: `\n` `\r` `\t` `\a` `\b` `\\` and `\"` by their letters, other
/// control characters and whatever is not UTF-8 as `\x00`.
pub(crate) fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    use fmt::Write;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\x07' => f.write_str("\\a")?,
                '\x08' => f.write_str("\\b")?,
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                _ if character.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(character))?,
                _ => f.write_char(character)?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Why bytes are not the name of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamNameError {
    /// There are no bytes.
    #[error("stream name is empty")]
    Empty,
    /// There are too many bytes.
    #[error("stream name is {bytes} bytes, the limit is {STREAM_NAME_BYTES_MAX}")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// The name is not the user's to write to.
    #[error("stream name '{name}' begins with '$': these names are the system's")]
    System {
        /// The name as text.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_4096_bytes() {
        let name = |bytes| StreamName::parse(Bytes::from(vec![b'a'; bytes]));
        assert_eq!(name(0), Err(StreamNameError::Empty));
        assert!(name(1).is_ok());
        assert!(name(4096).is_ok());
        assert_eq!(name(4097), Err(StreamNameError::TooLong { bytes: 4097 }));
        assert_eq!(
            name(4097).expect_err("4097 bytes are refused").to_string(),
            "stream name is 4097 bytes, the limit is 4096"
        );
    }

    #[test]
    fn system_names_are_readable_but_not_writable() {
        let all = Bytes::from_static(b"$all");
        assert!(StreamName::parse(all.clone()).is_ok_and(|name| name.is_system()));
        let error = StreamName::parse_writable(all).expect_err("$all is the system's");
        assert_eq!(
            error.to_string(),
            "stream name '$all' begins with '$': these names are the system's"
        );
        assert!(StreamName::parse_writable(Bytes::from_static(b"a$")).is_ok());
    }

    #[test]
    fn display_escapes_what_a_terminal_cannot_show() {
        let shown = |name: &'static [u8]| StreamName(Bytes::from_static(name)).to_string();
        assert_eq!(shown(b"orders:42"), "orders:42");
        assert_eq!(shown("caf\u{e9}".as_bytes()), "caf\u{e9}");
        assert_eq!(
            shown(b"a\r\n\t\x07\x08\x00\"\\"),
            "a\\r\\n\\t\\a\\b\\x00\\\"\\\\"
        );
        assert_eq!(shown(b"\xff\xfea"), "\\xff\\xfea");
    }
}
