//! `meilies-cli group`: consumer groups, whose workers share the events of a stream.

mod ack;
mod claim;
mod create;
mod deliveries;
mod destroy;
mod info;
mod pending;
mod read;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::{Args, Subcommand};
use meilies_client::{Client, EventId, Group as Handle};

use self::ack::Ack;
use self::claim::Claim;
use self::create::Create;
use self::destroy::Destroy;
use self::info::Info;
use self::pending::Pending;
use self::read::Read;
use crate::arguments::Server;
use crate::failure::Failure;
use crate::output::Output;

/// The arguments of `group`.
#[derive(Args, Debug)]
#[command(
    subcommand_value_name = "WHAT",
    subcommand_help_heading = "What to do with groups"
)]
pub(crate) struct Group {
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum What {
    /// Make a group, and its stream if there is none
    Create(Create),
    /// Delete a group, and forget what is pending in it
    Destroy(Destroy),
    /// Show the groups of a stream, or the consumers of a group
    Info(Info),
    /// Read events for a consumer, for which they are pending then
    Read(Read),
    /// Say that events have been dealt with
    Ack(Ack),
    /// Show which events are pending, and for whom
    Pending(Pending),
    /// Take over events that have been pending for long
    Claim(Claim),
}

/// The stream and the group that a command is about.
#[derive(Args, Debug)]
struct Which {
    /// Name of the stream
    stream: OsString,

    /// Name of the group
    group: OsString,
}

impl Which {
    fn of(&self, client: &Client) -> Result<Handle, Failure> {
        Ok(client.group(self.stream.as_bytes(), self.group.as_bytes())?)
    }

    /// What is said if there is no such group.
    fn missing(&self) -> Failure {
        Failure::Missing(format!(
            "there is no group '{}' of stream '{}'",
            shown(&self.group),
            shown(&self.stream)
        ))
    }
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Group,
    output: &Output,
) -> Result<(), Failure> {
    let client = server.connect().await?;
    match &arguments.what {
        What::Create(arguments) => create::run(&client, arguments, output).await,
        What::Destroy(arguments) => destroy::run(&client, arguments, output).await,
        What::Info(arguments) => info::run(&client, arguments, output).await,
        What::Read(arguments) => read::run(&client, arguments, output).await,
        What::Ack(arguments) => ack::run(&client, arguments, output).await,
        What::Pending(arguments) => pending::run(&client, arguments, output).await,
        What::Claim(arguments) => claim::run(&client, arguments, output).await,
    }
}

fn shown(name: &OsStr) -> String {
    crate::output::people::escaped(name.as_bytes())
}

/// Reads an id of the command line.
fn id(text: &str) -> Result<EventId, String> {
    EventId::parse_partial(text.as_bytes(), 0)
        .map_err(|_| "expected an event id, such as 1700000000000-0".to_owned())
}

/// Reads a number of seconds, which may have a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(duration)) => Ok(duration),
        _ => Err("expected a number of seconds, such as 60 or 0.5".to_owned()),
    }
}
