//! What the committer, the readers and the maintenance of one store share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::Duration;
use std::{fmt, io};

use meilies_protocol::StreamName;
use tokio::sync::{broadcast, watch};

use super::Fsync;
use super::catalog::{Catalog, StreamHandle, StreamState};
use super::checkpoint::Maintenance;
use super::cold::Cold;
use super::index::{DamageRow, Index, IndexError};
use super::live::{CommitChanges, Known, Live};
use super::log::{Log, Segment};
use super::reader::ResumePlaces;
use super::zones;
use crate::engine::{Access, Sightings, StoreError, StreamSummary, SyncWatch, TOUCHED_MAX};

/// Names kept for readers of all streams.
const NAMES_MAX: usize = 65_536;

/// One open store.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) fsync: Fsync,
    pub(super) store_id: String,
    pub(super) log: Arc<Log>,
    pub(super) index: Index,
    pub(super) catalog: Catalog,
    pub(super) maintenance: Maintenance,
    pub(super) figures: Figures,
    pub(super) resume_places: ResumePlaces,
    pub(super) tail_notice: watch::Sender<u64>,
    pub(super) touched: broadcast::Sender<Arc<[StreamName]>>,
    pub(super) sightings: Sightings,
    /// What was read from the disk for commands.
    pub(super) cold: Cold,
    /// Commits below are written.
    pub(super) written: AtomicU64,
    /// Commits below are synced.
    pub(super) synced: AtomicU64,
    live: RwLock<Live>,
    recent_meter: Arc<AtomicUsize>,
    names: RwLock<Names>,
    damage: RwLock<Vec<DamageRow>>,
    health: Mutex<Health>,
    /// The segment that is written now.
    open_segment: Mutex<Arc<Segment>>,
}

/// Names for readers of all streams.
#[derive(Debug, Default)]
struct Names {
    by_id: HashMap<u64, StreamName>,
    /// How often names were forgotten because streams were renamed or deleted.
    forgotten: u64,
}

/// What a store is made of when it opens.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) fsync: Fsync,
    pub(super) store_id: String,
    pub(super) log: Arc<Log>,
    pub(super) index: Index,
    pub(super) live: Live,
    pub(super) damage: Vec<DamageRow>,
    /// Commits below are in the index.
    pub(super) indexed: u64,
    pub(super) open_segment: Arc<Segment>,
}

/// Whether events can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    /// The last write failed; the next may work.
    WriteFailed(Arc<str>),
    /// A sync failed: nothing more is written.
    Poisoned(Arc<str>),
}

/// Counters for INFO.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) sync_watch: OnceLock<SyncWatch>,
    pub(super) syncs: AtomicU64,
    pub(super) sync_us_total: AtomicU64,
    pub(super) sync_us_max: AtomicU64,
    pub(super) checkpoint_commits: AtomicU64,
    pub(super) checkpoint_at: AtomicU64,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures")
            .field("syncs", &self.syncs)
            .field("checkpoint_commits", &self.checkpoint_commits)
            .finish_non_exhaustive()
    }
}

impl Figures {
    /// One sync was completed.
    pub(super) fn synced(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_us_total.fetch_add(us, Ordering::Relaxed);
        self.sync_us_max.fetch_max(us, Ordering::Relaxed);
        if let Some(watch) = self.sync_watch.get() {
            watch(took);
        }
    }
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Shared {
        let end = parts.live.end;
        Shared {
            fsync: parts.fsync,
            store_id: parts.store_id,
            log: parts.log,
            index: parts.index,
            catalog: Catalog::default(),
            maintenance: Maintenance::default(),
            figures: Figures {
                checkpoint_commits: AtomicU64::new(parts.indexed),
                ..Figures::default()
            },
            resume_places: ResumePlaces::default(),
            tail_notice: watch::Sender::new(end.next_position),
            touched: broadcast::Sender::new(TOUCHED_MAX),
            sightings: Sightings::default(),
            cold: Cold::default(),
            written: AtomicU64::new(end.commits),
            synced: AtomicU64::new(end.commits),
            recent_meter: Arc::clone(parts.live.recent.meter()),
            live: RwLock::new(parts.live),
            names: RwLock::default(),
            damage: RwLock::new(parts.damage),
            health: Mutex::new(Health::Good),
            open_segment: Mutex::new(parts.open_segment),
        }
    }

    /// The visible state, to read.
    pub(super) fn live(&self) -> RwLockReadGuard<'_, Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The visible state, to change.
    pub(super) fn live_mut(&self) -> RwLockWriteGuard<'_, Live> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What recent batches count their memory with.
    pub(super) fn recent_meter(&self) -> &Arc<AtomicUsize> {
        &self.recent_meter
    }

    /// Makes a commit visible, then moves the tail notice.
    pub(super) fn publish(&self, mut changes: CommitChanges) {
        let rebound = !changes.names.is_empty();
        let mut touched = std::mem::take(&mut changes.touched);
        touched.extend(changes.names.iter().map(|(name, _)| name.clone()));
        let (next_position, checkpoint_due) = {
            let mut live = self.live_mut();
            live.apply(changes);
            (live.end.next_position, Maintenance::is_due(&live.pending))
        };
        if rebound {
            let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
            names.by_id.clear();
            names.forgotten += 1;
        }
        self.tail_notice.send_if_modified(|seen| {
            let moved = *seen != next_position;
            *seen = next_position;
            moved
        });
        if !touched.is_empty() {
            // Nobody may listen.
            let _listeners = self.touched.send(touched.into());
        }
        if checkpoint_due {
            self.maintenance.request_checkpoint();
        }
    }

