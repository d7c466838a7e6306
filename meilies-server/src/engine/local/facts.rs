//! What was read from the disk for one command: it runs again with it.
//!
//! Events never change, so what is known of them stays true. What the index says of a stream is
//! true as long as no checkpoint was finished since: changes that are not in the index are in
//! memory, and memory is asked first.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::{EventId, StreamName};

use super::catalog::StreamHandle;
use super::cold::Batches;
use super::index::Block;
use super::live::Known;
use super::pages::{Pages, Rows};
use super::reader::{self, Finder};
use super::shared::{Shared, index_failed};
use crate::engine::{Access, Found, Group, Producer, Run, StoreError, StreamSummary, StreamsPage};

/// Bytes of events that are read ahead for a command.
const READ_BYTES: usize = 256 * 1024;
/// Blocks of pending entries that are read ahead for a command; twice as many each time that it
/// goes on where they ended, so that one which looks at all of them does not begin anew for every
/// few.
const BLOCKS: usize = 16;
/// How often that doubles.
const DOUBLINGS_MAX: u32 = 12;

/// What a command could not be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Need {
    /// What the index says of a name.
    Stream(StreamName),
    /// What a writer needs of a name.
    Handle(StreamName),
    /// The deleted numbers of a stream.
    Deleted(u64),
    /// Events of a stream.
    Runs {
        stream: StreamSummary,
        numbers: Range<u64>,
        reverse: bool,
    },
    /// Where ids from this one on begin in a stream.
    Place { stream: StreamSummary, id: EventId },
    /// What the index says of many streams.
    Page(StreamsPage, usize),
    /// A group of a stream, by id and name.
    Group(u64, Bytes),
    /// All groups of a stream.
    Groups(u64),
    /// Events of a stream that may have a key.
    Keyed(u64, u128),
    /// The last keys of a producer of a stream.
    Producer(u64, u128),
    /// The last keys of all producers of a stream.
    Producers(u64),
    /// What is pending in a group from this id on, or before it.
    Pending {
        group: u64,
        id: EventId,
        reverse: bool,
    },
    /// The zones of a group, which has about so many pending entries.
    Zones { group: u64, pending: u64 },
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// How many checkpoints were finished when `streams` was read.
    thaws: u64,
    streams: HashMap<StreamName, Known<StreamSummary>>,
    /// In use by the command, so that they stay.
    handles: HashMap<StreamName, Arc<StreamHandle>>,
    batches: Batches,
    /// With the first number that the stream had when it was asked.
    places: HashMap<(u64, EventId), (u64, Found)>,
    pages: Pages,
    /// How often pages were read: each time twice as much, as with blocks.
    page_reads: u32,
    groups: HashMap<(u64, Bytes), Option<Arc<Group>>>,
    groups_of: HashMap<u64, Vec<Arc<Group>>>,
    keyed: HashMap<(u64, u128), Vec<u64>>,
    producers: HashMap<(u64, u128), Arc<Producer>>,
    producers_of: HashMap<u64, Vec<(u128, Arc<Producer>)>>,
    /// By group and where they begin.
    blocks: BTreeMap<(u64, EventId), Block>,
    /// What follows the blocks that were read last: a group and an id.
    blocks_end: Option<(u64, EventId)>,
    /// How often blocks were read that follow those read before.
    block_reads: u32,
    needs: RefCell<Vec<Need>>,
}

impl Facts {
    /// Keeps the handle of a name in memory.
    pub(super) fn hold(&mut self, handle: Arc<StreamHandle>) {
        self.handles.insert(handle.name.clone(), handle);
    }

    /// Whether the handle of a name is kept.
    pub(super) fn holds(&self, name: &StreamName) -> bool {
        self.handles.contains_key(name)
    }

    /// Notes that something is missing.
    pub(super) fn need<T>(&self, need: Need) -> Result<T, StoreError> {
        self.needs.borrow_mut().push(need);
        Err(StoreError::WouldBlock)
    }

    /// What the index said of a name, if that is still true.
    pub(super) fn stream(&self, name: &StreamName, thaws: u64) -> Option<Known<StreamSummary>> {
        let known = self.streams.get(name).filter(|_| self.thaws == thaws)?;
        Some(known.clone())
    }

