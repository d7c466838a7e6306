//! What a life is lived on: MeiliES, or Redis as the judge of the checks.

use std::net::SocketAddr;

use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::redis_process::RedisProcess;

/// A server of the test's own, stopped when dropped.
pub(crate) trait Server: Sized {
    /// Starts it with nothing stored.
    fn start() -> Self;
    /// Where it listens.
    fn address(&self) -> SocketAddr;
}

impl Server for ServerProcess {
    fn start() -> Self {
        Self::start(&Settings::default())
    }

    fn address(&self) -> SocketAddr {
        self.address()
    }
}

impl Server for RedisProcess {
    fn start() -> Self {
        Self::start(&[])
    }

    fn address(&self) -> SocketAddr {
        self.address()
    }
}
