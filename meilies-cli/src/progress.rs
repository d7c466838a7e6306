//! How far long work is: on standard error, and only where that is a terminal.

use std::fmt::Write;
use std::time::Instant;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

/// A line that is written again and again while work goes on, with the rate and the time that
/// remains. Elsewhere than on a terminal nothing is written.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// Shows events out of so many, or without an end.
    pub(crate) fn events(total: Option<u64>) -> Progress {
        Progress::new(total)
    }

    /// Shows events, and how far it is by the bytes that are read, if it is known how many there
    /// are.
    pub(crate) fn bytes(total: Option<u64>) -> Progress {
        Progress::new(total)
    }

    /// Shows nothing: the terminal has something else to show.
    pub(crate) fn hidden() -> Progress {
        Progress {
            bar: ProgressBar::hidden(),
            begun: Instant::now(),
        }
    }

    fn new(total: Option<u64>) -> Progress {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:30} {percent:>3}%  {msg}  {left} left",
            ),
            None => (ProgressBar::no_length(), "{spinner} {msg}"),
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ")
            .with_key("left", |state: &ProgressState, out: &mut dyn Write| {
                // Writing to the line does not fail.
                let _written = write!(out, "{}", HumanDuration(state.eta()));
            });
        Progress {
            bar: bar.with_style(style),
            begun: Instant::now(),
        }
    }

    /// So much is done by now, in what the total is counted in, and in events.
    pub(crate) fn set(&self, done: u64, events: u64) {
        if self.bar.is_hidden() {
            return;
        }
        let milliseconds = self.begun.elapsed().as_millis().max(1);
        let rate = u128::from(events) * 1000 / milliseconds;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let unit = if events == 1 { "event" } else { "events" };
        let (events, rate) = (HumanCount(events), HumanCount(rate));
        self.bar.set_message(format!("{events} {unit}, {rate}/s"));
        self.bar.set_position(done);
    }

    /// Shows the last that was said, and takes the line away.
    pub(crate) fn finish(&self) {
        self.bar.force_draw();
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    /// Nothing of it stays before what comes next.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
