//! Goal: every event of a MeiliES 0.2 server arrives, in the order of its stream, however that
//! server answers; and the server is left as it was.
//!
//! Method: a scripted server that has the wire of 0.2 and its faults.

use std::process::Command;

use rustix::process::Signal;

use super::old_server::{Dialect, OldServer};
use super::{Row, migrate_to, publish, rows, subscribe, wait_for_event};
use crate::harness::{Follower, Server, finish, good, told};

const DIALECTS: [Dialect; 2] = [Dialect::WithRanges, Dialect::WithoutRanges];

fn migrate(source: &OldServer, destination: &Server, arguments: &[&str]) -> Command {
    migrate_to(&source.url(), &destination.address().to_string(), arguments)
}

/// The rows of one stream.
fn stream(name: &str, events: &[(&str, &[u8])]) -> Vec<Row> {
    let row = |(number, (event, data)): (u64, &(&str, &[u8]))| {
        (name.into(), number, (*event).into(), data.to_vec())
    };
    (0..).zip(events).map(row).collect()
}

#[test]
fn it_is_recognized_and_copied_exactly() {
    let long = vec![b'x'; 300_000];
    let odd: &[(&str, &[u8])] = &[
        ("n", b""),
        ("caf\u{e9} \n", b"\r\n"),
        ("n", b"$3\r\nabc\r\n*1\r\n"),
        ("n", b"\0\xff\xfe"),
        ("n", &long),
    ];
    for dialect in DIALECTS {
        let (source, destination) = (OldServer::start(dialect), Server::start(&[]));
        for (name, data) in odd {
            source.publish("caf\u{e9} \\ \"x\"", name, data);
        }
        let many: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
        for data in &many {
            source.publish("many", "counted", data.as_bytes());
        }
        source.create("empty");
        let many: Vec<(&str, &[u8])> = many.iter().map(|it| ("counted", it.as_bytes())).collect();

        let output = finish(&mut migrate(&source, &destination, &["--until-caught-up"]));
        assert_eq!(told(&output), good("2005 events were copied\n"));
        let name = "caf\u{e9} \\ \"x\"";
        assert_eq!(rows(&destination, name), stream(name, odd));
        assert_eq!(rows(&destination, "many"), stream("many", &many));
        assert_eq!(rows(&destination, "$all").len(), 2005);
        // It asked for nothing that would have made a stream, or left a thread behind.
        assert_eq!(source.stream_names(), [name, "empty", "many"]);
        if dialect == Dialect::WithRanges {
            assert_eq!(source.waiting(), 0);
        }

        let output = finish(&mut migrate(&source, &destination, &["--until-caught-up"]));
        assert_eq!(told(&output), good("0 events were copied\n"));
    }
}

#[test]
fn its_version_can_be_said() {
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    source.publish("a", "n", b"0");
    let said = |version| {
        let arguments = ["--until-caught-up", "--from-version", version];
        told(&finish(&mut migrate(&source, &destination, &arguments)))
    };
    assert_eq!(said("0.2"), good("1 event was copied\n"));
    assert_eq!(source.count_requests("HELLO"), 0);
    assert_eq!(said("0.3").0, Some(4));
}

#[test]
fn ranges_are_counted_from_0() {
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    for number in 0..10 {
        source.publish("a", "n", number.to_string().as_bytes());
        source.publish("b", "n", number.to_string().as_bytes());
    }
    let specs = ["a:7", "b:2:5", "none:0", "--until-caught-up"];
    let output = finish(&mut migrate(&source, &destination, &specs));
    assert_eq!(told(&output), good("6 events were copied\n"));
    assert_eq!(
        rows(&destination, "a"),
        stream("a", &[("n", b"7"), ("n", b"8"), ("n", b"9")])
    );
    assert_eq!(
        rows(&destination, "b"),
        stream("b", &[("n", b"2"), ("n", b"3"), ("n", b"4")])
    );
    assert_eq!(source.stream_names(), ["a", "b"]);
    // All of them end.
    let output = finish(&mut migrate(&source, &destination, &["a:7:9", "b:2:4"]));
    assert_eq!(told(&output), good("0 events were copied\n"));
}

#[test]
fn it_is_followed_without_a_thread_that_waits() {
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    source.publish("a", "n", b"0");
    let mut subscriber = subscribe(&destination, "$all:0");
    let follower = Follower::start(&mut migrate(&source, &destination, &[]));
    wait_for_event(&mut subscriber);
    for (name, data) in [("a", b"1"), ("new", b"0"), ("a", b"2")] {
        source.publish(name, "n", data);
        wait_for_event(&mut subscriber);
        assert_eq!(source.waiting(), 0);
    }
    follower.signal(Signal::INT);
    assert_eq!(told(&follower.finish()), good("4 events were copied\n"));
    assert_eq!(
        rows(&destination, "a"),
        stream("a", &[("n", b"0"), ("n", b"1"), ("n", b"2")])
    );
    assert_eq!(rows(&destination, "new"), stream("new", &[("n", b"0")]));
}

#[test]
fn a_range_ends_when_its_last_event_comes() {
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    source.publish("a", "n", b"0");
    let mut subscriber = subscribe(&destination, "a:0");
    let follower = Follower::start(&mut migrate(&source, &destination, &["a:0:2"]));
    wait_for_event(&mut subscriber);
    source.publish("a", "n", b"1");
    source.publish("a", "n", b"2");
    assert_eq!(told(&follower.finish()), good("2 events were copied\n"));
}

