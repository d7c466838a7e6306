//! One client's connection: a task that reads, decodes, executes, pushes and writes in turns.
//!
//! It never waits for one thing while another could go on: each turn does what is possible of
//! everything, and the task sleeps when a turn did nothing. What bounds it: it stops to decode and
//! to read while too much is unsent or unanswered, and makes pushes only while little is unsent,
//! so a client that does not read costs its own socket and nobody else.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Waking, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

mod account;
mod appends;
mod changes;
mod execute;
mod input;

use crate::context::Context;
use crate::limits::{
    LINGER_MS, OUTPUT_BYTES_AHEAD_MAX, OUTPUT_BYTES_MAX, PUSH_BYTES_AHEAD_MAX, TURNS_MAX,
    UNREAD_BYTES_MAX, UNREAD_WAIT_MS,
};
use crate::output::Output;
use crate::session::{Buffers, Client, Registration, Session};
use account::Account;
use appends::Appends;
use changes::Changes;
pub(crate) use execute::refuse;
use execute::{Later, PauseOver, Waiting};
use input::Input;

/// A connection and all that belongs to it.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    input: Input,
    output: Output,
    session: Session,
    appends: Appends,
    changes: Changes,
    /// A decoded command that has to wait for the writes before it.
    waiting: Option<Waiting>,
    /// A command that is at work. Nothing is decoded before it has answered.
    later: Option<Later>,
    /// Bytes of pushes ever made.
    pushed_bytes: u64,
    /// What is counted and shown of commands.
    account: Account,
    /// Commands that were decoded in this turn.
    commands: u64,
    /// Resolves at the end of the CLIENT PAUSE that holds a command up.
    pause_over: Option<PauseOver>,
    /// No command is executed any more; given up when this runs out.
    closing: Option<Pin<Box<Sleep>>>,
    context: Arc<Context>,
    /// Last, so that the client counts until all else of it is gone.
    _registration: Registration,
}

/// Why a connection ends.
enum End {
    /// The client closed it, or everything was answered after the last command.
    Finished,
    /// CLIENT KILL.
    Killed,
    /// The client took nothing for too long.
    GivenUp,
    /// The socket failed.
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Failed(error)
    }
}

impl Connection {
    pub(crate) fn new(context: &Arc<Context>, socket: TcpStream, client: Arc<Client>) -> Self {
        let registration = Registration::new(Arc::clone(context), client.id);
        let session = Session::new(context, client);
        Connection {
            socket,
            input: Input::new(session.authenticated),
            output: Output::default(),
            session,
            appends: Appends::default(),
            changes: Changes::default(),
            waiting: None,
            later: None,
            pushed_bytes: 0,
            account: Account::default(),
            commands: 0,
            pause_over: None,
            closing: None,
            context: Arc::clone(context),
            _registration: registration,
        }
    }

    /// Serves the client until it is gone.
    pub(crate) async fn run(mut self) {
        let end = poll_fn(|waking| self.poll(waking)).await;
        let client = self.session.client.id;
        match &end {
            End::Finished => tracing::debug!(client, "connection ends"),
            End::Killed => tracing::debug!(client, "connection was killed"),
            End::GivenUp => tracing::debug!(client, "client did not take its last replies"),
            End::Failed(error) => tracing::debug!(client, %error, "connection failed"),
        }
        self.session.subscriptions.clear();
        if let End::Finished = end {
            // Boxed, so that only a connection that closes has room for this.
            Box::pin(self.close()).await;
        }
    }

