//! The rows of Redis' commands that look into the server and its keys.

use super::{Command, Flags, Group, Keys};
use crate::request::diagnostics as parse;

const READY: Flags = Flags::LOADING.and(Flags::STALE);
const SLOW_LOG_FLAGS: Flags = READY.and(Flags::ADMIN);
const LATENCY_FLAGS: Flags = SLOW_LOG_FLAGS.and(Flags::NOSCRIPT);

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "latency",
        full_name: "latency",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Server,
        summary: "A container for commands about what took long.",
        complexity: "Depends on subcommand.",
        since: "2.8.13",
        subcommands: LATENCY,
        ..Command::BASE
    },
    Command {
        name: "memory",
        full_name: "memory",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Server,
        summary: "A container for commands about memory.",
        complexity: "Depends on subcommand.",
        since: "4.0.0",
        subcommands: MEMORY,
        ..Command::BASE
    },
    Command {
        name: "object",
        full_name: "object",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Generic,
        summary: "A container for commands about how keys are kept.",
        complexity: "Depends on subcommand.",
        since: "2.2.3",
        subcommands: OBJECT,
        ..Command::BASE
    },
    Command {
        name: "slowlog",
        full_name: "slowlog",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Server,
        summary: "A container for commands about the log of slow commands.",
        complexity: "Depends on subcommand.",
        since: "2.2.12",
        subcommands: SLOW_LOG,
        ..Command::BASE
    },
];

static LATENCY: &[Command] = &[
    Command {
        name: "doctor",
        full_name: "latency|doctor",
        arity: 2,
        flags: LATENCY_FLAGS,
        group: Group::Server,
        summary: "Returns a report for people on what took long.",
        since: "2.8.13",
        parse: parse::latency_doctor,
        ..Command::BASE
    },
    Command {
        name: "help",
        full_name: "latency|help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        group: Group::Server,
        summary: "Returns the sub-commands with what they are for.",
        since: "2.8.13",
        parse: parse::latency_help,
        ..Command::BASE
    },
    Command {
        name: "histogram",
        full_name: "latency|histogram",
        arity: -2,
        flags: LATENCY_FLAGS,
        group: Group::Server,
        syntax: "[command …]",
        summary: "Returns how long these commands took, or all.",
        complexity: "O(N) for N commands",
        since: "7.0.0",
        parse: parse::latency_histogram,
        ..Command::BASE
    },
    Command {
        name: "history",
        full_name: "latency|history",
        arity: 3,
        flags: LATENCY_FLAGS,
        group: Group::Server,
        syntax: "event",
        summary: "Returns when something took long, and how long.",
        since: "2.8.13",
        parse: parse::latency_history,
        ..Command::BASE
    },
    Command {
        name: "latest",
        full_name: "latency|latest",
        arity: 2,
        flags: LATENCY_FLAGS,
        group: Group::Server,
        summary: "Returns what took long last.",
        since: "2.8.13",
        parse: parse::latency_latest,
        ..Command::BASE
    },
    Command {
        name: "reset",
        full_name: "latency|reset",
        arity: -2,
        flags: LATENCY_FLAGS,
        group: Group::Server,
        syntax: "[event …]",
        summary: "Forgets what took long.",
        since: "2.8.13",
        parse: parse::latency_reset,
        ..Command::BASE
    },
];

static MEMORY: &[Command] = &[
    Command {
        name: "help",
        full_name: "memory|help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        group: Group::Server,
        summary: "Returns the sub-commands with what they are for.",
        since: "4.0.0",
        parse: parse::memory_help,
        ..Command::BASE
    },
    Command {
        name: "usage",
        full_name: "memory|usage",
        arity: -3,
        flags: Flags::READONLY,
        group: Group::Server,
        syntax: "key [SAMPLES n]",
        summary: "Returns how many bytes a stream takes in memory, about.",
        since: "4.0.0",
        keys: Keys::SECOND.used(Keys::LOOKED_AT),
        parse: parse::memory_usage,
        ..Command::BASE
    },
];

static OBJECT: &[Command] = &[
    Command {
        name: "encoding",
        full_name: "object|encoding",
        arity: 3,
        flags: Flags::READONLY,
        group: Group::Generic,
        syntax: "key",
        summary: "Returns how a stream is kept, in the word that Redis has for it.",
        since: "2.2.3",
        keys: Keys::SECOND.used(Keys::LOOKED_AT),
        parse: parse::object_encoding,
        ..Command::BASE
    },
    Command {
        name: "freq",
        full_name: "object|freq",
        arity: 3,
        flags: Flags::READONLY,
        group: Group::Generic,
        syntax: "key",
        summary: "Is refused as by a Redis that does not count how often keys are used.",
        since: "4.0.0",
        keys: Keys::SECOND.used(Keys::LOOKED_AT),
        parse: parse::object_frequency,
        ..Command::BASE
    },
    Command {
        name: "help",
        full_name: "object|help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        group: Group::Generic,
        summary: "Returns the sub-commands with what they are for.",
        since: "6.2.0",
        parse: parse::object_help,
        ..Command::BASE
    },
    Command {
        name: "idletime",
        full_name: "object|idletime",
        arity: 3,
        flags: Flags::READONLY,
        group: Group::Generic,
        syntax: "key",
        summary: "Returns for how many seconds a stream was not used, as far as that is known.",
        since: "2.2.3",
        keys: Keys::SECOND.used(Keys::LOOKED_AT),
        parse: parse::object_idle_time,
        ..Command::BASE
    },
    Command {
        name: "refcount",
        full_name: "object|refcount",
        arity: 3,
        flags: Flags::READONLY,
        group: Group::Generic,
        syntax: "key",
        summary: "Returns 1 for every stream.",
        since: "2.2.3",
        keys: Keys::SECOND.used(Keys::LOOKED_AT),
        parse: parse::object_reference_count,
        ..Command::BASE
    },
];

static SLOW_LOG: &[Command] = &[
    Command {
        name: "get",
        full_name: "slowlog|get",
        arity: -2,
        flags: SLOW_LOG_FLAGS,
        group: Group::Server,
        syntax: "[count]",
        summary: "Returns the last commands that were slow; -1 means all.",
        complexity: "O(N) for N commands",
        since: "2.2.12",
        parse: parse::slow_log_get,
        ..Command::BASE
    },
    Command {
        name: "help",
        full_name: "slowlog|help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        group: Group::Server,
        summary: "Returns the sub-commands with what they are for.",
        since: "6.2.0",
        parse: parse::slow_log_help,
        ..Command::BASE
    },
    Command {
        name: "len",
        full_name: "slowlog|len",
        arity: 2,
        flags: SLOW_LOG_FLAGS,
        group: Group::Server,
        summary: "Returns how many commands the log has.",
        since: "2.2.12",
        parse: parse::slow_log_length,
        ..Command::BASE
    },
    Command {
        name: "reset",
        full_name: "slowlog|reset",
        arity: 2,
        flags: SLOW_LOG_FLAGS,
        group: Group::Server,
        summary: "Forgets the commands of the log.",
        complexity: "O(N) for N commands",
        since: "2.2.12",
        parse: parse::slow_log_reset,
        ..Command::BASE
    },
];
