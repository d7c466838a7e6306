//! What a random test asks of a store, in relative terms, so that it means something in whatever
//! state it runs: the seventh number modulo how many there are, the tail plus one.

use meilies_protocol::{EventId, Expect, NewId};
use rand::Rng;
use rand::rngs::StdRng;

pub(crate) const NAMES: [&str; 6] = ["a", "a:b", "orders", "z", "m", "mm"];

/// One change, or one question, in a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Append(NewEvent),
    Create(&'static str),
    Delete(&'static str, Vec<u64>),
    Trim(&'static str, u64),
    SetIds(&'static str, SetIds),
    Remove(&'static str),
    Rename(&'static str, &'static str),
    /// All that can be asked of a stream.
    Picture(&'static str),
    /// All streams in pages, and how many there are.
    Pages(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub(crate) stream: &'static str,
    pub(crate) expect: Expected,
    pub(crate) make_stream: bool,
    pub(crate) id: NewId,
    /// Name, value, name, value …
    pub(crate) fields: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Any,
    None,
    Exists,
    Tail(i64),
}

impl Expected {
    pub(crate) fn of(self, tail: Option<u64>) -> Expect {
        match self {
            Expected::Any => Expect::Any,
            Expected::None => Expect::None,
            Expected::Exists => Expect::Exists,
            Expected::Tail(by) => Expect::Number(tail.unwrap_or(0).saturating_add_signed(by)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum SetIds {
    /// What stands is set again.
    AsTheyAre,
    /// So much above the highest id that forbids a lower one.
    Above {
        ms: u64,
        surplus: u64,
        is_deleted: bool,
    },
}

impl SetIds {
    /// The last id, the surplus and the highest deleted id that are set. `top` is the id of the
    /// last event that is kept.
    pub(crate) fn of(
        self,
        last_id: EventId,
        surplus: u64,
        max_deleted_id: EventId,
        top: Option<EventId>,
    ) -> (EventId, u64, EventId) {
        let SetIds::Above {
            ms,
            surplus,
            is_deleted,
        } = self
        else {
            return (last_id, surplus, max_deleted_id);
        };
        let least = top.unwrap_or(EventId::MIN).max(max_deleted_id);
        let last_id = EventId::new(least.ms + ms, least.seq);
        let max_deleted_id = if is_deleted { last_id } else { max_deleted_id };
        (last_id, surplus, max_deleted_id)
    }
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Commit,
    Abort,
    Fail,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) changes: Vec<Change>,
    pub(crate) ending: Ending,
}

/// One step of a random test.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Append(Vec<NewEvent>, bool),
    Transact(Script),
    /// Several in one commit, as far as they find in memory what they need.
    Together(Vec<Script>),
    /// Closed and opened again.
    Restart,
    /// Dropped and opened again.
    Kill,
    /// As these, and the index is deleted in between.
    Rebuild(bool),
    /// So much is written and deleted that a checkpoint comes.
    Checkpoint,
}

/// Draws steps. Ids that are given ascend, but for some.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) random: StdRng,
    /// Whether ids may come from the clock.
    pub(crate) with_clock: bool,
    next_ms: u64,
    serial: u64,
}

impl Steps {
    pub(crate) fn new(random: StdRng, with_clock: bool) -> Steps {
        Steps {
            random,
            with_clock,
            next_ms: 1,
            serial: 0,
        }
    }

    pub(crate) fn step(&mut self) -> Step {
        match self.random.random_range(0..100) {
            0..20 => {
                let count = self.random.random_range(1..12);
                let writes = (0..count).map(|_| self.event()).collect();
                Step::Append(writes, self.random.random())
            }
            20..68 => Step::Transact(self.script()),
            68..84 => {
                let count = self.random.random_range(2..6);
                Step::Together((0..count).map(|_| self.script()).collect())
            }
            84..90 => Step::Restart,
            90..95 => Step::Kill,
            _ => Step::Rebuild(self.random.random()),
        }
    }

    fn script(&mut self) -> Script {
        let count = self.random.random_range(1..7);
        let ending = match self.random.random_range(0..10) {
            0..7 => Ending::Commit,
            7..9 => Ending::Abort,
            _ => Ending::Fail,
        };
        let changes = (0..count).map(|_| self.change()).collect();
        Script { changes, ending }
    }

    fn change(&mut self) -> Change {
        let name = self.name();
        match self.random.random_range(0..100) {
            0..40 => Change::Append(self.event()),
            40..44 => Change::Create(name),
            44..60 => {
                let count = self.random.random_range(1..10);
                let picks = (0..count).map(|_| self.random.random_range(0..1000));
                Change::Delete(name, picks.collect())
            }
            60..67 => Change::Trim(name, self.random.random_range(0..1000)),
            67..73 => Change::SetIds(name, self.set_ids()),
            73..79 => Change::Remove(name),
            79..90 => Change::Rename(name, self.name()),
            90..97 => Change::Picture(name),
            _ => Change::Pages(self.random.random_range(1..4)),
        }
    }

    fn set_ids(&mut self) -> SetIds {
        if self.random.random_bool(0.3) {
            return SetIds::AsTheyAre;
        }
        SetIds::Above {
            ms: self.random.random_range(0..4),
            surplus: self.random.random_range(0..5_u64).wrapping_sub(2),
            is_deleted: self.random.random_bool(0.3),
        }
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.random.random_range(0..NAMES.len())]
    }

    fn event(&mut self) -> NewEvent {
        self.serial += 1;
        let bytes = match self.random.random_range(0..100) {
            0..90 => self.random.random_range(0..100),
            90..99 => self.random.random_range(0..3_000),
            _ => self.random.random_range(0..70_000),
        };
        let mut data = format!("{}:", self.serial).into_bytes();
        data.resize(data.len() + bytes, b'x');
        let mut fields = vec![b"happened".to_vec(), data];
        if self.random.random_bool(0.2) {
            fields.extend([b"k".to_vec(), b"v".to_vec()]);
        }
        NewEvent {
            stream: self.name(),
            expect: match self.random.random_range(0..20) {
                0 => Expected::None,
                1 => Expected::Exists,
                2 => Expected::Tail(self.random.random_range(-1..=1)),
                _ => Expected::Any,
            },
            make_stream: self.random.random_bool(0.9),
            id: self.id(),
            fields,
        }
    }

    fn id(&mut self) -> NewId {
        self.next_ms += self.random.random_range(0..2);
        let ms = match self.random.random_range(0..8) {
            0 => self.next_ms.saturating_sub(20),
            _ => self.next_ms,
        };
        match self.random.random_range(0..10) {
            0..3 if self.with_clock => NewId::Auto,
            0..7 => NewId::AutoSeq { ms },
            _ => NewId::Given(EventId::new(ms, self.random.random_range(0..4))),
        }
    }
}
