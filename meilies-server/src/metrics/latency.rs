//! What took long, and when: LATENCY. Of each kind of event the longest of every second is kept,
//! and of seconds the last [`LATENCY_SAMPLES_MAX`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::limits::LATENCY_SAMPLES_MAX;

/// A command that is not said to be fast.
pub const COMMAND: &str = "command";

/// One that takes constant or logarithmic time.
pub const FAST_COMMAND: &str = "fast-command";

/// A sync of the log.
pub const SYNC: &str = "sync";

/// What took long, by its kind.
#[derive(Debug, Default)]
pub struct Latency {
    series: Mutex<BTreeMap<&'static str, Series>>,
}

/// What took long of one kind.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Oldest first, never empty.
    pub samples: VecDeque<Sample>,
    /// The longest ever.
    pub ms_max: u64,
}

/// The longest of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The second, since 1970 UTC.
    pub at: u64,
    /// How long it took.
    pub ms: u64,
}

impl Latency {
    /// Adds what took long. With a threshold of 0 ms nothing is.
    pub fn add(&self, event: &'static str, took: Duration, threshold_ms: u64) {
        if threshold_ms == 0 || took < Duration::from_millis(threshold_ms) {
            return;
        }
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at = now.unwrap_or_default().as_secs();
        self.lock().entry(event).or_default().add(Sample { at, ms });
    }

    /// What is known of every kind that there was.
    pub fn all(&self) -> Vec<(&'static str, Series)> {
        let series = self.lock();
        series
            .iter()
            .map(|(event, of)| (*event, of.clone()))
            .collect()
    }

    /// Forgets these kinds of events, or all. Says how many there were.
    pub fn reset(&self, events: &[&[u8]]) -> usize {
        let mut series = self.lock();
        let before = series.len();
        series.retain(|event, _| !(events.is_empty() || events.contains(&event.as_bytes())));
        before - series.len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.ms_max = self.ms_max.max(sample.ms);
        match self.samples.back_mut() {
            Some(last) if last.at == sample.at => last.ms = last.ms.max(sample.ms),
            _ => self.samples.push_back(sample),
        }
        if self.samples.len() > LATENCY_SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// The newest sample.
    pub fn latest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_each_second_is_kept_and_the_oldest_give_way() {
        let mut series = Series::default();
        for (at, ms) in [(1, 5), (1, 9), (1, 7), (2, 3)] {
            series.add(Sample { at, ms });
        }
        assert_eq!(
            series.samples,
            [Sample { at: 1, ms: 9 }, Sample { at: 2, ms: 3 }]
        );
        assert_eq!(series.latest(), Some(Sample { at: 2, ms: 3 }));
        let last = 2 + LATENCY_SAMPLES_MAX as u64;
        for at in 3..=last {
            series.add(Sample { at, ms: 1 });
        }
        assert_eq!(series.samples.len(), LATENCY_SAMPLES_MAX);
        assert_eq!(series.samples[0].at, 3);
        assert_eq!(series.ms_max, 9);
    }

    #[test]
    fn only_what_reaches_the_threshold_is_kept() {
        let latency = Latency::default();
        latency.add(COMMAND, Duration::from_millis(50), 0);
        latency.add(COMMAND, Duration::from_micros(49_999), 50);
        assert!(latency.all().is_empty());
        latency.add(COMMAND, Duration::from_millis(50), 50);
        latency.add(SYNC, Duration::from_secs(1), 50);
        assert_eq!(latency.all().len(), 2);
        assert_eq!(latency.reset(&[b"nonsense"]), 0);
        assert_eq!(latency.reset(&[b"sync"]), 1);
        assert_eq!(latency.reset(&[]), 1);
    }
}
