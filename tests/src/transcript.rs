//! Transcripts: what is said on the wire, as data.
//!
//! ```text
//! server --max-event-bytes 64      flags, before anything else
//! only local | memory | resp2 | resp3     where it holds; else everywhere
//! also redis                       Redis says the same: run against redis-server, too
//! > PUBLISH orders created {}      a command (of the connection without a name)
//! < :0                             its reply
//! b> SUBSCRIBE orders:0            the connection named b, opened at its first mention
//! b< >[subscribe, orders:0, :1]    a push: in order within its source
//! b<3 {…}                          a reply in RESP3 only; b<2 in RESP2 only
//! b! *1\r\n$4\r\nPING\r\n          raw bytes
//! b plain                          open it without HELLO
//! b closed                         the server closes it
//! b close                          close it
//! restart                          SIGTERM, exit 0, start on the same directory
//! kill                             SIGKILL, start on the same directory
//! ```
//!
//! Consecutive commands of a connection go out in one write. At the end nothing may be left unread.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::client::{self, Client};
use crate::pattern::{self, Labels, Pattern};
use crate::resp::{Protocol, Value};
use crate::words;

/// A server that transcripts run against.
pub trait Backend {
    /// Where it listens.
    fn address(&self) -> SocketAddr;
    /// Stops it gracefully and starts it again on what it stored.
    fn restart(&mut self);
    /// Kills it and starts it again on what it stored.
    fn kill(&mut self);
}

/// One file.
#[derive(Debug)]
pub struct Transcript {
    /// The file's name without its ending.
    pub name: String,
    /// Flags of the server.
    pub flags: Vec<String>,
    /// Engines and protocol versions it is limited to.
    pub only: Vec<String>,
    /// Whether Redis says the same.
    pub also_redis: bool,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    line: usize,
    connection: String,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Send(Vec<u8>, Option<Protocol>),
    Expect {
        pattern: Pattern,
        text: String,
        protocol: Option<Protocol>,
    },
    Plain,
    Close,
    Closed,
    Restart,
    Kill,
}

const ENGINES: [&str; 2] = ["local", "memory"];

impl Transcript {
    /// All transcripts of the repository, or those whose name contains `TRANSCRIPT`.
    pub fn all() -> Vec<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
        let filter = std::env::var("TRANSCRIPT").unwrap_or_default();
        let entries = fs::read_dir(&directory).expect("tests/transcripts can be listed");
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("the directory can be listed").path())
            .collect();
        paths.sort();
        let transcripts = paths.iter().map(|path| Self::load(path));
        transcripts
            .filter(|transcript| transcript.name.contains(&filter))
            .collect()
    }

    /// Whether it holds on this engine in this version.
    pub fn holds_on(&self, engine: &str, protocol: Protocol) -> bool {
        let version = match protocol {
            Protocol::Resp2 => "resp2",
            Protocol::Resp3 => "resp3",
        };
        let excluded = |names: [&str; 2], this: &str| {
            self.only
                .iter()
                .any(|only| names.contains(&only.as_str()) && only != this)
        };
        let restarts = self
            .steps
            .iter()
            .any(|step| matches!(step.action, Action::Restart | Action::Kill));
        let impossible = restarts && engine == "memory";
        !impossible && !excluded(["resp2", "resp3"], version) && !excluded(ENGINES, engine)
    }

    /// Runs it; fails with the line that did not hold.
    pub fn run(&self, backend: &mut dyn Backend, protocol: Protocol) {
        Run {
            backend,
            protocol,
            clients: BTreeMap::new(),
            labels: Labels::new(),
        }
        .all(self);
    }

    fn load(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("transcripts can be read");
        let name = path
            .file_stem()
            .expect("transcripts have names")
            .to_string_lossy();
        let mut transcript = Self {
            name: name.into_owned(),
            flags: Vec::new(),
            only: Vec::new(),
            also_redis: false,
            steps: Vec::new(),
        };
        for (line, text) in logical_lines(&text) {
            transcript.add_line(line, &text);
        }
        transcript
    }

    fn add_line(&mut self, line: usize, text: &str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let alone = |action| Step {
            line,
            connection: String::new(),
            action,
        };
        match word {
            "server" => self
                .flags
                .extend(rest.split_whitespace().map(str::to_owned)),
            "only" => self.only.extend(rest.split_whitespace().map(str::to_owned)),
            "also" => self.also_redis = rest == "redis",
            "restart" => self.steps.push(alone(Action::Restart)),
            "kill" => self.steps.push(alone(Action::Kill)),
            _ => self.steps.push(connection_step(&self.name, line, text)),
        }
    }
}

/// Lines without comments; a line that begins with a blank goes on with the one before.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with(' ') => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push((index + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

