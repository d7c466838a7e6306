//! The line that is edited, in a thread of its own: it waits for keys, and the rest of the program
//! for the server. Another thread prints what comes meanwhile above the line.

use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::thread;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, ExternalPrinter};
use tokio::sync::mpsc;

use super::helper::Helper;
use super::history::{is_secret, make_directory};
use super::limits::{HISTORY_LINES_MAX, SHOWN_WAITING_MAX};
use crate::failure::Failure;

/// What became of a line.
#[derive(Debug)]
pub(crate) enum Line {
    /// It was typed.
    Typed(String),
    /// It was cleared with Ctrl-C.
    Cleared,
    /// There will be no more.
    End,
    /// The terminal cannot be read.
    Failed(ReadlineError),
    /// The history cannot be kept; the line was typed and follows.
    HistoryFailed(ReadlineError),
}

/// The other end of the threads.
#[derive(Debug)]
pub(crate) struct Editor {
    prompts: std_mpsc::Sender<String>,
    /// What became of the lines, one for each prompt.
    pub(crate) lines: mpsc::UnboundedReceiver<Line>,
    /// What is to be shown above the line. It takes little at a time, and nothing is lost.
    pub(crate) shown: mpsc::Sender<String>,
}

type Readline = rustyline::Editor<Helper, FileHistory>;

impl Editor {
    /// Starts the threads.
    pub(crate) fn start(colour: bool, history: Option<PathBuf>) -> Result<Editor, Failure> {
        let mut readline = readline(colour)?;
        // It is refused where the terminal cannot move its cursor.
        let printer = readline.create_external_printer().ok();
        let (prompts, prompt_receiver) = std_mpsc::channel();
        let (line_sender, lines) = mpsc::unbounded_channel();
        let (shown, shown_receiver) = mpsc::channel(SHOWN_WAITING_MAX);
        let mut typing = Typing {
            readline,
            history,
            lines: line_sender,
        };
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        thread("lines")
            .spawn(move || typing.run(&prompt_receiver))
            .map_err(Failure::Runtime)?;
        thread("pushes")
            .spawn(move || show(printer, shown_receiver))
            .map_err(Failure::Runtime)?;
        Ok(Editor {
            prompts,
            lines,
            shown,
        })
    }

    /// Asks for a line.
    pub(crate) fn ask(&self, prompt: String) {
        // If the thread is gone, so is the sender of lines, and that is noticed.
        let _gone = self.prompts.send(prompt);
    }
}

fn readline(colour: bool) -> Result<Readline, Failure> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .color_mode(if colour {
            ColorMode::Enabled
        } else {
            ColorMode::Disabled
        })
        .history_ignore_space(true);
    let config = config
        .max_history_size(HISTORY_LINES_MAX)
        .map_err(terminal_failure)?;
    let config = config
        .history_ignore_dups(true)
        .map_err(terminal_failure)?
        .build();
    let mut readline = Readline::with_config(config).map_err(terminal_failure)?;
    readline.set_helper(Some(Helper { colour }));
    Ok(readline)
}

/// What it means that the terminal does not do as it should.
pub(crate) fn terminal_failure(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => Failure::Runtime(error),
        other => Failure::Program(other.to_string()),
    }
}

struct Typing {
    readline: Readline,
    history: Option<PathBuf>,
    lines: mpsc::UnboundedSender<Line>,
}

impl Typing {
    fn run(&mut self, prompts: &std_mpsc::Receiver<String>) {
        if let Some(path) = &self.history {
            // The first time there is none.
            let _read = self.readline.load_history(path);
        }
        for prompt in prompts {
            let line = match self.readline.readline(&prompt) {
                Ok(line) => {
                    self.remember(&line);
                    Line::Typed(line)
                }
                Err(ReadlineError::Interrupted) => Line::Cleared,
                Err(ReadlineError::Eof) => Line::End,
                Err(error) => Line::Failed(error),
            };
            if self.lines.send(line).is_err() {
                return;
            }
        }
    }

    fn remember(&mut self, line: &str) {
        if is_secret(line) {
            return;
        }
        let kept = match (self.readline.add_history_entry(line), &self.history) {
            (Ok(true), Some(path)) => make_directory(path)
                .map_err(ReadlineError::Io)
                .and_then(|()| self.readline.append_history(path)),
            (Ok(_), _) => Ok(()),
            (Err(error), _) => Err(error),
        };
        if let Err(error) = kept {
            // It is said once: what was typed is still known until the program ends.
            self.history = None;
            let _gone = self.lines.send(Line::HistoryFailed(error));
        }
    }
}

fn show(printer: Option<impl ExternalPrinter>, mut shown: mpsc::Receiver<String>) {
    let Some(mut printer) = printer else {
        return show_plainly(shown);
    };
    while let Some(text) = shown.blocking_recv() {
        if printer.print(text).is_err() {
            return;
        }
    }
}

/// Where the line cannot be written again, what comes is written behind it.
fn show_plainly(mut shown: mpsc::Receiver<String>) {
    use std::io::Write;

    while let Some(text) = shown.blocking_recv() {
        let mut stdout = std::io::stdout().lock();
        let written = write!(stdout, "\n{text}").and_then(|()| stdout.flush());
        if written.is_err() {
            return;
        }
    }
}
