//! Goal: a handler that publishes for each event it gets never stalls, however little its
//! subscription reads ahead, and whatever other subscriptions of the same client do not read.
//!
//! Method: 100,000 events, and ten subscriptions of one client that reads ahead as little as it
//! can. Nine share the events between them; for each event they publish another one and wait for
//! its number. One is never polled until all is done, though it has more to come than any socket
//! takes.

use std::time::Duration;

use futures::StreamExt;
use futures::future::try_join_all;
use meilies_client::{Client, Expect, Item, Subscription};
use meilies_tests::client::encode;

use super::support::{Rig, connect, subscribe, tail, within};

const EVENTS: u64 = 100_000;
const DATA_BYTES: usize = 200;
const HANDLERS: u64 = 9;

/// Far longer than it takes, also where the machine does other things.
const STALLED: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_publish_do_not_stall() {
    let rig = Rig::start(&["--fsync", "no"]);
    publish_orders(&rig);
    let client = connect(rig.builder().prefetch_bytes(1)).await;
    let mut not_polled = subscribe(&client, &["orders:0"]).await;
    let mut handling = Vec::new();
    for handler in 0..HANDLERS {
        let (from, end) = share_of(handler);
        let subscription = subscribe(&client, &[&format!("orders:{from}:{end}")]).await;
        handling.push(tokio::spawn(handle(client.clone(), subscription, handler)));
    }
    let handled = tokio::time::timeout(STALLED, try_join_all(handling)).await;
    let handled = handled.unwrap_or_else(|_elapsed| panic!("stalled: {}", progress(&rig)));
    let handled: u64 = handled.expect("no handler panics").into_iter().sum();
    assert_eq!(handled, EVENTS);
    for number in 0..EVENTS {
        expect_event(&mut not_polled, number).await;
    }
}

/// The events of a handler: from this one on, up to and without that one.
fn share_of(handler: u64) -> (u64, u64) {
    let share = EVENTS / HANDLERS;
    let is_last = handler + 1 == HANDLERS;
    let end = if is_last {
        EVENTS
    } else {
        (handler + 1) * share
    };
    (handler * share, end)
}

fn stream_of(handler: u64) -> String {
    format!("handled:{handler}:by")
}

/// How far the handlers came.
fn progress(rig: &Rig) -> String {
    let mut direct = rig.direct();
    let tails = (0..HANDLERS).map(|handler| tail(&mut direct, &stream_of(handler)));
    format!("{:?}", tails.collect::<Vec<_>>())
}

fn publish_orders(rig: &Rig) {
    const PIPELINE: usize = 1000;
    let mut direct = rig.direct();
    let data = "x".repeat(DATA_BYTES);
    let event = encode(&["PUBLISH", "orders", "ordered", &data]);
    for _ in 0..EVENTS / PIPELINE as u64 {
        direct.send(&event.repeat(PIPELINE));
        for _ in 0..PIPELINE {
            direct.reply().number();
        }
    }
}

/// Publishes for each event, one after the other: for how many.
async fn handle(client: Client, mut subscription: Subscription, handler: u64) -> u64 {
    let stream = stream_of(handler);
    let (from, end) = share_of(handler);
    for number in from..end {
        expect_event(&mut subscription, number).await;
        let published = client
            .publish(&stream, "handled", number.to_string(), Expect::Any)
            .await;
        assert_eq!(published.expect("the server is there"), number - from);
    }
    end - from
}

/// Takes the next event without a deadline of its own: there are very many of them.
async fn expect_event(subscription: &mut Subscription, number: u64) {
    loop {
        match subscription.next().await {
            Some(Ok(Item::Event(event))) => {
                assert_eq!(event.number, number);
                return;
            }
            Some(Ok(Item::CaughtUp { .. })) => {}
            other => panic!("expected event {number}, got {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_of_live_events_that_answers_into_its_own_stream_does_not_stall() {
    const ROUNDS: u64 = 5000;
    let rig = Rig::start(&["--fsync", "no"]);
    let client = connect(rig.builder().prefetch_bytes(1)).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    rig.publish("orders", &["first"]);
    for number in 0..ROUNDS {
        within("an event", expect_event(&mut subscription, number)).await;
        let published = client
            .publish("orders", "e", "next", Expect::Number(number))
            .await;
        assert_eq!(published.expect("nobody else publishes"), number + 1);
    }
}
