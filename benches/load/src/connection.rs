//! The reading half of a connection: bytes in, replies out.

use std::io::Read;
use std::net::TcpStream;

use bytes::BytesMut;
use meilies_protocol::{ReplyLimits, ReplyScanner, Value};

use crate::LoadError;

const READ_BYTES: usize = 256 * 1024;

/// Replies as they come.
pub(crate) struct Replies {
    stream: TcpStream,
    scanner: ReplyScanner,
    input: BytesMut,
    chunk: Vec<u8>,
}

impl Replies {
    pub(crate) fn new(stream: TcpStream) -> Replies {
        Replies {
            stream,
            scanner: ReplyScanner::new(ReplyLimits::default()),
            input: BytesMut::new(),
            chunk: vec![0; READ_BYTES],
        }
    }

    /// The next reply among the bytes that are read already.
    pub(crate) fn received(&mut self) -> Result<Option<Value>, LoadError> {
        Ok(self.scanner.next(&mut self.input)?)
    }

    /// Waits for the next reply.
    pub(crate) fn next(&mut self) -> Result<Value, LoadError> {
        loop {
            if let Some(value) = self.received()? {
                return Ok(value);
            }
            match self.stream.read(&mut self.chunk)? {
                0 => return Err(LoadError::Closed),
                read => self.input.extend_from_slice(&self.chunk[..read]),
            }
        }
    }
}