fn connection_step(file: &str, line: usize, text: &str) -> Step {
    let name_end = text
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    let action = match rest.chars().next() {
        Some('>') => send(&rest[1..]),
        Some('!') => Action::Send(
            words::unescape(rest[1..].strip_prefix(' ').unwrap_or("")),
            None,
        ),
        Some('<') => expect(&rest[1..]),
        _ => match rest.trim() {
            "plain" => Action::Plain,
            "close" => Action::Close,
            "closed" => Action::Closed,
            _ => panic!("{file}.resp:{line}: not a step: {text}"),
        },
    };
    Step {
        line,
        connection: name.to_owned(),
        action,
    }
}

fn send(line: &str) -> Action {
    let arguments = words::split(line);
    let hello = arguments
        .first()
        .is_some_and(|name| name.eq_ignore_ascii_case(b"hello"));
    let reset = arguments
        .first()
        .is_some_and(|name| name.eq_ignore_ascii_case(b"reset"));
    let protocol = match arguments.get(1).map(Vec::as_slice) {
        Some(b"2") if hello => Some(Protocol::Resp2),
        Some(b"3") if hello => Some(Protocol::Resp3),
        None if reset => Some(Protocol::Resp2),
        _ => None,
    };
    Action::Send(client::encode(&arguments), protocol)
}

fn expect(rest: &str) -> Action {
    let (protocol, rest) = match rest.split_at_checked(1) {
        Some(("2", rest)) => (Some(Protocol::Resp2), rest),
        Some(("3", rest)) => (Some(Protocol::Resp3), rest),
        _ => (None, rest),
    };
    let text = rest.trim().to_owned();
    Action::Expect {
        pattern: Pattern::parse(&text),
        text,
        protocol,
    }
}

struct Run<'a> {
    backend: &'a mut dyn Backend,
    protocol: Protocol,
    clients: BTreeMap<String, Client>,
    labels: Labels,
}

impl Run<'_> {
    fn all(&mut self, transcript: &Transcript) {
        let mut steps = transcript.steps.iter().peekable();
        let mut pipeline = Vec::new();
        while let Some(step) = steps.next() {
            let place = format!("{}.resp:{}", transcript.name, step.line);
            if let Action::Send(bytes, version) = &step.action {
                pipeline.extend_from_slice(bytes);
                let client = self.client(&step.connection);
                if let Some(version) = version {
                    client.set_protocol(*version);
                }
                let more = steps.peek().is_some_and(|next| {
                    next.connection == step.connection && matches!(next.action, Action::Send(..))
                });
                if !more {
                    client.send(&std::mem::take(&mut pipeline));
                }
            } else {
                self.step(step, &place);
            }
        }
        self.expect_nothing_left(&transcript.name);
    }

    fn step(&mut self, step: &Step, place: &str) {
        match &step.action {
            Action::Send(..) => unreachable!("gathered by the caller"),
            Action::Expect {
                pattern,
                text,
                protocol,
            } => {
                if protocol.is_none_or(|only| only == self.protocol) {
                    self.expect(&step.connection, pattern, text, place);
                }
            }
            Action::Plain => {
                let client = Client::connect_plain(self.backend.address());
                self.clients.insert(step.connection.clone(), client);
            }
            Action::Close => drop(self.clients.remove(&step.connection)),
            Action::Closed => {
                self.client(&step.connection).expect_closed();
                self.clients.remove(&step.connection);
            }
            Action::Restart => {
                self.clients.clear();
                self.backend.restart();
            }
            Action::Kill => {
                self.clients.clear();
                self.backend.kill();
            }
        }
    }

    fn expect(&mut self, connection: &str, pattern: &Pattern, text: &str, place: &str) {
        let mut labels = std::mem::take(&mut self.labels);
        let client = self.client(connection);
        let value = match pattern.push_source() {
            Some(source) => client.push_where(|push| pattern::push_source(push) == source),
            None => client.reply(),
        };
        let protocol = client.protocol();
        let holds = pattern.matches(&value, protocol, &mut labels);
        assert!(
            holds,
            "{place}: in {protocol:?}\n  expected {text}\n  got      {value}"
        );
        self.labels = labels;
    }

    fn client(&mut self, name: &str) -> &mut Client {
        let (address, protocol) = (self.backend.address(), self.protocol);
        self.clients
            .entry(name.to_owned())
            .or_insert_with(|| Client::connect(address, protocol))
    }

    fn expect_nothing_left(&mut self, transcript: &str) {
        for (name, client) in &mut self.clients {
            client.call("ECHO end");
            let left: Vec<String> = client.left_over().map(Value::to_string).collect();
            assert!(
                left.is_empty(),
                "{transcript}.resp: '{name}' also got {}",
                left.join(" ")
            );
        }
    }
}
