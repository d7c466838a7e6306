//! Goal: `meilies-cli bench` publishes and reads what it says, and its numbers add up.
//!
//! Method: tiny runs, as lines of JSON, against a server whose streams are then looked at. How long
//! anything took is not looked at; the schedule has tests of its own.

use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::num::NonZero;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use meilies_tests::resp::read_value;
use meilies_tests::{Client, Protocol};
use rustix::process::Signal;
use serde_json::Value;

use super::harness::{DEADLINE, Follower, Server, Terminal, program, told, wait_for};

/// The report of a run that ended well.
fn report(server: &Server, arguments: &[&str]) -> Value {
    let stdout = server.print(&[&["--json", "bench"], arguments].concat());
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let report = parse(&stdout);
    assert_eq!(report["complete"], true);
    assert_eq!(report["bench"], arguments[0]);
    report
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The streams whose names begin so, and how many events each has.
fn streams(server: &Server, prefix: &str) -> Vec<(String, u64)> {
    let mut client = Client::connect(server.address(), Protocol::Resp2);
    let names = client.command(&["STREAM-NAMES", &format!("{prefix}*")]);
    let names = names.items().iter().map(|name| name.text().to_owned());
    let streams = names.map(|name| {
        let last = server.last(&name).expect("it is there");
        (name, last.unsigned_abs() + 1)
    });
    streams.collect()
}

fn events(server: &Server, prefix: &str) -> u64 {
    streams(server, prefix)
        .iter()
        .map(|(_, events)| events)
        .sum()
}

fn number(report: &Value, path: &str) -> u64 {
    let value = report.pointer(path).unwrap_or(&Value::Null);
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{path} is no number in {report}"))
}

fn text<'a>(report: &'a Value, name: &str) -> &'a str {
    report[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is no text in {report}"))
}

#[test]
fn what_is_said_to_be_published_is_stored() {
    let server = Server::start(&[]);
    for (flags, calls, of_streams) in [
        (&["--events", "1000"][..], 4, &[1000][..]),
        (&["--events", "1000", "--batch", "1"], 1000, &[1000]),
        (&["--events", "1001", "--batch", "10"], 101, &[1001]),
        (
            &["--events", "100", "--batch", "7", "--pipeline", "1"],
            15,
            &[100],
        ),
        (
            &["--events", "600", "--batch", "1", "--streams", "3"],
            600,
            &[200, 200, 200],
        ),
        (
            &["--events", "600", "--batch", "5", "--connections", "4"],
            120,
            &[600],
        ),
        (
            &["--events", "10", "--connections", "3", "--threads", "1"],
            1,
            &[10],
        ),
        (&["--events", "50", "--rate", "1000000"], 50, &[50]),
    ] {
        let report = report(&server, &[&["publish"], flags].concat());
        let prefix = text(&report, "stream_prefix");
        assert!(prefix.starts_with("bench-"), "{prefix}");
        let expected: Vec<(String, u64)> = (0..)
            .zip(of_streams)
            .map(|(index, events)| (format!("{prefix}-{index}"), *events))
            .collect();
        assert_eq!(streams(&server, prefix), expected, "{flags:?}");
        assert_eq!(
            number(&report, "/events"),
            events(&server, prefix),
            "{flags:?}"
        );
        assert_eq!(number(&report, "/latency_us/values"), calls, "{flags:?}");
        assert_eq!(number(&report, "/unanswered_calls"), 0);
        // How late calls are made is a question of the rate alone.
        assert_eq!(
            report["late_us"].is_null(),
            report["rate"].is_null(),
            "{flags:?}"
        );
    }
}

#[test]
fn events_have_the_size_and_the_streams_the_name_that_were_asked_for() {
    let server = Server::start(&[]);
    for size in ["0", "1", "1000"] {
        let prefix = format!("sized-{size}");
        let flags = ["--events", "3", "--size", size, "--stream-prefix", &prefix];
        let report = report(&server, &[&["publish"], &flags[..]].concat());
        assert_eq!(text(&report, "stream_prefix"), prefix);
        let mut client = Client::connect(server.address(), Protocol::Resp2);
        let page = client.command(&["READ-EVENTS", &format!("{prefix}-0:0")]);
        for event in page.items() {
            let [name, data] = event.items()[4].items() else {
                panic!("an event has a name and data");
            };
            assert_eq!(name.text(), "measured");
            assert_eq!(data.bytes().len().to_string(), size);
        }
        assert_eq!(page.items().len(), 3);
    }
}

