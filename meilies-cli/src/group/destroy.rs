//! `meilies-cli group destroy`.

use clap::Args;
use meilies_client::Client;

use super::{Which, shown};
use crate::failure::Failure;
use crate::output::Output;

const HELP: &str = "\
Examples:
  meilies-cli group destroy orders billing

The events of the stream stay. If there is no such group the exit code is 4. With --json it is \
{\"destroyed\":true}.";

/// Delete a group, and forget what is pending in it.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(super) struct Destroy {
    #[command(flatten)]
    which: Which,
}

pub(super) async fn run(
    client: &Client,
    arguments: &Destroy,
    output: &Output,
) -> Result<(), Failure> {
    if !arguments.which.of(client)?.destroy().await? {
        return Err(arguments.which.missing());
    }
    let line = match output.json() {
        true => "{\"destroyed\":true}".to_owned(),
        false => format!("group '{}' was deleted", shown(&arguments.which.group)),
    };
    output.line(&line).await
}
