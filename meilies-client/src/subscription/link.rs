//! The connection of a subscription while it stands.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use meilies_protocol::{Incoming, ReplyError, Request};
use tokio::time::{Instant, Sleep, sleep_until};

use super::cursor::Cursors;
use crate::Error;
use crate::builder::Options;
use crate::connection::{Connection, closed, lost};

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    /// What is wrong with the connection, until it is told.
    failed: Option<Failure>,
    heard_at: Instant,
    /// When the server was asked whether it is there, and has not said anything since.
    asked_at: Option<Instant>,
    /// Wakes when it is time to ask, or to give up.
    alarm: Pin<Box<Sleep>>,
}

/// See [`Link::failed`].
#[derive(Debug)]
enum Failure {
    Reply(ReplyError),
    Write(io::Error),
}

impl Link {
    pub(super) fn new(connection: Connection, options: &Options) -> Link {
        let now = Instant::now();
        Link {
            connection,
            failed: None,
            heard_at: now,
            asked_at: None,
            alarm: Box::pin(sleep_until(now + options.ping_interval)),
        }
    }

    /// What has been read already. An error is left for who waits.
    pub(super) fn buffered(&mut self) -> Option<Incoming> {
        if self.failed.is_some() {
            return None;
        }
        match self.connection.input.next() {
            Ok(incoming) => incoming,
            Err(error) => {
                self.failed = Some(Failure::Reply(error));
                None
            }
        }
    }

    pub(super) fn poll_next(
        &mut self,
        waking: &mut Context<'_>,
        options: &Options,
    ) -> Poll<Result<Incoming, Error>> {
        match self.failed.take() {
            None => {}
            Some(Failure::Reply(error)) => return Poll::Ready(Err(error.into())),
            Some(Failure::Write(error)) => return Poll::Ready(Err(lost(options, error))),
        }
        let Connection { socket, input, .. } = &mut self.connection;
        loop {
            match input.next() {
                Ok(Some(incoming)) => return Poll::Ready(Ok(incoming)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            match input.poll_read(waking, socket, options.prefetch_bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(closed(options))),
                Poll::Ready(Ok(_)) => {
                    self.heard_at = Instant::now();
                    if self.asked_at.take().is_some() {
                        let due = self.heard_at + options.ping_interval;
                        self.alarm.as_mut().reset(due);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(options, error))),
                Poll::Pending => break,
            }
        }
        self.poll_silence(waking, options).map(Err)
    }

    /// Nothing has come: asks the server whether it is there, or gives up.
    fn poll_silence(&mut self, waking: &mut Context<'_>, options: &Options) -> Poll<Error> {
        while self.alarm.as_mut().poll(waking).is_ready() {
            let now = Instant::now();
            let due = match self.asked_at {
                Some(asked) => asked + options.request_timeout,
                None => self.heard_at + options.ping_interval,
            };
            if due > now {
                self.alarm.as_mut().reset(due);
            } else if self.asked_at.is_some() {
                return Poll::Ready(Error::RequestTimeout {
                    address: options.address.clone(),
                    limit: options.request_timeout,
                });
            } else {
                if let Err(error) = self.ping() {
                    return Poll::Ready(lost(options, error));
                }
                self.asked_at = Some(now);
                self.alarm.as_mut().reset(now + options.request_timeout);
            }
        }
        Poll::Pending
    }

    /// Sends the questions that came up. A failure is left for who waits.
    pub(super) fn ask(&mut self, cursors: &mut Cursors) {
        if let Err(error) = cursors.ask(|questions| self.send(questions)) {
            self.failed = Some(Failure::Write(error));
        }
    }

    fn ping(&mut self) -> io::Result<()> {
        let mut ping = BytesMut::new();
        Request::Ping { message: None }.encode(&mut ping);
        // If the server takes nothing, it will not answer either, and is given up in time.
        self.send(&ping).map(|_is_sent| ())
    }

    /// Sends all of it, or nothing if there is no room now. Says which.
    fn send(&mut self, output: &[u8]) -> io::Result<bool> {
        match self.connection.socket.try_write(output) {
            Ok(written) if written == output.len() => Ok(true),
            // Half of a command would make the next one unreadable.
            Ok(_) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
