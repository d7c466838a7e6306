//! CLIENT PAUSE: which commands wait, until when. A connection that has one asks here, and sleeps
//! until the pause is over; nobody looks again and again.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meilies_protocol::PauseMode;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The longest pause: one that never ends for anybody.
const PAUSE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Whether there is a pause.
#[derive(Debug, Default)]
pub struct Pause {
    /// There may be one: all that a command looks at when there is none.
    is_on: AtomicBool,
    state: watch::Sender<Option<Paused>>,
}

#[derive(Clone, Copy, Debug)]
struct Paused {
    until: Instant,
    mode: PauseMode,
}

impl Paused {
    fn is_over(self) -> bool {
        Instant::now() >= self.until
    }
}

impl Pause {
    /// Begins a pause. As in Redis one that is on is made no shorter and no weaker.
    pub fn begin(&self, length: Duration, mode: PauseMode) {
        let until = Instant::now() + length.min(PAUSE_MAX);
        self.state.send_modify(|state| {
            let on = state.filter(|paused| !paused.is_over());
            let is_for_all = |paused: Paused| paused.mode == PauseMode::All;
            *state = Some(Paused {
                until: on.map_or(until, |paused| paused.until.max(until)),
                mode: match on.is_some_and(is_for_all) {
                    true => PauseMode::All,
                    false => mode,
                },
            });
            self.is_on.store(true, Ordering::Release);
        });
    }

    /// Ends it.
    pub fn end(&self) {
        self.state.send_modify(|state| {
            *state = None;
            self.is_on.store(false, Ordering::Release);
        });
    }

    /// Whether a command has to wait now.
    pub fn holds(&self, may_write: bool) -> bool {
        if !self.is_on.load(Ordering::Relaxed) {
            return false;
        }
        let state = *self.state.borrow();
        match state {
            Some(paused) if paused.is_over() => {
                self.end_if_over();
                false
            }
            Some(paused) => may_write || paused.mode == PauseMode::All,
            None => false,
        }
    }

    fn end_if_over(&self) {
        self.state.send_if_modified(|state| {
            let is_over = state.is_some_and(Paused::is_over);
            if is_over {
                *state = None;
                self.is_on.store(false, Ordering::Release);
            }
            is_over
        });
    }

    /// Resolves when there is no pause.
    pub fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut state = self.state.subscribe();
        async move {
            loop {
                let paused = *state.borrow_and_update();
                let Some(paused) = paused.filter(|paused| !paused.is_over()) else {
                    return;
                };
                tokio::select! {
                    () = sleep_until(paused.until) => {}
                    // The server that paused is gone: so is this connection soon.
                    changed = state.changed() => if changed.is_err() { return; },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    #[tokio::test]
    async fn a_pause_holds_what_it_is_for_until_it_ends() {
        let pause = Pause::default();
        assert!(!pause.holds(true));
        pause.begin(LONG, PauseMode::Write);
        assert!(pause.holds(true) && !pause.holds(false));
        // Neither shorter nor weaker, but stronger.
        pause.begin(Duration::ZERO, PauseMode::All);
        pause.begin(Duration::ZERO, PauseMode::Write);
        assert!(pause.holds(true) && pause.holds(false));
        let over = pause.over();
        pause.end();
        over.await;
        assert!(!pause.holds(true));
    }

    #[tokio::test]
    async fn a_pause_ends_by_itself() {
        let pause = Pause::default();
        pause.begin(Duration::from_millis(20), PauseMode::All);
        pause.over().await;
        assert!(!pause.holds(true));
        assert!(!pause.is_on.load(Ordering::Relaxed));
    }
}
