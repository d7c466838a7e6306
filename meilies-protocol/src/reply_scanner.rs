//! Splits replies and pushes off a client's read buffer, in both versions of the protocol.
//!
//! The RESP library that decodes them recurses and has no limits, so this scanner stands in
//! front: it bounds depth, elements and bytes, verifies every CR LF, and hands on only a frame
//! that is whole. It remembers how far it got: the time is linear in the reply's length. What is
//! usual needs no library and is read directly, with the same result.

mod direct;
mod error;
mod incoming;
#[cfg(test)]
mod tests;
mod walk;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

pub use self::error::ReplyError;
pub use self::incoming::Incoming;

use crate::Value;
use crate::integer::parse_i64;
use crate::limits::{INLINE_BYTES_MAX, REPLY_BYTES_MAX, REPLY_DEPTH_MAX, REPLY_ELEMENTS_MAX};
use crate::resp;

/// How much a server may send in one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyLimits {
    /// Bytes of one reply.
    pub frame_bytes_max: usize,
    /// Elements of one reply, nested ones included.
    pub elements_max: usize,
}

impl Default for ReplyLimits {
    fn default() -> ReplyLimits {
        ReplyLimits {
            frame_bytes_max: REPLY_BYTES_MAX,
            elements_max: REPLY_ELEMENTS_MAX,
        }
    }
}

/// The resumable scanner of a client's connection.
#[derive(Debug)]
pub struct ReplyScanner {
    limits: ReplyLimits,
    /// Bytes of the buffer's front that are understood.
    at: usize,
    /// Bytes of the buffer's front that hold no further line end.
    searched: usize,
    /// Length of the string at `at`, if its header is understood.
    string: Option<usize>,
    /// How many elements each open level still lacks. Invariant: none is 0.
    open: Vec<usize>,
    elements: usize,
    dialect: Dialect,
    needed: usize,
}

/// What a frame showed of its protocol version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// It holds a string or array of length -1.
    pub(crate) resp2: bool,
    /// It holds a type that only RESP3 has.
    pub(crate) resp3: bool,
}

impl ReplyScanner {
    /// A scanner for a connection that begins.
    pub fn new(limits: ReplyLimits) -> ReplyScanner {
        ReplyScanner {
            limits,
            at: 0,
            searched: 0,
            string: None,
            open: vec![1],
            elements: 0,
            dialect: Dialect::default(),
            needed: 1,
        }
    }

    /// Whether a reply has begun that is not whole yet.
    pub fn is_mid_reply(&self) -> bool {
        self.at > 0 || self.searched > 0
    }

