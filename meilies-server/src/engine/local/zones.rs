//! Which pending entries of a large group may lie where.
//!
//! Pending entries lie in the order of their ids. To find those of one consumer among millions of
//! others, or those that are idle for longest, a group that is asked for such is divided into zones
//! of neighbouring ids, each with the least that its entries may have waited and with who may have
//! them ("zone maps", or "small materialized aggregates": Moerkotte, VLDB 1998). Zones are kept in
//! memory only, made at the first question and brought up to date by commits.
//!
//! **Invariant:** for every entry that is visible, the zone of its id tells of no later turn than
//! it has, and of its owner. A zone may tell of what is gone: who looks at all of a zone makes it
//! exact again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use meilies_protocol::EventId;

use crate::engine::{PendingEntry, Wanted};

/// A group with fewer pending entries has no zones: they are looked at one by one.
pub(super) const ZONED_ENTRIES_MIN: u64 = 1024;
/// Entries of a zone, at least.
const ZONE_ENTRIES: usize = 128;
/// About how many zones a group has, at most.
const GROUP_ZONES_MAX: usize = 64 * 1024;
/// Zones of all groups together: about 32 MB. Who comes when there are more makes the others be
/// forgotten.
const ZONES_MAX: usize = 256 * 1024;

/// When the entry whose turn comes first was delivered, as [`PendingEntry::turn`] says it.
type Age = (bool, u64);

/// Of a zone without entries.
const NEVER: Age = (true, u64::MAX);

/// The zones of groups, by the group's id.
#[derive(Debug, Default)]
pub(super) struct Zones {
    groups: HashMap<u64, Mutex<GroupZones>>,
}

/// The zones of one group: together they hold every id.
#[derive(Debug)]
pub(super) struct GroupZones {
    /// By where they begin; the first begins at the lowest id.
    zones: BTreeMap<EventId, Zone>,
    /// By their ages and where they begin.
    order: BTreeSet<(Age, EventId)>,
    /// Entries of a zone.
    size: usize,
    /// Whether what is in the index is told, too.
    is_complete: bool,
}

/// What is told of the entries of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    age: Age,
    /// Bits that stand for who has them.
    owners: u64,
    /// How many were told.
    count: usize,
    /// The highest id that was told.
    last: EventId,
}

/// A zone whose entries may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) age: Age,
    pub(super) start: EventId,
    /// Its highest id.
    pub(super) end: EventId,
}

impl Zone {
    const EMPTY: Zone = Zone {
        age: NEVER,
        owners: 0,
        count: 0,
        last: EventId::MIN,
    };

    fn of(entry: &PendingEntry) -> Zone {
        let mut zone = Zone::EMPTY;
        zone.note(entry);
        zone
    }

    fn note(&mut self, entry: &PendingEntry) {
        let (has_owner, delivered_at, _) = entry.turn();
        self.age = self.age.min((has_owner, delivered_at));
        self.owners |= bit(entry.consumer);
        self.count += 1;
        self.last = self.last.max(entry.id);
    }

    /// What is told of the entries of both.
    fn with(self, other: Zone) -> Zone {
        Zone {
            age: self.age.min(other.age),
            owners: self.owners | other.owners,
            count: self.count + other.count,
            last: self.last.max(other.last),
        }
    }

    fn may_hold(&self, wanted: &Wanted) -> bool {
        let consumer = wanted.consumer;
        let is_owned = consumer.is_none_or(|consumer| self.owners & bit(consumer) != 0);
        is_owned && is_due(self.age, wanted)
    }
}

impl Place {
    /// Whether it may hold entries that are wanted. If not, no place behind it does.
    pub(super) fn is_due(&self, wanted: &Wanted) -> bool {
        is_due(self.age, wanted)
    }

    /// The earliest turn that an entry of it may have.
    pub(super) fn first_turn(&self) -> (bool, u64, EventId) {
        (self.age.0, self.age.1, self.start)
    }
}

fn is_due((has_owner, delivered_at): Age, wanted: &Wanted) -> bool {
    !has_owner || delivered_at < wanted.delivered_before
}

/// Ids of consumers are given one after the other to all kinds of things: their lowest bits are
/// spread.
fn bit(consumer: u64) -> u64 {
    1 << (consumer.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58)
}

