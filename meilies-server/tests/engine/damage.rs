//! Flipped bits in every place of a log: what is read is what was written, or an error that names
//! stream, numbers, file and byte; nothing acknowledged disappears without a word.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meilies_protocol::Expect;
use meilies_server::engine::local::{LocalConfig, LocalEngine, repair};
use meilies_server::engine::{
    Access, Engine, ReadRequest, ReadSource, Refusal, StoreError, WriteOutcome,
};

use super::store::{append, block_on, name, open, publish, read_all, read_stream, write};

const STREAMS: [&str; 3] = ["a", "b", "c"];

fn config(path: &Path) -> LocalConfig {
    LocalConfig {
        segment_bytes: 1200,
        ahead_bytes: 0,
        ..LocalConfig::new(path)
    }
}

/// A closed store of several segments; its events by stream.
fn store(directory: &Path) -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let engine = open(&config(directory)).unwrap();
    let mut events: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for number in 0..18 {
        let stream = STREAMS[number % 3];
        let data = format!("{stream} {number}").into_bytes();
        publish(&engine, stream, &data);
        events.entry(stream).or_default().push(data);
    }
    block_on(engine.close()).unwrap();
    assert!(engine.statistics().segments > 2);
    events
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    files
}

fn copy_store(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        match path.is_dir() {
            true => {
                std::fs::create_dir(to.join(&target)).unwrap();
                copy_store(&path, &to.join(&target));
            }
            false => {
                std::fs::copy(&path, to.join(&target)).unwrap();
            }
        }
    }
}

fn flip(file: &Path, byte: usize) {
    let mut content = std::fs::read(file).unwrap();
    content[byte] ^= 0x10;
    std::fs::write(file, content).unwrap();
}

/// Reads each number by itself: the event as written, or an error that names it.
fn read_each(
    engine: &LocalEngine,
    events: &BTreeMap<&'static str, Vec<Vec<u8>>>,
    context: &str,
) -> usize {
    let mut unreadable = 0;
    for (stream, data) in events {
        for (number, data) in (0..).zip(data) {
            let request = ReadRequest {
                source: ReadSource::Stream(name(stream)),
                stream_id: None,
                from: number,
                until: Some(number + 1),
                bytes_max: 1,
                reverse: false,
            };
            match engine.read(&request, Access::Disk) {
                Ok(outcome) => {
                    let found = outcome.runs.first().and_then(|run| run.events().next());
                    if let Some(event) = found {
                        assert_eq!(event.number, number, "{context}");
                        assert_eq!(event.fields().next().unwrap().1, data, "{context}");
                    } else {
                        // The stream's end was lost: only where damage is reported.
                        let damaged = engine.statistics().damaged;
                        assert!(damaged > 0, "{context}: {stream} {number}");
                        unreadable += 1;
                    }
                }
                Err(StoreError::Damaged {
                    first,
                    last,
                    stream: named,
                    file,
                    ..
                }) => {
                    assert!(first <= number && number <= last, "{context}");
                    assert_eq!(*named, *format!("stream '{stream}'"), "{context}");
                    assert!(file.ends_with(".log"), "{context}: {file}");
                    unreadable += 1;
                }
                Err(other) => panic!("{context}: {other}"),
            }
        }
    }
    unreadable
}

#[test]
fn a_flipped_bit_anywhere_is_named_and_confined() {
    let original = tempfile::tempdir().unwrap();
    let events = store(original.path());
    let files = segments(original.path());
    for (at, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file).unwrap().len();
        // The index as it was, then built from the damaged log.
        for (byte, rebuilt) in (0..bytes).flat_map(|byte| [(byte, false), (byte, true)]) {
            if rebuilt && byte % 3 != 0 || !rebuilt && byte % 7 != 0 {
                continue;
            }
            let context = format!("segment {at}, byte {byte}, index rebuilt: {rebuilt}");
            let directory = tempfile::tempdir().unwrap();
            copy_store(original.path(), directory.path());
            flip(&segments(directory.path())[at], byte);
            if rebuilt {
                std::fs::remove_dir_all(directory.path().join("index")).unwrap();
            }
            let engine = open(&config(directory.path()))
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            let unreadable = read_each(&engine, &events, &context);
            assert!(
                unreadable <= 2,
                "{context}: {unreadable} events are unreadable"
            );
            let cut = std::fs::read_dir(directory.path().join("log"))
                .unwrap()
                .any(|entry| {
                    entry
                        .unwrap()
                        .file_name()
                        .to_string_lossy()
                        .starts_with("cut-")
                });
            assert!(!cut, "{context}: after a clean stop nothing is torn");
        }
    }
}

