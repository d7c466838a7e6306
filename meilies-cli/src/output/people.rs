//! Events as text for people: one line each, whatever bytes they hold. No byte of an event reaches
//! the terminal as a control character.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use meilies_client::Event;

use super::time::Times;
use crate::limits::ALIGNED_COLUMNS_MAX;

/// Of what is less important than the rest.
pub(crate) const QUIET: Style = Style::new().dimmed();
/// Of the names of streams.
pub(crate) const STREAM: Style = AnsiColor::Cyan.on_default();
/// Of the numbers of events.
pub(crate) const NUMBER: Style = AnsiColor::Yellow.on_default();
/// Of the names of events and fields.
pub(crate) const NAME: Style = AnsiColor::Green.on_default();

/// What stands in place of a time that there is not.
const NO_TIME: &str = "-                      ";

/// Between two columns.
const GAP: &[u8] = b"  ";

/// Writes events as lines whose columns stand under each other: time, stream, number, name and
/// data. A column is as wide as what has stood in it.
#[derive(Debug)]
pub(crate) struct Writer {
    colour: bool,
    with_positions: bool,
    times: Times,
    position: Column,
    stream: Column,
    number: Column,
    name: Column,
}

impl Writer {
    /// A writer that has seen no event.
    pub(crate) fn new(colour: bool) -> Writer {
        Writer {
            colour,
            with_positions: false,
            times: Times::local(),
            position: Column::default(),
            stream: Column::default(),
            number: Column::default(),
            name: Column::default(),
        }
    }

    /// Begins each line with the position of the event.
    pub(crate) fn with_positions(&mut self) {
        self.with_positions = true;
    }

    /// Appends the line of an event.
    pub(crate) fn event(&mut self, out: &mut Vec<u8>, event: &Event) {
        if self.with_positions {
            let position = event.position.to_string();
            self.position.pad(out, &position);
            put(out, self.colour, QUIET, &position);
            out.extend_from_slice(GAP);
        }
        put(out, self.colour, QUIET, &self.time(event));
        out.extend_from_slice(GAP);
        let stream = escaped(event.stream.as_bytes());
        put(out, self.colour, STREAM, &stream);
        self.stream.pad(out, &stream);
        out.extend_from_slice(GAP);
        let number = event.number.to_string();
        self.number.pad(out, &number);
        put(out, self.colour, NUMBER, &number);
        self.fields(out, event);
        out.push(b'\n');
    }

    fn time(&mut self, event: &Event) -> String {
        let mut text = Vec::new();
        if self.times.write(&mut text, event.id.ms) {
            String::from_utf8_lossy(&text).into_owned()
        } else {
            NO_TIME.to_owned()
        }
    }

    /// Name and data, or each of several as `name=value`.
    fn fields(&mut self, out: &mut Vec<u8>, event: &Event) {
        if let [(name, data)] = event.fields.as_slice() {
            let name = escaped(name);
            out.extend_from_slice(GAP);
            put(out, self.colour, NAME, &name);
            if !data.is_empty() {
                self.name.pad(out, &name);
                out.extend_from_slice(GAP);
                out.extend_from_slice(escaped(data).as_bytes());
            }
            return;
        }
        for (name, value) in &event.fields {
            out.extend_from_slice(GAP);
            put(out, self.colour, NAME, &escaped(name));
            out.push(b'=');
            out.extend_from_slice(escaped(value).as_bytes());
        }
    }
}

/// How wide a column has become.
#[derive(Debug, Default)]
struct Column {
    columns: usize,
}

impl Column {
    /// Appends the spaces that a text needs to be as wide as those before it. A text that is too
    /// long moves what follows it, on its line alone.
    fn pad(&mut self, out: &mut Vec<u8>, text: &str) {
        let columns = text.chars().count();
        if columns <= ALIGNED_COLUMNS_MAX {
            self.columns = self.columns.max(columns);
        }
        let spaces = self.columns.saturating_sub(columns);
        out.resize(out.len() + spaces, b' ');
    }
}

