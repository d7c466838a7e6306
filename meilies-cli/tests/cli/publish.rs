//! Goal: `publish` stores the event that it is told to, from wherever its data come, and says what
//! became of it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use meilies_tests::proxy::{Counts, Cut, Direction, Flow, Proxy};
use rustix::process::Signal;
use tempfile::TempDir;

use super::harness::{Follower, Server, finish, good, program, stable, told};

#[test]
fn numbers_are_printed() {
    let server = Server::start(&[]);
    for (number, data) in ["a", "{\"id\": 1}", "two words"].iter().enumerate() {
        let output = server.run(&["publish", "orders", "created", data]);
        assert_eq!(told(&output), good(&format!("{number}\n")));
    }
    let output = server.run(&["--json", "publish", "orders", "created", "d"]);
    assert_eq!(
        told(&output),
        good("{\"stream\":\"orders\",\"number\":3}\n")
    );
    let lines = server.export();
    let data: Vec<&str> = lines
        .lines()
        .filter_map(|line| line.split("\"data\":").nth(1))
        .collect();
    assert_eq!(
        data,
        [r#""a"}"#, r#""{\"id\": 1}"}"#, r#""two words"}"#, r#""d"}"#]
    );
}

#[test]
fn data_come_from_files_and_standard_input() {
    let server = Server::start(&[]);
    let directory = TempDir::new().expect("a temporary directory can be made");
    let path = directory.path().join("data");
    let binary = [b"line\n".to_vec(), vec![0xff; 100_000]].concat();
    fs::write(&path, &binary).expect("files can be written");
    let at_path = format!("@{}", path.display());

    let publish = |data: &str, input: &[u8]| server.run_with(&["publish", "s", "n", data], input);
    assert_eq!(told(&publish(&at_path, b"")), good("0\n"));
    assert_eq!(told(&publish("-", b"from\0stdin\n")), good("1\n"));
    assert_eq!(told(&publish("-", b"")), good("2\n"));
    // As it is.
    let raw = |data: &str| server.run(&["publish", "s", "n", "--raw", "--", data]);
    assert_eq!(told(&raw("@none")), good("3\n"));
    assert_eq!(told(&raw("-")), good("4\n"));
    assert_eq!(told(&raw("--json")), good("5\n"));

    let other = Server::start(&[]);
    let output = other.run_with(&["import"], server.export().as_bytes());
    assert_eq!(output.status.code(), Some(0));
    let lines = server.export();
    let lines: Vec<String> = lines.lines().map(stable).collect();
    assert!(lines[0].len() > 100_000 * 4 / 3 && lines[0].contains("\"data\":{\"base64\":\"bGluZQ"));
    let expected = ["from\\u0000stdin\\n", "", "@none", "-", "--json"];
    for (line, data) in lines[1..].iter().zip(expected) {
        assert!(line.ends_with(&format!("\"data\":\"{data}\"}}")), "{line}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let server = Server::start(&[]);
    let (code, stdout, stderr) = told(&server.run(&["publish", "s", "n", "@no/such/file"]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(
        stderr.starts_with("meilies-cli: no/such/file: "),
        "{stderr}"
    );
    assert_eq!(server.export(), "");
}

#[test]
fn any_bytes_are_published() {
    let server = Server::start(&[]);
    let bytes = |bytes| OsStr::from_bytes(bytes).to_owned();
    let arguments = [
        b"--json".as_slice(),
        b"publish",
        b"\xff:4",
        b"\xfe",
        b"1\n\x1b\\",
    ];
    let output = server.run(&arguments.map(bytes));
    assert_eq!(
        told(&output),
        good("{\"stream\":{\"base64\":\"/zo0\"},\"number\":0}\n")
    );
    assert_eq!(
        told(&server.run(&["publish", "s", "below zero", "-5"])),
        good("0\n")
    );
    let lines = server.export();
    assert_eq!(
        lines.lines().map(stable).collect::<Vec<_>>(),
        [
            concat!(
                r#"{"stream":{"base64":"/zo0"},"number":0,"position":0,"#,
                r#""name":{"base64":"/g=="},"data":"1\n\u001b\\"}"#
            ),
            r#"{"stream":"s","number":0,"position":1,"name":"below zero","data":"-5"}"#,
        ]
    );
}

#[test]
fn an_expectation_that_does_not_hold_is_a_conflict() {
    let server = Server::start(&[]);
    let publish = |expect: &str| server.run(&["publish", "s", "n", "d", "--expect", expect]);
    assert_eq!(publish("exists").status.code(), Some(5));
    assert_eq!(told(&publish("none")), good("0\n"));
    assert_eq!(told(&publish("0")), good("1\n"));
    assert_eq!(told(&publish("any")), good("2\n"));
    assert_eq!(
        told(&publish("5")),
        (
            Some(5),
            String::new(),
            "meilies-cli: CONFLICT stream 's' is at 2, expected 5\n".to_owned()
        )
    );
    assert_eq!(publish("none").status.code(), Some(5));
    assert_eq!(server.print(&["last-event-number", "s"]), "2\n");
}

#[test]
fn a_refused_event_is_told_in_the_servers_words() {
    let server = Server::start(&["--max-event-bytes", "10"]);
    let (code, stdout, stderr) = told(&server.run(&["publish", "s", "name", "1234567"]));
    assert_eq!((code, stdout.as_str()), (Some(4), ""));
    assert!(stderr.starts_with("meilies-cli: ERR "), "{stderr}");
    assert!(stderr.contains("11") && stderr.contains("10"), "{stderr}");
}

/// The command line, and a network in front of the server.
struct Rig {
    server: Server,
    proxy: Proxy,
    /// Bytes that the server greets with.
    greeting: u64,
}

impl Rig {
    async fn start() -> Rig {
        let server = Server::start(&[]);
        let proxy = Proxy::start(server.address());
        let mut rig = Rig {
            server,
            proxy,
            greeting: 0,
        };
        let output = finish(&mut rig.command(&["last-event-number", "none"]));
        assert_eq!(told(&output), good("none\n"));
        rig.proxy
            .wait_for("its end", |counts| counts.open() == 0)
            .await;
        // Behind it is the reply that there is no number.
        rig.greeting = rig.to_client() - "_\r\n".len() as u64;
        rig
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(["--port", &self.proxy.address().port().to_string()]);
        command.args(arguments);
        command
    }

    fn to_client(&self) -> u64 {
        self.proxy
            .count(|counts| counts.passed(Direction::ToClient))
    }

    /// Starts a publish that waits for its data when it has been greeted.
    async fn publish(&self) -> Follower {
        let before = self.to_client();
        let publish = Follower::start(&mut self.command(&["publish", "s", "n", "-"]));
        let greeted =
            |counts: &Counts| counts.passed(Direction::ToClient) == before + self.greeting;
        self.proxy.wait_for("the greeting", greeted).await;
        publish
    }
}

#[tokio::test]
async fn a_lost_reply_leaves_it_open_whether_the_event_is_stored() {
    let rig = Rig::start().await;
    for expect in ["any", "0"] {
        let cut = rig.greeting + 1;
        rig.proxy.cut_after(Direction::ToClient, cut, Cut::Reset);
        let publish = ["publish", "s", "n", "d", "--expect", expect];
        let (code, stdout, stderr) = told(&finish(&mut rig.command(&publish)));
        assert_eq!((code, stdout.as_str()), (Some(6), ""), "{stderr}");
        assert!(stderr.contains("'s'"), "{stderr}");
    }
    assert_eq!(rig.server.print(&["last-event-number", "s"]), "1\n");
}

#[tokio::test]
async fn an_interruption_says_what_is_known() {
    let rig = Rig::start().await;
    let waiting = rig.publish().await;
    waiting.signal(Signal::INT);
    let expected = "meilies-cli: interrupted\n".to_owned();
    assert_eq!(
        told(&waiting.finish()),
        (Some(130), String::new(), expected)
    );

    let mut sent = rig.publish().await;
    rig.proxy.set_flow(Direction::ToClient, Flow::Stall);
    let before = rig.proxy.count(|counts| counts.passed(Direction::ToServer));
    sent.write("data");
    sent.close_input();
    let is_sent = |counts: &Counts| counts.passed(Direction::ToServer) > before;
    rig.proxy.wait_for("the event", is_sent).await;
    sent.signal(Signal::INT);
    let expected = "meilies-cli: interrupted; the event is stored or not\n".to_owned();
    assert_eq!(told(&sent.finish()), (Some(130), String::new(), expected));
}
