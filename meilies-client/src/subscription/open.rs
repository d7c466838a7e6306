//! How a subscription gets its connection, for the first time and again.
//!
//! Specs that name only what is new are sent first, and their caught-up pushes waited for: these
//! say where each one goes on if the connection is lost before its first event. Before a spec goes
//! on, the server is asked, over the same connection, which stream the name stands for and for the
//! last event that was seen: if one is another one now, numbers do not mean what they did.
//!
//! SUBSCRIBE follows the stream that the name stands for at that moment. So the server is asked
//! before and after it: only if both times it is the same stream, it is that one which is followed.
//! What is pushed between SUBSCRIBE and the last answer is held and given only then. That is
//! little: SUBSCRIBE confirms all its specs at once, and so few questions are sent together that
//! the server answers them before it goes on pushing.

use std::collections::VecDeque;
use std::slice;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{Event, EventNumber, Incoming, Push, Request, Source, StreamName, Value};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use super::Item;
use super::cursor::{Cursors, Mark, mark};
use super::link::Link;
use crate::builder::Options;
use crate::connection::{Connection, closed, lost};
use crate::lifecycle::{Change, ConnectionKind};
use crate::limits::QUESTIONS_AT_ONCE;
use crate::reconnect::{Attempts, is_final};
use crate::{Error, StreamInfo};

/// A connection over which every spec is confirmed.
pub(super) struct Opened {
    pub(super) link: Link,
    pub(super) cursors: Cursors,
    /// What came before the last confirmation.
    pub(super) held: VecDeque<Result<Item, Error>>,
}

/// Subscribes for the first time: waits for the server as a command would.
pub(super) async fn first(options: Arc<Options>, cursors: Cursors) -> Result<Opened, Error> {
    let begun = Instant::now();
    let mut opening = Opening::new(options, cursors);
    let mut attempts = Attempts::new(opening.options.reconnect);
    loop {
        let error = match opening.attempt().await {
            Ok(link) => return Ok(opening.done(link)),
            Err(error) => error,
        };
        if is_final(&error) || begun.elapsed() >= opening.options.request_timeout {
            return Err(error);
        }
        let listener = &opening.options.listener;
        match attempts.next(ConnectionKind::Subscription, listener) {
            Some(delay) => sleep(delay).await,
            None => return Err(error),
        }
    }
}

/// Subscribes again after the connection was lost.
pub(super) async fn again(
    options: Arc<Options>,
    cursors: Cursors,
    mut error: Error,
) -> Result<Opened, Error> {
    let mut opening = Opening::new(options, cursors);
    let mut attempts = Attempts::new(opening.options.reconnect);
    loop {
        let listener = &opening.options.listener;
        match attempts.next(ConnectionKind::Subscription, listener) {
            Some(delay) => sleep(delay).await,
            None => return Err(error),
        }
        match opening.attempt().await {
            Ok(link) => return Ok(opening.done(link)),
            Err(new) if is_final(&new) => return Err(new),
            Err(new) => error = new,
        }
    }
}

/// What stays from one attempt to the next.
struct Opening {
    options: Arc<Options>,
    cursors: Cursors,
    held: VecDeque<Result<Item, Error>>,
    /// What was pushed before it was known whether the streams are the right ones.
    early: Option<Vec<Incoming>>,
}

impl Opening {
    fn new(options: Arc<Options>, cursors: Cursors) -> Opening {
        Opening {
            options,
            cursors,
            held: VecDeque::new(),
            early: None,
        }
    }

    fn done(self, link: Link) -> Opened {
        let listener = &self.options.listener;
        listener.tell(ConnectionKind::Subscription, Change::Connected);
        Opened {
            link,
            cursors: self.cursors,
            held: self.held,
        }
    }

    async fn attempt(&mut self) -> Result<Link, Error> {
        let mut connection = Connection::open(&self.options).await?;
        self.early = None;
        self.cursors.forget_questions();
        self.compare_epochs(connection.epoch);
        for cursor in self.cursors.live() {
            if let Some(item) = cursor.end_if_done() {
                self.held.push_back(Ok(item));
            }
        }
        let resumed = self.sources(|is_new_only| !is_new_only);
        let new_only = self.sources(|is_new_only| is_new_only);
        for portion in portions(&new_only, &resumed) {
            self.compare(&mut connection, portion).await?;
        }
        self.subscribe_new_only(&mut connection, &new_only).await?;
        self.subscribe_resumed(&mut connection, &resumed).await?;
        for portion in portions(&new_only, &resumed) {
            self.confirm(&mut connection, portion).await?;
        }
        for incoming in self.early.take().unwrap_or_default() {
            self.held.extend(self.cursors.take(incoming));
        }
        Ok(Link::new(connection, &self.options))
    }

