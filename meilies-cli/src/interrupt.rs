//! Ctrl-C, and the SIGTERM that service managers send: the program ends by itself, so that what it
//! has written is whole.
//!
//! Signals are counted from the start on, so that none is missed that comes between two works.

use std::future::Future;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::failure::Failure;

/// How many signals have come.
static SIGNALS: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

/// How many of them somebody has been told of.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// Begins to count signals, which no longer end the program by themselves.
pub(crate) fn listen() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            SIGNALS.send_modify(|signals| *signals += 1);
        }
    });
    Ok(())
}

/// Waits until the program is told to stop. Whoever waits again waits for the next time.
pub(crate) async fn interrupted() -> Result<(), Failure> {
    let told = TOLD.load(Ordering::Relaxed);
    let mut signals = SIGNALS.subscribe();
    // The sender is never dropped.
    if let Ok(now) = signals.wait_for(|signals| *signals > told).await {
        TOLD.fetch_max(*now, Ordering::Relaxed);
    }
    Ok(())
}

/// Does some work, which ends with [`Failure::Interrupted`] when the program is told to stop.
pub(crate) async fn or_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        _stopped = interrupted() => Err(Failure::Interrupted),
    }
}
