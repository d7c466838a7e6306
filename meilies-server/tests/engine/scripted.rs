//! Scripts as operations of an engine, and everything that an engine shows held against the naive
//! store.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use meilies_protocol::EventId;
use meilies_server::engine::{
    Access, Engine, Fields, Operation, ReadOutcome, ReadRequest, ReadSource, StoreError,
    Transaction, Verdict, View, Write,
};

use super::naive::Naive;
use super::pictures::{self, SeenEvent, seen};
use super::script::{Change, Ending, NAMES, NewEvent, Script};
use super::store::name;

/// In which order operations ran, by their indexes; the last time counts.
pub(crate) type Ran = Arc<Mutex<Vec<usize>>>;

pub(crate) fn fields(event: &NewEvent) -> Fields {
    let items = event.fields.iter().map(|item| Bytes::copy_from_slice(item));
    let items: Vec<Bytes> = items.collect();
    match <[Bytes; 2]>::try_from(items) {
        Ok(pair) => Fields::One(pair),
        Err(items) => Fields::Many(items),
    }
}

/// What a failing operation says.
pub(crate) fn failure() -> StoreError {
    StoreError::CheckpointFailed("as it was asked to".into())
}

/// The script as an operation: its reply begins with the time.
pub(crate) fn operation(script: &Script, index: usize, base: u64, ran: &Ran) -> Operation {
    let bytes = script.changes.iter().map(|change| match change {
        Change::Append(event) => 1000 + fields(event).bytes(),
        _ => 1000,
    });
    let (bytes, script, ran) = (bytes.sum(), script.clone(), Arc::clone(ran));
    Operation {
        names: Vec::new(),
        bytes,
        run: Box::new(move |transaction, reply| {
            ran.lock().unwrap().push(index);
            let mut answers = Vec::new();
            for change in &script.changes {
                answers.push(run(change, transaction, base)?);
            }
            let mut text = String::new();
            write!(text, "{}\n{}", transaction.now_ms(), answers.join("\n")).unwrap();
            reply.extend_from_slice(text.as_bytes());
            match script.ending {
                Ending::Commit => Ok(Verdict::Commit),
                Ending::Abort => Ok(Verdict::Abort),
                Ending::Fail => Err(failure()),
            }
        }),
    }
}

/// The time and the answers of a reply.
pub(crate) fn answers(reply: &BytesMut) -> (u64, String) {
    let text = String::from_utf8(reply.to_vec()).unwrap();
    let (now, answers) = text.split_once('\n').unwrap();
    (now.parse().unwrap(), answers.to_owned())
}

fn run(
    change: &Change,
    transaction: &mut dyn Transaction,
    base: u64,
) -> Result<String, StoreError> {
    Ok(match change {
        Change::Append(event) => append(event, transaction)?,
        Change::Create(stream) => match transaction.create(&name(stream))? {
            Ok(()) => "created".to_owned(),
            Err(refusal) => format!("{refusal:?}"),
        },
        Change::Delete(stream, picks) => delete(stream, picks, transaction)?,
        Change::Trim(stream, pick) => {
            let next = transaction.stream(&name(stream))?;
            let first = pick % (next.map_or(0, |stream| stream.next_number()) + 1);
            match transaction.trim(&name(stream), first)? {
                Ok(()) => format!("trimmed to {first}"),
                Err(refusal) => format!("{refusal:?}"),
            }
        }
        Change::SetIds(stream, set) => {
            let view: &dyn View = transaction;
            let Some(stream) = view.stream(&name(stream))? else {
                return Ok("nothing to set".to_owned());
            };
            let top = match view.ends(&stream)? {
                Some((_, last)) => view.id_of(&stream, last)?,
                None => None,
            };
            let (id, surplus, max) =
                set.of(stream.last_id, stream.surplus, stream.max_deleted_id, top);
            let set = transaction.set_ids(&stream.name, id, surplus, max)?;
            set.map_or_else(
                |refusal| format!("{refusal:?}"),
                |()| format!("set {id} {surplus} {max}"),
            )
        }
        Change::Remove(stream) => match transaction.remove(&name(stream))? {
            Ok(is_there) => format!("removed {is_there}"),
            Err(refusal) => format!("{refusal:?}"),
        },
        Change::Rename(from, to) => match transaction.rename(&name(from), &name(to))? {
            Ok(()) => "renamed".to_owned(),
            Err(refusal) => format!("{refusal:?}"),
        },
        Change::Picture(stream) => {
            let view: &dyn View = transaction;
            let picture = match view.stream(&name(stream))? {
                Some(stream) => Some(picture(view, &stream, base, 300)?),
                None => None,
            };
            format!("{picture:?}")
        }
        Change::Pages(limit) => format!("{:?}", pages(transaction, base, *limit)?),
    })
}

fn append(event: &NewEvent, transaction: &mut dyn Transaction) -> Result<String, StoreError> {
    let stream = name(event.stream);
    let found = transaction.stream(&stream)?;
    let expect = event.expect.of(found.and_then(|stream| stream.tail));
    let appended = transaction.append(Write {
        make_stream: event.make_stream,
        id: event.id,
        ..Write::new(stream, expect, fields(event))
    })?;
    let seen =
        appended.map(|added| SeenEvent::new(added.number, added.position, added.id, &event.fields));
    Ok(format!("{seen:?}"))
}

