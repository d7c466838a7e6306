//! The rows of Redis' commands about consumer groups.

use super::{Command, Flags, Group, Keys};
use crate::request::group::{self as parse, claim, manage, pending, read, release};

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "xack",
        full_name: "xack",
        arity: -4,
        flags: Flags::WRITE.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key group id [id …]",
        summary: "Says that events have been processed, and returns how many were pending.",
        complexity: "O(N) for N ids",
        since: "5.0.0",
        keys: Keys::ONE,
        parse: parse::acknowledge,
        ..Command::BASE
    },
    Command {
        name: "xackdel",
        full_name: "xackdel",
        arity: -6,
        flags: Flags::WRITE.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key group [KEEPREF|DELREF|ACKED] IDS count id [id …]",
        summary: "Says that events have been processed, and deletes them.",
        complexity: "O(N) for N ids",
        since: "8.2.0",
        keys: Keys::ONE.used(&[&["RW", "update", "delete"]]),
        parse: parse::acknowledge_and_delete,
        ..Command::BASE
    },
    Command {
        name: "xautoclaim",
        full_name: "xautoclaim",
        arity: -6,
        flags: Flags::WRITE.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key group consumer min-idle-time start [COUNT n] [JUSTID]",
        summary: "Gives a consumer what has been pending for long, wherever it is.",
        complexity: "O(N) for N events that are looked at",
        since: "6.2.0",
        keys: Keys::ONE.used(&[&["RW", "delete"]]),
        parse: claim::auto_claim,
        ..Command::BASE
    },
    Command {
        name: "xclaim",
        full_name: "xclaim",
        arity: -6,
        flags: Flags::WRITE.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key group consumer min-idle-time id [id …] [IDLE milliseconds] \
                 [TIME unix-time-milliseconds] [RETRYCOUNT n] [FORCE] [JUSTID] [LASTID id]",
        summary: "Gives a consumer events that are pending for another one.",
        complexity: "O(N) for N ids",
        since: "5.0.0",
        keys: Keys::ONE,
        parse: claim::claim,
        ..Command::BASE
    },
    Command {
        name: "xgroup",
        full_name: "xgroup",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Stream,
        summary: "A container for commands about consumer groups.",
        complexity: "Depends on subcommand.",
        since: "5.0.0",
        subcommands: GROUP,
        ..Command::BASE
    },
    Command {
        name: "xnack",
        full_name: "xnack",
        arity: -7,
        flags: Flags::WRITE.and(Flags::FAST),
        group: Group::Stream,
        syntax: "key group <SILENT|FAIL|FATAL> IDS count id [id …] [RETRYCOUNT n] [FORCE]",
        summary: "Gives pending events back to their group.",
        complexity: "O(N) for N ids",
        since: "8.8.0",
        keys: Keys::ONE,
        parse: release::release,
        ..Command::BASE
    },
    Command {
        name: "xpending",
        full_name: "xpending",
        arity: -3,
        flags: Flags::READONLY,
        group: Group::Stream,
        syntax: "key group [[IDLE milliseconds] start end count [consumer]]",
        summary: "Returns how many events are pending, or which.",
        complexity: "O(N) for N events that are returned",
        since: "5.0.0",
        keys: Keys::ONE,
        parse: pending::pending,
        ..Command::BASE
    },
    Command {
        name: "xreadgroup",
        full_name: "xreadgroup",
        arity: -7,
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
        group: Group::Stream,
        syntax: "GROUP group consumer [COUNT n] [BLOCK milliseconds] [CLAIM min-idle-time] \
                 [MAXCOUNT n] [MAXSIZE bytes] [NOACK] STREAMS key [key …] id [id …]",
        summary: "Returns events that no other consumer of its group gets, and waits if told to.",
        complexity: "O(N) for N events that are returned",
        since: "5.0.0",
        keys: Keys::behind("STREAMS", 4).used(&[&["RO", "access"]]),
        parse: read::read,
        ..Command::BASE
    },
];

static GROUP: &[Command] = &[
    Command {
        name: "create",
        full_name: "xgroup|create",
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        group: Group::Stream,
        syntax: "key group <id|$> [MKSTREAM] [ENTRIESREAD n]",
        summary: "Makes a group that begins behind an id.",
        since: "5.0.0",
        keys: Keys::SECOND.used(&[&["RW", "insert"]]),
        parse: manage::create,
        ..Command::BASE
    },
    Command {
        name: "createconsumer",
        full_name: "xgroup|createconsumer",
        arity: 5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        group: Group::Stream,
        syntax: "key group consumer",
        summary: "Makes a consumer of a group.",
        since: "6.2.0",
        keys: Keys::SECOND.used(&[&["RW", "insert"]]),
        parse: manage::create_consumer,
        ..Command::BASE
    },
    Command {
        name: "delconsumer",
        full_name: "xgroup|delconsumer",
        arity: 5,
        flags: Flags::WRITE,
        group: Group::Stream,
        syntax: "key group consumer",
        summary: "Deletes a consumer of a group, and forgets what is pending for it.",
        complexity: "O(N) for N pending events",
        since: "5.0.0",
        keys: Keys::SECOND.used(&[&["RW", "delete"]]),
        parse: manage::delete_consumer,
        ..Command::BASE
    },
    Command {
        name: "destroy",
        full_name: "xgroup|destroy",
        arity: 4,
        flags: Flags::WRITE,
        group: Group::Stream,
        syntax: "key group",
        summary: "Deletes a group, and forgets what is pending for it.",
        complexity: "O(N) for N pending events",
        since: "5.0.0",
        keys: Keys::SECOND.used(&[&["RW", "delete"]]),
        parse: manage::destroy,
        ..Command::BASE
    },
    Command {
        name: "help",
        full_name: "xgroup|help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        group: Group::Stream,
        summary: "Returns the sub-commands with what they are for.",
        since: "5.0.0",
        parse: manage::help,
        ..Command::BASE
    },
    Command {
        name: "setid",
        full_name: "xgroup|setid",
        arity: -5,
        flags: Flags::WRITE,
        group: Group::Stream,
        syntax: "key group <id|$> [ENTRIESREAD n]",
        summary: "Moves a group behind an id.",
        since: "5.0.0",
        keys: Keys::SECOND,
        parse: manage::set_id,
        ..Command::BASE
    },
];
