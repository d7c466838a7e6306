//! What the tests share: a server, the command line as a process, and a terminal for it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use meilies_tests::process::wait;
use meilies_tests::{Client, Protocol, ServerProcess, Settings, Value};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long anything may take on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A running server, killed when dropped.
pub(crate) struct Server {
    process: Option<ServerProcess>,
}

impl Server {
    /// Starts a server that does not wait for the disk, with more flags.
    pub(crate) fn start(flags: &[&str]) -> Server {
        let flags = ["--fsync", "no"].iter().chain(flags);
        let settings = Settings::flags(flags.map(|flag| (*flag).to_owned()));
        Server {
            process: Some(ServerProcess::start(&settings)),
        }
    }

    /// The process itself.
    pub(crate) fn process(&self) -> &ServerProcess {
        self.process.as_ref().expect("it is there until the end")
    }

    /// Stops it as an operator does and starts it again, on another port.
    pub(crate) fn restart(&mut self) {
        let process = self.process.take().expect("it is there until the end");
        self.process = Some(process.restart());
    }

    /// Stops it, changes bytes on its disk that occur once, and starts it again.
    pub(crate) fn damage(&mut self, text: &str) {
        let process = self.process.take().expect("it is there until the end");
        let directory = process.stop();
        change(directory.path(), text.as_bytes());
        let settings = Settings::flags(["--fsync", "no"]);
        self.process = Some(ServerProcess::start_on(directory, &settings));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process().address()
    }

    /// The command line, told where the server is.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = program();
        command.args(["--port", &self.address().port().to_string()]);
        command.args(arguments);
        command
    }

    /// Runs the command line to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        finish(&mut self.command(arguments))
    }

    /// Runs the command line with this on its standard input.
    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Output {
        finish_with(&mut self.command(arguments), input)
    }

    /// What it prints, after it has ended well and said nothing else.
    pub(crate) fn print<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let (code, stdout, stderr) = told(&self.run(arguments));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        stdout
    }

    /// The number of a stream's last event.
    pub(crate) fn last(&self, stream: &str) -> Option<i64> {
        let mut client = Client::connect(self.address(), Protocol::Resp2);
        match client.command(&["LAST-EVENT-NUMBER", stream]) {
            Value::Nil => None,
            number => Some(number.integer()),
        }
    }

    /// Publishes an event.
    pub(crate) fn publish(&self, stream: &str, name: &str, data: &str) {
        self.print(&["publish", "--raw", stream, name, "--", data]);
    }

    /// All events as lines of JSON.
    pub(crate) fn export(&self) -> String {
        self.print(&["export"])
    }
}

/// Changes bytes in the file below a directory that holds them.
fn change(directory: &Path, bytes: &[u8]) {
    for entry in fs::read_dir(directory).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            change(&path, bytes);
            continue;
        }
        let mut content = fs::read(&path).expect("it can be read");
        if let Some(at) = content
            .windows(bytes.len())
            .position(|window| window == bytes)
        {
            content[at] ^= 1;
            fs::write(&path, content).expect("it can be written");
        }
    }
}

/// The command line without any setting of whoever runs the tests. Its times are UTC.
pub(crate) fn program() -> Command {
    binary(env!("CARGO_BIN_EXE_meilies-cli"))
}

/// As [`program`], for any of the binaries.
pub(crate) fn binary(path: &str) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars() {
        let is_setting = ["MEILIES_", "CLICOLOR"]
            .iter()
            .any(|own| name.starts_with(own));
        if is_setting || name == "NO_COLOR" || name == "CI" {
            command.env_remove(name);
        }
    }
    command.env("TERM", "xterm").env("TZ", "UTC");
    command
}

/// Runs a command without input to its end.
pub(crate) fn finish(command: &mut Command) -> Output {
    finish_with(command, b"")
}

/// Runs a command to its end, with this on its standard input.
pub(crate) fn finish_with(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        // It may end before it has read everything.
        stdin.write_all(&input).ok();
    });
    let output = collect(&mut child);
    writer.join().expect("writing ends");
    output
}

