//! Goal: what `publish` returns is true, also when the reply never came.
//!
//! Method: the proxy swallows the request or the reply, other writers do what they like in the
//! meantime, and then the connection breaks. What is stored is read from the server.

use std::time::Instant;

use futures::TryStreamExt;
use futures::future::try_join_all;
use meilies_client::{Client, ConnectionKind, Error, ErrorKind, Event, Expect};
use meilies_tests::process::ServerProcess;
use meilies_tests::proxy::{Cut, Direction, Flow};
use tokio::task::JoinHandle;

use super::support::{Recorder, Rig, SHORT, Stored, connect, expect_kind, tail, until, within};

type Published = Result<u64, Error>;

/// Publishes in a task of its own.
fn publish(client: &Client, data: &'static str, expect: Expect) -> JoinHandle<Published> {
    let client = client.clone();
    tokio::spawn(async move { client.publish("orders", "happened", data, expect).await })
}

async fn outcome(publishing: JoinHandle<Published>) -> Published {
    let joined = within("the outcome of the publish", publishing).await;
    joined.expect("the task does not panic")
}

/// Publishes; the request arrives and the reply does not.
async fn lose_reply(rig: &Rig, client: &Client, expect: Expect, cut: Cut) -> Published {
    expect_connected(client).await;
    rig.proxy.set_flow(Direction::ToClient, Flow::Swallow);
    let number = rig.data("orders").len() as u64;
    let publishing = publish(client, "ours", expect);
    rig.wait_for_tail("orders", number).await;
    break_connection(rig, cut).await;
    outcome(publishing).await
}

/// Publishes; the request does not arrive, and meanwhile this happens.
async fn lose_request(rig: &Rig, client: &Client, expect: Expect, meanwhile: &[&str]) -> Published {
    expect_connected(client).await;
    rig.proxy.set_flow(Direction::ToServer, Flow::Swallow);
    let before = rig
        .proxy
        .count(|counts| counts.received(Direction::ToServer));
    let publishing = publish(client, "ours", expect);
    rig.proxy
        .wait_for("the request", |counts| {
            counts.received(Direction::ToServer) > before
        })
        .await;
    rig.publish("orders", meanwhile);
    break_connection(rig, Cut::Reset).await;
    outcome(publishing).await
}

/// Waits until the client is back from the outage before.
async fn expect_connected(client: &Client) {
    let answer = within("an answer", client.last_event_number("nothing")).await;
    assert_eq!(answer.expect("the server is there"), None);
}

/// Cuts, and passes everything from the next connection on.
async fn break_connection(rig: &Rig, cut: Cut) {
    rig.proxy.refuse().await;
    rig.proxy.cut(cut).await;
    rig.proxy.pass();
    rig.proxy.accept().await;
}

