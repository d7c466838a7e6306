//! Consumer groups: who reads a stream together, and what they have not acknowledged.
//!
//! A group with its consumers is one value. What is pending is not a part of it: there may be many
//! millions of entries, so each is kept for itself, under the group's id and its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use meilies_protocol::EventId;

/// A consumer group of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Never reused, by no stream or consumer either.
    pub id: u64,
    /// Any bytes.
    pub name: Bytes,
    /// Id of the last event that was delivered, or what was set for it.
    pub last_id: EventId,
    /// A number of the stream: events below have ids up to `last_id`.
    pub next: u64,
    /// The highest id that was ever pending: what is higher is not.
    pub top: EventId,
    /// How many events of the stream were read, as Redis counts; `None` when it cannot tell.
    pub entries_read: Option<u64>,
    /// How many events are pending.
    pub pending: u64,
    /// In the order of their names.
    pub consumers: Vec<Arc<Consumer>>,
}

/// One of those who read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Never reused.
    pub id: u64,
    /// Any bytes.
    pub name: Bytes,
    /// How many events are pending with it.
    pub pending: u64,
    /// When it last asked for events and that changed anything, ms since 1970 UTC. See
    /// [`Sightings`].
    pub seen_at: u64,
    /// When it last got one.
    pub active_at: Option<u64>,
    /// Nothing with a lower id is pending with it: so its entries are found though many of others
    /// lie before them.
    pub first: EventId,
}

/// When consumers asked for events in vain: that changes nothing, so it is not in the log, and a
/// restart forgets it.
#[derive(Debug, Default)]
pub struct Sightings {
    /// By the consumer's id, ms since 1970 UTC.
    seen_at: Mutex<HashMap<u64, u64>>,
}

impl Sightings {
    /// How many are kept. Who comes then makes the others be forgotten.
    const KEPT_MAX: usize = 65_536;

    /// Notes that a consumer asked.
    pub fn note(&self, consumer: u64, now: u64) {
        let mut seen_at = self.lock();
        if seen_at.len() >= Sightings::KEPT_MAX && !seen_at.contains_key(&consumer) {
            seen_at.clear();
        }
        seen_at.insert(consumer, now);
    }

    /// When a consumer last asked, as far as that is known.
    pub fn last(&self, consumer: &Consumer) -> u64 {
        let noted = self.lock().get(&consumer.id).copied();
        noted.map_or(consumer.seen_at, |noted| noted.max(consumer.seen_at))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.seen_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that was delivered and not acknowledged. Its event may be deleted by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingEntry {
    /// The event's id.
    pub id: EventId,
    /// The event's number.
    pub number: u64,
    /// Who has it, by id, or [`NOBODY`].
    pub consumer: u64,
    /// When it was last delivered, ms since 1970 UTC. If nobody has it, a number that is higher the
    /// later it was given back.
    pub delivered_at: u64,
    /// How often.
    pub deliveries: u64,
}

/// Which pending entries are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Those that this consumer has; `None` for those of all.
    pub consumer: Option<u64>,
    /// Those that were last delivered before this time, in ms since 1970 UTC, and those that were
    /// given back.
    pub delivered_before: u64,
}

impl Wanted {
    /// All of them.
    pub const ALL: Wanted = Wanted {
        consumer: None,
        delivered_before: u64::MAX,
    };

    /// Those that a consumer has.
    pub fn of(consumer: &Consumer) -> Wanted {
        Wanted {
            consumer: Some(consumer.id),
            ..Wanted::ALL
        }
    }

    /// Those among them that have been idle for so long.
    #[must_use]
    pub fn idle_for(self, now: u64, min_idle_ms: u64) -> Wanted {
        // The clock may have been set back: what was delivered later than now is idle for 0 ms.
        let delivered_before = match min_idle_ms {
            0 => u64::MAX,
            _ => now.saturating_add(1).saturating_sub(min_idle_ms),
        };
        Wanted {
            delivered_before: self.delivered_before.min(delivered_before),
            ..self
        }
    }

    /// Whether an entry is one of them.
    pub fn admits(&self, entry: &PendingEntry) -> bool {
        let is_owned = self
            .consumer
            .is_none_or(|consumer| consumer == entry.consumer);
        let is_old = self.delivered_before == u64::MAX
            || entry.is_given_back()
            || entry.delivered_at < self.delivered_before;
        is_owned && is_old
    }
}

/// Whoever has what a consumer gave back: no consumer has this id.
pub const NOBODY: u64 = 0;

impl PendingEntry {
    /// Whether a consumer gave it back, so that nobody has it.
    pub fn is_given_back(&self) -> bool {
        self.consumer == NOBODY
    }

    /// When it was last delivered, ms since 1970 UTC; 0 if it was given back.
    pub fn delivered_at_ms(&self) -> u64 {
        match self.is_given_back() {
            true => 0,
            false => self.delivered_at,
        }
    }

    /// For how long it has been idle, in ms; `None` if it was given back.
    pub fn idle_ms(&self, now: u64) -> Option<u64> {
        (!self.is_given_back()).then(|| now.saturating_sub(self.delivered_at))
    }

    /// Whether it has been idle for so long. What was given back has, for any time.
    pub fn is_idle(&self, now: u64, min_idle_ms: u64) -> bool {
        self.idle_ms(now).is_none_or(|idle| idle >= min_idle_ms)
    }

    /// What comes first is claimed first: what was given back, then what is idle for longest.
    pub fn turn(&self) -> (bool, u64, EventId) {
        (!self.is_given_back(), self.delivered_at, self.id)
    }
}

impl Group {
    /// How many of the pending events nobody has.
    pub fn given_back(&self) -> u64 {
        let owned: u64 = self.consumers.iter().map(|consumer| consumer.pending).sum();
        // Where damage took changes of the group its counts may not agree.
        self.pending.saturating_sub(owned)
    }

    /// A group that has delivered nothing.
    pub fn new(id: u64, name: Bytes, last_id: EventId, next: u64) -> Group {
        Group {
            id,
            name,
            last_id,
            next,
            top: EventId::MIN,
            entries_read: None,
            pending: 0,
            consumers: Vec::new(),
        }
    }

    /// The consumer of this name.
    pub fn consumer(&self, name: &[u8]) -> Option<&Arc<Consumer>> {
        let at = self.place(name).ok()?;
        Some(&self.consumers[at])
    }

    /// The consumer with this id.
    pub fn consumer_by_id(&self, id: u64) -> Option<&Arc<Consumer>> {
        self.consumers.iter().find(|consumer| consumer.id == id)
    }

    /// The consumer with this id, to be changed.
    pub fn consumer_mut(&mut self, id: u64) -> Option<&mut Consumer> {
        let found = self.consumers.iter_mut();
        let consumer = found.into_iter().find(|consumer| consumer.id == id)?;
        Some(Arc::make_mut(consumer))
    }

    /// Adds a consumer, whose name no other one has.
    pub fn add(&mut self, consumer: Consumer) {
        let at = self.place(&consumer.name).unwrap_or_else(|at| at);
        self.consumers.insert(at, Arc::new(consumer));
    }

    /// Takes a consumer out.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<Consumer>> {
        let at = self.place(name).ok()?;
        Some(self.consumers.remove(at))
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.consumers
            .binary_search_by(|consumer| consumer.name[..].cmp(name))
    }
}
