//! The first difference of a run.

use std::fmt;
use std::io;

use super::operation::{Command, line};

/// What two servers did not agree about.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Of which operation.
    pub(crate) index: usize,
    /// The command whose replies differ.
    pub(crate) command: Command,
    /// What both said.
    pub(crate) said: [String; 2],
}

impl Failure {
    /// A server that said nothing, or hung up.
    pub(crate) fn broken(index: usize, command: &Command, error: &io::Error) -> Self {
        Self {
            index,
            command: command.clone(),
            said: [format!("no reply: {error}"), "a reply, perhaps".to_owned()],
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, theirs] = &self.said;
        write!(
            f,
            "operation {}: {}\n  ours   {ours}\n  Redis' {theirs}",
            self.index,
            line(&self.command)
        )
    }
}
