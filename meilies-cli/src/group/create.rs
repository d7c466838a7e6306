//! `meilies-cli group create`.

use clap::Args;
use meilies_client::{Client, EventId, GroupStart};

use super::{Which, id, shown};
use crate::failure::Failure;
use crate::output::Output;

const HELP: &str = "\
Examples:
  meilies-cli group create orders billing
  meilies-cli group create orders billing --from new
  meilies-cli group create orders billing --from 1700000000000-0

A group that is there already stays as it is, and that is told; the exit code is 0 all the same. \
With --json it is {\"created\":true}.";

/// Make a group, and its stream if there is none.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(super) struct Create {
    #[command(flatten)]
    which: Which,

    /// Where it begins: beginning is with the first event that is kept, new with the first that
    /// comes, and ID with the event behind that one
    #[arg(
        long,
        value_name = "beginning|new|ID",
        default_value = "beginning",
        value_parser = start
    )]
    from: Start,
}

/// As it was said.
#[derive(Clone, Copy, Debug)]
enum Start {
    Beginning,
    New,
    After(EventId),
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "beginning" => Ok(Start::Beginning),
        "new" => Ok(Start::New),
        text => id(text).map(Start::After),
    }
}

pub(super) async fn run(
    client: &Client,
    arguments: &Create,
    output: &Output,
) -> Result<(), Failure> {
    let group = arguments.which.of(client)?;
    let created = group.create(match arguments.from {
        Start::Beginning => GroupStart::Beginning,
        Start::New => GroupStart::New,
        Start::After(id) => GroupStart::After(id),
    });
    let created = created.await?;
    let name = shown(&arguments.which.group);
    let line = match (output.json(), created) {
        (true, created) => format!("{{\"created\":{created}}}"),
        (false, true) => format!("group '{name}' was created"),
        (false, false) => format!("group '{name}' is there already"),
    };
    output.line(&line).await
}
