//! Redis' commands about consumer groups.
//!
//! A group and what is pending in it are changed through an [`Editor`], which keeps the counts of
//! the group and of its consumers right.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{Absent, EventId, Misformed, References, StreamName, writer};

pub(crate) mod claim;
mod counts;
mod entries;
pub(crate) mod info;
pub(crate) mod manage;
pub(crate) mod pending;
pub(crate) mod read;
pub(crate) mod wait;

pub(super) use counts::lag;

use super::data::all;
use super::refusal;
use crate::engine::{
    Consumer, Group, PendingEntry, StoreError, StreamSummary, Transaction, Verdict, View,
};

/// A group being changed. Nothing of the group itself is kept before [`Editor::finish`].
pub(super) struct Editor {
    pub(super) stream: StreamSummary,
    pub(super) group: Group,
    is_changed: bool,
}

impl Editor {
    /// The group of this name of a stream; `None` if one of both is not there.
    pub(super) fn find(
        view: &dyn View,
        key: &StreamName,
        group: &[u8],
    ) -> Result<Option<Editor>, StoreError> {
        let Some(stream) = view.stream(key)? else {
            return Ok(None);
        };
        let found = view.group(&stream, group)?;
        Ok(found.map(|group| Editor::of(stream, &group)))
    }

    pub(super) fn of(stream: StreamSummary, group: &Arc<Group>) -> Editor {
        Editor {
            stream,
            group: Group::clone(group),
            is_changed: false,
        }
    }

    /// The first number whose event was not delivered yet.
    pub(super) fn next(&self, view: &dyn View) -> Result<u64, StoreError> {
        let stream = &self.stream;
        let next = self.group.next.max(stream.first);
        if next >= stream.next_number() {
            return Ok(next);
        }
        // A group may be set to an id that no event had then: those that came since may be lower.
        let deleted = view.deleted(stream)?;
        let kept = deleted.first_kept(next);
        let id = match kept < stream.next_number() {
            true => view.id_of(stream, kept)?,
            false => None,
        };
        match (id, self.group.last_id.next()) {
            (Some(id), _) if id > self.group.last_id => Ok(next),
            (Some(_), Some(behind)) => Ok(view.find(stream, behind)?.number),
            _ => Ok(stream.next_number()),
        }
    }

    /// The group, to be changed.
    pub(super) fn change(&mut self) -> &mut Group {
        self.is_changed = true;
        &mut self.group
    }

    /// The id of the consumer of this name, who is added if need be.
    pub(super) fn consumer(
        &mut self,
        transaction: &mut dyn Transaction,
        name: &Bytes,
    ) -> (u64, bool) {
        if let Some(consumer) = self.group.consumer(name) {
            return (consumer.id, false);
        }
        let id = transaction.new_id();
        let seen_at = transaction.now_ms();
        self.change().add(Consumer {
            id,
            name: Bytes::copy_from_slice(name),
            pending: 0,
            seen_at,
            active_at: None,
            first: EventId::MIN,
        });
        transaction.count(1);
        (id, true)
    }

    /// Notes that a consumer asked for events, and whether it got any.
    pub(super) fn seen(&mut self, consumer: u64, now: u64, got_any: bool) {
        if let Some(consumer) = self.change().consumer_mut(consumer) {
            consumer.seen_at = now;
            if got_any {
                consumer.active_at = Some(now);
            }
        }
    }

    /// Notes the lowest id of what is pending with a consumer.
    pub(super) fn first_is(&mut self, consumer: u64, first: EventId) {
        if let Some(consumer) = self.change().consumer_mut(consumer) {
            consumer.first = first;
        }
    }

    /// Makes an entry pending, or gives it to another consumer; `before` is the same entry as it
    /// was.
    pub(super) fn put(
        &mut self,
        transaction: &mut dyn Transaction,
        entry: PendingEntry,
        before: Option<PendingEntry>,
    ) {
        let owner = before.map(|before| before.consumer);
        let group = self.change();
        if owner.is_none() {
            group.pending += 1;
        }
        if owner != Some(entry.consumer) {
            if let Some(old) = owner.and_then(|owner| group.consumer_mut(owner)) {
                old.pending = old.pending.saturating_sub(1);
            }
            if let Some(new) = group.consumer_mut(entry.consumer) {
                new.first = match new.pending {
                    0 => entry.id,
                    _ => new.first.min(entry.id),
                };
                new.pending += 1;
            }
        }
        group.top = group.top.max(entry.id);
        let id = group.id;
        transaction.put_pending(id, entry);
    }

