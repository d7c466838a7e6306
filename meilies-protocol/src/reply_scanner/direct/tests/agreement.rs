//! Whatever comes, the direct ways give what the scanner and the library give without them.

use proptest::prelude::*;

use super::super::super::{Incoming, ReplyError, ReplyLimits, ReplyScanner};
use super::*;
use crate::{limits, resp};

/// A part of an event. The first text is the usual one.
type Part = &'static [&'static str];

const EVENT_HEAD: Part = &[
    ">6\r\n$5\r\nevent\r\n",
    "*6\r\n$5\r\nevent\r\n",
    ">6\r\n+event\r\n",
    ">06\r\n$5\r\nevent\r\n",
    ">5\r\n$5\r\nevent\r\n",
    ">7\r\n$5\r\nevent\r\n",
    ">6\r\n$5\r\nother\r\n",
    ">6\r\n$5\r\nevent\n\n",
    "|1\r\n+a\r\n+b\r\n>6\r\n$5\r\nevent\r\n",
];

const PEVENT_HEAD: Part = &[
    ">7\r\n$6\r\npevent\r\n",
    "*7\r\n$6\r\npevent\r\n",
    ">6\r\n$6\r\npevent\r\n",
    ">7\r\n$5\r\npevent\r\n",
    ">7\r\n+pevent\r\n",
];

const STRING: Part = &[
    "$2\r\nab\r\n",
    "$0\r\n\r\n",
    "$4\r\na\r\nb\r\n",
    "$02\r\nab\r\n",
    "$+2\r\nab\r\n",
    "$\r\nab\r\n",
    "$2\r\nabc\r\n",
    "$2\r\nab\n\n",
    "$2\r\nab\r\r",
    "$2\n\nab\r\n",
    "$-1\r\n",
    "_\r\n",
    "_a\r\n",
    "+ab\r\n",
    "=6\r\ntxt:ab\r\n",
    "*0\r\n",
    "*-1\r\n",
    ":1\r\n",
    "$999999999999999999\r\n",
    "$9999999999999999999\r\n",
    "$18446744073709551615\r\n",
];

const NUMBER: Part = &[
    ":12\r\n",
    ":0\r\n",
    ":-1\r\n",
    ":-0\r\n",
    ":01\r\n",
    ":00\r\n",
    ":+1\r\n",
    ":\r\n",
    ":1\n",
    ":1\r1\n",
    ":1x\r\n",
    ":999999999999999999\r\n",
    ":1000000000000000000\r\n",
    ":9223372036854775807\r\n",
    ":9223372036854775808\r\n",
    "$1\r\n1\r\n",
    "(12\r\n",
    "_\r\n",
];

const ID_TEXT: Part = &[
    "$3\r\n1-2\r\n",
    "$1\r\n1\r\n",
    "$4\r\n01-2\r\n",
    "$3\r\n1-x\r\n",
    "$3\r\n1-2\n\n",
    "$22\r\n18446744073709551616-0\r\n",
    "+1-2\r\n",
];

const FIELDS: Part = &[
    "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    "*0\r\n",
    "*1\r\n$1\r\na\r\n",
    "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$0\r\n\r\n",
    "*02\r\n$1\r\na\r\n$1\r\nb\r\n",
    "*-1\r\n",
    "_\r\n",
    "~2\r\n$1\r\na\r\n$1\r\nb\r\n",
    "%1\r\n$1\r\na\r\n$1\r\nb\r\n",
    "*2\r\n+a\r\n$1\r\nb\r\n",
    "*2\r\n$1\r\na\r\n:1\r\n",
    "*2\r\n$1\r\na\r\n$-1\r\n",
    "*2\r\n$1\r\na\r\n*0\r\n",
    "*999999999999999998\r\n",
    "*9223372036854775806\r\n",
];

const EVENT: [Part; 6] = [EVENT_HEAD, STRING, NUMBER, NUMBER, ID_TEXT, FIELDS];
const PEVENT: [Part; 7] = [PEVENT_HEAD, STRING, STRING, NUMBER, NUMBER, ID_TEXT, FIELDS];

