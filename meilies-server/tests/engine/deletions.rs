//! A checkpoint that is ended between any two changes of the index, when it has deletions, renames
//! and deleted streams to write and to clear: the store opens to the same state as a full rebuild.

use bytes::BytesMut;
use meilies_protocol::{EventId, Expect, StreamName};
use meilies_server::engine::local::{IndexFaults, LocalConfig, LocalEngine};
use meilies_server::engine::{
    Access, Engine, Operation, ReadSource, StoreError, StreamSummary, StreamsPage, Transaction,
    Verdict, View,
};

use super::store::{Seen, append, block_on, config, name, open, publish, read_all, write};

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// Runs an operation that is refused nothing.
pub(crate) fn transact(
    engine: &LocalEngine,
    mut changes: impl FnMut(&mut dyn Transaction) -> Result<(), StoreError> + Send + Sync + 'static,
) {
    let operation = Operation {
        names: Vec::new(),
        bytes: 1000,
        run: Box::new(move |transaction: &mut dyn Transaction, _: &mut BytesMut| {
            changes(transaction)?;
            Ok(Verdict::Commit)
        }),
    };
    block_on(engine.transact(operation)).unwrap();
}

/// Deletes these numbers of a stream.
pub(crate) fn delete(
    transaction: &mut dyn Transaction,
    stream: &StreamName,
    numbers: &[u64],
) -> Result<(), StoreError> {
    let view: &dyn View = transaction;
    let summary = view.stream(stream)?.expect("it is there");
    let mut max_id = EventId::MIN;
    for number in numbers {
        let id = view.id_of(&summary, *number)?;
        max_id = max_id.max(id.expect("it is not deleted"));
    }
    transaction.delete(stream, numbers, max_id)?.unwrap();
    Ok(())
}

fn fill(engine: &LocalEngine, tag: &str) {
    for stream in NAMES {
        for event in 0..6 {
            let data = format!("{tag}{stream}{event}");
            let written = append(
                engine,
                vec![write(stream, data.as_bytes(), Expect::Any)],
                false,
            );
            written.unwrap();
        }
    }
}

/// Deletions here and there, names that pass from stream to stream, streams that are deleted.
fn change(engine: &LocalEngine) {
    transact(engine, |transaction| {
        delete(transaction, &name("a"), &[1, 3, 4])?;
        transaction.trim(&name("b"), 3)?.unwrap();
        transaction.rename(&name("c"), &name("moved"))?.unwrap();
        transaction.remove(&name("d"))?.unwrap();
        transaction.rename(&name("e"), &name("f"))?.unwrap();
        transaction.rename(&name("left"), &name("found"))?.unwrap();
        transaction.rename(&name("lost"), &name("dead"))?.unwrap();
        Ok(())
    });
    fill(engine, "again");
    transact(engine, |transaction| {
        delete(transaction, &name("a"), &[0, 7])?;
        transaction.trim(&name("b"), 8)?.unwrap();
        transaction.rename(&name("moved"), &name("g"))?.unwrap();
        let (last_id, max_id) = (EventId::new(u64::MAX - 1, 0), EventId::MIN);
        transaction
            .set_ids(&name("f"), last_id, 5, max_id)?
            .unwrap();
        Ok(())
    });
    transact(engine, |transaction| {
        transaction.rename(&name("b"), &name("swap"))?.unwrap();
        transaction.rename(&name("a"), &name("b"))?.unwrap();
        transaction.rename(&name("swap"), &name("a"))?.unwrap();
        transaction.rename(&name("d"), &name("gone"))?.unwrap();
        Ok(())
    });
    transact(engine, |transaction| {
        transaction.remove(&name("gone"))?.unwrap();
        transaction.remove(&name("dead"))?.unwrap();
        Ok(())
    });
}

#[derive(Debug, PartialEq)]
struct State {
    by_id: Vec<StreamSummary>,
    by_name: Vec<StreamSummary>,
    found: Vec<Option<StreamSummary>>,
    events: Vec<(Vec<Seen>, Vec<Seen>)>,
    all: Vec<Seen>,
    streams: u64,
}

