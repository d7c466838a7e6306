//! Sealing: a segment that gets no more commits is given its footer, which proves the tails of its
//! streams should a part of it be damaged one day.
//!
//! Done in the background by reading the segment once more, so that the committer need not remember
//! the streams of a whole segment. A segment without footer (the process was killed) is as good,
//! but for that proof.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;

use super::commit::{BatchHeader, Kind, batches};
use super::file::write_all_at;
use super::log::Sealed;
use super::scan::{Scanner, Step};
use super::segment::{Footer, FooterEntry, SEGMENT_HEADER_BYTES};

const WINDOW_BYTES: usize = 1024 * 1024;

/// Writes the footer behind the last commit, cuts the file there and syncs it.
pub(super) fn seal(sealed: &Sealed) -> io::Result<()> {
    let segment = &sealed.segment;
    let footer = Footer {
        salt: segment.header.salt,
        next_commit: sealed.next_commit,
        next_position: sealed.next_position,
        entries: entries(sealed)?,
    };
    let bytes = footer.encode();
    write_all_at(&*segment.file, &bytes, sealed.end)?;
    segment.file.set_len(sealed.end + bytes.len() as u64)?;
    segment.file.sync_data()
}

fn entries(sealed: &Sealed) -> io::Result<Vec<FooterEntry>> {
    let mut entries = BTreeMap::new();
    let segment = sealed.segment.clone();
    let mut scanner = Scanner::new(segment, SEGMENT_HEADER_BYTES, WINDOW_BYTES);
    while scanner.at() < sealed.end {
        match scanner.next()? {
            Step::Commit { body, .. } => {
                for found in batches(&body) {
                    let found = found.map_err(io::Error::other)?;
                    note(&mut entries, &found.header, found.body);
                }
            }
            Step::Other { error, .. } => return Err(io::Error::other(error)),
        }
    }
    Ok(entries.into_values().collect())
}

fn note(entries: &mut BTreeMap<u64, FooterEntry>, header: &BatchHeader, body: &[u8]) {
    if header.stream_id == 0 {
        return;
    }
    if header.kind == Kind::Deleted {
        entries.remove(&header.stream_id);
        return;
    }
    let last_time = header.recorded_at + u64::from(header.span_ms);
    let entry = match entries.entry(header.stream_id) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(FooterEntry {
            stream_id: header.stream_id,
            numbers: None,
            first_time: header.recorded_at,
            last_time,
            name: None,
        }),
    };
    entry.last_time = entry.last_time.max(last_time);
    match header.kind {
        Kind::Events => {
            let first = entry
                .numbers
                .map_or(header.first_number, |(first, _)| first);
            let last = header.first_number + u64::from(header.count) - 1;
            entry.numbers = Some((first, last));
        }
        Kind::Created | Kind::Renamed => entry.name = Some(body.to_vec()),
        _ => {}
    }
}
