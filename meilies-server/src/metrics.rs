//! What the server counts about itself since its start or CONFIG RESETSTAT. Counters else only
//! grow, are added to by many threads, and are read by INFO: relaxed atomics, no lock.

use std::sync::atomic::{AtomicU64, Ordering};

pub mod commands;
pub mod latency;
pub mod process;
pub mod slow_log;

use commands::CommandCounters;
use latency::Latency;
use slow_log::SlowLog;

/// The codes that error replies begin with, each counted for itself.
pub const ERROR_CODES: &[&str] = &[
    "BUSYGROUP",
    "CONFLICT",
    "DENIED",
    "ERR",
    "EXECABORT",
    "MISCONF",
    "NOAUTH",
    "NOGROUP",
    "NOPROTO",
    "UNBLOCKED",
    "WRONGPASS",
];

/// The counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Clients accepted, those since gone included.
    pub connections_total: AtomicU64,
    /// Clients turned away: too many, or refused by protected mode.
    pub connections_rejected: AtomicU64,
    /// Commands answered.
    pub commands_total: AtomicU64,
    /// Bytes read from clients.
    pub input_bytes_total: AtomicU64,
    /// Bytes written to clients.
    pub output_bytes_total: AtomicU64,
    /// Events sent to subscribers, each counted once per subscriber.
    pub pushed_events_total: AtomicU64,
    /// Clients that sent a malformed frame.
    pub protocol_errors_total: AtomicU64,
    /// Replies that were errors.
    pub error_replies_total: AtomicU64,
    /// The same by code, in the order of [`ERROR_CODES`].
    error_replies: [AtomicU64; ERROR_CODES.len()],
    /// What is counted of each command.
    pub commands: CommandCounters,
    /// The last commands that were slow. CONFIG RESETSTAT leaves it as it is.
    pub slow_log: SlowLog,
    /// What took long. CONFIG RESETSTAT leaves it as it is.
    pub latency: Latency,
}

impl Metrics {
    /// Counts an error reply, given its text from the code on.
    pub fn count_error(&self, text: &[u8]) {
        self.error_replies_total.fetch_add(1, Ordering::Relaxed);
        let code = text
            .split(|byte| matches!(byte, b' ' | b'\r'))
            .next()
            .unwrap_or_default();
        let known = ERROR_CODES
            .iter()
            .position(|known| known.as_bytes() == code);
        if let Some(index) = known {
            self.error_replies[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts anew from 0.
    pub fn reset(&self) {
        let counters = [
            &self.connections_total,
            &self.connections_rejected,
            &self.commands_total,
            &self.input_bytes_total,
            &self.output_bytes_total,
            &self.pushed_events_total,
            &self.protocol_errors_total,
            &self.error_replies_total,
        ];
        for counter in counters.into_iter().chain(&self.error_replies) {
            counter.store(0, Ordering::Relaxed);
        }
        self.commands.reset();
    }

    /// Counts the reply that begins here if it is an error.
    pub fn count_reply(&self, reply: &[u8]) {
        if let [b'-', text @ ..] = reply {
            self.count_error(text);
        }
    }

    /// How often each code has begun an error reply; those that have not are left out.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self
            .error_replies
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        ERROR_CODES
            .iter()
            .copied()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_their_codes() {
        let metrics = Metrics::default();
        for reply in [
            "-ERR a\r\n",
            "-ERR b\r\n",
            "-CONFLICT c\r\n",
            "-OTHER d\r\n",
            "+OK\r\n",
            "",
        ] {
            metrics.count_reply(reply.as_bytes());
        }
        assert_eq!(
            metrics.errors().collect::<Vec<_>>(),
            [("CONFLICT", 1), ("ERR", 2)]
        );
        assert_eq!(metrics.error_replies_total.load(Ordering::Relaxed), 4);
    }
}
