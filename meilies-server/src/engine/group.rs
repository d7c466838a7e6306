//! Consumer groups: who reads a stream together, and what they have not acknowledged.
//!
//! A group with its consumers is one value. What is pending is not a part of it: there may be many
//! millions of entries, so each is kept for itself, under the group's id and its own.

use std::sync::Arc;

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
    /// When it last asked for events, ms since 1970 UTC.
    pub seen_at: u64,
    /// When it last got one.
    pub active_at: Option<u64>,
}

/// An event that was delivered and not acknowledged. Its event may be deleted by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingEntry {
    /// The event's id.
    pub id: EventId,
    /// The event's number.
    pub number: u64,
    /// Who has it, by id.
    pub consumer: u64,
    /// When it was last delivered, ms since 1970 UTC.
    pub delivered_at: u64,
    /// How often.
    pub deliveries: u64,
}

impl Group {
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
