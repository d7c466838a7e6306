//! A commit on disk: what is atomic and shares a sync. All integers little-endian.
//!
//! ```text
//! commit header, 56 bytes                      batch header, 52 bytes, then the body
//!  0 magic "MSC1"                               0 kind u8, codec u8, flags u16
//!  4 flags u32 (0)                              4 count u32
//!  8 segment salt u64                           8 stream id u64
//! 16 commit number u64                         16 first number u64
//! 24 first position u64                        24 first position u64
//! 32 commits below this were synced u64        32 recorded_at u64, ms since 1970
//! 40 body bytes u32                            40 span u32, ms from first to last event
//! 44 batch count u32                           44 body bytes u32
//! 48 CRC32C of the header before               48 CRC32C of bytes 0..48 and the body
//! 52 CRC32C of bytes 0..52
//! ```
//!
//! "The header before" is that of the previous commit, or the segment header for the first commit
//! of a segment: a chain that shows when a whole commit is missing. Unknown kinds, codecs or flags
//! refuse to open: a newer binary wrote them.

use bytes::{BufMut, BytesMut};
use std::ops::Range;

/// Bytes of a commit header.
pub(super) const HEADER_BYTES: usize = 56;
/// Bytes of a batch header.
pub(super) const BATCH_HEADER_BYTES: usize = 52;
/// First bytes of every commit.
pub(super) const MAGIC: [u8; 4] = *b"MSC1";

/// What a batch holds. The tags are never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Events of one stream.
    Events = 1,
    /// A stream came to be; the body is its name.
    Created = 2,
    /// A stream has another name from now on; the body is the name.
    Renamed = 3,
    /// A stream is gone.
    Deleted = 4,
    /// Ranges of events are deleted.
    Deletions = 5,
    /// Settings, of the store (stream id 0) or of a stream.
    Settings = 6,
    /// Changes of a consumer group.
    Group = 7,
    /// Idempotency keys.
    Keys = 8,
    /// The whole state of one stream or group as of this commit.
    State = 9,
}

/// The header of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) salt: u64,
    pub(super) commit: u64,
    pub(super) first_position: u64,
    /// Commits below this number were known to be synced when this one was written.
    pub(super) synced: u64,
    pub(super) body_bytes: u32,
    pub(super) batches: u32,
    pub(super) previous_crc: u32,
    /// Of this header itself.
    pub(super) crc: u32,
}

/// Why bytes are not a commit that this binary can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    #[error("what is there is no commit header")]
    NoHeader,
    #[error("the commit's checksum does not match")]
    Checksum,
    #[error("the commit's length does not match its batches")]
    Length,
    #[error("kind {0} of a batch is unknown to this version")]
    UnknownKind(u8),
    #[error("codec {0} of a batch is unknown to this version")]
    UnknownCodec(u8),
    #[error("flags {0:#x} are unknown to this version")]
    UnknownFlags(u32),
    #[error("setting {0} is unknown to this version")]
    UnknownSetting(u64),
    #[error("an event of the batch is malformed")]
    Body,
    #[error("its checksums are right, but it contradicts the commits before it")]
    Contradiction,
    #[error("the index cannot be read")]
    Index,
}

impl FormatError {
    /// Whether a newer version wrote this, as opposed to damage.
    pub(super) fn is_newer(self) -> bool {
        matches!(
            self,
            FormatError::UnknownKind(_)
                | FormatError::UnknownCodec(_)
                | FormatError::UnknownFlags(_)
                | FormatError::UnknownSetting(_)
        )
    }

    /// Whether the checksums are right all the same: then the bytes are neither torn nor damaged.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, FormatError::Body | FormatError::Contradiction)
    }
}

