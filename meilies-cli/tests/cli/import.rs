//! Goal: `import` stores what the lines say, in their order, or says which line it could not store
//! and what was stored.

use std::fs;

use meilies_tests::proxy::{Cut, Proxy};
use rustix::process::Signal;
use tempfile::TempDir;

use super::harness::{Follower, Server, good, program, stable, told, wait_for};

fn line(stream: &str, number: impl Into<Option<u64>>, data: &str) -> String {
    let number = number.into();
    let number = number.map_or(String::new(), |number| format!("\"number\":{number},"));
    format!("{{\"stream\":\"{stream}\",{number}\"name\":\"n\",\"data\":\"{data}\"}}\n")
}

fn import(server: &Server, lines: &[String]) -> (Option<i32>, String, String) {
    told(&server.run_with(&["import"], lines.concat().as_bytes()))
}

/// Stream, number and data of all events in the order in which they are stored.
fn content(server: &Server) -> Vec<String> {
    let event = |line: &str| -> String {
        let event: serde_json::Value = serde_json::from_str(line).expect("a JSON object");
        let text = |field: &str| event[field].as_str().expect("a string").to_owned();
        format!("{}:{} {}", text("stream"), event["number"], text("data"))
    };
    server.export().lines().map(event).collect()
}

/// What is said of a line that cannot be imported.
fn refused(code: i32, text: &str) -> (Option<i32>, String, String) {
    (Some(code), String::new(), format!("meilies-cli: {text}\n"))
}

#[test]
fn lines_without_numbers_are_appended_in_order() {
    let server = Server::start(&[]);
    server.publish("b", "n", "before");
    let lines = [
        line("a", None, "1"),
        line("b", None, "2"),
        line("a", None, "3"),
    ];
    assert_eq!(import(&server, &lines), good("3 events were imported\n"));
    assert_eq!(content(&server), ["b:0 before", "a:0 1", "b:1 2", "a:1 3"]);
    assert_eq!(import(&server, &lines[..1]), good("1 event was imported\n"));
    assert_eq!(content(&server)[4..], ["a:2 1"]);
    assert_eq!(import(&server, &[]), good("0 events were imported\n"));
}

#[test]
fn many_streams_keep_their_order() {
    let server = Server::start(&[]);
    let lines: Vec<String> = (0..20_000_u64)
        .map(|count| {
            line(
                &format!("s{}", count * 7 % 1000),
                count / 1000,
                &count.to_string(),
            )
        })
        .collect();
    assert_eq!(
        import(&server, &lines),
        good("20000 events were imported\n")
    );
    let expected = |count: u64| format!("s{}:{} {count}", count * 7 % 1000, count / 1000);
    assert!(content(&server).into_iter().eq((0..20_000).map(expected)));
}

#[test]
fn files_and_standard_input_are_read() {
    let server = Server::start(&[]);
    let directory = TempDir::new().expect("a temporary directory can be made");
    let path = directory.path().join("events.ndjson");
    fs::write(&path, line("a", None, "file")).expect("files can be written");
    let path = path.to_str().expect("the path is text");
    assert_eq!(
        told(&server.run(&["import", path])),
        good("1 event was imported\n")
    );
    let input = line("a", None, "input");
    let output = server.run_with(&["import", "-"], input.as_bytes());
    assert_eq!(told(&output), good("1 event was imported\n"));
    assert_eq!(content(&server), ["a:0 file", "a:1 input"]);
    let (code, _, stderr) = told(&server.run(&["import", "no/such/file"]));
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with("meilies-cli: no/such/file: "),
        "{stderr}"
    );
}

#[test]
fn a_line_is_stored_before_the_next_has_come() {
    let server = Server::start(&[]);
    let mut import = Follower::start(&mut server.command(&["import"]));
    for number in 0..3 {
        import.write(&line("a", number, "x"));
        let number = i64::try_from(number).ok();
        wait_for("the event", || server.last("a") == number);
    }
    import.close_input();
    assert_eq!(told(&import.finish()), good("3 events were imported\n"));
}

#[test]
fn a_bad_line_is_named_with_what_was_stored() {
    let server = Server::start(&[]);
    let lines = [
        line("a", None, "1"),
        "\n".to_owned(),
        line("b", None, "2"),
        "{\"stream\":\"a\",\"name\":\"n\",\"data\":5}\n".to_owned(),
        line("a", None, "3"),
    ];
    assert_eq!(
        import(&server, &lines),
        refused(
            1,
            "line 4, column 33: invalid type: integer `5`, expected a string or \
             {\"base64\":\"…\"}; 2 events were imported"
        )
    );
    assert_eq!(content(&server), ["a:0 1", "b:0 2"]);
    let both = "{\"stream\":\"a\",\"fields\":[[\"a\",\"1\"]],\"name\":\"n\"}".to_owned();
    let (code, _, stderr) = import(&server, &[both]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("line 1: `fields` stand in place"),
        "{stderr}"
    );
}

#[test]
fn a_number_that_is_missing_ends_the_import() {
    let server = Server::start(&[]);
    let lines = [line("a", 0, "1"), line("b", 0, "2"), line("a", 2, "3")];
    assert_eq!(
        import(&server, &lines),
        refused(
            5,
            "line 3: stream 'a' goes on with number 1, and the line has number 2; \
             2 events were imported"
        )
    );
    assert_eq!(content(&server), ["a:0 1", "b:0 2"]);
    let (code, _, stderr) = import(&server, &[line("a", 7, "8")]);
    assert_eq!(code, Some(5));
    assert!(
        stderr.contains("goes on with number 1, and the line has number 7"),
        "{stderr}"
    );
}

