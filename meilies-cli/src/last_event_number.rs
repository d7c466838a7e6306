//! `meilies-cli last-event-number`: prints where a stream is.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;

use crate::arguments::Server;
use crate::failure::Failure;
use crate::output::{Output, json};

const HELP: &str = "\
Examples:
  meilies-cli last-event-number orders
  meilies-cli last-event-number '$all'
  meilies-cli publish orders paid '{}' --expect \"$(meilies-cli last-event-number orders)\"

For a stream without events the word none is printed, which --expect of publish takes as well. Of \
'$all' it is the position of the last event of all. With --json it is \
{\"stream\":\"orders\",\"number\":7}, where null stands for none.";

/// Print the number of the last event of a stream.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct LastEventNumber {
    /// Name of the stream
    stream: OsString,
}

pub(crate) async fn run(
    server: &Server,
    arguments: &LastEventNumber,
    output: &Output,
) -> Result<(), Failure> {
    let stream = arguments.stream.as_bytes();
    let client = server.connect().await?;
    let number = client.last_event_number(stream).await?;
    let number = number.map(|number| number.to_string());
    let mut line = Vec::new();
    if output.json() {
        line.extend_from_slice(b"{\"stream\":");
        json::bytes(&mut line, stream);
        line.extend_from_slice(b",\"number\":");
        line.extend_from_slice(number.as_deref().unwrap_or("null").as_bytes());
        line.push(b'}');
    } else {
        line.extend_from_slice(number.as_deref().unwrap_or("none").as_bytes());
    }
    let mut lines = output.lines();
    lines.bytes(&line);
    lines.flush().await
}
