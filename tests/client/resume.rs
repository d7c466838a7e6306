//! Goal: a subscription that lost its connection goes on where it was, for each way to begin one.
//!
//! Method: the proxy cuts the connection and refuses new ones while a client of our own publishes;
//! then the subscription must deliver exactly what it had not delivered before.

use futures::{FutureExt, StreamExt};
use meilies_client::{Item, Subscription};
use meilies_tests::process::ServerProcess;
use meilies_tests::proxy::{Cut, Direction};

use super::support::{
    Rig, connect, expect_caught_up, expect_end, next, next_data, next_event, subscribe, until,
};

/// Cuts all connections, publishes this while nobody can connect, and lets the client back in.
async fn outage(rig: &Rig, cut: Cut, events: &[(&str, &str)]) {
    rig.proxy.refuse().await;
    rig.proxy.cut(cut).await;
    for (stream, data) in events {
        rig.publish(stream, &[data]);
    }
    rig.proxy.accept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_events_only_means_since_the_subscription_whatever_happens_to_its_connection() {
    for (spec, existing) in [
        ("orders", 0),
        ("orders", 3),
        ("orders:$", 3),
        ("$all", 0),
        ("$all", 3),
        ("$all:$", 3),
    ] {
        for (polled, cut) in [
            (true, Cut::Reset),
            (false, Cut::Reset),
            (false, Cut::Finish),
        ] {
            let rig = Rig::start(&[]);
            for _ in 0..existing {
                rig.publish("orders", &["before"]);
            }
            let client = rig.client().await;
            let mut subscription = subscribe(&client, &[spec]).await;
            if polled {
                let source = spec.trim_end_matches(":$");
                let tail = u64::checked_sub(existing, 1);
                expect_caught_up(&mut subscription, source, tail).await;
            }
            outage(&rig, cut, &[("orders", "1"), ("orders", "2")]).await;
            outage(&rig, cut, &[("orders", "3")]).await;
            let data = next_data(&mut subscription, existing, 3).await;
            assert_eq!(
                data,
                ["1", "2", "3"],
                "{spec} behind {existing}, polled: {polled}"
            );
            rig.publish("orders", &["4"]);
            assert_eq!(next_data(&mut subscription, existing + 3, 1).await, ["4"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_empty_when_its_subscription_begins_is_delivered_from_0() {
    for spec in ["orders", "orders:0", "$all", "$all:0"] {
        let rig = Rig::start(&[]);
        let client = rig.client().await;
        let mut subscription = subscribe(&client, &[spec]).await;
        let source = spec.trim_end_matches(":0");
        expect_caught_up(&mut subscription, source, None).await;
        outage(&rig, Cut::Reset, &[]).await;
        outage(&rig, Cut::Finish, &[("orders", "1"), ("orders", "2")]).await;
        assert_eq!(
            next_data(&mut subscription, 0, 2).await,
            ["1", "2"],
            "{spec}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_behind_the_last_event_that_was_delivered() {
    for source in ["orders", "$all"] {
        let rig = Rig::start(&[]);
        rig.publish("orders", &["0", "1", "2", "3", "4"]);
        let client = rig.client().await;
        let mut subscription = subscribe(&client, &[&format!("{source}:1")]).await;
        assert_eq!(next_data(&mut subscription, 1, 2).await, ["1", "2"]);
        outage(&rig, Cut::Reset, &[("orders", "5")]).await;
        assert_eq!(next_data(&mut subscription, 3, 3).await, ["3", "4", "5"]);
        outage(&rig, Cut::Finish, &[("orders", "6")]).await;
        assert_eq!(next_data(&mut subscription, 6, 1).await, ["6"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_resumes_at_its_position_and_not_at_the_numbers_of_the_streams() {
    let rig = Rig::start(&[]);
    for (stream, data) in [("a", "0"), ("b", "1"), ("a", "2"), ("c", "3"), ("b", "4")] {
        rig.publish(stream, &[data]);
    }
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["$all:0"]).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(next_event(&mut subscription).await);
    }
    outage(&rig, Cut::Reset, &[("c", "5"), ("d", "6"), ("a", "7")]).await;
    for _ in 5..8 {
        seen.push(next_event(&mut subscription).await);
    }
    let seen: Vec<_> = seen.iter().map(Into::into).collect();
    assert_eq!(rig.truth("$all"), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_range_stays_finished() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1", "2", "3", "4"]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:1:3", "others:0"]).await;
    let mut seen = Vec::new();
    let mut next_after = None;
    while next_after.is_none() {
        match next(&mut subscription).await {
            Item::Event(event) => seen.push(event.number),
            Item::Ended { spec, next } => {
                assert_eq!(spec, "orders:1:3");
                next_after = Some(next);
            }
            Item::CaughtUp { source, number } => {
                assert_eq!((&source[..], number), (&b"others"[..], None));
            }
            other @ Item::Deleted { .. } => panic!("{other:?}"),
        }
    }
    assert_eq!((seen, next_after), (vec![1, 2], Some(3)));
    for (cut, number) in [(Cut::Reset, 0), (Cut::Finish, 1)] {
        outage(&rig, cut, &[("orders", "more"), ("others", "x")]).await;
        let event = next_event(&mut subscription).await;
        assert_eq!(
            (event.stream.as_bytes(), event.number),
            (&b"others"[..], number)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_under_way_ends_where_it_was_to_end() {
    for source in ["orders", "$all"] {
        let rig = Rig::start(&[]);
        rig.publish("orders", &["0", "1", "2"]);
        let client = rig.client().await;
        let spec = format!("{source}:1:5");
        let mut subscription = subscribe(&client, &[&spec]).await;
        assert_eq!(next_data(&mut subscription, 1, 1).await, ["1"]);
        outage(&rig, Cut::Reset, &[("orders", "3")]).await;
        assert_eq!(next_data(&mut subscription, 2, 2).await, ["2", "3"]);
        // All but the end itself is there: the range may end during an outage, too.
        outage(&rig, Cut::Reset, &[("orders", "4"), ("orders", "5")]).await;
        assert_eq!(next_data(&mut subscription, 4, 1).await, ["4"]);
        expect_ended(&mut subscription, &spec, 5).await;
        expect_end(&mut subscription).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_the_future_stays_there() {
    for source in ["orders", "$all"] {
        let rig = Rig::start(&[]);
        rig.publish("orders", &["0", "1"]);
        let client = rig.client().await;
        let mut subscription = subscribe(&client, &[&format!("{source}:4")]).await;
        outage(&rig, Cut::Reset, &[("orders", "2")]).await;
        // What it is not to deliver has been published when it is back, as the next event shows.
        outage(&rig, Cut::Reset, &[("orders", "3")]).await;
        rig.publish("orders", &["4", "5"]);
        assert_eq!(next_data(&mut subscription, 4, 2).await, ["4", "5"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_not_polled_during_an_outage_misses_nothing() {
    const EVENTS: u64 = 3000;
    let mut rig = Rig::start(&[]);
    let data = vec!["x"; 1000];
    for _ in 0..EVENTS / 1000 {
        rig.publish("orders", &data);
    }
    let client = connect(rig.builder().prefetch_bytes(1)).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    next_data(&mut subscription, 0, 100).await;
    rig.change(ServerProcess::kill_and_restart);
    rig.change(ServerProcess::restart);
    rig.publish("orders", &["last"]);
    next_data(
        &mut subscription,
        100,
        usize::try_from(EVENTS - 100).expect("small"),
    )
    .await;
    assert_eq!(next_data(&mut subscription, EVENTS, 1).await, ["last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_given_up_loses_nothing() {
    const EVENTS: u64 = 300;
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    let mut direct = rig.direct();
    let mut number = 0;
    let mut published = 0;
    until("every event", || {
        if published < EVENTS {
            direct.call(&format!("PUBLISH orders happened {published}"));
            published += 1;
        }
        if published == EVENTS / 2 {
            rig.proxy.cut_after(Direction::ToClient, 10, Cut::Reset);
        }
        match subscription.next().now_or_never() {
            Some(Some(Ok(Item::Event(event)))) => {
                assert_eq!(event.number, number);
                number += 1;
            }
            None | Some(Some(Ok(Item::CaughtUp { .. }))) => {}
            Some(other) => panic!("{other:?}"),
        }
        number == EVENTS
    })
    .await;
}

async fn expect_ended(subscription: &mut Subscription, wanted: &str, number: u64) {
    loop {
        match next(subscription).await {
            Item::CaughtUp { .. } => {}
            Item::Ended { spec, next } => {
                assert_eq!((&spec[..], next), (wanted.as_bytes(), number));
                return;
            }
            other => panic!("expected the end of {wanted}, got {other:?}"),
        }
    }
}
