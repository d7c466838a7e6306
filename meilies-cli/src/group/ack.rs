//! `meilies-cli group ack`.

use clap::Args;
use meilies_client::{Client, EventId};

use super::{Which, id};
use crate::failure::Failure;
use crate::output::Output;

const HELP: &str = "\
Examples:
  meilies-cli group ack orders billing 1700000000000-0 1700000000000-1

It prints how many of these events were pending, which is not all of them if some were \
acknowledged before; the exit code is 0 in any case. With --json it is {\"acknowledged\":2}.";

/// Say that events have been dealt with: they are not given again.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(super) struct Ack {
    #[command(flatten)]
    which: Which,

    /// Ids of the events
    #[arg(value_name = "ID", required = true, value_parser = id)]
    ids: Vec<EventId>,
}

pub(super) async fn run(client: &Client, arguments: &Ack, output: &Output) -> Result<(), Failure> {
    let group = arguments.which.of(client)?;
    let acknowledged = group.ack(arguments.ids.iter().copied()).await?;
    let line = match output.json() {
        true => format!("{{\"acknowledged\":{acknowledged}}}"),
        false => acknowledged.to_string(),
    };
    output.line(&line).await
}
