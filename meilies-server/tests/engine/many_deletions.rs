//! Many events, half of them deleted at random: counts, ends and what is read agree with a plain
//! set, before and after the store is opened again.

use std::collections::BTreeSet;

use meilies_protocol::Expect;
use meilies_server::engine::local::LocalEngine;
use meilies_server::engine::{Access, DeletedNumbers, Engine, ReadSource, View};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::deletions::{delete, transact};
use super::store::{append, block_on, config, name, open, read_all, write};

const EVENTS: u64 = 200_000;
const STREAM: &str = "many";

fn fill(engine: &LocalEngine) {
    for _ in 0..EVENTS / 2000 {
        append(engine, vec![write(STREAM, b"d", Expect::Any); 2000], true).unwrap();
    }
}

fn check(engine: &LocalEngine, kept: &BTreeSet<u64>) {
    let summary = engine.stream(&name(STREAM), Access::Disk).unwrap().unwrap();
    assert_eq!(summary.length(), kept.len() as u64);
    assert_eq!(summary.added(), EVENTS);
    assert_eq!(Some(&summary.first), kept.first());
    let mut set = std::sync::Arc::new(DeletedNumbers::default());
    let look = engine.look(Access::Disk, &mut |view: &dyn View| {
        set = view.deleted(&summary)?;
        let ends = kept.first().copied().zip(kept.last().copied());
        assert_eq!(view.ends(&summary)?, ends);
        Ok(())
    });
    look.unwrap();
    assert_eq!(
        set.count(0..EVENTS),
        EVENTS - summary.first - kept.len() as u64
    );
    let blocks = DeletedNumbers::blocks_of(0..EVENTS);
    let encoded = blocks.filter_map(|block| set.encode_block(block));
    let bytes: usize = encoded.map(|bytes| bytes.len()).sum();
    assert!(
        bytes <= 4 * (8 * 1024 + 64),
        "{bytes} bytes of deleted numbers"
    );
    for source in [ReadSource::Stream(name(STREAM)), ReadSource::All] {
        let events = read_all_over_holes(engine, &source);
        assert!(events.iter().eq(kept.iter()), "{source:?}");
    }
}

/// Numbers of all that is kept; in large reads.
fn read_all_over_holes(engine: &LocalEngine, source: &ReadSource) -> Vec<u64> {
    let mut request = meilies_server::engine::ReadRequest {
        source: source.clone(),
        stream_id: None,
        from: 0,
        until: None,
        bytes_max: 256 * 1024,
        reverse: false,
    };
    let mut found = Vec::new();
    while request.from < EVENTS {
        let outcome = engine.read(&request, Access::Disk).unwrap();
        let events = outcome
            .runs
            .iter()
            .flat_map(meilies_server::engine::Run::events);
        found.extend(events.map(|event| event.number));
        assert!(outcome.next > request.from);
        request.from = outcome.next;
    }
    found
}

#[test]
fn half_of_many_events_deleted_at_random() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("replay with: SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let mut engine = open(&config).unwrap();
    fill(&engine);
    let mut kept: BTreeSet<u64> = (0..EVENTS).collect();
    for part in 0..20 {
        let range = part * EVENTS / 20..(part + 1) * EVENTS / 20;
        let deleted: Vec<u64> = range.filter(|_| random.random()).collect();
        for number in &deleted {
            kept.remove(number);
        }
        transact(&engine, move |transaction| {
            // The highest id is that of the last one; to look each up is tried elsewhere.
            let (others, last) = deleted.split_at(deleted.len() - 1);
            delete(transaction, &name(STREAM), last)?;
            let max_id = transaction.stream(&name(STREAM))?.unwrap().max_deleted_id;
            transaction.delete(&name(STREAM), others, max_id)?.unwrap();
            Ok(())
        });
        if part % 7 == 3 {
            block_on(engine.close()).unwrap();
            drop(engine);
            engine = open(&config).unwrap();
        }
    }
    check(&engine, &kept);
    for trimmed in [0, 70_000, 150_001] {
        kept = kept.split_off(&trimmed);
        transact(&engine, move |transaction| {
            transaction.trim(&name(STREAM), trimmed)?.unwrap();
            Ok(())
        });
        check(&engine, &kept);
        block_on(engine.close()).unwrap();
        drop(engine);
        engine = open(&config).unwrap();
        check(&engine, &kept);
        drop(engine);
        std::fs::remove_dir_all(directory.path().join("index")).unwrap();
        engine = open(&config).unwrap();
        check(&engine, &kept);
    }
    let left = read_all(&engine, &ReadSource::Stream(name(STREAM)), 199_000, true).unwrap();
    assert_eq!(left.len(), kept.range(199_000..).count());
}
