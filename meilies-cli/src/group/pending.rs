//! `meilies-cli group pending`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::Args;
use meilies_client::{Client, EventId, PendingEntry};

use super::info::numbers;
use super::{Which, seconds};
use crate::failure::Failure;
use crate::output::people::escaped;
use crate::output::{Output, json};

const HELP: &str = "\
Examples:
  meilies-cli group pending orders billing
  meilies-cli group pending orders billing --consumer alice --min-idle 60

Each line is the id of an event, the consumer that has it, milliseconds since it was last \
delivered, and how often it was. With --json it is an object.";

/// Show which events are pending, and for whom.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(super) struct Pending {
    #[command(flatten)]
    which: Which,

    /// Only what is pending for this consumer
    #[arg(long, value_name = "NAME")]
    consumer: Option<OsString>,

    /// Only what has been pending for so long since it was last delivered
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    min_idle: Duration,

    /// Show so many events at most
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    count: u64,
}

pub(super) async fn run(
    client: &Client,
    arguments: &Pending,
    output: &Output,
) -> Result<(), Failure> {
    let group = arguments.which.of(client)?;
    let consumer = arguments.consumer.as_ref().map(|name| name.as_bytes());
    let (min_idle, count) = (arguments.min_idle, arguments.count);
    let entries = group.pending_entries(consumer, min_idle, EventId::MIN, count);
    let mut lines = output.lines();
    for entry in entries.await? {
        lines.bytes(&match output.json() {
            true => object(&entry),
            false => text(&entry).into_bytes(),
        });
    }
    lines.flush().await
}

fn text(entry: &PendingEntry) -> String {
    format!(
        "{}  {}  idle-ms={}  deliveries={}",
        entry.id,
        escaped(&entry.consumer),
        entry.idle_ms,
        entry.deliveries
    )
}

fn object(entry: &PendingEntry) -> Vec<u8> {
    let mut out = b"{\"id\":".to_vec();
    json::string(&mut out, &entry.id.to_string());
    out.extend_from_slice(b",\"consumer\":");
    json::bytes(&mut out, &entry.consumer);
    numbers(
        &mut out,
        &[
            ("idle_ms", Some(entry.idle_ms)),
            ("deliveries", Some(entry.deliveries)),
        ],
    );
    out.push(b'}');
    out
}