/// Replies of one element that are in none of the parts.
const OTHER: Part = &[
    "+OK\r\n",
    "+\r\n",
    "+a\rb\r\n",
    "+a\n\r\n",
    "-ERR a\r\n",
    "#t\r\n",
    ",1.5\r\n",
    "!1\r\na\r\n",
];

const FULL: ReplyLimits = ReplyLimits {
    frame_bytes_max: 4096,
    elements_max: 100,
};

/// What a client saw: the replies, how the scanner stood after each piece, and the error.
type Seen = (Vec<Incoming>, Vec<(usize, usize, bool)>, Option<ReplyError>);

fn feed(
    input: &[u8],
    pieces: &[usize],
    limits: ReplyLimits,
    mut next: impl FnMut(&mut ReplyScanner, &mut BytesMut) -> Result<Option<Incoming>, ReplyError>,
) -> Seen {
    let mut scanner = ReplyScanner::new(limits);
    let (mut buffer, mut incoming, mut states) = (BytesMut::new(), Vec::new(), Vec::new());
    let mut rest = input;
    for piece in pieces.iter().cycle() {
        let (head, tail) = rest.split_at((*piece).min(rest.len()));
        buffer.extend_from_slice(head);
        rest = tail;
        loop {
            match next(&mut scanner, &mut buffer) {
                Ok(Some(one)) => incoming.push(one),
                Ok(None) => break,
                Err(error) => return (incoming, states, Some(error)),
            }
        }
        states.push((scanner.needed(), buffer.len(), scanner.is_mid_reply()));
        if rest.is_empty() {
            break;
        }
    }
    (incoming, states, None)
}

/// Without any direct way: the scanner and the library.
fn general(scanner: &mut ReplyScanner, buffer: &mut BytesMut) -> Result<Option<Value>, ReplyError> {
    match scanner.scan(buffer)? {
        Some((frame, dialect)) => resp::decode(&frame, dialect).map(Some),
        None => Ok(None),
    }
}

fn typed(value: Value) -> Incoming {
    match value {
        Value::Push(_) => Push::from_value(value).map_or_else(Incoming::Value, Incoming::Push),
        reply => Incoming::Value(reply),
    }
}

/// Both readings give what they give without the direct ways.
fn agree(input: &[u8], pieces: &[usize], limits: ReplyLimits) {
    // A double that is no number is not equal to itself.
    let text = |seen: Seen| format!("{seen:?}");
    let expected = feed(input, pieces, limits, |scanner, buffer| {
        general(scanner, buffer).map(|value| value.map(typed))
    });
    let direct = feed(input, pieces, limits, ReplyScanner::next_incoming);
    assert_eq!(text(direct), text(expected), "{}", input.escape_ascii());

    let expected = feed(input, pieces, limits, |scanner, buffer| {
        general(scanner, buffer).map(|value| value.map(Incoming::Value))
    });
    let direct = feed(input, pieces, limits, |scanner, buffer| {
        let value = scanner.next(buffer)?;
        Ok(value.map(Incoming::Value))
    });
    assert_eq!(text(direct), text(expected), "{}", input.escape_ascii());
}

#[test]
fn a_single_oddity_changes_nothing() {
    for parts in [&EVENT[..], &PEVENT[..]] {
        for (odd, part) in parts.iter().enumerate() {
            for text in *part {
                let mut texts: Vec<_> = parts.iter().map(|part| part[0]).collect();
                texts[odd] = text;
                let input = texts.concat() + ":1\r\n";
                for pieces in [usize::MAX, 7, 1] {
                    agree(input.as_bytes(), &[pieces], FULL);
                }
            }
        }
    }
    for text in [STRING, NUMBER, OTHER].concat() {
        for pieces in [usize::MAX, 1] {
            agree([text, ":1\r\n"].concat().as_bytes(), &[pieces], FULL);
        }
    }
}

