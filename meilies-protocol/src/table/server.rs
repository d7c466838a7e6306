//! The rows of Redis' commands about the server.

use super::{Categories, Command, Flags, Group};
use crate::request::server as parse;

const READY: Flags = Flags::LOADING.and(Flags::STALE);
const ADMIN: Flags = READY.and(Flags::NOSCRIPT).and(Flags::ADMIN);

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "bgrewriteaof",
        full_name: "bgrewriteaof",
        arity: 1,
        flags: Flags::ADMIN.and(Flags::NOSCRIPT),
        group: Group::Server,
        summary: "Is refused: the log is never rewritten.",
        since: "1.0.0",
        parse: parse::background_rewrite,
        ..Command::BASE
    },
    Command {
        name: "bgsave",
        full_name: "bgsave",
        arity: -1,
        flags: Flags::ADMIN.and(Flags::NOSCRIPT),
        group: Group::Server,
        syntax: "[SCHEDULE]",
        summary: "Begins what SAVE does and does not wait for it.",
        since: "1.0.0",
        parse: parse::background_save,
        ..Command::BASE
    },
    Command {
        name: "command",
        full_name: "command",
        arity: -1,
        flags: READY,
        group: Group::Server,
        summary: "Returns what is known of every command.",
        complexity: "O(N) for N commands",
        since: "2.8.13",
        subcommands: COMMAND,
        category: Some(Categories::CONNECTION),
        parse: parse::command_all,
        ..Command::BASE
    },
    Command {
        name: "config",
        full_name: "config",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Server,
        summary: "A container for commands about settings.",
        complexity: "Depends on subcommand.",
        since: "2.0.0",
        subcommands: CONFIG,
        ..Command::BASE
    },
    Command {
        name: "info",
        full_name: "info",
        arity: -1,
        flags: READY,
        group: Group::Server,
        syntax: "[section …]",
        summary: "Returns what is known of the server.",
        since: "1.0.0",
        category: Some(Categories::DANGEROUS),
        parse: parse::info,
        ..Command::BASE
    },
    Command {
        name: "lastsave",
        full_name: "lastsave",
        arity: 1,
        flags: READY.and(Flags::FAST),
        group: Group::Server,
        summary: "Returns when the store was last saved, in seconds since 1970.",
        since: "1.0.0",
        category: Some(Categories::ADMIN.and(Categories::DANGEROUS)),
        parse: parse::last_save,
        ..Command::BASE
    },
    Command {
        name: "module",
        full_name: "module",
        arity: -2,
        flags: Flags::NONE,
        group: Group::Server,
        summary: "A container for commands about modules.",
        complexity: "Depends on subcommand.",
        since: "4.0.0",
        subcommands: MODULE,
        ..Command::BASE
    },
    Command {
        name: "monitor",
        full_name: "monitor",
        arity: 1,
        flags: ADMIN,
        group: Group::Server,
        summary: "Shows every command that the server is sent.",
        since: "1.0.0",
        parse: parse::monitor,
        ..Command::BASE
    },
    Command {
        name: "save",
        full_name: "save",
        arity: 1,
        flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_MULTI),
        group: Group::Server,
        summary: "Makes everything durable and brings the index up to the log.",
        complexity: "O(N) for N changes since it was last done",
        since: "1.0.0",
        parse: parse::save,
        ..Command::BASE
    },
    Command {
        name: "shutdown",
        full_name: "shutdown",
        arity: -1,
        flags: ADMIN.and(Flags::NO_MULTI).and(Flags::ALLOW_BUSY),
        group: Group::Server,
        syntax: "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]",
        summary: "Makes everything durable and ends the server.",
        since: "1.0.0",
        parse: parse::shutdown,
        ..Command::BASE
    },
    Command {
        name: "time",
        full_name: "time",
        arity: 1,
        flags: READY.and(Flags::FAST),
        group: Group::Server,
        summary: "Returns the time in seconds since 1970, and microseconds.",
        since: "2.6.0",
        parse: parse::time,
        ..Command::BASE
    },
    Command {
        name: "wait",
        full_name: "wait",
        arity: 3,
        flags: Flags::BLOCKING,
        group: Group::Generic,
        syntax: "numreplicas timeout",
        summary: "Waits until so many other servers have what this connection wrote.",
        since: "3.0.0",
        category: Some(Categories::CONNECTION),
        parse: parse::wait,
        ..Command::BASE
    },
    Command {
        name: "waitaof",
        full_name: "waitaof",
        arity: 4,
        flags: Flags::BLOCKING,
        group: Group::Generic,
        syntax: "numlocal numreplicas timeout",
        summary: "Waits until what this connection wrote is durable here and on other servers.",
        since: "7.2.0",
        category: Some(Categories::CONNECTION),
        parse: parse::wait_for_log,
        ..Command::BASE
    },
];

