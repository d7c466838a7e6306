//! `meilies-cli bench fan-out`.

use std::time::{Duration, Instant};

use clap::Args;
use futures::{FutureExt, StreamExt};
use meilies_client::{Builder, Client, Event, Item, Subscription};
use serde::Serialize;
use tokio::sync::watch;

use super::crew::{self, Job, Measured, Member};
use super::latency::{Latencies, Summary};
use super::load::{Connections, Load, Prefix};
use super::plan::Lane;
use super::publisher::{Published, Publisher};
use super::report::{self, Table, Throughput, count};
use super::{data, ending};
use crate::arguments::Server;
use crate::failure::Failure;
use crate::output::Output;

const AFTER_HELP: &str = "\
What is measured: one more connection publishes to a stream that all of --connections follow live. \
The data of an event begins with the time at which it was due, or flat out with that at which it \
was published, and each subscriber counts the latency from then until it has the event in hand. So \
publishing is a part of it. That each subscriber gets each event once and in order is checked.

Flat out subscribers fall behind, and the latencies are mostly those of the queue: use --rate to \
see how fast an event arrives. Latencies are exact to a thousandth. A percentile is said only if \
at least 10 values lie beyond it.

The events stay in the server. Measure with one that you can throw away, and from another machine \
if it is not to share its cores with this program.

Examples:
  meilies-cli bench fan-out --rate 1000
  meilies-cli bench fan-out --rate 1000 --connections 100 --seconds 30 --json";

/// The arguments of `bench fan-out`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct FanOut {
    #[command(flatten)]
    load: Load,

    #[command(flatten)]
    connections: Connections,

    #[command(flatten)]
    prefix: Prefix,
}

/// What is told of a run.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    complete: bool,
    connections: u64,
    pipeline: u64,
    batch: u64,
    size: u64,
    stream: String,
    rate: Option<u64>,
    published: Throughput,
    received: Throughput,
    latency_us: Summary,
    late_us: Option<Summary>,
}

/// What a member has measured.
enum Part {
    Published(Published),
    Received(Received),
}

/// What a subscriber has got.
#[derive(Clone, Debug)]
struct Received {
    events: u64,
    latencies: Latencies,
    /// When the last event came, since the start.
    end: Duration,
}

impl Received {
    fn new() -> Received {
        Received {
            events: 0,
            latencies: Latencies::new(),
            end: Duration::ZERO,
        }
    }

    fn add(&mut self, other: &Received) {
        self.events += other.events;
        self.latencies.add(&other.latencies);
        self.end = self.end.max(other.end);
    }
}

pub(crate) async fn run(
    server: &Server,
    arguments: &FanOut,
    output: &Output,
) -> Result<(), Failure> {
    let FanOut {
        load,
        connections,
        prefix,
    } = arguments;
    if load.size < data::STAMP_BYTES as u64 {
        let text = format!(
            "--size must be {} at least: the time is in it",
            data::STAMP_BYTES
        );
        return Err(Failure::Usage(text));
    }
    let subscribers = connections.connections;
    let stream = data::stream_names(&prefix.text(), 1).concat();
    let total = load
        .events()
        .map(|events| events.saturating_mul(subscribers));
    let jobs = jobs(server, load, subscribers, &stream)?;
    let results = crew::run(jobs, connections.threads, total).await?;
    let (mut published, mut received) = (Published::new(), Received::new());
    for part in &results.parts {
        match part {
            Part::Published(part) => published.add(part),
            Part::Received(part) => received.add(part),
        }
    }
    let throughput =
        |events: u64, time| Throughput::new(events, events.saturating_mul(load.size), time);
    let report = Report {
        bench: "fan-out",
        complete: results.is_complete(),
        connections: subscribers,
        pipeline: load.pipeline(),
        batch: load.batch(),
        size: load.size,
        stream,
        rate: load.rate,
        published: throughput(published.events, published.end),
        received: throughput(received.events, received.end),
        latency_us: received.latencies.summary(),
        late_us: load.rate.map(|_| published.late.summary()),
    };
    report::print(output, &report, |table| write(table, &report)).await?;
    ending(results)
}

fn jobs(
    server: &Server,
    load: &Load,
    subscribers: u64,
    stream: &str,
) -> Result<Vec<Job<Part>>, Failure> {
    let size = usize::try_from(load.size).map_err(|error| Failure::Usage(error.to_string()))?;
    let builder = server.builder()?;
    // The publisher says with which number it has ended.
    let (end, end_receiver) = watch::channel(End::Open);
    let lane = Lane::new(&load.plan(1, 1), 0);
    let place = (builder.clone(), stream.to_owned());
    let mut jobs: Vec<Job<Part>> = vec![Box::new(move |mut member| {
        let (builder, stream) = place;
        Box::pin(async move {
            let (published, outcome) = publish(&builder, stream, size, lane, &mut member).await;
            end.send_replace(End::At(published.last_number));
            (Part::Published(published), outcome)
        })
    })];
    for _ in 0..subscribers {
        let (builder, stream) = (builder.clone(), stream.to_owned());
        let end = end_receiver.clone();
        jobs.push(Box::new(move |mut member| {
            Box::pin(async move {
                let mut subscriber = Subscriber {
                    next: None,
                    end,
                    received: Received::new(),
                };
                let outcome = subscriber.run(&builder, &stream, &mut member).await;
                (Part::Received(subscriber.received), outcome)
            })
        }));
    }
    Ok(jobs)
}

