//! Goal: events of any fields, and their ids, get from one server to another exactly: by export and
//! import, and by migrate. Where an id cannot be kept that is told, and nothing else suffers.

use meilies_tests::{Protocol, Value};

use super::harness::{Server, finish, good, program, told};

/// Events of one and of several fields, with ids that the clock would not give.
fn fill(server: &Server) {
    let mut client = server.process().client();
    for command in [
        "PUBLISH orders created {}",
        "XADD orders * id 1 total 30 id again",
        "XADD orders * only field",
        "PUBLISH orders paid {}",
        "XADD bills 5-1 total 30",
        "XADD bills 5-7 total 31 tax 6",
        "XADD bills 7 total 32",
    ] {
        client.call(command);
    }
    client.command(&[&b"XADD"[..], b"bills", b"9-9", b"", b"\xff\r\n", b"", b""]);
    client.command(&[&b"XADD"[..], b"bills", b"9-10", b"", b"one without a name"]);
}

/// Everything that there is, but for positions.
fn all(server: &Server) -> Vec<Value> {
    let mut client = meilies_tests::Client::connect(server.address(), Protocol::Resp2);
    let mut events = Vec::new();
    for stream in ["orders", "bills"] {
        let range = client.command(&["XRANGE", stream, "-", "+"]);
        events.extend(range.items().to_vec());
    }
    events
}

#[test]
fn fields_and_ids_are_exported_and_imported_exactly() {
    let source = Server::start(&[]);
    fill(&source);
    let lines = source.export();
    assert_eq!(lines.lines().count(), 9);
    assert!(
        lines.contains("\"fields\":[[\"id\",\"1\"],[\"total\",\"30\"],[\"id\",\"again\"]]"),
        "{lines}"
    );
    let target = Server::start(&[]);
    let imported = target.run_with(&["import"], lines.as_bytes());
    assert_eq!(told(&imported), good("9 events were imported\n"));
    assert_eq!(all(&target), all(&source));
    assert_eq!(target.export(), lines);

    // Once more, and nothing is doubled; then it goes on where it was.
    let again = target.run_with(&["--json", "import"], lines.as_bytes());
    let expected = "{\"imported\":0,\"skipped\":9,\"new_ids\":0}\n";
    assert_eq!(told(&again), good(expected));
    let mut client = source.process().client();
    client.call("XADD bills 10-1 total 33 tax 7");
    client.call("XADD orders * a b c d");
    let imported = target.run_with(&["import"], source.export().as_bytes());
    assert_eq!(imported.status.code(), Some(0), "{}", told(&imported).2);
    assert_eq!(all(&target), all(&source));
}

#[test]
fn an_import_that_was_cut_short_goes_on_with_fields_and_ids() {
    let source = Server::start(&[]);
    fill(&source);
    let lines = source.export();
    let target = Server::start(&[]);
    for count in 1..=9 {
        let part: Vec<&str> = lines.lines().take(count).collect();
        let imported = target.run_with(&["import"], (part.join("\n") + "\n").as_bytes());
        assert_eq!(imported.status.code(), Some(0), "{}", told(&imported).2);
    }
    assert_eq!(target.export(), lines);
}

#[test]
fn an_id_that_cannot_be_kept_is_told() {
    let target = Server::start(&[]);
    let line = |id: &str, data: &str| {
        format!("{{\"stream\":\"s\",\"id\":\"{id}\",\"name\":\"n\",\"data\":\"{data}\"}}\n")
    };
    let lines = [
        line("5-0", "a"),
        line("7-0", "b"),
        line("7-0", "c"),
        line("9-0", "d"),
    ]
    .concat();
    let imported = target.run_with(&["import"], lines.as_bytes());
    let expected = "4 events were imported, 2 of them with new ids\n";
    assert_eq!(told(&imported), good(expected));
    let ids = |server: &Server| -> Vec<String> {
        let range = server.process().client().call("XRANGE s - +");
        let range = range.items().iter();
        range
            .map(|entry| entry.items()[0].text().to_owned())
            .collect()
    };
    let there = ids(&target);
    assert_eq!(there[..2], ["5-0", "7-0"]);
    assert!(there[2].len() > 10 && there[3].len() > 10, "{there:?}");

    let target = Server::start(&[]);
    let imported = target.run_with(&["import", "--new-ids", "--json"], lines.as_bytes());
    let expected = "{\"imported\":4,\"skipped\":0,\"new_ids\":4}\n";
    assert_eq!(told(&imported), good(expected));
    assert!(ids(&target).iter().all(|id| id.len() > 10));
}

#[test]
fn migrate_copies_fields_and_ids() {
    let source = Server::start(&[]);
    fill(&source);
    let from = format!("meilies://{}", source.address());
    let target = Server::start(&[]);
    let migrate = ["migrate", "--from", &from, "--until-caught-up"];
    assert_eq!(told(&target.run(&migrate)), good("9 events were copied\n"));
    assert_eq!(target.export(), source.export());
    // Again, and then what came meanwhile.
    assert_eq!(told(&target.run(&migrate)), good("0 events were copied\n"));
    let mut client = source.process().client();
    client.call("XADD bills 10-1 total 33 tax 7");
    assert_eq!(told(&target.run(&migrate)), good("1 event was copied\n"));
    assert_eq!(target.export(), source.export());

    let target = Server::start(&[]);
    let renewed = [&migrate[..], &["--new-ids"]].concat();
    let copied = target.run(&renewed);
    assert_eq!(told(&copied), good("10 events were copied\n"));
    let kept = |event: &Value| event.items()[0].text().starts_with("5-");
    assert!(!all(&target).iter().any(kept));
    let fields = |server: &Server| -> Vec<Value> {
        let events = all(server);
        events
            .iter()
            .map(|event| event.items()[1].clone())
            .collect()
    };
    assert_eq!(fields(&target), fields(&source));
}

#[test]
fn an_event_of_several_fields_is_published_and_shown() {
    let server = Server::start(&[]);
    let arguments = [
        "publish", "orders", "--field", "id=1", "--field", "note=a=b", "--field", "=",
    ];
    let id = server.print(&arguments);
    let id = id.trim_end();
    let range = server.process().client().call("XRANGE orders - +");
    let entry = range.items()[0].items();
    assert_eq!(entry[0].text(), id);
    let fields: Vec<&str> = entry[1].items().iter().map(Value::text).collect();
    assert_eq!(fields, ["id", "1", "note", "a=b", "", ""]);
    let shown = server.print(&["read", "orders"]);
    assert!(shown.ends_with("  id=1  note=a=b  =\n"), "{shown}");
    let shown = server.print(&["subscribe", "orders:0", "--until-caught-up"]);
    assert!(shown.ends_with("  id=1  note=a=b  =\n"), "{shown}");

    let json = server.print(&[
        "publish", "orders", "--field", "a=b", "--json", "--expect", "0",
    ]);
    assert!(
        json.starts_with("{\"stream\":\"orders\",\"id\":\""),
        "{json}"
    );
    let conflict = server.run(&["publish", "orders", "--field", "a=b", "--expect", "none"]);
    assert_eq!(conflict.status.code(), Some(5));
    for wrong in [
        &["publish", "orders", "--field", "a"][..],
        &["publish", "orders", "n", "d", "--field", "a=b"],
        &["publish", "orders", "--field", "a=b", "--raw"],
    ] {
        let output = finish(program().args(wrong));
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
