//! Entries of the log about one stream that are not events: deletions, and settings.
//!
//! Integers are varints, an id is two of them. A batch of kind `Deletions`: the number of the first
//! event that is kept, how many numbers behind it are deleted, the highest id that was ever deleted
//! by itself, then the ranges of numbers that this entry deletes, each as its distance from the end
//! of the range before and its length. A batch of kind `Settings` with a stream's id: tag, length,
//! value. Tags: 16 = id last given (id), 17 = what the count of events ever added is above that of
//! numbers given (zigzag), 18 = the highest id that was deleted by itself (id), 19 = what is set
//! and counted of producers' keys: for how many seconds a key is known and how many are (each 0 if
//! that was not set), from which number on, how many events were added with one, how many
//! repetitions were found. All values but the ranges are absolute, and a number that is deleted
//! stays deleted: so entries may be read again.

use std::ops::Range;

use bytes::BytesMut;
use meilies_protocol::EventId;

use super::commit::FormatError;
use crate::engine::varint::{put_varint, take_bytes, take_varint, unzigzag, varint_bytes, zigzag};
use crate::engine::{Producing, StreamSummary};

const LAST_ID: u64 = 16;
const SURPLUS: u64 = 17;
const MAX_DELETED_ID: u64 = 18;
const PRODUCING: u64 = 19;

/// What a batch of kind `Deletions` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deletions<R> {
    pub(super) first: u64,
    pub(super) deleted: u64,
    pub(super) max_deleted_id: EventId,
    /// Deleted by this entry.
    pub(super) numbers: R,
}

impl Deletions<&Vec<Range<u64>>> {
    /// Appends the body.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        put_varint(out, self.first);
        put_varint(out, self.deleted);
        put_id(out, self.max_deleted_id);
        let mut end = 0_u64;
        for range in self.numbers {
            // They need not ascend.
            put_varint(out, zigzag(range.start.wrapping_sub(end)));
            put_varint(out, range.end - range.start);
            end = range.end;
        }
    }
}

impl Deletions<Vec<Range<u64>>> {
    /// Reads a body.
    pub(super) fn decode(mut body: &[u8]) -> Result<Self, FormatError> {
        let from = &mut body;
        let mut deletions = Deletions {
            first: number(from)?,
            deleted: number(from)?,
            max_deleted_id: id(from)?,
            numbers: Vec::new(),
        };
        let mut end = 0_u64;
        while !from.is_empty() {
            let start = end.wrapping_add(unzigzag(number(from)?));
            end = start.checked_add(number(from)?).ok_or(FormatError::Body)?;
            deletions.numbers.push(start..end);
        }
        Ok(deletions)
    }
}

/// What a batch of kind `Settings` says of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamSettings {
    pub(super) last_id: EventId,
    pub(super) surplus: u64,
    pub(super) max_deleted_id: EventId,
    pub(super) producing: Producing,
}

impl StreamSettings {
    /// Those of a stream.
    pub(super) fn of(stream: &StreamSummary) -> StreamSettings {
        StreamSettings {
            last_id: stream.last_id,
            surplus: stream.surplus,
            max_deleted_id: stream.max_deleted_id,
            producing: stream.producing,
        }
    }

    /// Appends the body.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        put_setting(out, LAST_ID, &[self.last_id.ms, self.last_id.seq]);
        put_setting(out, SURPLUS, &[zigzag(self.surplus)]);
        let max_deleted_id = self.max_deleted_id;
        put_setting(
            out,
            MAX_DELETED_ID,
            &[max_deleted_id.ms, max_deleted_id.seq],
        );
        if self.producing != Producing::default() {
            put_setting(out, PRODUCING, &self.producing.to_values());
        }
    }

    /// Reads a body; what it does not say stays as it is.
    pub(super) fn decode(mut self, mut body: &[u8]) -> Result<StreamSettings, FormatError> {
        let from = &mut body;
        while !from.is_empty() {
            let tag = number(from)?;
            let mut value = take_bytes(from).ok_or(FormatError::Body)?;
            match tag {
                LAST_ID => self.last_id = id(&mut value)?,
                SURPLUS => self.surplus = unzigzag(number(&mut value)?),
                MAX_DELETED_ID => self.max_deleted_id = id(&mut value)?,
                PRODUCING => self.producing = producing(&mut value)?,
                _ => return Err(FormatError::UnknownSetting(tag)),
            }
        }
        Ok(self)
    }
}

fn producing(from: &mut &[u8]) -> Result<Producing, FormatError> {
    let mut values = [0; 5];
    for value in &mut values {
        *value = number(from)?;
    }
    Ok(Producing::from_values(values))
}

fn put_setting(out: &mut BytesMut, tag: u64, values: &[u64]) {
    put_varint(out, tag);
    let bytes: usize = values.iter().map(|value| varint_bytes(*value)).sum();
    put_varint(out, bytes as u64);
    for value in values {
        put_varint(out, *value);
    }
}

fn put_id(out: &mut BytesMut, id: EventId) {
    put_varint(out, id.ms);
    put_varint(out, id.seq);
}

fn number(from: &mut &[u8]) -> Result<u64, FormatError> {
    take_varint(from).ok_or(FormatError::Body)
}

fn id(from: &mut &[u8]) -> Result<EventId, FormatError> {
    Ok(EventId {
        ms: number(from)?,
        seq: number(from)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meilies_protocol::StreamName;
    use proptest::prelude::*;

    fn nothing() -> StreamSettings {
        StreamSettings::of(&StreamSummary::new(
            1,
            StreamName::parse("s".into()).unwrap(),
            0,
        ))
    }

    proptest! {
        #[test]
        fn deletions_come_back(
            first: u64, deleted: u64, ms: u64, seq: u64,
            ranges in proptest::collection::vec((0..u64::MAX / 2, 1_u64..1000), 0..10),
        ) {
            let numbers: Vec<_> =
                ranges.into_iter().map(|(start, length)| start..start + length).collect();
            let max_deleted_id = EventId { ms, seq };
            let mut out = BytesMut::new();
            Deletions { first, deleted, max_deleted_id, numbers: &numbers }.encode(&mut out);
            let expected = Deletions { first, deleted, max_deleted_id, numbers };
            prop_assert_eq!(Deletions::decode(&out), Ok(expected));
        }

        #[test]
        fn settings_come_back(ms: u64, seq: u64, surplus: u64, added: u64, keys_max in 0_u64..9) {
            let settings = StreamSettings {
                last_id: EventId { ms, seq },
                surplus,
                max_deleted_id: EventId { ms: seq, seq: ms },
                producing: Producing {
                    duration_s: None,
                    keys_max: (keys_max > 0).then_some(keys_max),
                    from: seq,
                    added,
                    repeated: ms,
                },
            };
            let mut out = BytesMut::new();
            settings.encode(&mut out);
            prop_assert_eq!(nothing().decode(&out), Ok(settings));
        }

        #[test]
        fn malformed_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _deletions = Deletions::decode(&body);
            let _settings = nothing().decode(&body);
        }
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert_eq!(
            nothing().decode(&[9, 1, 0]),
            Err(FormatError::UnknownSetting(9))
        );
    }
}
