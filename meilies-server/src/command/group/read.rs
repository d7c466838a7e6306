//! `XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [CLAIM min-idle-ms] [NOACK] …`

use bytes::BytesMut;
use meilies_protocol::{EventId, GroupFrom, StreamName, Version, XReadGroup, writer};

use super::counts::Counts;
use super::entries::{Before, Fields, Place};
use super::pending::{claimable, collect_own};
use super::{Editor, READING, no_key_or_group};
use crate::command::data::{Scope, all};
use crate::command::stream::range::{Part, check_size};
use crate::command::stream::read::{write_header, write_stream};
use crate::engine::{PendingEntry, StoreError, Transaction, Verdict, View, Wanted};
use crate::event_log::Place as Turn;

/// An event, by its id and where its fields lie; nowhere where it is deleted.
type Entry = (EventId, Option<Place>);

/// An event that was never delivered.
struct Fresh {
    id: EventId,
    number: u64,
    place: Place,
}

/// What one stream gives.
struct Given {
    key: StreamName,
    fields: Fields,
    entries: Vec<Entry>,
    /// What each entry that was claimed was before; the others come behind them and get zeros. Only
    /// where CLAIM is given.
    claimed: Option<Vec<Before>>,
}

/// Reads for a consumer: nothing is written when there is nothing to give. Who stands in line gets
/// what is new only where it is first.
pub(in crate::command) fn read(
    transaction: &mut dyn Transaction,
    request: &XReadGroup,
    place: Option<&Turn>,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    for (key, _) in &request.streams {
        if Editor::find(transaction, key, &request.group)?.is_none() {
            no_key_or_group(key, &request.group, READING, out);
            return Ok(Verdict::Commit);
        }
    }
    let begin = out.len();
    let mut limits = Limits {
        count: request.max_count.unwrap_or(u64::MAX),
        bytes: request.max_size,
        is_begun: false,
    };
    let is_its_turn = |key| place.is_none_or(|place| place.is_first(key));
    let mut parts = Vec::new();
    for (key, from) in &request.streams {
        let found = match from {
            GroupFrom::New => {
                let is_its_turn = is_its_turn(key);
                new(transaction, request, key, is_its_turn, &mut limits)?
            }
            GroupFrom::History(_) if limits.count == 0 => None,
            GroupFrom::History(after) => {
                Some(history(transaction, request, key, *after, &mut limits)?)
            }
        };
        parts.extend(found);
    }
    if parts.is_empty() {
        return Ok(Verdict::Commit);
    }
    write_header(out, scope.version, parts.len());
    for part in parts {
        write_part(&part, scope.version, out);
    }
    check_size(out, begin);
    Ok(Verdict::Commit)
}

/// What may still be given of all streams together.
struct Limits {
    count: u64,
    bytes: Option<u64>,
    /// Whether anything is given.
    is_begun: bool,
}

fn write_part(part: &Given, version: Version, out: &mut BytesMut) {
    write_stream(out, version, &part.key, part.entries.len());
    for (at, (id, place)) in part.entries.iter().enumerate() {
        match (place, &part.claimed) {
            (None, _) => {
                writer::array_header(out, 2);
                writer::bulk_id(out, *id);
                writer::null_array(out, version);
            }
            (Some(place), None) => part.fields.write(*id, place, out),
            (Some(place), Some(claimed)) => {
                let before = claimed.get(at).copied().unwrap_or((Some(0), 0));
                part.fields.write_claimed(*id, place, before, out);
            }
        }
    }
}

/// What was never delivered, if it is its turn to get that, behind what others left idle if that is
/// asked for.
fn new(
    transaction: &mut dyn Transaction,
    request: &XReadGroup,
    key: &StreamName,
    is_its_turn: bool,
    limits: &mut Limits,
) -> Result<Option<Given>, StoreError> {
    let Some(mut editor) = Editor::find(transaction, key, &request.group)? else {
        return Ok(None);
    };
    let now = transaction.now_ms();
    let wanted = request.count.unwrap_or(u64::MAX).min(limits.count);
    let (consumer, is_new) = editor.consumer(transaction, &request.consumer);
    let mut part = Given::of(key);
    if let Some(min_idle_ms) = request.claim_ms {
        let idle = (min_idle_ms, wanted, consumer);
        claim(transaction, &mut editor, idle, limits, &mut part)?;
    }
    let left = match is_its_turn {
        true => wanted - part.entries.len() as u64,
        false => 0,
    };
    let fresh = undelivered(transaction, &editor, left, limits, &mut part.fields)?;
    // What needs no acknowledgement is not in its hands.
    let takes_any = !part.entries.is_empty() || !(fresh.is_empty() || request.no_ack);
    // What is new counts once, however much it is.
    transaction.count(part.entries.len() as u64 + u64::from(!fresh.is_empty()));
    deliver(transaction, &mut editor, consumer, request.no_ack, &fresh)?;
    let fresh = fresh.into_iter().map(|event| (event.id, Some(event.place)));
    part.entries.extend(fresh);
    limits.count -= part.entries.len() as u64;
    if is_new || !part.entries.is_empty() {
        editor.seen(consumer, now, takes_any);
    } else {
        transaction.sightings().note(consumer, now);
    }
    editor.finish(transaction)?;
    Ok((!part.entries.is_empty()).then_some(part))
}

