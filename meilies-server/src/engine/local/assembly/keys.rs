//! Keys of the events that a commit adds.

use std::collections::BTreeMap;
use std::sync::Arc;

use meilies_protocol::EventId;

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

    /// Adds the key of an event to those of its producer; `before` is that producer, if the commit
    /// has not changed it yet. What it takes to undo that is one key, not all of them.
    pub(in crate::engine::local) fn add_to_producer(
        &mut self,
        producer: (u64, u128),
        before: Option<Arc<Producer>>,
        key: &[u8],
        event: (u64, EventId, u64),
        keys_max: u64,
    ) {
        let is_new = !self.producers.contains_key(&producer);
        let known = self.producers.entry(producer);
        let known = known.or_insert_with(|| before.unwrap_or_default());
        let forgotten = Arc::make_mut(known).add(key, event, keys_max);
        if let Some(savepoint) = &mut self.savepoint {
            savepoint.journal.push(match is_new {
                true => Undo::NewProducer(producer),
                false => Undo::ProducerKey(producer, forgotten),
            });
        }
    }

    /// What becomes visible of keys.
    pub(in crate::engine::local) fn key_changes(&self) -> Vec<(u64, u128, u64)> {
        self.keys.iter().copied().collect()
    }

    /// What becomes visible of producers.
    pub(in crate::engine::local) fn producer_changes(
        &self,
    ) -> BTreeMap<(u64, u128), Arc<Producer>> {
        self.producers.clone()
    }
}
