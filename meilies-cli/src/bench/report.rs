//! What was measured, as a table for people or a line of JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::latency::{Percentile, Summary};
use crate::failure::Failure;
use crate::output::Output;
use crate::output::people::{QUIET, put};

/// Columns of the names in front of what is told.
const LABEL_COLUMNS: usize = 12;

/// Columns of a percentile.
const VALUE_COLUMNS: usize = 10;

const BYTES_A_MEGABYTE: f64 = 1_000_000.0;

/// Events in a time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Throughput {
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    pub(crate) events_per_second: f64,
    /// Of event data alone, in millions of bytes.
    pub(crate) megabytes_per_second: f64,
}

impl Throughput {
    /// So many events with so many bytes of data took so long.
    pub(crate) fn new(events: u64, bytes: u64, time: Duration) -> Throughput {
        let seconds = time.as_secs_f64();
        let per_second = |amount: u64| match seconds > 0.0 {
            true => as_f64(amount) / seconds,
            false => 0.0,
        };
        Throughput {
            events,
            seconds,
            events_per_second: per_second(events),
            megabytes_per_second: per_second(bytes) / BYTES_A_MEGABYTE,
        }
    }
}

/// Prints a report: the value as JSON, or the table.
pub(crate) async fn print(
    output: &Output,
    value: &impl Serialize,
    table: impl FnOnce(&mut Table),
) -> Result<(), Failure> {
    if output.json() {
        let line = serde_json::to_string(value);
        let line = line.map_err(|error| Failure::Program(error.to_string()))?;
        return output.line(&line).await;
    }
    let mut lines = Table {
        colour: output.colour(),
        text: Vec::new(),
    };
    table(&mut lines);
    let text = String::from_utf8_lossy(&lines.text).into_owned();
    output.line(text.trim_end_matches('\n')).await
}

/// Lines of a name and what is told of it.
#[derive(Debug)]
pub(crate) struct Table {
    colour: bool,
    text: Vec<u8>,
}

impl Table {
    /// Adds a line.
    pub(crate) fn row(&mut self, label: &str, text: &str) {
        let label = format!("{label:LABEL_COLUMNS$}");
        put(&mut self.text, self.colour, QUIET, &label);
        self.text.extend_from_slice(text.as_bytes());
        self.text.push(b'\n');
    }

    /// Adds which streams were made. That they stay is said: nothing takes them away.
    pub(crate) fn streams(&mut self, streams: u64, prefix: &str) {
        let text = match streams {
            1 => format!("{prefix}-0, which stays in the server"),
            more => format!("{prefix}-0 to -{}, which stay in the server", more - 1),
        };
        self.row("streams", &text);
    }

    /// Adds how many events there were, and how fast.
    pub(crate) fn throughput(&mut self, label: &str, throughput: &Throughput) {
        let events = count(throughput.events, "event");
        self.row(label, &format!("{events} in {:.3} s", throughput.seconds));
        let rate = grouped(&format!("{:.0}", throughput.events_per_second));
        let megabytes = throughput.megabytes_per_second;
        self.row(
            "",
            &format!("{rate} events/s, {megabytes:.1} MB/s of event data"),
        );
    }

    /// Adds percentiles, and whose they are.
    pub(crate) fn latencies(&mut self, label: &str, text: &str, summary: &Summary) {
        let values = thousands(summary.values);
        self.row(label, &format!("{text} ({values} values)"));
        let said = [summary.p50, summary.p90, summary.p99, summary.p99_9];
        let (mut names, mut times) = (String::new(), String::new());
        let names_and_values = Percentile::ALL.map(Percentile::name).into_iter().zip(said);
        for (name, value) in names_and_values.chain([("max", summary.max)]) {
            let time = value.map_or("-".to_owned(), duration);
            // Writing to a string does not fail.
            let _written = write!(names, "{name:>VALUE_COLUMNS$}");
            let _written = write!(times, "{time:>VALUE_COLUMNS$}");
        }
        self.row("", &names);
        self.row("", &times);
        let missing = Percentile::ALL
            .into_iter()
            .zip(said)
            .find(|(_, value)| value.is_none());
        if let Some((percentile, _)) = missing {
            let text = format!(
                "too few values for {}: it takes {}",
                percentile.name(),
                thousands(percentile.values_min())
            );
            self.row("", &text);
        }
    }
}

/// For reports, which have microseconds.
pub(crate) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// So many of something.
pub(crate) fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", thousands(number))
}

/// Microseconds in the unit that reads best.
pub(crate) fn duration(microseconds: u64) -> String {
    let value = as_f64(microseconds);
    match microseconds {
        0..1_000 => format!("{microseconds} µs"),
        1_000..1_000_000 => format!("{:.2} ms", value / 1_000.0),
        _ => format!("{:.2} s", value / 1_000_000.0),
    }
}

/// A number with a comma at each thousand.
fn thousands(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

// What is told is rounded to far fewer digits than a double has.
#[allow(clippy::cast_precision_loss)]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), expected);
        }
        assert_eq!(
            (count(1, "stream"), count(2, "stream")),
            pair("1 stream", "2 streams")
        );
        assert_eq!((duration(999), duration(1_234)), pair("999 µs", "1.23 ms"));
        assert_eq!(duration(61_234_567), "61.23 s");
    }

    fn pair(one: &str, other: &str) -> (String, String) {
        (one.to_owned(), other.to_owned())
    }

    #[test]
    fn a_throughput_is_amounts_by_time() {
        let throughput = Throughput::new(1_000, 128_000_000, Duration::from_millis(500));
        assert!((throughput.events_per_second - 2_000.0).abs() < 1e-9);
        assert!((throughput.megabytes_per_second - 256.0).abs() < 1e-9);
        let nothing = Throughput::new(0, 0, Duration::ZERO);
        assert!(nothing.events_per_second.abs() < 1e-9);
    }

    #[test]
    fn a_percentile_that_is_not_said_is_explained() {
        let mut table = Table {
            colour: false,
            text: Vec::new(),
        };
        let summary = Summary {
            values: 100,
            p50: Some(10),
            p90: Some(2_000),
            p99: None,
            p99_9: None,
            max: Some(3_000_000),
        };
        table.latencies("latency", "of a call", &summary);
        let text = String::from_utf8(table.text).expect("tables are text");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "latency     of a call (100 values)",
                "p50       p90       p99     p99.9       max",
                "10 µs   2.00 ms         -         -    3.00 s",
                "too few values for p99: it takes 1,000",
            ]
        );
    }
}
