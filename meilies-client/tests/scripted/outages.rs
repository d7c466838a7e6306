//! What becomes of commands whose connection is lost before the reply.

use std::time::Duration;

use meilies_client::{Error, ErrorKind, Expect, Reconnect};

use crate::player::{STAY, play, read};

#[tokio::test]
async fn a_lost_reply_leaves_a_publish_unknown() {
    for expect in [Expect::Any, Expect::Exists] {
        let command = match expect {
            Expect::Any => "PUBLISH s n d",
            _ => "PUBLISH s n d EXPECT exists",
        };
        let player = play(vec![
            (0, vec![(command, ":".into())]),
            (0, vec![("PUBLISH s n next", ":9\r\n".into())]),
        ])
        .await;
        let client = player.connect().await;
        let error = client
            .publish("s", "n", "d", expect)
            .await
            .expect_err("it is lost");
        assert!(
            matches!(&error, Error::Unknown { found: None, .. }),
            "{error:?}"
        );
        assert!(!error.is_retryable());
        assert_eq!(
            client.publish("s", "n", "next", Expect::Any).await.ok(),
            Some(9)
        );
        player.end().await;
    }
}

#[tokio::test]
async fn an_expected_number_is_published_again_and_stored_once() {
    let player = play(vec![
        (0, vec![("PUBLISH s n d EXPECT 4", String::new())]),
        (0, vec![("PUBLISH s n d EXPECT 4", ":5\r\n".into())]),
    ])
    .await;
    let client = player.connect().await;
    let number = client.publish("s", "n", "d", Expect::Number(4)).await;
    assert_eq!(number.expect("the second time"), 5);
    player.end().await;
}

#[tokio::test]
async fn a_conflict_after_a_lost_reply_is_judged_by_what_stands_there() {
    let conflict = "-CONFLICT stream 's' is at 5, expected 4\r\n";
    for (there, data, expected) in [
        (read("s", 5, 5), "other", (ErrorKind::Conflict, None)),
        (read("s", 5, 5), "d", (ErrorKind::Unknown, Some(5))),
        ("*0\r\n".to_owned(), "d", (ErrorKind::Unknown, None)),
        (
            "-ERR damaged\r\n".to_owned(),
            "d",
            (ErrorKind::Unknown, None),
        ),
    ] {
        let command = match data {
            "d" => "PUBLISH s n d EXPECT 4",
            _ => "PUBLISH s n other EXPECT 4",
        };
        let player = play(vec![
            (0, vec![(command, String::new())]),
            (
                0,
                vec![
                    (command, conflict.into()),
                    ("READ-EVENTS s:5:6 BYTES 262144", there),
                ],
            ),
        ])
        .await;
        let client = player.connect().await;
        let outcome = client.publish("s", "n", data, Expect::Number(4)).await;
        let error = outcome.expect_err("it is not known to be ours");
        let found = match &error {
            Error::Unknown { found, .. } => *found,
            _ => None,
        };
        assert_eq!((error.kind(), found), expected, "{error}");
        player.end().await;
    }
}

#[tokio::test]
async fn several_events_are_published_again_and_judged_together() {
    let command = "PUBLISH-MANY s 2 a 1 b 2 EXPECT 4";
    let events = |second| {
        let event = |number, name: &str, data: &str| {
            format!("*5\r\n$1\r\ns\r\n:{number}\r\n:9\r\n$3\r\n1-0\r\n*2\r\n")
                + &format!("$1\r\n{name}\r\n$1\r\n{data}\r\n")
        };
        "*2\r\n".to_owned() + &event(5, "a", "1") + &event(6, "b", second)
    };
    for (answer, there, expected) in [
        (":6\r\n", None, Ok(vec![5, 6])),
        (
            "-CONFLICT 1\r\n",
            Some(events("2")),
            Err((ErrorKind::Unknown, Some(5))),
        ),
        (
            "-CONFLICT 1\r\n",
            Some(events("3")),
            Err((ErrorKind::Conflict, None)),
        ),
        ("-ERR no\r\n", None, Err((ErrorKind::Unknown, None))),
    ] {
        let mut second = vec![(command, answer.to_owned())];
        second.extend(there.map(|there| ("READ-EVENTS s:5:7 BYTES 262144", there)));
        let player = play(vec![(0, vec![(command, String::new())]), (0, second)]).await;
        let client = player.connect().await;
        let events = [("a", "1"), ("b", "2")];
        let outcome = client.publish_many("s", events, Expect::Number(4)).await;
        let outcome = outcome.map_err(|error| match error {
            Error::Unknown { found, .. } => (ErrorKind::Unknown, found),
            error => (error.kind(), None),
        });
        assert_eq!(outcome, expected);
        player.end().await;
    }
}

#[tokio::test]
async fn a_question_is_asked_again() {
    let player = play(vec![
        (0, vec![("LAST-EVENT-NUMBER s", "$".into())]),
        (0, vec![("LAST-EVENT-NUMBER s", "_\r\n".into())]),
    ])
    .await;
    let client = player.connect().await;
    assert_eq!(client.last_event_number("s").await.expect("answered"), None);
    player.end().await;
}

#[tokio::test]
async fn who_does_not_connect_again_says_how_the_connection_was_lost() {
    let player = play(vec![(0, vec![("LAST-EVENT-NUMBER s", String::new())])]).await;
    let never = Reconnect {
        attempts_max: Some(0),
        ..Reconnect::default()
    };
    let client = player
        .builder()
        .reconnect(never)
        .connect()
        .await
        .expect("it is greeted");
    for _ in 0..2 {
        let error = client.last_event_number("s").await.expect_err("it is lost");
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    }
    player.end().await;
}

#[tokio::test]
async fn a_server_that_stops_to_answer_costs_a_bounded_time() {
    let player = play(vec![
        (0, vec![("PUBLISH s n d", STAY.into())]),
        (0, vec![("PUBLISH s n d EXPECT 1", STAY.into())]),
        (0, vec![("PUBLISH s n d EXPECT 1", STAY.into())]),
        (0, vec![("LAST-EVENT-NUMBER s", ":0\r\n".into())]),
    ])
    .await;
    let client = player.builder().request_timeout(Duration::from_millis(50));
    let client = client.connect().await.expect("it is greeted");
    let error = client
        .publish("s", "n", "d", Expect::Any)
        .await
        .expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    // It is published again for no longer than that time.
    let error = client.publish("s", "n", "d", Expect::Number(1)).await;
    let error = error.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_eq!(client.last_event_number("s").await.ok(), Some(Some(0)));
    player.end().await;
}