fn expect_unknown(published: Published) -> Option<u64> {
    let error = expect_kind(published, ErrorKind::Unknown);
    assert!(
        !error.is_retryable(),
        "to try {error:?} again could store it twice"
    );
    match error {
        Error::Unknown { found, .. } => found,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_unknown_where_nothing_was_expected() {
    for cut in [Cut::Reset, Cut::Finish] {
        let rig = Rig::start(&[]);
        rig.publish("orders", &["0"]);
        let client = rig.client().await;
        for (expect, stored) in [(Expect::Any, 2), (Expect::Exists, 3)] {
            expect_unknown(lose_reply(&rig, &client, expect, cut).await);
            rig.settle().await;
            assert_eq!(rig.data("orders").len(), stored);
        }
        let published = client
            .publish("orders", "happened", "next", Expect::Any)
            .await;
        assert_eq!(published.expect("the client is back"), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_is_unknown_too_and_not_tried_again() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    expect_unknown(lose_request(&rig, &client, Expect::Any, &["theirs"]).await);
    rig.settle().await;
    assert_eq!(rig.data("orders"), ["theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_with_an_expectation_is_tried_again() {
    for (existing, expect) in [(&[][..], Expect::None), (&["0", "1"], Expect::Number(1))] {
        let rig = Rig::start(&[]);
        rig.publish("orders", existing);
        let client = rig.client().await;
        let number = lose_request(&rig, &client, expect, &[]).await;
        assert_eq!(number.expect("it is tried again"), existing.len() as u64);
        rig.settle().await;
        assert_eq!(rig.data("orders"), [existing, &["ours"]].concat());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_with_an_expectation_names_the_event_that_is_found() {
    for (existing, expect) in [(&[][..], Expect::None), (&["0", "1"], Expect::Number(1))] {
        for cut in [Cut::Reset, Cut::Finish] {
            let rig = Rig::start(&[]);
            rig.publish("orders", existing);
            let client = rig.client().await;
            let found = expect_unknown(lose_reply(&rig, &client, expect, cut).await);
            assert_eq!(found, Some(existing.len() as u64));
            rig.settle().await;
            assert_eq!(rig.data("orders"), [existing, &["ours"]].concat());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_of_another_writer_is_a_conflict() {
    for (existing, expect) in [(&[][..], Expect::None), (&["0", "1"], Expect::Number(1))] {
        for meanwhile in [&["theirs"][..], &["theirs", "ours"]] {
            let rig = Rig::start(&[]);
            rig.publish("orders", existing);
            let client = rig.client().await;
            let published = lose_request(&rig, &client, expect, meanwhile).await;
            let error = expect_kind(published, ErrorKind::Conflict);
            assert!(matches!(error, Error::Conflict(_)), "{error:?}");
            rig.settle().await;
            assert_eq!(rig.data("orders"), [existing, meanwhile].concat());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_of_another_writer_cannot_be_told_from_ours() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0"]);
    let client = rig.client().await;
    let published = lose_request(&rig, &client, Expect::Number(0), &["ours", "theirs"]).await;
    assert_eq!(expect_unknown(published), Some(1));
    rig.settle().await;
    assert_eq!(rig.data("orders"), ["0", "ours", "theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_the_same_data_and_another_name_is_a_conflict() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    rig.proxy.set_flow(Direction::ToServer, Flow::Swallow);
    let before = rig
        .proxy
        .count(|counts| counts.received(Direction::ToServer));
    let publishing = publish(&client, "ours", Expect::None);
    rig.proxy
        .wait_for("the request", |counts| {
            counts.received(Direction::ToServer) > before
        })
        .await;
    rig.direct().call("PUBLISH orders unlike ours");
    break_connection(&rig, Cut::Reset).await;
    expect_kind(outcome(publishing).await, ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_the_server_answers_is_one() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0", "1"]);
    let client = rig.client().await;
    for expect in [Expect::None, Expect::Number(0), Expect::Number(7)] {
        let published = client.publish("orders", "happened", "1", expect).await;
        let error = expect_kind(published, ErrorKind::Conflict);
        assert!(error.to_string().contains("'orders' is at 1"), "{error}");
        // Whoever tries again has to look what changed first.
        assert!(!error.is_retryable());
    }
    let published = client
        .publish("absent", "happened", "1", Expect::Exists)
        .await;
    expect_kind(published, ErrorKind::Conflict);
    for expect in [Expect::Number(1), Expect::Exists, Expect::Any] {
        let published = client.publish("orders", "happened", "2", expect).await;
        published.expect("it holds");
    }
    assert_eq!(rig.data("orders").len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_stalled_beyond_its_time_is_true_as_well() {
    for expect in [Expect::Any, Expect::None] {
        let rig = Rig::start(&[]);
        let recorder = Recorder::new();
        let builder = rig.builder().request_timeout(SHORT).connect_timeout(SHORT);
        let client = connect(builder.on_lifecycle(recorder.hook())).await;
        rig.proxy.stall();
        let publishing = publish(&client, "ours", expect);
        recorder.wait_for_loss(ConnectionKind::Commands, 0).await;
        rig.proxy.pass();
        let published = outcome(publishing).await;
        rig.settle().await;
        let data = rig.data("orders");
        match (expect, published) {
            (Expect::None, Ok(number)) => assert_eq!((number, data.len()), (0, 1)),
            (Expect::None, Err(Error::Unknown { found, .. })) => {
                // The old request may arrive late, or not at all.
                assert!(found.is_none_or(|number| number == 0), "found at {found:?}");
                assert!(data.len() <= 1, "{data:?}");
            }
            (_, Err(error)) if error.kind() == ErrorKind::Unknown => {
                assert!(data.len() <= 1, "{data:?}");
            }
            (_, other) => panic!("{expect:?}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publishes_with_an_expectation_leave_no_room_for_others() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0"]);
    let client = rig.client().await;
    let events = ["1", "2", "3"].map(|data| ("happened", data));
    let numbers = client
        .publish_many("orders", events, Expect::Number(0))
        .await;
    assert_eq!(numbers.expect("the first expectation holds"), [1, 2, 3]);
    let conflict = client
        .publish_many("orders", events, Expect::Number(1))
        .await;
    expect_kind(conflict, ErrorKind::Conflict);
    assert_eq!(rig.data("orders"), ["0", "1", "2", "3"]);
    let nothing: [(&str, &str); 0] = [];
    let numbers = client.publish_many("orders", nothing, Expect::Any).await;
    assert!(numbers.expect("nothing to do").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publishes_of_several_writers_stand_together() {
    const EVENTS: u64 = 5;
    const ROUNDS: usize = 300;
    let rig = Rig::start(&["--fsync", "no"]);
    let writers = ["a", "b", "c"].map(|writer| {
        let url = rig.url();
        tokio::spawn(async move {
            let client = Client::connect(&url).await.expect("the server is there");
            for round in 0..ROUNDS {
                let tail = client.last_event_number("orders").await;
                let expect = match (round % 3, tail.expect("the server is there")) {
                    (0, _) => Expect::Any,
                    (_, None) => Expect::None,
                    (_, Some(tail)) => Expect::Number(tail),
                };
                let events = (0..EVENTS).map(|index| (writer, format!("{round}-{index}")));
                match client.publish_many("orders", events, expect).await {
                    Ok(numbers) => assert!(numbers.iter().copied().eq((numbers[0]..).take(5))),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
        })
    });
    let writers = within("the writers", try_join_all(writers)).await;
    writers.expect("no writer panics");
    let events = rig.truth("orders");
    for batch in events.chunks(usize::try_from(EVENTS).expect("small")) {
        let data: Vec<String> = batch.iter().map(Stored::text).collect();
        let round = data[0].strip_suffix("-0").expect("a batch begins");
        let wanted: Vec<String> = (0..EVENTS)
            .map(|index| format!("{round}-{index}"))
            .collect();
        assert_eq!(data, wanted);
        assert!(batch.iter().all(|event| event.name == batch[0].name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publishes_are_refused_as_a_whole() {
    let rig = Rig::start(&["--max-event-bytes", "1kb"]);
    let client = rig.client().await;
    let big = "x".repeat(2000);
    for expect in [Expect::None, Expect::Any] {
        let events = ["0", "1", &big, "3"].map(|data| ("happened", data));
        let published = client.publish_many("orders", events, expect).await;
        expect_kind(published, ErrorKind::Server);
        let events = [("happened", "0"), ("", "1")];
        let published = client.publish_many("orders", events, expect).await;
        expect_kind(published, ErrorKind::Argument);
        assert!(rig.data("orders").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_waits_out_a_short_outage() {
    let mut rig = Rig::start(&[]);
    let client = rig.client().await;
    rig.change(ServerProcess::restart);
    let mut published = None;
    // The first may meet the old connection: then it says that nothing is known of it.
    for _ in 0..2 {
        published = within("the publish", async {
            client
                .publish("orders", "happened", "x", Expect::Any)
                .await
                .ok()
        })
        .await;
        if published.is_some() {
            break;
        }
    }
    assert!(
        published.is_some(),
        "nothing can be published after a restart"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_expire_do_not_confuse_those_behind_them() {
    let rig = Rig::start(&[]);
    let recorder = Recorder::new();
    let builder = rig.builder().request_timeout(SHORT);
    let client = connect(builder.on_lifecycle(recorder.hook())).await;
    let three = |data| [(); 3].map(|()| publish(&client, data, Expect::Any));
    let mut direct = rig.direct();
    let mut stored = 0;
    for _ in 0..20 {
        rig.proxy.refuse().await;
        rig.proxy.cut(Cut::Reset).await;
        rig.proxy.pass();
        // The first ones run out of time while there is no connection; the others are younger.
        let begun = Instant::now();
        let old = three("too old");
        let is_later = || begun.elapsed() > SHORT / 2;
        recorder.wait_for("an attempt later", is_later).await;
        let young = three("young");
        for old in old {
            expect_kind(outcome(old).await, ErrorKind::Connection);
        }
        rig.proxy.accept().await;
        for young in young {
            match outcome(young).await {
                Ok(_) => stored += 1,
                // The machine was busy, and these are too old by now, too.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Connection, "{error}"),
            }
        }
        // These are executed, and the connection is lost before they are answered.
        expect_connected(&client).await;
        rig.proxy.set_flow(Direction::ToClient, Flow::Swallow);
        let unanswered = three("unanswered");
        stored += 3;
        until("what is not answered", || {
            tail(&mut direct, "orders") == Some(stored - 1)
        })
        .await;
        rig.proxy.refuse().await;
        rig.proxy.cut(Cut::Reset).await;
        for unanswered in unanswered {
            expect_unknown(outcome(unanswered).await);
        }
    }
    let data = rig.data("orders");
    assert_eq!(
        data.len() as u64,
        stored,
        "something is stored twice: {data:?}"
    );
    let too_old = data.iter().filter(|data| *data == "too old").count();
    assert_eq!(too_old, 0, "what was said not to be stored is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_any_kind_arrive_as_they_are() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let stream: &[u8] = b"\x00\xff\r\n:7";
    let (name, data): (&[u8], Vec<u8>) = (b"\r\n\x80$3", (0..=255).collect());
    let number = client.publish(stream, name, &data, Expect::None).await;
    assert_eq!(number.expect("any bytes are a name"), 0);
    client
        .publish(stream, "empty", "", Expect::Number(0))
        .await
        .expect("empty data is data");
    let spec = [stream, b":0:+"].concat();
    let read = client.read(&spec).expect("the spec is right");
    let events: Vec<Event> = read.try_collect().await.expect("it is read");
    assert_eq!(
        (events[0].stream.as_bytes(), events[0].name()),
        (stream, name)
    );
    assert_eq!(events[0].data(), data);
    assert_eq!(
        (events[1].name(), events[1].data()),
        (&b"empty"[..], &b""[..])
    );
    assert_eq!(
        client
            .last_event_number(stream)
            .await
            .expect("it is answered"),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_harms_nothing() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    for (stream, name) in [
        ("", "e"),
        ("$all", "e"),
        ("s", ""),
        (&"x".repeat(4097), "e"),
    ] {
        let published = client.publish(stream, name, "", Expect::Any).await;
        expect_kind(published, ErrorKind::Argument);
    }
    for spec in ["", "orders:", "orders:-1", "orders:5:5", ":0"] {
        expect_kind(client.read(spec), ErrorKind::Argument);
        expect_kind(client.subscribe([spec]).await, ErrorKind::Argument);
    }
    let none: [&str; 0] = [];
    expect_kind(client.subscribe(none).await, ErrorKind::Argument);
    // The last spec of a source would move the first one.
    expect_kind(
        client.subscribe(["orders:0:3", "orders:5"]).await,
        ErrorKind::Argument,
    );
    let mut direct = rig.direct();
    until("no event", || {
        direct.call("STREAM-NAMES").items().is_empty()
    })
    .await;
    client
        .publish("s", "e", "", Expect::None)
        .await
        .expect("the client still works");
}
