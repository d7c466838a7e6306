//! `XCLAIM`, `XAUTOCLAIM` and `XNACK`: pending entries change their owner, or are given back.

use std::collections::HashMap;

use bytes::BytesMut;
use meilies_protocol::{Delivered, EventId, NackMode, XAutoClaim, XClaim, XNack, writer};

use super::entries::{Fields, is_deleted};
use super::{Editor, no_key_or_group};
use crate::command::data::all;
use crate::engine::{NOBODY, PendingEntry, StoreError, Transaction, Verdict, View, Wanted};

/// Entries that XAUTOCLAIM looks at for each that it may take, as in Redis.
const ATTEMPTS: u64 = 10;

/// `XCLAIM key group consumer min-idle id [id …] [IDLE ms] [TIME ms] [RETRYCOUNT n] [FORCE]
/// [JUSTID] [LASTID id]`
pub(in crate::command) fn claim(
    transaction: &mut dyn Transaction,
    request: &XClaim,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let Some(mut editor) = Editor::find(transaction, &request.key, &request.group)? else {
        no_key_or_group(&request.key, &request.group, "", out);
        return Ok(Verdict::Commit);
    };
    if let Some(last_id) = request.last_id.filter(|id| *id > editor.group.last_id) {
        let next = match last_id.next() {
            Some(behind) => transaction.find(&editor.stream, behind)?.number,
            None => editor.stream.next_number(),
        };
        let group = editor.change();
        (group.last_id, group.next) = (last_id, next);
    }
    let now = transaction.now_ms();
    let delivered_at = match request.delivered {
        None => now,
        Some(Delivered::AgoMs(ms)) => now.saturating_sub(ms),
        Some(Delivered::AtMs(ms)) => ms.min(now),
    };
    let view: &dyn View = transaction;
    let before = all(request
        .ids
        .iter()
        .map(|id| view.pending_entry(&editor.group, *id)))?;
    let places = all(request
        .ids
        .iter()
        .zip(&before)
        .map(|(id, before)| match before {
            Some(entry) => Ok(Some(*entry)),
            None if request.force => {
                let number = view.number_of(&editor.stream, *id)?;
                Ok(number.map(|number| PendingEntry {
                    id: *id,
                    number,
                    consumer: 0,
                    delivered_at: 0,
                    deliveries: 1,
                }))
            }
            None => Ok(None),
        }))?;
    let known: Vec<PendingEntry> = places.iter().flatten().copied().collect();
    let mut fields = Fields::default();
    let mut loaded = fields.load(view, &editor.stream, &known)?.into_iter();
    let (consumer, _) = editor.consumer(transaction, &request.consumer);
    let mut claimed = Vec::new();
    // An id that is named twice is claimed twice.
    let mut changed: HashMap<EventId, Option<PendingEntry>> = HashMap::new();
    for (entry, before) in places.into_iter().zip(before) {
        let Some(entry) = entry else {
            continue;
        };
        let place = loaded.next().flatten();
        let before = changed.get(&entry.id).copied().unwrap_or(before);
        let entry = before.unwrap_or(entry);
        let Some(place) = place else {
            // Its event is deleted: it is pending no more.
            if let Some(before) = before {
                transaction.count(1);
                editor.settle(transaction, before);
                changed.insert(entry.id, None);
            }
            continue;
        };
        let is_idle = before.is_none_or(|before| before.is_idle(now, request.min_idle_ms));
        if !is_idle {
            continue;
        }
        let deliveries = match request.deliveries {
            Some(deliveries) => deliveries,
            None => entry.deliveries + u64::from(!request.just_ids),
        };
        let taken = PendingEntry {
            consumer,
            delivered_at,
            deliveries,
            ..entry
        };
        editor.put(transaction, taken, before);
        changed.insert(entry.id, Some(taken));
        claimed.push((entry.id, place));
    }
    editor.seen(consumer, now, !claimed.is_empty());
    editor.finish(transaction)?;
    transaction.count(claimed.len() as u64);
    writer::array_header(out, claimed.len());
    for (id, place) in &claimed {
        match request.just_ids {
            true => writer::bulk_id(out, *id),
            false => fields.write(*id, place, out),
        }
    }
    Ok(Verdict::Commit)
}

