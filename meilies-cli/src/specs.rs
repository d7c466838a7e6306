//! What several subcommands say about specs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use meilies_client::Spec;
use meilies_protocol::Source;

use crate::failure::Failure;

/// What a spec is, for the help of those that follow streams.
pub(crate) const SUBSCRIBE_SPECS: &str = "\
A spec is the name of a stream and where to begin:
  orders        new events only, as orders:$
  orders:7      from event 7 on, then live
  orders:0      everything, then live
  orders:2:5    events 2, 3 and 4
  '$all:0'      everything of every stream; its numbers are positions
For a stream whose name ends with a number, say where to end, too: orders:42:0:+ is everything of \
orders:42.";

/// What a spec is, for the help of those that read what there is.
pub(crate) const READ_SPECS: &str = "\
A spec is the name of a stream and which of its events:
  orders        everything
  orders:7      from event 7 on
  orders:2:5    events 2, 3 and 4
  '$all'        everything of every stream; its numbers are positions
For a stream whose name ends with a number, say where to end, too: orders:42:0:+ is everything of \
orders:42.";

/// How events are printed, for the help.
pub(crate) const LINES: &str = "\
Each line is time, stream, number, name and data of an event; for $all its position comes first. \
An event with several fields has name=value for each. Line breaks, tabs and other control \
characters are written as \\n, \\t and \\u{1b}, bytes that are not UTF-8 as \\xff, and a \
backslash as \\\\. With --json the lines are those of export, exact for any bytes.";

/// Reads a spec of the command line.
pub(crate) fn parse(text: &OsStr) -> Result<Spec, Failure> {
    Spec::parse(text.as_bytes()).map_err(|error| Failure::Usage(error.to_string()))
}

/// Whether the events of these specs come from several streams, so that positions tell more than
/// their numbers.
pub(crate) fn any_of_all(texts: &[OsString]) -> Result<bool, Failure> {
    for text in texts {
        if parse(text)?.source == Source::All {
            return Ok(true);
        }
    }
    Ok(false)
}
