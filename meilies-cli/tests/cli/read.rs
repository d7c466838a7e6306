//! Goal: what there is can be looked at: events with `read`, and what is known of streams and of
//! the server with `last-event-number`, `stream-names` and `info`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::harness::{Server, stable, told};

fn five_events() -> Server {
    let server = Server::start(&[]);
    for data in ["0", "1", "2"] {
        server.publish("orders", "n", data);
    }
    server.publish("customers", "n", "3");
    server.publish("orders", "n", "4");
    server
}

fn data(server: &Server, arguments: &[&str]) -> String {
    let text = server.print(&[&["read"], arguments].concat());
    let last = |line: &str| line.chars().next_back();
    text.lines().filter_map(last).collect()
}

#[test]
fn events_are_read_from_both_ends() {
    let server = five_events();
    for (arguments, expected) in [
        (&["orders"][..], "0124"),
        (&["orders:1"], "124"),
        (&["orders:1:3"], "12"),
        (&["$all"], "01234"),
        (&["$all:2:4"], "23"),
        (&["orders", "--reverse"], "4210"),
        (&["orders:0:3", "--reverse"], "210"),
        (&["orders", "--count", "2"], "01"),
        (&["orders", "--count", "2", "--reverse"], "42"),
        (&["$all", "--count", "1", "--reverse"], "4"),
        (&["none"], ""),
    ] {
        assert_eq!(data(&server, arguments), expected, "{arguments:?}");
    }
}

#[test]
fn lines_are_those_of_subscribe() {
    let server = five_events();
    for spec in ["orders:0:4", "$all:0:5"] {
        for json in [&[][..], &["--json"]] {
            let read = server.print(&[&["read", spec], json].concat());
            let subscribed = server.print(&[&["subscribe", spec], json].concat());
            assert_eq!(read, subscribed);
        }
    }
    assert_eq!(
        stable(server.print(&["read", "customers", "--json"]).trim_end()),
        r#"{"stream":"customers","number":0,"position":3,"name":"n","data":"3"}"#
    );
}

#[test]
fn more_than_a_page_is_read() {
    let server = Server::start(&[]);
    let line = |number| format!("{{\"stream\":\"s\",\"name\":\"n\",\"data\":\"{number}\"}}\n");
    let lines: String = (0..20_000).map(line).collect();
    let imported = server.run_with(&["import"], lines.as_bytes());
    assert_eq!(imported.status.code(), Some(0));
    let read = |more: &[&str]| -> Vec<u64> {
        let text = server.print(&[&["read", "s"], more].concat());
        let number = |line: &str| line.split("  ").last().and_then(|data| data.parse().ok());
        text.lines().filter_map(number).collect()
    };
    assert!(read(&[]).into_iter().eq(0..20_000));
    assert!(read(&["--reverse"]).into_iter().eq((0..20_000).rev()));
}

#[test]
fn the_last_event_number_is_a_number_or_none() {
    let server = five_events();
    assert_eq!(server.print(&["last-event-number", "orders"]), "3\n");
    assert_eq!(server.print(&["last-event-number", "$all"]), "4\n");
    assert_eq!(server.print(&["last-event-number", "none"]), "none\n");
    assert_eq!(
        server.print(&["--json", "last-event-number", "orders"]),
        "{\"stream\":\"orders\",\"number\":3}\n"
    );
    assert_eq!(
        server.print(&["--json", "last-event-number", "none"]),
        "{\"stream\":\"none\",\"number\":null}\n"
    );
}

#[test]
fn stream_names_are_sorted_and_can_be_matched() {
    let server = five_events();
    let binary = [b"publish".as_slice(), b"\xff\n", b"n", b"d"].map(OsStr::from_bytes);
    server.print(&binary);
    assert_eq!(
        server.print(&["stream-names"]),
        "customers\norders\n\\xff\\n\n"
    );
    assert_eq!(
        server.print(&["stream-names", "*ers"]),
        "customers\norders\n"
    );
    assert_eq!(server.print(&["stream-names", "o*"]), "orders\n");
    assert_eq!(server.print(&["stream-names", "x"]), "");
    assert_eq!(
        server.print(&["stream-names", "--json"]),
        concat!(
            "{\"stream\":\"customers\"}\n{\"stream\":\"orders\"}\n",
            "{\"stream\":{\"base64\":\"/wo=\"}}\n"
        )
    );
}

#[test]
fn info_of_a_stream_has_its_ends() {
    let server = five_events();
    let text = server.print(&["info", "orders"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "stream             orders");
    assert_eq!(lines[1], "last event number  3");
    assert_eq!(lines[2], "events             4");
    assert!(lines[3].starts_with("stream id          "), "{text}");
    assert!(lines[4].starts_with("last id            "), "{text}");
    assert!(lines[5].starts_with("created            "), "{text}");
    assert!(lines[6].starts_with("first event        0  ") && lines[6].ends_with("  n  0"));
    assert!(lines[7].starts_with("last event         4  ") && lines[7].ends_with("  n  4"));
    assert_eq!(lines.len(), 8);

    let events = server.export();
    let events: Vec<&str> = events.lines().collect();
    let json = server.print(&["info", "orders", "--json"]);
    for part in [
        "{\"stream\":\"orders\",\"stream_id\":".to_owned(),
        ",\"last_event_number\":3,\"first_event_number\":0,\"events\":4,".to_owned(),
        format!(",\"first\":{},\"last\":{}}}\n", events[0], events[4]),
    ] {
        assert!(json.contains(&part), "{json}");
    }
    let (code, stdout, stderr) = told(&server.run(&["info", "none"]));
    assert_eq!((code, stdout.as_str()), (Some(4), ""));
    assert_eq!(stderr, "meilies-cli: there is no stream 'none'\n");
}

#[test]
fn info_of_the_server_is_what_info_says() {
    let server = five_events();
    let text = server.print(&["info"]);
    assert!(text.starts_with("Server\n  "), "{text}");
    let port = server.address().port().to_string();
    let has_port = |line: &str| line.split_whitespace().eq(["tcp_port", &port]);
    assert!(text.lines().any(has_port), "{text}");

    let json = server.print(&["info", "--json"]);
    assert_eq!(json.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(&json).expect("a JSON object");
    assert_eq!(json["server"]["tcp_port"], port.as_str());
    let sections = json.as_object().expect("an object of sections");
    assert!(sections.len() > 3, "{sections:?}");
}
