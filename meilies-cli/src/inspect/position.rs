//! The file that says what was handled, so that the next start goes on there.
//!
//! It is never changed but replaced: a new file is written, synced and renamed over it, and the
//! directory is synced. So it holds one state or the next, whatever happens when. Whoever uses it
//! holds a lock on it, the new one before it takes the old one's name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::limits::{POSITION_FILE_BYTES_MAX, POSITION_LOCK_INTERVAL, POSITION_LOCK_PATIENCE};

/// See the module.
#[derive(Debug)]
pub(super) struct PositionFile {
    path: PathBuf,
    /// Locked until it is dropped.
    file: File,
    saved: Option<Saved>,
}

/// What was handled, by event numbers, or by positions for `$all`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    /// Whose numbers these are.
    pub(super) spec: String,
    /// Everything below was handled, or is not wanted.
    pub(super) next: u64,
    /// What was handled besides.
    pub(super) done: Vec<u64>,
    /// The highest of all that was handled.
    pub(super) last: Option<Handled>,
}

/// An event that was handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handled {
    pub(super) number: u64,
    /// Other events may get its number, but not its id.
    pub(super) id: String,
}

impl PositionFile {
    /// Opens a file, or makes one without a position.
    pub(super) async fn open(path: &Path, spec: &str) -> Result<PositionFile, Failure> {
        let failed = |error| Failure::File {
            path: path.to_owned(),
            error,
        };
        let at = |failure| Failure::At {
            place: path.display().to_string(),
            failure: Box::new(failure),
        };
        let begun = Instant::now();
        let mut file = loop {
            if let Some(file) = open_locked(path).map_err(failed)? {
                break file;
            }
            // A command that is just being started shares the lock of an inspect that was killed.
            if begun.elapsed() > POSITION_LOCK_PATIENCE {
                return Err(at(Failure::Program(
                    "another inspect uses this file".to_owned(),
                )));
            }
            sleep(POSITION_LOCK_INTERVAL).await;
        };
        let mut text = Vec::new();
        (&mut file)
            .take(POSITION_FILE_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(failed)?;
        let saved = match text.is_empty() {
            true => None,
            false => Some(parse(&text, spec).map_err(at)?),
        };
        Ok(PositionFile {
            path: path.to_owned(),
            file,
            saved,
        })
    }

    /// What it held when it was opened, or was saved last.
    pub(super) fn saved(&self) -> Option<&Saved> {
        self.saved.as_ref()
    }

    /// Replaces what it holds. When this returns without a failure, a crash of the machine does not
    /// take it back.
    pub(super) fn save(&mut self, saved: Saved) -> Result<(), Failure> {
        let failed = |path: &Path, error| Failure::File {
            path: path.to_owned(),
            error,
        };
        let mut new_path = self.path.clone().into_os_string();
        new_path.push(".new");
        let new_path = PathBuf::from(new_path);
        let file = write_new(&new_path, &saved).map_err(|error| failed(&new_path, error))?;
        let renamed = fs::rename(&new_path, &self.path);
        renamed
            .and_then(|()| File::open(directory_of(&self.path))?.sync_all())
            .map_err(|error| failed(&self.path, error))?;
        self.file = file;
        self.saved = Some(saved);
        Ok(())
    }
}

/// Gives nothing if somebody else has the lock.
fn open_locked(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever had it may have replaced it since it was opened.
        let (ours, there) = (file.metadata()?, fs::metadata(path));
        match there {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                return Ok(Some(file));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_new(path: &Path, saved: &Saved) -> io::Result<File> {
    let mut text = serde_json::to_vec(saved)?;
    text.push(b'\n');
    let mut file = File::create(path)?;
    file.try_lock().map_err(io::Error::from)?;
    file.write_all(&text)?;
    file.sync_all()?;
    Ok(file)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn parse(text: &[u8], spec: &str) -> Result<Saved, Failure> {
    let saved: Saved = serde_json::from_slice(text)
        .map_err(|error| Failure::Input(format!("not a file of inspect: {error}")))?;
    match saved.spec == spec {
        true => Ok(saved),
        false => Err(Failure::Usage(format!(
            "this file belongs to the spec '{}', not to '{spec}'",
            saved.spec
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(next: u64) -> Saved {
        Saved {
            spec: "$all:0".to_owned(),
            next,
            done: vec![next + 2, next + 5],
            last: Some(Handled {
                number: next + 5,
                id: "1700000000000-3".to_owned(),
            }),
        }
    }

    #[tokio::test]
    async fn what_was_saved_last_is_there_at_the_next_start() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("position");
        let mut file = PositionFile::open(&path, "$all:0")
            .await
            .expect("a new file");
        assert_eq!(file.saved(), None);
        for next in 0..3 {
            file.save(saved(next)).expect("the disk has room");
        }
        drop(file);
        let file = PositionFile::open(&path, "$all:0")
            .await
            .expect("the same spec");
        assert_eq!(file.saved(), Some(&saved(2)));
        let names: Vec<_> = fs::read_dir(&directory).expect("it is there").collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[tokio::test]
    async fn a_file_of_another_spec_or_program_is_refused_and_kept() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("position");
        let mut file = PositionFile::open(&path, "$all:0")
            .await
            .expect("a new file");
        file.save(saved(4)).expect("the disk has room");
        drop(file);
        let text = fs::read(&path).expect("it is there");
        let refused = PositionFile::open(&path, "$all:1")
            .await
            .expect_err("another spec");
        assert_eq!(refused.exit_code(), 2);
        let reason = "belongs to the spec '$all:0', not to '$all:1'";
        assert!(refused.to_string().contains(reason), "{refused}");
        assert_eq!(fs::read(&path).expect("it is there"), text);

        fs::write(&path, "root:x:0:0").expect("it can be written");
        let refused = PositionFile::open(&path, "$all:0")
            .await
            .expect_err("no file of ours");
        assert!(
            refused.to_string().contains("not a file of inspect"),
            "{refused}"
        );
        assert_eq!(fs::read(&path).expect("it is there"), b"root:x:0:0");
    }

    #[tokio::test]
    async fn only_one_uses_it_at_a_time() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("position");
        let mut file = PositionFile::open(&path, "$all:0")
            .await
            .expect("a new file");
        for next in 0..2 {
            let refused = PositionFile::open(&path, "$all:0")
                .await
                .expect_err("it is in use");
            assert!(refused.to_string().contains("another inspect"), "{refused}");
            file.save(saved(next)).expect("the disk has room");
        }
        drop(file);
        PositionFile::open(&path, "$all:0")
            .await
            .expect("it is free again");
    }
}
