//! Goal: the examples of the client crate do what their headers promise.
//!
//! Method: each runs as the program that it is, against a real server; those that say so are killed
//! with SIGKILL in the middle of their work and started again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use meilies_client::{Client, Expect};
use meilies_tests::client::DEADLINE;
use meilies_tests::process::{ServerProcess, Settings, binary};
use meilies_tests::seed::seed;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::time::{interval, timeout};

fn example(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("examples").join(name));
    command.args(arguments);
    command
}

fn run(name: &str, server: &ServerProcess) -> Output {
    let url = format!("meilies://{}", server.address());
    let output = example(name, &[&url]).output().expect("it runs");
    assert!(output.status.success(), "{name}: {output:?}");
    output
}

/// A child that is killed when dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Running {
        Running(command.spawn().expect("it runs"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it ends");
    }
}

#[test]
fn hello_shows_what_it_has_published() {
    let server = ServerProcess::start(&Settings::default());
    let first = run("hello", &server);
    assert_eq!(
        String::from_utf8_lossy(&first.stdout),
        "published event 0\n0 Ok(\"hello, world\")\n"
    );
    let second = run("hello", &server);
    let shown = String::from_utf8_lossy(&second.stdout);
    assert_eq!(shown.lines().count(), 3, "{shown}");
}

#[test]
fn the_readme_shows_hello() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("it can be read");
    let hello = read("meilies-client/examples/hello.rs");
    let (_, code) = hello.split_once("\n\nuse ").expect("it uses something");
    let shown = format!("```rust\nuse {code}```\n");
    assert!(
        read("README.md").contains(&shown),
        "README.md does not show {shown}"
    );
}

#[test]
fn tellers_never_withdraw_more_than_there_is() {
    let server = ServerProcess::start(&Settings::default());
    for _ in 0..3 {
        let output = run("account", &server);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "11 of 20 tellers were served, 10 cents are left\n"
        );
    }
}

/// The next position and the counts, as the file has them.
fn counts(path: &Path) -> (u64, Vec<(String, u64)>) {
    let Ok(text) = fs::read_to_string(path) else {
        return (0, Vec::new());
    };
    let mut lines = text.lines();
    let next = lines.next().expect("a position").parse();
    let counts = lines.map(|line| {
        let (name, count) = line.split_once('\t').expect("a name and a count");
        (name.to_owned(), count.parse().expect("a count"))
    });
    (next.expect("a position"), counts.collect())
}

async fn wait_for_position(path: &Path, position: u64) {
    let mut look = interval(Duration::from_millis(1));
    let reached = async {
        while counts(path).0 < position {
            look.tick().await;
        }
    };
    timeout(DEADLINE, reached).await.expect("it goes on");
}

#[tokio::test]
async fn a_projection_that_is_killed_counts_each_event_once() {
    let seed = seed();
    eprintln!("SEED={seed} cargo test -p meilies-tests --test examples a_projection");
    let mut random = StdRng::seed_from_u64(seed);
    let server = ServerProcess::start(&Settings::default());
    let url = format!("meilies://{}", server.address());
    let client = Client::connect(&url).await.expect("it runs");
    let directory = TempDir::new().expect("a temporary directory can be made");
    let path = directory.path().join("counts.txt");
    let file = path.to_str().expect("the path is UTF-8");
    let mut expected = [("a", 0), ("b", 0), ("c", 0)].map(|(name, n)| (name.to_owned(), n));
    let mut published = 0;
    for _ in 0..10 {
        let mut command = example("projection", &[file, &url]);
        let projection = Running::start({
            command.stdout(Stdio::null());
            command
        });
        let target = published + 3000;
        let kill_at = random.random_range(published..target);
        let publish = async {
            while published < target {
                let batch: Vec<usize> = (0..100).map(|_| random.random_range(0..3)).collect();
                for index in &batch {
                    expected[*index].1 += 1;
                }
                let events = batch.iter().map(|index| (["a", "b", "c"][*index], ""));
                let stream = format!("stream-{}", published % 700);
                let numbers = client.publish_many(stream, events, Expect::Any).await;
                published += numbers.expect("they are stored").len() as u64;
            }
        };
        let kill = async {
            wait_for_position(&path, kill_at).await;
            drop(projection);
        };
        futures::join!(publish, kill);
    }
    let mut command = example("projection", &[file, &url]);
    let _projection = Running::start({
        command.stdout(Stdio::null());
        command
    });
    wait_for_position(&path, published).await;
    assert_eq!(counts(&path), (published, expected.to_vec()));
}

#[tokio::test]
async fn workers_that_are_killed_ship_each_order_once() {
    let server = ServerProcess::start(&Settings::default());
    let url = format!("meilies://{}", server.address());
    let client = Client::connect(&url).await.expect("it runs");
    for order in 0..300 {
        let stream = format!("order-{order}");
        let placed = client
            .publish(stream, "placed", "goods", Expect::None)
            .await;
        placed.expect("it is stored");
    }
    // The first is killed after some shipments, another works beside it.
    let mut command = example("worker", &[&url]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut first = Running::start(command);
    let output = first.0.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(output).lines();
    for _ in 0..50 {
        lines.next().expect("it goes on").expect("text");
    }
    let mut command = example("worker", &[&url]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut second = Running::start(command);
    drop(first);
    let output = second.0.stdout.take().expect("it is piped");
    let lines = BufReader::new(output).lines();
    assert_eq!(lines.take(300).count(), 300);
    let shipments = client.stream_names(Some(b"shipment-of-*")).await;
    let shipments = shipments.expect("they can be listed");
    assert_eq!(shipments.len(), 300);
    for shipment in shipments {
        let last = client.last_event_number(&shipment).await.expect("answered");
        assert_eq!(last, Some(0), "{shipment}");
    }
}

#[tokio::test]
async fn workers_of_a_group_that_are_killed_leave_nothing_undone() {
    const ORDERS: usize = 200;
    let server = ServerProcess::start(&Settings::default());
    let url = format!("meilies://{}", server.address());
    let client = Client::connect(&url).await.expect("it runs");
    for order in 0..ORDERS {
        let total = order.to_string();
        let placed = client
            .append("orders", [("total", total)], Expect::Any)
            .await;
        placed.expect("it is stored");
    }
    // Two are killed in the midst of their work, the third deals with what they leave.
    for worker in ["alice", "bob"] {
        let mut command = example("worker_group", &[worker, &url]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running::start(command);
        let output = running.0.stdout.take().expect("it is piped");
        let lines = BufReader::new(output).lines();
        assert_eq!(lines.take(35).count(), 35);
    }
    let mut command = example("worker_group", &["carol", &url]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _carol = Running::start(command);
    let group = client.group("orders", "billing").expect("good names");
    let mut look = interval(Duration::from_millis(5));
    let done = async {
        loop {
            let info = group.info().await.expect("answered").expect("it is there");
            if (info.lag, info.pending) == (Some(0), 0) {
                break;
            }
            look.tick().await;
        }
    };
    timeout(DEADLINE, done).await.expect("all is done");
    let bills = client.stream_names(Some(b"bill-of-*")).await;
    let bills = bills.expect("they can be listed");
    assert_eq!(bills.len(), ORDERS);
    for bill in bills {
        let last = client.last_event_number(&bill).await.expect("answered");
        assert_eq!(last, Some(0), "{bill}");
    }
}
