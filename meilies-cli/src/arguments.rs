//! What the program is told to do, and the help that explains it.

mod server;

use clap::{ArgAction, Parser};

pub(crate) use self::server::Server;

use crate::bench::Bench;
use crate::completions::Completions;
use crate::export::Export;
use crate::group::Group;
use crate::import::Import;
use crate::info::Info;
use crate::inspect::Inspect;
use crate::last_event_number::LastEventNumber;
use crate::man::Man;
use crate::migrate::Migrate;
use crate::publish::Publish;
use crate::read::Read;
use crate::repl::Repl;
use crate::stream_names::StreamNames;
use crate::subscribe::Subscribe;

const AFTER_HELP: &str = "\
Examples:
  meilies-cli publish orders created '{\"id\": 1}'
  meilies-cli subscribe orders:0
  meilies-cli read '$all' --count 10
  meilies-cli export > events.ndjson
  meilies-cli -h other.example import events.ndjson

See what a command takes with: meilies-cli COMMAND --help

Exit codes:
  0    done; or a command that follows was stopped; or nobody reads its output
  1    a file or the output cannot be read or written, or is not what it should be
  2    wrong usage; nothing was sent
  3    no connection to the server, or it was lost
  4    the server refused, or does not have what was asked for
  5    conflict: a stream is not where it was expected
  6    unknown: the reply to a publish was lost; the event is stored or not
  7    events are damaged, or the store is not the one that it was
  8    the command that inspect ran for an event failed
  130  stopped with Ctrl-C before it was done";

/// The command line of MeiliES, the event store: publishes events, reads and follows streams, and
/// moves them from server to server.
#[derive(Debug, Parser)]
#[command(
    name = "meilies-cli",
    bin_name = "meilies-cli",
    version,
    after_help = AFTER_HELP,
    arg_required_else_help = true,
    disable_help_flag = true,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands"
)]
pub(crate) struct Arguments {
    /// Print lines of JSON, for programs
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,

    /// Print help
    // `-h` is the host name, as in redis-cli.
    #[arg(long, action = ArgAction::Help, global = true, display_order = 901)]
    help: Option<bool>,

    #[command(flatten)]
    pub(crate) server: Server,

    #[command(subcommand)]
    pub(crate) subcommand: Subcommand,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Append an event to a stream and print its number
    Publish(Publish),
    /// Print the events of streams, one line each, and then those that come
    Subscribe(Subscribe),
    /// Print events that there are, from the first or from the last
    Read(Read),
    /// Print the number of the last event of a stream
    LastEventNumber(LastEventNumber),
    /// Print the names of the streams
    StreamNames(StreamNames),
    /// Show how the server is, or what is known of a stream
    Info(Info),
    /// Work with consumer groups
    Group(Group),
    /// Write events as lines of JSON, to be imported again or read by other programs
    Export(Export),
    /// Publish events from lines of JSON, as export writes them
    Import(Import),
    /// Copy streams from one server to another
    Migrate(Migrate),
    /// Run a command for each event
    Inspect(Inspect),
    /// Measure how fast a server publishes and delivers
    Bench(Bench),
    /// Type commands of the server and see its replies
    Repl(Repl),
    /// Print what makes a shell complete the commands and flags of this program
    Completions(Completions),
    /// Print the manual pages of this program
    Man(Man),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_arguments() {
        Arguments::command().debug_assert();
    }
}
