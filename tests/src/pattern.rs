//! What a transcript expects, written once for both protocol versions.
//!
//! ```text
//! +OK                  simple string          :7  :<n>        integer
//! -ERR text <any>      error                  nil  nil-array  nothing
//! orders  "a b\x00"    bulk string            =text           verbatim string
//! [a, :1, ...]         array, `...` any rest  >[event, …]     push
//! {a: :1, ...}         map                    ~[a, b]         set
//! <id>  <n>  <any>     wildcards, also inside texts; <id:one> must equal <id:one>
//! ```
//!
//! The form is that of RESP3; in RESP2 a push and a set are arrays, a map is a flat array and a
//! verbatim string is a bulk string.

use std::collections::HashMap;

use crate::resp::{Protocol, Value};
use crate::words;

/// What one value must look like.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Anything at all.
    Any,
    /// `+text`
    Simple(Text),
    /// `-text`
    Error(Text),
    /// `:7` or `:<n>`
    Integer(Text),
    /// A bulk string.
    Bulk(Text),
    /// A verbatim string.
    Verbatim(Text),
    /// No value.
    Nil,
    /// RESP2's other form of no value.
    NilArray,
    /// The flag says that more elements may follow.
    Array(Vec<Pattern>, bool),
    /// A push.
    Push(Vec<Pattern>, bool),
    /// A set.
    Set(Vec<Pattern>, bool),
    /// A map.
    Map(Vec<(Pattern, Pattern)>, bool),
}

/// Literal text and wildcards in turn.
#[derive(Clone, Debug)]
pub struct Text(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Literal(Vec<u8>),
    Wildcard { kind: Kind, label: Option<String> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Any,
    Number,
    Id,
}

/// What the labelled wildcards stood for so far.
pub type Labels = HashMap<String, Vec<u8>>;

impl Pattern {
    /// Reads a pattern; fails with where it is wrong.
    pub fn parse(line: &str) -> Self {
        let mut parser = Parser { rest: line.trim() };
        let pattern = parser.value(true);
        assert!(
            parser.rest.is_empty(),
            "'{}' follows the pattern in: {line}",
            parser.rest
        );
        pattern
    }

    /// Whether it stands for a push, and of which source.
    pub fn push_source(&self) -> Option<Vec<u8>> {
        let Self::Push(items, _) = self else {
            return None;
        };
        let texts = items.iter().map(|item| match item {
            Self::Bulk(text) => text.literal(),
            _ => None,
        });
        let texts: Vec<Option<Vec<u8>>> = texts.collect();
        let kind = texts
            .first()
            .cloned()
            .flatten()
            .expect("a push begins with its kind");
        Some(source(&kind, texts.get(1).cloned().flatten().as_deref()))
    }

    /// Whether a value is what the pattern says.
    pub fn matches(&self, value: &Value, protocol: Protocol, labels: &mut Labels) -> bool {
        let resp2 = protocol == Protocol::Resp2;
        match (self, value) {
            (Self::Any, _) | (Self::Nil, Value::Nil) | (Self::NilArray, Value::NilArray) => true,
            (Self::Simple(text), Value::Simple(bytes))
            | (Self::Error(text), Value::Error(bytes))
            | (Self::Bulk(text), Value::Bulk(bytes))
            | (Self::Verbatim(text), Value::Verbatim(bytes)) => text.matches(bytes, labels),
            (Self::Verbatim(text), Value::Bulk(bytes)) if resp2 => text.matches(bytes, labels),
            (Self::Integer(text), Value::Integer(number)) => {
                text.matches(number.to_string().as_bytes(), labels)
            }
            (Self::Array(patterns, open), Value::Array(items))
            | (Self::Push(patterns, open), Value::Push(items))
            | (Self::Set(patterns, open), Value::Set(items)) => {
                all_match(patterns, *open, items, protocol, labels)
            }
            (Self::Push(patterns, open) | Self::Set(patterns, open), Value::Array(items))
                if resp2 =>
            {
                all_match(patterns, *open, items, protocol, labels)
            }
            (Self::Map(patterns, open), Value::Array(items)) if resp2 => {
                let pairs = items.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
                items.len().is_multiple_of(2)
                    && entries_match(
                        patterns,
                        *open,
                        &pairs.collect::<Vec<_>>(),
                        protocol,
                        labels,
                    )
            }
            (Self::Map(patterns, open), Value::Map(entries)) => {
                let pairs = entries.iter().map(|(key, value)| (key, value));
                entries_match(
                    patterns,
                    *open,
                    &pairs.collect::<Vec<_>>(),
                    protocol,
                    labels,
                )
            }
            _ => false,
        }
    }
}

/// The source that a push belongs to: pushes of one source have an order, those of two have none.
pub fn push_source(push: &Value) -> Vec<u8> {
    let items = push.items();
    let name = match items.get(1) {
        Some(Value::Bulk(name)) => Some(name.as_slice()),
        _ => None,
    };
    source(items[0].bytes(), name)
}

/// `subscribe` and `ended` name a spec, the others a source.
fn source(kind: &[u8], name: Option<&[u8]>) -> Vec<u8> {
    let name = name.unwrap_or_default();
    if kind != b"subscribe" && kind != b"ended" {
        return name.to_vec();
    }
    let Some((rest, last)) = cut_last(name) else {
        return name.to_vec();
    };
    if last == b"$" {
        return rest.to_vec();
    }
    if last != b"+" && !is_number(last) {
        return name.to_vec();
    }
    match cut_last(rest) {
        Some((name, from)) if from == b"$" || is_number(from) => name.to_vec(),
        _ => rest.to_vec(),
    }
}

fn cut_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().rposition(|byte| *byte == b':')?;
    Some((&text[..colon], &text[colon + 1..]))
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn all_match(
    patterns: &[Pattern],
    open: bool,
    items: &[Value],
    protocol: Protocol,
    labels: &mut Labels,
) -> bool {
    (patterns.len() == items.len() || (open && patterns.len() < items.len()))
        && patterns
            .iter()
            .zip(items)
            .all(|(pattern, item)| pattern.matches(item, protocol, labels))
}

/// Maps have no order: each pattern must find an entry of its own.
fn entries_match(
    patterns: &[(Pattern, Pattern)],
    open: bool,
    entries: &[(&Value, &Value)],
    protocol: Protocol,
    labels: &mut Labels,
) -> bool {
    (open || patterns.len() == entries.len())
        && patterns.iter().all(|(key, value)| {
            entries.iter().any(|(entry_key, entry_value)| {
                key.matches(entry_key, protocol, labels)
                    && value.matches(entry_value, protocol, labels)
            })
        })
}

impl Text {
    fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((piece, after)) = wildcard(rest) {
                pieces.push(Piece::Literal(words::unescape(&std::mem::take(
                    &mut literal,
                ))));
                pieces.push(piece);
                rest = after;
            } else {
                literal.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        pieces.push(Piece::Literal(words::unescape(&literal)));
        Self(pieces)
    }

    fn literal(&self) -> Option<Vec<u8>> {
        match self.0.as_slice() {
            [Piece::Literal(bytes)] => Some(bytes.clone()),
            _ => None,
        }
    }

    fn matches(&self, bytes: &[u8], labels: &mut Labels) -> bool {
        matches_pieces(&self.0, bytes, labels)
    }
}

fn matches_pieces(pieces: &[Piece], bytes: &[u8], labels: &mut Labels) -> bool {
    match pieces.split_first() {
        None => bytes.is_empty(),
        Some((Piece::Literal(literal), rest)) => bytes
            .strip_prefix(literal.as_slice())
            .is_some_and(|after| matches_pieces(rest, after, labels)),
        Some((Piece::Wildcard { kind, label }, rest)) => (0..=bytes.len()).rev().any(|end| {
            let (candidate, after) = bytes.split_at(end);
            kind.accepts(candidate)
                && agrees(label.as_deref(), candidate, labels)
                && matches_pieces(rest, after, labels)
        }),
    }
}

/// A label stands for the same bytes wherever it is written in a transcript.
fn agrees(label: Option<&str>, bytes: &[u8], labels: &mut Labels) -> bool {
    match label {
        None => true,
        Some(label) => match labels.get(label) {
            Some(bound) => bound == bytes,
            None => labels.insert(label.to_owned(), bytes.to_vec()).is_none(),
        },
    }
}

impl Kind {
    fn accepts(self, bytes: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Number => is_number(bytes),
            Self::Id => match bytes.iter().position(|byte| *byte == b'-') {
                Some(dash) => is_number(&bytes[..dash]) && is_number(&bytes[dash + 1..]),
                None => false,
            },
        }
    }
}

