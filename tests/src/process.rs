//! The real `meilies-server` as a child process: started on a free port with a directory of its
//! own, stopped with SIGTERM, killed with SIGKILL, started again on the same directory.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::{Client, DEADLINE};
use crate::resp::Protocol;

/// What the server logs once it accepts connections; the addresses follow on the same line.
pub const READY: &str = "ready to accept connections";

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Flags beside `--port` and `--db-path`.
    pub flags: Vec<String>,
    /// Leaves `--port` and `--db-path` out: they are said elsewhere.
    pub bare: bool,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}

impl Settings {
    /// Settings with these flags.
    pub fn flags<F: Into<String>>(flags: impl IntoIterator<Item = F>) -> Self {
        Self {
            flags: flags.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    address: SocketAddr,
    settings: Settings,
    directory: TempDir,
    log: Receiver<String>,
}

impl ServerProcess {
    /// Starts a server on a fresh directory.
    pub fn start(settings: &Settings) -> Self {
        Self::start_on(
            TempDir::new().expect("a temporary directory can be made"),
            settings,
        )
    }

    /// Starts a server on a directory that may hold what an earlier one left.
    pub fn start_on(directory: TempDir, settings: &Settings) -> Self {
        let (child, log, address) = launch(&directory, settings);
        Self {
            child,
            address,
            settings: settings.clone(),
            directory,
            log,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `--db-path` says.
    pub fn db_path(&self) -> PathBuf {
        db_path(self.directory.path())
    }

    /// A new RESP2 connection.
    pub fn client(&self) -> Client {
        Client::connect(self.address, Protocol::Resp2)
    }

    /// Stops it as an operator does, fails unless it exits with 0, and starts it again.
    #[must_use]
    pub fn restart(self) -> Self {
        let settings = self.settings.clone();
        let directory = self.stop();
        Self::start_on(directory, &settings)
    }

    /// Starts it again after its end, on the same directory.
    #[must_use]
    pub fn restart_ended(mut self) -> Self {
        self.child.wait().expect("the child is ours to wait for");
        let settings = self.settings.clone();
        Self::start_on(self.into_directory(), &settings)
    }

    /// Kills it as the kernel does, and starts it again.
    #[must_use]
    pub fn kill_and_restart(self) -> Self {
        let settings = self.settings.clone();
        let directory = self.kill();
        Self::start_on(directory, &settings)
    }

    /// SIGTERM; fails unless the process exits with 0 before the deadline. Gives the directory.
    pub fn stop(mut self) -> TempDir {
        self.signal(Signal::TERM);
        self.expect_exit(0);
        self.into_directory()
    }

    /// SIGKILL, as from the kernel out of memory. Gives the directory.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().expect("the child is ours to kill");
        self.child.wait().expect("the child is ours to wait for");
        self.into_directory()
    }

    /// Kills it, kills so many successors while they start, and starts the one that stays.
    #[must_use]
    pub fn kill_and_restart_under_kills(self, kills: usize) -> Self {
        let settings = self.settings.clone();
        let directory = self.kill();
        for kill in 0..kills {
            let mut child = spawn(&directory, &settings);
            // The first dies at its first line of log, or when it is ready; the others at once.
            if kill == 0 {
                let stderr = child.stderr.take().expect("stderr is piped");
                BufReader::new(stderr).read_line(&mut String::new()).ok();
            }
            child.kill().expect("the child is ours to kill");
            child.wait().expect("the child is ours to wait for");
        }
        Self::start_on(directory, &settings)
    }

    /// Sends a signal. After SIGSTOP the process does nothing more: its threads stop one by one,
    /// and that is waited for.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.raw_pid(), signal).expect("the child takes signals");
        if signal == Signal::STOP {
            let begun = Instant::now();
            while !self.is_stopped() {
                assert!(begun.elapsed() < DEADLINE, "it does not stop");
                thread::yield_now();
            }
        }
    }

    fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let states = threads.map(|thread| {
            let status = thread.expect("it can be listed").path().join("status");
            fs::read_to_string(status).expect("the thread is there")
        });
        states
            .into_iter()
            .all(|status| status.contains("State:\tT"))
    }

    /// Waits for the process to end and checks its exit code.
    pub fn expect_exit(&mut self, code: i32) {
        let status = wait(&mut self.child, DEADLINE);
        let log: Vec<String> = self.log.try_iter().collect();
        match status {
            Some(status) if status.code() == Some(code) => {}
            Some(status) => panic!(
                "expected exit code {code}, got {status}:\n{}",
                log.join("\n")
            ),
            None => panic!(
                "still running {DEADLINE:?} after its end:\n{}",
                log.join("\n")
            ),
        }
    }

    /// Waits for a line of the log.
    pub fn wait_for_log(&self, text: &str) -> String {
        wait_for_line(&self.log, text).unwrap_or_else(|seen| {
            panic!(
                "no line with '{text}' in the log, which says:\n{}",
                seen.join("\n")
            )
        })
    }

    /// A number of `/proc/<pid>/status`: `Threads`, or `VmRSS` and `RssAnon` in kB.
    pub fn process_status(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("the process runs");
        let line = status
            .lines()
            .find(|line| line.starts_with(&format!("{field}:")));
        let line = line.unwrap_or_else(|| panic!("no {field} in /proc/<pid>/status"));
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        digits.parse().expect("a number stands there")
    }

    fn raw_pid(&self) -> Pid {
        let pid = i32::try_from(self.child.id()).expect("process ids fit");
        Pid::from_raw(pid).expect("process ids are not zero")
    }

    fn into_directory(mut self) -> TempDir {
        let empty = TempDir::new().expect("a temporary directory can be made");
        std::mem::replace(&mut self.directory, empty)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            let log: Vec<String> = self.log.try_iter().collect();
            let tail = log.len().saturating_sub(40);
            let text = log[tail..].join("\n");
            io::Write::write_all(
                &mut io::stderr(),
                format!("--- the server's log, from its last start:\n{text}\n---\n").as_bytes(),
            )
            .ok();
        }
    }
}

