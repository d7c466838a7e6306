//! What others tell a connection: which of its cursors may go on, and that it has to close.
//!
//! Whoever puts something in never waits for the connection; the connection is woken once for
//! everything that came in since it last looked.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

use futures::task::AtomicWaker;
use meilies_protocol::UnblockReason;

const KILL: u8 = 1;
const DRAIN: u8 = 2;

/// Names a cursor within its connection.
pub(super) type CursorKey = u32;

/// Names the command of a connection that waits for events, among its cursors.
pub(super) const BLOCKED: CursorKey = CursorKey::MAX;

/// No command waits.
const FREE: u8 = 0;
/// A command waits.
const WAITING: u8 = 1;
/// There may be something for it.
const READY: u8 = 2;
/// It shall wait no longer, as if its time were over.
const TIMED_OUT: u8 = 3;
/// It shall wait no longer, and say so.
const REFUSED: u8 = 4;

/// One connection's inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    waker: AtomicWaker,
    signals: AtomicU8,
    /// What becomes of the command that waits.
    blocked: AtomicU8,
    any_ready: AtomicBool,
    /// Invariant: at most one entry per cursor that slept, so the connection's cursors bound it.
    ready: Mutex<Vec<CursorKey>>,
}

impl Inbox {
    /// Whom to wake. Call it before looking at what is in, or a wake-up is lost.
    pub fn listen(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Tells the connection to close at once.
    pub fn kill(&self) {
        self.signals.fetch_or(KILL, Ordering::Release);
        self.waker.wake();
    }

    /// Tells the connection to answer what it has handed over, and then to close.
    pub fn drain(&self) {
        self.signals.fetch_or(DRAIN, Ordering::Release);
        self.waker.wake();
    }

    /// Whether the connection has to close at once.
    pub fn is_killed(&self) -> bool {
        self.signals.load(Ordering::Acquire) & KILL != 0
    }

    /// Whether the connection has to finish.
    pub fn is_draining(&self) -> bool {
        self.signals.load(Ordering::Acquire) & DRAIN != 0
    }

    /// A command begins to wait.
    pub(super) fn block(&self) {
        self.blocked.store(WAITING, Ordering::Release);
    }

    /// No command waits any more.
    pub(super) fn unblocked(&self) {
        self.blocked.store(FREE, Ordering::Release);
    }

    /// Whether the command that waits is to go on: to look again, or to end for a reason.
    pub(super) fn poll_unblocked(&self) -> Poll<Option<UnblockReason>> {
        let woken =
            self.blocked
                .compare_exchange(READY, WAITING, Ordering::AcqRel, Ordering::Acquire);
        match woken {
            Ok(_) => Poll::Ready(None),
            Err(TIMED_OUT) => Poll::Ready(Some(UnblockReason::Timeout)),
            Err(REFUSED) => Poll::Ready(Some(UnblockReason::Error)),
            Err(_) => Poll::Pending,
        }
    }

    /// Ends the wait of a command. Says whether one waited.
    pub fn unblock(&self, reason: UnblockReason) -> bool {
        let to = match reason {
            UnblockReason::Timeout => TIMED_OUT,
            UnblockReason::Error => REFUSED,
        };
        let ended = self
            .blocked
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                matches!(state, WAITING | READY).then_some(to)
            });
        if ended.is_ok() {
            self.waker.wake();
        }
        ended.is_ok()
    }

    /// Says that there may be events for a cursor.
    pub fn deliver(&self, cursor: CursorKey) {
        if cursor == BLOCKED {
            let _ends_anyway =
                self.blocked
                    .compare_exchange(WAITING, READY, Ordering::AcqRel, Ordering::Acquire);
            self.waker.wake();
            return;
        }
        let first = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.push(cursor);
            ready.len() == 1
        };
        if first {
            self.any_ready.store(true, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Takes out the cursors for which there may be events.
    pub fn take_ready(&self, into: &mut Vec<CursorKey>) {
        // Cleared before the lock: a delivery after that sets it again.
        if !self.any_ready.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if into.is_empty() {
            std::mem::swap(into, &mut ready);
        } else {
            into.append(&mut ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_delivered_is_taken_once() {
        let inbox = Inbox::default();
        let mut ready = Vec::new();
        inbox.take_ready(&mut ready);
        assert!(ready.is_empty());
        inbox.deliver(3);
        inbox.deliver(5);
        inbox.take_ready(&mut ready);
        assert_eq!(ready, [3, 5]);
        inbox.deliver(7);
        inbox.take_ready(&mut ready);
        assert_eq!(ready, [3, 5, 7]);
        let mut later = Vec::new();
        inbox.take_ready(&mut later);
        assert!(later.is_empty());
    }

    #[test]
    fn signals_stay() {
        let inbox = Inbox::default();
        assert!(!inbox.is_killed() && !inbox.is_draining());
        inbox.drain();
        assert!(!inbox.is_killed() && inbox.is_draining());
        inbox.kill();
        assert!(inbox.is_killed() && inbox.is_draining());
    }
}
