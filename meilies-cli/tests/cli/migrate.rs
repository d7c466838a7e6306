//! Goal: `meilies-cli migrate` leaves the destination with exactly the source's events, whatever
//! is killed when, and writes nothing where it must not.

#[path = "migrate/breaks.rs"]
mod breaks;
#[path = "migrate/old.rs"]
mod old;
#[path = "migrate/old_server.rs"]
mod old_server;

use std::process::Command;

use meilies_tests::client::encode;
use meilies_tests::{Client, Protocol, Value};
use rustix::process::Signal;

use crate::harness::{Follower, Server, Terminal, binary, finish, good, program, told};

/// Stream, number, name and data of an event.
type Row = (Vec<u8>, u64, Vec<u8>, Vec<u8>);

/// What `$all` of a server is, or another spec.
fn rows(server: &Server, spec: &str) -> Vec<Row> {
    let mut client = server.process().client();
    let reply = client.command(&["READ-EVENTS", spec, "COUNT", "10000000"]);
    reply.items().iter().map(row).collect()
}

fn row(event: &Value) -> Row {
    let parts = event.items();
    let fields = parts[4].items();
    assert_eq!(fields.len(), 2);
    let bytes = |value: &Value| value.bytes().to_vec();
    (
        bytes(&parts[0]),
        parts[1].number(),
        bytes(&fields[0]),
        bytes(&fields[1]),
    )
}

/// Publishes events of streams, names and data.
fn publish<S, N, D>(server: &Server, events: impl IntoIterator<Item = (S, N, D)>)
where
    S: AsRef<[u8]>,
    N: AsRef<[u8]>,
    D: AsRef<[u8]>,
{
    let mut client = server.process().client();
    for chunk in events.into_iter().collect::<Vec<_>>().chunks(1000) {
        let mut bytes = Vec::new();
        for (stream, name, data) in chunk {
            let words: [&[u8]; 4] = [b"PUBLISH", stream.as_ref(), name.as_ref(), data.as_ref()];
            bytes.extend(encode(&words));
        }
        client.send(&bytes);
        for _ in chunk {
            client.reply().integer();
        }
    }
}

/// Events of several streams in turns, whose names and data hold any bytes.
fn mixed(count: usize) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let event = |index: usize| {
        // 7 streams that begin one after the other, and one that has an event now and then.
        let stream = match index {
            _ if index % 50 == 49 => b"rare:42".to_vec(),
            _ => [
                b"caf\xc3\xa9\xff".as_slice(),
                &[b'a' + index_byte(index * index / 16 % 7)],
            ]
            .concat(),
        };
        let name = [b"n\0\r\n".as_slice(), &[index_byte(index % 256)]].concat();
        let data = vec![index_byte(index * 31 % 256); index * 7 % 300];
        (stream, name, data)
    };
    (0..count).map(event).collect()
}

fn index_byte(number: usize) -> u8 {
    u8::try_from(number).expect("it is below 256")
}

/// Follows what arrives at a destination.
fn subscribe(destination: &Server, spec: &str) -> Client {
    let mut subscriber = Client::connect(destination.address(), Protocol::Resp3);
    subscriber.send(&encode(&["SUBSCRIBE", spec]));
    subscriber
}

fn wait_for_event(subscriber: &mut Client) {
    subscriber.push_where(|push| push.items()[0].text().ends_with("event"));
}

fn migrate(source: &Server, destination: &Server, arguments: &[&str]) -> Command {
    migrate_to(
        &source.address().to_string(),
        &destination.address().to_string(),
        arguments,
    )
}

fn migrate_to(from: &str, to: &str, arguments: &[&str]) -> Command {
    let mut command = program();
    command
        .args(["migrate", "--from", from, "--to", to])
        .args(arguments);
    command
}