fn wildcard(text: &str) -> Option<(Piece, &str)> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let (kind, label) = match inner[..end].split_once(':') {
        Some((kind, label)) => (kind, Some(label.to_owned())),
        None => (&inner[..end], None),
    };
    let kind = match kind {
        "any" => Kind::Any,
        "n" => Kind::Number,
        "id" => Kind::Id,
        _ => return None,
    };
    Some((Piece::Wildcard { kind, label }, &inner[end + 1..]))
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn value(&mut self, top: bool) -> Pattern {
        let first = self.rest.chars().next().expect("a pattern is not empty");
        match first {
            '+' => Pattern::Simple(self.text(1, top)),
            '-' => Pattern::Error(self.text(1, top)),
            ':' => Pattern::Integer(self.text(1, false)),
            '=' => Pattern::Verbatim(self.text(1, false)),
            '[' => self.items(1, Pattern::Array),
            '>' => self.items(2, Pattern::Push),
            '~' => self.items(2, Pattern::Set),
            '{' => self.map(),
            _ => match self.word().as_str() {
                "nil" => Pattern::Nil,
                "nil-array" => Pattern::NilArray,
                "<any>" => Pattern::Any,
                word => Pattern::Bulk(Text::parse(word)),
            },
        }
    }

    /// The rest of the line at the top, a word inside brackets.
    fn text(&mut self, skip: usize, whole_line: bool) -> Text {
        self.rest = &self.rest[skip..];
        if whole_line {
            return Text::parse(std::mem::take(&mut self.rest));
        }
        Text::parse(&self.word())
    }

    /// A quoted word, or everything up to a blank, a comma, a bracket or a colon that ends a key.
    fn word(&mut self) -> String {
        if let Some(inner) = self.rest.strip_prefix('"') {
            let mut escaped = false;
            for (index, byte) in inner.bytes().enumerate() {
                match byte {
                    b'"' if !escaped => {
                        self.rest = &inner[index + 1..];
                        // A quoted nil is a string: its escaped form differs from the bare word.
                        let text = &inner[..index];
                        return if text.starts_with("nil") {
                            format!("\\x6e{}", &text[1..])
                        } else {
                            text.to_owned()
                        };
                    }
                    b'\\' if !escaped => escaped = true,
                    _ => escaped = false,
                }
            }
            panic!("a quote is not closed: {}", self.rest);
        }
        let bytes = self.rest.as_bytes();
        let ends = |index: usize| match bytes[index] {
            b',' | b' ' | b']' | b'}' => true,
            b':' => bytes.get(index + 1).is_none_or(|next| *next == b' '),
            _ => false,
        };
        let end = (0..bytes.len())
            .find(|index| ends(*index))
            .unwrap_or(bytes.len());
        let word = self.rest[..end].to_owned();
        self.rest = &self.rest[end..];
        word
    }

    fn items(&mut self, skip: usize, make: fn(Vec<Pattern>, bool) -> Pattern) -> Pattern {
        self.rest = &self.rest[skip..];
        let mut items = Vec::new();
        loop {
            if self.take("]") {
                return make(items, false);
            }
            if self.take("...") {
                assert!(self.take("]"), "... stands last, before: {}", self.rest);
                return make(items, true);
            }
            items.push(self.value(false));
            self.take(",");
        }
    }

    fn map(&mut self) -> Pattern {
        self.rest = &self.rest[1..];
        let mut entries = Vec::new();
        loop {
            if self.take("}") {
                return Pattern::Map(entries, false);
            }
            if self.take("...") {
                assert!(self.take("}"), "... stands last, before: {}", self.rest);
                return Pattern::Map(entries, true);
            }
            let key = self.value(false);
            assert!(
                self.take(":"),
                "a colon follows the key, before: {}",
                self.rest
            );
            entries.push((key, self.value(false)));
            self.take(",");
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let Some(after) = self.rest.strip_prefix(token) else {
            return false;
        };
        self.rest = after.trim_start();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    fn matches(pattern: &str, value: &Value, protocol: Protocol) -> bool {
        Pattern::parse(pattern).matches(value, protocol, &mut Labels::new())
    }

    #[test]
    fn one_pattern_serves_both_versions() {
        let items = vec![bulk("event"), bulk("a:42"), Value::Integer(3), bulk("17-0")];
        let pattern = "> [event, a:42, :3, <id>]".replace("> ", ">");
        assert!(matches(
            &pattern,
            &Value::Push(items.clone()),
            Protocol::Resp3
        ));
        assert!(matches(
            &pattern,
            &Value::Array(items.clone()),
            Protocol::Resp2
        ));
        assert!(!matches(&pattern, &Value::Array(items), Protocol::Resp3));
        let map = Value::Map(vec![(bulk("k"), Value::Integer(1))]);
        assert!(matches("{k: :1}", &map, Protocol::Resp3));
        assert!(matches("{k: :<n>, ...}", &map, Protocol::Resp3));
        let flat = Value::Array(vec![bulk("k"), Value::Integer(1)]);
        assert!(matches("{k: :1}", &flat, Protocol::Resp2));
    }

    #[test]
    fn wildcards_stand_inside_texts_and_labels_bind() {
        let error = Value::Error(b"ERR event is 17 bytes, the limit is 16".to_vec());
        assert!(matches(
            "-ERR event is <n> bytes<any>16",
            &error,
            Protocol::Resp2
        ));
        assert!(!matches("-ERR event is <n> bytes", &error, Protocol::Resp2));
        let pair = |a, b| Value::Array(vec![bulk(a), bulk(b)]);
        assert!(matches(
            "[<id:x>, <id:x>]",
            &pair("1-0", "1-0"),
            Protocol::Resp2
        ));
        assert!(!matches(
            "[<id:x>, <id:x>]",
            &pair("1-0", "1-1"),
            Protocol::Resp2
        ));
        assert!(matches(
            "[\"nil\", ...]",
            &pair("nil", "1-1"),
            Protocol::Resp2
        ));
    }

    #[test]
    fn a_push_belongs_to_its_source() {
        let of = |line| Pattern::parse(line).push_source().unwrap();
        assert_eq!(of(">[subscribe, orders:2:5, :1]"), b"orders");
        assert_eq!(of(">[ended, orders:2:5, :5]"), b"orders");
        assert_eq!(of(">[event, orders:2:5, :5]"), b"orders:2:5");
        assert_eq!(of(">[subscribe, orders:42:$, :1]"), b"orders:42");
        assert_eq!(of(">[unsubscribe, nil, :0]"), b"");
    }
}
