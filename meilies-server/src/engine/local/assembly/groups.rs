//! What a commit does to consumer groups.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, StreamName};

use super::{Assembly, GroupSlot, Undo};
use crate::engine::local::commit::{CommitWriter, Kind};
use crate::engine::local::group_entries;
use crate::engine::local::live::GroupChanges;
use crate::engine::{Group, PendingEntry, StreamSummary};

impl Assembly {
    /// An id that nothing else has.
    pub(in crate::engine::local) fn new_id(&mut self) -> u64 {
        let id = self.next_stream_id;
        self.next_stream_id += 1;
        id
    }

    /// The group of this name, if the commit changes it.
    pub(in crate::engine::local) fn group(
        &self,
        stream_id: u64,
        name: &[u8],
    ) -> Option<&GroupSlot> {
        self.groups.get(&(stream_id, Bytes::copy_from_slice(name)))
    }

    /// All groups of a stream that the commit changes.
    pub(in crate::engine::local) fn groups(
        &self,
        stream_id: u64,
    ) -> impl Iterator<Item = (&Bytes, &GroupSlot)> {
        let from = self.groups.range((stream_id, Bytes::new())..);
        let of_stream = from.take_while(move |((id, _), _)| *id == stream_id);
        of_stream.map(|((_, name), slot)| (name, slot))
    }

    /// Pending entries of a group that the commit changes.
    pub(in crate::engine::local) fn pending(
        &self,
        group_id: u64,
        low: EventId,
        high: EventId,
    ) -> impl Iterator<Item = (EventId, Option<PendingEntry>)> {
        let range = self.pending.range((group_id, low)..=(group_id, high));
        range.map(|((_, id), entry)| (*id, *entry))
    }

    /// Whether the commit changes any pending entry of a group.
    pub(in crate::engine::local) fn has_pending(&self, group_id: u64) -> bool {
        self.pending(group_id, EventId::MIN, EventId::MAX)
            .next()
            .is_some()
    }

    /// Puts a group into the place of what was there; `before` is what was there before the commit.
    pub(in crate::engine::local) fn put_group(
        &mut self,
        stream: &StreamSummary,
        name: Bytes,
        before: Option<Arc<Group>>,
        now: Option<Arc<Group>>,
    ) {
        let key = (stream.id, name);
        let old = self.groups.get(&key).cloned();
        if let Some(savepoint) = &mut self.savepoint {
            savepoint
                .journal
                .push(Undo::Group(key.clone(), old.clone()));
        }
        let slot = self.groups.entry(key).or_insert_with(|| GroupSlot {
            stream: stream.name.clone(),
            before,
            now: None,
            gone: Vec::new(),
        });
        let replaced = slot.now.take().filter(|old| {
            let is_before = slot
                .before
                .as_ref()
                .is_some_and(|before| before.id == old.id);
            !is_before && now.as_ref().is_none_or(|now| now.id != old.id)
        });
        slot.gone.extend(replaced.map(|group| group.id));
        slot.now = now;
    }

    /// Puts a pending entry into a group, or takes it out.
    pub(in crate::engine::local) fn put_pending(
        &mut self,
        group_id: u64,
        id: EventId,
        entry: Option<PendingEntry>,
    ) {
        let old = self.pending.insert((group_id, id), entry);
        if let Some(savepoint) = &mut self.savepoint {
            savepoint.journal.push(Undo::Pending((group_id, id), old));
        }
    }

    /// Writes what became of groups. Those of streams that are gone go with them.
    pub(super) fn encode_groups(&self, writer: &mut CommitWriter, out: &mut BytesMut) {
        let gone: Vec<u64> = self.gone_streams().collect();
        for ((stream_id, _), slot) in &self.groups {
            if gone.contains(stream_id) {
                continue;
            }
            let kept = slot.now.as_ref().map(|now| now.id);
            if let Some(before) = slot
                .before
                .as_ref()
                .filter(|before| Some(before.id) != kept)
            {
                let start = writer.begin_batch(out);
                group_entries::encode_gone(before, out);
                self.end_batch(Kind::Group, *stream_id, start, out);
            }
            if let Some(now) = &slot.now {
                let before = slot.before.as_deref().filter(|before| before.id == now.id);
                let entries = self.pending(now.id, EventId::MIN, EventId::MAX);
                let start = writer.begin_batch(out);
                group_entries::encode(before, now, entries, out);
                self.end_batch(Kind::Group, *stream_id, start, out);
            }
        }
    }

    fn gone_streams(&self) -> impl Iterator<Item = u64> {
        let gone = self.slots.iter().filter(|slot| slot.is_gone());
        gone.map(|slot| slot.summary().id)
    }

    /// Streams of which a group is gone, or something is pending for longer than before: who waits
    /// may have something to do with that.
    pub(in crate::engine::local) fn touched(&self) -> impl Iterator<Item = StreamName> {
        self.groups.values().filter_map(|slot| {
            let kept = slot.now.as_ref().map(|now| now.id);
            let before = slot.before.as_ref().map(|before| before.id);
            let is_gone = before.is_some_and(|before| kept != Some(before));
            let mut entries = kept
                .into_iter()
                .flat_map(|id| self.pending(id, EventId::MIN, EventId::MAX));
            let is_told = is_gone
                || !slot.gone.is_empty()
                || entries.any(|(_, entry)| {
                    entry.is_some_and(|entry| entry.delivered_at_ms() < self.start.now)
                });
            is_told.then(|| slot.stream.clone())
        })
    }

    /// What becomes visible of groups.
    pub(in crate::engine::local) fn group_changes(&self) -> Vec<GroupChanges> {
        let changes = self.groups.iter().map(|((stream_id, name), slot)| {
            let kept = slot.now.as_ref().map(|now| now.id);
            let before = slot.before.as_ref().map(|before| before.id);
            let gone = before.filter(|before| Some(*before) != kept);
            let entries = kept
                .into_iter()
                .flat_map(|id| self.pending(id, EventId::MIN, EventId::MAX));
            GroupChanges {
                stream_id: *stream_id,
                name: name.clone(),
                group: slot.now.clone(),
                gone: gone.into_iter().chain(slot.gone.iter().copied()).collect(),
                entries: entries.collect(),
            }
        });
        changes.collect()
    }
}
