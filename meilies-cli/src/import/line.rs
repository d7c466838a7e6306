//! A line of JSON as an event to be published.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use meilies_client::{EventId, EventName, EventNumber, StreamName};
use meilies_protocol::{EventNameError, StreamNameError};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::content::Content;

/// An event to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where to.
    pub(crate) stream: Bytes,
    /// Under which number, if that was said.
    pub(crate) number: Option<EventNumber>,
    /// With which id, if that was said.
    pub(crate) id: Option<EventId>,
    /// What it holds.
    pub(crate) content: Content,
}

/// Why a line is not an event to be published; follows the number of the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineError {
    /// It is not JSON, or not of the form.
    Form {
        /// Where in the line, from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// It has no name.
    NoName,
    /// It has no data.
    NoData,
    /// It has fields, and a name or data beside them.
    NameAndFields,
    /// There are no fields in `fields`.
    NoField,
    /// The id cannot be read, or is one that no event has.
    Id,
    /// The stream cannot have this name.
    Stream(StreamNameError),
    /// The event cannot have this name.
    Name(EventNameError),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Form { column, reason } => write!(f, ", column {column}: {reason}"),
            LineError::NoName => f.write_str(": missing field `name`"),
            LineError::NoData => f.write_str(": missing field `data`"),
            LineError::NameAndFields => {
                f.write_str(": `fields` stand in place of `name` and `data`, not beside them")
            }
            LineError::NoField => f.write_str(": `fields` is empty"),
            LineError::Id => f.write_str(": `id` is not <ms>-<seq> above 0-0"),
            LineError::Stream(error) => write!(f, ": {error}"),
            LineError::Name(error) => write!(f, ": {error}"),
        }
    }
}

/// Reads a line, and shares its bytes where that is possible.
pub(crate) fn parse(line: &Bytes) -> Result<Line, LineError> {
    let form: Form<'_> = serde_json::from_slice(line).map_err(|error| LineError::Form {
        column: error.column(),
        reason: reason(&error),
    })?;
    let stream = form.stream.into_bytes(line);
    StreamName::check_writable(&stream).map_err(LineError::Stream)?;
    let id = match &form.id {
        None => None,
        Some(text) => Some(id(text)?),
    };
    let content = if let Some(fields) = form.fields {
        if form.name.is_some() || form.data.is_some() {
            return Err(LineError::NameAndFields);
        }
        let pair = |(name, value): (Text<'_>, Text<'_>)| {
            let name = name.into_bytes(line);
            (name, value.into_bytes(line))
        };
        let fields: Vec<_> = fields.into_iter().map(pair).collect();
        if fields.is_empty() {
            return Err(LineError::NoField);
        }
        Content::Fields(fields)
    } else {
        let name = form.name.ok_or(LineError::NoName)?.into_bytes(line);
        let data = form.data.ok_or(LineError::NoData)?.into_bytes(line);
        EventName::check(&name).map_err(LineError::Name)?;
        Content::One(name, data)
    };
    Ok(Line {
        stream,
        number: form.number,
        id,
        content,
    })
}

fn id(text: &str) -> Result<EventId, LineError> {
    let id = EventId::parse(text.as_bytes()).map_err(|_| LineError::Id)?;
    (id > EventId::MIN).then_some(id).ok_or(LineError::Id)
}

/// What serde says without the place, which is told in another way.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

/// The line as it stands. What is unknown is refused: it would be lost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    #[serde(borrow)]
    stream: Text<'a>,
    number: Option<EventNumber>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    fields: Option<Vec<(Text<'a>, Text<'a>)>>,
    #[serde(rename = "position")]
    _position: Option<IgnoredAny>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(rename = "time")]
    _time: Option<IgnoredAny>,
}

/// A string, or `{"base64":"…"}`.
enum Text<'a> {
    Line(&'a str),
    Own(Vec<u8>),
}

