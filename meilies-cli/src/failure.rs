//! How the program fails, and which exit code says so. The help repeats the codes.

use std::io::{self, Write};
use std::path::PathBuf;

use meilies_client::{Error, ErrorKind};

/// Why the program ends before its work is done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the client says.
    Client(Error),
    /// The arguments do not make sense together, or one does not by itself.
    Usage(String),
    /// The server does not have what was asked for.
    Missing(String),
    /// What was read cannot be used, or does not fit what is there: line, column and reason are in
    /// the text.
    Input(String),
    /// Events are not what they must be: damaged, or of another history.
    Damaged(String),
    /// An event is not where it was expected.
    Conflict(String),
    /// A command that was run for an event failed.
    Command(String),
    /// Something else that the program needs did not work.
    Program(String),
    /// A file cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Standard output cannot be written.
    Output(io::Error),
    /// The system does not let the program run.
    Runtime(io::Error),
    /// Nobody reads standard output any more, which is how `head` says that it has enough.
    ClosedPipe,
    /// The program was told to stop before it was done.
    Interrupted,
    /// Another failure, and where it happened.
    At {
        /// Where.
        place: String,
        /// What happened.
        failure: Box<Failure>,
    },
    /// Another failure, and what is to be known about the work that was done before it.
    After {
        /// What ended it.
        failure: Box<Failure>,
        /// What was done.
        done: String,
    },
}

impl Failure {
    /// 2 is also what clap ends with when it cannot read the arguments.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::ClosedPipe => 0,
            Failure::Input(_)
            | Failure::Program(_)
            | Failure::File { .. }
            | Failure::Output(_)
            | Failure::Runtime(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Missing(_) => 4,
            Failure::Conflict(_) => 5,
            Failure::Damaged(_) => 7,
            Failure::Command(_) => 8,
            // As shells count: 128 and the number of SIGINT.
            Failure::Interrupted => 130,
            Failure::At { failure, .. } | Failure::After { failure, .. } => failure.exit_code(),
            Failure::Client(error) => client_exit_code(error),
        }
    }
}

fn client_exit_code(error: &Error) -> u8 {
    // The server says it, but it is about the events.
    if let Error::Unreadable { .. } = error {
        return 7;
    }
    match error.kind() {
        ErrorKind::Argument => 2,
        ErrorKind::Connection | ErrorKind::Protocol | ErrorKind::Closed => 3,
        ErrorKind::Server | ErrorKind::Limit => 4,
        ErrorKind::Conflict => 5,
        ErrorKind::Unknown => 6,
        ErrorKind::Diverged | ErrorKind::Replaced => 7,
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Client(error) => write!(f, "{error}"),
            Failure::Usage(text)
            | Failure::Missing(text)
            | Failure::Input(text)
            | Failure::Damaged(text)
            | Failure::Conflict(text)
            | Failure::Command(text)
            | Failure::Program(text) => f.write_str(text),
            Failure::File { path, error } => write!(f, "{}: {error}", path.display()),
            Failure::Output(error) => write!(f, "cannot write the output: {error}"),
            Failure::Runtime(error) => write!(f, "cannot start: {error}"),
            Failure::ClosedPipe => f.write_str("nobody reads the output"),
            Failure::Interrupted => f.write_str("interrupted"),
            Failure::At { place, failure } => write!(f, "{place}: {failure}"),
            Failure::After { failure, done } => write!(f, "{failure}; {done}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Client(error)
    }
}

/// Tells a person something, on standard error.
pub(crate) fn note(text: &str) {
    // With stderr gone nobody is left to be told.
    let _written = writeln!(io::stderr(), "meilies-cli: {text}");
}
