//! Goal: damage on the disk is named, confined and never served, what a crash tore off is cut and
//! kept aside, and neither is taken for the other.
//!
//! Method: a store is written and stopped or killed, bytes of an event are changed in its log, and
//! the server is started on it again.

use std::fs;
use std::path::{Path, PathBuf};

use meilies_tests::Client;
use meilies_tests::process::{ServerProcess, Settings, run_to_end};
use meilies_tests::resp::Value;
use tempfile::TempDir;

/// Words that occur once in the log: the data of single events.
const EARLY: &str = "the-early-event-of-orders";
const LAST: &str = "the-last-event-of-orders";

#[test]
fn a_damaged_event_is_an_error_that_names_it() {
    let (directory, path) = written(ServerProcess::stop);
    let file = change(&path, EARLY);
    let server = ServerProcess::start_on(directory, &Settings::default());
    let mut client = server.client();

    let refused = client.call("READ-EVENTS orders:1:2");
    expect_damage(&refused, &file);
    assert!(refused.error().contains("'orders' 1 "), "{refused}");

    // The rest works on.
    assert_eq!(client.call("READ-EVENTS orders:0:1").items().len(), 1);
    assert_eq!(client.call("READ-EVENTS orders:2").items().len(), 2);
    assert_eq!(
        client
            .call("READ-EVENTS orders REVERSE COUNT 2")
            .items()
            .len(),
        2
    );
    assert_eq!(client.call("READ-EVENTS others").items().len(), 2);
    assert_eq!(client.call("LAST-EVENT-NUMBER orders"), Value::Integer(3));
    assert_eq!(
        client.call("PUBLISH others happened more"),
        Value::Integer(2)
    );
    assert_eq!(
        client.call("PUBLISH orders happened more"),
        Value::Integer(4)
    );

    // It stays so over restarts.
    let server = server.kill_and_restart();
    let mut client = server.client();
    expect_damage(&client.call("READ-EVENTS orders:1:2"), &file);
    assert_eq!(client.call("READ-EVENTS orders:4").items().len(), 1);
}

#[test]
fn a_read_over_damage_is_refused_and_costs_no_connection() {
    let (directory, path) = written(ServerProcess::stop);
    let file = change(&path, EARLY);
    let server = ServerProcess::start_on(directory, &Settings::default());
    for question in [
        "orders",
        "orders:0:4",
        "orders REVERSE",
        "$all",
        "$all:0:3 REVERSE",
    ] {
        let mut client = server.client();
        client.send(format!("READ-EVENTS {question}\r\n").as_bytes());
        match client.try_reply() {
            Ok(reply) => expect_damage(&reply, &file),
            Err(error) => panic!("READ-EVENTS {question} is not answered: {error}"),
        }
        assert_eq!(client.call("LAST-EVENT-NUMBER orders"), Value::Integer(3));
    }
}

#[test]
fn a_follower_that_meets_damage_is_told() {
    let (directory, path) = written(ServerProcess::stop);
    let file = change(&path, EARLY);
    let server = ServerProcess::start_on(directory, &Settings::default());
    let mut client = server.client();
    client.send(b"SUBSCRIBE orders:0\r\n");
    assert_eq!(client.push().items()[0].text(), "subscribe");
    assert_eq!(client.push().items()[2].number(), 0);
    // It is not told the events behind the damage as if there were none in between.
    let told = client.push();
    assert_eq!(told.items()[0].text(), "error", "{told}");
    assert_eq!(told.items()[1].text(), "orders", "{told}");
    assert_eq!(told.items()[2].number(), 1, "{told}");
    assert!(told.items()[3].text().contains(&file), "{told}");
    client.call("ECHO silence");
    assert!(
        client.left_over().next().is_none(),
        "pushes go on behind the damage"
    );
}

#[test]
fn without_proof_of_a_tail_its_stream_takes_no_writes_until_repair() {
    let (directory, path) = written(ServerProcess::stop);
    let file = change(&path, LAST);
    fs::remove_dir_all(path.join("index")).expect("the index can be deleted");
    let server = ServerProcess::start_on(directory, &Settings::default());
    let mut client = server.client();
    let refused = client.call("PUBLISH orders happened more");
    assert!(refused.error().contains("repair"), "{refused}");
    assert!(refused.error().contains(&file), "{refused}");
    assert_eq!(client.call("READ-EVENTS orders:0:2").items().len(), 2);

    let directory = server.stop();
    let repaired = run_to_end(&["repair", "--db-path", path.to_str().unwrap()], &[]);
    assert_eq!(
        repaired.code,
        Some(0),
        "{}{}",
        repaired.stdout,
        repaired.stderr
    );
    let server = ServerProcess::start_on(directory, &Settings::default());
    let mut client = server.client();
    let number = client.call("PUBLISH orders happened more").number();
    let events = client.call(&format!("READ-EVENTS orders:{number}"));
    assert_eq!(events.items()[0].items()[4].items()[1].text(), "more");
}