fn delete(
    stream: &str,
    picks: &[u64],
    transaction: &mut dyn Transaction,
) -> Result<String, StoreError> {
    let view: &dyn View = transaction;
    let Some(stream) = view.stream(&name(stream))? else {
        return Ok("nothing to delete".to_owned());
    };
    let next = stream.next_number().max(1);
    let mut numbers: Vec<u64> = picks.iter().map(|pick| pick % next).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut kept = Vec::new();
    let mut max_id = EventId::MIN;
    for number in numbers {
        if let Some(id) = view.id_of(&stream, number)? {
            assert_eq!(view.number_of(&stream, id)?, Some(number));
            max_id = max_id.max(id);
            kept.push(number);
        }
    }
    if kept.is_empty() {
        return Ok("deleted []".to_owned());
    }
    Ok(match transaction.delete(&stream.name, &kept, max_id)? {
        Ok(()) => format!("deleted {kept:?}"),
        Err(refusal) => format!("{refusal:?}"),
    })
}

fn picture(
    view: &dyn View,
    stream: &meilies_server::engine::StreamSummary,
    base: u64,
    bytes_max: usize,
) -> Result<pictures::Picture, StoreError> {
    let mut picture = pictures::picture(view, stream, bytes_max)?;
    picture.id -= base;
    Ok(picture)
}

fn pages(view: &dyn View, base: u64, limit: usize) -> Result<pictures::Pages, StoreError> {
    let mut pages = pictures::pages(view, limit)?;
    for (_, id) in pages.by_name.iter_mut().chain(&mut pages.by_id) {
        *id -= base;
    }
    Ok(pages)
}

/// Everything that the engine shows is what the naive store has. The engine's first stream has the
/// id `base`.
pub(crate) fn check(engine: &dyn Engine, naive: &Naive, base: u64) {
    for limit in 1..=3 {
        let mut found = None;
        let look = engine.look(Access::Disk, &mut |view| {
            found = Some(pages(view, base, limit)?);
            Ok(())
        });
        look.unwrap();
        assert_eq!(found.unwrap(), naive.pages(), "in pages of {limit}");
    }
    let statistics = engine.statistics();
    assert_eq!(statistics.streams, naive.names.len() as u64);
    assert_eq!(statistics.events, naive.next_position);
    for stream in NAMES {
        check_stream(engine, naive, stream, base);
    }
    let all = naive.all();
    let tail = naive.next_position.checked_sub(1);
    for (reverse, bytes_max) in [(false, 1), (false, 900), (true, 1), (true, 900)] {
        let source = ReadSource::All;
        read(
            engine,
            &request(source, None, reverse, bytes_max),
            &all,
            tail,
        );
    }
}

fn check_stream(engine: &dyn Engine, naive: &Naive, stream: &str, base: u64) {
    for bytes_max in [1, 1000] {
        let mut found = None;
        let look = engine.look(Access::Disk, &mut |view| {
            found = match view.stream(&name(stream))? {
                Some(stream) => Some(picture(view, &stream, base, bytes_max)?),
                None => None,
            };
            Ok(())
        });
        look.unwrap();
        assert_eq!(found, naive.picture(stream));
    }
    let Some(kept) = naive.stream(stream) else {
        return;
    };
    let named = |event: &SeenEvent| (event.number, (stream.to_owned(), event.clone()));
    let expected = kept.events.values().map(named).collect();
    let id = naive.names[stream] + base;
    for (reverse, bytes_max) in [(false, 1), (false, 900), (true, 1), (true, 900)] {
        for bound in [None, Some(id)] {
            let source = ReadSource::Stream(name(stream));
            let request = request(source, bound, reverse, bytes_max);
            read(engine, &request, &expected, kept.tail());
        }
    }
}

fn request(
    source: ReadSource,
    stream_id: Option<u64>,
    reverse: bool,
    bytes_max: usize,
) -> ReadRequest {
    ReadRequest {
        source,
        stream_id,
        from: 0,
        until: None,
        bytes_max,
        reverse,
    }
}

/// Reads to the end, little by little, from memory where that can be: each part has what is
/// expected between where it began and where it says to go on.
fn read(
    engine: &dyn Engine,
    request: &ReadRequest,
    expected: &BTreeMap<u64, (String, SeenEvent)>,
    tail: Option<u64>,
) {
    let mut request = request.clone();
    let end = tail.map_or(0, |tail| tail + 1);
    let mut left = 0..end;
    while !left.is_empty() {
        let outcome = match engine.read(&request, Access::Memory) {
            Err(StoreError::WouldBlock) => engine.read(&request, Access::Disk).unwrap(),
            other => other.unwrap(),
        };
        assert_eq!(outcome.tail, tail);
        let next = outcome.next;
        let told = match request.reverse {
            false => left.start..next,
            true => next..left.end,
        };
        let is_last = told.is_empty();
        let told = if is_last { left.clone() } else { told };
        assert!(
            told.start >= left.start && told.end <= left.end,
            "{told:?} of {left:?}"
        );
        let mut wanted: Vec<&(String, SeenEvent)> =
            expected.range(told).map(|(_, event)| event).collect();
        if request.reverse {
            wanted.reverse();
        }
        let events = events(&outcome, request.reverse);
        assert_eq!(
            events.iter().collect::<Vec<_>>(),
            wanted,
            "{request:?}, next {next}"
        );
        if is_last {
            return;
        }
        if request.reverse {
            (left.end, request.until) = (next, Some(next));
        } else {
            (left.start, request.from) = (next, next);
        }
    }
}

fn events(outcome: &ReadOutcome, reverse: bool) -> Vec<(String, SeenEvent)> {
    let named = |run| {
        let run: &meilies_server::engine::Run = run;
        let stream = run.batch.stream.to_string();
        let events = seen(run, reverse).into_iter();
        events.map(move |event| (stream.clone(), event))
    };
    outcome.runs.iter().flat_map(named).collect()
}
