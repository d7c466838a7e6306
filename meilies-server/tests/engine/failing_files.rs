//! The Nth call to the files fails, for every N of a short run: nothing acknowledged is lost,
//! nothing is half there, the store stays readable, and writing goes on where it may.

use std::collections::BTreeMap;
use std::sync::Arc;

use meilies_protocol::Expect;
use meilies_server::engine::local::{Fsync, LocalConfig, LocalEngine};
use meilies_server::engine::{ReadSource, StoreError, WriteOutcome};

use super::rigged::{Count, Fault, RiggedFiles};
use super::store::{append, block_on, open, read_all, write};
use meilies_server::engine::Engine;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const REQUESTS: u64 = 24;

/// The index and the lock are real files; the log is rigged. Small segments: the run rolls.
fn config(directory: &tempfile::TempDir, files: &RiggedFiles) -> LocalConfig {
    LocalConfig {
        segment_bytes: 2500,
        ahead_bytes: 0,
        recent_bytes_max: 2000,
        files: Arc::new(files.clone()),
        ..LocalConfig::new(directory.path())
    }
}

/// What was acknowledged: data by (stream, number).
type Acknowledged = BTreeMap<(String, u64), String>;

/// Writes pairs, each atomic over two streams; returns how the requests ended.
fn run(engine: &LocalEngine, tag: &str, known: &mut Acknowledged) -> Vec<Result<(), StoreError>> {
    let mut results = Vec::new();
    for request in 0..REQUESTS {
        let data = format!("{tag}{request}");
        let streams = ["left".to_owned(), format!("right{}", request % 5)];
        let writes = streams
            .iter()
            .map(|stream| write(stream, data.as_bytes(), Expect::Any))
            .collect();
        results.push(append(engine, writes, true).map(|outcomes| {
            for (stream, outcome) in streams.into_iter().zip(outcomes) {
                let WriteOutcome::Stored { number, .. } = outcome else {
                    panic!("refused: {outcome:?}");
                };
                known.insert((stream, number), data.clone());
            }
        }));
    }
    results
}

/// Everything acknowledged is there, numbers and positions are gapless, and every pair is whole.
fn check(engine: &LocalEngine, known: &Acknowledged, context: &str) {
    let all = read_all(engine, &ReadSource::All, 0, false).expect(context);
    let mut next = BTreeMap::<String, u64>::new();
    let mut pairs = BTreeMap::<Vec<u8>, u64>::new();
    for (position, (stream, number, at, data)) in all.iter().enumerate() {
        assert_eq!(*at, position as u64, "{context}");
        let expected = next.entry(stream.clone()).or_default();
        assert_eq!(number, expected, "{context}: {stream}");
        *expected += 1;
        *pairs.entry(data.clone()).or_default() += 1;
    }
    assert!(
        pairs.values().all(|count| *count == 2),
        "{context}: {pairs:?}"
    );
    let stored: BTreeMap<(String, u64), String> = all
        .into_iter()
        .map(|(stream, number, _, data)| ((stream, number), String::from_utf8(data).unwrap()))
        .collect();
    for (key, data) in known {
        assert_eq!(
            stored.get(key),
            Some(data),
            "{context}: {key:?} was acknowledged"
        );
    }
    for (stream, count) in next {
        let source = ReadSource::Stream(super::store::name(&stream));
        let read = read_all(engine, &source, 0, false).expect(context);
        assert_eq!(read.len() as u64, count, "{context}: {stream}");
    }
}

#[test]
fn a_failed_or_short_write_is_refused_then_healed() {
    for fault in [
        Fault::Error(EIO),
        Fault::Error(ENOSPC),
        Fault::Short(ENOSPC),
    ] {
        let mut nth = 0;
        loop {
            let context = format!("{fault:?} at write {nth}");
            let (directory, files) = (tempfile::tempdir().unwrap(), RiggedFiles::default());
            let config = config(&directory, &files);
            let engine = open(&config).unwrap();
            let mut known = Acknowledged::new();
            files.rig(Count::Writes, nth, fault);
            let results = run(&engine, "a", &mut known);
            if !files.was_hit() {
                assert!(nth > REQUESTS, "the run made few writes: {nth}");
                break;
            }
            let failed = results.iter().filter(|result| result.is_err()).count();
            // A sealed segment's footer is written in the background: its loss harms nobody.
            assert!(failed <= 1, "{context}: {results:?}");
            check(&engine, &known, &context);
            assert!(
                run(&engine, "b", &mut known).iter().all(Result::is_ok),
                "{context}"
            );
            check(&engine, &known, &context);
            drop(engine);
            let engine = open(&config).expect(&context);
            check(&engine, &known, &context);
            nth += 1;
        }
    }
}

