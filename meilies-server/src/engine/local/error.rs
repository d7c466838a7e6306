//! Why a store cannot be opened; each text says what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::commit::FormatError;
use super::index::IndexError;
use super::segment::SegmentError;
use crate::engine::StoreError;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error(
        "cannot keep a store in {}: {error}: create it so that this user may write to it, or give \
         another --db-path",
        directory.display()
    )]
    Directory {
        /// The store's directory.
        directory: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has it open.
    #[error(
        "the store in {} is in use by {holder}: stop it, or give another --db-path",
        directory.display()
    )]
    Locked {
        /// The store's directory.
        directory: PathBuf,
        /// Who holds it, as it says itself.
        holder: String,
    },
    /// The directory holds something else.
    #[error(
        "{} is no MeiliES store: MeiliES did not write its FORMAT file; give another --db-path",
        directory.display()
    )]
    NoStore {
        /// The directory.
        directory: PathBuf,
    },
    /// Another version's store.
    #[error(
        "the store in {} has format {found}, this version reads format {}: \
         use the version that wrote it",
        directory.display(),
        super::segment::FORMAT
    )]
    Format {
        /// The store's directory.
        directory: PathBuf,
        /// The format it names.
        found: String,
    },
    /// A newer version wrote an entry of the log.
    #[error(
        "{} at byte {byte}: {reason}: a newer version wrote it, use that one",
        file.display()
    )]
    Newer {
        /// The segment.
        file: PathBuf,
        /// Where the commit begins.
        byte: u64,
        /// What is not known.
        reason: String,
    },
    /// A commit verifies but cannot follow those before it: never cut, never guessed at.
    #[error("{} at byte {byte}: {reason}: restore the log from a backup", file.display())]
    Contradiction {
        /// The segment.
        file: PathBuf,
        /// Where the commit begins.
        byte: u64,
        /// What contradicts.
        reason: String,
    },
    /// A segment's header cannot be used.
    #[error("{} {reason}: restore it from a backup", file.display())]
    Segment {
        /// The segment.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The index failed where it cannot be rebuilt.
    #[error(
        "the index in {}: {reason}: stop the server, delete that folder and start again",
        path.display()
    )]
    Index {
        /// The index's directory.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The store could not be written at open.
    #[error("the store in {}: {error}", path.display())]
    Store {
        /// The store's directory.
        path: PathBuf,
        /// What failed.
        error: StoreError,
    },
}

impl OpenError {
    pub(super) fn io(path: &Path, error: io::Error) -> OpenError {
        let path = path.to_owned();
        OpenError::Io { path, error }
    }

    pub(super) fn index(path: &Path, error: &IndexError) -> OpenError {
        OpenError::Index {
            path: path.to_owned(),
            reason: error.to_string(),
        }
    }

    pub(super) fn unreadable_index(log: &Path) -> OpenError {
        OpenError::Index {
            path: log.with_file_name("index"),
            reason: "a stream cannot be read".into(),
        }
    }

    pub(super) fn no_segment(path: &Path) -> OpenError {
        OpenError::Segment {
            file: path.join("log"),
            reason: "has no segment".into(),
        }
    }

    pub(super) fn store(path: &Path, error: StoreError) -> OpenError {
        let path = path.to_owned();
        OpenError::Store { path, error }
    }

    pub(super) fn segment(directory: &Path, name: &str, error: SegmentError) -> OpenError {
        OpenError::Segment {
            file: directory.join(name),
            reason: error.to_string(),
        }
    }

    /// A commit that is whole but cannot be taken in.
    pub(super) fn refused(
        directory: &Path,
        name: &str,
        byte: u64,
        error: FormatError,
    ) -> OpenError {
        let (file, reason) = (directory.join(name), error.to_string());
        match error.is_newer() {
            true => OpenError::Newer { file, byte, reason },
            false => OpenError::Contradiction { file, byte, reason },
        }
    }
}
