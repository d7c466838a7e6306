//! Walking the log from the checkpoint to its end, and telling torn bytes from damage.

use std::io;
use std::sync::Arc;

use super::Recovery;
use crate::engine::local::OpenError;
use crate::engine::local::commit::{FormatError, HEADER_BYTES, Header, MAGIC};
use crate::engine::local::file::read_full_at;
use crate::engine::local::index::DamageRow;
use crate::engine::local::log::Segment;
use crate::engine::local::scan::{Scanner, Step};
use crate::engine::local::segment::{Footer, SEGMENT_HEADER_BYTES, SegmentHeader, TRAILER_BYTES};

/// How much is read at a time.
const WINDOW_BYTES: usize = 1024 * 1024;

impl Recovery {
    /// Reads all commits that the index does not have, and finds the end of the log.
    pub(super) fn walk(&mut self) -> Result<(), OpenError> {
        let mut next = self.log.segment(self.live.end.serial);
        while let Some(segment) = next {
            self.walk_segment(&segment)?;
            next = self.log.segment_after(segment.header.serial);
            if let Some(following) = next.take() {
                if self.is_half_made(&following)? {
                    break;
                }
                self.turn_to(&following);
                next = Some(following);
            }
        }
        self.replace_missing_end()
    }

    fn walk_segment(&mut self, segment: &Arc<Segment>) -> Result<(), OpenError> {
        let path = self.log.directory.join(&*segment.name);
        let failed = |error| OpenError::io(&path, error);
        let mut scanner = Scanner::new(Arc::clone(segment), self.live.end.byte, WINDOW_BYTES);
        loop {
            let at = scanner.at();
            let step = scanner.next().map_err(failed)?;
            let error = match step {
                Step::Commit { header, at, body } => {
                    if header.commit > self.live.end.commits {
                        // Found behind damage, or the header before it is another's.
                        self.damaged(segment, at, (header.commit, header.first_position));
                    }
                    match self.take(segment, &header, at, &body) {
                        Ok(()) => {
                            self.progress.advance(header.commit_bytes());
                            self.checkpoint_if_due()?;
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Step::Other { error, .. } => error,
            };
            if error == FormatError::Index {
                return Err(OpenError::unreadable_index(&self.log.directory));
            }
            if error.is_newer() || error.is_whole() {
                return Err(OpenError::refused(
                    &self.log.directory,
                    &segment.name,
                    at,
                    error,
                ));
            }
            match later_header(segment, at + 1, self.live.end.commits).map_err(failed)? {
                Some((byte, header)) => {
                    self.damaged(segment, at, (header.commit, header.first_position));
                    scanner.seek(byte);
                }
                None => return self.end_segment(segment, at, error),
            }
        }
    }

    /// No commit follows in this segment.
    fn end_segment(
        &mut self,
        segment: &Arc<Segment>,
        at: u64,
        error: FormatError,
    ) -> Result<(), OpenError> {
        if let Some(next) = self.log.segment_after(segment.header.serial) {
            let SegmentHeader {
                first_commit,
                first_position,
                ..
            } = next.header;
            if first_commit > self.live.end.commits {
                self.damaged(segment, at, (first_commit, first_position));
            }
            return self.prove_by_footer(segment);
        }
        let failed = |error| OpenError::io(&self.log.directory.join(&*segment.name), error);
        let proven = self
            .proven
            .filter(|proven| proven.serial == segment.header.serial && proven.byte > at);
        if let Some(proven) = proven {
            tracing::error!(%error, segment = %segment.name, byte = at, "the log's end is damaged");
            self.damaged(segment, at, (proven.commits, proven.next_position));
            self.live.end = proven;
            self.unsynced.clear();
            return Ok(());
        }
        let torn = bytes_until_zeros(segment, at).map_err(failed)?;
        if torn > 0 {
            self.cut(segment, at, torn)?;
        }
        Ok(())
    }

    /// Takes a commit, or says why it is none.
    fn take(
        &mut self,
        segment: &Arc<Segment>,
        header: &Header,
        at: u64,
        body: &bytes::Bytes,
    ) -> Result<(), FormatError> {
        let end = &self.live.end;
        let follows = header.commit == end.commits
            && header.first_position == end.next_position
            && (header.previous_crc == end.previous_crc || self.is_after_damage(header.commit));
        if header.commit < end.commits {
            // Left from a commit that failed and was written again.
            return Err(FormatError::NoHeader);
        }
        if !follows {
            return Err(FormatError::Contradiction);
        }
        self.apply(segment, header, at, body)?;
        self.synced = self.synced.max(header.synced);
        self.unsynced.push_back((header.commit, at));
        while self
            .unsynced
            .front()
            .is_some_and(|(commit, _)| *commit < self.synced)
        {
            self.unsynced.pop_front();
        }
        Ok(())
    }

    /// Whether this commit is the first after a damaged place: its chain cannot be checked.
    fn is_after_damage(&self, commit: u64) -> bool {
        self.damage.iter().any(|place| place.commits.1 == commit)
    }

    /// Notes damage from this byte on, up to the commit and the position that follow it.
    fn damaged(&mut self, segment: &Segment, byte: u64, (commit, position): (u64, u64)) {
        let end = &mut self.live.end;
        let row = DamageRow {
            serial: segment.header.serial,
            file: segment.name.to_string(),
            byte,
            commits: (end.commits, commit),
            positions: (end.next_position, position),
            unproven: true,
        };
        if commit <= end.commits {
            return;
        }
        tracing::error!(
            segment = %row.file,
            byte,
            commits = format!("{} to {}", row.commits.0, row.commits.1 - 1),
            positions = format!("from {} below {}", row.positions.0, row.positions.1),
            "the log is damaged"
        );
        end.commits = commit;
        end.next_position = position.max(end.next_position);
        self.damage.push(row);
    }

    /// A segment whose creation failed or was cut short may be there without a commit, though the
    /// segment before it got more: it is removed, and that one goes on.
    fn is_half_made(&self, segment: &Arc<Segment>) -> Result<bool, OpenError> {
        let header = &segment.header;
        let fits = header.first_commit >= self.live.end.commits;
        if fits || self.log.segment_after(header.serial).is_some() {
            return Ok(false);
        }
        let path = self.log.directory.join(&*segment.name);
        let failed = |error| OpenError::io(&path, error);
        let mut scanner = Scanner::new(Arc::clone(segment), SEGMENT_HEADER_BYTES, WINDOW_BYTES);
        if let Step::Commit { .. } = scanner.next().map_err(failed)? {
            return Ok(false);
        }
        tracing::info!(segment = %segment.name, "removing a segment that was never begun");
        self.log.forget(header.serial);
        self.log.files.remove(&path).map_err(failed)?;
        self.log
            .files
            .sync_dir(&self.log.directory)
            .map_err(failed)?;
        Ok(true)
    }

    /// All commits of the segments before are read.
    fn turn_to(&mut self, next: &Segment) {
        // Rolling syncs the segment before.
        self.synced = self.synced.max(next.header.first_commit);
        self.unsynced.clear();
        let end = &mut self.live.end;
        end.serial = next.header.serial;
        end.byte = SEGMENT_HEADER_BYTES;
        end.last_byte = 0;
        end.previous_crc = next.header_crc;
    }

    /// After damage in a sealed segment its footer says what its streams' tails were.
    fn prove_by_footer(&mut self, segment: &Arc<Segment>) -> Result<(), OpenError> {
        let serial = segment.header.serial;
        let is_open = |place: &DamageRow| place.serial == serial && place.unproven;
        if !self.damage.iter().any(is_open) {
            return Ok(());
        }
        let failed = |error| OpenError::io(&self.log.directory.join(&*segment.name), error);
        let Some(footer) = footer(segment).map_err(failed)? else {
            return Ok(());
        };
        self.apply_footer(&footer)?;
        // It knows nothing of what should have followed in segments that are not there.
        let covered = |place: &DamageRow| is_open(place) && place.commits.1 <= footer.next_commit;
        for place in self.damage.iter_mut().filter(|place| covered(place)) {
            place.unproven = false;
        }
        Ok(())
    }

    /// A clean stop tells of commits whose segment is not there: go on behind them.
    fn replace_missing_end(&mut self) -> Result<(), OpenError> {
        let Some(proven) = self.proven else {
            return Ok(());
        };
        if proven.commits <= self.live.end.commits {
            return Ok(());
        }
        let last = self.log.segment(self.live.end.serial);
        if let Some(last) = last {
            let byte = self.live.end.byte;
            self.damaged(&last, byte, (proven.commits, proven.next_position));
        }
        let header = SegmentHeader {
            serial: proven.serial + 1,
            generation: 0,
            salt: rand::random(),
            first_commit: proven.commits,
            first_position: proven.next_position,
            previous_crc: proven.previous_crc,
        };
        let next = self.log.create(header);
        let next = next.map_err(|error| OpenError::io(&self.log.directory, error))?;
        self.live.end = proven;
        self.turn_to(&next);
        self.log.add(next);
        Ok(())
    }
}

/// The first valid header from this byte on with this segment's salt and a higher commit number.
fn later_header(
    segment: &Arc<Segment>,
    from: u64,
    commit: u64,
) -> io::Result<Option<(u64, Header)>> {
    let finder = memchr::memmem::Finder::new(&MAGIC);
    let mut window = vec![0; WINDOW_BYTES];
    let mut at = from;
    loop {
        let read = read_full_at(&*segment.file, &mut window, at)?;
        for found in finder.find_iter(&window[..read]) {
            let Some(bytes) = window[..read].get(found..found + HEADER_BYTES) else {
                break;
            };
            match Header::decode(bytes) {
                Ok(header) if header.salt == segment.header.salt && header.commit > commit => {
                    return Ok(Some((at + found as u64, header)));
                }
                _ => {}
            }
        }
        if read < window.len() {
            return Ok(None);
        }
        // A header may straddle two windows.
        at += (read - HEADER_BYTES) as u64;
    }
}

/// How many bytes from here on there are before nothing but zeros follows.
fn bytes_until_zeros(segment: &Arc<Segment>, from: u64) -> io::Result<u64> {
    let mut window = vec![0; WINDOW_BYTES];
    let mut at = from;
    let mut end = from;
    loop {
        let read = read_full_at(&*segment.file, &mut window, at)?;
        if let Some(last) = window[..read].iter().rposition(|byte| *byte != 0) {
            end = at + last as u64 + 1;
        }
        at += read as u64;
        if read < window.len() {
            return Ok(end - from);
        }
    }
}

/// The footer of a sealed segment, if it has one that verifies.
fn footer(segment: &Segment) -> io::Result<Option<Footer>> {
    let bytes = segment.file.len()?;
    let mut trailer = [0; TRAILER_BYTES];
    let Some(trailer_at) = bytes.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    read_full_at(&*segment.file, &mut trailer, trailer_at)?;
    let start =
        Footer::bytes_before_trailer(&trailer).and_then(|long| trailer_at.checked_sub(long));
    let Some(start) = start else {
        return Ok(None);
    };
    let long = usize::try_from(trailer_at - start).map_err(io::Error::other)?;
    let mut content = vec![0; long];
    read_full_at(&*segment.file, &mut content, start)?;
    let footer = Footer::decode(&content);
    Ok(footer.filter(|footer| footer.salt == segment.header.salt))
}
