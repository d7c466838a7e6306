//! Redis' commands about a stream and its events: XADD, XLEN, XRANGE, XREAD, XDEL, XTRIM, XSETID,
//! XCFGSET, XINFO.

use bytes::BytesMut;
use meilies_protocol::{EventId, References, StreamName, Trim, TrimBy, XSetId, writer};

pub(crate) mod add;
pub(super) mod idempotency;
pub(crate) mod info;
pub(crate) mod range;
pub(crate) mod read;

use super::data::{Scope, all};
use super::{group, refusal};
use crate::engine::{
    DeletedNumbers, Group, Refusal, StoreError, StreamSummary, Transaction, Verdict, View,
};

/// Nodes that one approximate trim takes when it is not told, as in Redis.
const TRIM_NODES_DEFAULT: u64 = 100;
/// Events that it takes when nodes have no bound.
const TRIM_EVENTS_DEFAULT: u64 = 10_000;
/// Events that it takes at most when it is not told.
const TRIM_EVENTS_DEFAULT_MAX: u64 = 1_000_000;

const NO_SUCH_KEY: &str = "ERR no such key";

/// `XLEN key`
pub(super) fn length(
    view: &dyn View,
    key: &StreamName,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let stream = view.stream(key)?;
    writer::number(out, stream.map_or(0, |stream| stream.length()));
    Ok(())
}

/// `XDEL key id [id …]`: how many there were.
pub(super) fn delete(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    ids: &[EventId],
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    match group::delete_referenced(transaction, key, References::Keep, ids)? {
        Ok(outcomes) => {
            let deleted = outcomes.into_iter();
            let deleted = deleted.filter(|outcome| *outcome == group::Outcome::Deleted);
            let deleted = deleted.count() as u64;
            transaction.count(deleted);
            writer::number(out, deleted);
        }
        Err(refused) => writer::error(out, &refusal(&refused)),
    }
    Ok(Verdict::Commit)
}

/// `XDELEX key [KEEPREF|DELREF|ACKED] IDS count id [id …]`: for each 1 if it was deleted, -1 if
/// there was none, and 2 if a group has not acknowledged it.
pub(super) fn delete_each(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    references: References,
    ids: &[EventId],
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    match group::delete_referenced(transaction, key, references, ids)? {
        Ok(outcomes) => {
            writer::array_header(out, outcomes.len());
            for outcome in outcomes {
                transaction.count(u64::from(outcome == group::Outcome::Deleted));
                let outcome = match outcome {
                    group::Outcome::Missing => -1,
                    group::Outcome::Deleted => 1,
                    group::Outcome::Referenced => 2,
                };
                writer::integer(out, outcome);
            }
        }
        Err(refused) => writer::error(out, &refusal(&refused)),
    }
    Ok(Verdict::Commit)
}

/// `XTRIM key MAXLEN|MINID [=|~] threshold [LIMIT count] [KEEPREF|DELREF|ACKED]`: how many events
/// are gone.
pub(super) fn trim(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    trim: (&Trim, References),
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    match trim_stream(transaction, key, trim, scope)? {
        Ok(trimmed) => writer::number(out, trimmed),
        Err(refused) => writer::error(out, &refusal(&refused)),
    }
    Ok(Verdict::Commit)
}

/// Trims a stream, which need not be there. Returns how many events are gone.
fn trim_stream(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    trim: (&Trim, References),
    scope: Scope,
) -> Result<Result<u64, Refusal>, StoreError> {
    let trimmed = take_from_front(transaction, key, trim, scope)?;
    transaction.count(*trimmed.as_ref().unwrap_or(&0));
    Ok(trimmed)
}

fn take_from_front(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    (trim, references): (&Trim, References),
    scope: Scope,
) -> Result<Result<u64, Refusal>, StoreError> {
    let view: &dyn View = transaction;
    let Some(stream) = view.stream(key)? else {
        return Ok(Ok(0));
    };
    let deleted = view.deleted(&stream)?;
    let length = stream.length();
    let excess = match trim.by {
        TrimBy::MaxLen(most) => length.saturating_sub(most),
        TrimBy::MinId(least) => {
            let end = view.find(&stream, least)?.number;
            (end - stream.first) - deleted.count(stream.first..end)
        }
    };
    let excess = match trim.approximate {
        true => {
            let by = (trim.limit, references);
            approximately(&stream, &deleted, excess, by, scope.node_events_max)
        }
        false => excess,
    };
    if excess == 0 {
        return Ok(Ok(0));
    }
    let first = deleted.start_of_last(stream.first, stream.next_number(), length - excess);
    if references == References::Keep || view.groups(&stream)?.is_empty() {
        return Ok(transaction.trim(key, first)?.map(|()| excess));
    }
    // Groups may hold on to each of them.
    let part = range::Part {
        deleted,
        numbers: stream.first..first,
        stream: stream.clone(),
        reverse: false,
    };
    let ids = part.ids(view)?;
    if references == References::Delete {
        group::forget(transaction, &stream, &ids)?;
        return Ok(transaction.trim(key, first)?.map(|()| excess));
    }
    let kept = group::are_referenced(view, &stream, &ids)?;
    let numbers = part_numbers(view, &stream, &ids, &kept)?;
    let trimmed = numbers.len() as u64;
    if numbers.is_empty() {
        return Ok(Ok(0));
    }
    // What is trimmed is not deleted by itself: the highest id of those stays as it is.
    let deleted = transaction.delete(key, &numbers, EventId::MIN)?;
    Ok(deleted.map(|()| trimmed))
}