#[test]
fn another_history_is_not_taken_for_this_one() {
    let server = Server::start(&[]);
    server.publish("a", "n", "of another");
    assert_eq!(
        import(&server, &[line("a", 0, "of this")]),
        refused(
            5,
            "line 1: stream 'a' has another event under number 0; 0 events were imported"
        )
    );
    let same = [line("a", 0, "of another"), line("a", 1, "new")];
    let expected = "1 event was imported, and 1 event was skipped that the server has already\n";
    assert_eq!(import(&server, &same), good(expected));
}

#[test]
fn another_writer_is_a_conflict() {
    let server = Server::start(&[]);
    let mut import = Follower::start(&mut server.command(&["import"]));
    import.write(&line("a", 0, "ours"));
    wait_for("the event", || server.last("a") == Some(0));
    server.publish("a", "n", "theirs");
    import.write(&line("b", 0, "ours"));
    import.write(&line("a", 1, "ours"));
    let (code, stdout, stderr) = told(&import.finish());
    assert_eq!((code, stdout.as_str()), (Some(5), ""));
    assert_eq!(
        stderr,
        "meilies-cli: line 3, stream 'a', number 1: CONFLICT stream 'a' is at 1, expected 0; \
         2 events were imported\n"
    );
    assert_eq!(content(&server), ["a:0 ours", "a:1 theirs", "b:0 ours"]);
}

#[test]
fn a_refused_event_is_named_with_what_is_stored_around_it() {
    let server = Server::start(&["--max-event-bytes", "10"]);
    let lines = [
        line("a", None, "1"),
        line("b", None, "0123456789"),
        line("a", None, "3"),
    ];
    let (code, _, stderr) = import(&server, &lines);
    assert_eq!(code, Some(4));
    assert!(
        stderr.starts_with("meilies-cli: line 2, stream 'b': ERR "),
        "{stderr}"
    );
    let stored = "; 1 event was imported before it, and 1 behind it\n";
    assert!(stderr.ends_with(stored), "{stderr}");
    assert_eq!(content(&server), ["a:0 1", "a:1 3"]);
    // Lines of one stream that follow each other are stored together or not at all.
    let lines = [
        line("c", 0, "1"),
        line("c", 1, "0123456789"),
        line("c", 2, "3"),
    ];
    let (code, _, stderr) = import(&server, &lines);
    assert_eq!(code, Some(4));
    assert!(
        stderr.starts_with("meilies-cli: lines 1 to 3, stream 'c': ERR "),
        "{stderr}"
    );
    assert!(stderr.ends_with("; 0 events were imported\n"), "{stderr}");
}

#[test]
fn numbers_can_be_given_anew() {
    let server = Server::start(&[]);
    server.publish("a", "n", "before");
    let lines = [line("a", 5, "1"), line("a", 0, "2"), line("a", None, "3")];
    let input = lines.concat();
    let output = server.run_with(&["import", "--renumber", "--json"], input.as_bytes());
    assert_eq!(
        told(&output),
        good("{\"imported\":3,\"skipped\":0,\"new_ids\":0}\n")
    );
    assert_eq!(content(&server), ["a:0 before", "a:1 1", "a:2 2", "a:3 3"]);
}

#[test]
fn lines_of_a_stream_have_numbers_all_or_none() {
    let server = Server::start(&[]);
    for lines in [
        [line("a", None, "1"), line("a", 1, "2")],
        [line("b", 0, "1"), line("b", None, "2")],
    ] {
        let (code, _, stderr) = import(&server, &lines);
        assert_eq!(code, Some(5), "{stderr}");
        assert!(stderr.contains(": some lines of stream "), "{stderr}");
        assert!(stderr.contains("--renumber"), "{stderr}");
    }
}

#[test]
fn an_interruption_says_what_is_stored() {
    let server = Server::start(&[]);
    for signal in [Signal::INT, Signal::TERM] {
        let mut import = Follower::start(&mut server.command(&["import"]));
        import.write(&line("a", None, "1"));
        let last = server.last("a");
        wait_for("the event", || server.last("a") > last);
        import.signal(signal);
        let expected = refused(130, "interrupted; 1 event was imported");
        assert_eq!(told(&import.finish()), expected);
    }
}

#[tokio::test]
async fn what_a_lost_connection_leaves_open_is_told_by_the_numbers() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.address());
    let port = proxy.address().port().to_string();
    let lines: Vec<String> = (0..30_000).map(|number| line("a", number, "x")).collect();
    let mut import = Follower::start(program().args(["-p", &port, "import"]));
    import.write(&lines[..20_000].concat());
    wait_for("some events", || server.last("a") >= Some(1000));
    proxy.cut(Cut::Reset).await;
    let (code, stdout, stderr) = told(&import.finish());
    assert!(matches!(code, Some(3 | 6)), "{code:?}: {stderr}");
    assert_eq!(stdout, "");
    assert!(stderr.contains("imported"), "{stderr}");

    let output = server.run_with(&["import"], lines.concat().as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output).2);
    let expected = |number| format!("a:{number} x");
    assert!(content(&server).into_iter().eq((0..30_000).map(expected)));
    assert!(stable(&server.export()).starts_with("{\"stream\":\"a\",\"number\":0,"));
}
