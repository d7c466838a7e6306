//! From the words of a command to its row.

use std::cmp::Ordering;
use std::sync::LazyLock;

use super::{
    Command, connection, diagnostics, events, generic, group, server, stream, transaction,
};
use crate::Arguments;
use crate::request::RequestError;

/// Every command, sorted by name, so that a name is found in few steps.
static SORTED: LazyLock<Vec<&'static Command>> = LazyLock::new(|| {
    let groups = [
        events::COMMANDS,
        stream::COMMANDS,
        group::COMMANDS,
        transaction::COMMANDS,
        connection::COMMANDS,
        generic::COMMANDS,
        diagnostics::COMMANDS,
        server::COMMANDS,
    ];
    let mut commands: Vec<&Command> = groups.into_iter().flatten().collect();
    commands.sort_unstable_by_key(|command| command.name);
    commands
});

/// Every command, sorted by name. Sub-commands are found in their rows.
pub fn commands() -> &'static [&'static Command] {
    &SORTED
}

/// Finds a command by its name, in any letter case.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    let commands = commands();
    let found = commands.binary_search_by(|command| compare(command.name.as_bytes(), name));
    found.ok().map(|index| commands[index])
}

/// Finds a command, or a sub-command as `client|kill`, by its full name in any letter case.
pub(super) fn find_full(name: &[u8]) -> Option<&'static Command> {
    let Some(bar) = memchr::memchr(b'|', name) else {
        return find(name);
    };
    find_subcommand(find(&name[..bar])?, &name[bar + 1..])
}

/// Finds the row of a command, that of the sub-command where it has them, and refuses what is
/// unknown or has a wrong number of arguments. `arguments` must not be empty.
pub fn resolve(arguments: &Arguments) -> Result<&'static Command, RequestError> {
    let command = find(arguments.get(0)).ok_or_else(|| RequestError::unknown_command(arguments))?;
    let command = if command.subcommands.is_empty() || arguments.len() < 2 {
        command
    } else {
        find_subcommand(command, arguments.get(1))
            .ok_or_else(|| RequestError::unknown_subcommand(arguments))?
    };
    if !command.takes(arguments.len()) {
        return Err(RequestError::Arity {
            command: command.full_name,
        });
    }
    Ok(command)
}

fn find_subcommand(command: &'static Command, name: &[u8]) -> Option<&'static Command> {
    command
        .subcommands
        .iter()
        .find(|row| row.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Compares a name of the table, which is in lower case, with one in any.
fn compare(known: &[u8], given: &[u8]) -> Ordering {
    known
        .iter()
        .copied()
        .cmp(given.iter().map(u8::to_ascii_lowercase))
}
