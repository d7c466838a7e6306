//! The same operations on two servers, every reply compared.

use std::io;

use meilies_tests::Value;

use super::counters::{self, Behind, Stream};
use super::failure::Failure;
use super::generator::{CONSUMERS, GROUPS, KEY_FUTURE, KEY_LONG, KEYS, Words, words};
use super::operation::{Command, Operation, begins};
use super::reading::Reading;
use super::side::{Readings, Side};

/// So many commands go out in one write, at most.
const BATCH_MAX: usize = 32;

/// After so many operations all streams are compared as a whole.
const AUDIT_INTERVAL: usize = 5_000;

/// Two servers that should not differ.
pub(crate) struct Run {
    ours: Side,
    theirs: Side,
    /// MeiliES is stopped or killed after so many operations, and started again.
    restart_interval: Option<usize>,
}

impl Run {
    pub(crate) fn new(ours: Side, theirs: Side, restart_interval: Option<usize>) -> Self {
        Self {
            ours,
            theirs,
            restart_interval,
        }
    }

    /// The two servers, to do something to them that the run does not know of.
    pub(crate) fn sides(&self) -> [&Side; 2] {
        [&self.ours, &self.theirs]
    }

    /// Deletes everything, and leaves no connection in a transaction.
    pub(crate) fn clear(&mut self) -> Result<(), Failure> {
        self.ours.connect();
        self.theirs.connect();
        let delete = words("DEL nothing planted").and(KEY_LONG).and(KEY_FUTURE);
        let delete = KEYS.iter().fold(delete, Words::and);
        // How many there were is not compared: the run before may have ended with a difference.
        let delete = [delete.0];
        for side in [&mut self.ours, &mut self.theirs] {
            side.send(0, &delete);
            let read = side.read(0, &delete);
            read.map_err(|error| Failure::broken(0, &delete[0], &error))?;
        }
        Ok(())
    }

    /// Runs them up to the first difference.
    pub(crate) fn operations(&mut self, operations: &[Operation]) -> Result<(), Failure> {
        let mut at = 0;
        while at < operations.len() {
            let count = batch(&operations[at..], self.until_pause(at));
            self.batch(at, &operations[at..at + count])?;
            at += count;
            self.pause(at)?;
        }
        self.audit(at)
    }

    /// How many operations there may be before something else is due.
    fn until_pause(&self, at: usize) -> usize {
        let interval = self.restart_interval.unwrap_or(AUDIT_INTERVAL);
        let interval = interval.min(AUDIT_INTERVAL);
        interval - at % interval
    }

    fn pause(&mut self, at: usize) -> Result<(), Failure> {
        if let Some(interval) = self.restart_interval
            && at.is_multiple_of(interval)
        {
            self.ours.restart(!(at / interval).is_multiple_of(2));
            return self.audit(at);
        }
        match at.is_multiple_of(AUDIT_INTERVAL) {
            true => self.audit(at),
            false => Ok(()),
        }
    }

    fn batch(&mut self, at: usize, operations: &[Operation]) -> Result<(), Failure> {
        match &operations[0] {
            Operation::Single { connection, .. } => {
                let commands: Vec<Command> = operations
                    .iter()
                    .flat_map(Operation::commands)
                    .cloned()
                    .collect();
                self.exchange(at, 1, *connection, &commands).map(drop)
            }
            Operation::Transaction { .. } => self.transaction(at, &operations[0]),
            Operation::Approximate {
                connection,
                approximate,
                exact,
            } => self.approximate(at, *connection, approximate, exact),
            Operation::Waiting { .. } => self.waiting(at, &operations[0]),
        }
    }

    /// Sends commands to both and compares what they say. Each is `step` operations behind the
    /// one before.
    fn exchange(
        &mut self,
        at: usize,
        step: usize,
        connection: usize,
        commands: &[Command],
    ) -> Result<Vec<Reading>, Failure> {
        let [ours, theirs] = self.ask(at, connection, commands)?;
        for (index, (ours, theirs)) in ours.readings.iter().zip(&theirs.readings).enumerate() {
            if !ours.agrees(theirs) {
                return Err(Failure {
                    index: at + index * step,
                    command: commands[index].clone(),
                    said: [ours.to_string(), theirs.to_string()],
                });
            }
        }
        self.mend_counters(at, &theirs.behind)?;
        Ok(theirs.readings)
    }