    fn sources(&mut self, wanted: impl Fn(bool) -> bool) -> Vec<Bytes> {
        let live = self.cursors.live();
        live.filter(|cursor| wanted(cursor.is_new_only()))
            .map(|cursor| Bytes::copy_from_slice(cursor.source()))
            .collect()
    }

    /// In a new epoch the store may have lost events that were seen.
    fn compare_epochs(&mut self, epoch: Option<u64>) {
        let before = std::mem::replace(&mut self.cursors.epoch, epoch);
        let (Some(before), Some(epoch)) = (before, epoch) else {
            return;
        };
        if before == epoch {
            return;
        }
        let reason = format!("the store was in epoch {before} and is in epoch {epoch}");
        for cursor in self.cursors.live() {
            if cursor.seen().is_some() {
                self.held.push_back(Err(cursor.diverge(&reason)));
            }
        }
    }

    async fn subscribe_new_only(
        &mut self,
        connection: &mut Connection,
        sources: &[Bytes],
    ) -> Result<(), Error> {
        let mut unconfirmed = self.send_specs(connection, sources).await?;
        let mut waiting = sources.iter();
        while unconfirmed > 0 || self.is_any_new_only(&mut waiting) {
            if let Some(value) = self.take_next(connection, &mut unconfirmed).await? {
                return Err(Error::from_reply(&value));
            }
        }
        Ok(())
    }

    /// Whether the server's answer is still to come for one of these. Those that need not be looked
    /// at again are taken out.
    fn is_any_new_only(&mut self, waiting: &mut slice::Iter<'_, Bytes>) -> bool {
        while let Some(source) = waiting.as_slice().first() {
            let cursor = self.cursors.find(source);
            if cursor.is_some_and(|cursor| cursor.is_new_only()) {
                return true;
            }
            waiting.next();
        }
        false
    }

    /// Sends the specs that begin at a number. What is pushed from here on waits until it is known
    /// that the streams are the right ones.
    async fn subscribe_resumed(
        &mut self,
        connection: &mut Connection,
        sources: &[Bytes],
    ) -> Result<(), Error> {
        self.early = Some(Vec::new());
        let mut unconfirmed = self.send_specs(connection, sources).await?;
        while unconfirmed > 0 {
            if let Some(value) = self.take_next(connection, &mut unconfirmed).await? {
                return Err(Error::from_reply(&value));
            }
        }
        Ok(())
    }

    /// Ends those of the specs whose numbers do not mean what they did.
    async fn compare(
        &mut self,
        connection: &mut Connection,
        sources: &[Bytes],
    ) -> Result<(), Error> {
        let mut output = BytesMut::new();
        let mut asked = Vec::new();
        for source in sources {
            let Some(cursor) = self.cursors.find(source) else {
                continue;
            };
            let (stream, seen) = (cursor.stream().cloned(), cursor.seen());
            match &stream {
                Some(stream) => stream_info(stream).encode(&mut output),
                // Nothing is known of all streams before something was seen.
                None if seen.is_none() => continue,
                None => last_position()?.encode(&mut output),
            }
            if let Some(seen) = seen {
                read_event(cursor.spec_of(seen)).encode(&mut output);
            }
            asked.push((source, stream, seen.is_some()));
        }
        self.write(connection, &output).await?;
        for (source, stream, has_seen) in asked {
            let reply = self.reply(connection).await?;
            let there = match has_seen {
                true => found(self.reply(connection).await?)?,
                false => None,
            };
            let Some(cursor) = self.cursors.find(source) else {
                continue;
            };
            let verdict = match stream {
                Some(name) => cursor.compare(StreamInfo::from_reply(name, &reply)?.as_ref(), there),
                None => cursor.compare_all(number(&reply)?, there),
            };
            self.held.extend(verdict);
        }
        Ok(())
    }

    /// Asks once more which streams these are, now that they are followed, and for the events
    /// behind which those resume that give only what is new, to know them again.
    async fn confirm(
        &mut self,
        connection: &mut Connection,
        sources: &[Bytes],
    ) -> Result<(), Error> {
        let mut output = BytesMut::new();
        let mut asked = Vec::new();
        for source in sources {
            let Some(cursor) = self.cursors.find(source) else {
                continue;
            };
            let stream = cursor.stream().cloned();
            if let Some(stream) = &stream {
                stream_info(stream).encode(&mut output);
            }
            let unknown = cursor.seen().filter(|seen| seen.mark.is_none());
            if let Some(seen) = unknown {
                read_event(cursor.spec_of(seen)).encode(&mut output);
            }
            asked.push((source, stream, unknown));
        }
        self.write(connection, &output).await?;
        for (source, stream, unknown) in asked {
            if let Some(name) = stream {
                let info = StreamInfo::from_reply(name, &self.reply(connection).await?)?;
                let id = info.map(|info| info.stream_id);
                let cursor = self.cursors.find(source);
                let verdict = cursor.and_then(|cursor| cursor.confirm(id));
                self.held.extend(verdict);
            }
            if let Some(seen) = unknown {
                let reply = self.reply(connection).await?;
                if let (Some(mark), Some(cursor)) = (found(reply)?, self.cursors.find(source)) {
                    cursor.know(seen.number, mark);
                }
            }
        }
        Ok(())
    }

