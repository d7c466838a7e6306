//! What was appended since the last checkpoint, held in memory.

use crate::location::Location;
use crate::workload::mix;
use hashbrown::{HashMap, HashTable};

/// What the `streams` tree holds for one stream (48 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    pub next: u64,
    pub id_ms: u64,
    pub id_seq: u64,
    pub first_kept: u64,
    pub created_ms: u64,
    /// First number of the stream's last run in `events` (all in sled only).
    pub run: u64,
}

pub const TAIL_BYTES: usize = 48;

impl Tail {
    pub fn to_bytes(self) -> [u8; TAIL_BYTES] {
        let fields = [
            self.next,
            self.id_ms,
            self.id_seq,
            self.first_kept,
            self.created_ms,
            self.run,
        ];
        let mut bytes = [0; TAIL_BYTES];
        for (chunk, field) in bytes.chunks_exact_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Tail> {
        let bytes: &[u8; TAIL_BYTES] = bytes.try_into().ok()?;
        let mut fields = [0; 6];
        for (field, chunk) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
            *field = u64::from_be_bytes(chunk.try_into().ok()?);
        }
        let [next, id_ms, id_seq, first_kept, created_ms, run] = fields;
        Some(Tail {
            next,
            id_ms,
            id_seq,
            first_kept,
            created_ms,
            run,
        })
    }
}

const NONE: u32 = u32::MAX;

pub struct Changed {
    pub id: u64,
    pub tail: Tail,
    last: u32,
}

struct Entry {
    first: u64,
    location: Location,
    previous: u32,
}

/// Streams in a hash table of indexes, locations in one arena, linked from
/// each stream's newest to its oldest.
#[derive(Default)]
pub struct Pending {
    table: HashTable<u32>,
    pub changed: Vec<Changed>,
    entries: Vec<Entry>,
    pub names: HashMap<Box<str>, u64>,
    pub positions: Vec<(u64, Location)>,
}

impl Pending {
    pub fn locations(&self) -> usize {
        self.entries.len()
    }

    pub fn find(&self, id: u64) -> Option<usize> {
        let changed = &self.changed;
        self.table
            .find(mix(id), |&i| changed[i as usize].id == id)
            .map(|&i| i as usize)
    }

    pub fn add_stream(&mut self, id: u64, tail: Tail) -> usize {
        let index = self.changed.len();
        self.changed.push(Changed {
            id,
            tail,
            last: NONE,
        });
        let changed = &self.changed;
        self.table
            .insert_unique(mix(id), index as u32, |&i| mix(changed[i as usize].id));
        index
    }

    /// Appends a batch to a pending stream.
    pub fn append(&mut self, stream: usize, location: Location) {
        let changed = &mut self.changed[stream];
        self.entries.push(Entry {
            first: changed.tail.next,
            location,
            previous: changed.last,
        });
        changed.last = (self.entries.len() - 1) as u32;
        changed.tail.next += u64::from(location.count);
        changed.tail.id_ms = location.id_ms;
        changed.tail.id_seq = location.id_seq;
    }

    /// Indexes of the changed streams, by stream id.
    pub fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.changed.len() as u32).collect();
        order.sort_unstable_by_key(|&i| self.changed[i as usize].id);
        order
    }

    /// The pending locations of one stream, oldest first.
    pub fn collect(&self, stream: usize, out: &mut Vec<(u64, Location)>) {
        out.clear();
        let mut at = self.changed[stream].last;
        while at != NONE {
            let entry = &self.entries[at as usize];
            out.push((entry.first, entry.location));
            at = entry.previous;
        }
        out.reverse();
    }

    pub fn clear(&mut self) {
        self.table.clear();
        self.changed.clear();
        self.entries.clear();
        self.names.clear();
        self.positions.clear();
    }
}
