//! What all connections of one server share.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::config::Settings;
use crate::event_log::EventLog;
use crate::metrics::Metrics;
use crate::metrics::latency;
use crate::session::{Clients, Monitors, Pause, Touches};

/// One server.
#[derive(Debug)]
pub struct Context {
    /// Settings, some of which change while the server runs.
    pub settings: Settings,
    /// Every client that is connected.
    pub clients: Clients,
    /// The events.
    pub event_log: EventLog,
    /// Counters.
    pub metrics: Metrics,
    /// Which commands wait for the end of a CLIENT PAUSE.
    pub pause: Pause,
    /// Who is shown every command.
    pub monitors: Arc<Monitors>,
    /// When streams were used last.
    pub touches: Arc<Touches>,
    /// A BGSAVE is under way.
    pub saving: AtomicBool,
    /// The last one failed.
    pub save_failed: AtomicBool,
    /// When the server started, by the clock on the wall.
    pub started_at: SystemTime,
    /// When it started, by the clock that never goes back.
    pub started: Instant,
    /// 40 hexadecimal digits drawn at the start.
    pub run_id: String,
    /// Addresses that are listened on.
    pub addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
}

impl Context {
    /// A server that starts now.
    pub fn new(settings: Settings, event_log: EventLog, addresses: Vec<SocketAddr>) -> Self {
        Context {
            settings,
            clients: Clients::default(),
            event_log,
            metrics: Metrics::default(),
            pause: Pause::default(),
            monitors: Arc::default(),
            touches: Arc::default(),
            saving: AtomicBool::new(false),
            save_failed: AtomicBool::new(false),
            started_at: SystemTime::now(),
            started: Instant::now(),
            run_id: draw_id(),
            addresses,
            stop: watch::Sender::new(false),
        }
    }

    /// Notes the syncs of the log that take long.
    pub fn watch_syncs(self: &Arc<Self>) {
        // The engine is part of the context: it must not keep it alive.
        let context = Arc::downgrade(self);
        let engine = self.event_log.engine();
        engine.watch_syncs(Box::new(move |took| {
            if let Some(context) = context.upgrade() {
                let threshold_ms = context.settings.latency_monitor_threshold_ms();
                let latency = &context.metrics.latency;
                latency.add(latency::SYNC, took, threshold_ms);
            }
        }));
    }

    /// How long the server runs.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks whoever runs the server to stop it.
    pub fn request_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves when a stop was asked for.
    pub async fn stop_requested(&self) {
        let mut stop = self.stop.subscribe();
        // It does not fail: the sender lives as long as `self`.
        let _stopped = stop.wait_for(|stop| *stop).await;
    }
}

fn draw_id() -> String {
    let bytes: [u8; 20] = rand::random();
    bytes
        .iter()
        .fold(String::with_capacity(40), |mut id, byte| {
            // Writing to a string does not fail.
            let _written = write!(id, "{byte:02x}");
            id
        })
}
