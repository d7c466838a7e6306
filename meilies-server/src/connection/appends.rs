//! The writes of one connection on their way through the engine.
//!
//! Consecutive writes gather into one request. Several requests may wait for their commits at the
//! same time, and are answered in order; so a client that streams has its next writes decoded
//! while the last ones sync.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use bytes::BytesMut;
use futures::future::BoxFuture;
use meilies_protocol::{Version, writer};

use crate::command::{self, refusal, store_error};
use crate::context::Context;
use crate::engine::{AppendRequest, Appending, Engine, Refusal, StoreError, Write, WriteOutcome};
use crate::limits::{
    APPEND_BYTES_IN_FLIGHT_MAX, APPEND_BYTES_MAX, APPEND_WRITES_MAX, APPENDS_IN_FLIGHT_MAX,
};
use crate::metrics::Metrics;

/// Writes that are not answered.
#[derive(Debug, Default)]
pub(super) struct Appends {
    gathered: Vec<Write>,
    group: Group,
    /// Requests before the one that is being handed over has its place.
    queue: VecDeque<(AppendRequest, Group)>,
    handover: Option<Handover>,
    flights: VecDeque<(Flight, Group)>,
    bytes_in_flight: usize,
}

/// What is kept of a request until it is answered.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    writes: usize,
    bytes: usize,
    /// All or none, and one reply for them together.
    atomic: bool,
    shape: Shape,
    /// Where the command is counted.
    place: usize,
    /// Its client wants no replies to these.
    muted: bool,
    /// See [`Appends::oldest_mark`].
    mark: u64,
}

/// What a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// The event's number.
    #[default]
    Number,
    /// The event's id; nil, in this version, where there is no stream and none was to be made.
    Id(Version),
}

struct Handover {
    place: BoxFuture<'static, Result<Appending, StoreError>>,
    group: Group,
}

#[derive(Debug)]
enum Flight {
    Waiting(Appending),
    Failed(StoreError),
}

impl Appends {
    /// Whether every write is answered.
    pub(super) fn is_empty(&self) -> bool {
        self.gathered.is_empty()
            && self.queue.is_empty()
            && self.handover.is_none()
            && self.flights.is_empty()
    }

    /// Whether another write may be gathered.
    pub(super) fn has_room(&self) -> bool {
        self.queue.is_empty()
            && self.handover.is_none()
            && self.flights.len() < APPENDS_IN_FLIGHT_MAX
            && self.bytes_in_flight < APPEND_BYTES_IN_FLIGHT_MAX
    }

    /// The mark given with the oldest write that is not answered.
    pub(super) fn oldest_mark(&self) -> Option<u64> {
        let flying = self.flights.front().map(|(_, group)| group);
        let handed = self.handover.as_ref().map(|handover| &handover.group);
        let queued = self.queue.front().map(|(_, group)| group);
        let gathered = (!self.gathered.is_empty()).then_some(&self.group);
        flying
            .or(handed)
            .or(queued)
            .or(gathered)
            .map(|group| group.mark)
    }

    /// Adds a write behind the others.
    pub(super) fn gather(
        &mut self,
        write: Write,
        shape: Shape,
        place: usize,
        muted: bool,
        mark: u64,
    ) {
        if self.group.muted != muted || self.group.shape != shape || self.group.place != place {
            self.close_group();
        }
        if self.gathered.is_empty() {
            self.group = Group {
                shape,
                place,
                muted,
                mark,
                ..Group::default()
            };
        }
        self.group.writes += 1;
        self.group.bytes += write.fields.bytes();
        self.gathered.push(write);
        if self.group.writes >= APPEND_WRITES_MAX || self.group.bytes >= APPEND_BYTES_MAX {
            self.close_group();
        }
    }

    /// Makes a request of what is gathered.
    pub(super) fn close_group(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        // The next group is likely to be as large as this one.
        let capacity = self.gathered.len();
        let writes = mem::replace(&mut self.gathered, Vec::with_capacity(capacity));
        self.enqueue(writes, self.group);
    }

