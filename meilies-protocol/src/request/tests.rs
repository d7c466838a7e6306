//! Every command: what is accepted, what is refused and in which words, and that what a client
//! writes is what a server reads.

mod groups;
mod refusals;
mod round_trip;
mod stream_refusals;
mod streams;

use super::*;
use crate::{EventName, From as Start, Source, StreamNameError, Version};

fn arguments(line: &str) -> Arguments {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    Arguments::from_slices(&words)
}

fn parse(line: &str) -> Request {
    Request::parse(&arguments(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refusal(line: &str) -> String {
    match Request::parse(&arguments(line)) {
        // Refused where what it is about is there.
        Ok(Request::Misformed(misformed)) => misformed.error.to_string(),
        Ok(request) => panic!("{line} is taken as {request:?}"),
        Err(error) => error.to_string(),
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn publish(expect: Expect, key: Option<&str>) -> Request {
    Request::Publish(Publish {
        stream: StreamName::parse(bytes("orders")).expect("the name is good"),
        name: EventName::parse(bytes("created")).expect("the name is good"),
        data: bytes("{}"),
        expect,
        key: key.map(bytes),
    })
}

#[test]
fn the_count_of_arguments_decides_what_publish_is() {
    let message = Request::Message {
        channel: bytes("orders"),
        message: bytes("created"),
    };
    assert_eq!(parse("PUBLISH orders created"), message);
    assert_eq!(
        parse("publish orders created {}"),
        publish(Expect::Any, None)
    );
    let options = [
        ("EXPECT any", Expect::Any, None),
        ("EXPECT none", Expect::None, None),
        ("expect Exists", Expect::Exists, None),
        ("EXPECT 0", Expect::Number(0), None),
        (
            "EXPECT 18446744073709551615",
            Expect::Number(u64::MAX),
            None,
        ),
        ("ID a", Expect::Any, Some("a")),
        ("id a EXPECT 7", Expect::Number(7), Some("a")),
        ("EXPECT 7 ID EXPECT", Expect::Number(7), Some("EXPECT")),
    ];
    for (text, expect, key) in options {
        let line = format!("PUBLISH orders created {{}} {text}");
        assert_eq!(parse(&line), publish(expect, key), "{line}");
    }
    // What looks like an option is data where data is due.
    let Request::Publish(event) = parse("PUBLISH orders created EXPECT") else {
        panic!("three arguments store an event");
    };
    assert_eq!(event.data, bytes("EXPECT"));
}

#[test]
fn publish_says_what_is_wrong_with_it() {
    let refusals = [
        (
            "PUBLISH",
            "ERR wrong number of arguments for 'publish' command",
        ),
        (
            "PUBLISH a",
            "ERR wrong number of arguments for 'publish' command",
        ),
        ("PUBLISH a b c d", "ERR syntax error: unknown option 'd'"),
        (
            "PUBLISH a b c EXPECT",
            "ERR syntax error: option EXPECT needs a value",
        ),
        (
            "PUBLISH a b c ID",
            "ERR syntax error: option ID needs a value",
        ),
        (
            "PUBLISH a b c EXPECT 1 expect 2",
            "ERR syntax error: option EXPECT is given twice",
        ),
        (
            "PUBLISH a b c ID 1 ID 2",
            "ERR syntax error: option ID is given twice",
        ),
        (
            "PUBLISH a b c EXPECT -1",
            "ERR syntax error: EXPECT takes an event number, none, exists or any, got '-1'",
        ),
        (
            "PUBLISH a b c EXPECT 18446744073709551616",
            "ERR syntax error: EXPECT takes an event number, none, exists or any, \
             got '18446744073709551616'",
        ),
        (
            "PUBLISH a b c ID ",
            "ERR ID key is 0 bytes, it has 1 to 4096",
        ),
        ("PUBLISH a  c", "ERR event name is empty"),
        ("PUBLISH  b c", "ERR stream name is empty"),
        (
            "PUBLISH $all b c",
            "ERR stream name '$all' begins with '$': these names are the system's",
        ),
    ];
    for (line, text) in refusals {
        assert_eq!(refusal(line), text, "{line}");
    }
    let key = "k".repeat(4097);
    let line = format!("PUBLISH a b c ID {key}");
    assert_eq!(refusal(&line), "ERR ID key is 4097 bytes, it has 1 to 4096");
    let error = Request::parse(&Arguments::from_slices(&[
        b"PUBLISH",
        &[b'a'; 4097],
        b"b",
        b"c",
    ]));
    assert_eq!(error, Err(StreamNameError::TooLong { bytes: 4097 }.into()));
}

#[test]
fn specs_are_parsed_and_kept_as_given() {
    let Request::Subscribe { specs } = parse("SUBSCRIBE orders $all:0 orders:42:0:+") else {
        panic!("SUBSCRIBE subscribes");
    };
    let texts: Vec<&[u8]> = specs.iter().map(|given| &given.text[..]).collect();
    assert_eq!(texts, [&b"orders"[..], b"$all:0", b"orders:42:0:+"]);
    assert_eq!(specs[1].spec.source, Source::All);
    assert_eq!(specs[2].spec.from, Some(Start::Number(0)));
    assert_eq!(
        refusal("SUBSCRIBE orders x:5:5"),
        "ERR spec 'x:5:5' ends before 5, which must be greater than its start 5"
    );
    assert_eq!(
        refusal("SUBSCRIBE"),
        "ERR wrong number of arguments for 'subscribe' command"
    );
    assert_eq!(parse("UNSUBSCRIBE"), Request::Unsubscribe { names: vec![] });
    // Names of what to leave are verbatim.
    assert_eq!(
        parse("UNSUBSCRIBE x:"),
        Request::Unsubscribe {
            names: vec![bytes("x:")]
        }
    );
}

#[test]
fn read_events_takes_its_options_in_any_order() {
    let spec = || Spec::parse(b"orders").expect("the spec is good");
    let read_some = |count, bytes, reverse| Request::ReadEvents {
        spec: spec(),
        count,
        bytes,
        reverse,
    };
    let read = |count, reverse| read_some(count, None, reverse);
    assert_eq!(
        parse("READ-EVENTS orders REVERSE BYTES 7 COUNT 2"),
        read_some(Some(2), Some(7), true)
    );
    assert_eq!(parse("READ-EVENTS orders"), read(None, false));
    assert_eq!(parse("READ-EVENTS orders COUNT 0"), read(Some(0), false));
    assert_eq!(
        parse("READ-EVENTS orders count 5 reverse"),
        read(Some(5), true)
    );
    assert_eq!(
        parse("READ-EVENTS orders REVERSE COUNT 5"),
        read(Some(5), true)
    );
    let refusals = [
        (
            "READ-EVENTS",
            "ERR wrong number of arguments for 'read-events' command",
        ),
        (
            "READ-EVENTS a COUNT",
            "ERR syntax error: option COUNT needs a value",
        ),
        (
            "READ-EVENTS a COUNT x",
            "ERR value is not an integer or out of range",
        ),
        (
            "READ-EVENTS a COUNT -1",
            "ERR value is not an integer or out of range",
        ),
        (
            "READ-EVENTS a COUNT 1 COUNT 2",
            "ERR syntax error: option COUNT is given twice",
        ),
        (
            "READ-EVENTS a REVERSE REVERSE",
            "ERR syntax error: option REVERSE is given twice",
        ),
        (
            "READ-EVENTS a BACKWARDS",
            "ERR syntax error: unknown option 'BACKWARDS'",
        ),
    ];
    for (line, text) in refusals {
        assert_eq!(refusal(line), text, "{line}");
    }
}

#[test]
fn handshakes_of_real_clients_are_understood() {
    let hello = |version, auth: Option<(&str, &str)>, name: Option<&str>| {
        let auth = auth.map(|(user, password)| HelloAuth {
            user: bytes(user),
            password: bytes(password),
        });
        Request::Hello(Hello {
            version,
            auth,
            name: name.map(bytes),
        })
    };
    let three = Some(Version::Resp3);
    assert_eq!(parse("HELLO"), hello(None, None, None));
    assert_eq!(parse("hello 2"), hello(Some(Version::Resp2), None, None));
    assert_eq!(
        parse("HELLO 3 AUTH default pw"),
        hello(three, Some(("default", "pw")), None)
    );
    assert_eq!(
        parse("HELLO 3 setname me auth u p"),
        hello(three, Some(("u", "p")), Some("me"))
    );
    let set_info = |attribute, value| {
        Request::Client(ClientRequest::SetInfo {
            attribute,
            value: bytes(value),
        })
    };
    let name = set_info(ClientAttribute::LibName, "ioredis");
    assert_eq!(parse("client SETINFO LIB-NAME ioredis"), name);
    let version = set_info(ClientAttribute::LibVersion, "8.1.0");
    assert_eq!(parse("CLIENT SETINFO lib-ver 8.1.0"), version);
    let password = bytes("pw");
    assert_eq!(
        parse("AUTH pw"),
        Request::Auth {
            user: None,
            password
        }
    );
    assert_eq!(parse("select 1"), Request::Select { index: 1 });
    assert_eq!(parse("SELECT -1"), Request::Select { index: -1 });
    assert_eq!(parse("CONFIG GET save"), {
        Request::Config(ConfigRequest::Get {
            patterns: vec![bytes("save")],
        })
    });
    assert_eq!(
        parse("COMMAND DOCS"),
        Request::Command(CommandRequest::Docs { names: vec![] })
    );
    assert_eq!(parse("Command"), Request::Command(CommandRequest::All));
    assert!(refusal("CLIENT MAINT_NOTIFICATIONS ON").starts_with("ERR unknown subcommand"));
}
