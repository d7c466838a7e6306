//! Goal: it does not matter at which byte a connection breaks.
//!
//! Method: the same small piece of work is done again and again, and each time the proxy cuts the
//! connection one byte later, in either direction, until the work is done before the cut.

use std::collections::BTreeMap;

use futures::StreamExt;
use meilies_client::{Client, Error, ErrorKind, Expect, Item};
use meilies_tests::proxy::{Cut, Direction};

use super::support::{Rig, Stored, next_event, subscribe, within};

const DIRECTIONS: [Direction; 2] = [Direction::ToClient, Direction::ToServer];

fn cut_at(byte: u64) -> Cut {
    match byte.is_multiple_of(2) {
        true => Cut::Reset,
        false => Cut::Finish,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_cut_at_every_byte() {
    let rig = Rig::start(&[]);
    for (stream, data) in [
        ("a", "0"),
        ("b", "1"),
        ("a", "2"),
        ("c", "3"),
        ("b", "4"),
        ("a", "5"),
    ] {
        rig.publish(stream, &[data]);
    }
    let client = rig.client().await;
    for direction in DIRECTIONS {
        for byte in 0.. {
            rig.proxy.cut_after(direction, byte, cut_at(byte));
            expect_sources(
                &rig,
                &client,
                &format!("cut {direction:?} after byte {byte}"),
            )
            .await;
            if rig.proxy.cut_never() {
                assert!(byte > 50, "only {byte} bytes went {direction:?}");
                break;
            }
        }
    }
}

/// Subscribes to the ends and beginnings of streams, and expects each event once and in order.
async fn expect_sources(rig: &Rig, client: &Client, when: &str) {
    let specs = ["a:0:3", "b:1:+", "c:0:1", "empty"];
    let mut subscription = subscribe_at_last(client, &specs).await;
    let mut seen: BTreeMap<Vec<u8>, Vec<Stored>> = BTreeMap::new();
    let mut ended: Vec<(Vec<u8>, u64)> = Vec::new();
    let (mut caught_up_b, mut caught_up_empty) = (false, false);
    while !(ended.len() == 2 && caught_up_b && caught_up_empty) {
        match within(when, subscription.next()).await {
            Some(Ok(Item::Event(event))) => {
                let of_stream = seen.entry(event.stream.as_bytes().to_vec()).or_default();
                of_stream.push(Stored::from(&event));
            }
            Some(Ok(Item::Ended { spec, next })) => ended.push((spec.to_vec(), next)),
            Some(Ok(Item::CaughtUp { source, number })) => match (&source[..], number) {
                (b"b", Some(1)) => caught_up_b = true,
                (b"empty", None) => caught_up_empty = true,
                // A range says it where the connection broke before the range was at its end.
                (b"a", Some(2)) | (b"c", Some(0)) => {}
                other => panic!("{when}: caught up {other:?}"),
            },
            other => panic!("{when}: {other:?}"),
        }
    }
    ended.sort();
    let wanted = [(b"a:0:3".to_vec(), 3), (b"c:0:1".to_vec(), 1)];
    assert_eq!(ended, wanted, "{when}");
    for (source, from) in [("a", 0), ("b", 1), ("c", 0)] {
        let seen = seen.remove(source.as_bytes()).unwrap_or_default();
        assert_eq!(seen, rig.truth(source)[from..], "{when}: {source}");
    }
    assert!(seen.is_empty(), "{when}: {seen:?}");
}

/// A subscription that could not begin may say so; then it is begun again.
async fn subscribe_at_last(client: &Client, specs: &[&str]) -> meilies_client::Subscription {
    match within("the subscription", client.subscribe(specs)).await {
        Ok(subscription) => subscription,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
            assert!(error.is_retryable());
            subscribe(client, specs).await
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_to_new_events_begins_when_it_is_made_wherever_it_is_cut() {
    // How many events there are of each source.
    for sources in [&[2][..], &[0], &[2, 0]] {
        let rig = Rig::start(&[]);
        let client = rig.client().await;
        for byte in 0.. {
            let name = |index: usize| format!("{byte}:{index}:x");
            let names: Vec<String> = (0..sources.len()).map(name).collect();
            for (name, existing) in names.iter().zip(sources) {
                rig.publish(name, &vec!["before"; *existing]);
            }
            rig.proxy.cut_after(Direction::ToClient, byte, cut_at(byte));
            let specs: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut subscription = subscribe_at_last(&client, &specs).await;
            // The connection may be there or cut by now: what is published now is to come.
            for name in &names {
                rig.publish(name, &["after"]);
            }
            let mut seen = Vec::new();
            while seen.len() < sources.len() {
                let event = next_event(&mut subscription).await;
                seen.push((event.stream.to_string(), event.number));
            }
            seen.sort();
            let wanted = names.into_iter().zip(sources.iter().map(|n| *n as u64));
            assert!(
                seen.iter().cloned().eq(wanted),
                "cut after byte {byte}: {seen:?}"
            );
            if rig.proxy.cut_never() {
                assert!(byte > 50, "only {byte} bytes");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_subscription_of_all_is_cut_at_every_byte() {
    let rig = Rig::start(&[]);
    for (stream, data) in [("a", "0"), ("b", "1"), ("a", "2"), ("c", "3"), ("b", "4")] {
        rig.publish(stream, &[data]);
    }
    let truth = rig.truth("$all");
    let client = rig.client().await;
    for byte in 0.. {
        rig.proxy.cut_after(Direction::ToClient, byte, cut_at(byte));
        let mut subscription = subscribe_at_last(&client, &["$all:1:4"]).await;
        let mut seen = Vec::new();
        let mut ends = 0;
        while let Some(item) = within("the range", subscription.next()).await {
            match item.unwrap_or_else(|error| panic!("cut after byte {byte}: {error}")) {
                Item::Event(event) => seen.push(Stored::from(&event)),
                Item::Ended { next, .. } => ends += next,
                other => panic!("cut after byte {byte}: {other:?}"),
            }
        }
        assert_eq!(seen, truth[1..4], "cut after byte {byte}");
        assert_eq!(ends, 4, "cut after byte {byte}");
        if rig.proxy.cut_never() {
            assert!(byte > 50, "only {byte} bytes");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_with_an_expectation_is_stored_once_wherever_it_is_cut() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let (mut stored, mut unknown) = (0, 0);
    for direction in DIRECTIONS {
        for byte in 0.. {
            let stream = format!("{direction:?}-{byte}");
            begin(&rig, &client, direction, byte).await;
            let publishing = client.publish(&stream, "opened", "{}", Expect::None);
            match within("the publish", publishing).await {
                Ok(number) => {
                    assert_eq!(number, 0);
                    stored += 1;
                }
                Err(Error::Unknown { found, .. }) => {
                    assert_eq!(found, Some(0), "cut {direction:?} after byte {byte}");
                    unknown += 1;
                }
                Err(error) => panic!("cut {direction:?} after byte {byte}: {error}"),
            }
            assert_eq!(
                rig.data(&stream),
                ["{}"],
                "cut {direction:?} after byte {byte}"
            );
            if rig.proxy.cut_never() {
                break;
            }
        }
    }
    assert!(
        stored > 20 && unknown > 0,
        "{stored} stored, {unknown} unknown"
    );
}

/// Waits until the client is back from the cut before, and orders the next one.
async fn begin(rig: &Rig, client: &Client, direction: Direction, byte: u64) {
    let tail = within("an answer", client.last_event_number("nothing")).await;
    assert_eq!(tail.expect("the server is there"), None);
    rig.proxy.cut_after(direction, byte, cut_at(byte));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_without_one_is_stored_once_at_most_wherever_it_is_cut() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let mut unknown = 0;
    for direction in DIRECTIONS {
        for byte in 0.. {
            let stream = format!("{direction:?}-{byte}");
            let when = format!("cut {direction:?} after byte {byte}");
            begin(&rig, &client, direction, byte).await;
            let publishing = client.publish(&stream, "opened", "{}", Expect::Any);
            let published = within("the publish", publishing).await;
            let uncut = rig.proxy.cut_never();
            rig.settle().await;
            let data = rig.data(&stream);
            match published {
                Ok(number) => assert_eq!((number, data.len()), (0, 1), "{when}"),
                Err(error) if error.kind() == ErrorKind::Unknown => {
                    assert!(data.len() <= 1, "{when}: {data:?}");
                    unknown += 1;
                }
                // Nothing of it had left the client.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Connection, "{when}: {error}");
                    assert!(data.is_empty(), "{when}: {data:?}");
                }
            }
            if uncut {
                break;
            }
        }
    }
    assert!(unknown > 20, "{unknown} unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publishes_are_stored_all_or_none_wherever_they_are_cut() {
    const EVENTS: usize = 4;
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let wanted: Vec<String> = (0..EVENTS).map(|index| index.to_string()).collect();
    let numbers: Vec<u64> = (0..EVENTS as u64).collect();
    for expect in [Expect::None, Expect::Any] {
        for direction in DIRECTIONS {
            for byte in 0.. {
                let stream = format!("{expect:?}-{direction:?}-{byte}");
                let when = format!("{expect:?}, cut {direction:?} after byte {byte}");
                begin(&rig, &client, direction, byte).await;
                let events = wanted.iter().map(|data| ("counted", data));
                let publishing = client.publish_many(&stream, events, expect);
                let published = within("the publishes", publishing).await;
                let uncut = rig.proxy.cut_never();
                rig.settle().await;
                let data = rig.data(&stream);
                match (expect, published) {
                    (_, Ok(told)) => assert_eq!((&told, &data), (&numbers, &wanted), "{when}"),
                    (Expect::None, Err(Error::Unknown { found, .. })) => {
                        assert_eq!((found, &data), (Some(0), &wanted), "{when}");
                    }
                    (Expect::Any, Err(Error::Unknown { .. })) => {
                        assert!(data.is_empty() || data == wanted, "{when}: {data:?}");
                    }
                    (_, Err(error)) => {
                        assert_eq!(error.kind(), ErrorKind::Connection, "{when}: {error}");
                        assert!(data.is_empty(), "{when}: {data:?}");
                    }
                }
                if uncut {
                    break;
                }
            }
        }
    }
}
