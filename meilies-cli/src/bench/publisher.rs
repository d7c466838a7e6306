//! Publishing as a plan says, and measuring it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::iter;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, Stream};
use meilies_client::{Client, Error, Expect};

use super::crew::{Measured, Member};
use super::data;
use super::latency::Latencies;
use super::plan::{Call, Lane, Next};
use super::timer::Timer;
use crate::failure::Failure;

/// One connection that publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) client: Client,
    /// The names of the streams, to which the plan refers.
    pub(crate) streams: Vec<String>,
    /// The data of every event.
    pub(crate) data: Vec<u8>,
    /// Whether the data begins with the time from which the latency is counted.
    pub(crate) with_stamps: bool,
}

/// What was published.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Events that the server has said are stored.
    pub(crate) events: u64,
    /// Of calls, up to their replies.
    pub(crate) latencies: Latencies,
    /// At a fixed rate, how much later than they were due the calls were made.
    pub(crate) late: Latencies,
    /// When the last reply came, since the start.
    pub(crate) end: Duration,
    /// Calls whose replies nobody waited for, because the run was stopped.
    pub(crate) unanswered: u64,
    /// How long the first of these had waited.
    pub(crate) unanswered_for: Option<Duration>,
    /// The number that the last reply gave.
    pub(crate) last_number: Option<u64>,
}

impl Published {
    /// Nothing yet.
    pub(crate) fn new() -> Published {
        Published {
            events: 0,
            latencies: Latencies::new(),
            late: Latencies::new(),
            end: Duration::ZERO,
            unanswered: 0,
            unanswered_for: None,
            last_number: None,
        }
    }

    /// Adds what another has published.
    pub(crate) fn add(&mut self, other: &Published) {
        self.events += other.events;
        self.latencies.add(&other.latencies);
        self.late.add(&other.late);
        self.end = self.end.max(other.end);
        self.unanswered += other.unanswered;
        self.unanswered_for = self.unanswered_for.max(other.unanswered_for);
        self.last_number = self.last_number.max(other.last_number);
    }
}

/// A call that is over, and the last number that it was given.
type Reply = (Call, Result<Option<u64>, Error>);

impl Publisher {
    /// Publishes until the plan is done or the run is stopped.
    pub(crate) async fn run(
        &self,
        member: &mut Member,
        begin: Instant,
        lane: Lane,
    ) -> Measured<Published> {
        let mut work = Work {
            lane,
            begin,
            made: VecDeque::new(),
            published: Published::new(),
        };
        let outcome = self.work(&mut work, member).await;
        (work.finish(), outcome)
    }

    async fn work(&self, work: &mut Work, member: &mut Member) -> Result<(), Failure> {
        let mut timer = Timer::new().map_err(Failure::Runtime)?;
        let mut replies = FuturesUnordered::new();
        loop {
            let wait = loop {
                match work.next() {
                    Next::Call(call) => replies.push(self.publish(call)),
                    Next::Wait(until) => break Some(work.begin + until),
                    Next::Finished if replies.is_empty() => return Ok(()),
                    Next::Full | Next::Finished => break None,
                }
            };
            tokio::select! {
                biased;
                Some(reply) = replies.next() => work.take(reply, &mut replies, member)?,
                due = timer.until(wait.unwrap_or(work.begin)), if wait.is_some() => {
                    due.map_err(Failure::Runtime)?;
                }
                () = member.stopped() => return Ok(()),
            }
        }
    }

    async fn publish(&self, call: Call) -> Reply {
        let stream = &self.streams[call.stream];
        let mut data = Cow::Borrowed(self.data.as_slice());
        if self.with_stamps {
            data::stamp(data.to_mut(), call.from);
        }
        if call.events == 1 {
            let number = self.client.publish(stream, data::NAME, data, Expect::Any);
            return (call, number.await.map(Some));
        }
        let events = usize::try_from(call.events).expect("a call has few events");
        let events = iter::repeat_n((data::NAME, &*data), events);
        let numbers = self.client.publish_many(stream, events, Expect::Any).await;
        (call, numbers.map(|numbers| numbers.last().copied()))
    }
}

/// What a publisher is at.
struct Work {
    lane: Lane,
    begin: Instant,
    /// From when the latencies of the calls are counted that wait for their replies. These come in
    /// the order of the calls, as there is one connection.
    made: VecDeque<Duration>,
    published: Published,
}

impl Work {
    fn next(&mut self) -> Next {
        let now = self.begin.elapsed();
        let next = self.lane.next(now);
        if let Next::Call(call) = next {
            self.made.push_back(call.from);
            self.published.late.record(now.saturating_sub(call.from));
        }
        next
    }

    /// Takes a reply and those that came with it.
    fn take(
        &mut self,
        reply: Reply,
        replies: &mut (impl Stream<Item = Reply> + Unpin),
        member: &Member,
    ) -> Result<(), Failure> {
        let mut reply = Some(reply);
        while let Some((call, outcome)) = reply {
            self.made.pop_front();
            self.lane.replied();
            self.count(call, outcome, member)?;
            reply = replies.next().now_or_never().flatten();
        }
        Ok(())
    }

    fn count(
        &mut self,
        call: Call,
        outcome: Result<Option<u64>, Error>,
        member: &Member,
    ) -> Result<(), Failure> {
        let now = self.begin.elapsed();
        self.published.end = now;
        match outcome {
            Ok(number) => {
                self.published.events += call.events;
                self.published
                    .latencies
                    .record(now.saturating_sub(call.from));
                self.published.last_number = self.published.last_number.max(number);
                member.count(call.events);
                Ok(())
            }
            Err(error) => Err(Failure::Client(error)),
        }
    }

    fn finish(mut self) -> Published {
        let now = self.begin.elapsed();
        self.published.unanswered = self.made.len() as u64;
        self.published.unanswered_for = self.made.front().map(|from| now.saturating_sub(*from));
        self.published
    }
}