#[test]
fn events_that_a_crash_took_are_left_out_and_told() {
    copy_what_a_crash_left(Dialect::WithRanges);
}

#[test]
fn without_ranges_they_are_left_out_and_told_as_well() {
    copy_what_a_crash_left(Dialect::WithoutRanges);
}

fn copy_what_a_crash_left(dialect: Dialect) {
    let (source, destination) = (OldServer::start(dialect), Server::start(&[]));
    source.lose("a");
    source.publish("a", "n", b"1");
    source.lose("a");
    source.lose("a");
    source.publish("a", "n", b"4");
    source.publish("b", "n", b"0");
    source.lose("b");
    let copy = || {
        let output = finish(&mut migrate(&source, &destination, &["--until-caught-up"]));
        let (code, stdout, stderr) = told(&output);
        assert_eq!(code, Some(0), "{stderr}");
        (stdout, stderr)
    };
    let (stdout, stderr) = copy();
    assert_eq!(stdout, "3 events were copied\n");
    for lost in ["event 0 of 'a'", "events 2 to 3 of 'a'", "event 1 of 'b'"] {
        assert!(
            stderr.contains(&format!("the source has lost {lost}")),
            "{stderr}"
        );
    }
    let mut a: Vec<(&str, &[u8])> = vec![("n", b"1"), ("n", b"4")];
    assert_eq!(rows(&destination, "a"), stream("a", &a));
    assert_eq!(rows(&destination, "b"), stream("b", &[("n", b"0")]));

    // Numbers differ from here on: what is there is counted.
    source.publish("a", "n", b"5");
    source.publish("b", "n", b"2");
    assert_eq!(copy().0, "2 events were copied\n");
    a.push(("n", b"5"));
    assert_eq!(rows(&destination, "a"), stream("a", &a));
    assert_eq!(
        rows(&destination, "b"),
        stream("b", &[("n", b"0"), ("n", b"2")])
    );
}

#[test]
fn an_event_that_comes_late_comes_in_its_place() {
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    source.publish("a", "n", b"0");
    let late = source.lose("a");
    source.publish("a", "n", b"2");
    let follower = Follower::start(&mut migrate(&source, &destination, &["--until-caught-up"]));
    // It has seen 2, and looks again for what is before it.
    source.wait_for_requests("subscribe a:0:3", 1);
    source.fill("a", late, "n", b"1");
    assert_eq!(told(&follower.finish()), good("3 events were copied\n"));
    assert_eq!(
        rows(&destination, "a"),
        stream("a", &[("n", b"0"), ("n", b"1"), ("n", b"2")])
    );
}

#[test]
fn a_destination_with_other_events_is_not_written_to() {
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    for name in ["a", "b"] {
        source.publish(name, "n", b"0");
        source.publish(name, "n", b"1");
    }
    publish(&destination, [("b", "n", "0"), ("b", "n", "other")]);
    let before = rows(&destination, "$all");
    let copy = || {
        told(&finish(&mut migrate(
            &source,
            &destination,
            &["--until-caught-up"],
        )))
    };
    let (code, stdout, stderr) = copy();
    assert_eq!((code, stdout.as_str()), (Some(5), ""));
    assert_eq!(
        stderr,
        "meilies-cli: stream 'b' of the destination holds other events: its event 1 is not event \
         1 of the source\n"
    );
    assert_eq!(rows(&destination, "$all"), before);

    let destination = Server::start(&[]);
    publish(
        &destination,
        [("b", "n", "0"), ("b", "n", "1"), ("b", "n", "2")],
    );
    let output = finish(&mut migrate(&source, &destination, &["--until-caught-up"]));
    let (code, _, stderr) = told(&output);
    assert_eq!(code, Some(5));
    assert!(
        stderr.contains("it goes up to 2, and the source has no more than 2"),
        "{stderr}"
    );
    assert_eq!(rows(&destination, "$all").len(), 3);
}

#[test]
fn a_lost_source_is_found_again() {
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    source.publish("a", "n", b"0");
    let mut subscriber = subscribe(&destination, "a:0");
    let follower = Follower::start(&mut migrate(&source, &destination, &[]));
    wait_for_event(&mut subscriber);
    source.cut();
    source.publish("a", "n", b"1");
    wait_for_event(&mut subscriber);
    follower.signal(Signal::INT);
    let (code, stdout, stderr) = told(&follower.finish());
    assert_eq!((code, stdout.as_str()), (Some(0), "2 events were copied\n"));
    assert!(stderr.ends_with("; trying again\n"), "{stderr}");
}

#[test]
fn what_0_2_cannot_have_is_refused() {
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    for (spec, reason) in [
        ("$all:5", "MeiliES 0.2 has no positions"),
        ("$all:0:5", "MeiliES 0.2 has no positions"),
        ("a:b:0", "MeiliES 0.2 has no stream 'a:b'"),
    ] {
        let (code, _, stderr) = told(&finish(&mut migrate(&source, &destination, &[spec])));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
    }
    // The other way round: a name that may not be written here.
    source.publish("a", "n", b"0");
    source.publish("$a", "n", b"0");
    let output = finish(&mut migrate(&source, &destination, &["--until-caught-up"]));
    let (code, _, stderr) = told(&output);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("stream '$a' of the source cannot be copied"),
        "{stderr}"
    );
    assert_eq!(rows(&destination, "$all"), []);
}
