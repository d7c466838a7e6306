//! The visible state as a command sees it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use meilies_protocol::{EventId, StreamName};

use super::committer::now_ms;
use super::facts::{Facts, Need};
use super::live::{Known, Live};
use super::pages;
use super::shared::Shared;
use super::zones::{GroupZones, ZONED_ENTRIES_MIN};
use crate::engine::keys::hash;
use crate::engine::{
    Access, DeletedNumbers, Found, Group, Look, NameWatch, PendingEntry, Producer, Run, Sightings,
    StoreError, StreamSummary, StreamsPage, View, Wanted,
};

/// Blocks of pending entries that are looked at for wanted ones before their zones are made.
const BLOCKS_IN_A_ROW: usize = 32;
/// Zones that are read in one go for those whose turn comes first.
const ZONES_AHEAD: usize = 32;

/// The visible state, which does not change meanwhile, and what was read for it from the disk.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    shared: &'a Shared,
    live: &'a Live,
    facts: &'a Facts,
    now: u64,
}

/// Lets a command look until it has seen what it needs.
pub(super) fn look(shared: &Shared, access: Access, look: Look<'_>) -> Result<(), StoreError> {
    let mut facts = Facts::default();
    loop {
        let looked = {
            let live = shared.live();
            look(&Snapshot::new(shared, &live, &facts, now_ms()))
        };
        match looked {
            Err(StoreError::WouldBlock) if access == Access::Disk && facts.has_needs() => {
                facts.load(shared)?;
            }
            other => return other,
        }
    }
}

impl<'a> Snapshot<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        live: &'a Live,
        facts: &'a Facts,
        now: u64,
    ) -> Snapshot<'a> {
        Snapshot {
            shared,
            live,
            facts,
            now,
        }
    }

    /// A pending entry, if it changed since the index was written.
    #[allow(clippy::option_option)] // The outer says whether it is known, the inner what.
    fn changed_entry(&self, group_id: u64, id: EventId) -> Option<Option<PendingEntry>> {
        let mut layers = self.live.layers();
        layers.find_map(|layer| layer.entries.get(&(group_id, id)).copied())
    }

    /// The zones of a group.
    fn zones(&self, group: &Group) -> Result<MutexGuard<'_, GroupZones>, StoreError> {
        let (group, pending) = (group.id, group.pending);
        match self.live.zones.of(group) {
            Some(zones) => Ok(zones),
            None => self.facts.need(Need::Zones { group, pending }),
        }
    }

    /// All producers of a stream, by what stands for their names.
    pub(super) fn producers_by_hash(
        &self,
        stream_id: u64,
    ) -> Result<BTreeMap<u128, Arc<Producer>>, StoreError> {
        let mut producers: BTreeMap<u128, Arc<Producer>> = BTreeMap::new();
        match self.facts.producers(stream_id, self.live.thaws) {
            Some(indexed) => producers.extend(indexed.iter().cloned()),
            None if !self.live.may_be_indexed(stream_id) => {}
            None => return self.facts.need(Need::Producers(stream_id)),
        }
        // The newest last.
        let layers: Vec<_> = self.live.layers().collect();
        for layer in layers.into_iter().rev() {
            let of_stream = layer
                .producers
                .range((stream_id, 0)..=(stream_id, u128::MAX));
            producers.extend(of_stream.map(|((_, hash), known)| (*hash, Arc::clone(known))));
        }
        Ok(producers)
    }

    /// What the handle of a name says, unless a commit that is not visible yet changed it.
    fn by_handle(&self, name: &StreamName) -> Option<Known<StreamSummary>> {
        let handle = self.shared.catalog.find(name).ok()?;
        let state = handle.state();
        (state.changed < self.live.end.commits)
            .then(|| state.stream.clone().map_or(Known::Gone, Known::There))
    }
}

