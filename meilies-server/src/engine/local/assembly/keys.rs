//! Keys of the events that a commit adds.

use std::sync::Arc;

use super::{Assembly, Undo};
use crate::engine::keys::hash;
use crate::engine::{Producer, StreamSummary, WriteKey};

impl Assembly {
    /// Notes the key of an event that is being added. Returns it as it lies in the event.
    pub(super) fn note_key(
        &mut self,
        stream: &mut StreamSummary,
        number: u64,
        key: &WriteKey,
    ) -> Box<[u8]> {
        match key {
            WriteKey::Own(own) => {
                let noted = (stream.id, hash(own), number);
                self.keys.insert(noted);
                if let Some(savepoint) = &mut self.savepoint {
                    savepoint.journal.push(Undo::Key(noted));
                }
            }
            WriteKey::OfProducer { unless_set, .. } => stream.producing.count(*unless_set),
        }
        key.encode(stream.producing.added)
    }

    /// Numbers of events of the commit that may have a key, ascending.
    pub(in crate::engine::local) fn keyed(
        &self,
        stream_id: u64,
        hash: u128,
    ) -> impl Iterator<Item = u64> {
        let range = self
            .keys
            .range((stream_id, hash, 0)..=(stream_id, hash, u64::MAX));
        range.map(|(_, _, number)| *number)
    }

    /// A producer, if the commit changes its keys.
    pub(in crate::engine::local) fn producer(
        &self,
        stream_id: u64,
        hash: u128,
    ) -> Option<&Arc<Producer>> {
        self.producers.get(&(stream_id, hash))
    }

    /// The producers of a stream whose keys the commit changes.
    pub(in crate::engine::local) fn producers(
        &self,
        stream_id: u64,
    ) -> impl Iterator<Item = (u128, &Arc<Producer>)> {
        let range = self
            .producers
            .range((stream_id, 0)..=(stream_id, u128::MAX));
        range.map(|((_, hash), producer)| (*hash, producer))
    }

    /// Puts a producer into the place of what was there.
    pub(in crate::engine::local) fn put_producer(
        &mut self,
        stream_id: u64,
        hash: u128,
        producer: Arc<Producer>,
    ) {
        let key = (stream_id, hash);
        let old = self.producers.insert(key, producer);
        if let Some(savepoint) = &mut self.savepoint {
            savepoint.journal.push(Undo::Producer(key, old));
        }
    }

    /// What becomes visible of keys.
    pub(in crate::engine::local) fn key_changes(&self) -> Vec<(u64, u128, u64)> {
        self.keys.iter().copied().collect()
    }

    /// What becomes visible of producers.
    pub(in crate::engine::local) fn producer_changes(&self) -> Vec<((u64, u128), Arc<Producer>)> {
        let changes = self.producers.iter();
        changes
            .map(|(key, producer)| (*key, Arc::clone(producer)))
            .collect()
    }
}