static COMMAND: &[Command] = &[
    Command {
        name: "count",
        full_name: "command|count",
        arity: 2,
        flags: READY,
        group: Group::Server,
        summary: "Returns the number of commands.",
        since: "2.8.13",
        category: Some(Categories::CONNECTION),
        parse: parse::command_count,
        ..Command::BASE
    },
    Command {
        name: "docs",
        full_name: "command|docs",
        arity: -2,
        flags: READY,
        group: Group::Server,
        syntax: "[name …]",
        summary: "Returns the documentation of these commands, or of all.",
        complexity: "O(N) for N commands",
        since: "7.0.0",
        category: Some(Categories::CONNECTION),
        parse: parse::command_docs,
        ..Command::BASE
    },
    Command {
        name: "getkeys",
        full_name: "command|getkeys",
        arity: -3,
        flags: READY,
        group: Group::Server,
        syntax: "command [argument …]",
        summary: "Returns which arguments of a command name streams.",
        complexity: "O(N) for N arguments",
        since: "2.8.13",
        category: Some(Categories::CONNECTION),
        parse: parse::command_get_keys,
        ..Command::BASE
    },
    Command {
        name: "getkeysandflags",
        full_name: "command|getkeysandflags",
        arity: -3,
        flags: READY,
        group: Group::Server,
        syntax: "command [argument …]",
        summary: "Returns which arguments of a command name streams, and what it does with them.",
        complexity: "O(N) for N arguments",
        since: "7.0.0",
        category: Some(Categories::CONNECTION),
        parse: parse::command_get_keys_and_flags,
        ..Command::BASE
    },
    Command {
        name: "help",
        full_name: "command|help",
        arity: 2,
        flags: READY,
        group: Group::Server,
        summary: "Returns the sub-commands with what they are for.",
        since: "5.0.0",
        category: Some(Categories::CONNECTION),
        parse: parse::command_help,
        ..Command::BASE
    },
    Command {
        name: "info",
        full_name: "command|info",
        arity: -2,
        flags: READY,
        group: Group::Server,
        syntax: "[name …]",
        summary: "Returns what is known of these commands, or of all.",
        complexity: "O(N) for N commands",
        since: "2.8.13",
        category: Some(Categories::CONNECTION),
        parse: parse::command_info,
        ..Command::BASE
    },
    Command {
        name: "list",
        full_name: "command|list",
        arity: -2,
        flags: READY,
        group: Group::Server,
        syntax: "[FILTERBY MODULE name|ACLCAT category|PATTERN pattern]",
        summary: "Returns the names of the commands.",
        complexity: "O(N) for N commands",
        since: "7.0.0",
        category: Some(Categories::CONNECTION),
        parse: parse::command_list,
        ..Command::BASE
    },
];

static MODULE: &[Command] = &[
    Command {
        name: "help",
        full_name: "module|help",
        arity: 2,
        flags: READY,
        group: Group::Server,
        summary: "Returns the sub-commands with what they are for.",
        since: "5.0.0",
        parse: parse::module_help,
        ..Command::BASE
    },
    Command {
        name: "list",
        full_name: "module|list",
        arity: 2,
        flags: Flags::NOSCRIPT.and(Flags::ADMIN),
        group: Group::Server,
        summary: "Returns the modules that are loaded: there are none.",
        complexity: "O(N) for N modules",
        since: "4.0.0",
        parse: parse::module_list,
        ..Command::BASE
    },
];

static CONFIG: &[Command] = &[
    Command {
        name: "get",
        full_name: "config|get",
        arity: -3,
        flags: ADMIN,
        group: Group::Server,
        syntax: "pattern [pattern …]",
        summary: "Returns the settings that match a pattern.",
        complexity: "O(N) for N patterns",
        since: "2.0.0",
        parse: parse::config_get,
        ..Command::BASE
    },
    Command {
        name: "help",
        full_name: "config|help",
        arity: 2,
        flags: READY,
        group: Group::Server,
        summary: "Returns the sub-commands with what they are for.",
        since: "5.0.0",
        parse: parse::config_help,
        ..Command::BASE
    },
    Command {
        name: "resetstat",
        full_name: "config|resetstat",
        arity: 2,
        flags: ADMIN,
        group: Group::Server,
        summary: "Makes the counters of INFO begin anew.",
        since: "2.0.0",
        parse: parse::config_reset_stat,
        ..Command::BASE
    },
    Command {
        name: "rewrite",
        full_name: "config|rewrite",
        arity: 2,
        flags: ADMIN,
        group: Group::Server,
        summary: "Is refused: the file of settings is only read.",
        since: "2.8.0",
        parse: parse::config_rewrite,
        ..Command::BASE
    },
    Command {
        name: "set",
        full_name: "config|set",
        arity: -4,
        flags: ADMIN,
        group: Group::Server,
        syntax: "name value [name value …]",
        summary: "Changes settings.",
        complexity: "O(N) for N settings",
        since: "2.0.0",
        parse: parse::config_set,
        ..Command::BASE
    },
];
