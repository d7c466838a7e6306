//! Publishes in the order of the lines, with many events on their way at a time.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use meilies_client::{Append, Client, Error, ErrorKind, EventId, Expect};

use super::line::Line;
use crate::content::Content;
use crate::failure::Failure;
use crate::limits::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_EVENTS_MAX, RUN_BYTES_MAX, RUN_EVENTS_MAX};
use crate::output::events;
use crate::output::people::escaped;

/// Events on their way, in runs of one stream each. A run is stored whole or not at all.
pub(crate) struct Publisher {
    client: Client,
    run: Option<Run>,
    in_flight: VecDeque<BoxFuture<'static, Answer>>,
    events_in_flight: usize,
    bytes_in_flight: usize,
    stored: u64,
    failed: Option<Failed>,
}

/// Events of one stream that follow each other.
struct Run {
    stream: Bytes,
    /// What the first of them expects.
    expect: Expect,
    /// What the next one would expect to follow the last.
    next: Expect,
    events: Events,
    lines: Vec<u64>,
    bytes: usize,
}

/// The events of a run.
enum Events {
    /// Each with a name and data, and the id that it keeps.
    Ones(Vec<(Option<EventId>, Bytes, Bytes)>),
    /// One of several fields: these are appended one by one.
    Fields(Option<EventId>, Vec<(Bytes, Bytes)>),
}

/// What became of a run.
struct Answer {
    run: Settled,
    outcome: Result<(), Error>,
}

/// What is kept of a run that was sent.
struct Settled {
    stream: Bytes,
    expect: Expect,
    lines: Vec<u64>,
    bytes: usize,
}

/// The first run that was not stored.
struct Failed {
    place: String,
    error: Error,
    /// How many events were stored of the lines before it.
    stored_before: u64,
}

impl Publisher {
    /// Publishes with this client.
    pub(crate) fn new(client: Client) -> Publisher {
        Publisher {
            client,
            run: None,
            in_flight: VecDeque::new(),
            events_in_flight: 0,
            bytes_in_flight: 0,
            stored: 0,
            failed: None,
        }
    }

    /// What it publishes with.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// How many events are known to be stored.
    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }

    /// Whether an event was not stored: nothing more is sent then.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether something is on its way.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Publishes a line behind those before it. Waits while too much is on its way.
    pub(crate) async fn add(
        &mut self,
        number: u64,
        line: Line,
        expect: Expect,
        id: Option<EventId>,
    ) {
        let fits = self
            .run
            .as_ref()
            .is_some_and(|run| run.takes(&line, expect));
        if !fits {
            self.send();
            while self.is_full() {
                self.answered().await;
            }
        }
        let run = self.run.get_or_insert_with(|| Run::new(&line, expect));
        run.add(number, line, expect, id);
    }

    /// Sends what has been collected.
    pub(crate) fn send(&mut self) {
        let Some(run) = self.run.take() else {
            return;
        };
        if self.has_failed() {
            return;
        }
        self.events_in_flight += run.lines.len();
        self.bytes_in_flight += run.bytes;
        let client = self.client.clone();
        let (events, run) = run.settle();
        let call = async move {
            let (stream, expect) = (&run.stream, run.expect);
            let outcome = match events {
                Events::Ones(events) => {
                    let stored = client.publish_many_with_ids(stream, events, expect).await;
                    stored.map(|_numbers| ())
                }
                Events::Fields(id, fields) => {
                    let stored = client.append(stream, fields, Append { expect, id }).await;
                    stored.map(|_id| ())
                }
            };
            Answer { run, outcome }
        };
        let mut call = call.boxed();
        // A call is sent when it is first polled. Its answer is waited for when its turn comes.
        match (&mut call).now_or_never() {
            Some(answer) => self.in_flight.push_back(std::future::ready(answer).boxed()),
            None => self.in_flight.push_back(call),
        }
    }

    fn is_full(&self) -> bool {
        self.events_in_flight >= IN_FLIGHT_EVENTS_MAX || self.bytes_in_flight >= IN_FLIGHT_BYTES_MAX
    }

    /// Waits for the answer to the oldest run, if there is one. May be dropped: nothing is lost.
    pub(crate) async fn answered(&mut self) {
        if let Some(oldest) = self.in_flight.front_mut() {
            let answer = oldest.await;
            self.in_flight.pop_front();
            self.take(answer);
        }
    }

    fn take(&mut self, answer: Answer) {
        let Answer { run, outcome } = answer;
        self.events_in_flight -= run.lines.len();
        self.bytes_in_flight -= run.bytes;
        match outcome {
            Ok(()) => self.stored += run.lines.len() as u64,
            Err(error) if self.failed.is_none() => {
                self.failed = Some(Failed {
                    place: run.place(&error),
                    error,
                    stored_before: self.stored,
                });
            }
            Err(_) => {}
        }
    }

    /// Says which line was not stored, and how many were.
    pub(crate) fn take_failure(&mut self) -> Option<Failure> {
        let failed = self.failed.take()?;
        let mut done = format!("{} imported", events(failed.stored_before));
        let behind = self.stored - failed.stored_before;
        if behind > 0 {
            done = format!("{done} before it, and {behind} behind it");
        }
        let failure = Failure::At {
            place: failed.place,
            failure: Box::new(failed.error.into()),
        };
        Some(Failure::After {
            failure: Box::new(failure),
            done,
        })
    }
}

