//! Taking back: a part of a commit that is all or none, and a commit that could not be written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::EventId;

use super::super::catalog::{Noted, StreamHandle, StreamState};
use super::{Assembly, GroupSlot, NONE};
use crate::engine::keys::ProducerKey;
use crate::engine::{DeletedNumbers, PendingEntry, StreamSummary};

/// Where an all-or-none part of the commit began.
#[derive(Debug)]
pub(super) struct Savepoint {
    entries: usize,
    slots: usize,
    before: usize,
    position: u64,
    stream_id: u64,
    counted: u64,
    pub(super) journal: Vec<Undo>,
}

/// What was before the savepoint.
#[derive(Debug)]
pub(super) enum Undo {
    State(Arc<StreamHandle>, StreamState),
    Slot(usize, SlotMark),
    Group((u64, Bytes), Option<GroupSlot>),
    /// The inner says whether it was pending, the outer whether the commit had changed it.
    #[allow(clippy::option_option)]
    Pending((u64, EventId), Option<Option<PendingEntry>>),
    /// It was not there.
    Key((u64, u128, u64)),
    /// The commit had not changed it.
    NewProducer((u64, u128)),
    /// A key was added to it, and these were forgotten for that.
    ProducerKey((u64, u128), Vec<ProducerKey>),
}

/// What of a slot a savepoint puts back.
#[derive(Debug)]
pub(super) struct SlotMark {
    handle: Option<Arc<StreamHandle>>,
    gone: Option<StreamSummary>,
    first_entry: u32,
    last_entry: u32,
    deleted: Option<Arc<DeletedNumbers>>,
    deletions: usize,
    /// It may have grown since.
    last_deletion: Option<Range<u64>>,
    noted: u64,
}

impl Assembly {
    /// Remembers what a name was before the commit, and before the savepoint.
    pub(super) fn note(&mut self, handle: &Arc<StreamHandle>) {
        let mut state = handle.state();
        let noted = Noted {
            assembly: self.start.assembly,
            savepoint: self.savepoints,
        };
        if state.noted == noted {
            return;
        }
        if state.noted.assembly != noted.assembly {
            self.before.push((Arc::clone(handle), state.clone()));
        }
        if let Some(savepoint) = &mut self.savepoint {
            let undo = Undo::State(Arc::clone(handle), state.clone());
            savepoint.journal.push(undo);
        }
        state.noted = noted;
    }

    /// Remembers what a slot was before the savepoint.
    pub(super) fn note_slot(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let Some(savepoint) = &mut self.savepoint else {
            return;
        };
        if slot.noted == self.savepoints {
            return;
        }
        let mark = SlotMark {
            handle: slot.handle.clone(),
            gone: slot.gone.clone(),
            first_entry: slot.first_entry,
            last_entry: slot.last_entry,
            deleted: slot.deleted.clone(),
            deletions: slot.deletions.len(),
            last_deletion: slot.deletions.last().cloned(),
            noted: slot.noted,
        };
        slot.noted = self.savepoints;
        savepoint.journal.push(Undo::Slot(at, mark));
    }

    /// Begins a part that is all or none.
    pub(in super::super) fn set_savepoint(&mut self) {
        debug_assert!(self.savepoint.is_none());
        self.savepoints += 1;
        self.savepoint = Some(Savepoint {
            entries: self.entries.len(),
            slots: self.slots.len(),
            before: self.before.len(),
            position: self.next_position,
            stream_id: self.next_stream_id,
            counted: self.counted,
            journal: Vec::new(),
        });
    }

    /// The part is whole.
    pub(in super::super) fn release(&mut self) {
        self.savepoint = None;
        // What changes from now on is not under the savepoint any more.
        self.savepoints += 1;
    }

    /// Nothing of the part is to be.
    pub(in super::super) fn roll_back(&mut self) {
        let Some(savepoint) = self.savepoint.take() else {
            return;
        };
        for undo in savepoint.journal.into_iter().rev() {
            match undo {
                Undo::State(handle, before) => *handle.state() = before,
                Undo::Slot(at, mark) => self.put_back(at, mark),
                Undo::Group(key, before) => put_back(&mut self.groups, key, before),
                Undo::Pending(key, before) => put_back(&mut self.pending, key, before),
                Undo::Key(key) => drop(self.keys.remove(&key)),
                Undo::NewProducer(key) => drop(self.producers.remove(&key)),
                Undo::ProducerKey(key, forgotten) => {
                    if let Some(producer) = self.producers.get_mut(&key) {
                        Arc::make_mut(producer).take_back(forgotten);
                    }
                }
            }
        }
        self.slots.truncate(savepoint.slots);
        self.entries.truncate(savepoint.entries);
        self.before.truncate(savepoint.before);
        self.next_position = savepoint.position;
        self.next_stream_id = savepoint.stream_id;
        self.counted = savepoint.counted;
        self.savepoints += 1;
    }

    fn put_back(&mut self, at: usize, mark: SlotMark) {
        let slot = &mut self.slots[at];
        slot.handle = mark.handle;
        slot.gone = mark.gone;
        slot.first_entry = mark.first_entry;
        slot.last_entry = mark.last_entry;
        slot.deleted = mark.deleted;
        slot.deletions.truncate(mark.deletions);
        if let (Some(last), Some(before)) = (slot.deletions.last_mut(), mark.last_deletion) {
            *last = before;
        }
        slot.noted = mark.noted;
        if mark.last_entry != NONE {
            self.entries[mark.last_entry as usize].next = NONE;
        }
    }

    /// Puts all handles back to where they were before this commit.
    pub(in super::super) fn undo(&mut self) {
        for (handle, before) in self.before.drain(..).rev() {
            *handle.state() = before;
        }
    }
}

fn put_back<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}
