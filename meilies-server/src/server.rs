//! The server: what it listens on, whom it lets in, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::{Config, Settings};
use crate::connection::{Connection, refuse};
use crate::context::Context;
use crate::engine::{Engine, StoreError};
use crate::event_log::EventLog;
use crate::limits::{ACCEPT_RETRY_MS, LISTEN_BACKLOG, STOP_GRACE_MS};

/// A server that runs in this process until [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    context: Arc<Context>,
    acceptors: JoinSet<()>,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A host name means no address.
    #[error("cannot resolve '{hostname}': {error}")]
    Resolve {
        /// The name.
        hostname: String,
        /// What the system said.
        error: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}{}", hint(.address, .error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

fn hint(address: &SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; another program listens on port {}: stop it or choose another port with --port",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => "; choose a port above 1023 with --port".to_owned(),
        io::ErrorKind::AddrNotAvailable => {
            "; this machine does not have that address: choose another with --hostname".to_owned()
        }
        _ => String::new(),
    }
}

impl Server {
    /// Listens, and serves what the engine keeps.
    pub async fn start(config: &Config, engine: Arc<dyn Engine>) -> Result<Server, StartError> {
        let listeners = listen(config).await?;
        let addresses = listeners.iter().map(|(_, address)| *address).collect();
        let settings = Settings::new(config);
        let context = Arc::new(Context::new(settings, EventLog::new(engine), addresses));
        context.watch_syncs();
        let mut acceptors = JoinSet::new();
        for (listener, _) in listeners {
            acceptors.spawn(accept(listener, Arc::clone(&context)));
        }
        Ok(Server { context, acceptors })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.context.addresses
    }

    /// What its connections share.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Resolves when SHUTDOWN or [`Context::request_stop`] asks for a stop.
    pub async fn stop_requested(&self) {
        self.context.stop_requested().await;
    }

    /// Takes no more clients, answers the writes that were handed over, closes the connections
    /// and then the store.
    pub async fn stop(mut self) -> Result<(), StoreError> {
        self.acceptors.shutdown().await;
        self.context.clients.drain();
        let grace = Duration::from_millis(STOP_GRACE_MS);
        if timeout(grace, self.context.clients.drained())
            .await
            .is_err()
        {
            let left = self.context.clients.all();
            tracing::warn!(
                clients = left.len(),
                "closing clients that do not take their replies"
            );
            for client in left {
                client.kill();
            }
            self.context.clients.drained().await;
        }
        self.context.event_log.engine().close().await
    }
}

/// Listens on every address that the host names mean. Of a name with several addresses those that
/// this machine does not have are left out, such as IPv6's where there is none.
async fn listen(config: &Config) -> Result<Vec<(TcpListener, SocketAddr)>, StartError> {
    let mut listeners: Vec<(TcpListener, SocketAddr)> = Vec::new();
    for hostname in &config.hostnames {
        let resolved = lookup_host((hostname.as_str(), config.port)).await;
        let addresses = resolved.map_err(|error| StartError::Resolve {
            hostname: hostname.clone(),
            error,
        })?;
        let mut absent = None;
        let mut any = false;
        for mut address in addresses {
            // A port that the system chose is the same on all addresses.
            if let (0, Some((_, first))) = (address.port(), listeners.first()) {
                address.set_port(first.port());
            }
            if listeners.iter().any(|(_, other)| *other == address) {
                any = true;
                continue;
            }
            match bind(address) {
                Ok(listener) => {
                    any = true;
                    listeners.push(listener);
                }
                Err(error) if is_absent(&error) => absent = Some((address, error)),
                Err(error) => return Err(StartError::Listen { address, error }),
            }
        }
        if let (false, Some((address, error))) = (any, absent) {
            return Err(StartError::Listen { address, error });
        }
    }
    Ok(listeners)
}

fn is_absent(error: &io::Error) -> bool {
    let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(unsupported)
}

fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Accepted sockets take this over: a client that vanished is noticed in the end.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    let listener = socket.listen(LISTEN_BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(listener: TcpListener, context: Arc<Context>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => admit(socket, peer, &context),
            Err(error) => {
                // Out of descriptors, most likely: some will be free again.
                tracing::warn!(%error, "cannot accept a client");
                sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

fn admit(socket: TcpStream, peer: SocketAddr, context: &Arc<Context>) {
    let metrics = &context.metrics;
    let Ok(local) = socket.local_addr() else {
        // The client is gone already.
        return;
    };
    if let Some(reason) = context.settings.refuses(&peer) {
        metrics.connections_rejected.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, "refused: not a local client and no password is set");
        return refuse(&socket, &reason);
    }
    let limit = context.settings.max_clients();
    let descriptor = socket.as_raw_fd();
    let Some(client) = context.clients.register(peer, local, descriptor, limit) else {
        metrics.connections_rejected.fetch_add(1, Ordering::Relaxed);
        return refuse(&socket, "ERR max number of clients reached");
    };
    metrics.connections_total.fetch_add(1, Ordering::Relaxed);
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "replies may be delayed");
    }
    tokio::spawn(Connection::new(context, socket, client).run());
}

#[cfg(test)]
mod tests;
