//! What was sent and has no reply yet, in order, and what is still to be sent.
//!
//! Callers encode their requests straight into [`Pipe::enqueue`]'s buffer, under a lock that is
//! held for that alone; the driver takes the bytes and matches the replies. Replies come in the
//! order of the requests, so a queue is all that is needed.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use meilies_protocol::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::Error;
use crate::limits::BUFFER_KEPT_BYTES_MAX;

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With what the server says.
    Replied(Value),
    /// It was not executed, and will not be.
    NotSent(Error),
    /// It was sent, and the connection was lost before the reply came.
    MaybeSent(Error),
}

/// Who waits for a reply: nobody if it was asked only whether the server is there.
pub(crate) type Waiting = Option<oneshot::Sender<Outcome>>;

/// A request that has no reply.
#[derive(Debug)]
struct Slot {
    /// Where its bytes lie among all that were enqueued.
    bytes: Range<u64>,
    queued_at: Instant,
    /// What it takes of the bound for what is in flight.
    cost: usize,
    /// Its bytes, if it may be sent again after it was sent.
    again: Option<Bytes>,
    waiting: Waiting,
}

impl Slot {
    /// Whether it cannot have been executed when `sent` bytes were written: a command that was not
    /// written whole cannot.
    fn is_unexecuted(&self, sent: u64) -> bool {
        self.bytes.end > sent
    }

    /// Ends the waiting. Who does not wait any more does not care.
    fn end(self, outcome: impl FnOnce(Error) -> Outcome, error: &Error) {
        if let Some(sender) = self.waiting {
            let _nobody_waits = sender.send(outcome(error.clone()));
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// What the driver has not taken.
    out: BytesMut,
    /// Where the first byte of `out` lies among all that were enqueued.
    out_begin: u64,
    /// Bytes that were ever enqueued.
    end: u64,
    slots: VecDeque<Slot>,
    state: State,
}

/// Whether requests are taken.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// They are.
    Open,
    /// No more: what is there is finished.
    Closing,
    /// All is over.
    Over(Error),
}

/// Replies that have found who waits for them. They are sent after the lock is given back.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    replies: Vec<(oneshot::Sender<Outcome>, Value)>,
    /// What is free again of the bound for what is in flight.
    pub(crate) cost: usize,
}

impl Answered {
    /// Wakes who waits.
    pub(crate) fn send(&mut self) {
        for (sender, value) in self.replies.drain(..) {
            let _nobody_waits = sender.send(Outcome::Replied(value));
        }
    }
}

/// Bytes on their way to the socket: whole requests.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: BytesMut,
    /// Where its first byte lies among all that were enqueued.
    begin: u64,
    /// How many are written.
    pub(crate) written: usize,
}

impl Chunk {
    /// What is still to be written.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// How many of the bytes that were ever enqueued are written.
    pub(crate) fn sent(&self) -> u64 {
        self.begin + self.written as u64
    }
}

impl Default for Pipe {
    fn default() -> Pipe {
        Pipe {
            out: BytesMut::new(),
            out_begin: 0,
            end: 0,
            slots: VecDeque::new(),
            state: State::Open,
        }
    }
}

impl Pipe {
    /// Takes a request: `encode` appends its bytes. Returns whether the driver must be woken.
    pub(crate) fn enqueue(
        &mut self,
        cost: usize,
        again: Option<Bytes>,
        waiting: Waiting,
        encode: impl FnOnce(&mut BytesMut),
    ) -> bool {
        let before = self.out.len();
        encode(&mut self.out);
        let begin = self.end;
        self.end += (self.out.len() - before) as u64;
        self.slots.push_back(Slot {
            bytes: begin..self.end,
            queued_at: Instant::now(),
            cost,
            again,
            waiting,
        });
        before == 0
    }

    /// Whether requests are taken.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Takes no more requests.
    pub(crate) fn close(&mut self) {
        if let State::Open = self.state {
            self.state = State::Closing;
        }
    }

