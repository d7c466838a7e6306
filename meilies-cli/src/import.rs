//! `meilies-cli import`: publishes events from lines of JSON.
//!
//! Lines that have a number are imported exactly: each event gets its number or the import ends,
//! and what is there already is skipped, so that an import that was cut short can be started again.

mod input;
mod line;
mod publisher;
mod streams;

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use meilies_client::{Client, Reconnect};

use self::input::Input;
use self::line::Line;
use self::publisher::Publisher;
use self::streams::{Place, Standing, Streams};
use crate::arguments::Server;
use crate::ends::Ends;
use crate::failure::Failure;
use crate::interrupt::{interrupted, or_interrupted};
use crate::limits::{LINE_BYTES_MAX, QUESTIONS_MAX};
use crate::output::{Output, events};
use crate::progress::Progress;

const HELP: &str = "\
Examples:
  meilies-cli import events.ndjson
  meilies-cli -h old.example export | meilies-cli -h new.example import
  echo '{\"stream\":\"orders\",\"name\":\"created\",\"data\":\"{}\"}' | meilies-cli import

Each line is an object with the fields stream, name and data, and may have number and id. In \
place of name and data an event of any fields has \"fields\":[[\"id\",\"1\"],[\"total\",\"30\"]]. \
Position and time are read and not used: the server gives a new position, and the time is that of \
the id. Bytes that are not UTF-8 are {\"base64\":\"/w==\"} in place of a string.

An event keeps its id if that is above the last id of its stream, as it is where a stream is \
imported from its beginning. If not, it and those behind it in the stream get new ids, which rise \
with the server's clock, and that is told. With --new-ids they all do.

A line with a number is stored under that number or not at all. Numbers that the server has \
already are skipped, so an import that ended early can be started again and doubles nothing. If \
a number is missing, or the server has other events there, the import ends with exit code 5.

Lines without a number, and all lines with --renumber, are appended whatever is there: if such an \
import ends early, the message says how many lines are stored.

It prints how many events were imported and skipped, and how many of them did not keep their id; \
with --json {\"imported\":3,\"skipped\":0,\"new_ids\":0}.";

/// Publish events from lines of JSON, as export writes them.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Import {
    /// File with one event a line; without it, or with -, standard input
    file: Option<PathBuf>,

    /// Append all events, whatever their numbers are
    #[arg(long)]
    renumber: bool,

    /// Give all events new ids, whatever their ids are
    #[arg(long)]
    new_ids: bool,
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Import,
    output: &Output,
) -> Result<(), Failure> {
    if arguments.file.is_none() && std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no file, and standard input is a terminal; see meilies-cli import --help"
                .to_owned(),
        ));
    }
    let (mut input, bytes) = match &arguments.file {
        Some(path) if path.as_os_str() != "-" => Input::open(path, LINE_BYTES_MAX).await?,
        _ => Input::stdin(LINE_BYTES_MAX),
    };
    // What is lost on the way is started again from outside, where it is known what is stored.
    let client = server.builder()?.reconnect(Reconnect {
        attempts_max: Some(0),
        ..Reconnect::default()
    });
    let mut work = Work {
        publisher: Publisher::new(client.connect().await?),
        streams: Streams::default(),
        skipped: 0,
        new_ids: 0,
        renumber: arguments.renumber,
        renew_ids: arguments.new_ids,
        bytes_read: 0,
        progress: Progress::bytes(bytes),
    };
    let outcome = tokio::select! {
        outcome = work.import(&mut input) => outcome,
        stopped = interrupted() => stopped.and(Err(Failure::Interrupted)),
    };
    work.finish(outcome).await?;
    work.print(output).await
}

/// An import that is going on.
struct Work {
    publisher: Publisher,
    streams: Streams,
    skipped: u64,
    /// Events that had an id and get another one.
    new_ids: u64,
    renumber: bool,
    renew_ids: bool,
    bytes_read: u64,
    progress: Progress,
}