impl Text<'_> {
    fn into_bytes(self, line: &Bytes) -> Bytes {
        match self {
            Text::Line(text) => line.slice_ref(text.as_bytes()),
            Text::Own(bytes) => bytes.into(),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or {\"base64\":\"…\"}")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text::Line(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text::Own(text.into()))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Text<'de>, M::Error> {
        let expected = || de::Error::custom("expected one field, `base64`");
        let Some("base64") = map.next_key::<Cow<'de, str>>()?.as_deref() else {
            return Err(expected());
        };
        let text: Cow<'de, str> = map.next_value()?;
        let bytes = STANDARD
            .decode(text.as_bytes())
            .map_err(de::Error::custom)?;
        match map.next_key::<Cow<'de, str>>()? {
            None => Ok(Text::Own(bytes)),
            Some(_) => Err(expected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Line, LineError> {
        parse(&Bytes::from_static(text.as_bytes()))
    }

    fn line(number: Option<u64>, data: &'static [u8]) -> Line {
        Line {
            stream: "orders".into(),
            number,
            id: None,
            content: Content::One("created".into(), Bytes::from_static(data)),
        }
    }

    #[test]
    fn stream_name_and_data_are_enough() {
        let text = r#"{"data":"{}","name":"created","stream":"orders"}"#;
        assert_eq!(read(text), Ok(line(None, b"{}")));
        let text = r#" {"stream":"orders","name":"created","data":"","number":null} "#;
        assert_eq!(read(text), Ok(line(None, b"")));
    }

    #[test]
    fn a_line_of_export_is_read_exactly() {
        let text = concat!(
            r#"{"stream":"orders","number":7,"position":12,"id":"1700000000000-0","#,
            r#""time":"2023-11-14T22:13:20.000Z","name":"created","#,
            r#""data":"a\"\\\n\u0000\u001b\u00e9\ud83d\ude00é"}"#
        );
        let data = "a\"\\\n\0\x1bé😀é".as_bytes();
        let exact = Line {
            id: Some(EventId::new(1_700_000_000_000, 0)),
            ..line(Some(7), data)
        };
        assert_eq!(read(text), Ok(exact));
        let text = concat!(
            r#"{"stream":"orders","number":18446744073709551615,"#,
            r#""name":{"base64":"Y3JlYXRlZA=="},"data":{"base64":"/wA="}}"#
        );
        assert_eq!(read(text), Ok(line(Some(u64::MAX), b"\xff\0")));
    }

    #[test]
    fn bytes_without_escapes_are_not_copied() {
        let text = Bytes::from_static(br#"{"stream":"s","name":"n","data":"data"}"#);
        let line = parse(&text).expect("a good line");
        let range = text.as_ptr_range();
        let Content::One(_, data) = line.content else {
            panic!("it has a name and data")
        };
        assert!(range.contains(&data.as_ptr()));
    }

    #[test]
    fn fields_stand_in_place_of_name_and_data() {
        let text =
            r#"{"stream":"s","id":"5-7","fields":[["a","1"],["",{"base64":"/w=="}],["a",""]]}"#;
        let line = read(text).expect("a good line");
        assert_eq!(line.id, Some(EventId::new(5, 7)));
        let fields: [(&str, &[u8]); 3] = [("a", b"1"), ("", b"\xff"), ("a", b"")];
        let fields = fields.map(|(name, value)| (name.into(), Bytes::from_static(value)));
        assert_eq!(line.content.bytes(), 4);
        assert_eq!(line.content, Content::Fields(fields.to_vec()));
    }

    #[test]
    fn what_is_no_event_is_refused_with_its_place() {
        for (text, expected) in [
            ("", ", column 0: EOF while parsing a value"),
            ("[]", ", column 2: "),
            (
                "{\"stream\":\"s\"",
                ", column 13: EOF while parsing an object",
            ),
            (r#"{"stream":"s"} x"#, ", column 16: trailing characters"),
            (r#"{"name":"n","data":"d"}"#, "missing field `stream`"),
            (r#"{"stream":"s","data":"d"}"#, ": missing field `name`"),
            (r#"{"stream":"s","name":"n"}"#, ": missing field `data`"),
            (
                r#"{"stream":"s","name":"n","data":{"id":1}}"#,
                "expected one field, `base64`",
            ),
            (
                r#"{"stream":"s","name":"n","data":{}}"#,
                "expected one field, `base64`",
            ),
            (
                r#"{"stream":"s","name":"n","data":{"base64":"/w==","x":1}}"#,
                "expected one field",
            ),
            (
                r#"{"stream":"s","name":"n","data":{"base64":"/"}}"#,
                "column ",
            ),
            (
                r#"{"stream":"s","name":"n","data":5}"#,
                "expected a string or {\"base64\":\"…\"}",
            ),
            (r#"{"stream":"s","name":"n","data":"\ud800"}"#, "column "),
            (
                r#"{"stream":"s","name":"n","data":"d","data":"d"}"#,
                "duplicate field `data`",
            ),
            (
                r#"{"stream":"s","name":"n","data":"d","number":-1}"#,
                "expected u64",
            ),
            (
                r#"{"stream":"s","name":"n","data":"d","key":1}"#,
                "unknown field `key`",
            ),
            (
                r#"{"stream":"s","fields":[["a","1"],["b","2"]],"name":"n"}"#,
                "not beside them",
            ),
            (r#"{"stream":"s","fields":[]}"#, "`fields` is empty"),
            (r#"{"stream":"s","fields":[["a"]]}"#, "invalid length 1"),
            (
                r#"{"stream":"s","name":"n","data":"d","id":"5"}"#,
                "`id` is not",
            ),
            (
                r#"{"stream":"s","name":"n","data":"d","id":"0-0"}"#,
                "`id` is not",
            ),
        ] {
            let refusal = read(text).expect_err(text).to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
            assert!(!refusal.contains("at line"), "{refusal}");
        }
        let not_utf8 = Bytes::from_static(b"{\"stream\":\"s\",\"name\":\"n\",\"data\":\"\xff\"}");
        assert!(matches!(
            parse(&not_utf8),
            Err(LineError::Form { column: 34, .. })
        ));
    }
}
