//! Commands and their replies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use meilies_client::{Change, Client, Error, ErrorKind, Event, Expect};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::player::{DEADLINE, STAY, encoded, hear, play, read, say};

fn kind<T>(outcome: Result<T, Error>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[tokio::test]
async fn publish_gives_the_number_or_the_servers_words() {
    let player = play(vec![(
        0,
        vec![
            ("PUBLISH s n d", ":8\r\n".into()),
            (
                "PUBLISH s n d EXPECT 5",
                "-CONFLICT stream 's' is at 8, expected 5\r\n".into(),
            ),
            (
                "PUBLISH s n d EXPECT none",
                "-MISCONF no space left\r\n".into(),
            ),
            (
                "PUBLISH s n d EXPECT exists",
                "-MISCONF a sync of the log failed, no more\r\n".into(),
            ),
            ("PUBLISH s n d", "+OK\r\n".into()),
        ],
    )])
    .await;
    let client = player.connect().await;
    let publish = |expect| client.publish("s", "n", "d", expect);

    assert_eq!(publish(Expect::Any).await.ok(), Some(8));
    let conflict = publish(Expect::Number(5)).await;
    let conflict = conflict.expect_err("the stream has moved on");
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert_eq!(
        conflict.to_string(),
        "CONFLICT stream 's' is at 8, expected 5"
    );
    let refused = publish(Expect::None).await.expect_err("the disk is full");
    assert_eq!(
        (refused.kind(), refused.is_retryable()),
        (ErrorKind::Server, true)
    );
    // The event may be there after a restart.
    assert_eq!(
        kind(publish(Expect::Exists).await),
        Some(ErrorKind::Unknown)
    );
    assert_eq!(kind(publish(Expect::Any).await), Some(ErrorKind::Unknown));
    player.end().await;
}

#[tokio::test]
async fn many_are_one_command_and_one_is_that_for_one() {
    let player = play(vec![(
        0,
        vec![
            ("PUBLISH-MANY s 3 a 1 b 2 c 3 EXPECT none", ":2\r\n".into()),
            ("PUBLISH s a 1 EXPECT exists", ":3\r\n".into()),
            (
                "PUBLISH-MANY s 2 a 1 b 2 EXPECT 7",
                "-CONFLICT stream 's' is at 3, expected 7\r\n".into(),
            ),
            ("PUBLISH-MANY s 2 a 1 b 2", ":0\r\n".into()),
        ],
    )])
    .await;
    let client = player.connect().await;
    let events = [("a", "1"), ("b", "2"), ("c", "3")];
    let publish = |count, expect| client.publish_many("s", events[..count].to_vec(), expect);
    let numbers = publish(3, Expect::None).await;
    assert_eq!(numbers.expect("all are stored"), [0, 1, 2]);
    let numbers = publish(1, Expect::Exists).await;
    assert_eq!(numbers.expect("it is stored"), [3]);
    let refused = publish(2, Expect::Number(7)).await;
    assert_eq!(kind(refused), Some(ErrorKind::Conflict));
    let none = publish(0, Expect::None).await;
    assert_eq!(none.expect("nothing is nothing"), [0; 0]);
    // The last of two cannot have the first number.
    assert_eq!(
        kind(publish(2, Expect::Any).await),
        Some(ErrorKind::Unknown)
    );
    player.end().await;
}

#[tokio::test]
async fn what_one_command_cannot_hold_is_not_sent() {
    let player = play(vec![(0, vec![("PUBLISH s n d", ":0\r\n".into())])]).await;
    let client = player.connect().await;
    let long = vec![b'x'; 64 * 1024 * 1024 + 1];
    let error = client
        .publish("s", "n", &long, Expect::Any)
        .await
        .expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert!(
        error.to_string().ends_with("the limit is 67108864"),
        "{error}"
    );
    let many = client.publish_many("s", [("n", &long)], Expect::Any).await;
    assert_eq!(kind(many), Some(ErrorKind::Argument));
    let events = std::iter::repeat_n(("n", ""), 600_000);
    let error = client
        .publish_many("s", events, Expect::Any)
        .await
        .expect_err("too many");
    assert!(matches!(error, Error::TooMany { .. }), "{error}");
    assert_eq!(
        client.publish("s", "n", "d", Expect::Any).await.ok(),
        Some(0)
    );
    player.end().await;
}

#[tokio::test]
async fn commands_go_out_in_the_order_in_which_they_are_first_polled() {
    let player = play(vec![(
        0,
        vec![
            ("PUBLISH s n 0", String::new()),
            ("PUBLISH s n 1", String::new()),
            ("LAST-EVENT-NUMBER s", String::new()),
            ("PUBLISH s n 2", ":0\r\n:1\r\n:1\r\n:2\r\n".into()),
        ],
    )])
    .await;
    // Room for one at a time in the middle: nobody overtakes.
    let client = player.builder().in_flight_bytes_max(1_000);
    let client = client.connect().await.expect("it is greeted");
    let publish = |data: &'static str| client.publish("s", "n", data, Expect::Any);
    let all = futures::join!(
        publish("0"),
        publish("1"),
        client.last_event_number("s"),
        publish("2")
    );
    assert_eq!(
        (all.0.ok(), all.1.ok(), all.3.ok()),
        (Some(0), Some(1), Some(2))
    );
    assert_eq!(all.2.ok(), Some(Some(1)));
    player.end().await;
}

#[tokio::test]
async fn no_more_is_sent_than_may_be_in_flight() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the client connects");
        hear(&mut stream, "HELLO 3").await;
        for what in [
            "NAME meilies-client",
            concat!("VER ", env!("CARGO_PKG_VERSION")),
        ] {
            hear(&mut stream, &format!("CLIENT SETINFO LIB-{what}")).await;
        }
        say(&mut stream, "%0\r\n+OK\r\n+OK\r\n").await;
        let command = encoded("PUBLISH s n 0").len();
        let mut got = vec![0; 3 * command];
        stream.read_exact(&mut got).await.expect("three are sent");
        // The fourth only comes after a reply.
        let more = timeout(Duration::from_millis(50), stream.read_u8()).await;
        assert!(more.is_err(), "{more:?}");
        say(&mut stream, ":0\r\n").await;
        let mut got = vec![0; command];
        stream
            .read_exact(&mut got)
            .await
            .expect("the fourth is sent");
        say(&mut stream, ":1\r\n:2\r\n:3\r\n").await;
    });
    // Each counts its strings, what is around them, and 128 bytes.
    let client = Client::builder(&address).expect("a good address");
    let client = client.in_flight_bytes_max(3 * 300);
    let client = client.connect().await.expect("it is greeted");
    let numbers: Vec<u64> = futures::stream::iter(["0", "1", "2", "3"])
        .map(|data| client.publish("s", "n", data, Expect::Any))
        .buffered(4)
        .try_collect()
        .await
        .expect("all are answered");
    assert_eq!(numbers, [0, 1, 2, 3]);
    server.await.expect("all was heard");
}

