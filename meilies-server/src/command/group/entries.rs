//! Events in the replies of groups' commands: their fields are encoded in one pass over each batch,
//! into one buffer.

use std::ops::Range;

use bytes::BytesMut;
use meilies_protocol::{EventId, writer};

use super::pending::write_idle;
use crate::engine::{EventRef, PendingEntry, Run, StoreError, StreamSummary, View};

/// Encoded fields of events, back to back.
#[derive(Debug, Default)]
pub(super) struct Fields(BytesMut);

/// Where the fields of an event lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    encoded: Range<usize>,
    /// Bytes of its names and values.
    pub(super) size: u64,
}

/// For how long an event was idle, in ms (`None`: it was given back), and how often it was
/// delivered.
pub(super) type Before = (Option<u64>, u64);

impl Fields {
    /// Adds the fields of an event.
    pub(super) fn push(&mut self, event: &EventRef<'_>) -> Place {
        let out = &mut self.0;
        let begin = out.len();
        let mut size = 0;
        writer::array_header(out, 2 * event.pairs);
        for (name, value) in event.fields() {
            size += (name.len() + value.len()) as u64;
            writer::bulk(out, name);
            writer::bulk(out, value);
        }
        Place {
            encoded: begin..out.len(),
            size,
        }
    }

    /// Adds the fields of the events of pending entries: where each lies, nothing for those that
    /// are deleted.
    pub(super) fn load(
        &mut self,
        view: &dyn View,
        stream: &StreamSummary,
        entries: &[PendingEntry],
    ) -> Result<Vec<Option<Place>>, StoreError> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_unstable_by_key(|at| entries[*at].number);
        let number = |at: usize| entries[at].number;
        let mut places = vec![None; entries.len()];
        let mut missing = None;
        let kept = order.partition_point(|at| number(*at) < stream.first);
        let mut left = &order[kept..];
        while let (Some(first), Some(last)) = (left.first(), left.last()) {
            let numbers = number(*first)..number(*last) + 1;
            let (runs, next) = match view.runs(stream, numbers, false, 1) {
                Ok(found) => found,
                // All that is missing is looked up before it is read, in one go.
                Err(error) => {
                    missing.get_or_insert(error);
                    left = &left[1..];
                    continue;
                }
            };
            for event in runs.iter().flat_map(Run::events) {
                let before = left.partition_point(|at| number(*at) < event.number);
                left = &left[before..];
                let same = left.partition_point(|at| number(*at) == event.number);
                if same > 0 {
                    let place = self.push(&event);
                    for at in &left[..same] {
                        places[*at] = Some(place.clone());
                    }
                    left = &left[same..];
                }
                if left.is_empty() {
                    break;
                }
            }
            // Those that were passed over are deleted.
            left = &left[left.partition_point(|at| number(*at) < next)..];
        }
        match missing {
            None => Ok(places),
            Some(error) => Err(error),
        }
    }

    /// Writes an event: its id and its fields.
    pub(super) fn write(&self, id: EventId, place: &Place, out: &mut BytesMut) {
        writer::array_header(out, 2);
        writer::bulk_id(out, id);
        out.extend_from_slice(&self.0[place.encoded.clone()]);
    }

    /// Writes an event with what it was before it was claimed.
    pub(super) fn write_claimed(
        &self,
        id: EventId,
        place: &Place,
        (idle_ms, deliveries): Before,
        out: &mut BytesMut,
    ) {
        writer::array_header(out, 4);
        writer::bulk_id(out, id);
        out.extend_from_slice(&self.0[place.encoded.clone()]);
        write_idle(idle_ms, out);
        writer::number(out, deliveries);
    }
}

/// Tells whether the event of a pending entry is deleted.
pub(super) fn is_deleted(
    view: &dyn View,
    stream: &StreamSummary,
) -> Result<impl Fn(&PendingEntry) -> bool + use<>, StoreError> {
    let (first, deleted) = (stream.first, view.deleted(stream)?);
    Ok(move |entry: &PendingEntry| entry.number < first || deleted.contains(entry.number))
}
