//! A batch: consecutive events of one stream that one commit wrote, as they lie in the log.
//!
//! The engine, the fan-out and every subscriber share one `Arc<Batch>`; its wire form is encoded
//! once per shape and protocol version, with the events' boundaries kept so that a reader can
//! start inside it. Nothing here allocates per event.

use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, StreamName, Version, push, reply};

mod body;

use super::{DeletedNumbers, Found};
pub use body::{BodyError, BodyWriter, EventRef, Events, FieldPairs, Walked};

/// The shape of an event on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A push of a stream's subscription.
    Event,
    /// A push of a subscription to all streams or to a pattern: it also names its source.
    PeventAll,
    /// An element of the reply to READ-EVENTS; the same in both protocol versions.
    Read,
    /// An entry as Redis' commands give it: the id and the fields, the same in both versions.
    Entry,
}

/// Consecutive events of one stream.
#[derive(Debug)]
pub struct Batch {
    head: BatchHead,
    body: Bytes,
    wire: [OnceLock<Wire>; 4],
    meter: Option<Arc<AtomicUsize>>,
}

/// A batch reads like its head.
impl Deref for Batch {
    type Target = BatchHead;

    fn deref(&self) -> &BatchHead {
        &self.head
    }
}

/// The encoded events of a batch, back to back.
#[derive(Debug)]
struct Wire {
    bytes: Bytes,
    /// Where each event ends in `bytes`.
    ends: Box<[u32]>,
}

/// Some consecutive events of a batch, by index: `indexes.start` is 0 for its first event.
#[derive(Clone, Debug)]
pub struct Run {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Which of its events, never empty.
    pub indexes: Range<u32>,
}

impl Batch {
    /// A batch whose body has been verified: `Events` does not fail on it.
    pub fn new(head: BatchHead, body: Bytes) -> Self {
        debug_assert!(head.count > 0);
        Batch {
            head,
            body,
            wire: Default::default(),
            meter: None,
        }
    }

    /// Counts this batch's memory in `meter` for as long as it lives, its wire forms included;
    /// only a metered batch keeps its wire forms.
    #[must_use]
    pub fn metered(mut self, meter: &Arc<AtomicUsize>) -> Self {
        meter.fetch_add(self.own_bytes(), Ordering::Relaxed);
        self.meter = Some(Arc::clone(meter));
        self
    }

    /// The same events of a stream that has another name now.
    #[must_use]
    pub fn renamed(&self, name: &StreamName) -> Self {
        let head = BatchHead {
            stream: name.clone(),
            ..self.head.clone()
        };
        let batch = Batch::new(head, self.body.clone());
        match &self.meter {
            Some(meter) => batch.metered(meter),
            None => batch,
        }
    }

    /// The same batch in memory of its own, which holds nothing else.
    #[must_use]
    pub fn detached(&self) -> Self {
        Batch::new(self.head.clone(), Bytes::copy_from_slice(&self.body))
    }

    fn own_bytes(&self) -> usize {
        size_of::<Self>() + self.body.len()
    }

    /// Number of the last event.
    pub fn last_number(&self) -> u64 {
        self.first_number + u64::from(self.count) - 1
    }

    /// Id of the first event.
    pub fn first_id(&self) -> EventId {
        self.events().next().map_or(EventId::MAX, |event| event.id)
    }

    /// Where ids from this one on begin: behind the batch when all of its ids are lower.
    pub fn find(&self, id: EventId) -> Found {
        match self.events().find(|event| event.id >= id) {
            Some(event) => Found {
                number: event.number,
                is_exact: event.id == id,
            },
            None => Found {
                number: self.last_number() + 1,
                is_exact: false,
            },
        }
    }

