//! The server inside the test's own process, through the library, as any Rust program can run it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use meilies_server::config::Invocation;
use meilies_server::engine::Engine;
use meilies_server::engine::local::{LocalConfig, LocalEngine};
use meilies_server::engine::memory::MemoryEngine;
use meilies_server::{Config, Server};
use tokio::runtime::Runtime;

/// A server and the runtime that it runs on; both end when it is dropped.
#[derive(Debug)]
pub struct InProcess {
    runtime: Runtime,
    server: Server,
}

impl InProcess {
    /// Starts a server that keeps its events in memory only.
    pub fn start_in_memory(flags: &[String]) -> Self {
        Self::start(&config(flags), Arc::new(MemoryEngine::new()))
    }

    /// Starts a server on a directory.
    pub fn start_on(directory: &Path, flags: &[String]) -> Self {
        let engine = LocalEngine::open(&LocalConfig::new(directory));
        Self::start(
            &config(flags),
            Arc::new(engine.expect("the directory is ours")),
        )
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    /// Stops it gracefully.
    pub fn stop(self) {
        self.runtime
            .block_on(self.server.stop())
            .expect("the store closes cleanly");
    }

    fn start(config: &Config, engine: Arc<dyn Engine>) -> Self {
        let runtime = Runtime::new().expect("a runtime can be made");
        let server = runtime.block_on(Server::start(config, engine));
        Self {
            runtime,
            server: server.expect("a port is free"),
        }
    }
}

/// The configuration that these flags make, on a port that the system chooses.
fn config(flags: &[String]) -> Config {
    let own = ["meilies-server", "--port", "0"].map(OsString::from);
    let arguments = own.into_iter().chain(flags.iter().map(OsString::from));
    match Invocation::read(arguments, &|_| None) {
        Ok(Invocation::Serve(config)) => config,
        other => panic!("the flags do not serve: {other:?}"),
    }
}
