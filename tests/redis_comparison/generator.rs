//! Random commands: the same seed always gives the same list. No reply is needed to make them: a
//! guess of where each stream ends is enough to hit what is there more often than not.
//!
//! What the clock decides stays out: ids are given, and waiting ends by what others do.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::counters;
use super::operation::{CONNECTIONS, Command, Operation, begins};

/// The keys; colons and bytes that are no text included. Redis' error texts end at a zero byte:
/// none has one.
pub(crate) const KEYS: [&[u8]; 4] = [b"s", b"t", b"orders:42", b"\xff\r\n"];

/// A key that gets many entries and is seldom deleted: its trims cross Redis' inner nodes.
pub(crate) const KEY_LONG: &[u8] = b"long";

/// A key whose ids lie ahead of the clock, so that `*` counts on from the last.
pub(crate) const KEY_FUTURE: &[u8] = b"future";

/// The groups.
pub(crate) const GROUPS: [&[u8]; 2] = [b"g", b"h"];

/// The consumers.
pub(crate) const CONSUMERS: [&[u8]; 3] = [b"alice", b"bob", b"carol"];

/// The operations of a seed.
pub(crate) fn operations(seed: u64, count: usize) -> Vec<Operation> {
    let mut generator = Generator::new(seed);
    (0..count).map(|_| generator.operation()).collect()
}

/// What makes them.
#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) random: StdRng,
    /// A guess of the highest millisecond of each key's ids: rather too high than too low.
    pub(crate) tails: [u64; KEYS.len()],
    /// Whether an entry may have had the last ms of all.
    pub(crate) ended: [bool; KEYS.len()],
    /// How many entries [`KEY_LONG`] got.
    pub(crate) long_tail: u64,
    /// Commands that are due: the groups of keys that have none.
    due: Vec<Command>,
    connection: usize,
}

/// A key, by its place in [`KEYS`].
pub(crate) type Key = usize;