    /// Encoded size of the body in bytes.
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The events in order.
    pub fn events(&self) -> Events<'_> {
        Events::new(
            &self.body,
            self.recorded_at,
            self.first_number,
            self.first_position,
        )
    }

    /// The wire form of the events `indexes`, shared where the batch keeps it.
    pub fn encoded(&self, form: Form, version: Version, indexes: Range<u32>) -> Bytes {
        debug_assert!(indexes.start < indexes.end && indexes.end <= self.count);
        match self.kept(form, version) {
            Some(wire) => wire.slice(indexes),
            None => self.encode(form, version, indexes, usize::MAX).bytes,
        }
    }

    /// The wire form of all events, where the batch keeps it.
    fn kept(&self, form: Form, version: Version) -> Option<&Wire> {
        self.meter.as_ref()?;
        let slot = match (form, version) {
            (Form::Event, Version::Resp2) => 0,
            (Form::Event, Version::Resp3) => 1,
            (Form::PeventAll, Version::Resp2) => 2,
            (Form::PeventAll, Version::Resp3) => 3,
            (Form::Read | Form::Entry, _) => return None,
        };
        Some(self.wire[slot].get_or_init(|| {
            let wire = self.encode(form, version, 0..self.count, usize::MAX);
            self.charge(&wire);
            wire
        }))
    }

    fn charge(&self, wire: &Wire) {
        if let Some(meter) = &self.meter {
            meter.fetch_add(wire.memory_bytes(), Ordering::Relaxed);
        }
    }

    /// Encodes events until `bytes_max` are reached or there are no more; one at least.
    fn encode(&self, form: Form, version: Version, indexes: Range<u32>, bytes_max: usize) -> Wire {
        let count = (indexes.end - indexes.start) as usize;
        let mut out = BytesMut::with_capacity((self.body.len() + count * 64).min(bytes_max));
        let mut ends = Vec::with_capacity(count);
        let name = self.stream.as_bytes();
        for event in self.events().skip(indexes.start as usize).take(count) {
            encode_event(&mut out, form, version, name, &event);
            // A commit, and so a batch, is far below 4 GiB on the wire too.
            ends.push(u32::try_from(out.len()).expect("a batch's wire form is below 4 GiB"));
            if out.len() >= bytes_max {
                break;
            }
        }
        Wire {
            bytes: out.freeze(),
            ends: ends.into_boxed_slice(),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            let wire: usize = self
                .wire
                .iter()
                .filter_map(OnceLock::get)
                .map(Wire::memory_bytes)
                .sum();
            meter.fetch_sub(self.own_bytes() + wire, Ordering::Relaxed);
        }
    }
}

impl Wire {
    fn slice(&self, indexes: Range<u32>) -> Bytes {
        let start = self.start_of(indexes.start);
        self.bytes
            .slice(start..self.ends[indexes.end as usize - 1] as usize)
    }

    fn start_of(&self, index: u32) -> usize {
        match index {
            0 => 0,
            index => self.ends[index as usize - 1] as usize,
        }
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.ends)
    }
}

fn encode_event(
    out: &mut BytesMut,
    form: Form,
    version: Version,
    stream: &[u8],
    event: &EventRef<'_>,
) {
    let (number, position, id, fields) = (event.number, event.position, event.id, event.fields());
    match form {
        Form::Event => push::write_event(out, version, stream, number, position, id, fields),
        Form::PeventAll => {
            push::write_pevent(out, version, b"$all", stream, number, position, id, fields);
        }
        Form::Read => reply::write_read_event(out, stream, number, position, id, fields),
        Form::Entry => reply::write_entry(out, id, fields),
    }
}

/// All of a batch but its body.
#[derive(Clone, Debug)]
pub struct BatchHead {
    /// The stream's name when it was read.
    pub stream: StreamName,
    /// The stream's id.
    pub stream_id: u64,
    /// Number of the first event.
    pub first_number: u64,
    /// Position of the first event.
    pub first_position: u64,
    /// Position of the last event: events of other streams in the same commit may lie between.
    pub last_position: u64,
    /// How many events, one at least.
    pub count: u32,
    /// When they were recorded, ms since 1970 UTC.
    pub recorded_at: u64,
}

impl Run {
    /// The events of the batch with numbers from `from` up to `below`, if any.
    pub fn between(batch: &Arc<Batch>, from: u64, below: u64) -> Option<Run> {
        let index = |number: u64| {
            let index = number.saturating_sub(batch.first_number);
            u32::try_from(index).map_or(batch.count, |index| index.min(batch.count))
        };
        let indexes = index(from)..index(below);
        (!indexes.is_empty()).then(|| Run {
            batch: Arc::clone(batch),
            indexes,
        })
    }

    /// Adds the parts of the run that are left without numbers below `first` and deleted ones, in
    /// order.
    pub fn keep(self, first: u64, deleted: Option<&DeletedNumbers>, kept: &mut Vec<Run>) {
        let begin = self.batch.first_number;
        let numbers = begin + u64::from(self.indexes.start)..begin + u64::from(self.indexes.end);
        let mut start = numbers.start.max(first.min(numbers.end));
        let holes = deleted.map_or_else(Vec::new, |set| set.ranges(start..numbers.end));
        if holes.is_empty() && start == numbers.start {
            kept.push(self);
            return;
        }
        for hole in holes {
            kept.extend(Run::between(&self.batch, start, hole.start));
            start = hole.end;
        }
        kept.extend(Run::between(&self.batch, start, numbers.end));
    }

    /// As [`Run::keep`] for many runs of a stream, which may be in descending order.
    pub fn keep_all(
        runs: Vec<Run>,
        first: u64,
        deleted: Option<&DeletedNumbers>,
        reverse: bool,
    ) -> Vec<Run> {
        if first == 0 && deleted.is_none_or(DeletedNumbers::is_empty) {
            return runs;
        }
        let mut kept = Vec::with_capacity(runs.len());
        for run in runs {
            let before = kept.len();
            run.keep(first, deleted, &mut kept);
            if reverse {
                kept[before..].reverse();
            }
        }
        kept
    }

