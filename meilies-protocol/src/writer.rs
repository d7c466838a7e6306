//! Replies and commands written straight into an output buffer. Every function reserves once.
//!
//! Numbers are written by `itoa`: the encoder of the RESP library sends a wrong length for
//! integers just below 10^15 and above.

use bytes::{BufMut, BytesMut};

use crate::Version;
use crate::event_id::{EVENT_ID_TEXT_BYTES_MAX, EventId};

/// Bytes of a line that announces a length or holds a number: type, 20 digits, CR LF.
const HEADER_BYTES_MAX: usize = 23;

/// A status, such as `OK`. CR and LF in it become spaces.
pub fn simple(out: &mut BytesMut, text: &str) {
    line(out, b'+', text.as_bytes());
}

/// An error: `text` is a code in capitals, a space and what went wrong. CR and LF become spaces.
pub fn error(out: &mut BytesMut, text: &str) {
    line(out, b'-', text.as_bytes());
}

/// As [`error`], for a text that repeats what a peer sent.
pub fn error_bytes(out: &mut BytesMut, text: &[u8]) {
    line(out, b'-', text);
}

/// A whole number.
pub fn integer(out: &mut BytesMut, number: i64) {
    out.reserve(HEADER_BYTES_MAX);
    out.put_u8(b':');
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
    out.put_slice(b"\r\n");
}

/// An event number, position or count.
pub fn number(out: &mut BytesMut, number: u64) {
    // Event numbers grow by one and never get there, but a peer can name a number that does.
    integer(out, i64::try_from(number).unwrap_or(i64::MAX));
}

/// A string of any bytes.
pub fn bulk(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bulk_bytes_max(bytes.len()));
    put_bulk(out, bytes);
}

/// A number as a string of digits.
pub fn bulk_number(out: &mut BytesMut, number: u64) {
    bulk(out, itoa::Buffer::new().format(number).as_bytes());
}

/// The id of an event as a string.
pub fn bulk_id(out: &mut BytesMut, id: EventId) {
    IdWriter::default().bulk(out, id);
}

/// Writes ids one after the other: the ms that neighbours share are formatted once, and each is
/// written in one piece.
#[derive(Debug)]
pub struct IdWriter {
    ms: Option<u64>,
    /// Room for the length, then the id, then CR LF.
    line: [u8; ID_BEGIN + EVENT_ID_TEXT_BYTES_MAX + 2],
    /// Where the seq begins.
    seq_begin: usize,
}

/// Bytes of the longest length of an id: `$41` CR LF.
const ID_BEGIN: usize = 5;

impl Default for IdWriter {
    fn default() -> IdWriter {
        IdWriter {
            ms: None,
            line: [0; ID_BEGIN + EVENT_ID_TEXT_BYTES_MAX + 2],
            seq_begin: ID_BEGIN,
        }
    }
}

impl IdWriter {
    /// The id of an event as a string.
    pub fn bulk(&mut self, out: &mut BytesMut, id: EventId) {
        let mut digits = itoa::Buffer::new();
        if self.ms != Some(id.ms) {
            let ms = digits.format(id.ms).as_bytes();
            let hyphen = ID_BEGIN + ms.len();
            self.line[ID_BEGIN..hyphen].copy_from_slice(ms);
            self.line[hyphen] = b'-';
            self.seq_begin = hyphen + 1;
            self.ms = Some(id.ms);
        }
        let seq = digits.format(id.seq).as_bytes();
        let end = self.seq_begin + seq.len();
        self.line[self.seq_begin..end].copy_from_slice(seq);
        self.line[end..end + 2].copy_from_slice(b"\r\n");
        let begin = self.put_length(end - ID_BEGIN);
        out.extend_from_slice(&self.line[begin..end + 2]);
    }

    /// Puts the length before the id. Returns where it begins.
    fn put_length(&mut self, length: usize) -> usize {
        let length = u8::try_from(length).expect("the text of an id is short");
        let (tens, ones) = (b'0' + length / 10, b'0' + length % 10);
        self.line[..ID_BEGIN].copy_from_slice(&[b'$', tens, ones, b'\r', b'\n']);
        if tens != b'0' {
            return 0;
        }
        self.line[1] = b'$';
        1
    }
}

