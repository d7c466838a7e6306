//! The index: sled trees that say where events lie in the log. The only file that names sled.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `names` | stream name | stream id |
//! | `streams` | stream id / 32 | what is known of up to 32 streams |
//! | `events` | stream id, first number | a run of at most 64 [`Location`]s |
//! | `deleted` | stream id, number / 65,536 | which of these numbers are deleted, as a bitmap |
//! | `groups` | stream id, name | a consumer group with its consumers |
//! | `pending` | group id, id of the first entry | at most 128 pending entries of the group |
//! | `keys` | stream id, hash of a key, event number | nothing |
//! | `producers` | stream id, hash of a name | the last keys of a producer |
//! | `gone` | stream or group id | a deleted one that trees may hold: the checkpoint, in commits |
//! | `positions` | first position | [`PositionRow`], about one per MiB of log |
//! | `meta` | `checkpoint`, `damage` | [`Checkpoint`], the damaged places |
//!
//! Integers in keys are big-endian, so that a tree's order is the number's. Values are absolute:
//! writing any suffix of the log over any later state of the trees gives the same trees, so a
//! checkpoint that was cut short anywhere is mended by the next. Nothing here is the truth: all of
//! it is rebuilt from the log when it is missing or does not open.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use meilies_protocol::{EventId, StreamName};

mod faults;
mod groups;
mod keys;
mod rows;

pub use faults::IndexFaults;
pub(super) use groups::Block;
pub(super) use rows::{Checkpoint, DamageRow, PositionRow};
use rows::{Neighbours, decode_run, encode_run};

use super::log::Location;
use super::pending::{Pending, PendingStream};
use crate::engine::{DeletedNumbers, StreamSummary, StreamsPage};

/// Locations in one value of `events`.
const RUN_LOCATIONS_MAX: usize = 64;
/// What sled may cache, in bytes; it takes about three times as much.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// The open index.
#[derive(Debug)]
pub(super) struct Index {
    db: sled::Db,
    names: sled::Tree,
    streams: sled::Tree,
    events: sled::Tree,
    positions: sled::Tree,
    deleted: sled::Tree,
    groups: sled::Tree,
    pending: sled::Tree,
    keys: sled::Tree,
    producers: sled::Tree,
    gone: sled::Tree,
    meta: sled::Tree,
    /// Our own handle of sled's file: its `flush` does not sync.
    file: File,
    directory: PathBuf,
    /// Names of sled's blob files that are synced.
    synced_blobs: Mutex<HashSet<OsString>>,
    faults: Option<IndexFaults>,
}

/// Why the index cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum IndexError {
    #[error("{0}")]
    Sled(#[from] sled::Error),
    #[error("{0}")]
    Io(Arc<io::Error>),
    #[error("a value of tree '{0}' is malformed")]
    Malformed(&'static str),
    #[error("stopped by a test")]
    Stopped,
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        IndexError::Io(Arc::new(error))
    }
}

impl Index {
    /// Opens or creates the index in this directory.
    pub(super) fn open(directory: &Path, faults: Option<IndexFaults>) -> Result<Index, IndexError> {
        let db = sled::Config::new()
            .path(directory)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .open()?;
        Ok(Index {
            names: db.open_tree("names")?,
            streams: db.open_tree("streams")?,
            events: db.open_tree("events")?,
            positions: db.open_tree("positions")?,
            deleted: db.open_tree("deleted")?,
            groups: db.open_tree("groups")?,
            pending: db.open_tree("pending")?,
            keys: db.open_tree("keys")?,
            producers: db.open_tree("producers")?,
            gone: db.open_tree("gone")?,
            meta: db.open_tree("meta")?,
            file: File::open(directory.join("db"))?,
            directory: directory.to_owned(),
            synced_blobs: Mutex::default(),
            db,
            faults,
        })
    }

    /// Up to where the log is in the index; `None` for a new index.
    pub(super) fn checkpoint(&self) -> Result<Option<Checkpoint>, IndexError> {
        match self.meta.get("checkpoint")? {
            None => Ok(None),
            Some(value) => match Checkpoint::decode(&value) {
                Some(checkpoint) => Ok(Some(checkpoint)),
                None => Err(IndexError::Malformed("meta")),
            },
        }
    }

    /// The places of the log that are known to be damaged.
    pub(super) fn damage(&self) -> Result<Vec<DamageRow>, IndexError> {
        match self.meta.get("damage")? {
            None => Ok(Vec::new()),
            Some(value) => DamageRow::decode_all(&value).ok_or(IndexError::Malformed("meta")),
        }
    }

    /// Id of the stream of this name.
    pub(super) fn stream_id(&self, name: &StreamName) -> Result<Option<u64>, IndexError> {
        match self.names.get(name.as_bytes())? {
            None => Ok(None),
            Some(value) => number(&value)
                .ok_or(IndexError::Malformed("names"))
                .map(Some),
        }
    }

