//! The values of the index's trees, each with its encoding beside it: varints throughout.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use meilies_protocol::{EventId, StreamName};

use crate::engine::local::log::{CommitPlace, Location};
use crate::engine::varint::{put_varint, take_bytes, take_varint, unzigzag, zigzag};
use crate::engine::{Producing, StreamSummary};

/// The value for one stream; its id is in the key.
pub(super) fn encode_stream(stream: &StreamSummary) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(stream.name.as_bytes().len() + 48);
    // Shifted by one so that 0 says "none yet".
    put_varint(&mut out, stream.tail.map_or(0, |tail| tail + 1));
    put_varint(&mut out, stream.first);
    put_varint(&mut out, stream.deleted);
    put_id(&mut out, stream.last_id);
    put_id(&mut out, stream.max_deleted_id);
    put_varint(&mut out, zigzag(stream.surplus));
    put_varint(&mut out, stream.created_at);
    put_varint(&mut out, stream.changed);
    put_producing(&mut out, &stream.producing);
    out.put_slice(stream.name.as_bytes());
    out.to_vec()
}

/// Reads what [`encode_stream`] wrote.
pub(super) fn decode_stream(id: u64, mut value: &[u8]) -> Option<StreamSummary> {
    let from = &mut value;
    let tail = take_varint(from)?.checked_sub(1);
    let first = take_varint(from)?;
    let deleted = take_varint(from)?;
    let last_id = take_id(from)?;
    let max_deleted_id = take_id(from)?;
    let surplus = unzigzag(take_varint(from)?);
    let created_at = take_varint(from)?;
    let changed = take_varint(from)?;
    let producing = take_producing(from)?;
    let name = StreamName::parse(from.to_vec().into()).ok()?;
    Some(StreamSummary {
        id,
        name,
        tail,
        first,
        deleted,
        last_id,
        max_deleted_id,
        surplus,
        producing,
        created_at,
        changed,
    })
}

fn put_producing(out: &mut BytesMut, producing: &Producing) {
    let is_any = *producing != Producing::default();
    put_varint(out, u64::from(is_any));
    if is_any {
        for value in producing.to_values() {
            put_varint(out, value);
        }
    }
}

fn take_producing(from: &mut &[u8]) -> Option<Producing> {
    match take_varint(from)? {
        0 => Some(Producing::default()),
        1 => {
            let mut values = [0; 5];
            for value in &mut values {
                *value = take_varint(from)?;
            }
            Some(Producing::from_values(values))
        }
        _ => None,
    }
}

/// Streams in one value of the tree.
const NEIGHBOURS: u64 = 32;

/// The rows of up to 32 streams with neighbouring ids, in one value: sled takes some 60 bytes of
/// memory for every key, whatever it may cache.
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<u64, StreamSummary>);

impl Neighbours {
    /// The key of the value that holds this stream.
    pub(super) fn key(id: u64) -> [u8; 8] {
        (id / NEIGHBOURS).to_be_bytes()
    }

    pub(super) fn insert(&mut self, stream: StreamSummary) {
        self.0.insert(stream.id, stream);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<StreamSummary> {
        self.0.remove(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ascending ids.
    pub(super) fn into_iter(self) -> impl Iterator<Item = StreamSummary> {
        self.0.into_values()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = BytesMut::new();
        for (id, row) in &self.0 {
            let row = encode_stream(row);
            put_varint(&mut out, id % NEIGHBOURS);
            put_varint(&mut out, row.len() as u64);
            out.put_slice(&row);
        }
        out.to_vec()
    }

    pub(super) fn decode(key: [u8; 8], mut value: &[u8]) -> Option<Neighbours> {
        let first = u64::from_be_bytes(key).checked_mul(NEIGHBOURS)?;
        let from = &mut value;
        let mut rows = BTreeMap::new();
        while !from.is_empty() {
            let id = first.checked_add(take_varint(from)?)?;
            rows.insert(id, decode_stream(id, take_bytes(from)?)?);
        }
        Some(Neighbours(rows))
    }
}

/// Where a commit lies that begins at a noted position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::local) struct PositionRow {
    pub(in crate::engine::local) place: CommitPlace,
    /// When it was recorded, ms since 1970 UTC.
    pub(in crate::engine::local) recorded_at: u64,
}

impl PositionRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_varint(&mut out, u64::from(self.place.serial));
        put_varint(&mut out, u64::from(self.place.generation));
        put_varint(&mut out, u64::from(self.place.byte));
        put_varint(&mut out, self.recorded_at);
        out.to_vec()
    }

