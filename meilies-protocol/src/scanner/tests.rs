//! Splits, limits and hostile bytes: what is given and what is refused, however the bytes come.

use proptest::prelude::*;

use super::*;
use crate::resp::decode_whole;
use crate::{Value, writer};

const FULL: ScanLimits = ScanLimits::Full {
    bulk_bytes_max: 512 * 1024,
};

type Commands = Vec<Vec<Vec<u8>>>;

/// Feeds `input` in pieces of these lengths, again and again.
fn scan_pieces(
    input: &[u8],
    limits: ScanLimits,
    pieces: &[usize],
) -> (Commands, Option<ProtocolError>) {
    let mut scanner = CommandScanner::new(limits);
    let (mut buffer, mut arguments) = (BytesMut::new(), Arguments::new());
    let mut commands = Vec::new();
    let mut rest = input;
    for piece in pieces.iter().cycle() {
        let (head, tail) = rest.split_at((*piece).clamp(1, rest.len().max(1)).min(rest.len()));
        buffer.extend_from_slice(head);
        rest = tail;
        loop {
            match scanner.next(&mut buffer, &mut arguments) {
                Ok(true) => commands.push(arguments.iter().map(<[u8]>::to_vec).collect()),
                Ok(false) => break,
                Err(error) => return (commands, Some(error)),
            }
        }
        assert!(scanner.needed() > 0);
        if rest.is_empty() {
            break;
        }
    }
    (commands, None)
}

fn scan(input: &[u8]) -> (Commands, Option<ProtocolError>) {
    scan_pieces(input, FULL, &[usize::MAX])
}

