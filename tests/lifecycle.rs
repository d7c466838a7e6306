//! Goal: the server starts, stops and starts again as an operator expects, and says what to do
//! where it cannot.
//!
//! Method: the real binary with flags, environment and file; signals; a second process on the same
//! directory; a directory whose index is gone or destroyed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use meilies_tests::client::{self, Client};
use meilies_tests::in_process::InProcess;
use meilies_tests::process::{Ended, ServerProcess, Settings, run_to_end};
use meilies_tests::resp::{Protocol, Value};
use rustix::process::Signal;
use tempfile::TempDir;

const EVENTS: usize = 1000;

#[test]
fn a_graceful_stop_keeps_everything_and_exits_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = ServerProcess::start(&Settings::default());
        let mut client = server.client();
        publish_many(&mut client);
        server.signal(signal);
        server.expect_exit(0);
        client.expect_closed();
        let server = server.restart_ended();
        expect_many(&mut server.client());
    }
}

#[test]
fn a_stop_answers_what_it_took_and_lets_nobody_in() {
    let mut server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let event = client::encode(&["PUBLISH", "orders", "created", "{}"]);
    client.send(&event.repeat(EVENTS));
    assert_eq!(client.reply(), Value::Integer(0));
    server.signal(Signal::TERM);
    let mut acknowledged = 1;
    while let Ok(reply) = client.try_reply() {
        match reply {
            Value::Integer(number) => assert_eq!(number, acknowledged),
            refused => {
                refused.error();
                break;
            }
        }
        acknowledged += 1;
    }
    server.expect_exit(0);
    assert!(
        Client::try_connect(server.address()).is_err(),
        "somebody still listens"
    );
    let server = server.restart_ended();
    let tail = server.client().call("LAST-EVENT-NUMBER orders").integer();
    assert!(
        tail >= acknowledged - 1,
        "{acknowledged} acknowledged, the tail is {tail}"
    );
}

#[test]
fn shutdown_stops_as_a_signal_does() {
    for command in ["SHUTDOWN", "SHUTDOWN NOSAVE", "shutdown save"] {
        let mut server = ServerProcess::start(&Settings::default());
        let mut client = server.client();
        publish_many(&mut client);
        client.send(&client::encode(&command.split(' ').collect::<Vec<_>>()));
        client.expect_closed();
        server.expect_exit(0);
        let server = server.restart_ended();
        expect_many(&mut server.client());
    }
}

#[test]
fn one_process_per_directory() {
    let server = ServerProcess::start(&Settings::default());
    let path = server.db_path();
    let path = path.to_str().expect("temporary paths are text");
    let second = run_to_end(&["--port", "0", "--db-path", path], &[]);
    expect_refusal(&second, &[path, &server.pid().to_string()]);
    assert_eq!(
        server.client().call("PUBLISH orders created {}"),
        Value::Integer(0)
    );

    // A lock dies with its process.
    let server = server.kill_and_restart();
    assert_eq!(
        server.client().call("PUBLISH orders created {}"),
        Value::Integer(1)
    );
}

#[test]
fn errors_at_start_say_what_is_wrong() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("data");
    let place = place.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();

    expect_refusal(
        &run_to_end(&["--port", &port, "--db-path", place], &[]),
        &[&port],
    );
    expect_refusal(&run_to_end(&["--nonsense"], &[]), &["--nonsense"]);
    expect_refusal(&run_to_end(&["--port", "many"], &[]), &["--port", "many"]);
    expect_refusal(
        &run_to_end(&[], &[("MEILIES_PORT", "many")]),
        &["MEILIES_PORT", "many"],
    );
    expect_refusal(
        &run_to_end(&["--fsync", "maybe"], &[]),
        &["--fsync", "maybe", "everysec"],
    );
    expect_refusal(
        &run_to_end(&["--max-clients", "0"], &[]),
        &["--max-clients", "0"],
    );
    expect_refusal(
        &run_to_end(&["--config", "/nonsense.toml"], &[]),
        &["/nonsense.toml"],
    );
    let unresolved = [
        "--hostname",
        "nonsense.invalid",
        "--port",
        "0",
        "--db-path",
        place,
    ];
    expect_refusal(&run_to_end(&unresolved, &[]), &["nonsense.invalid"]);

    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let file = file.to_str().unwrap();
    expect_refusal(
        &run_to_end(&["--port", "0", "--db-path", file], &[]),
        &[file],
    );
    let below = format!("{file}/below");
    expect_refusal(
        &run_to_end(&["--port", "0", "--db-path", &below], &[]),
        &[file],
    );
}

