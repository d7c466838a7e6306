//! Goal: `meilies-cli` does with a real server what its help says, exit codes included.
//!
//! Method: the built server and the built command line run as processes. The server takes a port
//! that the system chooses and a directory of its own.

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/connection.rs"]
mod connection;
#[path = "cli/exchange.rs"]
mod exchange;
#[path = "cli/fields.rs"]
mod fields;
#[path = "cli/group.rs"]
mod group;
#[path = "cli/harness.rs"]
mod harness;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/inspect.rs"]
mod inspect;
#[path = "cli/migrate.rs"]
mod migrate;
#[path = "cli/publish.rs"]
mod publish;
#[path = "cli/read.rs"]
mod read;
#[path = "cli/repl.rs"]
mod repl;
#[path = "cli/subscribe.rs"]
mod subscribe;
#[path = "cli/terminal.rs"]
mod terminal;
