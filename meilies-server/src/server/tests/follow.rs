//! Subscriptions: replay, live, and the boundary between.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::engine::{AppendRequest, Engine, Fields, Write};
use meilies_protocol::{Expect, StreamName};

fn write(stream: &'static str) -> AppendRequest {
    let stream = StreamName::parse(stream.into()).unwrap();
    let fields = Fields::One(["n".into(), "hooked".into()]);
    let write = Write::new(stream, Expect::Any, fields);
    AppendRequest {
        writes: vec![write],
        atomic: false,
    }
}

#[tokio::test]
async fn replay_is_followed_by_what_comes() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let mut follower = fixture.client().await;
    client.publish("a", 3).await;
    follower.send(&["SUBSCRIBE a:1"]).await;
    follower
        .expect(&[
            "[subscribe a:1 :1]",
            "[event a :1 :1 [n data]]",
            "[event a :2 :2 [n data]]",
            "[caught-up a :2]",
        ])
        .await;
    client.publish("a", 1).await;
    follower.expect(&["[event a :3 :3 [n data]]"]).await;
    assert_eq!(follower.ask("PUBLISH b n x").await, ":0");
    assert_eq!(follower.ask("UNSUBSCRIBE a").await, "[unsubscribe a :0]");
    assert_eq!(follower.ask("UNSUBSCRIBE").await, "[unsubscribe nil :0]");
    client.publish("a", 1).await;
    assert_eq!(follower.ask("ECHO quiet").await, "quiet");
}

#[tokio::test]
async fn every_kind_of_spec_does_what_it_says() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let mut follower = fixture.client().await;
    client.publish("a", 5).await;
    // Complete at once: no caught-up.
    follower.send(&["SUBSCRIBE a:3:5"]).await;
    follower
        .expect(&[
            "[subscribe a:3:5 :1]",
            "[event a :3 :3 [n data]]",
            "[event a :4 :4 [n data]]",
            "[ended a:3:5 :5]",
        ])
        .await;
    // Not complete: caught up, then the rest, then ended.
    follower.send(&["SUBSCRIBE a:4:6"]).await;
    follower
        .expect(&[
            "[subscribe a:4:6 :1]",
            "[event a :4 :4 [n data]]",
            "[caught-up a :4]",
        ])
        .await;
    client.publish("a", 2).await;
    follower
        .expect(&["[event a :5 :5 [n data]]", "[ended a:4:6 :6]"])
        .await;
    // In the future: nothing until that number exists.
    follower.send(&["SUBSCRIBE a:9"]).await;
    follower.expect(&["[subscribe a:9 :1]"]).await;
    client.publish("a", 3).await;
    follower
        .expect(&["[event a :9 :9 [n data]]", "[caught-up a :9]"])
        .await;
    // New only, of a stream that is there, of one that is not, and of all.
    follower.send(&["SUBSCRIBE b a $all"]).await;
    follower
        .expect(&[
            "[subscribe b :2]",
            "[caught-up b nil]",
            "[subscribe a :2]",
            "[caught-up a :9]",
            "[subscribe $all :3]",
            "[caught-up $all :9]",
        ])
        .await;
    client.publish("b", 1).await;
    let mut pushes = [follower.next().await, follower.next().await];
    pushes.sort();
    assert_eq!(
        pushes,
        [
            "[event b :0 :10 [n data]]",
            "[pevent $all b :0 :10 [n data]]"
        ]
    );
    follower.send(&["UNSUBSCRIBE"]).await;
    let mut left = Vec::new();
    for _ in 0..3 {
        left.push(follower.next().await);
    }
    assert_eq!(left[2].rsplit(' ').next(), Some(":0]"));
    assert_eq!(fixture.server.context().event_log.subscriptions(), 0);
    assert_eq!(fixture.server.context().event_log.sleeping(), 0);
}

#[tokio::test]
async fn subscribing_again_moves_the_cursor() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.publish("a", 2).await;
    client.send(&["SUBSCRIBE a:0"]).await;
    client
        .expect(&[
            "[subscribe a:0 :1]",
            "[event a :0 :0 [n data]]",
            "[event a :1 :1 [n data]]",
            "[caught-up a :1]",
        ])
        .await;
    client.send(&["SUBSCRIBE a:1", "PING"]).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(client.next().await);
    }
    // The reply to PING passes between the pushes somewhere.
    seen.retain(|one| one != "[pong ]");
    assert_eq!(
        seen,
        [
            "[subscribe a:1 :1]",
            "[event a :1 :1 [n data]]",
            "[caught-up a :1]"
        ]
    );
}

#[tokio::test]
async fn resp3_has_pushes_of_their_own_type() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let hello = client.ask("HELLO 3").await;
    assert!(hello.contains("proto"), "{hello}");
    client.send(&["SUBSCRIBE a:0"]).await;
    client
        .expect(&[">[subscribe a:0 :1]", ">[caught-up a nil]"])
        .await;
    client.send(&["PUBLISH a n x"]).await;
    let mut seen = [client.next().await, client.next().await];
    seen.sort();
    assert_eq!(seen, [":0", ">[event a :0 :0 [n x]]"]);
}