#[test]
fn a_connection_has_as_many_calls_in_flight_as_it_may() {
    for (flags, connections, calls) in [
        (&["--batch", "1", "--pipeline", "3"][..], 1, 3),
        (
            &["--batch", "1", "--pipeline", "5", "--connections", "2"],
            2,
            10,
        ),
        (&["--rate", "100000"], 1, 1024),
        (&[], 1, 32),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener
            .local_addr()
            .expect("it is bound")
            .port()
            .to_string();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || serve_without_replies(&listener, connections, &sender));
        let mut command = program();
        command.args([
            "--port",
            &port,
            "--json",
            "bench",
            "publish",
            "--seconds",
            "3600",
        ]);
        let run = Follower::start(command.args(flags));
        for _ in 0..calls {
            receiver.recv_timeout(DEADLINE).expect("a call comes");
        }
        run.signal(Signal::INT);
        let (code, stdout, stderr) = told(&run.finish());
        assert_eq!(
            (code, stderr.as_str()),
            (Some(130), "meilies-cli: interrupted\n")
        );
        // The connections are gone, so that all that was sent has come.
        let more = receiver.iter().take(1).count();
        assert_eq!(more, 0, "{flags:?}");
        let report = parse(&stdout);
        assert_eq!(report["complete"], false);
        assert_eq!(number(&report, "/unanswered_calls"), calls, "{flags:?}");
        assert_eq!(number(&report, "/events"), 0);
        assert!(report["unanswered_us"].is_u64(), "{report}");
    }
}

#[test]
fn connections_share_as_many_threads_as_they_are_told() {
    for (threads, expected) in [
        (&["--threads", "3"][..], 3),
        (&["--threads", "9"], 4),
        (&[], 0),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener
            .local_addr()
            .expect("it is bound")
            .port()
            .to_string();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || serve_without_replies(&listener, 4, &sender));
        let mut command = program();
        command.args(["--port", &port, "bench", "publish", "--connections", "4"]);
        command
            .args(threads)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut run = command
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        receiver.recv_timeout(DEADLINE).expect("a call comes");
        let tasks = fs::read_dir(format!("/proc/{}/task", run.id()));
        let names = tasks.expect("it runs").map(|task| {
            let path = task.expect("it runs").path().join("comm");
            fs::read_to_string(path).unwrap_or_default()
        });
        let count = names.filter(|name| name.starts_with("bench-")).count();
        run.kill().expect("it is ours");
        run.wait().expect("it is ours");
        // As many as there are cores, if nothing is said.
        let cores = thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(4);
        assert_eq!(count, if threads.is_empty() { cores } else { expected });
    }
}

/// Greets so many connections and then only reads. Tells each call, until the connections end.
fn serve_without_replies(listener: &TcpListener, connections: usize, calls: &mpsc::Sender<()>) {
    for _ in 0..connections {
        let (mut socket, _) = listener.accept().expect("a connection comes");
        let calls = calls.clone();
        let mut reader = BufReader::new(socket.try_clone().expect("sockets can be copied"));
        thread::spawn(move || {
            while let Ok(command) = read_value(&mut reader, Protocol::Resp2) {
                let words = command.items();
                let reply: &[u8] = match words[0].text() {
                    "HELLO" => b"%1\r\n$5\r\nproto\r\n:3\r\n",
                    "PUBLISH" | "PUBLISH-MANY" => {
                        calls.send(()).ok();
                        b""
                    }
                    _ => b"+OK\r\n",
                };
                socket.write_all(reply).ok();
            }
        });
    }
}

#[test]
fn at_a_rate_everything_that_is_due_is_published() {
    let server = Server::start(&[]);
    let flags = ["publish", "--rate", "300", "--seconds", "1"];
    for more in [
        &[][..],
        &["--connections", "3"],
        &["--pipeline", "1"],
        &["--batch", "10"],
    ] {
        let report = report(&server, &[&flags, more].concat());
        assert_eq!(number(&report, "/events"), 300, "{more:?}");
        assert_eq!(events(&server, text(&report, "stream_prefix")), 300);
        let calls = if more == ["--batch", "10"] { 30 } else { 300 };
        assert_eq!(number(&report, "/late_us/values"), calls);
        // The last is due a 300th, or for ten a 30th, before the end.
        let seconds = report["seconds"].as_f64().expect("a number");
        assert!(seconds >= 0.966, "{seconds}");
    }
}

