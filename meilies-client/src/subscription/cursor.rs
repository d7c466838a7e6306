//! Where each spec of a subscription stands: what makes it possible to go on behind the last event.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use meilies_protocol::{
    Event, EventId, EventNumber, From, GivenSpec, Incoming, Position, Push, Request, Source, Spec,
    StreamName, Value,
};

use super::Item;
use crate::{Error, StreamInfo};

/// The specs of a subscription, each with its state.
#[derive(Debug)]
pub(super) struct Cursors {
    /// The store's epoch when the connection stood last.
    pub(super) epoch: Option<u64>,
    all: Vec<Cursor>,
    /// Where the one of a source stands.
    by_source: HashMap<Bytes, usize>,
    /// The one that had the last event: most often it has the next one as well.
    recent: usize,
    /// Streams of which the server is to be asked which ones they are.
    unasked: Vec<StreamName>,
    /// Those of which it was asked over the connection that stands, in order.
    asked: VecDeque<StreamName>,
}

/// A spec and how far it has come.
#[derive(Debug)]
pub(super) struct Cursor {
    given: GivenSpec,
    /// The spec that the server was sent last.
    sent: Bytes,
    /// The number that comes next, once it is known: then the spec resumes there.
    next: Option<EventNumber>,
    /// The last event that was seen, or that there was when the subscription began.
    seen: Option<Seen>,
    binding: Binding,
    is_over: bool,
}

/// Which stream a cursor follows: names may come to stand for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    /// That is not known, for instance because there is no stream yet.
    Unknown,
    /// The name stood for this one, if for any, before the server was told to follow it.
    Before(Option<u64>),
    /// The server is being asked.
    Asked,
    /// This one. It stays so for ever.
    Known(u64),
}

/// An event by which the stream is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its number, or position, as the spec counts.
    pub(super) number: EventNumber,
    /// What it is, unless it could not be read.
    pub(super) mark: Option<Mark>,
}

/// What no other event has at the same number.
pub(super) type Mark = (EventNumber, Position, EventId);

/// The mark of an event.
pub(super) fn mark(event: &Event) -> Mark {
    (event.number, event.position, event.id)
}

impl Cursors {
    /// Each spec has a source of its own.
    pub(super) fn new(specs: Vec<GivenSpec>) -> Cursors {
        let cursors = specs.into_iter().map(|given| Cursor {
            sent: given.text.clone(),
            given,
            next: None,
            seen: None,
            binding: Binding::Unknown,
            is_over: false,
        });
        let all: Vec<Cursor> = cursors.collect();
        let source = |cursor: &Cursor| Bytes::copy_from_slice(cursor.source());
        let by_source = all.iter().map(source).zip(0..).collect();
        Cursors {
            epoch: None,
            all,
            by_source,
            recent: 0,
            unasked: Vec::new(),
            asked: VecDeque::new(),
        }
    }

    /// Whether nothing will come any more.
    pub(super) fn are_over(&self) -> bool {
        self.all.iter().all(|cursor| cursor.is_over)
    }

    /// Those that go on.
    pub(super) fn live(&mut self) -> impl Iterator<Item = &mut Cursor> {
        self.all.iter_mut().filter(|cursor| !cursor.is_over)
    }

    /// Sends the questions that came up with what was taken: which stream it is that an event is
    /// of. If they cannot be sent now, they come up again with the next events.
    pub(super) fn ask<E>(&mut self, send: impl FnOnce(&[u8]) -> Result<bool, E>) -> Result<(), E> {
        if self.unasked.is_empty() {
            return Ok(());
        }
        let mut output = BytesMut::new();
        for stream in &self.unasked {
            let stream = stream.clone();
            Request::StreamInfo { stream }.encode(&mut output);
        }
        let is_sent = send(&output)?;
        for stream in std::mem::take(&mut self.unasked) {
            if is_sent {
                self.asked.push_back(stream);
            } else if let Some(cursor) = self.find(stream.as_bytes()) {
                cursor.binding = Binding::Unknown;
            }
        }
        Ok(())
    }

    /// The connection is lost, and with it the answers.
    pub(super) fn forget_questions(&mut self) {
        self.unasked.clear();
        self.asked.clear();
        for cursor in &mut self.all {
            if !matches!(cursor.binding, Binding::Known(_)) {
                cursor.binding = Binding::Unknown;
            }
        }
    }

