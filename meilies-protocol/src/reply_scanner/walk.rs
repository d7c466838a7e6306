//! Walks over the elements of a reply without copying: strings are given as ranges, numbers read.

use std::ops::Range;

use memchr::memchr;

use super::ReplyLimits;
use crate::limits::INLINE_BYTES_MAX;

/// Digits of a number that fits an `i64`, whichever they are.
const DIGITS_MAX: usize = 18;

/// A walk over elements. Where it gives nothing, the way on is unknown, save for [`Walk::skip`],
/// which leaves it where it stood.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    /// Bytes of the front that are understood.
    at: usize,
}

impl Walk<'_> {
    /// A walk over `bytes` that begins at the element `at`.
    pub(super) fn new(bytes: &[u8], at: usize) -> Walk<'_> {
        Walk { bytes, at }
    }

    /// Bytes of the front that are understood.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The type of the next element.
    pub(super) fn kind(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// How far it came, if that is within the limit.
    pub(super) fn within(&self, limits: ReplyLimits) -> Option<usize> {
        (self.at <= limits.frame_bytes_max).then_some(self.at)
    }

    /// Goes over bytes that are known.
    pub(super) fn skip(&mut self, expected: &[u8]) -> Option<()> {
        if !self.bytes.get(self.at..)?.starts_with(expected) {
            return None;
        }
        self.at += expected.len();
        Some(())
    }

    /// Reads a line that holds a number in its shortest form, without sign.
    pub(super) fn number(&mut self, kind: u8) -> Option<u64> {
        let (first, rest) = self.bytes.get(self.at..)?.split_first()?;
        if *first != kind {
            return None;
        }
        let mut number = 0;
        for (digits, byte) in rest.iter().take(DIGITS_MAX + 1).enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                let shortest = digits == 1 || (digits > 1 && rest[0] != b'0');
                if !shortest || !rest[digits..].starts_with(b"\r\n") {
                    return None;
                }
                self.at += 1 + digits + 2;
                return Some(number);
            }
            number = number * 10 + u64::from(digit);
        }
        None
    }

    /// Reads a string of any bytes.
    pub(super) fn bulk(&mut self) -> Option<Range<usize>> {
        let length = usize::try_from(self.number(b'$')?).ok()?;
        let behind = self.bytes.get(self.at..)?.get(length..)?;
        if !behind.starts_with(b"\r\n") {
            return None;
        }
        let text = self.at..self.at + length;
        self.at = text.end + 2;
        Some(text)
    }

    /// Reads a line of text, without its type, as long as the scanner would take it.
    pub(super) fn line(&mut self) -> Option<Range<usize>> {
        let begin = self.at + 1;
        let bound = self.bytes.len().min(self.at + INLINE_BYTES_MAX + 1);
        let end = begin + memchr(b'\r', self.bytes.get(begin..bound)?)?;
        if !self.bytes[end..].starts_with(b"\r\n") {
            return None;
        }
        self.at = end + 2;
        Some(begin..end)
    }
}
