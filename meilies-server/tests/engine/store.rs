//! A store in a directory of its own and the few calls that tests make on it.

use std::path::Path;

use bytes::Bytes;
use meilies_protocol::{Expect, StreamName};
use meilies_server::engine::local::{LocalConfig, LocalEngine, OpenError};
use meilies_server::engine::{
    Access, AppendRequest, Engine, Fields, ReadRequest, ReadSource, StoreError, Write, WriteOutcome,
};

/// An event as a test sees it: stream, number, position, data.
pub(crate) type Seen = (String, u64, u64, Vec<u8>);

pub(crate) fn name(text: &str) -> StreamName {
    StreamName::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

pub(crate) fn write(stream: &str, data: &[u8], expect: Expect) -> Write {
    let fields = Fields::One([
        Bytes::from_static(b"happened"),
        Bytes::copy_from_slice(data),
    ]);
    Write::new(name(stream), expect, fields)
}

/// Small segments, so that short tests roll.
pub(crate) fn config(path: &Path) -> LocalConfig {
    LocalConfig {
        segment_bytes: 64 * 1024,
        ..LocalConfig::new(path)
    }
}

pub(crate) fn open(config: &LocalConfig) -> Result<LocalEngine, OpenError> {
    LocalEngine::open(config)
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) fn append(
    engine: &LocalEngine,
    writes: Vec<Write>,
    atomic: bool,
) -> Result<Vec<WriteOutcome>, StoreError> {
    block_on(async {
        let appending = engine.append(AppendRequest { writes, atomic }).await?;
        appending.await.map_err(|_| StoreError::Closed)?
    })
}

/// Appends one event, which must be accepted; its number.
pub(crate) fn publish(engine: &LocalEngine, stream: &str, data: &[u8]) -> u64 {
    let outcomes = append(engine, vec![write(stream, data, Expect::Any)], false).unwrap();
    match outcomes[..] {
        [WriteOutcome::Stored { number, .. }] => number,
        ref other => panic!("not stored: {other:?}"),
    }
}

/// All events from `from` on, in small reads.
pub(crate) fn read_all(
    engine: &LocalEngine,
    source: &ReadSource,
    from: u64,
    reverse: bool,
) -> Result<Vec<Seen>, StoreError> {
    let mut request = ReadRequest {
        source: source.clone(),
        stream_id: None,
        from,
        until: None,
        bytes_max: 500,
        reverse,
    };
    let mut seen = Vec::new();
    loop {
        let outcome = engine.read(&request, Access::Disk)?;
        if outcome.runs.is_empty() {
            return Ok(seen);
        }
        for run in &outcome.runs {
            let mut events: Vec<Seen> = run
                .events()
                .map(|event| {
                    let data = event.fields().next().unwrap().1.to_vec();
                    (
                        run.batch.stream.to_string(),
                        event.number,
                        event.position,
                        data,
                    )
                })
                .collect();
            if reverse {
                events.reverse();
            }
            seen.extend(events);
        }
        match reverse {
            false => request.from = outcome.next,
            true => request.until = Some(outcome.next),
        }
    }
}

pub(crate) fn read_stream(engine: &LocalEngine, stream: &str, from: u64) -> Vec<Seen> {
    read_all(engine, &ReadSource::Stream(name(stream)), from, false).unwrap()
}
