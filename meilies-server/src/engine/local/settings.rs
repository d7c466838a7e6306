//! The store's own settings in the log: batches of kind `Settings` with stream id 0.
//!
//! The body is a sequence of varint tag, varint length, value; all values are absolute. Tags:
//! 1 = epoch (varint), 2 = whether commits may be acknowledged before they are synced (varint 0 or
//! 1), 3 = damage that was accepted: pairs of varints, the commits from the first up to the second.

use bytes::BytesMut;

use super::commit::{BatchHeader, CommitWriter, FormatError, Kind};
use super::index::Checkpoint;
use crate::engine::varint::{put_varint, take_bytes, take_varint, varint_bytes};

const EPOCH: u64 = 1;
const WEAK: u64 = 2;
const ACCEPTED: u64 = 3;

/// What a settings batch says of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreSettings {
    pub(super) epoch: u64,
    pub(super) weak: bool,
    /// Ranges of commits whose loss was accepted, the second exclusive; empty says nothing.
    pub(super) accepted: Vec<(u64, u64)>,
}

impl StoreSettings {
    /// Adds the settings as a batch.
    pub(super) fn encode(&self, now: u64, writer: &mut CommitWriter, out: &mut BytesMut) {
        let start = writer.begin_batch(out);
        put_number(out, EPOCH, self.epoch);
        put_number(out, WEAK, u64::from(self.weak));
        if !self.accepted.is_empty() {
            let mut ranges = BytesMut::new();
            for (first, end) in &self.accepted {
                put_varint(&mut ranges, *first);
                put_varint(&mut ranges, *end);
            }
            put_varint(out, ACCEPTED);
            put_varint(out, ranges.len() as u64);
            out.extend_from_slice(&ranges);
        }
        let header = BatchHeader {
            kind: Kind::Settings,
            count: 1,
            stream_id: 0,
            first_number: 0,
            first_position: 0,
            recorded_at: now,
            span_ms: 0,
            body_bytes: 0,
        };
        CommitWriter::end_batch(out, start, &header);
    }

    /// Reads a settings batch of the store.
    pub(super) fn decode(mut body: &[u8]) -> Result<StoreSettings, FormatError> {
        let from = &mut body;
        let mut settings = StoreSettings::default();
        while !from.is_empty() {
            let tag = take_varint(from).ok_or(FormatError::Body)?;
            let mut value = take_bytes(from).ok_or(FormatError::Body)?;
            match tag {
                EPOCH => settings.epoch = number(&mut value)?,
                WEAK => settings.weak = number(&mut value)? != 0,
                ACCEPTED => {
                    while !value.is_empty() {
                        let range = (number(&mut value)?, number(&mut value)?);
                        settings.accepted.push(range);
                    }
                }
                _ => return Err(FormatError::UnknownSetting(tag)),
            }
        }
        Ok(settings)
    }

    /// What stays of it in memory and in the index.
    pub(super) fn apply(&self, end: &mut Checkpoint) {
        end.epoch = self.epoch;
        end.weak = self.weak;
    }
}

fn put_number(out: &mut BytesMut, tag: u64, value: u64) {
    put_varint(out, tag);
    put_varint(out, varint_bytes(value) as u64);
    put_varint(out, value);
}

fn number(from: &mut &[u8]) -> Result<u64, FormatError> {
    take_varint(from).ok_or(FormatError::Body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::local::commit::{HEADER_BYTES, batches};

    #[test]
    fn settings_come_back() {
        for accepted in [vec![], vec![(1, 2), (300, 70_000)]] {
            let settings = StoreSettings {
                epoch: 300,
                weak: true,
                accepted,
            };
            let mut out = BytesMut::new();
            let mut writer = CommitWriter::start(&mut out);
            settings.encode(5, &mut writer, &mut out);
            let found = batches(&out[HEADER_BYTES..]).next().unwrap().unwrap();
            assert_eq!(found.header.kind, Kind::Settings);
            assert_eq!(StoreSettings::decode(found.body), Ok(settings));
        }
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert_eq!(
            StoreSettings::decode(&[9, 1, 0]),
            Err(FormatError::UnknownSetting(9))
        );
    }
}
