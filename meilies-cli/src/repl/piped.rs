//! Commands from a pipe or a file, one in a line: for scripts.

use meilies_client::{Error, ServerError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Stdin};

use super::limits::LINE_BYTES_MAX;
use super::shell::{Outcome, Shell};
use super::words::split;
use crate::failure::Failure;
use crate::interrupt::interrupted;

/// Does what the lines say, and then shows what comes until the last subscription has ended. The
/// first error decides how the program ends; the lines behind it are done all the same.
pub(crate) async fn run(shell: &mut Shell) -> Result<(), Failure> {
    shell.session.connect().await?;
    let mut first_error = None;
    tokio::select! {
        outcome = lines(shell, &mut first_error) => outcome?,
        stopped = interrupted() => {
            stopped?;
            return Err(Failure::Interrupted);
        }
    }
    tokio::select! {
        outcome = follow(shell) => outcome?,
        stopped = interrupted() => stopped?,
    }
    first_error.map_or(Ok(()), Err)
}

async fn lines(shell: &mut Shell, first_error: &mut Option<Failure>) -> Result<(), Failure> {
    let mut input = Input {
        stdin: BufReader::new(tokio::io::stdin()),
        line: Vec::new(),
    };
    for number in 1_u64.. {
        let Some(line) = next_line(shell, &mut input).await? else {
            break;
        };
        let failure = match split(&line) {
            Ok(words) => match shell.run(&words).await? {
                Outcome::Done => None,
                Outcome::End => break,
                Outcome::Refused(text) => Some(refusal(&text)),
                Outcome::Lost(error) => return Err(at(number, Failure::Client(error))),
            },
            Err(error) => {
                let mut out = Vec::new();
                shell.view.error(&mut out, &format!("ERR {error}"));
                shell.print(&out).await?;
                Some(Failure::Usage(error.to_string()))
            }
        };
        if let (Some(failure), None) = (failure, &first_error) {
            *first_error = Some(at(number, failure));
        }
    }
    Ok(())
}

fn at(line: u64, failure: Failure) -> Failure {
    Failure::At {
        place: format!("line {line}"),
        failure: Box::new(failure),
    }
}

/// An error as the client crate has it, so that it has the same exit code.
fn refusal(text: &str) -> Failure {
    let (code, message) = text.split_once(' ').unwrap_or((text, ""));
    let error = ServerError {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    Failure::Client(match code {
        "CONFLICT" => Error::Conflict(error),
        _ => Error::Refused(error),
    })
}

/// Waits for a line, and shows what comes meanwhile.
async fn next_line(shell: &mut Shell, input: &mut Input) -> Result<Option<Vec<u8>>, Failure> {
    loop {
        let pushed = tokio::select! {
            biased;
            line = input.next() => return line,
            pushed = shell.pushes() => pushed,
        };
        show(shell, pushed).await?;
    }
}

/// Shows what comes until there is no subscription left.
async fn follow(shell: &mut Shell) -> Result<(), Failure> {
    while shell.session.is_connected() && shell.session.subscriptions() > 0 {
        let pushed = shell.pushes().await;
        show(shell, pushed).await?;
    }
    Ok(())
}

async fn show(shell: &mut Shell, pushed: (Vec<u8>, Option<Error>)) -> Result<(), Failure> {
    let (out, lost) = pushed;
    shell.print(&out).await?;
    match lost {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

struct Input {
    stdin: BufReader<Stdin>,
    /// What has been read of the next line.
    line: Vec<u8>,
}

impl Input {
    /// Waits for a line, and gives nothing at the end. May be dropped: nothing is lost.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len()) as u64;
        let mut stdin = (&mut self.stdin).take(room);
        let read = stdin.read_until(b'\n', &mut self.line).await;
        read.map_err(|error| Failure::Input(format!("standard input: {error}")))?;
        if self.line.len() > LINE_BYTES_MAX {
            let text = format!("a line is longer than {LINE_BYTES_MAX} bytes");
            return Err(Failure::Input(text));
        }
        match self.line.is_empty() {
            true => Ok(None),
            false => Ok(Some(std::mem::take(&mut self.line))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_exit_codes_of_the_client() {
        for (text, code) in [("CONFLICT it is at 3", 5), ("ERR no", 4), ("NOAUTH", 4)] {
            let failure = at(3, refusal(text));
            assert_eq!(failure.exit_code(), code);
            assert!(failure.to_string().contains(text), "{failure}");
            assert!(failure.to_string().contains("line 3"), "{failure}");
        }
    }
}
