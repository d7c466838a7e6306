//! `meilies-cli read`: prints events that there are.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use futures::StreamExt;

use crate::arguments::Server;
use crate::failure::Failure;
use crate::output::{Lines, Output};
use crate::specs;

const EXAMPLES: &str = "\
Examples:
  meilies-cli read orders
  meilies-cli read orders:100:200
  meilies-cli read orders --reverse --count 1
  meilies-cli read '$all' --count 10 --json

It ends with the last event that there is; subscribe goes on with those that come.";

/// Print events that there are, from the first or from the last.
#[derive(Args, Debug)]
#[command(after_help = help(), arg_required_else_help = true)]
pub(crate) struct Read {
    /// A stream, and which of its events
    spec: OsString,

    /// Begin with the last event
    #[arg(long)]
    reverse: bool,

    /// Print so many events at most
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn help() -> String {
    format!("{}\n\n{EXAMPLES}\n\n{}", specs::READ_SPECS, specs::LINES)
}

pub(crate) async fn run(server: &Server, arguments: &Read, output: &Output) -> Result<(), Failure> {
    let mut lines = output.lines();
    if specs::any_of_all(std::slice::from_ref(&arguments.spec))? {
        lines.with_positions();
    }
    let client = server.connect().await?;
    let mut events = client.read(arguments.spec.as_bytes())?;
    if arguments.reverse {
        events = events.reverse();
    }
    if let Some(count) = arguments.count {
        events = events.limit(count);
    }
    let outcome = print(events, &mut lines).await;
    if let Err(Failure::Client(_)) = outcome {
        // What came before a fault is shown; nobody needs to read it.
        lines.flush().await.ok();
    }
    outcome
}

async fn print(mut events: meilies_client::Read, lines: &mut Lines) -> Result<(), Failure> {
    while let Some(event) = events.next().await {
        lines.event(&event?);
        lines.write_if_full().await?;
    }
    lines.flush().await
}
