//! A checkpoint that is ended between any two changes of the index leaves a store that opens to
//! the same state as a full rebuild from the log.

use meilies_protocol::Expect;
use meilies_server::engine::local::{IndexFaults, LocalConfig, LocalEngine};
use meilies_server::engine::{Access, Engine, ReadSource, StoreError, StreamsPage};

use super::store::{append, block_on, config, name, open, read_all, write};

fn fill(engine: &LocalEngine, tag: &str) {
    for request in 0..40 {
        let stream = format!("s{}", request % 9);
        let data = format!("{tag}{request}");
        append(
            engine,
            vec![write(&stream, data.as_bytes(), Expect::Any); 3],
            false,
        )
        .unwrap();
    }
}

/// All that a reader can ask for.
fn state(engine: &LocalEngine) -> impl PartialEq + std::fmt::Debug + use<> {
    let streams = engine.streams(&StreamsPage::ById(0), 100).unwrap();
    let by_name = engine.streams(&StreamsPage::ByName(None), 100).unwrap();
    let events: Vec<_> = streams
        .iter()
        .map(|stream| {
            let source = ReadSource::Stream(stream.name.clone());
            read_all(engine, &source, 0, false).unwrap()
        })
        .collect();
    let all = read_all(engine, &ReadSource::All, 0, false).unwrap();
    let backward = read_all(engine, &ReadSource::All, 0, true).unwrap();
    (
        streams,
        by_name,
        events,
        all,
        backward,
        engine.statistics().streams,
    )
}

#[test]
fn a_checkpoint_ended_anywhere_is_mended() {
    let mut nth = 0;
    loop {
        let directory = tempfile::tempdir().unwrap();
        let faults = IndexFaults::default();
        let config = LocalConfig {
            index_faults: Some(faults.clone()),
            ..config(directory.path())
        };
        // A checkpoint that is whole, so that the next one grows runs and replaces rows.
        let engine = open(&config).unwrap();
        fill(&engine, "a");
        block_on(engine.close()).unwrap();
        drop(engine);
        let engine = open(&config).unwrap();
        fill(&engine, "b");
        let before = state(&engine);
        faults.fail_from(nth);
        let closed = block_on(engine.close());
        let calls = faults.calls();
        drop(engine);
        faults.fail_from(u64::MAX - 1);
        let engine = open(&config).unwrap();
        assert_eq!(state(&engine), before, "ended at change {nth}");
        fill(&engine, "c");
        let after = state(&engine);
        drop(engine);
        std::fs::remove_dir_all(directory.path().join("index")).unwrap();
        let rebuilt = open(&config).unwrap();
        assert_eq!(
            state(&rebuilt),
            after,
            "ended at change {nth}, then rebuilt"
        );
        if closed.is_ok() {
            assert!(
                nth >= calls && nth > 10,
                "the checkpoint made {calls} changes"
            );
            break;
        }
        assert_eq!(calls, nth + 1, "the planned change was reached");
        nth += 1;
    }
}

#[test]
fn while_checkpoints_fail_writing_goes_on_up_to_a_bound_and_again_once_they_work() {
    let directory = tempfile::tempdir().unwrap();
    let faults = IndexFaults::default();
    let config = LocalConfig {
        index_faults: Some(faults.clone()),
        ..LocalConfig::new(directory.path())
    };
    let engine = open(&config).unwrap();
    faults.fail_from(0);
    // A thousand streams in each request: a thousand locations that are not in the index.
    let request = || -> Vec<_> {
        (0..1000)
            .map(|stream| write(&format!("s{stream}"), b"data", Expect::Any))
            .collect()
    };
    let mut accepted = 0;
    let refused = loop {
        match append(&engine, request(), false) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 1000, "memory is not bounded");
    };
    assert!(
        matches!(refused, StoreError::CheckpointFailed(_)),
        "{refused}"
    );
    assert!(accepted > 200, "refused after {accepted} requests already");
    let failure = engine.statistics().failure.unwrap();
    assert!(failure.contains("stopped by a test"), "{failure}");
    faults.fail_from(u64::MAX - 1);
    // A failed checkpoint is tried again within a second, or so.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while engine.statistics().failure.is_some() {
        assert!(
            std::time::Instant::now() < deadline,
            "writing did not begin again"
        );
        std::thread::yield_now();
    }
    append(&engine, request(), false).unwrap();
    let tail = engine
        .stream(&name("s999"), Access::Disk)
        .unwrap()
        .unwrap()
        .tail;
    assert_eq!(tail, Some(accepted));
}

#[test]
fn an_index_that_does_not_open_or_belongs_elsewhere_is_moved_aside_and_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let engine = open(&config).unwrap();
    fill(&engine, "a");
    let before = state(&engine);
    block_on(engine.close()).unwrap();
    drop(engine);
    let index = directory.path().join("index");

    std::fs::write(index.join("db"), b"this is no sled database").unwrap();
    std::fs::write(index.join("conf"), b"nor a configuration of one").unwrap();
    let engine = open(&config).unwrap();
    assert_eq!(state(&engine), before);
    block_on(engine.close()).unwrap();
    drop(engine);
    assert!(directory.path().join("index.unusable-1").exists());

    // The index of a longer log.
    let kept = tempfile::tempdir().unwrap();
    copy(&directory.path().join("log"), kept.path());
    let engine = open(&config).unwrap();
    fill(&engine, "b");
    block_on(engine.close()).unwrap();
    drop(engine);
    std::fs::remove_dir_all(directory.path().join("log")).unwrap();
    std::fs::remove_file(directory.path().join("CLEAN")).unwrap();
    std::fs::create_dir(directory.path().join("log")).unwrap();
    copy(kept.path(), &directory.path().join("log"));
    let engine = open(&config).unwrap();
    assert_eq!(state(&engine), before);
    assert!(directory.path().join("index.unusable-2").exists());
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_checkpoint_that_is_asked_for_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let faults = IndexFaults::default();
    let engine = open(&LocalConfig {
        index_faults: Some(faults.clone()),
        ..config(directory.path())
    })
    .unwrap();
    let is_covered = || {
        let figures = engine.statistics();
        figures.checkpoint_commits == figures.commits && figures.checkpoint_at > 0
    };
    block_on(engine.checkpoint()).unwrap();
    fill(&engine, "a");
    assert!(!is_covered());
    block_on(engine.checkpoint()).unwrap();
    assert!(is_covered());
    fill(&engine, "b");
    faults.fail_from(0);
    for _ in 0..2 {
        let failed = block_on(engine.checkpoint());
        assert!(
            matches!(failed, Err(StoreError::CheckpointFailed(_))),
            "{failed:?}"
        );
        assert!(!is_covered());
    }
    // What failed is tried again at once when somebody asks.
    faults.fail_from(u64::MAX - 1);
    block_on(engine.checkpoint()).unwrap();
    assert!(is_covered());
}