    /// Bytes that must at least come before the next reply can be whole, after
    /// [`ReplyScanner::next`] said that none is. The peer chose this number: reserve no more than
    /// a bound of your own for it.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Splits the next whole reply off the front of `buffer`, or gives nothing when there is none
    /// yet: then more bytes are to be put behind those in `buffer`, which the caller must not
    /// change otherwise. After an error the connection cannot be understood any more.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Value>, ReplyError> {
        if !self.is_mid_reply()
            && let Some(value) = direct::scalar(buffer, self.limits)
        {
            return Ok(Some(value));
        }
        match self.scan(buffer)? {
            Some((frame, dialect)) => decode(&frame, dialect).map(Some),
            None => Ok(None),
        }
    }

    /// Splits the next whole frame off, or gives nothing when there is none yet.
    fn scan(&mut self, buffer: &mut BytesMut) -> Result<Option<(Bytes, Dialect)>, ReplyError> {
        while !self.open.is_empty() {
            let understood = match self.string {
                Some(length) => self.scan_string(buffer, length)?,
                None => self.scan_header(buffer)?,
            };
            if !understood {
                return Ok(None);
            }
        }
        let frame = buffer.split_to(self.at).freeze();
        let dialect = self.dialect;
        self.restart();
        Ok(Some((frame, dialect)))
    }

    /// Makes ready for the next reply.
    fn restart(&mut self) {
        self.at = 0;
        self.searched = 0;
        self.string = None;
        self.open.push(1);
        self.elements = 0;
        self.dialect = Dialect::default();
        self.needed = 1;
    }

    /// Reads a type, and the number or line behind it. Says whether it was all there.
    fn scan_header(&mut self, buffer: &BytesMut) -> Result<bool, ReplyError> {
        let begin = self.at;
        let Some(kind) = buffer.get(begin).copied() else {
            self.needed = 1;
            return Ok(false);
        };
        if !b"+-:$*_,#!=(%~>|".contains(&kind) {
            return Err(ReplyError::UnknownType { got: kind });
        }
        let Some(end) = self.find_line(buffer)? else {
            return Ok(false);
        };
        self.dialect.resp3 |= !b"+-:$*".contains(&kind);
        let number = &buffer[begin + 1..end];
        match kind {
            b'$' | b'*' if number == b"-1" => {
                self.dialect.resp2 = true;
                self.close_element();
            }
            b'$' | b'!' | b'=' => self.string = Some(self.string_length(number)?),
            b'*' | b'~' | b'>' => self.open_level(length(number)?)?,
            b'%' => self.open_level(length(number)?.saturating_mul(2))?,
            b'|' => {
                // Attributes stand before the element that they are about, and are none.
                if let Some(lacking) = self.open.last_mut() {
                    *lacking += 1;
                }
                self.open_level(length(number)?.saturating_mul(2))?;
            }
            _ => self.close_element(),
        }
        Ok(true)
    }

    /// Reads the bytes of a string. Says whether they were all there.
    fn scan_string(&mut self, buffer: &BytesMut, length: usize) -> Result<bool, ReplyError> {
        let end = self.at + length;
        if buffer.len() < end + 2 {
            self.needed = end + 2 - buffer.len();
            return Ok(false);
        }
        if buffer[end..end + 2] != *b"\r\n" {
            return Err(ReplyError::Unterminated);
        }
        self.at = end + 2;
        self.searched = self.at;
        self.string = None;
        self.close_element();
        Ok(true)
    }

    fn string_length(&self, number: &[u8]) -> Result<usize, ReplyError> {
        let length = length(number)?;
        let bytes = self.at.saturating_add(length).saturating_add(2);
        if bytes > self.limits.frame_bytes_max {
            return Err(ReplyError::TooBig {
                bytes,
                limit: self.limits.frame_bytes_max,
            });
        }
        Ok(length)
    }

    /// Begins a list of `length` elements.
    fn open_level(&mut self, length: usize) -> Result<(), ReplyError> {
        self.elements = self.elements.saturating_add(length);
        if self.elements > self.limits.elements_max {
            let (elements, limit) = (self.elements, self.limits.elements_max);
            return Err(ReplyError::TooMany { elements, limit });
        }
        if length == 0 {
            self.close_element();
            return Ok(());
        }
        // The level of the reply itself is none of nesting.
        if self.open.len() > REPLY_DEPTH_MAX {
            return Err(ReplyError::TooDeep);
        }
        self.open.push(length);
        Ok(())
    }

    /// Counts an element that is whole, and every level that is whole with it.
    fn close_element(&mut self) {
        while let Some(lacking) = self.open.last_mut() {
            *lacking -= 1;
            if *lacking > 0 {
                return;
            }
            self.open.pop();
        }
    }

    /// Finds the end of the line at `self.at` and moves behind its CR LF.
    fn find_line(&mut self, buffer: &BytesMut) -> Result<Option<usize>, ReplyError> {
        self.needed = 1;
        let bound = buffer.len().min(self.at + INLINE_BYTES_MAX + 1);
        let Some(found) = memchr(b'\r', &buffer[self.searched..bound]) else {
            if bound - self.at > INLINE_BYTES_MAX {
                return Err(ReplyError::LineTooLong);
            }
            self.searched = bound;
            return Ok(None);
        };
        let end = self.searched + found;
        self.searched = end;
        match buffer.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => {
                self.at = end + 2;
                self.searched = self.at;
                self.check_bytes()?;
                Ok(Some(end))
            }
            Some(_) => Err(ReplyError::Unterminated),
        }
    }

    fn check_bytes(&self) -> Result<(), ReplyError> {
        let (bytes, limit) = (self.at, self.limits.frame_bytes_max);
        if bytes > limit {
            return Err(ReplyError::TooBig { bytes, limit });
        }
        Ok(())
    }
}

/// Decodes a whole frame, by the library only where that must be.
fn decode(frame: &Bytes, dialect: Dialect) -> Result<Value, ReplyError> {
    let direct = match dialect {
        // To be refused.
        Dialect {
            resp2: true,
            resp3: true,
        } => None,
        _ => direct::value(frame),
    };
    direct.map_or_else(|| resp::decode(frame, dialect), Ok)
}

fn length(number: &[u8]) -> Result<usize, ReplyError> {
    parse_i64(number)
        .and_then(|length| usize::try_from(length).ok())
        .ok_or(ReplyError::BadLength)
}
