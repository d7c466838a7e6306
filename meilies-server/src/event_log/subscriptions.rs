//! All subscriptions of one connection: one cursor per source.
//!
//! Cursors are found by source when a command names them and by key when one may go on; they are
//! never scanned, but by UNSUBSCRIBE without names and when the connection closes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use meilies_protocol::{Source, Spec, StreamName};

use super::follow::{DiskReads, Landed, Staged};
use super::inbox::{CursorKey, Inbox};
use super::subscription::{Cursor, Phase, Start, detached};
use super::watchers::Moment;
use super::{EventLog, Hook};
use crate::engine::ReadSource;

/// The subscriptions of one connection. Dropping it forgets them all at once.
#[derive(Debug)]
pub struct Subscriptions {
    pub(super) log: EventLog,
    pub(super) inbox: Arc<Inbox>,
    streams: HashMap<StreamName, CursorKey>,
    all: Option<CursorKey>,
    cursors: Vec<Option<Cursor>>,
    free: Vec<CursorKey>,
    /// Cursors that want to read. One that is gone or not queued any more is passed over.
    pub(super) queue: VecDeque<CursorKey>,
    /// Taken from the inbox; empty between calls.
    pub(super) woken: Vec<CursorKey>,
    /// Cursors, with their epochs, whose events are on the disk.
    pub(super) cold: Vec<(CursorKey, u64)>,
    pub(super) disk: Option<DiskReads>,
    pub(super) landed: VecDeque<Landed>,
    /// What is being sent, whichever cursor's turn it is.
    pub(super) staged: Option<Staged>,
    epoch: u64,
    pub(super) pushed: u64,
}