    fn ask(
        &mut self,
        at: usize,
        connection: usize,
        commands: &[Command],
    ) -> Result<[Readings; 2], Failure> {
        self.ours.send(connection, commands);
        self.theirs.send(connection, commands);
        let broken = |error: io::Error| Failure::broken(at, &commands[0], &error);
        let ours = self.ours.read(connection, commands).map_err(broken)?;
        let theirs = self.theirs.read(connection, commands).map_err(broken)?;
        let mut both = [ours, theirs];
        // Within a transaction the counters of a group that was behind cannot be mended.
        let is_exec = |command: &Command| begins(command, &["EXEC"]);
        if !both[1].behind.is_empty() && commands.last().is_some_and(is_exec) {
            for readings in &mut both {
                for reading in &mut readings.readings {
                    counters::hide(&mut reading.value);
                }
            }
        }
        Ok(both)
    }

    /// Lets both servers count the entries that a group read from its place, as if they had always
    /// counted alike.
    fn mend_counters(&mut self, at: usize, groups: &[Behind]) -> Result<(), Failure> {
        for behind in groups {
            let ask = words("XINFO STREAM").and(&behind.key).and("FULL");
            let [_, theirs] = self.ask(at, 0, &[ask.and("COUNT").and("1").0])?;
            let stream = Stream::parse(&behind.key, &theirs.readings[0].value);
            if let Some(id) = stream.and_then(|stream| stream.to_be_mended(behind)) {
                let mend = words("XGROUP SETID").and(&behind.key).and(&behind.group);
                let mend = mend.and(id).and("ENTRIESREAD").and("-1");
                self.exchange(at, 0, 0, &[mend.0])?;
            }
        }
        Ok(())
    }

    fn transaction(&mut self, at: usize, operation: &Operation) -> Result<(), Failure> {
        let Operation::Transaction {
            connection,
            watched,
            meddling,
            commands,
            end,
        } = operation
        else {
            unreachable!("the caller has seen that it is one")
        };
        if !watched.is_empty() {
            let watch = watched.iter().fold(words("WATCH"), Words::and);
            self.exchange(at, 0, *connection, &[watch.0])?;
        }
        if let Some(meddling) = meddling {
            self.exchange(at, 0, 1 - connection, std::slice::from_ref(meddling))?;
        }
        let mut all = vec![words("MULTI").0];
        all.extend(commands.iter().cloned());
        all.push(words(end).0);
        self.exchange(at, 0, *connection, &all).map(drop)
    }

    /// Both may have kept more than was asked for, each in its way. What counts is that none kept
    /// fewer: that the exact trim takes the rest, so that in the end both took the same.
    fn approximate(
        &mut self,
        at: usize,
        connection: usize,
        approximate: &Command,
        exact: &Command,
    ) -> Result<(), Failure> {
        let commands = [approximate.clone(), exact.clone()];
        let both = self.ask(at, connection, &commands)?;
        let taken = both.map(|readings| approximately(&readings.readings));
        if taken[0] != taken[1] {
            return Err(Failure {
                index: at,
                command: approximate.clone(),
                said: taken,
            });
        }
        let length = words("XLEN").and(&exact[1]);
        self.exchange(at, 0, connection, &[length.0]).map(drop)
    }

    fn waiting(&mut self, at: usize, operation: &Operation) -> Result<(), Failure> {
        const PROBES_MAX: usize = 100;
        let Operation::Waiting {
            connection,
            probe,
            waiting,
            waking,
        } = operation
        else {
            unreachable!("the caller has seen that it is one")
        };
        // What is there already is read first: then the reader has to wait.
        let is_nothing = |value: &Value| matches!(value, Value::Nil | Value::NilArray);
        let mut probes = 0;
        loop {
            let replies = self.exchange(at, 0, *connection, std::slice::from_ref(probe))?;
            if is_nothing(&replies[0].value) {
                break;
            }
            probes += 1;
            if matches!(replies[0].value, Value::Error(_)) || probes > PROBES_MAX {
                return Ok(());
            }
        }
        let broken = |error: io::Error| Failure::broken(at, waiting, &error);
        self.ours.wait(*connection, waiting).map_err(broken)?;
        self.theirs.wait(*connection, waiting).map_err(broken)?;
        self.exchange(at, 0, *connection, waking)?;
        let (ours, theirs) = self.waited(at, *connection, waiting).map_err(broken)?;
        if !ours.agrees(&theirs) {
            return Err(Failure {
                index: at,
                command: waiting.clone(),
                said: [ours.to_string(), theirs.to_string()],
            });
        }
        self.mend_counters(at, &groups_read(waiting))
    }

