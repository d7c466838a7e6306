//! The command line of MeiliES. Each subcommand is a module; `failure` says how the program ends,
//! and `output` how it prints.

mod arguments;
mod bench;
mod completions;
mod content;
mod ends;
mod export;
mod failure;
mod group;
mod import;
mod info;
mod inspect;
mod interrupt;
mod last_event_number;
mod limits;
mod man;
mod migrate;
mod output;
mod progress;
mod publish;
mod read;
mod repl;
mod specs;
mod stream_names;
mod subscribe;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::arguments::{Arguments, Subcommand};
use crate::failure::{Failure, note};
use crate::interrupt::or_interrupted;
use crate::output::Output;

/// How long the end of the program waits for a write to standard output that nobody takes, or a
/// read of standard input that nobody ends.
const STANDARD_STREAMS_GRACE: Duration = Duration::from_millis(200);

/// Runs the program as `meilies-cli` with these arguments, of which the first is its name, and
/// gives its exit code. Usage errors end the process with 2.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    match start(&arguments) {
        Ok(()) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            note(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(dispatch(arguments));
    runtime.shutdown_timeout(STANDARD_STREAMS_GRACE);
    outcome
}

/// Those that are not told to [`or_interrupted`] take Ctrl-C themselves: it is how they end, or
/// they have something to say when it comes.
async fn dispatch(arguments: &Arguments) -> Result<(), Failure> {
    interrupt::listen()?;
    let server = &arguments.server;
    let output = &Output::new(arguments.json);
    match &arguments.subcommand {
        Subcommand::Publish(publish) => publish::run(server, publish, output).await,
        Subcommand::Subscribe(subscribe) => subscribe::run(server, subscribe, output).await,
        Subcommand::Read(read) => or_interrupted(read::run(server, read, output)).await,
        Subcommand::LastEventNumber(last) => {
            or_interrupted(last_event_number::run(server, last, output)).await
        }
        Subcommand::StreamNames(names) => {
            or_interrupted(stream_names::run(server, names, output)).await
        }
        Subcommand::Info(info) => or_interrupted(info::run(server, info, output)).await,
        Subcommand::Group(group) => or_interrupted(group::run(server, group, output)).await,
        Subcommand::Export(export) => or_interrupted(export::run(server, export, output)).await,
        Subcommand::Import(import) => import::run(server, import, output).await,
        Subcommand::Migrate(migrate) => migrate::run(server, migrate, output).await,
        Subcommand::Inspect(inspect) => inspect::run(server, inspect, output).await,
        Subcommand::Bench(bench) => bench::run(server, bench, output).await,
        Subcommand::Repl(repl) => repl::run(server, repl, output).await,
        Subcommand::Completions(completions) => completions::run(completions, output).await,
        Subcommand::Man(man) => man::run(man, output).await,
    }
}