impl Generator {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            tails: [0; KEYS.len()],
            ended: [false; KEYS.len()],
            long_tail: 0,
            due: KEYS.into_iter().flat_map(groups_of).collect(),
            connection: 0,
        }
    }

    fn operation(&mut self) -> Operation {
        // The connections change seldom: what one sends in a row goes out in one write.
        if self.chance(4) {
            self.connection = self.random.random_range(0..CONNECTIONS);
        }
        let connection = self.connection;
        let tails = self.tails;
        let operation = match self.random.random_range(0..1000) {
            0..25 => self.transaction(),
            25..40 => self.approximate(),
            40..46 => self.waiting(),
            46..50 => self.future(),
            50..80 => Operation::Single {
                connection,
                command: self.malformed(),
            },
            _ => {
                return Operation::Single {
                    connection,
                    command: self.command(),
                };
            }
        };
        // A part of these may not happen: what it deleted may still be there.
        for (tail, before) in self.tails.iter_mut().zip(tails) {
            *tail = before.max(*tail);
        }
        operation
    }

    /// A command that does not wait and has an exact reply.
    pub(crate) fn command(&mut self) -> Command {
        if self.chance(60)
            && let Some(command) = self.due.pop()
        {
            return command;
        }
        let command = match self.random.random_range(0..1000) {
            0..270 => self.xadd(),
            270..280 => words("XLEN").and(self.key_name()),
            280..370 => self.xrange(),
            370..420 => self.xread(),
            420..480 => self.xdel(),
            480..500 => self.xtrim(),
            500..515 => self.xsetid(),
            515..610 => self.xinfo(),
            610..680 => self.xgroup(),
            680..790 => self.xreadgroup(),
            790..830 => self.xack(),
            830..880 => self.xpending(),
            880..925 => self.xclaim(),
            925..960 => self.xautoclaim(),
            _ => self.keyspace(),
        };
        self.in_some_letter_case(command.0)
    }

    fn keyspace(&mut self) -> Words {
        match self.random.random_range(0..100) {
            0..14 => {
                let key = self.key();
                self.tails[key] = 0;
                self.due.extend(groups_of(KEYS[key]));
                words("DEL").and(KEYS[key])
            }
            14..16 => words("DEL").and(self.key_name()).and("nothing"),
            16..17 => {
                self.long_tail = 0;
                words("DEL").and(KEY_LONG)
            }
            17..34 => {
                let mut line = words("EXISTS");
                for _ in 0..self.random.random_range(1..4) {
                    line = line.and(self.key_name());
                }
                line
            }
            34..50 => words("TYPE").and(self.key_name()),
            50..64 => {
                let name = self.pick(&["RENAME", "RENAMENX"]);
                let (from, to) = (self.key(), self.key());
                self.tails[to] = self.tails[to].max(self.tails[from]);
                self.due.extend(groups_of(KEYS[from]));
                words(name).and(KEYS[from]).and(KEYS[to])
            }
            64..82 => words("KEYS").and(self.pick(&["*", "o*", "?", "[st]", "nothing"])),
            _ => words("DBSIZE"),
        }
    }

    fn transaction(&mut self) -> Operation {
        let watched = if self.chance(35) {
            (0..self.random.random_range(1..3))
                .map(|_| self.key_name().to_vec())
                .collect()
        } else {
            Vec::new()
        };
        let meddling = self.chance(50).then(|| self.command());
        let meddling = meddling.filter(|command| counters::consumers(command).is_empty());
        let mut commands: Vec<Command> = Vec::new();
        for _ in 0..self.random.random_range(0..7) {
            let command = self.command();
            // 7.0 makes consumers later than others do: within a transaction they are there.
            commands.extend(counters::consumers(&command));
            commands.push(command);
        }
        if self.chance(12) {
            let command = self.malformed();
            commands.extend(Some(command).filter(|wrong| counters::consumers(wrong).is_empty()));
        }
        if self.chance(8) {
            // In a transaction nobody waits.
            let mut command = self.xread().0;
            command.splice(1..1, [b"BLOCK".to_vec(), b"0".to_vec()]);
            commands.push(command);
        }
        // These act at once or end the transaction, and have no place inside.
        commands.retain(|command| {
            !["EXEC", "DISCARD", "MULTI", "RESET"]
                .iter()
                .any(|name| begins(command, &[name]))
        });
        Operation::Transaction {
            connection: self.connection,
            watched,
            meddling,
            commands,
            end: self.pick(&["EXEC", "EXEC", "EXEC", "EXEC", "DISCARD"]),
        }
    }

    fn approximate(&mut self) -> Operation {
        let long = self.chance(60);
        let short = self.key();
        let key = if long { KEY_LONG } else { KEYS[short] };
        let (strategy, bound) = match (self.chance(60), long) {
            (true, true) => ("MAXLEN", self.random.random_range(0..260).to_string()),
            (true, false) => ("MAXLEN", self.random.random_range(0..20).to_string()),
            (false, true) => {
                let kept = self.random.random_range(0..250);
                let first = self.long_tail.saturating_sub(kept);
                ("MINID", format!("7000-{first}"))
            }
            (false, false) => ("MINID", self.random.random_range(0..60).to_string()),
        };
        let mut trim = words("XTRIM").and(key);
        if self.chance(40) {
            trim = words("XADD").and(key);
        }
        let adds = trim.0[0] == b"XADD";
        trim = trim.and(strategy).and("~").and(&bound);
        if self.chance(40) {
            let limit = self.pick(&["0", "1", "100", "150", "1000000"]);
            trim = trim.and("LIMIT").and(limit);
        }
        if adds {
            let id = match long {
                true => "7000-*".to_owned(),
                false => self.new_id(short),
            };
            self.long_tail += u64::from(long);
            trim = trim.and(id).and("f").and("v");
        }
        let exact = words("XTRIM").and(key).and(strategy).and("=").and(&bound);
        Operation::Approximate {
            connection: self.connection,
            approximate: trim.0,
            exact: exact.0,
        }
    }

    fn future(&mut self) -> Operation {
        // The first leaves the last id ahead of every clock, whether it succeeds or not.
        let ahead = words("XADD").and(KEY_FUTURE).and("99999999999999-1");
        let auto = words("XADD").and(KEY_FUTURE).and("*").and("f").and("v");
        Operation::Transaction {
            connection: self.connection,
            watched: Vec::new(),
            meddling: None,
            commands: vec![ahead.and("f").and("v").0, auto.0],
            end: "EXEC",
        }
    }

    /// Most clients write in capitals, some do not.
    fn in_some_letter_case(&mut self, mut command: Command) -> Command {
        if self.chance(10) {
            for word in &mut command {
                if word.len() >= 2 && word.iter().all(u8::is_ascii_uppercase) {
                    word.make_ascii_lowercase();
                }
            }
        }
        command
    }

    pub(crate) fn connection(&self) -> usize {
        self.connection
    }

    pub(crate) fn key(&mut self) -> Key {
        // The first is the busiest.
        let keys = [0, 0, 0, 0, 1, 1, 2, 3];
        self.pick(&keys)
    }

    pub(crate) fn key_name(&mut self) -> &'static [u8] {
        match self.random.random_range(0..100) {
            0..2 => KEY_FUTURE,
            2..6 => KEY_LONG,
            6..8 => b"nothing",
            _ => KEYS[self.key()],
        }
    }

    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.random.random_range(0..items.len())]
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }
}

/// A key without groups would answer most commands with the same error.
fn groups_of(key: &[u8]) -> Vec<Command> {
    let create = |group| words("XGROUP CREATE").and(key).and(group).and("0");
    GROUPS.map(|group| create(group).and("MKSTREAM").0).to_vec()
}

/// Words of a command that is being written.
#[derive(Clone, Debug)]
pub(crate) struct Words(pub(super) Command);

/// The first word of a command, or several with blanks between.
pub(crate) fn words(line: &str) -> Words {
    Words(line.split(' ').map(Into::into).collect())
}

impl Words {
    /// One word more.
    #[must_use]
    pub(crate) fn and(mut self, word: impl AsRef<[u8]>) -> Self {
        self.0.push(word.as_ref().to_vec());
        self
    }
}
