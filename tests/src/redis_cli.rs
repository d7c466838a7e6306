//! redis-cli as a person or a script uses it: one command, commands through a pipe, or at a
//! terminal of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use crate::client::DEADLINE;
use crate::process;
use crate::redis_process::program;

/// A running redis-cli, killed when dropped.
#[derive(Debug)]
pub struct RedisCli {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl RedisCli {
    /// Runs it with these arguments behind the address; none make it read commands from a pipe.
    pub fn start(address: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new(program("redis-cli"));
        command.args([
            "-h",
            &address.ip().to_string(),
            "-p",
            &address.port().to_string(),
        ]);
        Self::spawn(command.args(arguments))
    }

    /// Runs it at a terminal, as a person does.
    pub fn at_terminal(address: SocketAddr, version: &str) -> Self {
        let cli = program("redis-cli").display().to_string();
        let (host, port) = (address.ip(), address.port());
        let mut command = Command::new(program("script"));
        command.args([
            "-q",
            "-f",
            "-e",
            "-c",
            &format!("{cli} -h {host} -p {port} {version}"),
        ]);
        // A dumb terminal has no colours, no cursor and no completion.
        Self::spawn(command.arg("/dev/null").env("TERM", "dumb"))
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}").expect("it reads its input");
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Fails unless its next lines are these; `<id>` stands for an event id, and a line that
    /// begins with `…` for any lines up to one that contains the rest of it.
    pub fn expect(&self, lines: &[&str]) {
        for expected in lines {
            match expected.strip_prefix('…') {
                None => {
                    let line = self.line();
                    assert!(
                        equals(expected, &line),
                        "expected '{expected}', got '{line}'"
                    );
                }
                Some(rest) => while !contains(rest, &self.line()) {},
            }
        }
    }

    /// The rest of its output, once it ended by itself.
    pub fn rest(mut self) -> Vec<String> {
        self.end_input();
        let status = process::wait(&mut self.child, DEADLINE);
        assert!(status.is_some(), "redis-cli still runs");
        self.lines.iter().map(|line| clean(&line)).collect()
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .env_remove("REDISCLI_AUTH")
            .env_remove("FAKETTY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-cli starts");
        let lines = process::lines(child.stdout.take().expect("stdout is piped"));
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    fn line(&self) -> String {
        let until = Instant::now() + DEADLINE;
        match self.lines.recv_timeout(until - Instant::now()) {
            Ok(line) => clean(&line),
            Err(error) => panic!("redis-cli says nothing more: {error}"),
        }
    }
}

impl Drop for RedisCli {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn clean(line: &str) -> String {
    line.trim_end_matches(['\r', '\n']).to_owned()
}

fn equals(expected: &str, line: &str) -> bool {
    match expected.split_once("<id>") {
        None => expected == line,
        Some((before, after)) => {
            let id = line
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after));
            id.is_some_and(|id| {
                let (time, sequence) = id.split_once('-').unwrap_or_default();
                [time, sequence]
                    .iter()
                    .all(|part| part.parse::<u64>().is_ok())
            })
        }
    }
}

fn contains(part: &str, line: &str) -> bool {
    line.contains(part)
}
