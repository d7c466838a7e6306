//! The rows of Redis' commands about a stream and its events.

use super::{Command, Flags, Group, Keys};
use crate::request::stream::{self as parse, add, info, range, read, trim};

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "xadd",
        full_name: "xadd",
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        group: Group::Stream,
        syntax: "key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [IDMPAUTO producer|IDMP producer key] \
                 [MAXLEN|MINID [=|~] threshold [LIMIT n]] [EXPECT n|none|exists|any] \
                 <*|ms-*|id> field value [field value …]",
        summary: "Stores an event of any number of fields and returns its id.",
        complexity: "O(1), and O(N) to trim N events",
        since: "5.0.0",
        keys: Keys::ONE,
        parse: add::add,
        ..Command::BASE
    },
    Command {
        name: "xcfgset",
        full_name: "xcfgset",
        arity: -2,
        flags: Flags::WRITE.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key [IDMP-DURATION seconds] [IDMP-MAXSIZE n]",
        summary: "Says for how long a stream knows the keys of producers, and how many.",
        since: "8.6.0",
        keys: Keys::ONE,
        parse: parse::configure,
        ..Command::BASE
    },
    Command {
        name: "xdel",
        full_name: "xdel",
        arity: -3,
        flags: Flags::WRITE.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key id [id …]",
        summary: "Deletes events and returns how many there were.",
        complexity: "O(N) for N ids",
        since: "5.0.0",
        keys: Keys::ONE.used(&[&["RW", "delete"]]),
        parse: parse::delete,
        ..Command::BASE
    },
    Command {
        name: "xdelex",
        full_name: "xdelex",
        arity: -5,
        flags: Flags::WRITE.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key [KEEPREF|DELREF|ACKED] IDS count id [id …]",
        summary: "Deletes events with regard to the groups that have not acknowledged them.",
        complexity: "O(N) for N ids",
        since: "8.2.0",
        keys: Keys::ONE.used(&[&["RW", "delete"]]),
        parse: parse::delete_by_reference,
        ..Command::BASE
    },
    Command {
        name: "xinfo",
        full_name: "xinfo",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Stream,
        summary: "A container for commands that say what is known of streams.",
        complexity: "Depends on subcommand.",
        since: "5.0.0",
        subcommands: INFO,
        ..Command::BASE
    },
    Command {
        name: "xlen",
        full_name: "xlen",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key",
        summary: "Returns how many events a stream has.",
        since: "5.0.0",
        keys: Keys::ONE.used(Keys::LOOKED_AT),
        parse: parse::length,
        ..Command::BASE
    },
    Command {
        name: "xrange",
        full_name: "xrange",
        arity: -4,
        flags: Flags::READONLY,
        group: Group::Stream,
        syntax: "key start end [COUNT n]",
        summary: "Returns the events whose ids lie in a range.",
        complexity: "O(N) for N events that are returned",
        since: "5.0.0",
        keys: Keys::ONE,
        parse: range::forward,
        ..Command::BASE
    },
    Command {
        name: "xread",
        full_name: "xread",
        arity: -4,
        flags: Flags::READONLY.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
        group: Group::Stream,
        syntax: "[COUNT n] [BLOCK milliseconds] [MAXCOUNT n] [MAXSIZE bytes] STREAMS key [key \
                 …] id [id …]",
        summary: "Returns the events of streams behind an id, and waits for one if told to.",
        complexity: "O(N) for N events that are returned",
        since: "5.0.0",
        keys: Keys::behind("STREAMS", 1),
        parse: read::read,
        ..Command::BASE
    },
    Command {
        name: "xrevrange",
        full_name: "xrevrange",
        arity: -4,
        flags: Flags::READONLY,
        group: Group::Stream,
        syntax: "key end start [COUNT n]",
        summary: "Returns the events whose ids lie in a range, the last one first.",
        complexity: "O(N) for N events that are returned",
        since: "5.0.0",
        keys: Keys::ONE,
        parse: range::backward,
        ..Command::BASE
    },
    Command {
        name: "xsetid",
        full_name: "xsetid",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        group: Group::Stream,
        syntax: "key id [ENTRIESADDED n] [MAXDELETEDID id]",
        summary: "Sets the id that counts as the last one given.",
        since: "5.0.0",
        keys: Keys::ONE,
        parse: parse::set_id,
        ..Command::BASE
    },
    Command {
        name: "xtrim",
        full_name: "xtrim",
        arity: -4,
        flags: Flags::WRITE,
        group: Group::Stream,
        syntax: "key <MAXLEN|MINID> [=|~] threshold [LIMIT n] [KEEPREF|DELREF|ACKED]",
        summary: "Deletes the first events of a stream and returns how many.",
        complexity: "O(N) for N events that are deleted",
        since: "5.0.0",
        keys: Keys::ONE.used(&[&["RW", "delete"]]),
        parse: trim::trim,
        ..Command::BASE
    },
];

static INFO: &[Command] = &[
    Command {
        name: "consumers",
        full_name: "xinfo|consumers",
        arity: 4,
        flags: Flags::READONLY,
        group: Group::Stream,
        syntax: "key group",
        summary: "Returns what is known of the consumers of a group.",
        complexity: "O(N) for N consumers",
        since: "5.0.0",
        keys: Keys::SECOND,
        parse: info::about_consumers,
        ..Command::BASE
    },
    Command {
        name: "groups",
        full_name: "xinfo|groups",
        arity: 3,
        flags: Flags::READONLY,
        group: Group::Stream,
        syntax: "key",
        summary: "Returns what is known of the groups of a stream.",
        complexity: "O(N) for N groups",
        since: "5.0.0",
        keys: Keys::SECOND,
        parse: info::about_groups,
        ..Command::BASE
    },
    Command {
        name: "help",
        full_name: "xinfo|help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        group: Group::Stream,
        summary: "Returns the sub-commands with what they are for.",
        since: "5.0.0",
        parse: info::help,
        ..Command::BASE
    },
    Command {
        name: "stream",
        full_name: "xinfo|stream",
        arity: -3,
        flags: Flags::READONLY,
        group: Group::Stream,
        syntax: "key [FULL [COUNT n]]",
        summary: "Returns what is known of a stream.",
        complexity: "O(1), and O(N) for N events that are shown",
        since: "5.0.0",
        keys: Keys::SECOND,
        parse: info::about_stream,
        ..Command::BASE
    },
];
