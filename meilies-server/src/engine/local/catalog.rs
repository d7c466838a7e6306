//! Stream names to what the committer needs of them, loaded before a write is queued.
//!
//! The committer never reads the log or the index. So a write is handed to it with the handle of
//! its stream, which holds all that it decides by: tail, last id. A handle that a queued write or a
//! watch of its name holds is never dropped from the catalog, and one that is dropped changed no
//! later than the checkpoint: so there is one handle per name, and it is never stale.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use meilies_protocol::StreamName;

use crate::engine::StreamSummary;

/// How many handles are kept before unused ones are dropped.
const HANDLES_MAX: usize = 65_536;

/// One stream name, as the committer sees it.
#[derive(Debug)]
pub(super) struct StreamHandle {
    pub(super) name: StreamName,
    state: Mutex<StreamState>,
}

/// What the committer decides by. Ahead of what is visible while a commit is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamState {
    /// `None` when there is no stream of this name.
    pub(super) stream: Option<StreamSummary>,
    /// The last commit that changed the stream or bound the name.
    pub(super) changed: u64,
    /// The last commit that bound the name to another stream or to none, while the handle was in
    /// memory.
    pub(super) bound: u64,
    /// Where the stream stands in the commit that is being assembled, by the assembly's number.
    pub(super) slot: Option<(u64, u32)>,
    /// The last savepoint and the last assembly under which this was noted.
    pub(super) noted: Noted,
}

/// When something was noted so that it can be put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) assembly: u64,
    pub(super) savepoint: u64,
}

impl StreamHandle {
    pub(super) fn state(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamState {
    /// The state of a name that is bound to this stream, or to none.
    pub(super) fn of(stream: Option<StreamSummary>) -> StreamState {
        StreamState {
            changed: stream.as_ref().map_or(0, |stream| stream.changed),
            stream,
            ..StreamState::default()
        }
    }
}

/// The handles that are in memory.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    handles: RwLock<Handles>,
}

#[derive(Debug, Default)]
struct Handles {
    by_name: HashMap<StreamName, Arc<StreamHandle>>,
    /// How often unused handles were dropped.
    sweeps: u64,
    /// Sweep when there are more than this.
    sweep_above: usize,
}

impl Catalog {
    /// The handle of this name if it is in memory, else a ticket to load it.
    pub(super) fn find(&self, name: &StreamName) -> Result<Arc<StreamHandle>, Ticket> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        match handles.by_name.get(name) {
            Some(handle) => Ok(Arc::clone(handle)),
            None => Err(Ticket(handles.sweeps)),
        }
    }

    /// Adds what was loaded after `ticket` was drawn. `None` when handles were dropped since: the
    /// stream may have changed and been dropped in between, so it must be loaded again.
    /// Handles that changed in commits below `durable` are in the index and may be dropped.
    pub(super) fn add(
        &self,
        ticket: Ticket,
        name: &StreamName,
        state: StreamState,
        durable: u64,
    ) -> Option<Arc<StreamHandle>> {
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        if handles.sweeps != ticket.0 {
            return None;
        }
        if let Some(handle) = handles.by_name.get(name) {
            return Some(Arc::clone(handle));
        }
        if handles.by_name.len() >= handles.sweep_above.max(HANDLES_MAX) {
            // What was loaded is as old as what was dropped now.
            handles.sweep(durable);
            return None;
        }
        // The name is a slice of a read buffer, which a long-lived handle must not pin.
        let name = name.detached();
        let handle = Arc::new(StreamHandle {
            name: name.clone(),
            state: Mutex::new(state),
        });
        handles.by_name.insert(name, Arc::clone(&handle));
        Some(handle)
    }
}

/// When a load began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

impl Handles {
    fn sweep(&mut self, durable: u64) {
        self.by_name.retain(|_, handle| {
            Arc::strong_count(handle) > 1 || {
                let state = handle.state();
                (state.stream.is_some() || state.changed > 0) && state.changed >= durable
            }
        });
        self.sweeps += 1;
        // Sweeping costs time in proportion to what stays: let as many come before the next.
        self.sweep_above = self.by_name.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> StreamName {
        StreamName::parse(format!("s{number}").into()).unwrap()
    }

    #[test]
    fn handles_in_use_or_not_yet_in_the_index_stay() {
        let catalog = Catalog::default();
        let mut kept = Vec::new();
        for number in 0..HANDLES_MAX {
            let ticket = catalog.find(&name(number)).unwrap_err();
            let changed = if number == 1 { 5 } else { 4 };
            let stream = StreamSummary {
                changed,
                ..StreamSummary::new(number as u64, name(number), 0)
            };
            let state = StreamState::of(Some(stream));
            let handle = catalog.add(ticket, &name(number), state, 5).unwrap();
            if number == 0 {
                kept.push(handle);
            }
        }
        let stale = catalog.find(&name(HANDLES_MAX)).unwrap_err();
        let fresh = catalog.find(&name(HANDLES_MAX + 1)).unwrap_err();
        let added = |ticket, number| {
            let unknown = StreamState::default();
            catalog.add(ticket, &name(number), unknown, 5).is_some()
        };
        assert!(
            !added(fresh, HANDLES_MAX + 1),
            "the sweep makes its own load too old"
        );
        let again = catalog.find(&name(HANDLES_MAX + 1)).unwrap_err();
        assert!(added(again, HANDLES_MAX + 1));
        assert!(catalog.find(&name(0)).is_ok(), "in use");
        assert!(
            catalog.find(&name(1)).is_ok(),
            "changed after the checkpoint"
        );
        assert!(catalog.find(&name(2)).is_err(), "dropped");
        assert!(!added(stale, HANDLES_MAX), "loaded before a sweep");
    }
}
