//! `meilies-cli group info`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use meilies_client::{Client, ConsumerInfo, GroupInfo};

use super::Which;
use crate::failure::Failure;
use crate::output::people::escaped;
use crate::output::{Output, json};

const HELP: &str = "\
Examples:
  meilies-cli group info orders
  meilies-cli group info orders billing

Of each group there are its consumers, what is pending, the id up to which it has read, and how \
many events it has still to read, as far as that is known. Of each consumer there are what is \
pending for it, and milliseconds since it last asked for something and since it last got \
something. With --json each line is an object. If there is no such group the exit code is 4.";

/// Show the groups of a stream, or the consumers of a group.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(super) struct Info {
    /// Name of the stream
    stream: OsString,

    /// Name of the group; without it all groups are shown
    group: Option<OsString>,
}

pub(super) async fn run(client: &Client, arguments: &Info, output: &Output) -> Result<(), Failure> {
    let mut lines = output.lines();
    if let Some(group) = &arguments.group {
        let which = Which {
            stream: arguments.stream.clone(),
            group: group.clone(),
        };
        let group = which.of(client)?;
        if group.info().await?.is_none() {
            return Err(which.missing());
        }
        for consumer in group.consumers().await? {
            lines.bytes(&match output.json() {
                true => consumer_json(&consumer),
                false => consumer_text(&consumer).into_bytes(),
            });
        }
    } else {
        for group in client.groups(arguments.stream.as_bytes()).await? {
            lines.bytes(&match output.json() {
                true => group_json(&group),
                false => group_text(&group).into_bytes(),
            });
        }
    }
    lines.flush().await
}

fn group_text(group: &GroupInfo) -> String {
    let lag = group.lag.map_or("unknown".to_owned(), |it| it.to_string());
    format!(
        "{}  consumers={}  pending={}  last-delivered-id={}  lag={lag}",
        escaped(&group.name),
        group.consumers,
        group.pending,
        group.last_delivered_id
    )
}

fn group_json(group: &GroupInfo) -> Vec<u8> {
    let mut out = b"{\"group\":".to_vec();
    json::bytes(&mut out, &group.name);
    numbers(
        &mut out,
        &[
            ("consumers", Some(group.consumers)),
            ("pending", Some(group.pending)),
            ("entries_read", group.entries_read),
            ("lag", group.lag),
        ],
    );
    out.extend_from_slice(b",\"last_delivered_id\":");
    json::string(&mut out, &group.last_delivered_id.to_string());
    out.push(b'}');
    out
}

fn consumer_text(consumer: &ConsumerInfo) -> String {
    let inactive = consumer.inactive_ms;
    let inactive = inactive.map_or("never".to_owned(), |it| it.to_string());
    format!(
        "{}  pending={}  idle-ms={}  inactive-ms={inactive}",
        escaped(&consumer.name),
        consumer.pending,
        consumer.idle_ms
    )
}

fn consumer_json(consumer: &ConsumerInfo) -> Vec<u8> {
    let mut out = b"{\"consumer\":".to_vec();
    json::bytes(&mut out, &consumer.name);
    numbers(
        &mut out,
        &[
            ("pending", Some(consumer.pending)),
            ("idle_ms", Some(consumer.idle_ms)),
            ("inactive_ms", consumer.inactive_ms),
        ],
    );
    out.push(b'}');
    out
}

/// Further fields of an object.
pub(super) fn numbers(out: &mut Vec<u8>, fields: &[(&str, Option<u64>)]) {
    for (name, number) in fields {
        out.push(b',');
        json::string(out, name);
        out.push(b':');
        match number {
            Some(number) => json::number(out, *number),
            None => out.extend_from_slice(b"null"),
        }
    }
}