#[test]
fn what_a_crash_tore_is_cut_and_kept_aside() {
    let (directory, path) = written(ServerProcess::kill);
    change(&path, LAST);
    let server = ServerProcess::start_on(directory, &Settings::default());
    let mut client = server.client();
    expect_all_but_the_last(&mut client);
    let files = fs::read_dir(path.join("log")).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    let cut = files.find(|file| {
        let name = file.file_name().unwrap().to_string_lossy();
        name.starts_with("cut-") && file.extension().is_some_and(|end| end == "bin")
    });
    let cut = cut.expect("what was cut is kept in log/cut-<commit>.bin");
    let cut = fs::read(cut).unwrap();
    assert!(cut.windows(8).any(|bytes| bytes == &LAST.as_bytes()[1..9]));

    // The number is given again, and the next start finds nothing amiss.
    assert_eq!(
        client.call("PUBLISH orders happened again"),
        Value::Integer(3)
    );
    let server = server.kill_and_restart();
    let events = server.client().call("READ-EVENTS orders");
    assert_eq!(events.items().len(), 4);
    assert_eq!(events.items()[3].items()[4].items()[1].text(), "again");
}

#[test]
fn a_log_cut_short_by_a_crash_opens_at_its_last_whole_commit() {
    let (directory, path) = written(ServerProcess::kill);
    let (file, at) = find(&path, LAST);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..at + 5]).unwrap();
    let server = ServerProcess::start_on(directory, &Settings::default());
    expect_all_but_the_last(&mut server.client());
    assert_eq!(
        server.client().call("PUBLISH orders happened again"),
        Value::Integer(3)
    );
    let server = server.kill_and_restart();
    assert_eq!(server.client().call("READ-EVENTS orders").items().len(), 4);
}

#[test]
fn what_a_clean_stop_covers_is_never_cut() {
    let (directory, path) = written(ServerProcess::stop);
    let file = change(&path, LAST);
    let server = ServerProcess::start_on(directory, &Settings::default());
    let mut client = server.client();
    expect_damage(&client.call("READ-EVENTS orders:3"), &file);
    assert_eq!(client.call("READ-EVENTS orders:0:3").items().len(), 3);
    let names: Vec<String> = fs::read_dir(path.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        names.iter().all(|name| !name.starts_with("cut-")),
        "{names:?}"
    );
}

/// `orders` 0 to 3 and `others` 0 and 1, each in a commit of its own; then the end.
fn written(end: fn(ServerProcess) -> TempDir) -> (TempDir, PathBuf) {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    for (stream, data) in [
        ("orders", "first"),
        ("others", "first"),
        ("orders", EARLY),
        ("orders", "third"),
        ("others", "second"),
        ("orders", LAST),
    ] {
        client
            .call(&format!("PUBLISH {stream} happened {data}"))
            .number();
    }
    let path = server.db_path();
    (end(server), path)
}

/// Changes one byte of the event with this data. Gives the file's name.
fn change(path: &Path, data: &str) -> String {
    let (file, at) = find(path, data);
    let mut bytes = fs::read(&file).expect("the log can be read");
    bytes[at] ^= 0x01;
    fs::write(&file, bytes).expect("the log can be written");
    file.file_name()
        .expect("files have names")
        .to_string_lossy()
        .into_owned()
}

fn find(path: &Path, data: &str) -> (PathBuf, usize) {
    let entries = fs::read_dir(path.join("log")).expect("the log is in <db-path>/log");
    let mut places = entries.filter_map(|entry| {
        let file = entry.expect("the log can be listed").path();
        let bytes = fs::read(&file).expect("the log can be read");
        let at = bytes
            .windows(data.len())
            .position(|window| window == data.as_bytes())?;
        Some((file, at))
    });
    places
        .next()
        .expect("events are in the log as they were sent")
}

fn expect_damage(reply: &Value, file: &str) {
    assert!(
        reply.error().contains(file),
        "the error does not name {file}: {reply}"
    );
}

fn expect_all_but_the_last(client: &mut Client) {
    let events = client.call("READ-EVENTS orders");
    let data = events
        .items()
        .iter()
        .map(|event| event.items()[4].items()[1].text().to_owned());
    assert_eq!(data.collect::<Vec<_>>(), ["first", EARLY, "third"]);
    assert_eq!(client.call("READ-EVENTS others").items().len(), 2);
    assert_eq!(client.call("LAST-EVENT-NUMBER orders"), Value::Integer(2));
}
