//! The program as an operator meets it: what it says when it cannot start, how signals and
//! SHUTDOWN end it. Method: the real binary as a child, followed by its log lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn program(directory: &TempDir) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_meilies-server"));
    program.env_clear().current_dir(directory.path());
    program
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    program
}

/// A server that is ready, on a port of the system's choice.
struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
    ready: String,
}

impl Running {
    fn start(program: &mut Command) -> Running {
        let mut child = program
            .args(["--port", "0"])
            .spawn()
            .expect("the program is built");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let ready = line_with(&mut log, "ready to accept connections");
        Running { child, log, ready }
    }

    fn address(&self) -> String {
        let (_, behind) = self
            .ready
            .split_once("addresses=\"")
            .expect("the line has them");
        behind.split('"').next().expect("quoted").to_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid");
        kill_process(pid, signal).expect("signalled");
    }

    fn end(mut self) -> ExitStatus {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("text");
        self.child.wait().expect("ended")
    }
}

fn line_with(log: &mut impl BufRead, part: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        let read = log.read_line(&mut line).expect("text");
        assert!(read > 0, "it ended before '{part}':\n{seen}");
        if line.contains(part) {
            return line;
        }
        seen.push_str(&line);
    }
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs the program to its failure; gives what it says.
fn failure(program: &mut Command) -> String {
    let output = program.output().expect("the program is built");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success(), "{said}");
    said
}

#[test]
fn the_first_line_says_what_is_served_and_signals_end_it_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = temporary();
        let running = Running::start(&mut program(&directory));
        for part in [
            env!("CARGO_PKG_VERSION"),
            "127.0.0.1:",
            "meilies-data",
            "always",
        ] {
            assert!(running.ready.contains(part), "{part} in {}", running.ready);
        }
        assert!(
            !running.ready.contains('\u{1b}'),
            "colours only on a terminal"
        );
        running.signal(signal);
        assert!(running.end().success());
        assert!(directory.path().join("meilies-data").is_dir());
    }
}

#[test]
fn shutdown_ends_it_with_success() {
    let directory = temporary();
    let running = Running::start(&mut program(&directory));
    let mut client = TcpStream::connect(running.address()).expect("connected");
    client.write_all(b"SHUTDOWN\r\n").expect("sent");
    let mut replies = String::new();
    client.read_to_string(&mut replies).expect("closed");
    assert_eq!(replies, "");
    assert!(running.end().success());
}

#[test]
fn the_environment_and_the_file_reach_the_program() {
    let directory = temporary();
    let file = directory.path().join("meilies.toml");
    std::fs::write(&file, "db-path = 'elsewhere'\nfsync = 'no'\n").expect("written");
    let mut program = program(&directory);
    program
        .env("MEILIES_CONFIG", &file)
        .env("MEILIES_FSYNC", "everysec");
    let running = Running::start(program.args(["--log-format", "json"]));
    assert!(running.ready.starts_with('{'), "{}", running.ready);
    assert!(
        running.ready.contains("\"fsync\":\"everysec\""),
        "{}",
        running.ready
    );
    running.signal(Signal::TERM);
    assert!(running.end().success());
    assert!(directory.path().join("elsewhere").is_dir());
}

#[test]
fn a_directory_in_use_is_refused_with_its_holder() {
    let directory = temporary();
    let running = Running::start(&mut program(&directory));
    let said = failure(program(&directory).args(["--port", "0"]));
    assert!(said.contains("in use by process"), "{said}");
    assert!(said.contains(&running.child.id().to_string()), "{said}");
    running.signal(Signal::TERM);
    assert!(running.end().success());
}

#[test]
fn what_stands_in_the_way_of_a_start_is_told() {
    let directory = temporary();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = taken.local_addr().expect("bound").port().to_string();
    let said = failure(program(&directory).args(["--port", &port]));
    assert!(said.contains("another program listens on port"), "{said}");

    let said = failure(program(&directory).args(["--hostname", "0.0.0.0"]));
    assert!(said.contains("--requirepass"), "{said}");
    let said = failure(program(&directory).arg("--nonsense"));
    assert!(said.contains("--nonsense"), "{said}");
    let said = failure(program(&directory).env("MEILIES_PORT", "x"));
    assert!(said.contains("MEILIES_PORT in the environment"), "{said}");

    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("written");
    let said = failure(program(&directory).args(["--port", "0", "--db-path", "file"]));
    assert!(said.contains("file"), "{said}");
}

#[test]
fn help_and_version_are_on_stdout_with_success() {
    for (flag, part) in [
        ("--help", "--max-clients"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let output = program(&temporary())
            .arg(flag)
            .output()
            .expect("the program is built");
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout)
                .expect("text")
                .contains(part)
        );
    }
}
