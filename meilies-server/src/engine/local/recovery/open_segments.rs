//! Opening the segment files of a log.

use std::path::Path;
use std::sync::Arc;

use crate::engine::local::OpenError;
use crate::engine::local::commit::{HEADER_BYTES, Header};
use crate::engine::local::file::{File, FileSystem, OpenMode, read_full_at};
use crate::engine::local::index::Checkpoint;
use crate::engine::local::log::{Log, Segment};
use crate::engine::local::segment::{self, SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader};

/// Opens the segment files, the newest generation of each; creates the first one of a new log.
pub(super) fn open(
    files: &Arc<dyn FileSystem>,
    directory: &Path,
    clean_end: Option<&Checkpoint>,
) -> Result<Arc<Log>, OpenError> {
    let log = Log::new(Arc::clone(files), directory);
    let names = files.list(directory);
    let names = names.map_err(|error| OpenError::io(directory, error))?;
    let mut found: Vec<(u32, u32)> = names
        .iter()
        .filter_map(|name| segment::parse_file_name(name))
        .collect();
    found.sort_unstable();
    let newest = |at: usize| found.get(at + 1).is_none_or(|next| next.0 != found[at].0);
    let newest: Vec<(u32, u32)> = (0..found.len())
        .filter(|at| newest(*at))
        .map(|at| found[at])
        .collect();
    for (at, (serial, generation)) in newest.iter().enumerate() {
        let name = segment::file_name(*serial, *generation);
        let is_last = at + 1 == newest.len();
        match open_segment(files, directory, &name, is_last)? {
            Some(opened) => log.add(Arc::new(opened)),
            // The process was killed while it created this segment: nothing was written to it.
            None if is_last && clean_end.is_none_or(|end| end.serial < *serial) => {
                tracing::info!(name, "removing a segment whose creation was cut short");
                let path = directory.join(&name);
                files
                    .remove(&path)
                    .map_err(|error| OpenError::io(&path, error))?;
            }
            None => return Err(OpenError::segment(directory, &name, SegmentError::Damaged)),
        }
    }
    if log.segments().is_empty() {
        let header = SegmentHeader {
            serial: 1,
            generation: 0,
            salt: rand::random(),
            first_commit: 0,
            first_position: 0,
            previous_crc: 0,
        };
        let created = log.create(header);
        log.add(created.map_err(|error| OpenError::io(directory, error))?);
    }
    Ok(Arc::new(log))
}

/// `None` when the last segment's header was never written.
fn open_segment(
    files: &Arc<dyn FileSystem>,
    directory: &Path,
    name: &str,
    is_last: bool,
) -> Result<Option<Segment>, OpenError> {
    let path = directory.join(name);
    let failed = |error| OpenError::io(&path, error);
    let file = files.open(&path, OpenMode::Write).map_err(failed)?;
    let mut bytes = vec![0; usize::try_from(SEGMENT_HEADER_BYTES).expect("a header is small")];
    read_full_at(&*file, &mut bytes, 0).map_err(failed)?;
    match SegmentHeader::decode(&bytes) {
        Ok((header, header_crc)) => Ok(Some(Segment {
            header,
            header_crc,
            name: name.into(),
            file,
        })),
        Err(SegmentError::Format(format)) => Err(OpenError::segment(
            directory,
            name,
            SegmentError::Format(format),
        )),
        Err(_) if is_last && file.len().map_err(failed)? <= SEGMENT_HEADER_BYTES => Ok(None),
        Err(error) => match header_from_first_commit(&*file, name).map_err(failed)? {
            None => Err(OpenError::segment(directory, name, error)),
            Some((header, header_crc)) => {
                tracing::error!(name, %error, "its header was made up from its first commit");
                Ok(Some(Segment {
                    header,
                    header_crc,
                    name: name.into(),
                    file,
                }))
            }
        },
    }
}

/// All that the header of a segment says and is needed to read on stands in its first commit too.
fn header_from_first_commit(
    file: &dyn File,
    name: &str,
) -> std::io::Result<Option<(SegmentHeader, u32)>> {
    let mut bytes = [0; HEADER_BYTES];
    read_full_at(file, &mut bytes, SEGMENT_HEADER_BYTES)?;
    let commit = Header::decode(&bytes).ok();
    let place = segment::parse_file_name(name);
    Ok(commit.zip(place).map(|(commit, (serial, generation))| {
        let header = SegmentHeader {
            serial,
            generation,
            salt: commit.salt,
            first_commit: commit.commit,
            first_position: commit.first_position,
            // Of no use to a reader: the chain to the segment before is not checked.
            previous_crc: 0,
        };
        (header, commit.previous_crc)
    }))
}
