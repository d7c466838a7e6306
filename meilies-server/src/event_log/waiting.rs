//! A command that waits for events of some streams.
//!
//! It sleeps as a cursor does, among the watchers of its streams, and is woken through its
//! connection's inbox. Being woken says only that there may be something: it looks for itself. Who
//! waits for a group stands in line with the others, and sleeps there while it is not its turn.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use meilies_protocol::{StreamName, UnblockReason};

use super::EventLog;
use super::inbox::{BLOCKED, Inbox};
use super::turns::Place;
use super::watchers::{Moment, Token};
use crate::engine::ReadSource;

/// Waits for as long as it lives; see [`Waiter::sleep`].
#[derive(Debug)]
pub(crate) struct Waiter {
    log: EventLog,
    inbox: Arc<Inbox>,
    sources: Vec<(ReadSource, Option<Token>)>,
    /// In line with others who read for the same group.
    place: Option<Arc<Place>>,
}

impl Waiter {
    /// Waits for events of these streams, which need not be there; with a place in line if it is
    /// for a group.
    pub(crate) fn new(
        log: &EventLog,
        inbox: &Arc<Inbox>,
        streams: Vec<StreamName>,
        place: Option<Arc<Place>>,
    ) -> Waiter {
        log.shared.blocked.fetch_add(1, Ordering::Relaxed);
        inbox.block();
        let mut streams = streams;
        // A stream that is named twice is waited for once.
        streams.sort_unstable();
        streams.dedup();
        let sources = streams
            .into_iter()
            .map(|name| (ReadSource::Stream(name), None));
        Waiter {
            log: log.clone(),
            inbox: Arc::clone(inbox),
            sources: sources.collect(),
            place,
        }
    }

    /// Resolves when there may be something new since `moment`, or when it may be this one's turn;
    /// or with the reason when another client says that it shall wait no longer.
    pub(crate) async fn sleep(&mut self, moment: Moment) -> Option<UnblockReason> {
        let watchers = &self.log.shared.watchers;
        for (source, token) in &mut self.sources {
            if let (ReadSource::Stream(name), Some(place)) = (&*source, &self.place)
                && !place.is_first_in_any(name)
            {
                continue;
            }
            *token = watchers.arm(source, moment, &self.inbox, BLOCKED, token.take());
            if token.is_none() {
                return None;
            }
        }
        let inbox = &self.inbox;
        // The connection that polls this is woken by its inbox.
        poll_fn(|_| inbox.poll_unblocked()).await
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        for (source, token) in &mut self.sources {
            if let Some(token) = token.take() {
                let watchers = &self.log.shared.watchers;
                watchers.disarm(source, &self.inbox, BLOCKED, token);
            }
        }
        self.inbox.unblocked();
        self.log.shared.blocked.fetch_sub(1, Ordering::Relaxed);
    }
}