/// Runs the server with these arguments until it ends: for flags and errors at start.
pub fn run_to_end(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut child = command()
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server's binary starts");
    let stdout = collect(child.stdout.take().expect("stdout is piped"));
    let stderr = collect(child.stderr.take().expect("stderr is piped"));
    let status = wait(&mut child, DEADLINE);
    if status.is_none() {
        child.kill().ok();
        child.wait().ok();
    }
    let stdout = stdout.join().expect("the reader ends with the process");
    let stderr = stderr.join().expect("the reader ends with the process");
    match status {
        Some(status) => Ended {
            code: status.code(),
            stdout,
            stderr,
        },
        None => panic!("{arguments:?} did not end:\n{stdout}{stderr}"),
    }
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// A binary of this workspace, built beside the test executable.
pub fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the test knows its own path");
    let directory = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps/<test>");
    let path = directory.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --bins` first",
        path.display()
    );
    path
}

/// The path under a test's directory that `--db-path` names.
pub fn db_path(directory: &Path) -> PathBuf {
    directory.join("data")
}

/// A command that runs the server without any setting of the surrounding environment.
pub fn command() -> Command {
    let mut command = Command::new(binary("meilies-server"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("MEILIES_") {
            command.env_remove(name);
        }
    }
    command
}

fn launch(directory: &TempDir, settings: &Settings) -> (Child, Receiver<String>, SocketAddr) {
    let mut child = spawn(directory, settings);
    let log = lines(child.stderr.take().expect("stderr is piped"));
    let address = match wait_for_line(&log, READY) {
        Ok(line) => ready_address(&line),
        Err(seen) => {
            child.kill().ok();
            child.wait().ok();
            panic!("the server did not log '{READY}' but:\n{}", seen.join("\n"));
        }
    };
    (child, log, address)
}

fn spawn(directory: &TempDir, settings: &Settings) -> Child {
    let mut command = command();
    if !settings.bare {
        command
            .args(["--port", "0", "--db-path"])
            .arg(db_path(directory.path()));
    }
    command
        .args(&settings.flags)
        .envs(settings.environment.iter().cloned())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server's binary starts")
}

/// The first address on the line that says that the server is ready.
fn ready_address(line: &str) -> SocketAddr {
    let is_part = |c: char| c.is_ascii_hexdigit() || ".:[]".contains(c);
    let after = &line[line.find(READY).expect("the line was chosen for it") + READY.len()..];
    let words = after.split(|c: char| !is_part(c));
    let mut addresses = words.filter_map(|word| {
        // A list in brackets, or an IPv6 address in its own.
        word.parse()
            .or_else(|_| word.strip_prefix('[').unwrap_or(word).parse())
            .or_else(|_| word.trim_end_matches(']').trim_start_matches('[').parse())
            .ok()
    });
    addresses
        .next()
        .unwrap_or_else(|| panic!("no address in the log line: {line}"))
}

/// The lines of a stream as they come, read by a thread of their own.
pub(crate) fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // When nobody looks any more the pipe is read all the same: it must not fill up.
            sender.send(line).ok();
        }
    });
    receiver
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The first line that contains the text, or all lines when the stream ends or the deadline passes.
pub(crate) fn wait_for_line(log: &Receiver<String>, text: &str) -> Result<String, Vec<String>> {
    let until = Instant::now() + DEADLINE;
    let mut seen = Vec::new();
    loop {
        match log.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(text) => return Ok(line),
            Ok(line) => seen.push(line),
            Err(_) => return Err(seen),
        }
    }
}

/// Waits for a child to end. The standard library has no wait with a deadline: a thread that
/// waits for the end of a pipe would be no shorter, so this asks at short intervals.
pub fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait().expect("the child is ours to wait for") {
            return Some(status);
        }
        if Instant::now() > until {
            return None;
        }
        thread::park_timeout(Duration::from_millis(2));
    }
}
