//! Where and how results are printed: text for people, or lines of JSON for programs.

pub(crate) mod json;
pub(crate) mod people;
pub(crate) mod time;

use std::fmt;
use std::io::{self, IsTerminal};
use std::pin::Pin;

use meilies_client::Event;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::failure::Failure;
use crate::limits::OUTPUT_BYTES;

/// How to print to standard output.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
    is_terminal: bool,
}

impl Output {
    /// Finds out what standard output is: colours are for terminals, unless `NO_COLOR`, `TERM` or
    /// `CLICOLOR_FORCE` say otherwise.
    pub(crate) fn new(json: bool) -> Output {
        let is_terminal = io::stdout().is_terminal();
        Output {
            json,
            colour: !json && may_colour(is_terminal),
            is_terminal,
        }
    }

    /// Whether lines of JSON are wanted.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether what is printed may have colours.
    pub(crate) fn colour(&self) -> bool {
        self.colour
    }

    /// Whether a person sees standard output as it is written.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Lines to standard output, in the form that is wanted.
    pub(crate) fn lines(&self) -> Lines {
        let form = match self.json {
            true => Form::Json(json::Writer::new()),
            false => Form::People(people::Writer::new(self.colour)),
        };
        Lines::new(form, Box::pin(tokio::io::stdout()))
    }

    /// Writes one line at once.
    pub(crate) async fn line(&self, line: &str) -> Result<(), Failure> {
        let mut lines = self.lines();
        lines.text(line);
        lines.flush().await
    }
}

/// What <https://bixense.com/clicolors/> and <https://no-color.org/> say. A build service (`CI` is
/// set) is no reason for colours on a terminal that has none.
fn may_colour(is_terminal: bool) -> bool {
    if anstyle_query::no_color() {
        return false;
    }
    let wanted = anstyle_query::clicolor().unwrap_or_else(anstyle_query::term_supports_color);
    anstyle_query::clicolor_force() || (is_terminal && wanted)
}

/// Where lines go.
pub(crate) type Sink = Pin<Box<dyn AsyncWrite + Send>>;

/// Lines that are written together.
pub(crate) struct Lines {
    form: Form,
    text: Vec<u8>,
    sink: Sink,
}

#[derive(Debug)]
enum Form {
    Json(json::Writer),
    People(people::Writer),
}

impl Lines {
    fn new(form: Form, sink: Sink) -> Lines {
        Lines {
            form,
            text: Vec::with_capacity(2 * OUTPUT_BYTES),
            sink,
        }
    }

    /// Lines of JSON, to any place.
    pub(crate) fn json(sink: Sink) -> Lines {
        Lines::new(Form::Json(json::Writer::new()), sink)
    }

    /// Shows people the position of each event. JSON always has it.
    pub(crate) fn with_positions(&mut self) {
        if let Form::People(writer) = &mut self.form {
            writer.with_positions();
        }
    }

    /// Adds the line of an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match &mut self.form {
            Form::Json(writer) => writer.event(&mut self.text, event),
            Form::People(writer) => writer.event(&mut self.text, event),
        }
    }

    /// Adds a line.
    pub(crate) fn text(&mut self, line: &str) {
        self.bytes(line.as_bytes());
    }

    /// Adds a line.
    pub(crate) fn bytes(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    /// Begins to write what there is if it is enough to be worth it.
    pub(crate) async fn write_if_full(&mut self) -> Result<(), Failure> {
        match self.text.len() >= OUTPUT_BYTES {
            true => self.write().await,
            false => Ok(()),
        }
    }

    /// Writes what there is, and waits until it is written.
    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        self.write().await?;
        self.sink.flush().await.map_err(output_failure)
    }

    async fn write(&mut self) -> Result<(), Failure> {
        if self.text.is_empty() {
            return Ok(());
        }
        let written = self.sink.write_all(&self.text).await;
        self.text.clear();
        written.map_err(output_failure)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("form", &self.form)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// What a failure to write to standard output means.
pub(crate) fn output_failure(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
        _ => Failure::Output(error),
    }
}

/// A number of events in words, with the verb that follows it.
pub(crate) fn events(count: u64) -> String {
    match count {
        1 => "1 event was".to_owned(),
        count => format!("{count} events were"),
    }
}