/// The numbers of those events that are not kept.
fn part_numbers(
    view: &dyn View,
    stream: &StreamSummary,
    ids: &[EventId],
    kept: &[bool],
) -> Result<Vec<u64>, StoreError> {
    let gone = ids.iter().zip(kept).filter(|(_, kept)| !**kept);
    let numbers = all(gone.map(|(id, _)| view.number_of(stream, *id)))?;
    Ok(numbers.into_iter().flatten().collect())
}

/// What of the excess an approximate trim takes: whole nodes, which are so many numbers in a row
/// from 0 on, and the last one if all of its events are to go; of the last one that it looks at
/// some events, where groups have a say in what is taken. All that it looks at are no more than
/// `limit` events.
fn approximately(
    stream: &StreamSummary,
    deleted: &DeletedNumbers,
    excess: u64,
    (limit, references): (Option<u64>, References),
    node: u64,
) -> u64 {
    let limit = match limit {
        Some(0) => u64::MAX,
        Some(limit) => limit,
        None => match TRIM_NODES_DEFAULT.saturating_mul(node) {
            0 => TRIM_EVENTS_DEFAULT,
            events => events.min(TRIM_EVENTS_DEFAULT_MAX),
        },
    };
    let node = if node == 0 { u64::MAX } else { node };
    let (start, end, length) = (stream.first, stream.next_number(), stream.length());
    let events_below = |number: u64| (number - start) - deleted.count(start..number);
    let node_begin = |number: u64| (number / node * node).max(start);
    // Where what is kept begins, if so many go.
    let behind = |events: u64| deleted.start_of_last(start, end, length - events);
    let cut = behind(excess);
    let looked_at = cut.div_ceil(node).saturating_mul(node).min(end);
    let takes_parts = excess == length || references != References::Keep;
    if takes_parts && events_below(looked_at) <= limit {
        return excess;
    }
    events_below(node_begin(behind(excess.min(limit))))
}

/// `XSETID key id [ENTRIESADDED count] [MAXDELETEDID id]`
pub(super) fn set_id(
    transaction: &mut dyn Transaction,
    request: &XSetId,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let view: &dyn View = transaction;
    let Some(stream) = view.stream(&request.key)? else {
        writer::error(out, NO_SUCH_KEY);
        return Ok(Verdict::Commit);
    };
    if let Some(error) = why_not(view, &stream, request)? {
        writer::error(out, error);
        return Ok(Verdict::Commit);
    }
    let surplus = match request.entries_added {
        Some(added) => added.wrapping_sub(stream.next_number()),
        None => stream.surplus,
    };
    let max_deleted = request.max_deleted.filter(|id| *id > EventId::MIN);
    let max_deleted = max_deleted.unwrap_or(stream.max_deleted_id);
    match transaction.set_ids(&request.key, request.id, surplus, max_deleted)? {
        Ok(()) => {
            if let Some(added) = request.entries_added {
                limit_entries_read(transaction, &stream, added)?;
            }
            transaction.count(1);
            writer::simple(out, "OK");
        }
        Err(refused) => writer::error(out, &refusal(&refused)),
    }
    Ok(Verdict::Commit)
}

/// No group has read more than was ever added.
fn limit_entries_read(
    transaction: &mut dyn Transaction,
    stream: &StreamSummary,
    added: u64,
) -> Result<(), StoreError> {
    for group in transaction.groups(stream)? {
        if group.entries_read.is_some_and(|read| read > added) {
            let entries_read = Some(added);
            let group = Group {
                entries_read,
                ..(*group).clone()
            };
            transaction.put_group(stream, group)?;
        }
    }
    Ok(())
}

fn why_not(
    view: &dyn View,
    stream: &StreamSummary,
    request: &XSetId,
) -> Result<Option<&'static str>, StoreError> {
    // Whether or not another one is given.
    if request.id < stream.max_deleted_id {
        return Ok(Some(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    let last_id = match view.ends(stream)? {
        Some((_, last)) => view.id_of(stream, last)?,
        None => None,
    };
    if last_id.is_some_and(|last| request.id < last) {
        return Ok(Some(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if request
        .entries_added
        .is_some_and(|added| added < stream.length())
    {
        return Ok(Some(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    Ok(None)
}
