//! The command table: the one place that says which commands there are, how many arguments they
//! take, and what is said about them. Parsing, `COMMAND` and the documentation derive from it.
//!
//! Invariant: a command that is not in the table is unknown; a command that is in it works.

mod categories;
mod client;
mod connection;
mod diagnostics;
mod docs;
mod events;
mod flags;
mod generic;
mod group;
mod info;
mod keys;
mod lookup;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod transaction;

pub use self::categories::Categories;
pub use self::docs::{write_docs, write_help};
pub use self::flags::Flags;
pub use self::info::{write_all, write_count, write_info, write_list};
pub use self::keys::{write_keys, write_keys_and_flags};
pub use self::lookup::{commands, find, resolve};

use crate::Arguments;
use crate::request::{Request, RequestError};

/// One row: a command, or a sub-command of one.
#[derive(Debug)]
pub struct Command {
    /// What it is called, in lower case. A sub-command's does not name the command.
    pub name: &'static str,
    /// The name by which errors and `COMMAND` call it, such as `client|kill`.
    pub full_name: &'static str,
    /// How many arguments it takes, the names included: exactly so many, or at least so many if
    /// this is negative.
    pub arity: i64,
    /// What it does and when it may be sent.
    pub flags: Flags,
    /// What it belongs to, in Redis' words.
    pub group: Group,
    /// Its arguments, without the names: `[a]` is optional, `a|b` a choice, which `<a|b>` encloses
    /// where it is not alone, `…` a repetition.
    pub syntax: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// The version of MeiliES, or of Redis, that had it first.
    pub since: &'static str,
    /// What of Redis' access control it belongs to, beside what its flags imply, where that is not
    /// what its group says.
    pub category: Option<Categories>,
    /// Which arguments name streams.
    pub keys: Keys,
    /// The rows of its sub-commands.
    pub subcommands: &'static [Command],
    parse: fn(&Arguments) -> Result<Request, RequestError>,
}

impl Command {
    /// What the other rows do not say.
    const BASE: Command = Command {
        name: "",
        full_name: "",
        arity: -1,
        flags: Flags::NONE,
        group: Group::Server,
        syntax: "",
        summary: "",
        complexity: "O(1)",
        since: "0.3.0",
        category: None,
        keys: Keys::NONE,
        subcommands: &[],
        parse: |_| Err(RequestError::Syntax),
    };

    /// Parses the arguments of this command, which [`resolve`] has found for them.
    pub fn parse(&self, arguments: &Arguments) -> Result<Request, RequestError> {
        (self.parse)(arguments)
    }

    /// What becomes of it where a transaction gathers commands.
    pub fn in_transaction(&self) -> InTransaction {
        if self.flags.contains(Flags::AT_ONCE) {
            InTransaction::AtOnce
        } else if self.flags.contains(Flags::NO_MULTI) {
            InTransaction::Refused
        } else {
            InTransaction::Gathered
        }
    }

    /// Whether so many arguments, the names included, are neither too few nor too many.
    pub fn takes(&self, arguments: usize) -> bool {
        let bound = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity < 0 {
            arguments >= bound
        } else {
            arguments == bound
        }
    }
}

/// What becomes of a command that comes between MULTI and EXEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InTransaction {
    /// It waits for EXEC. Only the name and the number of its arguments have been looked at:
    /// whatever else is wrong with it is the reply that it gets from EXEC.
    Gathered,
    /// It is executed at once; it may then refuse to be part of a transaction by itself.
    AtOnce,
    /// It is refused, and the transaction with it.
    Refused,
}

/// What a command belongs to, as in Redis' documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The connection itself.
    Connection,
    /// Keys of any type.
    Generic,
    /// Messages and subscriptions.
    Pubsub,
    /// The server.
    Server,
    /// Streams and their events.
    Stream,
    /// Transactions.
    Transactions,
}

impl Group {
    /// The word that `COMMAND DOCS` gives.
    pub fn name(self) -> &'static str {
        match self {
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Pubsub => "pubsub",
            Group::Server => "server",
            Group::Stream => "stream",
            Group::Transactions => "transactions",
        }
    }
}

/// Which arguments of a command name streams: every `step`th from `first` to `last`, where the
/// command's name is argument 0 and a negative `last` counts from the end. All are 0 if none does,
/// or if they stand behind a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
    /// How far they are apart.
    pub step: i64,
    /// The word behind which they stand, and the first argument that may be it. They are the
    /// first half of what follows it.
    pub behind: Option<(&'static str, i64)>,
    /// What the command does with them, where that is not what its flags say: of each for itself,
    /// or of all alike.
    pub uses: &'static [Use],
}

/// What a command does with a stream that it names, in Redis' words.
pub type Use = &'static [&'static str];

impl Keys {
    const NONE: Keys = Keys::range(0, 0, 0);
    const ONE: Keys = Keys::range(1, 1, 1);
    const SECOND: Keys = Keys::range(2, 2, 1);
    const PAIR: Keys = Keys::range(1, 2, 1);
    const ALL: Keys = Keys::range(1, -1, 1);

    /// Only what they are is looked at, not what is in them.
    const LOOKED_AT: &[Use] = &[&["RO"]];

    const fn range(first: i64, last: i64, step: i64) -> Keys {
        Keys {
            first,
            last,
            step,
            behind: None,
            uses: &[],
        }
    }

    const fn used(self, uses: &'static [Use]) -> Keys {
        Keys { uses, ..self }
    }

    const fn behind(word: &'static str, from: i64) -> Keys {
        Keys {
            behind: Some((word, from)),
            ..Keys::NONE
        }
    }
}
