//! Goal: many publishes at once keep their numbers and their bound of memory, and neither one that
//! is given up nor the end of the client harms another.
//!
//! Method: replies are held back, so that what is in flight stays there; the bytes that left the
//! client are counted by the proxy, and the events are counted in the server.

use std::collections::BTreeSet;

use futures::future::join_all;
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, StreamExt, TryStreamExt};
use meilies_client::{Client, ConnectionKind, ErrorKind, Event, Expect};
use meilies_tests::proxy::{Cut, Direction, Flow};
use meilies_tests::resp::Value;
use rustix::process::Signal;

use super::support::{
    Recorder, Rig, SHORT, Stored, connect, expect_kind, next_event, subscribe, tail, until, within,
};

const IN_FLIGHT_BYTES_MAX: usize = 1024 * 1024;
const EVENT_BYTES: usize = 50_000;
const EVENTS: usize = 200;

/// What a client sends beside the data: the greeting, and the rest of each command.
const OTHER_BYTES_MAX: u64 = 8 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_in_flight_than_was_said() {
    let rig = Rig::start(&[]);
    let recorder = Recorder::new();
    let builder = rig
        .builder()
        .in_flight_bytes_max(IN_FLIGHT_BYTES_MAX)
        .request_timeout(SHORT);
    let client = connect(builder.on_lifecycle(recorder.hook())).await;
    // The network takes everything, and nothing is answered.
    rig.proxy.set_flow(Direction::ToServer, Flow::Swallow);
    let data = vec![b'x'; EVENT_BYTES];
    let publishing =
        join_all((0..EVENTS).map(|_| client.publish("orders", "e", &data, Expect::Any)));
    let sending = async {
        recorder.wait_for_loss(ConnectionKind::Commands, 0).await;
        rig.proxy
            .count(|counts| counts.received(Direction::ToServer))
    };
    let (published, sent) = within("the end", async { tokio::join!(publishing, sending) }).await;
    // Those that never had their turn were not sent, and the others may be stored.
    let kinds = published
        .into_iter()
        .map(|published| published.expect_err("no answer").kind());
    let unknown = kinds.filter(|kind| *kind == ErrorKind::Unknown).count();
    assert!(
        unknown <= IN_FLIGHT_BYTES_MAX / EVENT_BYTES,
        "{unknown} were sent"
    );
    let bound = IN_FLIGHT_BYTES_MAX as u64;
    assert!(
        sent <= bound + OTHER_BYTES_MAX,
        "{sent} bytes are in flight"
    );
    assert!(
        sent > bound - 2 * EVENT_BYTES as u64,
        "only {sent} bytes are in flight"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_turn_is_sent_once_there_is_room() {
    let rig = Rig::start(&[]);
    let client = connect(rig.builder().in_flight_bytes_max(IN_FLIGHT_BYTES_MAX)).await;
    rig.proxy.set_flow(Direction::ToClient, Flow::Stall);
    let data = vec![b'x'; EVENT_BYTES];
    let mut publishing: FuturesUnordered<_> = (0..EVENTS)
        .map(|_| client.publish("orders", "e", &data, Expect::Any))
        .collect();
    let at_once = IN_FLIGHT_BYTES_MAX / EVENT_BYTES;
    let mut direct = rig.direct();
    until("the events that may be in flight", || {
        assert!(
            publishing.next().now_or_never().is_none(),
            "nothing is answered"
        );
        tail(&mut direct, "orders").is_some_and(|tail| tail + 2 >= at_once as u64)
    })
    .await;
    rig.proxy.pass();
    let mut numbers = BTreeSet::new();
    while let Some(number) = within("a number", publishing.next()).await {
        assert!(
            numbers.insert(number.expect("all is well")),
            "a number came twice"
        );
    }
    assert_eq!(numbers, (0..EVENTS as u64).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_a_request_its_room_is_free_again() {
    const ROUNDS: u64 = 10;
    const AT_ONCE: u64 = 5;
    let rig = Rig::start(&[]);
    let builder = rig.builder().request_timeout(SHORT * 2);
    let client = connect(builder.in_flight_bytes_max(20_000)).await;
    let data = "x".repeat(1000);
    let publish = |_| client.publish("orders", "e", &data, Expect::Any);
    let publish_all = || join_all((0..AT_ONCE).map(publish));
    let mut direct = rig.direct();
    let mut stored = 0;
    for _ in 0..ROUNDS {
        // Answered; and sent, but given up.
        for published in within("the numbers", publish_all()).await {
            published.expect("the server is there");
        }
        assert!(publish_all().now_or_never().is_none());
        stored += 2 * AT_ONCE;
        until("those given up", || {
            tail(&mut direct, "orders") == Some(stored - 1)
        })
        .await;
        // Sent and not answered.
        rig.proxy.set_flow(Direction::ToClient, Flow::Swallow);
        let cutting = async {
            stored += AT_ONCE;
            until("the events", || {
                tail(&mut direct, "orders") == Some(stored - 1)
            })
            .await;
            rig.proxy.refuse().await;
            rig.proxy.cut(Cut::Reset).await;
        };
        let (published, ()) = tokio::join!(publish_all(), cutting);
        for published in published {
            expect_kind(published, ErrorKind::Unknown);
        }
        // Not sent before their time is over.
        for published in within("the time-outs", publish_all()).await {
            expect_kind(published, ErrorKind::Connection);
        }
        rig.proxy.pass();
        rig.proxy.accept().await;
        let tail = within("the return", client.last_event_number("orders")).await;
        assert_eq!(tail.expect("the server is there"), Some(stored - 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_larger_than_the_bound_goes_alone() {
    let rig = Rig::start(&[]);
    let client = connect(rig.builder().in_flight_bytes_max(1000)).await;
    let data = vec![b'x'; EVENT_BYTES];
    let publish = |_| client.publish("orders", "e", &data, Expect::Any);
    let numbers = within("the numbers", join_all((0..10).map(publish))).await;
    let numbers: Vec<u64> = numbers
        .into_iter()
        .map(|number| number.expect("it fits"))
        .collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_answers_everything_once_it_goes_on() {
    let rig = Rig::start(&[]);
    let client = connect(rig.builder().in_flight_bytes_max(IN_FLIGHT_BYTES_MAX)).await;
    rig.server().signal(Signal::STOP);
    let data = vec![b'x'; EVENT_BYTES];
    let publish = |_| client.publish("orders", "e", &data, Expect::Any);
    let mut publishing = Box::pin(join_all((0..EVENTS).map(publish)));
    assert!(publishing.as_mut().now_or_never().is_none());
    let sent = |bytes: u64| {
        move |counts: &meilies_tests::proxy::Counts| counts.received(Direction::ToServer) >= bytes
    };
    rig.proxy
        .wait_for("some requests", sent(EVENT_BYTES as u64))
        .await;
    assert!(publishing.as_mut().now_or_never().is_none());
    rig.server().signal(Signal::CONT);
    let numbers = within("the numbers", publishing).await;
    let numbers: BTreeSet<u64> = numbers
        .into_iter()
        .map(|it| it.expect("it is back"))
        .collect();
    assert_eq!(numbers, (0..EVENTS as u64).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_publishes_of_a_hundred_tasks_get_the_numbers_of_their_events() {
    const TASKS: usize = 100;
    const EACH: usize = 100;
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let tasks = (0..TASKS).map(|task| {
        let client = client.clone();
        tokio::spawn(async move {
            let publish = |index| {
                let data = format!("{task}-{index}");
                let client = client.clone();
                async move {
                    let number = client.publish("orders", "e", &data, Expect::Any).await;
                    (number.expect("the server is there"), data)
                }
            };
            join_all((0..EACH).map(publish)).await
        })
    });
    let mut published = Vec::new();
    for task in within("the tasks", join_all(tasks)).await {
        published.extend(task.expect("no task panics"));
    }
    published.sort();
    let truth: Vec<(u64, String)> = rig.data("orders").into_iter().zip(0..).map(swap).collect();
    assert_eq!(truth.len(), TASKS * EACH);
    assert!(published == truth, "a number is that of another event");
}

fn swap<A, B>((a, b): (A, B)) -> (B, A) {
    (b, a)
}

#[tokio::test(flavor = "multi_thread")]
async fn publishes_that_are_polled_in_order_are_stored_in_order() {
    const EACH: u64 = 2000;
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let publish = |number: u64| client.publish("orders", "e", number.to_string(), Expect::Any);
    let numbers: Vec<u64> = stream::iter((0..EACH).map(publish))
        .buffered(300)
        .try_collect()
        .await
        .expect("the server is there");
    let wanted: Vec<u64> = (0..EACH).collect();
    assert_eq!(numbers, wanted);
    let wanted: Vec<String> = wanted.iter().map(u64::to_string).collect();
    assert_eq!(rig.data("orders"), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_given_up_harms_no_other() {
    const EACH: usize = 600;
    let rig = Rig::start(&[]);
    let builder = rig.builder().in_flight_bytes_max(100_000);
    let client = connect(builder).await;
    let data: Vec<String> = (0..EACH)
        .map(|index| format!("{index}-{}", "x".repeat(500)))
        .collect();
    let publish = |data: &String| {
        let (client, data) = (client.clone(), data.clone());
        Box::pin(async move { client.publish("orders", "e", data, Expect::Any).await })
    };
    // Some are sent, some wait for room; then every third of both is dropped, and the others go on.
    let (mut numbers, mut kept, mut given_up) = (Vec::new(), Vec::new(), Vec::new());
    for (index, data) in data.iter().enumerate() {
        let mut publishing = publish(data);
        match publishing.as_mut().now_or_never() {
            Some(number) => numbers.push((data, number)),
            None if index % 3 == 2 => given_up.push(publishing),
            None => kept.push((data, publishing)),
        }
    }
    assert!(given_up.len() > EACH / 6, "{} are given up", given_up.len());
    drop(given_up);
    for (data, publishing) in kept {
        numbers.push((data, within("a number", publishing).await));
    }
    let truth = rig.data("orders");
    let once: BTreeSet<&String> = truth.iter().collect();
    assert_eq!(once.len(), truth.len(), "an event is stored twice");
    for (data, number) in numbers {
        let number = number.expect("the others go on");
        assert_eq!(&truth[usize::try_from(number).expect("small")], data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn close_waits_for_what_is_in_flight_and_refuses_what_comes_later() {
    const EACH: usize = 500;
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let publish = |_| client.publish("orders", "e", "x", Expect::Any);
    let mut publishing = Box::pin(join_all((0..EACH).map(publish)));
    assert!(publishing.as_mut().now_or_never().is_none());
    let other = client.clone();
    let closing = async { other.close().await };
    let (published, ()) = within("the end", async { tokio::join!(publishing, closing) }).await;
    for published in published {
        published.expect("it was in flight when the client was closed");
    }
    assert_eq!(rig.data("orders").len(), EACH);
    expect_closed(&client).await;
    within("the second close", client.close()).await;
    rig.proxy
        .wait_for("the end of the connection", |counts| counts.open() == 0)
        .await;
}

async fn expect_closed(client: &Client) {
    let published = client.publish("orders", "e", "x", Expect::Any);
    expect_kind(within("the error", published).await, ErrorKind::Closed);
    let tail = client.last_event_number("orders");
    expect_kind(within("the error", tail).await, ErrorKind::Closed);
    let subscribed = client.subscribe(["orders:0"]);
    expect_kind(within("the error", subscribed).await, ErrorKind::Closed);
    expect_kind(
        within("the error", client.server_info()).await,
        ErrorKind::Closed,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn close_does_not_wait_longer_than_requests_do() {
    let rig = Rig::start(&[]);
    let client = connect(rig.builder().request_timeout(SHORT)).await;
    rig.proxy.stall();
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { client.publish("orders", "e", "x", Expect::Any).await }
    });
    within("the end", client.close()).await;
    let published = within("the outcome", publishing)
        .await
        .expect("the task does not panic");
    let kinds = [ErrorKind::Unknown, ErrorKind::Closed];
    assert!(published.is_err_and(|error| kinds.contains(&error.kind())));
    expect_closed(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_event_goes_there_and_back() {
    const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;
    let rig = Rig::start(&[]);
    let client = connect(rig.builder().prefetch_bytes(1)).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    let data: Vec<u8> = (0..EVENT_BYTES_MAX - 1)
        .map(|i| i.to_le_bytes()[i % 3])
        .collect();
    for number in 0..2 {
        let published = client.publish("orders", "e", &data, Expect::Any);
        assert_eq!(
            within("the number", published).await.expect("it fits"),
            number
        );
        let event = next_event(&mut subscription).await;
        assert!(
            event.number == number && event.data() == data,
            "the event is another one"
        );
    }
    let events: Vec<Event> = within("the events", async {
        client
            .read("orders")
            .expect("the spec is right")
            .try_collect()
            .await
    })
    .await
    .expect("they are read");
    assert!(events.len() == 2 && events.iter().all(|event| event.data() == data));
    let more = [&data[..], b"x"].concat();
    let refused = within(
        "the refusal",
        client.publish("orders", "e", &more, Expect::Any),
    )
    .await;
    let error = refused.expect_err("it is too large");
    assert!(
        matches!(error.kind(), ErrorKind::Server | ErrorKind::Argument),
        "{error:?}"
    );
    let stored = rig.direct().call("READ-EVENTS orders:1 COUNT 1");
    assert!(matches!(&stored, Value::Array(events) if events.len() == 1));
    let next = client
        .publish("orders", "e", "small", Expect::Number(1))
        .await;
    assert_eq!(next.expect("the client goes on"), 2);
    let event = next_event(&mut subscription).await;
    assert_eq!(Stored::from(&event).text(), "small");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_fits_into_one_step_is_refused_and_nothing_of_it_is_stored() {
    const TOO_MANY: usize = 600_000;
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let large = "x".repeat(15 * 1024 * 1024);
    let large = [("e", &large); 3];
    let refused = client.publish_many("orders", large, Expect::Any);
    let error = within("the refusal", refused)
        .await
        .expect_err("it is too large");
    assert!(
        matches!(error.kind(), ErrorKind::Server | ErrorKind::Argument),
        "{error:?}"
    );
    let many = (0..TOO_MANY).map(|_| ("e", "x"));
    let refused = client.publish_many("orders", many, Expect::Any);
    let error = within("the refusal", refused)
        .await
        .expect_err("they are too many");
    assert!(
        matches!(error.kind(), ErrorKind::Server | ErrorKind::Argument),
        "{error:?}"
    );
    let published = client
        .publish_many("orders", [("e", "0"), ("e", "1")], Expect::None)
        .await;
    assert_eq!(published.expect("the client goes on"), [0, 1]);
    assert_eq!(rig.data("orders"), ["0", "1"]);
}