/// Events behind the last that was delivered.
fn undelivered(
    view: &dyn View,
    editor: &Editor,
    count: u64,
    limits: &mut Limits,
    fields: &mut Fields,
) -> Result<Vec<Fresh>, StoreError> {
    let stream = &editor.stream;
    let next = editor.next(view)?;
    let part = Part {
        deleted: view.deleted(stream)?,
        numbers: next..stream.next_number().max(next),
        stream: stream.clone(),
        reverse: false,
    };
    let mut part = part.limited(Some(count));
    let mut found = Vec::new();
    while !part.numbers.is_empty() {
        for run in part.next(view)? {
            for event in run.events() {
                let place = fields.push(&event);
                if !limits.takes(&place) {
                    return Ok(found);
                }
                found.push(Fresh {
                    id: event.id,
                    number: event.number,
                    place,
                });
            }
        }
    }
    Ok(found)
}

impl Limits {
    /// Whether there is room for an event; for the first there is in any case.
    fn takes(&mut self, event: &Place) -> bool {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let Some(left) = &mut self.bytes else {
            return true;
        };
        let fits = is_first || event.size <= *left;
        *left = left.saturating_sub(event.size);
        fits
    }
}

impl Given {
    /// Nothing yet.
    fn of(key: &StreamName) -> Given {
        Given {
            key: key.clone(),
            fields: Fields::default(),
            entries: Vec::new(),
            claimed: None,
        }
    }
}

/// Makes events pending with a consumer, and moves the group behind them.
fn deliver(
    transaction: &mut dyn Transaction,
    editor: &mut Editor,
    consumer: u64,
    no_ack: bool,
    events: &[Fresh],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let now = transaction.now_ms();
    let counts = Counts::of(transaction, &editor.stream)?;
    // Those that are pending already: the group was set back.
    let view: &dyn View = transaction;
    let before = all(events.iter().map(|event| match no_ack {
        true => Ok(None),
        false => view.pending_entry(&editor.group, event.id),
    }))?;
    for (event, before) in events.iter().zip(before) {
        let group = editor.change();
        group.entries_read = counts.read(group.entries_read, group.last_id, event.id);
        group.last_id = event.id;
        group.next = event.number + 1;
        if no_ack {
            continue;
        }
        let entry = PendingEntry {
            id: event.id,
            number: event.number,
            consumer,
            delivered_at: now,
            deliveries: 1,
        };
        editor.put(transaction, entry, before);
    }
    Ok(())
}

/// Takes over what has been idle for so long, what was given back first, then what is idle for
/// longest. What is deleted by now stays as it is.
fn claim(
    transaction: &mut dyn Transaction,
    editor: &mut Editor,
    (min_idle_ms, wanted, consumer): (u64, u64, u64),
    limits: &mut Limits,
    part: &mut Given,
) -> Result<(), StoreError> {
    let now = transaction.now_ms();
    let view: &dyn View = transaction;
    let most = usize::try_from(wanted).unwrap_or(usize::MAX);
    let idle = Wanted::ALL.idle_for(now, min_idle_ms);
    let idle = claimable(view, editor, &idle, most)?;
    let places = part.fields.load(view, &editor.stream, &idle)?;
    let mut claimed = Vec::new();
    for (entry, place) in idle.into_iter().zip(places) {
        let Some(place) = place.filter(|place| limits.takes(place)) else {
            break;
        };
        claimed.push((entry.idle_ms(now), entry.deliveries));
        part.entries.push((entry.id, Some(place)));
        let taken = PendingEntry {
            consumer,
            delivered_at: now,
            deliveries: entry.deliveries + 1,
            ..entry
        };
        editor.put(transaction, taken, Some(entry));
    }
    part.claimed = Some(claimed);
    Ok(())
}

/// What is pending with the consumer behind an id. It counts as delivered once more.
fn history(
    transaction: &mut dyn Transaction,
    request: &XReadGroup,
    key: &StreamName,
    after: EventId,
    limits: &mut Limits,
) -> Result<Given, StoreError> {
    let mut part = Given::of(key);
    let Some(mut editor) = Editor::find(transaction, key, &request.group)? else {
        return Ok(part);
    };
    let now = transaction.now_ms();
    let (consumer, is_new) = editor.consumer(transaction, &request.consumer);
    let view: &dyn View = transaction;
    let count = request.count.unwrap_or(u64::MAX).min(limits.count);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let own = match (after.next(), editor.group.consumer(&request.consumer)) {
        (Some(from), Some(owner)) => {
            collect_own(view, &editor.group, owner, from..=EventId::MAX, count)?
        }
        _ => Vec::new(),
    };
    let places = part.fields.load(view, &editor.stream, &own)?;
    for (entry, place) in own.into_iter().zip(places) {
        if let Some(place) = &place {
            if !limits.takes(place) {
                break;
            }
            let again = PendingEntry {
                delivered_at: now,
                deliveries: entry.deliveries + 1,
                ..entry
            };
            editor.put(transaction, again, Some(entry));
        }
        part.entries.push((entry.id, place));
    }
    limits.count -= part.entries.len() as u64;
    if let (Some((first, _)), EventId::MIN) = (part.entries.first(), after) {
        // What was passed over is not looked at again.
        editor.first_is(consumer, *first);
    }
    if is_new || !part.entries.is_empty() {
        editor.seen(consumer, now, false);
    } else {
        transaction.sightings().note(consumer, now);
    }
    editor.finish(transaction)?;
    Ok(part)
}
