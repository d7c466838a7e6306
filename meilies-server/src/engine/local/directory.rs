//! The store's directory: one process at a time, a format that is named, a mark of clean stops.
//!
//! `LOCK` is locked for as long as the store is open and says who holds it; whoever comes while its
//! holder ends waits for that. `FORMAT` names the format and the store's id. `CLEAN` is there only
//! while the store is cleanly closed and says where its log ends: bytes before that end are never
//! taken for torn ones. `PROVEN` says the same of an index that was moved aside, until a new one
//! can.

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::OpenError;
use super::file::{FileSystem, read_file, replace_file};
use super::holder::Patience;
use super::index::Checkpoint;
use super::segment::FORMAT;

const FORMAT_FILE: &str = "FORMAT";
const CLEAN_FILE: &str = "CLEAN";
const PROVEN_FILE: &str = "PROVEN";

/// The locked directory of a store.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) store_id: String,
    /// Locked until it is dropped.
    _lock: fs::File,
}

impl Directory {
    /// Creates the directory if need be, takes the lock, checks the format.
    pub(super) fn open(files: &dyn FileSystem, path: &Path) -> Result<Directory, OpenError> {
        let failed = |error| OpenError::Directory {
            directory: path.to_owned(),
            error,
        };
        create(files, path).map_err(failed)?;
        let mut patience = Patience::default();
        let lock = lock(path, |holder| patience.wait(holder))?;
        let log = path.join("log");
        files
            .create_dir(&log)
            .map_err(|error| OpenError::io(&log, error))?;
        let format = read_file(files, &path.join(FORMAT_FILE)).map_err(failed)?;
        let store_id = if let Some(content) = format {
            parse_format(path, &content)?
        } else {
            let id = format!(
                "{:032x}{:08x}",
                rand::random::<u128>(),
                rand::random::<u32>()
            );
            let content = format!("MeiliES store\nformat {FORMAT}\nid {id}\n");
            replace_file(files, path, FORMAT_FILE, content.as_bytes()).map_err(failed)?;
            id
        };
        files.sync_dir(path).map_err(failed)?;
        Ok(Directory {
            path: path.to_owned(),
            store_id,
            _lock: lock,
        })
    }

    /// Where the log ended when the store was closed cleanly; `None` when it was not.
    pub(super) fn clean_end(
        &self,
        files: &dyn FileSystem,
    ) -> Result<Option<Checkpoint>, OpenError> {
        let content = read_file(files, &self.path.join(CLEAN_FILE));
        let content = content.map_err(|error| OpenError::io(&self.path, error))?;
        Ok(content.and_then(|content| Checkpoint::decode(&content)))
    }

    /// Up to where an index that was moved aside had seen the log durable.
    pub(super) fn proven_end(
        &self,
        files: &dyn FileSystem,
    ) -> Result<Option<Checkpoint>, OpenError> {
        let content = read_file(files, &self.path.join(PROVEN_FILE));
        let content = content.map_err(|error| OpenError::io(&self.path, error))?;
        Ok(content.and_then(|content| Checkpoint::decode(&content)))
    }

    /// Notes what the index proves before it is moved aside.
    pub(super) fn note_proven(&self, files: &dyn FileSystem, end: &Checkpoint) -> io::Result<()> {
        replace_file(files, &self.path, PROVEN_FILE, &end.encode())
    }

    /// Notes a clean stop.
    pub(super) fn mark_clean(&self, files: &dyn FileSystem, end: &Checkpoint) -> io::Result<()> {
        replace_file(files, &self.path, CLEAN_FILE, &end.encode())
    }

    /// The store is open: from now on a stop is unclean until it is marked clean.
    pub(super) fn unmark_clean(&self, files: &dyn FileSystem) -> io::Result<()> {
        match files.remove(&self.path.join(CLEAN_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => files.sync_dir(&self.path),
        }
    }
}

/// Creates the directory and those above it that are missing; each new one's parent is synced.
fn create(files: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
        .collect();
    fs::create_dir_all(path)?;
    for created in missing {
        match created.parent() {
            Some(parent) if parent.as_os_str().is_empty() => files.sync_dir(Path::new("."))?,
            Some(parent) => files.sync_dir(parent)?,
            None => {}
        }
    }
    Ok(())
}

/// Takes the lock. As long as another process has it, `waits` is told which, and says whether to
/// try again.
fn lock(directory: &Path, mut waits: impl FnMut(&str) -> bool) -> Result<fs::File, OpenError> {
    let path = directory.join("LOCK");
    let failed = |error| OpenError::Directory {
        directory: directory.to_owned(),
        error,
    };
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(failed)?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(fs::TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                if !waits(&holder) {
                    let directory = directory.to_owned();
                    return Err(OpenError::Locked { directory, holder });
                }
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    let holder = format!("process {}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(holder.as_bytes()))
        .map_err(failed)?;
    Ok(file)
}

/// Who holds the lock, as it says itself.
fn holder(file: &mut fs::File) -> String {
    let mut holder = String::new();
    // Who holds it is only told: an unreadable name must not hide that it is held.
    let _unreadable = file
        .rewind()
        .and_then(|()| file.read_to_string(&mut holder));
    match holder.trim() {
        "" => "another process".to_owned(),
        holder => holder.to_owned(),
    }
}

fn parse_format(directory: &Path, content: &[u8]) -> Result<String, OpenError> {
    let text = String::from_utf8_lossy(content);
    let mut lines = text.lines();
    let known = lines.next() == Some("MeiliES store");
    let format = lines.next().and_then(|line| line.strip_prefix("format "));
    let Some(format) = format.filter(|_| known) else {
        return Err(OpenError::NoStore {
            directory: directory.to_owned(),
        });
    };
    if format.parse() != Ok(FORMAT) {
        return Err(OpenError::Format {
            directory: directory.to_owned(),
            found: format.to_owned(),
        });
    }
    let id = lines.next().and_then(|line| line.strip_prefix("id "));
    Ok(id.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_let_go_meanwhile_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let mut first = Some(lock(directory.path(), |_| false).unwrap());
        let refused = lock(directory.path(), |_| false);
        assert!(matches!(refused, Err(OpenError::Locked { .. })));
        let mut told = Vec::new();
        let taken = lock(directory.path(), |holder| {
            told.push(holder.to_owned());
            // Its holder ends while the third one is asked.
            if told.len() == 3 {
                first = None;
            }
            true
        });
        assert!(taken.is_ok());
        assert_eq!(told, vec![format!("process {}", std::process::id()); 3]);
    }
}