#[tokio::test]
async fn user_and_password_go_with_the_greeting() {
    for (url, greeting) in [
        ("meilies://:wrong@", "HELLO 3 AUTH default wrong"),
        ("meilies://ann:wrong@", "HELLO 3 AUTH ann wrong"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the client connects");
            hear(&mut stream, greeting).await;
            say(&mut stream, "-WRONGPASS invalid username-password pair\r\n").await;
        });
        let refused = Client::builder(&format!("{url}{address}"))
            .expect("a good URL")
            // What is wrong is not tried again.
            .retry_first_connect(true)
            .connect()
            .await;
        let error = refused.expect_err("the password is wrong");
        assert!(
            matches!(&error, Error::Refused(error) if error.code == "WRONGPASS"),
            "{error}"
        );
        server.await.expect("it was heard");
    }
}

#[tokio::test]
async fn a_wrong_argument_costs_neither_bytes_nor_connection() {
    let player = play(vec![(0, vec![("PUBLISH s n d", ":0\r\n".into())])]).await;
    let client = player.connect().await;
    let long = "x".repeat(4097);
    for (stream, name) in [("", "n"), ("$all", "n"), ("s", ""), (&long, "n")] {
        let refused = client.publish(stream, name, "d", Expect::Any).await;
        assert_eq!(kind(refused), Some(ErrorKind::Argument));
        let refused = client
            .publish_many(stream, [(name, "d")], Expect::Any)
            .await;
        assert_eq!(kind(refused), Some(ErrorKind::Argument));
    }
    assert_eq!(
        kind(client.last_event_number("").await),
        Some(ErrorKind::Argument)
    );
    assert_eq!(kind(client.read("s:5:5")), Some(ErrorKind::Argument));
    assert_eq!(
        kind(client.subscribe(["s:5:5"]).await),
        Some(ErrorKind::Argument)
    );
    let refused = client.subscribe([""; 0]).await;
    assert!(matches!(refused, Err(Error::NoSpec)));
    let refused = client.subscribe(["s:0:3", "t", "s:5"]).await;
    assert!(matches!(refused, Err(Error::RepeatedSource { .. })));
    assert_eq!(
        client.publish("s", "n", "d", Expect::Any).await.ok(),
        Some(0)
    );
    player.end().await;
}

