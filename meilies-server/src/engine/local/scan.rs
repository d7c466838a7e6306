//! Reading a segment commit by commit, in large steps.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::commit::{FormatError, HEADER_BYTES, Header};
use super::file::read_full_at;
use super::log::Segment;

/// Walks the commits of one segment.
#[derive(Debug)]
pub(super) struct Scanner {
    segment: Arc<Segment>,
    /// Where the next commit is expected.
    at: u64,
    window: Bytes,
    /// Where the window lies in the file.
    window_at: u64,
    window_bytes: usize,
}

/// What stands at a place of a segment.
#[derive(Debug)]
pub(super) enum Step {
    /// A whole commit whose header verifies; its batches are for the caller to verify.
    Commit {
        header: Header,
        at: u64,
        /// Without the header.
        body: Bytes,
    },
    /// No commit that begins here: zeros, a footer, the end of the file, or damage.
    Other { at: u64, error: FormatError },
}

impl Scanner {
    /// From this byte on, reading so many bytes at a time.
    pub(super) fn new(segment: Arc<Segment>, at: u64, window_bytes: usize) -> Scanner {
        Scanner {
            segment,
            at,
            window: Bytes::new(),
            window_at: at,
            window_bytes,
        }
    }

    /// Where the next commit is expected.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The segment that is read.
    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The next commit; stays in place when there is none.
    pub(super) fn next(&mut self) -> io::Result<Step> {
        let at = self.at;
        let head = self.bytes(HEADER_BYTES)?;
        let header = match Header::decode(&head) {
            Ok(header) if header.salt == self.segment.header.salt => header,
            Ok(_) => {
                let error = FormatError::NoHeader;
                return Ok(Step::Other { at, error });
            }
            Err(error) => return Ok(Step::Other { at, error }),
        };
        let whole = HEADER_BYTES + header.body_bytes as usize;
        let mut body = self.bytes(whole)?;
        if body.len() < whole {
            let error = FormatError::Length;
            return Ok(Step::Other { at, error });
        }
        self.at += whole as u64;
        let body = body.split_off(HEADER_BYTES);
        Ok(Step::Commit { header, at, body })
    }

    /// Up to `wanted` bytes at the current place; fewer at the end of the file.
    pub(super) fn bytes(&mut self, wanted: usize) -> io::Result<Bytes> {
        let skip = usize::try_from(self.at - self.window_at).map_err(io::Error::other)?;
        if skip + wanted > self.window.len() {
            let mut window = vec![0; wanted.max(self.window_bytes)];
            let read = read_full_at(&*self.segment.file, &mut window, self.at)?;
            window.truncate(read);
            self.window = window.into();
            self.window_at = self.at;
            return Ok(self.window.slice(..wanted.min(read)));
        }
        Ok(self.window.slice(skip..skip + wanted))
    }

    /// Goes on from another place.
    pub(super) fn seek(&mut self, at: u64) {
        if at < self.window_at || at > self.window_at + self.window.len() as u64 {
            self.window = Bytes::new();
            self.window_at = at;
        }
        self.at = at;
    }
}
