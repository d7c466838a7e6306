//! What a prompt and a script have in common: a line is a command, and what comes back is shown.

use futures::FutureExt;
use meilies_client::{Error, Value};

use super::help;
use super::limits::SHOWN_BYTES;
use super::session::{Incoming, Session};
use super::view::{View, subscriptions};
use crate::failure::Failure;
use crate::output::{Lines, Output};

/// A connection and where its replies go.
pub(crate) struct Shell {
    pub(crate) session: Session,
    pub(crate) view: View,
    lines: Lines,
}

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was replied to.
    Done,
    /// It was replied to with an error, which is shown.
    Refused(String),
    /// It could not be sent or the reply did not come, which is not shown.
    Lost(Error),
    /// It was to end the program.
    End,
}

/// What words say.
enum Task<'a> {
    Nothing,
    End,
    Help,
    /// The command of this name is for the server.
    Send(&'a [u8]),
}

impl Task<'_> {
    fn of(words: &[Vec<u8>]) -> Task<'_> {
        let Some(name) = words.first() else {
            return Task::Nothing;
        };
        match name.to_ascii_lowercase().as_slice() {
            b"quit" | b"exit" => Task::End,
            b"help" | b"?" => Task::Help,
            _ => Task::Send(name),
        }
    }
}

impl Shell {
    /// Not connected yet.
    pub(crate) fn new(session: Session, output: &Output) -> Shell {
        Shell {
            session,
            view: View::new(output),
            lines: output.lines(),
        }
    }

    /// Whether words are a command of the server.
    pub(crate) fn needs_server(words: &[Vec<u8>]) -> bool {
        matches!(Task::of(words), Task::Send(_))
    }

    /// Does what words say.
    pub(crate) async fn run(&mut self, words: &[Vec<u8>]) -> Result<Outcome, Failure> {
        match Task::of(words) {
            Task::Nothing => Ok(Outcome::Done),
            Task::End => Ok(Outcome::End),
            Task::Help => {
                let text = help::text(&words[1..]);
                self.print(text.as_bytes()).await?;
                Ok(Outcome::Done)
            }
            Task::Send(name) => self.exchange(name, words).await,
        }
    }

    async fn exchange(&mut self, name: &[u8], words: &[Vec<u8>]) -> Result<Outcome, Failure> {
        let mut out = Vec::new();
        let mut outcome = Outcome::Done;
        let mut came = false;
        if let Err(error) = self.session.send(words).await {
            return Ok(Outcome::Lost(error));
        }
        loop {
            // What is there already is shown together.
            let next = match self.session.next().now_or_never() {
                Some(next) if out.len() < SHOWN_BYTES => next,
                Some(next) => {
                    self.print(&out).await?;
                    out.clear();
                    next
                }
                None => {
                    self.print(&out).await?;
                    out.clear();
                    self.session.next().await
                }
            };
            match next {
                Ok(Some(incoming)) => {
                    if let Incoming::Reply(Value::Error(text)) = &incoming {
                        outcome = Outcome::Refused(String::from_utf8_lossy(text).into_owned());
                    }
                    came = true;
                    self.view.incoming(&mut out, name, incoming);
                }
                Ok(None) => break,
                Err(error) => outcome = Outcome::Lost(error),
            }
            if matches!(outcome, Outcome::Lost(_)) {
                break;
            }
        }
        if !self.session.is_connected() && matches!(outcome, Outcome::Done) {
            self.view
                .note(&mut out, "the server has closed the connection");
        } else if !came && matches!(outcome, Outcome::Done) {
            self.view
                .note(&mut out, "no reply comes: CLIENT REPLY says so");
        }
        self.print(&out).await?;
        Ok(outcome)
    }

    /// Waits for pushes and gives their lines: those that came together. May be dropped.
    pub(crate) async fn pushes(&mut self) -> (Vec<u8>, Option<Error>) {
        let mut out = Vec::new();
        let mut next = Some(self.session.receive().await);
        while let Some(incoming) = next {
            match incoming {
                Ok(incoming) => self.view.incoming(&mut out, b"", incoming),
                Err(error) => return (out, Some(error)),
            }
            next = match out.len() < SHOWN_BYTES {
                true => self.session.receive().now_or_never(),
                false => None,
            };
        }
        (out, None)
    }

    /// Appends that the connection is gone, and what with it.
    pub(crate) fn lost(&mut self, out: &mut Vec<u8>, error: &Error) {
        self.view.error(out, &error.to_string());
        let count = self.session.subscriptions();
        if count > 0 {
            let verb = if count == 1 { "is" } else { "are" };
            let text = format!("{} {verb} lost: subscribe again", subscriptions(count));
            self.view.note(out, &text);
        }
    }

    /// Writes lines at once.
    pub(crate) async fn print(&mut self, lines: &[u8]) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        self.lines.bytes(lines.strip_suffix(b"\n").unwrap_or(lines));
        self.lines.flush().await
    }
}
