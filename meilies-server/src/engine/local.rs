//! The local engine: a log of commits on this machine's disk, found through sled trees.
//!
//! Reading order: `commit` and `segment` draw the bytes; `assembly` decides on writes and makes a
//! commit of them; `committer` writes it; `live`, `pending` and `recent` are what it makes visible;
//! `index` and `checkpoint` bring that to disk; `reader` finds it again; `recovery` opens it all.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::BytesMut;
use futures::FutureExt;
use futures::future::BoxFuture;
use meilies_protocol::StreamName;
use tokio::sync::{broadcast, oneshot, watch};

mod answers;
mod assembly;
mod catalog;
mod checkpoint;
mod cold;
mod commit;
mod committer;
mod directory;
mod error;
mod facts;
pub mod file;
mod group_entries;
mod holder;
mod index;
mod live;
mod log;
mod pages;
mod pending;
mod periodic_sync;
mod queue;
mod reader;
mod recent;
mod recovery;
mod scan;
mod seal;
mod segment;
mod settings;
mod shared;
mod snapshot;
mod stream_entries;
mod transaction;
mod zero_fill;
mod zones;

pub use error::OpenError;
pub use index::IndexFaults;

use assembly::write_bytes_max;
use committer::Committer;
use directory::Directory;
use facts::Facts;
use file::{FileSystem, RealFiles};
use index::{Checkpoint, DamageRow};
use log::LogWriter;
use periodic_sync::PeriodicSync;
use queue::{Queue, Queued, Work, Worker};
use settings::StoreSettings;
use shared::{Health, Parts, Shared};
use transaction::{Attempt, Transacted};

use super::{
    Access, AppendRequest, Appending, Engine, Look, Operation, ReadOutcome, ReadRequest,
    Statistics, StoreError, SyncWatch,
};

/// How the local engine keeps its events.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The store's directory, created when missing.
    pub path: PathBuf,
    /// When a commit is synced.
    pub fsync: Fsync,
    /// Size of a segment file in bytes.
    pub segment_bytes: u64,
    /// How far ahead of its end the log is filled with zeros, in bytes.
    pub ahead_bytes: u64,
    /// Bytes of recent events kept in memory.
    pub recent_bytes_max: usize,
    /// The files under the log: the real ones but in tests.
    pub files: Arc<dyn FileSystem>,
    /// Ends the index between two changes, in tests.
    pub index_faults: Option<IndexFaults>,
}

impl LocalConfig {
    /// The defaults, for a store in this directory.
    pub fn new(path: &Path) -> LocalConfig {
        LocalConfig {
            path: path.to_owned(),
            fsync: Fsync::Always,
            segment_bytes: 256 * 1024 * 1024,
            ahead_bytes: 16 * 1024 * 1024,
            recent_bytes_max: 32 * 1024 * 1024,
            files: Arc::new(RealFiles),
            index_faults: None,
        }
    }
}

/// When a commit is synced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before it is visible and acknowledged.
    Always,
    /// Within a second after.
    EverySecond,
    /// When the system likes.
    No,
}

impl Fsync {
    /// The word for it in configuration and INFO.
    pub fn word(self) -> &'static str {
        match self {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
            Fsync::No => "no",
        }
    }
}

/// A store on this machine's disk.
#[derive(Debug)]
pub struct LocalEngine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    directory: Directory,
    /// Gone only while the store is dropped.
    queue: Option<Queue>,
    threads: Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Threads {
    committer: Option<JoinHandle<()>>,
    maintenance: Option<JoinHandle<()>>,
    periodic_sync: Option<PeriodicSync>,
}

impl LocalEngine {
    /// Opens or creates the store: takes its lock, recovers its log, starts its threads.
    pub fn open(config: &LocalConfig) -> Result<LocalEngine, OpenError> {
        LocalEngine::open_and(config, false, |_| Vec::new())
    }

