//! A segment file: header, commits one after another, then zeros, or a footer once it is sealed.
//!
//! ```text
//! header, 64 bytes                             footer, after the last commit of a sealed segment
//!  0 magic "MEILIESL"                           0 magic "MSF1", then entry bytes u32
//!  8 format u32 (1)                             8 segment salt u64
//! 12 serial u32                                16 next commit number u64
//! 16 generation u32                            24 next position u64
//! 20 zero u32                                  32 entries, one per stream, ascending id, varints:
//! 24 salt u64                                     id minus the id before, first number,
//! 32 first commit u64                             last minus first number, first time minus the
//! 40 first position u64                           lowest of all, last minus first time,
//! 48 lowest time u64 (0 until known)              name length, name (empty unless it was created
//! 56 CRC32C of the header before u32              or renamed in this segment)
//! 60 CRC32C of bytes 0..60                      then lowest time u64, CRC32C of all before u32
//!                                              trailer, the file's last 16 bytes:
//!                                               footer bytes u64, magic "MEILIESF"
//! ```
//!
//! The file's name is `<serial>.<generation>.log`. A scavenge writes the same serial again with the
//! next generation. The salt is random, so that bytes left over from another file never pass for
//! commits of this one. Integers are little-endian.

use bytes::{BufMut, BytesMut};

use super::commit::{u32_at, u64_at};
use crate::engine::varint::{put_varint, take_bytes, take_varint};

/// Bytes of a segment header: the first commit begins here.
pub(super) const SEGMENT_HEADER_BYTES: u64 = HEADER_BYTES as u64;
const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"MEILIESL";
const FOOTER_MAGIC: &[u8; 4] = b"MSF1";
const TRAILER_MAGIC: &[u8; 8] = b"MEILIESF";
const FOOTER_HEAD_BYTES: usize = 32;
/// Bytes of the trailer at the very end of a sealed file.
pub(super) const TRAILER_BYTES: usize = 16;
/// The format that this binary writes and reads.
pub(super) const FORMAT: u32 = 1;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) serial: u32,
    pub(super) generation: u32,
    pub(super) salt: u64,
    pub(super) first_commit: u64,
    pub(super) first_position: u64,
    /// CRC32C of the header before: the last commit's of the previous segment.
    pub(super) previous_crc: u32,
}

/// What is wrong with a segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SegmentError {
    #[error("is no segment of a MeiliES log")]
    NoSegment,
    #[error("has format {0}, this version reads format {FORMAT}")]
    Format(u32),
    #[error("has a damaged header")]
    Damaged,
}

impl SegmentHeader {
    /// The bytes of the header, and its checksum (the `previous_crc` of the first commit).
    pub(super) fn encode(&self) -> (BytesMut, u32) {
        let mut out = BytesMut::new();
        out.put_slice(MAGIC);
        out.put_u32_le(FORMAT);
        out.put_u32_le(self.serial);
        out.put_u32_le(self.generation);
        out.put_u32_le(0);
        out.put_u64_le(self.salt);
        out.put_u64_le(self.first_commit);
        out.put_u64_le(self.first_position);
        out.put_u64_le(0);
        out.put_u32_le(self.previous_crc);
        let crc = crc32c::crc32c(&out);
        out.put_u32_le(crc);
        (out, crc)
    }

    /// Reads a header; returns its checksum too.
    pub(super) fn decode(bytes: &[u8]) -> Result<(SegmentHeader, u32), SegmentError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(SegmentError::Damaged)?;
        if &bytes[..8] != MAGIC {
            return Err(SegmentError::NoSegment);
        }
        let format = u32_at(bytes, 8);
        let crc = u32_at(bytes, 60);
        if crc32c::crc32c(&bytes[..60]) != crc {
            return Err(SegmentError::Damaged);
        }
        if format != FORMAT {
            return Err(SegmentError::Format(format));
        }
        let header = SegmentHeader {
            serial: u32_at(bytes, 12),
            generation: u32_at(bytes, 16),
            salt: u64_at(bytes, 24),
            first_commit: u64_at(bytes, 32),
            first_position: u64_at(bytes, 40),
            previous_crc: u32_at(bytes, 56),
        };
        Ok((header, crc))
    }
}

/// The file name of a segment.
pub(super) fn file_name(serial: u32, generation: u32) -> String {
    format!("{serial:010}.{generation:04}.log")
}

/// Serial and generation of a segment's file name; `None` for other files.
pub(super) fn parse_file_name(name: &str) -> Option<(u32, u32)> {
    let (serial, generation) = name.strip_suffix(".log")?.split_once('.')?;
    let parsed = (serial.parse().ok()?, generation.parse().ok()?);
    (file_name(parsed.0, parsed.1) == name).then_some(parsed)
}

/// What a sealed segment says of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FooterEntry {
    pub(super) stream_id: u64,
    /// First and last event number, `None` when the segment has no event of it.
    pub(super) numbers: Option<(u64, u64)>,
    pub(super) first_time: u64,
    pub(super) last_time: u64,
    /// Its name, when it was created or renamed in this segment.
    pub(super) name: Option<Vec<u8>>,
}

/// The footer of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) salt: u64,
    pub(super) next_commit: u64,
    pub(super) next_position: u64,
    /// Ascending stream ids.
    pub(super) entries: Vec<FooterEntry>,
}

