//! What a command does and when it may be sent.

use std::ops::BitOr;

/// A set of flags, with the meanings that Redis gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// It may write to a stream.
    pub const WRITE: Flags = Flags(1);
    /// It reads streams and never writes.
    pub const READONLY: Flags = Flags(1 << 1);
    /// It is refused when there is no room.
    pub const DENYOOM: Flags = Flags(1 << 2);
    /// It is for operators.
    pub const ADMIN: Flags = Flags(1 << 3);
    /// It is about messages and subscriptions.
    pub const PUBSUB: Flags = Flags(1 << 4);
    /// It cannot be part of a script.
    pub const NOSCRIPT: Flags = Flags(1 << 5);
    /// It may make its connection wait.
    pub const BLOCKING: Flags = Flags(1 << 6);
    /// It is answered while the server still opens its store.
    pub const LOADING: Flags = Flags(1 << 7);
    /// It is answered by a replica that lost its source.
    pub const STALE: Flags = Flags(1 << 8);
    /// It takes constant or logarithmic time.
    pub const FAST: Flags = Flags(1 << 9);
    /// It is answered before the password is given.
    pub const NO_AUTH: Flags = Flags(1 << 10);
    /// It cannot be part of a transaction.
    pub const NO_MULTI: Flags = Flags(1 << 11);
    /// Its keys are not at fixed places.
    pub const MOVABLEKEYS: Flags = Flags(1 << 12);
    /// It is answered while a script runs for too long.
    pub const ALLOW_BUSY: Flags = Flags(1 << 13);
    /// It is not in the log of slow commands.
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 14);
    /// It is executed at once even where a transaction gathers commands. Redis has no name for
    /// this, so no reply shows it.
    pub const AT_ONCE: Flags = Flags(1 << 15);

    /// Each flag that Redis has, with its name.
    const NAMES: [(Flags, &'static str); 15] = [
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLEKEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    ];

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        let set = Flags::NAMES
            .into_iter()
            .filter(move |(flag, _)| self.contains(*flag));
        set.map(|(_, name)| name)
    }

    /// Both sets together, for constants.
    pub(super) const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        self.and(other)
    }
}
