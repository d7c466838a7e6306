//! Goal: `subscribe` prints each event once and in order, in the form that is wanted, and ends when
//! it is told to and not before.

use rustix::process::Signal;

use super::harness::{Follower, Server, good, program, stable, told};

/// The columns of a line for people, without its time.
fn columns(line: &str) -> Vec<&str> {
    let columns: Vec<&str> = line.trim_end().split("  ").map(str::trim).collect();
    columns
        .into_iter()
        .filter(|column| !column.is_empty())
        .collect()
}

fn three_events(server: &Server) {
    server.publish("orders", "created", "{\"id\": 1}");
    server.publish("customers", "come", "jane");
    server.publish("orders", "paid", "\x1b[31m\n");
}

#[test]
fn people_see_time_stream_number_name_and_data() {
    let server = Server::start(&[]);
    three_events(&server);
    let text = server.print(&["subscribe", "orders:0:2"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        columns(lines[0])[1..],
        ["orders", "0", "created", "{\"id\": 1}"]
    );
    assert_eq!(
        columns(lines[1])[1..],
        ["orders", "1", "paid", "\\u{1b}[31m\\n"]
    );
    // The times are those of the ids, here in UTC.
    let json = server.export();
    for (line, json) in lines
        .iter()
        .zip([0, 2])
        .map(|(line, at)| (line, json.lines().nth(at)))
    {
        let time = columns(line)[0].replace(' ', "T");
        assert!(json.is_some_and(|json| json.contains(&time)), "{line}");
    }
    assert_eq!(
        server.print(&["subscribe", "orders:1:2"]).lines().count(),
        1
    );
    // Two specs: the program ends with the last.
    let both = server.print(&["subscribe", "orders:0:1", "customers:0:1"]);
    let mut streams: Vec<&str> = both.lines().map(|line| columns(line)[1]).collect();
    streams.sort_unstable();
    assert_eq!(streams, ["customers", "orders"]);
}

#[test]
fn events_of_all_streams_have_their_position() {
    let server = Server::start(&[]);
    three_events(&server);
    let text = server.print(&["subscribe", "$all:1:3"]);
    let lines: Vec<Vec<&str>> = text.lines().map(columns).collect();
    assert_eq!(lines[0][0], "1");
    assert_eq!(lines[0][2..], ["customers", "0", "come", "jane"]);
    assert_eq!(lines[1][0], "2");
    assert_eq!(lines[1][2..4], ["orders", "1"]);
}

#[test]
fn json_lines_are_those_of_export() {
    let server = Server::start(&[]);
    three_events(&server);
    let lines = server.print(&["subscribe", "$all:0:3", "--json"]);
    assert_eq!(lines, server.export());
    assert_eq!(
        lines.lines().map(stable).collect::<Vec<_>>(),
        [
            concat!(
                r#"{"stream":"orders","number":0,"position":0,"name":"created","#,
                r#""data":"{\"id\": 1}"}"#
            ),
            r#"{"stream":"customers","number":0,"position":1,"name":"come","data":"jane"}"#,
            r#"{"stream":"orders","number":1,"position":2,"name":"paid","data":"\u001b[31m\n"}"#,
        ]
    );
}

#[test]
fn it_follows_until_it_is_interrupted() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::start(&[]);
        server.publish("orders", "created", "first");
        let mut follower = Follower::start(&mut server.command(&["subscribe", "orders:0"]));
        assert!(follower.line().ends_with("  first\n"));
        for data in ["second", "third"] {
            server.publish("orders", "changed", data);
            assert!(follower.line().ends_with(&format!("  {data}\n")));
        }
        follower.signal(signal);
        assert_eq!(told(&follower.finish()), good(""));
    }
}

#[test]
fn it_ends_after_a_count_of_events() {
    let server = Server::start(&[]);
    three_events(&server);
    let count = |count: &str| {
        let text = server.print(&["subscribe", "$all:0", "--count", count]);
        text.lines().count()
    };
    assert_eq!(count("1"), 1);
    assert_eq!(count("3"), 3);
    let mut follower =
        Follower::start(&mut server.command(&["subscribe", "$all:0", "--count", "4"]));
    (0..3).for_each(|_| drop(follower.line()));
    server.publish("orders", "sent", "");
    server.publish("orders", "returned", "");
    let (code, stdout, stderr) = told(&follower.finish());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.contains("sent") && stdout.lines().count() == 1,
        "{stdout}"
    );
}

#[test]
fn it_ends_when_every_spec_has_caught_up() {
    let server = Server::start(&[]);
    three_events(&server);
    let lines = |specs: &[&str]| {
        let arguments = [&["subscribe", "--until-caught-up"], specs].concat();
        server.print(&arguments).lines().count()
    };
    assert_eq!(lines(&["orders:0"]), 2);
    assert_eq!(lines(&["$all:0"]), 3);
    assert_eq!(lines(&["orders:0", "customers:0", "others:0"]), 3);
    assert_eq!(lines(&["orders"]), 0);
    assert_eq!(lines(&["orders:0:1", "customers:0:5"]), 2);
    assert_eq!(lines(&["orders:0:1", "$all:0"]), 4);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let server = Server::start(&[]);
    // More than a pipe holds, so that the program is writing when its reader goes.
    let data = "x".repeat(100_000);
    for _ in 0..4 {
        server.publish("orders", "created", &data);
    }
    for follow in [
        &["subscribe", "orders:0"][..],
        &["read", "orders"],
        &["export"],
    ] {
        let mut follower = Follower::start(&mut server.command(follow));
        assert!(follower.line().contains("orders"));
        follower.close();
        assert_eq!(told(&follower.finish()), good(""), "{follow:?}");
    }
}

#[test]
fn it_goes_on_behind_the_last_event_when_the_server_comes_back() {
    let mut server = Server::start(&[]);
    let proxy = meilies_tests::proxy::Proxy::start(server.address());
    let port = proxy.address().port().to_string();
    server.publish("orders", "created", "first");
    let mut subscribe = program();
    subscribe.args(["-p", &port, "subscribe", "orders:0", "--count", "2"]);
    let mut follower = Follower::start(&mut subscribe);
    assert!(follower.line().ends_with("  first\n"));
    server.restart();
    proxy.set_target(server.address());
    server.publish("orders", "changed", "second");
    let (code, stdout, stderr) = told(&follower.finish());
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.ends_with("  second\n") && stdout.lines().count() == 1,
        "{stdout}"
    );
    assert!(stderr.contains("; connecting again\n"), "{stderr}");
}