    /// Adds writes behind the others that take effect together or not at all.
    pub(super) fn add_atomic(&mut self, writes: Vec<Write>, place: usize, muted: bool, mark: u64) {
        self.close_group();
        let group = Group {
            writes: writes.len(),
            bytes: writes.iter().map(|write| write.fields.bytes()).sum(),
            atomic: true,
            shape: Shape::Number,
            place,
            muted,
            mark,
        };
        self.enqueue(writes, group);
    }

    fn enqueue(&mut self, writes: Vec<Write>, group: Group) {
        self.bytes_in_flight += group.bytes;
        let atomic = group.atomic;
        self.queue
            .push_back((AppendRequest { writes, atomic }, group));
    }

    /// Hands requests over and writes the replies of those that are complete. Returns whether
    /// anything moved; if not, `waking` is woken when it does.
    pub(super) fn poll(
        &mut self,
        waking: &mut Waking<'_>,
        context: &Context,
        out: &mut BytesMut,
    ) -> bool {
        let handed = self.poll_handover(waking, &**context.event_log.engine());
        let answered = self.poll_flights(waking, &context.metrics, out);
        if self.is_empty() {
            // A connection that rests keeps no room for writes.
            self.gathered = Vec::new();
        }
        handed || answered
    }

    fn poll_handover(&mut self, waking: &mut Waking<'_>, engine: &dyn Engine) -> bool {
        let mut progress = false;
        loop {
            let mut handover = match self.handover.take() {
                Some(handover) => handover,
                None => match self.queue.pop_front() {
                    Some((request, group)) => {
                        let place = engine.append(request);
                        Handover { place, group }
                    }
                    None => return progress,
                },
            };
            let flight = match handover.place.as_mut().poll(waking) {
                Poll::Pending => {
                    self.handover = Some(handover);
                    return progress;
                }
                Poll::Ready(Ok(appending)) => Flight::Waiting(appending),
                Poll::Ready(Err(error)) => Flight::Failed(error),
            };
            self.flights.push_back((flight, handover.group));
            progress = true;
        }
    }

    fn poll_flights(
        &mut self,
        waking: &mut Waking<'_>,
        metrics: &Metrics,
        out: &mut BytesMut,
    ) -> bool {
        let mut progress = false;
        while let Some((flight, group)) = self.flights.front_mut() {
            let result = match flight {
                Flight::Failed(error) => Err(error.clone()),
                Flight::Waiting(appending) => match Pin::new(appending).poll(waking) {
                    Poll::Pending => break,
                    Poll::Ready(result) => result.unwrap_or(Err(StoreError::Closed)),
                },
            };
            let mut nowhere = BytesMut::new();
            let out = match group.muted {
                true => &mut nowhere,
                false => &mut *out,
            };
            write_replies(out, metrics, *group, result);
            self.bytes_in_flight -= group.bytes;
            self.flights.pop_front();
            progress = true;
        }
        progress
    }
}

fn write_replies(
    out: &mut BytesMut,
    metrics: &Metrics,
    group: Group,
    result: Result<Vec<WriteOutcome>, StoreError>,
) {
    let writes = group.writes;
    let outcomes = match result {
        Ok(outcomes) => outcomes,
        Err(error) => {
            tracing::debug!(%error, writes, "writes failed");
            let text = store_error(&error);
            let replies = if group.atomic { 1 } else { writes };
            for _ in 0..replies {
                metrics.count_error(text.as_bytes());
                writer::error(out, &text);
            }
            metrics.commands.row(group.place).add_failed(replies as u64);
            return;
        }
    };
    assert_eq!(outcomes.len(), writes, "the engine answers every write");
    let replies = match group.atomic {
        true => std::slice::from_ref(command::publish::together(&outcomes)),
        false => &outcomes,
    };
    let mut ids = writer::IdWriter::default();
    for outcome in replies {
        match outcome {
            WriteOutcome::Stored { number, id, .. } => match group.shape {
                Shape::Number => writer::number(out, *number),
                Shape::Id(_) => ids.bulk(out, *id),
            },
            WriteOutcome::Refused(refused) => {
                if let (Refusal::NoStream, Shape::Id(version)) = (refused, group.shape) {
                    writer::nil(out, version);
                    continue;
                }
                let text = refusal(refused);
                metrics.commands.row(group.place).add_failed(1);
                metrics.count_error(text.as_bytes());
                writer::error(out, &text);
            }
        }
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
