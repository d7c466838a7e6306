//! Consumer groups as bytes: in the log, and in the index.
//!
//! A batch of kind `Group` is about one group of the stream in its header: items, each a tag and
//! what belongs to it. Integers are varints, an id is two of them, an option is a flag (0 or 1)
//! before the value. Tags:
//!
//! ```text
//! 1 the group with all that is known of it but its consumers: id, name, last id, next number, top,
//!   entries read (option), pending
//! 2 the group is gone: id, name
//! 3 a consumer, added or changed: id, name, pending, seen at, active at (option), an id below
//!   which nothing is pending with it
//! 4 a consumer is gone: id
//! 5 events are pending: consumer, delivered at, deliveries, how many; then for each the distance
//!   of its id's ms from the one before, its seq, the distance of its number (zigzag)
//! 6 events are not pending any more: how many; then for each the distance of ms and the seq
//! ```
//!
//! All values are absolute. A batch begins with item 1 or 2.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::EventId;

use super::commit::FormatError;
use crate::engine::varint::{put_varint, take_bytes, take_varint, unzigzag, zigzag};
use crate::engine::{Consumer, Group, PendingEntry};

const GROUP: u64 = 1;
const GONE: u64 = 2;
const CONSUMER: u64 = 3;
const CONSUMER_GONE: u64 = 4;
const PENDING: u64 = 5;
const SETTLED: u64 = 6;

/// Changes of pending entries: `None` is one that is pending no more.
pub(super) type EntryChanges = BTreeMap<EventId, Option<PendingEntry>>;

/// What a batch of kind `Group` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupChange {
    /// Without consumers, unless it is gone.
    pub(super) group: Option<Group>,
    /// Id and name of a group that is gone.
    pub(super) gone: Option<(u64, Bytes)>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) consumers_gone: Vec<u64>,
    pub(super) entries: EntryChanges,
}

/// Appends what became of a group; what has not changed since `before` is left out.
pub(super) fn encode(
    before: Option<&Group>,
    after: &Group,
    entries: impl Iterator<Item = (EventId, Option<PendingEntry>)>,
    out: &mut BytesMut,
) {
    put_varint(out, GROUP);
    put_group(after, out);
    put_consumers(
        before.map_or(&[][..], |before| &before.consumers),
        &after.consumers,
        out,
    );
    let (mut pending, mut settled) = (Vec::new(), Vec::new());
    for (id, entry) in entries {
        match entry {
            Some(entry) => pending.push(entry),
            None => settled.push(id),
        }
    }
    put_pending(&pending, out);
    if !settled.is_empty() {
        put_varint(out, SETTLED);
        put_varint(out, settled.len() as u64);
        let mut ms = 0;
        for id in settled {
            put_varint(out, id.ms - ms);
            put_varint(out, id.seq);
            ms = id.ms;
        }
    }
}

/// Appends which consumers changed. Both lists are in the order of the names, and most of what is
/// in them is the same: a group of many consumers is passed over once.
fn put_consumers(before: &[Arc<Consumer>], after: &[Arc<Consumer>], out: &mut BytesMut) {
    let mut gone = Vec::new();
    let mut old = before.iter().peekable();
    for consumer in after {
        if let Some(same) = old.next_if(|old| Arc::ptr_eq(old, consumer)) {
            debug_assert_eq!(same.id, consumer.id);
            continue;
        }
        while let Some(lost) = old.next_if(|old| old.name < consumer.name) {
            gone.push(lost.id);
        }
        let was = old.next_if(|old| old.name == consumer.name);
        if was.is_some_and(|was| Arc::ptr_eq(was, consumer)) {
            continue;
        }
        gone.extend(was.map(|was| was.id).filter(|id| *id != consumer.id));
        put_varint(out, CONSUMER);
        put_consumer(consumer, out);
    }
    gone.extend(old.map(|lost| lost.id));
    for id in gone {
        put_varint(out, CONSUMER_GONE);
        put_varint(out, id);
    }
}

/// Appends that a group is gone.
pub(super) fn encode_gone(group: &Group, out: &mut BytesMut) {
    put_varint(out, GONE);
    put_varint(out, group.id);
    put_bytes(&group.name, out);
}

