//! What a transaction sees of the commit that it is a part of.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use meilies_protocol::EventId;

use super::{Assembly, NONE};
use crate::engine::batch::{Batch, BatchHead};
use crate::engine::local::catalog::StreamHandle;
use crate::engine::{DeletedNumbers, Found, StoreError, StreamSummary, StreamsPage};

impl Assembly {
    /// Where the stream of a name stands in this commit, if that changes it.
    pub(in crate::engine::local) fn slot_of(&self, handle: &StreamHandle) -> Option<usize> {
        let (assembly, slot) = handle.state().slot?;
        (assembly == self.start.assembly).then_some(slot as usize)
    }

    /// The deleted numbers of a stream, if the commit changes them.
    pub(in crate::engine::local) fn deleted(&self, slot: usize) -> Option<Arc<DeletedNumbers>> {
        self.slots[slot].deleted.clone()
    }

    /// The first number of a stream that the commit adds, if it adds any.
    pub(in crate::engine::local) fn written(&self, slot: usize) -> Option<u64> {
        let first = self.slots[slot].first_entry;
        (first != NONE).then(|| self.entries[first as usize].number)
    }

    /// The events with these numbers that the commit adds to a stream, in order, and perhaps some
    /// behind them.
    pub(in crate::engine::local) fn batches(
        &self,
        slot: usize,
        stream: &StreamSummary,
        numbers: &Range<u64>,
    ) -> Vec<Arc<Batch>> {
        let mut batches = Vec::new();
        let mut next = self.slots[slot].first_entry;
        while next != NONE && self.entries[next as usize].number < numbers.start {
            next = self.entries[next as usize].next;
        }
        while next != NONE && self.entries[next as usize].number < numbers.end {
            let mut body = BytesMut::new();
            let (header, _, last_position, following) =
                self.encode_events(stream.id, next, &mut body);
            let head = BatchHead {
                stream: stream.name.clone(),
                stream_id: stream.id,
                first_number: header.first_number,
                first_position: header.first_position,
                last_position,
                count: header.count,
                recorded_at: header.recorded_at,
            };
            batches.push(Arc::new(Batch::new(head, body.freeze())));
            next = following;
        }
        batches
    }

    /// Where ids from this one on begin among the events that the commit adds; `None` if they begin
    /// before these.
    pub(in crate::engine::local) fn find(
        &self,
        slot: usize,
        stream: &StreamSummary,
        id: EventId,
    ) -> Option<Found> {
        let mut next = self.slots[slot].first_entry;
        while next != NONE && self.entries[next as usize].number < stream.first {
            next = self.entries[next as usize].next;
        }
        let first = self.entries.get(next as usize)?;
        if id < first.id && stream.first < first.number {
            return None;
        }
        while next != NONE {
            let entry = &self.entries[next as usize];
            if entry.id >= id {
                return Some(Found {
                    number: entry.number,
                    is_exact: entry.id == id,
                });
            }
            next = entry.next;
        }
        Some(Found {
            number: stream.next_number(),
            is_exact: false,
        })
    }

    /// A page of streams as it is after what the commit does so far.
    pub(in crate::engine::local) fn lay_over(
        &self,
        page: &StreamsPage,
        limit: usize,
        before: impl Fn(&StreamsPage, usize) -> Result<Vec<StreamSummary>, StoreError>,
    ) -> Result<Vec<StreamSummary>, StoreError> {
        // As many as the commit may take out of the page.
        let limit_before = limit.saturating_add(self.slots.len());
        let streams = before(page, limit_before)?;
        let last = streams
            .last()
            .filter(|_| streams.len() >= limit_before)
            .cloned();
        let mut by_id: BTreeMap<u64, StreamSummary> = streams
            .into_iter()
            .map(|stream| (stream.id, stream))
            .collect();
        for slot in &self.slots {
            let stream = slot.summary();
            by_id.remove(&stream.id);
            let is_within = match page {
                StreamsPage::ById(from) => {
                    stream.id >= *from && last.as_ref().is_none_or(|last| stream.id <= last.id)
                }
                StreamsPage::ByName(after) => {
                    after.as_ref().is_none_or(|after| stream.name > *after)
                        && last.as_ref().is_none_or(|last| stream.name <= last.name)
                }
            };
            if is_within && !slot.is_gone() {
                by_id.insert(stream.id, stream);
            }
        }
        let mut streams: Vec<StreamSummary> = by_id.into_values().collect();
        if let StreamsPage::ByName(_) = page {
            streams.sort_by(|one, other| one.name.cmp(&other.name));
        }
        streams.truncate(limit);
        Ok(streams)
    }
}