#[tokio::test]
async fn a_read_goes_on_page_by_page_until_all_is_read() {
    let page = |numbers: std::ops::Range<u64>| {
        let events = numbers
            .clone()
            .map(|number| read("s", number, number)[4..].to_owned());
        format!("*{}\r\n{}", numbers.count(), events.collect::<String>())
    };
    let player = play(vec![(
        0,
        vec![
            ("READ-EVENTS s:0 BYTES 262144", page(0..16)),
            ("READ-EVENTS s:16 BYTES 262144", page(16..20)),
            ("READ-EVENTS s:20 BYTES 262144", page(20..20)),
            (
                "READ-EVENTS s:4:9 COUNT 2 BYTES 262144 REVERSE",
                read("s", 8, 8),
            ),
            (
                "READ-EVENTS s:4:8 COUNT 1 BYTES 262144 REVERSE",
                read("s", 7, 7),
            ),
            ("READ-EVENTS s:4:9 BYTES 262144", page(4..9)),
            ("READ-EVENTS s:8:9 BYTES 262144 REVERSE", page(8..9)),
        ],
    )])
    .await;
    let client = player.connect().await;
    let all: Vec<Event> = client
        .read("s")
        .expect("a good spec")
        .try_collect()
        .await
        .expect("read");
    let numbers: Vec<u64> = all.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<u64>>());
    let two = client
        .read("s:4:9")
        .expect("a good spec")
        .reverse()
        .limit(2);
    let two: Vec<Event> = two.try_collect().await.expect("read");
    let numbers: Vec<u64> = two.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [8, 7]);
    // Nothing is asked for behind the end of a range.
    let range = client.read("s:4:9").expect("a good spec");
    assert_eq!(range.count().await, 5);
    let range = client.read("s:8:9").expect("a good spec").reverse();
    assert_eq!(range.count().await, 1);
    player.end().await;
}

#[tokio::test]
async fn a_closed_client_answers_what_was_asked_and_takes_no_more() {
    let player = play(vec![(0, vec![("PUBLISH s n d", ":7\r\n".into())])]).await;
    let client = player.connect().await;
    let closing = async {
        client.close().await;
        client.publish("s", "n", "d", Expect::Any).await
    };
    let (number, late) = futures::join!(client.publish("s", "n", "d", Expect::Any), closing);
    assert_eq!(number.ok(), Some(7));
    assert_eq!(kind(late), Some(ErrorKind::Closed));
    assert_eq!(kind(client.subscribe(["s"]).await), Some(ErrorKind::Closed));
    client.close().await;
    player.end().await;
}

#[tokio::test]
async fn a_silent_server_is_asked_and_then_given_up() {
    let player = play(vec![
        (0, vec![("PING", "+PONG\r\n".into()), ("PING", STAY.into())]),
        (0, vec![("LAST-EVENT-NUMBER s", ":3\r\n".into())]),
    ])
    .await;
    let changes: Arc<Mutex<Vec<Change>>> = Arc::default();
    let told = Arc::clone(&changes);
    let (sender, mut lost) = tokio::sync::mpsc::unbounded_channel();
    let client = player
        .builder()
        .ping_interval(Duration::from_millis(20))
        .request_timeout(Duration::from_millis(200))
        .on_lifecycle(move |lifecycle| {
            told.lock()
                .expect("not poisoned")
                .push(lifecycle.change.clone());
            if let Change::Lost { reason } = &lifecycle.change {
                sender.send(reason.clone()).ok();
            }
        })
        .connect()
        .await
        .expect("it is greeted");
    let reason = timeout(DEADLINE, lost.recv())
        .await
        .expect("it is given up");
    assert!(reason.expect("a reason").contains("no reply"));
    assert_eq!(client.last_event_number("s").await.ok(), Some(Some(3)));
    let changes = changes.lock().expect("not poisoned").clone();
    assert!(
        matches!(
            changes.as_slice(),
            [
                Change::Connected,
                Change::Lost { .. },
                Change::Reconnecting { attempt: 1, .. },
                Change::Connected,
                ..
            ]
        ),
        "{changes:?}"
    );
    player.end().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let silent = Client::builder(&address).expect("a good address");
    let silent = silent
        .connect_timeout(Duration::from_millis(20))
        .connect()
        .await;
    assert!(
        matches!(silent, Err(Error::ConnectTimeout { .. })),
        "{silent:?}"
    );
    drop(listener);
    let error = Client::connect(&address).await.expect_err("nobody listens");
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Connection, true)
    );
    assert!(error.to_string().contains(&address), "{error}");
}
