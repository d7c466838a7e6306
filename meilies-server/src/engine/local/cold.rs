//! The last batches that were read from the disk for commands: who reads on finds the next events
//! in memory.
//!
//! Batches never change, and the id of a stream is never given again: so what is here stays true.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::Run;
use crate::engine::batch::Batch;

/// Bytes of batches that are kept.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Batches of streams, by the numbers of their first events.
#[derive(Debug, Default)]
pub(super) struct Batches(HashMap<u64, BTreeMap<u64, Arc<Batch>>>);

impl Batches {
    /// Adds a batch.
    pub(super) fn add(&mut self, batch: &Arc<Batch>) {
        let of_stream = self.0.entry(batch.stream_id).or_default();
        of_stream.insert(batch.first_number, Arc::clone(batch));
    }

    fn has(&self, batch: &Batch) -> bool {
        let of_stream = self.0.get(&batch.stream_id);
        of_stream.is_some_and(|of_stream| of_stream.contains_key(&batch.first_number))
    }

    /// Events of a stream that begin at one end of the range: about so many bytes of them, as far
    /// as there is no gap.
    pub(super) fn runs(
        &self,
        stream_id: u64,
        numbers: &Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Option<Vec<Run>> {
        let batches = self.0.get(&stream_id)?;
        let holding = |number: u64| {
            let (_, batch) = batches.range(..=number).next_back()?;
            (number <= batch.last_number()).then_some(batch)
        };
        let mut runs = Vec::new();
        let (mut left, mut bytes) = (numbers.clone(), 0);
        while !left.is_empty() && bytes < bytes_max {
            let sought = if reverse { left.end - 1 } else { left.start };
            let Some(batch) = holding(sought) else {
                break;
            };
            runs.extend(Run::between(batch, numbers.start, numbers.end));
            bytes += batch.body_bytes();
            match reverse {
                true => left.end = batch.first_number,
                false => left.start = batch.last_number() + 1,
            }
        }
        (!runs.is_empty()).then_some(runs)
    }

    fn remove(&mut self, batch: &Batch) {
        if let Some(of_stream) = self.0.get_mut(&batch.stream_id) {
            of_stream.remove(&batch.first_number);
            if of_stream.is_empty() {
                self.0.remove(&batch.stream_id);
            }
        }
    }
}

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Cold(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    batches: Batches,
    /// The oldest first.
    order: VecDeque<Arc<Batch>>,
    bytes: usize,
}

impl Cold {
    /// Keeps a batch that was read, in memory of its own: what was read with it is not held.
    pub(super) fn keep(&self, batch: &Batch) {
        let batch = &Arc::new(batch.detached());
        let mut kept = self.lock();
        if kept.batches.has(batch) {
            return;
        }
        kept.batches.add(batch);
        kept.bytes += batch.body_bytes();
        kept.order.push_back(Arc::clone(batch));
        while kept.bytes > KEPT_BYTES_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.bytes -= oldest.body_bytes();
            kept.batches.remove(&oldest);
        }
    }

    /// See [`Batches::runs`].
    pub(super) fn runs(
        &self,
        stream_id: u64,
        numbers: &Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Option<Vec<Run>> {
        let kept = self.lock();
        kept.batches.runs(stream_id, numbers, reverse, bytes_max)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::{BatchHead, BodyWriter};
    use bytes::{Bytes, BytesMut};
    use meilies_protocol::{EventId, StreamName};

    fn batch(number: u64, bytes: usize) -> Arc<Batch> {
        let mut body = BytesMut::new();
        let fields = [Bytes::from_static(b"n"), Bytes::from(vec![b'd'; bytes])];
        BodyWriter::new(0).push(&mut body, (number, EventId::new(1, number)), None, &fields);
        let head = BatchHead {
            stream: StreamName::parse("s".into()).unwrap(),
            stream_id: 7,
            first_number: number,
            first_position: number,
            last_position: number,
            count: 1,
            recorded_at: 0,
        };
        Arc::new(Batch::new(head, body.freeze()))
    }

    #[test]
    fn what_was_read_is_found_without_gaps_until_there_is_too_much() {
        let cold = Cold::default();
        for number in [3, 4, 6] {
            cold.keep(&batch(number, 10));
            cold.keep(&batch(number, 10));
        }
        let found = |numbers: Range<u64>, reverse| {
            let runs = cold
                .runs(7, &numbers, reverse, usize::MAX)
                .unwrap_or_default();
            let numbers = runs.iter().map(|run| run.batch.first_number);
            numbers.collect::<Vec<_>>()
        };
        assert_eq!(found(3..9, false), [3, 4]);
        assert_eq!(found(3..7, true), [6]);
        assert_eq!(found(3..5, true), [4, 3]);
        assert!(found(2..9, false).is_empty() && found(5..9, false).is_empty());
        for number in 10..13 {
            cold.keep(&batch(number, KEPT_BYTES_MAX / 2 - 100));
        }
        assert!(found(3..9, false).is_empty() && found(10..13, false).is_empty());
        assert_eq!(found(11..13, false), [11, 12]);
    }
}