impl Header {
    /// Reads a header; its own checksum must match.
    pub(super) fn decode(bytes: &[u8]) -> Result<Header, FormatError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(FormatError::NoHeader)?;
        if bytes[..4] != MAGIC {
            return Err(FormatError::NoHeader);
        }
        let crc = u32_at(bytes, 52);
        if crc32c::crc32c(&bytes[..52]) != crc {
            return Err(FormatError::NoHeader);
        }
        let flags = u32_at(bytes, 4);
        if flags != 0 {
            return Err(FormatError::UnknownFlags(flags));
        }
        Ok(Header {
            salt: u64_at(bytes, 8),
            commit: u64_at(bytes, 16),
            first_position: u64_at(bytes, 24),
            synced: u64_at(bytes, 32),
            body_bytes: u32_at(bytes, 40),
            batches: u32_at(bytes, 44),
            previous_crc: u32_at(bytes, 48),
            crc,
        })
    }

    /// Bytes of the whole commit.
    pub(super) fn commit_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }
}

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) kind: Kind,
    pub(super) count: u32,
    pub(super) stream_id: u64,
    pub(super) first_number: u64,
    pub(super) first_position: u64,
    pub(super) recorded_at: u64,
    pub(super) span_ms: u32,
    pub(super) body_bytes: u32,
}

impl BatchHeader {
    /// Reads the batch at the start of `bytes`, verified: its header and where its body lies.
    pub(super) fn decode(bytes: &[u8]) -> Result<(BatchHeader, Range<usize>), FormatError> {
        let head: &[u8; BATCH_HEADER_BYTES] = bytes.first_chunk().ok_or(FormatError::Length)?;
        let body_bytes = u32_at(head, 44);
        let end = BATCH_HEADER_BYTES + body_bytes as usize;
        let body = bytes
            .get(BATCH_HEADER_BYTES..end)
            .ok_or(FormatError::Length)?;
        if checksum(head, body) != u32_at(head, 48) {
            return Err(FormatError::Checksum);
        }
        let flags = u32::from(u16::from_le_bytes([head[2], head[3]]));
        if flags != 0 {
            return Err(FormatError::UnknownFlags(flags));
        }
        if head[1] != 0 {
            return Err(FormatError::UnknownCodec(head[1]));
        }
        let header = BatchHeader {
            kind: Kind::decode(head[0])?,
            count: u32_at(head, 4),
            stream_id: u64_at(head, 8),
            first_number: u64_at(head, 16),
            first_position: u64_at(head, 24),
            recorded_at: u64_at(head, 32),
            span_ms: u32_at(head, 40),
            body_bytes,
        };
        Ok((header, BATCH_HEADER_BYTES..end))
    }

    /// Bytes of the whole batch.
    pub(super) fn batch_bytes(&self) -> u64 {
        BATCH_HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }

    /// How many positions its events take.
    pub(super) fn events(&self) -> u64 {
        match self.kind {
            Kind::Events => u64::from(self.count),
            _ => 0,
        }
    }
}

impl Kind {
    fn decode(tag: u8) -> Result<Kind, FormatError> {
        const KINDS: [Kind; 9] = [
            Kind::Events,
            Kind::Created,
            Kind::Renamed,
            Kind::Deleted,
            Kind::Deletions,
            Kind::Settings,
            Kind::Group,
            Kind::Keys,
            Kind::State,
        ];
        KINDS
            .into_iter()
            .find(|kind| *kind as u8 == tag)
            .ok_or(FormatError::UnknownKind(tag))
    }
}

/// Writes one commit into a buffer, batch by batch.
#[derive(Debug)]
pub(super) struct CommitWriter {
    batches: u32,
}

impl CommitWriter {
    /// Leaves room for the header at the start of the empty `out`.
    pub(super) fn start(out: &mut BytesMut) -> CommitWriter {
        debug_assert!(out.is_empty());
        out.put_bytes(0, HEADER_BYTES);
        CommitWriter { batches: 0 }
    }

    /// Begins a batch; what is put into `out` next is its body. Returns where it begins.
    pub(super) fn begin_batch(&mut self, out: &mut BytesMut) -> usize {
        self.batches += 1;
        let start = out.len();
        out.put_bytes(0, BATCH_HEADER_BYTES);
        start
    }

    /// Ends the batch that began at `start`: fills in its header.
    pub(super) fn end_batch(out: &mut BytesMut, start: usize, header: &BatchHeader) {
        let body_bytes = out.len() - start - BATCH_HEADER_BYTES;
        let body_bytes = u32::try_from(body_bytes).expect("a batch is below the commit limit");
        let (head, body) = out[start..].split_at_mut(BATCH_HEADER_BYTES);
        let mut at = &mut head[..];
        at.put_u8(header.kind as u8);
        at.put_u8(0);
        at.put_u16_le(0);
        at.put_u32_le(header.count);
        at.put_u64_le(header.stream_id);
        at.put_u64_le(header.first_number);
        at.put_u64_le(header.first_position);
        at.put_u64_le(header.recorded_at);
        at.put_u32_le(header.span_ms);
        at.put_u32_le(body_bytes);
        let crc = checksum(head, body);
        head[48..].copy_from_slice(&crc.to_le_bytes());
    }

