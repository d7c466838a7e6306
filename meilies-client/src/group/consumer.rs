//! A consumer of a group that waits for events over a connection of its own.
//!
//! There is no task behind it: whoever polls it reads. What is read and not given is bounded, and
//! pending: when the connection is lost nothing is.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use meilies_protocol::{EventId, GroupFrom, Incoming, PendingFilter, Request, Value};
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use super::delivery::{self, Delivery, Reading};
use super::info::PendingEntry;
use super::{Group, milliseconds};
use crate::Error;
use crate::builder::Options;
use crate::connection::{Connection, lost};
use crate::lifecycle::{Change, ConnectionKind};
use crate::limits::{CLAIM_WAIT_MIN, CONSUMER_EVENTS_DEFAULT, CONSUMER_EVENTS_MAX};
use crate::reconnect::{Attempts, is_final};

/// Makes a [`Consumer`]: see [`Group::consumer`].
#[derive(Clone, Debug)]
#[must_use = "nothing is connected before `connect` is called"]
pub struct ConsumerBuilder {
    group: Group,
    name: Bytes,
    prefetch: u64,
    claim_ms: Option<u64>,
}

impl ConsumerBuilder {
    pub(super) fn new(group: Group, name: Bytes) -> ConsumerBuilder {
        ConsumerBuilder {
            group,
            name,
            prefetch: CONSUMER_EVENTS_DEFAULT,
            claim_ms: None,
        }
    }

    /// How many events it reads before they are asked for: 100 by default, 1 to 10,000. They are
    /// pending for it from then on. About so many bytes of them as
    /// [`Builder::prefetch_bytes`](crate::Builder::prefetch_bytes) says are the bound, too.
    pub fn prefetch(mut self, events: u64) -> ConsumerBuilder {
        self.prefetch = events.clamp(1, CONSUMER_EVENTS_MAX);
        self
    }

    /// Whether it takes over what has been pending for so long, of whatever consumer, before it
    /// reads what is new: so the events of workers that died are dealt with. It must be longer than
    /// any worker takes for what it has read, or events come twice. At least 1 ms; by default
    /// nothing is taken over.
    pub fn claim_idle(mut self, min_idle: Duration) -> ConsumerBuilder {
        self.claim_ms = Some(milliseconds(min_idle).max(1));
        self
    }

    /// Connects. It counts as one of the client's subscriptions, of which there is a
    /// [bound](crate::Builder::subscriptions_max).
    pub async fn connect(self) -> Result<Consumer, Error> {
        let ConsumerBuilder {
            group,
            name,
            prefetch,
            claim_ms,
        } = self;
        let place = group.client.place()?;
        let options = Arc::clone(group.client.options());
        let mut worker = Worker {
            attempts: Attempts::new(options.reconnect),
            options,
            group: group.clone(),
            name: name.clone(),
            prefetch,
            claim_ms,
            connection: None,
            from: GroupFrom::History(EventId::MIN),
            last: None,
        };
        worker.connect_first().await?;
        Ok(Consumer {
            group,
            name,
            read: VecDeque::new(),
            state: State::Idle(Box::new(worker)),
            place: Some(place),
        })
    }
}

/// The events that a group gives to one of its consumers: a
/// [`futures::Stream`](futures_core::Stream) that first gives what is pending for a consumer of
/// this name, as after a crash, and then what is new, for ever.
///
/// Each event is to be acknowledged, [`Group::ack`], when it is dealt with; see there what becomes
/// of those that are not. At most one process at a time should use a name: two of them get what is
/// pending for each other.
///
/// When the connection is lost it is made again, as [`Builder::reconnect`] says. What the server
/// had sent by then, and did not arrive, is pending: it is read from there before what is new, so
/// nothing is lost, and what was given already does not come again. One thing waits longer: what
/// was just being taken over from another consumer ([`ConsumerBuilder::claim_idle`]) when the
/// connection was lost is taken over again once it has been idle for as long.
///
/// After an error it ends: the server refused, for instance because the group is gone. Events that
/// are deleted while they are pending are acknowledged and not given.
///
/// Nothing is done unless it is polled; dropping it closes its connection. No event is lost when
/// `next()` is dropped before it is done, as `tokio::select!` does; when the consumer is dropped,
/// what it has read and not given stays pending.
///
/// [`Builder::reconnect`]: crate::Builder::reconnect
///
/// ```no_run
/// use std::time::Duration;
///
/// use futures::StreamExt;
///
/// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
/// let mut alice = group
///     .consumer("alice")
///     .claim_idle(Duration::from_secs(60))
///     .connect()
///     .await?;
/// while let Some(delivery) = alice.next().await {
///     let delivery = delivery?;
///     println!("{} {:?} {:?}", delivery.id, delivery.kind, delivery.fields);
///     alice.ack([delivery.id]).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is read before it is polled"]
pub struct Consumer {
    group: Group,
    name: Bytes,
    read: VecDeque<Delivery>,
    state: State,
    /// Given back when it is over.
    place: Option<OwnedSemaphorePermit>,
}

