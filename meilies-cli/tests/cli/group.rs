//! Goal: what can be done with consumer groups can be done from a terminal, and scripts can rely on
//! the exit codes.

use super::harness::{Server, finish, good, program, told};

fn with_events() -> Server {
    let server = Server::start(&[]);
    let mut client = server.process().client();
    client.call("XADD jobs 1-0 id 1 kind a");
    client.call("XADD jobs 2-0 created {}");
    client.call("XADD jobs 3-0 id 3 kind b");
    server
}

#[test]
fn a_group_lives_from_its_creation_to_its_end() {
    let server = with_events();
    let group = |arguments: &[&str]| {
        let words = [&["group"], arguments].concat();
        told(&server.run(&words))
    };
    let created = group(&["create", "jobs", "workers"]);
    assert_eq!(created, good("group 'workers' was created\n"));
    let again = group(&["create", "jobs", "workers"]);
    assert_eq!(again, good("group 'workers' is there already\n"));
    let some = group(&["create", "jobs", "some", "--from", "2-0", "--json"]);
    assert_eq!(some, good("{\"created\":true}\n"));

    let read = group(&["read", "jobs", "workers", "alice", "--count", "2"]);
    assert_eq!(read, good("1-0  id=1  kind=a\n2-0  created  {}\n"));
    let read = group(&["read", "jobs", "some", "bob", "--json"]);
    let expected = concat!(
        "{\"id\":\"3-0\",\"kind\":\"new\",\"deliveries\":1,",
        "\"fields\":[[\"id\",\"3\"],[\"kind\",\"b\"]]}\n"
    );
    assert_eq!(read, good(expected));
    let history = group(&["read", "jobs", "workers", "alice", "--pending"]);
    assert_eq!(history, good("1-0  id=1  kind=a\n2-0  created  {}\n"));

    let (code, info, _) = group(&["info", "jobs"]);
    let line = "workers  consumers=1  pending=2  last-delivered-id=2-0  lag=1\n";
    assert!(code == Some(0) && info.contains(line), "{info}");
    let (_, info, _) = group(&["info", "jobs", "workers", "--json"]);
    assert!(
        info.starts_with("{\"consumer\":\"alice\",\"pending\":2,\"idle_ms\":"),
        "{info}"
    );

    assert_eq!(
        group(&["ack", "jobs", "workers", "1-0", "9-0"]),
        good("1\n")
    );
    let (_, pending, _) = group(&["pending", "jobs", "workers"]);
    assert!(pending.starts_with("2-0  alice  idle-ms="), "{pending}");
    assert!(pending.ends_with("  deliveries=2\n"), "{pending}");
    let none = group(&["pending", "jobs", "workers", "--consumer", "bob", "--json"]);
    assert_eq!(none, good(""));

    let none = group(&["claim", "jobs", "workers", "bob", "--min-idle", "3600"]);
    assert_eq!(none, good(""));
    let claimed = group(&["claim", "jobs", "workers", "bob", "--min-idle", "0"]);
    assert_eq!(claimed, good("2-0  created  {}\n"));
    let claimed = group(&[
        "claim",
        "jobs",
        "workers",
        "carol",
        "2-0",
        "--min-idle",
        "0",
        "--json",
    ]);
    assert!(
        claimed
            .1
            .starts_with("{\"id\":\"2-0\",\"kind\":\"claimed\","),
        "{claimed:?}"
    );
    assert_eq!(
        group(&["ack", "jobs", "workers", "2-0", "--json"]),
        good("{\"acknowledged\":1}\n")
    );

    let destroyed = group(&["destroy", "jobs", "workers"]);
    assert_eq!(destroyed, good("group 'workers' was deleted\n"));
}

#[test]
fn what_there_is_not_ends_with_4() {
    let server = with_events();
    for arguments in [
        &["destroy", "jobs", "none"][..],
        &["info", "jobs", "none"],
        &["read", "jobs", "none", "alice"],
        &["pending", "jobs", "none"],
        &["claim", "jobs", "none", "alice", "--min-idle", "0"],
    ] {
        let words = [&["group"], arguments].concat();
        let (code, stdout, stderr) = told(&server.run(&words));
        assert_eq!(
            (code, stdout.as_str()),
            (Some(4), ""),
            "{arguments:?}: {stderr}"
        );
    }
    // There is nothing to list, and nothing was pending.
    assert_eq!(told(&server.run(&["group", "info", "others"])), good(""));
    assert_eq!(
        told(&server.run(&["group", "ack", "jobs", "none", "1-0"])),
        good("0\n")
    );
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &["group"][..],
        &["group", "create", "jobs"],
        &["group", "create", "jobs", "g", "--from", "there"],
        &["group", "ack", "jobs", "g"],
        &["group", "ack", "jobs", "g", "x"],
        &["group", "claim", "jobs", "g", "c"],
        &["group", "claim", "jobs", "g", "c", "--min-idle", "-1"],
        &["group", "read", "jobs", "g", "c", "--count", "0"],
    ] {
        let output = finish(program().args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