    /// Opens the store; `accept` may take damaged places as they are and says which commits.
    fn open_and(
        config: &LocalConfig,
        rebuild: bool,
        accept: impl FnOnce(&mut [DamageRow]) -> Vec<(u64, u64)>,
    ) -> Result<LocalEngine, OpenError> {
        let directory = Directory::open(&*config.files, &config.path)?;
        let mut recovered = recovery::recover(config, &directory, rebuild)?;
        let accepted = accept(&mut recovered.damage);
        let end = recovered.live.end;
        let clean = recovered.clean;
        let last = recovered.log.segment(end.serial);
        let last = last.ok_or_else(|| OpenError::no_segment(&config.path))?;
        let log = LogWriter::new(
            Arc::clone(&recovered.log),
            Arc::clone(&last),
            end.byte,
            end.previous_crc,
            config.segment_bytes,
            config.ahead_bytes,
        )
        .map_err(|error| OpenError::io(&config.path, error))?;
        let shared = Arc::new(Shared::new(Parts {
            fsync: config.fsync,
            store_id: directory.store_id.clone(),
            log: recovered.log,
            index: recovered.index,
            live: recovered.live,
            damage: recovered.damage,
            indexed: recovered.indexed,
            open_segment: last,
        }));
        let mut committer = Committer::new(Arc::clone(&shared), log, end);
        if let Some(settings) = changed_settings(config.fsync, &end, clean, accepted) {
            committer
                .write_settings(&settings)
                .map_err(|error| OpenError::store(&config.path, error))?;
        }
        directory
            .unmark_clean(&*config.files)
            .map_err(|error| OpenError::io(&config.path, error))?;
        let (queue, worker) = queue::queue(committer);
        let threads = start_threads(&shared, worker, config.fsync)
            .map_err(|error| OpenError::io(&config.path, error))?;
        Ok(LocalEngine {
            inner: Arc::new(Inner {
                shared,
                directory,
                queue: Some(queue),
                threads: Mutex::new(threads),
            }),
        })
    }
}

/// The settings to record at open, if they are not what the log says.
///
/// After an unclean stop under a policy weaker than `always` numbers that were acknowledged may be
/// given to other events: the epoch tells clients.
fn changed_settings(
    fsync: Fsync,
    end: &Checkpoint,
    clean: bool,
    accepted: Vec<(u64, u64)>,
) -> Option<StoreSettings> {
    let weak = fsync != Fsync::Always;
    let raised = end.weak && !clean;
    (raised || weak != end.weak || !accepted.is_empty()).then(|| StoreSettings {
        epoch: end.epoch + u64::from(raised),
        weak,
        accepted,
    })
}

/// A damaged place of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedPlace {
    /// File name of the segment.
    pub file: String,
    /// The first byte that does not verify.
    pub byte: u64,
    /// Commits lost in whole or in part, the second exclusive.
    pub commits: (u64, u64),
    /// Positions that may be lost, the second exclusive.
    pub positions: (u64, u64),
    /// Whether this call accepted the loss; otherwise it was proven or accepted before.
    pub accepted: bool,
}

/// Reads the whole log over the index and accepts what is damaged as lost, so that streams
/// that may have lost events are written to again. Numbers that were lost stay lost: reading them
/// goes on being an error that names them. Returns all damaged places.
pub fn repair(config: &LocalConfig) -> Result<Vec<DamagedPlace>, OpenError> {
    let mut places = Vec::new();
    // The index may point into damage that only reading the whole log finds.
    let engine = LocalEngine::open_and(config, true, |damage| {
        let unproven: Vec<_> = damage.iter().filter(|place| place.unproven).collect();
        let accepted = unproven.iter().map(|place| place.commits).collect();
        places.extend(damage.iter().map(DamagedPlace::from));
        for place in damage {
            place.unproven = false;
        }
        accepted
    })?;
    futures::executor::block_on(Arc::clone(&engine.inner).close_in_place())
        .map_err(|error| OpenError::store(&config.path, error))?;
    Ok(places)
}

impl From<&DamageRow> for DamagedPlace {
    fn from(row: &DamageRow) -> DamagedPlace {
        DamagedPlace {
            file: row.file.clone(),
            byte: row.byte,
            commits: row.commits,
            positions: row.positions,
            accepted: row.unproven,
        }
    }
}

fn start_threads(shared: &Arc<Shared>, worker: Worker, fsync: Fsync) -> std::io::Result<Threads> {
    let named = |name: &str| thread::Builder::new().name(name.into());
    let for_maintenance = Arc::clone(shared);
    Ok(Threads {
        committer: Some(named("committer").spawn(move || worker.run())?),
        maintenance: Some(named("maintenance").spawn(move || checkpoint::run(&for_maintenance))?),
        periodic_sync: match fsync {
            Fsync::EverySecond => Some(PeriodicSync::start(shared)?),
            Fsync::Always | Fsync::No => None,
        },
    })
}

