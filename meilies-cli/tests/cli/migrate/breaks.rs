//! Goal: nothing is lost, doubled or moved when programs and connections are killed.
//!
//! Method: kills and cuts come after a random number of bytes has passed to the destination, so
//! they hit any place of a frame, a commit and a round. A failure prints the seed, and `SEED=n`
//! replays it as far as the threads allow.

use std::io::Read;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use meilies_tests::ServerProcess;
use meilies_tests::Settings;
use meilies_tests::proxy::{Cut, Direction, Proxy};
use meilies_tests::seed::seed;
use tokio::runtime::Runtime;

use super::old_server::{Dialect, OldServer};
use super::{Row, migrate_to, mixed, publish, rows};
use crate::harness::{DEADLINE, Follower, Server, finish, good, told};

const EVENTS: usize = 20_000;

/// Numbers that look random, of a seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    /// The next number below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// A source, a destination, and a proxy in front of it.
struct Place {
    source: Server,
    destination: Server,
    proxy: Proxy,
}

impl Place {
    fn new() -> Place {
        let (source, destination) = (Server::start(&[]), Server::start(&[]));
        publish(&source, mixed(EVENTS));
        let proxy = Proxy::start(destination.address());
        Place {
            source,
            destination,
            proxy,
        }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let (from, to) = (self.source.address(), self.proxy.address());
        migrate_to(&from.to_string(), &to.to_string(), arguments)
    }

    fn sent(&self) -> u64 {
        self.proxy
            .count(|counts| counts.passed(Direction::ToServer))
    }

    fn expect_equal(&self) {
        let (here, there) = (rows(&self.source, "$all"), rows(&self.destination, "$all"));
        expect_equal(&here, &there);
    }
}

/// Says where they differ, and not all that they are.
fn expect_equal(here: &[Row], there: &[Row]) {
    let differ = here
        .iter()
        .zip(there)
        .position(|(here, there)| here != there);
    if let Some(at) = differ {
        panic!(
            "position {at}: the source has {:?}, the destination {:?}",
            here[at], there[at]
        );
    }
    assert_eq!(here.len(), there.len());
}

/// Waits until the child ends by itself, which it says, or until something is true.
fn ends_before(child: &mut Child, mut is_true: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + DEADLINE;
    while !is_true() {
        if let Some(status) = child.try_wait().expect("the child is ours to wait for") {
            let mut said = String::new();
            let stderr = child.stderr.as_mut().expect("it is piped");
            stderr.read_to_string(&mut said).expect("it is text");
            assert!(status.success(), "{status}: {said}");
            return true;
        }
        assert!(Instant::now() < until, "still running after {DEADLINE:?}");
        thread::park_timeout(Duration::from_micros(200));
    }
    false
}

