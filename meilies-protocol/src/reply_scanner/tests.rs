//! Splits, limits and hostile bytes: what a client takes and what it refuses.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Version, writer};

fn scan_pieces(input: &[u8], pieces: &[usize]) -> (Vec<Value>, Option<ReplyError>) {
    let mut scanner = ReplyScanner::new(ReplyLimits {
        frame_bytes_max: 4096,
        elements_max: 100,
    });
    let (mut buffer, mut values) = (BytesMut::new(), Vec::new());
    let mut rest = input;
    for piece in pieces.iter().cycle() {
        let (head, tail) = rest.split_at((*piece).min(rest.len()));
        buffer.extend_from_slice(head);
        rest = tail;
        loop {
            match scanner.next(&mut buffer) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
        assert!(scanner.needed() > 0);
        if rest.is_empty() {
            break;
        }
    }
    (values, None)
}

fn one(input: &[u8]) -> Value {
    let (mut values, error) = scan_pieces(input, &[usize::MAX]);
    assert_eq!((values.len(), error), (1, None), "{}", input.escape_ascii());
    values.remove(0)
}

fn error(input: &[u8]) -> ReplyError {
    let (_, error) = scan_pieces(input, &[usize::MAX]);
    error.unwrap_or_else(|| panic!("{} is refused", input.escape_ascii()))
}

fn bulk(text: &'static str) -> Value {
    Value::Bulk(Bytes::from_static(text.as_bytes()))
}

#[test]
fn every_type_is_read() {
    let integer = Value::Integer;
    assert_eq!(
        one(b"+OK\r\n"),
        Value::SimpleString(Bytes::from_static(b"OK"))
    );
    assert_eq!(
        one(b"-ERR no\r\n"),
        Value::Error(Bytes::from_static(b"ERR no"))
    );
    assert_eq!(one(b":-5\r\n"), integer(-5));
    assert_eq!(one(b"$4\r\na\r\nb\r\n"), bulk("a\r\nb"));
    assert_eq!(one(b"$-1\r\n"), Value::Nil);
    assert_eq!(one(b"*-1\r\n"), Value::Nil);
    assert_eq!(one(b"_\r\n"), Value::Nil);
    assert_eq!(one(b"*0\r\n"), Value::Array(vec![]));
    assert_eq!(
        one(b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n"),
        Value::Array(vec![integer(1), Value::Array(vec![bulk("a")])])
    );
    assert_eq!(
        one(b"%2\r\n$1\r\nb\r\n:1\r\n$1\r\na\r\n:2\r\n"),
        Value::Map(vec![(bulk("b"), integer(1)), (bulk("a"), integer(2))])
    );
    assert_eq!(
        one(b"~2\r\n:2\r\n:1\r\n"),
        Value::Set(vec![integer(2), integer(1)])
    );
    assert_eq!(
        one(b">2\r\n+a\r\n_\r\n"),
        Value::Push(vec![
            Value::SimpleString(Bytes::from_static(b"a")),
            Value::Nil
        ])
    );
    assert_eq!(one(b",1.5\r\n"), Value::Double(1.5));
    assert_eq!(one(b",-inf\r\n"), Value::Double(f64::NEG_INFINITY));
    assert_eq!(one(b"#t\r\n"), Value::Boolean(true));
    assert_eq!(one(b"(123456789012345678901234567890\r\n"), {
        Value::BigNumber(Bytes::from_static(b"123456789012345678901234567890"))
    });
    assert_eq!(one(b"=6\r\ntxt:ab\r\n"), {
        Value::Verbatim {
            format: *b"txt",
            text: Bytes::from_static(b"ab"),
        }
    });
    assert_eq!(
        one(b"!5\r\nERR x\r\n"),
        Value::Error(Bytes::from_static(b"ERR x"))
    );
    assert_eq!(one(b"|1\r\n+ttl\r\n:5\r\n:7\r\n"), integer(7));
    assert_eq!(one(b"%0\r\n"), Value::Map(vec![]));
}

#[test]
fn hostile_bytes_are_refused_and_not_followed() {
    assert_eq!(error(b"PING\r\n"), ReplyError::UnknownType { got: b'P' });
    assert_eq!(error(b"HELLO 3\r\n"), ReplyError::UnknownType { got: b'H' });
    assert_eq!(error(b"\r\n"), ReplyError::UnknownType { got: b'\r' });
    assert_eq!(error(b"$?\r\n"), ReplyError::BadLength);
    assert_eq!(error(b"*?\r\n"), ReplyError::BadLength);
    assert_eq!(error(b"$+3\r\nfoo\r\n"), ReplyError::BadLength);
    assert_eq!(error(b"$-2\r\n"), ReplyError::BadLength);
    assert_eq!(error(b"%-1\r\n"), ReplyError::BadLength);
    assert_eq!(error(b"$4\r\nPINGxx"), ReplyError::Unterminated);
    assert_eq!(error(b"+a\rb\r\n"), ReplyError::Unterminated);
    assert_eq!(error(b"*1000000000\r\n"), {
        ReplyError::TooMany {
            elements: 1_000_000_000,
            limit: 100,
        }
    });
    assert_eq!(error(b"%9223372036854775807\r\n"), {
        ReplyError::TooMany {
            elements: usize::MAX - 1,
            limit: 100,
        }
    });
    assert_eq!(error(b"$9999999999\r\n"), {
        ReplyError::TooBig {
            bytes: 13 + 9_999_999_999 + 2,
            limit: 4096,
        }
    });
    assert_eq!(
        error(&[b"+".to_vec(), vec![b'a'; 65536]].concat()),
        ReplyError::LineTooLong
    );
    assert_eq!(error(b"*2\r\n$-1\r\n_\r\n"), ReplyError::Mixed);
    assert!(matches!(error(b":12x\r\n"), ReplyError::Decode { .. }));
    assert!(matches!(error(b"#x\r\n"), ReplyError::Decode { .. }));
    assert!(matches!(error(b"=2\r\nab\r\n"), ReplyError::Decode { .. }));
}

#[test]
fn depth_ends_at_32() {
    let nested = |depth| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
    assert!(matches!(one(&nested(32)), Value::Array(_)));
    assert_eq!(error(&nested(33)), ReplyError::TooDeep);
    assert_eq!(error(&b"*1\r\n".repeat(10_000)), ReplyError::TooDeep);
    assert_eq!(
        error(&nested(33)).to_string(),
        "reply is nested deeper than 32 levels"
    );
}

#[test]
fn bytes_and_elements_end_at_their_limits() {
    let text = |length: usize| format!("${length}\r\n{}\r\n", "a".repeat(length));
    assert!(matches!(one(text(4096 - 7 - 2).as_bytes()), Value::Bulk(_)));
    let bytes = 4097;
    assert_eq!(
        error(text(4096 - 7 - 1).as_bytes()),
        ReplyError::TooBig { bytes, limit: 4096 }
    );
    let list = |length: usize| format!("*{length}\r\n{}", ":1\r\n".repeat(length));
    assert!(matches!(one(list(100).as_bytes()), Value::Array(_)));
    let elements = 101;
    assert_eq!(
        error(list(101).as_bytes()),
        ReplyError::TooMany {
            elements,
            limit: 100
        }
    );
}

/// The scanner may leave no more behind than the piece of an element that it waits for, or it
/// would look at the same bytes again at every read.
#[test]
fn a_long_reply_in_small_pieces_is_looked_at_once() {
    let input = [b"*1000000\r\n".to_vec(), b":1\r\n".repeat(1_000_000)].concat();
    let mut scanner = ReplyScanner::new(ReplyLimits::default());
    let mut buffer = BytesMut::new();
    let mut found = 0;
    for piece in input.chunks(16 * 1024) {
        buffer.extend_from_slice(piece);
        found += usize::from(scanner.next(&mut buffer).is_ok_and(|value| value.is_some()));
        assert!(buffer.len() - scanner.at < 4);
    }
    assert_eq!((found, buffer.len()), (1, 0));
}

/// Writes a value as a server of this version would.
fn write(out: &mut BytesMut, version: Version, value: &Value) {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    match value {
        Value::SimpleString(bytes) => writer::simple(out, &text(bytes)),
        Value::Error(bytes) => writer::error(out, &text(bytes)),
        Value::Integer(number) => writer::integer(out, *number),
        Value::Bulk(bytes) => writer::bulk(out, bytes),
        Value::Nil => writer::nil(out, version),
        Value::Array(values) => {
            writer::array_header(out, values.len());
            for value in values {
                write(out, version, value);
            }
        }
        Value::Push(values) => {
            writer::push_header(out, version, values.len());
            for value in values {
                write(out, version, value);
            }
        }
        Value::Boolean(boolean) => writer::boolean(out, version, *boolean),
        Value::Double(number) => writer::double(out, version, *number),
        other => unreachable!("the strategy does not make {other:?}"),
    }
}

fn value(version: Version) -> impl Strategy<Value = Value> {
    let any_version = prop_oneof![
        "[a-z ]{0,6}".prop_map(|text| Value::SimpleString(text.into())),
        "[A-Z]{1,6} [a-z]{0,6}".prop_map(|text| Value::Error(text.into())),
        any::<i64>().prop_map(Value::Integer),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Bulk(bytes.into())),
        Just(Value::Nil),
    ];
    let leaf = match version {
        Version::Resp2 => any_version.boxed(),
        Version::Resp3 => prop_oneof![
            any_version,
            any::<bool>().prop_map(Value::Boolean),
            (-1e6..1e6).prop_map(Value::Double),
        ]
        .boxed(),
    };
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let list = proptest::collection::vec(inner, 0..4);
        match version {
            Version::Resp2 => list.prop_map(Value::Array).boxed(),
            Version::Resp3 => prop_oneof![
                list.clone().prop_map(Value::Array),
                list.prop_map(Value::Push)
            ]
            .boxed(),
        }
    })
}

