//! Redis itself as a child process: the judge of what "as Redis does" means.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process;

/// A running `redis-server` without persistence, killed when dropped.
#[derive(Debug)]
pub struct RedisProcess {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl RedisProcess {
    /// Starts it on a free port.
    pub fn start(flags: &[String]) -> Self {
        const ATTEMPTS_MAX: usize = 5;
        (0..ATTEMPTS_MAX)
            .find_map(|_| try_start(flags))
            .expect("redis-server finds a free port within a few attempts")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A program of Redis, which `tests/run` installs.
pub fn program(name: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&paths).map(|directory| directory.join(name));
    programs
        .find(|program| program.exists())
        .unwrap_or_else(|| panic!("{name} is missing: install redis-server and redis-tools"))
}

/// Redis takes no port 0: somebody else may take the free port before it does.
fn try_start(flags: &[String]) -> Option<RedisProcess> {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = free.local_addr().expect("a bound socket has an address");
    drop(free);
    let directory = TempDir::new().expect("a temporary directory can be made");
    let mut child = Command::new(program("redis-server"))
        .args(["--bind", "127.0.0.1", "--save", "", "--port"])
        .arg(address.port().to_string())
        .args(flags)
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts");
    let log = process::lines(child.stdout.take().expect("stdout is piped"));
    let ready = process::wait_for_line(&log, "Ready to accept connections").is_ok();
    if !ready {
        child.kill().ok();
        child.wait().ok();
        return None;
    }
    Some(RedisProcess {
        child,
        address,
        _directory: directory,
    })
}
