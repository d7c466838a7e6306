//! Goal: a subscription never goes on as if nothing had been when the store that comes back is
//! not the one that it knows.
//!
//! Method: during an outage the store is exchanged for another one, or loses what was not synced
//! as far as anybody can know, which its epoch says. A store that is the same must not be taken
//! for another one either.

use futures::StreamExt;
use meilies_client::{Error, ErrorKind, Item, Subscription};
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::proxy::Cut;

use super::support::{Rig, error_at_end, expect_end, info, next, next_data, subscribe, within};

/// Stops the server, and lets another one take its place whose store holds these events.
async fn exchange_store(rig: &mut Rig, events: &[(&str, &str)]) {
    rig.proxy.refuse().await;
    rig.proxy.cut(Cut::Finish).await;
    rig.change(|server| {
        drop(server.stop());
        ServerProcess::start(&Settings::default())
    });
    for (stream, data) in events {
        rig.publish(stream, &[data]);
    }
    rig.proxy.accept().await;
}

/// Subscribes and reads so many events.
async fn read(rig: &Rig, spec: &str, count: usize) -> Subscription {
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &[spec]).await;
    next_data(&mut subscription, 0, count).await;
    subscription
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_again_is_reported_as_replaced() {
    // As many events as were read, and more.
    for others in [3, 5] {
        let mut rig = Rig::start(&[]);
        rig.publish("orders", &["0", "1", "2"]);
        let mut subscription = read(&rig, "orders:0", 3).await;
        exchange_store(&mut rig, &vec![("orders", "other"); others]).await;
        let error = error_at_end(&mut subscription).await;
        assert_eq!(error.kind(), ErrorKind::Replaced, "{error}");
        assert!(matches!(error, Error::Replaced { .. }), "{error:?}");
        assert!(error.to_string().contains("orders"), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_again_with_fewer_events_is_no_stream_to_wait_on() {
    let mut rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1", "2"]);
    let mut subscription = read(&rig, "orders:0", 3).await;
    exchange_store(&mut rig, &[("orders", "other")]).await;
    let error = error_at_end(&mut subscription).await;
    let kinds = [ErrorKind::Replaced, ErrorKind::Diverged];
    assert!(kinds.contains(&error.kind()), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_is_reported_as_diverged_by_all() {
    for others in [1, 3, 5] {
        let mut rig = Rig::start(&[]);
        rig.publish("orders", &["0", "1", "2"]);
        let mut subscription = read(&rig, "$all:0", 3).await;
        exchange_store(&mut rig, &vec![("orders", "other"); others]).await;
        let error = error_at_end(&mut subscription).await;
        assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
        assert!(matches!(error, Error::Diverged { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_gone_is_reported_as_deleted() {
    let mut rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1", "2"]);
    let mut subscription = read(&rig, "orders:0", 3).await;
    exchange_store(&mut rig, &[("others", "x")]).await;
    loop {
        match next(&mut subscription).await {
            Item::Deleted { stream, number } => {
                assert_eq!((&stream[..], number), (&b"orders"[..], 2));
                break;
            }
            Item::CaughtUp { .. } => {}
            other => panic!("expected that orders is deleted, got {other:?}"),
        }
    }
    expect_end(&mut subscription).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_one_stream_ends_no_other_of_the_same_subscription() {
    let mut rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1", "2"]);
    rig.publish("gone", &["0"]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0", "gone:0", "others:0"]).await;
    let mut events = 0;
    let mut caught_up = 0;
    while (events, caught_up) != (4, 3) {
        match next(&mut subscription).await {
            Item::Event(_) => events += 1,
            Item::CaughtUp { .. } => caught_up += 1,
            other => panic!("{other:?}"),
        }
    }
    let events = [("orders", "other"); 3]
        .into_iter()
        .chain([("others", "0")]);
    exchange_store(&mut rig, &events.collect::<Vec<_>>()).await;
    let (mut replaced, mut deleted, mut followed) = (0, 0, 0);
    while replaced + deleted + followed < 3 {
        match within("the reports", subscription.next()).await {
            Some(Ok(Item::Event(event))) => {
                assert_eq!(event.stream.as_bytes(), b"others", "{event:?}");
                followed += 1;
            }
            Some(Ok(Item::Deleted { stream, .. })) => {
                assert_eq!(stream, "gone");
                deleted += 1;
            }
            Some(Err(Error::Replaced { source_name, .. })) => {
                assert_eq!(source_name, "orders");
                replaced += 1;
            }
            Some(Ok(Item::CaughtUp { source, .. })) => assert_eq!(source, "others"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((replaced, deleted, followed), (1, 1, 1));
    rig.publish("orders", &["not ours"]);
    rig.publish("gone", &["not ours"]);
    rig.publish("others", &["1"]);
    assert_eq!(next_data(&mut subscription, 1, 1).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_may_have_lost_events_is_reported_as_diverged() {
    for spec in ["orders:0", "$all:0"] {
        let mut rig = Rig::start(&["--fsync", "everysec"]);
        rig.publish("orders", &["0", "1", "2"]);
        let epoch = info(&mut rig.direct(), "meilies", "epoch");
        let mut subscription = read(&rig, spec, 3).await;
        rig.change(ServerProcess::kill_and_restart);
        assert!(info(&mut rig.direct(), "meilies", "epoch") > epoch);
        let error = error_at_end(&mut subscription).await;
        assert_eq!(error.kind(), ErrorKind::Diverged, "{spec}: {error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_subscribe_anew_after_its_store_diverged() {
    let mut rig = Rig::start(&["--fsync", "everysec"]);
    rig.publish("orders", &["0", "1", "2"]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    next_data(&mut subscription, 0, 3).await;
    rig.change(ServerProcess::kill_and_restart);
    error_at_end(&mut subscription).await;
    let mut again = subscribe(&client, &["orders:0"]).await;
    assert_eq!(next_data(&mut again, 0, 3).await, ["0", "1", "2"]);
    // The new subscription belongs to the new epoch: a clean restart does not end it.
    rig.change(ServerProcess::restart);
    rig.publish("orders", &["3"]);
    assert_eq!(next_data(&mut again, 3, 1).await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_store_is_not_taken_for_another_one() {
    for (flags, spec) in [
        (&["--fsync", "always"][..], "orders:0"),
        (&["--fsync", "always"], "$all:0"),
        (&["--fsync", "everysec"], "orders:0"),
        (&["--fsync", "no"], "$all:0"),
    ] {
        let mut rig = Rig::start(flags);
        rig.publish("orders", &["0", "1", "2"]);
        let mut subscription = read(&rig, spec, 3).await;
        let syncs_always = flags[1] == "always";
        rig.change(|server| match syncs_always {
            true => server.kill_and_restart(),
            false => server.restart(),
        });
        rig.publish("orders", &["3"]);
        assert_eq!(
            next_data(&mut subscription, 3, 1).await,
            ["3"],
            "{flags:?} {spec}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_without_an_event_yet_finds_out_that_its_stream_is_shorter() {
    let mut rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1", "2"]);
    let client = rig.client().await;
    // Caught up at 2, without an event: it waits for 3, which another store would give twice.
    let mut subscription = subscribe(&client, &["orders"]).await;
    next(&mut subscription).await;
    exchange_store(&mut rig, &[("orders", "other")]).await;
    let reported = loop {
        match within("the report", subscription.next()).await {
            Some(Ok(Item::CaughtUp { .. })) => {}
            other => break other,
        }
    };
    assert!(
        matches!(&reported, Some(Err(error))
            if [ErrorKind::Replaced, ErrorKind::Diverged].contains(&error.kind())),
        "expected an error, got {reported:?}"
    );
}

/// Cuts the subscription off, and lets it come back after these commands.
async fn outage(rig: &Rig, commands: &[&str]) {
    rig.proxy.refuse().await;
    rig.proxy.cut(Cut::Finish).await;
    let mut direct = rig.direct();
    for command in commands {
        direct.call(command);
    }
    rig.proxy.accept().await;
}

const MADE_AGAIN: [&str; 4] = [
    "DEL orders",
    "XADD orders 1-1 happened 0",
    "XADD orders 1-2 happened 1",
    "XADD orders 1-3 happened 2",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_again_is_known_though_the_event_that_was_seen_is_deleted() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1", "2"]);
    let mut subscription = read(&rig, "orders:0", 3).await;
    let commands = [&MADE_AGAIN[..], &["XTRIM orders MAXLEN 0"]].concat();
    outage(&rig, &commands).await;
    let error = error_at_end(&mut subscription).await;
    assert!(
        matches!(
            &error,
            Error::Replaced {
                number: Some(2),
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_events_are_all_deleted_is_the_same_one() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1", "2"]);
    let mut subscription = read(&rig, "orders:0", 3).await;
    let commands = ["XTRIM orders MAXLEN 0", "PUBLISH orders happened 3"];
    outage(&rig, &commands).await;
    assert_eq!(next_data(&mut subscription, 3, 1).await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_which_no_event_was_seen_is_known_again() {
    // One spec begins in the future, and one where nothing is kept.
    for spec in ["orders:7", "orders"] {
        for commands in [&MADE_AGAIN[..1], &MADE_AGAIN] {
            let rig = Rig::start(&[]);
            rig.publish("orders", &["0"]);
            rig.direct().call("XTRIM orders MAXLEN 0");
            let client = rig.client().await;
            let mut subscription = subscribe(&client, &[spec]).await;
            outage(&rig, commands).await;
            let report = loop {
                match within("the report", subscription.next()).await {
                    Some(Ok(Item::CaughtUp { .. })) => {}
                    other => break other.expect("it is reported"),
                }
            };
            let is_as_expected = match commands.len() {
                1 => matches!(&report, Ok(Item::Deleted { .. })),
                _ => matches!(&report, Err(Error::Replaced { .. })),
            };
            assert!(is_as_expected, "{spec} {commands:?}: {report:?}");
            expect_end(&mut subscription).await;
        }
    }
}
