//! What a server writes is read directly, within the limits, and looked at once.

mod agreement;

use super::super::{Incoming, ReplyError, ReplyScanner};
use super::*;
use crate::limits::{INLINE_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::{Version, push, reply, writer};

const ID: EventId = EventId::new(1_700_000_000_000, 3);
const NAME: &[u8] = b"created";
const DATA: &[u8] = b"{\"a\":\r\n1}";

fn written(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    write(&mut out);
    out
}

fn event_bytes(pairs: usize) -> BytesMut {
    let pairs = (0..pairs).map(|_| (NAME, DATA));
    written(|out| push::write_event(out, Version::Resp3, b"orders:42", 7, 9, ID, pairs))
}

fn pevent_bytes(pairs: usize) -> BytesMut {
    let pairs = (0..pairs).map(|_| (NAME, DATA));
    written(|out| push::write_pevent(out, Version::Resp3, b"$all", b"a", 7, 9, ID, pairs))
}

#[test]
fn what_a_server_writes_is_read_directly() {
    let limits = ReplyLimits::default();
    for pairs in [0, 1, 2, 100] {
        let frame = event_bytes(pairs).freeze();
        let shape = EventShape::read(&frame, limits).expect("the event has the shape");
        assert_eq!(shape.length(), frame.len());
        assert!(matches!(shape.push(&frame), Some(Push::Event(_))));

        let frame = pevent_bytes(pairs).freeze();
        let shape = EventShape::read(&frame, limits).expect("the event has the shape");
        assert_eq!(shape.length(), frame.len());
        assert!(matches!(shape.push(&frame), Some(Push::Pevent { .. })));
    }

    let direct = |write: &dyn Fn(&mut BytesMut)| {
        let mut buffer = written(write);
        let scalar = scalar(&mut buffer, limits);
        assert!(buffer.is_empty());
        scalar
    };
    let text = Bytes::from_static(b"a\r\nb");
    assert_eq!(
        direct(&|out| writer::integer(out, 123)),
        Some(Value::Integer(123))
    );
    assert_eq!(
        direct(&|out| writer::simple(out, "OK")),
        Some(Value::SimpleString("OK".into()))
    );
    assert_eq!(
        direct(&|out| writer::bulk(out, b"a\r\nb")),
        Some(Value::Bulk(text))
    );
    assert_eq!(
        direct(&|out| writer::nil(out, Version::Resp3)),
        Some(Value::Nil)
    );

    let events = written(|out| {
        writer::array_header(out, 2);
        for _ in 0..2 {
            reply::write_read_event(out, b"orders", 7, 9, ID, [(NAME, DATA)].into_iter());
        }
    });
    assert!(matches!(value(&events.freeze()), Some(Value::Array(_))));
    let event = event_bytes(1).freeze();
    assert!(matches!(value(&event), Some(Value::Push(_))));
}

#[test]
fn an_event_shares_its_frame() {
    let mut buffer = event_bytes(1);
    let range = buffer.as_ptr_range();
    let mut scanner = ReplyScanner::new(ReplyLimits::default());
    let Ok(Some(Incoming::Push(Push::Event(event)))) = scanner.next_incoming(&mut buffer) else {
        panic!("the event is whole");
    };
    assert_eq!((event.name(), event.data()), (NAME, DATA));
    for part in [event.stream.as_bytes(), event.name(), event.data()] {
        assert!(range.contains(&part.as_ptr()));
    }
}

#[test]
fn limits_hold_for_events() {
    for frame in [event_bytes(3), pevent_bytes(3)] {
        let elements = if frame[1] == b'6' { 6 + 6 } else { 7 + 6 };
        let next = |frame_bytes_max, elements_max| {
            let limits = ReplyLimits {
                frame_bytes_max,
                elements_max,
            };
            ReplyScanner::new(limits).next_incoming(&mut frame.clone())
        };
        let bytes = frame.len();
        assert!(matches!(next(bytes, elements), Ok(Some(Incoming::Push(_)))));
        assert_eq!(
            next(bytes - 1, elements),
            Err(ReplyError::TooBig {
                bytes,
                limit: bytes - 1
            })
        );
        assert_eq!(
            next(bytes, elements - 1),
            Err(ReplyError::TooMany {
                elements,
                limit: elements - 1
            })
        );
    }
    let scalar = |frame_bytes_max| {
        let limits = ReplyLimits {
            frame_bytes_max,
            elements_max: 0,
        };
        ReplyScanner::new(limits).next(&mut BytesMut::from(&b"$2\r\nab\r\n"[..]))
    };
    assert_eq!(scalar(8), Ok(Some(Value::Bulk("ab".into()))));
    assert_eq!(scalar(7), Err(ReplyError::TooBig { bytes: 8, limit: 7 }));
}

#[test]
fn a_line_has_the_limit_of_the_scanner() {
    let next = |length| {
        let mut buffer = written(|out| writer::simple(out, &"a".repeat(length)));
        ReplyScanner::new(ReplyLimits::default()).next(&mut buffer)
    };
    assert!(matches!(
        next(INLINE_BYTES_MAX - 1),
        Ok(Some(Value::SimpleString(_)))
    ));
    assert_eq!(next(INLINE_BYTES_MAX), Err(ReplyError::LineTooLong));
}

#[test]
fn the_name_of_a_stream_has_its_limit() {
    let next = |bytes| {
        let name = vec![b'a'; bytes];
        let pairs = [(NAME, DATA)].into_iter();
        let mut buffer =
            written(|out| push::write_event(out, Version::Resp3, &name, 7, 9, ID, pairs));
        ReplyScanner::new(ReplyLimits::default()).next_incoming(&mut buffer)
    };
    let is_event = |bytes| matches!(next(bytes), Ok(Some(Incoming::Push(Push::Event(_)))));
    let is_value = |bytes| matches!(next(bytes), Ok(Some(Incoming::Value(Value::Push(_)))));
    assert!(is_event(1) && is_event(STREAM_NAME_BYTES_MAX));
    assert!(is_value(0) && is_value(STREAM_NAME_BYTES_MAX + 1));
}

#[test]
fn what_resp2_sends_stays_a_value() {
    let pairs = [(NAME, DATA)].into_iter();
    let mut buffer = written(|out| push::write_event(out, Version::Resp2, b"s", 7, 9, ID, pairs));
    let incoming = ReplyScanner::new(ReplyLimits::default()).next_incoming(&mut buffer);
    let Ok(Some(Incoming::Value(array))) = incoming else {
        panic!("{incoming:?}");
    };
    assert!(matches!(Push::from_value(array), Ok(Push::Event(_))));
}

/// What is missing is known as soon as a length is, and nothing that came is looked at again.
#[test]
fn a_huge_event_in_small_pieces_is_looked_at_once() {
    let data = vec![b'a'; 16 * 1024 * 1024];
    let pairs = [(NAME, &data[..])].into_iter();
    let input = written(|out| push::write_event(out, Version::Resp3, b"s", 7, 9, ID, pairs));
    let mut scanner = ReplyScanner::new(ReplyLimits::default());
    let (mut buffer, mut found) = (BytesMut::new(), 0);
    for piece in input.chunks(16 * 1024) {
        assert!(buffer.is_empty() || scanner.is_mid_reply());
        buffer.extend_from_slice(piece);
        match scanner.next_incoming(&mut buffer) {
            Ok(Some(Incoming::Push(Push::Event(event)))) => {
                assert_eq!(event.data().len(), data.len());
                found += 1;
            }
            Ok(None) => assert_eq!(scanner.needed(), input.len() - buffer.len()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((found, buffer.len()), (1, 0));
}

#[test]
fn an_event_of_many_fields_in_small_pieces_is_looked_at_once() {
    let input = event_bytes(100_000);
    let element_bytes_max = format!("${}\r\n\r\n", DATA.len()).len() + DATA.len();
    let mut scanner = ReplyScanner::new(ReplyLimits::default());
    let (mut buffer, mut found) = (BytesMut::new(), 0);
    for piece in input.chunks(16 * 1024) {
        buffer.extend_from_slice(piece);
        match scanner.next_incoming(&mut buffer) {
            Ok(Some(Incoming::Push(Push::Event(event)))) => {
                assert_eq!(event.fields.len(), 100_000);
                found += 1;
            }
            Ok(None) => assert!(buffer.len() - scanner.at < element_bytes_max),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((found, buffer.len()), (1, 0));
}