/// The beginning of a list; `length` values follow.
pub fn array_header(out: &mut BytesMut, length: usize) {
    header(out, b'*', length);
}

/// The beginning of a map; `pairs` times a key and a value follow. RESP2 sees a flat array.
pub fn map_header(out: &mut BytesMut, version: Version, pairs: usize) {
    match version {
        Version::Resp2 => header(out, b'*', pairs * 2),
        Version::Resp3 => header(out, b'%', pairs),
    }
}

/// The beginning of a set; `length` values follow. RESP2 sees an array.
pub fn set_header(out: &mut BytesMut, version: Version, length: usize) {
    match version {
        Version::Resp2 => header(out, b'*', length),
        Version::Resp3 => header(out, b'~', length),
    }
}

/// The beginning of a push; `length` values follow. RESP2 sees an array.
pub fn push_header(out: &mut BytesMut, version: Version, length: usize) {
    match version {
        Version::Resp2 => header(out, b'*', length),
        Version::Resp3 => header(out, b'>', length),
    }
}

/// Nothing, where a string would be.
pub fn nil(out: &mut BytesMut, version: Version) {
    match version {
        Version::Resp2 => out.put_slice(b"$-1\r\n"),
        Version::Resp3 => out.put_slice(b"_\r\n"),
    }
}

/// Nothing, where a list would be.
pub fn null_array(out: &mut BytesMut, version: Version) {
    match version {
        Version::Resp2 => out.put_slice(b"*-1\r\n"),
        Version::Resp3 => out.put_slice(b"_\r\n"),
    }
}

/// A number with a fraction. RESP2 sees a string.
pub fn double(out: &mut BytesMut, version: Version, number: f64) {
    let text = number.to_string().to_ascii_lowercase();
    match version {
        Version::Resp2 => bulk(out, text.as_bytes()),
        Version::Resp3 => line(out, b',', text.as_bytes()),
    }
}

/// True or false. RESP2 sees 1 or 0.
pub fn boolean(out: &mut BytesMut, version: Version, boolean: bool) {
    match version {
        Version::Resp2 => integer(out, i64::from(boolean)),
        Version::Resp3 if boolean => out.put_slice(b"#t\r\n"),
        Version::Resp3 => out.put_slice(b"#f\r\n"),
    }
}

