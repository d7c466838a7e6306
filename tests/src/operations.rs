//! Random operations: the same seed always gives the same list. They speak of the store in
//! relative terms (a little behind the tail, the third follower), so that no reply is needed to
//! make them.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How many followers there are.
pub const FOLLOWERS: usize = 4;

/// The streams' names; colons, digits and bytes that are no text included.
pub const STREAMS: [&[u8]; 5] = [b"orders", b"orders:42", b"a:b:c", b"\x00\xff\r\n", b"s"];

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Publish in one pipeline.
    Publish(Vec<Write>),
    /// Ask for the last number.
    Tail(usize),
    /// Ask for the names.
    Names,
    /// Read a range.
    Read {
        /// What to read.
        range: Range,
        /// At most so many.
        count: Option<usize>,
        /// Newest first.
        reverse: bool,
    },
    /// Let a follower subscribe; it reads only when told to.
    Subscribe {
        /// Which one.
        follower: usize,
        /// To what.
        range: Range,
        /// To new events only.
        new: bool,
    },
    /// Let a follower read everything that it has to get.
    Drain(usize),
    /// Let a follower unsubscribe.
    Unsubscribe(usize),
    /// Stop gracefully and start again.
    Restart,
    /// kill -9 while nothing is under way.
    Kill,
    /// kill -9 after so many replies of a pipeline were read.
    KillDuring {
        /// The pipeline.
        writes: Vec<Write>,
        /// How many replies are read.
        replies: usize,
    },
}

/// One event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which stream.
    pub stream: usize,
    /// How many bytes of data.
    pub bytes: usize,
    /// What is expected of the stream.
    pub expect: Expected,
}

/// What a write expects, relative to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is said.
    Unsaid,
    /// `any`
    Any,
    /// `none`
    None,
    /// `exists`
    Exists,
    /// The tail plus this.
    Tail(i64),
}

/// A part of a source, relative to its tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which stream; none is `$all`.
    pub stream: Option<usize>,
    /// The start, in thousandths of the way to the tail; more lies in the future.
    pub from_permille: u64,
    /// The end, so many numbers behind the start.
    pub length: Option<u64>,
}

/// The operations of a seed.
pub fn operations(seed: u64, count: usize) -> Vec<Operation> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| operation(&mut random)).collect()
}

fn operation(random: &mut StdRng) -> Operation {
    match random.random_range(0..1000) {
        0..500 => Operation::Publish(writes(random)),
        500..560 => Operation::Tail(random.random_range(0..STREAMS.len())),
        560..580 => Operation::Names,
        580..740 => Operation::Read {
            range: range(random),
            count: random.random_bool(0.5).then(|| random.random_range(1..40)),
            reverse: random.random_bool(0.5),
        },
        740..820 => Operation::Subscribe {
            follower: random.random_range(0..FOLLOWERS),
            range: range(random),
            new: random.random_bool(0.2),
        },
        820..940 => Operation::Drain(random.random_range(0..FOLLOWERS)),
        940..965 => Operation::Unsubscribe(random.random_range(0..FOLLOWERS)),
        965..975 => Operation::Restart,
        975..985 => Operation::Kill,
        _ => {
            let writes = writes(random);
            let replies = random.random_range(0..=writes.len());
            Operation::KillDuring { writes, replies }
        }
    }
}

fn writes(random: &mut StdRng) -> Vec<Write> {
    let count = if random.random_bool(0.3) {
        random.random_range(1..200)
    } else {
        1
    };
    (0..count).map(|_| write(random)).collect()
}

fn write(random: &mut StdRng) -> Write {
    let expect = match random.random_range(0..10) {
        0..6 => Expected::Unsaid,
        6 => Expected::Any,
        7 => Expected::None,
        8 => Expected::Exists,
        _ => Expected::Tail(random.random_range(-1..=1)),
    };
    let bytes = match random.random_range(0..100) {
        0..80 => random.random_range(0..200),
        80..99 => random.random_range(0..5_000),
        _ => random.random_range(0..300_000),
    };
    Write {
        stream: random.random_range(0..STREAMS.len()),
        bytes,
        expect,
    }
}

fn range(random: &mut StdRng) -> Range {
    let from_permille = match random.random_range(0..10) {
        0..2 => 0,
        2 => 1_100,
        _ => random.random_range(0..1_001),
    };
    Range {
        stream: random
            .random_bool(0.7)
            .then(|| random.random_range(0..STREAMS.len())),
        from_permille,
        length: random.random_bool(0.3).then(|| random.random_range(1..100)),
    }
}

/// One command that changes streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// XADD with an id so much above the last one, and perhaps `MAXLEN`.
    Add {
        /// Which stream.
        stream: usize,
        /// How much higher; 0 is refused.
        above: u64,
        /// How many events are kept.
        kept: Option<u64>,
    },
    /// XDEL of ids that are there or not.
    Delete(usize, Vec<u64>),
    /// `XTRIM MAXLEN`
    TrimToLength(usize, u64),
    /// `XTRIM MINID`
    TrimToId(usize, u64),
    /// `DEL`
    Remove(Vec<usize>),
    /// `RENAME`
    Rename(usize, usize),
    /// `XLEN`
    Length(usize),
}

/// What takes effect as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// One command.
    Alone(Change),
    /// Between MULTI and EXEC.
    Together(Vec<Change>),
    /// Between MULTI and DISCARD.
    Discarded(Vec<Change>),
}

/// One step of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// In one pipeline.
    Pipeline(Vec<Unit>),
    /// Stop gracefully and start again.
    Restart,
    /// kill -9 while nothing is under way.
    Kill,
    /// kill -9 after the replies to so many units of a pipeline were read.
    KillDuring(Vec<Unit>, usize),
}

/// The changes of a seed.
pub fn changes(seed: u64, count: usize) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| step(&mut random)).collect()
}

fn step(random: &mut StdRng) -> Step {
    let count = random.random_range(1..20);
    let units: Vec<Unit> = (0..count).map(|_| unit(random)).collect();
    match random.random_range(0..100) {
        0..90 => Step::Pipeline(units),
        90..93 => Step::Restart,
        93..96 => Step::Kill,
        _ => {
            let replies = random.random_range(0..=units.len());
            Step::KillDuring(units, replies)
        }
    }
}

fn unit(random: &mut StdRng) -> Unit {
    let count = random.random_range(1..6);
    let changes = (0..count).map(|_| change(random)).collect();
    match random.random_range(0..10) {
        0..6 => Unit::Alone(change(random)),
        6..9 => Unit::Together(changes),
        _ => Unit::Discarded(changes),
    }
}

fn change(random: &mut StdRng) -> Change {
    let stream = random.random_range(0..STREAMS.len());
    match random.random_range(0..100) {
        0..55 => Change::Add {
            stream,
            above: random.random_range(0..6),
            kept: random.random_bool(0.1).then(|| random.random_range(0..9)),
        },
        55..70 => {
            let count = random.random_range(1..5);
            let ids = (0..count).map(|_| random.random_range(0..1000));
            Change::Delete(stream, ids.collect())
        }
        70..75 => Change::TrimToLength(stream, random.random_range(0..9)),
        75..80 => Change::TrimToId(stream, random.random_range(0..1000)),
        80..86 => Change::Remove(vec![stream, random.random_range(0..STREAMS.len())]),
        86..94 => Change::Rename(stream, random.random_range(0..STREAMS.len())),
        _ => Change::Length(stream),
    }
}
