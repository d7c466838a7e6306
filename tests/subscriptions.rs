//! Goal: subscriptions cost next to nothing, and one client that is slow, greedy or gone harms
//! nobody.
//!
//! Method: 10,000 idle subscriptions counted in threads and memory of a child process; readers that
//! do not read while others follow; clients that send without reading; sockets closed without a
//! word.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use meilies_tests::Client;
use meilies_tests::client::{DEADLINE, encode};
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::resp::{Protocol, Value};

const CONNECTIONS: usize = 100;
const SUBSCRIPTIONS_PER_CONNECTION: usize = 100;

#[test]
fn ten_thousand_idle_subscriptions_need_no_thread_and_are_gone_with_their_sockets() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    client.call("PUBLISH warm up it");
    let threads = server.process_status("Threads");
    let mut followers: Vec<Client> = (0..CONNECTIONS)
        .map(|index| follow_many(&server, index))
        .collect();
    assert_eq!(subscriptions(&mut client), 10_000);
    let more = server.process_status("Threads").saturating_sub(threads);
    assert!(more <= 8, "{more} threads more for 10,000 subscriptions");
    let kilobytes = server.process_status("RssAnon");
    assert!(kilobytes < 200 * 1024, "{kilobytes} kB of memory");

    // Each is awake: an event of any of the streams comes to its follower and to nobody else.
    for index in [0, 41, CONNECTIONS - 1] {
        let reply = client.call(&format!("PUBLISH s:{index}:7 happened {index}"));
        assert_eq!(reply, Value::Integer(0));
        let push = followers[index].push();
        assert_eq!(push.items()[1].text(), format!("s:{index}:7"));
    }
    for follower in &mut followers {
        assert_eq!(
            follower.call("ECHO silence"),
            Value::Bulk(b"silence".to_vec())
        );
        assert!(follower.buffered_push().is_none());
    }

    drop(followers);
    let until = Instant::now() + Duration::from_secs(5);
    while subscriptions(&mut client) > 0 {
        assert!(
            Instant::now() < until,
            "{} subscriptions are left",
            subscriptions(&mut client)
        );
    }
}

#[test]
fn many_subscriptions_on_one_connection_are_woken_singly() {
    const STREAMS: usize = 20_000;
    let server = ServerProcess::start(&Settings::default());
    let mut follower = Client::connect(server.address(), Protocol::Resp3);
    let mut arguments = vec!["SUBSCRIBE".to_owned()];
    arguments.extend((0..STREAMS).map(|index| format!("s{index}:0")));
    follower.send(&encode(&arguments));
    for _ in 0..2 * STREAMS {
        follower.push();
    }
    let mut client = server.client();
    for index in (0..STREAMS).step_by(97) {
        client.call(&format!("PUBLISH s{index} happened {index}"));
        let push = follower.push();
        assert_eq!(push.items()[1].text(), format!("s{index}"));
    }
    follower.send(&encode(&["UNSUBSCRIBE"]));
    for left in (0..STREAMS).rev() {
        assert_eq!(follower.push().items()[2].number(), left as u64);
    }
}

#[test]
fn a_reader_that_does_not_read_slows_nobody_and_misses_nothing() {
    const EVENTS: u64 = 6_000;
    const DATA_BYTES: usize = 20_000;
    let server = ServerProcess::start(&Settings::default());
    let address = server.address();
    let mut slow: Vec<Client> = ["orders:0", "$all:0"]
        .map(|spec| follow(address, spec))
        .into();
    let live = thread::spawn(move || {
        let mut follower = follow(address, "orders:0");
        expect_events(&mut follower, EVENTS);
    });
    let mut client = server.client();
    let data = vec![b'd'; DATA_BYTES];
    let event = encode(&[b"PUBLISH", &b"orders"[..], b"happened", &data]);
    let mut peak_kb = 0;
    for number in 0..EVENTS {
        client.send(&event);
        assert_eq!(client.reply().number(), number);
        if number.is_multiple_of(100) {
            peak_kb = peak_kb.max(server.process_status("RssAnon"));
        }
    }
    live.join()
        .expect("the live follower got everything while the slow ones slept");
    // 120 MB were published; what is recent stays in memory up to its bound.
    assert!(peak_kb < 200 * 1024, "{peak_kb} kB of memory");
    for follower in &mut slow {
        expect_events(follower, EVENTS);
    }
}

#[test]
fn a_reply_waits_for_few_pushes_only_and_unsubscribe_for_no_more() {
    const EVENTS: usize = 1_000;
    const DATA_BYTES: usize = 20_000;
    const PUSH_BYTES_MAX: usize = 256 * 1024;
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let data = vec![b'd'; DATA_BYTES];
    client.send(&encode(&[b"PUBLISH", &b"orders"[..], b"happened", &data]).repeat(EVENTS));
    for _ in 0..EVENTS {
        client.reply().number();
    }
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut follower = Client::connect(server.address(), protocol);
        let commands = [
            &["SUBSCRIBE", "orders:0"][..],
            &["ECHO", "x"],
            &["UNSUBSCRIBE", "orders"],
        ];
        follower.send(&commands.map(encode).concat());
        assert_eq!(follower.reply(), Value::Bulk(b"x".to_vec()));
        let before = follower.left_over().count();
        assert!(
            before <= 1 + PUSH_BYTES_MAX / DATA_BYTES + 1,
            "{before} pushes before a reply"
        );
        let mut next = 0;
        let last = loop {
            let push = follower.push();
            match push.items()[0].text() {
                "subscribe" => {}
                "event" => {
                    assert_eq!(push.items()[2].number(), next);
                    next += 1;
                }
                _ => break push,
            }
        };
        assert_eq!(last.items()[0].text(), "unsubscribe");
        follower.call("ECHO silence");
        assert!(
            follower.left_over().next().is_none(),
            "a push follows 'unsubscribe'"
        );
    }
}

