//! The most that there was of something lately: as in Redis it begins anew every few seconds, but
//! by itself, without a task that sees to it.

/// How long what was is told of, in ms; the same as in Redis.
const PEAK_MS: u64 = 5_000;

/// A number of bytes, and since when it is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    bytes: usize,
    since_ms: u64,
}

impl Peak {
    /// There are, or just were, so many.
    pub(super) fn note(&mut self, bytes: usize, now_ms: u64) {
        if self.is_over(now_ms) {
            *self = Peak {
                bytes,
                since_ms: now_ms,
            };
        }
        self.bytes = self.bytes.max(bytes);
    }

    /// The most that there were.
    pub(super) fn recent(self, now_ms: u64) -> usize {
        if self.is_over(now_ms) { 0 } else { self.bytes }
    }

    fn is_over(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= PEAK_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_most_of_its_time_and_then_begins_anew() {
        let mut peak = Peak::default();
        assert_eq!(peak.recent(0), 0);
        peak.note(5, 100);
        peak.note(9, 200);
        peak.note(7, 300);
        assert_eq!(peak.recent(PEAK_MS - 1), 9);
        assert_eq!(peak.recent(PEAK_MS), 0);
        peak.note(3, PEAK_MS);
        assert_eq!(peak.recent(2 * PEAK_MS - 1), 3);
        assert_eq!(peak.recent(2 * PEAK_MS), 0);
    }
}
