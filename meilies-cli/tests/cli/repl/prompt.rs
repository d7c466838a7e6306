//! The prompt on a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use meilies_tests::process::wait;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tempfile::TempDir;

use crate::harness::DEADLINE;

/// The prompt on a terminal of its own, killed when dropped.
pub(crate) struct Prompt {
    child: Child,
    controller: File,
    output: Receiver<Vec<u8>>,
    /// What has come and was not waited for yet.
    seen: String,
    _home: TempDir,
}

impl Prompt {
    /// Starts it with a home of its own.
    pub(crate) fn start(mut command: Command) -> Prompt {
        let home = TempDir::new().expect("a temporary directory can be made");
        command.env("HOME", home.path());
        Prompt::start_in(command, home)
    }

    /// Starts it with the home that the command says.
    pub(crate) fn start_at_home(command: Command) -> Prompt {
        let unused = TempDir::new().expect("a temporary directory can be made");
        Prompt::start_in(command, unused)
    }

    fn start_in(mut command: Command, home: TempDir) -> Prompt {
        if !command.get_envs().any(|(name, _)| name == "XDG_STATE_HOME") {
            command.env_remove("XDG_STATE_HOME");
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let controller = openpt(flags).expect("there are terminals");
        grantpt(&controller).expect("the terminal is ours");
        unlockpt(&controller).expect("the terminal is ours");
        let path = ptsname(&controller, Vec::new()).expect("the terminal has a path");
        let path = Path::new(path.to_str().expect("it is text")).to_owned();
        let side = File::options().read(true).write(true).open(path);
        let side = side.expect("the terminal can be opened");
        let window = Winsize {
            ws_row: 25,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&side, window).expect("it is a terminal");
        let copy = || side.try_clone().expect("files can be copied");
        let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn();
        let controller = File::from(controller);
        let reading = controller.try_clone().expect("files can be copied");
        Prompt {
            child: child.expect("the command starts"),
            controller,
            output: chunks(reading),
            seen: String::new(),
            _home: home,
        }
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        let written = self.controller.write_all(text.as_bytes());
        written.expect("the terminal takes keys");
    }

    /// Types a text and Enter.
    pub(crate) fn enter(&mut self, line: &str) {
        self.type_text(&format!("{line}\r"));
    }

    /// Waits until a text appears, colours included, and gives what comes up to its end.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        while !self.seen.contains(text) {
            self.read(until, text);
        }
        self.take(text)
    }

    /// Waits until a text appears, whatever its colours and gaps are.
    pub(crate) fn until_plain(&mut self, text: &str) {
        let until = Instant::now() + DEADLINE;
        while !plain(&self.seen).contains(text) {
            self.read(until, text);
        }
        self.seen = plain(&self.seen);
        self.take(text);
    }

    fn read(&mut self, until: Instant, text: &str) {
        let left = until.saturating_duration_since(Instant::now());
        match self.output.recv_timeout(left) {
            Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
            Err(error) => panic!("'{text}' does not come: {error}: {:?}", self.seen),
        }
    }

    fn take(&mut self, text: &str) -> String {
        let at = self.seen.find(text).expect("it was seen") + text.len();
        let rest = self.seen.split_off(at);
        std::mem::replace(&mut self.seen, rest)
    }

    /// Whether keys come one by one, as an editor of lines wants it.
    pub(crate) fn is_edited(&self) -> bool {
        let modes = tcgetattr(&self.controller).expect("it is a terminal");
        !modes.local_modes.contains(LocalModes::ICANON)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids fit");
        let pid = Pid::from_raw(pid).expect("process ids are not zero");
        kill_process(pid, signal).expect("the child takes signals");
    }

    /// Waits for its end and gives its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        let status = wait(&mut self.child, DEADLINE);
        status.expect("it ends in time").code()
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What comes, read by a thread of its own until the terminal is gone.
fn chunks(mut terminal: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(read @ 1..) = terminal.read(&mut buffer) {
            // When nobody looks any more it is read all the same: the program must not block.
            sender.send(buffer[..read].to_vec()).ok();
        }
    });
    receiver
}

/// A text without the sequences that colour it or move the cursor.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        out.push_str(before);
        let end = sequence.find(|character: char| character.is_ascii_alphabetic());
        rest = end.map_or("", |end| &sequence[end + 1..]);
    }
    out + rest
}
