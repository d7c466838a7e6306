//! `XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [CLAIM min-idle-ms] [NOACK] …`

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use meilies_protocol::{
    EventId, GroupFrom, StreamName, UnblockReason, Version, XReadGroup, writer,
};
use tokio::time::Instant;

use super::counts::Counts;
use super::entries::{Before, Fields, Place};
use super::pending::collect_own;
use super::{Editor, READING, no_key_or_group};
use crate::command::data::{Scope, all, finish};
use crate::command::stream::range::{Part, check_size};
use crate::command::stream::read::{blocked, look_async, write_header, write_stream};
use crate::command::{Flow, Next};
use crate::context::Context;
use crate::engine::{Operation, PendingEntry, StoreError, Transaction, Verdict, View, Wanted};
use crate::event_log::{EventLog, Line, Place as Turn, Waiter, What};
use crate::session::Session;

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
    };
    let is_its_turn = |key| place.is_none_or(|place| place.is_first(key));
    let mut parts = Vec::new();
    for (key, from) in &request.streams {
        let found = match from {
            GroupFrom::New => {
                let is_its_turn = is_its_turn(key);
                new(transaction, request, key, is_its_turn, &mut limits)?
            }
            GroupFrom::History(after) => Some(history(transaction, request, key, *after)?),
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
    deliver(transaction, &mut editor, consumer, request.no_ack, &fresh)?;
    let fresh = fresh.into_iter().map(|event| (event.id, Some(event.place)));
    part.entries.extend(fresh);
    limits.count -= part.entries.len() as u64;
    if is_new || !part.entries.is_empty() {
        editor.seen(consumer, now, !part.entries.is_empty());
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
                if !limits.takes(&place, found.is_empty()) {
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
    fn takes(&mut self, event: &Place, is_first: bool) -> bool {
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
/// longest. What is deleted by now is pending no more.
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
    let idle = view.first_in_turn(&editor.group, &idle, most)?;
    let places = part.fields.load(view, &editor.stream, &idle)?;
    let mut claimed = Vec::new();
    for (entry, place) in idle.into_iter().zip(places) {
        let Some(place) = place else {
            editor.settle(transaction, entry);
            continue;
        };
        if !limits.takes(&place, part.entries.is_empty()) {
            break;
        }
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
) -> Result<Given, StoreError> {
    let mut part = Given::of(key);
    let Some(mut editor) = Editor::find(transaction, key, &request.group)? else {
        return Ok(part);
    };
    let now = transaction.now_ms();
    let (consumer, is_new) = editor.consumer(transaction, &request.consumer);
    let view: &dyn View = transaction;
    let count = usize::try_from(request.count.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let own = match (after.next(), editor.group.consumer(&request.consumer)) {
        (Some(from), Some(owner)) => {
            collect_own(view, &editor.group, owner, from..=EventId::MAX, count)?
        }
        _ => Vec::new(),
    };
    let places = part.fields.load(view, &editor.stream, &own)?;
    for (entry, place) in own.into_iter().zip(places) {
        if place.is_some() {
            let again = PendingEntry {
                delivered_at: now,
                deliveries: entry.deliveries + 1,
                ..entry
            };
            editor.put(transaction, again, Some(entry));
        }
        part.entries.push((entry.id, place));
    }
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

/// An XREADGROUP alone: it waits if it is to, there is nothing, and it asks for nothing but what
/// was not delivered yet.
pub(in crate::command) fn alone(
    context: &Arc<Context>,
    session: &Session,
    request: XReadGroup,
) -> Flow {
    let scope = Scope::of(context, session);
    let waits = request
        .block_ms
        .map(|block_ms| Waits::begin(context, session, &request, block_ms));
    let place = waits.as_ref().map(|waits| Arc::clone(&waits.place));
    let first = transact(&context.event_log, Arc::new(request), place, scope);
    Flow::Later(Box::pin(async move {
        let reply = first.await;
        let next: Next = Box::new(move |context, session, out| match (reply, waits) {
            (Ok(reply), Some(waits)) if reply.is_empty() => wait(context, session, waits, scope),
            (Ok(reply), None) if reply.is_empty() => {
                writer::null_array(out.buffer(), scope.version);
                Flow::Done
            }
            (reply, _) => finish(reply, out),
        });
        next
    }))
}

/// What may have to wait.
struct Waits {
    /// In memory of its own: the bytes that came with it are not kept for so long.
    request: XReadGroup,
    /// From the moment at which the command came: the order of commits is that of commands, but
    /// connections do not hear of them in this order.
    place: Arc<Turn>,
    block_ms: u64,
}

impl Waits {
    fn begin(context: &Context, session: &Session, request: &XReadGroup, block_ms: u64) -> Waits {
        let streams = request.streams.iter();
        let request = XReadGroup {
            group: Bytes::copy_from_slice(&request.group),
            consumer: Bytes::copy_from_slice(&request.consumer),
            streams: streams.map(|(key, from)| (key.detached(), *from)).collect(),
            ..request.clone()
        };
        let streams = names(&request);
        let inbox = session.client.inbox();
        let log = &context.event_log;
        let place = log.stand_in_line(&streams, &request.group, request.claim_ms, inbox);
        Waits {
            request,
            place: Arc::new(place),
            block_ms,
        }
    }
}

/// Reads in a commit: an empty reply when there is nothing.
fn transact(
    log: &EventLog,
    request: Arc<XReadGroup>,
    place: Option<Arc<Turn>>,
    scope: Scope,
) -> BoxFuture<'static, Result<BytesMut, StoreError>> {
    let operation = Operation {
        names: Vec::new(),
        bytes: 1024,
        run: Box::new(move |transaction, out| {
            read(transaction, &request, place.as_deref(), scope, out)
        }),
    };
    log.engine().transact(operation)
}

fn wait(context: &Context, session: &Session, waits: Waits, scope: Scope) -> Flow {
    let Waits {
        request,
        place,
        block_ms,
    } = waits;
    let log = context.event_log.clone();
    let inbox = session.client.inbox();
    let waiter = Waiter::new(&log, inbox, names(&request), Some(Arc::clone(&place)));
    let request = Arc::new(request);
    let deadline = match block_ms {
        0 => None,
        ms => Instant::now().checked_add(Duration::from_millis(ms)),
    };
    let found = async move { found(&log, waiter, request, deadline, place, scope).await };
    // It looks at the clock by itself: what a commit gives it is not given up half-way.
    blocked(found, 0, scope.version, |_context, reply, out| {
        finish(reply, out)
    })
}

fn names(request: &XReadGroup) -> Vec<StreamName> {
    request.streams.iter().map(|(key, _)| key.clone()).collect()
}

/// Reads when it is its turn and there is something, or the group is gone.
async fn found(
    log: &EventLog,
    mut waiter: Waiter,
    request: Arc<XReadGroup>,
    deadline: Option<Instant>,
    place: Arc<Turn>,
    scope: Scope,
) -> Result<Result<BytesMut, StoreError>, UnblockReason> {
    loop {
        let moment = log.moment();
        let (wanted, line) = (Arc::clone(&request), Arc::clone(&place));
        let due_ms = match look_async(log, move |view| has_any(view, &wanted, &line)).await {
            Ok(Seen::Nothing { due_ms }) => due_ms,
            Ok(Seen::Something) => {
                let (wanted, place) = (Arc::clone(&request), Arc::clone(&place));
                match transact(log, wanted, Some(place), scope).await {
                    Ok(reply) if reply.is_empty() => request.claim_ms.map(|_| 0),
                    reply => return Ok(reply),
                }
            }
            Err(error) => return Ok(Err(error)),
        };
        let due = async {
            match due_ms {
                // The clock may be a little behind.
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms + 1)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            woken = waiter.sleep(moment) => if let Some(reason) = woken {
                return Err(reason);
            },
            () = due => {}
            () = until(deadline) => return Err(UnblockReason::Timeout),
        }
    }
}

/// Resolves at the deadline, if there is one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What who waits has seen.
enum Seen {
    /// There may be an answer.
    Something,
    /// There is none yet; something pending may be claimed in so many ms, if nothing becomes of it
    /// before.
    Nothing { due_ms: Option<u64> },
}

/// Whether there is an answer: in a line where it is first an event that was not delivered yet, or
/// no group any more, or something that may be claimed.
fn has_any(view: &dyn View, request: &XReadGroup, place: &Turn) -> Result<Seen, StoreError> {
    let now = view.now_ms();
    let mut due_ms: Option<u64> = None;
    for (key, _) in &request.streams {
        let is_first = place.is_first(key);
        let Some(editor) = Editor::find(view, key, &request.group)? else {
            if is_first {
                return Ok(Seen::Something);
            }
            continue;
        };
        if is_first && has_undelivered(view, &editor)? {
            return Ok(Seen::Something);
        }
        let claims = request.claim_ms.filter(|_| place.is_first_to_claim(key));
        let Some(min_idle_ms) = claims else {
            continue;
        };
        let next = view.first_in_turn(&editor.group, &Wanted::ALL, 1)?.pop();
        let idle_ms = next.map(|entry| entry.idle_ms(now).unwrap_or(min_idle_ms));
        match idle_ms.map(|idle| min_idle_ms.saturating_sub(idle)) {
            Some(0) => return Ok(Seen::Something),
            Some(left) => due_ms = Some(due_ms.map_or(left, |due| due.min(left))),
            None => {}
        }
    }
    Ok(Seen::Nothing { due_ms })
}

/// Whether there is an event that was not delivered yet.
fn has_undelivered(view: &dyn View, editor: &Editor) -> Result<bool, StoreError> {
    let (stream, next) = (&editor.stream, editor.next(view)?);
    let end = stream.next_number();
    Ok(next < end && view.deleted(stream)?.count(next..end) < end - next)
}

/// Who looks at a group waits no longer than this for those who wait for its events.
const READERS_FIRST_MAX: Duration = Duration::from_secs(1);

/// Lets those who wait for groups of a stream take the events that there are for them: in Redis
/// they have them before anyone's next command.
pub(in crate::command) async fn let_readers_go_first(log: EventLog, key: StreamName) {
    let served = async {
        loop {
            let left = log.reader_left();
            let lines = log.waited_for(&key);
            let due = look_async(&log, move |view| is_any_due(view, &lines)).await;
            // What cannot be looked at is told to who asked.
            match due {
                Ok(true) => left.await,
                Ok(false) | Err(_) => return,
            }
        }
    };
    // One that does not come forward is not waited for.
    let _in_time = tokio::time::timeout(READERS_FIRST_MAX, served).await;
}

fn is_any_due(view: &dyn View, lines: &[Line]) -> Result<bool, StoreError> {
    for line in lines {
        let Some(editor) = Editor::find(view, &line.stream, &line.group)? else {
            continue;
        };
        let is_due = match line.what {
            What::New => has_undelivered(view, &editor)?,
            What::Idle(min_idle_ms) => {
                let idle = Wanted::ALL.idle_for(view.now_ms(), min_idle_ms);
                !view.first_in_turn(&editor.group, &idle, 1)?.is_empty()
            }
        };
        if is_due {
            return Ok(true);
        }
    }
    Ok(false)
}
