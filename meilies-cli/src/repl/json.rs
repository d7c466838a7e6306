//! Replies and pushes as lines of JSON: `{"reply":…}`, `{"error":{…}}`, `{"event":{…}}` and
//! `{"push":[…]}`.

use meilies_client::{Event, Value};

use crate::output::json::{self, bytes, string};

/// Writes lines of JSON.
#[derive(Debug)]
pub(crate) struct Writer {
    events: json::Writer,
}

impl Writer {
    /// A writer that has seen no event.
    pub(crate) fn new() -> Writer {
        Writer {
            events: json::Writer::new(),
        }
    }

    /// Appends the line of a reply.
    pub(crate) fn reply(&mut self, out: &mut Vec<u8>, reply: &Value) {
        if let Value::Error(text) = reply {
            out.extend_from_slice(b"{\"error\":");
            error(out, text);
        } else {
            out.extend_from_slice(b"{\"reply\":");
            self.value(out, reply);
        }
        out.extend_from_slice(b"}\n");
    }

    /// Appends the line of a reply that is a list of events.
    pub(crate) fn events(&mut self, out: &mut Vec<u8>, events: &[Event]) {
        out.extend_from_slice(b"{\"reply\":[");
        for (index, event) in events.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.events.object(out, event);
        }
        out.extend_from_slice(b"]}\n");
    }

    /// Appends the line of an event that was pushed.
    pub(crate) fn event(&mut self, out: &mut Vec<u8>, event: &Event) {
        out.extend_from_slice(b"{\"event\":");
        self.events.object(out, event);
        out.extend_from_slice(b"}\n");
    }

    /// Appends the line of any other push.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, push: &Value) {
        out.extend_from_slice(b"{\"push\":");
        self.value(out, push);
        out.extend_from_slice(b"}\n");
    }

    fn value(&mut self, out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::SimpleString(text)
            | Value::Bulk(text)
            | Value::BigNumber(text)
            | Value::Verbatim { text, .. } => bytes(out, text),
            Value::Error(text) => {
                out.extend_from_slice(b"{\"error\":");
                error(out, text);
                out.push(b'}');
            }
            Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Value::Nil => out.extend_from_slice(b"null"),
            // JSON has no word for what is no number.
            Value::Double(number) if !number.is_finite() => string(out, &number.to_string()),
            Value::Double(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Value::Boolean(true) => out.extend_from_slice(b"true"),
            Value::Boolean(false) => out.extend_from_slice(b"false"),
            Value::Array(values) | Value::Set(values) | Value::Push(values) => {
                self.list(out, values.iter());
            }
            Value::Map(pairs) => self.map(out, pairs),
        }
    }

    fn list<'a>(&mut self, out: &mut Vec<u8>, values: impl Iterator<Item = &'a Value>) {
        out.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.value(out, value);
        }
        out.push(b']');
    }

    /// An object, or a list of pairs if a key is no text.
    fn map(&mut self, out: &mut Vec<u8>, pairs: &[(Value, Value)]) {
        let is_text = |key: &Value| {
            key.as_bytes()
                .is_some_and(|key| str::from_utf8(key).is_ok())
        };
        let is_object = pairs.iter().all(|(key, _)| is_text(key));
        out.push(if is_object { b'{' } else { b'[' });
        for (index, (key, value)) in pairs.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if is_object {
                self.value(out, key);
                out.push(b':');
                self.value(out, value);
            } else {
                self.list(out, [key, value].into_iter());
            }
        }
        out.push(if is_object { b'}' } else { b']' });
    }
}

/// An error: its code and its text.
fn error(out: &mut Vec<u8>, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let (code, message) = text.split_once(' ').unwrap_or((&text, ""));
    out.extend_from_slice(b"{\"code\":");
    string(out, code);
    out.extend_from_slice(b",\"message\":");
    string(out, message);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(reply: &Value) -> String {
        let mut out = Vec::new();
        Writer::new().reply(&mut out, reply);
        String::from_utf8(out).expect("JSON is text")
    }

    fn bulk(bytes: &'static [u8]) -> Value {
        Value::Bulk(bytes.into())
    }

    #[test]
    fn replies_are_values_of_json() {
        for (value, expected) in [
            (Value::SimpleString("OK".into()), r#"{"reply":"OK"}"#),
            (Value::Integer(-1), r#"{"reply":-1}"#),
            (bulk(b"a\"\n"), r#"{"reply":"a\"\n"}"#),
            (bulk(b"\xff"), r#"{"reply":{"base64":"/w=="}}"#),
            (Value::Nil, r#"{"reply":null}"#),
            (Value::Double(1.5), r#"{"reply":1.5}"#),
            (Value::Double(f64::INFINITY), r#"{"reply":"inf"}"#),
            (Value::Boolean(true), r#"{"reply":true}"#),
            (
                Value::Array(vec![bulk(b"a"), Value::Array(vec![]), Value::Nil]),
                r#"{"reply":["a",[],null]}"#,
            ),
            (
                Value::Map(vec![
                    (bulk(b"a"), Value::Integer(1)),
                    (bulk(b"b"), Value::Nil),
                ]),
                r#"{"reply":{"a":1,"b":null}}"#,
            ),
            (
                Value::Map(vec![
                    (Value::Integer(1), bulk(b"b")),
                    (bulk(b"a"), Value::Nil),
                ]),
                r#"{"reply":[[1,"b"],["a",null]]}"#,
            ),
            (
                Value::Error("CONFLICT it is at 3".into()),
                r#"{"error":{"code":"CONFLICT","message":"it is at 3"}}"#,
            ),
            (
                Value::Array(vec![Value::Error("ERR".into())]),
                r#"{"reply":[{"error":{"code":"ERR","message":""}}]}"#,
            ),
        ] {
            let line = line(&value);
            assert_eq!(line, format!("{expected}\n"));
            let read: Result<serde_json::Value, _> = serde_json::from_str(&line);
            assert!(read.is_ok(), "{line}");
        }
    }
}
