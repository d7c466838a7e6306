//! `meilies-cli inspect`: runs a command for each event, in order, until one fails.

mod command;
mod position;
mod schedule;
mod work;

use std::ffi::OsString;
use std::path::PathBuf;

use bytes::BytesMut;
use clap::Args;
use futures::TryStreamExt;
use meilies_client::{Client, Event, Subscription};
use meilies_protocol::{From, Source, Spec};

use self::position::{PositionFile, Saved};
use self::work::Work;
use crate::arguments::Server;
use crate::failure::Failure;
use crate::interrupt::interrupted;
use crate::limits::INSPECT_PARALLEL_MAX;
use crate::output::Output;
use crate::specs;
use crate::subscribe::tell_lifecycle;

const EXAMPLES: &str = "\
Examples:
  meilies-cli inspect orders 'jq .total'
  meilies-cli inspect orders:0 ./handle-order --position orders.position
  meilies-cli inspect '$all:0' ./handle --position all.position --parallel 4
  meilies-cli inspect orders:0 'cat >> orders.txt' --until-caught-up

The command is run by sh -c. It gets the data of the event as its standard input, which it need \
not read, and in its environment:
  MEILIES_STREAM_NAME     name of the event's stream
  MEILIES_EVENT_NAME      name of the event
  MEILIES_EVENT_NUMBER    its number in its stream
  MEILIES_EVENT_POSITION  its number over all streams
  MEILIES_EVENT_ID        its id, such as 1700000000000-0
What it prints goes where the output of inspect goes.

A command fails when it ends with another status than 0, or by a signal. Then no other is begun, \
those that run are waited for, and inspect ends with 8. It also ends at the end of the spec, with \
--until-caught-up when everything that there is was handled, and with Ctrl-C or SIGTERM: then it \
waits for the commands that run, and ends with 0. A second Ctrl-C interrupts them.

With --position it writes to FILE what was handled, each time before it goes on, so that it \
survives a crash of the machine. When it is started again it goes on there. Every event is handled \
at least once: one whose command was running when inspect was killed is handled again. The file \
belongs to one spec of one server; for another one it is refused. Without a start, as in orders, \
the spec begins at the tail when the file is new.

With --parallel several commands run at once, but never two of one stream: its events stay in \
order. It makes a difference for $all.

Commands are out of reach of Ctrl-C, in a process group of their own. If inspect is killed, those \
that run go on to their end.";

/// Run a command for each event.
#[derive(Args, Debug)]
#[command(after_help = help(), arg_required_else_help = true)]
pub(crate) struct Inspect {
    /// Stream and where to begin
    #[arg(value_name = "SPEC")]
    spec: OsString,

    /// Command for the shell
    #[arg(value_name = "COMMAND")]
    command: OsString,

    /// File that keeps what was handled; it is made if it is not there
    #[arg(long, value_name = "FILE")]
    position: Option<PathBuf>,

    /// How many commands may run at once
    #[arg(long, value_name = "COMMANDS", default_value_t = 1, value_parser = parallel)]
    parallel: usize,

    /// End when everything that there is has been handled
    #[arg(long)]
    until_caught_up: bool,
}

fn help() -> String {
    format!("{}\n\n{EXAMPLES}", specs::SUBSCRIBE_SPECS)
}

fn parallel(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=INSPECT_PARALLEL_MAX) => Ok(count),
        _ => Err(format!(
            "expected a number from 1 to {INSPECT_PARALLEL_MAX}"
        )),
    }
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Inspect,
    _output: &Output,
) -> Result<(), Failure> {
    let mut stop = Box::pin(interrupted());
    let prepared = tokio::select! {
        // Before anything else, so that a signal finds it.
        biased;
        stopped = &mut stop => return stopped,
        prepared = prepare(server, arguments) => prepared?,
    };
    match prepared {
        Some((work, subscription)) => work.run(subscription, stop).await,
        None => Ok(()),
    }
}

/// Finds out where to begin, and subscribes. Gives nothing if everything was handled before.
async fn prepare(
    server: &Server,
    arguments: &Inspect,
) -> Result<Option<(Work, Subscription)>, Failure> {
    let mut spec = specs::parse(&arguments.spec)?;
    let given = spec.to_string();
    let file = match &arguments.position {
        Some(path) => Some(PositionFile::open(path, &given).await?),
        None => None,
    };
    let saved = file.as_ref().and_then(PositionFile::saved).cloned();
    let builder = server.builder()?.on_lifecycle(tell_lifecycle);
    let client = builder.connect().await?;
    if let Some(saved) = &saved {
        check(&client, &spec.source, saved).await?;
        if spec.until.is_some_and(|until| saved.next >= until) {
            return Ok(None);
        }
        spec.from = Some(From::Number(saved.next));
    }
    let mut text = BytesMut::new();
    spec.write(&mut text);
    let subscription = client.subscribe([text]).await?;
    let work = Work::new(arguments, &spec, given, saved, file);
    Ok(Some((work, subscription)))
}

/// The last event that was handled must be the one that it was: else this is another server, or
/// its store has lost events and given their numbers to others.
async fn check(client: &Client, source: &Source, saved: &Saved) -> Result<(), Failure> {
    let last = saved.last.as_ref();
    let Some(number) = last.map(|last| last.number).or(saved.next.checked_sub(1)) else {
        return Ok(());
    };
    let spec = Spec {
        source: source.clone(),
        from: Some(From::Number(number)),
        until: None,
    };
    let mut text = BytesMut::new();
    spec.write(&mut text);
    let found = client.read(text)?.limit(1).try_next().await?;
    let is_other = match &found {
        // Those behind it tell that it was there.
        Some(event) if number_in(source, event) == number => {
            last.is_some_and(|last| last.id != event.id.to_string())
        }
        Some(_) => false,
        None => true,
    };
    match is_other {
        true => Err(Failure::Damaged(format!(
            "the saved position belongs to another store: there, event {number} of '{}' was \
             handled{}",
            source.as_bytes().escape_ascii(),
            last.map_or(String::new(), |last| format!(", with the id {}", last.id))
        ))),
        false => Ok(()),
    }
}

/// What a source counts its events by.
fn number_in(source: &Source, event: &Event) -> u64 {
    match source {
        Source::All => event.position,
        Source::Stream(_) => event.number,
    }
}