/// Appends a text, in a style if there are colours.
pub(crate) fn put(out: &mut Vec<u8>, colour: bool, style: Style, text: &str) {
    let text = match colour {
        true => format!("{style}{text}{style:#}"),
        false => text.to_owned(),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Bytes as text that no terminal takes for a command, and that can be read back without doubt:
/// line breaks, tabs and other control characters are `\n`, `\t` and `\u{1b}`, bytes that are not
/// UTF-8 `\xff`, and a backslash is `\\`.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                hidden if is_hidden(hidden) => out.extend(hidden.escape_default()),
                readable => out.push(readable),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _written = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Control characters, and those that end the line or change the direction of what follows.
fn is_hidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use meilies_client::{EventId, StreamName};

    use super::*;

    type Field = (&'static [u8], &'static [u8]);

    fn event(stream: &'static [u8], number: u64, fields: &[Field]) -> Event {
        let fields = fields
            .iter()
            .map(|(name, data)| ((*name).into(), (*data).into()));
        Event {
            stream: StreamName::parse(stream.into()).expect("a good name"),
            number,
            position: number + 1,
            id: EventId::new(1_700_000_000_000, 1),
            fields: fields.collect(),
        }
    }

    /// The lines without their times, which depend on the zone of the machine.
    fn lines(mut writer: Writer, events: &[Event]) -> Vec<String> {
        let mut out = Vec::new();
        for event in events {
            writer.event(&mut out, event);
        }
        let text = String::from_utf8(out).expect("people read text");
        let time = text.find("2023-11-1").expect("there is a time");
        let time = &text[time..time + "2023-11-14 22:13:20.000".len()];
        text.lines()
            .map(|line| line.replace(time, "TIME"))
            .collect()
    }

    #[test]
    fn columns_stand_under_each_other() {
        let events = [
            event(b"orders", 99, &[(b"created", b"{\"id\": 1}")]),
            event(b"a", 0, &[(b"x", b"two words")]),
            event(b"longer name", 100, &[(b"x", b"")]),
            event(b"a", 1, &[(b"a", b"1"), (b"b", b"")]),
        ];
        assert_eq!(
            lines(Writer::new(false), &events),
            [
                "TIME  orders  99  created  {\"id\": 1}",
                "TIME  a        0  x        two words",
                "TIME  longer name  100  x",
                "TIME  a              1  a=1  b=",
            ]
        );
    }

    #[test]
    fn one_long_name_does_not_move_the_others() {
        let events = [
            event(&[b'x'; ALIGNED_COLUMNS_MAX + 1], 0, &[(b"n", b"d")]),
            event(b"a", 0, &[(b"n", b"d")]),
        ];
        assert_eq!(lines(Writer::new(false), &events)[1], "TIME  a  0  n  d");
    }

    #[test]
    fn positions_are_shown_where_they_are_wanted() {
        let mut writer = Writer::new(false);
        writer.with_positions();
        let events = [
            event(b"a", 9, &[(b"n", b"d")]),
            event(b"a", 8, &[(b"n", b"d")]),
        ];
        assert_eq!(
            lines(writer, &events),
            ["10  TIME  a  9  n  d", " 9  TIME  a  8  n  d"]
        );
    }

    #[test]
    fn colours_are_around_the_text_alone() {
        let events = [
            event(b"a", 10, &[(b"n", b"d")]),
            event(b"b", 9, &[(b"nn", b"d")]),
        ];
        assert_eq!(
            lines(Writer::new(true), &events)[1],
            concat!(
                "\x1b[2mTIME\x1b[0m  \x1b[36mb\x1b[0m   \x1b[33m9\x1b[0m  ",
                "\x1b[32mnn\x1b[0m  d"
            )
        );
    }

    #[test]
    fn an_id_that_is_no_time_has_none() {
        let mut far = event(b"a", 0, &[(b"n", b"d")]);
        far.id = EventId::new(u64::MAX, 0);
        let mut out = Vec::new();
        Writer::new(false).event(&mut out, &far);
        assert!(out.starts_with(b"-  "), "{}", out.escape_ascii());
    }

    #[test]
    fn what_would_break_the_line_or_the_terminal_is_escaped() {
        for (bytes, expected) in [
            (&b"caf\xc3\xa9 \"quoted\""[..], "café \"quoted\""),
            (b"1\n2\r3\t\x1b[31m\\", "1\\n2\\r3\\t\\u{1b}[31m\\\\"),
            (b"\x7f \xc2\x85", "\\u{7f} \\u{85}"),
            (b"\xff\xc3(", "\\xff\\xc3("),
            ("\u{202e}abc\u{2028}".as_bytes(), "\\u{202e}abc\\u{2028}"),
            (b"", ""),
        ] {
            assert_eq!(escaped(bytes), expected);
        }
    }
}
