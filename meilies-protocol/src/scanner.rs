//! Splits commands off a server's read buffer: the first code that sees a peer's bytes.
//!
//! It accepts flat arrays of bulk strings and inline lines, as Redis does, and nothing else;
//! enforces every limit before anything is kept; never reserves memory for a number that a peer
//! sent; and remembers how far it got, so a command that comes in many pieces costs time linear
//! in its length. What it gives and what it refuses do not depend on how the bytes were split.

mod error;
mod inline;
#[cfg(test)]
mod tests;

use bytes::{Buf, BytesMut};
use memchr::memchr;

pub use self::error::ProtocolError;

use crate::Arguments;
use crate::arguments::offset;
use crate::integer::parse_i64;
use crate::limits::{
    FRAME_BYTES_MAX, FRAME_ELEMENTS_MAX, INLINE_BYTES_MAX, UNAUTHENTICATED_BULK_BYTES_MAX,
    UNAUTHENTICATED_ELEMENTS_MAX,
};

/// How much a peer may send in one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanLimits {
    /// Where a password is set and has not been given: 10 elements of 16 KiB.
    Unauthenticated,
    /// All others.
    Full {
        /// Bytes of one argument.
        bulk_bytes_max: usize,
    },
}

/// The resumable scanner of one connection.
#[derive(Debug)]
pub struct CommandScanner {
    limits: ScanLimits,
    state: State,
    /// Bytes of the buffer's front that are understood.
    at: usize,
    /// Bytes of the buffer's front that hold no further line end. Invariant: only what lies
    /// behind it is searched again.
    searched: usize,
    /// The arguments understood so far.
    ranges: Vec<(u32, u32)>,
    needed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two commands.
    Start,
    /// In an array, before the length of an argument.
    Length { left: usize },
    /// In an array, before the bytes of an argument.
    Argument { left: usize, length: usize },
}

/// What one step of the scanner came to.
enum Step {
    /// More bytes are needed.
    Wait,
    /// Something was understood; go on.
    Next,
    /// A whole command is understood.
    Done,
}

