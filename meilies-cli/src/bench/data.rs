//! What the events hold that are published to be measured.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The name of every event.
pub(crate) const NAME: &[u8] = b"measured";

/// Digits of the time that the data of an event can begin with.
pub(crate) const STAMP_BYTES: usize = 20;

/// Data of so many bytes: letters and digits that do not repeat themselves, so that nothing on the
/// way can make them smaller than those of real events.
pub(crate) fn filling(bytes: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    // The generator that Marsaglia calls xorshift64.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        LETTERS[usize::from(state.to_le_bytes()[0] & 63)]
    };
    (0..bytes).map(|_| letter()).collect()
}

/// Writes a time since the start over the first bytes.
pub(crate) fn stamp(data: &mut [u8], time: Duration) {
    let digits = format!("{:0STAMP_BYTES$}", time.as_nanos());
    data[..STAMP_BYTES].copy_from_slice(&digits.as_bytes()[..STAMP_BYTES]);
}

/// Reads the time that [`stamp`] has written.
pub(crate) fn read_stamp(data: &[u8]) -> Option<Duration> {
    let digits = std::str::from_utf8(data.get(..STAMP_BYTES)?).ok()?;
    Some(Duration::from_nanos(digits.parse().ok()?))
}

/// A name that no other run has.
pub(crate) fn random_prefix() -> String {
    // The standard library's hashers are seeded by the system.
    let random = RandomState::new().hash_one(std::process::id());
    format!("bench-{random:016x}")
}

/// The names of the streams.
pub(crate) fn stream_names(prefix: &str, streams: u64) -> Vec<String> {
    (0..streams)
        .map(|index| format!("{prefix}-{index}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filling_has_its_size_and_is_text() {
        for bytes in [0, 1, 128, 100_000] {
            let filling = filling(bytes);
            assert_eq!(filling.len(), bytes);
            assert!(filling.is_ascii());
        }
        let filling = filling(10_000);
        assert_ne!(filling[..100], filling[100..200], "it repeats itself");
    }

    #[test]
    fn a_stamp_is_read_back() {
        let mut data = filling(STAMP_BYTES + 5);
        for time in [Duration::ZERO, Duration::from_nanos(u64::MAX)] {
            stamp(&mut data, time);
            assert_eq!(read_stamp(&data), Some(time));
        }
        assert_eq!(read_stamp(&data[..STAMP_BYTES - 1]), None);
        assert_eq!(read_stamp(&filling(STAMP_BYTES)), None);
    }

    #[test]
    fn two_runs_do_not_meet() {
        assert_ne!(random_prefix(), random_prefix());
        assert_eq!(stream_names("a", 2), ["a-0", "a-1"]);
    }
}