#[test]
fn every_limit_and_every_cut_changes_nothing() {
    for parts in [&EVENT[..], &PEVENT[..]] {
        let input: String = parts.iter().map(|part| part[0]).collect();
        for frame_bytes_max in 0..=input.len() {
            let limits = ReplyLimits {
                frame_bytes_max,
                ..FULL
            };
            agree(input.as_bytes(), &[usize::MAX], limits);
        }
        for elements_max in 0..12 {
            let limits = ReplyLimits {
                elements_max,
                ..FULL
            };
            agree(input.as_bytes(), &[usize::MAX], limits);
        }
        let twice = input.repeat(2);
        for cut in 1..twice.len() {
            agree(twice.as_bytes(), &[cut], FULL);
        }
    }
}

/// One text in nine is not the usual one.
fn nearly(part: Part) -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(part[0]), 1 => proptest::sample::select(part)]
}

fn nearly_all(parts: &[Part]) -> impl Strategy<Value = String> + use<> {
    let parts: Vec<_> = parts.iter().map(|part| nearly(part)).collect();
    parts.prop_map(|texts| texts.concat())
}

fn frame() -> impl Strategy<Value = String> {
    let element = prop_oneof![
        nearly(STRING),
        nearly(NUMBER),
        nearly(FIELDS),
        nearly(OTHER)
    ];
    let list = ("[*>~%]", proptest::collection::vec(element, 0..4));
    let depth = limits::REPLY_DEPTH_MAX - 2..limits::REPLY_DEPTH_MAX + 2;
    prop_oneof![
        4 => nearly_all(&EVENT),
        4 => nearly_all(&PEVENT),
        2 => nearly_all(&[STRING]),
        2 => nearly_all(&[NUMBER]),
        2 => list.prop_map(|(kind, list)| format!("{kind}{}\r\n{}", list.len(), list.concat())),
        1 => depth.prop_map(|depth| "*1\r\n".repeat(depth) + ":1\r\n"),
        1 => proptest::sample::select(OTHER).prop_map(str::to_owned),
    ]
}

fn any_limits() -> impl Strategy<Value = ReplyLimits> {
    let limited = (20_usize..120, 0_usize..12);
    let limited = limited.prop_map(|(frame_bytes_max, elements_max)| ReplyLimits {
        frame_bytes_max,
        elements_max,
    });
    prop_oneof![3 => Just(FULL), 1 => limited]
}

fn any_pieces() -> impl Strategy<Value = Vec<usize>> {
    let small = proptest::collection::vec(1_usize..60, 1..8);
    prop_oneof![Just(vec![usize::MAX]), small]
}

/// What happens to the byte at an index.
#[derive(Clone, Debug)]
enum Damage {
    Change(u8),
    Insert(u8),
    Remove,
    Cut,
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let usual = proptest::sample::select(&b"0123456789\r\n$:*>+-_"[..]);
    let byte = prop_oneof![any::<u8>(), usual];
    prop_oneof![
        byte.clone().prop_map(Damage::Change),
        byte.prop_map(Damage::Insert),
        Just(Damage::Remove),
        Just(Damage::Cut),
    ]
}

proptest! {
    #[test]
    fn the_direct_ways_change_nothing(
        frames in proptest::collection::vec(frame(), 0..5),
        pieces in any_pieces(),
        limits in any_limits(),
    ) {
        agree(frames.concat().as_bytes(), &pieces, limits);
    }

    #[test]
    fn the_direct_ways_change_nothing_where_bytes_are_damaged(
        frames in proptest::collection::vec(frame(), 1..4),
        damage in any_damage(),
        index: proptest::sample::Index,
        pieces in any_pieces(),
        limits in any_limits(),
    ) {
        let mut input = frames.concat().into_bytes();
        let at = index.index(input.len());
        match damage {
            Damage::Change(byte) => input[at] = byte,
            Damage::Insert(byte) => input.insert(at, byte),
            Damage::Remove => drop(input.remove(at)),
            Damage::Cut => input.truncate(at),
        }
        agree(&input, &pieces, limits);
    }

    #[test]
    fn the_direct_ways_change_nothing_for_any_bytes(
        input in "([-+:$*_,#!=(%~>|.;][-a-z0-9?:]{0,3}(\r\n)?){0,6}",
        pieces in any_pieces(),
        limits in any_limits(),
    ) {
        agree(input.as_bytes(), &pieces, limits);
    }
}
