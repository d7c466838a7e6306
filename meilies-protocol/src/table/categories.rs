//! Redis' categories of access control, which `COMMAND INFO` and `COMMAND LIST` tell. There are no
//! users but one, so nothing is refused by them.

use super::{Command, Flags, Group};

/// A set of categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Categories(u16);

impl Categories {
    /// No category.
    pub(super) const NONE: Categories = Categories(0);
    /// It is about keys of any type.
    pub(super) const KEYSPACE: Categories = Categories(1);
    const READ: Categories = Categories(1 << 1);
    const WRITE: Categories = Categories(1 << 2);
    const STREAM: Categories = Categories(1 << 3);
    const PUBSUB: Categories = Categories(1 << 4);
    /// It is for operators.
    pub(super) const ADMIN: Categories = Categories(1 << 5);
    const FAST: Categories = Categories(1 << 6);
    const SLOW: Categories = Categories(1 << 7);
    const BLOCKING: Categories = Categories(1 << 8);
    /// It may harm others.
    pub(super) const DANGEROUS: Categories = Categories(1 << 9);
    /// It is about the connection itself.
    pub(super) const CONNECTION: Categories = Categories(1 << 10);
    const TRANSACTION: Categories = Categories(1 << 11);

    /// Each with its name, in Redis' order.
    const NAMES: [(Categories, &'static str); 12] = [
        (Categories::KEYSPACE, "keyspace"),
        (Categories::READ, "read"),
        (Categories::WRITE, "write"),
        (Categories::STREAM, "stream"),
        (Categories::PUBSUB, "pubsub"),
        (Categories::ADMIN, "admin"),
        (Categories::FAST, "fast"),
        (Categories::SLOW, "slow"),
        (Categories::BLOCKING, "blocking"),
        (Categories::DANGEROUS, "dangerous"),
        (Categories::CONNECTION, "connection"),
        (Categories::TRANSACTION, "transaction"),
    ];

    /// The names of those that are in the set.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        let set = Categories::NAMES
            .into_iter()
            .filter(move |(category, _)| self.0 & category.0 != 0);
        set.map(|(_, name)| name)
    }

    /// Both sets together, for constants.
    pub(super) const fn and(self, other: Categories) -> Categories {
        Categories(self.0 | other.0)
    }
}

impl Command {
    /// The categories that follow from its flags, as in Redis, and that of its group, unless its
    /// row says otherwise.
    pub(super) fn categories(&self) -> Categories {
        let implied = [
            (Flags::WRITE, Categories::WRITE),
            (Flags::READONLY, Categories::READ),
            (Flags::PUBSUB, Categories::PUBSUB),
            (Flags::ADMIN, Categories::ADMIN.and(Categories::DANGEROUS)),
            (Flags::BLOCKING, Categories::BLOCKING),
        ];
        let speed = match self.flags.contains(Flags::FAST) {
            true => Categories::FAST,
            false => Categories::SLOW,
        };
        let own = self.category.unwrap_or_else(|| self.category_of_group());
        implied
            .into_iter()
            .filter(|(flag, _)| self.flags.contains(*flag))
            .fold(speed.and(own), |set, (_, category)| set.and(category))
    }

    fn category_of_group(&self) -> Categories {
        // What has sub-commands is none itself.
        if !self.subcommands.is_empty() {
            return Categories::NONE;
        }
        match self.group {
            Group::Connection => Categories::CONNECTION,
            Group::Generic => Categories::KEYSPACE,
            Group::Pubsub | Group::Server => Categories::NONE,
            Group::Stream => Categories::STREAM,
            Group::Transactions => Categories::TRANSACTION,
        }
    }
}
