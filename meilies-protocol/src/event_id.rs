//! The id of an event: Redis' stream id, `<ms>-<seq>`, strictly increasing in a stream.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;

use crate::integer::parse_digits;

/// Bytes that the text of an id takes at most: two u64 and the hyphen.
pub const EVENT_ID_TEXT_BYTES_MAX: usize = 41;

/// An event's id. Ids are ordered by time, then by sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Milliseconds since 1970 UTC, unless the publisher chose another number.
    pub ms: u64,
    /// What tells the events of one millisecond apart.
    pub seq: u64,
}

impl EventId {
    /// The least id. No event has it.
    pub const MIN: EventId = EventId { ms: 0, seq: 0 };

    /// The greatest id.
    pub const MAX: EventId = EventId {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// Makes an id of its two numbers.
    pub const fn new(ms: u64, seq: u64) -> EventId {
        EventId { ms, seq }
    }

    /// Milliseconds since 1970 UTC, unless the publisher chose another number.
    pub const fn milliseconds(self) -> u64 {
        self.ms
    }

    /// What tells the events of one millisecond apart.
    pub const fn sequence(self) -> u64 {
        self.seq
    }

    /// When the event was stored, unless the publisher chose another number. Nothing if the
    /// system's clock cannot tell a time that late.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use meilies_protocol::EventId;
    ///
    /// let id = EventId::new(1_700_000_000_000, 3);
    /// assert_eq!((id.milliseconds(), id.sequence()), (1_700_000_000_000, 3));
    /// let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    /// assert_eq!(id.system_time(), Some(time));
    /// ```
    pub fn system_time(self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.ms))
    }

    /// Reads `<ms>-<seq>`.
    pub fn parse(text: &[u8]) -> Result<EventId, EventIdError> {
        let hyphen = text
            .iter()
            .position(|byte| *byte == b'-')
            .ok_or(EventIdError)?;
        let ms = parse_part(&text[..hyphen])?;
        let seq = parse_part(&text[hyphen + 1..])?;
        Ok(EventId { ms, seq })
    }

    /// Reads `<ms>-<seq>`, or `<ms>` alone, to which `missing_seq` is given.
    pub fn parse_partial(text: &[u8], missing_seq: u64) -> Result<EventId, EventIdError> {
        if text.contains(&b'-') {
            return EventId::parse(text);
        }
        Ok(EventId {
            ms: parse_part(text)?,
            seq: missing_seq,
        })
    }

    /// The id right after this one, if there is one.
    pub fn next(self) -> Option<EventId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(EventId { ms: self.ms, seq }),
            None => Some(EventId {
                ms: self.ms.checked_add(1)?,
                seq: 0,
            }),
        }
    }

    /// The id right before this one, if there is one.
    pub fn previous(self) -> Option<EventId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(EventId { ms: self.ms, seq }),
            None => Some(EventId {
                ms: self.ms.checked_sub(1)?,
                seq: u64::MAX,
            }),
        }
    }

    /// Appends the text of the id, without a length or line end, and without allocating.
    pub fn write(self, out: &mut BytesMut) {
        let mut buffer = [0; EVENT_ID_TEXT_BYTES_MAX];
        out.extend_from_slice(self.text(&mut buffer));
    }

    /// Puts the text of the id into `buffer` and returns the part that it takes.
    pub fn text(self, buffer: &mut [u8; EVENT_ID_TEXT_BYTES_MAX]) -> &[u8] {
        let mut digits = itoa::Buffer::new();
        let ms = digits.format(self.ms).as_bytes();
        let hyphen = ms.len();
        buffer[..hyphen].copy_from_slice(ms);
        buffer[hyphen] = b'-';
        let seq = digits.format(self.seq).as_bytes();
        let end = hyphen + 1 + seq.len();
        buffer[hyphen + 1..end].copy_from_slice(seq);
        &buffer[..end]
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

fn parse_part(digits: &[u8]) -> Result<u64, EventIdError> {
    parse_digits(digits).ok_or(EventIdError)
}

/// Bytes that are not the id of an event, in Redis' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid stream ID specified as stream command argument")]
pub struct EventIdError;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_read_whole_or_refused() {
        assert_eq!(EventId::parse(b"0-0"), Ok(EventId::MIN));
        assert_eq!(
            EventId::parse(b"1700000000000-12"),
            Ok(EventId::new(1_700_000_000_000, 12))
        );
        for text in [
            "", "-", "1", "1-", "-1", "1-2-3", "1--2", "+1-2", "1-+2", " 1-2", "*", "1-*",
        ] {
            assert_eq!(EventId::parse(text.as_bytes()), Err(EventIdError), "{text}");
        }
        assert_eq!(EventId::parse(b"18446744073709551616-0"), Err(EventIdError));
    }

    #[test]
    fn a_missing_sequence_is_given() {
        assert_eq!(EventId::parse_partial(b"5", 0), Ok(EventId::new(5, 0)));
        assert_eq!(
            EventId::parse_partial(b"5", u64::MAX),
            Ok(EventId::new(5, u64::MAX))
        );
        assert_eq!(EventId::parse_partial(b"5-3", 0), Ok(EventId::new(5, 3)));
        assert_eq!(EventId::parse_partial(b"", 0), Err(EventIdError));
    }

    #[test]
    fn neighbours_carry_over_the_sequence() {
        assert_eq!(EventId::new(1, u64::MAX).next(), Some(EventId::new(2, 0)));
        assert_eq!(
            EventId::new(2, 0).previous(),
            Some(EventId::new(1, u64::MAX))
        );
        assert_eq!(EventId::MAX.next(), None);
        assert_eq!(EventId::MIN.previous(), None);
    }

    proptest! {
        #[test]
        fn text_and_order_survive_a_round_trip(a: (u64, u64), b: (u64, u64)) {
            let (a, b) = (EventId::new(a.0, a.1), EventId::new(b.0, b.1));
            let mut out = BytesMut::new();
            a.write(&mut out);
            prop_assert_eq!(&out[..], a.to_string().into_bytes());
            prop_assert_eq!(EventId::parse(&out), Ok(a));
            prop_assert_eq!(a < b, (a.ms, a.seq) < (b.ms, b.seq));
        }
    }
}
