//! Goal: `meilies-cli repl` is a prompt for people at a terminal, and runs scripts without one.
//!
//! Method: the prompt runs on a pseudo-terminal, where keys are typed and what appears is waited
//! for. Scripts are lines on standard input.

#[path = "repl/prompt.rs"]
mod prompt;

use std::fs;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;

use meilies_tests::resp::read_value;
use meilies_tests::{Client, Protocol};
use rustix::process::Signal;
use tempfile::TempDir;

use self::prompt::Prompt;
use super::harness::{DEADLINE, Follower, Server, finish_with, program, stable, told, wait_for};

const UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

#[test]
fn commands_are_typed_and_replies_shown() {
    let server = Server::start(&[]);
    let mut prompt = Prompt::start(server.command(&["repl"]));
    prompt.until("Type help for what can be typed");
    for (line, reply) in [
        (r#"PUBLISH orders created '{"id": 1}'"#, "(integer) 0"),
        (r#"publish orders "\x00\xff" two"#, "(integer) 1"),
        ("LAST-EVENT-NUMBER nothing", "(nil)"),
        ("read-events orders", "orders  0  created  {\"id\": 1}"),
        ("ECHO 'a \"b\"'", r#""a \"b\"""#),
        ("STREAM-NAMES", "1) \"orders\""),
        ("NOTHING", "(error) ERR unknown command 'NOTHING'"),
        ("PING \"", "(error) a quotation mark is missing"),
        ("help dbsize", "Returns the number of streams."),
        ("HELLO 2", "2) \"meilies\""),
    ] {
        prompt.enter(line);
        prompt.until_plain(reply);
        prompt.until("meilies> ");
    }
    prompt.enter("quit");
    assert_eq!(prompt.end(), Some(0));
}

#[test]
fn errors_are_red_and_hints_grey_where_there_are_colours() {
    let server = Server::start(&[]);
    let mut prompt = Prompt::start(server.command(&["repl"]));
    prompt.until("meilies> ");
    prompt.type_text("last-event-number");
    prompt.until("last-event-number\x1b[90m stream\x1b[0m");
    prompt.type_text(" x");
    prompt.enter("");
    prompt.until("(nil)");
    prompt.enter("NOTHING");
    prompt.until("\x1b[31m(error) ERR unknown");

    let mut command = server.command(&["repl"]);
    command.env("NO_COLOR", "1");
    let mut prompt = Prompt::start(command);
    prompt.until("meilies> ");
    prompt.type_text("last-event-number ");
    prompt.enter("x");
    let shown = prompt.until("(nil)");
    assert!(
        !shown.contains("stream") && !shown.contains("\x1b[90m"),
        "{shown:?}"
    );
    prompt.enter("NOTHING");
    prompt.until("\n(error) ERR unknown");
}

#[test]
fn tab_completes_commands_and_options() {
    let server = Server::start(&[]);
    let mut prompt = Prompt::start(server.command(&["repl"]));
    prompt.until("meilies> ");
    prompt.type_text("last-e\t");
    prompt.until("last-event-number ");
    prompt.enter("x");
    prompt.until("(nil)");
    prompt.type_text("CLIENT SETN\tme\r");
    prompt.until("OK");
    prompt.type_text("client getn\t\r");
    prompt.until("\"me\"");
    prompt.type_text("publish s n d exp\tnon\t\r");
    prompt.until("(integer) 0");
    // Both are shown.
    prompt.type_text("publish s n d \t\t");
    prompt.until_plain("EXPECT  ID");
}

#[test]
fn pushes_are_shown_above_the_line_that_is_typed() {
    let server = Server::start(&[]);
    let mut prompt = Prompt::start(server.command(&["repl"]));
    prompt.until("meilies> ");
    prompt.enter("SUBSCRIBE orders:0");
    prompt.until("subscribed to orders:0, 1 subscription");
    prompt.until("caught up, there are no events");
    prompt.until("meilies> ");
    prompt.type_text("PUBLISH oth");
    prompt.until("PUBLISH oth");
    server.publish("orders", "created", "from elsewhere");
    prompt.until_plain("orders  0  created  from elsewhere");
    // The line is there again, and goes on.
    prompt.until("PUBLISH oth");
    prompt.enter("ers created x");
    prompt.until("(integer) 0");
    prompt.until("meilies> ");
    // What is caused by a command comes with its reply or behind it.
    prompt.enter("PUBLISH orders created 'by itself'");
    prompt.until_plain("orders  1  created  by itself");
    prompt.enter("UNSUBSCRIBE orders");
    prompt.until("unsubscribed from orders, 0 subscriptions");
}

#[test]
fn more_pushes_than_the_terminal_can_show_at_once_come_in_order() {
    let server = Server::start(&[]);
    let mut prompt = Prompt::start(server.command(&["repl"]));
    prompt.until("meilies> ");
    prompt.enter("SUBSCRIBE many");
    prompt.until("caught up");
    prompt.type_text("PI");
    prompt.until("PI");
    let mut client = Client::connect(server.address(), Protocol::Resp2);
    for number in 0..3_000 {
        client.command(&["PUBLISH", "many", "counted", &format!("<{number}>")]);
    }
    for number in 0..3_000 {
        prompt.until(&format!("<{number}>"));
    }
    prompt.enter("NG");
    prompt.until("PONG");
}

#[test]
fn what_is_typed_is_kept_but_no_password() {
    let server = Server::start(&[]);
    let directory = TempDir::new().expect("a temporary directory can be made");
    let path = directory.path().join("deep/history");
    let start = || {
        let mut command = server.command(&["repl", "--history"]);
        command.arg(&path);
        let mut prompt = Prompt::start(command);
        prompt.until("meilies> ");
        prompt
    };
    let mut prompt = start();
    for (line, reply) in [
        ("ECHO first", "\"first\""),
        ("AUTH sesame", "(error)"),
        ("HELLO 3 AUTH me sesame", "(error)"),
        (" ECHO unsaid", "\"unsaid\""),
        ("CONFIG SET requirepass ''", "OK"),
        ("ECHO second", "\"second\""),
    ] {
        prompt.enter(line);
        prompt.until(reply);
        prompt.until("meilies> ");
    }
    prompt.enter("exit");
    assert_eq!(prompt.end(), Some(0));
    let lines = || fs::read_to_string(&path).expect("the history is text");
    assert_eq!(lines(), "#V2\nECHO first\nECHO second\nexit\n");
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    // The next time it is there: exit, then what was before it.
    let mut prompt = start();
    prompt.type_text(UP);
    prompt.until("exit");
    prompt.type_text(UP);
    prompt.until("ECHO second");
    prompt.enter(" ");
    prompt.until("\"second\"");
    prompt.until("meilies> ");
    prompt.type_text(CTRL_D);
    assert_eq!(prompt.end(), Some(0));
}

#[test]
fn the_history_is_in_the_state_directory() {
    let server = Server::start(&[]);
    let directory = TempDir::new().expect("a temporary directory can be made");
    for (state, path) in [
        ("state", "state/meilies-cli/history"),
        ("", ".local/state/meilies-cli/history"),
    ] {
        let mut command = server.command(&["repl"]);
        command.env("HOME", directory.path());
        if !state.is_empty() {
            command.env("XDG_STATE_HOME", directory.path().join(state));
        }
        let mut prompt = Prompt::start_at_home(command);
        prompt.until("meilies> ");
        prompt.enter("quit");
        assert_eq!(prompt.end(), Some(0));
        assert!(directory.path().join(path).is_file(), "{path}");
    }
}

#[test]
fn ctrl_c_clears_the_line() {
    let server = Server::start(&[]);
    let mut prompt = Prompt::start(server.command(&["repl"]));
    prompt.until("meilies> ");
    prompt.type_text("PUBLISH s n");
    prompt.until("PUBLISH s n");
    prompt.type_text(CTRL_C);
    prompt.until("meilies> ");
    prompt.enter("PING");
    prompt.until("PONG");
    assert_eq!(server.last("s"), None);
}

#[test]
fn ctrl_c_stops_the_wait_for_a_reply() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener
        .local_addr()
        .expect("it is bound")
        .port()
        .to_string();
    let (sender, pings) = mpsc::channel();
    thread::spawn(move || serve_without_pongs(&listener, &sender));
    let mut command = program();
    command.args(["--port", &port, "repl"]);
    let mut prompt = Prompt::start(command);
    prompt.until("meilies> ");
    prompt.enter("PING");
    pings.recv_timeout(DEADLINE).expect("the command comes");
    prompt.signal(Signal::INT);
    prompt.until("not waited for: the connection is closed");
    prompt.until("not connected> ");
    prompt.enter("ECHO after");
    prompt.until("connected again");
    prompt.until("OK");
}

/// Replies to everything but PING.
fn serve_without_pongs(listener: &TcpListener, pings: &mpsc::Sender<()>) {
    // One connection after the other: the first is closed before the second is made.
    while let Ok((mut socket, _)) = listener.accept() {
        let mut reader = BufReader::new(socket.try_clone().expect("sockets can be copied"));
        while let Ok(command) = read_value(&mut reader, Protocol::Resp2) {
            match command.items()[0].text() {
                "HELLO" => socket.write_all(b"%0\r\n").ok(),
                "PING" => pings.send(()).ok(),
                _ => socket.write_all(b"+OK\r\n").ok(),
            };
        }
    }
}

#[test]
fn a_lost_connection_is_told_and_made_again() {
    let server = Server::start(&[]);
    let mut prompt = Prompt::start(server.command(&["repl"]));
    prompt.until("meilies> ");
    prompt.enter("SUBSCRIBE a b");
    prompt.until("subscribed to b, 2 subscriptions");
    prompt.until("meilies> ");
    let mut client = Client::connect(server.address(), Protocol::Resp2);
    for kind in ["normal", "pubsub"] {
        client.command(&["CLIENT", "KILL", "TYPE", kind]);
    }
    prompt.until("was closed by the server");
    prompt.until("2 subscriptions are lost: subscribe again");
    prompt.enter("");
    prompt.until("not connected> ");
    prompt.enter("PING");
    prompt.until("connected again");
    prompt.until("PONG");
    prompt.until("meilies> ");
    prompt.enter("SHUTDOWN NOSAVE");
    prompt.until("the server has closed the connection");
    prompt.until("not connected> ");
    wait_for("the end", || TcpStream::connect(server.address()).is_err());
    prompt.enter("PING");
    prompt.until("(error) cannot connect to ");
    prompt.until("not connected> ");
    prompt.enter("help ping");
    prompt.until("Returns PONG");
    prompt.enter("quit");
    assert_eq!(prompt.end(), Some(0));
}

#[test]
fn the_terminal_is_put_back_when_the_program_is_stopped() {
    let server = Server::start(&[]);
    let mut prompt = Prompt::start(server.command(&["repl"]));
    prompt.until("meilies> ");
    prompt.type_text("PI");
    prompt.until("PI");
    assert!(prompt.is_edited());
    prompt.signal(Signal::TERM);
    prompt.until("\x1b[?2004l");
    prompt.until("meilies-cli: interrupted");
    assert!(!prompt.is_edited());
    assert_eq!(prompt.end(), Some(130));
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_is_served() {
    let server = Server::start(&[]);
    let mut command = server.command(&["repl"]);
    command.env("TERM", "dumb");
    let mut prompt = Prompt::start(command);
    prompt.until("meilies> ");
    prompt.type_text("SUBSCRIBE orders\n");
    prompt.until("caught up");
    server.publish("orders", "created", "{}");
    prompt.until("orders  0  created  {}");
    prompt.type_text("quit\n");
    assert_eq!(prompt.end(), Some(0));
}

#[test]
fn scripts_run_without_a_prompt() {
    let server = Server::start(&[]);
    let input = concat!(
        "PUBLISH orders created '{\"id\": 1}'\n",
        "\n",
        "  publish orders \"\\x00\\xff\" two\r\n",
        "LAST-EVENT-NUMBER orders\n",
        "CLIENT REPLY SKIP\n",
        "PING\n",
        "DBSIZE"
    );
    let output = server.run_with(&["repl"], input.as_bytes());
    let silence = "no reply comes: CLIENT REPLY says so\n";
    let expected =
        format!("(integer) 0\n(integer) 1\n(integer) 1\n{silence}{silence}(integer) 1\n");
    assert_eq!(told(&output), (Some(0), expected, String::new()));
    let events: Vec<String> = server.export().lines().map(stable).collect();
    assert!(
        events[1].contains(r#""name":{"base64":"AP8="},"data":"two""#),
        "{events:?}"
    );
    // What follows quit is not done.
    let output = server.run_with(&["repl"], b"QUIT\nPING\n");
    assert_eq!(told(&output), (Some(0), String::new(), String::new()));
}

#[test]
fn the_first_error_of_a_script_is_its_exit_code() {
    let server = Server::start(&[]);
    for (input, stdout, code, stderr) in [
        (
            "PING\nNOTHING\nPUBLISH s n d EXPECT 5\nPING\n",
            "PONG\n(error) ERR unknown command 'NOTHING', with args beginning with: \n\
             (error) CONFLICT stream 's' has no event, expected 5\nPONG\n",
            4,
            "line 2: ERR unknown command 'NOTHING'",
        ),
        (
            "PUBLISH s n d EXPECT none\nPUBLISH s n d EXPECT none\nNOTHING x\n",
            "(integer) 0\n(error) CONFLICT stream 's' is at 0, expected none\n\
             (error) ERR unknown command 'NOTHING', with args beginning with: 'x' \n",
            5,
            "line 2: CONFLICT stream 's' is at 0, expected none",
        ),
        (
            "PING 'a\nPING\n",
            "(error) ERR a quotation mark is missing\nPONG\n",
            2,
            "line 1: a quotation mark is missing",
        ),
    ] {
        let (exit_code, shown, said) = told(&server.run_with(&["repl"], input.as_bytes()));
        assert_eq!((exit_code, shown.as_str()), (Some(code), stdout), "{said}");
        assert!(
            said.starts_with(&format!("meilies-cli: {stderr}")),
            "{said}"
        );
    }
}

#[test]
fn a_script_shows_what_it_subscribes_to_until_that_has_ended() {
    let server = Server::start(&[]);
    server.publish("orders", "created", "a");
    let mut follower = Follower::start(&mut server.command(&["repl", "--json"]));
    follower.write("SUBSCRIBE orders:0:2 other:0:1\n");
    assert_eq!(
        follower.line(),
        "{\"push\":[\"subscribe\",\"orders:0:2\",1]}\n"
    );
    assert_eq!(
        follower.line(),
        "{\"push\":[\"subscribe\",\"other:0:1\",2]}\n"
    );
    let event = follower.line();
    assert!(
        event.starts_with("{\"event\":{\"stream\":\"orders\",\"number\":0,"),
        "{event}"
    );
    follower.close_input();
    server.publish("orders", "created", "b");
    server.publish("other", "created", "c");
    let (code, stdout, stderr) = told(&follower.finish());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for part in [
        "\"data\":\"b\"}}\n",
        "\"data\":\"c\"}}\n",
        "[\"ended\",\"other:0:1\",1]}\n",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

#[test]
fn replies_are_lines_of_json_for_programs() {
    let server = Server::start(&[]);
    let input = "PUBLISH s n \"\\xff\"\nREAD-EVENTS s\nHELLO\nNOTHING\nSTREAM-NAMES\nTYPE no\n";
    let (code, stdout, _) = told(&server.run_with(&["repl", "--json"], input.as_bytes()));
    assert_eq!(code, Some(4));
    let lines: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(lines[0]["reply"], 0);
    assert_eq!(lines[1]["reply"][0]["data"]["base64"], "/w==");
    assert_eq!(lines[1]["reply"][0]["number"], 0);
    assert_eq!(lines[2]["reply"]["proto"], 3);
    assert_eq!(lines[3]["error"]["code"], "ERR");
    assert_eq!(lines[4]["reply"], serde_json::json!(["s"]));
    assert_eq!(lines[5]["reply"], "none");
    assert_eq!(lines.len(), 6);
}

#[test]
fn a_script_without_a_server_ends_at_once() {
    let mut command = program();
    command.args(["--port", "1", "repl"]);
    let (code, stdout, stderr) = told(&finish_with(&mut command, b"PING\n"));
    assert_eq!((code, stdout.as_str()), (Some(3), ""));
    assert!(stderr.contains("127.0.0.1:1"), "{stderr}");
}
