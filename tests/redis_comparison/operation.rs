//! What a run is made of: commands, and the few forms in which several belong together.

use std::fmt;

use meilies_tests::resp;

/// How many connections take turns: the first speaks RESP2, the second RESP3.
pub(crate) const CONNECTIONS: usize = 2;

/// The arguments of a command, its name included.
pub(crate) type Command = Vec<Vec<u8>>;

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A command whose reply must be equal.
    Single {
        /// On which connection.
        connection: usize,
        /// What is sent.
        command: Command,
    },
    /// `MULTI` to its end.
    Transaction {
        /// On which connection.
        connection: usize,
        /// Keys that are watched before.
        watched: Vec<Vec<u8>>,
        /// What the other connection does between `WATCH` and `MULTI`.
        meddling: Option<Command>,
        /// What is queued.
        commands: Vec<Command>,
        /// `EXEC` or `DISCARD`.
        end: &'static str,
    },
    /// A trim that may keep more than is asked, and the exact one that makes both equal again.
    Approximate {
        /// On which connection.
        connection: usize,
        /// The command with `~`.
        approximate: Command,
        /// The same bound, exactly.
        exact: Command,
    },
    /// A read that waits for what another connection does.
    Waiting {
        /// On which connection the others act.
        connection: usize,
        /// The read without `BLOCK`: only if it finds nothing anybody waits.
        probe: Command,
        /// The read with `BLOCK 0`.
        waiting: Command,
        /// What happens meanwhile, in one write.
        waking: Vec<Command>,
    },
}

impl Operation {
    /// Everything that is sent, in order.
    pub(crate) fn commands(&self) -> Vec<&Command> {
        match self {
            Self::Single { command, .. } => vec![command],
            Self::Transaction {
                meddling, commands, ..
            } => meddling.iter().chain(commands).collect(),
            Self::Approximate {
                approximate, exact, ..
            } => vec![approximate, exact],
            Self::Waiting {
                probe,
                waiting,
                waking,
                ..
            } => [probe, waiting].into_iter().chain(waking).collect(),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single { command, .. } => write!(f, "{}", line(command)),
            Self::Transaction {
                watched,
                meddling,
                commands,
                end,
                ..
            } => {
                if !watched.is_empty() {
                    write!(f, "WATCH {} | ", line(watched))?;
                }
                if let Some(meddling) = meddling {
                    write!(f, "(other: {}) | ", line(meddling))?;
                }
                write!(f, "MULTI")?;
                for command in commands {
                    write!(f, " | {}", line(command))?;
                }
                write!(f, " | {end}")
            }
            Self::Approximate {
                approximate, exact, ..
            } => write!(f, "{} | {}", line(approximate), line(exact)),
            Self::Waiting {
                waiting, waking, ..
            } => {
                write!(f, "(waiter: {})", line(waiting))?;
                for command in waking {
                    write!(f, " | {}", line(command))?;
                }
                Ok(())
            }
        }
    }
}

/// A command as redis-cli takes it.
pub(crate) fn line(command: &[Vec<u8>]) -> String {
    let words = command.iter().map(|word| {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte);
        if !word.is_empty() && word.iter().all(plain) {
            String::from_utf8_lossy(word).into_owned()
        } else {
            format!("\"{}\"", resp::escape(word))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether an argument is this word, in any letter case.
pub(crate) fn is_word(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// Whether a command is the one that these words begin.
pub(crate) fn begins(command: &[Vec<u8>], words: &[&str]) -> bool {
    command.len() >= words.len()
        && words
            .iter()
            .zip(command)
            .all(|(word, argument)| is_word(argument, word))
}
