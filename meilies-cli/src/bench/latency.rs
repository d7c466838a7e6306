//! How long things took: percentiles of values that were all recorded.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::limits::{LATENCY_MAX, VALUES_BEYOND_MIN};
use super::report::microseconds;

/// Digits that are kept of each value: it is exact to a thousandth.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Durations in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
    /// The histogram only knows it to a thousandth.
    max: Option<u64>,
}

/// Which percentiles are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Percentile {
    P50,
    P90,
    P99,
    P999,
}

impl Percentile {
    /// All, in order.
    pub(crate) const ALL: [Percentile; 4] = [
        Percentile::P50,
        Percentile::P90,
        Percentile::P99,
        Percentile::P999,
    ];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Percentile::P50 => "p50",
            Percentile::P90 => "p90",
            Percentile::P99 => "p99",
            Percentile::P999 => "p99.9",
        }
    }

    /// One value out of so many lies beyond it.
    fn one_beyond_of(self) -> u64 {
        match self {
            Percentile::P50 => 2,
            Percentile::P90 => 10,
            Percentile::P99 => 100,
            Percentile::P999 => 1000,
        }
    }

    /// How many values it takes to say it.
    pub(crate) fn values_min(self) -> u64 {
        self.one_beyond_of() * VALUES_BEYOND_MIN
    }

    fn quantile(self) -> f64 {
        match self {
            Percentile::P50 => 0.5,
            Percentile::P90 => 0.9,
            Percentile::P99 => 0.99,
            Percentile::P999 => 0.999,
        }
    }
}

impl Latencies {
    /// Nothing.
    pub(crate) fn new() -> Latencies {
        let max = microseconds(LATENCY_MAX);
        let histogram = Histogram::new_with_bounds(1, max, SIGNIFICANT_DIGITS);
        Latencies {
            histogram: histogram.expect("the bounds are constants that make sense"),
            max: None,
        }
    }

    /// Adds one.
    pub(crate) fn record(&mut self, duration: Duration) {
        let microseconds = microseconds(duration);
        self.histogram.saturating_record(microseconds);
        self.max = self.max.max(Some(microseconds));
    }

    /// Adds all of another.
    pub(crate) fn add(&mut self, other: &Latencies) {
        let added = self.histogram.add(&other.histogram);
        added.expect("both have the same bounds");
        self.max = self.max.max(other.max);
    }

    /// How many there are.
    pub(crate) fn values(&self) -> u64 {
        self.histogram.len()
    }

    /// A percentile in microseconds, if there are enough values to say it.
    pub(crate) fn percentile(&self, percentile: Percentile) -> Option<u64> {
        if self.values() < percentile.values_min() {
            return None;
        }
        let value = self.histogram.value_at_quantile(percentile.quantile());
        Some(value.min(self.max?))
    }

    /// What is told of them.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            values: self.values(),
            p50: self.percentile(Percentile::P50),
            p90: self.percentile(Percentile::P90),
            p99: self.percentile(Percentile::P99),
            p99_9: self.percentile(Percentile::P999),
            max: self.max,
        }
    }
}

/// What is told of latencies, in microseconds. What there are too few values for is missing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) values: u64,
    pub(crate) p50: Option<u64>,
    pub(crate) p90: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) p99_9: Option<u64>,
    pub(crate) max: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(microseconds: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        for value in microseconds {
            latencies.record(Duration::from_micros(value));
        }
        latencies
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let latencies = of(1..=10_000);
        for (percentile, expected) in Percentile::ALL.into_iter().zip([5000, 9000, 9900, 9990]) {
            let value = latencies.percentile(percentile).expect("there are enough");
            let name = percentile.name();
            assert!(
                value.abs_diff(expected) <= expected / 1000 + 1,
                "{name} {value}"
            );
        }
        assert_eq!(latencies.max, Some(10_000));
    }

    #[test]
    fn what_there_are_too_few_values_for_is_not_said() {
        let said = |values| Percentile::ALL.map(|it| of(0..values).percentile(it).is_some());
        assert_eq!(said(19), [false, false, false, false]);
        assert_eq!(said(20), [true, false, false, false]);
        assert_eq!(said(100), [true, true, false, false]);
        assert_eq!(said(9_999), [true, true, true, false]);
        assert_eq!(said(10_000), [true, true, true, true]);
        assert_eq!((of([]).max, of([7]).max), (None, Some(7)));
    }

    #[test]
    fn the_greatest_is_exact_and_no_percentile_is_above_it() {
        let latencies = of(std::iter::repeat_n(1_234_567, 100));
        assert_eq!(latencies.max, Some(1_234_567));
        assert_eq!(latencies.percentile(Percentile::P90), Some(1_234_567));
    }

    #[test]
    fn what_is_longer_than_the_longest_counts() {
        let mut latencies = of([1]);
        latencies.record(LATENCY_MAX * 10);
        assert_eq!(latencies.values(), 2);
        assert_eq!(latencies.max, Some(microseconds(LATENCY_MAX * 10)));
    }

    #[test]
    fn parts_are_added_up() {
        let mut all = of(0..60);
        all.add(&of(60..100));
        assert_eq!(all.values(), 100);
        assert_eq!(all.max, Some(99));
        assert!(all.percentile(Percentile::P90).is_some());
    }
}