    fn poll(&mut self, waking: &mut Waking<'_>) -> Poll<End> {
        self.session.client.inbox().listen(waking.waker());
        for _ in 0..TURNS_MAX {
            if self.session.client.inbox().is_killed() {
                return Poll::Ready(End::Killed);
            }
            match self.turn(waking) {
                Err(end) => return Poll::Ready(end),
                Ok(true) => {}
                Ok(false) => {
                    self.output.rest();
                    self.publish_state();
                    return self.poll_given_up(waking);
                }
            }
        }
        waking.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what can be done now. Returns whether that was anything.
    fn turn(&mut self, waking: &mut Waking<'_>) -> Result<bool, End> {
        let mut progress = self
            .appends
            .poll(waking, &self.context, self.output.buffer());
        progress |= self.poll_changes(waking);
        progress |= self.poll_later(waking);
        progress |= self.execute(waking);
        progress |= self.show_commands(waking);
        progress |= self.push(waking);
        progress |= self.poll_write(waking)?;
        progress |= self.poll_read(waking)?;
        let gone = self.input.has_ended() || self.session.client.inbox().is_draining();
        if gone && self.later.as_ref().is_some_and(|later| later.is_blocked) {
            // Nobody waits for what it waits for.
            self.later = None;
            self.begin_close();
        }
        if self.session.client.inbox().is_draining()
            && self.waiting.as_ref().is_some_and(Waiting::is_held)
        {
            // The server does not wait for the end of a pause.
            self.waiting = None;
            self.pause_over = None;
        }
        if self.closing.is_none() && self.is_over() {
            self.begin_close();
        }
        if self.closing.is_some() && self.is_answered() {
            return Err(End::Finished);
        }
        Ok(progress)
    }

    /// Nothing more will be executed: the client is done, or the server is.
    fn is_over(&self) -> bool {
        let drained = self.session.client.inbox().is_draining() && self.waiting.is_none();
        drained || (self.input.is_over() && self.waiting.is_none() && self.is_idle())
    }

    fn is_answered(&self) -> bool {
        self.appends.is_empty() && self.is_idle() && self.output.unsent() == 0
    }

    /// Whether no command is at work, but for writes that were gathered.
    fn is_idle(&self) -> bool {
        self.later.is_none() && self.changes.is_empty()
    }

    fn begin_close(&mut self) {
        self.waiting = None;
        self.pause_over = None;
        self.closing = Some(Box::pin(sleep(Duration::from_millis(LINGER_MS))));
    }

    fn poll_given_up(&mut self, waking: &mut Waking<'_>) -> Poll<End> {
        match &mut self.closing {
            Some(closing) if self.output.unsent() > 0 => {
                closing.as_mut().poll(waking).map(|()| End::GivenUp)
            }
            _ => Poll::Pending,
        }
    }

    /// Sends a client that monitors the commands of all, between replies.
    fn show_commands(&mut self, waking: &mut Waking<'_>) -> bool {
        let Some(monitoring) = &self.session.monitoring else {
            return false;
        };
        let is_within_reply = self
            .later
            .as_ref()
            .is_some_and(|later| later.so_far.is_begun);
        monitoring.listen(waking.waker());
        if is_within_reply || self.output.unsent() >= PUSH_BYTES_AHEAD_MAX {
            return false;
        }
        let lines = monitoring.take();
        let any = !lines.is_empty();
        self.output.push_shared(lines);
        any
    }

    /// Makes pushes as far as the output and the replies that are due allow.
    fn push(&mut self, waking: &mut Waking<'_>) -> bool {
        if self.closing.is_some() {
            return false;
        }
        let before = self.output.unsent();
        let allowance = self.push_allowance(before);
        let version = self.session.version;
        let pushes = &mut self.session.subscriptions;
        let progress = pushes.poll_pushes(waking, version, &mut self.output, allowance);
        let events = pushes.take_pushed();
        if events > 0 {
            add(&self.context.metrics.pushed_events_total, events);
        }
        self.pushed_bytes += (self.output.unsent() - before) as u64;
        progress
    }

    fn push_allowance(&self, unsent: usize) -> usize {
        let room = PUSH_BYTES_AHEAD_MAX.saturating_sub(unsent);
        let mark = match &self.later {
            // Half of an array is written: nothing may come between.
            Some(later) if later.so_far.is_begun => return 0,
            Some(later) => Some(later.so_far.mark),
            None => self.changes.oldest_mark(),
        };
        let waiting = self.waiting.as_ref().map(|waiting| waiting.mark);
        let Some(mark) = self.appends.oldest_mark().or(mark).or(waiting) else {
            return room;
        };
        let passed = usize::try_from(self.pushed_bytes - mark).unwrap_or(usize::MAX);
        room.min(PUSH_BYTES_AHEAD_MAX.saturating_sub(passed))
    }

    /// Remembers with a command how many pushes were made when it came; those that are unsent
    /// count as if they came after it.
    fn mark(&self) -> u64 {
        self.pushed_bytes
            .saturating_sub(self.output.unsent() as u64)
    }

    fn poll_write(&mut self, waking: &mut Waking<'_>) -> io::Result<bool> {
        let mut progress = false;
        while self.output.unsent() > 0 {
            match self.socket.poll_write_ready(waking) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            match self.output.send(&self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    progress = true;
                    add(&self.context.metrics.output_bytes_total, sent as u64);
                    self.session.client.add_sent(sent as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if progress {
            let peak = self.output.take_peak();
            self.session.client.note_output_peak(peak);
        }
        if let (true, Some(closing)) = (progress, &mut self.closing) {
            closing
                .as_mut()
                .reset(Instant::now() + Duration::from_millis(LINGER_MS));
        }
        Ok(progress)
    }

    fn poll_read(&mut self, waking: &mut Waking<'_>) -> io::Result<bool> {
        if !self.reads() {
            return Ok(false);
        }
        match self.input.poll_read(waking, &mut self.socket) {
            Poll::Pending => Ok(false),
            Poll::Ready(read) => {
                let read = read?;
                add(&self.context.metrics.input_bytes_total, read as u64);
                self.session.client.add_received(read as u64);
                self.session.client.touch();
                if self.input.has_ended() {
                    self.session.subscriptions.clear();
                }
                Ok(true)
            }
        }
    }

    /// Whether more is taken from the client.
    fn reads(&self) -> bool {
        let full = self.output.unsent() >= OUTPUT_BYTES_MAX;
        !full && self.closing.is_none() && self.input.wants_more()
    }

    /// Lets others see how this client is doing.
    fn publish_state(&self) {
        let client = &self.session.client;
        let (shared_parts, shared) = self.output.shared();
        client.set_buffers(Buffers {
            input: self.input.undecoded_bytes(),
            input_room: self.input.room_bytes(),
            output: self.output.unsent() - shared,
            output_room: self.output.room(),
            shared,
            shared_parts,
            reads: self.reads(),
            writes: self.output.unsent() > 0,
        });
        client.set_subscriptions(self.session.subscriptions.count());
    }

    /// Closes the socket so that the last replies arrive: a socket that is closed with bytes not
    /// read sends a reset, which may overtake them.
    async fn close(mut self) {
        let mut unread = [0; 4096];
        let none_left = self.input.undecoded_bytes() == 0
            && !matches!(self.socket.try_read(&mut unread), Ok(count) if count > 0);
        if none_left || self.socket.shutdown().await.is_err() {
            return;
        }
        let drain = async {
            let mut left = UNREAD_BYTES_MAX;
            while left > 0 && self.socket.readable().await.is_ok() {
                match self.socket.try_read(&mut unread) {
                    Ok(0) => return,
                    Ok(count) => left = left.saturating_sub(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        // Whether it ran out of time or bytes, the client has had its chance.
        let _in_time = timeout(Duration::from_millis(UNREAD_WAIT_MS), drain).await;
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