/// Text that says what it is: `txt` or `mkd`. RESP2 sees a string.
pub fn verbatim(out: &mut BytesMut, version: Version, format: &[u8; 3], text: &[u8]) {
    if version == Version::Resp2 {
        return bulk(out, text);
    }
    let length = format.len() + 1 + text.len();
    out.reserve(bulk_bytes_max(length));
    put_header(out, b'=', length);
    out.put_slice(format);
    out.put_u8(b':');
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

/// A command: its name first, then its arguments.
pub fn command(out: &mut BytesMut, arguments: &[&[u8]]) {
    let bytes: usize = arguments
        .iter()
        .map(|argument| bulk_bytes_max(argument.len()))
        .sum();
    out.reserve(HEADER_BYTES_MAX + bytes);
    put_header(out, b'*', arguments.len());
    for argument in arguments {
        put_bulk(out, argument);
    }
}

/// Bytes that a string of this length takes at most on the wire.
pub(crate) fn bulk_bytes_max(length: usize) -> usize {
    HEADER_BYTES_MAX + length + 2
}

fn header(out: &mut BytesMut, kind: u8, length: usize) {
    out.reserve(HEADER_BYTES_MAX);
    put_header(out, kind, length);
}

fn put_header(out: &mut BytesMut, kind: u8, length: usize) {
    out.put_u8(kind);
    out.put_slice(itoa::Buffer::new().format(length).as_bytes());
    out.put_slice(b"\r\n");
}

fn put_bulk(out: &mut BytesMut, bytes: &[u8]) {
    put_header(out, b'$', bytes.len());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn line(out: &mut BytesMut, kind: u8, text: &[u8]) {
    out.reserve(text.len() + 3);
    out.put_u8(kind);
    let begin = out.len();
    out.put_slice(text);
    for byte in &mut out[begin..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).expect("the test writes text")
    }

    proptest! {
        #[test]
        fn ids_in_a_row_are_written_as_each_alone(
            ids in proptest::collection::vec((0_usize..5, 0_usize..4), 0..20),
            other: (u64, u64),
        ) {
            let ms = [0, 9, 1_764_000_000_000, u64::MAX, other.0];
            let seq = [0, 10, u64::MAX, other.1];
            let (mut writer, mut out) = (IdWriter::default(), BytesMut::new());
            let mut expected = BytesMut::new();
            for (at, next) in ids {
                writer.bulk(&mut out, EventId::new(ms[at], seq[next]));
                let text = format!("{}-{}", ms[at], seq[next]);
                bulk(&mut expected, text.as_bytes());
            }
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn each_kind_has_its_form_in_each_version() {
        use Version::{Resp2, Resp3};
        let forms = [
            (written(|out| simple(out, "OK")), "+OK\r\n"),
            (written(|out| error(out, "ERR a\r\nb")), "-ERR a  b\r\n"),
            (written(|out| bulk(out, b"a\r\nb")), "$4\r\na\r\nb\r\n"),
            (written(|out| bulk(out, b"")), "$0\r\n\r\n"),
            (written(|out| bulk_number(out, 42)), "$2\r\n42\r\n"),
            (
                written(|out| bulk_id(out, EventId::new(1, 2))),
                "$3\r\n1-2\r\n",
            ),
            (written(|out| array_header(out, 3)), "*3\r\n"),
            (written(|out| map_header(out, Resp2, 3)), "*6\r\n"),
            (written(|out| map_header(out, Resp3, 3)), "%3\r\n"),
            (written(|out| set_header(out, Resp2, 3)), "*3\r\n"),
            (written(|out| set_header(out, Resp3, 3)), "~3\r\n"),
            (written(|out| push_header(out, Resp2, 3)), "*3\r\n"),
            (written(|out| push_header(out, Resp3, 3)), ">3\r\n"),
            (written(|out| nil(out, Resp2)), "$-1\r\n"),
            (written(|out| nil(out, Resp3)), "_\r\n"),
            (written(|out| null_array(out, Resp2)), "*-1\r\n"),
            (written(|out| null_array(out, Resp3)), "_\r\n"),
            (written(|out| double(out, Resp2, 1.5)), "$3\r\n1.5\r\n"),
            (written(|out| double(out, Resp3, 1.5)), ",1.5\r\n"),
            (
                written(|out| double(out, Resp3, f64::NEG_INFINITY)),
                ",-inf\r\n",
            ),
            (written(|out| double(out, Resp3, f64::NAN)), ",nan\r\n"),
            (written(|out| boolean(out, Resp2, true)), ":1\r\n"),
            (written(|out| boolean(out, Resp3, true)), "#t\r\n"),
            (written(|out| boolean(out, Resp3, false)), "#f\r\n"),
            (
                written(|out| verbatim(out, Resp2, b"txt", b"ab")),
                "$2\r\nab\r\n",
            ),
            (
                written(|out| verbatim(out, Resp3, b"txt", b"ab")),
                "=6\r\ntxt:ab\r\n",
            ),
            (
                written(|out| command(out, &[b"ECHO", b"a"])),
                "*2\r\n$4\r\nECHO\r\n$1\r\na\r\n",
            ),
        ];
        for (written, expected) in forms {
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn integers_near_powers_of_ten_are_exact() {
        for exponent in 0..19 {
            let power = 10_i64.pow(exponent);
            for number in power - 2..=power + 2 {
                for number in [number, -number] {
                    assert_eq!(
                        written(|out| integer(out, number)),
                        format!(":{number}\r\n")
                    );
                }
            }
        }
        assert_eq!(
            written(|out| integer(out, i64::MIN)),
            format!(":{}\r\n", i64::MIN)
        );
        assert_eq!(
            written(|out| number(out, u64::MAX >> 1)),
            format!(":{}\r\n", i64::MAX)
        );
        assert_eq!(
            written(|out| number(out, u64::MAX)),
            format!(":{}\r\n", i64::MAX)
        );
    }

    proptest! {
        #[test]
        fn one_reservation_is_enough(bytes: Vec<u8>, number: i64) {
            let room = bulk_bytes_max(bytes.len());
            let mut out = BytesMut::new();
            bulk(&mut out, &bytes);
            prop_assert!(out.len() <= room);
            out.clear();
            integer(&mut out, number);
            prop_assert!(out.len() <= HEADER_BYTES_MAX);
        }
    }
}
