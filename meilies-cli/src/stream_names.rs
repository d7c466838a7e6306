//! `meilies-cli stream-names`: prints the names of the streams.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;

use crate::arguments::Server;
use crate::failure::Failure;
use crate::output::people::escaped;
use crate::output::{Output, json};

const HELP: &str = "\
Examples:
  meilies-cli stream-names
  meilies-cli stream-names 'orders-*'
  meilies-cli stream-names --json | jq -r .stream

A pattern is as in Redis: * is any bytes, ? one byte, [ab] or [a-z] one of these, [^a] any \
other, and \\ takes the next byte as it is. Quote it, or the shell may take it for file names.

Control characters and bytes that are not UTF-8 are written as \\n, \\u{1b} and \\xff. With --json \
each line is {\"stream\":\"orders\"}, exact for any bytes.";

/// Print the names of the streams.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct StreamNames {
    /// Which streams; without it all
    pattern: Option<OsString>,
}

pub(crate) async fn run(
    server: &Server,
    arguments: &StreamNames,
    output: &Output,
) -> Result<(), Failure> {
    let client = server.connect().await?;
    let pattern = arguments.pattern.as_ref().map(|pattern| pattern.as_bytes());
    let mut lines = output.lines();
    for name in client.stream_names(pattern).await? {
        if output.json() {
            let mut line = b"{\"stream\":".to_vec();
            json::bytes(&mut line, name.as_bytes());
            line.push(b'}');
            lines.bytes(&line);
        } else {
            lines.text(&escaped(name.as_bytes()));
        }
        lines.write_if_full().await?;
    }
    lines.flush().await
}
