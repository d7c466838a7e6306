//! Mending the end of the log at open.

use std::io;

use super::copy;
use crate::engine::local::file::{OpenMode, read_full_at, write_all_at};
use crate::engine::local::log::{Log, Segment};

/// Writes the bytes from `from` to `end` again in place and syncs the file.
///
/// After a crash of the process they may be in the page cache only; after a failed sync the kernel
/// may even hold them as clean. Writing them again makes the next sync mean what it says.
pub(super) fn rewrite(segment: &Segment, from: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1024 * 1024];
    let mut at = from;
    while at < end {
        let most = usize::try_from(end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = read_full_at(&*segment.file, &mut buffer[..most], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all_at(&*segment.file, &buffer[..read], at)?;
        at += read as u64;
    }
    segment.file.sync_data()
}

/// Saves the `torn` bytes from `at` on to `cut-<commit>.bin`, then cuts the segment at `at`.
pub(super) fn cut(log: &Log, segment: &Segment, at: u64, torn: u64, commit: u64) -> io::Result<()> {
    let mut number = 0;
    let (name, file) = loop {
        let name = match number {
            0 => format!("cut-{commit}.bin"),
            again => format!("cut-{commit}-{again}.bin"),
        };
        match log.files.open(&log.directory.join(&name), OpenMode::Create) {
            Ok(file) => break (name, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    copy(segment, at, torn, &*file)?;
    file.sync_data()?;
    log.files.sync_dir(&log.directory)?;
    tracing::warn!(
        segment = %segment.name,
        byte = at,
        bytes = torn,
        commit,
        saved = %name,
        "cutting a commit that a crash left unfinished; nobody was told that it was stored"
    );
    segment.file.set_len(at)?;
    segment.file.sync_data()
}
