//! Replies of a hostile server: the scanner gives the same values and the same refusal however
//! the bytes are split, within its limits.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use meilies_protocol::{Event, Incoming, Push, ReplyError, ReplyLimits, ReplyScanner, Value};

const LIMITS: ReplyLimits = ReplyLimits {
    frame_bytes_max: 64 * 1024,
    elements_max: 10_000,
};

fuzz_target!(|data: &[u8]| {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    let (values, error) = scan(input, input.len());
    let (same, same_error) = scan(input, 1 + usize::from(*first));
    assert_eq!(same_error, error);
    // A double that is no number is not equal to itself.
    assert_eq!(format!("{same:?}"), format!("{values:?}"));
    let (typed, typed_error) = scan_typed(input, 1 + usize::from(*first));
    assert_eq!(typed_error, error);
    let expected: Vec<Incoming> = values.iter().cloned().map(incoming).collect();
    assert_eq!(format!("{typed:?}"), format!("{expected:?}"));
    for value in values {
        if let Err(value) = Push::from_value(value) {
            drop(Event::from_value(value));
        }
    }
});

/// What `next_incoming` is to make of it.
fn incoming(value: Value) -> Incoming {
    match value {
        Value::Push(_) => Push::from_value(value).map_or_else(Incoming::Value, Incoming::Push),
        reply => Incoming::Value(reply),
    }
}

fn scan(input: &[u8], piece: usize) -> (Vec<Value>, Option<ReplyError>) {
    scan_with(input, piece, ReplyScanner::next)
}

fn scan_typed(input: &[u8], piece: usize) -> (Vec<Incoming>, Option<ReplyError>) {
    scan_with(input, piece, ReplyScanner::next_incoming)
}

fn scan_with<T>(
    input: &[u8],
    piece: usize,
    next: impl Fn(&mut ReplyScanner, &mut BytesMut) -> Result<Option<T>, ReplyError>,
) -> (Vec<T>, Option<ReplyError>) {
    let mut scanner = ReplyScanner::new(LIMITS);
    let (mut buffer, mut values) = (BytesMut::new(), Vec::new());
    for piece in input.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match next(&mut scanner, &mut buffer) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}