    /// Events of a stream that begin at one end of the range.
    pub(super) fn runs(
        &self,
        stream_id: u64,
        numbers: &Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Option<Vec<Run>> {
        self.batches.runs(stream_id, numbers, reverse, bytes_max)
    }

    /// Where ids from this one on begin in a stream. What was found in it when it began later does
    /// not count: an operation may have trimmed it, and not done so now that it runs again.
    pub(super) fn place(&self, stream: &StreamSummary, id: EventId) -> Option<Found> {
        let (first, found) = *self.places.get(&(stream.id, id))?;
        (first <= stream.first).then_some(found)
    }

    /// What the index said of many streams, if that is still true.
    pub(super) fn page(&self, page: &StreamsPage, thaws: u64) -> Option<(&[StreamSummary], bool)> {
        self.pages.rows(page).filter(|_| self.thaws == thaws)
    }

    /// What the index said of a group, if that is still true.
    pub(super) fn group(
        &self,
        stream_id: u64,
        name: &[u8],
        thaws: u64,
    ) -> Option<Known<Arc<Group>>> {
        if self.thaws != thaws {
            return None;
        }
        let key = (stream_id, Bytes::copy_from_slice(name));
        let found = self.groups.get(&key)?.clone();
        Some(found.map_or(Known::Gone, Known::There))
    }

    /// What the index said of all groups of a stream, if that is still true.
    pub(super) fn groups(&self, stream_id: u64, thaws: u64) -> Option<&Vec<Arc<Group>>> {
        self.groups_of
            .get(&stream_id)
            .filter(|_| self.thaws == thaws)
    }

    /// What the index said of the events that may have a key, if that is still true.
    pub(super) fn keyed(&self, key: (u64, u128), thaws: u64) -> Option<&Vec<u64>> {
        self.keyed.get(&key).filter(|_| self.thaws == thaws)
    }

    /// What the index said of a producer, if that is still true.
    pub(super) fn producer(&self, key: (u64, u128), thaws: u64) -> Option<&Arc<Producer>> {
        self.producers.get(&key).filter(|_| self.thaws == thaws)
    }

    /// What the index said of all producers of a stream, if that is still true.
    pub(super) fn producers(
        &self,
        stream_id: u64,
        thaws: u64,
    ) -> Option<&Vec<(u128, Arc<Producer>)>> {
        self.producers_of
            .get(&stream_id)
            .filter(|_| self.thaws == thaws)
    }

    /// What the index said of the pending entries around this id, if that is still true.
    pub(super) fn block(&self, group_id: u64, id: EventId, thaws: u64) -> Option<&Block> {
        let up_to = (group_id, EventId::MIN)..=(group_id, id);
        let (_, block) = self.blocks.range(up_to).next_back()?;
        let holds = self.thaws == thaws && block.end.is_none_or(|end| id < end);
        holds.then_some(block)
    }

    /// Whether anything is missing.
    pub(super) fn has_needs(&self) -> bool {
        !self.needs.borrow().is_empty()
    }

    /// Reads what is missing. Waits for the disk.
    pub(super) fn load(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let mut finder = Finder::default();
        // Operations that run together may need the same.
        let mut met = HashSet::new();
        for need in self.needs.take() {
            if !met.insert(need.clone()) {
                continue;
            }
            match need {
                Need::Stream(name) => self.load_stream(shared, name)?,
                Need::Handle(name) => self.hold(shared.handle(&name)?),
                Need::Deleted(id) => shared.load_deleted(id)?,
                Need::Runs {
                    stream,
                    numbers,
                    reverse,
                } => self.load_runs(shared, &stream, numbers, reverse)?,
                Need::Place { stream, id } => {
                    let found = finder.find(shared, &stream, id)?;
                    self.places.insert((stream.id, id), (stream.first, found));
                }
                Need::Page(page, limit) => self.load_page(shared, page, limit)?,
                Need::Group(stream_id, name) => {
                    self.renew(shared);
                    let group = shared.index.group(stream_id, &name);
                    let group = group.map_err(index_failed)?;
                    self.groups.insert((stream_id, name), group);
                }
                Need::Groups(stream_id) => {
                    self.renew(shared);
                    let groups = shared.index.groups_of(stream_id).map_err(index_failed)?;
                    self.groups_of.insert(stream_id, groups);
                }
                Need::Keyed(stream_id, hash) => {
                    self.renew(shared);
                    let keyed = shared.index.keyed(stream_id, hash).map_err(index_failed)?;
                    self.keyed.insert((stream_id, hash), keyed);
                }
                Need::Producer(stream_id, hash) => {
                    self.renew(shared);
                    let producer = shared.index.producer(stream_id, hash);
                    let producer = producer.map_err(index_failed)?.unwrap_or_default();
                    self.producers.insert((stream_id, hash), producer);
                }
                Need::Producers(stream_id) => {
                    self.renew(shared);
                    let producers = shared.index.producers_of(stream_id);
                    let producers = producers.map_err(index_failed)?;
                    self.producers_of.insert(stream_id, producers);
                }
                Need::Pending { group, id, reverse } => {
                    self.renew(shared);
                    self.load_blocks(shared, group, id, reverse)?;
                }
                Need::Zones { group, pending } => shared.load_zones(group, pending)?,
            }
        }
        Ok(())
    }

    fn load_blocks(
        &mut self,
        shared: &Shared,
        group: u64,
        id: EventId,
        reverse: bool,
    ) -> Result<(), StoreError> {
        if self.block(group, id, self.thaws).is_some() {
            return Ok(());
        }
        let goes_on = self.blocks_end == Some((group, id));
        self.block_reads = match goes_on {
            true => (self.block_reads + 1).min(DOUBLINGS_MAX),
            false => 0,
        };
        let limit = BLOCKS << self.block_reads;
        let blocks = shared.index.blocks(group, id, reverse, limit);
        for block in blocks.map_err(index_failed)? {
            let next = match reverse {
                true => block.start.previous(),
                false => block.end,
            };
            self.blocks_end = next.map(|id| (group, id));
            self.blocks.insert((group, block.start), block);
        }
        Ok(())
    }

    fn load_runs(
        &mut self,
        shared: &Shared,
        stream: &StreamSummary,
        numbers: Range<u64>,
        reverse: bool,
    ) -> Result<(), StoreError> {
        // What was asked for before may have brought this, too.
        if self.batches.runs(stream.id, &numbers, reverse, 1).is_some() {
            return Ok(());
        }
        match reader::load_batches(shared, stream, numbers, reverse, READ_BYTES) {
            Ok(batches) => {
                for batch in &batches {
                    self.batches.add(batch);
                    shared.cold.keep(batch);
                }
                Ok(())
            }
            // Deleted meanwhile, and its places forgotten: the command runs again and sees that.
            Err(_) if shared.row(stream.id, Access::Disk)?.is_none() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn load_stream(&mut self, shared: &Shared, name: StreamName) -> Result<(), StoreError> {
        self.renew(shared);
        let id = shared.index.stream_id(&name).map_err(index_failed)?;
        let stream = match id {
            Some(id) => shared.index.stream(id).map_err(index_failed)?,
            None => None,
        };
        self.streams
            .insert(name, stream.map_or(Known::Gone, Known::There));
        Ok(())
    }

    fn load_page(
        &mut self,
        shared: &Shared,
        page: StreamsPage,
        limit: usize,
    ) -> Result<(), StoreError> {
        self.renew(shared);
        let limit = limit.saturating_mul(1 << self.page_reads);
        let rows = shared.index.page(&page, limit).map_err(index_failed)?;
        let is_last = rows.len() < limit;
        self.pages.add(page, Rows { rows, is_last });
        self.page_reads = (self.page_reads + 1).min(DOUBLINGS_MAX);
        Ok(())
    }

    /// What the index says from now on is true until the next checkpoint is finished; if that
    /// happens while it is read, it is asked for again.
    fn renew(&mut self, shared: &Shared) {
        let thaws = shared.live().thaws;
        if self.thaws != thaws {
            self.streams.clear();
            self.pages.clear();
            self.groups.clear();
            self.groups_of.clear();
            self.keyed.clear();
            self.producers.clear();
            self.producers_of.clear();
            self.blocks.clear();
            self.thaws = thaws;
        }
    }
}
