//! The fan-out: one task that turns the tail's movement into wake-ups of sleeping cursors.
//!
//! It reads the recent batches that it has not looked at and wakes the cursors of their streams.
//! It also hears of streams that were created, renamed or deleted. What it says is only that there
//! may be something: the cursors read for themselves. When the
//! batches are no longer in memory it wakes everyone, which costs time and never an event.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::watchers::{Watchers, Woken};
use crate::engine::{Access, Engine, ReadRequest, ReadSource};
use crate::limits::FAN_OUT_READ_BYTES_MAX;

/// Runs until the engine is gone.
pub(super) async fn fan_out(engine: Arc<dyn Engine>, watchers: Arc<Watchers>) {
    let mut notice = engine.tail_notice();
    let mut next = *notice.borrow_and_update();
    let mut woken = Vec::new();
    // Whoever slept before this task knew the tail fell asleep on an older one.
    watchers.wake_all(next, &mut woken);
    deliver(&mut woken);
    let mut touched = engine.touched();
    loop {
        tokio::select! {
            moved = notice.changed() => {
                if moved.is_err() {
                    return;
                }
            }
            told = touched.recv() => {
                match told {
                    Ok(names) => watchers.wake_streams(&names, &mut woken),
                    Err(RecvError::Lagged(_)) => watchers.wake_all(next, &mut woken),
                    Err(RecvError::Closed) => return,
                }
                deliver(&mut woken);
                continue;
            }
        }
        let visible = *notice.borrow_and_update();
        while next < visible {
            next = step(&*engine, &watchers, next, visible, &mut woken);
            deliver(&mut woken);
            tokio::task::coop::consume_budget().await;
        }
    }
}

/// Looks at some batches from `next` on. Returns how far it got, beyond `next` in any case.
fn step(
    engine: &dyn Engine,
    watchers: &Watchers,
    next: u64,
    visible: u64,
    woken: &mut Woken,
) -> u64 {
    if watchers.skip_to(visible) {
        return visible;
    }
    let request = ReadRequest {
        source: ReadSource::All,
        stream_id: None,
        from: next,
        until: Some(visible),
        bytes_max: FAN_OUT_READ_BYTES_MAX,
        reverse: false,
    };
    match engine.read(&request, Access::Memory) {
        Ok(outcome) if outcome.next > next => {
            watchers.wake(&outcome.runs, outcome.next, woken);
            outcome.next
        }
        _ => {
            watchers.wake_all(visible, woken);
            visible
        }
    }
}

/// Outside the registry's lock: an inbox has its own, and only one is ever held.
fn deliver(woken: &mut Woken) {
    for (inbox, cursor) in woken.drain(..) {
        inbox.deliver(cursor);
    }
}
