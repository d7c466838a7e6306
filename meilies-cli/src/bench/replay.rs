//! `meilies-cli bench replay`.

use std::time::Duration;

use clap::Args;
use meilies_client::Client;
use serde::Serialize;

use super::crew;
use super::limits::{DATA_BYTES_MAX, STREAMS_MAX};
use super::load::{Connections, Load, Prefix};
use super::reader::{self, Source};
use super::report::{self, Table, Throughput, count};
use super::{data, ending, publish};
use crate::arguments::Server;
use crate::failure::Failure;
use crate::interrupt::or_interrupted;
use crate::output::Output;

const AFTER_HELP: &str = "\
What is measured: events are published first, unless --stream names some that there are. Then each \
connection subscribes to all the streams and reads them from number 0 up to the tail that they had \
at the start, through the stream of events that the client crate gives to programs. That each \
event comes once and in order is checked. The time runs from the SUBSCRIBE to the last event of \
the slowest connection.

The events stay in the server. Measure with one that you can throw away, and from another machine \
if it is not to share its cores with this program.

Examples:
  meilies-cli bench replay
  meilies-cli bench replay --events 100000 --size 4096 --connections 4
  meilies-cli bench replay --stream '$all' --seconds 30";

/// The arguments of `bench replay`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Replay {
    /// Read this stream, or $all, instead of publishing
    #[arg(long, value_name = "STREAM")]
    #[arg(conflicts_with_all = ["events", "size", "streams", "stream_prefix"])]
    stream: Option<String>,

    /// Events to publish first
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,

    /// Bytes of data of an event
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=DATA_BYTES_MAX))]
    size: u64,

    /// Streams that the events are spread over
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=STREAMS_MAX))]
    streams: u64,

    /// Begin again and again for so many seconds. Without it each connection reads once
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,

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
    streams: u64,
    stream_prefix: Option<String>,
    stream: Option<String>,
    #[serde(flatten)]
    throughput: Throughput,
    /// How often a connection has read everything, summed up.
    replays: u64,
    /// From the SUBSCRIBE to the first event, at the slowest connection.
    first_event_us: Option<u64>,
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Replay,
    output: &Output,
) -> Result<(), Failure> {
    let prefix = match arguments.stream {
        Some(_) => None,
        None => Some(arguments.prefix.text()),
    };
    let names = match (&arguments.stream, &prefix) {
        (Some(stream), _) => vec![stream.clone()],
        (None, Some(prefix)) => fill(server, arguments, prefix).await?,
        (None, None) => Vec::new(),
    };
    let mut sources = Vec::new();
    or_interrupted(async {
        sources = tails(&server.connect().await?, names).await?;
        Ok(())
    })
    .await?;

    let connections = &arguments.connections;
    let time = arguments.seconds.map(Duration::from_secs);
    let jobs = reader::jobs(server, connections.connections, &sources, time)?;
    let events = sources.iter().map(|source| source.events).sum::<u64>();
    let total = match time {
        None => Some(events.saturating_mul(connections.connections)),
        Some(_) => None,
    };
    let results = crew::run(jobs, connections.threads, total).await?;
    let mut all = reader::Replayed::default();
    for part in &results.parts {
        all.add(part);
    }
    let report = Report {
        bench: "replay",
        complete: results.is_complete(),
        connections: connections.connections,
        streams: sources.len() as u64,
        stream_prefix: prefix,
        stream: arguments.stream.clone(),
        throughput: Throughput::new(all.events, all.bytes, all.end),
        replays: all.replays,
        first_event_us: all.first_event.map(report::microseconds),
    };
    report::print(output, &report, |table| write(table, &report)).await?;
    ending(results)
}

/// Publishes the events to be read, and gives the names of their streams.
async fn fill(server: &Server, arguments: &Replay, prefix: &str) -> Result<Vec<String>, Failure> {
    let names = data::stream_names(prefix, arguments.streams);
    let load = Load::flat_out(arguments.events, arguments.size, arguments.streams);
    let plan = load.plan(1, arguments.streams);
    let jobs = publish::jobs(server, &plan, &names, arguments.size)?;
    let results = crew::run(jobs, None, Some(arguments.events)).await?;
    ending(results)?;
    Ok(names)
}

/// How many events each stream has now.
async fn tails(client: &Client, names: Vec<String>) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    for name in names {
        // Of fewer events than streams some streams have none.
        if let Some(last) = client.last_event_number(&name).await? {
            sources.push(Source {
                name,
                events: last.saturating_add(1),
            });
        }
    }
    match sources.is_empty() {
        true => Err(Failure::Missing("there are no events to read".to_owned())),
        false => Ok(sources),
    }
}

fn write(table: &mut Table, report: &Report) {
    table.row("replay", &count(report.connections, "connection"));
    match (&report.stream, &report.stream_prefix) {
        (None, Some(prefix)) => table.streams(report.streams, prefix),
        (stream, _) => table.row("stream", stream.as_deref().unwrap_or_default()),
    }
    table.throughput("received", &report.throughput);
    if let Some(first) = report.first_event_us {
        table.row(
            "first event",
            &format!("after {} at the latest", report::duration(first)),
        );
    }
    table.row(
        "replays",
        &format!("{} from 0 to the tail", count(report.replays, "time")),
    );
}
