//! `meilies-cli group read`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use meilies_client::{Client, EventId};

use super::{Which, deliveries};
use crate::failure::Failure;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  meilies-cli group read orders billing alice
  meilies-cli group read orders billing alice --count 1 --json
  meilies-cli group read orders billing alice --pending

It does not wait for events. What is printed is pending for the consumer until it is acknowledged: \
see meilies-cli group ack.";

/// Read events for a consumer, for which they are pending then.
#[derive(Args, Debug)]
#[command(after_help = help(), arg_required_else_help = true)]
pub(super) struct Read {
    #[command(flatten)]
    which: Which,

    /// Name of the consumer; there is no need to make it before
    consumer: OsString,

    /// Read so many events at most
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    count: u64,

    /// Print what is pending for the consumer already, and nothing new
    #[arg(long)]
    pending: bool,
}

fn help() -> String {
    format!("{EXAMPLES}\n\n{}", deliveries::LINES)
}

pub(super) async fn run(client: &Client, arguments: &Read, output: &Output) -> Result<(), Failure> {
    let group = arguments.which.of(client)?;
    let (consumer, count) = (arguments.consumer.as_bytes(), arguments.count);
    let read = match arguments.pending {
        true => group.history(consumer, EventId::MIN, count).await?,
        false => group.read(consumer, count).await?,
    };
    deliveries::print(&read, output).await
}