    /// Takes a pending entry out.
    pub(super) fn settle(&mut self, transaction: &mut dyn Transaction, entry: PendingEntry) {
        let group = self.change();
        group.pending = group.pending.saturating_sub(1);
        if let Some(consumer) = group.consumer_mut(entry.consumer) {
            consumer.pending = consumer.pending.saturating_sub(1);
        }
        let id = group.id;
        transaction.remove_pending(id, entry.id);
    }

    /// Keeps what was changed.
    pub(super) fn finish(self, transaction: &mut dyn Transaction) -> Result<(), StoreError> {
        match self.is_changed {
            true => transaction.put_group(&self.stream, self.group),
            false => Ok(()),
        }
    }
}

/// What XREADGROUP says behind the names.
const READING: &str = " in XREADGROUP with GROUP option";

/// The error for a group that is not there, with the names as they were given.
fn no_such(before: &str, one: &[u8], between: &str, other: &[u8], after: &str) -> Vec<u8> {
    [
        before.as_bytes(),
        one,
        between.as_bytes(),
        other,
        after.as_bytes(),
    ]
    .concat()
}

/// `NOGROUP No such key 'k' or consumer group 'g'…`
fn no_key_or_group(key: &StreamName, group: &[u8], after: &str, out: &mut BytesMut) {
    let between = "' or consumer group '";
    let after = format!("'{after}");
    let text = no_such(
        "NOGROUP No such key '",
        key.as_bytes(),
        between,
        group,
        &after,
    );
    writer::error_bytes(out, &text);
}

/// `NOGROUP No such consumer group 'g' for key name 'k'`
fn no_group(key: &StreamName, group: &[u8], out: &mut BytesMut) {
    let between = "' for key name '";
    let before = "NOGROUP No such consumer group '";
    writer::error_bytes(out, &no_such(before, group, between, key.as_bytes(), "'"));
}

/// A command with a wrong argument: what it is about may be missing, which is told first.
pub(super) fn misformed(
    view: &dyn View,
    request: &Misformed,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    for (key, group) in &request.needs {
        let stream = view.stream(key)?;
        let (no_key, name) = (stream.is_none(), group.clone().unwrap_or_default());
        let found = match (&stream, group) {
            (Some(stream), Some(group)) => view.group(stream, group)?.is_some(),
            (stream, _) => stream.is_some(),
        };
        if found {
            continue;
        }
        match request.absent {
            Absent::Zero => writer::number(out, 0),
            Absent::Each { count } => no_events(count, out),
            Absent::Key => writer::error(out, "ERR no such key"),
            Absent::Group if no_key => writer::error(out, manage::NO_KEY),
            Absent::Group => no_group(key, &name, out),
            Absent::Read => no_key_or_group(key, &name, READING, out),
            Absent::Claim => no_key_or_group(key, &name, "", out),
        }
        return Ok(());
    }
    request.error.write(out);
    Ok(())
}

/// `XACK key group id [id …]`: how many were pending.
pub(super) fn acknowledge(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    group: &[u8],
    ids: &[EventId],
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let Some(mut editor) = Editor::find(transaction, key, group)? else {
        writer::number(out, 0);
        return Ok(Verdict::Commit);
    };
    let settled = settle(transaction, &mut editor, ids)?;
    editor.finish(transaction)?;
    let settled = settled.iter().filter(|settled| **settled).count() as u64;
    transaction.count(settled);
    writer::number(out, settled);
    Ok(Verdict::Commit)
}

/// Takes pending entries out: for each id whether it was pending.
fn settle(
    transaction: &mut dyn Transaction,
    editor: &mut Editor,
    ids: &[EventId],
) -> Result<Vec<bool>, StoreError> {
    let view: &dyn View = transaction;
    let found = all(ids.iter().map(|id| view.pending_entry(&editor.group, *id)))?;
    let mut done = std::collections::HashSet::new();
    let mut settled = Vec::with_capacity(ids.len());
    for entry in found {
        let is_new = entry.is_some_and(|entry| done.insert(entry.id));
        if let Some(entry) = entry.filter(|_| is_new) {
            editor.settle(transaction, entry);
        }
        settled.push(is_new);
    }
    Ok(settled)
}