#[test]
fn streams_whose_tails_are_not_proven_are_written_to_only_after_repair() {
    let directory = tempfile::tempdir().unwrap();
    let config = LocalConfig {
        segment_bytes: 1 << 20,
        ..config(directory.path())
    };
    let engine = open(&config).unwrap();
    for stream in ["early", "lost", "late", "late"] {
        publish(&engine, stream, b"event");
    }
    drop(engine);
    // The second commit, "lost", in an open segment, without the index: nothing proves tails.
    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    let file = &segments(directory.path())[0];
    let content = std::fs::read(file).unwrap();
    let second = content
        .windows(4)
        .position(|bytes| bytes == b"lost")
        .unwrap();
    flip(file, second);

    let engine = open(&config).unwrap();
    assert_eq!(engine.statistics().damaged, 1);
    let outcome = |stream: &str| {
        append(&engine, vec![write(stream, b"more", Expect::Any)], false)
            .unwrap()
            .remove(0)
    };
    for refused in ["early", "lost", "brand new"] {
        match outcome(refused) {
            WriteOutcome::Refused(Refusal::Unproven { file, byte, .. }) => {
                assert!(file.ends_with(".log") && byte > 0);
            }
            other => panic!("{refused}: {other:?}"),
        }
    }
    assert!(matches!(
        outcome("late"),
        WriteOutcome::Stored { number: 2, .. }
    ));
    assert_eq!(read_stream(&engine, "early", 0).len(), 1, "reads go on");
    drop(engine);

    let places = repair(&config).unwrap();
    assert_eq!(places.len(), 1);
    assert!(
        places[0].accepted && places[0].commits == (1, 2),
        "{places:?}"
    );
    for rebuilt in [false, true] {
        if rebuilt {
            std::fs::remove_dir_all(directory.path().join("index")).unwrap();
        }
        let engine = open(&config).unwrap();
        for stream in ["early", "lost", "brand new"] {
            publish(&engine, stream, b"after repair");
        }
        assert_eq!(engine.statistics().damaged, 1, "it stays known");
    }
}

#[test]
fn a_torn_commit_is_saved_and_cut_but_never_one_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let engine = open(&config).unwrap();
    publish(&engine, "a", b"kept");
    drop(engine);
    let file = segments(directory.path()).remove(0);
    let end = std::fs::metadata(&file).unwrap().len();
    let mut content = std::fs::read(&file).unwrap();
    content.extend_from_slice(b"MSC1 the beginning of a commit that was never finished");
    std::fs::write(&file, &content).unwrap();
    let engine = open(&config).unwrap();
    assert_eq!(engine.statistics().damaged, 0);
    assert_eq!(publish(&engine, "a", b"next"), 1);
    let saved = std::fs::read(directory.path().join("log/cut-1.bin")).unwrap();
    assert_eq!(saved, content[usize::try_from(end).unwrap()..]);
}

#[test]
fn another_format_or_another_directory_is_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(&config(directory.path())).unwrap());
    let format = directory.path().join("FORMAT");
    let content = std::fs::read_to_string(&format).unwrap();
    std::fs::write(&format, content.replace("format 1", "format 9")).unwrap();
    let refused = open(&config(directory.path())).unwrap_err().to_string();
    assert!(
        refused.contains("format 9") && refused.contains("format 1"),
        "{refused}"
    );
    std::fs::write(&format, "something else").unwrap();
    let refused = open(&config(directory.path())).unwrap_err().to_string();
    assert!(refused.contains("no MeiliES store"), "{refused}");
    std::fs::remove_file(&format).unwrap();
    drop(open(&config(directory.path())).unwrap());
}

/// Flips a bit in the header of the last commit of the last segment.
fn damage_last_commit(directory: &Path) {
    let file = segments(directory).pop().unwrap();
    let content = std::fs::read(&file).unwrap();
    let last = content
        .windows(4)
        .rposition(|bytes| bytes == b"MSC1")
        .unwrap();
    flip(&file, last + 20);
}

/// A closed store of one segment with ten commits, `event 0` to `event 9`, in one or more streams.
fn ten_events(directory: &Path, streams: &[&str]) -> LocalConfig {
    let config = LocalConfig {
        segment_bytes: 1 << 20,
        ..config(directory)
    };
    let engine = open(&config).unwrap();
    for number in 0..10 {
        let stream = streams[number % streams.len()];
        publish(&engine, stream, format!("event {number}").as_bytes());
    }
    block_on(engine.close()).unwrap();
    config
}

