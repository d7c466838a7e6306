//! Goal: `meilies-cli inspect` handles each event once and in order, and after a kill none less.
//!
//! Method: the commands write to files of the test, or wait for each other at named pipes.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use meilies_tests::process::wait;
use meilies_tests::seed::seed;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::harness::{DEADLINE, Follower, Server, binary, finish, good, told};

/// A server, and a directory for what commands do.
struct Place {
    server: Server,
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            server: Server::start(&[]),
            directory: TempDir::new().expect("a directory can be made"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `inspect` in the directory.
    fn inspect(&self, arguments: &[&str]) -> Command {
        let mut command = self.server.command(&["inspect"]);
        command.args(arguments).current_dir(&self.directory);
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        told(&finish(&mut self.inspect(arguments)))
    }

    /// Publishes so many events with their numbers as data.
    fn publish(&self, stream: &str, count: u64) {
        let mut client = self.server.process().client();
        for number in 0..count {
            client
                .command(&["PUBLISH", stream, "n", &number.to_string()])
                .integer();
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// Lets a command go on that reads from this pipe, now or later. What is returned is to be
    /// kept until then.
    fn release(&self, pipe: &str, word: &str) -> File {
        let mut pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(pipe))
            .expect("the pipe is there");
        pipe.write_all(word.as_bytes()).expect("it has room");
        pipe
    }

    fn make_pipe(&self, name: &str) {
        let made = Command::new("mkfifo").arg(self.path(name)).status();
        assert!(made.expect("there is mkfifo").success());
    }
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Waits until something is true.
fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_true() {
        assert!(Instant::now() < until, "waited for {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn a_command_gets_the_event() {
    let place = Place::new();
    let mut client = place.server.process().client();
    client.command(&["PUBLISH", "other", "n", "d"]);
    client.command(&["PUBLISH", "orders", "created", "one\ntwo"]);
    client.command(&["PUBLISH", "orders", "paid", ""]);
    let show = "echo $MEILIES_STREAM_NAME $MEILIES_EVENT_NAME $MEILIES_EVENT_NUMBER \
                $MEILIES_EVENT_POSITION; cat; echo $MEILIES_EVENT_ID | tr -d 0-9";
    let expected = "orders created 0 1\none\ntwo-\norders paid 1 2\n-\n";
    assert_eq!(place.run(&["orders:0:2", show]), good(expected));
    assert_eq!(
        place.run(&["orders:0", show, "--until-caught-up"]),
        good(expected)
    );
    let all = format!("other n 0 0\nd-\n{expected}");
    assert_eq!(place.run(&["$all:0:3", show]), good(&all));
    assert_eq!(place.run(&["orders", show, "--until-caught-up"]), good(""));
    assert_eq!(place.run(&["none:0", show, "--until-caught-up"]), good(""));
}

#[test]
fn any_bytes_are_passed_on() {
    let place = Place::new();
    let mut client = place.server.process().client();
    let data: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let words: [&[u8]; 4] = [b"PUBLISH", b"caf\xe9\n", b"\xff n", &data];
    client.command(&words).integer();
    let show = "cat > data; printf %s \"$MEILIES_STREAM_NAME\" > stream; \
                printf %s \"$MEILIES_EVENT_NAME\" > event";
    assert_eq!(place.run(&["$all:0:1", show]), good(""));
    let read = |name| fs::read(place.path(name)).expect("the command wrote it");
    assert_eq!(read("data"), data);
    assert_eq!(read("stream"), b"caf\xe9\n");
    assert_eq!(read("event"), b"\xff n");
}

#[test]
fn a_name_with_nul_cannot_be_passed_on() {
    let place = Place::new();
    let mut client = place.server.process().client();
    client.command(&["PUBLISH", "a", "n\0m", "d"]).integer();
    client.command(&["PUBLISH", "b\0c", "n", "d"]).integer();
    for (spec, reason) in [
        (
            "a:0:1",
            "event 0 of 'a': the name of the event has a NUL byte",
        ),
        (
            "$all:1:2",
            "event 0 of 'b\\x00c': the name of the stream has a NUL byte",
        ),
    ] {
        let (code, stdout, stderr) = place.run(&[spec, "echo run"]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains(reason), "{stderr}");
    }
}

#[test]
fn a_command_need_not_read() {
    let place = Place::new();
    let data = "x".repeat(1_000_000);
    place
        .server
        .process()
        .client()
        .command(&["PUBLISH", "a", "n", &data])
        .integer();
    assert_eq!(place.run(&["a:0:1", "echo done"]), good("done\n"));
    assert_eq!(place.run(&["a:0:1", "exec <&-; echo done"]), good("done\n"));
    // What runs on in the background holds nobody up.
    assert_eq!(
        place.run(&["a:0:1", "exec 3<&0; true 0<&3 & echo done"]).0,
        Some(0)
    );
}

#[test]
fn the_first_failure_is_the_last_command() {
    let place = Place::new();
    place.publish("a", 5);
    let (code, stdout, stderr) = place.run(&["a:0", "cat; test $MEILIES_EVENT_NUMBER -lt 2"]);
    assert_eq!((code, stdout.as_str()), (Some(8), "012"));
    assert_eq!(
        stderr,
        "meilies-cli: event 2 of 'a': the command ended with status 1\n"
    );

    let (code, stdout, stderr) = place.run(&["a:3", "cat; kill -9 $$"]);
    assert_eq!((code, stdout.as_str()), (Some(8), "3"));
    assert_eq!(
        stderr,
        "meilies-cli: event 3 of 'a': the command was ended by signal 9\n"
    );
}

#[test]
fn it_follows_until_it_is_stopped() {
    let place = Place::new();
    place.publish("a", 1);
    let mut follower = Follower::start(&mut place.inspect(&["a:0", "cat; echo"]));
    assert_eq!(follower.line(), "0\n");
    place
        .server
        .process()
        .client()
        .command(&["PUBLISH", "a", "n", "next"]);
    assert_eq!(follower.line(), "next\n");
    follower.signal(Signal::INT);
    assert_eq!(told(&follower.finish()), good(""));
}

#[test]
fn a_saved_position_is_where_the_next_start_begins() {
    let place = Place::new();
    place.publish("a", 6);
    let run = |spec: &str, command: &str| place.run(&[spec, command, "--position", "saved"]);
    let (code, stdout, _) = run("a:1:5", "cat; test $MEILIES_EVENT_NUMBER -ne 3");
    assert_eq!((code, stdout.as_str()), (Some(8), "123"));
    assert_eq!(run("a:1:5", "cat"), good("34"));
    assert_eq!(run("a:1:5", "cat"), good(""));

    let (code, stdout, stderr) = run("a:1", "cat");
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(
        stderr.contains("saved: this file belongs to the spec 'a:1:5'"),
        "{stderr}"
    );
    let names: Vec<_> = fs::read_dir(&place.directory)
        .expect("it is there")
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_position_of_another_store_is_refused() {
    let place = Place::new();
    place.publish("a", 3);
    let arguments = ["a:0", "cat", "--position", "saved", "--until-caught-up"];
    assert_eq!(place.run(&arguments), good("012"));
    assert_eq!(place.run(&arguments), good(""));
    let saved = place.read("saved");
    for events in [3, 1, 0] {
        let other = Server::start(&[]);
        let mut client = other.process().client();
        for _ in 0..events {
            client.command(&["PUBLISH", "a", "n", "other"]).integer();
        }
        let mut command = other.command(&["inspect"]);
        command.args(arguments).current_dir(&place.directory);
        let (code, stdout, stderr) = told(&finish(&mut command));
        assert_eq!((code, stdout.as_str()), (Some(7), ""), "{events}: {stderr}");
        assert!(
            stderr.contains("the saved position belongs to another store"),
            "{stderr}"
        );
        assert_eq!(place.read("saved"), saved);
    }
}

#[test]
fn a_spec_without_a_start_begins_where_it_began_first() {
    let place = Place::new();
    place.publish("a", 2);
    let arguments = ["a", "cat", "--position", "saved", "--until-caught-up"];
    assert_eq!(place.run(&arguments), good(""));
    place.publish("a", 3);
    assert_eq!(place.run(&arguments), good("012"));
    assert_eq!(place.run(&arguments), good(""));
}

#[test]
fn a_position_that_cannot_be_saved_ends_it() {
    let place = Place::new();
    place.publish("a", 3);
    let missing = place.run(&["a:0", "cat", "--position", "none/saved"]);
    assert_eq!((missing.0, missing.1.as_str()), (Some(1), ""));
    assert!(
        missing.2.contains("none/saved: No such file"),
        "{missing:?}"
    );
    // The directory goes away while it runs.
    fs::create_dir(place.path("there")).expect("it can be made");
    let arguments = ["a:0", "cat; rm -rf there", "--position", "there/saved"];
    let (code, stdout, stderr) = place.run(&arguments);
    assert_eq!((code, stdout.as_str()), (Some(1), "0"), "{stderr}");
    assert!(stderr.contains("No such file"), "{stderr}");
}

/// Runs it again and again, and kills it when `log` has grown by a random number of lines. Gives
/// the number of kills.
fn kill_until_done(place: &Place, seed: u64, arguments: &[&str], log: &str) -> usize {
    let mut state = seed | 1;
    let mut kills = 0;
    loop {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let limit = place.lines(log).len() + usize::try_from(state % 30).expect("it is small");
        let mut child = place
            .inspect(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("it starts");
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = child.try_wait().expect("the child is ours to wait for") {
                assert!(status.success(), "{status}");
                return kills;
            }
            if place.lines(log).len() > limit {
                break;
            }
            assert!(Instant::now() < until, "still running after {DEADLINE:?}");
            thread::park_timeout(Duration::from_micros(200));
        }
        child.kill().expect("the child is ours to kill");
        child.wait().expect("the child is ours to wait for");
        kills += 1;
    }
}

/// The lines without those that were there before.
fn first_of(lines: &[String]) -> Vec<String> {
    let mut first: Vec<String> = Vec::new();
    for line in lines {
        if !first.contains(line) {
            first.push(line.clone());
        }
    }
    first
}

#[test]
fn after_a_kill_only_what_ran_is_repeated() {
    let place = Place::new();
    place.publish("a", 150);
    let arguments = ["a:0:150", "echo $(cat) >> log", "--position", "saved"];
    let seed = seed();
    println!("replay with SEED={seed}");
    let kills = kill_until_done(&place, seed, &arguments, "log");
    assert!(kills > 0, "it was never killed");
    let lines = place.lines("log");
    assert_eq!(first_of(&lines), numbers(0..150));
    assert!(
        lines.len() <= 150 + kills,
        "{} lines, {kills} kills",
        lines.len()
    );
}

#[test]
fn after_a_kill_of_several_only_what_ran_is_repeated() {
    let place = Place::new();
    let mut client = place.server.process().client();
    for number in 0..200 {
        let stream = format!("s{}", number * number % 7);
        client
            .command(&["PUBLISH", &stream, "n", &number.to_string()])
            .integer();
    }
    let command = "echo $(cat) $MEILIES_STREAM_NAME $MEILIES_EVENT_NUMBER >> log";
    let arguments = [
        "$all:0:200",
        command,
        "--position",
        "saved",
        "--parallel",
        "3",
    ];
    let seed = seed();
    println!("replay with SEED={seed}");
    let kills = kill_until_done(&place, seed, &arguments, "log");
    assert!(kills > 0, "it was never killed");
    let lines = place.lines("log");
    assert!(
        lines.len() <= 200 + 3 * kills,
        "{} lines, {kills} kills",
        lines.len()
    );
    let first = first_of(&lines);
    assert_eq!(first.len(), 200);
    for stream in 0..7 {
        let name = format!(" s{stream} ");
        let of_stream = first.iter().filter(|line| line.contains(&name));
        let numbers: Vec<u64> = of_stream
            .map(|line| {
                line.rsplit(' ')
                    .next()
                    .and_then(|it| it.parse().ok())
                    .expect("a number")
            })
            .collect();
        let expected: Vec<u64> = (0..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "stream {stream}");
    }
}

#[test]
fn commands_of_different_streams_run_at_the_same_time() {
    let place = Place::new();
    for _ in 0..3 {
        place.publish("a", 1);
        place.publish("b", 1);
    }
    place.make_pipe("to-b");
    place.make_pipe("to-a");
    // Each waits for the other to be there.
    let meet = "echo $MEILIES_EVENT_NUMBER >> $MEILIES_STREAM_NAME
                case $MEILIES_STREAM_NAME in
                  a) echo hello > to-b; read word < to-a ;;
                  b) read word < to-b; echo hello > to-a ;;
                esac
                test \"$word\" = hello";
    assert_eq!(place.run(&["$all:0:6", meet, "--parallel", "2"]), good(""));
    assert_eq!(place.lines("a"), numbers(0..3));
    assert_eq!(place.lines("b"), numbers(0..3));
}

#[test]
fn commands_of_one_stream_do_not_run_at_the_same_time() {
    let place = Place::new();
    place.publish("a", 30);
    place.publish("b", 30);
    // A directory can be made once at a time.
    let alone = "mkdir lock-$MEILIES_STREAM_NAME && cat >> $MEILIES_STREAM_NAME && \
                 echo >> $MEILIES_STREAM_NAME && rmdir lock-$MEILIES_STREAM_NAME";
    assert_eq!(
        place.run(&["$all:0:60", alone, "--parallel", "8"]),
        good("")
    );
    assert_eq!(place.lines("a"), numbers(0..30));
    assert_eq!(place.lines("b"), numbers(0..30));
}

#[test]
fn a_failure_waits_for_those_that_run() {
    let place = Place::new();
    place.publish("a", 2);
    place.publish("b", 2);
    place.make_pipe("go");
    // `b` fails while `a` runs, and `a` ends after that.
    let command = "case $MEILIES_STREAM_NAME in
                     a) read word < go; echo $MEILIES_EVENT_NUMBER >> a ;;
                     b) echo failing; exit 3 ;;
                   esac";
    let arguments = ["$all:0", command, "--parallel", "2", "--position", "saved"];
    let mut follower = Follower::start(&mut place.inspect(&arguments));
    assert_eq!(follower.line(), "failing\n");
    let _pipe = place.release("go", "go\n");
    let (code, stdout, stderr) = told(&follower.finish());
    assert_eq!((code, stdout.as_str()), (Some(8), ""));
    assert_eq!(
        stderr,
        "meilies-cli: event 0 of 'b': the command ended with status 3\n"
    );
    assert_eq!(place.lines("a"), ["0"]);
    // It was recorded: the next start does not handle it again.
    let again = place.run(&[
        "$all:0",
        "cat; echo",
        "--position",
        "saved",
        "--until-caught-up",
    ]);
    assert_eq!(again, good("1\n0\n1\n"));
}

/// It in a process group of its own, with a command that waits at a pipe.
struct Waiting {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Waiting {
    fn start(place: &Place) -> Waiting {
        place.publish("a", 2);
        place.make_pipe("go");
        let command = "echo begun; read word < go; echo $word >> log";
        let mut inspect = place.inspect(&["a:0", command, "--position", "saved"]);
        inspect
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = inspect.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line comes");
        assert_eq!(line, "begun\n");
        Waiting { child, stdout }
    }