impl Work {
    /// Publishes all lines, or those before the first that is wrong. Ends early when the server
    /// refuses one, which [`Work::finish`] tells.
    async fn import(&mut self, input: &mut Input) -> Result<(), Failure> {
        let mut lines = Vec::new();
        while !self.publisher.has_failed() {
            let has_read = tokio::select! {
                has_read = input.read() => has_read?,
                // Replies are taken while the input lets wait.
                () = self.publisher.answered(), if self.publisher.is_waiting() => continue,
            };
            self.bytes_read = input.bytes_read();
            self.progress.set(self.bytes_read, self.publisher.stored());
            let taken = take_lines(input, &mut lines);
            let published = self.publish(&mut lines).await;
            self.publisher.send();
            published.and(taken)?;
            if !has_read {
                break;
            }
        }
        Ok(())
    }

    /// Asks the server where the streams are that have not come before.
    async fn ask(&mut self, lines: &[(u64, Line)]) -> Result<(), Failure> {
        let lines = lines.iter().map(|(_, line)| line);
        let placed = lines.filter(|line| line.number.is_some() || line.id.is_some());
        let new: HashSet<Bytes> = placed
            .filter(|line| !self.streams.is_known(&line.stream))
            .map(|line| line.stream.clone())
            .collect();
        let client = self.publisher.client();
        let mut answers = stream::iter(new)
            .map(|name| question(client, name))
            .buffer_unordered(QUESTIONS_MAX);
        while let Some((name, standing)) = answers.try_next().await? {
            self.streams.add(&name, standing.as_ref());
        }
        Ok(())
    }

    /// Publishes lines, or those before the first that does not fit.
    async fn publish(&mut self, lines: &mut Vec<(u64, Line)>) -> Result<(), Failure> {
        for (_, line) in &mut *lines {
            if self.renumber {
                line.number = None;
            }
            if self.renew_ids {
                self.new_ids += u64::from(line.id.take().is_some());
            }
        }
        self.ask(lines).await?;
        for (number, line) in lines.drain(..) {
            let place = self.streams.place(&line);
            match place.map_err(|reason| Failure::Conflict(format!("line {number}: {reason}")))? {
                Place::Skip => self.skipped += 1,
                Place::Publish { expect, id } => {
                    self.new_ids += u64::from(line.id.is_some() && id.is_none());
                    self.publisher.add(number, line, expect, id).await;
                }
            }
        }
        Ok(())
    }

    /// Waits for what is on its way, and says what was done if not all was.
    async fn finish(&mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let publisher = &mut self.publisher;
        let waited = or_interrupted(async {
            while publisher.is_waiting() {
                publisher.answered().await;
            }
            Ok(())
        });
        let waited = waited.await;
        self.progress.set(self.bytes_read, self.publisher.stored());
        self.progress.finish();
        if let Some(failure) = self.publisher.take_failure() {
            return Err(failure);
        }
        outcome.and(waited).map_err(|failure| Failure::After {
            failure: Box::new(failure),
            done: format!("{} imported", events(self.publisher.stored())),
        })
    }

    async fn print(&self, output: &Output) -> Result<(), Failure> {
        let (imported, skipped) = (self.publisher.stored(), self.skipped);
        let new_ids = self.new_ids;
        if output.json() {
            let line =
                format!("{{\"imported\":{imported},\"skipped\":{skipped},\"new_ids\":{new_ids}}}");
            return output.line(&line).await;
        }
        let mut line = format!("{} imported", events(imported));
        match new_ids {
            0 => {}
            1 => line.push_str(", 1 of them with a new id"),
            _ => line = format!("{line}, {new_ids} of them with new ids"),
        }
        if skipped > 0 {
            let skipped = events(skipped);
            line = format!("{line}, and {skipped} skipped that the server has already");
        }
        output.line(&line).await
    }
}

/// Reads the lines that are there. When one is wrong those before it are good.
fn take_lines(input: &mut Input, lines: &mut Vec<(u64, Line)>) -> Result<(), Failure> {
    while let Some((number, bytes)) = input.next_line()? {
        let line =
            line::parse(&bytes).map_err(|error| Failure::Input(format!("line {number}{error}")))?;
        lines.push((number, line));
    }
    Ok(())
}

async fn question(client: &Client, name: Bytes) -> Result<(Bytes, Option<Standing>), Failure> {
    let Some(info) = client.stream_info(&name).await? else {
        return Ok((name, None));
    };
    let ends = Ends::ask(client, &info.name).await?;
    Ok((name, Some(Standing { info, ends })))
}