impl Footer {
    /// Footer and trailer as they stand at the end of the file.
    pub(super) fn encode(&self) -> BytesMut {
        let lowest = self.entries.iter().map(|entry| entry.first_time).min();
        let lowest = lowest.unwrap_or(0);
        let mut entries = BytesMut::new();
        let mut previous = 0;
        for entry in &self.entries {
            put_varint(&mut entries, entry.stream_id - previous);
            previous = entry.stream_id;
            // Numbers are shifted by one so that 0 says "no event".
            let (first, span) = match entry.numbers {
                Some((first, last)) => (first + 1, last - first),
                None => (0, 0),
            };
            put_varint(&mut entries, first);
            put_varint(&mut entries, span);
            put_varint(&mut entries, entry.first_time - lowest);
            put_varint(&mut entries, entry.last_time - entry.first_time);
            let name = entry.name.as_deref().unwrap_or_default();
            put_varint(&mut entries, name.len() as u64);
            entries.put_slice(name);
        }
        let mut out = BytesMut::with_capacity(entries.len() + 64);
        out.put_slice(FOOTER_MAGIC);
        let entry_bytes = u32::try_from(entries.len()).expect("a segment is below 4 GiB");
        out.put_u32_le(entry_bytes);
        out.put_u64_le(self.salt);
        out.put_u64_le(self.next_commit);
        out.put_u64_le(self.next_position);
        out.extend_from_slice(&entries);
        out.put_u64_le(lowest);
        out.put_u32_le(crc32c::crc32c(&out));
        let footer_bytes = out.len() as u64;
        out.put_u64_le(footer_bytes);
        out.put_slice(TRAILER_MAGIC);
        out
    }

    /// Reads a footer that begins at the start of `bytes`; `None` when none that verifies does.
    pub(super) fn decode(bytes: &[u8]) -> Option<Footer> {
        let head = bytes.get(..FOOTER_HEAD_BYTES)?;
        if &head[..4] != FOOTER_MAGIC {
            return None;
        }
        let entries_end = FOOTER_HEAD_BYTES + u32_at(head, 4) as usize;
        let covered = bytes.get(..entries_end + 8)?;
        let crc = bytes.get(entries_end + 8..entries_end + 12)?;
        if crc32c::crc32c(covered) != u32_at(crc, 0) {
            return None;
        }
        let lowest = u64_at(covered, entries_end);
        let mut rest = &covered[FOOTER_HEAD_BYTES..entries_end];
        let mut entries = Vec::new();
        let mut previous = 0;
        while !rest.is_empty() {
            let entry = FooterEntry::decode(&mut rest, previous, lowest)?;
            previous = entry.stream_id;
            entries.push(entry);
        }
        Some(Footer {
            salt: u64_at(head, 8),
            next_commit: u64_at(head, 16),
            next_position: u64_at(head, 24),
            entries,
        })
    }

    /// How long the footer before this trailer is; `None` when it is no trailer.
    pub(super) fn bytes_before_trailer(trailer: &[u8]) -> Option<u64> {
        (trailer.get(8..TRAILER_BYTES)? == TRAILER_MAGIC).then(|| u64_at(trailer, 0))
    }
}

impl FooterEntry {
    fn decode(rest: &mut &[u8], previous: u64, lowest: u64) -> Option<FooterEntry> {
        let stream_id = previous.checked_add(take_varint(rest)?)?;
        let first = take_varint(rest)?;
        let span = take_varint(rest)?;
        let first_time = lowest.checked_add(take_varint(rest)?)?;
        let last_time = first_time.checked_add(take_varint(rest)?)?;
        let name = take_bytes(rest)?;
        let numbers = match first.checked_sub(1) {
            Some(first) => Some((first, first.checked_add(span)?)),
            None => None,
        };
        Some(FooterEntry {
            stream_id,
            numbers,
            first_time,
            last_time,
            name: (!name.is_empty()).then(|| name.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_comes_back_and_every_flipped_bit_is_found() {
        let header = SegmentHeader {
            serial: 1,
            generation: 2,
            salt: 3,
            first_commit: 4,
            first_position: 5,
            previous_crc: 6,
        };
        let (bytes, crc) = header.encode();
        assert_eq!(bytes.len() as u64, SEGMENT_HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&bytes), Ok((header, crc)));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_format_is_named() {
        let (mut bytes, _) = SegmentHeader {
            serial: 1,
            generation: 0,
            salt: 3,
            first_commit: 0,
            first_position: 0,
            previous_crc: 0,
        }
        .encode();
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(SegmentError::Format(9)));
    }

    #[test]
    fn a_footer_comes_back_and_every_flipped_bit_is_found() {
        let footer = Footer {
            salt: 7,
            next_commit: 8,
            next_position: 9,
            entries: vec![
                FooterEntry {
                    stream_id: 3,
                    numbers: Some((0, 0)),
                    first_time: 1000,
                    last_time: 1001,
                    name: Some(b"orders".to_vec()),
                },
                FooterEntry {
                    stream_id: 300,
                    numbers: None,
                    first_time: 999,
                    last_time: 999,
                    name: None,
                },
            ],
        };
        let bytes = footer.encode();
        let trailer = bytes.len() - TRAILER_BYTES;
        assert_eq!(Footer::decode(&bytes), Some(footer));
        assert_eq!(
            Footer::bytes_before_trailer(&bytes[trailer..]),
            Some(trailer as u64)
        );
        for bit in 0..trailer * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Footer::decode(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn file_names_come_back() {
        assert_eq!(parse_file_name(&file_name(7, 3)), Some((7, 3)));
        for other in [
            "7.3.log",
            "cut-9.bin",
            "0000000001.log",
            "0000000001.0001.log.tmp",
        ] {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }
}