/// Ascending entries, divided into zones.
#[derive(Debug)]
pub(super) struct Divided {
    zones: Vec<(EventId, Zone)>,
    /// Entries of a zone.
    size: usize,
}

impl Divided {
    pub(super) fn new(size: usize) -> Divided {
        let zones = Vec::new();
        Divided { zones, size }
    }

    /// Adds an entry behind the others. One that is not behind them was added already: the index is
    /// read while a checkpoint divides a block of it, and what that changed is told by memory.
    pub(super) fn push(&mut self, entry: &PendingEntry) {
        match self.zones.last_mut() {
            Some((_, zone)) if entry.id <= zone.last => {}
            Some((_, zone)) if zone.count < self.size => zone.note(entry),
            _ => self.zones.push((entry.id, Zone::of(entry))),
        }
    }
}

/// How many entries a zone has in a group with so many pending ones.
pub(super) fn size(pending: u64) -> usize {
    let pending = usize::try_from(pending).unwrap_or(usize::MAX);
    (pending / GROUP_ZONES_MAX).max(ZONE_ENTRIES)
}

impl Zones {
    /// Whether zones are kept for a group, be they complete or not.
    pub(super) fn has(&self, group: u64) -> bool {
        self.groups.contains_key(&group)
    }

    /// Keeps zones for a group from now on, which are complete when what the index holds is told,
    /// too.
    pub(super) fn begin(&mut self, group: u64, changed: Vec<Divided>, size: usize) {
        let kept = self.groups.values_mut();
        let zones: usize = kept.map(|zones| inner(zones).zones.len()).sum();
        if zones > ZONES_MAX {
            self.groups.clear();
        }
        let mut zones = GroupZones::new(size);
        for changed in changed {
            zones.lay_over(changed);
        }
        self.groups.insert(group, Mutex::new(zones));
    }

    /// What the index holds is told. Nothing happens if the group's zones were forgotten meanwhile.
    pub(super) fn complete(&mut self, group: u64, indexed: Divided) {
        if let Some(zones) = self.groups.get_mut(&group).map(inner)
            && !zones.is_complete
        {
            zones.lay_over(indexed);
            zones.is_complete = true;
        }
    }

    /// Tells of entries that are visible from now on.
    pub(super) fn note<'a>(&mut self, group: u64, entries: impl Iterator<Item = &'a PendingEntry>) {
        let Some(zones) = self.groups.get_mut(&group).map(inner) else {
            return;
        };
        for entry in entries {
            zones.note(entry);
        }
        if zones.zones.len() > 2 * GROUP_ZONES_MAX {
            // The group has grown: its next zones are larger.
            self.forget(group);
        }
    }

    /// A group is gone.
    pub(super) fn forget(&mut self, group: u64) {
        self.groups.remove(&group);
    }

    /// The zones of a group, if they tell of all of its entries.
    pub(super) fn of(&self, group: u64) -> Option<MutexGuard<'_, GroupZones>> {
        let zones = self.groups.get(&group)?;
        let zones = zones.lock().unwrap_or_else(PoisonError::into_inner);
        zones.is_complete.then_some(zones)
    }
}

fn inner(zones: &mut Mutex<GroupZones>) -> &mut GroupZones {
    zones.get_mut().unwrap_or_else(PoisonError::into_inner)
}

impl GroupZones {
    fn new(size: usize) -> GroupZones {
        let mut zones = GroupZones {
            zones: BTreeMap::new(),
            order: BTreeSet::new(),
            size,
            is_complete: false,
        };
        zones.put(EventId::MIN, Zone::EMPTY);
        zones
    }

    fn put(&mut self, start: EventId, zone: Zone) {
        if let Some(before) = self.zones.insert(start, zone) {
            self.order.remove(&(before.age, start));
        }
        self.order.insert((zone.age, start));
    }

    fn remove(&mut self, start: EventId) {
        if let Some(before) = self.zones.remove(&start) {
            self.order.remove(&(before.age, start));
        }
    }

    /// The zone that holds this id.
    fn at(&self, id: EventId) -> (EventId, Zone) {
        let found = self.zones.range(..=id).next_back();
        let (start, zone) = found.expect("the first zone begins at the lowest id");
        (*start, *zone)
    }