#[test]
fn flat_out_goes_on_for_the_time_that_was_given() {
    let server = Server::start(&[]);
    let report = report(&server, &["publish", "--seconds", "1"]);
    let seconds = report["seconds"].as_f64().expect("a number");
    assert!(seconds >= 0.9, "{seconds}");
    let stored = events(&server, text(&report, "stream_prefix"));
    assert_eq!(number(&report, "/events"), stored);
    let rate = report["events_per_second"].as_f64().expect("a number");
    let expected = f64::from(u32::try_from(stored).expect("a second is short")) / seconds;
    assert!((rate - expected).abs() <= expected / 1000.0, "{report}");
}

#[test]
fn ctrl_c_tells_what_was_measured_so_far() {
    let server = Server::start(&[]);
    let arguments = ["bench", "publish", "--rate", "1000", "--seconds", "3600"];
    for (json, start) in [
        (true, "{\"bench\":\"publish\""),
        (false, "publish     1 connection,"),
    ] {
        let mut command = server.command(&arguments);
        command.args(["--stream-prefix", start]);
        if json {
            command.arg("--json");
        }
        let run = Follower::start(&mut command);
        let stream = format!("{start}-0");
        wait_for("events", || server.last(&stream) > Some(10));
        run.signal(Signal::INT);
        let (code, stdout, stderr) = told(&run.finish());
        assert_eq!(
            (code, stderr.as_str()),
            (Some(130), "meilies-cli: interrupted\n")
        );
        assert!(stdout.starts_with(start), "{stdout}");
        if json {
            let report = parse(&stdout);
            assert_eq!(report["complete"], false);
            let told = number(&report, "/events");
            let stored = events(&server, &stream);
            // Those that were on their way may be stored.
            let unanswered = number(&report, "/unanswered_calls");
            assert!(
                told >= 10 && (told..=told + unanswered).contains(&stored),
                "{report}"
            );
        }
    }
}

#[test]
fn a_run_that_fails_tells_what_was_measured_and_why_it_failed() {
    let server = Server::start(&["--max-event-bytes", "100"]);
    let output = server.run(&[
        "--json", "bench", "publish", "--size", "200", "--events", "10",
    ]);
    let (code, stdout, stderr) = told(&output);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("100"), "{stderr}");
    let report = parse(&stdout);
    assert_eq!(
        (number(&report, "/events"), &report["complete"]),
        (0, &Value::Bool(false))
    );

    let mut command = program();
    command.args(["--port", "1", "bench", "publish"]);
    let (code, _, stderr) = told(&super::harness::finish(&mut command));
    assert_eq!(code, Some(3));
    assert!(stderr.contains("127.0.0.1:1"), "{stderr}");
}

#[test]
fn too_few_values_for_a_percentile_are_told() {
    let server = Server::start(&[]);
    let publish = ["publish", "--batch", "1", "--events", "100"];
    let report = report(&server, &publish);
    let latency = &report["latency_us"];
    assert!(
        latency["p50"].is_u64() && latency["p90"].is_u64(),
        "{latency}"
    );
    assert!(
        latency["p99"].is_null() && latency["p99_9"].is_null(),
        "{latency}"
    );
    assert!(number(latency, "/max") >= number(latency, "/p90"));
    let table = server.print(&[&["bench"], &publish[..]].concat());
    assert!(
        table.contains("too few values for p99: it takes 1,000"),
        "{table}"
    );
    assert!(table.contains("100 events in "), "{table}");
}

