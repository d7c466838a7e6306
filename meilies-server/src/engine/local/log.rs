//! The log: the segment files, where events are in them, and the one writer at their end.
//!
//! Only the committer holds a [`LogWriter`]. Readers go through [`Log`] with locations that the
//! index or the pending changes gave them; what they read is verified before anybody sees it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use meilies_protocol::EventId;

use super::file::{File, FileSystem, OpenMode, write_all_at};
use super::segment::{self, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::zero_fill::ZeroFill;

/// Where a batch of events lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) serial: u32,
    pub(super) generation: u32,
    /// Where the batch's header begins in the file.
    pub(super) byte: u32,
    /// Bytes of the batch, its header included.
    pub(super) bytes: u32,
    /// Number of its first event.
    pub(super) first_number: u64,
    /// How many events.
    pub(super) count: u32,
    /// Id of its first event.
    pub(super) first_id: EventId,
    /// When it was recorded, ms since 1970 UTC.
    pub(super) first_time: u64,
}

impl Location {
    /// Number of the first event after it.
    pub(super) fn next_number(&self) -> u64 {
        self.first_number + u64::from(self.count)
    }
}

/// Where a commit lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitPlace {
    pub(super) serial: u32,
    pub(super) generation: u32,
    /// Where its header begins in the file.
    pub(super) byte: u32,
}

/// The segment files.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) files: Arc<dyn FileSystem>,
    pub(super) directory: PathBuf,
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
}

/// One segment file, open.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    /// Checksum of its header: `previous_crc` of its first commit.
    pub(super) header_crc: u32,
    pub(super) name: Arc<str>,
    pub(super) file: Arc<dyn File>,
}

impl Log {
    /// A log without segments yet.
    pub(super) fn new(files: Arc<dyn FileSystem>, directory: &Path) -> Log {
        Log {
            files,
            directory: directory.to_owned(),
            segments: RwLock::default(),
        }
    }

    /// Makes a segment known to readers.
    pub(super) fn add(&self, segment: Arc<Segment>) {
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(segment.header.serial, segment);
    }

    /// Makes a segment unknown to readers.
    pub(super) fn forget(&self, serial: u32) {
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&serial);
    }

    /// The segment of this serial.
    pub(super) fn segment(&self, serial: u32) -> Option<Arc<Segment>> {
        self.segments
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&serial)
            .cloned()
    }

    /// All segments, the oldest first.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.values().cloned().collect()
    }

    /// The first segment after this serial.
    pub(super) fn segment_after(&self, serial: u32) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let mut after = segments.range(serial.checked_add(1)?..);
        after.next().map(|(_, segment)| Arc::clone(segment))
    }

    /// The segment's file, opened once more. Linux tells a failed write-back once to each opening
    /// of a file: a background sync must not take that news from the committer's.
    fn second_handle(&self, segment: &Segment) -> Option<Arc<dyn File>> {
        let path = self.directory.join(&*segment.name);
        self.files.open(&path, OpenMode::Write).ok()
    }

    /// Creates the next segment: header written, file and directory synced.
    pub(super) fn create(&self, header: SegmentHeader) -> io::Result<Arc<Segment>> {
        let name = segment::file_name(header.serial, header.generation);
        let path = self.directory.join(&name);
        let file = match self.files.open(&path, OpenMode::Create) {
            // Left by a try that failed: no commit was ever written to it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.files.remove(&path)?;
                self.files.open(&path, OpenMode::Create)?
            }
            opened => opened?,
        };
        let (bytes, header_crc) = header.encode();
        let written = write_all_at(&*file, &bytes, 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| self.files.sync_dir(&self.directory));
        if let Err(error) = written {
            // A half-made segment has no commit: without it the next try begins afresh.
            if let Err(error) = self.files.remove(&path) {
                tracing::warn!(%error, name, "cannot remove a segment that could not be written");
            }
            return Err(error);
        }
        Ok(Arc::new(Segment {
            header,
            header_crc,
            name: name.into(),
            file,
        }))
    }
}

/// The end of the log, where commits are appended.
#[derive(Debug)]
pub(super) struct LogWriter {
    log: Arc<Log>,
    segment: Arc<Segment>,
    /// The first byte after the last commit.
    end: u64,
    previous_crc: u32,
    segment_bytes: u64,
    zeros: ZeroFill,
}

