//! Goal: the address, the password and the time-outs of a client are what was said.
//!
//! Method: a server with a password, one on IPv6, one that is paused with SIGSTOP, and a proxy
//! that accepts connections and then says nothing.

use std::net::{Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

use meilies_client::{Client, ConnectionKind, ErrorKind, Expect};
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::proxy::{Counts, Cut, Direction};
use meilies_tests::resp::Value;
use rustix::process::Signal;

use super::support::{
    QUICK, Recorder, Rig, SHORT, connect, error_at_end, expect_kind, next, next_data, subscribe,
    until, within,
};

/// Longer than what a test's time-outs take together, and shorter than the client's defaults.
const LATE: Duration = Duration::from_secs(8);

const PASSWORD: &str = "p@ss:w/rd %?#é";
const PASSWORD_ENCODED: &str = "p%40ss%3Aw%2Frd%20%25%3F%23%C3%A9";

#[tokio::test(flavor = "multi_thread")]
async fn the_password_comes_from_the_url_or_from_the_builder() {
    let rig = Rig::start(&["--requirepass", PASSWORD]);
    let address = rig.proxy.address();
    let own = format!("meilies://:{PASSWORD_ENCODED}@{address}");
    let default_user = format!("meilies://default:{PASSWORD_ENCODED}@{address}");
    let wrong = format!("meilies://:wrong@{address}");
    let none = format!("meilies://{address}");
    let open = |url: &str| Client::builder(url).expect("it is a URL").reconnect(QUICK);
    for builder in [
        open(&own),
        open(&default_user),
        open(&none).password(PASSWORD),
        open(&none).user("default").password(PASSWORD),
        open(&wrong).password(PASSWORD),
    ] {
        let client = connect(builder).await;
        client
            .publish("orders", "e", "x", Expect::Any)
            .await
            .expect("it is let in");
        let mut subscription = subscribe(&client, &["orders:0"]).await;
        next_data(&mut subscription, 0, 1).await;
        let next = next_number(&client).await;
        next_data(
            &mut subscription,
            1,
            usize::try_from(next - 1).expect("small"),
        )
        .await;
        rig.proxy.cut(Cut::Reset).await;
        assert_eq!(next_number(&client).await, next);
        let number = client.publish("orders", "e", "x", Expect::Any).await;
        assert_eq!(number.expect("it is let in again"), next);
        next_data(&mut subscription, next, 1).await;
    }
    for builder in [
        open(&wrong),
        open(&none),
        open(&own).password("wrong"),
        open(&own).user("nobody"),
    ] {
        let refused = within("the refusal", builder.connect()).await;
        let error = expect_kind(refused, ErrorKind::Server);
        assert!(!error.is_retryable(), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("p@ss"),
            "{error:?} tells the password"
        );
    }
}

/// The number that the next event of `orders` gets.
async fn next_number(client: &Client) -> u64 {
    let tail = within("an answer", client.last_event_number("orders")).await;
    tail.expect("it is let in").map_or(0, |number| number + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_refused_is_not_retried_for_ever() {
    let rig = Rig::start(&["--requirepass", PASSWORD]);
    let builder = rig.builder().password("wrong").retry_first_connect(true);
    expect_kind(
        within("the refusal", builder.connect()).await,
        ErrorKind::Server,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_ends_what_cannot_come_back() {
    let rig = Rig::start(&["--requirepass", PASSWORD]);
    let client = connect(rig.builder().password(PASSWORD)).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    next(&mut subscription).await;
    let mut direct = rig.direct();
    direct.command(&["AUTH", PASSWORD]);
    direct.call("CONFIG SET requirepass another");
    rig.proxy.cut(Cut::Reset).await;
    let error = error_at_end(&mut subscription).await;
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    let answer = within("the error", client.last_event_number("orders")).await;
    expect_kind(answer, ErrorKind::Server);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_for_a_while_is_tried_again() {
    let rig = Rig::start(&["--max-clients", "4"]);
    let recorder = Recorder::new();
    let client = connect(rig.builder().on_lifecycle(recorder.hook())).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    next(&mut subscription).await;
    rig.proxy.refuse().await;
    rig.proxy.cut(Cut::Reset).await;
    let mut others = Vec::new();
    // The server may not have noticed yet that those that were cut are gone.
    until("four other clients", || {
        let mut other = rig.direct();
        if other.call("PING") == Value::Simple(b"PONG".to_vec()) {
            others.push(other);
        }
        others.len() == 4
    })
    .await;
    rig.proxy.accept().await;
    let attempts = |kind| recorder.of(kind).len();
    let polling = async { next_data(&mut subscription, 0, 1).await };
    let leaving = async {
        let tried = || {
            let both = [ConnectionKind::Commands, ConnectionKind::Subscription];
            both.into_iter().all(|kind| attempts(kind) > 8)
        };
        recorder.wait_for("some attempts", tried).await;
        others[0].call("PUBLISH orders happened x");
        others.clear();
    };
    let (data, ()) = within("the return", async { tokio::join!(polling, leaving) }).await;
    assert_eq!(data, ["x"]);
    assert_eq!(next_number(&client).await, 1);
}

#[tokio::test]
async fn one_thread_is_enough() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    for number in 0..100 {
        let published = client
            .publish("orders", "e", number.to_string(), Expect::Any)
            .await;
        assert_eq!(published.expect("the server is there"), number);
        assert_eq!(
            next_data(&mut subscription, number, 1).await,
            [number.to_string()]
        );
        if number % 30 == 29 {
            rig.proxy.cut(Cut::Reset).await;
            assert_eq!(next_number(&client).await, number + 1);
        }
    }
    within("the end", client.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_that_was_given_is_that_of_every_connection() {
    let rig = Rig::start(&[]);
    let client = connect(rig.builder().name("worker-7")).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    next(&mut subscription).await;
    let named = || {
        let list = rig.direct().call("CLIENT LIST");
        list.text().matches("name=worker-7 ").count()
    };
    assert_eq!(named(), 2);
    rig.proxy.cut(Cut::Reset).await;
    rig.publish("orders", &["x"]);
    next_data(&mut subscription, 0, 1).await;
    client
        .last_event_number("orders")
        .await
        .expect("it is back");
    rig.settle().await;
    assert_eq!(named(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_addresses_are_written_in_brackets() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        // The machine has no IPv6: a server cannot listen on it either.
        return;
    }
    let server = ServerProcess::start(&Settings::flags(["--hostname", "::1"]));
    let port = server.address().port();
    for url in [format!("meilies://[::1]:{port}"), format!("[::1]:{port}")] {
        let client = connect(Client::builder(&url).expect("it is a URL")).await;
        client
            .publish("orders", "e", "x", Expect::Any)
            .await
            .expect("it is connected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_url_is_an_argument_error() {
    for url in [
        "",
        "meilies://",
        "redis://localhost",
        "meilies://host:port",
        "meilies://host:65536",
        "meilies://[::1",
        "meilies://host/path",
    ] {
        let error = expect_kind(Client::builder(url), ErrorKind::Argument);
        assert!(!error.is_retryable());
        expect_kind(
            within("the error", Client::connect(url)).await,
            ErrorKind::Argument,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let rig = Rig::start(&[]);
    rig.proxy.stall();
    let begun = Instant::now();
    let builder = rig.builder().connect_timeout(SHORT);
    let refused = within("the time-out", builder.connect()).await;
    let error = expect_kind(refused, ErrorKind::Connection);
    assert!(error.is_retryable());
    assert!(
        (SHORT..LATE).contains(&begun.elapsed()),
        "after {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_is_given_up_by_requests_and_taken_up_again() {
    let rig = Rig::start(&[]);
    rig.publish("orders", &["0"]);
    let builder = rig.builder().connect_timeout(SHORT).request_timeout(SHORT);
    let client = connect(builder).await;
    rig.server().signal(Signal::STOP);
    let begun = Instant::now();
    let (tail, published, expecting, names, events) = within("the time-outs", async {
        tokio::join!(
            client.last_event_number("orders"),
            client.publish("others", "e", "x", Expect::Any),
            client.publish("orders", "e", "x", Expect::Number(0)),
            client.stream_names(None),
            async { error_at_end(&mut client.read("orders").expect("the spec is right")).await },
        )
    })
    .await;
    assert!(
        (SHORT..LATE).contains(&begun.elapsed()),
        "after {:?}",
        begun.elapsed()
    );
    assert!(expect_kind(tail, ErrorKind::Connection).is_retryable());
    assert!(!expect_kind(published, ErrorKind::Unknown).is_retryable());
    expect_kind(expecting, ErrorKind::Unknown);
    expect_kind(names, ErrorKind::Connection);
    assert_eq!(events.kind(), ErrorKind::Connection, "{events}");
    rig.server().signal(Signal::CONT);
    let mut answered = None;
    while answered.is_none() {
        // The client may be about to give up a connection that it began while the server slept.
        answered = within("an answer", client.last_event_number("orders"))
            .await
            .ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_finds_out_by_itself_that_nobody_is_there() {
    let rig = Rig::start(&[]);
    let recorder = Recorder::new();
    let builder = rig
        .builder()
        .connect_timeout(SHORT)
        .request_timeout(SHORT)
        .ping_interval(SHORT);
    let client = connect(builder.on_lifecycle(recorder.hook())).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    next(&mut subscription).await;
    rig.proxy.stall();
    let polling = async { next_data(&mut subscription, 0, 1).await };
    let outage = async {
        recorder
            .wait_for_loss(ConnectionKind::Subscription, 0)
            .await;
        recorder.wait_for_loss(ConnectionKind::Commands, 0).await;
        rig.publish("orders", &["x"]);
        rig.proxy.pass();
    };
    let (data, ()) = tokio::join!(polling, outage);
    assert_eq!(data, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_a_server_that_is_there_are_kept() {
    let rig = Rig::start(&[]);
    let recorder = Recorder::new();
    let builder = rig.builder().ping_interval(Duration::from_millis(20));
    let client = connect(builder.on_lifecycle(recorder.hook())).await;
    let mut subscription = subscribe(&client, &["orders:0"]).await;
    next(&mut subscription).await;
    let received = |counts: &Counts| counts.received(Direction::ToServer);
    let polling = async { next_data(&mut subscription, 0, 1).await };
    let pinging = async {
        let before = rig.proxy.count(received);
        // Each of the two connections sends a few dozen bytes with each ping.
        let is_asked = |counts: &Counts| received(counts) > before + 1000;
        rig.proxy.wait_for("the pings", is_asked).await;
        rig.publish("orders", &["x"]);
    };
    tokio::join!(polling, pinging);
    for kind in [ConnectionKind::Commands, ConnectionKind::Subscription] {
        assert_eq!(recorder.losses(kind), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_meilies_server_is_a_protocol_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
                .await
                .ok();
        }
    });
    let refused = within("the error", Client::connect(&address)).await;
    expect_kind(refused, ErrorKind::Protocol);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_needs_no_port_where_it_is_the_usual_one() {
    // Nothing is sent: a server may run there.
    for url in [
        "localhost",
        "meilies://localhost",
        "meilies://u:p@localhost:6480",
    ] {
        let builder = Client::builder(url);
        assert!(builder.is_ok(), "{url}: {builder:?}");
    }
    let server = ServerProcess::start(&Settings::default());
    let port = server.address().port();
    for url in [
        format!("localhost:{port}"),
        format!("meilies://localhost:{port}"),
    ] {
        let client = connect(Client::builder(&url).expect("it is a URL")).await;
        client.server_info().await.expect("it is connected");
    }
}