#[test]
fn each_reader_replays_every_event() {
    let server = Server::start(&[]);
    for (flags, read, of_streams) in [
        (&["--events", "1000"][..], 1000, &[1000][..]),
        (&["--events", "1000", "--streams", "4"], 1000, &[250; 4]),
        (&["--events", "2", "--streams", "4"], 2, &[1, 1]),
        (&["--events", "1000", "--connections", "3"], 3000, &[1000]),
        (&["--events", "100", "--size", "10"], 100, &[100]),
    ] {
        let report = report(&server, &[&["replay"], flags].concat());
        let prefix = text(&report, "stream_prefix");
        let stored: Vec<u64> = streams(&server, prefix)
            .iter()
            .map(|(_, events)| *events)
            .collect();
        assert_eq!(stored, of_streams, "{flags:?}");
        assert_eq!(number(&report, "/events"), read, "{flags:?}");
        assert_eq!(
            number(&report, "/replays"),
            number(&report, "/connections"),
            "{flags:?}"
        );
        let rate = |name: &str| report[name].as_f64().expect("a number");
        let bytes = rate("megabytes_per_second") * 1e6 / rate("events_per_second");
        let size = if flags.contains(&"--size") {
            10.0
        } else {
            128.0
        };
        assert!((bytes - size).abs() < 0.001, "{report}");
    }
}

#[test]
fn a_stream_that_is_there_is_replayed_as_it_is() {
    let server = Server::start(&[]);
    for number in 0..3 {
        server.publish("orders", "created", &format!("{number}"));
    }
    server.publish("other", "created", "four");
    for (stream, events) in [("orders", 3), ("$all", 4)] {
        let report = report(&server, &["replay", "--stream", stream]);
        assert_eq!(number(&report, "/events"), events, "{stream}");
        assert_eq!(text(&report, "stream"), stream);
    }
    let again = report(&server, &["replay", "--stream", "orders", "--seconds", "1"]);
    assert!(number(&again, "/replays") > 1, "{again}");
    // Nothing was published.
    assert_eq!(streams(&server, "").len(), 2);
    let nothing = server.run(&["bench", "replay", "--stream", "nothing"]);
    assert_eq!(nothing.status.code(), Some(4));
    let both = server.run(&["bench", "replay", "--stream", "orders", "--events", "5"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn each_subscriber_gets_each_event() {
    let server = Server::start(&[]);
    for (flags, published, received) in [
        (&["--events", "100"][..], 100, 100),
        (
            &["--events", "100", "--connections", "5", "--threads", "2"],
            100,
            500,
        ),
        (
            &["--events", "100", "--batch", "7", "--pipeline", "2"],
            100,
            100,
        ),
        (
            &["--seconds", "1", "--rate", "200", "--connections", "2"],
            200,
            400,
        ),
    ] {
        let report = report(&server, &[&["fan-out"], flags].concat());
        assert_eq!(number(&report, "/published/events"), published, "{flags:?}");
        assert_eq!(number(&report, "/received/events"), received, "{flags:?}");
        assert_eq!(number(&report, "/latency_us/values"), received, "{flags:?}");
        assert_eq!(events(&server, text(&report, "stream")), published);
        assert_eq!(report["late_us"].is_null(), report["rate"].is_null());
    }
    // A stream that has events is followed from its tail on.
    for events in [3, 6] {
        let flags = ["fan-out", "--events", "3", "--stream-prefix", "again"];
        assert_eq!(number(&report(&server, &flags), "/received/events"), 3);
        assert_eq!(server.last("again-0"), Some(events - 1));
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let server = Server::start(&[]);
    for arguments in [
        &["bench", "publish", "--events", "0"][..],
        &["bench", "publish", "--events", "1", "--seconds", "1"],
        &["bench", "publish", "--rate", "0"],
        &["bench", "publish", "--connections", "0"],
        &["bench", "publish", "--batch", "0"],
        &["bench", "publish", "--pipeline", "0"],
        &["bench", "publish", "--streams", "0"],
        &["bench", "publish", "--threads", "0"],
        &["bench", "fan-out", "--size", "19", "--events", "1"],
        &["bench"],
    ] {
        let (code, stdout, stderr) = told(&server.run(arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!stderr.is_empty());
    }
    assert!(streams(&server, "").is_empty());
}

#[test]
fn progress_is_shown_on_a_terminal() {
    let server = Server::start(&[]);
    let terminal = Terminal::new();
    let mut command = server.command(&["bench", "publish", "--rate", "500", "--seconds", "1"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(terminal.side());
    let (output, screen) = terminal.finish(command);
    assert!(told(&output).1.contains("500 events in"), "{output:?}");
    assert!(
        screen.contains(" events, ") && screen.contains('%'),
        "{screen:?}"
    );
}