#[test]
fn without_a_password_only_this_machine_is_served() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_str().unwrap();
    let open = ["--hostname", "0.0.0.0", "--port", "0", "--db-path", path];
    expect_refusal(
        &run_to_end(&open, &[]),
        &["0.0.0.0", "--requirepass", "--protected-mode"],
    );
    let allowed = [
        vec!["--hostname", "0.0.0.0", "--requirepass", "secret"],
        vec!["--hostname", "0.0.0.0", "--protected-mode", "no"],
    ];
    for flags in allowed {
        let server = ServerProcess::start(&Settings::flags(flags));
        let local = ([127, 0, 0, 1], server.address().port()).into();
        let reply = Client::connect_plain(local).call("AUTH secret");
        assert!(!matches!(reply, Value::Error(ref text) if text.starts_with(b"DENIED")));
    }
}

#[test]
fn host_names_and_ipv6_are_listened_on() {
    let server = ServerProcess::start(&Settings::flags(["--hostname", "localhost"]));
    assert_eq!(
        server.client().call("PING"),
        Value::Simple(b"PONG".to_vec())
    );
    if TcpListener::bind("[::1]:0").is_ok() {
        let server = ServerProcess::start(&Settings::flags(["--hostname", "::1"]));
        assert!(server.address().is_ipv6());
        assert_eq!(
            server.client().call("PING"),
            Value::Simple(b"PONG".to_vec())
        );
    }
}

#[test]
fn flags_go_before_environment_before_file_before_defaults() {
    let directory = TempDir::new().unwrap();
    let file = "port = 0\nmax-event-bytes = 11\nmax-clients = 22\nfsync = \"no\"\n";
    fs::write(directory.path().join("meilies.toml"), file).unwrap();
    let settings = Settings {
        bare: true,
        flags: ["--config", "meilies.toml", "--fsync", "everysec"]
            .map(str::to_owned)
            .to_vec(),
        environment: vec![
            ("MEILIES_MAX_CLIENTS".to_owned(), "33".to_owned()),
            ("MEILIES_FSYNC".to_owned(), "always".to_owned()),
        ],
    };
    let server = ServerProcess::start_on(directory, &settings);
    let mut client = server.client();
    for (name, value) in [
        ("fsync", "everysec"),
        ("max-clients", "33"),
        ("max-event-bytes", "11"),
    ] {
        let reply = client.call(&format!("CONFIG GET {name}"));
        assert_eq!(reply.items()[1].text(), value, "{name}");
    }
    // The default place is a directory below the current one.
    client.call("PUBLISH orders created {}");
    let directory = server.stop();
    assert!(directory.path().join("meilies-data/log").is_dir());
}