#[test]
fn a_wait_for_a_group_that_times_out_has_taken_nothing() {
    const TIME_OUTS: usize = 300;
    let server = ServerProcess::start(&Settings::default());
    let mut consumer = server.client();
    consumer.call("XGROUP CREATE jobs workers 0 MKSTREAM");
    let mut producer = server.client();
    let (stop, stopped) = mpsc::channel::<()>();
    let producing = thread::spawn(move || {
        // Events come about when the consumer's wait ends: the server's own waits are the clock.
        for ms in [1, 2, 3].into_iter().cycle() {
            producer.call("XADD jobs * n 1");
            producer.call(&format!("XREAD BLOCK {ms} STREAMS nothing $"));
            if stopped.try_recv() == Err(TryRecvError::Disconnected) {
                return;
            }
        }
    });
    let (mut received, mut timed_out) = (0, 0);
    while timed_out < TIME_OUTS {
        let read = "XREADGROUP GROUP workers one COUNT 10 BLOCK 2 STREAMS jobs >";
        match consumer.call(read) {
            Value::NilArray => timed_out += 1,
            reply => received += reply.items()[0].items()[1].items().len() as u64,
        }
    }
    drop(stop);
    producing.join().expect("the producer gets its replies");
    let pending = consumer.call("XPENDING jobs workers");
    assert_eq!(
        pending.items()[0].number(),
        received,
        "received and pending"
    );
}

#[test]
fn a_client_that_never_reads_its_replies_is_not_read_from() {
    let server = ServerProcess::start(&Settings::default());
    let mut greedy = server.client();
    greedy.set_deadline(Duration::from_secs(1));
    let echo = encode(&[b"ECHO", &vec![b'e'; 10_000][..]]);
    let mut sent = 0_usize;
    let stopped = loop {
        match greedy.try_send_some(&echo) {
            Ok(bytes) if bytes == echo.len() => sent += bytes,
            Ok(_) => continue,
            Err(error) => break error,
        }
        assert!(
            sent < 256 * 1024 * 1024,
            "{sent} bytes were taken without a reply being read"
        );
    };
    assert!(
        matches!(stopped.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{stopped}"
    );
    let kilobytes = server.process_status("RssAnon");
    assert!(kilobytes < 200 * 1024, "{kilobytes} kB of memory");
    assert_eq!(
        server.client().call("PING"),
        Value::Simple(b"PONG".to_vec())
    );
}

#[test]
fn clients_that_vanish_in_the_middle_of_anything_leave_nothing_behind() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let event = encode(&["PUBLISH", "orders", "happened", "x"]);
    for _ in 0..50 {
        let mut publisher = server.client();
        publisher.send(&event.repeat(100));
        drop(publisher);
        let mut reader = server.client();
        reader.send(&encode(&["READ-EVENTS", "orders"]).repeat(3));
        drop(reader);
        let mut half = server.client();
        half.send(&event[..event.len() / 2]);
        drop(half);
        drop(follow(server.address(), "$all:0"));
    }
    let until = Instant::now() + DEADLINE;
    while field(&mut client, "clients", "connected_clients") > 1 || subscriptions(&mut client) > 0 {
        assert!(Instant::now() < until, "clients are left");
    }
    let events = field(&mut client, "meilies", "events");
    let tail = client.call("LAST-EVENT-NUMBER orders").number();
    assert_eq!(tail + 1, events);
}

#[test]
fn a_client_that_says_no_more_still_gets_its_replies() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    client.send(&encode(&["PUBLISH", "orders", "happened", "x"]).repeat(10));
    client.shut_down_write();
    for number in 0..10 {
        assert_eq!(client.reply().number(), number);
    }
    client.expect_closed();
}

/// Subscribes to 100 streams that do not exist, and reads until it sleeps.
fn follow_many(server: &ServerProcess, connection: usize) -> Client {
    let protocol = if connection.is_multiple_of(2) {
        Protocol::Resp2
    } else {
        Protocol::Resp3
    };
    let mut client = Client::connect(server.address(), protocol);
    let mut arguments = vec!["SUBSCRIBE".to_owned()];
    arguments.extend((0..SUBSCRIPTIONS_PER_CONNECTION).map(|n| format!("s:{connection}:{n}:$")));
    client.send(&encode(&arguments));
    for _ in 0..2 * SUBSCRIPTIONS_PER_CONNECTION {
        client.push();
    }
    client
}

fn follow(address: SocketAddr, spec: &str) -> Client {
    let mut client = Client::connect(address, Protocol::Resp3);
    client.send(&encode(&["SUBSCRIBE", spec]));
    assert_eq!(client.push().items()[0].text(), "subscribe");
    client
}

fn expect_events(follower: &mut Client, count: u64) {
    let mut next = 0;
    while next < count {
        let push = follower.push();
        let at = match push.items()[0].text() {
            "event" => 2,
            "pevent" => 3,
            _ => continue,
        };
        assert_eq!(push.items()[at].number(), next);
        next += 1;
    }
}

fn subscriptions(client: &mut Client) -> u64 {
    field(client, "meilies", "subscriptions")
}

/// A number that INFO shows.
fn field(client: &mut Client, section: &str, name: &str) -> u64 {
    let info = client.call(&format!("INFO {section}"));
    let prefix = format!("{name}:");
    let line = info
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(prefix.as_str()));
    let line = line.unwrap_or_else(|| panic!("no {name} in INFO {section}: {info}"));
    line.parse().expect("a number stands there")
}
