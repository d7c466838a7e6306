//! The clients that are not Rust, as programs: each takes a host, a port and a protocol, checks
//! every reply itself, and ends with `ok` and the number of checks, or with what did not hold.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use meilies_tests::process;

use super::server::Server;

/// How long a life may take on a machine that does much else.
const LIFE_DEADLINE: Duration = Duration::from_secs(120);

/// A client's program.
pub(crate) struct Program {
    runtime: Runtime,
    path: &'static str,
    /// A life that leaves steps out has fewer checks than this.
    checks_min: usize,
}

enum Runtime {
    Python,
    Node,
}

pub(crate) const REDIS_PY: Program = Program {
    runtime: Runtime::Python,
    path: "python/blocking.py",
    checks_min: 296,
};

pub(crate) const REDIS_PY_ASYNCIO: Program = Program {
    runtime: Runtime::Python,
    path: "python/asynchronous.py",
    checks_min: 296,
};

pub(crate) const IOREDIS: Program = Program {
    runtime: Runtime::Node,
    path: "ioredis/main.js",
    checks_min: 299,
};

pub(crate) const NODE_REDIS: Program = Program {
    runtime: Runtime::Node,
    path: "node-redis/main.js",
    checks_min: 298,
};

/// Lives the life of a client on a server of its own.
pub(crate) fn live<S: Server>(program: &Program, protocol: &str) {
    let server = S::start();
    let address = server.address();
    let mut command = program.command();
    command.args([
        &address.ip().to_string(),
        &address.port().to_string(),
        protocol,
    ]);
    let output = run(command);
    let last = output.lines().last().unwrap_or_default();
    let checks = last
        .strip_prefix("ok ")
        .and_then(|count| count.parse::<usize>().ok())
        .unwrap_or_else(|| panic!("{} did not end with its checks:\n{output}", program.path));
    assert!(
        checks >= program.checks_min,
        "{} made {checks} checks of at least {}",
        program.path,
        program.checks_min
    );
}

impl Program {
    fn command(&self) -> Command {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let installed = clients.join(".installed");
        assert!(
            installed.join("stamp").exists(),
            "the foreign clients are not installed: run ./tests/install-clients (./tests/run does)"
        );
        let mut command = match self.runtime {
            Runtime::Python => {
                let mut command = Command::new(installed.join("python/bin/python"));
                // Without the caller's Python settings, and without files beside the sources.
                command.args(["-E", "-B"]);
                command
            }
            Runtime::Node => {
                let mut command = Command::new("node");
                command
                    .env("NODE_PATH", installed.join("node_modules"))
                    .env_remove("NODE_OPTIONS");
                command
            }
        };
        command.arg(clients.join(self.path));
        command
    }
}

/// Runs a program to its end and gives what it said; fails unless it exits with 0.
fn run(mut command: Command) -> String {
    let mut output = tempfile::tempfile().expect("a temporary file can be made");
    let handle = || Stdio::from(output.try_clone().expect("a handle can be cloned"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(handle())
        .stderr(handle())
        .spawn()
        .unwrap_or_else(|error| {
            let program = PathBuf::from(command.get_program());
            panic!(
                "{}: {error}: run ./tests/install-clients",
                program.display()
            )
        });
    let status = process::wait(&mut child, LIFE_DEADLINE);
    if status.is_none() {
        child.kill().expect("the child is ours to kill");
        child.wait().expect("the child is ours to wait for");
    }
    let said = all(&mut output);
    match status {
        Some(status) => assert!(status.success(), "{command:?}: {status}\n{said}"),
        None => panic!("{command:?} still runs after {LIFE_DEADLINE:?}:\n{said}"),
    }
    said
}

fn all(output: &mut File) -> String {
    let mut bytes = Vec::new();
    output.rewind().expect("a file has a beginning");
    output.read_to_end(&mut bytes).expect("a file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}