#[test]
fn help_and_version_explain_and_exit_with_0() {
    let help = run_to_end(&["--help"], &[]);
    assert_eq!(help.code, Some(0), "{}", help.stderr);
    for word in [
        "--hostname",
        "--port",
        "6480",
        "--db-path",
        "meilies-data",
        "MEILIES_FSYNC",
    ] {
        assert!(
            help.stdout.contains(word),
            "{word} is not in:\n{}",
            help.stdout
        );
    }
    let version = run_to_end(&["--version"], &[]);
    assert_eq!(version.code, Some(0));
    assert_eq!(
        version.stdout,
        format!("meilies-server {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn logs_are_json_lines_when_asked_for() {
    let mut server = ServerProcess::start(&Settings::flags(["--log-format", "json"]));
    assert_eq!(
        server.client().call("PING"),
        Value::Simple(b"PONG".to_vec())
    );
    server.signal(Signal::TERM);
    let line = server.wait_for_log("stopping");
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    server.expect_exit(0);
}

#[test]
fn the_index_is_rebuilt_from_the_log() {
    type Harm = fn(&Path);
    let harms: [Harm; 3] = [
        |index| fs::remove_dir_all(index).expect("the index can be deleted"),
        |index| overwrite_files(index, |bytes| bytes.fill(0xAA)),
        |index| overwrite_files(index, |bytes| bytes.truncate(bytes.len() / 2)),
    ];
    for harm in harms {
        let server = ServerProcess::start(&Settings::default());
        let mut client = server.client();
        publish_many(&mut client);
        client.call("PUBLISH others created {}");
        let before = everything(&mut client);
        let db_path = server.db_path();
        let directory = server.stop();
        harm(&db_path.join("index"));
        let server = ServerProcess::start_on(directory, &Settings::default());
        assert_eq!(everything(&mut server.client()), before);
        assert_eq!(
            server.client().call("PUBLISH others paid {}"),
            Value::Integer(1)
        );
    }
}

#[test]
fn the_log_goes_on_in_another_segment() {
    const EVENTS: u64 = 300;
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    // 300 MiB: more than one segment of 256 MiB holds.
    let data = vec![b'd'; 1024 * 1024];
    for number in 0..EVENTS {
        let reply = client.command(&[b"PUBLISH", &b"orders"[..], b"created", &data]);
        assert_eq!(reply.number(), number);
    }
    let segments = || {
        let files = fs::read_dir(server.db_path().join("log")).unwrap();
        let names = files.map(|file| file.unwrap().path());
        names
            .filter(|file| file.extension().is_some_and(|end| end == "log"))
            .count()
    };
    assert!(segments() >= 2, "{} segments", segments());
    let mut server = server;
    for restart in [ServerProcess::kill_and_restart, ServerProcess::restart] {
        server = restart(server);
        let mut client = server.client();
        assert_eq!(client.call("LAST-EVENT-NUMBER orders").number(), EVENTS - 1);
        for number in [0, 200, 250, 260, EVENTS - 1] {
            let events = client.call(&format!("READ-EVENTS orders:{number}:+ COUNT 1"));
            assert_eq!(events.items()[0].items()[1].number(), number);
            assert_eq!(events.items()[0].items()[4].items()[1].bytes(), data);
        }
    }
    let mut follower = server.client();
    follower.send(&client::encode(&["SUBSCRIBE", "$all:240"]));
    assert_eq!(follower.push().items()[0].text(), "subscribe");
    for position in 240..EVENTS {
        assert_eq!(follower.push().items()[4].number(), position);
    }
}

#[test]
fn another_format_is_refused() {
    let server = ServerProcess::start(&Settings::default());
    publish_many(&mut server.client());
    let path = server.db_path();
    let _directory = server.stop();
    let format = path.join("FORMAT");
    let text = String::from_utf8_lossy(&fs::read(&format).unwrap()).into_owned();
    assert!(
        text.contains(|c: char| c.is_ascii_digit()),
        "no version in FORMAT: {text:?}"
    );
    fs::write(&format, text.replace(|c: char| c.is_ascii_digit(), "9")).unwrap();
    let ended = run_to_end(&["--port", "0", "--db-path", path.to_str().unwrap()], &[]);
    expect_refusal(&ended, &["format"]);
}

#[test]
fn a_program_runs_the_server_in_its_own_process() {
    let directory = TempDir::new().unwrap();
    for round in 0..2 {
        let server = InProcess::start_on(directory.path(), &[]);
        let mut client = Client::connect(server.address(), Protocol::Resp3);
        assert_eq!(
            client.call("PUBLISH orders created {}"),
            Value::Integer(round)
        );
        server.stop();
        client.expect_closed();
    }
}

fn publish_many(client: &mut Client) {
    let event = client::encode(&["PUBLISH", "orders", "created", "{}"]);
    client.send(&event.repeat(EVENTS));
    for number in 0..EVENTS {
        assert_eq!(client.reply().number(), number as u64);
    }
}

fn expect_many(client: &mut Client) {
    let tail = client.call("LAST-EVENT-NUMBER orders").number();
    assert_eq!(tail, EVENTS as u64 - 1);
    let events = client.call("READ-EVENTS orders:0");
    assert_eq!(events.items().len(), EVENTS);
}

fn everything(client: &mut Client) -> Vec<Value> {
    let questions = [
        "STREAM-NAMES",
        "DBSIZE",
        "READ-EVENTS orders",
        "READ-EVENTS others",
        "READ-EVENTS $all:900",
        "READ-EVENTS $all REVERSE COUNT 7",
        "LAST-EVENT-NUMBER orders",
        "LAST-EVENT-NUMBER nonsense",
    ];
    questions.map(|question| client.call(question)).to_vec()
}

fn overwrite_files(directory: &Path, change: fn(&mut Vec<u8>)) {
    for entry in fs::read_dir(directory).expect("the index is there") {
        let path = entry.expect("the index can be listed").path();
        if path.is_dir() {
            overwrite_files(&path, change);
        } else {
            let mut bytes = fs::read(&path).expect("files can be read");
            change(&mut bytes);
            fs::write(&path, bytes).expect("files can be written");
        }
    }
}

fn expect_refusal(ended: &Ended, words: &[&str]) {
    assert!(
        ended.code.is_some_and(|code| code != 0),
        "ended with {:?}",
        ended.code
    );
    for word in words {
        let said = ended.stderr.contains(word);
        assert!(said, "'{word}' is not in what it says:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}