#[test]
fn everything_is_copied_in_order_once() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, mixed(3000));
    let all = rows(&source, "$all");
    assert_eq!(all.len(), 3000);
    let copy = || {
        told(&finish(&mut migrate(
            &source,
            &destination,
            &["--until-caught-up"],
        )))
    };
    assert_eq!(copy(), good("3000 events were copied\n"));
    assert_eq!(rows(&destination, "$all"), all);
    assert_eq!(copy(), good("0 events were copied\n"));

    publish(
        &source,
        [("new", "created", "1"), ("rare:42", "changed", "")],
    );
    let json = ["--until-caught-up", "--json"];
    let output = finish(&mut migrate(&source, &destination, &json));
    assert_eq!(told(&output), good("{\"events\":2}\n"));
    assert_eq!(rows(&destination, "$all"), rows(&source, "$all"));
}

#[test]
fn an_empty_source_is_copied_at_once() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    for specs in [
        &["--until-caught-up"][..],
        &["--until-caught-up", "orders:0", "b:7"],
    ] {
        let output = finish(&mut migrate(&source, &destination, specs));
        assert_eq!(told(&output), good("0 events were copied\n"));
    }
    assert_eq!(rows(&destination, "$all"), []);
}

#[test]
fn streams_and_ranges_are_numbered_from_0() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    for number in 0..10 {
        let data = number.to_string();
        publish(
            &source,
            ["a", "b", "c", "d:1"].map(|stream| (stream, "n", data.clone())),
        );
    }
    let specs = ["a:0", "b:7", "c:2:5", "d:1:4:+", "--until-caught-up"];
    let output = finish(&mut migrate(&source, &destination, &specs));
    assert_eq!(told(&output), good("22 events were copied\n"));
    let data = |spec: &str| -> Vec<(u64, String)> {
        let rows = rows(&destination, spec).into_iter();
        rows.map(|row| (row.1, String::from_utf8(row.3).expect("it is text")))
            .collect()
    };
    let expected = |from: u64, until: u64| -> Vec<(u64, String)> {
        (from..until)
            .map(|number| (number - from, number.to_string()))
            .collect()
    };
    assert_eq!(data("a"), expected(0, 10));
    assert_eq!(data("b"), expected(7, 10));
    assert_eq!(data("c"), expected(2, 5));
    assert_eq!(data("d:1:0:+"), expected(4, 10));

    // Ranges end by themselves, and can be resumed.
    let output = finish(&mut migrate(&source, &destination, &["c:2:8"]));
    assert_eq!(told(&output), good("3 events were copied\n"));
    assert_eq!(data("c"), expected(2, 8));
    let output = finish(&mut migrate(&source, &destination, &["c:2:8"]));
    assert_eq!(told(&output), good("0 events were copied\n"));
}

#[test]
fn a_range_of_positions_is_copied_and_resumed() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, mixed(600));
    let all = rows(&source, "$all");
    let mut expected = Vec::new();
    let mut copy = |spec: &str, until: usize| {
        let output = finish(&mut migrate(&source, &destination, &[spec]));
        let begin = 200 + expected.len();
        let text = match until - begin {
            1 => "1 event was copied\n".to_owned(),
            count => format!("{count} events were copied\n"),
        };
        assert_eq!(told(&output), good(&text));
        for (stream, _, name, data) in &all[begin..until] {
            let number = expected
                .iter()
                .filter(|row: &&Row| row.0 == *stream)
                .count() as u64;
            expected.push((stream.clone(), number, name.clone(), data.clone()));
        }
        assert_eq!(rows(&destination, "$all"), expected);
    };
    copy("$all:200:400", 400);
    copy("$all:200:401", 401);
    copy("$all:200:600", 600);
}

#[test]
fn it_follows_until_it_is_stopped() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, mixed(100));
    let mut subscriber = subscribe(&destination, "$all:0");
    let mut arrived = 0;
    let mut wait_for = |count: usize| {
        while arrived < count {
            wait_for_event(&mut subscriber);
            arrived += 1;
        }
    };
    let follower = Follower::start(&mut migrate(&source, &destination, &[]));
    wait_for(100);
    publish(&source, mixed(50));
    wait_for(150);
    publish(&source, [("new", "n", "d")]);
    wait_for(151);
    follower.signal(Signal::INT);
    assert_eq!(told(&follower.finish()), good("151 events were copied\n"));
    assert_eq!(rows(&destination, "$all"), rows(&source, "$all"));
}

