//! `meilies-cli man`: the manual pages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::Output;

const HELP: &str = "\
Examples:
  meilies-cli man | man -l -
  meilies-cli man publish | man -l -
  meilies-cli man --directory ~/.local/share/man/man1
  man meilies-cli-publish";

/// Print the manual pages of this program.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Man {
    /// The command that the page is about, such as publish; without it the whole program
    command: Vec<String>,

    /// Write all pages to files of this directory, which is created if it is not there
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "command")]
    directory: Option<PathBuf>,
}

pub(crate) async fn run(arguments: &Man, output: &Output) -> Result<(), Failure> {
    let mut command = Arguments::command();
    // Gives each subcommand the flags that stand before it, and its whole name.
    command.build();
    if let Some(directory) = &arguments.directory {
        fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        return write_pages(&command, directory);
    }
    let mut found = &command;
    for name in &arguments.command {
        found = find(found, name)?;
    }
    let text = page(found);
    let mut lines = output.lines();
    lines.text(text.trim_end());
    lines.flush().await
}

/// Writes the page of a command, and those of what is below it.
fn write_pages(command: &Command, directory: &Path) -> Result<(), Failure> {
    let path = directory.join(Page::new(command.clone()).get_filename());
    fs::write(&path, page(command)).map_err(|error| failed(&path, error))?;
    let mut below = command.get_subcommands();
    below.try_for_each(|command| write_pages(command, directory))
}

fn failed(path: &Path, error: io::Error) -> Failure {
    Failure::File {
        path: path.to_owned(),
        error,
    }
}

fn page(command: &Command) -> String {
    let page = Page::new(command.clone())
        .source(concat!("MeiliES ", env!("CARGO_PKG_VERSION")))
        .manual("MeiliES");
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _rendered = page.render(&mut text);
    // What the help says last is what explains most.
    String::from_utf8_lossy(&text).replace("\n.SH EXTRA\n", "\n.SH NOTES\n")
}

/// The subcommand of this name.
fn find<'a>(command: &'a Command, name: &str) -> Result<&'a Command, Failure> {
    command.find_subcommand(name).ok_or_else(|| {
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        Failure::Usage(format!(
            "there is no command '{name}': there are {}",
            names.join(", ")
        ))
    })
}