/// A command whose output is read while it runs, killed when dropped.
pub(crate) struct Follower {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Follower {
    pub(crate) fn start(command: &mut Command) -> Follower {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Follower {
            child,
            stdout: Some(stdout),
        }
    }

    /// Waits for a line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("it is not closed");
        stdout.read_line(&mut line).expect("a line comes");
        line
    }

    /// Gives it input.
    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    /// Ends its input.
    pub(crate) fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// Reads its output no longer.
    pub(crate) fn close(&mut self) {
        self.stdout = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids fit");
        let pid = Pid::from_raw(pid).expect("process ids are not zero");
        kill_process(pid, signal).expect("the child takes signals");
    }

    /// Waits for its end without reading its output. Gives exit code and standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let output = collect(&mut self.child);
        let (code, _, stderr) = told(&output);
        (code, stderr)
    }

    /// Waits for its end, and gives what it said since the last line.
    pub(crate) fn finish(mut self) -> Output {
        let rest = self.stdout.take();
        let rest = rest.map(|rest| thread::spawn(|| read(rest)));
        let mut output = collect(&mut self.child);
        if let Some(rest) = rest {
            output.stdout = rest.join().expect("reading ends");
        }
        output
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A terminal of 100 columns, and what is written to it.
pub(crate) struct Terminal {
    controller: File,
    side: File,
}

impl Terminal {
    pub(crate) fn new() -> Terminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let controller = openpt(flags).expect("there are terminals");
        grantpt(&controller).expect("the terminal is ours");
        unlockpt(&controller).expect("the terminal is ours");
        let path = ptsname(&controller, Vec::new()).expect("the terminal has a path");
        let path = Path::new(path.to_str().expect("it is text")).to_owned();
        let options = File::options().read(true).write(true).clone();
        let side = options.open(path).expect("the terminal can be opened");
        let columns_and_rows = Winsize {
            ws_row: 25,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&side, columns_and_rows).expect("it is a terminal");
        Terminal {
            controller: controller.into(),
            side,
        }
    }

    /// One end of it, for a command.
    pub(crate) fn side(&self) -> Stdio {
        self.side.try_clone().expect("files can be copied").into()
    }

    /// Runs a command to its end. Gives what it said elsewhere, and what is on the terminal.
    pub(crate) fn finish(self, mut command: Command) -> (Output, String) {
        let mut child = command.spawn().expect("the command starts");
        // Reading ends when nobody holds the other end.
        drop(command);
        drop(self.side);
        let screen = thread::spawn(|| read_terminal(self.controller));
        let output = collect(&mut child);
        let screen = screen.join().expect("reading ends");
        (output, String::from_utf8_lossy(&screen).into_owned())
    }
}

fn read_terminal(mut controller: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    // That the other end is closed is an error here.
    controller.read_to_end(&mut bytes).ok();
    bytes
}

/// Reads what is still piped and waits for the end, up to the deadline.
fn collect(child: &mut Child) -> Output {
    let stdout = child.stdout.take().map(|pipe| thread::spawn(|| read(pipe)));
    let stderr = child.stderr.take().map(|pipe| thread::spawn(|| read(pipe)));
    let Some(status) = wait(child, DEADLINE) else {
        child.kill().ok();
        panic!("still running after {DEADLINE:?}");
    };
    let join = |reader: Option<JoinHandle<Vec<u8>>>| {
        reader.map_or(Vec::new(), |reader| reader.join().expect("reading ends"))
    };
    Output {
        status,
        stdout: join(stdout),
        stderr: join(stderr),
    }
}

fn read(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).expect("pipes can be read");
    bytes
}

/// Waits until something is so that no output tells.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "waited for {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Exit code, standard output and standard error.
pub(crate) fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// The same of a command that printed this, ended well and said nothing else.
pub(crate) fn good(stdout: &str) -> (Option<i32>, String, String) {
    (Some(0), stdout.to_owned(), String::new())
}

/// A line of JSON without what differs from run to run: id and time.
pub(crate) fn stable(line: &str) -> String {
    let (before, rest) = line.split_once("\"id\":").expect("an event has an id");
    let (_, after) = rest
        .split_once("Z\",")
        .expect("an event has a time that ends with Z");
    format!("{before}{after}")
}
