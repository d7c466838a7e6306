//! How the program ends: SIGTERM, SIGINT and the command SHUTDOWN stop it gracefully – no new
//! clients, queue drained, everything synced, the store marked clean – and a second signal ends it
//! at once, which costs a recovery at the next start but no acknowledged event.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::engine::StoreError;
use crate::server::Server;

/// The signals that end the program.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: what service managers send.
    Terminate,
    /// SIGINT: control-C.
    Interrupt,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Ending::Terminate => "SIGTERM",
            Ending::Interrupt => "SIGINT",
        }
    }

    /// 128 and the signal's number, as shells report a program that a signal ended.
    fn exit_code(self) -> i32 {
        match self {
            Ending::Terminate => 128 + 15,
            Ending::Interrupt => 128 + 2,
        }
    }
}

impl Signals {
    /// Takes the signals over: from now on they no longer end the program by themselves. To be
    /// called in a runtime, before the store is opened, so that none is lost.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending::Terminate,
            _ = self.interrupt.recv() => Ending::Interrupt,
        }
    }

    /// Waits for work that can be broken off anywhere; the first signal ends the program.
    pub async fn end_at_once_or<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            ending = self.next() => end_at_once(ending),
        }
    }
}

/// Serves until a signal or SHUTDOWN asks for the end, then stops. A second signal does not come
/// back from here.
pub async fn serve_until_stopped(server: Server, mut signals: Signals) -> Result<(), StoreError> {
    let reason = tokio::select! {
        ending = signals.next() => ending.name(),
        () = server.stop_requested() => "SHUTDOWN",
    };
    tracing::info!(reason, "stopping; another signal ends the program at once");
    signals.end_at_once_or(server.stop()).await
}

fn end_at_once(ending: Ending) -> ! {
    tracing::warn!(
        signal = ending.name(),
        "ending at once: the next start recovers from the log, no acknowledged event is lost"
    );
    std::process::exit(ending.exit_code());
}
