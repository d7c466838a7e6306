//! Goal: a program can tell from the lifecycle callbacks how its connections are, and says how
//! often they are to be tried again.
//!
//! Method: the proxy loses connections and refuses new ones; the list of the callbacks must tell
//! exactly that, for the connection of the commands and for that of a subscription.

use std::time::Duration;

use meilies_client::{Change, Client, ConnectionKind, ErrorKind, Expect, Reconnect};
use meilies_tests::proxy::Cut;

use super::support::{
    QUICK, Recorder, Rig, connect, error_at_end, expect_kind, next, next_data, subscribe, within,
};

const KINDS: [ConnectionKind; 2] = [ConnectionKind::Commands, ConnectionKind::Subscription];

fn is_attempt(change: &Change, of: u32) -> bool {
    matches!(change, Change::Reconnecting { attempt, .. } if *attempt == of)
}

fn third_attempts(changes: &[Change]) -> u64 {
    changes
        .iter()
        .filter(|change| is_attempt(change, 3))
        .count() as u64
}

/// Connected; then for each loss: lost, the attempts from 1 on, connected.
fn expect_order(changes: &[Change], delay_max: Duration) {
    let mut left = changes.iter();
    assert!(
        matches!(left.next(), Some(Change::Connected)),
        "{changes:?}"
    );
    while let Some(change) = left.next() {
        assert!(
            matches!(change, Change::Lost { reason } if !reason.is_empty()),
            "expected a loss and its reason: {changes:?}"
        );
        let mut attempts = 0;
        loop {
            match left.next() {
                Some(Change::Reconnecting { attempt, delay }) => {
                    attempts += 1;
                    assert_eq!(*attempt, attempts, "{changes:?}");
                    assert!(*delay <= delay_max, "{changes:?}");
                }
                Some(Change::Connected) => {
                    assert!(attempts > 0, "back without an attempt: {changes:?}");
                    break;
                }
                None => return,
                Some(Change::Lost { .. }) => panic!("lost twice: {changes:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_of_connection_tell_what_becomes_of_them_in_order() {
    let rig = Rig::start(&[]);
    let recorder = Recorder::new();
    let client = connect(rig.builder().on_lifecycle(recorder.hook())).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    next(&mut subscription).await;
    for kind in KINDS {
        let changes = recorder.of(kind);
        assert!(
            matches!(changes[..], [Change::Connected]),
            "{kind:?}: {changes:?}"
        );
    }
    for (number, cut) in [(0, Cut::Reset), (1, Cut::Finish)] {
        rig.proxy.refuse().await;
        rig.proxy.cut(cut).await;
        let polling = async { next_data(&mut subscription, number, 1).await };
        let outage = async {
            recorder
                .wait_for("three attempts of each kind", || {
                    KINDS
                        .iter()
                        .all(|kind| third_attempts(&recorder.of(*kind)) > number)
                })
                .await;
            rig.proxy.accept().await;
            rig.publish("orders", &["x"]);
        };
        tokio::join!(polling, outage);
        let alive = client.last_event_number("orders");
        assert_eq!(
            within("an answer", alive).await.expect("it is back"),
            Some(number)
        );
    }
    for kind in KINDS {
        let changes = recorder.of(kind);
        expect_order(&changes, QUICK.delay_max);
        assert_eq!(recorder.losses(kind), 2, "{changes:?}");
        assert!(
            matches!(changes.last(), Some(Change::Connected)),
            "{changes:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_gives_up_after_as_many_attempts_as_it_was_told() {
    for attempts_max in [0, 1, 3] {
        let rig = Rig::start(&[]);
        let recorder = Recorder::new();
        let reconnect = Reconnect {
            attempts_max: Some(attempts_max),
            ..QUICK
        };
        let builder = rig.builder().reconnect(reconnect);
        let client = connect(builder.on_lifecycle(recorder.hook())).await;
        let mut subscription = subscribe(&client, &["orders:0"]).await;
        next(&mut subscription).await;
        rig.proxy.refuse().await;
        rig.proxy.cut(Cut::Reset).await;
        let error = error_at_end(&mut subscription).await;
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
        assert!(error.is_retryable());
        let changes = recorder.of(ConnectionKind::Subscription);
        let is_attempt = |change: &&Change| matches!(change, Change::Reconnecting { .. });
        let attempts = changes.iter().filter(is_attempt).count();
        assert_eq!(attempts, attempts_max as usize, "{changes:?}");
        let answer = within("an answer", client.last_event_number("orders")).await;
        expect_kind(answer, ErrorKind::Connection);
        let published = client.publish("orders", "e", "x", Expect::Any);
        expect_kind(within("an answer", published).await, ErrorKind::Connection);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attempts_begin_anew_after_each_success() {
    let rig = Rig::start(&[]);
    let reconnect = Reconnect {
        attempts_max: Some(2),
        ..QUICK
    };
    let client = connect(rig.builder().reconnect(reconnect)).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    for number in 0..6 {
        rig.proxy.cut(Cut::Reset).await;
        rig.publish("orders", &["x"]);
        next_data(&mut subscription, number, 1).await;
        let answer = within("an answer", client.last_event_number("orders")).await;
        assert_eq!(answer.expect("it is back"), Some(number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_connection_is_tried_once_unless_told_otherwise() {
    let rig = Rig::start(&[]);
    rig.proxy.refuse().await;
    let error = expect_kind(
        within("the refusal", rig.builder().connect()).await,
        ErrorKind::Connection,
    );
    assert!(error.is_retryable());
    let address = rig.proxy.address().to_string();
    assert!(
        error.to_string().contains(&address),
        "{error} does not say where"
    );
    expect_kind(
        within("the refusal", Client::connect(&address)).await,
        ErrorKind::Connection,
    );

    let recorder = Recorder::new();
    let builder = rig.builder().retry_first_connect(true);
    let connecting = tokio::spawn(builder.on_lifecycle(recorder.hook()).connect());
    recorder
        .wait_for("the third attempt", || {
            let changes = recorder.of(ConnectionKind::Commands);
            changes.iter().any(|change| is_attempt(change, 3))
        })
        .await;
    rig.proxy.accept().await;
    let connected = within("the connection", connecting).await;
    let client = connected
        .expect("the task does not panic")
        .expect("the server is back");
    let number = client.publish("orders", "e", "x", Expect::None).await;
    assert_eq!(number.expect("it is connected"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_connection_that_is_retried_is_not_tried_for_ever_where_that_was_said() {
    let rig = Rig::start(&[]);
    rig.proxy.refuse().await;
    let reconnect = Reconnect {
        attempts_max: Some(3),
        ..QUICK
    };
    let builder = rig.builder().reconnect(reconnect).retry_first_connect(true);
    expect_kind(
        within("the end", builder.connect()).await,
        ErrorKind::Connection,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delays_grow_and_differ_and_stay_below_their_maximum() {
    let rig = Rig::start(&[]);
    let recorder = Recorder::new();
    let reconnect = Reconnect {
        attempts_max: Some(8),
        delay_min: Duration::from_millis(4),
        delay_max: Duration::from_millis(40),
    };
    let builder = rig.builder().reconnect(reconnect);
    let client = connect(builder.on_lifecycle(recorder.hook())).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    rig.proxy.refuse().await;
    rig.proxy.cut(Cut::Reset).await;
    error_at_end(&mut subscription).await;
    let delays: Vec<Duration> = recorder
        .of(ConnectionKind::Subscription)
        .iter()
        .filter_map(|change| match change {
            Change::Reconnecting { delay, .. } => Some(*delay),
            _ => None,
        })
        .collect();
    assert_eq!(delays.len(), 8, "{delays:?}");
    assert!(
        delays.iter().all(|delay| *delay <= reconnect.delay_max),
        "{delays:?}"
    );
    // Whoever lost the server together must not come back together.
    let whole = |delay: &Duration| delay.as_micros().is_multiple_of(1000);
    assert!(!delays.iter().all(whole), "no jitter: {delays:?}");
    let (early, late) = (
        delays[..2].iter().sum::<Duration>(),
        delays[6..].iter().sum(),
    );
    assert!(early < late, "no backoff: {delays:?}");
}