type Fetch = dyn Future<Output = (Box<Worker>, Result<Vec<Delivery>, Error>)> + Send;

enum State {
    Idle(Box<Worker>),
    Reading(Pin<Box<Fetch>>),
    Over,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("group", &self.group)
            .field("name", &self.name)
            .field("read", &self.read.len())
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// What it is called.
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// Its group. A clone of it can acknowledge while this is polled.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// As [`Group::ack`].
    pub fn ack(
        &self,
        ids: impl IntoIterator<Item = EventId>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        self.group.ack(ids)
    }

    /// Waits up to so long for an event, and returns it with those that were read together with
    /// it, up to so many; none if none came, or if it has ended. May be dropped: nothing is lost.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use meilies_client::{Consumer, Error};
    ///
    /// # async fn example(alice: &mut Consumer) -> Result<(), Error> {
    /// let batch = alice.read(50, Duration::from_secs(5)).await?;
    /// alice.ack(batch.iter().map(|delivery| delivery.id)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read(&mut self, count: usize, block: Duration) -> Result<Vec<Delivery>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let next = poll_fn(|waking| Pin::new(&mut *self).poll_next(waking));
        let Ok(Some(first)) = timeout(block, next).await else {
            return Ok(Vec::new());
        };
        let mut deliveries = vec![first?];
        let more = self.read.len().min(count - 1);
        deliveries.extend(self.read.drain(..more));
        Ok(deliveries)
    }
}

impl Stream for Consumer {
    type Item = Result<Delivery, Error>;

    fn poll_next(self: Pin<&mut Self>, waking: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(delivery) = this.read.pop_front() {
                return Poll::Ready(Some(Ok(delivery)));
            }
            this.state = match std::mem::replace(&mut this.state, State::Over) {
                State::Over => {
                    this.place = None;
                    return Poll::Ready(None);
                }
                State::Idle(worker) => State::Reading(Box::pin(worker.fetch())),
                State::Reading(mut reading) => match reading.as_mut().poll(waking) {
                    Poll::Pending => {
                        this.state = State::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready((worker, Ok(deliveries))) => {
                        this.read.extend(deliveries);
                        State::Idle(worker)
                    }
                    Poll::Ready((_, Err(error))) => return Poll::Ready(Some(Err(error))),
                },
            };
        }
    }
}

/// What reads.
#[derive(Debug)]
struct Worker {
    options: Arc<Options>,
    group: Group,
    name: Bytes,
    prefetch: u64,
    claim_ms: Option<u64>,
    /// Nothing after it was lost.
    connection: Option<Connection>,
    /// Those since the server answered last.
    attempts: Attempts,
    /// What is read next.
    from: GroupFrom,
    /// The greatest id that came. What a group gives as new is behind all that it has ever given.
    /// Invariant: what is pending for this consumer behind it was sent and did not arrive.
    last: Option<EventId>,
}

impl Worker {
    /// Connects for the first time: waits for the server as a command would.
    async fn connect_first(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let error = match self.connect().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if is_final(&error) || begun.elapsed() >= self.options.request_timeout {
                return Err(error);
            }
            self.wait(error).await?;
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        self.connection = Some(Connection::open(&self.options).await?);
        self.tell(Change::Connected);
        Ok(())
    }

    /// Waits before the next attempt. Gives the error back if there shall be no other one.
    async fn wait(&mut self, error: Error) -> Result<(), Error> {
        let listener = &self.options.listener;
        match self.attempts.next(ConnectionKind::Consumer, listener) {
            Some(delay) => sleep(delay).await,
            None => return Err(error),
        }
        Ok(())
    }

    fn tell(&self, change: Change) {
        let listener = &self.options.listener;
        listener.tell(ConnectionKind::Consumer, change);
    }

