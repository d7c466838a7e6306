//! Goal: colours and progress are for people at a terminal, and nobody else gets them.

use std::process::{Command, Stdio};

use super::harness::{Server, Terminal, good, told};

fn server() -> Server {
    let server = Server::start(&[]);
    server.publish("orders", "created", "{}");
    server
}

/// What a command prints on a terminal.
fn on_terminal(mut command: Command) -> String {
    let terminal = Terminal::new();
    command.stdin(Stdio::null());
    command.stdout(terminal.side()).stderr(terminal.side());
    let (output, screen) = terminal.finish(command);
    assert_eq!(output.status.code(), Some(0), "{screen}");
    screen
}

#[test]
fn colours_are_for_terminals() {
    let server = server();
    for arguments in [
        &["subscribe", "orders:0:1"][..],
        &["read", "orders"],
        &["info"],
        &["info", "orders"],
    ] {
        let screen = on_terminal(server.command(arguments));
        assert!(screen.contains("\x1b["), "{arguments:?}: {screen}");
        assert!(!server.print(arguments).contains('\x1b'), "{arguments:?}");
        let json = on_terminal(server.command(&[&["--json"], arguments].concat()));
        assert!(!json.contains('\x1b'), "{json}");
    }
}

#[test]
fn the_environment_decides_on_colours() {
    let server = server();
    let read = |name: &str, value: &str| {
        let mut command = server.command(&["read", "orders"]);
        command.env(name, value);
        command
    };
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        for build_service in [false, true] {
            let mut command = read(name, value);
            if build_service {
                command.env("CI", "true");
            }
            let screen = on_terminal(command);
            assert!(!screen.contains('\x1b'), "{name}: {screen}");
        }
    }
    let output = super::harness::finish(&mut read("CLICOLOR_FORCE", "1"));
    assert!(told(&output).1.contains("\x1b["));
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    let server = server();
    let lines = server.export();
    let directory = tempfile::TempDir::new().expect("a temporary directory can be made");
    let path = directory.path().join("events.ndjson");
    std::fs::write(&path, lines.as_bytes()).expect("files can be written");
    let path = path.to_str().expect("the path is text");
    for (arguments, stdout) in [
        (&["export"][..], lines.as_str()),
        (
            &["import", path, "--renumber"],
            "1 event was imported, 1 of them with a new id\n",
        ),
    ] {
        let terminal = Terminal::new();
        let mut command = server.command(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(terminal.side());
        let (output, screen) = terminal.finish(command);
        assert_eq!(told(&output), good(stdout), "{screen}");
        assert!(
            screen.contains("100%") && screen.contains("1 event, "),
            "{screen:?}"
        );
        assert!(
            screen.contains("/s  ") && screen.contains(" left"),
            "{screen:?}"
        );
    }
    // Elsewhere nothing is said.
    assert_eq!(told(&server.run(&["export"])).2, "");
    assert_eq!(told(&server.run(&["import", path, "--renumber"])).2, "");
    // A terminal that cannot move the cursor is none for this.
    let terminal = Terminal::new();
    let mut command = server.command(&["export"]);
    command.env("TERM", "dumb").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(terminal.side());
    assert_eq!(terminal.finish(command).1, "");
    // The lines themselves are shown there: nothing is written between them.
    let screen = on_terminal(server.command(&["export", "orders:0:1"]));
    assert_eq!(
        screen.replace("\r\n", "\n"),
        server.print(&["export", "orders:0:1"])
    );
}

#[test]
fn import_does_not_wait_for_a_terminal() {
    let server = server();
    let terminal = Terminal::new();
    let mut command = server.command(&["import"]);
    command
        .stdin(terminal.side())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (output, _) = terminal.finish(command);
    let (code, stdout, stderr) = told(&output);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("standard input is a terminal"), "{stderr}");
}