    fn note(&mut self, entry: &PendingEntry) {
        let (start, mut zone) = self.at(entry.id);
        if zone.count >= self.size && entry.id > zone.last {
            return self.put(entry.id, Zone::of(entry));
        }
        let before = zone.age;
        zone.note(entry);
        match zone.age == before {
            true => drop(self.zones.insert(start, zone)),
            false => self.put(start, zone),
        }
    }

    /// Adds what other zones tell. Afterwards a zone begins wherever one began in either.
    fn lay_over(&mut self, other: Divided) {
        let mut theirs = other.zones.into_iter().peekable();
        let mut ours = std::mem::take(&mut self.zones).into_iter().peekable();
        self.order.clear();
        let (mut here, mut there) = (Zone::EMPTY, Zone::EMPTY);
        let mut zones = Vec::new();
        loop {
            let starts = [ours.peek(), theirs.peek()];
            let starts = starts.into_iter().flatten().map(|(start, _)| *start);
            let Some(start) = starts.min() else {
                break;
            };
            if let Some((_, zone)) = ours.next_if(|(at, _)| *at == start) {
                here = zone;
            }
            if let Some((_, zone)) = theirs.next_if(|(at, _)| *at == start) {
                there = zone;
            }
            zones.push((start, here.with(there)));
        }
        self.order = zones
            .iter()
            .map(|(start, zone)| (zone.age, *start))
            .collect();
        self.zones = zones.into_iter().collect();
    }

    /// The zone behind the one given, or the first, in the order in which their entries may be
    /// claimed.
    pub(super) fn next(&self, behind: Option<Place>) -> Option<Place> {
        let next = match behind {
            None => self.order.first(),
            Some(place) => {
                let behind = Bound::Excluded((place.age, place.start));
                self.order.range((behind, Bound::Unbounded)).next()
            }
        };
        let (age, start) = *next?;
        Some(Place {
            age,
            start,
            end: self.end(start),
        })
    }

    /// The highest id of the zone that begins here.
    fn end(&self, start: EventId) -> EventId {
        let behind = start.next().and_then(|id| self.zones.range(id..).next());
        let end = behind.and_then(|(id, _)| id.previous());
        end.unwrap_or(EventId::MAX)
    }

    /// The lowest id, from this one on, that a wanted entry may have.
    pub(super) fn next_wanted(&self, from: EventId, wanted: &Wanted) -> Option<EventId> {
        let (start, zone) = self.at(from);
        if zone.may_hold(wanted) {
            return Some(from);
        }
        let mut behind = self.zones.range(start.next()?..);
        let (start, _) = behind.find(|(_, zone)| zone.may_hold(wanted))?;
        Some(*start)
    }

