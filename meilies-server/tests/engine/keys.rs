//! Keys of events and producers: random writes with keys, deletions, restarts, kills and lost
//! indexes, held against a list of all that was ever written. And operations that are handed over
//! together: their order holds though some have to wait for the disk.
//!
//! The seed is printed; `SEED=n` replays.

// What a test prints is shown when it fails.
#![allow(clippy::print_stdout)]

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, Expect};
use meilies_server::engine::local::{LocalConfig, LocalEngine};
use meilies_server::engine::memory::MemoryEngine;
use meilies_server::engine::{
    Access, Engine, Fields, Operation, Producing, Remembered, StoreError, Transaction, Verdict,
    View, Write, WriteKey,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::store::{block_on, config, name, open};

const STREAMS: [&str; 3] = ["a", "b", "orders:42"];
const KEYS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "", "k", "kk"];
const PRODUCERS: [&str; 3] = ["p", "q", ""];
const STEPS: usize = 600;
const KEYS_KEPT: usize = 4;

/// An event as it was written.
#[derive(Clone, Debug)]
struct Written {
    id: EventId,
    is_deleted: bool,
    own: Option<&'static str>,
    of_producer: Option<(&'static str, &'static str)>,
}

/// What a stream should be.
#[derive(Clone, Debug, Default)]
struct Naive {
    events: Vec<Written>,
    from: usize,
    repeated: u64,
}

impl Naive {
    fn of_key(&self, key: &str) -> Option<u64> {
        let has_key = |event: &Written| event.own == Some(key) && !event.is_deleted;
        self.events.iter().rposition(has_key).map(|at| at as u64)
    }

    /// Keys of a producer that are known, the last one first.
    fn known(&self, producer: &str) -> Vec<(&'static str, EventId)> {
        let of_producer = self.events[self.from..].iter().rev().filter_map(|event| {
            let (found, key) = event.of_producer?;
            (found == producer).then_some((key, event.id))
        });
        of_producer.take(KEYS_KEPT).collect()
    }

    fn added(&self) -> usize {
        let of_producer = |event: &&Written| event.of_producer.is_some();
        self.events.iter().filter(of_producer).count()
    }
}

fn operation(
    run: impl FnMut(&mut dyn Transaction, &mut BytesMut) -> Result<Verdict, StoreError>
    + Send
    + Sync
    + 'static,
) -> Operation {
    Operation {
        names: Vec::new(),
        bytes: 4096,
        run: Box::new(run),
    }
}

/// Adds an event; its number and id.
fn add(engine: &dyn Engine, stream: &'static str, key: Option<&WriteKey>) -> (u64, EventId) {
    let key = key.cloned();
    let reply = block_on(engine.transact(operation(move |transaction, out| {
        let fields = Fields::One([Bytes::from_static(b"n"), Bytes::from_static(b"data")]);
        let write = Write {
            key: key.clone().map(Box::new),
            ..Write::new(name(stream), Expect::Any, fields)
        };
        let added = transaction
            .append(write)?
            .expect("nothing stands against it");
        out.extend_from_slice(format!("{} {}", added.number, added.id).as_bytes());
        Ok(Verdict::Commit)
    })));
    let text = String::from_utf8(reply.unwrap().to_vec()).unwrap();
    let (number, id) = text.split_once(' ').unwrap();
    (
        number.parse().unwrap(),
        EventId::parse(id.as_bytes()).unwrap(),
    )
}

fn change(
    engine: &dyn Engine,
    mut change: impl FnMut(&mut dyn Transaction) -> Result<(), StoreError> + Send + Sync + 'static,
) {
    let changed = engine.transact(operation(move |transaction, _| {
        change(transaction)?;
        Ok(Verdict::Commit)
    }));
    block_on(changed).unwrap();
}