/// What the next commit is to say of its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextCommit {
    pub(super) salt: u64,
    pub(super) previous_crc: u32,
    pub(super) place: CommitPlace,
}

impl LogWriter {
    /// Continues after the last commit of the last segment.
    pub(super) fn new(
        log: Arc<Log>,
        segment: Arc<Segment>,
        end: u64,
        previous_crc: u32,
        segment_bytes: u64,
        ahead_bytes: u64,
    ) -> io::Result<LogWriter> {
        let mut zeros = ZeroFill::start(ahead_bytes)?;
        zeros.turn_to(
            log.second_handle(&segment),
            segment.file.len()?,
            end,
            segment_bytes,
        );
        Ok(LogWriter {
            log,
            segment,
            end,
            previous_crc,
            segment_bytes,
            zeros,
        })
    }

    /// Where the log ends.
    pub(super) fn end(&self) -> (u32, u64) {
        (self.segment.header.serial, self.end)
    }

    /// The file that is written now, to sync it from elsewhere.
    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Whether a commit of so many bytes needs a new segment first.
    pub(super) fn is_full_for(&self, bytes: u64) -> bool {
        self.end > SEGMENT_HEADER_BYTES && self.end + bytes > self.segment_bytes
    }

    /// Place and chain for the next commit.
    pub(super) fn next(&self) -> NextCommit {
        NextCommit {
            salt: self.segment.header.salt,
            previous_crc: self.previous_crc,
            place: CommitPlace {
                serial: self.segment.header.serial,
                generation: self.segment.header.generation,
                byte: u32::try_from(self.end).expect("segments are below 4 GiB"),
            },
        }
    }

    /// Writes one commit. It is durable after the next `sync`. On an error the log still ends
    /// where it did, but bytes after its end may have changed: `cut` before the next `append`.
    pub(super) fn append(&mut self, commit: &[u8], crc: u32) -> io::Result<()> {
        let end = self.end + commit.len() as u64;
        self.zeros.reserve(end);
        write_all_at(&*self.segment.file, commit, self.end)?;
        self.end = end;
        self.previous_crc = crc;
        Ok(())
    }

    /// Makes all commits durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.segment.file.sync_data()
    }

    /// Cuts whatever lies after the last commit and makes that durable.
    pub(super) fn cut(&mut self) -> Result<(), CutError> {
        self.zeros.pause();
        self.segment.file.set_len(self.end).map_err(CutError::Cut)?;
        self.segment.file.sync_data().map_err(CutError::Sync)?;
        let file = self.log.second_handle(&self.segment);
        self.zeros
            .turn_to(file, self.end, self.end, self.segment_bytes);
        Ok(())
    }

    /// Begins the next segment with this commit number and position. The segment before must be
    /// synced. Returns the one before, which no commit is added to any more.
    pub(super) fn roll(&mut self, first_commit: u64, first_position: u64) -> io::Result<Sealed> {
        let header = SegmentHeader {
            serial: self.segment.header.serial + 1,
            generation: 0,
            salt: rand::random(),
            first_commit,
            first_position,
            previous_crc: self.previous_crc,
        };
        let next = self.log.create(header)?;
        self.zeros.turn_to(
            self.log.second_handle(&next),
            SEGMENT_HEADER_BYTES,
            SEGMENT_HEADER_BYTES,
            self.segment_bytes,
        );
        self.log.add(Arc::clone(&next));
        let sealed = Sealed {
            segment: std::mem::replace(&mut self.segment, next),
            end: self.end,
            next_commit: first_commit,
            next_position: first_position,
        };
        self.end = SEGMENT_HEADER_BYTES;
        self.previous_crc = self.segment.header_crc;
        Ok(sealed)
    }
}

/// What failed in cutting the log.
#[derive(Debug)]
pub(super) enum CutError {
    /// May be tried again.
    Cut(io::Error),
    /// Must not be tried again.
    Sync(io::Error),
}

/// A segment that gets no more commits; its footer is still to be written.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) segment: Arc<Segment>,
    /// The first byte after its last commit.
    pub(super) end: u64,
    pub(super) next_commit: u64,
    pub(super) next_position: u64,
}
