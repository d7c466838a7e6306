//! `meilies-cli bench publish`.

use clap::Args;
use serde::Serialize;

use super::crew::{self, Job};
use super::latency::Summary;
use super::load::{Connections, Load, Streams};
use super::plan::{Lane, Plan};
use super::publisher::{Published, Publisher};
use super::report::{self, Table, Throughput, count, duration};
use super::{data, ending};
use crate::arguments::Server;
use crate::failure::Failure;
use crate::output::Output;

const AFTER_HELP: &str = "\
What is measured: a call publishes --batch events and is done when the server has said that they \
are stored. Its latency is counted from the moment at which it was made or, with --rate, at which \
it was due: a server that stalls makes all calls late that are due meanwhile, and they are counted \
as that late. With --rate it is also said how late the calls were made, because the pipeline was \
full or this program was busy. Flat out most of a latency is the wait behind the other calls of \
the pipeline.

With --rate all that is due within the time is published, also if that takes longer. Latencies are \
exact to a thousandth. A percentile is said only if at least 10 values lie beyond it.

The events stay in the server. Measure with one that you can throw away, and from another machine \
if it is not to share its cores with this program.

Examples:
  meilies-cli bench publish
  meilies-cli bench publish --rate 10000 --seconds 60
  meilies-cli bench publish --connections 8 --streams 1000 --size 1000 --json";

/// The arguments of `bench publish`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Publish {
    #[command(flatten)]
    load: Load,

    #[command(flatten)]
    connections: Connections,

    #[command(flatten)]
    streams: Streams,
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
    streams: u64,
    stream_prefix: String,
    rate: Option<u64>,
    #[serde(flatten)]
    throughput: Throughput,
    latency_us: Summary,
    late_us: Option<Summary>,
    unanswered_calls: u64,
    unanswered_us: Option<u64>,
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Publish,
    output: &Output,
) -> Result<(), Failure> {
    let Publish {
        load,
        connections,
        streams,
    } = arguments;
    let prefix = streams.prefix.text();
    let plan = load.plan(connections.connections, streams.streams);
    let names = data::stream_names(&prefix, streams.streams);
    let jobs = jobs(server, &plan, &names, load.size)?;
    let results = crew::run(jobs, connections.threads, load.events()).await?;
    let mut published = Published::new();
    for part in &results.parts {
        published.add(part);
    }
    let report = Report {
        bench: "publish",
        complete: results.is_complete(),
        connections: connections.connections,
        pipeline: load.pipeline(),
        batch: load.batch(),
        size: load.size,
        streams: streams.streams,
        stream_prefix: prefix,
        rate: load.rate,
        throughput: Throughput::new(
            published.events,
            published.events.saturating_mul(load.size),
            published.end,
        ),
        latency_us: published.latencies.summary(),
        late_us: load.rate.map(|_| published.late.summary()),
        unanswered_calls: published.unanswered,
        unanswered_us: published.unanswered_for.map(report::microseconds),
    };
    report::print(output, &report, |table| write(table, &report)).await?;
    ending(results)
}

/// Jobs that publish as a plan says, one for each of its connections.
pub(crate) fn jobs(
    server: &Server,
    plan: &Plan,
    names: &[String],
    size: u64,
) -> Result<Vec<Job<Published>>, Failure> {
    let size = usize::try_from(size).map_err(|error| Failure::Usage(error.to_string()))?;
    let builder = server.builder()?;
    let jobs = (0..plan.connections).map(|index| {
        let (builder, lane, streams) = (builder.clone(), Lane::new(plan, index), names.to_vec());
        let job: Job<Published> = Box::new(move |mut member| {
            Box::pin(async move {
                let client = match member.or_stopped(builder.connect()).await {
                    Some(Ok(client)) => client,
                    Some(Err(error)) => return (Published::new(), Err(error.into())),
                    None => return (Published::new(), Ok(())),
                };
                let publisher = Publisher {
                    client,
                    streams,
                    data: data::filling(size),
                    with_stamps: false,
                };
                match member.begin().await {
                    Some(begin) => publisher.run(&mut member, begin, lane).await,
                    None => (Published::new(), Ok(())),
                }
            })
        });
        job
    });
    Ok(jobs.collect())
}

fn write(table: &mut Table, report: &Report) {
    let parts = [
        count(report.connections, "connection"),
        format!("{} in flight", count(report.pipeline, "call")),
        format!("{} a call", count(report.batch, "event")),
        format!("{} of data", count(report.size, "byte")),
        match report.rate {
            Some(rate) => format!("{} a second", count(rate, "event")),
            None => "flat out".to_owned(),
        },
    ];
    table.row("publish", &parts.join(", "));
    table.streams(report.streams, &report.stream_prefix);
    table.throughput("published", &report.throughput);
    let from = match report.rate {
        Some(_) => "from when a call was due to its reply",
        None => "from a call to its reply",
    };
    table.latencies("latency", from, &report.latency_us);
    if let Some(late) = &report.late_us {
        table.latencies(
            "made late",
            "from when a call was due to when it was made",
            late,
        );
    }
    if let Some(waited) = report.unanswered_us {
        let calls = count(report.unanswered_calls, "call");
        let text = format!(
            "{calls} without a reply, the first for {}",
            duration(waited)
        );
        table.row("stopped", &format!("{text}; not counted above"));
    }
}