/// Ascending entries, those of one delivery together.
fn put_pending(entries: &[PendingEntry], out: &mut BytesMut) {
    let together = |one: &PendingEntry, other: &PendingEntry| {
        (one.consumer, one.delivered_at, one.deliveries)
            == (other.consumer, other.delivered_at, other.deliveries)
    };
    for run in entries.chunk_by(together) {
        put_varint(out, PENDING);
        put_varint(out, run[0].consumer);
        put_varint(out, run[0].delivered_at);
        put_varint(out, run[0].deliveries);
        put_varint(out, run.len() as u64);
        let (mut ms, mut number) = (0, 0);
        for entry in run {
            put_varint(out, entry.id.ms - ms);
            put_varint(out, entry.id.seq);
            put_varint(out, zigzag(entry.number.wrapping_sub(number)));
            (ms, number) = (entry.id.ms, entry.number);
        }
    }
}

fn take_pending(from: &mut &[u8], mut take: impl FnMut(PendingEntry)) -> Option<()> {
    let consumer = take_varint(from)?;
    let delivered_at = take_varint(from)?;
    let deliveries = take_varint(from)?;
    let (mut ms, mut number) = (0_u64, 0_u64);
    for _ in 0..take_varint(from)? {
        ms = ms.checked_add(take_varint(from)?)?;
        let seq = take_varint(from)?;
        number = number.wrapping_add(unzigzag(take_varint(from)?));
        take(PendingEntry {
            id: EventId { ms, seq },
            number,
            consumer,
            delivered_at,
            deliveries,
        });
    }
    Some(())
}

/// Reads a batch of kind `Group`.
pub(super) fn decode(mut body: &[u8]) -> Result<GroupChange, FormatError> {
    let from = &mut body;
    let mut change = GroupChange::default();
    while !from.is_empty() {
        let tag = take_varint(from).ok_or(FormatError::Body)?;
        take_item(tag, from, &mut change)?.ok_or(FormatError::Body)?;
    }
    match change.group.is_some() != change.gone.is_some() {
        true => Ok(change),
        false => Err(FormatError::Body),
    }
}

fn take_item(
    tag: u64,
    from: &mut &[u8],
    change: &mut GroupChange,
) -> Result<Option<()>, FormatError> {
    let taken = match tag {
        GROUP => take_group(from).map(|group| change.group = Some(group)),
        GONE => take_gone(from).map(|gone| change.gone = Some(gone)),
        CONSUMER => take_consumer(from).map(|consumer| change.consumers.push(consumer)),
        CONSUMER_GONE => take_varint(from).map(|id| change.consumers_gone.push(id)),
        PENDING => take_pending(from, |entry| {
            change.entries.insert(entry.id, Some(entry));
        }),
        SETTLED => take_settled(from, &mut change.entries),
        unknown => return Err(FormatError::UnknownSetting(unknown)),
    };
    Ok(taken)
}

fn take_gone(from: &mut &[u8]) -> Option<(u64, Bytes)> {
    let id = take_varint(from)?;
    Some((id, Bytes::copy_from_slice(take_bytes(from)?)))
}

fn take_settled(from: &mut &[u8], entries: &mut EntryChanges) -> Option<()> {
    let mut ms = 0_u64;
    for _ in 0..take_varint(from)? {
        ms = ms.checked_add(take_varint(from)?)?;
        let seq = take_varint(from)?;
        entries.insert(EventId { ms, seq }, None);
    }
    Some(())
}

/// The value of a group in the index: as item 1 of the log, then its consumers as item 3.
pub(super) fn encode_row(group: &Group) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_group(group, &mut out);
    for consumer in &group.consumers {
        put_consumer(consumer, &mut out);
    }
    out.to_vec()
}

/// Reads what [`encode_row`] wrote.
pub(super) fn decode_row(mut value: &[u8]) -> Option<Group> {
    let from = &mut value;
    let mut group = take_group(from)?;
    while !from.is_empty() {
        group.consumers.push(Arc::new(take_consumer(from)?));
    }
    Some(group)
}

/// A block of pending entries in the index, ascending.
pub(super) fn encode_block(entries: &[PendingEntry]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_pending(entries, &mut out);
    out.to_vec()
}

/// Reads what [`encode_block`] wrote.
pub(super) fn decode_block(mut value: &[u8]) -> Option<Vec<PendingEntry>> {
    let from = &mut value;
    let mut entries = Vec::new();
    while !from.is_empty() {
        if take_varint(from)? != PENDING {
            return None;
        }
        take_pending(from, |entry| entries.push(entry))?;
    }
    Some(entries)
}

fn put_group(group: &Group, out: &mut BytesMut) {
    put_varint(out, group.id);
    put_bytes(&group.name, out);
    put_id(group.last_id, out);
    put_varint(out, group.next);
    put_id(group.top, out);
    put_option(group.entries_read, out);
    put_varint(out, group.pending);
}