    /// Appends the events of one commit with positions from `from` up to `below`, in the order of
    /// their positions: where streams were written in turns their batches are interleaved.
    pub fn in_commit_order(batches: &[Arc<Batch>], from: u64, below: u64, runs: &mut Vec<Run>) {
        let whole = |batch: &Batch| {
            batch.last_position - batch.first_position + 1 == u64::from(batch.count)
                && batch.first_position >= from
                && batch.last_position < below
        };
        let ascending = batches
            .windows(2)
            .all(|pair| pair[0].last_position < pair[1].first_position);
        if ascending && batches.iter().all(|batch| whole(batch)) {
            runs.extend(batches.iter().map(|batch| Run {
                batch: Arc::clone(batch),
                indexes: 0..batch.count,
            }));
            return;
        }
        let mut places: Vec<(u64, usize, u32)> = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            let wanted = batch
                .events()
                .zip(0..batch.count)
                .filter(|(event, _)| event.position >= from && event.position < below);
            places.extend(wanted.map(|(event, index)| (event.position, at, index)));
        }
        places.sort_unstable();
        let mut last: Option<(usize, Run)> = None;
        for (_, at, index) in places {
            match &mut last {
                Some((run_at, run)) if *run_at == at && run.indexes.end == index => {
                    run.indexes.end += 1;
                }
                _ => {
                    runs.extend(last.take().map(|(_, run)| run));
                    let batch = Arc::clone(&batches[at]);
                    let indexes = index..index + 1;
                    last = Some((at, Run { batch, indexes }));
                }
            }
        }
        runs.extend(last.map(|(_, run)| run));
    }

    /// The wire form of these events.
    pub fn encoded(&self, form: Form, version: Version) -> Bytes {
        self.batch.encoded(form, version, self.indexes.clone())
    }

    /// The wire form of the first events: as many as reach `bytes_max`, one at least. They are
    /// taken out of the run, which is empty after its last.
    pub fn take_encoded(&mut self, form: Form, version: Version, bytes_max: usize) -> Bytes {
        debug_assert!(self.indexes.start < self.indexes.end);
        let Some(wire) = self.batch.kept(form, version) else {
            let wire = self
                .batch
                .encode(form, version, self.indexes.clone(), bytes_max);
            self.indexes.start += u32::try_from(wire.ends.len()).expect("fewer than the batch has");
            return wire.bytes;
        };
        let indexes = self.indexes.clone();
        let limit = wire.start_of(indexes.start).saturating_add(bytes_max);
        let ends = &wire.ends[indexes.start as usize..indexes.end as usize];
        let below = ends.partition_point(|end| (*end as usize) < limit);
        let taken = u32::try_from(ends.len().min(below + 1)).expect("fewer than the batch has");
        self.indexes.start += taken;
        wire.slice(indexes.start..self.indexes.start)
    }

    /// Appends events, from the last on if `reverse`, until they have `bytes_max` bytes: one at
    /// least. They are taken out of the run. Returns how many.
    pub fn take_written(
        &mut self,
        form: Form,
        reverse: bool,
        bytes_max: usize,
        out: &mut BytesMut,
    ) -> usize {
        let before = self.count();
        if reverse {
            let begin = out.len();
            let events: Vec<EventRef<'_>> = self.events().collect();
            let mut taken = 0;
            for event in events.iter().rev() {
                if taken > 0 && out.len() - begin >= bytes_max {
                    break;
                }
                let stream = self.batch.stream.as_bytes();
                encode_event(out, form, Version::Resp2, stream, event);
                taken += 1;
            }
            self.indexes.end -= taken;
        } else {
            out.extend_from_slice(&self.take_encoded(form, Version::Resp2, bytes_max));
        }
        (before - self.count()) as usize
    }

    /// Appends the events from the last to the first.
    pub fn write_reversed(&self, form: Form, version: Version, out: &mut BytesMut) {
        let events: Vec<EventRef<'_>> = self.events().collect();
        for event in events.iter().rev() {
            encode_event(out, form, version, self.batch.stream.as_bytes(), event);
        }
    }

    /// How many events.
    pub fn count(&self) -> u32 {
        self.indexes.end - self.indexes.start
    }

    /// The events in order.
    pub fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        self.batch
            .events()
            .skip(self.indexes.start as usize)
            .take(self.count() as usize)
    }

    /// Position of the last event.
    pub fn last_position(&self) -> u64 {
        if self.indexes.end == self.batch.count {
            return self.batch.last_position;
        }
        let last = self.events().last();
        last.map_or(self.batch.first_position, |event| event.position)
    }
}
