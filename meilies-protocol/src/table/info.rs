//! `COMMAND`, `COMMAND INFO`, `COMMAND COUNT` and `COMMAND LIST`, answered from the table.

use bytes::{Bytes, BytesMut};

use super::lookup::find_full;
use super::{Command, Keys, Use, commands};
use crate::request::CommandFilter;
use crate::{Version, glob, writer};

/// `COMMAND`: every row.
pub fn write_all(out: &mut BytesMut, version: Version) {
    writer::array_header(out, commands().len());
    for command in commands() {
        write_row(out, version, command);
    }
}

/// `COMMAND INFO`: the rows of these commands, nil for those that there are not; of all without
/// names.
pub fn write_info(out: &mut BytesMut, version: Version, names: &[Bytes]) {
    if names.is_empty() {
        return write_all(out, version);
    }
    writer::array_header(out, names.len());
    for name in names {
        match find_full(name) {
            Some(command) => write_row(out, version, command),
            None => writer::nil(out, version),
        }
    }
}

/// `COMMAND COUNT`.
pub fn write_count(out: &mut BytesMut) {
    writer::number(out, commands().len() as u64);
}

/// `COMMAND LIST`: the full names, those of sub-commands too.
pub fn write_list(out: &mut BytesMut, filter: Option<&CommandFilter>) {
    let is_meant = |row: &&Command| match filter {
        None => true,
        Some(CommandFilter::Pattern(pattern)) => {
            glob::matches_ignore_case(pattern, row.full_name.as_bytes())
        }
        Some(CommandFilter::AclCategory(category)) => {
            let is_it = |name: &str| name.as_bytes().eq_ignore_ascii_case(category);
            row.categories().names().any(is_it)
        }
        // There are no modules.
        Some(CommandFilter::Module(_)) => false,
    };
    let rows = commands()
        .iter()
        .flat_map(|command| std::iter::once(*command).chain(command.subcommands));
    let meant: Vec<&Command> = rows.filter(is_meant).collect();
    writer::array_header(out, meant.len());
    for row in meant {
        writer::bulk(out, row.full_name.as_bytes());
    }
}

/// A row with the ten fields that Redis 7 gives.
fn write_row(out: &mut BytesMut, version: Version, command: &Command) {
    writer::array_header(out, 10);
    writer::bulk(out, command.full_name.as_bytes());
    writer::integer(out, command.arity);
    writer::set_header(out, version, command.flags.names().count());
    for name in command.flags.names() {
        writer::simple(out, name);
    }
    writer::integer(out, command.keys.first);
    writer::integer(out, command.keys.last);
    writer::integer(out, command.keys.step);
    let categories = command.categories().names();
    writer::set_header(out, version, categories.clone().count());
    for category in categories {
        writer::simple(out, &format!("@{category}"));
    }
    // Tips for those who route commands to several servers.
    writer::array_header(out, 0);
    write_key_specs(out, version, command);
    writer::array_header(out, command.subcommands.len());
    for subcommand in command.subcommands {
        write_row(out, version, subcommand);
    }
}

/// Where the names of streams are, in the long form. Redis gives a set of maps in RESP3; this is
/// an array, as sets of maps are beyond many decoders.
fn write_key_specs(out: &mut BytesMut, version: Version, command: &Command) {
    let keys = command.keys;
    if keys.first == 0 && keys.behind.is_none() {
        return writer::array_header(out, 0);
    }
    let uses = command.uses();
    writer::array_header(out, uses.len());
    if let [uses] = uses {
        return write_key_spec(out, version, keys, uses);
    }
    // Each stands for itself.
    for (first, uses) in (keys.first..).zip(uses) {
        write_key_spec(out, version, Keys::range(first, first, 1), uses);
    }
}

fn write_key_spec(out: &mut BytesMut, version: Version, keys: Keys, uses: Use) {
    writer::map_header(out, version, 3);
    writer::bulk(out, b"flags");
    write_use(out, version, uses);
    writer::bulk(out, b"begin_search");
    if let Some((word, from)) = keys.behind {
        write_keyword(out, version, word, from);
        return write_range(out, version, [-1, 1, 2]);
    }
    let Keys {
        first, last, step, ..
    } = keys;
    write_typed(out, version, "index", &[("index", first)]);
    let last = if last < 0 { last } else { last - first };
    write_range(out, version, [last, step, 0]);
}

/// What a command does with a stream.
pub(super) fn write_use(out: &mut BytesMut, version: Version, uses: Use) {
    writer::set_header(out, version, uses.len());
    for word in uses {
        writer::simple(out, word);
    }
}

/// The keys begin behind a word, which is looked for from an argument on.
fn write_keyword(out: &mut BytesMut, version: Version, word: &str, from: i64) {
    writer::map_header(out, version, 2);
    writer::bulk(out, b"type");
    writer::bulk(out, b"keyword");
    writer::bulk(out, b"spec");
    writer::map_header(out, version, 2);
    writer::bulk(out, b"keyword");
    writer::bulk(out, word.as_bytes());
    writer::bulk(out, b"startfrom");
    writer::integer(out, from);
}

/// Where the keys end, how far they are apart, and which part of the rest they are: 2 is half.
fn write_range(out: &mut BytesMut, version: Version, range: [i64; 3]) {
    writer::bulk(out, b"find_keys");
    let [last, step, limit] = range;
    write_typed(
        out,
        version,
        "range",
        &[("lastkey", last), ("keystep", step), ("limit", limit)],
    );
}

fn write_typed(out: &mut BytesMut, version: Version, kind: &str, spec: &[(&str, i64)]) {
    writer::map_header(out, version, 2);
    writer::bulk(out, b"type");
    writer::bulk(out, kind.as_bytes());
    writer::bulk(out, b"spec");
    writer::map_header(out, version, spec.len());
    for (name, number) in spec {
        writer::bulk(out, name.as_bytes());
        writer::integer(out, *number);
    }
}
