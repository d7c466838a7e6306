//! `meilies-cli bench`: what a server can do, measured through the client crate as programs use it.

mod crew;
mod data;
mod fan_out;
mod latency;
mod limits;
mod load;
mod plan;
mod publish;
mod publisher;
mod reader;
mod replay;
mod report;
mod timer;

use clap::{Args, Subcommand};

use self::crew::Results;
use self::fan_out::FanOut;
use self::publish::Publish;
use self::replay::Replay;
use crate::arguments::Server;
use crate::failure::Failure;
use crate::output::Output;

/// The arguments of `bench`.
#[derive(Args, Debug)]
#[command(
    subcommand_value_name = "WHAT",
    subcommand_help_heading = "What to measure"
)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

/// What to measure.
#[derive(Debug, Subcommand)]
enum What {
    /// How fast events are stored, and how long a publish takes
    Publish(Publish),
    /// How fast subscribers read what there is
    Replay(Replay),
    /// How fast an event reaches all who follow its stream
    FanOut(FanOut),
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Bench,
    output: &Output,
) -> Result<(), Failure> {
    match &arguments.what {
        What::Publish(arguments) => publish::run(server, arguments, output).await,
        What::Replay(arguments) => replay::run(server, arguments, output).await,
        What::FanOut(arguments) => fan_out::run(server, arguments, output).await,
    }
}

/// How a run ends whose report is printed.
fn ending<T>(results: Results<T>) -> Result<(), Failure> {
    match results.failure {
        Some(failure) => Err(failure),
        None if results.is_interrupted => Err(Failure::Interrupted),
        None => Ok(()),
    }
}