    pub(super) fn decode(mut value: &[u8]) -> Option<PositionRow> {
        let from = &mut value;
        let row = PositionRow {
            place: CommitPlace {
                serial: take_u32(from)?,
                generation: take_u32(from)?,
                byte: take_u32(from)?,
            },
            recorded_at: take_varint(from)?,
        };
        from.is_empty().then_some(row)
    }
}

/// Up to where the log is in the index, and all that a scan from there on needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(in crate::engine::local) struct Checkpoint {
    /// Commits in the index: the number of the first one that is not.
    pub(in crate::engine::local) commits: u64,
    pub(in crate::engine::local) next_position: u64,
    pub(in crate::engine::local) next_stream_id: u64,
    /// Streams that exist.
    pub(in crate::engine::local) streams: u64,
    /// Where the first commit that is not in the index begins or will begin.
    pub(in crate::engine::local) serial: u32,
    pub(in crate::engine::local) byte: u64,
    /// Where the last commit in the index begins, in the same segment; 0 when there is none.
    pub(in crate::engine::local) last_byte: u64,
    /// Checksum of the header before that place.
    pub(in crate::engine::local) previous_crc: u32,
    /// Time of the last commit, ms since 1970 UTC.
    pub(in crate::engine::local) recorded_at: u64,
    /// Bytes of all commits so far.
    pub(in crate::engine::local) log_bytes: u64,
    pub(in crate::engine::local) epoch: u64,
    /// Whether commits may have been acknowledged before they were synced.
    pub(in crate::engine::local) weak: bool,
    /// Whether any event of the log is deleted, or any stream.
    pub(in crate::engine::local) has_deletions: bool,
}

impl Checkpoint {
    pub(in crate::engine::local) fn encode(&self) -> Vec<u8> {
        let mut out = BytesMut::new();
        for value in [
            self.commits,
            self.next_position,
            self.next_stream_id,
            self.streams,
            u64::from(self.serial),
            self.byte,
            self.last_byte,
            u64::from(self.previous_crc),
            self.recorded_at,
            self.log_bytes,
            self.epoch,
            u64::from(self.weak) | u64::from(self.has_deletions) << 1,
        ] {
            put_varint(&mut out, value);
        }
        out.put_u32_le(crc32c::crc32c(&out));
        out.to_vec()
    }

    pub(in crate::engine::local) fn decode(value: &[u8]) -> Option<Checkpoint> {
        let (mut covered, crc) = value.split_last_chunk::<4>()?;
        if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
            return None;
        }
        let from = &mut covered;
        let mut checkpoint = Checkpoint {
            commits: take_varint(from)?,
            next_position: take_varint(from)?,
            next_stream_id: take_varint(from)?,
            streams: take_varint(from)?,
            serial: take_u32(from)?,
            byte: take_varint(from)?,
            last_byte: take_varint(from)?,
            previous_crc: take_u32(from)?,
            recorded_at: take_varint(from)?,
            log_bytes: take_varint(from)?,
            epoch: take_varint(from)?,
            ..Checkpoint::default()
        };
        let flags = take_varint(from)?;
        checkpoint.weak = flags & 1 != 0;
        checkpoint.has_deletions = flags & 2 != 0;
        Some(checkpoint)
    }
}

