//! The bytes of a commit: per stream its creation, its events, then what else became of it.

use std::ops::Range;

use bytes::BytesMut;
use meilies_protocol::EventId;

use super::{Assembly, NONE, Slot};
use crate::engine::batch::BodyWriter;
use crate::engine::local::commit::{BatchHeader, CommitWriter, Kind};
use crate::engine::local::stream_entries::{Deletions, StreamSettings};
use crate::engine::{Producing, StreamSummary};

/// A stream's events in one commit are cut into batches of about this many bytes: a reader of one
/// event reads and verifies one batch.
const BATCH_BYTES: usize = 64 * 1024;

/// A batch of events as it stands in the commit's bytes.
#[derive(Debug)]
pub(in crate::engine::local) struct NewBatch {
    pub(in crate::engine::local) slot: usize,
    pub(in crate::engine::local) header: BatchHeader,
    /// Where its header begins.
    pub(in crate::engine::local) start: usize,
    pub(in crate::engine::local) body: Range<usize>,
    pub(in crate::engine::local) first_id: EventId,
    pub(in crate::engine::local) last_position: u64,
}

impl Assembly {
    /// Writes the batches of the commit behind its header in `out`.
    pub(in crate::engine::local) fn encode(
        &self,
        writer: &mut CommitWriter,
        out: &mut BytesMut,
    ) -> Vec<NewBatch> {
        let mut batches = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            let stream = slot.summary();
            let start = out.len();
            if slot.before.is_none() {
                self.encode_name(Kind::Created, &stream, writer, out);
            }
            let mut next = slot.first_entry;
            while next != NONE {
                let (batch, following) = self.encode_batch(stream.id, next, writer, out);
                batches.push(NewBatch { slot: at, ..batch });
                next = following;
            }
            self.encode_changes(slot, &stream, start, writer, out);
        }
        self.encode_groups(writer, out);
        batches
    }

    fn encode_name(
        &self,
        kind: Kind,
        stream: &StreamSummary,
        writer: &mut CommitWriter,
        out: &mut BytesMut,
    ) {
        let start = writer.begin_batch(out);
        out.extend_from_slice(stream.name.as_bytes());
        self.end_batch(kind, stream.id, start, out);
    }

    /// What became of a stream beside its new events; what is said of it begins at `start`.
    fn encode_changes(
        &self,
        slot: &Slot,
        stream: &StreamSummary,
        start: usize,
        writer: &mut CommitWriter,
        out: &mut BytesMut,
    ) {
        if slot.is_gone() {
            let start = writer.begin_batch(out);
            self.end_batch(Kind::Deleted, stream.id, start, out);
            return;
        }
        let new = StreamSummary::new(stream.id, stream.name.clone(), stream.created_at);
        let before = slot.before.as_ref().unwrap_or(&new);
        if before.name != stream.name {
            self.encode_name(Kind::Renamed, stream, writer, out);
        }
        let deletes = stream.first != before.first || !slot.deletions.is_empty();
        if deletes {
            let start = writer.begin_batch(out);
            let deletions = Deletions {
                first: stream.first,
                deleted: stream.deleted,
                max_deleted_id: stream.max_deleted_id,
                numbers: &slot.deletions,
            };
            deletions.encode(out);
            self.end_batch(Kind::Deletions, stream.id, start, out);
        }
        let settings = StreamSettings::of(stream);
        let implied = StreamSettings {
            last_id: match slot.last_entry {
                NONE => before.last_id,
                last => before.last_id.max(self.entries[last as usize].id),
            },
            max_deleted_id: match deletes {
                true => stream.max_deleted_id,
                false => before.max_deleted_id,
            },
            surplus: before.surplus,
            // How many there are with this one stands in each event that has such a key.
            producing: Producing {
                added: stream.producing.added,
                ..before.producing
            },
        };
        // A change that changes nothing leaves a trace too: the stream counts as changed.
        if settings != implied || out.len() == start {
            let start = writer.begin_batch(out);
            settings.encode(out);
            self.end_batch(Kind::Settings, stream.id, start, out);
        }
    }

    /// Writes one batch from this entry on; returns it and the entry that the next begins with.
    fn encode_batch(
        &self,
        stream_id: u64,
        first: u32,
        writer: &mut CommitWriter,
        out: &mut BytesMut,
    ) -> (NewBatch, u32) {
        let start = writer.begin_batch(out);
        let body_start = out.len();
        let (header, first_id, last_position, next) = self.encode_events(stream_id, first, out);
        CommitWriter::end_batch(out, start, &header);
        let batch = NewBatch {
            slot: 0,
            header,
            start,
            body: body_start..out.len(),
            first_id,
            last_position,
        };
        (batch, next)
    }

    /// Writes events of a stream from this entry on; returns their header, the first id, the last
    /// position and the entry that comes next.
    pub(super) fn encode_events(
        &self,
        stream_id: u64,
        first: u32,
        out: &mut BytesMut,
    ) -> (BatchHeader, EventId, u64, u32) {
        let body_start = out.len();
        let mut body = BodyWriter::new(self.start.now);
        let mut header = self.header(Kind::Events, stream_id);
        let first_entry = &self.entries[first as usize];
        header.first_number = first_entry.number;
        header.first_position = first_entry.position;
        header.count = 0;
        let mut last_position = first_entry.position;
        let mut next = first;
        let mut last_id = EventId::MIN;
        while next != NONE && out.len() - body_start < BATCH_BYTES {
            let entry = &self.entries[next as usize];
            if entry.id <= last_id {
                // The last id was set back in this commit: ids ascend within a batch.
                break;
            }
            last_id = entry.id;
            let place = (entry.position, entry.id);
            body.push(out, place, entry.key.as_deref(), entry.fields.items());
            last_position = entry.position;
            header.count += 1;
            next = entry.next;
        }
        (header, first_entry.id, last_position, next)
    }

    pub(super) fn end_batch(&self, kind: Kind, stream_id: u64, start: usize, out: &mut BytesMut) {
        let header = self.header(kind, stream_id);
        CommitWriter::end_batch(out, start, &header);
    }

    fn header(&self, kind: Kind, stream_id: u64) -> BatchHeader {
        BatchHeader {
            kind,
            count: 1,
            stream_id,
            first_number: 0,
            first_position: self.start.position,
            recorded_at: self.start.now,
            span_ms: 0,
            body_bytes: 0,
        }
    }
}