fn take_group(from: &mut &[u8]) -> Option<Group> {
    Some(Group {
        id: take_varint(from)?,
        name: Bytes::copy_from_slice(take_bytes(from)?),
        last_id: take_id(from)?,
        next: take_varint(from)?,
        top: take_id(from)?,
        entries_read: take_option(from)?,
        pending: take_varint(from)?,
        consumers: Vec::new(),
    })
}

fn put_consumer(consumer: &Consumer, out: &mut BytesMut) {
    put_varint(out, consumer.id);
    put_bytes(&consumer.name, out);
    put_varint(out, consumer.pending);
    put_varint(out, consumer.seen_at);
    put_option(consumer.active_at, out);
    put_id(consumer.first, out);
}

fn take_consumer(from: &mut &[u8]) -> Option<Consumer> {
    Some(Consumer {
        id: take_varint(from)?,
        name: Bytes::copy_from_slice(take_bytes(from)?),
        pending: take_varint(from)?,
        seen_at: take_varint(from)?,
        active_at: take_option(from)?,
        first: take_id(from)?,
    })
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_id(id: EventId, out: &mut BytesMut) {
    put_varint(out, id.ms);
    put_varint(out, id.seq);
}

fn take_id(from: &mut &[u8]) -> Option<EventId> {
    Some(EventId {
        ms: take_varint(from)?,
        seq: take_varint(from)?,
    })
}

fn put_option(value: Option<u64>, out: &mut BytesMut) {
    put_varint(out, u64::from(value.is_some()));
    if let Some(value) = value {
        put_varint(out, value);
    }
}

#[allow(clippy::option_option)] // As `?` takes it: the outer says whether to go on.
fn take_option(from: &mut &[u8]) -> Option<Option<u64>> {
    match take_varint(from)? {
        0 => Some(None),
        1 => take_varint(from).map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn consumer(id: u64, name: &str, pending: u64) -> Arc<Consumer> {
        Arc::new(Consumer {
            id,
            name: Bytes::copy_from_slice(name.as_bytes()),
            pending,
            seen_at: 5,
            active_at: (pending > 0).then_some(7),
            first: EventId::new(3, pending),
        })
    }

    fn group(consumers: Vec<Arc<Consumer>>) -> Group {
        Group {
            top: EventId::new(9, 1),
            entries_read: Some(4),
            pending: 3,
            consumers,
            ..Group::new(77, Bytes::from_static(b"g"), EventId::new(8, 2), 12)
        }
    }

    proptest! {
        #[test]
        fn changes_come_back(
            ids in proptest::collection::btree_map(
                (0_u64..50, 0_u64..9), (any::<bool>(), 0_u64..3, 0_u64..1000), 0..80),
        ) {
            let entries: EntryChanges = ids
                .into_iter()
                .map(|((ms, seq), (is_pending, consumer, number))| {
                    let id = EventId { ms, seq };
                    let entry = PendingEntry {
                        id, number, consumer, delivered_at: consumer * 2, deliveries: 1,
                    };
                    (id, is_pending.then_some(entry))
                })
                .collect();
            let before = group(vec![consumer(1, "a", 0), consumer(2, "b", 1)]);
            let mut after = group(vec![before.consumers[0].clone(), consumer(3, "c", 2)]);
            after.entries_read = None;
            let mut out = BytesMut::new();
            encode(Some(&before), &after, entries.clone().into_iter(), &mut out);
            let change = decode(&out).unwrap();
            prop_assert_eq!(change.entries, entries.clone());
            prop_assert_eq!(change.consumers, [(*after.consumers[1]).clone()]);
            prop_assert_eq!(change.consumers_gone, [2]);
            let row = Group { consumers: Vec::new(), ..after.clone() };
            prop_assert_eq!(change.group, Some(row));
            prop_assert_eq!(decode_row(&encode_row(&after)), Some(after));
            let pending: Vec<PendingEntry> = entries.into_values().flatten().collect();
            prop_assert_eq!(decode_block(&encode_block(&pending)), Some(pending));
        }

        #[test]
        fn malformed_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _change = decode(&bytes);
            let _row = decode_row(&bytes);
            let _block = decode_block(&bytes);
        }
    }

    #[test]
    fn a_group_that_is_gone_is_told() {
        let mut out = BytesMut::new();
        encode_gone(&group(Vec::new()), &mut out);
        let change = decode(&out).unwrap();
        assert_eq!(change.gone, Some((77, Bytes::from_static(b"g"))));
        assert_eq!(decode(&[9]), Err(FormatError::UnknownSetting(9)));
        assert_eq!(decode(&[]), Err(FormatError::Body));
    }
}
