//! What an event holds: its number, so that a reader can tell that it is the right one.

/// The name of every event.
pub(crate) const NAME: &[u8] = b"created";

const DIGITS: usize = 20;

/// Appends the number in 20 digits and the filling behind it.
pub(crate) fn fill(data: &mut Vec<u8>, number: u64, bytes: usize) {
    data.clear();
    data.extend_from_slice(format!("{number:0DIGITS$}").as_bytes());
    data.resize(bytes, b'.');
}

/// Whether this is the data of that event.
pub(crate) fn is(data: &[u8], expected: u64, bytes: usize) -> bool {
    number(data, bytes) == Some(expected)
}

/// The number of the event with this data; `None` when it is no event's.
pub(crate) fn number(data: &[u8], bytes: usize) -> Option<u64> {
    let (digits, filling) = data.split_at_checked(DIGITS)?;
    let is_whole = data.len() == bytes && filling.iter().all(|byte| *byte == b'.');
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_whole)?;
    digits.parse().ok()
}