    /// What the waiters got. Who gets nothing from Redis is sent away, and must get nothing from
    /// the other server, either.
    fn waited(
        &mut self,
        at: usize,
        connection: usize,
        waiting: &Command,
    ) -> io::Result<(Reading, Reading)> {
        let reason = ["TIMEOUT", "ERROR"][at % 2];
        let sent_away = self.theirs.unblock(connection, reason)? == Value::Integer(1);
        let mut theirs = self.theirs.waited(connection, waiting)?;
        let in_vain = is_in_vain(&theirs.value) && !self.ours.is_redis();
        if in_vain {
            // 7.0 wakes a reader for an entry that is gone before the transaction ends, and has
            // nothing for it; later versions let it wait.
            theirs.value = self.ours.nothing(connection);
        }
        if sent_away || in_vain {
            let reason = if in_vain { "TIMEOUT" } else { reason };
            if self.ours.unblock(connection, reason)? != Value::Integer(1) {
                theirs.value = Value::Simple(b"(still waits)".to_vec());
            }
        }
        Ok((self.ours.waited(connection, waiting)?, theirs))
    }

    /// Compares everything that can be asked.
    fn audit(&mut self, at: usize) -> Result<(), Failure> {
        let mut commands = vec![words("KEYS *").0, words("DBSIZE").0];
        for key in KEYS.into_iter().chain([KEY_LONG, KEY_FUTURE]) {
            for line in ["EXISTS", "TYPE", "XLEN", "XINFO STREAM", "XINFO GROUPS"] {
                commands.push(words(line).and(key).0);
            }
            commands.push(words("XRANGE").and(key).and("-").and("+").0);
            let full = words("XINFO STREAM").and(key).and("FULL");
            commands.push(full.and("COUNT").and("0").0);
            for group in GROUPS {
                commands.push(words("XINFO CONSUMERS").and(key).and(group).0);
                commands.push(words("XPENDING").and(key).and(group).0);
                for consumer in CONSUMERS {
                    let line = words("XPENDING").and(key).and(group);
                    let line = line.and("-").and("+").and("100000");
                    commands.push(line.and(consumer).0);
                }
            }
        }
        for connection in 0..2 {
            self.exchange(at.saturating_sub(1), 0, connection, &commands)?;
        }
        Ok(())
    }
}

/// How many operations go out in one write: single commands of one connection, up to one that may
/// move a group.
fn batch(operations: &[Operation], count_max: usize) -> usize {
    let first = match &operations[0] {
        Operation::Single { connection, .. } => *connection,
        _ => return 1,
    };
    let count_max = count_max.min(BATCH_MAX).min(operations.len());
    for (index, operation) in operations[..count_max].iter().enumerate() {
        match operation {
            Operation::Single {
                connection,
                command,
            } if *connection == first => {
                let touches = ["XREADGROUP", "XCLAIM", "XAUTOCLAIM"];
                let sets_counter = counters::entries_read(command).is_some()
                    || counters::entries_added(command).is_some();
                if sets_counter || touches.iter().any(|name| begins(command, &[name])) {
                    return index + 1;
                }
            }
            _ => return index,
        }
    }
    count_max
}

/// What an approximate trim and the exact one behind it said: an id or an error, or how many
/// entries both took together.
fn approximately(readings: &[Reading]) -> String {
    match (&readings[0].value, &readings[1].value) {
        (Value::Integer(approximate), Value::Integer(exact)) => {
            format!("{} entries taken", approximate + exact)
        }
        (added @ Value::Bulk(_), Value::Integer(_)) => format!("added {added}"),
        (first, second) => format!("{first} {second}"),
    }
}

/// Whether a reader was woken and got a stream without entries.
fn is_in_vain(reply: &Value) -> bool {
    let is_empty = |entries: &Value| matches!(entries, Value::Array(entries) if entries.is_empty());
    match reply {
        Value::Array(streams) => streams.iter().any(|stream| match stream {
            Value::Array(pair) => pair.iter().any(is_empty),
            _ => false,
        }),
        Value::Map(streams) => streams.iter().any(|(_, entries)| is_empty(entries)),
        _ => false,
    }
}

/// The groups that a waiting XREADGROUP reads for.
fn groups_read(waiting: &Command) -> Vec<Behind> {
    if !begins(waiting, &["XREADGROUP"]) {
        return Vec::new();
    }
    let streams = waiting.iter().position(|word| word == b"STREAMS");
    let rest = &waiting[streams.expect("the generator writes it") + 1..];
    let keys = rest[..rest.len() / 2].iter();
    let groups = keys.map(|key| Behind {
        key: key.clone(),
        group: waiting[2].clone(),
        if_beyond: false,
    });
    groups.collect()
}
