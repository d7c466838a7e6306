//! The rows of Redis' commands about transactions.

use super::{Command, Flags, Group, Keys};
use crate::request::transaction as parse;

const READY: Flags = Flags::LOADING.and(Flags::STALE).and(Flags::NOSCRIPT);
const AT_ONCE: Flags = READY.and(Flags::AT_ONCE);

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "discard",
        full_name: "discard",
        arity: 1,
        flags: AT_ONCE.and(Flags::FAST).and(Flags::ALLOW_BUSY),
        group: Group::Transactions,
        summary: "Forgets the commands of a transaction.",
        complexity: "O(N) for N commands",
        since: "2.0.0",
        parse: parse::discard,
        ..Command::BASE
    },
    Command {
        name: "exec",
        full_name: "exec",
        arity: 1,
        flags: AT_ONCE.and(Flags::SKIP_SLOWLOG),
        group: Group::Transactions,
        summary: "Executes the commands of a transaction, all or none.",
        complexity: "Depends on the commands",
        since: "1.2.0",
        parse: parse::exec,
        ..Command::BASE
    },
    Command {
        name: "multi",
        full_name: "multi",
        arity: 1,
        flags: AT_ONCE.and(Flags::FAST).and(Flags::ALLOW_BUSY),
        group: Group::Transactions,
        summary: "Begins a transaction: the commands that follow wait for EXEC.",
        since: "1.2.0",
        parse: parse::multi,
        ..Command::BASE
    },
    Command {
        name: "unwatch",
        full_name: "unwatch",
        arity: 1,
        flags: READY.and(Flags::FAST).and(Flags::ALLOW_BUSY),
        group: Group::Transactions,
        summary: "Forgets the streams that are watched.",
        since: "2.2.0",
        parse: parse::unwatch,
        ..Command::BASE
    },
    Command {
        name: "watch",
        full_name: "watch",
        arity: -2,
        flags: AT_ONCE.and(Flags::FAST).and(Flags::ALLOW_BUSY),
        group: Group::Transactions,
        syntax: "key [key …]",
        summary: "Makes the next transaction fail if one of these streams changes before.",
        complexity: "O(N) for N keys",
        since: "2.2.0",
        keys: Keys::ALL.used(Keys::LOOKED_AT),
        parse: parse::watch,
        ..Command::BASE
    },
];
