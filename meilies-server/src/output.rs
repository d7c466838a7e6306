//! What a client has still to be sent: replies and pushes in the order in which it gets them.
//!
//! Small things are written into one buffer; shared bytes that are large are sent from where they
//! lie. The bound is kept by the connection, which looks at [`Output::unsent`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

use crate::limits::{OUTPUT_BYTES_KEPT_MAX, OUTPUT_SLICES_MAX, SHARED_BYTES_MIN};

/// Bytes to be sent.
#[derive(Debug, Default)]
pub struct Output {
    /// Complete parts, sent before the tail.
    chunks: VecDeque<Bytes>,
    chunks_bytes: usize,
    tail: BytesMut,
    /// The most bytes that the tail had before it was sent or sealed.
    peak: usize,
}

impl Output {
    /// Where replies and pushes are written. Nothing may be taken out of it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends bytes that others use too.
    pub fn push_shared(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.peak = self.peak.max(self.tail.len());
            let sealed = self.tail.split().freeze();
            self.chunks_bytes += sealed.len();
            self.chunks.push_back(sealed);
        }
        self.chunks_bytes += bytes.len();
        self.chunks.push_back(bytes);
    }

    /// Appends all of another.
    pub(crate) fn append(&mut self, other: Output) {
        for chunk in other.chunks {
            self.push_shared(chunk);
        }
        self.push_shared(other.tail.freeze());
    }

    /// How many bytes are still to be sent.
    pub fn unsent(&self) -> usize {
        self.chunks_bytes + self.tail.len()
    }

    /// How many parts are sent from where they lie, and their bytes.
    pub(crate) fn shared(&self) -> (usize, usize) {
        (self.chunks.len(), self.chunks_bytes)
    }

    /// The size of the buffer.
    pub(crate) fn room(&self) -> usize {
        self.tail.capacity()
    }

    /// The most bytes that lay in the buffer since this was asked.
    pub(crate) fn take_peak(&mut self) -> usize {
        std::mem::take(&mut self.peak).max(self.tail.len())
    }

    /// Sends what the socket takes in one system call. Returns how much that was.
    pub(crate) fn send(&mut self, socket: &TcpStream) -> io::Result<usize> {
        self.peak = self.peak.max(self.tail.len());
        let sent = if self.chunks.is_empty() {
            socket.try_write(&self.tail)?
        } else {
            let mut slices = [IoSlice::new(&[]); OUTPUT_SLICES_MAX];
            let parts = self
                .chunks
                .iter()
                .map(|chunk| &chunk[..])
                .chain([&self.tail[..]]);
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(part);
                count += 1;
            }
            socket.try_write_vectored(&slices[..count])?
        };
        self.advance(sent);
        Ok(sent)
    }

    fn advance(&mut self, mut sent: usize) {
        while sent > 0 {
            let Some(chunk) = self.chunks.front_mut() else {
                break;
            };
            let from_chunk = sent.min(chunk.len());
            chunk.advance(from_chunk);
            self.chunks_bytes -= from_chunk;
            sent -= from_chunk;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.tail.advance(sent);
    }

    /// Lets go of an empty buffer that is large, before nothing happens for a while.
    pub(crate) fn rest(&mut self) {
        if !self.tail.is_empty() {
            return;
        }
        // What was sent has left room in front, which is allocated too.
        let _there_was = self.tail.try_reclaim(self.tail.capacity() + 1);
        if self.tail.capacity() > OUTPUT_BYTES_KEPT_MAX {
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(output: &Output) -> Vec<u8> {
        let mut all: Vec<u8> = output.chunks.iter().flatten().copied().collect();
        all.extend_from_slice(&output.tail);
        all
    }

    #[test]
    fn parts_keep_their_order_and_are_counted() {
        let mut output = Output::default();
        output.buffer().extend_from_slice(b"first");
        output.push_shared(Bytes::from_static(b"small"));
        output.push_shared(Bytes::from(vec![b'x'; SHARED_BYTES_MIN]));
        output.buffer().extend_from_slice(b"last");
        let mut expected = b"firstsmall".to_vec();
        expected.extend(vec![b'x'; SHARED_BYTES_MIN]);
        expected.extend(b"last");
        assert_eq!(contents(&output), expected);
        assert_eq!(output.unsent(), expected.len());
        assert_eq!(output.chunks.len(), 2);
        for step in [3, 8, SHARED_BYTES_MIN - 1, 2, 1] {
            output.advance(step);
            expected.drain(..step);
            assert_eq!(contents(&output), expected);
            assert_eq!(output.unsent(), expected.len());
        }
    }

    #[test]
    fn an_empty_buffer_is_kept_only_if_it_is_small() {
        for (bytes, kept) in [
            (OUTPUT_BYTES_KEPT_MAX, true),
            (OUTPUT_BYTES_KEPT_MAX + 1, false),
        ] {
            let mut output = Output::default();
            output.buffer().reserve(bytes);
            let room = output.room();
            output.buffer().resize(bytes, b'x');
            output.advance(bytes - 1);
            output.rest();
            output.advance(1);
            output.rest();
            assert_eq!(output.room(), if kept { room } else { 0 });
        }
    }

    #[test]
    fn the_peak_is_what_the_buffer_held_at_most() {
        let mut output = Output::default();
        output.buffer().extend_from_slice(b"sealed");
        output.push_shared(Bytes::from(vec![b'x'; SHARED_BYTES_MIN]));
        output.buffer().extend_from_slice(b"new");
        assert_eq!(output.take_peak(), 6);
        assert_eq!(output.take_peak(), 3);
        output.advance(output.unsent());
        assert_eq!(output.take_peak(), 0);
    }
}