fn error_text(input: &[u8], limits: ScanLimits) -> String {
    let (_, error) = scan_pieces(input, limits, &[usize::MAX]);
    error.map_or_else(|| "no error".to_owned(), |error| error.to_string())
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn arrays_and_lines_are_commands() {
    let input = b"*2\r\n$4\r\nECHO\r\n$5\r\na\r\nbc\r\nPING\r\nPING \"a b\"\n*1\r\n$0\r\n\r\n";
    let expected = vec![
        words(&["ECHO", "a\r\nbc"]),
        words(&["PING"]),
        words(&["PING", "a b"]),
        words(&[""]),
    ];
    assert_eq!(scan(input), (expected, None));
}

#[test]
fn empty_commands_are_skipped() {
    let input = b"\r\n\n*0\r\n*-1\r\n*-5\r\n  \t\r\nPING\r\n\r\n";
    assert_eq!(scan(input), (vec![words(&["PING"])], None));
}

#[test]
fn arguments_share_the_frame() {
    let mut scanner = CommandScanner::new(FULL);
    let mut buffer = BytesMut::from(&b"*1\r\n$4\r\nPING\r\nrest"[..]);
    let mut arguments = Arguments::new();
    assert_eq!(scanner.next(&mut buffer, &mut arguments), Ok(true));
    assert_eq!(arguments.frame(), &b"*1\r\n$4\r\nPING\r\n"[..]);
    assert_eq!(arguments.bytes(0).as_ptr(), arguments.frame()[8..].as_ptr());
    assert_eq!(buffer, &b"rest"[..]);
}

#[test]
fn refusals_have_the_words_of_redis() {
    let refusals: &[(&[u8], &str)] = &[
        (b"*abc\r\n", "Protocol error: invalid multibulk length"),
        (b"*\r\n", "Protocol error: invalid multibulk length"),
        (b"* 1\r\n", "Protocol error: invalid multibulk length"),
        (b"*+1\r\n", "Protocol error: invalid multibulk length"),
        (b"*01\r\n", "Protocol error: invalid multibulk length"),
        (b"*1048577\r\n", "Protocol error: invalid multibulk length"),
        (
            b"*2147483648\r\n",
            "Protocol error: invalid multibulk length",
        ),
        (
            b"*9223372036854775808\r\n",
            "Protocol error: invalid multibulk length",
        ),
        (b"*1\rX", "Protocol error: invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (
            b"*1\r\n$+3\r\nfoo\r\n",
            "Protocol error: invalid bulk length",
        ),
        (b"*1\r\n$\r\n", "Protocol error: invalid bulk length"),
        (
            b"*1\r\n$9999999999\r\n",
            "Protocol error: invalid bulk length",
        ),
        (b"*1\r\n$1\rX", "Protocol error: invalid bulk length"),
        (b"*1\r\n:5\r\n", "Protocol error: expected '$', got ':'"),
        (
            b"*1\r\n*1\r\n$1\r\na\r\n",
            "Protocol error: expected '$', got '*'",
        ),
        (b"*1\r\n\r\n", "Protocol error: expected '$', got ' '"),
        (b"*1\r\n\xff", "Protocol error: expected '$', got '\\xff'"),
        (
            b"*1\r\n$4\r\nPINGxx",
            "Protocol error: expected CR LF after bulk string",
        ),
        (
            b"*1\r\n$4\r\nPING\r\r",
            "Protocol error: expected CR LF after bulk string",
        ),
        (
            b"SET \"a\r\n",
            "Protocol error: unbalanced quotes in request",
        ),
        (
            b"SET 'a\r\n",
            "Protocol error: unbalanced quotes in request",
        ),
    ];
    for (input, expected) in refusals {
        assert_eq!(
            error_text(input, FULL),
            *expected,
            "{}",
            input.escape_ascii()
        );
    }
    let mut out = BytesMut::new();
    ProtocolError::InvalidBulkLength.write(&mut out);
    assert_eq!(out, &b"-ERR Protocol error: invalid bulk length\r\n"[..]);
}

#[test]
fn http_is_refused_without_a_reply() {
    let requests: &[&[u8]] = &[
        b"POST / HTTP/1.1\r\n",
        b"Host: example\r\n",
        b"host: x\r\n",
        b"*1\r\n$4\r\nPost\r\n",
    ];
    for request in requests {
        let (commands, error) = scan(request);
        assert_eq!((commands, error), (vec![], Some(ProtocolError::Http)));
    }
    let mut out = BytesMut::new();
    ProtocolError::Http.write(&mut out);
    assert!(out.is_empty());
    assert_eq!(scan(b"GET / HTTP/1.1\r\n").1, None);
}

#[test]
fn lines_end_within_64_kib() {
    let line = |length: usize| [vec![b'a'; length], b"\n".to_vec()].concat();
    assert_eq!(scan(&line(65536)).1, None);
    assert_eq!(scan(&line(65537)).1, Some(ProtocolError::TooBigInline));
    assert_eq!(scan(&vec![b'a'; 65536]).1, None);
    assert_eq!(
        scan(&vec![b'a'; 65537]).1,
        Some(ProtocolError::TooBigInline)
    );
    assert_eq!(
        error_text(&vec![b'a'; 65537], FULL),
        "Protocol error: too big inline request"
    );
    let count = |length: usize| [b"*".to_vec(), vec![b'1'; length]].concat();
    assert_eq!(scan(&count(65535)).1, None);
    assert_eq!(
        error_text(&count(65536), FULL),
        "Protocol error: too big mbulk count string"
    );
    let length = |length: usize| [b"*1\r\n$".to_vec(), vec![b'1'; length]].concat();
    assert_eq!(scan(&length(65535)).1, None);
    assert_eq!(
        error_text(&length(65536), FULL),
        "Protocol error: too big bulk count string"
    );
}

#[test]
fn bulk_strings_have_a_limit() {
    let limits = ScanLimits::Full {
        bulk_bytes_max: 100,
    };
    assert_eq!(error_text(b"*1\r\n$100\r\n", limits), "no error");
    assert_eq!(
        error_text(b"*1\r\n$101\r\n", limits),
        "Protocol error: invalid bulk length"
    );
}

#[test]
fn a_frame_has_a_limit() {
    let limits = ScanLimits::Full {
        bulk_bytes_max: usize::MAX,
    };
    let header = |length: usize| format!("*2\r\n${length}\r\n").into_bytes();
    // 4 bytes before the length, 12 of the length's line, 2 behind the string.
    let most = FRAME_BYTES_MAX - 4 - 12 - 2;
    assert_eq!(scan_pieces(&header(most), limits, &[64]).1, None);
    assert_eq!(
        error_text(&header(most + 1), limits),
        "Protocol error: request is over the limit of 134217728 bytes"
    );
    let huge = b"*2\r\n$9223372036854775807\r\n";
    assert_eq!(
        scan_pieces(huge, limits, &[64]).1,
        Some(ProtocolError::TooBigFrame)
    );
}

#[test]
fn less_is_allowed_before_the_password() {
    let limits = ScanLimits::Unauthenticated;
    assert_eq!(error_text(b"*10\r\n", limits), "no error");
    assert_eq!(
        error_text(b"*11\r\n", limits),
        "Protocol error: unauthenticated multibulk length"
    );
    assert_eq!(error_text(b"*1\r\n$16384\r\n", limits), "no error");
    assert_eq!(
        error_text(b"*1\r\n$16385\r\n", limits),
        "Protocol error: unauthenticated bulk length"
    );
}

#[test]
fn limits_change_between_two_commands_of_one_packet() {
    let mut scanner = CommandScanner::new(ScanLimits::Unauthenticated);
    let (mut buffer, mut arguments) = (BytesMut::new(), Arguments::new());
    writer::command(&mut buffer, &[b"AUTH", b"pw"]);
    writer::command(&mut buffer, &[b"PUBLISH", b"a", b"b", &vec![b'c'; 20_000]]);
    assert_eq!(scanner.next(&mut buffer, &mut arguments), Ok(true));
    scanner.set_limits(FULL);
    assert_eq!(scanner.next(&mut buffer, &mut arguments), Ok(true));
    assert_eq!(arguments.get(3).len(), 20_000);
}

#[test]
fn what_is_needed_is_told() {
    let mut scanner = CommandScanner::new(FULL);
    let (mut buffer, mut arguments) = (BytesMut::new(), Arguments::new());
    assert!(!scanner.is_mid_command());
    buffer.extend_from_slice(b"*1\r\n$1000\r\nabc");
    assert_eq!(scanner.next(&mut buffer, &mut arguments), Ok(false));
    assert_eq!(scanner.needed(), 999);
    assert!(scanner.is_mid_command());
    assert!(buffer.capacity() < 1000, "the scanner reserves nothing");
}

/// The scanner may leave no more behind than the piece of an argument that it waits for, or it
/// would look at the same bytes again at every read.
#[test]
fn a_million_arguments_in_small_pieces_are_looked_at_once() {
    let mut input = format!("*{}\r\n", 1_000_000).into_bytes();
    for _ in 0..1_000_000 {
        input.extend_from_slice(b"$1\r\na\r\n");
    }
    let mut scanner = CommandScanner::new(FULL);
    let (mut buffer, mut arguments) = (BytesMut::new(), Arguments::new());
    let mut found = 0;
    for piece in input.chunks(16 * 1024) {
        buffer.extend_from_slice(piece);
        found += usize::from(scanner.next(&mut buffer, &mut arguments) == Ok(true));
        assert!(buffer.len() - scanner.at < 7);
    }
    assert_eq!((found, arguments.len(), buffer.len()), (1, 1_000_000, 0));
}

#[test]
fn a_long_line_in_single_bytes_is_looked_at_once() {
    for first in [b'a', b'*'] {
        let mut scanner = CommandScanner::new(FULL);
        let (mut buffer, mut arguments) = (BytesMut::new(), Arguments::new());
        buffer.extend_from_slice(&[first]);
        for length in 1..=65536 {
            assert_eq!(scanner.next(&mut buffer, &mut arguments), Ok(false));
            assert_eq!(scanner.searched, length);
            buffer.extend_from_slice(b"1");
        }
        assert!(scanner.next(&mut buffer, &mut arguments).is_err());
    }
}

#[test]
fn elements_have_a_limit() {
    assert_eq!(error_text(b"*1048576\r\n", FULL), "no error");
    assert_eq!(
        error_text(b"*1048577\r\n", FULL),
        "Protocol error: invalid multibulk length"
    );
}

/// Bytes that look like commands, with what breaks them among it.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        4 => proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..6), 1..4
        ).prop_map(|command| {
            let slices: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let mut out = BytesMut::new();
            writer::command(&mut out, &slices);
            out.to_vec()
        }),
        2 => "[a-c '\"\\\\]{0,8}\r?\n".prop_map(String::into_bytes),
        1 => Just(b"*0\r\n".to_vec()),
        1 => Just(b"*-1\r\n".to_vec()),
        1 => "[*$]-?[0-9]{0,3}\r\n".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
        1 => "[*$:0-9\r\n]{0,4}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(token, 0..6).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        input in wire(),
        pieces in proptest::collection::vec(1_usize..9, 1..8),
    ) {
        for limits in [FULL, ScanLimits::Unauthenticated, ScanLimits::Full { bulk_bytes_max: 3 }] {
            let whole = scan_pieces(&input, limits, &[usize::MAX]);
            prop_assert_eq!(&scan_pieces(&input, limits, &pieces), &whole);
            prop_assert_eq!(&scan_pieces(&input, limits, &[1]), &whole);
        }
    }

    #[test]
    fn the_library_agrees_on_every_valid_frame(
        command in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..20)
    ) {
        let slices: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        let mut buffer = BytesMut::new();
        writer::command(&mut buffer, &slices);
        let frame = buffer.clone().freeze();
        let mut arguments = Arguments::new();
        prop_assume!(!slices[0].eq_ignore_ascii_case(b"post"));
        prop_assert_eq!(CommandScanner::new(FULL).next(&mut buffer, &mut arguments), Ok(true));
        let values = arguments.iter().map(|word| Value::Bulk(word.to_vec().into())).collect();
        prop_assert_eq!(decode_whole(&frame), Some(Value::Array(values)));
        prop_assert_eq!(arguments.frame(), &frame);
    }

    #[test]
    fn the_library_agrees_on_what_the_scanner_takes(input in wire()) {
        prop_assume!(input.first() == Some(&b'*'));
        let mut buffer = BytesMut::from(&input[..]);
        let mut arguments = Arguments::new();
        let mut scanner = CommandScanner::new(FULL);
        // The first frame only: an empty one before it would be skipped.
        if scanner.next(&mut buffer, &mut arguments) == Ok(true)
            && arguments.frame().len() + buffer.len() == input.len()
            && input.starts_with(arguments.frame())
        {
            let values = arguments.iter().map(|word| Value::Bulk(word.to_vec().into())).collect();
            prop_assert_eq!(decode_whole(arguments.frame()), Some(Value::Array(values)));
        }
    }
}