impl Engine for LocalEngine {
    fn append(&self, request: AppendRequest) -> BoxFuture<'static, Result<Appending, StoreError>> {
        Arc::clone(&self.inner).append(request).boxed()
    }

    fn read(&self, request: &ReadRequest, access: Access) -> Result<ReadOutcome, StoreError> {
        reader::read(&self.inner.shared, request, access)
    }

    fn transact_each(
        &self,
        operations: Vec<Operation>,
    ) -> BoxFuture<'static, Vec<Result<BytesMut, StoreError>>> {
        Arc::clone(&self.inner).transact_each(operations).boxed()
    }

    fn look(&self, access: Access, look: Look<'_>) -> Result<(), StoreError> {
        snapshot::look(&self.inner.shared, access, look)
    }

    fn tail_notice(&self) -> watch::Receiver<u64> {
        self.inner.shared.tail_notice.subscribe()
    }

    fn touched(&self) -> broadcast::Receiver<Arc<[StreamName]>> {
        self.inner.shared.touched.subscribe()
    }

    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }

    fn watch_syncs(&self, watch: SyncWatch) {
        self.inner.shared.figures.sync_watch.get_or_init(|| watch);
    }

    fn checkpoint(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        let shared = Arc::clone(&self.inner.shared);
        async move {
            let saved = tokio::task::spawn_blocking(move || checkpoint::wait_for_one(&shared));
            saved.await.map_err(|_| StoreError::Closed)?
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        Arc::clone(&self.inner).close().boxed()
    }
}

impl Inner {
    async fn append(self: Arc<Self>, request: AppendRequest) -> Result<Appending, StoreError> {
        let mut handles = Vec::new();
        let mut last: Option<&StreamName> = None;
        let mut bytes = 0;
        for write in &request.writes {
            bytes += write_bytes_max(write);
            match (last, handles.last_mut()) {
                (Some(last), Some((_, count))) if *last == write.stream => *count += 1,
                _ => handles.push((self.handle(&write.stream).await?, 1)),
            }
            last = Some(&write.stream);
        }
        let queue = self.queue()?;
        let place = queue.place(bytes).await?;
        let (done, appending) = oneshot::channel();
        let work = Work::Append {
            request,
            handles,
            done,
        };
        queue.send(Queued { work, bytes, place }).await?;
        Ok(appending)
    }

    async fn transact_each(
        self: Arc<Self>,
        operations: Vec<Operation>,
    ) -> Vec<Result<BytesMut, StoreError>> {
        let count = operations.len();
        let mut replies = Vec::with_capacity(count);
        match self.try_transact(operations.into(), &mut replies).await {
            Ok(left) => {
                // What one of them needs cannot be read: each for itself, so that only it fails.
                for operation in left {
                    let alone = VecDeque::from([operation]);
                    if let Err(error) = self.try_transact(alone, &mut replies).await {
                        replies.push(Err(error));
                    }
                }
            }
            Err(error) => replies.resize(count, Err(error)),
        }
        replies
    }

