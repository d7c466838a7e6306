//! Goal: what `export` writes, `import` gives another server, exactly and once, however often it is
//! cut short.

use std::fs;
use std::process::{Child, Stdio};

use meilies_tests::{Client, Protocol, Value};
use rustix::process::Signal;
use tempfile::TempDir;

use super::harness::{Follower, Server, good, stable, told};

/// Streams and data of all kinds, in an order that mixes the streams.
fn fill(server: &Server) -> usize {
    let mut client = Client::connect(server.address(), Protocol::Resp2);
    let names: [&[u8]; 5] = [
        b"orders",
        b"orders:42",
        b"\xff\0",
        "caf\u{e9}".as_bytes(),
        b"a b",
    ];
    let mut count = 0;
    for round in 0..60_usize {
        for (index, name) in names
            .iter()
            .enumerate()
            .filter(|(index, _)| round % (index + 1) == 0)
        {
            let bytes = (0..=u8::MAX).cycle().step_by(index + 1);
            let data: Vec<u8> = bytes.take(round * 7).collect();
            let event: &[u8] = if round % 3 == 0 {
                b"n\xfe\"\\"
            } else {
                b"changed"
            };
            client.command(&[b"PUBLISH".as_slice(), name, event, &data]);
            count += 1;
        }
    }
    for data in [
        "",
        "{\"id\": 1}",
        "\u{1f600}\u{7f}\u{80}\u{2028}",
        "\\u0000",
        "\r\n\t\x08",
    ] {
        client.command(&["PUBLISH", "orders", "text", data]);
        count += 1;
    }
    count
}

/// What a server has, without ids and times, which each server gives itself.
fn content(server: &Server) -> Vec<String> {
    server.export().lines().map(stable).collect()
}

#[test]
fn what_is_exported_is_imported_exactly() {
    let mut source = Server::start(&[]);
    let count = fill(&source);
    let lines = source.export();
    assert_eq!(lines.lines().count(), count);
    let target = Server::start(&[]);
    let imported = target.run_with(&["import"], lines.as_bytes());
    assert_eq!(
        told(&imported),
        good(&format!("{count} events were imported\n"))
    );
    assert_eq!(content(&target), content(&source));

    // Once more, and after a restart: nothing is doubled.
    source.restart();
    assert_eq!(source.export(), lines);
    let again = target.run_with(&["--json", "import"], source.export().as_bytes());
    let expected = format!("{{\"imported\":0,\"skipped\":{count},\"new_ids\":0}}\n");
    assert_eq!(told(&again), good(&expected));
    assert_eq!(content(&target), content(&source));
}

#[test]
fn an_import_that_was_cut_short_goes_on() {
    let source = Server::start(&[]);
    let count = fill(&source);
    let lines = source.export();
    let target = Server::start(&[]);
    // Cut in the middle of a line.
    let half = &lines[..lines.len() / 2];
    let whole = half.lines().count() - 1;
    let (code, stdout, stderr) = told(&target.run_with(&["import"], half.as_bytes()));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let place = format!("meilies-cli: line {}, column ", whole + 1);
    assert!(stderr.starts_with(&place), "{stderr}");
    assert!(
        stderr.ends_with(&format!("; {whole} events were imported\n")),
        "{stderr}"
    );
    assert_eq!(content(&target).len(), whole);

    let (code, stdout, _) = told(&target.run_with(&["import"], lines.as_bytes()));
    let expected = format!(
        "{} events were imported, and {whole} events were skipped that the server has already\n",
        count - whole
    );
    assert_eq!((code, stdout), (Some(0), expected));
    assert_eq!(content(&target), content(&source));
}

#[test]
fn an_import_that_is_killed_at_any_moment_goes_on() {
    let source = Server::start(&[]);
    let line = |number: u32| {
        let stream = if number % 10 < 7 { "a" } else { "b" };
        format!("{{\"stream\":\"{stream}\",\"name\":\"n\",\"data\":\"{number}\"}}\n")
    };
    let lines: String = (0..30_000).map(line).collect();
    let imported = source.run_with(&["import"], lines.as_bytes());
    assert_eq!(told(&imported), good("30000 events were imported\n"));
    let lines = source.export();

    let target = Server::start(&[]);
    let mut client = Client::connect(target.address(), Protocol::Resp2);
    for kill in 1..=3 {
        let mut import = Follower::start(&mut target.command(&["import"]));
        // It is killed with its input open, and events on their way.
        import.write(&lines[..lines.len() * 3 / 4]);
        while !matches!(
            client.command(&["LAST-EVENT-NUMBER", "a"]),
            Value::Integer(number) if number >= kill * 1000
        ) {}
        import.signal(Signal::KILL);
        assert_eq!(import.finish().status.code(), None);
    }
    let finished = target.run_with(&["import"], lines.as_bytes());
    assert_eq!(finished.status.code(), Some(0), "{}", told(&finished).2);
    assert_eq!(content(&target), content(&source));
}

