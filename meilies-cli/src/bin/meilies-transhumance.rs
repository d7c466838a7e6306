//! The binary `meilies-transhumance`: `meilies-cli migrate` with the flags that it had in
//! MeiliES 0.2.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgAction, Parser};

/// Copy streams from one server to another and follow them, as MeiliES 0.2 had it.
///
/// This is `meilies-cli migrate --from SERVER --to SERVER SPEC…`, which can do more: see
/// `meilies-cli migrate --help`. Other than in 0.2 it can be stopped and started again and copies
/// nothing twice, and it reads from servers of 0.2 as well.
#[derive(Debug, Parser)]
#[command(
    name = "meilies-transhumance",
    version,
    arg_required_else_help = true,
    disable_help_flag = true
)]
struct Arguments {
    /// Server to copy from, such as old.example:6480
    #[arg(long, value_name = "HOST:PORT")]
    src_server: OsString,

    /// Server to copy to
    #[arg(long, value_name = "HOST:PORT")]
    dst_server: OsString,

    /// Streams and where to begin, such as orders:0 or '$all:0'
    #[arg(required = true, value_name = "STREAMS")]
    streams: Vec<OsString>,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut words: Vec<OsString> = vec!["meilies-cli".into(), "migrate".into()];
    words.extend(["--from".into(), arguments.src_server]);
    words.extend(["--to".into(), arguments.dst_server]);
    words.push("--".into());
    words.extend(arguments.streams);
    meilies_cli::run(words)
}