impl View for Snapshot<'_> {
    fn now_ms(&self) -> u64 {
        self.now
    }

    fn stream(&self, name: &StreamName) -> Result<Option<StreamSummary>, StoreError> {
        let row = |id| match self.live.row(id) {
            Known::There(row) => Some(row.clone()),
            Known::Gone | Known::InIndex => None,
        };
        match self.live.stream_id(name) {
            // A name that was bound lately is that of a stream that changed lately.
            Known::There(id) => Ok(row(id)),
            Known::Gone => Ok(None),
            Known::InIndex => {
                let known = self.by_handle(name);
                match known.or_else(|| self.facts.stream(name, self.live.thaws)) {
                    Some(Known::There(stream)) => match self.live.row(stream.id) {
                        Known::InIndex => Ok(Some(stream)),
                        _ => Ok(row(stream.id)),
                    },
                    Some(_) => Ok(None),
                    None => self.facts.need(Need::Stream(name.clone())),
                }
            }
        }
    }

    fn watch(&self, name: &StreamName) -> Result<NameWatch, StoreError> {
        match self.shared.catalog.find(name) {
            Ok(handle) => Ok(NameWatch::new(self.live.end.commits, handle)),
            Err(_) => self.facts.need(Need::Handle(name.clone())),
        }
    }

    fn bound(&self, name: &StreamName) -> u64 {
        let handle = self.shared.catalog.find(name);
        handle.map_or(0, |handle| handle.state().bound)
    }

    fn streams(&self, page: &StreamsPage, limit: usize) -> Result<Vec<StreamSummary>, StoreError> {
        pages::streams(self.live, page, limit, |page| {
            match self.facts.page(page, self.live.thaws) {
                Some(rows) => Ok(rows),
                None => self.facts.need(Need::Page(page.clone(), limit)),
            }
        })
    }

    fn next_position(&self) -> u64 {
        self.live.end.next_position
    }

    fn count(&self) -> u64 {
        self.live.end.streams
    }

    fn deleted(&self, stream: &StreamSummary) -> Result<Arc<DeletedNumbers>, StoreError> {
        if stream.deleted == 0 {
            return Ok(Arc::default());
        }
        match self.live.deleted.get(&stream.id) {
            Some(deleted) => Ok(Arc::clone(deleted)),
            None => self.facts.need(Need::Deleted(stream.id)),
        }
    }

    fn whole_runs(
        &self,
        stream: &StreamSummary,
        numbers: Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Result<Vec<Run>, StoreError> {
        let recent = &self.live.recent;
        if let Some(runs) = recent.whole_runs(stream.id, numbers.clone(), reverse, bytes_max) {
            return Ok(runs);
        }
        let read = self.facts.runs(stream.id, &numbers, reverse, bytes_max);
        let read = read.or_else(|| {
            let cold = &self.shared.cold;
            cold.runs(stream.id, &numbers, reverse, bytes_max)
        });
        match read {
            Some(runs) => Ok(runs.into_iter().map(|run| named(run, stream)).collect()),
            None => self.facts.need(Need::Runs {
                stream: stream.clone(),
                numbers,
                reverse,
            }),
        }
    }

    fn group(&self, stream: &StreamSummary, name: &[u8]) -> Result<Option<Arc<Group>>, StoreError> {
        match self.live.group(stream.id, name) {
            Known::There(group) => return Ok(Some(Arc::clone(group))),
            Known::Gone => return Ok(None),
            Known::InIndex => {}
        }
        match self.facts.group(stream.id, name, self.live.thaws) {
            Some(Known::There(group)) => Ok(Some(group)),
            Some(_) => Ok(None),
            None => {
                let name = Bytes::copy_from_slice(name);
                self.facts.need(Need::Group(stream.id, name))
            }
        }
    }

    fn groups(&self, stream: &StreamSummary) -> Result<Vec<Arc<Group>>, StoreError> {
        let Some(indexed) = self.facts.groups(stream.id, self.live.thaws) else {
            return self.facts.need(Need::Groups(stream.id));
        };
        let mut groups: BTreeMap<Bytes, Option<Arc<Group>>> = BTreeMap::new();
        for group in indexed {
            groups.insert(group.name.clone(), Some(Arc::clone(group)));
        }
        // The newest last.
        let layers: Vec<_> = self.live.layers().collect();
        for layer in layers.into_iter().rev() {
            let of_stream = layer.groups.range((stream.id, Bytes::new())..);
            let of_stream = of_stream.take_while(|((id, _), _)| *id == stream.id);
            for ((_, name), group) in of_stream {
                groups.insert(name.clone(), group.clone());
            }
        }
        Ok(groups.into_values().flatten().collect())
    }

    fn pending(
        &self,
        group: &Group,
        ids: RangeInclusive<EventId>,
        wanted: &Wanted,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let mut found = Vec::new();
        let (mut low, mut high) = ids.into_inner();
        let mut blocks = 0;
        while low <= high && found.len() < limit {
            if low == high
                && let Some(known) = self.changed_entry(group.id, low)
            {
                found.extend(known.filter(|entry| wanted.admits(entry)));
                break;
            }
            // Who finds little of what is wanted goes on where there may be any.
            let is_rare = blocks >= BLOCKS_IN_A_ROW && *wanted != Wanted::ALL;
            if is_rare && !reverse && group.pending >= ZONED_ENTRIES_MIN {
                match self.zones(group)?.next_wanted(low, wanted) {
                    Some(next) if next <= high => low = next,
                    _ => break,
                }
            }
            blocks += 1;
            let at = if reverse { high } else { low };
            let Some(block) = self.facts.block(group.id, at, self.live.thaws) else {
                let (group, id) = (group.id, at);
                return self.facts.need(Need::Pending { group, id, reverse });
            };
            // What of the range lies in the block, with what changed since.
            let from = low.max(block.start);
            let until = block
                .end
                .and_then(EventId::previous)
                .unwrap_or(EventId::MAX);
            let until = until.min(high);
            let left = limit - found.len();
            let within = block.entries.iter().map(|entry| (entry.id, Some(*entry)));
            let within = within.filter(|(id, _)| (from..=until).contains(id));
            let range = (group.id, from)..=(group.id, until);
            let changed = self.live.layers().map(|layer| {
                let changed = layer.entries.range(range.clone());
                changed.map(|((_, id), entry)| (*id, *entry))
            });
            if reverse {
                let layers = changed.map(|layer| layer.rev().map(reversed));
                let merged = newest(layers, within.rev().map(reversed));
                let entries = merged.filter_map(|(_, entry)| entry);
                found.extend(entries.filter(|entry| wanted.admits(entry)).take(left));
            } else {
                let merged = newest(changed, within);
                let entries = merged.filter_map(|(_, entry)| entry);
                found.extend(entries.filter(|entry| wanted.admits(entry)).take(left));
            }
            let next = match reverse {
                true => from.previous().map(|id| high = id),
                false => until.next().map(|id| low = id),
            };
            if next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn first_in_turn(
        &self,
        group: &Group,
        wanted: &Wanted,
        limit: usize,
        is_meant: &dyn Fn(&PendingEntry) -> bool,
    ) -> Result<Vec<PendingEntry>, StoreError> {
        let mut first = BTreeMap::new();
        let mut add = |entries: Vec<PendingEntry>| {
            for entry in entries {
                if wanted.admits(&entry) && is_meant(&entry) {
                    first.insert(entry.turn(), entry);
                }
                if first.len() > limit {
                    first.pop_last();
                }
            }
            let last = first.last_key_value().map(|(turn, _)| *turn);
            last.filter(|_| first.len() >= limit)
        };
        if group.pending < ZONED_ENTRIES_MIN {
            let all = EventId::MIN..=EventId::MAX;
            add(self.pending(group, all, &Wanted::ALL, false, usize::MAX)?);
            return Ok(first.into_values().collect());
        }
        let (mut zone, mut last, mut missing) = (None, None, 0);
        loop {
            let next = self.zones(group)?.next(zone);
            let Some(place) = next.filter(|place| place.is_due(wanted)) else {
                break;
            };
            if last.is_some_and(|last| last < place.first_turn()) {
                break;
            }
            zone = next;
            let ids = place.start..=place.end;
            match self.pending(group, ids, &Wanted::ALL, false, usize::MAX) {
                Ok(entries) => {
                    self.zones(group)?.settle(place, &entries);
                    last = add(entries);
                }
                // What else may be needed is read in the same go.
                Err(StoreError::WouldBlock) if missing < ZONES_AHEAD => missing += 1,
                Err(error) => return Err(error),
            }
        }
        match missing {
            0 => Ok(first.into_values().collect()),
            _ => Err(StoreError::WouldBlock),
        }
    }

    fn producer(&self, stream: &StreamSummary, name: &[u8]) -> Result<Arc<Producer>, StoreError> {
        let hash = hash(name);
        if let Some(producer) = self.live.producer(stream.id, hash) {
            return Ok(Arc::clone(producer));
        }
        if !self.live.may_be_indexed(stream.id) {
            return Ok(Arc::default());
        }
        match self.facts.producer((stream.id, hash), self.live.thaws) {
            Some(producer) => Ok(Arc::clone(producer)),
            None => self.facts.need(Need::Producer(stream.id, hash)),
        }
    }

    fn producers(&self, stream: &StreamSummary) -> Result<Vec<Arc<Producer>>, StoreError> {
        Ok(self.producers_by_hash(stream.id)?.into_values().collect())
    }

    fn keyed(&self, stream: &StreamSummary, key: &[u8]) -> Result<Vec<u64>, StoreError> {
        let hash = hash(key);
        let mut numbers = match self.facts.keyed((stream.id, hash), self.live.thaws) {
            Some(indexed) => indexed.clone(),
            None if !self.live.may_be_indexed(stream.id) => Vec::new(),
            None => return self.facts.need(Need::Keyed(stream.id, hash)),
        };
        let range = (stream.id, hash, 0)..=(stream.id, hash, u64::MAX);
        let layers = self.live.layers();
        let since = layers.flat_map(|layer| layer.keys.range(range.clone()));
        numbers.extend(since.map(|(_, _, number)| *number));
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn sightings(&self) -> &Sightings {
        &self.shared.sightings
    }

    fn find(&self, stream: &StreamSummary, id: EventId) -> Result<Found, StoreError> {
        let end = Found {
            number: stream.next_number(),
            is_exact: false,
        };
        if id > stream.last_id || stream.first == end.number {
            return Ok(end);
        }
        let found = self.live.recent.find(stream.id, stream.first, id);
        let Some(found) = found.or_else(|| self.facts.place(stream, id)) else {
            let stream = stream.clone();
            return self.facts.need(Need::Place { stream, id });
        };
        // What lies before the first event is trimmed.
        Ok(match found.number < stream.first {
            true => Found {
                number: stream.first,
                is_exact: false,
            },
            false => found,
        })
    }
}

/// A stream may have got another name since its events were read.
fn named(run: Run, stream: &StreamSummary) -> Run {
    if run.batch.stream == stream.name {
        return run;
    }
    Run {
        batch: Arc::new(run.batch.renamed(&stream.name)),
        ..run
    }
}

fn reversed<V>((id, value): (EventId, V)) -> (Reverse<EventId>, V) {
    (Reverse(id), value)
}

/// Merges ascending entries, of which those of an earlier layer replace those of later ones and of
/// the last. Nothing is looked at before it is asked for.
pub(super) fn newest<K: Ord + Copy, V>(
    layers: impl Iterator<Item = impl Iterator<Item = (K, V)>>,
    last: impl Iterator<Item = (K, V)>,
) -> impl Iterator<Item = (K, V)> {
    let mut layers: Vec<_> = layers.map(Iterator::peekable).collect();
    let mut last = last.peekable();
    std::iter::from_fn(move || {
        let heads = layers.iter_mut().filter_map(|layer| layer.peek());
        let head = heads.map(|(key, _)| *key).min();
        let next = head.into_iter().chain(last.peek().map(|(key, _)| *key));
        let next = next.min()?;
        let mut found = None;
        for layer in &mut layers {
            let here = layer.next_if(|(key, _)| *key == next);
            found = found.or(here);
        }
        let here = last.next_if(|(key, _)| *key == next);
        found.or(here)
    })
}