    /// Runs operations until all have replied; an error is that of those without a reply. Returns
    /// those that are left when what some of several need cannot be read.
    async fn try_transact(
        self: &Arc<Self>,
        operations: VecDeque<Operation>,
        replies: &mut Vec<Result<BytesMut, StoreError>>,
    ) -> Result<VecDeque<Operation>, StoreError> {
        let mut facts = Facts::default();
        for name in operations.iter().flat_map(|operation| &operation.names) {
            if !facts.holds(name) {
                facts.hold(self.handle(name).await?);
            }
        }
        let mut attempt = Box::new(Attempt { operations, facts });
        loop {
            let queue = self.queue()?;
            let bytes = attempt.operations.iter().map(|operation| operation.bytes);
            let bytes = bytes.sum();
            let place = queue.place(bytes).await?;
            let (done, transacted) = oneshot::channel();
            let work = Work::Transact { attempt, done };
            queue.send(Queued { work, bytes, place }).await?;
            let transacted: Transacted = transacted.await.map_err(|_| StoreError::Closed)?;
            replies.extend(transacted.replies);
            let Some(missed) = transacted.missed else {
                return Ok(VecDeque::new());
            };
            let loaded;
            (attempt, loaded) = self.load(missed).await?;
            match loaded {
                Ok(()) => {}
                Err(_) if attempt.operations.len() > 1 => return Ok(attempt.operations),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what operations need from the disk; the inner error says why that cannot be read.
    async fn load(
        self: &Arc<Self>,
        mut attempt: Box<Attempt>,
    ) -> Result<(Box<Attempt>, Result<(), StoreError>), StoreError> {
        let inner = Arc::clone(self);
        let loaded = tokio::task::spawn_blocking(move || {
            let loaded = attempt.facts.load(&inner.shared);
            (attempt, loaded)
        });
        loaded.await.map_err(|_| StoreError::Closed)
    }

    fn queue(&self) -> Result<&Queue, StoreError> {
        self.queue.as_ref().ok_or(StoreError::Closed)
    }

    async fn handle(
        self: &Arc<Self>,
        name: &StreamName,
    ) -> Result<Arc<catalog::StreamHandle>, StoreError> {
        if let Some(handle) = self.shared.handle_in_memory(name) {
            return Ok(handle);
        }
        let (inner, name) = (Arc::clone(self), name.clone());
        let loaded = tokio::task::spawn_blocking(move || inner.shared.handle(&name)).await;
        loaded.map_err(|_| StoreError::Closed)?
    }

    fn statistics(&self) -> Statistics {
        let shared = &self.shared;
        let figures = &shared.figures;
        let (end, unsaved_changes, recent_bytes) = {
            let live = shared.live();
            (live.end, live.counted(), live.recent.bytes() as u64)
        };
        let failure = match shared.health() {
            Health::Good => shared.maintenance.failure(),
            Health::WriteFailed(reason) | Health::Poisoned(reason) => Some(reason),
        };
        Statistics {
            engine: "local",
            streams: end.streams,
            events: end.next_position,
            commits: end.commits,
            log_bytes: end.log_bytes,
            segments: shared.log.segments().len() as u64,
            syncs: figures.syncs.load(Ordering::Relaxed),
            sync_us_total: figures.sync_us_total.load(Ordering::Relaxed),
            sync_us_max: figures.sync_us_max.load(Ordering::Relaxed),
            unsaved_changes,
            checkpoint_commits: figures.checkpoint_commits.load(Ordering::Relaxed),
            checkpoint_at: figures.checkpoint_at.load(Ordering::Relaxed),
            epoch: end.epoch,
            fsync: shared.fsync.word(),
            recent_bytes,
            damaged: shared.damage().len() as u64,
            failure: failure.map(|reason| reason.to_string()),
            store_id: shared.store_id.clone(),
        }
    }

    /// Closes where blocking is allowed.
    async fn close_in_place(self: Arc<Self>) -> Result<(), StoreError> {
        let end = self.queue()?.close().await?;
        self.finish(&end)
    }

    async fn close(self: Arc<Self>) -> Result<(), StoreError> {
        let end = self.queue()?.close().await?;
        let finished = tokio::task::spawn_blocking(move || self.finish(&end)).await;
        finished.map_err(|_| StoreError::Closed)?
    }

    /// After the committer stopped: the threads end, the index follows, the stop is marked clean.
    fn finish(&self, end: &Checkpoint) -> Result<(), StoreError> {
        self.join_threads()?;
        // What a checkpoint under way left, then what came since.
        while self.shared.live().has_changes() {
            checkpoint::checkpoint(&self.shared)?;
        }
        let log = &self.shared.log;
        self.directory
            .mark_clean(&*log.files, end)
            .map_err(|error| StoreError::WriteFailed(error.to_string().into()))
    }

    fn join_threads(&self) -> Result<(), StoreError> {
        self.shared.maintenance.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = [threads.committer.take(), threads.maintenance.take()];
        for thread in ended.into_iter().flatten() {
            thread.join().map_err(|_| StoreError::Closed)?;
        }
        drop(threads.periodic_sync.take());
        Ok(())
    }
}

impl Drop for Inner {
    /// A store that is dropped without being closed stops as if it were killed, but for its
    /// threads, which end first.
    fn drop(&mut self) {
        drop(self.queue.take());
        if self.join_threads().is_err() {
            tracing::error!("a thread of the store panicked");
        }
    }
}
