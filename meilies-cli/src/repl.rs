//! `meilies-cli repl`: commands of the server, typed at a prompt or read from a pipe.

mod editor;
mod help;
mod helper;
mod history;
mod interactive;
mod json;
mod limits;
mod piped;
mod reply;
mod session;
mod shell;
mod syntax;
mod view;
mod words;

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;

use self::editor::Editor;
use self::session::Session;
use self::shell::Shell;
use crate::arguments::Server;
use crate::failure::Failure;
use crate::output::Output;

const AFTER_HELP: &str = "\
At a terminal there is a prompt: Tab completes commands and options, what may follow is shown \
behind what is typed, and events that are subscribed to appear as they come. Type help for more.

Words are as in redis-cli: they stand between spaces, in 'single quotation marks' as they are, or \
in \"double quotation marks\", which know \\n, \\r, \\t, \\a, \\b and \\x00.

If standard input or output is no terminal, the lines of standard input are done one after the \
other, without a prompt. Behind the last line what is subscribed to is shown until it has ended. \
The exit code is that of the first error, or 0.

With --json each reply is a line {\"reply\": …} or {\"error\": {\"code\": …, \"message\": \
…}}, each event that is pushed {\"event\": …}, and any other push {\"push\": […]}.

Examples:
  meilies-cli repl
  echo 'SUBSCRIBE orders:0:10' | meilies-cli repl
  meilies-cli repl --json < commands.txt";

/// The arguments of `repl`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Repl {
    /// Keep what is typed in this file instead of meilies-cli/history in the XDG state directory.
    /// Lines with a password or a space in front are never kept, and with /dev/null nothing is
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

pub(crate) async fn run(server: &Server, arguments: &Repl, output: &Output) -> Result<(), Failure> {
    let mut shell = Shell::new(Session::new(server.builder()?), output);
    if io::stdin().is_terminal() && output.is_terminal() {
        let history = history::file(arguments.history.as_deref());
        let editor = Editor::start(output.colour(), history)?;
        interactive::run(&mut shell, editor).await
    } else {
        piped::run(&mut shell).await
    }
}
