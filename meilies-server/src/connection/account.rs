//! What is counted, timed and shown of commands.
//!
//! Timed is how long a command is executed: in its connection, on threads that wait for the disk
//! for it, and in the committer. Waiting does not count: for writes before it, for its turn in the
//! committer, for the sync of its commit, for the end of a pause, for events, or for the client to
//! take the reply. Consecutive writes that gather are one run, timed from the first to the last.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use meilies_protocol::table::{Command, Flags, Group};
use meilies_protocol::{Arguments, StreamName};

use super::Connection;
use crate::metrics::{commands, latency, slow_log};

/// Below this each write that gathers is timed by itself, for it may be slow.
const EACH_BELOW_US: i64 = 1000;

/// What replaces a password.
const REDACTED: &[u8] = b"(redacted)";

/// The command that is at work, and those that wait for EXEC.
#[derive(Debug, Default)]
pub(super) struct Account {
    at_work: Option<Called>,
    /// Writes that were gathered since `began`, all of the command at work.
    gathered: u64,
    began: Option<Instant>,
    /// When the command before was done, within one turn: so the clock is read once a command.
    clock: Option<Instant>,
    /// Calls that are not added yet.
    run: Run,
    /// How long the command at work was executed.
    spent: Duration,
    failed: bool,
    queued: Vec<(Called, Arguments)>,
}

/// Calls of one command that took about as long: they are added together.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    place: usize,
    step: usize,
    calls: u64,
    took: Duration,
}

/// A command, and where it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called {
    pub(super) command: &'static Command,
    pub(super) place: usize,
}

impl Account {
    /// Where the command at work is counted.
    pub(super) fn place(&self) -> usize {
        self.at_work.map_or(0, |called| called.place)
    }

    /// The command at work.
    pub(super) fn called(&self) -> Option<Called> {
        self.at_work
    }

    /// Whether a command that waits for EXEC may write.
    pub(super) fn will_write(&self) -> bool {
        let mut queued = self.queued.iter();
        queued.any(|(called, _)| called.command.flags.contains(Flags::WRITE))
    }

    /// Since when the command is executed whose turn it is.
    pub(super) fn since(&self) -> Instant {
        self.clock.unwrap_or_else(Instant::now)
    }

    /// Adds the time since then to the command at work, and notes whether its reply is an error.
    pub(super) fn spend(&mut self, since: Instant, failed: bool) {
        let now = Instant::now();
        self.clock = Some(now);
        self.spent += now - since;
        self.failed |= failed;
    }

    /// What was at work is not counted.
    pub(super) fn forget(&mut self) {
        self.spent = Duration::ZERO;
        self.failed = false;
    }
}

impl Connection {
    /// A command is to be decoded.
    pub(super) fn begin_command(&mut self) {
        let clock = *self.account.clock.get_or_insert_with(Instant::now);
        if self.account.gathered == 0 {
            self.account.began = Some(clock);
        }
    }

    /// A turn is done: what it has counted is added.
    pub(super) fn settle(&mut self) {
        let commands = std::mem::take(&mut self.commands);
        if commands > 0 {
            let total = &self.context.metrics.commands_total;
            total.fetch_add(commands, Ordering::Relaxed);
            self.session.client.add_commands(commands);
        }
        self.settle_gathered();
        self.settle_run();
        self.account.clock = None;
    }

    fn settle_run(&mut self) {
        let Run {
            place, calls, took, ..
        } = std::mem::take(&mut self.account.run);
        if calls > 0 {
            self.context.metrics.commands.row(place).add(calls, took);
        }
    }

    /// This command is the next.
    pub(super) fn turn_to(&mut self, command: &'static Command) {
        let is_same = |called: Called| std::ptr::eq(called.command, command);
        if self.account.at_work.is_some_and(is_same) {
            return;
        }
        self.settle_gathered();
        self.settle_run();
        let place = self.context.metrics.commands.place(command.full_name);
        let place = place.expect("there is a place for every command of the table");
        self.account.at_work = Some(Called { command, place });
        self.session.client.set_last_command(command.full_name);
    }