#[test]
fn to_be_stopped_before_the_end_is_no_success() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, [("a", "n", "d")]);
    let mut subscriber = subscribe(&destination, "$all:0");
    // It waits for the event 1, which does not come.
    let follower = Follower::start(&mut migrate(&source, &destination, &["a:0:2"]));
    wait_for_event(&mut subscriber);
    follower.signal(Signal::TERM);
    let (code, stdout, stderr) = told(&follower.finish());
    assert_eq!((code, stdout.as_str()), (Some(130), ""));
    assert_eq!(stderr, "meilies-cli: interrupted; 1 event was copied\n");
}

#[test]
fn a_destination_with_other_events_is_not_written_to() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(
        &source,
        [
            ("a", "n", "0"),
            ("b", "n", "0"),
            ("b", "n", "1"),
            ("c", "n", "0"),
        ],
    );
    // `a` could be copied, and `c` begins as at the source; `b` ends with something else.
    publish(
        &destination,
        [("b", "n", "0"), ("b", "n", "other"), ("c", "n", "0")],
    );
    let before = rows(&destination, "$all");
    for specs in [&[][..], &["a:0", "b:0"], &["b:0:2"]] {
        let (code, stdout, stderr) = told(&finish(&mut migrate(&source, &destination, specs)));
        assert_eq!((code, stdout.as_str()), (Some(5), ""), "{stderr}");
        assert_eq!(
            stderr,
            "meilies-cli: stream 'b' of the destination holds other events: its event 1 is not \
             event 1 of the source\n"
        );
        assert_eq!(rows(&destination, "$all"), before);
    }
}

#[test]
fn a_destination_that_is_longer_is_not_written_to() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, [("a", "n", "0"), ("b", "n", "0")]);
    publish(&destination, [("b", "n", "0"), ("b", "n", "1")]);
    let before = rows(&destination, "$all");
    for specs in [&["--until-caught-up"][..], &["b:0"], &["b:0:1"]] {
        let (code, stdout, stderr) = told(&finish(&mut migrate(&source, &destination, specs)));
        assert_eq!((code, stdout.as_str()), (Some(5), ""), "{stderr}");
        let reason = "stream 'b' of the destination holds other events: it goes up to 1, and the \
                      source has no event 1\n";
        assert!(stderr.ends_with(reason), "{stderr}");
        assert_eq!(rows(&destination, "$all"), before);
    }
}

#[test]
fn a_name_counts_as_much_as_data() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, [("a", "created", "0"), ("a", "created", "1")]);
    publish(&destination, [("a", "changed", "0")]);
    let output = finish(&mut migrate(&source, &destination, &["--until-caught-up"]));
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(rows(&destination, "$all").len(), 1);
}

#[test]
fn who_writes_to_the_destination_meanwhile_is_noticed() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, [("a", "n", "0")]);
    let mut subscriber = subscribe(&destination, "$all:0");
    let follower = Follower::start(&mut migrate(&source, &destination, &[]));
    wait_for_event(&mut subscriber);
    publish(
        &destination,
        [("a", "n", "of somebody else"), ("b", "n", "1")],
    );
    publish(&source, [("b", "n", "0"), ("a", "n", "1")]);
    let (code, _, stderr) = told(&follower.finish());
    assert_eq!(code, Some(5), "{stderr}");
    assert!(
        stderr.contains("of the destination holds other events"),
        "{stderr}"
    );
    assert!(stderr.ends_with("; 1 event was copied\n"), "{stderr}");
    let data: Vec<Vec<u8>> = rows(&destination, "$all")
        .into_iter()
        .map(|row| row.3)
        .collect();
    assert_eq!(
        data,
        [b"0".to_vec(), b"of somebody else".to_vec(), b"1".to_vec()]
    );
}

