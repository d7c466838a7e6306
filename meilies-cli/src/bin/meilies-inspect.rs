//! The binary `meilies-inspect`: `meilies-cli inspect` with the flags that it had in MeiliES 0.2.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgAction, Parser};

const COMMAND_HELP: &str = "\
Command for the shell: it gets the event's data as its input, and MEILIES_STREAM_NAME, \
MEILIES_EVENT_NAME and MEILIES_EVENT_NUMBER in its environment";

/// Run a command for each event of a stream, as MeiliES 0.2 had it.
///
/// This is `meilies-cli inspect SPEC COMMAND`, which can do more: see `meilies-cli inspect --help`.
/// Other than in 0.2 the command is run by sh and not by bash, and $all:N begins at position N.
#[derive(Debug, Parser)]
#[command(
    name = "meilies-inspect",
    version,
    arg_required_else_help = true,
    disable_help_flag = true
)]
struct Arguments {
    /// Name or address of the server [default: 127.0.0.1]
    #[arg(short = 'h', long, value_name = "HOST")]
    hostname: Option<OsString>,

    /// TCP port of the server [default: 6480]
    #[arg(short, long, value_name = "PORT")]
    port: Option<OsString>,

    /// Stream and where to begin, such as orders:0 or '$all:0'
    #[arg(long, value_name = "SPEC")]
    stream: OsString,

    #[arg(value_name = "COMMAND", help = COMMAND_HELP)]
    command: OsString,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut words: Vec<OsString> = vec!["meilies-cli".into()];
    for (flag, value) in [
        ("--hostname", arguments.hostname),
        ("--port", arguments.port),
    ] {
        if let Some(value) = value {
            words.extend([flag.into(), value]);
        }
    }
    words.extend(["inspect", "--"].map(OsString::from));
    words.extend([arguments.stream, arguments.command]);
    meilies_cli::run(words)
}