/// An event that is stored between the last read of a follower and its sleep.
#[tokio::test]
async fn an_event_between_read_and_sleep_is_not_lost() {
    let fixture = Fixture::start().await;
    let engine = Arc::clone(&fixture.engine);
    let times = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&times);
    fixture
        .server
        .context()
        .event_log
        .set_hook(Arc::new(move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) < 3 {
                // Nobody waits for it: the memory engine stores it before it returns.
                drop(engine.append(write("a")));
            }
        }));
    let mut follower = fixture.client().await;
    follower.send(&["SUBSCRIBE a:0"]).await;
    follower
        .expect(&["[subscribe a:0 :1]", "[caught-up a nil]"])
        .await;
    for number in 0..3 {
        assert_eq!(follower.event_number().await, number);
    }
    assert!(times.load(Ordering::Relaxed) >= 3);
}

/// As above, after the fan-out had its chance to go past the event before the cursor sleeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_fan_out_passed_is_not_lost() {
    let fixture = Fixture::start().await;
    let engine = Arc::clone(&fixture.engine);
    let log = fixture.server.context().event_log.clone();
    let times = AtomicUsize::new(0);
    fixture
        .server
        .context()
        .event_log
        .set_hook(Arc::new(move |_| {
            if times.fetch_add(1, Ordering::Relaxed) == 0 {
                drop(engine.append(write("a")));
                // The fan-out runs on another thread; with nobody asleep it passes over the event.
                tokio::task::block_in_place(|| {
                    while log.looked_at() < 1 {
                        std::thread::yield_now();
                    }
                });
            }
        }));
    let mut follower = fixture.client().await;
    follower.send(&["SUBSCRIBE a:0"]).await;
    follower
        .expect(&["[subscribe a:0 :1]", "[caught-up a nil]"])
        .await;
    assert_eq!(follower.event_number().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_racing_publisher_loses_and_repeats_nothing() {
    for recent in [u64::MAX, 50] {
        let fixture = Fixture::start().await;
        if recent != u64::MAX {
            fixture.engine.set_recent_events_max(recent);
        }
        let mut publisher = fixture.client().await;
        publisher.publish("a", 500).await;
        let racing = tokio::spawn(async move {
            for _ in 0..300 {
                publisher.publish("a", 10).await;
                publisher.publish("other", 1).await;
            }
        });
        let mut followers = Vec::new();
        for from in [0, 250, 499, 600] {
            let mut follower = fixture.client().await;
            follower.send(&[&format!("SUBSCRIBE a:{from}")]).await;
            followers.push(tokio::spawn(async move {
                let mut next = from;
                let mut caught_up = 0;
                while next < 3500 {
                    let value = follower.value().await;
                    let Value::Array(items) = &value else {
                        panic!("{}", show(&value))
                    };
                    match items[0].as_bytes() {
                        Some(b"event") => {
                            assert_eq!(items[2].as_u64(), Some(next));
                            next += 1;
                        }
                        Some(b"caught-up") => caught_up += 1,
                        Some(b"subscribe") => {}
                        _ => panic!("{}", show(&value)),
                    }
                }
                assert!(caught_up <= 1);
            }));
        }
        for follower in followers {
            follower.await.unwrap();
        }
        racing.await.unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_idle_subscriptions_are_gone_after_the_close() {
    let fixture = Fixture::start().await;
    let log = fixture.server.context().event_log.clone();
    let mut client = fixture.client().await;
    let names: Vec<String> = (0..10_000).map(|at| format!("stream-{at}:0")).collect();
    for names in names.chunks(1000) {
        client
            .send(&[&format!("SUBSCRIBE {}", names.join(" "))])
            .await;
    }
    for _ in 0..20_000 {
        client.value().await;
    }
    until(|| log.sleeping() == 10_000).await;
    let mut publisher = fixture.client().await;
    publisher.publish("stream-7", 1).await;
    assert_eq!(client.next().await, "[event stream-7 :0 :0 [n data]]");
    drop(client);
    until(|| log.subscriptions() == 0 && log.sleeping() == 0).await;
    assert_eq!(publisher.ask("PING").await, "+PONG");
}

#[tokio::test]
async fn cold_streams_are_followed_from_the_disk() {
    let fixture = Fixture::start().await;
    let mut publisher = fixture.client().await;
    for stream in 0..200 {
        publisher.publish(&format!("s{stream}"), 3).await;
    }
    fixture.engine.set_recent_events_max(0);
    let mut follower = fixture.client().await;
    let specs: Vec<String> = (0..200).map(|stream| format!("s{stream}:1")).collect();
    follower
        .send(&[&format!("SUBSCRIBE {} s7 nosuch", specs.join(" "))])
        .await;
    let (mut events, mut caught_up) = (0, 0);
    // s7 was moved to new events only.
    while events < 199 * 2 || caught_up < 201 {
        let shown = follower.next().await;
        assert!(!shown.starts_with("[event s7 "), "{shown}");
        events += usize::from(shown.starts_with("[event "));
        caught_up += usize::from(shown.starts_with("[caught-up "));
    }
}