    /// As a terminal does, which sends it to all processes of the group.
    fn interrupt(&self) {
        let group = i32::try_from(self.child.id()).expect("process ids fit");
        let group = Pid::from_raw(group).expect("process ids are not zero");
        kill_process_group(group, Signal::INT).expect("the group is there");
    }

    /// Waits until the signal handler has run.
    fn wait_for_handler(&self) {
        let path = format!("/proc/{}/status", self.child.id());
        wait_until("the signal to be taken", || {
            let status = fs::read_to_string(Path::new(&path)).expect("the process is there");
            let mut pending = status.lines().filter(|line| line.contains("Pnd:"));
            pending.all(|line| line.ends_with("0000000000000000"))
        });
    }

    fn finish(mut self) -> (Option<i32>, String, String) {
        let status = wait(&mut self.child, DEADLINE).expect("it ends before the deadline");
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).expect("it is text");
        let mut pipe = self.child.stderr.take().expect("it is piped");
        pipe.read_to_string(&mut stderr).expect("it is text");
        (status.code(), stdout, stderr)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn ctrl_c_waits_for_the_command() {
    let place = Place::new();
    let waiting = Waiting::start(&place);
    waiting.interrupt();
    waiting.wait_for_handler();
    let _pipe = place.release("go", "went\n");
    assert_eq!(waiting.finish(), good(""));
    assert_eq!(place.lines("log"), ["went"]);
    let rest = place.run(&["a:0", "cat", "--position", "saved", "--until-caught-up"]);
    assert_eq!(rest, good("1"));
}

#[test]
fn a_second_ctrl_c_interrupts_the_command() {
    let place = Place::new();
    let mut waiting = Waiting::start(&place);
    // Two that come before the first was looked at count as one: so it is sent until it is taken.
    let until = Instant::now() + DEADLINE;
    while waiting
        .child
        .try_wait()
        .expect("the child is ours to wait for")
        .is_none()
    {
        assert!(Instant::now() < until, "still running after {DEADLINE:?}");
        waiting.interrupt();
        thread::park_timeout(Duration::from_millis(20));
    }
    let (code, stdout, stderr) = waiting.finish();
    assert_eq!((code, stdout.as_str()), (Some(130), ""), "{stderr}");
    assert_eq!(place.lines("log"), Vec::<String>::new());
    let rest = place.run(&["a:0", "cat", "--position", "saved", "--until-caught-up"]);
    assert_eq!(rest, good("01"));
}

#[test]
fn wrong_usage_is_told_before_anything_is_run() {
    let place = Place::new();
    place.publish("a", 1);
    for arguments in [
        &["a:0"][..],
        &["a:", "echo run"],
        &["a:0", "echo run", "--parallel", "0"],
        &["a:0", "echo run", "--parallel", "1000"],
        &["a:0", "echo run", "b:0"],
    ] {
        let (code, stdout, stderr) = place.run(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!stderr.is_empty(), "{arguments:?}");
    }
    fs::write(place.path("other"), "not ours").expect("it can be written");
    let (code, stdout, stderr) = place.run(&["a:0", "echo run", "--position", "other"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("other: not a file of inspect"), "{stderr}");
    assert_eq!(place.read("other"), "not ours");
}

#[test]
fn meilies_inspect_is_a_name_of_it() {
    let place = Place::new();
    place.publish("a", 3);
    let program = || binary(env!("CARGO_BIN_EXE_meilies-inspect"));
    let port = place.server.address().port().to_string();
    let mut command = program();
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "--stream",
        "a:1:3",
        "cat; echo",
    ]);
    assert_eq!(told(&finish(&mut command)), good("1\n2\n"));
    command = program();
    command.arg("--port").arg(&port).arg("--stream").arg("a:0");
    command.arg(OsStr::from_bytes(b"exit 3 # \xff"));
    assert_eq!(finish(&mut command).status.code(), Some(8));
    let (code, stdout, _) = told(&finish(program().arg("--help")));
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("meilies-cli inspect") && stdout.contains("--stream"),
        "{stdout}"
    );
    assert_eq!(
        finish(program().args(["--stream", "a:0"])).status.code(),
        Some(2)
    );
}
