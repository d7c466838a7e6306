//! What happens to the connections of a client, for logs and health checks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// The one that commands share.
    Commands,
    /// That of a subscription.
    Subscription,
    /// That of a consumer of a group.
    Consumer,
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stands, and the server has greeted.
    Connected,
    /// It is gone, and not because it was closed here.
    Lost {
        /// What the error says.
        reason: String,
    },
    /// It will be tried again.
    Reconnecting {
        /// Counted from 1 since it was lost.
        attempt: u32,
        /// How long is waited before.
        delay: Duration,
    },
}

/// A change of a connection, as [`Builder::on_lifecycle`](crate::Builder::on_lifecycle) is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Which connection.
    pub connection: ConnectionKind,
    /// What happened.
    pub change: Change,
}

/// Whoever wants to be told.
#[derive(Clone, Default)]
pub(crate) struct Listener(Option<Arc<Callback>>);

type Callback = dyn Fn(&Lifecycle) + Send + Sync;

impl Listener {
    pub(crate) fn new(listener: impl Fn(&Lifecycle) + Send + Sync + 'static) -> Listener {
        Listener(Some(Arc::new(listener)))
    }

    pub(crate) fn tell(&self, connection: ConnectionKind, change: Change) {
        if let Some(listener) = &self.0 {
            listener(&Lifecycle { connection, change });
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "none" })
    }
}
