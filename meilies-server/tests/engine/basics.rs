//! Events come back whole, in order, from memory and from disk, before and after restarts.

use meilies_protocol::Expect;
use meilies_server::engine::local::OpenError;
use meilies_server::engine::{Engine, ReadSource, Refusal, StreamsPage, WriteOutcome};

use super::store::{append, block_on, config, name, open, publish, read_all, read_stream, write};

const STREAMS: [&str; 3] = ["orders", "orders:42", "users"];

/// Writes to three streams in turns, in requests of several events.
fn fill(engine: &meilies_server::engine::local::LocalEngine, rounds: u64) {
    for round in 0..rounds {
        let writes = (0..7)
            .map(|at| {
                let stream = STREAMS[usize::try_from((round + at) % 3).unwrap()];
                write(stream, format!("{round}.{at}").as_bytes(), Expect::Any)
            })
            .collect();
        append(engine, writes, false).unwrap();
    }
}

fn everything(engine: &meilies_server::engine::local::LocalEngine) -> Vec<super::store::Seen> {
    let all = read_all(engine, &ReadSource::All, 0, false).unwrap();
    let positions: Vec<u64> = all.iter().map(|event| event.2).collect();
    assert_eq!(
        positions,
        (0..all.len() as u64).collect::<Vec<_>>(),
        "positions are gapless"
    );
    let mut backward = read_all(engine, &ReadSource::All, 0, true).unwrap();
    backward.reverse();
    assert_eq!(all, backward);
    for stream in STREAMS {
        let of_stream: Vec<_> = all
            .iter()
            .filter(|event| event.0 == stream)
            .cloned()
            .collect();
        let numbers: Vec<u64> = of_stream.iter().map(|event| event.1).collect();
        assert_eq!(
            numbers,
            (0..numbers.len() as u64).collect::<Vec<_>>(),
            "{stream}"
        );
        assert_eq!(read_stream(engine, stream, 0), of_stream);
        let half = of_stream.len() / 2;
        assert_eq!(read_stream(engine, stream, half as u64), of_stream[half..]);
        let source = ReadSource::Stream(name(stream));
        let mut backward = read_all(engine, &source, 0, true).unwrap();
        backward.reverse();
        assert_eq!(backward, of_stream);
    }
    all
}

#[test]
fn events_survive_a_clean_stop_a_crash_and_the_loss_of_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.recent_bytes_max = 20_000;
    let engine = open(&config).unwrap();
    fill(&engine, 1000);
    let written = everything(&engine);
    assert_eq!(written.len(), 7000);
    assert!(engine.statistics().segments > 3, "the log rolled");
    drop(engine);

    let crashed = open(&config).unwrap();
    assert_eq!(everything(&crashed), written);
    assert_eq!(crashed.statistics().events, 7000);
    block_on(crashed.close()).unwrap();
    drop(crashed);

    let stopped = open(&config).unwrap();
    assert_eq!(everything(&stopped), written);
    fill(&stopped, 10);
    let more = everything(&stopped);
    assert_eq!(more[..7000], written);
    drop(stopped);

    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    let rebuilt = open(&config).unwrap();
    assert_eq!(everything(&rebuilt), more);
    let names: Vec<String> = rebuilt
        .streams(&StreamsPage::ByName(None), 10)
        .unwrap()
        .into_iter()
        .map(|stream| stream.name.to_string())
        .collect();
    assert_eq!(names, STREAMS);
    assert_eq!(rebuilt.statistics().streams, 3);
}

#[test]
fn requests_in_turns_keep_their_order_over_all_streams() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&config(directory.path())).unwrap();
    fill(&engine, 1);
    let order: Vec<Vec<u8>> = everything(&engine)
        .into_iter()
        .map(|event| event.3)
        .collect();
    let asked: Vec<Vec<u8>> = (0..7).map(|at| format!("0.{at}").into_bytes()).collect();
    assert_eq!(order, asked);
}

#[test]
fn expectations_hold_or_refuse() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&config(directory.path())).unwrap();
    let writes = vec![
        write("a", b"0", Expect::Exists),
        write("a", b"1", Expect::None),
        write("a", b"2", Expect::None),
        write("a", b"3", Expect::Number(0)),
        write("a", b"4", Expect::Number(0)),
        write("a", b"5", Expect::Exists),
    ];
    let outcomes = append(&engine, writes, false).unwrap();
    let numbers: Vec<Option<u64>> = outcomes
        .iter()
        .map(|outcome| match outcome {
            WriteOutcome::Stored { number, .. } => Some(*number),
            WriteOutcome::Refused(_) => None,
        })
        .collect();
    assert_eq!(numbers, [None, Some(0), None, Some(1), None, Some(2)]);
    assert_eq!(
        outcomes[4],
        WriteOutcome::Refused(Refusal::Conflict {
            stream: name("a"),
            tail: Some(1),
            expected: Expect::Number(0),
        })
    );
}

#[test]
fn a_refused_write_takes_back_all_of_an_atomic_request() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&config(directory.path())).unwrap();
    publish(&engine, "a", b"first");
    let writes = vec![
        write("a", b"x", Expect::Number(0)),
        write("new", b"x", Expect::None),
        write("a", b"x", Expect::Number(1)),
        write("a", b"x", Expect::Number(7)),
        write("b", b"x", Expect::Any),
    ];
    let outcomes = append(&engine, writes, true).unwrap();
    assert_eq!(outcomes.len(), 5);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, WriteOutcome::Refused(_)))
    );
    assert_eq!(publish(&engine, "a", b"second"), 1);
    assert_eq!(publish(&engine, "new", b"third"), 0);
    assert_eq!(engine.statistics().events, 3);
    assert_eq!(engine.statistics().streams, 2);
    let atomic = vec![
        write("a", b"4", Expect::Any),
        write("new", b"5", Expect::Number(0)),
    ];
    append(&engine, atomic, true).unwrap();
    drop(engine);
    let engine = open(&config(directory.path())).unwrap();
    let data: Vec<Vec<u8>> = read_all(&engine, &ReadSource::All, 0, false)
        .unwrap()
        .into_iter()
        .map(|event| event.3)
        .collect();
    assert_eq!(data, [&b"first"[..], b"second", b"third", b"4", b"5"]);
}

#[test]
fn a_directory_belongs_to_one_store() {
    let directory = tempfile::tempdir().unwrap();
    let _engine = open(&config(directory.path())).unwrap();
    let refused = open(&config(directory.path())).unwrap_err();
    let holder = format!("process {}", std::process::id());
    assert!(matches!(&refused, OpenError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains(&holder), "{refused}");
}
