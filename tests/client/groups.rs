//! Goal: a group gives each event at least once, to one consumer at a time, and none that was
//! acknowledged; whatever becomes of the server, the workers and their connections.
//!
//! Method: what is pending and for whom is read from the server by a client of another kind; the
//! server is killed, connections are cut in the midst of replies, and workers are dropped.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use meilies_client::{
    Append, Client, Consumer, Delivery, DeliveryKind, Error, ErrorKind, EventId, Group, GroupStart,
};
use meilies_tests::process::ServerProcess;
use meilies_tests::proxy::{Cut, Direction, Flow};

use super::support::{Rig, expect_end, expect_kind, next, until, within};

/// Appends events with the ids 1-0, 2-0 … and as many data.
async fn append(client: &Client, ids: std::ops::Range<u64>) {
    for ms in ids {
        let append = Append {
            id: Some(EventId::new(ms, 0)),
            ..Append::default()
        };
        let value = ms.to_string();
        let fields = [("value", value.as_str()), ("kind", "test")];
        let id = client.append("jobs", fields, append).await;
        assert_eq!(id.expect("it is stored"), EventId::new(ms, 0));
    }
}

/// A group of a stream with so many events.
async fn group(client: &Client, events: u64) -> Group {
    append(client, 1..events + 1).await;
    let group = client.group("jobs", "workers").expect("good names");
    let is_new = group.create(GroupStart::Beginning).await;
    assert!(is_new.expect("it is made"));
    group
}

async fn consumer(group: &Group, name: &str) -> Consumer {
    let connected = within("the consumer", group.consumer(name).connect()).await;
    connected.expect("the server is there")
}

fn ms(delivery: &Delivery) -> u64 {
    assert_eq!(delivery.get("kind"), Some(&b"test"[..]));
    let value = delivery.id.milliseconds().to_string();
    assert_eq!(delivery.get("value"), Some(value.as_bytes()));
    delivery.id.milliseconds()
}

/// The next so many events, in order.
async fn take(consumer: &mut Consumer, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(ms(&next(consumer).await));
    }
    taken
}

/// What is pending, and for whom.
fn pending(rig: &Rig) -> Vec<(u64, String)> {
    let entries = rig.direct().call("XPENDING jobs workers - + 10000");
    let entries = entries.items().iter();
    entries
        .map(|entry| {
            let id = EventId::parse(entry.items()[0].bytes()).expect("an id");
            (id.milliseconds(), entry.items()[1].text().to_owned())
        })
        .collect()
}