fn round_trip(version: Version, values: &[Value], pieces: &[usize]) {
    let mut out = BytesMut::new();
    for value in values {
        write(&mut out, version, value);
    }
    assert_eq!(scan_pieces(&out, pieces), (values.to_vec(), None));
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_resp2(
        values in proptest::collection::vec(value(Version::Resp2), 0..4),
        pieces in proptest::collection::vec(1_usize..9, 1..8),
    ) {
        round_trip(Version::Resp2, &values, &pieces);
    }

    #[test]
    fn what_is_written_is_read_in_resp3(
        values in proptest::collection::vec(value(Version::Resp3), 0..4),
        pieces in proptest::collection::vec(1_usize..9, 1..8),
    ) {
        round_trip(Version::Resp3, &values, &pieces);
    }

    #[test]
    fn any_split_gives_the_same(
        input in "([-+:$*_,#!=(%~>|.;][-a-z0-9?:]{0,3}(\r\n)?){0,6}",
        pieces in proptest::collection::vec(1_usize..5, 1..6),
    ) {
        let whole = scan_pieces(input.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(scan_pieces(input.as_bytes(), &pieces), whole);
    }

    #[test]
    fn no_bytes_are_too_odd(input: Vec<u8>) {
        scan_pieces(&input, &[usize::MAX]);
    }
}
