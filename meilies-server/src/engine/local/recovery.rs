//! Opening: the log is read from the last checkpoint on, its end is found, the index follows.
//!
//! Bytes are *torn* only if they are in the last segment, no valid header with a higher commit
//! number and this segment's salt follows, and neither a clean stop nor a checkpoint covers them:
//! they are what a crash left of a commit that nobody was told of. They are saved to
//! `log/cut-<commit>.bin`, logged, and cut. Anything else that does not verify is *damage*:
//! reported with its place, confined, never cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory::Directory;
use super::file::{read_full_at, write_all_at};
use super::index::{Checkpoint, DamageRow, Index};
use super::live::Live;
use super::log::{Log, Segment};
use super::segment::SEGMENT_HEADER_BYTES;
use super::{LocalConfig, OpenError};

mod apply;
mod open_index;
mod open_segments;
mod rewrite;
mod walk;

/// A store whose log has been read to its end.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) log: Arc<Log>,
    pub(super) index: Index,
    pub(super) live: Live,
    pub(super) damage: Vec<DamageRow>,
    /// Commits below are in the index.
    pub(super) indexed: u64,
    /// Whether the store was closed cleanly the last time.
    pub(super) clean: bool,
}

/// Opens segments and index and brings both to the same state.
///
/// With `rebuild` all of the log is read, not only what the index does not have.
pub(super) fn recover(
    config: &LocalConfig,
    directory: &Directory,
    rebuild: bool,
) -> Result<Recovered, OpenError> {
    let files = &config.files;
    let clean_end = directory.clean_end(&**files)?;
    let log = open_segments::open(files, &directory.path.join("log"), clean_end.as_ref())?;
    let index_path = directory.path.join("index");
    let faults = config.index_faults.clone();
    let (index, mut start) = open_index::open(&index_path, faults, &log, |proven| {
        directory.note_proven(&**files, proven)
    })?;
    let noted = directory.proven_end(&**files)?;
    let noted = noted.filter(|end| open_index::is_in_log(end, &log));
    if rebuild {
        // All of the log is read over what the index has: the same state, but for what damage
        // hides and the index still knows.
        start.checkpoint = None;
    }
    let proven = [clean_end, start.proven, noted]
        .into_iter()
        .flatten()
        .max_by_key(|end| end.commits);
    let end = match start.checkpoint {
        Some(checkpoint) => checkpoint,
        None => beginning(&log),
    };
    let mut recovery = Recovery {
        log: Arc::clone(&log),
        damage: match start.checkpoint {
            Some(_) => index
                .damage()
                .map_err(|error| OpenError::index(&index_path, &error))?,
            None => Vec::new(),
        },
        index,
        live: Live::new(end, config.recent_bytes_max),
        proven,
        synced: end.commits,
        unsynced: std::collections::VecDeque::new(),
        indexed: start.checkpoint.map_or(0, |checkpoint| checkpoint.commits),
        progress: Progress::new(&log, &end, start.checkpoint.is_none()),
    };
    recovery.walk()?;
    recovery.rewrite_unsynced()?;
    recovery.progress.finish(&recovery.live.end);
    let clean = clean_end.is_some_and(|clean| clean.commits == recovery.live.end.commits);
    Ok(Recovered {
        log,
        index: recovery.index,
        live: recovery.live,
        damage: recovery.damage,
        indexed: recovery.indexed,
        clean,
    })
}

/// A log being read.
#[derive(Debug)]
struct Recovery {
    log: Arc<Log>,
    index: Index,
    live: Live,
    damage: Vec<DamageRow>,
    /// Commits up to here were durable: a clean stop or a checkpoint says so.
    proven: Option<Checkpoint>,
    /// Commits below are known to have been synced.
    synced: u64,
    /// Commits that are not, and where they begin in the last segment.
    unsynced: std::collections::VecDeque<(u64, u64)>,
    /// Commits below are in the index.
    indexed: u64,
    progress: Progress,
}

/// The state before the first commit.
fn beginning(log: &Log) -> Checkpoint {
    let segments = log.segments();
    let Some(first) = segments.first() else {
        return Checkpoint::default();
    };
    Checkpoint {
        commits: first.header.first_commit,
        next_position: first.header.first_position,
        next_stream_id: 1,
        serial: first.header.serial,
        byte: SEGMENT_HEADER_BYTES,
        previous_crc: first.header_crc,
        ..Checkpoint::default()
    }
}

/// Says how far opening is, when it takes long.
#[derive(Debug)]
struct Progress {
    bytes: u64,
    done: u64,
    rebuild: bool,
    began: Instant,
    told: Instant,
}

impl Progress {
    fn new(log: &Log, end: &Checkpoint, rebuild: bool) -> Progress {
        let length = |segment: &Arc<Segment>| segment.file.len().unwrap_or(0);
        let all = log.segments();
        let ahead = all
            .iter()
            .filter(|segment| segment.header.serial >= end.serial);
        Progress {
            bytes: ahead.map(length).sum::<u64>().saturating_sub(end.byte),
            done: 0,
            rebuild: rebuild && all.iter().map(length).sum::<u64>() > SEGMENT_HEADER_BYTES,
            began: Instant::now(),
            told: Instant::now(),
        }
    }

    fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if self.told.elapsed() >= Duration::from_secs(1) {
            self.told = Instant::now();
            let percent = self.done.min(self.bytes) * 100 / self.bytes.max(1);
            let mib = self.done / (1024 * 1024);
            if self.rebuild {
                tracing::info!(percent, mib, "rebuilding the index from the log");
            } else {
                tracing::info!(percent, mib, "reading the end of the log");
            }
        }
    }

    fn finish(&self, end: &Checkpoint) {
        let ms = self.began.elapsed().as_millis();
        let (commits, events) = (end.commits, end.next_position);
        if self.rebuild && end.commits > 0 {
            tracing::info!(commits, events, ms, "the index was rebuilt from the log");
        } else {
            tracing::debug!(commits, events, ms, "the end of the log was read");
        }
    }
}

impl Recovery {
    /// Writes commits that may not be on the disk again in place, and syncs them.
    fn rewrite_unsynced(&self) -> Result<(), OpenError> {
        let end = &self.live.end;
        let Some(segment) = self.log.segment(end.serial) else {
            return Ok(());
        };
        let from = self.unsynced.front().map(|(_, byte)| *byte);
        rewrite::rewrite(&segment, from.unwrap_or(end.byte), end.byte)
            .map_err(|error| OpenError::io(&self.log.directory.join(&*segment.name), error))
    }

    /// Saves torn bytes beside the log and cuts them.
    fn cut(&self, segment: &Segment, at: u64, torn: u64) -> Result<(), OpenError> {
        let path = self.log.directory.join(&*segment.name);
        let commit = self.live.end.commits;
        let cut = rewrite::cut(&self.log, segment, at, torn, commit);
        cut.map_err(|error| OpenError::io(&path, error))
    }
}

/// Copies bytes of a segment into a new file.
fn copy(
    segment: &Segment,
    from: u64,
    bytes: u64,
    to: &dyn super::file::File,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1024 * 1024];
    let mut done = 0;
    while done < bytes {
        let most =
            usize::try_from(bytes - done).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = read_full_at(&*segment.file, &mut buffer[..most], from + done)?;
        if read == 0 {
            break;
        }
        write_all_at(to, &buffer[..read], done)?;
        done += read as u64;
    }
    Ok(())
}
