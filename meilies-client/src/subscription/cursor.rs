//! Where each spec of a subscription stands: what makes it possible to go on behind the last event.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{
    Event, EventId, EventNumber, From, GivenSpec, Incoming, Position, Push, Source, Spec, Value,
};

use super::Item;
use crate::Error;

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
    is_over: bool,
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

    /// Takes what came, and says what of it the caller is to have.
    pub(super) fn take(&mut self, incoming: Incoming) -> Option<Result<Item, Error>> {
        match incoming {
            Incoming::Push(push) => self.take_push(push),
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
                cursor
                    .pass(number, mark(&event))
                    .then_some(Ok(Item::Event(event)))
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

    /// Compares what was seen with what the server has now: the number of the last event, and the
    /// mark of the one that was seen last, if it can be read. Says what is wrong.
    pub(super) fn compare(
        &mut self,
        seen: Seen,
        last: Option<EventNumber>,
        there: Option<Mark>,
    ) -> Option<Result<Item, Error>> {
        let differs = matches!((seen.mark, there), (Some(seen), Some(there)) if seen != there);
        let is_short = last.is_none_or(|last| last < seen.number);
        if !differs && !is_short {
            return None;
        }
        if self.given.spec.source == Source::All {
            let reason = "the event that was seen there is not there any more";
            return Some(Err(self.diverge(reason)));
        }
        self.is_over = true;
        let source_name = Bytes::copy_from_slice(self.source());
        let number = seen.number;
        Some(match last {
            None => Ok(Item::Deleted {
                stream: source_name,
                number,
            }),
            Some(_) => Err(Error::Replaced {
                source_name,
                number,
            }),
        })
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