    fn take_answer(&mut self, reply: &Value) {
        let Some(stream) = self.asked.pop_front() else {
            return;
        };
        let info = StreamInfo::from_reply(stream.clone(), reply);
        let Some(cursor) = self.find(stream.as_bytes()) else {
            return;
        };
        // If it was replaced meanwhile, the server says next that the one before is deleted.
        cursor.binding = match info {
            Ok(Some(info)) => Binding::Known(info.stream_id),
            Ok(None) | Err(_) => Binding::Unknown,
        };
    }

    /// Takes what came, and says what of it the caller is to have.
    pub(super) fn take(&mut self, incoming: Incoming) -> Option<Result<Item, Error>> {
        match incoming {
            Incoming::Push(push) => self.take_push(push),
            Incoming::Value(reply @ (Value::Map(_) | Value::Nil | Value::Error(_)))
                if !self.asked.is_empty() =>
            {
                self.take_answer(&reply);
                None
            }
            // The reply to a ping, and what a later server may have to say.
            Incoming::Value(Value::Error(_) | Value::SimpleString(_) | Value::Push(_)) => None,
            Incoming::Value(value) => Some(Err(Error::from_reply(&value))),
        }
    }

    fn take_push(&mut self, push: Push) -> Option<Result<Item, Error>> {
        match push {
            Push::Event(event) => {
                let cursor = self.find(event.stream.as_bytes())?;
                let number = event.number;
                let is_new = cursor.pass(number, mark(&event));
                if is_new && cursor.binding == Binding::Unknown {
                    cursor.binding = Binding::Asked;
                    self.unasked.push(event.stream.detached());
                }
                is_new.then_some(Ok(Item::Event(event)))
            }
            Push::Pevent { source, event } => {
                let cursor = self.find(&source)?;
                let position = event.position;
                cursor
                    .pass(position, mark(&event))
                    .then_some(Ok(Item::Event(event)))
            }
            Push::CaughtUp { source, number } => {
                self.find(&source)?.catch_up(number);
                Some(Ok(Item::CaughtUp { source, number }))
            }
            Push::Ended { spec, next } => {
                // What was sent instead of the given spec, to resume it, is no news to the caller.
                let cursor = self.live().find(|cursor| cursor.sent == spec)?;
                cursor.is_over = true;
                let spec = cursor.given.text.clone();
                Some(Ok(Item::Ended { spec, next }))
            }
            Push::Deleted { stream, number } => {
                self.find(&stream)?.is_over = true;
                Some(Ok(Item::Deleted { stream, number }))
            }
            Push::Unreadable {
                source,
                next,
                reason,
            } => {
                self.find(&source)?.is_over = true;
                Some(Err(Error::Unreadable {
                    source_name: source,
                    next,
                    reason: String::from_utf8_lossy(&reason).into_owned(),
                }))
            }
            Push::Subscribed { .. } | Push::Unsubscribed { .. } | Push::Message { .. } => None,
        }
    }

    /// The one that follows this source, unless it is over.
    pub(super) fn find(&mut self, source: &[u8]) -> Option<&mut Cursor> {
        let is_it = |cursor: &Cursor| !cursor.is_over && cursor.source() == source;
        if !self.all.get(self.recent).is_some_and(is_it) {
            self.recent = *self.by_source.get(source)?;
        }
        let found = self.all.get_mut(self.recent)?;
        (!found.is_over).then_some(found)
    }
}

impl Cursor {
    /// What it follows.
    pub(super) fn source(&self) -> &[u8] {
        self.given.spec.source.as_bytes()
    }