/// All that a reader can ask for; the positions of `$all` have gaps.
fn state(engine: &LocalEngine) -> State {
    let by_id = engine.streams(&StreamsPage::ById(0), 100).unwrap();
    let by_name = engine.streams(&StreamsPage::ByName(None), 100).unwrap();
    let others = ["moved", "swap", "gone", "left", "found", "lost", "dead"];
    let known = NAMES.into_iter().chain(others);
    let found = known.map(|stream| engine.stream(&name(stream), Access::Disk).unwrap());
    let found = found.collect();
    let events = by_id.iter().map(|stream| {
        let source = ReadSource::Stream(stream.name.clone());
        let read = |reverse| read_all(engine, &source, 0, reverse).unwrap();
        (read(false), read(true))
    });
    State {
        events: events.collect(),
        found,
        all: read_all(engine, &ReadSource::All, 0, false).unwrap(),
        streams: engine.statistics().streams,
        by_id,
        by_name,
    }
}

/// Ends the checkpoint of a close at the `nth` change, opens again, and closes. With `ended_twice`
/// the next checkpoint is ended as well. Says whether the first was whole.
fn ended_at(nth: u64, ended_twice: Option<u64>) -> bool {
    let context = format!("ended at change {nth}, then at {ended_twice:?}");
    let directory = tempfile::tempdir().unwrap();
    let faults = IndexFaults::default();
    let config = LocalConfig {
        index_faults: Some(faults.clone()),
        ..config(directory.path())
    };
    let engine = open(&config).unwrap();
    fill(&engine, "first");
    publish(&engine, "left", b"of a stream that leaves its name");
    publish(
        &engine,
        "lost",
        b"of a stream that leaves its name and is deleted",
    );
    block_on(engine.close()).unwrap();
    drop(engine);
    let engine = open(&config).unwrap();
    change(&engine);
    let before = state(&engine);
    faults.fail_from(nth);
    let closed = block_on(engine.close()).is_ok();
    assert!(
        closed || faults.calls() == nth + 1,
        "{context}: the change was reached"
    );
    drop(engine);
    faults.fail_from(u64::MAX - 1);
    let engine = open(&config).expect(&context);
    assert_eq!(state(&engine), before, "{context}");
    if let Some(second) = ended_twice {
        fill(&engine, "last");
        let before = state(&engine);
        faults.fail_from(second);
        let _ended = block_on(engine.close());
        drop(engine);
        faults.fail_from(u64::MAX - 1);
        let engine = open(&config).expect(&context);
        assert_eq!(state(&engine), before, "{context}");
        return closed;
    }
    block_on(engine.close()).unwrap();
    drop(engine);
    let engine = open(&config).expect(&context);
    assert_eq!(state(&engine), before, "{context}, closed");
    drop(engine);
    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    let engine = open(&config).expect(&context);
    assert_eq!(state(&engine), before, "{context}, rebuilt");
    closed
}

#[test]
fn a_checkpoint_of_deletions_ended_anywhere_is_mended() {
    let mut nth = 0;
    while !ended_at(nth, None) {
        nth += 1;
    }
    assert!(nth > 20, "the checkpoint made {nth} changes");
}

#[test]
fn two_checkpoints_of_deletions_ended_anywhere_are_mended() {
    let mut nth = 0;
    while !ended_at(nth, Some(nth * 7 % 31)) {
        nth += 1;
    }
    assert!(nth > 20, "the checkpoint made {nth} changes");
}

#[test]
fn nothing_is_left_of_deleted_streams_once_a_checkpoint_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let engine = open(&config).unwrap();
    fill(&engine, "first");
    publish(&engine, "left", b"of a stream that leaves its name");
    publish(
        &engine,
        "lost",
        b"of a stream that leaves its name and is deleted",
    );
    change(&engine);
    let before = state(&engine);
    block_on(engine.close()).unwrap();
    drop(engine);
    let index = sled::open(directory.path().join("index")).unwrap();
    let rows = |tree| index.open_tree(tree).unwrap();
    assert!(rows("gone").is_empty());
    let there: Vec<u64> = before.by_id.iter().map(|stream| stream.id).collect();
    for tree in ["events", "deleted"] {
        for key in rows(tree).iter().keys() {
            let key = key.unwrap();
            let id = u64::from_be_bytes(key[..8].try_into().unwrap());
            assert!(there.contains(&id), "{tree} has stream {id}");
        }
    }
    assert_eq!(rows("names").len(), there.len());
    assert!(!rows("deleted").is_empty());
}