    /// The command at work is refused before it is executed.
    pub(super) fn reject(&self) {
        if let Some(called) = self.account.at_work {
            self.context
                .metrics
                .commands
                .row(called.place)
                .add_rejected();
        }
    }

    /// Counts a write that was gathered.
    pub(super) fn count_gathered(&mut self) {
        self.account.gathered += 1;
        let slow_us = self.context.settings.slow_log_slower_than_us();
        if let (Some(called), Some(began)) = (self.account.at_work, self.account.began)
            && (0..EACH_BELOW_US).contains(&slow_us)
        {
            self.settle_gathered();
            self.note_if_slow(called, &self.input.arguments, began.elapsed());
        }
    }

    /// Adds the run of writes that ends here.
    pub(super) fn settle_gathered(&mut self) {
        let count = std::mem::take(&mut self.account.gathered);
        if let (Some(called), Some(began)) = (self.account.at_work, self.account.began)
            && count > 0
        {
            let now = Instant::now();
            self.account.began = Some(now);
            self.account.clock = Some(now);
            let row = self.context.metrics.commands.row(called.place);
            row.add(count, now - began);
        }
    }

    /// Shows the command at work to those who monitor.
    pub(super) fn show(&self) {
        if !self.context.monitors.any() {
            return;
        }
        // EXEC comes behind what it executes.
        if let Some(called) = self.account.at_work
            && called.command.name != "exec"
        {
            self.show_one(called, &self.input.arguments);
        }
    }

    fn show_one(&self, called: Called, arguments: &Arguments) {
        if !called.command.flags.contains(Flags::ADMIN) {
            let words = redacted(called.command, arguments);
            self.context
                .monitors
                .show(&self.session.client, words.into_iter());
        }
    }

    /// The command at work waits for EXEC.
    pub(super) fn queue(&mut self) {
        let gathered = self.session.transaction.as_mut();
        if let (Some(called), Some(gathered)) = (self.account.at_work, gathered) {
            // One that was refused is not among those gathered.
            if gathered.count() > self.account.queued.len() {
                gathered.word_bytes += self.input.arguments.word_bytes();
                let arguments = self.input.arguments.clone();
                self.account.queued.push((called, arguments));
            }
        }
    }

    /// The command at work is done and answered.
    pub(super) fn finish(&mut self) {
        let spent = std::mem::take(&mut self.account.spent);
        let took = spent + std::mem::take(&mut self.session.worked);
        let failed = std::mem::take(&mut self.account.failed);
        let Some(called) = self.account.at_work else {
            return;
        };
        self.finish_queued();
        let arguments = std::mem::take(&mut self.input.arguments);
        self.finish_call(called, &arguments, took, failed);
        self.input.arguments = arguments;
        if called.command.name == "exec" && self.context.monitors.any() {
            self.show_one(called, &self.input.arguments);
        }
    }

    /// A command that ran with others is done and answered.
    pub(super) fn finish_call(
        &mut self,
        called: Called,
        arguments: &Arguments,
        took: Duration,
        failed: bool,
    ) {
        self.count(called.place, took);
        if failed {
            let row = self.context.metrics.commands.row(called.place);
            row.add_failed(1);
        }
        self.touch(called, arguments);
        self.note_if_slow(called, arguments, took);
    }

    /// Counts a call. Each is one of its own in the histogram.
    fn count(&mut self, place: usize, took: Duration) {
        let step = commands::step_of(took);
        if self.account.run.place != place || self.account.run.step != step {
            self.settle_run();
        }
        let run = &mut self.account.run;
        (run.place, run.step) = (place, step);
        run.calls += 1;
        run.took += took;
    }

    /// Counts what EXEC has executed; forgets what waited when there is no transaction any more.
    fn finish_queued(&mut self) {
        if self.account.queued.is_empty() {
            return;
        }
        let executed = std::mem::take(&mut self.session.executed);
        if self.session.transaction.is_some() {
            return;
        }
        let queued = std::mem::take(&mut self.account.queued);
        for ((called, arguments), executed) in queued.into_iter().zip(executed) {
            let row = self.context.metrics.commands.row(called.place);
            row.add(1, executed.took);
            row.add_failed(u64::from(executed.failed));
            self.touch(called, &arguments);
            self.note_if_slow(called, &arguments, executed.took);
            if self.context.monitors.any() {
                self.show_one(called, &arguments);
            }
        }
    }

