//! Goal: what the client reads and asks for is what the server holds.
//!
//! Method: streams of known events, from empty ones to events of 4 MiB that make many pages,
//! compared with the raw replies.

use futures::TryStreamExt;
use meilies_client::{Client, ErrorKind, Expect, StreamName};
use meilies_tests::resp::Value;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::support::{Rig, Stored, connect, expect_kind, truth, within};

const BIG_BYTES: usize = 4 * 1024 * 1024;

/// Everything that a spec says.
async fn read(client: &Client, spec: &str) -> Vec<Stored> {
    collect(client.read(spec).expect("the spec is right")).await
}

async fn collect(read: meilies_client::Read) -> Vec<Stored> {
    let events = within(
        "the events",
        read.map_ok(|event| Stored::from(&event)).try_collect(),
    );
    events.await.expect("the events are read")
}

fn reversed(events: &[Stored]) -> Vec<Stored> {
    events.iter().rev().cloned().collect()
}

/// Two streams in turns, with events from nothing to 4 MiB.
async fn publish_mixed(client: &Client) {
    let mut random = StdRng::seed_from_u64(7);
    for number in 0..400_usize {
        let bytes = match number {
            100 | 101 | 250 => BIG_BYTES,
            number if number % 50 == 3 => random.random_range(100_000..1_000_000),
            number if number % 7 == 3 => 0,
            _ => random.random_range(1..3000),
        };
        let stream = ["orders", "others"][usize::from(number % 5 == 4)];
        let data = vec![b'a' + u8::try_from(number % 26).expect("small"); bytes];
        let published = client
            .publish(stream, format!("e{number}"), data, Expect::Any)
            .await;
        published.expect("the server is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_mixed_sizes_are_read_forward_and_backward_across_pages() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    publish_mixed(&client).await;
    let mut direct = rig.direct();
    for source in ["orders", "others", "$all"] {
        let events = truth(&mut direct, source, 0);
        let last = events.len() - 1;
        assert!(read(&client, source).await == events, "{source}");
        for (from, to) in [
            (0, 1),
            (0, last),
            (3, 90),
            (60, last + 1),
            (last, last + 100),
        ] {
            let wanted = &events[from..to.min(events.len())];
            let spec = format!("{source}:{from}:{to}");
            assert!(read(&client, &spec).await == wanted, "{spec}");
            let backward = client.read(&spec).expect("the spec is right").reverse();
            assert!(
                collect(backward).await == reversed(wanted),
                "{spec} backward"
            );
            for count in [0, 1, 7, wanted.len() - 1, wanted.len(), wanted.len() + 1] {
                let read = || {
                    client
                        .read(&spec)
                        .expect("the spec is right")
                        .limit(count as u64)
                };
                let some = &wanted[..count.min(wanted.len())];
                assert!(collect(read()).await == some, "{spec} limit {count}");
                let back = reversed(wanted);
                let some = &back[..count.min(back.len())];
                let of_back = collect(read().reverse()).await;
                assert!(of_back == some, "{spec} backward limit {count}");
            }
        }
        for spec in [
            format!("{source}:{}", last + 1),
            format!("{source}:{}:+", last + 5),
        ] {
            assert!(read(&client, &spec).await.is_empty(), "{spec}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_events_are_read_in_order() {
    const EVENTS: usize = 30_000;
    let rig = Rig::start(&["--fsync", "no"]);
    let client = rig.client().await;
    let events = (0..EVENTS).map(|number| ("e", number.to_string()));
    let numbers = client.publish_many("orders", events, Expect::None).await;
    let numbers = numbers.expect("the server is there");
    assert!(numbers.iter().copied().eq(0..EVENTS as u64));
    let events = read(&client, "orders").await;
    assert!(events == rig.truth("orders"));
    let mut backward = collect(client.read("orders").expect("a spec").reverse()).await;
    backward.reverse();
    assert!(events == backward);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_while_it_is_read_neither_ends_nor_repeats_anything() {
    let rig = Rig::start(&[]);
    for _ in 0..3 {
        rig.publish("orders", &["x"; 1000]);
    }
    let client = rig.client().await;
    let mut forward = client.read("orders:0:3000").expect("the spec is right");
    let mut backward = client.read("orders").expect("the spec is right").reverse();
    let (mut seen, mut seen_back) = (Vec::new(), Vec::new());
    for round in 0..3000 {
        if round % 300 == 0 {
            rig.publish("orders", &["more"; 20]);
        }
        let event = within("an event", forward.try_next())
            .await
            .expect("it is read");
        seen.push(event.expect("there are 3000").number);
        let event = within("an event", backward.try_next())
            .await
            .expect("it is read");
        seen_back.push(event.expect("there are 3000").number);
    }
    assert!(seen.into_iter().eq(0..3000));
    assert!(
        within("the end", forward.try_next())
            .await
            .expect("it is read")
            .is_none()
    );
    let newest = seen_back[0];
    assert!(seen_back.into_iter().eq((0..=newest).rev().take(3000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_exist_has_nothing() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    assert!(read(&client, "absent").await.is_empty());
    let absent = client.last_event_number("absent").await;
    assert_eq!(absent.expect("it is answered"), None);
    let absent = client.stream_info("absent").await;
    assert!(absent.expect("it is answered").is_none());
    let names = client.stream_names(None).await;
    assert!(names.expect("it is answered").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_those_that_match() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let binary: &[u8] = b"\x00\xff\r\n";
    for stream in [&b"orders"[..], b"orders:42", b"others", binary, b"*"] {
        client
            .publish(stream, "e", "x", Expect::None)
            .await
            .expect("it is published");
    }
    let patterns = [
        None,
        Some("o*"),
        Some("orders"),
        Some("order?:*"),
        Some("\\*"),
        Some("none"),
    ];
    for pattern in patterns {
        let names = client.stream_names(pattern.map(str::as_bytes)).await;
        let names = names.expect("it is answered");
        let names: Vec<&[u8]> = names.iter().map(StreamName::as_bytes).collect();
        let mut command = vec!["STREAM-NAMES"];
        command.extend(pattern);
        let truth = rig.direct().command(&command);
        let truth: Vec<&[u8]> = truth.items().iter().map(Value::bytes).collect();
        assert_eq!(names, truth, "{pattern:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_info_of_a_stream_is_told_at_once() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    rig.publish("others", &["x"]);
    let mut ids = Vec::new();
    for (count, data) in (0..).zip(["first", "second", "third"]) {
        rig.publish("orders", &[data]);
        let info = client.stream_info("orders").await.expect("it is answered");
        let info = info.expect("the stream is there");
        assert_eq!(info.name.as_bytes(), b"orders");
        assert_eq!(info.last_event_number, Some(count));
        assert_eq!((info.first_event_number, info.events), (Some(0), count + 1));
        let last = rig.truth("orders").pop().expect("there is an event");
        assert_eq!(info.last_id.to_string(), last.id);
        assert!(info.created_at_ms <= info.last_id.milliseconds());
        ids.push(info.stream_id);
    }
    rig.direct().call("XTRIM orders MAXLEN 1");
    let info = client.stream_info("orders").await.expect("it is answered");
    let info = info.expect("the stream is there");
    assert_eq!((info.first_event_number, info.events), (Some(2), 1));
    rig.direct().call("XTRIM orders MAXLEN 0");
    let info = client.stream_info("orders").await.expect("it is answered");
    let info = info.expect("the stream is there");
    assert_eq!((info.first_event_number, info.events), (None, 0));
    assert_eq!(info.last_event_number, Some(2));
    ids.push(info.stream_id);
    // What is made again is another stream.
    rig.direct().call("DEL orders");
    rig.publish("orders", &["again"]);
    let info = client.stream_info("orders").await.expect("it is answered");
    let again = info.expect("the stream is there").stream_id;
    assert!(
        ids.iter().all(|id| *id == ids[0] && *id != again),
        "{ids:?}"
    );
    let info = client.stream_info("").await;
    expect_kind(info, ErrorKind::Argument);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_info_of_the_server_has_every_section_and_field() {
    let rig = Rig::start(&["--fsync", "everysec"]);
    rig.publish("orders", &["0", "1"]);
    let client = connect(rig.builder()).await;
    let info = client.server_info().await.expect("it is answered");
    let truth = rig.direct().call("INFO");
    let mut section = "";
    let (mut sections, mut fields) = (Vec::new(), 0);
    for line in truth.text().lines() {
        if let Some(name) = line.strip_prefix("# ") {
            section = name;
            sections.push(name);
        } else if let Some((field, _)) = line.split_once(':') {
            let of_section = info.sections().iter().find(|(name, _)| name == section);
            let (_, of_section) = of_section.unwrap_or_else(|| panic!("no section {section}"));
            let found = of_section.iter().any(|(name, _)| name == field);
            assert!(found && info.get(field).is_some(), "no field {field}");
            fields += 1;
        }
    }
    assert!(info.sections().iter().map(|(name, _)| name).eq(sections));
    assert_eq!(
        info.sections()
            .iter()
            .map(|(_, fields)| fields.len())
            .sum::<usize>(),
        fields
    );
    let pid = rig.server().pid().to_string();
    for (field, value) in [
        ("process_id", &pid[..]),
        ("events", "2"),
        ("fsync", "everysec"),
    ] {
        assert_eq!(info.get(field), Some(value));
    }
    assert_eq!(info.get("nonsense"), None);
}
