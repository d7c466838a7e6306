//! Goal: clients that we did not write connect and work as their users expect.
//!
//! Method: redis-cli as a process, in both protocol versions, one command at a time, through a
//! pipe and at a terminal; the `redis` crate, blocking and asynchronous.

use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::redis_cli::RedisCli;
use meilies_tests::redis_process::program;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, Value};

const VERSIONS: [&str; 2] = ["-2", "-3"];

/// An event of stream and number, position, and data, as redis-cli prints it to a pipe.
fn event(stream: &str, number: &str, position: &str, data: &str) -> Vec<String> {
    ["event", stream, number, position, "<id>", "created", data]
        .map(str::to_owned)
        .to_vec()
}

fn pevent(stream: &str, number: &str, position: &str, data: &str) -> Vec<String> {
    let words = [
        "pevent", "$all", stream, number, position, "<id>", "created", data,
    ];
    words.map(str::to_owned).to_vec()
}

fn expect(cli: &RedisCli, lines: &[Vec<String>]) {
    let lines: Vec<&str> = lines.iter().flatten().map(String::as_str).collect();
    cli.expect(&lines);
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn publish(server: &ServerProcess, version: &str, stream: &str, data: &str) -> String {
    let arguments = [version, "PUBLISH", stream, "created", data];
    RedisCli::start(server.address(), &arguments)
        .rest()
        .join("\n")
}

#[test]
fn redis_cli_follows_from_everywhere() {
    for (version, stream) in VERSIONS
        .into_iter()
        .flat_map(|v| [(v, "orders"), (v, "orders:42")])
    {
        let server = ServerProcess::start(&Settings::default());
        for number in ["0", "1", "2", "3", "4"] {
            assert_eq!(publish(&server, version, stream, number), number);
        }
        let subscribe =
            |spec: &str| RedisCli::start(server.address(), &[version, "SUBSCRIBE", spec]);
        let past = |from: usize| -> Vec<Vec<String>> {
            let numbers = ["0", "1", "2", "3", "4"];
            numbers[from..]
                .iter()
                .map(|n| event(stream, n, n, n))
                .collect()
        };
        let all: Vec<Vec<String>> = ["0", "1", "2", "3", "4"]
            .map(|n| pevent(stream, n, n, n))
            .to_vec();

        let from_0 = subscribe(&format!("{stream}:0:+"));
        expect(&from_0, &[words(&format!("subscribe {stream}:0:+ 1"))]);
        expect(&from_0, &past(0));
        expect(&from_0, &[words(&format!("caught-up {stream} 4"))]);
        let from_2 = subscribe(&format!("{stream}:2:+"));
        expect(&from_2, &[words(&format!("subscribe {stream}:2:+ 1"))]);
        expect(&from_2, &past(2));
        expect(&from_2, &[words(&format!("caught-up {stream} 4"))]);
        let from_7 = subscribe(&format!("{stream}:7:+"));
        expect(&from_7, &[words(&format!("subscribe {stream}:7:+ 1"))]);
        let of_all = subscribe("$all:0");
        expect(&of_all, &[words("subscribe $all:0 1")]);
        expect(&of_all, &all);
        expect(&of_all, &[words("caught-up $all 4")]);

        for number in ["5", "6", "7"] {
            assert_eq!(publish(&server, version, stream, number), number);
        }
        let live: Vec<Vec<String>> = ["5", "6", "7"].map(|n| event(stream, n, n, n)).to_vec();
        expect(&from_0, &live);
        expect(&from_2, &live);
        from_7.expect(&["…event", stream, "7", "7", "<id>", "created", "7"]);
        expect(&of_all, &["5", "6", "7"].map(|n| pevent(stream, n, n, n)));
    }
}

#[test]
fn redis_cli_takes_commands_through_a_pipe() {
    for version in VERSIONS {
        let server = ServerProcess::start(&Settings::default());
        let mut cli = RedisCli::start(server.address(), &[version]);
        for line in [
            "PING",
            "PUBLISH orders created '{\"id\": 1}'",
            "publish orders paid \"\\x41\"",
            "LAST-EVENT-NUMBER orders",
            "LAST-EVENT-NUMBER nonsense",
            "STREAM-NAMES",
            "NONSENSE",
            "PUBLISH orders created {} EXPECT 7",
            "READ-EVENTS orders:1",
            "SELECT 0",
            "TYPE orders",
            "DBSIZE",
        ] {
            cli.say(line);
        }
        let expected = [
            "PONG",
            "0",
            "1",
            "1",
            "",
            "orders",
            "ERR unknown command 'NONSENSE', with args beginning with: ",
            "",
            "CONFLICT stream 'orders' is at 1, expected 7",
            "",
            "orders",
            "1",
            "1",
            "<id>",
            "paid",
            "A",
            "OK",
            "stream",
            "1",
        ];
        cli.expect(&expected);
        cli.say("SUBSCRIBE orders:1");
        cli.expect(&[
            "subscribe",
            "orders:1",
            "1",
            "event",
            "orders",
            "1",
            "1",
            "<id>",
        ]);
        cli.expect(&["paid", "A", "caught-up", "orders", "1"]);
        assert_eq!(publish(&server, version, "orders", "live"), "2");
        cli.expect(&["event", "orders", "2", "2", "<id>", "created", "live"]);
    }
}

#[test]
fn redis_cli_works_at_a_terminal() {
    for version in VERSIONS {
        let server = ServerProcess::start(&Settings::default());
        let mut cli = RedisCli::at_terminal(server.address(), version);
        cli.say("PUBLISH orders created one");
        cli.expect(&["…(integer) 0"]);
        cli.say("PUBLISH orders created two");
        cli.expect(&["…(integer) 1"]);
        cli.say("LAST-EVENT-NUMBER nonsense");
        cli.expect(&["…(nil)"]);
        cli.say("READ-EVENTS orders:1");
        cli.expect(&[
            "…1) 1) \"orders\"",
            "   2) (integer) 1",
            "   3) (integer) 1",
        ]);
        cli.expect(&["   4) \"<id>\"", "   5) 1) \"created\"", "      2) \"two\""]);
        cli.say("PUBLISH orders created");
        cli.expect(&["…(error) ERR "]);
        cli.say("SUBSCRIBE orders:1");
        cli.expect(&["…1) \"subscribe\"", "2) \"orders:1\"", "3) (integer) 1"]);
        cli.expect(&[
            "1) \"event\"",
            "2) \"orders\"",
            "3) (integer) 1",
            "4) (integer) 1",
        ]);
        cli.expect(&["5) \"<id>\"", "6) 1) \"created\"", "   2) \"two\""]);
        cli.expect(&["1) \"caught-up\"", "2) \"orders\"", "3) (integer) 1"]);
        assert_eq!(publish(&server, version, "orders", "live"), "2");
        cli.expect(&[
            "1) \"event\"",
            "2) \"orders\"",
            "3) (integer) 2",
            "4) (integer) 2",
        ]);
    }
}

#[test]
fn redis_cli_with_a_password_and_its_modes() {
    let server = ServerProcess::start(&Settings::flags(["--requirepass", "secret"]));
    let run = |arguments: &[&str]| RedisCli::start(server.address(), arguments).rest();
    assert_eq!(run(&["PING"])[0], "NOAUTH Authentication required.");
    for version in VERSIONS {
        assert_eq!(run(&[version, "-a", "secret", "PING"]), ["PONG"]);
        assert_eq!(run(&[version, "-a", "secret", "-n", "0", "PING"]), ["PONG"]);
    }
    assert_eq!(
        run(&["-a", "secret", "PUBLISH", "orders", "created", "{}"]),
        ["0"]
    );
    assert_eq!(run(&["-a", "secret", "--scan"]), ["orders"]);
    assert_eq!(run(&["-a", "secret", "--scan", "--pattern", "x*"]), [""; 0]);
    let mut pipe = RedisCli::start(server.address(), &["-a", "secret", "--pipe"]);
    for data in 0..100 {
        pipe.say(&format!("PUBLISH orders created {data}\r"));
    }
    let output = pipe.rest().join("\n");
    assert!(output.contains("errors: 0, replies: 100"), "{output}");
    assert_eq!(
        run(&["-a", "secret", "LAST-EVENT-NUMBER", "orders"]),
        ["100"]
    );
}

#[test]
fn redis_benchmark_loads_it() {
    let server = ServerProcess::start(&Settings::default());
    let port = server.address().port().to_string();
    let output = Command::new(program("redis-benchmark"))
        .args(["-p", &port, "-n", "5000", "-c", "20", "-P", "16", "-q"])
        .args(["PUBLISH", "orders", "created", "data"])
        .output()
        .expect("redis-benchmark starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && text.contains("requests per second"),
        "{text}{errors}"
    );
    assert!(
        !text.contains("Error") && !errors.contains("WARN"),
        "{text}{errors}"
    );
    let stored = server.client().call("LAST-EVENT-NUMBER orders").number() + 1;
    assert!(stored >= 5000, "{stored} events are stored");
}

#[test]
fn the_redis_crate_blocking() {
    let server = ServerProcess::start(&Settings::default());
    for protocol in ["resp2", "resp3"] {
        let stream = format!("orders-{protocol}");
        let mut connection = redis_client(&server, protocol).get_connection().unwrap();
        let number: u64 = publish_command(&stream, "one")
            .query(&mut connection)
            .unwrap();
        assert_eq!(number, 0);
        let mut pipeline = redis::pipe();
        for data in ["two", "three"] {
            pipeline.add_command(publish_command(&stream, data));
        }
        let numbers: Vec<u64> = pipeline.query(&mut connection).unwrap();
        assert_eq!(numbers, [1, 2]);
        let refused = publish_command(&stream, "x")
            .arg("EXPECT")
            .arg(9)
            .exec(&mut connection);
        assert_eq!(refused.unwrap_err().code(), Some("CONFLICT"));
        let tail: Option<u64> = redis::cmd("LAST-EVENT-NUMBER")
            .arg("nonsense")
            .query(&mut connection)
            .unwrap();
        assert_eq!(tail, None);
        let names: Vec<String> = redis::cmd("STREAM-NAMES").query(&mut connection).unwrap();
        assert!(names.contains(&stream));

        let subscribe = redis::cmd("SUBSCRIBE")
            .arg(format!("{stream}:1"))
            .get_packed_command();
        let (sender, pushes) = mpsc::channel();
        connection.set_push_sender(sender);
        connection
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        connection.send_packed_command(&subscribe).unwrap();
        let mut kinds = Vec::new();
        while kinds.last().map(String::as_str) != Some("caught-up") {
            kinds.push(kind(&connection.recv_response().unwrap()));
        }
        assert_eq!(kinds, ["subscribe", "event", "event", "caught-up"]);
        let sent = pushes.try_iter().count();
        assert_eq!(sent, if protocol == "resp3" { 4 } else { 0 });
    }
}

#[test]
fn the_redis_crate_asynchronous() {
    let server = ServerProcess::start(&Settings::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
        let config = AsyncConnectionConfig::new().set_push_sender(sender);
        let client = redis_client(&server, "resp3");
        let mut follower = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .unwrap();
        redis::cmd("SUBSCRIBE")
            .arg("orders:0")
            .exec_async(&mut follower)
            .await
            .unwrap();

        let plain = redis_client(&server, "resp2");
        let mut publisher = plain.get_multiplexed_async_connection().await.unwrap();
        for number in 0..100_u64 {
            let reply: u64 = publish_command("orders", "x")
                .query_async(&mut publisher)
                .await
                .unwrap();
            assert_eq!(reply, number);
        }
        // The same connection answers commands while pushes arrive.
        let tail: u64 = redis::cmd("LAST-EVENT-NUMBER")
            .arg("orders")
            .query_async(&mut follower)
            .await
            .unwrap();
        assert_eq!(tail, 99);
        let mut numbers = Vec::new();
        while numbers.len() < 100 {
            let push = tokio::time::timeout(Duration::from_secs(30), pushes.recv()).await;
            let push: PushInfo = push
                .expect("a push comes in time")
                .expect("the sender lives");
            if push.kind == PushKind::Other("event".to_owned()) {
                numbers.push(redis::from_redis_value::<u64>(push.data[1].clone()).unwrap());
            }
        }
        assert_eq!(numbers, (0..100).collect::<Vec<u64>>());
    });
}

fn redis_client(server: &ServerProcess, protocol: &str) -> redis::Client {
    redis::Client::open(format!("redis://{}/?protocol={protocol}", server.address()))
        .expect("the address is one")
}

fn publish_command(stream: &str, data: &str) -> redis::Cmd {
    let mut command = redis::cmd("PUBLISH");
    command.arg(stream).arg("created").arg(data);
    command
}

/// The kind of a push: a type in RESP3, the first element of an array in RESP2.
fn kind(value: &Value) -> String {
    match value {
        Value::Push { kind, .. } => kind.to_string(),
        Value::Array(items) => redis::from_redis_value(items[0].clone()).expect("a word"),
        other => panic!("not a push: {other:?}"),
    }
}
