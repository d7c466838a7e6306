//! `meilies-cli export`: writes events as lines of JSON.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use clap::Args;
use futures::StreamExt;
use meilies_client::{Client, EventNumber, Item, Reconnect, Spec};
use meilies_protocol::{From, Source};
use tokio::fs::File;

use crate::arguments::Server;
use crate::failure::Failure;
use crate::limits::EXPORT_RECONNECTS_MAX;
use crate::output::people::escaped;
use crate::output::{Lines, Output, events};
use crate::progress::Progress;
use crate::specs;

const EXAMPLES: &str = "\
Examples:
  meilies-cli export > events.ndjson
  meilies-cli export orders customers --output some.ndjson
  meilies-cli export '$all:500000' | gzip > later.ndjson.gz
  meilies-cli export orders | jq -r .data

It writes what there is when it begins, and nothing that is published meanwhile; for $all in the \
order in which events were stored. Several specs are written one after the other.

Each line is an object:
  {\"stream\":\"orders\",\"number\":7,\"position\":12,\"id\":\"1700000000000-0\",
   \"time\":\"2023-11-14T22:13:20.000Z\",\"name\":\"created\",\"data\":\"…\"}
Bytes that are not UTF-8 are {\"base64\":\"/w==\"} in place of a string, and an event with \
several fields has \"fields\":[[\"a\",\"1\"],[\"b\",\"2\"]] in place of name and data. import \
reads the same lines.";

/// Write events as lines of JSON, to be imported again or read by other programs.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub(crate) struct Export {
    /// Streams, and which of their events
    #[arg(value_name = "SPEC", default_value = "$all")]
    specs: Vec<OsString>,

    /// Write to this file, which is replaced if it is there, in place of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn help() -> String {
    format!("{}\n\n{EXAMPLES}", specs::READ_SPECS)
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Export,
    output: &Output,
) -> Result<(), Failure> {
    let specs = arguments.specs.iter().map(|spec| specs::parse(spec));
    let specs = specs.collect::<Result<Vec<Spec>, Failure>>()?;
    if let Some(spec) = specs.iter().find(|spec| spec.from == Some(From::New)) {
        return Err(Failure::Usage(format!(
            "spec '{spec}' is about events that are still to come: there is nothing to export"
        )));
    }
    let client = server.builder()?.reconnect(Reconnect {
        attempts_max: Some(EXPORT_RECONNECTS_MAX),
        ..Reconnect::default()
    });
    let client = client.connect().await?;
    let mut ranges = Vec::new();
    for spec in specs {
        ranges.extend(Range::until_now(&client, spec).await?);
    }
    let total = ranges.iter().map(Range::numbers).sum();
    match &arguments.output {
        None => {
            let progress = match output.is_terminal() {
                true => Progress::hidden(),
                false => Progress::events(Some(total)),
            };
            let lines = Lines::json(Box::pin(tokio::io::stdout()));
            write(&client, &ranges, lines, &progress).await
        }
        Some(path) => {
            let progress = Progress::events(Some(total));
            let written = write_file(&client, &ranges, path, &progress).await;
            written.map_err(|failure| of_file(path, failure))
        }
    }
}

/// What is exported of a stream or of all: from, and until which number.
struct Range {
    source: Source,
    from: EventNumber,
    until: EventNumber,
}

impl Range {
    /// What there is of a spec at this moment; nothing if there is nothing.
    async fn until_now(client: &Client, spec: Spec) -> Result<Option<Range>, Failure> {
        let last = client.last_event_number(spec.source.as_bytes()).await?;
        let end = last.map_or(0, |last| last.saturating_add(1));
        let range = Range {
            source: spec.source,
            from: match spec.from {
                Some(From::Number(number)) => number,
                Some(From::New) | None => 0,
            },
            until: spec.until.map_or(end, |until| until.min(end)),
        };
        Ok((range.from < range.until).then_some(range))
    }

    /// How many numbers it has.
    fn numbers(&self) -> u64 {
        self.until - self.from
    }

    fn spec(&self) -> BytesMut {
        let spec = Spec {
            source: self.source.clone(),
            from: Some(From::Number(self.from)),
            until: Some(self.until),
        };
        let mut text = BytesMut::new();
        spec.write(&mut text);
        text
    }
}

async fn write_file(
    client: &Client,
    ranges: &[Range],
    path: &Path,
    progress: &Progress,
) -> Result<(), Failure> {
    let file = File::create(path).await.map_err(Failure::Output)?;
    let copy = file.try_clone().await.map_err(Failure::Output)?;
    write(client, ranges, Lines::json(Box::pin(file)), progress).await?;
    // What is exported may be deleted next.
    copy.sync_all().await.map_err(Failure::Output)
}

/// Names the file that cannot be written.
fn of_file(path: &Path, failure: Failure) -> Failure {
    match failure {
        Failure::Output(error) => Failure::File {
            path: path.to_owned(),
            error,
        },
        failure => failure,
    }
}

async fn write(
    client: &Client,
    ranges: &[Range],
    mut lines: Lines,
    progress: &Progress,
) -> Result<(), Failure> {
    let mut written = 0;
    for range in ranges {
        let outcome = write_range(client, range, &mut lines, progress, &mut written).await;
        if let Err(failure) = outcome {
            // What came before a fault is written as well as it can be.
            lines.flush().await.ok();
            return Err(match failure {
                Failure::Client(_) => Failure::After {
                    failure: Box::new(failure),
                    done: format!("{} exported", events(written)),
                },
                failure => failure,
            });
        }
    }
    lines.flush().await?;
    progress.finish();
    Ok(())
}

async fn write_range(
    client: &Client,
    range: &Range,
    lines: &mut Lines,
    progress: &Progress,
    written: &mut u64,
) -> Result<(), Failure> {
    let mut subscription = client.subscribe([range.spec()]).await?;
    while let Some(item) = subscription.next().await {
        let mut item = Some(item);
        while let Some(taken) = item {
            match taken? {
                Item::Event(event) => {
                    lines.event(&event);
                    *written += 1;
                    lines.write_if_full().await?;
                }
                Item::CaughtUp { .. } | Item::Ended { .. } => {}
                Item::Deleted { stream, .. } => {
                    let name = escaped(&stream);
                    return Err(Failure::Missing(format!(
                        "stream '{name}' was deleted while it was exported"
                    )));
                }
            }
            item = subscription.next_buffered();
        }
        progress.set(*written, *written);
    }
    Ok(())
}
