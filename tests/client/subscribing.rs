//! Goal: a subscription says what it delivers, in each of the ways to read it, and how many of
//! them there may be.
//!
//! Method: small streams whose events, ends and tails are known, compared with what the server
//! holds.

use std::fs;
use std::path::Path;

use futures::{FutureExt, StreamExt, TryStreamExt};
use meilies_client::{Client, Error, ErrorKind, Event, Expect, Item, Reconnect};
use meilies_tests::process::{ServerProcess, Settings, db_path};
use meilies_tests::proxy::{Cut, Direction};

use super::support::{
    QUICK, Rig, Stored, connect, error_at_end, expect_caught_up, expect_end, expect_kind, next,
    next_data, next_event, subscribe, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn events_then_caught_up_then_what_is_published() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1"]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    for wanted in rig.truth("orders") {
        match next(&mut subscription).await {
            Item::Event(event) => assert_eq!(Stored::from(&event), wanted),
            other => panic!("{other:?}"),
        }
    }
    expect_caught_up(&mut subscription, "orders", Some(1)).await;
    rig.publish("orders", &["2"]);
    assert_eq!(next_data(&mut subscription, 2, 1).await, ["2"]);
    assert!(
        subscription.next().now_or_never().is_none(),
        "there is nothing more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_end_and_the_last_one_ends_the_subscription() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1", "2"]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0:2", "others:0:1"]).await;
    next_data(&mut subscription, 0, 2).await;
    rig.publish("others", &["x"]);
    let mut ended = Vec::new();
    let mut events = 0;
    while let Some(item) = within("the end", subscription.next()).await {
        match item.expect("nothing goes wrong") {
            Item::Ended { spec, next } => ended.push((spec, next)),
            Item::Event(event) => {
                assert_eq!(event.stream.as_bytes(), b"others");
                events += 1;
            }
            Item::CaughtUp { source, number } => {
                assert_eq!((&source[..], number), (&b"others"[..], None));
            }
            other @ Item::Deleted { .. } => panic!("{other:?}"),
        }
    }
    assert_eq!(events, 1);
    ended.sort();
    assert_eq!(ended, [("orders:0:2".into(), 2), ("others:0:1".into(), 1)]);
    expect_end(&mut subscription).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_alone_are_a_stream_too() {
    let rig = Rig::start(&[]);
    let data = ["0", "1", "2"];
    rig.publish("orders", &data);
    rig.publish("others", &data);
    let client = rig.client().await;
    let events = subscribe(&client, &["orders:0:3", "others:1:3"])
        .await
        .events();
    let events: Vec<Event> = within("the events", events.try_collect())
        .await
        .expect("all is well");
    let of = |stream: &[u8]| {
        let of_stream = events
            .iter()
            .filter(|event| event.stream.as_bytes() == stream);
        of_stream.map(Stored::from).collect::<Vec<_>>()
    };
    assert_eq!(of(b"orders"), rig.truth("orders"));
    assert_eq!(of(b"others"), rig.truth("others")[1..]);
    assert_eq!(events.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_buffered_is_taken_without_waiting_and_in_order() {
    const EVENTS: u64 = 5000;
    let rig = Rig::start(&[]);
    for _ in 0..EVENTS / 1000 {
        rig.publish("orders", &["x"; 1000]);
    }
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &[&format!("orders:0:{EVENTS}")]).await;
    let (mut number, mut buffered) = (0, 0);
    let mut take = |item: Item| {
        if let Item::Event(event) = item {
            assert_eq!(event.number, number);
            number += 1;
        }
    };
    while let Some(item) = within("an item", subscription.next()).await {
        take(item.expect("all is well"));
        while let Some(item) = subscription.next_buffered() {
            take(item.expect("all is well"));
            buffered += 1;
        }
    }
    assert_eq!(number, EVENTS);
    assert!(
        buffered > EVENTS / 2,
        "only {buffered} events were read together with another"
    );
    assert!(subscription.next_buffered().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_outlives_its_client_and_a_dropped_one_is_gone() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    drop(client);
    rig.publish("orders", &["0"]);
    next_data(&mut subscription, 0, 1).await;
    rig.proxy.cut(Cut::Reset).await;
    rig.publish("orders", &["1"]);
    next_data(&mut subscription, 1, 1).await;
    drop(subscription);
    rig.proxy
        .wait_for("the end of the connections", |counts| counts.open() == 0)
        .await;
    rig.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_subscriptions_as_was_said_and_a_dropped_one_makes_room() {
    let rig = Rig::start(&[]);
    let client = connect(rig.builder().subscriptions_max(2)).await;
    let first = subscribe(&client, &["orders:0"]).await;
    let mut second = subscribe(&client.clone(), &["orders:0"]).await;
    let error = expect_kind(client.subscribe(["orders:0"]).await, ErrorKind::Limit);
    assert!(
        error.to_string().contains('2'),
        "{error} does not say the limit"
    );
    expect_kind(
        client.clone().subscribe(["orders:0"]).await,
        ErrorKind::Limit,
    );
    drop(first);
    let mut third = subscribe(&client, &["orders:0"]).await;
    expect_kind(client.subscribe(["orders:0"]).await, ErrorKind::Limit);
    rig.publish("orders", &["0"]);
    next_data(&mut second, 0, 1).await;
    next_data(&mut third, 0, 1).await;
    drop(third);
    // What failed took no place: neither a wrong spec, nor one that was given up.
    for _ in 0..10 {
        expect_kind(client.subscribe(["orders:"]).await, ErrorKind::Argument);
        drop(client.subscribe(["orders:0"]).now_or_never());
    }
    drop(subscribe(&client, &["orders:0"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_has_ended_has_no_connection_and_takes_no_place() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0"]);
    let client = connect(rig.builder().subscriptions_max(1)).await;
    let mut ended = subscribe(&client, &["orders:0:1"]).await;
    next_data(&mut ended, 0, 1).await;
    while within("the end", ended.next()).await.is_some() {}
    rig.proxy
        .wait_for("the end of the connection", |counts| counts.open() == 1)
        .await;
    drop(subscribe(&client, &["orders:0"]).await);
    expect_end(&mut ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_cannot_begin_takes_no_place() {
    let rig = Rig::start(&[]);
    let never = Reconnect {
        attempts_max: Some(0),
        ..QUICK
    };
    let client = connect(rig.builder().reconnect(never).subscriptions_max(1)).await;
    rig.proxy.refuse().await;
    for _ in 0..3 {
        let refused = within("the refusal", client.subscribe(["orders:0"])).await;
        expect_kind(refused, ErrorKind::Connection);
    }
    rig.proxy.accept().await;
    drop(subscribe(&client, &["orders:0"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_ends_what_meets_it_and_nothing_else() {
    let mut rig = Rig::start(&[]);
    rig.publish("orders", &["0", DAMAGED, "2"]);
    rig.publish("others", &["0"]);
    rig.change(|server| {
        let directory = server.stop();
        damage(&db_path(directory.path()).join("log"));
        ServerProcess::start_on(directory, &Settings::default())
    });
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0", "others:0"]).await;
    let (mut events, mut error) = (Vec::new(), None);
    while error.is_none() || events.len() < 2 {
        match within("an item", subscription.next()).await {
            Some(Ok(Item::Event(event))) => {
                events.push((event.stream.as_bytes().to_vec(), event.number));
            }
            Some(Ok(Item::CaughtUp { source, .. })) => assert_eq!(source, "others"),
            Some(Err(reported)) => {
                assert!(error.is_none(), "{reported}");
                error = Some(reported);
            }
            other => panic!("{other:?}"),
        }
    }
    events.sort();
    assert_eq!(events, [(b"orders".to_vec(), 0), (b"others".to_vec(), 0)]);
    match error {
        Some(Error::Unreadable {
            source_name, next, ..
        }) => assert_eq!((&source_name[..], next), (&b"orders"[..], 1)),
        other => panic!("{other:?}"),
    }
    rig.proxy.cut(Cut::Reset).await;
    rig.publish("orders", &["3"]);
    rig.publish("others", &["1"]);
    assert_eq!(next_data(&mut subscription, 1, 1).await, ["1"]);
    let mut read = client.read("orders").expect("the spec is right");
    let error = error_at_end(&mut read).await;
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    let behind = client.read("orders:2").expect("the spec is right");
    let behind: Vec<Event> = behind.try_collect().await.expect("it is not damaged");
    assert_eq!(behind.len(), 2);
}

const DAMAGED: &str = "the-event-that-is-damaged";

/// Changes a byte of the event with this data.
fn damage(log: &Path) {
    for file in fs::read_dir(log).expect("the log is there") {
        let path = file.expect("the log is there").path();
        let mut bytes = fs::read(&path).expect("it can be read");
        let mut windows = bytes.windows(DAMAGED.len());
        if let Some(at) = windows.position(|window| window == DAMAGED.as_bytes()) {
            bytes[at] ^= 1;
            fs::write(&path, bytes).expect("it can be written");
            return;
        }
    }
    panic!("{} has no '{DAMAGED}'", log.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_of_many_streams_reads_ahead_little_when_it_resumes() {
    const STREAMS: usize = 60;
    const BACKLOG_EVENTS: u64 = 40;
    const DATA_BYTES: usize = 50_000;
    /// Far less than the backlog, and more than the sockets on the way hold.
    const AHEAD_BYTES_MAX: u64 = 10_000_000;
    let rig = Rig::start(&["--fsync", "no"]);
    let streams: Vec<String> = (0..STREAMS).map(|index| format!("s{index}:x")).collect();
    let specs: Vec<String> = streams
        .iter()
        .map(|stream| format!("{stream}:0:+"))
        .collect();
    let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
    for stream in &streams {
        rig.publish(stream, &["first"]);
    }
    let client = connect(rig.builder().prefetch_bytes(1)).await;
    let mut subscription = subscribe(&client, &specs).await;
    for _ in 0..STREAMS {
        assert_eq!(next_event(&mut subscription).await.number, 0);
    }
    rig.proxy.refuse().await;
    rig.proxy.cut(Cut::Reset).await;
    let data = "x".repeat(DATA_BYTES);
    let mut direct = rig.direct();
    for _ in 0..BACKLOG_EVENTS {
        for stream in &streams {
            direct.command(&["PUBLISH", stream, "e", &data]).number();
        }
    }
    let before = rig.proxy.count(|counts| counts.passed(Direction::ToClient));
    rig.proxy.accept().await;
    assert_eq!(next_event(&mut subscription).await.number, 1);
    let passed = rig.proxy.count(|counts| counts.passed(Direction::ToClient)) - before;
    assert!(
        passed < AHEAD_BYTES_MAX,
        "{passed} bytes were read before the first event was given"
    );
    let all = STREAMS * usize::try_from(BACKLOG_EVENTS).expect("small");
    for _ in 1..all {
        next_event(&mut subscription).await;
    }
    assert!(
        subscription
            .next_buffered()
            .is_none_or(|item| !is_event(&item))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_and_following_the_same_stream_meet_in_one_program() {
    const EVENTS: u64 = 500;
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    let publisher = client.clone();
    let publishing = tokio::spawn(async move { publish_all(&publisher, EVENTS).await });
    let data = next_data(
        &mut subscription,
        0,
        usize::try_from(EVENTS).expect("small"),
    )
    .await;
    let wanted: Vec<String> = (0..EVENTS).map(|number| number.to_string()).collect();
    assert_eq!(data, wanted);
    publishing.await.expect("the publisher does not panic");
}

fn is_event(item: &Result<Item, Error>) -> bool {
    matches!(item, Ok(Item::Event(_)))
}

async fn publish_all(client: &Client, events: u64) {
    for number in 0..events {
        let published = client
            .publish("orders", "e", number.to_string(), Expect::Any)
            .await;
        assert_eq!(published.expect("the server is there"), number);
    }
}