    /// Fills in the commit's header; returns its checksum, the next commit's `previous_crc`.
    /// `header`'s lengths, batch count and own checksum are computed here.
    pub(super) fn finish(self, out: &mut BytesMut, header: &Header) -> u32 {
        let body_bytes = out.len() - HEADER_BYTES;
        let body_bytes = u32::try_from(body_bytes).expect("a commit is below the commit limit");
        let mut at = &mut out[..HEADER_BYTES];
        at.put_slice(&MAGIC);
        at.put_u32_le(0);
        at.put_u64_le(header.salt);
        at.put_u64_le(header.commit);
        at.put_u64_le(header.first_position);
        at.put_u64_le(header.synced);
        at.put_u32_le(body_bytes);
        at.put_u32_le(self.batches);
        at.put_u32_le(header.previous_crc);
        let crc = crc32c::crc32c(&out[..52]);
        out[52..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        crc
    }
}

/// Walks the batches of a commit's body; stops at the first that does not verify.
pub(super) fn batches(body: &[u8]) -> impl Iterator<Item = Result<Found<'_>, FormatError>> {
    let mut at = 0;
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || at == body.len() {
            return None;
        }
        match BatchHeader::decode(&body[at..]) {
            Ok((header, range)) => {
                let found = Found {
                    header,
                    start: at,
                    body: &body[at + range.start..at + range.end],
                };
                at += range.end;
                Some(Ok(found))
            }
            Err(error) => {
                failed = true;
                Some(Err(error))
            }
        }
    })
}

/// A batch in a commit's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) header: BatchHeader,
    /// Where its header begins in the commit's body.
    pub(super) start: usize,
    pub(super) body: &'a [u8],
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..48]), body)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        *bytes[at..]
            .first_chunk()
            .expect("the caller checked the length"),
    )
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        *bytes[at..]
            .first_chunk()
            .expect("the caller checked the length"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> BytesMut {
        let mut out = BytesMut::new();
        let mut writer = CommitWriter::start(&mut out);
        for (stream_id, body) in [(1, &b"first"[..]), (2, b""), (3, b"third body")] {
            let start = writer.begin_batch(&mut out);
            out.put_slice(body);
            let header = BatchHeader {
                kind: Kind::Created,
                count: 1,
                stream_id,
                first_number: 2,
                first_position: 3,
                recorded_at: 4,
                span_ms: 5,
                body_bytes: 0,
            };
            CommitWriter::end_batch(&mut out, start, &header);
        }
        let header = Header {
            salt: 6,
            commit: 7,
            first_position: 8,
            synced: 9,
            body_bytes: 0,
            batches: 0,
            previous_crc: 10,
            crc: 0,
        };
        writer.finish(&mut out, &header);
        out
    }

    fn verify(bytes: &[u8]) -> Result<Vec<u64>, FormatError> {
        let header = Header::decode(bytes)?;
        let body = bytes
            .get(HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize)
            .ok_or(FormatError::Length)?;
        batches(body)
            .map(|found| found.map(|found| found.header.stream_id))
            .collect()
    }

    #[test]
    fn a_commit_comes_back() {
        let commit = commit();
        let header = Header::decode(&commit).unwrap();
        assert_eq!(
            (header.salt, header.commit, header.first_position),
            (6, 7, 8)
        );
        assert_eq!(
            (header.synced, header.previous_crc, header.batches),
            (9, 10, 3)
        );
        assert_eq!(header.commit_bytes(), commit.len() as u64);
        assert_eq!(verify(&commit), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let commit = commit();
        for bit in 0..commit.len() * 8 {
            let mut damaged = commit.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..commit.len() {
            assert!(verify(&commit[..length]).is_err(), "cut to {length}");
        }
    }
}