#[test]
fn an_event_that_the_destination_would_refuse_stops_before_it() {
    let source = Server::start(&[]);
    let destination = Server::start(&["--max-event-bytes", "100"]);
    let long = "x".repeat(101);
    publish(
        &source,
        [("a", "n", "0"), ("b", "n", long.as_str()), ("c", "n", "0")],
    );
    let output = finish(&mut migrate(&source, &destination, &["--until-caught-up"]));
    let (code, stdout, stderr) = told(&output);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(
        stderr,
        "meilies-cli: event 0 of 'b' has 102 bytes, the limit of the destination is 100: see its \
         --max-event-bytes; 1 event was copied\n"
    );
    assert_eq!(rows(&destination, "$all").len(), 1);
}

#[test]
fn the_connection_flags_name_the_destination() {
    let (source, destination) = (
        Server::start(&[]),
        Server::start(&["--requirepass", "sesame"]),
    );
    publish(&source, [("a", "n", "0")]);
    let from = format!("meilies://{}", source.address());
    let mut command = destination.command(&["migrate", "--until-caught-up"]);
    command
        .env("MEILIES_FROM_URL", &from)
        .env("MEILIES_PASSWORD", "sesame");
    assert_eq!(told(&finish(&mut command)), good("1 event was copied\n"));

    let to = format!("meilies://:sesame@{}", destination.address());
    let output = finish(&mut migrate_to(&from, &to, &["--until-caught-up"]));
    assert_eq!(told(&output), good("0 events were copied\n"));
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    let server = Server::start(&[]);
    let address = server.address().to_string();
    let port = server.address().port();
    for (arguments, reason) in [
        (&["orders"][..], "'orders:0' copies everything"),
        (&["orders:$"], "'orders:0' copies everything"),
        (&["$all:0", "orders:0"], "name no other one with it"),
        (&["orders:0", "orders:5"], "stream 'orders' is named twice"),
        (&["orders:"], "spec 'orders:' has nothing"),
        (&["--from-version", "0.1"], "possible values: 0.2, 0.3"),
        (&[], "the source and the destination are the same store"),
    ] {
        let output = finish(&mut migrate_to(
            &address,
            &format!("localhost:{port}"),
            arguments,
        ));
        let (code, stdout, stderr) = told(&output);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains(reason), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let server = Server::start(&[]);
    let gone = Server::start(&[]);
    let (here, there) = (server.address().to_string(), gone.address().to_string());
    drop(gone);
    for (from, to) in [(&here, &there), (&there, &here)] {
        let (code, stdout, stderr) = told(&finish(&mut migrate_to(from, to, &[])));
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
        assert!(stderr.contains(&there), "{stderr}");
    }
}

#[test]
fn progress_is_for_terminals() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, mixed(20_000));
    let terminal = Terminal::new();
    let mut command = migrate(&source, &destination, &["--until-caught-up"]);
    command
        .stderr(terminal.side())
        .stdout(std::process::Stdio::piped());
    let (output, screen) = terminal.finish(command);
    assert_eq!(output.stdout, b"20000 events were copied\n");
    assert!(screen.contains("events, "), "{screen:?}");
}

#[test]
fn transhumance_is_a_name_of_it() {
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, mixed(100));
    let mut subscriber = subscribe(&destination, "$all:99");
    let mut command = binary(env!("CARGO_BIN_EXE_meilies-transhumance"));
    command.args(["--src-server", &source.address().to_string()]);
    command.args(["--dst-server", &destination.address().to_string(), "$all:0"]);
    let follower = Follower::start(&mut command);
    wait_for_event(&mut subscriber);
    follower.signal(Signal::INT);
    assert_eq!(told(&follower.finish()), good("100 events were copied\n"));
    assert_eq!(rows(&destination, "$all"), rows(&source, "$all"));

    let mut command = binary(env!("CARGO_BIN_EXE_meilies-transhumance"));
    let (code, stdout, _) = told(&finish(command.arg("--help")));
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("meilies-cli migrate") && stdout.contains("--src-server"),
        "{stdout}"
    );
}
