//! MONITOR: whoever wants to see every command.
//!
//! A command is shown by putting a line into each monitor's feed, which has a bound: a monitor that
//! does not take its lines is disconnected, and nobody waits for it.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use futures::task::AtomicWaker;

use super::Client;
use crate::limits::{MONITOR_ARGUMENT_BYTES_MAX, MONITOR_BYTES_MAX};

/// All who monitor.
#[derive(Debug, Default)]
pub struct Monitors {
    /// All that a command looks at when there is none.
    count: AtomicUsize,
    feeds: Mutex<Vec<Arc<Feed>>>,
}

#[derive(Debug)]
struct Feed {
    client: Arc<Client>,
    lines: Mutex<BytesMut>,
    waker: AtomicWaker,
}

/// One who monitors, for as long as this lives.
#[derive(Debug)]
pub struct Monitoring {
    monitors: Arc<Monitors>,
    feed: Arc<Feed>,
}

impl Monitors {
    /// Whether anybody monitors.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Begins to show a client every command.
    pub fn join(self: &Arc<Self>, client: &Arc<Client>) -> Monitoring {
        let feed = Arc::new(Feed {
            client: Arc::clone(client),
            lines: Mutex::default(),
            waker: AtomicWaker::new(),
        });
        let mut feeds = self.lock();
        feeds.push(Arc::clone(&feed));
        self.count.store(feeds.len(), Ordering::Relaxed);
        client.set_monitor(true);
        Monitoring {
            monitors: Arc::clone(self),
            feed,
        }
    }

    /// Shows a command of a client.
    pub fn show<'a>(&self, client: &Client, arguments: impl Iterator<Item = &'a [u8]>) {
        let line = line(client, arguments);
        for feed in &*self.lock() {
            feed.push(&line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Feed>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    fn push(&self, line: &[u8]) {
        {
            let mut lines = self.lock();
            if lines.len() + line.len() <= MONITOR_BYTES_MAX {
                lines.extend_from_slice(line);
                drop(lines);
                self.waker.wake();
                return;
            }
        }
        if !self.client.is_killed() {
            let client = self.client.id;
            tracing::warn!(client, "monitor is too slow: it is disconnected");
            self.client.kill();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitoring {
    /// Whom to wake when there are lines. Call it before [`Monitoring::take`], or a wake-up is
    /// lost.
    pub(crate) fn listen(&self, waker: &Waker) {
        self.feed.waker.register(waker);
    }

    /// Takes the lines that came since.
    pub(crate) fn take(&self) -> Bytes {
        std::mem::take(&mut *self.feed.lock()).freeze()
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        let mut feeds = self.monitors.lock();
        feeds.retain(|feed| !Arc::ptr_eq(feed, &self.feed));
        self.monitors.count.store(feeds.len(), Ordering::Relaxed);
        self.feed.client.set_monitor(false);
    }
}

/// As Redis shows a command: when, in which database and from where, and its words in quotes.
fn line<'a>(client: &Client, arguments: impl Iterator<Item = &'a [u8]>) -> BytesMut {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let mut line = BytesMut::new();
    // Writing to memory does not fail.
    let _written = write!(
        line,
        "+{}.{:06} [0 {}]",
        now.as_secs(),
        now.subsec_micros(),
        client.address
    );
    for argument in arguments {
        line.put_slice(b" \"");
        let shown = &argument[..argument.len().min(MONITOR_ARGUMENT_BYTES_MAX)];
        quote(&mut line, shown);
        line.put_u8(b'"');
        if shown.len() < argument.len() {
            let more = argument.len() - shown.len();
            let _written = write!(line, "... ({more} more bytes)");
        }
    }
    line.put_slice(b"\r\n");
    line
}

fn quote(line: &mut BytesMut, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'\\' => line.put_slice(b"\\\\"),
            b'"' => line.put_slice(b"\\\""),
            b'\n' => line.put_slice(b"\\n"),
            b'\r' => line.put_slice(b"\\r"),
            b'\t' => line.put_slice(b"\\t"),
            0x07 => line.put_slice(b"\\a"),
            0x08 => line.put_slice(b"\\b"),
            b' '..=b'~' => line.put_u8(*byte),
            // Writing to memory does not fail.
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_quoted_as_redis_quotes_them() {
        let mut line = BytesMut::new();
        quote(&mut line, b"a \"b\\\n\r\t\x07\x08\x00\xff~");
        assert_eq!(&line[..], br#"a \"b\\\n\r\t\a\b\x00\xff~"#);
    }
}
