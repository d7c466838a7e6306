//! `meilies-cli group claim`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::Args;
use meilies_client::{Client, EventId};

use super::{Which, deliveries, id, seconds};
use crate::failure::Failure;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  meilies-cli group claim orders billing bob --min-idle 60
  meilies-cli group claim orders billing bob --min-idle 0 1700000000000-0

Without ids it looks through all that is pending, and ends when it has taken over as many events \
as --count says. Of those with ids it takes over the ones that have been pending for so long.";

/// Take over events that have been pending for long, and print them.
#[derive(Args, Debug)]
#[command(after_help = help(), arg_required_else_help = true)]
pub(super) struct Claim {
    #[command(flatten)]
    which: Which,

    /// Name of the consumer that gets them
    consumer: OsString,

    /// Ids of the events; without them all that is pending is looked through
    #[arg(value_name = "ID", value_parser = id)]
    ids: Vec<EventId>,

    /// For how long they have been pending since they were last delivered
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    min_idle: Duration,

    /// Take over so many events at most
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = 100,
        conflicts_with = "ids",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    count: u64,
}

fn help() -> String {
    format!("{EXAMPLES}\n\n{}", deliveries::LINES)
}

pub(super) async fn run(
    client: &Client,
    arguments: &Claim,
    output: &Output,
) -> Result<(), Failure> {
    let group = arguments.which.of(client)?;
    let (consumer, min_idle) = (arguments.consumer.as_bytes(), arguments.min_idle);
    if !arguments.ids.is_empty() {
        let ids = arguments.ids.iter().copied();
        let claimed = group.claim(consumer, min_idle, ids).await?;
        return deliveries::print(&claimed, output).await;
    }
    let (mut left, mut next) = (arguments.count, Some(EventId::MIN));
    while let (Some(from), true) = (next, left > 0) {
        let claimed = group.claim_idle(consumer, min_idle, from, left).await?;
        left = left.saturating_sub(claimed.deliveries.len() as u64);
        next = claimed.next;
        // At once: they are pending for the consumer from now on.
        deliveries::print(&claimed.deliveries, output).await?;
    }
    Ok(())
}
