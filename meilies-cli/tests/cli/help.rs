//! Goal: whoever does not know the program is told what to type, and wrong usage is told before
//! anything is sent. Completions and manual pages know every command.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::harness::{Server, finish, good, program, told};

const COMMANDS: [&str; 15] = [
    "publish",
    "subscribe",
    "read",
    "last-event-number",
    "stream-names",
    "info",
    "group",
    "export",
    "import",
    "migrate",
    "inspect",
    "bench",
    "repl",
    "completions",
    "man",
];

/// What can be done: each has a help and a manual page of its own.
fn works() -> Vec<Vec<&'static str>> {
    let has_parts = |command: &&str| ["bench", "group"].contains(command);
    let commands = COMMANDS.into_iter().filter(|command| !has_parts(command));
    let benches = ["publish", "replay", "fan-out"];
    let groups = [
        "create", "destroy", "info", "read", "ack", "pending", "claim",
    ];
    commands
        .map(|command| vec![command])
        .chain(benches.map(|bench| vec!["bench", bench]))
        .chain(groups.map(|group| vec!["group", group]))
        .collect()
}

#[test]
fn without_arguments_there_is_help() {
    let (code, stdout, stderr) = told(&finish(&mut program()));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let (_, help, _) = told(&finish(program().arg("--help")));
    for command in COMMANDS {
        assert!(stderr.contains(&format!("\n  {command} ")), "{stderr}");
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    assert!(
        help.contains("Examples:") && help.contains("Exit codes:"),
        "{help}"
    );
}

#[test]
fn each_command_has_help_with_examples() {
    for work in works() {
        let (code, help, stderr) = told(&finish(program().args(&work).arg("--help")));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{work:?}");
        let usage = format!("Usage: meilies-cli {}", work.join(" "));
        assert!(help.contains(&usage), "{help}");
        assert!(help.contains("Examples:\n"), "{help}");
        assert!(help.contains("--hostname <HOST>"), "{help}");
        assert!(!help.contains("\n\n\n"), "{help}");
    }
    // What is needed is missing: the whole help, not a list of what was not given.
    for command in [
        "publish",
        "subscribe",
        "read",
        "last-event-number",
        "completions",
    ] {
        let (code, stdout, stderr) = told(&finish(program().arg(command)));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{command}");
        assert!(stderr.contains("Examples:\n"), "{command}: {stderr}");
    }
}

#[test]
fn version_and_host_name_have_their_flags() {
    let version = finish(program().arg("--version"));
    let expected = format!("meilies-cli {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(told(&version), good(&expected));
    // `-h` is the host name and needs one.
    assert_eq!(finish(program().arg("-h")).status.code(), Some(2));
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    let server = Server::start(&[]);
    for arguments in [
        &["frobnicate"][..],
        &["publish", "s", "n"],
        &["publish", "s", "n", "d", "--expect", "-1"],
        &["publish", "", "n", "d"],
        &["publish", "s", "", "d"],
        &["publish", "$all", "n", "d"],
        &["subscribe", "--json"],
        &["subscribe", "s:5:5"],
        &["subscribe", "good:0:1", "s:"],
        &["subscribe", "s", "--count", "0"],
        &["read", "s", "t"],
        &["read", "s:"],
        &["read", "s", "--count", "-1"],
        &["last-event-number", ""],
        &["info", ""],
        &["export", "s:"],
        &["export", "s:$"],
        &["import", "a", "b"],
        &["completions", "tcsh"],
        &["man", "frobnicate"],
        &["man", "publish", "--directory", "pages"],
        &["publish", "s", "n", "d", "--port", "65536"],
        &["publish", "s", "n", "d", "--connect-timeout", "0"],
    ] {
        let output = server.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(server.export(), "");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, stderr) = told(&finish(program().args(["completions", shell])));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{shell}");
        for command in COMMANDS {
            assert!(
                script.contains(command),
                "{shell} does not complete {command}"
            );
        }
        for flag in ["until-caught-up", "renumber", "hostname"] {
            assert!(script.contains(flag), "{shell} does not complete --{flag}");
        }
    }
    // A shell reads it, and completes with it.
    let script = "source <(\"$0\" completions bash) && COMP_WORDS=(meilies-cli stre) && \
                  COMP_CWORD=1 && $(complete -p meilies-cli | sed 's/.*-F //; s/ .*//') \
                  meilies-cli stre meilies-cli; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).arg(program().get_program());
    assert_eq!(told(&finish(&mut bash)), good("stream-names\n"));
}

#[test]
fn every_command_has_a_manual_page() {
    let (code, page, stderr) = told(&finish(program().arg("man")));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(page.contains(".TH meilies-cli 1"), "{page}");
    for work in works() {
        let (code, page, stderr) = told(&finish(program().arg("man").args(&work)));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{work:?}");
        let title = format!(".TH meilies-cli-{} 1 ", work.join("-"));
        assert!(page.contains(&title), "{page}");
        assert!(
            page.contains(".SH NOTES\n") && page.contains("Examples:"),
            "{page}"
        );
    }
    let directory = TempDir::new().expect("a temporary directory can be made");
    let pages = directory.path().join("man/man1");
    let mut write = program();
    write.args(["man", "--directory"]).arg(&pages);
    assert_eq!(told(&finish(&mut write)), good(""));
    for work in works().into_iter().chain([vec![], vec!["bench"]]) {
        let (_, page, _) = told(&finish(program().arg("man").args(&work)));
        let name = [&["meilies-cli"], work.as_slice()].concat().join("-");
        let path = pages.join(format!("{name}.1"));
        assert_eq!(fs::read_to_string(path).expect("the page is there"), page);
    }
}