fn check(engine: &dyn Engine, naive: &[Naive]) {
    for (stream, expected) in STREAMS.iter().zip(naive) {
        let looked = engine.look(Access::Disk, &mut |view| {
            let Some(found) = view.stream(&name(stream))? else {
                assert!(expected.events.is_empty());
                return Ok(());
            };
            for key in KEYS {
                let run = view.event_of_key(&found, key.as_bytes())?;
                let number = run.and_then(|run| run.events().next().map(|event| event.number));
                assert_eq!(number, expected.of_key(key), "key '{key}' of {stream}");
            }
            let known = found.producing.known(REMEMBERED, view.now_ms());
            let mut count = 0;
            for producer in PRODUCERS {
                let keys = expected.known(producer);
                let found = view.producer(&found, producer.as_bytes())?;
                assert_eq!(
                    found.count(known),
                    keys.len() as u64,
                    "{producer} of {stream}"
                );
                count += found.count(known);
                for key in KEYS {
                    let expected = keys.iter().find(|(known, _)| *known == key);
                    let id = found.find(key.as_bytes(), known);
                    assert_eq!(id, expected.map(|(_, id)| *id), "{producer} {key} {stream}");
                }
            }
            let all = view.producers(&found)?;
            let counts = all.iter().map(|producer| producer.count(known));
            assert_eq!(counts.sum::<u64>(), count, "all producers of {stream}");
            assert_eq!(found.producing.added, expected.added() as u64);
            assert_eq!(found.producing.repeated, expected.repeated);
            Ok(())
        });
        looked.unwrap();
    }
}

/// Long enough for every test.
const REMEMBERED: Remembered = Remembered {
    duration_s: 10_000,
    keys_max: KEYS_KEPT as u64,
};

/// One random change of a stream, in the store and in the list.
fn step(engine: &dyn Engine, naive: &mut [Naive], random: &mut StdRng) {
    let at = random.random_range(0..STREAMS.len());
    let (stream, expected) = (STREAMS[at], &mut naive[at]);
    let key = KEYS[random.random_range(0..KEYS.len())];
    let producer = PRODUCERS[random.random_range(0..PRODUCERS.len())];
    let kind = random.random_range(0..20);
    let (own, of_producer) = match kind {
        0..6 => (Some(key), None),
        6..14 => (None, Some((producer, key))),
        14..16 => (None, None),
        _ => return change_one(engine, stream, expected, random),
    };
    let write_key = match (own, of_producer) {
        (Some(key), _) => Some(WriteKey::Own(Bytes::from_static(key.as_bytes()))),
        (_, Some((producer, key))) => Some(WriteKey::OfProducer {
            producer: Bytes::from_static(producer.as_bytes()),
            key: Bytes::from_static(key.as_bytes()),
            unless_set: REMEMBERED,
        }),
        _ => None,
    };
    let (number, id) = add(engine, stream, write_key.as_ref());
    assert_eq!(number, expected.events.len() as u64);
    expected.events.push(Written {
        id,
        is_deleted: false,
        own,
        of_producer,
    });
}

fn change_one(
    engine: &dyn Engine,
    stream: &'static str,
    expected: &mut Naive,
    random: &mut StdRng,
) {
    if expected.events.is_empty() {
        return;
    }
    let number = random.random_range(0..expected.events.len());
    match random.random_range(0..6) {
        0 => {
            change(engine, move |transaction| {
                transaction.trim(&name(stream), number as u64)?.unwrap();
                Ok(())
            });
            for event in &mut expected.events[..number] {
                event.is_deleted = true;
            }
        }
        1 => {
            change(engine, move |transaction| {
                transaction.remove(&name(stream))?.unwrap();
                Ok(())
            });
            *expected = Naive::default();
        }
        2 => {
            let mut from = 0;
            if random.random_range(0..3) == 0 {
                from = expected.events.len();
                expected.from = from;
            }
            expected.repeated += 1;
            change(engine, move |transaction| {
                let found = transaction.stream(&name(stream))?.unwrap();
                let producing = Producing {
                    from: found.producing.from.max(from as u64),
                    repeated: found.producing.repeated + 1,
                    ..found.producing
                };
                transaction
                    .set_producing(&name(stream), producing)?
                    .unwrap();
                Ok(())
            });
        }
        _ if expected.events[number].is_deleted => {}
        _ => {
            let id = expected.events[number].id;
            expected.events[number].is_deleted = true;
            change(engine, move |transaction| {
                transaction
                    .delete(&name(stream), &[number as u64], id)?
                    .unwrap();
                Ok(())
            });
        }
    }
}

fn seed() -> u64 {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("replay with: SEED={seed} cargo test -p meilies-server --test engine keys");
    seed
}