/// `XACKDEL key group [KEEPREF|DELREF|ACKED] IDS count id …`: for each -1 if it was not pending, 1
/// if its event is deleted, 2 if others still refer to that.
pub(super) fn acknowledge_and_delete(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    group: &[u8],
    references: References,
    ids: &[EventId],
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let Some(mut editor) = Editor::find(transaction, key, group)? else {
        no_events(ids.len(), out);
        return Ok(Verdict::Commit);
    };
    let settled = settle(transaction, &mut editor, ids)?;
    editor.finish(transaction)?;
    let pairs = ids.iter().zip(&settled).filter(|(_, settled)| **settled);
    let acknowledged: Vec<EventId> = pairs.map(|(id, _)| *id).collect();
    transaction.count(acknowledged.len() as u64);
    let outcomes = match delete_referenced(transaction, key, references, &acknowledged)? {
        Ok(outcomes) => outcomes,
        Err(refused) => {
            writer::error(out, &refusal(&refused));
            return Ok(Verdict::Abort);
        }
    };
    let mut outcomes = outcomes.into_iter();
    writer::array_header(out, ids.len());
    for settled in settled {
        let outcome = match settled {
            // An event that is deleted already is as good as deleted now.
            true => outcomes.next().map_or(1, |outcome| match outcome {
                Outcome::Referenced => 2,
                Outcome::Deleted | Outcome::Missing => 1,
            }),
            false => -1,
        };
        writer::integer(out, outcome);
    }
    Ok(Verdict::Commit)
}

/// What XDELEX and XACKDEL say of each id where there is no stream or no group.
fn no_events(count: usize, out: &mut BytesMut) {
    writer::array_header(out, count);
    for _ in 0..count {
        writer::integer(out, -1);
    }
}

/// What became of an event that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was none.
    Missing,
    Deleted,
    /// A group has not acknowledged it.
    Referenced,
}

/// Deletes events, with what becomes of them in groups.
pub(super) fn delete_referenced(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    references: References,
    ids: &[EventId],
) -> Result<Result<Vec<Outcome>, crate::engine::Refusal>, StoreError> {
    let view: &dyn View = transaction;
    let Some(stream) = view.stream(key)? else {
        return Ok(Ok(vec![Outcome::Missing; ids.len()]));
    };
    let found = all(ids.iter().map(|id| view.number_of(&stream, *id)))?;
    let kept = match references {
        References::Acknowledged => are_referenced(view, &stream, ids)?,
        References::Keep | References::Delete => vec![false; ids.len()],
    };
    let mut deleted = std::collections::BTreeMap::new();
    let mut outcomes = Vec::with_capacity(ids.len());
    for ((id, number), is_kept) in ids.iter().zip(found).zip(kept) {
        let Some(number) = number.filter(|number| !deleted.contains_key(number)) else {
            outcomes.push(Outcome::Missing);
            continue;
        };
        if is_kept {
            outcomes.push(Outcome::Referenced);
            continue;
        }
        deleted.insert(number, *id);
        outcomes.push(Outcome::Deleted);
    }
    if references == References::Delete {
        // Also what refers to events that are gone already: that counts, too.
        let forgotten = forget(transaction, &stream, ids)?;
        let pairs = outcomes.iter().zip(forgotten);
        let missing =
            pairs.filter(|(outcome, is_forgotten)| **outcome == Outcome::Missing && *is_forgotten);
        transaction.count(missing.count() as u64);
    }
    let Some(max_id) = deleted.values().max().copied() else {
        return Ok(Ok(outcomes));
    };
    let numbers: Vec<u64> = deleted.into_keys().collect();
    let refused = transaction.delete(key, &numbers, max_id)?;
    Ok(refused.map(|()| outcomes))
}

/// For each event whether a group has still to get or to acknowledge it.
pub(super) fn are_referenced(
    view: &dyn View,
    stream: &StreamSummary,
    ids: &[EventId],
) -> Result<Vec<bool>, StoreError> {
    let groups = view.groups(stream)?;
    let Some(got_by_all) = groups.iter().map(|group| group.last_id).min() else {
        return Ok(vec![false; ids.len()]);
    };
    let is_pending = |id| {
        let pending = all(groups.iter().map(|group| view.pending_entry(group, id)))?;
        Ok(pending.iter().any(Option::is_some))
    };
    all(ids.iter().map(|id| match *id > got_by_all {
        true => Ok(true),
        false => is_pending(*id),
    }))
}

/// Takes what is pending with these ids out of all groups of a stream. Tells for each id whether
/// there was any.
pub(super) fn forget(
    transaction: &mut dyn Transaction,
    stream: &StreamSummary,
    ids: &[EventId],
) -> Result<Vec<bool>, StoreError> {
    let mut forgotten = vec![false; ids.len()];
    for group in transaction.groups(stream)? {
        let mut editor = Editor::of(stream.clone(), &group);
        let settled = settle(transaction, &mut editor, ids)?;
        editor.finish(transaction)?;
        for (is_forgotten, is_settled) in forgotten.iter_mut().zip(settled) {
            *is_forgotten |= is_settled;
        }
    }
    Ok(forgotten)
}
