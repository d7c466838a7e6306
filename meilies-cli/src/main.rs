//! The binary `meilies-cli`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    meilies_cli::run(std::env::args_os())
}
