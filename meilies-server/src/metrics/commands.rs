//! How often each command was called, and how long it took: INFO's commandstats and latencystats,
//! LATENCY HISTOGRAM.
//!
//! Every row is a few relaxed atomics. Consecutive writes are added as one run: their time is
//! shared out evenly among them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meilies_protocol::table::{self, Command};

/// Steps within each power of two: what a histogram says is at most a quarter too high.
const STEPS: u64 = 4;

/// Times up to this many µs have a place of their own.
const EXACT_US: u64 = 2 * STEPS;

/// The highest power of two that is told apart: times of half an hour and more are one.
const POWER_MAX: u64 = 31;

/// Places of a histogram.
const PLACES: usize = place(POWER_MAX, 0) + 1;

/// What is counted of every command of the table.
#[derive(Debug)]
pub struct CommandCounters {
    /// Sorted by name.
    rows: Vec<Row>,
}

/// What is counted of one command.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub command: &'static Command,
    calls: AtomicU64,
    ns: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    histogram: [AtomicU64; PLACES],
}

impl Default for CommandCounters {
    fn default() -> Self {
        let commands = table::commands().iter().copied();
        let all = commands.flat_map(|command| std::iter::once(command).chain(command.subcommands));
        let mut rows: Vec<Row> = all.map(Row::new).collect();
        rows.sort_unstable_by_key(|row| row.command.full_name);
        CommandCounters { rows }
    }
}

impl CommandCounters {
    /// The place of a command, by its full name. It does not change.
    pub fn place(&self, full_name: &str) -> Option<usize> {
        self.rows
            .binary_search_by_key(&full_name, |row| row.command.full_name)
            .ok()
    }

    /// The counters at a place.
    pub fn row(&self, place: usize) -> &Row {
        &self.rows[place]
    }

    /// Those of every command, in the order of their names.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Counts anew from 0.
    pub fn reset(&self) {
        for row in &self.rows {
            let counters = [&row.calls, &row.ns, &row.rejected, &row.failed];
            for counter in counters.into_iter().chain(&row.histogram) {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }
}

impl Row {
    fn new(command: &'static Command) -> Row {
        Row {
            command,
            calls: AtomicU64::new(0),
            ns: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            histogram: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Adds calls that took so long together.
    pub fn add(&self, calls: u64, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.calls.fetch_add(calls, Ordering::Relaxed);
        self.ns.fetch_add(ns, Ordering::Relaxed);
        let us = rounded_up(ns.checked_div(calls).unwrap_or(0));
        self.histogram[place_of(us)].fetch_add(calls, Ordering::Relaxed);
    }

    /// Adds calls, counted already, that were answered with an error.
    pub fn add_failed(&self, calls: u64) {
        self.failed.fetch_add(calls, Ordering::Relaxed);
    }

    /// Adds a call that was refused before it was executed.
    pub fn add_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls that were executed.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Time that they took together.
    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.ns.load(Ordering::Relaxed))
    }

    /// Calls that were refused before.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Calls that were executed and answered with an error.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How many calls took at most 1, 2, 4, 8 … µs, without the steps that add none.
    pub fn powers(&self) -> Vec<(u64, u64)> {
        let mut powers: Vec<(u64, u64)> = Vec::new();
        let (mut sum, mut power) = (0, 1_u64);
        for (place, count) in self.histogram.iter().enumerate() {
            while highest_of(place) > power {
                power *= 2;
            }
            let count = count.load(Ordering::Relaxed);
            if count == 0 {
                continue;
            }
            sum += count;
            match powers.last_mut() {
                Some((last, calls)) if *last == power => *calls = sum,
                _ => powers.push((power, sum)),
            }
        }
        powers
    }

    /// The time in µs that so many of 1,000 calls did not exceed, by at most a quarter too high.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let counts = self.histogram.each_ref();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        let wanted = (counts.iter().sum::<u64>() * per_mille)
            .div_ceil(1000)
            .max(1);
        let mut sum = 0;
        for (place, count) in counts.into_iter().enumerate() {
            sum += count;
            if sum >= wanted {
                return highest_of(place);
            }
        }
        0
    }
}

/// Where a time is in a histogram. Calls with the same step may be added together.
pub fn step_of(took: Duration) -> usize {
    place_of(rounded_up(
        u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
    ))
}

fn rounded_up(ns: u64) -> u64 {
    ns.div_ceil(1000)
}

/// The place of a time in a histogram. Each place ends with a time that it holds.
#[allow(clippy::cast_possible_truncation)] // Places are few.
const fn place_of(us: u64) -> usize {
    let below = us.saturating_sub(1);
    if below < EXACT_US {
        return below as usize;
    }
    let power = below.ilog2() as u64;
    if power >= POWER_MAX {
        return place(POWER_MAX, 0);
    }
    place(power, (below >> (power - STEPS.ilog2() as u64)) % STEPS)
}

#[allow(clippy::cast_possible_truncation)] // Places are few.
const fn place(power: u64, step: u64) -> usize {
    (EXACT_US + (power - EXACT_US.ilog2() as u64) * STEPS + step) as usize
}

/// The longest time at a place, in µs.
fn highest_of(place: usize) -> u64 {
    let place = place as u64;
    let Some(above) = place.checked_sub(EXACT_US) else {
        return place + 1;
    };
    let power = above / STEPS + u64::from(EXACT_US.ilog2());
    (STEPS + above % STEPS + 1) << (power - u64::from(STEPS.ilog2()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row::new(table::find(b"ping").expect("PING is in the table"))
    }

    #[test]
    fn every_command_of_the_table_has_a_place() {
        let counters = CommandCounters::default();
        for name in ["publish", "client|list", "xadd", "memory|usage"] {
            let place = counters.place(name).expect("it is in the table");
            assert_eq!(counters.row(place).command.full_name, name);
        }
        assert_eq!(counters.place("nonsense"), None);
    }

    #[test]
    fn places_follow_each_other_without_gaps() {
        let mut last = 0;
        for us in 1..100_000 {
            let place = place_of(us);
            assert!(place == last || place == last + 1, "{us}");
            assert!(
                highest_of(place) >= us && highest_of(place) <= us + us / 4,
                "{us}"
            );
            last = place;
        }
        assert_eq!(place_of(0), 0);
        assert_eq!(place_of(u64::MAX), PLACES - 1);
    }

    #[test]
    fn a_histogram_counts_what_took_at_most_a_power_of_two() {
        let row = row();
        for us in [0, 1, 2, 3, 8, 9, 11, 16, 17] {
            row.add(1, Duration::from_micros(us));
        }
        assert_eq!(
            row.powers(),
            [(1, 2), (2, 3), (4, 4), (8, 5), (16, 8), (32, 9)]
        );
        assert_eq!(row.calls(), 9);
        assert_eq!(row.took(), Duration::from_micros(67));
        assert_eq!(row.quantile(500), 8);
        assert_eq!(row.quantile(1000), 20);
    }

    #[test]
    fn the_time_of_a_run_is_shared_out() {
        let row = row();
        row.add(1000, Duration::from_micros(2500));
        assert_eq!(row.powers(), [(4, 1000)]);
        assert_eq!(row.calls(), 1000);
    }
}
