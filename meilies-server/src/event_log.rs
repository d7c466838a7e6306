//! What commands see of events: reading them, following them, appending them.
//!
//! Behind it is an engine; beside the engine stands the fan-out, one task that wakes the cursors
//! that sleep. Everything here is bounded by what a connection asks for, and nothing here waits
//! for a client.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use meilies_protocol::StreamName;
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod follow;
mod inbox;
mod notices;
mod subscription;
mod subscriptions;
mod turns;
mod waiting;
mod watchers;

pub use inbox::Inbox;
pub use subscription::Start;
pub use subscriptions::Subscriptions;
pub(crate) use waiting::Waiter;

use crate::engine::{Access, Engine, ReadOutcome, ReadRequest, StoreError};
use turns::Turns;
pub(crate) use turns::{Line, Place, What};
pub use watchers::Moment;
use watchers::Watchers;

/// The events, as one server has them.
#[derive(Clone, Debug)]
pub struct EventLog {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<dyn Engine>,
    /// The first position that is not visible yet.
    notice: watch::Receiver<u64>,
    watchers: Arc<Watchers>,
    subscriptions: AtomicUsize,
    /// Commands that wait for events.
    blocked: AtomicUsize,
    turns: Arc<Turns>,
    hook: OnceLock<HookFn>,
    fan_out: JoinHandle<()>,
}

/// A place where a test may step in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A cursor has read everything and is about to sleep.
    BeforeSleep,
}

/// What a test does there. It runs on the connection's task.
pub type HookFn = Arc<dyn Fn(Hook) + Send + Sync>;

impl EventLog {
    /// Begins to watch the engine's tail. Must be called within a tokio runtime.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        let watchers = Arc::new(Watchers::default());
        let fan_out = tokio::spawn(notices::fan_out(Arc::clone(&engine), Arc::clone(&watchers)));
        EventLog {
            shared: Arc::new(Shared {
                notice: engine.tail_notice(),
                engine,
                watchers,
                subscriptions: AtomicUsize::new(0),
                blocked: AtomicUsize::new(0),
                turns: Arc::default(),
                hook: OnceLock::new(),
                fan_out,
            }),
        }
    }

    /// The store itself.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.shared.engine
    }

    /// The first position that is not visible yet.
    pub fn visible(&self) -> u64 {
        *self.shared.notice.borrow()
    }

    /// Now: what is looked at from now on is no older.
    pub fn moment(&self) -> Moment {
        let touches = self.shared.watchers.touches();
        let visible = self.visible();
        Moment { visible, touches }
    }

    /// Stands in line with all who read for this group of these streams; if it is to claim what has
    /// been idle for so long, with those who do the same, too.
    pub(crate) fn stand_in_line(
        &self,
        streams: &[StreamName],
        group: &Bytes,
        claim_ms: Option<u64>,
        inbox: &Arc<Inbox>,
    ) -> Place {
        let names: BTreeSet<&StreamName> = streams.iter().collect();
        let lines = names.into_iter().flat_map(|name| {
            let what = [Some(What::New), claim_ms.map(What::Idle)];
            what.into_iter().flatten().map(|what| Line {
                stream: name.clone(),
                group: group.clone(),
                what,
            })
        });
        self.shared.turns.join(lines.collect(), inbox)
    }

    /// The lines for groups of a stream in which someone waits.
    pub(crate) fn waited_for(&self, stream: &StreamName) -> Vec<Line> {
        self.shared.turns.waited_for(stream)
    }

    /// Resolves when one of those who wait for groups leaves after this was called.
    pub(crate) fn reader_left(&self) -> impl Future<Output = ()> + '_ {
        self.shared.turns.left()
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.shared.subscriptions.load(Ordering::Relaxed)
    }

    /// How many commands wait for events.
    pub fn blocked(&self) -> usize {
        self.shared.blocked.load(Ordering::Relaxed)
    }

    /// How many of them sleep until an event comes.
    pub fn sleeping(&self) -> usize {
        self.shared.watchers.armed()
    }

    /// Everything below this position was told to the cursors that slept when it came.
    pub fn looked_at(&self) -> u64 {
        self.shared.watchers.processed()
    }

    /// Lets a test step in at a hook. Only the first call counts.
    pub fn set_hook(&self, hook: HookFn) {
        self.shared.hook.get_or_init(|| hook);
    }

    /// Reads from memory if that suffices, else from the disk on a thread for blocking work.
    pub async fn read(&self, request: ReadRequest) -> Result<ReadOutcome, StoreError> {
        match self.engine().read(&request, Access::Memory) {
            Err(StoreError::WouldBlock) => {
                let engine = Arc::clone(self.engine());
                let read = move || engine.read(&request, Access::Disk);
                tokio::task::spawn_blocking(read)
                    .await
                    .unwrap_or(Err(StoreError::Closed))
            }
            other => other,
        }
    }

    fn pass(&self, hook: Hook) {
        if let Some(step_in) = self.shared.hook.get() {
            step_in(hook);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.fan_out.abort();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("engine", &self.engine)
            .field("subscriptions", &self.subscriptions)
            .finish_non_exhaustive()
    }
}
