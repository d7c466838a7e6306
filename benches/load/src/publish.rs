//! Publishing over one connection that is kept full: one thread sends as long as fewer commands
//! than the window wait for their replies, the other reads the replies and checks the numbers.

use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use meilies_protocol::{Value, writer};

use crate::connection::Replies;
use crate::{LoadError, event, tell};

/// Commands that are sent in one write, at most.
const SEND_COMMANDS_MAX: u64 = 256;

/// How often the script is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// How an event is sent.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum Command {
    /// Answered with the number
    #[default]
    Publish,
    /// With an id that the server chooses, and is answered
    Xadd,
}

/// How far the replies are, shared by both threads.
#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    acknowledged: u64,
    is_over: bool,
}

impl Progress {
    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_one();
    }

    /// Waits until more than this many are acknowledged. Gives nothing when it is over.
    fn wait_beyond(&self, count: u64) -> Option<u64> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut State| !state.is_over && state.acknowledged <= count;
        let state = self.moved.wait_while(state, waits);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        (!state.is_over).then_some(state.acknowledged)
    }
}

/// Publishes the events and tells `acknowledged` (the number behind the last event whose reply
/// came), also when the server goes away, and then `seconds`.
pub(crate) fn run(
    address: &str,
    stream: &str,
    data_bytes: usize,
    numbers: Range<u64>,
    window: u64,
    command: Command,
) -> Result<(), LoadError> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let replies = Replies::new(socket.try_clone()?);
    let progress = Progress::default();
    let begin = Instant::now();
    let (sent, received) = thread::scope(|scope| {
        let count = numbers.end.saturating_sub(numbers.start);
        let sender = Sender {
            socket,
            stream,
            data_bytes,
            first: numbers.start,
            count,
            window,
            command,
        };
        let progress = &progress;
        let sending = scope.spawn(move || sender.run(progress));
        let received = receive(replies, command, numbers.clone(), progress);
        progress.update(|state| state.is_over = true);
        (sending.join(), received)
    });
    tell("seconds", begin.elapsed().as_secs_f64())?;
    received?;
    sent.map_err(|_| LoadError::Sender)?
}

struct Sender<'a> {
    socket: TcpStream,
    stream: &'a str,
    data_bytes: usize,
    first: u64,
    count: u64,
    window: u64,
    command: Command,
}

impl Sender<'_> {
    fn run(mut self, progress: &Progress) -> Result<(), LoadError> {
        let (mut out, mut data) = (BytesMut::new(), Vec::new());
        let (mut sent, mut acknowledged) = (0, 0);
        while sent < self.count {
            if sent - acknowledged >= self.window {
                // What is sent together may be acknowledged together: half a window is waited for.
                let enough = sent - self.window.div_ceil(2);
                match progress.wait_beyond(enough.max(acknowledged)) {
                    Some(now) => acknowledged = now,
                    None => return Ok(()),
                }
            }
            let room = self.window - (sent - acknowledged);
            let burst = room.min(self.count - sent).min(SEND_COMMANDS_MAX);
            out.clear();
            for index in sent..sent + burst {
                event::fill(&mut data, self.first + index, self.data_bytes);
                let stream = self.stream.as_bytes();
                let words: &[&[u8]] = match self.command {
                    Command::Publish => &[b"PUBLISH", stream, event::NAME, &data],
                    Command::Xadd => &[b"XADD", stream, b"*", event::NAME, &data],
                };
                writer::command(&mut out, words);
            }
            self.socket.write_all(&out)?;
            sent += burst;
        }
        Ok(())
    }
}

fn receive(
    mut replies: Replies,
    command: Command,
    numbers: Range<u64>,
    progress: &Progress,
) -> Result<(), LoadError> {
    let mut told_at = Instant::now();
    let mut expected = numbers.start;
    let outcome = loop {
        if expected >= numbers.end {
            break Ok(());
        }
        if let Err(error) = take(&mut replies, command, &mut expected) {
            break Err(error);
        }
        progress.update(|state| state.acknowledged = expected - numbers.start);
        if told_at.elapsed() >= TELL_EVERY {
            tell("acknowledged", expected)?;
            told_at = Instant::now();
        }
    };
    tell("acknowledged", expected)?;
    outcome
}

/// Waits for a reply and takes all that came with it.
fn take(replies: &mut Replies, command: Command, expected: &mut u64) -> Result<(), LoadError> {
    let mut reply = Some(replies.next()?);
    while let Some(value) = reply {
        let is_right = match command {
            Command::Publish => value.as_u64() == Some(*expected),
            Command::Xadd => matches!(value, Value::Bulk(_)),
        };
        if !is_right {
            return Err(LoadError::Number {
                expected: *expected,
                got: format!("{value:?}"),
            });
        }
        *expected += 1;
        reply = replies.received()?;
    }
    Ok(())
}