/// A place of the log that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine::local) struct DamageRow {
    pub(in crate::engine::local) serial: u32,
    pub(in crate::engine::local) file: String,
    /// The first byte that does not verify.
    pub(in crate::engine::local) byte: u64,
    /// Commits that are lost in whole or in part: from the first up to the second, exclusive.
    pub(in crate::engine::local) commits: (u64, u64),
    /// Positions that may be lost, the second exclusive.
    pub(in crate::engine::local) positions: (u64, u64),
    /// Whether the tails of the streams that it may touch are not known for sure: then streams
    /// that did not change since are not written to.
    pub(in crate::engine::local) unproven: bool,
}

impl DamageRow {
    pub(super) fn encode_all(rows: &[DamageRow]) -> Vec<u8> {
        let mut out = BytesMut::new();
        for row in rows {
            put_varint(&mut out, u64::from(row.serial));
            put_varint(&mut out, row.file.len() as u64);
            out.put_slice(row.file.as_bytes());
            put_varint(&mut out, row.byte);
            put_varint(&mut out, row.commits.0);
            put_varint(&mut out, row.commits.1);
            put_varint(&mut out, row.positions.0);
            put_varint(&mut out, row.positions.1);
            put_varint(&mut out, u64::from(row.unproven));
        }
        out.to_vec()
    }

    pub(super) fn decode_all(mut value: &[u8]) -> Option<Vec<DamageRow>> {
        let from = &mut value;
        let mut rows = Vec::new();
        while !from.is_empty() {
            rows.push(DamageRow {
                serial: take_u32(from)?,
                file: String::from_utf8(take_bytes(from)?.to_vec()).ok()?,
                byte: take_varint(from)?,
                commits: (take_varint(from)?, take_varint(from)?),
                positions: (take_varint(from)?, take_varint(from)?),
                unproven: take_varint(from)? != 0,
            });
        }
        Some(rows)
    }
}

/// A run of locations whose numbers follow each other; the first number is in the key.
pub(super) fn encode_run(run: &[Location]) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(run.len() * 20);
    let (mut serial, mut byte, mut ms, mut time) = (0, 0, 0, 0);
    for location in run {
        // Within a segment bytes grow: from the end of the batch before.
        let base = if location.serial == serial { byte } else { 0 };
        put_varint(&mut out, u64::from(location.serial - serial));
        put_varint(&mut out, u64::from(location.generation));
        put_varint(
            &mut out,
            zigzag(u64::from(location.byte).wrapping_sub(base)),
        );
        put_varint(&mut out, u64::from(location.bytes));
        put_varint(&mut out, u64::from(location.count));
        put_varint(&mut out, zigzag(location.first_id.ms.wrapping_sub(ms)));
        put_varint(&mut out, location.first_id.seq);
        put_varint(&mut out, zigzag(location.first_time.wrapping_sub(time)));
        serial = location.serial;
        byte = u64::from(location.byte) + u64::from(location.bytes);
        (ms, time) = (location.first_id.ms, location.first_time);
    }
    out.to_vec()
}

/// Reads what [`encode_run`] wrote.
pub(super) fn decode_run(first_number: u64, mut value: &[u8]) -> Option<Vec<Location>> {
    let from = &mut value;
    let mut run: Vec<Location> = Vec::new();
    let (mut serial, mut byte, mut ms, mut time) = (0_u32, 0_u64, 0_u64, 0_u64);
    let mut number = first_number;
    while !from.is_empty() {
        let serial_step = take_u32(from)?;
        serial = serial.checked_add(serial_step)?;
        let base = if serial_step == 0 { byte } else { 0 };
        let generation = take_u32(from)?;
        let at = base.wrapping_add(unzigzag(take_varint(from)?));
        let bytes = take_u32(from)?;
        let count = take_u32(from)?;
        ms = ms.wrapping_add(unzigzag(take_varint(from)?));
        let seq = take_varint(from)?;
        time = time.wrapping_add(unzigzag(take_varint(from)?));
        byte = at.checked_add(u64::from(bytes))?;
        run.push(Location {
            serial,
            generation,
            byte: u32::try_from(at).ok()?,
            bytes,
            first_number: number,
            count,
            first_id: EventId { ms, seq },
            first_time: time,
        });
        number = number.checked_add(u64::from(count))?;
    }
    Some(run)
}