    /// Notes when the streams of a command were used. Writes that gather are not looked at: when
    /// the last event came is known anyway. As in Redis what only asks for a key does not use it;
    /// CLIENT NO-TOUCH makes that true of all commands but TOUCH.
    fn touch(&self, called: Called, arguments: &Arguments) {
        let command = called.command;
        let is_touch = command.name == "touch";
        let uses = command.group == Group::Stream
            || matches!(command.name, "touch" | "rename" | "renamenx");
        if !uses || self.session.client.no_touch() && !is_touch {
            return;
        }
        for key in command.keys(arguments) {
            if let Ok(name) = StreamName::parse(Bytes::copy_from_slice(key)) {
                self.context.touches.note(name);
            }
        }
    }

    fn note_if_slow(&self, called: Called, arguments: &Arguments, took: Duration) {
        let Connection {
            context, session, ..
        } = self;
        let flags = called.command.flags;
        if flags.contains(Flags::SKIP_SLOWLOG) {
            return;
        }
        let event = match flags.contains(Flags::FAST) {
            true => latency::FAST_COMMAND,
            false => latency::COMMAND,
        };
        let threshold_ms = context.settings.latency_monitor_threshold_ms();
        context.metrics.latency.add(event, took, threshold_ms);
        let slow_us = context.settings.slow_log_slower_than_us();
        let is_slow = |us| took.as_micros() >= u128::from(us);
        if !u64::try_from(slow_us).is_ok_and(is_slow) {
            return;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let words = redacted(called.command, arguments);
        let slow = slow_log::SlowCommand {
            id: 0,
            at: now.unwrap_or_default().as_secs(),
            took,
            arguments: slow_log::kept(words.into_iter()),
            address: session.client.address,
            name: session.client.name(),
        };
        let length_max = context.settings.slow_log_max_len();
        context.metrics.slow_log.add(slow, length_max);
    }
}

/// The words of a command without the passwords.
fn redacted<'a>(command: &Command, arguments: &'a Arguments) -> Vec<&'a [u8]> {
    let mut words: Vec<&[u8]> = arguments.iter().collect();
    match command.full_name {
        "auth" => words[1..].fill(REDACTED),
        "hello" => {
            let is_auth = |word: &&[u8]| word.eq_ignore_ascii_case(b"AUTH");
            let begin = words.iter().position(is_auth).unwrap_or(words.len());
            words
                .iter_mut()
                .skip(begin + 1)
                .take(2)
                .for_each(|word| *word = REDACTED);
        }
        "config|set" => {
            for index in (2..words.len()).step_by(2) {
                if words[index].eq_ignore_ascii_case(b"requirepass") && index + 1 < words.len() {
                    words[index + 1] = REDACTED;
                }
            }
        }
        _ => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use meilies_protocol::table;

    fn shown(words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let arguments = Arguments::from_slices(&words);
        let command = table::resolve(&arguments).expect("a command");
        let words = redacted(command, &arguments);
        String::from_utf8(words.join(&b' ')).expect("text")
    }

    #[test]
    fn passwords_are_never_shown() {
        for (words, expected) in [
            (&["AUTH", "pw"][..], "AUTH (redacted)"),
            (&["AUTH", "default", "pw"], "AUTH (redacted) (redacted)"),
            (
                &["HELLO", "3", "auth", "default", "pw", "SETNAME", "a"],
                "HELLO 3 auth (redacted) (redacted) SETNAME a",
            ),
            (&["HELLO", "3"], "HELLO 3"),
            (
                &["CONFIG", "SET", "save", "", "RequirePass", "pw"],
                "CONFIG SET save  RequirePass (redacted)",
            ),
            (&["ECHO", "AUTH", "x"][..2], "ECHO AUTH"),
        ] {
            assert_eq!(shown(words), expected);
        }
    }
}