fn run_local(recent_bytes_max: usize) {
    let mut random = StdRng::seed_from_u64(seed());
    let directory = tempfile::tempdir().unwrap();
    let config = LocalConfig {
        recent_bytes_max,
        ahead_bytes: 0,
        segment_bytes: 16 * 1024,
        ..config(directory.path())
    };
    let mut naive = vec![Naive::default(); STREAMS.len()];
    let mut engine = open(&config).unwrap();
    for at in 0..STEPS {
        step(&engine, &mut naive, &mut random);
        match random.random_range(0..40) {
            0 => engine = reopen(engine, &config, true, false),
            1 => engine = reopen(engine, &config, false, false),
            2 => engine = reopen(engine, &config, random.random(), true),
            _ => {}
        }
        if at % 5 == 0 {
            check(&engine, &naive);
        }
    }
    check(&engine, &naive);
    for is_closed in [true, false] {
        engine = reopen(engine, &config, is_closed, true);
        check(&engine, &naive);
    }
}

fn reopen(
    engine: LocalEngine,
    config: &LocalConfig,
    is_closed: bool,
    without_index: bool,
) -> LocalEngine {
    if is_closed {
        block_on(engine.close()).unwrap();
    }
    drop(engine);
    if without_index {
        std::fs::remove_dir_all(config.path.join("index")).unwrap();
    }
    open(config).unwrap()
}

#[test]
fn keys_are_found_in_memory() {
    run_local(64 * 1024 * 1024);
}

#[test]
fn keys_are_found_on_the_disk() {
    run_local(0);
}

#[test]
fn the_engine_in_memory_finds_keys_too() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut naive = vec![Naive::default(); STREAMS.len()];
    let engine = MemoryEngine::new();
    for _ in 0..STEPS {
        step(&engine, &mut naive, &mut random);
    }
    check(&engine, &naive);
}

/// The operation fails, or says which event of a stream is the last and adds one that has to
/// follow it.
fn follow(stream: &'static str, expected: u64, fails: bool) -> Operation {
    operation(move |transaction, out| {
        let view: &dyn View = transaction;
        let found = view.stream(&name(stream))?.expect("it is there");
        let last = view
            .id_of(&found, found.next_number() - 1)?
            .expect("it is there");
        if fails {
            return Err(StoreError::CheckpointFailed("as it was asked to".into()));
        }
        let fields = Fields::One([Bytes::from_static(b"n"), Bytes::from_static(b"data")]);
        let write = Write::new(name(stream), Expect::Number(expected), fields);
        let added = transaction.append(write)?.expect("it follows the others");
        assert!(added.id > last);
        out.extend_from_slice(added.number.to_string().as_bytes());
        Ok(Verdict::Commit)
    })
}

#[test]
fn operations_that_come_together_keep_their_order_and_fail_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = LocalConfig {
        recent_bytes_max: 0,
        ..config(directory.path())
    };
    let mut engine = open(&config).unwrap();
    let mut next = [0; STREAMS.len()];
    for (at, stream) in STREAMS.iter().enumerate() {
        next[at] = add(&engine, stream, None).0 + 1;
    }
    for round in 0..4 {
        // Nothing of the streams is in memory then.
        engine = reopen(engine, &config, true, round == 3);
        let commits = engine.statistics().commits;
        let mut operations = Vec::new();
        let mut expected = Vec::new();
        for at in 0..60 {
            let stream = at % STREAMS.len();
            let fails = at % 7 == 4;
            operations.push(follow(STREAMS[stream], next[stream] - 1, fails));
            expected.push((!fails).then(|| next[stream].to_string()));
            next[stream] += u64::from(!fails);
        }
        let replies = block_on(engine.transact_each(operations));
        let replies = replies.into_iter().map(|reply| match reply {
            Ok(reply) => Some(String::from_utf8(reply.to_vec()).unwrap()),
            Err(StoreError::CheckpointFailed(_)) => None,
            Err(other) => panic!("{other}"),
        });
        assert_eq!(replies.collect::<Vec<_>>(), expected);
        let commits = engine.statistics().commits - commits;
        assert!(
            commits <= 2,
            "what is missing is read in one go: {commits} commits"
        );
    }
}
