//! The program `meilies-server`: reads what it is told, opens the store, serves until it is asked
//! to stop. Everything else is in the library.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use meilies_server::config::{
    Config, ConfigError, Exposed, Fsync, Invocation, LogSwitch, make_room_for,
};
use meilies_server::engine::local::{self, LocalConfig, LocalEngine};
use meilies_server::engine::{Engine, StoreError};
use meilies_server::shutdown::{Signals, serve_until_stopped};
use meilies_server::{Server, StartError};

mod logging;

/// Why the program ends with a failure. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Exposed(#[from] Exposed),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Open(#[from] local::OpenError),
    #[error("the store could not be closed: {0}; the next start recovers it from its log")]
    Close(StoreError),
    #[error("cannot start the threads of the server: {0}")]
    Runtime(io::Error),
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
}

fn main() -> ExitCode {
    let outcome = match Invocation::from_process() {
        Ok(Invocation::Serve(config)) => serve(config),
        Ok(Invocation::Repair(config)) => repair(&config),
        // Help and version are on stdout with success, errors on stderr with usage.
        Err(ConfigError::Arguments(error)) => error.exit(),
        Err(error) => Err(Failure::from(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With stderr gone nobody is left to be told.
            let _written = writeln!(io::stderr(), "meilies-server: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut config: Config) -> Result<(), Failure> {
    let log_switch = logging::start(&config);
    let possible = make_room_for(config.max_clients);
    if possible < config.max_clients {
        tracing::warn!(
            wanted = config.max_clients,
            possible,
            "the system allows too few open files for --max-clients, which is lowered: raise \
             'ulimit -n', or LimitNOFILE in systemd"
        );
        config.max_clients = possible;
    }
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::Runtime)?;
    runtime.block_on(run(&config, log_switch))
}

async fn run(config: &Config, log_switch: LogSwitch) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::Signals)?;
    let engine = open_store(config, &mut signals).await?;
    let server = match Server::start(config, Arc::clone(&engine)).await {
        Ok(server) => server,
        Err(error) => {
            engine.close().await.map_err(Failure::Close)?;
            return Err(Failure::from(error));
        }
    };
    // A name may stand for an address that was not to be seen before.
    if let Err(exposed) = config.check_exposure(server.addresses().iter().map(SocketAddr::ip)) {
        server.stop().await.map_err(Failure::Close)?;
        return Err(Failure::from(exposed));
    }
    server.context().settings.set_log_switch(log_switch);
    let addresses: Vec<String> = server
        .addresses()
        .iter()
        .map(SocketAddr::to_string)
        .collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        addresses = addresses.join(", "),
        data = %config.db_path.display(),
        fsync = engine.statistics().fsync,
        "ready to accept connections"
    );
    serve_until_stopped(server, signals)
        .await
        .map_err(Failure::Close)
}

/// Opening may read much of the log: on a thread that may wait, and a signal ends it at once.
async fn open_store(config: &Config, signals: &mut Signals) -> Result<Arc<dyn Engine>, Failure> {
    let config = local_config(config);
    let opening = tokio::task::spawn_blocking(move || LocalEngine::open(&config));
    let opened = signals.end_at_once_or(opening).await;
    Ok(Arc::new(
        opened.map_err(|error| Failure::Runtime(error.into()))??,
    ))
}

fn repair(config: &Config) -> Result<(), Failure> {
    // The filter changes by CONFIG SET only, which needs a server.
    let _log_switch = logging::start(config);
    let places = local::repair(&local_config(config))?;
    for place in &places {
        tracing::warn!(
            file = %place.file,
            byte = place.byte,
            commits = format!("{} to {}", place.commits.0, place.commits.1 - 1),
            positions = format!("from {} below {}", place.positions.0, place.positions.1),
            accepted_now = place.accepted,
            "a damaged place"
        );
    }
    let accepted = places.iter().filter(|place| place.accepted).count();
    tracing::info!(damaged = places.len(), accepted, "the whole log was read");
    Ok(())
}

fn local_config(config: &Config) -> LocalConfig {
    LocalConfig {
        fsync: match config.fsync {
            Fsync::Always => local::Fsync::Always,
            Fsync::EverySecond => local::Fsync::EverySecond,
            Fsync::No => local::Fsync::No,
        },
        recent_bytes_max: config.recent_bytes,
        ..LocalConfig::new(&config.db_path)
    }
}
