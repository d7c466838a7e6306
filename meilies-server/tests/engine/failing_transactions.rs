//! The Nth call to the files fails, for every N of a short run of transactions, each over three
//! streams with deletions, renames and deleted streams: none is ever half there, what was not
//! acknowledged is not seen, and what comes next gets the numbers that it should.

use std::sync::Arc;

use futures::future::join_all;
use futures::poll;
use meilies_protocol::{EventId, NewId};
use meilies_server::engine::local::{LocalConfig, LocalEngine};
use meilies_server::engine::{Engine, StoreError};

use super::naive::Naive;
use super::rigged::{Count, Fault, RiggedFiles};
use super::script::{Change, Ending, Expected, NewEvent, Script};
use super::scripted::{Ran, answers, check, operation};
use super::store::{block_on, open};
use super::transactions::Gate;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// So many are in the index when the files are rigged.
const BEFORE: usize = 5;
const SCRIPTS: usize = 20;
/// The id of a store's first stream.
const BASE: u64 = 1;

fn config(directory: &tempfile::TempDir, files: &RiggedFiles) -> LocalConfig {
    LocalConfig {
        segment_bytes: 2500,
        ahead_bytes: 0,
        recent_bytes_max: 1000,
        files: Arc::new(files.clone()),
        ..LocalConfig::new(directory.path())
    }
}

fn add(stream: &'static str, at: usize) -> Change {
    Change::Append(NewEvent {
        stream,
        expect: Expected::Any,
        make_stream: true,
        id: NewId::Given(EventId::new(at as u64 + 1, 0)),
        fields: vec![b"happened".to_vec(), format!("{stream}{at}").into_bytes()],
    })
}

/// Each makes one commit.
fn script(at: usize) -> Script {
    let number = at as u64;
    let mut changes = vec![add("a", at), add("m", at)];
    changes.push(add(if at.is_multiple_of(2) { "z" } else { "orders" }, at));
    if at.is_multiple_of(3) {
        changes.push(Change::Delete("a", vec![number / 2, number]));
    }
    match at % 6 {
        1 => changes.push(Change::Trim("m", number - 1)),
        3 => changes.push(Change::Rename("z", "mm")),
        5 => changes.push(Change::Remove("orders")),
        _ => {}
    }
    Script {
        changes,
        ending: Ending::Commit,
    }
}

/// What the store is after so many scripts.
fn after(scripts: usize) -> Naive {
    let mut naive = Naive::default();
    for at in 0..scripts {
        naive.run(&script(at), 0).expect("it commits");
    }
    naive
}

fn transact(engine: &LocalEngine, script: &Script, naive: &mut Naive) -> Result<(), StoreError> {
    let reply = block_on(engine.transact(operation(script, 0, BASE, &Ran::default())))?;
    let (_, answers) = answers(&reply);
    assert_eq!(Some(answers), naive.run(script, 0));
    Ok(())
}

/// A store with a checkpoint behind it.
fn prepared(config: &LocalConfig) -> (LocalEngine, Naive) {
    let engine = open(config).unwrap();
    let mut naive = Naive::default();
    for at in 0..BEFORE {
        transact(&engine, &script(at), &mut naive).unwrap();
    }
    block_on(engine.close()).unwrap();
    drop(engine);
    (open(config).unwrap(), naive)
}

#[test]
fn a_transaction_that_cannot_be_written_leaves_nothing() {
    for fault in [
        Fault::Error(EIO),
        Fault::Error(ENOSPC),
        Fault::Short(ENOSPC),
    ] {
        let mut nth = 0;
        loop {
            let (directory, files) = (tempfile::tempdir().unwrap(), RiggedFiles::default());
            let (engine, mut naive) = prepared(&config(&directory, &files));
            files.rig(Count::Writes, nth, fault);
            println!("{fault:?} at write {nth}");
            let mut failed = 0;
            for at in BEFORE..SCRIPTS {
                if let Err(error) = transact(&engine, &script(at), &mut naive) {
                    assert!(matches!(error, StoreError::WriteFailed(_)), "{error}");
                    failed += 1;
                    check(&engine, &naive, BASE);
                    let again = transact(&engine, &script(at), &mut naive);
                    again.expect("it was cut back");
                }
                check(&engine, &naive, BASE);
            }
            drop(engine);
            let was_hit = files.was_hit();
            files.rig(Count::Writes, u64::MAX, fault);
            let engine = open(&config(&directory, &files)).unwrap();
            assert_eq!(engine.statistics().damaged, 0);
            check(&engine, &naive, BASE);
            assert!(failed <= 1, "{failed} failed");
            if !was_hit {
                assert!(nth > 15 && failed == 0, "the run made few writes: {nth}");
                break;
            }
            nth += 1;
        }
    }
}