    /// Reads until there is something to be given, whatever happens to the connection.
    async fn fetch(mut self: Box<Self>) -> (Box<Self>, Result<Vec<Delivery>, Error>) {
        loop {
            match self.read().await {
                Ok(deliveries) if deliveries.is_empty() => {}
                Ok(deliveries) => return (self, Ok(deliveries)),
                Err(error) if is_final(&error) => return (self, Err(error)),
                Err(error) => {
                    if self.connection.take().is_some() {
                        let reason = error.to_string();
                        self.tell(Change::Lost { reason });
                    }
                    if let Some(last) = self.last {
                        self.from = GroupFrom::History(last);
                    }
                    if let Err(error) = self.wait(error).await {
                        return (self, Err(error));
                    }
                }
            }
        }
    }

    /// Reads once, and says where to go on.
    async fn read(&mut self) -> Result<Vec<Delivery>, Error> {
        if self.connection.is_none() {
            self.connect().await?;
        }
        let (from, block_ms) = (self.from, self.block_ms());
        let mut request = self.group.reading(self.name.clone(), from, self.prefetch);
        request.max_size = Some(self.options.prefetch_bytes as u64);
        if from == GroupFrom::New {
            request.block_ms = Some(block_ms);
            request.claim_ms = self.claim_ms;
        }
        let request = Request::XReadGroup(Box::new(request));
        let reply = self.ask(&request, Duration::from_millis(block_ms)).await?;
        let reading = delivery::read(reply, from)?;
        self.attempts = Attempts::new(self.options.reconnect);
        match from {
            GroupFrom::New => {
                self.last = reading
                    .deliveries
                    .iter()
                    .map(|it| it.id)
                    .chain(self.last)
                    .max();
                Ok(reading.deliveries)
            }
            GroupFrom::History(_) => self.take_history(reading).await,
        }
    }

    /// Goes on behind what is pending; when that is all, with what is new.
    async fn take_history(&mut self, reading: Reading) -> Result<Vec<Delivery>, Error> {
        let Some(last) = reading.last else {
            self.from = GroupFrom::New;
            // From here on what is pending was given; only what will be lost is behind this.
            self.last.get_or_insert(EventId::MIN);
            return Ok(Vec::new());
        };
        if !reading.deleted.is_empty() {
            let request = self.group.acknowledging(reading.deleted);
            self.ask(&request, Duration::ZERO).await?;
        }
        let mut deliveries = reading.deliveries;
        if let Some(first) = deliveries.first() {
            let request = self.pending(first.id, last, deliveries.len() as u64);
            let reply = self.ask(&request, Duration::ZERO).await?;
            let entries = PendingEntry::all(&reply)?;
            let counts: HashMap<EventId, u64> = entries
                .iter()
                .map(|entry| (entry.id, entry.deliveries))
                .collect();
            for delivery in &mut deliveries {
                delivery.deliveries = counts.get(&delivery.id).copied();
            }
        }
        self.from = GroupFrom::History(last);
        self.last = Some(last).max(self.last);
        Ok(deliveries)
    }

    fn pending(&self, from: EventId, to: EventId, count: u64) -> Request {
        let (key, group) = self.group.key();
        let filter = PendingFilter {
            idle_ms: 0,
            from,
            to,
            count,
            consumer: Some(self.name.clone()),
        };
        let filter = Some(Box::new(filter));
        Request::XPending { key, group, filter }
    }

    /// For how long the server waits for an event: no longer than it may be silent, nor than until
    /// it is time to look for what others have left.
    fn block_ms(&self) -> u64 {
        let claim = self.claim_ms.map(Duration::from_millis);
        let wait = claim.map_or(Duration::MAX, |claim| claim.max(CLAIM_WAIT_MIN));
        milliseconds(wait.min(self.options.ping_interval)).max(1)
    }

    /// Asks over the connection. An answer that the server may hold back comes later.
    async fn ask(&mut self, request: &Request, held_back: Duration) -> Result<Value, Error> {
        let Some(connection) = &mut self.connection else {
            return Err(Error::ClientClosed);
        };
        let options = &self.options;
        let mut output = BytesMut::new();
        request.encode(&mut output);
        let answer = async {
            let written = connection.socket.write_all(&output).await;
            written.map_err(|error| lost(options, error))?;
            loop {
                match connection.next(options).await? {
                    Incoming::Push(_) | Incoming::Value(Value::Push(_)) => {}
                    Incoming::Value(error @ Value::Error(_)) => {
                        return Err(Error::from_reply(&error));
                    }
                    Incoming::Value(value) => return Ok(value),
                }
            }
        };
        let limit = options.request_timeout.saturating_add(held_back);
        match timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Error::RequestTimeout {
                address: options.address.clone(),
                limit,
            }),
        }
    }
}