/// Flips a bit in the data of an event.
fn damage_event(directory: &Path, data: &str) {
    let file = segments(directory).pop().unwrap();
    let content = std::fs::read(&file).unwrap();
    let found = content
        .windows(data.len())
        .position(|bytes| bytes == data.as_bytes());
    flip(&file, found.unwrap());
}

#[test]
fn what_a_checkpoint_covered_is_never_torn_even_when_the_index_is_gone_since() {
    let directory = tempfile::tempdir().unwrap();
    let config = ten_events(directory.path(), &["a"]);
    // As after a kill behind a checkpoint: the index alone proves the end.
    std::fs::remove_file(directory.path().join("CLEAN")).unwrap();
    damage_last_commit(directory.path());
    for round in 0..3 {
        let engine = open(&config).unwrap();
        assert_eq!(engine.statistics().damaged, 1, "open {round}");
        assert_eq!(engine.statistics().events, 10, "open {round}");
        drop(engine);
    }
    let cut = directory.path().join("log/cut-9.bin");
    assert!(!cut.exists(), "an acknowledged commit was cut");
}

#[test]
fn a_log_that_was_cut_short_after_a_clean_stop_opens_and_gives_no_number_again() {
    let directory = tempfile::tempdir().unwrap();
    let config = ten_events(directory.path(), &["a"]);
    let file = segments(directory.path()).pop().unwrap();
    let content = std::fs::read(&file).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(&file, &content[..end - 30]).unwrap();
    for rebuilt in [false, true] {
        if rebuilt {
            std::fs::remove_dir_all(directory.path().join("index")).unwrap();
        }
        let engine = open(&config).unwrap();
        assert_eq!(engine.statistics().damaged, 1, "index rebuilt: {rebuilt}");
        assert_eq!(engine.statistics().events, 10, "index rebuilt: {rebuilt}");
        block_on(engine.close()).unwrap();
    }
    repair(&config).unwrap();
    let engine = open(&config).unwrap();
    assert!(publish(&engine, "b", b"next") == 0 && engine.statistics().events == 11);
}

#[test]
fn repair_keeps_what_the_index_knows_of_tails() {
    let directory = tempfile::tempdir().unwrap();
    let config = ten_events(directory.path(), &["a"]);
    damage_event(directory.path(), "event 9");
    assert_eq!(repair(&config).unwrap().len(), 1);
    let engine = open(&config).unwrap();
    let number = publish(&engine, "a", b"next");
    assert_eq!(number, 10, "number 9 was acknowledged before");
}

#[test]
fn all_streams_are_read_behind_damage() {
    for rebuilt in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let config = ten_events(directory.path(), &STREAMS);
        damage_event(directory.path(), "event 4");
        if rebuilt {
            std::fs::remove_dir_all(directory.path().join("index")).unwrap();
        }
        let engine = open(&config).unwrap();
        let behind = read_all(&engine, &ReadSource::All, 5, false).unwrap();
        assert_eq!(behind.len(), 5, "index rebuilt: {rebuilt}");
        match read_all(&engine, &ReadSource::All, 4, false).unwrap_err() {
            StoreError::Damaged {
                first: 4, last: 4, ..
            } => {}
            other => panic!("index rebuilt: {rebuilt}: {other}"),
        }
    }
}

#[test]
fn a_footer_proves_nothing_of_a_segment_that_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    store(directory.path());
    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    std::fs::remove_file(&segments(directory.path())[1]).unwrap();
    let engine = open(&config(directory.path())).unwrap();
    assert_eq!(engine.statistics().damaged, 1);
    let refused = STREAMS.iter().filter(|stream| {
        let outcome = append(&engine, vec![write(stream, b"x", Expect::Any)], false).unwrap();
        matches!(outcome[0], WriteOutcome::Refused(Refusal::Unproven { .. }))
    });
    let later = STREAMS
        .iter()
        .filter(|stream| read_each_later(&engine, stream));
    assert_eq!(refused.count() + later.count(), STREAMS.len());
}

/// Whether events of the stream that come after the missing segment are there.
fn read_each_later(engine: &LocalEngine, stream: &str) -> bool {
    let found = engine.stream(&name(stream), Access::Disk).unwrap().unwrap();
    found.tail.is_some_and(|tail| tail >= 5)
}