fn put_id(out: &mut BytesMut, id: EventId) {
    put_varint(out, id.ms);
    put_varint(out, id.seq);
}

fn take_id(from: &mut &[u8]) -> Option<EventId> {
    Some(EventId {
        ms: take_varint(from)?,
        seq: take_varint(from)?,
    })
}

fn take_u32(from: &mut &[u8]) -> Option<u32> {
    u32::try_from(take_varint(from)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_come_back(
            first_number in 0..u64::MAX / 2,
            steps in proptest::collection::vec(
                (0_u32..3, any::<u16>(), 1_u32..70_000, 1_u32..600, any::<u64>(), any::<u64>()),
                1..64),
        ) {
            let (mut serial, mut byte, mut number) = (1, 64, first_number);
            let run: Vec<Location> = steps
                .into_iter()
                .map(|(roll, gap, bytes, count, ms, seq)| {
                    serial += roll;
                    let location = Location {
                        serial,
                        generation: roll,
                        byte: byte + u32::from(gap),
                        bytes,
                        first_number: number,
                        count,
                        first_id: EventId { ms, seq },
                        first_time: ms / 2,
                    };
                    byte = if roll == 0 { location.byte + bytes } else { 64 };
                    number += u64::from(count);
                    location
                })
                .collect();
            prop_assert_eq!(decode_run(first_number, &encode_run(&run)), Some(run));
        }

        #[test]
        fn malformed_values_never_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _run = decode_run(5, &value);
            let _stream = decode_stream(5, &value);
            let _rows = Neighbours::decode([0; 8], &value);
            let _checkpoint = Checkpoint::decode(&value);
            let _position = PositionRow::decode(&value);
            let _damage = DamageRow::decode_all(&value);
        }
    }

    #[test]
    fn rows_come_back() {
        for tail in [None, Some(0), Some(41)] {
            let stream = |id| StreamSummary {
                tail,
                first: 3,
                deleted: 8,
                last_id: EventId { ms: 4, seq: 5 },
                max_deleted_id: EventId { ms: 2, seq: 9 },
                surplus: 2_u64.wrapping_neg(),
                producing: Producing {
                    keys_max: tail.map(|tail| tail + 1),
                    added: id - 64,
                    ..Producing::default()
                },
                changed: 7,
                ..StreamSummary::new(id, StreamName::parse("orders:42".into()).unwrap(), 6)
            };
            let encoded = encode_stream(&stream(64));
            assert_eq!(decode_stream(64, &encoded), Some(stream(64)));
            let mut neighbours = Neighbours::default();
            neighbours.insert(stream(64));
            neighbours.insert(stream(95));
            let back = Neighbours::decode(Neighbours::key(70), &neighbours.encode()).unwrap();
            assert_eq!(
                back.into_iter().collect::<Vec<_>>(),
                [stream(64), stream(95)]
            );
        }
        let checkpoint = Checkpoint {
            commits: 1,
            next_position: 2,
            next_stream_id: 3,
            streams: 4,
            serial: 5,
            byte: 6,
            last_byte: 5,
            previous_crc: 7,
            recorded_at: 8,
            log_bytes: 9,
            epoch: 10,
            weak: true,
            has_deletions: true,
        };
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Some(checkpoint));
        let damage = vec![
            DamageRow {
                serial: 1,
                file: "0000000001.0000.log".into(),
                byte: 2,
                commits: (3, 4),
                positions: (5, 6),
                unproven: true,
            };
            2
        ];
        assert_eq!(
            DamageRow::decode_all(&DamageRow::encode_all(&damage)),
            Some(damage)
        );
    }
}