    /// Sends those of the specs that go on. Returns how many they are.
    async fn send_specs(
        &mut self,
        connection: &mut Connection,
        sources: &[Bytes],
    ) -> Result<usize, Error> {
        let mut specs = Vec::new();
        for source in sources {
            if let Some(cursor) = self.cursors.find(source) {
                specs.push(cursor.send());
            }
        }
        let count = specs.len();
        if count > 0 {
            let mut output = BytesMut::new();
            Request::Subscribe { specs }.encode(&mut output);
            self.write(connection, &output).await?;
        }
        Ok(count)
    }

    async fn write(&self, connection: &mut Connection, output: &[u8]) -> Result<(), Error> {
        // A server that has something to push reads on all the same.
        let written = self.in_time(connection.socket.write_all(output)).await?;
        written.map_err(|error| lost(&self.options, error))
    }

    /// Waits for a reply; what is pushed before it is held.
    async fn reply(&mut self, connection: &mut Connection) -> Result<Value, Error> {
        loop {
            if let Some(value) = self.take_next(connection, &mut 0).await? {
                return Ok(value);
            }
        }
    }

    /// Waits for what comes next, counts confirmations, holds pushes and returns replies.
    async fn take_next(
        &mut self,
        connection: &mut Connection,
        unconfirmed: &mut usize,
    ) -> Result<Option<Value>, Error> {
        match self.next(connection).await? {
            Incoming::Push(Push::Subscribed { .. }) => {
                *unconfirmed = unconfirmed.saturating_sub(1);
                Ok(None)
            }
            Incoming::Value(value) if !matches!(value, Value::Push(_)) => Ok(Some(value)),
            push => {
                match &mut self.early {
                    Some(early) => early.push(push),
                    None => self.held.extend(self.cursors.take(push)),
                }
                Ok(None)
            }
        }
    }

    /// Waits for what comes next, as long as bytes come.
    async fn next(&self, connection: &mut Connection) -> Result<Incoming, Error> {
        loop {
            let Connection { socket, input, .. } = &mut *connection;
            if let Some(incoming) = input.next()? {
                return Ok(incoming);
            }
            let read = self.in_time(input.read(socket, self.options.prefetch_bytes));
            if read.await?.map_err(|error| lost(&self.options, error))? == 0 {
                return Err(closed(&self.options));
            }
        }
    }

    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        let limit = self.options.request_timeout;
        let outcome = timeout(limit, future).await;
        outcome.map_err(|_elapsed| Error::RequestTimeout {
            address: self.options.address.clone(),
            limit,
        })
    }
}

/// As many of both as may be asked about at once.
fn portions<'a>(first: &'a [Bytes], second: &'a [Bytes]) -> impl Iterator<Item = &'a [Bytes]> {
    let portions = first.chunks(QUESTIONS_AT_ONCE);
    portions.chain(second.chunks(QUESTIONS_AT_ONCE))
}

fn stream_info(stream: &StreamName) -> Request {
    let stream = stream.clone();
    Request::StreamInfo { stream }
}

fn last_position() -> Result<Request, Error> {
    let stream = StreamName::parse(Bytes::from_static(Source::All.as_bytes()))?;
    Ok(Request::LastEventNumber { stream })
}

fn read_event(spec: meilies_protocol::Spec) -> Request {
    Request::ReadEvents {
        spec,
        count: Some(1),
        bytes: None,
        reverse: false,
    }
}

/// The reply to LAST-EVENT-NUMBER.
fn number(value: &Value) -> Result<Option<EventNumber>, Error> {
    match value.as_u64() {
        None if value.is_nil() => Ok(None),
        None => Err(Error::from_reply(value)),
        number => Ok(number),
    }
}

/// The reply to [`read_event`]: nothing if the event is deleted, or cannot be read.
fn found(value: Value) -> Result<Option<Mark>, Error> {
    match value {
        Value::Error(_) => Ok(None),
        Value::Array(mut events) => match events.pop().map(Event::from_value) {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(mark(&event))),
            Some(Err(other)) => Err(Error::from_reply(&other)),
        },
        other => Err(Error::from_reply(&other)),
    }
}
