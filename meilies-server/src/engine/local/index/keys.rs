//! Keys of events, and the last ones of producers, in the index.

use std::sync::Arc;

use super::{Index, IndexError, number};
use crate::engine::Producer;
use crate::engine::local::index::Checkpoint;
use crate::engine::local::pending::Pending;

/// A key of a producer is known for no longer than this, whatever is set.
const KNOWN_MS_MAX: u64 = meilies_protocol::limits::IDEMPOTENCY_DURATION_S_MAX * 1000;

/// Producers of a stream that one checkpoint looks at, to drop old ones.
const SWEPT_MAX: usize = 1024;

impl Index {
    /// Numbers of events of a stream that may have a key, ascending.
    pub(in crate::engine::local) fn keyed(
        &self,
        stream_id: u64,
        hash: u128,
    ) -> Result<Vec<u64>, IndexError> {
        let found = self.keys.scan_prefix(key(stream_id, hash));
        let found = found.map(|entry| {
            let at = entry?.0.get(24..).and_then(number);
            at.ok_or(IndexError::Malformed("keys"))
        });
        found.collect()
    }

    /// The last keys of a producer.
    pub(in crate::engine::local) fn producer(
        &self,
        stream_id: u64,
        hash: u128,
    ) -> Result<Option<Arc<Producer>>, IndexError> {
        let value = self.producers.get(key(stream_id, hash))?;
        value.map(|value| producer(&value)).transpose()
    }

    /// The last keys of all producers of a stream.
    pub(in crate::engine::local) fn producers_of(
        &self,
        stream_id: u64,
    ) -> Result<Vec<(u128, Arc<Producer>)>, IndexError> {
        let entries = self.producers.scan_prefix(stream_id.to_be_bytes());
        let entries = entries.map(|entry| {
            let (key, value) = entry?;
            let hash = key.get(8..).and_then(|hash| hash.try_into().ok());
            let hash = hash.ok_or(IndexError::Malformed("producers"))?;
            Ok((u128::from_be_bytes(hash), producer(&value)?))
        });
        entries.collect()
    }

    /// Brings keys and producers up to date. Producers whose last key nobody knows any more are
    /// dropped, in the streams whose producers changed.
    pub(super) fn write_keys(
        &self,
        changes: &Pending,
        checkpoint: &Checkpoint,
    ) -> Result<(), IndexError> {
        let is_gone = |id: &u64| changes.streams.get(id).is_some_and(|stream| stream.is_gone);
        for (stream_id, hash, number) in &changes.keys {
            if !is_gone(stream_id) {
                let key = [&key(*stream_id, *hash)[..], &number.to_be_bytes()].concat();
                self.put(&self.keys, &key, Vec::new())?;
            }
        }
        let is_old = |producer: &Producer| {
            producer.last_at().saturating_add(KNOWN_MS_MAX) < checkpoint.recorded_at
        };
        let mut swept = None;
        for ((stream_id, hash), producer) in &changes.producers {
            if is_gone(stream_id) {
                continue;
            }
            if swept.replace(*stream_id) != Some(*stream_id) {
                self.sweep_producers(*stream_id, is_old)?;
            }
            if !is_old(producer) {
                self.put(&self.producers, &key(*stream_id, *hash), producer.encode())?;
            }
        }
        Ok(())
    }

    /// Drops old producers among some of a stream. Where it begins is drawn: so each gets its turn,
    /// and a checkpoint does not look at all of them.
    fn sweep_producers(
        &self,
        stream_id: u64,
        is_old: impl Fn(&Producer) -> bool,
    ) -> Result<(), IndexError> {
        let from = key(stream_id, rand::random());
        let to = key(stream_id, u128::MAX);
        for entry in self.producers.range(from..=to).take(SWEPT_MAX) {
            let (key, value) = entry?;
            if is_old(&*producer(&value)?) {
                self.remove(&self.producers, &key)?;
            }
        }
        Ok(())
    }
}

fn producer(value: &[u8]) -> Result<Arc<Producer>, IndexError> {
    let producer = Producer::decode(value).ok_or(IndexError::Malformed("producers"))?;
    Ok(Arc::new(producer))
}

fn key(stream_id: u64, hash: u128) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&stream_id.to_be_bytes());
    key[8..].copy_from_slice(&hash.to_be_bytes());
    key
}
