//! Consumer groups in the index.
//!
//! Pending entries lie in blocks, so that sled has few keys and one change rewrites little. A block
//! begins where its key says and ends where the next begins; the blocks of a group that a
//! checkpoint changes are changed by one batch, which sled applies as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meilies_protocol::EventId;

use super::{Index, IndexError, id_key};
use crate::engine::local::group_entries::{decode_block, decode_row, encode_block, encode_row};
use crate::engine::local::index::Checkpoint;
use crate::engine::local::pending::Pending;
use crate::engine::local::zones::Divided;
use crate::engine::{Group, PendingEntry};

/// Entries of a block.
const BLOCK_ENTRIES_MAX: usize = 128;

/// A block of pending entries: all that there are from one id up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine::local) struct Block {
    pub(in crate::engine::local) start: EventId,
    /// Where the next block begins; `None` behind the last.
    pub(in crate::engine::local) end: Option<EventId>,
    pub(in crate::engine::local) entries: Vec<PendingEntry>,
}

impl Index {
    /// A consumer group.
    pub(in crate::engine::local) fn group(
        &self,
        stream_id: u64,
        name: &[u8],
    ) -> Result<Option<Arc<Group>>, IndexError> {
        match self.groups.get(group_key(stream_id, name))? {
            None => Ok(None),
            Some(value) => Ok(Some(group(&value)?)),
        }
    }

    /// The groups of a stream, in the order of their names.
    pub(in crate::engine::local) fn groups_of(
        &self,
        stream_id: u64,
    ) -> Result<Vec<Arc<Group>>, IndexError> {
        let entries = self.groups.scan_prefix(stream_id.to_be_bytes());
        entries.map(|entry| group(&entry?.1)).collect()
    }

    /// The block that holds this id, and up to `limit` that follow it, or that precede it if
    /// `reverse`. The first block begins at the lowest id: together they hold every id.
    pub(in crate::engine::local) fn blocks(
        &self,
        group_id: u64,
        id: EventId,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Block>, IndexError> {
        let mut blocks = vec![self.block(group_id, id)?];
        while blocks.len() < limit {
            let last = &blocks[blocks.len() - 1];
            let next = if reverse {
                last.start.previous()
            } else {
                last.end
            };
            let Some(next) = next else {
                break;
            };
            blocks.push(self.block(group_id, next)?);
        }
        Ok(blocks)
    }

    /// The block that holds this id; what lies before the first one is an empty one.
    fn block(&self, group_id: u64, id: EventId) -> Result<Block, IndexError> {
        let up_to = key(group_id, EventId::MIN)..=key(group_id, id);
        let found = self.pending.range(up_to).next_back().transpose()?;
        let after = self.pending.get_gt(key(group_id, id))?;
        let end = after.and_then(|(after, _)| place(group_id, &after));
        let Some((found, value)) = found else {
            return Ok(Block {
                start: EventId::MIN,
                end,
                entries: Vec::new(),
            });
        };
        Ok(Block {
            start: place(group_id, &found).ok_or(IndexError::Malformed("pending"))?,
            end,
            entries: decode_block(&value).ok_or(IndexError::Malformed("pending"))?,
        })
    }

    /// All that is pending in a group, divided into zones of so many entries.
    pub(in crate::engine::local) fn zones(
        &self,
        group_id: u64,
        size: usize,
    ) -> Result<Divided, IndexError> {
        let mut zones = Divided::new(size);
        for block in self.pending.scan_prefix(group_id.to_be_bytes()) {
            let entries = decode_block(&block?.1).ok_or(IndexError::Malformed("pending"))?;
            for entry in &entries {
                zones.push(entry);
            }
        }
        Ok(zones)
    }

    /// Brings groups and what is pending in them up to date.
    pub(super) fn write_groups(
        &self,
        changes: &Pending,
        checkpoint: &Checkpoint,
    ) -> Result<(), IndexError> {
        let mut gone: BTreeSet<u64> = changes.groups_gone.iter().copied().collect();
        for ((stream_id, name), group) in &changes.groups {
            let stream = changes.streams.get(stream_id);
            let key = group_key(*stream_id, name);
            match group {
                Some(group) if stream.is_some_and(|stream| stream.is_gone) => {
                    gone.insert(group.id);
                }
                Some(group) => self.put(&self.groups, &key, encode_row(group))?,
                None => self.remove(&self.groups, &key)?,
            }
        }
        for id in &gone {
            let commits = checkpoint.commits.to_be_bytes();
            self.put(&self.gone, &id.to_be_bytes(), commits.to_vec())?;
        }
        let mut entries = changes.entries.iter().peekable();
        while let Some(((group_id, _), _)) = entries.peek() {
            let group_id = *group_id;
            let mut of_group = BTreeMap::new();
            while let Some(((_, id), entry)) = entries.next_if(|((id, _), _)| *id == group_id) {
                of_group.insert(*id, *entry);
            }
            if !gone.contains(&group_id) {
                self.write_pending(group_id, &of_group)?;
            }
        }
        Ok(())
    }

    fn write_pending(
        &self,
        group_id: u64,
        changes: &BTreeMap<EventId, Option<PendingEntry>>,
    ) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        let mut rest = changes.iter().peekable();
        while let Some((id, _)) = rest.peek() {
            let block = self.blocks(group_id, **id, false, 1)?.swap_remove(0);
            let entries = block.entries.iter().map(|entry| (entry.id, *entry));
            let mut entries: BTreeMap<EventId, PendingEntry> = entries.collect();
            while let Some((id, entry)) =
                rest.next_if(|(id, _)| block.end.is_none_or(|end| **id < end))
            {
                match entry {
                    Some(entry) => entries.insert(*id, *entry),
                    None => entries.remove(id),
                };
            }
            let entries: Vec<PendingEntry> = entries.into_values().collect();
            let mut chunks = entries.chunks(BLOCK_ENTRIES_MAX);
            // A block stays where it begins, whatever becomes of its first entry.
            match chunks.next() {
                Some(chunk) => batch.insert(&key(group_id, block.start), encode_block(chunk)),
                None => batch.remove(&key(group_id, block.start)),
            }
            for chunk in chunks {
                batch.insert(&key(group_id, chunk[0].id), encode_block(chunk));
            }
        }
        self.step()?;
        self.pending.apply_batch(batch)?;
        Ok(())
    }
}

fn group(value: &[u8]) -> Result<Arc<Group>, IndexError> {
    let group = decode_row(value).ok_or(IndexError::Malformed("groups"))?;
    Ok(Arc::new(group))
}

fn group_key(stream_id: u64, name: &[u8]) -> Vec<u8> {
    [&stream_id.to_be_bytes()[..], name].concat()
}

fn key(group_id: u64, id: EventId) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&group_id.to_be_bytes());
    key[8..].copy_from_slice(&id_key(id));
    key
}

/// Where a block of this group begins; `None` if it is another group's.
fn place(group_id: u64, key: &[u8]) -> Option<EventId> {
    let (group, id) = key.split_first_chunk::<8>()?;
    if u64::from_be_bytes(*group) != group_id {
        return None;
    }
    let (ms, seq) = id.split_first_chunk::<8>()?;
    Some(EventId {
        ms: u64::from_be_bytes(*ms),
        seq: u64::from_be_bytes(seq.try_into().ok()?),
    })
}