impl Subscriptions {
    /// No subscriptions yet, for the connection that has this inbox.
    pub fn new(log: EventLog, inbox: Arc<Inbox>) -> Self {
        Subscriptions {
            log,
            inbox,
            streams: HashMap::new(),
            all: None,
            cursors: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            woken: Vec::new(),
            cold: Vec::new(),
            disk: None,
            landed: VecDeque::new(),
            staged: None,
            epoch: 0,
            pushed: 0,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.streams.len() + usize::from(self.all.is_some())
    }

    /// Whether there is one of this source.
    pub fn contains(&self, source: &Source) -> bool {
        self.find(source.as_bytes()).is_some()
    }

    /// Subscribes, or moves the subscription of the same source. `text` is the spec as given.
    /// Returns whether there is anything to follow: not when the spec is complete already.
    pub fn subscribe(&mut self, spec: &Spec, text: &[u8], start: &Start) -> bool {
        let before = self.find(spec.source.as_bytes());
        let token = before.and_then(|key| self.cursor(key)?.token);
        self.epoch += 1;
        let (next, stream_id) = match start {
            Start::At { number, stream_id } => (*number, *stream_id),
            // No tail is u64::MAX: numbers are given one by one from 0.
            Start::BehindTail {
                tail, stream_id, ..
            } => (tail.map_or(0, |tail| tail + 1), *stream_id),
        };
        let cursor = Cursor {
            source: detached(&spec.source),
            stream_id,
            next,
            end: spec.until.map(|until| (until, text.to_vec().into())),
            replaying: matches!(start, Start::At { .. }),
            ahead: false,
            phase: Phase::Reading,
            touches: match start {
                Start::At { .. } => 0,
                Start::BehindTail { moment, .. } => moment.touches,
            },
            token,
            epoch: self.epoch,
        };
        let complete = cursor.is_complete();
        let key = self.insert(cursor, before);
        match start {
            Start::BehindTail { moment, .. } if !complete => self.sleep(key, moment.visible),
            _ => self.enqueue(key),
        }
        !complete
    }

    /// Ends the subscription of a source, if there is one. No push of it is made after this.
    pub fn unsubscribe(&mut self, name: &[u8]) -> bool {
        let key = self.find(name);
        if let Some(key) = key {
            self.remove(key);
        }
        key.is_some()
    }

    /// The sources, in the order of their first subscription as far as that is known.
    pub fn sources(&self) -> Vec<ReadSource> {
        self.cursors
            .iter()
            .flatten()
            .map(|cursor| cursor.source.clone())
            .collect()
    }

    /// How many events were pushed since this was asked last.
    pub(crate) fn take_pushed(&mut self) -> u64 {
        std::mem::take(&mut self.pushed)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        for (key, cursor) in (0..).zip(self.cursors.drain(..)) {
            let Some(cursor) = cursor else { continue };
            if let Some(token) = cursor.token {
                self.log
                    .shared
                    .watchers
                    .disarm(&cursor.source, &self.inbox, key, token);
            }
        }
        let count = self.count();
        self.log
            .shared
            .subscriptions
            .fetch_sub(count, Ordering::Relaxed);
        self.streams = HashMap::new();
        self.all = None;
        self.free = Vec::new();
        self.queue = VecDeque::new();
        self.cold = Vec::new();
        self.landed = VecDeque::new();
        self.staged = None;
    }

    pub(super) fn cursor(&self, key: CursorKey) -> Option<&Cursor> {
        self.cursors.get(key as usize)?.as_ref()
    }

    pub(super) fn cursor_mut(&mut self, key: CursorKey) -> Option<&mut Cursor> {
        self.cursors.get_mut(key as usize)?.as_mut()
    }

    /// Gives a cursor its turn later, behind the others.
    pub(super) fn enqueue(&mut self, key: CursorKey) {
        if let Some(cursor) = self.cursor_mut(key) {
            cursor.phase = Phase::Queued;
            self.queue.push_back(key);
        }
    }

    /// Puts a cursor to sleep that has everything below `visible`, unless more has come since.
    pub(super) fn sleep(&mut self, key: CursorKey, visible: u64) {
        self.log.pass(Hook::BeforeSleep);
        let Some(cursor) = self.cursors.get_mut(key as usize).and_then(Option::as_mut) else {
            return;
        };
        let watchers = &self.log.shared.watchers;
        let touches = cursor.touches;
        let moment = Moment { visible, touches };
        let armed = watchers.arm(&cursor.source, moment, &self.inbox, key, cursor.token);
        cursor.token = armed;
        match armed {
            Some(_) => cursor.phase = Phase::Sleeping,
            None => self.enqueue(key),
        }
    }

    pub(super) fn remove(&mut self, key: CursorKey) {
        let Some(cursor) = self.cursors.get_mut(key as usize).and_then(Option::take) else {
            return;
        };
        if let Some(token) = cursor.token {
            self.log
                .shared
                .watchers
                .disarm(&cursor.source, &self.inbox, key, token);
        }
        match &cursor.source {
            ReadSource::All => self.all = None,
            ReadSource::Stream(name) => {
                self.streams.remove(name);
            }
        }
        self.forget_staged(key);
        self.free.push(key);
        self.log
            .shared
            .subscriptions
            .fetch_sub(1, Ordering::Relaxed);
    }

    fn insert(&mut self, cursor: Cursor, before: Option<CursorKey>) -> CursorKey {
        if let Some(key) = before {
            self.forget_staged(key);
            self.cursors[key as usize] = Some(cursor);
            return key;
        }
        let key = self.free.pop().unwrap_or_else(|| {
            self.cursors.push(None);
            CursorKey::try_from(self.cursors.len() - 1).expect("SUBSCRIPTIONS_MAX fits u32")
        });
        match &cursor.source {
            ReadSource::All => self.all = Some(key),
            ReadSource::Stream(name) => {
                self.streams.insert(name.clone(), key);
            }
        }
        self.cursors[key as usize] = Some(cursor);
        self.log
            .shared
            .subscriptions
            .fetch_add(1, Ordering::Relaxed);
        key
    }

    fn forget_staged(&mut self, key: CursorKey) {
        if self.staged.as_ref().is_some_and(|staged| staged.key == key) {
            self.staged = None;
        }
    }

    fn find(&self, name: &[u8]) -> Option<CursorKey> {
        if name == Source::All.as_bytes() {
            return self.all;
        }
        self.streams.get(name).copied()
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.clear();
    }
}
