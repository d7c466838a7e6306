//! `meilies-cli completions`: what makes a shell complete commands and flags.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::Output;

const HELP: &str = "\
Examples:
  bash        meilies-cli completions bash > ~/.local/share/bash-completion/completions/meilies-cli
  zsh         meilies-cli completions zsh > ~/.zfunc/_meilies-cli
  fish        meilies-cli completions fish > ~/.config/fish/completions/meilies-cli.fish
  elvish      meilies-cli completions elvish >> ~/.config/elvish/rc.elv
  powershell  meilies-cli completions powershell >> $PROFILE

zsh looks into ~/.zfunc if .zshrc says, before compinit: fpath=(~/.zfunc $fpath). Shells that are \
started afterwards complete.";

/// Print what makes a shell complete the commands and flags of this program.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

pub(crate) async fn run(arguments: &Completions, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "meilies-cli", &mut script);
    let mut lines = output.lines();
    lines.bytes(script.trim_ascii_end());
    lines.flush().await
}
