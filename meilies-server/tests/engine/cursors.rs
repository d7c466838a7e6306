//! Readers that are bound to a stream, and readers of all streams, beside deletions: a cursor whose
//! stream is gone or goes by another name is told so, from memory and from the disk, and reading
//! goes on over whatever is deleted.

use meilies_protocol::Expect;
use meilies_server::engine::local::{LocalConfig, LocalEngine};
use meilies_server::engine::memory::MemoryEngine;
use meilies_server::engine::{Access, Engine, ReadOutcome, ReadRequest, ReadSource, StoreError};

use super::deletions::{delete, transact};
use super::store::{append, block_on, config, name, open, publish, read_stream, write};

fn request(source: ReadSource, stream_id: Option<u64>) -> ReadRequest {
    ReadRequest {
        source,
        stream_id,
        from: 0,
        until: None,
        bytes_max: 1,
        reverse: false,
    }
}

fn read(
    engine: &dyn Engine,
    stream: &str,
    stream_id: Option<u64>,
) -> Result<ReadOutcome, StoreError> {
    let request = request(ReadSource::Stream(name(stream)), stream_id);
    match engine.read(&request, Access::Memory) {
        Err(StoreError::WouldBlock) => engine.read(&request, Access::Disk),
        other => other,
    }
}

fn id(engine: &dyn Engine, stream: &str) -> u64 {
    let found = engine.stream(&name(stream), Access::Disk).unwrap();
    found.unwrap().id
}

/// Both ends of the request, and with something to come.
fn expect_deleted(engine: &dyn Engine, stream: &str, id: u64) {
    for from in [0, 1, 5] {
        for reverse in [false, true] {
            for access in [Access::Memory, Access::Disk] {
                let request = ReadRequest {
                    from,
                    reverse,
                    ..request(ReadSource::Stream(name(stream)), Some(id))
                };
                match engine.read(&request, access) {
                    Err(StoreError::Deleted(deleted)) => assert_eq!(deleted, name(stream)),
                    Err(StoreError::WouldBlock) if access == Access::Memory => {}
                    other => panic!("{request:?} answered {other:?}"),
                }
            }
        }
    }
}

/// What becomes of the store between a change and the look at it.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Restart,
    Rebuild,
}

fn reopened(engine: LocalEngine, config: &LocalConfig, then: Then) -> LocalEngine {
    match then {
        Then::Nothing => return engine,
        Then::Restart => block_on(engine.close()).unwrap(),
        Then::Rebuild => {}
    }
    drop(engine);
    if matches!(then, Then::Rebuild) {
        std::fs::remove_dir_all(config.path.join("index")).unwrap();
    }
    open(config).unwrap()
}

#[test]
fn a_cursor_of_a_stream_that_is_gone_is_told_so() {
    for recent_bytes_max in [0, 1024 * 1024] {
        for then in [Then::Nothing, Then::Restart, Then::Rebuild] {
            for before in [Then::Nothing, Then::Restart] {
                let directory = tempfile::tempdir().unwrap();
                let config = LocalConfig {
                    recent_bytes_max,
                    ..config(directory.path())
                };
                let engine = open(&config).unwrap();
                for stream in ["removed", "renamed", "replaced", "other"] {
                    publish(&engine, stream, b"first");
                    publish(&engine, stream, b"second");
                }
                let ids = ["removed", "renamed", "replaced", "other"].map(|it| id(&engine, it));
                let engine = reopened(engine, &config, before);
                transact(&engine, |transaction| {
                    transaction.remove(&name("removed"))?.unwrap();
                    transaction
                        .rename(&name("renamed"), &name("replaced"))?
                        .unwrap();
                    Ok(())
                });
                let engine = reopened(engine, &config, then);
                expect_deleted(&engine, "removed", ids[0]);
                expect_deleted(&engine, "renamed", ids[1]);
                expect_deleted(&engine, "replaced", ids[2]);
                let under_its_name = read(&engine, "replaced", Some(ids[1])).unwrap();
                assert_eq!(under_its_name.stream_id, Some(ids[1]));
                assert!(read(&engine, "other", Some(ids[3])).is_ok());

                // A stream made anew is another one.
                publish(&engine, "removed", b"anew");
                let engine = reopened(engine, &config, then);
                expect_deleted(&engine, "removed", ids[0]);
                let anew = id(&engine, "removed");
                assert!(!ids.contains(&anew));
                let outcome = read(&engine, "removed", Some(anew)).unwrap();
                assert_eq!((outcome.tail, outcome.next), (Some(0), 1));
                assert_eq!(read_stream(&engine, "removed", 0)[0].3, b"anew");
            }
        }
    }
}

