//! A group with thousands of pending entries, changed at random and held against a plain map: what
//! is asked for by owner, by time and by turn is the same, within a transaction, across
//! checkpoints, restarts and a rebuilt index.
//!
//! The seed is printed; `SEED=n` replays.

// What a test prints is shown when it fails.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use meilies_protocol::EventId;
use meilies_server::engine::local::LocalEngine;
use meilies_server::engine::{
    Access, Engine, Group, NOBODY, Operation, PendingEntry, StoreError, Transaction, Verdict, View,
    Wanted,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::store::{block_on, config, name, open};

const STREAM: &str = "large";
const GROUP: &[u8] = b"group";
const CONSUMERS: u64 = 5;
const FIRST_CONSUMER: u64 = 1000;
const STEPS: usize = 60;
/// So many that some of them are never looked at for a question about a few.
const FIRST_ENTRIES: u64 = 6000;

type Entries = BTreeMap<EventId, PendingEntry>;

/// What becomes of an entry.
type Change = (EventId, Option<PendingEntry>);

#[derive(Clone, Debug)]
struct Question {
    ids: RangeInclusive<EventId>,
    wanted: Wanted,
    limit: usize,
}

#[test]
fn a_large_group_answers_as_a_plain_map() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("replay with: SEED={seed} cargo test -p meilies-server --test engine large_group");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let mut engine = open(&config).unwrap();
    create(&engine);
    let mut clock = Clock {
        ms: FIRST_ENTRIES,
        delivery: 0,
    };
    let first = (0..FIRST_ENTRIES).map(|ms| {
        let id = EventId::new(ms, 0);
        (id, Some(delivered(id, 0, FIRST_CONSUMER)))
    });
    let first: Vec<Change> = first.collect();
    let mut entries = changed(&Entries::new(), &first);
    transact(&engine, first, entries.clone(), Vec::new(), Verdict::Commit);
    for step in 0..STEPS {
        match random.random_range(0..10) {
            0 => block_on(engine.checkpoint()).unwrap(),
            1 => {
                let is_closed = random.random();
                if is_closed {
                    block_on(engine.close()).unwrap();
                }
                drop(engine);
                if random.random() {
                    std::fs::remove_dir_all(config.path.join("index")).unwrap();
                }
                engine = open(&config).unwrap();
            }
            _ => {
                let changes = changes(&mut random, &entries, &mut clock);
                let questions = questions(&mut random, &entries, &clock);
                let verdict = match random.random_range(0..5) {
                    0 => Verdict::Abort,
                    _ => Verdict::Commit,
                };
                let after = changed(&entries, &changes);
                transact(&engine, changes, after.clone(), questions, verdict);
                if verdict == Verdict::Commit {
                    entries = after;
                }
            }
        }
        let questions = questions(&mut random, &entries, &clock);
        let look = engine.look(Access::Disk, &mut |view: &dyn View| {
            ask(view, &entries, &questions)
        });
        look.unwrap();
        println!("step {step}: {} entries", entries.len());
    }
}

struct Clock {
    /// Ids of the next entries.
    ms: u64,
    /// When the next ones are delivered.
    delivery: u64,
}

fn delivered(id: EventId, delivered_at: u64, consumer: u64) -> PendingEntry {
    PendingEntry {
        id,
        number: id.ms,
        consumer,
        delivered_at,
        deliveries: 1,
    }
}

/// New entries behind the others, or changes of those that are there: some in a row, or anywhere.
fn changes(random: &mut StdRng, entries: &Entries, clock: &mut Clock) -> Vec<Change> {
    clock.delivery += random.random_range(0..3);
    let consumer = FIRST_CONSUMER + random.random_range(0..CONSUMERS - 1);
    let now = clock.delivery;
    let kind = random.random_range(0..12);
    if kind < 5 {
        let count = random.random_range(1..1500);
        let ids = (clock.ms..clock.ms + count).map(|ms| EventId::new(ms, 0));
        clock.ms += count;
        return ids
            .map(|id| (id, Some(delivered(id, now, consumer))))
            .collect();
    }
    let row = kind < 9;
    let count = random.random_range(1..=entries.len().max(2) / if row { 8 } else { 40 } + 1);
    let chosen: Vec<EventId> = if row {
        let from = random.random_range(0..=entries.len());
        entries.keys().skip(from).take(count).copied().collect()
    } else {
        let places = (0..count).map(|_| random.random_range(0..=clock.ms));
        places.map(|ms| EventId::new(ms, 0)).collect()
    };
    // One consumer has few entries, far from each other.
    let rare = FIRST_CONSUMER + CONSUMERS - 1;
    let settles = random.random_range(0..4) == 0;
    let at_once = random.random::<bool>();
    let chosen = chosen.into_iter().enumerate();
    let changes = chosen.map(|(at, id)| {
        let entry = match random.random_range(0..1000) {
            _ if settles => None,
            0 => Some(delivered(id, now, rare)),
            1..30 => Some(delivered(id, clock.delivery + at as u64, NOBODY)),
            _ if at_once => Some(delivered(id, now, consumer)),
            // As XCLAIM with TIME does.
            _ => Some(delivered(id, random.random_range(0..=now), consumer)),
        };
        (id, entry)
    });
    changes.collect()
}

