//! The load behind the benches: publishes numbered events over one connection that is kept full,
//! replays a stream, or consumes one as a group, and checks every reply and every event. What it
//! finds goes to stdout as `word value` lines; the scripts read them.

mod connection;
mod consume;
mod event;
mod publish;
mod replay;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

/// Publishes, replays and consumes numbered events.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the server listens
    #[arg(long)]
    address: String,

    /// The stream
    #[arg(long, default_value = "load")]
    stream: String,

    /// Bytes of an event's data, which begins with its number in 20 digits
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(20..))]
    data_bytes: u16,

    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Appends the events `from` to `until`, `until` exclusive
    Publish {
        #[arg(long)]
        from: u64,
        #[arg(long)]
        until: u64,
        /// Commands that may be sent before their replies are read
        #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u64).range(1..))]
        window: u64,
        /// The command: Redis has only XADD
        #[arg(long, value_enum, default_value_t)]
        command: publish::Command,
    },
    /// Subscribes to the events `from` to `until`, `until` exclusive
    Replay {
        #[arg(long)]
        from: u64,
        #[arg(long)]
        until: u64,
    },
    /// Reads and acknowledges as a group, until nothing is left
    Consume(consume::Options),
}

/// Why the load did not run to its end.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error(transparent)]
    Reply(#[from] meilies_protocol::ReplyError),
    #[error("expected number {expected}, got {got}")]
    Number { expected: u64, got: String },
    #[error("event {number} does not hold what was published: {got}")]
    Data { number: u64, got: String },
    #[error("the sending thread has panicked")]
    Sender,
    #[error("a consumer has panicked")]
    Consumer,
    #[error("event {0} came twice")]
    Twice(u64),
    #[error("{got} events came, expected {expected}")]
    Missing { expected: u64, got: usize },
    #[error("unexpected reply: {0}")]
    Unexpected(String),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (address, stream) = (&arguments.address, &arguments.stream);
    let data_bytes = usize::from(arguments.data_bytes);
    let outcome = match arguments.task {
        Task::Publish {
            from,
            until,
            window,
            command,
        } => publish::run(address, stream, data_bytes, from..until, window, command),
        Task::Replay { from, until } => replay::run(address, stream, data_bytes, from..until),
        Task::Consume(options) => consume::run(address, stream, data_bytes, &options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With stderr gone nobody is left to be told.
            let _written = writeln!(io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says something to the script at once.
fn tell(word: &str, value: impl std::fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{word} {value}")?;
    stdout.flush()
}