    /// The last event that was seen.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.seen
    }

    /// The spec of that event alone.
    pub(super) fn spec_of(&self, seen: Seen) -> Spec {
        Spec {
            source: self.given.spec.source.clone(),
            from: Some(From::Number(seen.number)),
            until: seen.number.checked_add(1),
        }
    }

    /// Whether the number where it begins is not known: then the server's answer decides it.
    pub(super) fn is_new_only(&self) -> bool {
        self.next.is_none() && !matches!(self.given.spec.from, Some(From::Number(_)))
    }

    /// The spec that is to be sent: as it was given, or so that it goes on.
    pub(super) fn send(&mut self) -> GivenSpec {
        let mut spec = self.given.spec.clone();
        if let Some(next) = self.next {
            spec.from = Some(From::Number(next));
            let mut text = BytesMut::new();
            spec.write(&mut text);
            self.sent = text.freeze();
        }
        let text = self.sent.clone();
        GivenSpec { text, spec }
    }

    /// What is to be said if everything came, but not that it has ended.
    pub(super) fn end_if_done(&mut self) -> Option<Item> {
        let (next, until) = (self.next?, self.given.spec.until?);
        if next < until {
            return None;
        }
        self.is_over = true;
        let spec = self.given.text.clone();
        Some(Item::Ended { spec, next })
    }

    /// Remembers what the last event is that there was when the subscription began.
    pub(super) fn know(&mut self, number: EventNumber, mark: Mark) {
        if let Some(seen) = self.seen.as_mut().filter(|seen| seen.number == number) {
            seen.mark.get_or_insert(mark);
        }
    }

    /// The store is another one: it cannot go on.
    pub(super) fn diverge(&mut self, reason: &str) -> Error {
        self.is_over = true;
        Error::Diverged {
            source_name: Bytes::copy_from_slice(self.source()),
            number: self.seen.map(|seen| seen.number),
            reason: reason.to_owned(),
        }
    }

    /// The stream that it follows, unless it follows all.
    pub(super) fn stream(&self) -> Option<&StreamName> {
        match &self.given.spec.source {
            Source::All => None,
            Source::Stream(name) => Some(name),
        }
    }

    /// For a cursor of all streams: compares what was seen with what the server has now, the last
    /// position and the mark of the event that was seen last, if it can be read. Says what is
    /// wrong.
    pub(super) fn compare_all(
        &mut self,
        last: Option<Position>,
        there: Option<Mark>,
    ) -> Option<Result<Item, Error>> {
        let is_other = self.is_short(last) || self.differs(there);
        let reason = "the event that was seen there is not there any more";
        is_other.then(|| Err(self.diverge(reason)))
    }

    /// Compares the stream that was followed with the one that the name stands for now, before the
    /// server is told to follow it. Says what is wrong. An older copy of a store may know the same
    /// stream with other events, so these are compared, too.
    pub(super) fn compare(
        &mut self,
        info: Option<&StreamInfo>,
        there: Option<Mark>,
    ) -> Option<Result<Item, Error>> {
        let last = info.and_then(|info| info.last_event_number);
        let id = info.map(|info| info.stream_id);
        if self.is_other(id) || self.is_short(last) || self.differs(there) {
            return Some(self.end_as_other(id));
        }
        if !matches!(self.binding, Binding::Known(_)) {
            self.binding = Binding::Before(id);
        }
        None
    }

    /// Compares again, after the server has begun to follow the stream: if the name stands for the
    /// same one as before, it is the one that is followed.
    pub(super) fn confirm(&mut self, id: Option<u64>) -> Option<Result<Item, Error>> {
        if self.is_other(id) {
            return Some(self.end_as_other(id));
        }
        if let Binding::Before(before) = self.binding {
            self.binding = match id {
                Some(id) if before == Some(id) => Binding::Known(id),
                _ => Binding::Unknown,
            };
        }
        None
    }

    fn is_other(&self, id: Option<u64>) -> bool {
        matches!(self.binding, Binding::Known(known) if id != Some(known))
    }

    fn is_short(&self, last: Option<EventNumber>) -> bool {
        self.seen
            .is_some_and(|seen| last.is_none_or(|last| last < seen.number))
    }

    fn differs(&self, there: Option<Mark>) -> bool {
        let mark = self.seen.and_then(|seen| seen.mark);
        matches!((mark, there), (Some(seen), Some(there)) if seen != there)
    }

    /// The stream is gone, or another one has its name.
    fn end_as_other(&mut self, id: Option<u64>) -> Result<Item, Error> {
        self.is_over = true;
        let source_name = Bytes::copy_from_slice(self.source());
        let number = self.seen.map(|seen| seen.number);
        match id {
            // As the server says it.
            None => Ok(Item::Deleted {
                stream: source_name,
                number: number.unwrap_or_else(|| self.next.unwrap_or(0).saturating_sub(1)),
            }),
            Some(_) => Err(Error::Replaced {
                source_name,
                number,
            }),
        }
    }

    /// An event came: says whether it is a new one.
    fn pass(&mut self, number: EventNumber, mark: Mark) -> bool {
        if self.next.is_some_and(|next| number < next) {
            return false;
        }
        self.next = number.checked_add(1);
        self.seen = Some(Seen {
            number,
            mark: Some(mark),
        });
        true
    }

    /// Everything up to this number was sent or is not wanted.
    fn catch_up(&mut self, number: Option<EventNumber>) {
        let next = number.map_or(0, |number| number.saturating_add(1));
        let from = match self.given.spec.from {
            Some(From::Number(from)) => from,
            Some(From::New) | None => 0,
        };
        self.next = Some(next.max(from).max(self.next.unwrap_or(0)));
        if self.seen.is_none() {
            self.seen = number.map(|number| Seen { number, mark: None });
        }
    }
}
