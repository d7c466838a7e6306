//! `COMMAND DOCS` and the `HELP` of commands with sub-commands, answered from the table.

use bytes::{Bytes, BytesMut};

use super::lookup::find_full;
use super::{Command, commands};
use crate::{Version, writer};

/// `COMMAND DOCS`: the documentation of these commands, of those that there are; of all without
/// names.
pub fn write_docs(out: &mut BytesMut, version: Version, names: &[Bytes]) {
    if names.is_empty() {
        return write_map(out, version, commands().iter().copied());
    }
    let found: Vec<&Command> = names.iter().filter_map(|name| find_full(name)).collect();
    write_map(out, version, found.into_iter());
}

/// `HELP`: the sub-commands of a command, with what they are for.
pub fn write_help(out: &mut BytesMut, command: &Command) {
    writer::array_header(out, 1 + 2 * command.subcommands.len());
    let name = command.name.to_ascii_uppercase();
    writer::simple(
        out,
        &format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"),
    );
    for row in command.subcommands {
        let usage = format!("{} {}", row.name.to_ascii_uppercase(), row.syntax);
        writer::simple(out, usage.trim_end());
        writer::simple(out, &format!("    {}", row.summary));
    }
}

fn write_map<'a>(
    out: &mut BytesMut,
    version: Version,
    rows: impl ExactSizeIterator<Item = &'a Command>,
) {
    writer::map_header(out, version, rows.len());
    for row in rows {
        writer::bulk(out, row.full_name.as_bytes());
        write_row(out, version, row);
    }
}

fn write_row(out: &mut BytesMut, version: Version, row: &Command) {
    let arguments = arguments(row.syntax);
    let fields = 4 + usize::from(!arguments.is_empty()) + usize::from(!row.subcommands.is_empty());
    writer::map_header(out, version, fields);
    write_field(out, "summary", row.summary);
    write_field(out, "since", row.since);
    write_field(out, "group", row.group.name());
    write_field(out, "complexity", row.complexity);
    if !arguments.is_empty() {
        writer::bulk(out, b"arguments");
        writer::array_header(out, arguments.len());
        for argument in arguments {
            argument.write(out, version);
        }
    }
    if !row.subcommands.is_empty() {
        writer::bulk(out, b"subcommands");
        write_map(out, version, row.subcommands.iter());
    }
}

fn write_field(out: &mut BytesMut, name: &str, text: &str) {
    writer::bulk(out, name.as_bytes());
    writer::bulk(out, text.as_bytes());
}

/// One argument of a command's syntax.
#[derive(Debug, PartialEq, Eq)]
struct Argument<'a> {
    /// The word in capitals that comes before it.
    token: Option<&'a str>,
    name: &'a str,
    optional: bool,
    multiple: bool,
}

impl Argument<'_> {
    fn write(&self, out: &mut BytesMut, version: Version) {
        // A token without a value is an argument of its own kind, as `REVERSE`.
        let is_pure_token = self.name.is_empty();
        let flags = usize::from(self.optional) + usize::from(self.multiple);
        let fields = 2 + usize::from(self.token.is_some()) + usize::from(flags > 0);
        writer::map_header(out, version, fields);
        let token = self.token.unwrap_or_default();
        write_field(out, "name", if is_pure_token { token } else { self.name });
        write_field(
            out,
            "type",
            if is_pure_token {
                "pure-token"
            } else {
                "string"
            },
        );
        if self.token.is_some() {
            write_field(out, "token", token);
        }
        if flags > 0 {
            writer::bulk(out, b"flags");
            writer::set_header(out, version, flags);
            if self.optional {
                writer::simple(out, "optional");
            }
            if self.multiple {
                writer::simple(out, "multiple");
            }
        }
    }
}

/// Reads a syntax such as `spec [COUNT n] [REVERSE]`, `key [key …]` or `<id|$>`.
fn arguments(syntax: &str) -> Vec<Argument<'_>> {
    let mut arguments: Vec<Argument<'_>> = Vec::new();
    for piece in pieces(syntax) {
        let optional = piece
            .strip_prefix('[')
            .and_then(|piece| piece.strip_suffix(']'));
        let choice = piece
            .strip_prefix('<')
            .and_then(|piece| piece.strip_suffix('>'));
        let inside = optional.or(choice).unwrap_or(piece);
        let repeated = inside.strip_suffix(" …");
        let inside = repeated.unwrap_or(inside);
        // `key [key …]` is one argument that may be repeated.
        if let (Some(last), true) = (arguments.last_mut(), repeated.is_some())
            && last.name == inside
        {
            last.multiple = true;
            continue;
        }
        let (token, name) = match inside.split_once(' ') {
            Some((word, value)) if is_token(word) => (Some(word), value),
            None if is_token(inside) => (Some(inside), ""),
            _ => (None, inside),
        };
        let (optional, multiple) = (optional.is_some(), repeated.is_some());
        arguments.push(Argument {
            token,
            name,
            optional,
            multiple,
        });
    }
    arguments
}

/// Splits at the spaces that no bracket encloses.
fn pieces(syntax: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    let split = syntax.split(move |character| {
        match character {
            '[' | '<' => depth += 1,
            ']' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ' ' && depth == 0
    });
    split.filter(|piece| !piece.is_empty())
}

fn is_token(word: &str) -> bool {
    word.bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(token: Option<&'static str>, name: &'static str) -> Argument<'static> {
        Argument {
            token,
            name,
            optional: false,
            multiple: false,
        }
    }

    #[test]
    fn a_syntax_is_read_as_arguments() {
        assert_eq!(
            arguments("stream [EXPECT n|none] [REVERSE]"),
            [
                argument(None, "stream"),
                Argument {
                    optional: true,
                    ..argument(Some("EXPECT"), "n|none")
                },
                Argument {
                    optional: true,
                    ..argument(Some("REVERSE"), "")
                },
            ]
        );
        assert_eq!(
            arguments("key [key …]"),
            [Argument {
                multiple: true,
                ..argument(None, "key")
            }]
        );
        assert_eq!(
            arguments("[name …]"),
            [Argument {
                optional: true,
                multiple: true,
                ..argument(None, "name")
            }]
        );
        assert_eq!(
            arguments("[version [AUTH user password]]"),
            [Argument {
                optional: true,
                ..argument(None, "version [AUTH user password]")
            }]
        );
        assert_eq!(
            arguments("<MAXLEN|MINID> STREAMS <id|$>"),
            [
                argument(None, "MAXLEN|MINID"),
                argument(Some("STREAMS"), ""),
                argument(None, "id|$"),
            ]
        );
        assert_eq!(arguments(""), []);
    }
}