    /// Whether every request has its reply.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.is_empty()
    }

    /// When the request that waits longest was made.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.slots.front().map(|slot| slot.queued_at)
    }

    /// Moves what is to be sent into a chunk that was written. Says whether there is anything.
    pub(crate) fn take(&mut self, chunk: &mut Chunk) -> bool {
        chunk.begin = self.out_begin;
        self.out_begin = self.end;
        chunk.written = 0;
        chunk.bytes.clear();
        if chunk.bytes.capacity() > BUFFER_KEPT_BYTES_MAX {
            chunk.bytes = BytesMut::new();
        }
        std::mem::swap(&mut self.out, &mut chunk.bytes);
        !chunk.bytes.is_empty()
    }

    /// Gives replies to those who wait longest. Returns the first that nobody has asked for.
    pub(crate) fn answer(
        &mut self,
        replies: &mut Vec<Value>,
        answered: &mut Answered,
    ) -> Option<Value> {
        for value in replies.drain(..) {
            let Some(slot) = self.slots.pop_front() else {
                return Some(value);
            };
            answered.cost += slot.cost;
            answered
                .replies
                .extend(slot.waiting.map(|sender| (sender, value)));
        }
        None
    }

    /// The connection is lost: ends the requests that may have been executed, unless they may be
    /// sent again, and makes the others ready to be sent over the next connection. Returns what is
    /// free again of the bound for what is in flight.
    pub(crate) fn lose(&mut self, chunk: &mut Chunk, error: &Error) -> usize {
        // A chunk that was never filled does not know where it is.
        let kept_begin = match chunk.bytes.is_empty() {
            true => self.out_begin,
            false => chunk.begin,
        };
        let sent = kept_begin + chunk.written as u64;
        // Everything that was not written, and the beginning of a request that was in part.
        let mut kept = std::mem::take(&mut chunk.bytes);
        kept.unsplit(std::mem::take(&mut self.out));
        *chunk = Chunk::default();
        (self.out_begin, self.end) = (0, 0);
        let mut cost = 0;
        for slot in std::mem::take(&mut self.slots) {
            let bytes = if slot.is_unexecuted(sent) {
                let at = |offset: u64| usize::try_from(offset - kept_begin).unwrap_or(usize::MAX);
                Some(&kept[at(slot.bytes.start)..at(slot.bytes.end)])
            } else {
                slot.again.as_deref()
            };
            let Some(bytes) = bytes else {
                cost += slot.cost;
                slot.end(Outcome::MaybeSent, error);
                continue;
            };
            self.out.extend_from_slice(bytes);
            let begin = self.end;
            self.end += bytes.len() as u64;
            let bytes = begin..self.end;
            self.slots.push_back(Slot { bytes, ..slot });
        }
        cost
    }

    /// Without a connection: ends the requests that were made at this moment or before. Returns
    /// what is free again of the bound for what is in flight.
    pub(crate) fn expire(&mut self, made: Instant, error: &Error) -> usize {
        let mut cost = 0;
        while self.oldest().is_some_and(|oldest| oldest <= made) {
            let Some(slot) = self.slots.pop_front() else {
                break;
            };
            let bytes = usize::try_from(slot.bytes.end - slot.bytes.start).unwrap_or(usize::MAX);
            self.out.advance(bytes);
            self.out_begin = slot.bytes.end;
            cost += slot.cost;
            slot.end(Outcome::NotSent, error);
        }
        cost
    }

    /// Ends everything, for ever: what was sent may have been executed.
    pub(crate) fn end(&mut self, sent: u64, error: &Error) {
        self.state = State::Over(error.clone());
        self.out = BytesMut::new();
        for slot in std::mem::take(&mut self.slots) {
            match slot.is_unexecuted(sent) {
                true => slot.end(Outcome::NotSent, error),
                false => slot.end(Outcome::MaybeSent, error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
