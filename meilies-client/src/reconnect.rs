//! When to connect again after a connection was lost.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::Error;
use crate::lifecycle::{Change, ConnectionKind, Listener};
use crate::limits::{RECONNECT_DELAY_MAX_DEFAULT, RECONNECT_DELAY_MIN_DEFAULT};

/// How a client connects again: each wait is about twice the one before, with a random part, so
/// that many clients do not come back at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// How many times it is tried before the client gives up. Nothing means for ever, 0 never.
    pub attempts_max: Option<u32>,
    /// The first wait.
    pub delay_min: Duration,
    /// The longest wait.
    pub delay_max: Duration,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect {
            attempts_max: None,
            delay_min: RECONNECT_DELAY_MIN_DEFAULT,
            delay_max: RECONNECT_DELAY_MAX_DEFAULT,
        }
    }
}

/// The attempts after one loss.
#[derive(Debug)]
pub(crate) struct Attempts {
    settings: Reconnect,
    made: u32,
    delays: ExponentialBackoff,
}

impl Attempts {
    pub(crate) fn new(settings: Reconnect) -> Attempts {
        let delays = ExponentialBuilder::default()
            .with_min_delay(settings.delay_min)
            .with_max_delay(settings.delay_max)
            .with_jitter()
            .without_max_times()
            .build();
        Attempts {
            settings,
            made: 0,
            delays,
        }
    }

    /// Tells the listener of the next attempt and returns how long to wait before it; nothing when
    /// there shall be no other one.
    pub(crate) fn next(&mut self, connection: ConnectionKind, to: &Listener) -> Option<Duration> {
        if self
            .settings
            .attempts_max
            .is_some_and(|max| self.made >= max)
        {
            return None;
        }
        self.made = self.made.saturating_add(1);
        let delay = self.delays.next().unwrap_or(self.settings.delay_max);
        // The random part comes on top of the bound.
        let delay = delay.min(self.settings.delay_max);
        let attempt = self.made;
        to.tell(connection, Change::Reconnecting { attempt, delay });
        Some(delay)
    }
}

/// Whether trying again cannot help: the server is there, and does not want this client.
pub(crate) fn is_final(error: &Error) -> bool {
    !error.is_retryable()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(settings: Reconnect, count: usize) -> Vec<Duration> {
        let mut attempts = Attempts::new(settings);
        let listener = Listener::default();
        std::iter::from_fn(|| attempts.next(ConnectionKind::Commands, &listener))
            .take(count)
            .collect()
    }

    #[test]
    fn waits_grow_up_to_the_bound_and_never_end() {
        let delays = delays(Reconnect::default(), 1000);
        assert_eq!(delays.len(), 1000);
        assert!(delays[0] >= RECONNECT_DELAY_MIN_DEFAULT);
        assert!(delays[0] <= 2 * RECONNECT_DELAY_MIN_DEFAULT);
        assert!(
            delays
                .iter()
                .all(|delay| *delay <= RECONNECT_DELAY_MAX_DEFAULT)
        );
        assert_eq!(delays[999], RECONNECT_DELAY_MAX_DEFAULT);
    }

    #[test]
    fn waits_differ_between_clients() {
        let first: Vec<Duration> = (0..20)
            .map(|_| delays(Reconnect::default(), 1)[0])
            .collect();
        assert!(first.iter().any(|delay| *delay != first[0]), "{first:?}");
    }

    #[test]
    fn attempts_can_be_bounded() {
        for attempts_max in [0, 1, 7] {
            let settings = Reconnect {
                attempts_max: Some(attempts_max),
                ..Reconnect::default()
            };
            assert_eq!(delays(settings, 100).len(), attempts_max as usize);
        }
    }
}
