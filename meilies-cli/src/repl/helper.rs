//! What stands by while a line is edited: completion with Tab, and a hint behind what is typed.

use std::borrow::Cow;

use meilies_protocol::table;
use rustyline::Context;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;

use super::syntax::{find, rest};
use super::words::split;

/// What this program itself knows.
pub(crate) const LOCAL: [&str; 3] = ["help", "quit", "exit"];

/// See the module.
#[derive(Debug)]
pub(crate) struct Helper {
    /// Without colours a hint could be taken for what is typed, so that there is none.
    pub(crate) colour: bool,
}

/// A hint. It cannot be accepted: it names arguments, it is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hint(String);

impl rustyline::hint::Hint for Hint {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl rustyline::Helper for Helper {}

impl Validator for Helper {}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, words) = completions(&line[..position]);
        let pairs = words.into_iter().map(|word| Pair {
            replacement: format!("{word} "),
            display: word,
        });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Helper {
    type Hint = Hint;

    fn hint(&self, line: &str, position: usize, _context: &Context<'_>) -> Option<Hint> {
        if !self.colour || position < line.len() {
            return None;
        }
        hint(line).map(Hint)
    }
}

impl Highlighter for Helper {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.colour {
            true => Cow::Owned(format!("\x1b[90m{hint}\x1b[0m")),
            false => Cow::Borrowed(hint),
        }
    }
}

/// Where the word begins that the cursor stands behind, and what it may become.
fn completions(line: &str) -> (usize, Vec<String>) {
    let start = line.rfind(char::is_whitespace).map_or(0, |space| space + 1);
    let (before, typed) = line.split_at(start);
    // Within quotation marks anything may be meant.
    let Ok(words) = split(before.as_bytes()) else {
        return (start, Vec::new());
    };
    let mut candidates = candidates(&words);
    candidates.retain(|word| {
        let begin = word.as_bytes().get(..typed.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(typed.as_bytes()))
    });
    // In the letters that it was begun in.
    let is_small = typed.chars().any(|letter| letter.is_ascii_lowercase());
    let is_large = typed.chars().any(|letter| letter.is_ascii_uppercase());
    let words = candidates
        .into_iter()
        .map(|word| match (is_small, is_large) {
            (true, _) => word.to_ascii_lowercase(),
            (false, true) => word.to_ascii_uppercase(),
            (false, false) => word.to_owned(),
        });
    let mut words: Vec<String> = words.collect();
    words.sort_unstable();
    words.dedup();
    (start, words)
}

/// What may follow these words. Names of commands are in the letters of the table.
fn candidates(words: &[Vec<u8>]) -> Vec<&'static str> {
    let commands = || table::commands().iter().map(|command| command.name);
    match words {
        [] => commands().chain(LOCAL).collect(),
        [first, names @ ..] if first.eq_ignore_ascii_case(b"help") => match find(names) {
            None if names.is_empty() => commands().collect(),
            Some((command, 1)) if names.len() == 1 => subcommands(command),
            _ => Vec::new(),
        },
        _ => match find(words) {
            Some((command, 1)) if !command.subcommands.is_empty() && words.len() == 1 => {
                subcommands(command)
            }
            Some((command, names)) => rest(command.syntax, &words[names..]).words,
            None => Vec::new(),
        },
    }
}

fn subcommands(command: &table::Command) -> Vec<&'static str> {
    command.subcommands.iter().map(|row| row.name).collect()
}

/// What may follow a line, after a space if there is none.
fn hint(line: &str) -> Option<String> {
    // A quotation mark that is still to come is taken as there.
    let words = ["", "\"", "'"]
        .iter()
        .find_map(|mark| split(format!("{line}{mark}").as_bytes()).ok());
    let words = words?;
    let (command, names) = find(&words)?;
    let rest = match !command.subcommands.is_empty() && names == 1 {
        true if words.len() > 1 => return None,
        true => "subcommand".to_owned(),
        false => rest(command.syntax, &words[names..]).hint,
    };
    if rest.is_empty() {
        return None;
    }
    match line.ends_with(char::is_whitespace) {
        true => Some(rest),
        false => Some(format!(" {rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> Vec<String> {
        let (start, words) = completions(line);
        words
            .iter()
            .map(|word| format!("{}{word}", &line[..start]))
            .collect()
    }

    #[test]
    fn names_of_commands_are_completed_as_they_are_begun() {
        assert!(complete("pub").contains(&"publish".to_owned()));
        assert!(complete("PUB").contains(&"PUBLISH".to_owned()));
        assert_eq!(complete("la"), ["last-event-number", "lastsave", "latency"]);
        assert_eq!(complete("q"), ["quit"]);
        assert_eq!(complete("nothing"), [""; 0]);
        assert!(complete("").len() > table::commands().len());
    }

    #[test]
    fn sub_commands_and_options_are_completed() {
        assert_eq!(complete("client setn"), ["client setname"]);
        assert_eq!(complete("CLIENT REPLY S"), ["CLIENT REPLY SKIP"]);
        assert_eq!(
            complete("publish s n d "),
            ["publish s n d EXPECT", "publish s n d ID"]
        );
        assert_eq!(complete("publish s n d e"), ["publish s n d expect"]);
        assert_eq!(
            complete("publish s n d EXPECT n"),
            ["publish s n d EXPECT none"]
        );
        assert_eq!(
            complete("publish 's n' n d exp"),
            ["publish 's n' n d expect"]
        );
        assert_eq!(complete("publish s 'n e"), [""; 0]);
        assert_eq!(complete("help cli"), ["help client"]);
        assert_eq!(complete("help client k"), ["help client kill"]);
        assert_eq!(complete("publish s"), [""; 0]);
    }

    #[test]
    fn the_hint_says_what_may_follow() {
        assert_eq!(hint("subscribe").as_deref(), Some(" spec [spec …]"));
        assert_eq!(hint("subscribe ").as_deref(), Some("spec [spec …]"));
        assert_eq!(hint("subscribe s").as_deref(), Some(" [spec …]"));
        assert_eq!(hint("subscribe \"s ").as_deref(), Some("[spec …]"));
        assert_eq!(hint("client").as_deref(), Some(" subcommand"));
        assert_eq!(hint("client setname ").as_deref(), Some("name"));
        for line in [
            "",
            "read",
            "dbsize",
            "nothing a",
            "client nothing ",
            "last-event-number s",
        ] {
            assert_eq!(hint(line), None, "{line}");
        }
    }
}
