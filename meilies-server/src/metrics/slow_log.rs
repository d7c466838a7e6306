//! The log of slow commands: SLOWLOG. The oldest give way to the newest.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::limits::{SLOW_LOG_ARGUMENT_BYTES_MAX, SLOW_LOG_ARGUMENTS_MAX};

/// The last commands that were slow.
#[derive(Debug, Default)]
pub struct SlowLog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    next_id: u64,
    /// Oldest first.
    list: VecDeque<SlowCommand>,
}

/// A command that was slow.
#[derive(Clone, Debug)]
pub struct SlowCommand {
    /// Counted from 0, never reused.
    pub id: u64,
    /// When it was done, in seconds since 1970 UTC.
    pub at: u64,
    /// How long it was executed.
    pub took: Duration,
    /// Its name and arguments, cut to what is kept.
    pub arguments: Vec<Bytes>,
    /// Whose it was.
    pub address: SocketAddr,
    /// What its client calls itself.
    pub name: Bytes,
}

impl SlowLog {
    /// Adds a command, whose id is chosen here, and keeps at most so many.
    pub fn add(&self, command: SlowCommand, length_max: u64) {
        let mut entries = self.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.list.push_back(SlowCommand { id, ..command });
        entries.cut(length_max);
    }

    /// Keeps at most so many.
    pub fn cut(&self, length_max: u64) {
        self.lock().cut(length_max);
    }

    /// The newest, at most so many of them, newest first.
    pub fn newest(&self, count: usize) -> Vec<SlowCommand> {
        self.lock().list.iter().rev().take(count).cloned().collect()
    }

    /// How many there are.
    pub fn length(&self) -> usize {
        self.lock().list.len()
    }

    /// Forgets all of them. Ids go on.
    pub fn reset(&self) {
        self.lock().list.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn cut(&mut self, length_max: u64) {
        let length_max = usize::try_from(length_max).unwrap_or(usize::MAX);
        let surplus = self.list.len().saturating_sub(length_max);
        self.list.drain(..surplus);
    }
}

/// What is kept of a command's arguments, in memory of its own: the last one says how many more
/// there are, and each how many more bytes.
pub fn kept<'a>(arguments: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Bytes> {
    let count = arguments.len();
    let whole = match count {
        0..=SLOW_LOG_ARGUMENTS_MAX => count,
        _ => SLOW_LOG_ARGUMENTS_MAX - 1,
    };
    let mut kept: Vec<Bytes> = arguments.take(whole).map(shortened).collect();
    if count > whole {
        kept.push(format!("... ({} more arguments)", count - whole).into());
    }
    kept
}

fn shortened(argument: &[u8]) -> Bytes {
    let Some(more) = argument.len().checked_sub(SLOW_LOG_ARGUMENT_BYTES_MAX) else {
        return Bytes::copy_from_slice(argument);
    };
    if more == 0 {
        return Bytes::copy_from_slice(argument);
    }
    let mut shortened = argument[..SLOW_LOG_ARGUMENT_BYTES_MAX].to_vec();
    shortened.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
    shortened.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(arguments: Vec<Bytes>) -> SlowCommand {
        SlowCommand {
            id: 0,
            at: 1,
            took: Duration::from_micros(2),
            arguments,
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            name: Bytes::new(),
        }
    }

    #[test]
    fn the_oldest_give_way_and_ids_go_on() {
        let log = SlowLog::default();
        for _ in 0..5 {
            log.add(slow(Vec::new()), 3);
        }
        let ids = |log: &SlowLog| -> Vec<u64> {
            log.newest(9).iter().map(|command| command.id).collect()
        };
        assert_eq!(ids(&log), [4, 3, 2]);
        log.cut(1);
        assert_eq!(ids(&log), [4]);
        log.reset();
        assert_eq!(log.length(), 0);
        log.add(slow(Vec::new()), 3);
        assert_eq!(ids(&log), [5]);
        log.add(slow(Vec::new()), 0);
        assert_eq!(log.length(), 0);
    }

    #[test]
    fn long_commands_are_cut_and_say_so() {
        let long = vec![b'x'; SLOW_LOG_ARGUMENT_BYTES_MAX + 7];
        let arguments: Vec<&[u8]> = vec![&long; SLOW_LOG_ARGUMENTS_MAX + 2];
        let arguments = kept(arguments.into_iter());
        assert_eq!(arguments.len(), SLOW_LOG_ARGUMENTS_MAX);
        assert_eq!(
            arguments[SLOW_LOG_ARGUMENTS_MAX - 1],
            "... (3 more arguments)"
        );
        assert!(arguments[0].ends_with(b"x... (7 more bytes)"));
        let exact: Vec<&[u8]> = vec![&long[..SLOW_LOG_ARGUMENT_BYTES_MAX]; SLOW_LOG_ARGUMENTS_MAX];
        assert_eq!(kept(exact.clone().into_iter()), exact);
    }
}
