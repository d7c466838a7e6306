//! Replies as text for people, in the notation of redis-cli: `(integer) 1`, `"text"`, `(nil)`, and
//! lists with their numbers. Text for people, such as the reply to INFO, is shown as it is.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use meilies_client::Value;

use super::words::quote;
use crate::output::people::{escaped, put};

/// Of errors.
const ERROR: Style = AnsiColor::Red.on_default();

/// Appends a reply and the end of its last line.
pub(crate) fn write(out: &mut Vec<u8>, colour: bool, value: &Value) {
    let mut writer = Writer { colour, out };
    writer.value(value, "");
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
}

/// Appends an error and the end of its line.
pub(crate) fn write_error(out: &mut Vec<u8>, colour: bool, text: &str) {
    put(out, colour, ERROR, text);
    out.push(b'\n');
}

struct Writer<'a> {
    colour: bool,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Appends a value. Its first line goes on where the last one ended; the others begin with the
    /// indent.
    fn value(&mut self, value: &Value, indent: &str) {
        match value {
            Value::SimpleString(text) => self.text(&escaped(text)),
            Value::Error(text) => {
                let text = format!("(error) {}", escaped(text));
                put(self.out, self.colour, ERROR, &text);
            }
            Value::Integer(number) => self.text(&format!("(integer) {number}")),
            Value::Bulk(bytes) => quote(self.out, bytes),
            Value::Nil => self.text("(nil)"),
            Value::Double(number) => self.text(&format!("(double) {number}")),
            Value::Boolean(true) => self.text("(true)"),
            Value::Boolean(false) => self.text("(false)"),
            Value::BigNumber(digits) => self.text(&format!("(big number) {}", escaped(digits))),
            Value::Verbatim { text, .. } => self.verbatim(text, indent),
            Value::Array(values) | Value::Push(values) => self.list(values, ')', indent),
            Value::Set(values) => self.list(values, '~', indent),
            Value::Map(pairs) => self.map(pairs, indent),
        }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Text with line breaks: each line is made harmless by itself.
    fn verbatim(&mut self, text: &[u8], indent: &str) {
        let lines = text
            .strip_suffix(b"\n")
            .unwrap_or(text)
            .split(|byte| *byte == b'\n');
        for (index, line) in lines.enumerate() {
            if index > 0 {
                self.text("\n");
                self.text(indent);
            }
            self.text(&escaped(line.strip_suffix(b"\r").unwrap_or(line)));
        }
    }

    fn list(&mut self, values: &[Value], mark: char, indent: &str) {
        if values.is_empty() {
            return self.text(if mark == '~' {
                "(empty set)"
            } else {
                "(empty array)"
            });
        }
        let digits = values.len().to_string().len();
        for (number, value) in (1..).zip(values) {
            let label = format!("{number:>digits$}{mark} ");
            self.element(number == 1, &label, value, indent);
        }
    }

    fn map(&mut self, pairs: &[(Value, Value)], indent: &str) {
        if pairs.is_empty() {
            return self.text("(empty map)");
        }
        let digits = pairs.len().to_string().len();
        for (number, (key, value)) in (1..).zip(pairs) {
            let mut label = format!("{number:>digits$}# ");
            let mut bytes = Vec::new();
            Writer {
                colour: false,
                out: &mut bytes,
            }
            .value(key, "");
            // Writing to a string does not fail.
            let _written = write!(label, "{} => ", String::from_utf8_lossy(&bytes));
            let is_nested = matches!(value, Value::Array(it) if !it.is_empty())
                || matches!(value, Value::Map(it) if !it.is_empty())
                || matches!(value, Value::Set(it) if !it.is_empty());
            if is_nested {
                // What is within stands below its key.
                self.begin(number == 1, indent);
                self.text(label.trim_end());
                let deeper = format!("{indent}{:width$}", "", width = digits + 2);
                self.text("\n");
                self.text(&deeper);
                self.value(value, &deeper);
            } else {
                self.element(number == 1, &label, value, indent);
            }
        }
    }

    fn element(&mut self, is_first: bool, label: &str, value: &Value, indent: &str) {
        self.begin(is_first, indent);
        self.text(label);
        let width = label.chars().count();
        self.value(value, &format!("{indent}{:width$}", ""));
    }

    fn begin(&mut self, is_first: bool, indent: &str) {
        if !is_first {
            self.text("\n");
            self.text(indent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &Value) -> String {
        let mut out = Vec::new();
        write(&mut out, false, value);
        String::from_utf8(out).expect("people read text")
    }

    fn bulk(bytes: &'static [u8]) -> Value {
        Value::Bulk(bytes.into())
    }

    #[test]
    fn single_values_say_what_they_are() {
        let simple = |text: &'static str| Value::SimpleString(text.into());
        for (value, expected) in [
            (simple("OK"), "OK\n"),
            (Value::Error("ERR no\x1b".into()), "(error) ERR no\\u{1b}\n"),
            (Value::Integer(-7), "(integer) -7\n"),
            (bulk(b""), "\"\"\n"),
            (bulk(b"a \"b\"\n\xff"), "\"a \\\"b\\\"\\n\\xff\"\n"),
            (Value::Nil, "(nil)\n"),
            (Value::Double(1.5), "(double) 1.5\n"),
            (Value::Boolean(true), "(true)\n"),
            (Value::BigNumber("123".into()), "(big number) 123\n"),
            (Value::Array(vec![]), "(empty array)\n"),
            (Value::Set(vec![]), "(empty set)\n"),
            (Value::Map(vec![]), "(empty map)\n"),
        ] {
            assert_eq!(shown(&value), expected);
        }
    }

    #[test]
    fn lists_are_numbered_and_aligned() {
        let ten = Value::Array((1..=10).map(Value::Integer).collect());
        let lines = shown(&ten);
        assert!(lines.starts_with(" 1) (integer) 1\n"), "{lines}");
        assert!(lines.ends_with("\n10) (integer) 10\n"), "{lines}");

        let nested = Value::Array(vec![
            bulk(b"a"),
            Value::Array(vec![bulk(b"b"), Value::Set(vec![bulk(b"c"), Value::Nil])]),
            bulk(b"d"),
        ]);
        assert_eq!(
            shown(&nested),
            concat!(
                "1) \"a\"\n",
                "2) 1) \"b\"\n",
                "   2) 1~ \"c\"\n",
                "      2~ (nil)\n",
                "3) \"d\"\n"
            )
        );
    }

    #[test]
    fn maps_show_keys_and_values() {
        let map = Value::Map(vec![
            (bulk(b"proto"), Value::Integer(3)),
            (bulk(b"modules"), Value::Array(vec![])),
            (bulk(b"list"), Value::Array(vec![bulk(b"a"), bulk(b"b")])),
        ]);
        assert_eq!(
            shown(&map),
            concat!(
                "1# \"proto\" => (integer) 3\n",
                "2# \"modules\" => (empty array)\n",
                "3# \"list\" =>\n",
                "   1) \"a\"\n",
                "   2) \"b\"\n"
            )
        );
    }

    #[test]
    fn text_for_people_is_shown_as_it_is_but_harmless() {
        let text = |text: &'static str| Value::Verbatim {
            format: *b"txt",
            text: text.into(),
        };
        assert_eq!(
            shown(&text("# Server\r\na:\x1b[2J\r\n")),
            "# Server\na:\\u{1b}[2J\n"
        );
        let listed = Value::Array(vec![text("one\ntwo")]);
        assert_eq!(shown(&listed), "1) one\n   two\n");
    }

    #[test]
    fn errors_are_red_where_there_are_colours() {
        let mut out = Vec::new();
        write(&mut out, true, &Value::Error("ERR no".into()));
        assert_eq!(out, b"\x1b[31m(error) ERR no\x1b[0m\n");
    }
}