    /// What is known of a stream.
    pub(super) fn stream(&self, id: u64) -> Result<Option<StreamSummary>, IndexError> {
        Ok(self.neighbours(id)?.remove(id))
    }

    /// The rows that share a value with this stream's.
    fn neighbours(&self, id: u64) -> Result<Neighbours, IndexError> {
        match self.streams.get(Neighbours::key(id))? {
            None => Ok(Neighbours::default()),
            Some(value) => Neighbours::decode(Neighbours::key(id), &value)
                .ok_or(IndexError::Malformed("streams")),
        }
    }

    /// At most `limit` streams in the order of their names or ids.
    pub(super) fn page(
        &self,
        page: &StreamsPage,
        limit: usize,
    ) -> Result<Vec<StreamSummary>, IndexError> {
        match page {
            StreamsPage::ByName(after) => self.streams_after(after.as_ref(), limit),
            StreamsPage::ById(from) => self.streams_from(*from, limit),
        }
    }

    fn streams_after(
        &self,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamSummary>, IndexError> {
        let range = match after {
            None => self.names.iter(),
            // No name lies between a name and the same with a zero byte added.
            Some(name) => self.names.range([name.as_bytes(), &[0]].concat()..),
        };
        let mut found = Vec::new();
        // A page that is not full is the last one, so what is passed over does not count.
        for entry in range {
            if found.len() >= limit {
                break;
            }
            let (name, value) = entry?;
            let id = number(&value).ok_or(IndexError::Malformed("names"))?;
            match self.stream(id)? {
                // Or a checkpoint is giving it another name: memory knows.
                Some(stream) if stream.name.as_bytes() != name.as_ref() => {}
                Some(stream) => found.push(stream),
                // A checkpoint may have removed both meanwhile.
                None if self.names.get(&name)?.as_ref() != Some(&value) => {}
                None => return Err(IndexError::Malformed("names")),
            }
        }
        Ok(found)
    }

    fn streams_from(&self, from: u64, limit: usize) -> Result<Vec<StreamSummary>, IndexError> {
        let mut found = Vec::new();
        for entry in self.streams.range(Neighbours::key(from)..) {
            let (key, value) = entry?;
            let rows = key.as_ref().try_into().ok();
            let rows = rows.and_then(|key| Neighbours::decode(key, &value));
            let rows = rows.ok_or(IndexError::Malformed("streams"))?;
            found.extend(rows.into_iter().filter(|stream| stream.id >= from));
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The deleted numbers of a stream.
    pub(super) fn deleted(&self, stream_id: u64) -> Result<DeletedNumbers, IndexError> {
        let mut deleted = DeletedNumbers::default();
        for entry in self.deleted.scan_prefix(stream_id.to_be_bytes()) {
            let (key, value) = entry?;
            let block = key.get(8..).and_then(number);
            let is_block = block.is_some_and(|block| deleted.insert_block(block, &value));
            if !is_block {
                return Err(IndexError::Malformed("deleted"));
            }
        }
        Ok(deleted)
    }

    /// The last location of a stream, among those with these numbers, whose first id is this one or
    /// lower. Ids of lower numbers, which are trimmed, need not be lower.
    pub(super) fn location_of(
        &self,
        stream_id: u64,
        numbers: Range<u64>,
        id: EventId,
    ) -> Result<Option<Location>, IndexError> {
        let mut best = None;
        let first_number = numbers.start;
        let mut left = numbers;
        while !left.is_empty() {
            let middle = left.start + (left.end - left.start) / 2;
            let before = self
                .events
                .get_lt(key(stream_id, middle.saturating_add(1)))?;
            let mut found = match before {
                Some((run_key, value)) if run_key[..8] == stream_id.to_be_bytes() => {
                    run(&run_key, &value)?
                }
                _ => Vec::new(),
            };
            found.retain(|location| location.next_number() > first_number);
            let (Some(first), Some(last)) = (found.first(), found.last()) else {
                left.start = middle + 1;
                continue;
            };
            if first.first_id > id {
                left.end = first.first_number;
            } else {
                left.start = last.next_number().max(middle + 1);
                let after = found.partition_point(|location| location.first_id <= id);
                best = Some(found[after - 1]);
            }
        }
        Ok(best)
    }

    /// Locations of a stream's events in ascending order, from the one that holds `from` (or the
    /// first after it) up to `below`; about `limit` of them.
    pub(super) fn locations(
        &self,
        stream_id: u64,
        from: u64,
        below: u64,
        limit: usize,
    ) -> Result<Vec<Location>, IndexError> {
        let before = self.events.get_lt(key(stream_id, from.saturating_add(1)))?;
        let start = match before {
            Some((run_key, _)) if run_key[..8] == stream_id.to_be_bytes() => run_key.to_vec(),
            _ => key(stream_id, from).to_vec(),
        };
        let mut found = Vec::new();
        for entry in self.events.range(start..key(stream_id, below).to_vec()) {
            let (run_key, value) = entry?;
            let run = run(&run_key, &value)?;
            let wanted = run
                .into_iter()
                .filter(|location| location.next_number() > from && location.first_number < below);
            found.extend(wanted);
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// Locations of a stream's events in descending order, from the one that holds the last
    /// number below `below`; about `limit` of them.
    pub(super) fn locations_before(
        &self,
        stream_id: u64,
        below: u64,
        limit: usize,
    ) -> Result<Vec<Location>, IndexError> {
        let mut found = Vec::new();
        let range = key(stream_id, 0).to_vec()..key(stream_id, below).to_vec();
        for entry in self.events.range(range).rev() {
            let (run_key, value) = entry?;
            let run = run(&run_key, &value)?;
            let wanted = run
                .into_iter()
                .rev()
                .filter(|location| location.first_number < below);
            found.extend(wanted);
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// The last noted commit that begins at or before this position.
    pub(super) fn position(&self, at: u64) -> Result<Option<(u64, PositionRow)>, IndexError> {
        let above = match at.checked_add(1) {
            Some(above) => self.positions.get_lt(above.to_be_bytes())?,
            None => self.positions.last()?,
        };
        match above {
            None => Ok(None),
            Some((key, value)) => match (number(&key), PositionRow::decode(&value)) {
                (Some(position), Some(row)) => Ok(Some((position, row))),
                _ => Err(IndexError::Malformed("positions")),
            },
        }
    }

    /// Brings the trees up to a checkpoint and makes that durable. The log must be durable up to
    /// it already. Changes are written in the order of their keys: sled is several times faster so.
    pub(super) fn write(
        &self,
        changes: &Pending,
        checkpoint: &Checkpoint,
        damage: &[DamageRow],
    ) -> Result<(), IndexError> {
        // Names are freed before the rows of their streams say otherwise: a log that is read again
        // finds out by these which name a stream leaves. They are bound once the rows are there.
        for (name, id) in &changes.names {
            if id.is_none() {
                self.remove(&self.names, name.as_bytes())?;
            }
        }
        let mut ids: Vec<u64> = changes.streams.keys().copied().collect();
        ids.sort_unstable();
        for id in &ids {
            let change = &changes.streams[id];
            if change.is_gone {
                let commits = checkpoint.commits.to_be_bytes();
                self.put(&self.gone, &id.to_be_bytes(), commits.to_vec())?;
                continue;
            }
            self.write_locations(*id, &change.locations)?;
            self.write_deleted(change)?;
        }
        for ids in ids.chunk_by(|a, b| Neighbours::key(*a) == Neighbours::key(*b)) {
            let mut rows = self.neighbours(ids[0])?;
            for id in ids {
                rows.insert(changes.streams[id].row.clone());
            }
            self.put(&self.streams, &Neighbours::key(ids[0]), rows.encode())?;
        }
        self.write_groups(changes, checkpoint)?;
        self.write_keys(changes, checkpoint)?;
        for (name, id) in &changes.names {
            if let Some(id) = id {
                self.put(&self.names, name.as_bytes(), id.to_be_bytes().to_vec())?;
            }
        }
        for (position, row) in &changes.positions {
            self.put(&self.positions, &position.to_be_bytes(), row.encode())?;
        }
        self.put(&self.meta, b"damage", DamageRow::encode_all(damage))?;
        self.sync()?;
        self.put(&self.meta, b"checkpoint", checkpoint.encode())?;
        self.sync()?;
        self.clear_gone(checkpoint)
    }

    /// Removes what the trees hold of deleted streams. Only those whose deletion a checkpoint
    /// covers: until then the log may be read again from before it.
    pub(super) fn clear_gone(&self, checkpoint: &Checkpoint) -> Result<(), IndexError> {
        let mut cleared = Vec::new();
        for entry in &self.gone {
            let (key, value) = entry?;
            let (Some(id), Some(commits)) = (number(&key), number(&value)) else {
                return Err(IndexError::Malformed("gone"));
            };
            if commits > checkpoint.commits {
                continue;
            }
            for group in self.groups_of(id)? {
                self.clear(&self.pending, &group.id.to_be_bytes())?;
            }
            for tree in [
                &self.events,
                &self.deleted,
                &self.groups,
                &self.pending,
                &self.keys,
                &self.producers,
            ] {
                self.clear(tree, &key)?;
            }
            let mut rows = self.neighbours(id)?;
            if rows.remove(id).is_some() {
                match rows.is_empty() {
                    true => self.remove(&self.streams, &Neighbours::key(id))?,
                    false => self.put(&self.streams, &Neighbours::key(id), rows.encode())?,
                }
            }
            cleared.push(key);
        }
        if cleared.is_empty() {
            return Ok(());
        }
        self.sync()?;
        for key in cleared {
            self.remove(&self.gone, &key)?;
        }
        Ok(())
    }

    fn clear(&self, tree: &sled::Tree, prefix: &[u8]) -> Result<(), IndexError> {
        for entry in tree.scan_prefix(prefix) {
            self.remove(tree, &entry?.0)?;
        }
        Ok(())
    }

    /// Brings the deleted numbers of a stream up to date, in the blocks that changed.
    fn write_deleted(&self, change: &PendingStream) -> Result<(), IndexError> {
        let Some(deleted) = &change.deleted else {
            return Ok(());
        };
        let id = change.row.id;
        let first = change.row.first >> 16;
        // What lies below the first event needs no note any more.
        for entry in self.deleted.range(key(id, 0)..key(id, first)) {
            self.remove(&self.deleted, &entry?.0)?;
        }
        let blocks = change.deleted_blocks.iter().copied().chain([first]);
        for block in blocks.filter(|block| *block >= first) {
            match deleted.encode_block(block) {
                Some(bits) => self.put(&self.deleted, &key(id, block), bits)?,
                None => self.remove(&self.deleted, &key(id, block))?,
            }
        }
        Ok(())
    }

    /// Grows the stream's last run, then adds runs. Locations that are there already (a repeated
    /// checkpoint) are replaced by themselves.
    fn write_locations(&self, stream_id: u64, new: &[Location]) -> Result<(), IndexError> {
        let Some(first) = new.first() else {
            return Ok(());
        };
        let last = self.events.get_lt(key(stream_id, u64::MAX))?;
        let mut grown = match last {
            Some((run_key, value)) if run_key[..8] == stream_id.to_be_bytes() => {
                run(&run_key, &value)?
            }
            _ => Vec::new(),
        };
        grown.retain(|location| location.first_number < first.first_number);
        let continues = |grown: &[Location], next: &Location| {
            grown.len() < RUN_LOCATIONS_MAX
                && grown
                    .last()
                    .is_none_or(|last| last.next_number() == next.first_number)
        };
        for location in new {
            if !continues(&grown, location) {
                self.write_run(stream_id, &grown)?;
                grown.clear();
            }
            grown.push(*location);
        }
        self.write_run(stream_id, &grown)
    }

    fn write_run(&self, stream_id: u64, run: &[Location]) -> Result<(), IndexError> {
        let Some(first) = run.first() else {
            return Ok(());
        };
        let run_key = key(stream_id, first.first_number);
        self.put(&self.events, &run_key, encode_run(run))
    }

    fn put(&self, tree: &sled::Tree, key: &[u8], value: Vec<u8>) -> Result<(), IndexError> {
        self.step()?;
        tree.insert(key, value)?;
        Ok(())
    }

    fn remove(&self, tree: &sled::Tree, key: &[u8]) -> Result<(), IndexError> {
        self.step()?;
        tree.remove(key)?;
        Ok(())
    }

    fn sync(&self) -> Result<(), IndexError> {
        self.step()?;
        self.db.flush()?;
        self.step()?;
        self.sync_blobs()?;
        self.file.sync_data()?;
        Ok(())
    }

    /// Values over a quarter of sled's segment size (streams with long names, 32 to a value) become
    /// files of their own, which sled never syncs.
    fn sync_blobs(&self) -> io::Result<()> {
        let directory = self.directory.join("blobs");
        let mut synced = self
            .synced_blobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut is_new = false;
        let mut there = HashSet::new();
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if !synced.contains(&entry.file_name()) {
                File::open(entry.path())?.sync_data()?;
                is_new = true;
            }
            there.insert(entry.file_name());
        }
        *synced = there;
        match is_new {
            true => File::open(&directory)?.sync_all(),
            false => Ok(()),
        }
    }

    fn step(&self) -> Result<(), IndexError> {
        self.faults.as_ref().map_or(Ok(()), IndexFaults::step)
    }
}

/// Moves an index that cannot be used aside, so that a new one can be built; returns where to.
pub(super) fn move_aside(directory: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let aside = directory.with_extension(format!("unusable-{number}"));
        if !aside.exists() {
            std::fs::rename(directory, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

fn key(stream_id: u64, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&stream_id.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// An id as a part of a key.
fn id_key(id: EventId) -> [u8; 16] {
    key(id.ms, id.seq)
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn run(run_key: &[u8], value: &[u8]) -> Result<Vec<Location>, IndexError> {
    let first = run_key
        .get(8..)
        .and_then(number)
        .ok_or(IndexError::Malformed("events"))?;
    decode_run(first, value).ok_or(IndexError::Malformed("events"))
}
