//! What a client has sent and is not decoded: a buffer that is there only while it holds bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use meilies_protocol::limits::COMMIT_BYTES_MAX;
use meilies_protocol::{Arguments, CommandScanner, ProtocolError, ScanLimits};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::limits::{READ_BYTES_MAX, READ_BYTES_MIN};

/// Bytes and the scanner that goes through them.
#[derive(Debug)]
pub(super) struct Input {
    buffer: BytesMut,
    scanner: CommandScanner,
    /// The command that was found last.
    pub(super) arguments: Arguments,
    /// How much the next read may bring.
    room: usize,
    /// Nothing more can be decoded until more is read.
    exhausted: bool,
    /// The client sends no more.
    ended: bool,
}

impl Input {
    pub(super) fn new(authenticated: bool) -> Self {
        Input {
            buffer: BytesMut::new(),
            scanner: CommandScanner::new(limits(authenticated)),
            arguments: Arguments::new(),
            room: READ_BYTES_MIN,
            exhausted: true,
            ended: false,
        }
    }

    pub(super) fn set_authenticated(&mut self, authenticated: bool) {
        self.scanner.set_limits(limits(authenticated));
    }

    /// Whether all that came is decoded and the client sends no more.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.exhausted
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether a read is wanted: all is decoded, or there is room to read ahead, which also shows
    /// that a client is gone.
    pub(super) fn wants_more(&self) -> bool {
        !self.ended && (self.exhausted || self.buffer.len() < READ_BYTES_MAX)
    }

    pub(super) fn undecoded_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// For how many bytes more there is room without a new buffer.
    pub(super) fn room_bytes(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Finds the next command. `false`: more has to be read first.
    pub(super) fn next_command(&mut self) -> Result<bool, ProtocolError> {
        if self.exhausted {
            return Ok(false);
        }
        let found = self.scanner.next(&mut self.buffer, &mut self.arguments)?;
        if !found {
            self.exhausted = true;
            // The frame shares the buffer: letting go of it lets the buffer be used again.
            self.arguments.clear();
        }
        Ok(found)
    }

    /// Reads once. The buffer grows no faster than bytes come in.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut TcpStream,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.buffer.is_empty() {
                // An idle client holds no buffer.
                if socket.poll_read_ready(context).is_pending() {
                    self.buffer = BytesMut::new();
                    return Poll::Pending;
                }
            } else {
                ready!(socket.poll_read_ready(context))?;
            }
            let grown = self.scanner.needed().min(self.buffer.len());
            self.buffer.reserve(grown.max(self.room));
            // Unlike `try_read` this knows that a read which was not filled took all there was, and
            // spares the call that would only say so.
            match poll_read_buf(Pin::new(&mut *socket), context, &mut self.buffer) {
                Poll::Ready(Ok(count)) => {
                    self.exhausted = false;
                    self.ended = count == 0;
                    self.adapt(count);
                    return Poll::Ready(Ok(count));
                }
                // Not ready after all: the next turn of the loop lets go of an empty buffer.
                Poll::Pending => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// A client that fills its reads gets more room, one that does not gets less.
    fn adapt(&mut self, count: usize) {
        if self.buffer.len() == self.buffer.capacity() || count >= self.room {
            self.room = (self.room * 2).min(READ_BYTES_MAX);
        } else if count < self.room / 4 {
            self.room = (self.room / 2).max(READ_BYTES_MIN);
        }
    }
}

/// Bulk strings may be larger than an event, so that one too large gets an answer that says so.
fn limits(authenticated: bool) -> ScanLimits {
    if authenticated {
        ScanLimits::Full {
            bulk_bytes_max: COMMIT_BYTES_MAX,
        }
    } else {
        ScanLimits::Unauthenticated
    }
}