    /// These are all visible entries of a zone.
    pub(super) fn settle(&mut self, place: Place, entries: &[PendingEntry]) {
        // Another reader may have been here meanwhile.
        if !self.zones.contains_key(&place.start) || self.end(place.start) != place.end {
            return;
        }
        let mut exact = Divided::new(self.size);
        for entry in entries {
            exact.push(entry);
        }
        let mut exact = exact.zones;
        match exact.first_mut() {
            // A zone stays where it begins, whatever becomes of its first entry.
            Some((start, _)) => *start = place.start,
            None if place.start == EventId::MIN => exact.push((place.start, Zone::EMPTY)),
            None => {}
        }
        self.remove(place.start);
        for (start, zone) in exact {
            self.put(start, zone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NOBODY;

    fn entry(ms: u64, consumer: u64, delivered_at: u64) -> PendingEntry {
        PendingEntry {
            id: EventId::new(ms, 0),
            number: ms,
            consumer,
            delivered_at,
            deliveries: 1,
        }
    }

    /// A thousand entries of consumer 1 in the index, the higher the later delivered.
    fn zones() -> GroupZones {
        let mut zones = GroupZones::new(100);
        let mut indexed = Divided::new(100);
        for ms in 0..1000 {
            indexed.push(&entry(ms, 1, ms));
        }
        zones.lay_over(indexed);
        zones
    }

    fn starts(zones: &GroupZones) -> Vec<u64> {
        let mut starts = Vec::new();
        let mut place = None;
        while let Some(next) = zones.next(place) {
            starts.push(next.start.ms);
            place = Some(next);
        }
        starts
    }

    #[test]
    fn one_entry_among_others_is_not_searched_for() {
        let mut zones = zones();
        let wanted = Wanted {
            consumer: Some(2),
            ..Wanted::ALL
        };
        assert_eq!(zones.next_wanted(EventId::MIN, &wanted), None);
        zones.note(&entry(950, 2, 2000));
        let found = zones.next_wanted(EventId::MIN, &wanted);
        assert_eq!(found, Some(EventId::new(900, 0)));
        let inside = EventId::new(960, 0);
        assert_eq!(zones.next_wanted(inside, &wanted), Some(inside));
        let earlier = Wanted {
            delivered_before: 900,
            ..wanted
        };
        assert_eq!(zones.next_wanted(inside, &earlier), None);
    }

    #[test]
    fn zones_come_in_turn() {
        let mut zones = zones();
        assert_eq!(
            starts(&zones),
            [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]
        );
        zones.note(&entry(950, NOBODY, 5000));
        zones.note(&entry(750, 1, 50));
        assert_eq!(
            starts(&zones),
            [900, 0, 700, 100, 200, 300, 400, 500, 600, 800]
        );
        let first = zones.next(None).unwrap();
        assert_eq!(first.first_turn(), (false, 5000, EventId::new(900, 0)));
        assert!(first.is_due(&Wanted {
            delivered_before: 0,
            ..Wanted::ALL
        }));
        let next = zones.next(Some(first)).unwrap();
        assert!(!next.is_due(&Wanted {
            delivered_before: 0,
            ..Wanted::ALL
        }));
    }

    #[test]
    fn a_block_that_is_divided_while_it_is_read_is_told_once() {
        let (mut once, mut twice) = (Divided::new(100), Divided::new(100));
        for ms in 0..200 {
            once.push(&entry(ms, 1, ms));
            twice.push(&entry(ms, 1, ms));
        }
        for ms in 150..200 {
            twice.push(&entry(ms, 1, ms));
        }
        assert_eq!(once.zones, twice.zones);
    }

    #[test]
    fn new_entries_get_zones_behind_the_others() {
        let mut zones = zones();
        for ms in 1000..1250 {
            zones.note(&entry(ms, 1, ms));
        }
        assert_eq!(starts(&zones)[9..], [900, 1000, 1100, 1200]);
    }

    #[test]
    fn who_looks_at_a_zone_makes_it_exact() {
        let mut zones = zones();
        let first = zones.next(None).unwrap();
        let later: Vec<_> = (0..99).map(|ms| entry(ms, 2, 3000)).collect();
        zones.settle(first, &later);
        assert_eq!(starts(&zones)[..2], [100, 200]);
        assert_eq!(starts(&zones)[9], 0);
        // The first zone stays, for every id has one; another one is not kept for nothing.
        let (first, next) = (zones.next(None).unwrap(), zones.at(EventId::MIN));
        zones.settle(first, &[]);
        assert_eq!(starts(&zones)[..2], [200, 300]);
        let first = Place {
            age: next.1.age,
            start: next.0,
            end: EventId::new(199, u64::MAX),
        };
        zones.settle(first, &[]);
        assert_eq!(starts(&zones)[8], 0);
        assert_eq!(zones.at(EventId::new(150, 0)), (EventId::MIN, Zone::EMPTY));
    }

    #[test]
    fn what_two_tell_is_told_together() {
        let mut zones = GroupZones::new(100);
        let mut changed = Divided::new(100);
        for ms in [50, 950, 1950] {
            changed.push(&entry(ms, 2, 4000 + ms));
        }
        zones.lay_over(changed);
        let mut indexed = Divided::new(100);
        for ms in 0..1000 {
            indexed.push(&entry(ms, 1, ms));
        }
        zones.lay_over(indexed);
        // The one zone of what changed reaches over all of the others.
        let wanted = Wanted {
            consumer: Some(2),
            ..Wanted::ALL
        };
        for ms in [50, 550, 1950] {
            let id = EventId::new(ms, 0);
            assert_eq!(zones.next_wanted(id, &wanted), Some(id));
        }
        assert_eq!(
            starts(&zones),
            [0, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900]
        );
    }
}
