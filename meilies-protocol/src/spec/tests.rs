//! The decision table of specs, row by row, and round trips.

use proptest::prelude::*;

use super::*;

fn all(from: Option<From>, until: Option<u64>) -> Spec {
    Spec {
        source: Source::All,
        from,
        until,
    }
}

fn stream(name: &'static str, from: Option<From>, until: Option<u64>) -> Spec {
    let name = StreamName::parse(Bytes::from_static(name.as_bytes())).expect("the name is good");
    Spec {
        source: Source::Stream(name),
        from,
        until,
    }
}

#[test]
fn every_row_of_the_table_is_read() {
    let number = |number| Some(From::Number(number));
    let new = Some(From::New);
    let specs = [
        ("orders", stream("orders", None, None)),
        ("orders:eu", stream("orders:eu", None, None)),
        ("a:5:x", stream("a:5:x", None, None)),
        ("a::x", stream("a::x", None, None)),
        ("x:1e3", stream("x:1e3", None, None)),
        ("x:-", stream("x:-", None, None)),
        ("x: 1", stream("x: 1", None, None)),
        ("5", stream("5", None, None)),
        ("orders:$", stream("orders", new, None)),
        ("orders:42:$", stream("orders:42", new, None)),
        ("x::$", stream("x:", new, None)),
        ("x:-1:$", stream("x:-1", new, None)),
        ("a:$:$", stream("a:$", new, None)),
        ("orders:0", stream("orders", number(0), None)),
        ("orders:42", stream("orders", number(42), None)),
        ("orders:007", stream("orders", number(7), None)),
        ("orders:eu:7", stream("orders:eu", number(7), None)),
        ("5:6", stream("5", number(6), None)),
        (
            "x:18446744073709551615",
            stream("x", number(u64::MAX), None),
        ),
        ("orders:2:5", stream("orders", number(2), Some(5))),
        ("orders:eu:2:5", stream("orders:eu", number(2), Some(5))),
        ("orders:$:9", stream("orders", new, Some(9))),
        ("orders:0:+", stream("orders", number(0), None)),
        ("orders:$:+", stream("orders", new, None)),
        ("orders:42:0:+", stream("orders:42", number(0), None)),
        ("orders:42:0:7", stream("orders:42", number(0), Some(7))),
        ("x::0:+", stream("x:", number(0), None)),
        ("$all", all(None, None)),
        ("$all:0", all(number(0), None)),
        ("$all:$", all(new, None)),
        ("$all:3:9", all(number(3), Some(9))),
        ("$all:3:+", all(number(3), None)),
        ("a:$all", stream("a:$all", None, None)),
    ];
    for (text, spec) in specs {
        assert_eq!(Spec::parse(text.as_bytes()), Ok(spec), "{text}");
    }
}

const EMPTY: &str = "has nothing where an event number or '$' is expected";
const NO_NAME: &str = "has no stream name";
const NO_START: &str = "has the end '+' but no event number or '$' before it";
const SIGNED: &str = "has '-1' where an event number is expected: digits without a sign";
const SYSTEM: &str =
    "names a stream of the system: of the names that begin with '$' only $all is read";

const REFUSALS: &[(&str, &str)] = &[
    ("", NO_NAME),
    (":0", NO_NAME),
    (":0:1", NO_NAME),
    (":$", NO_NAME),
    (":0:+", NO_NAME),
    ("x:", EMPTY),
    ("x:0:", EMPTY),
    ("x::0", EMPTY),
    ("x::+", EMPTY),
    ("::5", EMPTY),
    (":", EMPTY),
    ("$all:", EMPTY),
    ("x:eu:", EMPTY),
    ("x:-1", SIGNED),
    ("x:0:-1", SIGNED),
    ("x:-1:5", SIGNED),
    ("x:-1:+", SIGNED),
    (
        "x:+1",
        "has '+1' where an event number is expected: digits without a sign",
    ),
    ("x:+", NO_START),
    ("x:eu:+", NO_START),
    ("5:+", NO_START),
    (
        "x:+:5",
        "has '+' where an event number or '$' is expected: '+' can only be the end",
    ),
    (
        "x:5:5",
        "ends before 5, which must be greater than its start 5",
    ),
    (
        "x:1:0",
        "ends before 0, which must be greater than its start 1",
    ),
    (
        "x:0:0",
        "ends before 0, which must be greater than its start 0",
    ),
    (
        "orders:42:0",
        "ends before 0, which must be greater than its start 42",
    ),
    (
        "x:$:0",
        "ends before 0, which must be greater than its start 0",
    ),
    (
        "x:18446744073709551616",
        "has the event number '18446744073709551616', the limit is 18446744073709551615",
    ),
    (
        "x:99999999999999999999:5",
        "has the event number '99999999999999999999', the limit is 18446744073709551615",
    ),
    ("$other", SYSTEM),
    ("$:5", SYSTEM),
    ("$all:eu", SYSTEM),
    ("$ALL:0", SYSTEM),
];

#[test]
fn every_refusal_says_what_is_wrong() {
    for (text, reason) in REFUSALS {
        let error = Spec::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.to_string(), format!("spec '{text}' {reason}"));
    }
}

#[test]
fn long_names_are_refused_and_shown_in_part() {
    let text = [b"a".repeat(4097), b":0".to_vec()].concat();
    let error = Spec::parse(&text).expect_err("4097 bytes are refused");
    assert_eq!(
        error.to_string(),
        format!(
            "spec '{}' has a bad name: stream name is 4097 bytes, the limit is 4096",
            "a".repeat(128)
        )
    );
}

proptest! {
    #[test]
    fn a_spec_that_was_read_is_written_and_read_alike(
        text in "[a0-9:$+-]{0,10}|\\$all[0-9:$+-]{0,8}",
    ) {
        if let Ok(spec) = Spec::parse(text.as_bytes()) {
            let mut out = BytesMut::new();
            spec.write(&mut out);
            prop_assert_eq!(Spec::parse(&out), Ok(spec));
        }
    }

    #[test]
    fn every_name_can_be_spelled(name in "[a0:$+-]{1,8}", from: u64, length in 1_u64..9) {
        prop_assume!(!name.starts_with('$'));
        let name = StreamName::parse(Bytes::from(name)).expect("the name is short");
        let source = Source::Stream(name);
        let until = from.checked_add(length);
        for from in [From::New, From::Number(from)] {
            for until in [until, None] {
                let spec = Spec { source: source.clone(), from: Some(from), until };
                let mut out = BytesMut::new();
                spec.write(&mut out);
                prop_assert_eq!(Spec::parse(&out), Ok(spec));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(text: Vec<u8>) {
        let _ = Spec::parse(&text);
    }
}
