//! redis-cli as people use it: one command per call, many through a pipe, and at a terminal.

mod life;

use std::net::SocketAddr;

use meilies_tests::redis_cli::RedisCli;
use meilies_tests::words;

use super::server::Server;

const VALUE_BYTES: usize = 5 * 1024 * 1024;
const PIPE_COMMANDS: usize = 1000;
const VERSIONS: [&str; 2] = ["-2", "-3"];

/// Each command of the life by a process of its own.
pub(crate) fn command_by_command<S: Server>(version: &str) {
    let server = S::start();
    let run = |line: &str| call(server.address(), version, line);
    for (line, expected) in life::LIFE {
        let output = run(line);
        assert!(
            same(expected, &output),
            "{line}\n  expected {expected}\n  got      {output}"
        );
    }
    // A read that waits gets what another process adds.
    for (read, id) in [
        ("XREADGROUP GROUP g bob BLOCK 0 STREAMS orders >", "61-0"),
        ("XREAD BLOCK 0 STREAMS orders 61-0", "62-0"),
    ] {
        let waiting = start(server.address(), version, read);
        assert_eq!(run(&format!("XADD orders {id} n 1")), id);
        assert!(same(
            &format!("orders {id} n 1"),
            &waiting.rest().join("\n")
        ));
    }
    assert_eq!(run("XREAD BLOCK 20 STREAMS orders $").trim(), "");
    assert_eq!(run("--scan"), "orders");
    assert_eq!(run("DEL orders"), "1");
    assert_eq!(run("DBSIZE"), "0");
}

/// A thousand commands by `--pipe`, a value from the input, and commands from the input.
pub(crate) fn through_pipes<S: Server>() {
    let server = S::start();
    for version in VERSIONS {
        mass_insertion(server.address(), version);
        value_from_the_input(server.address(), version);
        commands_from_the_input(server.address(), version);
    }
}

/// What a person sees: kinds of replies, nested lists, and a transaction typed line by line.
pub(crate) fn at_a_terminal<S: Server>() {
    for version in VERSIONS {
        let server = S::start();
        let mut cli = RedisCli::at_terminal(server.address(), version);
        let mut step = |line: &str, expected: &[&str]| {
            cli.say(line);
            cli.expect(expected);
        };
        for (line, expected) in life::AT_A_TERMINAL {
            step(line, expected);
        }
        for (line, expected) in life::at_a_terminal_in(version) {
            step(line, expected);
        }
        step("WATCH orders", &["…OK"]);
        step("MULTI", &["…OK"]);
        step("XADD orders 3-0 by this", &["…QUEUED"]);
        let added = call(server.address(), version, "XADD orders 2-0 by another");
        assert_eq!(added, "2-0");
        step("EXEC", &["…(nil)"]);
        step("XLEN orders", &["…(integer) 2"]);
    }
}

fn mass_insertion(address: SocketAddr, version: &str) {
    let mut pipe = RedisCli::start(address, &[version, "--pipe"]);
    for number in 1..=PIPE_COMMANDS {
        pipe.say(&format!("XADD orders {number}-0 n {number}\r"));
    }
    let output = pipe.rest().join("\n");
    assert!(output.contains("errors: 0, replies: 1000"), "{output}");
    assert_eq!(call(address, version, "XLEN orders"), "1000");

    let mut pipe = RedisCli::start(address, &[version, "--pipe"]);
    pipe.say("XADD orders 1-0 n 1\r\nXDEL orders 1-0\r\nXADD orders\r");
    let output = pipe.rest().join("\n");
    assert!(output.contains("errors: 2, replies: 3"), "{output}");
    assert_eq!(call(address, version, "XLEN orders"), "999");
    assert_eq!(call(address, version, "DEL orders"), "1");
}