#[test]
fn specs_say_what_is_exported() {
    let server = Server::start(&[]);
    for (stream, data) in [("a", "0"), ("b", "1"), ("a", "2"), ("a", "3")] {
        server.publish(stream, "n", data);
    }
    let data = |specs: &[&str]| -> String {
        let text = server.print(&[&["export"], specs].concat());
        let data = |line: &str| {
            line.strip_suffix("\"}")
                .and_then(|line| line.chars().next_back())
        };
        text.lines().filter_map(data).collect()
    };
    for (specs, expected) in [
        (&[][..], "0123"),
        (&["$all"], "0123"),
        (&["$all:0"], "0123"),
        (&["$all:2"], "23"),
        (&["$all:1:3"], "12"),
        (&["a"], "023"),
        (&["a:1"], "23"),
        (&["a:0:2"], "02"),
        (&["b", "a:2:9", "none"], "13"),
        (&["a:7"], ""),
    ] {
        assert_eq!(data(specs), expected, "{specs:?}");
    }
}

#[test]
fn what_is_published_meanwhile_is_not_exported() {
    let server = Server::start(&[]);
    // More than pipes and buffers hold.
    let data = "x".repeat(4_000_000);
    let mut client = Client::connect(server.address(), Protocol::Resp2);
    for _ in 0..10 {
        client.command(&["PUBLISH", "orders", "created", &data]);
    }
    let mut export = Follower::start(&mut server.command(&["export"]));
    assert!(export.line().contains("\"number\":0,"));
    server.publish("orders", "created", "meanwhile");
    let (code, stdout, stderr) = told(&export.finish());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(stdout.lines().count(), 9);
    assert!(!stdout.contains("meanwhile"));
}

#[test]
fn a_file_is_written_whole() {
    let server = Server::start(&[]);
    fill(&server);
    let directory = TempDir::new().expect("a temporary directory can be made");
    let path = directory.path().join("events.ndjson");
    fs::write(&path, "x".repeat(1_000_000)).expect("files can be written");
    let text = path.to_str().expect("the path is text");
    assert_eq!(server.print(&["export", "--output", text]), "");
    let written = fs::read_to_string(&path).expect("it is there");
    assert!(written == server.export(), "the file differs");
    let (code, _, stderr) = told(&server.run(&["export", "-o", "no/such/directory"]));
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with("meilies-cli: no/such/directory: "),
        "{stderr}"
    );
}

#[test]
fn a_full_disk_is_told() {
    let server = Server::start(&[]);
    server.publish("orders", "created", "{}");
    for arguments in [
        &["export"][..],
        &["subscribe", "orders:0:1"],
        &["read", "orders"],
    ] {
        let full = fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        let mut command = server.command(arguments);
        let child = command
            .stdin(Stdio::null())
            .stdout(full)
            .stderr(Stdio::piped());
        let output = child
            .spawn()
            .and_then(Child::wait_with_output)
            .expect("it runs");
        let (code, _, stderr) = told(&output);
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(
            stderr.starts_with("meilies-cli: cannot write the output: "),
            "{stderr}"
        );
    }
}

#[test]
fn an_export_is_interrupted_at_once() {
    let server = Server::start(&[]);
    let data = "x".repeat(4_000_000);
    let mut client = Client::connect(server.address(), Protocol::Resp2);
    for _ in 0..10 {
        client.command(&["PUBLISH", "orders", "created", &data]);
    }
    let mut export = Follower::start(&mut server.command(&["export"]));
    assert!(export.line().contains("\"number\":0,"));
    // It waits for somebody who reads its output, and does not.
    export.signal(Signal::INT);
    let (code, stderr) = export.end();
    assert_eq!(
        (code, stderr.as_str()),
        (Some(130), "meilies-cli: interrupted\n")
    );
}

#[test]
fn damage_ends_an_export() {
    let mut server = Server::start(&[]);
    for data in [
        "a good event",
        "an event that will be damaged",
        "another event",
    ] {
        server.publish("orders", "created", data);
    }
    server.damage("an event that will be damaged");
    let (code, stdout, stderr) = told(&server.run(&["export"]));
    assert_eq!(code, Some(7), "{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    assert!(stdout.contains("a good event"), "{stdout}");
    assert!(stderr.ends_with("; 1 event was exported\n"), "{stderr}");
    let (code, stdout, _) = told(&server.run(&["subscribe", "orders:0"]));
    assert_eq!((code, stdout.lines().count()), (Some(7), 1));
}