#[test]
fn it_may_be_killed_at_any_moment() {
    let seed = seed();
    println!("replay with SEED={seed}");
    let mut random = Random::new(seed);
    let place = Place::new();
    let mut kills = 0;
    loop {
        let limit = place.sent() + random.below(400_000);
        let mut command = place.command(&["--until-caught-up"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        if ends_before(&mut child, || place.sent() > limit) {
            break;
        }
        child.kill().expect("the child is ours to kill");
        child.wait().expect("the child is ours to wait for");
        kills += 1;
        let count = rows(&place.destination, "$all").len();
        assert!(count <= EVENTS);
    }
    assert!(kills > 0, "it was never killed");
    place.expect_equal();
}

#[test]
fn it_may_be_killed_while_it_reads_from_0_2() {
    let seed = seed();
    println!("replay with SEED={seed}");
    let mut random = Random::new(seed);
    let (source, destination) = (OldServer::start(Dialect::WithRanges), Server::start(&[]));
    let mut expected: Vec<Row> = Vec::new();
    for name in ["a", "b", "c"] {
        for number in 0..3000 {
            let data = vec![b'x'; usize::try_from(number * 7 % 100).expect("it is small")];
            source.publish(name, "n", &data);
            expected.push((name.into(), number, b"n".to_vec(), data));
        }
    }
    let proxy = Proxy::start(destination.address());
    let sent = || proxy.count(|counts| counts.passed(Direction::ToServer));
    let to = proxy.address().to_string();
    let mut kills = 0;
    loop {
        let limit = sent() + random.below(200_000);
        let mut command = migrate_to(&source.url(), &to, &["--until-caught-up"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        if ends_before(&mut child, || sent() > limit) {
            break;
        }
        child.kill().expect("the child is ours to kill");
        child.wait().expect("the child is ours to wait for");
        kills += 1;
    }
    assert!(kills > 0, "it was never killed");
    expect_equal(&expected, &rows(&destination, "$all"));
}

#[test]
fn connections_may_break_at_any_byte() {
    let seed = seed();
    println!("replay with SEED={seed}");
    let mut random = Random::new(seed);
    let place = Place::new();
    let mut child = place
        .command(&["--until-caught-up"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Who cannot connect at first is told so at once.
    assert!(!ends_before(&mut child, || place.sent() > 10_000));
    let mut cuts = 0;
    loop {
        let direction = match random.below(2) {
            0 => Direction::ToServer,
            _ => Direction::ToClient,
        };
        let cut = match random.below(2) {
            0 => Cut::Reset,
            _ => Cut::Finish,
        };
        let bytes = match direction {
            Direction::ToServer => random.below(600_000),
            Direction::ToClient => random.below(20_000),
        };
        let accepted = place.proxy.count(|counts| counts.accepted);
        place.proxy.cut_after(direction, bytes, cut);
        let again = || place.proxy.count(|counts| counts.accepted) > accepted;
        if ends_before(&mut child, again) {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 0, "nothing was ever cut");
    place.expect_equal();
}

#[test]
fn the_destination_may_be_killed_and_come_back() {
    let seed = seed();
    println!("replay with SEED={seed}");
    let mut random = Random::new(seed);
    let source = Server::start(&[]);
    publish(&source, mixed(EVENTS));
    let mut destination = ServerProcess::start(&Settings::flags(["--fsync", "no"]));
    let proxy = Proxy::start(destination.address());
    let sent = || proxy.count(|counts| counts.passed(Direction::ToServer));
    let from = source.address().to_string();
    let mut child = migrate_to(&from, &proxy.address().to_string(), &["--until-caught-up"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    assert!(!ends_before(&mut child, || sent() > 10_000));
    let mut kills = 0;
    loop {
        let limit = sent() + random.below(1_000_000);
        if ends_before(&mut child, || sent() > limit) {
            break;
        }
        destination = destination.kill_and_restart();
        proxy.set_target(destination.address());
        kills += 1;
    }
    assert!(kills > 0, "it was never killed");
    let mut client = destination.client();
    let there = client.command(&["READ-EVENTS", "$all", "COUNT", "10000000"]);
    let there: Vec<Row> = there.items().iter().map(super::row).collect();
    expect_equal(&rows(&source, "$all"), &there);
}

#[test]
fn the_source_may_go_away_and_come_back() {
    let seed = seed();
    println!("replay with SEED={seed}");
    let mut random = Random::new(seed);
    let (source, destination) = (Server::start(&[]), Server::start(&[]));
    publish(&source, mixed(EVENTS));
    let proxy = Proxy::start(source.address());
    let from = proxy.address().to_string();
    let to = destination.address().to_string();
    let mut child = migrate_to(&from, &to, &["--until-caught-up"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Both its connections are there: the one for questions and the one that it reads from.
    assert!(!ends_before(&mut child, || proxy
        .count(|counts| counts.accepted)
        > 1));
    let mut cuts = 0;
    loop {
        let accepted = proxy.count(|counts| counts.accepted);
        proxy.cut_after(Direction::ToClient, random.below(2_000_000), Cut::Reset);
        if ends_before(&mut child, || {
            proxy.count(|counts| counts.accepted) > accepted + 1
        }) {
            break;
        }
        cuts += 1;
    }
    println!("{cuts} cuts");
    expect_equal(&rows(&source, "$all"), &rows(&destination, "$all"));
}

#[test]
fn two_at_once_do_no_harm() {
    let place = Place::new();
    let followers = [0, 1, 2].map(|_| Follower::start(&mut place.command(&["--until-caught-up"])));
    for follower in followers {
        let (code, _, stderr) = told(&follower.finish());
        assert_eq!(code, Some(0), "{stderr}");
    }
    place.expect_equal();
}

#[test]
fn a_destination_that_hangs_is_waited_for_and_can_be_left() {
    let place = Place::new();
    let runtime = Runtime::new().expect("a runtime can be made");
    place.proxy.stall();
    let follower = Follower::start(&mut place.command(&["--until-caught-up"]));
    let came = place
        .proxy
        .wait_for("a connection", |counts| counts.open() > 0);
    runtime.block_on(came);
    follower.signal(rustix::process::Signal::INT);
    let (code, _, stderr) = told(&follower.finish());
    assert_eq!(code, Some(130), "{stderr}");
    place.proxy.pass();
    let output = finish(&mut place.command(&["--until-caught-up"]));
    assert_eq!(
        told(&output),
        good(&format!("{EVENTS} events were copied\n"))
    );
    place.expect_equal();
}