fn value_from_the_input(address: SocketAddr, version: &str) {
    let arguments = [version, "-x", "XADD", "large", "1-0", "value"];
    let mut cli = RedisCli::start(address, &arguments);
    let value = "0123456789abcdef".repeat(VALUE_BYTES / 16);
    cli.say(&value);
    assert_eq!(cli.rest(), ["1-0"]);
    let output = call(address, version, "XRANGE large - +");
    let same = output.trim_end() == format!("1-0\nvalue\n{value}");
    assert!(same, "{} bytes came back changed", output.len());
    assert_eq!(call(address, version, "DEL large"), "1");
}

fn commands_from_the_input(address: SocketAddr, version: &str) {
    let mut cli = RedisCli::start(address, &[version, "--no-raw"]);
    let every_byte: Vec<String> = (0..=255).map(|byte| format!("\\x{byte:02x}")).collect();
    let every_byte = every_byte.concat();
    for line in [
        "MULTI",
        "XADD orders 1-0 n 1",
        "XADD orders 1-0 n 1",
        "XLEN orders",
        "EXEC",
        "MULTI",
        "XADD orders",
        "EXEC",
        &format!("XADD 'two words' 1-0 \"{every_byte}\" \"ключ\""),
        "XRANGE 'two words' 1 1",
        "DEL orders 'two words'",
    ] {
        cli.say(line);
    }
    cli.expect(&["OK", "QUEUED", "QUEUED", "QUEUED", "1) \"1-0\""]);
    cli.expect(&[
        "2) (error) ERR The ID specified in XADD is equal or smaller than the target stream top \
         item",
        "3) (integer) 1",
        "OK",
        "(error) ERR wrong number of arguments for 'xadd' command",
        "(error) EXECABORT Transaction discarded because of previous errors.",
        "\"1-0\"",
        "1) 1) \"1-0\"",
    ]);
    cli.expect(&[
        &format!("   2) 1) \"{}\"", shown_bytes()),
        "      2) \"\\xd0\\xba\\xd0\\xbb\\xd1\\x8e\\xd1\\x87\"",
        "(integer) 2",
    ]);
}

/// Every byte there is, as redis-cli shows it between quotes.
fn shown_bytes() -> String {
    let shown = |byte: u8| match byte {
        b'\\' | b'"' => format!("\\{}", char::from(byte)),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        7 => "\\a".to_owned(),
        8 => "\\b".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    (0..=255).map(shown).collect()
}

/// What one call of redis-cli says.
fn call(address: SocketAddr, version: &str, line: &str) -> String {
    start(address, version, line).rest().join("\n")
}

fn start(address: SocketAddr, version: &str, line: &str) -> RedisCli {
    let words = words::split(line).into_iter();
    let words: Vec<String> = words
        .map(|word| String::from_utf8(word).expect("the lines are text"))
        .collect();
    let mut arguments = vec![version];
    arguments.extend(words.iter().map(String::as_str));
    RedisCli::start(address, &arguments)
}

/// What XINFO STREAM has since Redis 8.6, each with a number.
const NEWER_FIELDS: [&str; 6] = [
    "idmp-duration",
    "idmp-maxsize",
    "pids-tracked",
    "iids-tracked",
    "iids-added",
    "iids-duplicates",
];

/// Whether the words are the same; `<n>` is any number. RESP3 puts the name and the value of a map
/// on one line, RESP2 on two. Fields that the Redis of these tests does not have are passed over.
fn same(expected: &str, output: &str) -> bool {
    let mut words = output.split_whitespace();
    let mut output = std::iter::from_fn(|| {
        loop {
            let word = words.next()?;
            if !NEWER_FIELDS.contains(&word) {
                return Some(word);
            }
            words.next()?.parse::<u64>().ok()?;
        }
    });
    let all = expected.split_whitespace().all(|word| {
        output.next().is_some_and(|found| match word {
            "<n>" => found.parse::<u64>().is_ok(),
            _ => word == found,
        })
    });
    all && output.next().is_none()
}