impl CommandScanner {
    /// A scanner for a connection that begins.
    pub fn new(limits: ScanLimits) -> CommandScanner {
        CommandScanner {
            limits,
            state: State::Start,
            at: 0,
            searched: 0,
            ranges: Vec::new(),
            needed: 1,
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> ScanLimits {
        self.limits
    }

    /// Changes the limits for what has not been read yet: after `AUTH`, or after `RESET`.
    pub fn set_limits(&mut self, limits: ScanLimits) {
        self.limits = limits;
    }

    /// Whether a command has begun that is not whole yet.
    pub fn is_mid_command(&self) -> bool {
        self.state != State::Start || self.searched > 0
    }

    /// Bytes that must at least come before the next command can be whole, after
    /// [`CommandScanner::next`] said that none is. A peer chose this number: reserve no more than
    /// a bound of your own for it.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Splits the next whole command off the front of `buffer` into `arguments`, or says `false`
    /// when there is none yet: then more bytes are to be put behind those in `buffer`, which the
    /// caller must not change otherwise. Empty commands are skipped, as in Redis.
    ///
    /// After an error the connection cannot be understood any more: report it and close.
    pub fn next(
        &mut self,
        buffer: &mut BytesMut,
        arguments: &mut Arguments,
    ) -> Result<bool, ProtocolError> {
        loop {
            let step = match self.state {
                State::Start => match buffer.first() {
                    None => Step::Wait,
                    Some(b'*') => self.scan_count(buffer)?,
                    Some(_) => {
                        if let Some(found) = self.scan_inline(buffer, arguments)? {
                            return Ok(found);
                        }
                        Step::Next
                    }
                },
                State::Length { left } => self.scan_length(buffer, left)?,
                State::Argument { left, length } => self.scan_argument(buffer, left, length)?,
            };
            match step {
                Step::Wait => return Ok(false),
                Step::Next => {}
                Step::Done => {
                    let frame = buffer.split_to(self.at).freeze();
                    arguments.replace(frame, &mut self.ranges);
                    self.restart();
                    refuse_http(arguments)?;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads `*<count>`.
    fn scan_count(&mut self, buffer: &mut BytesMut) -> Result<Step, ProtocolError> {
        let bad = ProtocolError::InvalidMultibulkLength;
        let Some(end) = self.find_line(buffer, ProtocolError::TooBigCount, bad)? else {
            return Ok(Step::Wait);
        };
        let count = parse_i64(&buffer[1..end]).ok_or(bad)?;
        // Redis skips a command of no or negative length.
        let left = usize::try_from(count).unwrap_or(0);
        if left > FRAME_ELEMENTS_MAX {
            return Err(bad);
        }
        if left > UNAUTHENTICATED_ELEMENTS_MAX && self.limits == ScanLimits::Unauthenticated {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        if left == 0 {
            buffer.advance(self.at);
            self.restart();
        } else {
            self.state = State::Length { left };
        }
        Ok(Step::Next)
    }

    /// Reads `$<length>`.
    fn scan_length(&mut self, buffer: &BytesMut, left: usize) -> Result<Step, ProtocolError> {
        let begin = self.at;
        match buffer.get(begin) {
            None => {
                self.needed = 1;
                return Ok(Step::Wait);
            }
            Some(b'$') => {}
            Some(got) => return Err(ProtocolError::ExpectedBulk { got: *got }),
        }
        let bad = ProtocolError::InvalidBulkLength;
        let Some(end) = self.find_line(buffer, ProtocolError::TooBigBulkCount, bad)? else {
            return Ok(Step::Wait);
        };
        let length = parse_i64(&buffer[begin + 1..end]).ok_or(bad)?;
        let length = usize::try_from(length).map_err(|_| bad)?;
        match self.limits {
            ScanLimits::Unauthenticated if length > UNAUTHENTICATED_BULK_BYTES_MAX => {
                return Err(ProtocolError::UnauthenticatedBulkLength);
            }
            ScanLimits::Full { bulk_bytes_max } if length > bulk_bytes_max => return Err(bad),
            _ => {}
        }
        if length > FRAME_BYTES_MAX || self.at + length + 2 > FRAME_BYTES_MAX {
            return Err(ProtocolError::TooBigFrame);
        }
        self.state = State::Argument { left, length };
        Ok(Step::Next)
    }

    /// Reads the bytes of an argument and the CR LF behind them.
    fn scan_argument(
        &mut self,
        buffer: &BytesMut,
        left: usize,
        length: usize,
    ) -> Result<Step, ProtocolError> {
        let end = self.at + length;
        if buffer.len() < end + 2 {
            self.needed = end + 2 - buffer.len();
            return Ok(Step::Wait);
        }
        if buffer[end..end + 2] != *b"\r\n" {
            return Err(ProtocolError::UnterminatedBulk);
        }
        self.ranges.push((offset(self.at), offset(end)));
        self.at = end + 2;
        self.searched = self.at;
        if left == 1 {
            return Ok(Step::Done);
        }
        self.state = State::Length { left: left - 1 };
        Ok(Step::Next)
    }

    /// Takes an inline command. Nothing means that an empty line was skipped.
    fn scan_inline(
        &mut self,
        buffer: &mut BytesMut,
        arguments: &mut Arguments,
    ) -> Result<Option<bool>, ProtocolError> {
        let bound = buffer.len().min(INLINE_BYTES_MAX + 1);
        let Some(found) = memchr(b'\n', &buffer[self.searched..bound]) else {
            if bound > INLINE_BYTES_MAX {
                return Err(ProtocolError::TooBigInline);
            }
            self.searched = bound;
            self.needed = 1;
            return Ok(Some(false));
        };
        let end = self.searched + found;
        let line = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
        let frame = inline::split(line, &mut self.ranges)?;
        buffer.advance(end + 1);
        if self.ranges.is_empty() {
            self.restart();
            return Ok(None);
        }
        arguments.replace(frame, &mut self.ranges);
        self.restart();
        refuse_http(arguments)?;
        Ok(Some(true))
    }

    /// Finds the end of the line at `self.at` and moves behind its CR LF.
    fn find_line(
        &mut self,
        buffer: &BytesMut,
        too_big: ProtocolError,
        bad: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let bound = buffer.len().min(self.at + INLINE_BYTES_MAX + 1);
        let Some(found) = memchr(b'\r', &buffer[self.searched..bound]) else {
            if bound - self.at > INLINE_BYTES_MAX {
                return Err(too_big);
            }
            self.searched = bound;
            self.needed = 1;
            return Ok(None);
        };
        let end = self.searched + found;
        self.searched = end;
        match buffer.get(end + 1) {
            None => {
                self.needed = 1;
                Ok(None)
            }
            Some(b'\n') => {
                self.at = end + 2;
                self.searched = self.at;
                Ok(Some(end))
            }
            Some(_) => Err(bad),
        }
    }

    /// Makes ready for the next command.
    fn restart(&mut self) {
        self.state = State::Start;
        self.at = 0;
        self.searched = 0;
        self.needed = 1;
    }
}

/// A web page can make a browser send these lines to any port: as Redis does, nothing that came
/// with them is executed.
fn refuse_http(arguments: &Arguments) -> Result<(), ProtocolError> {
    let name = arguments.get(0);
    if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
        return Err(ProtocolError::Http);
    }
    Ok(())
}
