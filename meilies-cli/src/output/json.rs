//! Events as lines of JSON, written by hand because `export` writes many. `import` reads the same
//! form.
//!
//! Bytes that are UTF-8 are a string, others an object: `{"base64":"/w=="}`. Both are exact.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meilies_client::{Event, EventName};

use super::time::Times;

/// Writes events as lines of JSON.
#[derive(Debug)]
pub(crate) struct Writer {
    times: Times,
}

impl Writer {
    /// A writer that has seen no event.
    pub(crate) fn new() -> Writer {
        Writer {
            times: Times::utc(),
        }
    }

    /// Appends the line of an event.
    pub(crate) fn event(&mut self, out: &mut Vec<u8>, event: &Event) {
        self.object(out, event);
        out.push(b'\n');
    }

    /// Appends an event without the end of the line.
    pub(crate) fn object(&mut self, out: &mut Vec<u8>, event: &Event) {
        out.extend_from_slice(b"{\"stream\":");
        bytes(out, event.stream.as_bytes());
        out.extend_from_slice(b",\"number\":");
        number(out, event.number);
        out.extend_from_slice(b",\"position\":");
        number(out, event.position);
        out.extend_from_slice(b",\"id\":\"");
        number(out, event.id.ms);
        out.push(b'-');
        number(out, event.id.seq);
        out.extend_from_slice(b"\",\"time\":");
        self.time(out, event.id.ms);
        content(out, &event.fields);
        out.push(b'}');
    }

    fn time(&mut self, out: &mut Vec<u8>, milliseconds: u64) {
        let before = out.len();
        out.push(b'"');
        if self.times.write(out, milliseconds) {
            out.push(b'"');
        } else {
            out.truncate(before);
            out.extend_from_slice(b"null");
        }
    }
}

/// Appends what an event holds, as further fields of an object.
pub(crate) fn content<B: AsRef<[u8]>>(out: &mut Vec<u8>, held: &[(B, B)]) {
    if let [(name, data)] = held
        && EventName::check(name.as_ref()).is_ok()
    {
        out.extend_from_slice(b",\"name\":");
        bytes(out, name.as_ref());
        out.extend_from_slice(b",\"data\":");
        bytes(out, data.as_ref());
    } else {
        fields(out, held);
    }
}

/// What an event has that `PUBLISH` cannot store: not one pair of a name and data.
fn fields<B: AsRef<[u8]>>(out: &mut Vec<u8>, fields: &[(B, B)]) {
    out.extend_from_slice(b",\"fields\":[");
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'[');
        bytes(out, name.as_ref());
        out.push(b',');
        bytes(out, value.as_ref());
        out.push(b']');
    }
    out.push(b']');
}

/// Appends a number.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends bytes as a string, or as `{"base64":"…"}` if they are not UTF-8.
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        string(out, text);
    } else {
        out.extend_from_slice(b"{\"base64\":\"");
        out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        out.extend_from_slice(b"\"}");
    }
}

/// Appends a string. Control characters are escaped, those that JSON takes as they are included:
/// a terminal would obey them.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.push(b'"');
    // Everything before this is written.
    let mut written = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if !IS_SPECIAL[usize::from(byte)] {
            continue;
        }
        let (character, length) = match byte {
            // U+0080 to U+009F are C2 80 to C2 9F; U+00A0 and what follows are no controls.
            0xc2 if bytes[index + 1] >= 0xa0 => continue,
            0xc2 => (bytes[index + 1], 2),
            byte => (byte, 1),
        };
        out.extend_from_slice(&bytes[written..index]);
        escape(out, character);
        written = index + length;
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, character: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match character {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        other => {
            let (high, low) = (usize::from(other >> 4), usize::from(other & 15));
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', DIGITS[high], DIGITS[low]]);
        }
    }
}

/// The bytes of UTF-8 that may have to be escaped.
const IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special[0x7f] = true;
    special[0xc2] = true;
    special
};

#[cfg(test)]
mod tests {
    use meilies_client::{EventId, StreamName};

    use super::*;

    type Field = (&'static [u8], &'static [u8]);

    fn line(stream: &'static [u8], id: EventId, fields: &[Field]) -> String {
        let fields = fields
            .iter()
            .map(|(name, data)| ((*name).into(), (*data).into()));
        let event = Event {
            stream: StreamName::parse(stream.into()).expect("a good name"),
            number: 7,
            position: 12,
            id,
            fields: fields.collect(),
        };
        let mut out = Vec::new();
        Writer::new().event(&mut out, &event);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn an_event_is_one_line() {
        let id = EventId::new(1_700_000_000_000, 0);
        assert_eq!(
            line(b"orders", id, &[(b"created", b"{\"id\": 1}")]),
            concat!(
                r#"{"stream":"orders","number":7,"position":12,"id":"1700000000000-0","#,
                r#""time":"2023-11-14T22:13:20.000Z","name":"created","data":"{\"id\": 1}"}"#,
                "\n"
            )
        );
        assert_eq!(
            line(
                b"\xff",
                EventId::new(u64::MAX, 2),
                &[(b"a", b"1"), (b"b", b"\xfe")]
            ),
            concat!(
                r#"{"stream":{"base64":"/w=="},"number":7,"position":12,"#,
                r#""id":"18446744073709551615-2","time":null,"#,
                r#""fields":[["a","1"],["b",{"base64":"/g=="}]]}"#,
                "\n"
            )
        );
        assert!(line(b"s", id, &[]).ends_with(",\"fields\":[]}\n"));
    }

    #[test]
    fn every_character_is_read_back_as_it_was() {
        let all: String = ('\0'..=char::MAX).collect();
        let mut out = Vec::new();
        string(&mut out, &all);
        let read: String = serde_json::from_slice(&out).expect("a JSON string");
        assert!(read == all, "a character has changed");
        let text = String::from_utf8(out).expect("JSON is text");
        assert!(!text.contains(char::is_control));
    }

    #[test]
    fn what_is_not_utf8_is_base64() {
        let all: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        bytes(&mut out, &all);
        let value: serde_json::Value = serde_json::from_slice(&out).expect("a JSON object");
        let read = STANDARD.decode(value["base64"].as_str().expect("a string"));
        assert_eq!(read, Ok(all));
    }
}