fn changed(entries: &Entries, changes: &[Change]) -> Entries {
    let mut entries = entries.clone();
    for (id, entry) in changes {
        match entry {
            Some(entry) => entries.insert(*id, *entry),
            None => entries.remove(id),
        };
    }
    entries
}

fn questions(random: &mut StdRng, entries: &Entries, clock: &Clock) -> Vec<Question> {
    let mut questions = Vec::new();
    for _ in 0..4 {
        let mut place = || EventId::new(random.random_range(0..=clock.ms), 0);
        let ids = match (place(), place()) {
            (one, other) if one.ms % 2 == 0 => one.min(other)..=one.max(other),
            _ => EventId::MIN..=EventId::MAX,
        };
        let consumer = random.random_range(0..=CONSUMERS);
        let wanted = Wanted {
            consumer: (consumer < CONSUMERS).then_some(FIRST_CONSUMER + consumer),
            delivered_before: match random.random_range(0..4) {
                0 => u64::MAX,
                1 => random.random_range(0..5),
                _ => random.random_range(0..=clock.delivery + 1),
            },
        };
        let limit = match random.random_range(0..4) {
            0 => usize::MAX,
            1 => random.random_range(0..=entries.len() + 1),
            _ => random.random_range(0..20),
        };
        questions.push(Question { ids, wanted, limit });
    }
    questions
}

fn ask(view: &dyn View, entries: &Entries, questions: &[Question]) -> Result<(), StoreError> {
    let stream = view.stream(&name(STREAM))?.expect("it is there");
    let group = view.group(&stream, GROUP)?.expect("it is there");
    assert_eq!(group.pending, entries.len() as u64);
    for question in questions {
        let Question { ids, wanted, limit } = question;
        let is_wanted = |entry: &&PendingEntry| {
            let is_owned = wanted.consumer.is_none_or(|owner| owner == entry.consumer);
            let is_old = entry.consumer == NOBODY || entry.delivered_at < wanted.delivered_before;
            is_owned && is_old
        };
        let within = entries.range(ids.clone()).map(|(_, entry)| entry);
        let within: Vec<PendingEntry> = within.filter(is_wanted).copied().collect();
        let found = view.pending(&group, ids.clone(), wanted, false, *limit)?;
        let expected: Vec<PendingEntry> = within.iter().take(*limit).copied().collect();
        assert!(found == expected, "{question:?} gives {}", found.len());
        let found = view.pending(&group, ids.clone(), wanted, true, *limit)?;
        let expected: Vec<PendingEntry> = within.iter().rev().take(*limit).copied().collect();
        assert!(found == expected, "{question:?} gives {} back", found.len());
        let is_meant = |entry: &PendingEntry| entry.number % 7 != *limit as u64 % 2;
        let meant = entries.values().filter(is_wanted);
        let mut expected: Vec<PendingEntry> =
            meant.filter(|entry| is_meant(entry)).copied().collect();
        expected.sort_by_key(|entry| (entry.consumer != NOBODY, entry.delivered_at, entry.id));
        expected.truncate(*limit);
        let found = view.first_in_turn(&group, wanted, *limit, &is_meant)?;
        assert!(
            found == expected,
            "{question:?} gives {} in turn",
            found.len()
        );
    }
    Ok(())
}

fn create(engine: &LocalEngine) {
    super::deletions::transact(engine, |transaction| {
        transaction.create(&name(STREAM))?.unwrap();
        let view: &dyn View = transaction;
        let stream = view.stream(&name(STREAM))?.expect("it is there");
        let id = transaction.new_id();
        let group = Group::new(id, Bytes::from_static(GROUP), EventId::MIN, 0);
        transaction.put_group(&stream, group)
    });
}

/// Changes entries, and asks before it is decided what becomes of that.
fn transact(
    engine: &LocalEngine,
    changes: Vec<Change>,
    after: Entries,
    questions: Vec<Question>,
    verdict: Verdict,
) {
    let asked = Arc::new(Mutex::new(false));
    let is_asked = Arc::clone(&asked);
    let run = move |transaction: &mut dyn Transaction, _: &mut BytesMut| {
        let view: &dyn View = transaction;
        let stream = view.stream(&name(STREAM))?.expect("it is there");
        let group = view.group(&stream, GROUP)?.expect("it is there");
        let pending = after.len() as u64;
        let top = after.keys().next_back().copied().unwrap_or(EventId::MIN);
        let top = top.max(group.top);
        let group = Group {
            pending,
            top,
            ..(*group).clone()
        };
        let id = group.id;
        transaction.put_group(&stream, group)?;
        for (event, entry) in &changes {
            match entry {
                Some(entry) => transaction.put_pending(id, *entry),
                None => transaction.remove_pending(id, *event),
            }
        }
        ask(transaction, &after, &questions)?;
        *is_asked.lock().unwrap() = true;
        Ok(verdict)
    };
    let operation = Operation {
        names: Vec::new(),
        bytes: 1000,
        run: Box::new(run),
    };
    block_on(engine.transact(operation)).unwrap();
    assert!(*asked.lock().unwrap());
}
