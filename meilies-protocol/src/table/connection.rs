//! The rows of Redis' commands about the connection.

use super::{Command, Flags, Group};
use crate::request::connection as parse;

/// Answered whatever the state of the server.
const READY: Flags = Flags::LOADING.and(Flags::STALE);

/// Answered whatever the state of the server, and before the password is given.
const ALWAYS: Flags = READY
    .and(Flags::NOSCRIPT)
    .and(Flags::FAST)
    .and(Flags::NO_AUTH)
    .and(Flags::ALLOW_BUSY);

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "auth",
        full_name: "auth",
        arity: -2,
        flags: ALWAYS,
        group: Group::Connection,
        syntax: "[username] password",
        summary: "Tells the server who the client is.",
        since: "1.0.0",
        parse: parse::auth,
        ..Command::BASE
    },
    Command {
        name: "client",
        full_name: "client",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Connection,
        summary: "A container for commands about connections.",
        complexity: "Depends on subcommand.",
        since: "2.4.0",
        subcommands: super::client::COMMANDS,
        ..Command::BASE
    },
    Command {
        name: "echo",
        full_name: "echo",
        arity: 2,
        flags: READY.and(Flags::FAST),
        group: Group::Connection,
        syntax: "message",
        summary: "Returns its argument.",
        since: "1.0.0",
        parse: parse::echo,
        ..Command::BASE
    },
    Command {
        name: "hello",
        full_name: "hello",
        arity: -1,
        flags: ALWAYS,
        group: Group::Connection,
        syntax: "[protover [AUTH username password] [SETNAME clientname]]",
        summary: "Chooses the version of the protocol and returns what the server is.",
        since: "6.0.0",
        parse: parse::hello,
        ..Command::BASE
    },
    Command {
        name: "ping",
        full_name: "ping",
        arity: -1,
        flags: Flags::FAST,
        group: Group::Connection,
        syntax: "[message]",
        summary: "Returns PONG, or its argument.",
        since: "1.0.0",
        parse: parse::ping,
        ..Command::BASE
    },
    Command {
        name: "quit",
        full_name: "quit",
        arity: -1,
        flags: ALWAYS.and(Flags::AT_ONCE),
        group: Group::Connection,
        summary: "Closes the connection once every reply is sent.",
        since: "1.0.0",
        parse: parse::quit,
        ..Command::BASE
    },
    Command {
        name: "reset",
        full_name: "reset",
        arity: 1,
        flags: ALWAYS.and(Flags::AT_ONCE),
        group: Group::Connection,
        summary: "Makes the connection as it was when it began.",
        since: "6.2.0",
        parse: parse::reset,
        ..Command::BASE
    },
    Command {
        name: "select",
        full_name: "select",
        arity: 2,
        flags: READY.and(Flags::FAST),
        group: Group::Connection,
        syntax: "index",
        summary: "Chooses the database: there is only 0.",
        since: "1.0.0",
        parse: parse::select,
        ..Command::BASE
    },
];