async fn publish(
    builder: &Builder,
    stream: String,
    size: usize,
    lane: Lane,
    member: &mut Member,
) -> Measured<Published> {
    let client = match member.or_stopped(builder.clone().connect()).await {
        Some(Ok(client)) => client,
        Some(Err(error)) => return (Published::new(), Err(error.into())),
        None => return (Published::new(), Ok(())),
    };
    let publisher = Publisher {
        client,
        streams: vec![stream],
        data: data::filling(size),
        with_stamps: true,
    };
    let Some(begin) = member.begin().await else {
        return (Published::new(), Ok(()));
    };
    // The progress is that of the subscribers.
    let mut uncounted = member.uncounted();
    publisher.run(&mut uncounted, begin, lane).await
}

/// How far the publisher is.
#[derive(Clone, Copy, Debug)]
enum End {
    /// There is more to come.
    Open,
    /// The number of its last event, if there is one.
    At(Option<u64>),
}

/// One who follows the stream.
struct Subscriber {
    /// The number that comes next, once it is known.
    next: Option<u64>,
    end: watch::Receiver<End>,
    received: Received,
}

impl Subscriber {
    async fn run(
        &mut self,
        builder: &Builder,
        stream: &str,
        member: &mut Member,
    ) -> Result<(), Failure> {
        let opened = member.or_stopped(open(builder, stream)).await.transpose()?;
        let Some((_client, mut items, next)) = opened else {
            return Ok(());
        };
        self.next = Some(next);
        let Some(begin) = member.begin().await else {
            return Ok(());
        };
        loop {
            // Looked at once a turn: what changes after this is seen by `changed`.
            let end = *self.end.borrow();
            if self.is_done(end) {
                return Ok(());
            }
            // What is there already is taken without the cost of waiting for anything else.
            if let Some(item) = items.next().now_or_never() {
                self.take(item.transpose()?, begin, member)?;
                continue;
            }
            tokio::select! {
                biased;
                item = items.next() => self.take(item.transpose()?, begin, member)?,
                changed = self.end.changed(), if matches!(end, End::Open) => {
                    if changed.is_err() {
                        // The publisher is gone without a word, so that the run is over.
                        return Ok(());
                    }
                }
                () = member.stopped() => return Ok(()),
            }
        }
    }

    /// Whether everything that was published has come.
    fn is_done(&self, end: End) -> bool {
        match end {
            End::Open => false,
            End::At(None) => true,
            End::At(last) => self.next > last,
        }
    }

    fn take(&mut self, item: Option<Item>, begin: Instant, member: &Member) -> Result<(), Failure> {
        match item {
            Some(Item::Event(event)) => self.event(&event, begin, member),
            Some(Item::CaughtUp { .. }) => Ok(()),
            Some(Item::Ended { .. } | Item::Deleted { .. }) | None => Err(Failure::Missing(
                "the stream was deleted meanwhile".to_owned(),
            )),
        }
    }

    fn event(&mut self, event: &Event, begin: Instant, member: &Member) -> Result<(), Failure> {
        let now = begin.elapsed();
        let (name, number) = (&event.stream, event.number);
        if self.next != Some(number) {
            let next = self.next.unwrap_or_default();
            let text = format!("event {next} of '{name}' was to come, but it was {number}");
            return Err(Failure::Damaged(text));
        }
        let Some(from) = data::read_stamp(event.data()) else {
            let text = format!("event {number} of '{name}' was published by another program");
            return Err(Failure::Conflict(text));
        };
        self.next = Some(number + 1);
        self.received.events += 1;
        self.received.latencies.record(now.saturating_sub(from));
        self.received.end = now;
        member.count(1);
        Ok(())
    }
}

/// Connects and subscribes, and waits until the subscription is live. Gives the number that comes
/// next.
async fn open(builder: &Builder, stream: &str) -> Result<(Client, Subscription, u64), Failure> {
    let client = builder.clone().connect().await?;
    let mut items = client.subscribe([format!("{stream}:$")]).await?;
    loop {
        match items.next().await.transpose()? {
            Some(Item::CaughtUp { number, .. }) => {
                let next = number.map_or(0, |number| number.saturating_add(1));
                return Ok((client, items, next));
            }
            Some(_) => {}
            None => return Err(Failure::Missing("the subscription has ended".to_owned())),
        }
    }
}

fn write(table: &mut Table, report: &Report) {
    let parts = [
        count(report.connections, "subscriber"),
        format!("{} of data", count(report.size, "byte")),
        match report.rate {
            Some(rate) => format!("{} a second", count(rate, "event")),
            None => format!("flat out with {} in flight", count(report.pipeline, "call")),
        },
        format!("{} a call", count(report.batch, "event")),
    ];
    table.row("fan-out", &parts.join(", "));
    table.row(
        "stream",
        &format!("{}, which stays in the server", report.stream),
    );
    table.throughput("published", &report.published);
    table.throughput("received", &report.received);
    let from = match report.rate {
        Some(_) => "from when an event was due until a subscriber had it",
        None => "from the publish of an event until a subscriber had it",
    };
    table.latencies("latency", from, &report.latency_us);
    if let Some(late) = &report.late_us {
        table.latencies(
            "made late",
            "from when a call was due to when it was made",
            late,
        );
    }
}