#[test]
fn a_failed_sync_ends_writing_until_a_restart() {
    let mut nth = 0;
    loop {
        let context = format!("sync {nth}");
        let (directory, files) = (tempfile::tempdir().unwrap(), RiggedFiles::default());
        let engine = open(&config(&directory, &files)).unwrap();
        let mut known = Acknowledged::new();
        files.rig(Count::Syncs, nth, Fault::Error(EIO));
        let results = run(&engine, "a", &mut known);
        if !files.was_hit() {
            assert!(nth > REQUESTS, "the run made few syncs: {nth}");
            break;
        }
        if let Some(first) = results.iter().position(Result::is_err) {
            let poisoned =
                |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Poisoned(_)));
            // A new segment's own sync may fail before the log's: that one may be tried again.
            let retried = matches!(results[first], Err(StoreError::WriteFailed(_)));
            assert!(
                retried || results[first..].iter().all(poisoned),
                "{context}: {results:?}"
            );
        }
        check(&engine, &known, &context);
        drop(engine);
        for seed in 0..4 {
            let context = format!("{context}, seed {seed}");
            let after = files.after_power_loss(seed);
            let index = directory.path().join("index");
            std::fs::remove_dir_all(index).unwrap();
            let engine = open(&config(&directory, &after)).expect(&context);
            check(&engine, &known, &context);
            assert!(
                run(&engine, "b", &mut known.clone())
                    .iter()
                    .all(Result::is_ok),
                "{context}"
            );
        }
        nth += 1;
    }
}

#[test]
fn power_loss_at_any_call_loses_nothing_acknowledged() {
    let first_seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut nth = 0;
    let mut after_end = 0;
    while after_end < 3 {
        let (directory, files) = (tempfile::tempdir().unwrap(), RiggedFiles::default());
        let config = config(&directory, &files);
        let engine = open(&config).unwrap();
        let mut known = Acknowledged::new();
        files.rig(Count::All, nth, Fault::End);
        run(&engine, "a", &mut known);
        // Past the last call the power fails when all is done.
        after_end += u64::from(!files.was_hit());
        drop(engine);
        let seed = first_seed * 1000 + nth;
        let context = format!("call {nth}; replay with SEED={first_seed}");
        let after = files.after_power_loss(seed);
        let config = super::failing_files::config(&directory, &after);
        // With the index as it was, and built anew.
        for rebuilt in [false, true] {
            if rebuilt {
                std::fs::remove_dir_all(directory.path().join("index")).unwrap();
            }
            let engine = open(&config).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(engine.statistics().damaged, 0, "{context}");
            check(&engine, &known, &context);
        }
        let engine = open(&config).expect(&context);
        assert!(
            run(&engine, "b", &mut known).iter().all(Result::is_ok),
            "{context}"
        );
        check(&engine, &known, &context);
        block_on(engine.close()).expect(&context);
        drop(engine);
        let engine = open(&config).expect(&context);
        check(&engine, &known, &context);
        nth += 1;
    }
    assert!(nth > 2 * REQUESTS, "the run made few calls: {nth}");
}

#[test]
fn weaker_policies_raise_the_epoch_after_an_unclean_stop_only() {
    for fsync in [Fsync::EverySecond, Fsync::No] {
        let (directory, files) = (tempfile::tempdir().unwrap(), RiggedFiles::default());
        let config = LocalConfig {
            fsync,
            ..config(&directory, &files)
        };
        let mut known = Acknowledged::new();
        let engine = open(&config).unwrap();
        assert_eq!(engine.statistics().epoch, 0);
        assert!(run(&engine, "a", &mut known).iter().all(Result::is_ok));
        drop(engine);
        let engine = open(&config).unwrap();
        assert_eq!(engine.statistics().epoch, 1, "after a kill");
        check(&engine, &known, "a kill loses nothing under any policy");
        block_on(engine.close()).unwrap();
        drop(engine);
        let engine = open(&config).unwrap();
        assert_eq!(engine.statistics().epoch, 1, "after a clean stop");
        drop(engine);
        let always = LocalConfig {
            fsync: Fsync::Always,
            ..config
        };
        let engine = open(&always).unwrap();
        assert_eq!(
            engine.statistics().epoch,
            2,
            "the stop was still under the weaker policy"
        );
        drop(engine);
        let engine = open(&always).unwrap();
        assert_eq!(
            engine.statistics().epoch,
            2,
            "the policy is always from here on"
        );
    }
}
