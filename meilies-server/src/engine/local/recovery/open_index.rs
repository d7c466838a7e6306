//! Opening the index, and telling whether it belongs to this log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::engine::local::OpenError;
use crate::engine::local::commit::{HEADER_BYTES, Header};
use crate::engine::local::file::read_full_at;
use crate::engine::local::index::{self, Checkpoint, Index, IndexError, IndexFaults};
use crate::engine::local::log::Log;

/// Where to begin, and what the index proves even if it is not used.
pub(super) struct Start {
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) proven: Option<Checkpoint>,
}

/// Opens the index; one that cannot be used, or that does not belong to this log, is moved aside
/// and a new one begun.
pub(super) fn open(
    path: &Path,
    faults: Option<IndexFaults>,
    log: &Log,
    note_proven: impl FnOnce(&Checkpoint) -> std::io::Result<()>,
) -> Result<(Index, Start), OpenError> {
    let is_new = !path.exists();
    let unusable = match open_existing(path, faults.clone(), log) {
        Ok((index, start)) => return Ok((index, start)),
        Err(unusable) => unusable,
    };
    if !is_new {
        if let Some(proven) = &unusable.proven {
            // The next index proves as much only after its first checkpoint.
            note_proven(proven).map_err(|error| OpenError::io(path, error))?;
        }
        let aside = index::move_aside(path).map_err(|error| OpenError::io(path, error))?;
        tracing::warn!(
            reason = %unusable.reason,
            aside = %aside.display(),
            "the index cannot be used: it was moved aside and is rebuilt from the log"
        );
    }
    let index = Index::open(path, faults).map_err(|error| OpenError::index(path, &error))?;
    let start = Start {
        checkpoint: None,
        proven: unusable.proven,
    };
    Ok((index, start))
}

struct Unusable {
    reason: String,
    proven: Option<Checkpoint>,
}

impl From<IndexError> for Unusable {
    fn from(error: IndexError) -> Self {
        Unusable {
            reason: error.to_string(),
            proven: None,
        }
    }
}

fn open_existing(
    path: &Path,
    faults: Option<IndexFaults>,
    log: &Log,
) -> Result<(Index, Start), Unusable> {
    // sled panics on some files that it did not write, or not to the end.
    let opened = catch_unwind(AssertUnwindSafe(|| Index::open(path, faults)));
    let index = opened.map_err(|_| Unusable {
        reason: "sled panicked".into(),
        proven: None,
    })??;
    let Some(checkpoint) = index.checkpoint()? else {
        // New, or killed before its first checkpoint: what it holds is written over again.
        let start = Start {
            checkpoint: None,
            proven: None,
        };
        return Ok((index, start));
    };
    let end = Some(checkpoint);
    match agreement(&checkpoint, log) {
        Agreement::Agrees => {
            index.clear_gone(&checkpoint)?;
            let start = Start {
                checkpoint: end,
                proven: end,
            };
            Ok((index, start))
        }
        Agreement::LogDamaged => Err(Unusable {
            reason: "the log is damaged where the index ends".into(),
            proven: end,
        }),
        Agreement::BeyondLog => Err(Unusable {
            reason: "it reaches beyond the log".into(),
            proven: None,
        }),
    }
}

/// Whether the log reaches as far as this: whole or damaged, but not another log or a shorter one.
pub(super) fn is_in_log(end: &Checkpoint, log: &Log) -> bool {
    !matches!(agreement(end, log), Agreement::BeyondLog)
}

enum Agreement {
    Agrees,
    /// The log reaches as far, but does not verify there.
    LogDamaged,
    /// The log is shorter, or another one.
    BeyondLog,
}

/// Whether the last commit in the index is in the log where the index says.
fn agreement(checkpoint: &Checkpoint, log: &Log) -> Agreement {
    let Some(segment) = log.segment(checkpoint.serial) else {
        return Agreement::BeyondLog;
    };
    if segment
        .file
        .len()
        .is_ok_and(|bytes| bytes < checkpoint.byte)
    {
        return Agreement::BeyondLog;
    }
    if checkpoint.last_byte == 0 {
        return match checkpoint.previous_crc == segment.header_crc {
            true => Agreement::Agrees,
            false => Agreement::BeyondLog,
        };
    }
    let mut header = [0; HEADER_BYTES];
    let read = read_full_at(&*segment.file, &mut header, checkpoint.last_byte);
    match (read, Header::decode(&header)) {
        (Ok(_), Ok(header)) if header.salt != segment.header.salt => Agreement::BeyondLog,
        (Ok(_), Ok(header)) if header.crc == checkpoint.previous_crc => Agreement::Agrees,
        (Ok(_), Ok(_)) => Agreement::BeyondLog,
        // Space that was filled ahead: this log never came so far.
        (Ok(_), Err(_)) if header.iter().all(|byte| *byte == 0) => Agreement::BeyondLog,
        _ => Agreement::LogDamaged,
    }
}