    /// Waits while the index is too far behind the log.
    pub(super) fn wait_for_room(&self) -> Result<(), StoreError> {
        self.maintenance.wait_while(|| {
            let live = self.live();
            live.frozen.is_some() && Maintenance::is_overdue(&live.pending)
        })
    }

    /// Why events are refused, if they are.
    pub(super) fn health(&self) -> Health {
        self.lock_health().clone()
    }

    /// Notes whether events can be written; poison stays.
    pub(super) fn set_health(&self, health: Health) {
        let mut current = self.lock_health();
        if !matches!(*current, Health::Poisoned(_)) {
            *current = health;
        }
    }

    /// Refuses all writes from now on: a sync failed.
    pub(super) fn poison(&self, error: &io::Error) -> StoreError {
        let reason: Arc<str> = error.to_string().into();
        tracing::error!(
            %reason,
            "a sync of the log failed: what is on the disk is not known, nothing more is written \
             until a restart"
        );
        self.set_health(Health::Poisoned(Arc::clone(&reason)));
        StoreError::Poisoned(reason)
    }

    fn lock_health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places of the log that are damaged.
    pub(super) fn damage(&self) -> RwLockReadGuard<'_, Vec<DamageRow>> {
        self.damage.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment that is written now.
    pub(super) fn open_segment(&self) -> Arc<Segment> {
        let segment = self.open_segment.lock();
        Arc::clone(&segment.unwrap_or_else(PoisonError::into_inner))
    }

    /// The committer began another segment, and synced the one before.
    pub(super) fn set_open_segment(&self, segment: &Arc<Segment>) {
        let mut open = self
            .open_segment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *open = Arc::clone(segment);
    }

    /// Makes all commits below `commits` durable, whoever wrote them.
    pub(super) fn sync_up_to(&self, commits: u64) -> Result<(), StoreError> {
        if self.synced.load(Ordering::Acquire) >= commits {
            return Ok(());
        }
        if let Health::Poisoned(reason) = self.health() {
            return Err(StoreError::Poisoned(reason));
        }
        // Read before the sync: it covers at least these.
        let written = self.written.load(Ordering::Acquire);
        let began = std::time::Instant::now();
        match self.open_segment().file.sync_data() {
            Ok(()) => {
                self.figures.synced(began.elapsed());
                self.synced.fetch_max(written, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => Err(self.poison(&error)),
        }
    }

    /// The visible state of a stream.
    pub(super) fn row(&self, id: u64, access: Access) -> Result<Option<StreamSummary>, StoreError> {
        loop {
            let thaws = {
                let live = self.live();
                match live.row(id) {
                    Known::There(row) => return Ok(Some(row.clone())),
                    Known::Gone => return Ok(None),
                    Known::InIndex => live.thaws,
                }
            };
            if access == Access::Memory {
                return Err(StoreError::WouldBlock);
            }
            let row = self.index.stream(id).map_err(index_failed)?;
            if self.live().thaws == thaws {
                return Ok(row);
            }
        }
    }

    /// Brings the deleted numbers of a stream into memory.
    pub(super) fn load_deleted(&self, id: u64) -> Result<(), StoreError> {
        loop {
            let thaws = {
                let live = self.live();
                if live.deleted.contains_key(&id) {
                    return Ok(());
                }
                live.thaws
            };
            let deleted = self.index.deleted(id).map_err(index_failed)?;
            let mut live = self.live_mut();
            if live.thaws == thaws {
                live.deleted.entry(id).or_insert_with(|| Arc::new(deleted));
                return Ok(());
            }
        }
    }

    /// Brings the zones of a group, which has about so many pending entries, into memory. Reads all
    /// of them.
    pub(super) fn load_zones(&self, group: u64, pending: u64) -> Result<(), StoreError> {
        let size = zones::size(pending);
        self.live_mut().begin_zones(group, size);
        // What changes meanwhile is told by commits.
        let indexed = self.index.zones(group, size).map_err(index_failed)?;
        self.live_mut().zones.complete(group, indexed);
        Ok(())
    }

    /// The name of a stream, for readers of all streams. May read the index.
    pub(super) fn name(&self, id: u64) -> Result<Option<StreamName>, StoreError> {
        let forgotten = {
            let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(name) = names.by_id.get(&id) {
                return Ok(Some(name.clone()));
            }
            names.forgotten
        };
        let name = self.row(id, Access::Disk)?.map(|row| row.name);
        if let Some(name) = &name {
            let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
            if names.by_id.len() >= NAMES_MAX {
                names.by_id.clear();
            }
            if names.forgotten == forgotten {
                names.by_id.insert(id, name.clone());
            }
        }
        Ok(name)
    }

    /// The handle of a stream, if it is in memory.
    pub(super) fn handle_in_memory(&self, name: &StreamName) -> Option<Arc<StreamHandle>> {
        self.catalog.find(name).ok()
    }

    /// The handle of a stream, read from the index if need be.
    pub(super) fn handle(&self, name: &StreamName) -> Result<Arc<StreamHandle>, StoreError> {
        loop {
            let ticket = match self.catalog.find(name) {
                Ok(handle) => return Ok(handle),
                Err(ticket) => ticket,
            };
            let mut stream = None;
            super::snapshot::look(self, Access::Disk, &mut |view| {
                stream = view.stream(name)?;
                Ok(())
            })?;
            let state = StreamState::of(stream);
            let durable = self.figures.checkpoint_commits.load(Ordering::Acquire);
            if let Some(handle) = self.catalog.add(ticket, name, state, durable) {
                return Ok(handle);
            }
        }
    }
}

/// The index cannot be read: it is rebuilt at the next start when it does not open.
#[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
pub(super) fn index_failed(error: IndexError) -> StoreError {
    StoreError::ReadFailed {
        file: "index".into(),
        reason: error.to_string().into(),
    }
}