/// `XAUTOCLAIM key group consumer min-idle start [COUNT n] [JUSTID]`
pub(in crate::command) fn claim_idle(
    transaction: &mut dyn Transaction,
    request: &XAutoClaim,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let Some(mut editor) = Editor::find(transaction, &request.key, &request.group)? else {
        no_key_or_group(&request.key, &request.group, "", out);
        return Ok(Verdict::Commit);
    };
    let now = transaction.now_ms();
    let view: &dyn View = transaction;
    let attempts = request.count.saturating_mul(ATTEMPTS);
    let attempts = usize::try_from(attempts).unwrap_or(usize::MAX);
    let range = request.start..=EventId::MAX;
    let most = attempts.saturating_add(1);
    let looked_at = view.pending(&editor.group, range, &Wanted::ALL, false, most)?;
    // What is deleted is found out for each, and counts.
    let is_gone = is_deleted(view, &editor.stream)?;
    let (consumer, _) = editor.consumer(transaction, &request.consumer);
    let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
    let mut cursor = EventId::MIN;
    let mut left = request.count;
    for (at, entry) in looked_at.into_iter().enumerate() {
        if left == 0 || at >= attempts {
            cursor = entry.id;
            break;
        }
        if is_gone(&entry) {
            editor.settle(transaction, entry);
            deleted.push(entry.id);
            left -= 1;
            continue;
        }
        if !entry.is_idle(now, request.min_idle_ms) {
            continue;
        }
        let taken = PendingEntry {
            consumer,
            delivered_at: now,
            deliveries: entry.deliveries + u64::from(!request.just_ids),
            ..entry
        };
        editor.put(transaction, taken, Some(entry));
        claimed.push(entry);
        left -= 1;
    }
    let mut fields = Fields::default();
    let places = match request.just_ids {
        true => Vec::new(),
        false => fields.load(transaction, &editor.stream, &claimed)?,
    };
    editor.seen(consumer, now, !claimed.is_empty());
    editor.finish(transaction)?;
    transaction.count((claimed.len() + deleted.len()) as u64);
    writer::array_header(out, 3);
    writer::bulk_id(out, cursor);
    writer::array_header(out, claimed.len());
    for (at, entry) in claimed.iter().enumerate() {
        match places.get(at).and_then(Option::as_ref) {
            Some(place) => fields.write(entry.id, place, out),
            None => writer::bulk_id(out, entry.id),
        }
    }
    writer::array_header(out, deleted.len());
    for id in deleted {
        writer::bulk_id(out, id);
    }
    Ok(Verdict::Commit)
}

/// `XNACK key group SILENT|FAIL|FATAL IDS count id … [RETRYCOUNT n] [FORCE]`: gives events back, so
/// that nobody has them and they may be claimed at once, in the order in which they were given
/// back. Replies with how many.
pub(in crate::command) fn give_back(
    transaction: &mut dyn Transaction,
    request: &XNack,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let Some(mut editor) = Editor::find(transaction, &request.key, &request.group)? else {
        no_key_or_group(&request.key, &request.group, "", out);
        return Ok(Verdict::Commit);
    };
    let view: &dyn View = transaction;
    let found = all(request
        .ids
        .iter()
        .map(|id| view.pending_entry(&editor.group, *id)))?;
    // Events that are there and not pending, if these are to become so.
    let new = all(request.ids.iter().zip(&found).map(|(id, found)| {
        let number = match found {
            None if request.force => view.number_of(&editor.stream, *id)?,
            _ => None,
        };
        Ok(number.map(|number| PendingEntry {
            id: *id,
            number,
            consumer: NOBODY,
            delivered_at: 0,
            deliveries: 0,
        }))
    }))?;
    let mut released = 0;
    // An id that is named twice is given back twice.
    let mut changed: HashMap<EventId, PendingEntry> = HashMap::new();
    for (found, new) in found.into_iter().zip(new) {
        let Some(entry) = found.or(new) else {
            continue;
        };
        let before = changed.get(&entry.id).copied().or(found);
        let entry = before.unwrap_or(entry);
        let deliveries = request.deliveries.unwrap_or(match request.mode {
            NackMode::Silent => entry.deliveries.saturating_sub(1),
            NackMode::Fail => entry.deliveries,
            NackMode::Fatal => i64::MAX as u64,
        });
        let given_back = PendingEntry {
            consumer: NOBODY,
            delivered_at: transaction.new_id(),
            deliveries,
            ..entry
        };
        editor.put(transaction, given_back, before);
        changed.insert(entry.id, given_back);
        released += 1;
    }
    editor.finish(transaction)?;
    transaction.count(released);
    writer::number(out, released);
    Ok(Verdict::Commit)
}
