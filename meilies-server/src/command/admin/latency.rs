//! `LATENCY …`: what took long, in Redis' shapes.

use std::fmt::Write;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{LatencyRequest, Version, table, writer};

use crate::command::Flow;
use crate::context::Context;
use crate::metrics::commands::Row;
use crate::metrics::latency::{self, Series};
use crate::session::{Output, Session};

/// `LATENCY …`
pub(crate) fn latency(
    context: &Arc<Context>,
    session: &Session,
    request: &LatencyRequest,
    out: &mut Output,
) -> Flow {
    let metrics = &context.metrics;
    let version = session.version;
    let out = out.buffer();
    match request {
        LatencyRequest::Doctor => {
            let threshold_ms = context.settings.latency_monitor_threshold_ms();
            let report = report(threshold_ms, &metrics.latency.all());
            writer::verbatim(out, version, b"txt", report.as_bytes());
        }
        LatencyRequest::Histogram { commands } => {
            write_histograms(out, version, &chosen(metrics.commands.rows(), commands));
        }
        LatencyRequest::History { event } => write_history(out, &metrics.latency.all(), event),
        LatencyRequest::Latest => write_latest(out, &metrics.latency.all()),
        LatencyRequest::Reset { events } => {
            let events: Vec<Vec<u8>> = events.iter().map(|of| of.to_ascii_lowercase()).collect();
            let events: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
            writer::number(out, metrics.latency.reset(&events) as u64);
        }
        LatencyRequest::Help => {
            let command = table::find(b"latency").expect("LATENCY is in the table: it was parsed");
            table::write_help(out, command);
        }
    }
    Flow::Done
}

fn write_latest(out: &mut BytesMut, all: &[(&'static str, Series)]) {
    writer::array_header(out, all.len());
    for (event, series) in all {
        let latest = series.latest().expect("a series is never empty");
        writer::array_header(out, 4);
        writer::bulk(out, event.as_bytes());
        writer::number(out, latest.at);
        writer::number(out, latest.ms);
        writer::number(out, series.ms_max);
    }
}

fn write_history(out: &mut BytesMut, all: &[(&'static str, Series)], event: &[u8]) {
    let of_event = all
        .iter()
        .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(event));
    let samples = of_event.map(|(_, series)| &series.samples);
    writer::array_header(out, samples.map_or(0, std::collections::VecDeque::len));
    for sample in samples.into_iter().flatten() {
        writer::array_header(out, 2);
        writer::number(out, sample.at);
        writer::number(out, sample.ms);
    }
}

/// The commands that were called, of those named: a command's sub-commands come with it.
fn chosen<'a>(rows: &'a [Row], names: &[Bytes]) -> Vec<&'a Row> {
    let is_named = |row: &&Row| {
        let full = row.command.full_name;
        let first = full.split('|').next().unwrap_or(full);
        let is_it = |name: &Bytes| {
            name.eq_ignore_ascii_case(full.as_bytes())
                || name.eq_ignore_ascii_case(first.as_bytes())
        };
        names.is_empty() || names.iter().any(is_it)
    };
    let called = rows.iter().filter(|row| row.calls() > 0);
    called.filter(is_named).collect()
}

fn write_histograms(out: &mut BytesMut, version: Version, rows: &[&Row]) {
    writer::map_header(out, version, rows.len());
    for row in rows {
        writer::bulk(out, row.command.full_name.as_bytes());
        writer::map_header(out, version, 2);
        writer::bulk(out, b"calls");
        writer::number(out, row.calls());
        writer::bulk(out, b"histogram_usec");
        let powers = row.powers();
        writer::map_header(out, version, powers.len());
        for (us, calls) in powers {
            writer::number(out, us);
            writer::number(out, calls);
        }
    }
}

/// For people.
fn report(threshold_ms: u64, all: &[(&'static str, Series)]) -> String {
    let mut report = String::new();
    if threshold_ms == 0 {
        report.push_str(
            "Nothing is watched: latency-monitor-threshold is 0. CONFIG SET \
             latency-monitor-threshold <milliseconds> begins to watch.\n",
        );
    }
    if all.is_empty() && threshold_ms > 0 {
        let _written = writeln!(
            report,
            "Nothing took {threshold_ms} ms or longer since LATENCY RESET or the start."
        );
    }
    for (event, series) in all {
        let samples = &series.samples;
        let sum: u64 = samples.iter().map(|sample| sample.ms).sum();
        let mean = sum.checked_div(samples.len() as u64).unwrap_or(0);
        // Writing to a string does not fail.
        let _written = writeln!(
            report,
            "{event}: slow in {} seconds, {mean} ms in the mean, {} ms at most. {}",
            samples.len(),
            series.ms_max,
            advice(event)
        );
    }
    report
}

fn advice(event: &str) -> &'static str {
    match event {
        latency::SYNC => "The disk was slow to sync: see whether others use it.",
        _ => "SLOWLOG GET shows which commands took long.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_took_long() {
        assert!(report(0, &[]).contains("threshold is 0"));
        assert!(report(7, &[]).starts_with("Nothing took 7 ms"));
        let mut series = Series::default();
        for (at, ms) in [(1, 10), (2, 30)] {
            series.samples.push_back(latency::Sample { at, ms });
        }
        series.ms_max = 40;
        let text = report(7, &[(latency::SYNC, series)]);
        assert!(
            text.starts_with("sync: slow in 2 seconds, 20 ms in the mean, 40 ms at most. The disk"),
            "{text}"
        );
    }
}