fn of(consumer: &str, ids: impl IntoIterator<Item = u64>) -> Vec<(u64, String)> {
    ids.into_iter()
        .map(|ms| (ms, consumer.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_group() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let absent = client.group("jobs", "workers").expect("good names");
    assert_eq!(absent.info().await.expect("it is answered"), None);
    assert!(!absent.destroy().await.expect("there is none"));
    let group = group(&client, 5).await;
    let again = group.create(GroupStart::New).await;
    assert!(!again.expect("it is there already"));
    let got = group.read("alice", 2).await.expect("there are events");
    assert_eq!(got.iter().map(ms).collect::<Vec<_>>(), [1, 2]);
    assert!(
        got.iter()
            .all(|it| it.kind == DeliveryKind::New && it.deliveries == Some(1))
    );
    let info = group.info().await.expect("it is answered");
    let info = info.expect("there is one");
    assert_eq!(
        (&info.name[..], info.consumers, info.pending),
        (&b"workers"[..], 1, 2)
    );
    assert_eq!(info.last_delivered_id, EventId::new(2, 0));
    assert_eq!((info.entries_read, info.lag), (Some(2), Some(3)));
    let consumers = group.consumers().await.expect("they are listed");
    assert_eq!(
        (&consumers[0].name[..], consumers[0].pending),
        (&b"alice"[..], 2)
    );
    let summary = group.pending().await.expect("it is answered");
    assert_eq!((summary.count, summary.consumers.len()), (2, 1));
    assert_eq!(
        summary.first.zip(summary.last),
        Some((EventId::new(1, 0), EventId::new(2, 0)))
    );
    let entries = group.pending_entries(Some(b"alice"), Duration::ZERO, EventId::MIN, 10);
    let entries = entries.await.expect("they are listed");
    assert!(
        entries
            .iter()
            .all(|entry| entry.consumer == "alice" && entry.deliveries == 1)
    );
    assert_eq!(entries.len(), 2);
    let acknowledged = group.ack(got.iter().map(|delivery| delivery.id)).await;
    assert_eq!(acknowledged.expect("they were pending"), 2);
    assert_eq!(group.pending().await.expect("it is answered").count, 0);
    assert_eq!(
        group.delete_consumer("alice").await.expect("there is one"),
        0
    );
    let all = client.groups("jobs").await.expect("they are listed");
    assert_eq!(all.len(), 1);
    assert!(
        client
            .groups("others")
            .await
            .expect("there is no stream")
            .is_empty()
    );
    assert!(group.destroy().await.expect("there is one"));
    let error = expect_kind(group.read("alice", 1).await, ErrorKind::Server);
    assert!(error.to_string().starts_with("NOGROUP"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_begins_where_it_is_told() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    append(&client, 1..4).await;
    let groups = [
        ("all", GroupStart::Beginning, &[1, 2, 3, 4][..]),
        ("some", GroupStart::After(EventId::new(2, 0)), &[3, 4]),
        ("new", GroupStart::New, &[4]),
    ];
    for (name, start, _) in groups {
        let group = client.group("jobs", name).expect("good names");
        assert!(group.create(start).await.expect("it is made"), "{name}");
    }
    append(&client, 4..5).await;
    for (name, _, expected) in groups {
        let group = client.group("jobs", name).expect("good names");
        let got = group.read("alice", 10).await.expect("there are events");
        assert_eq!(got.iter().map(ms).collect::<Vec<_>>(), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_comes_back_first_gets_what_it_left() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let group = group(&client, 250).await;
    let mut alice = consumer(&group, "alice").await;
    assert_eq!(take(&mut alice, 3).await, [1, 2, 3]);
    group
        .ack([EventId::new(2, 0)])
        .await
        .expect("it was pending");
    drop(alice);
    // One that it read and that was deleted meanwhile is not given, and no longer pending.
    rig.direct().call("XDEL jobs 5-0");
    let mut alice = consumer(&group, "alice").await;
    let first = next(&mut alice).await;
    assert_eq!((ms(&first), first.kind), (1, DeliveryKind::Pending));
    assert_eq!(first.deliveries, Some(2));
    let expected: Vec<u64> = (3..251).filter(|ms| *ms != 5).collect();
    assert_eq!(take(&mut alice, expected.len()).await, expected);
    let all = [1].into_iter().chain(expected);
    assert_eq!(pending(&rig), of("alice", all));
    // And then what is new.
    append(&client, 251..252).await;
    let new = next(&mut alice).await;
    assert_eq!((ms(&new), new.kind), (251, DeliveryKind::New));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_waits_without_holding_up_commands() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let group = group(&client, 0).await;
    let mut alice = consumer(&group, "alice").await;
    let none = alice.read(10, Duration::from_millis(50)).await;
    assert!(none.expect("nothing came").is_empty());
    append(&client, 1..4).await;
    let mut got = Vec::new();
    while got.len() < 3 {
        let batch = within("a batch", alice.read(2, Duration::from_secs(20))).await;
        let batch = batch.expect("there is more");
        assert!(batch.len() <= 2);
        got.extend(batch.iter().map(ms));
    }
    assert_eq!(got, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_read_than_is_asked_for() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let group = group(&client, 100).await;
    let connected = within(
        "the consumer",
        group.consumer("alice").prefetch(7).connect(),
    );
    let mut alice = connected.await.expect("the server is there");
    assert_eq!(take(&mut alice, 8).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(pending(&rig).len(), 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_count_among_the_connections() {
    let rig = Rig::start(&[]);
    let builder = rig.builder().subscriptions_max(1);
    let client = super::support::connect(builder).await;
    let group = group(&client, 0).await;
    let alice = consumer(&group, "alice").await;
    let bob = group.consumer("bob").connect().await;
    expect_kind(bob, ErrorKind::Limit);
    drop(alice);
    drop(consumer(&group, "bob").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_gone_ends_its_consumers() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let group = group(&client, 1).await;
    let mut alice = consumer(&group, "alice").await;
    assert_eq!(take(&mut alice, 1).await, [1]);
    let ended = tokio::spawn(async move {
        let error = within("the end", alice.next()).await.expect("an error");
        expect_end(&mut alice).await;
        error.expect_err("the group is gone")
    });
    assert!(group.destroy().await.expect("there is one"));
    let error = ended.await.expect("it does not panic");
    assert!(
        matches!(&error, Error::Refused(error) if error.code == "NOGROUP"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_leaves_its_events_pending_and_they_come_first() {
    for cut in [Cut::Reset, Cut::Finish] {
        let rig = Rig::start(&[]);
        let client = rig.client().await;
        let group = group(&client, 3).await;
        let mut alice = consumer(&group, "alice").await;
        assert_eq!(take(&mut alice, 3).await, [1, 2, 3]);
        let taking = tokio::spawn(async move {
            let taken = take(&mut alice, 4).await;
            (alice, taken)
        });
        // The server gives two events, and nothing arrives.
        rig.proxy.set_flow(Direction::ToClient, Flow::Swallow);
        let mut direct = rig.direct();
        for id in ["4-0", "5-0"] {
            direct.command(&["XADD", "jobs", id, "value", &id[..1], "kind", "test"]);
        }
        until("an event to be given", || pending(&rig).len() > 3).await;
        rig.proxy.refuse().await;
        rig.proxy.cut(cut).await;
        for id in ["6-0", "7-0"] {
            direct.command(&["XADD", "jobs", id, "value", &id[..1], "kind", "test"]);
        }
        rig.proxy.pass();
        rig.proxy.accept().await;
        let (alice, taken) = within("the events", taking).await.expect("no panic");
        // What was given before does not come again.
        assert_eq!(taken, [4, 5, 6, 7]);
        assert_eq!(pending(&rig), of("alice", 1..8));
        drop(alice);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_left_is_taken_over() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let group = group(&client, 5).await;
    let mut alice = consumer(&group, "alice").await;
    assert_eq!(take(&mut alice, 5).await, [1, 2, 3, 4, 5]);
    group
        .ack([EventId::new(3, 0)])
        .await
        .expect("it was pending");
    drop(alice);
    let builder = group.consumer("bob").claim_idle(Duration::from_millis(20));
    let mut bob = builder.connect().await.expect("the server is there");
    let mut got = BTreeSet::new();
    while got.len() < 4 {
        let delivery = next(&mut bob).await;
        assert_eq!(delivery.kind, DeliveryKind::Claimed);
        assert!(delivery.deliveries > Some(1) && delivery.idle_ms >= Some(20));
        got.insert(ms(&delivery));
        group.ack([delivery.id]).await.expect("it is pending");
    }
    assert!(got.into_iter().eq([1, 2, 4, 5]));
    assert!(pending(&rig).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_can_be_claimed_one_by_one() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let group = group(&client, 5).await;
    assert_eq!(
        group
            .read("alice", 5)
            .await
            .expect("there are events")
            .len(),
        5
    );
    let ids = [EventId::new(2, 0), EventId::new(9, 0)];
    let claimed = group.claim("bob", Duration::ZERO, ids).await;
    let claimed = claimed.expect("one of them is pending");
    assert_eq!(claimed.iter().map(ms).collect::<Vec<_>>(), [2]);
    assert_eq!(claimed[0].kind, DeliveryKind::Claimed);
    let hour = Duration::from_secs(3600);
    let none = group.claim("bob", hour, [EventId::new(1, 0)]).await;
    assert!(none.expect("it is not idle for so long").is_empty());
    rig.direct().call("XDEL jobs 4-0");
    let (mut next, mut got, mut deleted) = (Some(EventId::MIN), Vec::new(), Vec::new());
    while let Some(from) = next {
        let claimed = group.claim_idle("carol", Duration::ZERO, from, 2).await;
        let claimed = claimed.expect("it is answered");
        got.extend(claimed.deliveries.iter().map(ms));
        deleted.extend(claimed.deleted);
        next = claimed.next;
    }
    assert_eq!(got, [1, 2, 3, 5]);
    assert_eq!(deleted, [EventId::new(4, 0)]);
    assert_eq!(pending(&rig), of("carol", [1, 2, 3, 5]));
    let history = group.history("carol", EventId::new(2, 0), 10).await;
    let history = history.expect("they are pending");
    assert_eq!(history.iter().map(ms).collect::<Vec<_>>(), [3, 5]);
    assert!(
        history
            .iter()
            .all(|delivery| delivery.kind == DeliveryKind::Pending)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_dealt_with_though_the_server_is_killed_and_connections_are_cut() {
    const EVENTS: u64 = 3000;
    let mut rig = Rig::start(&[]);
    let client = rig.client().await;
    let group = group(&client, 0).await;
    let done = Arc::new(Mutex::new(BTreeSet::new()));
    let mut workers = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let builder = group.consumer(name).prefetch(20);
        let builder = builder.claim_idle(Duration::from_millis(300));
        let mut consumer = builder.connect().await.expect("the server is there");
        let (group, done) = (group.clone(), Arc::clone(&done));
        workers.push(tokio::spawn(async move {
            loop {
                let delivery = next(&mut consumer).await;
                done.lock().expect("nobody panics").insert(ms(&delivery));
                group.ack([delivery.id]).await.expect("it is asked again");
            }
        }));
    }
    for round in 0..6 {
        let mut direct = rig.direct();
        for ms in round * EVENTS / 6..(round + 1) * EVENTS / 6 {
            let value = (ms + 1).to_string();
            let id = format!("{value}-0");
            direct.command(&["XADD", "jobs", &id, "value", &value, "kind", "test"]);
        }
        match round % 3 {
            0 => rig.proxy.cut(Cut::Reset).await,
            1 => rig.change(ServerProcess::kill_and_restart),
            _ => rig.proxy.cut(Cut::Finish).await,
        }
    }
    until("all to be dealt with", || {
        done.lock().expect("nobody panics").len() as u64 == EVENTS
    })
    .await;
    until("all to be acknowledged", || pending(&rig).is_empty()).await;
    let info = group.info().await.expect("it is answered");
    assert_eq!(info.expect("there is one").lag, Some(0));
    for worker in workers {
        assert!(!worker.is_finished(), "a worker has ended");
        worker.abort();
    }
}