#[test]
fn the_engine_in_memory_tells_so_too() {
    let engine = MemoryEngine::new();
    let writes = vec![write("s", b"data", Expect::Any)];
    block_on(async {
        let request = meilies_server::engine::AppendRequest {
            writes,
            atomic: false,
        };
        engine
            .append(request)
            .await
            .unwrap()
            .await
            .unwrap()
            .unwrap();
        let operation = meilies_server::engine::Operation {
            names: Vec::new(),
            bytes: 0,
            run: Box::new(|transaction, _| {
                transaction.rename(&name("s"), &name("t"))?.unwrap();
                Ok(meilies_server::engine::Verdict::Commit)
            }),
        };
        engine.transact(operation).await.unwrap();
    });
    let id = id(&engine, "t");
    expect_deleted(&engine, "s", id);
    assert!(read(&engine, "t", Some(id)).is_ok());
}

/// Reads a source one byte at a time: the numbers that were there, and how many reads it took.
fn numbers(engine: &LocalEngine, source: &ReadSource, reverse: bool) -> (Vec<u64>, u64) {
    let mut request = ReadRequest {
        reverse,
        ..request(source.clone(), None)
    };
    let (mut found, mut reads) = (Vec::new(), 0);
    loop {
        let outcome = engine.read(&request, Access::Disk).unwrap();
        reads += 1;
        for run in &outcome.runs {
            let mut numbers: Vec<u64> = run
                .events()
                .map(|event| match source {
                    ReadSource::All => event.position,
                    ReadSource::Stream(_) => event.number,
                })
                .collect();
            if reverse {
                numbers.reverse();
            }
            found.extend(numbers);
        }
        let at = if reverse {
            &mut request.until
        } else {
            &mut Some(request.from)
        };
        if *at == Some(outcome.next) {
            assert!(outcome.runs.is_empty(), "what does not move has nothing");
            return (found, reads);
        }
        match reverse {
            true => request.until = Some(outcome.next),
            false => request.from = outcome.next,
        }
    }
}

#[test]
fn reading_goes_on_over_long_deleted_parts() {
    for recent_bytes_max in [0, 64 * 1024 * 1024] {
        let directory = tempfile::tempdir().unwrap();
        let config = LocalConfig {
            recent_bytes_max,
            ..config(directory.path())
        };
        let mut engine = open(&config).unwrap();
        // In turns, so that positions and numbers differ; 3000 of each stream.
        for _ in 0..30 {
            let writes = (0..300).map(|at| write(["s", "gone", "t"][at % 3], b"data", Expect::Any));
            append(&engine, writes.collect(), false).unwrap();
        }
        transact(&engine, |transaction| {
            let hole: Vec<u64> = (1..2500).collect();
            delete(transaction, &name("s"), &hole)?;
            transaction.trim(&name("t"), 2990)?.unwrap();
            transaction.remove(&name("gone"))?.unwrap();
            Ok(())
        });
        for then in [Then::Nothing, Then::Restart, Then::Rebuild] {
            engine = reopened(engine, &config, then);
            let kept: Vec<u64> = [0].into_iter().chain(2500..3000).collect();
            let of_all = |number: &u64| number * 3;
            let mut all: Vec<u64> = kept.iter().map(of_all).collect();
            all.extend((2990..3000).map(|number| number * 3 + 2));
            all.sort_unstable();
            for reverse in [false, true] {
                for (source, expected) in [
                    (ReadSource::Stream(name("s")), kept.clone()),
                    (ReadSource::Stream(name("t")), (2990..3000).collect()),
                    (ReadSource::Stream(name("gone")), Vec::new()),
                    (ReadSource::All, all.clone()),
                ] {
                    let mut expected: Vec<u64> = expected;
                    if reverse {
                        expected.reverse();
                    }
                    let (found, reads) = numbers(&engine, &source, reverse);
                    assert_eq!(found, expected, "{source:?} {then:?} {reverse}");
                    assert!(reads <= 10_000, "{reads} reads");
                }
            }
        }
    }
}