impl Settled {
    /// The lines that an error is about. What is expected is expected of the first.
    fn place(&self, error: &Error) -> String {
        let stream = escaped(&self.stream);
        let number = match self.expect {
            Expect::None => ", number 0".to_owned(),
            Expect::Number(last) => format!(", number {}", last + 1),
            Expect::Any | Expect::Exists => String::new(),
        };
        match (self.lines.as_slice(), error.kind()) {
            ([first], _) | ([first, ..], ErrorKind::Conflict) => {
                format!("line {first}, stream '{stream}'{number}")
            }
            ([first, .., last], _) => format!("lines {first} to {last}, stream '{stream}'"),
            ([], _) => format!("stream '{stream}'"),
        }
    }
}

impl Run {
    fn new(line: &Line, expect: Expect) -> Run {
        Run {
            stream: line.stream.clone(),
            expect,
            next: expect,
            events: Events::Ones(Vec::new()),
            lines: Vec::new(),
            bytes: 0,
        }
    }

    fn takes(&self, line: &Line, expect: Expect) -> bool {
        let bytes = self.bytes + size(line);
        matches!(self.events, Events::Ones(_))
            && matches!(line.content, Content::One(..))
            && self.stream == line.stream
            && self.next == expect
            && self.lines.len() < RUN_EVENTS_MAX
            && bytes <= RUN_BYTES_MAX
    }

    fn add(&mut self, number: u64, line: Line, expect: Expect, id: Option<EventId>) {
        self.bytes += size(&line);
        self.next = match expect {
            Expect::None => Expect::Number(0),
            Expect::Number(last) => Expect::Number(last + 1),
            other => other,
        };
        self.lines.push(number);
        match (line.content, &mut self.events) {
            (Content::One(name, data), Events::Ones(events)) => events.push((id, name, data)),
            (Content::One(name, data), events) => *events = Events::Ones(vec![(id, name, data)]),
            (Content::Fields(fields), events) => *events = Events::Fields(id, fields),
        }
    }

    fn settle(self) -> (Events, Settled) {
        let settled = Settled {
            stream: self.stream,
            expect: self.expect,
            lines: self.lines,
            bytes: self.bytes,
        };
        (self.events, settled)
    }
}

/// About what the event takes in memory and on the wire.
fn size(line: &Line) -> usize {
    const FRAME_BYTES: usize = 128;
    line.stream.len() + line.content.bytes() + FRAME_BYTES
}