#[test]
fn transactions_whose_common_commit_cannot_be_written_leave_nothing() {
    let aborted = Script {
        ending: Ending::Abort,
        ..script(7)
    };
    for (count, error) in [(Count::Writes, ENOSPC), (Count::Syncs, EIO)] {
        let (directory, files) = (tempfile::tempdir().unwrap(), RiggedFiles::default());
        // One segment: where there are more, the thread that seals them may take the fault. Events
        // stay in memory: an operation that misses one runs again, in another commit.
        let config = LocalConfig {
            segment_bytes: 1024 * 1024,
            recent_bytes_max: 1024 * 1024,
            ..config(&directory, &files)
        };
        let (engine, mut naive) = prepared(&config);
        // All handles in memory: what misses one would run in another commit.
        for at in BEFORE..BEFORE + 6 {
            transact(&engine, &script(at), &mut naive).unwrap();
        }
        let scripts = [script(BEFORE + 6), aborted.clone(), script(BEFORE + 7)];
        let ran = Ran::default();
        let replies = block_on(async {
            let (gate, waits) = Gate::new();
            let mut held = engine.transact(waits);
            assert!(poll!(&mut held).is_pending());
            gate.wait_until_entered();
            let waiting = scripts.iter().enumerate().map(|(at, script)| {
                let mut operation = engine.transact(operation(script, at, BASE, &ran));
                assert!(futures::FutureExt::now_or_never(&mut operation).is_none());
                operation
            });
            let waiting: Vec<_> = waiting.collect();
            files.rig(count, 0, Fault::Error(error));
            gate.release();
            held.await.unwrap();
            join_all(waiting).await
        });
        assert!(files.was_hit());
        assert_eq!(*ran.lock().unwrap(), [0, 1, 2], "one commit took them all");
        for reply in replies {
            let error = reply.unwrap_err();
            let expected = match count {
                Count::Writes => matches!(error, StoreError::WriteFailed(_)),
                _ => matches!(error, StoreError::Poisoned(_)),
            };
            assert!(expected, "{error}");
        }
        check(&engine, &naive, BASE);
        if count == Count::Writes {
            for at in BEFORE + 6..SCRIPTS {
                transact(&engine, &script(at), &mut naive).unwrap();
                check(&engine, &naive, BASE);
            }
        }
    }
}

/// Runs until one fails. How many are acknowledged.
fn run_until_failure(engine: &LocalEngine, naive: &mut Naive) -> (usize, Option<StoreError>) {
    for at in BEFORE..SCRIPTS {
        if let Err(error) = transact(engine, &script(at), naive) {
            return (at, Some(error));
        }
    }
    (SCRIPTS, None)
}

/// The store is as after `acknowledged` transactions, or one more; with its index and without.
fn check_all_or_none(
    directory: &tempfile::TempDir,
    files: &RiggedFiles,
    acknowledged: usize,
    seed: u64,
) {
    let files = files.after_power_loss(seed);
    let config = config(directory, &files);
    let mut known = None;
    for rebuilt in [false, true] {
        if rebuilt {
            std::fs::remove_dir_all(directory.path().join("index")).unwrap();
        }
        let engine = open(&config).unwrap();
        let statistics = engine.statistics();
        assert_eq!(statistics.damaged, 0);
        let there = usize::try_from(statistics.commits).unwrap();
        assert!(
            (acknowledged..=acknowledged + 1).contains(&there),
            "{there} of {acknowledged}"
        );
        assert_eq!(*known.get_or_insert(there), there, "opened a second time");
        check(&engine, &after(there), BASE);
    }
    let engine = open(&config).unwrap();
    let mut naive = after(known.expect("it was opened"));
    for at in SCRIPTS..SCRIPTS + 3 {
        transact(&engine, &script(at), &mut naive).unwrap();
        check(&engine, &naive, BASE);
    }
}

#[test]
fn a_transaction_whose_sync_fails_is_not_seen_and_later_all_there_or_not_at_all() {
    let mut nth = 0;
    loop {
        let (directory, files) = (tempfile::tempdir().unwrap(), RiggedFiles::default());
        let (engine, mut naive) = prepared(&config(&directory, &files));
        files.rig(Count::Syncs, nth, Fault::Error(EIO));
        println!("sync {nth}");
        let (acknowledged, error) = run_until_failure(&engine, &mut naive);
        if !files.was_hit() {
            assert!(nth > 15, "the run made few syncs: {nth}");
            break;
        }
        check(&engine, &naive, BASE);
        if matches!(error, Some(StoreError::Poisoned(_))) {
            let refused = transact(&engine, &script(acknowledged), &mut naive);
            assert!(
                matches!(refused, Err(StoreError::Poisoned(_))),
                "{refused:?}"
            );
            check(&engine, &naive, BASE);
        }
        drop(engine);
        check_all_or_none(&directory, &files, acknowledged, nth);
        nth += 1;
    }
}

#[test]
fn power_loss_at_any_call_leaves_whole_transactions() {
    let first_seed = std::env::var("SEED").map_or(1, |seed| seed.parse::<u64>().unwrap());
    println!("replay with: SEED={first_seed}");
    let mut nth = 0;
    loop {
        let (directory, files) = (tempfile::tempdir().unwrap(), RiggedFiles::default());
        let (engine, mut naive) = prepared(&config(&directory, &files));
        files.rig(Count::All, nth, Fault::End);
        println!("call {nth}");
        let (acknowledged, _) = run_until_failure(&engine, &mut naive);
        check(&engine, &naive, BASE);
        drop(engine);
        let was_hit = files.was_hit();
        check_all_or_none(&directory, &files, acknowledged, first_seed * 1000 + nth);
        if !was_hit {
            assert!(nth > 30, "the run made few calls: {nth}");
            break;
        }
        nth += 1;
    }
}
