//! `help`: what the command table says of the commands.

use std::fmt::Write as _;

use meilies_protocol::table::{self, Command};

use super::syntax::find;

const INTRODUCTION: &str = "\
Type a command of the server, such as: PUBLISH orders created '{\"id\": 1}'
Words with spaces stand in 'single' or in \"double quotation marks\", which know \\n, \\r, \\t and \
\\x00.

  help COMMAND   what a command takes
  quit           end, as do exit and Ctrl-D
  Tab            complete a command or an option
  Up, Ctrl-R     earlier lines, except those with a password or a space in front
  Ctrl-C         clear the line, or stop waiting for a reply
";

/// The help for these words, or for the program without any.
pub(crate) fn text(words: &[Vec<u8>]) -> String {
    if words.is_empty() {
        return overview();
    }
    match find(words) {
        Some((command, _)) if command.subcommands.is_empty() => of_command(command),
        Some((command, _)) => of_container(command),
        None => {
            let name = words[0].escape_ascii();
            format!("there is no command '{name}': type help for those that there are\n")
        }
    }
}

fn overview() -> String {
    let mut text = INTRODUCTION.to_owned();
    let commands = table::commands();
    let width = commands
        .iter()
        .map(|command| command.name.len())
        .max()
        .unwrap_or(0);
    let mut groups: Vec<&str> = commands
        .iter()
        .map(|command| command.group.name())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        line(&mut text, format_args!("\n{group}:"));
        for command in commands
            .iter()
            .filter(|command| command.group.name() == group)
        {
            let name = command.name.to_uppercase();
            line(
                &mut text,
                format_args!("  {name:width$}  {}", command.summary),
            );
        }
    }
    text
}

fn of_command(command: &Command) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("{}", usage(command)));
    line(&mut text, format_args!("  {}", command.summary));
    let (complexity, since) = (command.complexity, command.since);
    line(
        &mut text,
        format_args!("  complexity: {complexity}, since: {since}"),
    );
    text
}

fn of_container(command: &Command) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("{}", command.name.to_uppercase()));
    line(&mut text, format_args!("  {}", command.summary));
    for subcommand in command.subcommands {
        line(&mut text, format_args!("\n{}", usage(subcommand)));
        line(&mut text, format_args!("  {}", subcommand.summary));
    }
    text
}

/// A command with its arguments.
fn usage(command: &Command) -> String {
    let name = command.full_name.to_uppercase().replace('|', " ");
    format!("{name} {}", command.syntax).trim_end().to_owned()
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(words: &[&str]) -> String {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        text(&words)
    }

    #[test]
    fn every_command_is_in_the_overview() {
        let text = help(&[]);
        for command in table::commands() {
            let name = command.name.to_uppercase();
            let line = text
                .lines()
                .find(|line| line.trim_start().starts_with(&format!("{name} ")));
            let line = line.unwrap_or_else(|| panic!("{name} is missing"));
            assert!(line.ends_with(command.summary), "{line}");
        }
    }

    #[test]
    fn a_command_is_explained() {
        let text = help(&["Publish"]);
        assert!(
            text.starts_with("PUBLISH stream name data [EXPECT "),
            "{text}"
        );
        assert!(text.contains("Stores an event"), "{text}");
        assert!(help(&["client", "KILL"]).starts_with("CLIENT KILL ip:port|"));
        let container = help(&["client"]);
        assert!(container.contains("\nCLIENT SETNAME name\n"), "{container}");
        assert!(help(&["nothing"]).contains("'nothing'"));
    }
}
