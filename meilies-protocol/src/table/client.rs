//! The rows of CLIENT's sub-commands.

use super::{Command, Flags, Group};
use crate::request::client as parse;

const READY: Flags = Flags::LOADING.and(Flags::STALE);

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "getname",
        full_name: "client|getname",
        arity: 2,
        flags: READY.and(Flags::NOSCRIPT),
        group: Group::Connection,
        summary: "Returns what this connection calls itself.",
        since: "2.6.9",
        parse: parse::get_name,
        ..Command::BASE
    },
    Command {
        name: "help",
        full_name: "client|help",
        arity: 2,
        flags: READY,
        group: Group::Connection,
        summary: "Returns the sub-commands with what they are for.",
        since: "5.0.0",
        parse: parse::help,
        ..Command::BASE
    },
    Command {
        name: "id",
        full_name: "client|id",
        arity: 2,
        flags: READY.and(Flags::NOSCRIPT),
        group: Group::Connection,
        summary: "Returns the id of this connection.",
        since: "5.0.0",
        parse: parse::id,
        ..Command::BASE
    },
    Command {
        name: "info",
        full_name: "client|info",
        arity: 2,
        flags: READY.and(Flags::NOSCRIPT),
        group: Group::Connection,
        summary: "Returns what is known of this connection.",
        since: "6.2.0",
        parse: parse::info,
        ..Command::BASE
    },
    Command {
        name: "kill",
        full_name: "client|kill",
        arity: -3,
        flags: READY.and(Flags::NOSCRIPT).and(Flags::ADMIN),
        group: Group::Connection,
        syntax: "ip:port|[ID id] [TYPE type] [ADDR ip:port] [LADDR ip:port] [USER name] \
                 [MAXAGE seconds] [SKIPME yes|no]",
        summary: "Closes the connections to which all of this applies.",
        complexity: "O(N) for N connections",
        since: "2.4.0",
        parse: parse::kill,
        ..Command::BASE
    },
    Command {
        name: "list",
        full_name: "client|list",
        arity: -2,
        flags: READY.and(Flags::NOSCRIPT).and(Flags::ADMIN),
        group: Group::Connection,
        syntax: "[TYPE type] [ID id [id …]]",
        summary: "Returns what is known of the connections.",
        complexity: "O(N) for N connections",
        since: "2.4.0",
        parse: parse::list,
        ..Command::BASE
    },
    Command {
        name: "no-evict",
        full_name: "client|no-evict",
        arity: 3,
        flags: READY.and(Flags::NOSCRIPT).and(Flags::ADMIN),
        group: Group::Connection,
        syntax: "ON|OFF",
        summary: "Protects this connection from being closed for its memory.",
        since: "7.0.0",
        parse: parse::no_evict,
        ..Command::BASE
    },
    Command {
        name: "no-touch",
        full_name: "client|no-touch",
        arity: 3,
        flags: READY.and(Flags::NOSCRIPT),
        group: Group::Connection,
        syntax: "ON|OFF",
        summary: "Says whether what this connection does counts as a use of streams.",
        since: "7.2.0",
        parse: parse::no_touch,
        ..Command::BASE
    },
    Command {
        name: "pause",
        full_name: "client|pause",
        arity: -3,
        flags: READY.and(Flags::NOSCRIPT).and(Flags::ADMIN),
        group: Group::Connection,
        syntax: "timeout [WRITE|ALL]",
        summary: "Holds up the commands of all connections for so many milliseconds.",
        since: "3.0.0",
        parse: parse::pause,
        ..Command::BASE
    },
    Command {
        name: "reply",
        full_name: "client|reply",
        arity: 3,
        flags: READY.and(Flags::NOSCRIPT),
        group: Group::Connection,
        syntax: "ON|OFF|SKIP",
        summary: "Says whether commands of this connection are replied to.",
        since: "3.2.0",
        parse: parse::reply,
        ..Command::BASE
    },
    Command {
        name: "setinfo",
        full_name: "client|setinfo",
        arity: 4,
        flags: READY.and(Flags::NOSCRIPT),
        group: Group::Connection,
        syntax: "LIB-NAME name|LIB-VER version",
        summary: "Says which library this connection uses.",
        since: "7.2.0",
        parse: parse::set_info,
        ..Command::BASE
    },
    Command {
        name: "setname",
        full_name: "client|setname",
        arity: 3,
        flags: READY.and(Flags::NOSCRIPT),
        group: Group::Connection,
        syntax: "name",
        summary: "Gives this connection a name.",
        since: "2.6.9",
        parse: parse::set_name,
        ..Command::BASE
    },
    Command {
        name: "unblock",
        full_name: "client|unblock",
        arity: -3,
        flags: READY.and(Flags::NOSCRIPT).and(Flags::ADMIN),
        group: Group::Connection,
        syntax: "id [TIMEOUT|ERROR]",
        summary: "Ends the waiting of another connection.",
        complexity: "O(log N) for N connections",
        since: "5.0.0",
        parse: parse::unblock,
        ..Command::BASE
    },
    Command {
        name: "unpause",
        full_name: "client|unpause",
        arity: 2,
        flags: READY.and(Flags::NOSCRIPT).and(Flags::ADMIN),
        group: Group::Connection,
        summary: "Lets the commands go on that CLIENT PAUSE holds up.",
        complexity: "O(N) for N connections",
        since: "6.2.0",
        parse: parse::unpause,
        ..Command::BASE
    },
];
