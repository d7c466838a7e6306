//! Commands, their order and their errors.

use std::sync::atomic::Ordering;

use super::*;
use crate::config::Password;

#[tokio::test]
async fn a_pipeline_of_mixed_commands_is_answered_in_order() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client
        .send(&[
            "PUBLISH a n 0",
            "PUBLISH a n 1",
            "PUBLISH a n 2 EXPECT 7",
            "PUBLISH a n 2 EXPECT 1",
            "PUBLISH b n x EXPECT exists",
            "LAST-EVENT-NUMBER a",
            "LAST-EVENT-NUMBER b",
            "PUBLISH b n 0 EXPECT none",
            "PING",
            "STREAM-NAMES",
            "NOSUCH thing",
            "PUBLISH a",
            "PUBLISH a n 3 ID k",
            "PUBLISH $all n 3",
            "PUBLISH a message",
            "PUBLISH c message",
            "SUBSCRIBE a x::0",
            "PUBLISH a n 3",
            "ECHO end",
        ])
        .await;
    client
        .expect(&[
            ":0",
            ":1",
            "-CONFLICT stream \\'a\\' is at 1, expected 7",
            ":2",
            "-CONFLICT stream \\'b\\' has no event, expected exists",
            ":2",
            "nil",
            ":0",
            "+PONG",
            "[a b]",
            "-ERR unknown command \\'NOSUCH\\', with args beginning with: \\'thing\\' ",
            "-ERR wrong number of arguments for \\'publish\\' command",
            ":3",
            "-ERR stream name \\'$all\\' begins with \\'$\\': these names are the system\\'s",
            "-ERR \\'a\\' is a stream: PUBLISH stream name data stores an event, \
             SPUBLISH sends a message",
            "-ERR messages are not supported yet: PUBLISH stream name data stores an event",
        ])
        .await;
    let refused = client.next().await;
    assert!(
        refused.starts_with("-ERR") && refused.contains("x::0"),
        "{refused}"
    );
    client.expect(&[":4", "end"]).await;
    fixture.server.stop().await.unwrap();
    client.expect_closed().await;
}

#[tokio::test]
async fn a_client_reads_its_own_writes_while_commits_are_slow() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    fixture.engine.hold();
    client
        .send(&[
            "PUBLISH a n 0",
            "LAST-EVENT-NUMBER a",
            "PUBLISH a n 1",
            "PING",
        ])
        .await;
    until(|| fixture.engine.held() == 1).await;
    fixture.engine.release();
    client.expect(&[":0", ":0", ":1", "+PONG"]).await;
}

#[tokio::test]
async fn appends_overlap_and_a_killed_client_is_gone_while_they_wait() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    fixture.engine.hold();
    let event = format!("PUBLISH a n {}", "x".repeat(700));
    for _ in 0..3 {
        client.send(&vec![event.as_str(); 1500]).await;
    }
    until(|| fixture.engine.held() >= 3).await;
    fixture.server.context().clients.all()[0].kill();
    client.expect_closed().await;
    until(|| fixture.server.context().clients.count() == 0).await;
    fixture.engine.release();
    let mut other = fixture.client().await;
    let last = other.ask("LAST-EVENT-NUMBER a").await;
    assert!(last.starts_with(':'), "{last}");
}

#[tokio::test]
async fn a_stop_answers_what_was_handed_over() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    fixture.engine.hold();
    client.send(&["PUBLISH a n 0", "PUBLISH a n 1"]).await;
    until(|| fixture.engine.held() == 1).await;
    let engine = Arc::clone(&fixture.engine);
    let stop = tokio::spawn(fixture.server.stop());
    tokio::task::yield_now().await;
    engine.release();
    client.expect(&[":0", ":1"]).await;
    client.expect_closed().await;
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn replies_that_are_not_wanted_are_not_sent() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client
        .send(&[
            "PUBLISH a n 0",
            "CLIENT REPLY SKIP",
            "PUBLISH a n 1",
            "PUBLISH a n 2",
            "CLIENT REPLY OFF",
            "PUBLISH a n 3",
            "PING",
            "READ-EVENTS a",
            "CLIENT REPLY ON",
            "PUBLISH a n 4",
        ])
        .await;
    client.expect(&[":0", ":2", "+OK", ":4"]).await;
}

#[tokio::test]
async fn an_event_has_a_limit() {
    let config = Config {
        port: 0,
        max_event_bytes: 10,
        ..Config::default()
    };
    let fixture = Fixture::start_with(config).await;
    let mut client = fixture.client().await;
    assert_eq!(client.ask("PUBLISH a n 123456789").await, ":0");
    let refused = client.ask("PUBLISH a n 1234567890").await;
    assert_eq!(refused, "-ERR event is 11 bytes, the limit is 10");
}

#[tokio::test]
async fn clients_have_a_limit() {
    let fixture = Fixture::start_with(Config {
        port: 0,
        max_clients: 1,
        ..Config::default()
    })
    .await;
    let mut first = fixture.client().await;
    assert_eq!(first.ask("PING").await, "+PONG");
    let mut second = fixture.client().await;
    assert_eq!(second.next().await, "-ERR max number of clients reached");
    second.expect_closed().await;
    drop(first);
    until(|| fixture.server.context().clients.count() == 0).await;
    let mut third = fixture.client().await;
    assert_eq!(third.ask("PING").await, "+PONG");
}

#[tokio::test]
async fn a_malformed_frame_is_named_after_the_replies_before_it() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.send(&["PUBLISH a n 0"]).await;
    client
        .socket
        .write_all(b"*1\r\n:5\r\nPING\r\n")
        .await
        .unwrap();
    assert_eq!(client.next().await, ":0");
    let error = client.next().await;
    assert!(error.starts_with("-ERR Protocol error: "), "{error}");
    client.expect_closed().await;
}

#[tokio::test]
async fn what_came_before_a_half_close_is_answered() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.send(&["PUBLISH a n 0", "PING"]).await;
    client.socket.shutdown().await.unwrap();
    client.expect(&[":0", "+PONG"]).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn reading_forward_and_backward_gives_the_part_asked_for() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    assert_eq!(client.ask("READ-EVENTS a").await, "[]");
    for data in 0..5 {
        client.ask(&format!("PUBLISH a n {data}")).await;
        client.ask(&format!("PUBLISH b n {data}")).await;
    }
    let numbers = |text: String| -> Vec<u64> {
        let events = text.trim_matches(['[', ']']).split("] [");
        let number = |event: &str| event.split(" :").nth(1)?.trim_end_matches(']').parse().ok();
        events.filter_map(number).collect()
    };
    for (command, expected) in [
        ("READ-EVENTS a", vec![0, 1, 2, 3, 4]),
        ("READ-EVENTS a:2", vec![2, 3, 4]),
        ("READ-EVENTS a:1:3", vec![1, 2]),
        ("READ-EVENTS a COUNT 2", vec![0, 1]),
        ("READ-EVENTS a REVERSE", vec![4, 3, 2, 1, 0]),
        ("READ-EVENTS a:1:4 COUNT 2 REVERSE", vec![3, 2]),
        ("READ-EVENTS a:9", vec![]),
        ("READ-EVENTS a:$", vec![]),
        ("READ-EVENTS nosuch", vec![]),
    ] {
        assert_eq!(numbers(client.ask(command).await), expected, "{command}");
    }
    let all = client.ask("READ-EVENTS $all:8 REVERSE").await;
    assert_eq!(all, "[[b :4 :9 [n 4]] [a :4 :8 [n 4]]]");
}

#[tokio::test]
async fn a_long_read_comes_in_pieces_from_memory_and_disk() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    for _ in 0..20 {
        client.publish("a", 1000).await;
    }
    for recent in [u64::MAX, 10] {
        if recent == 10 {
            fixture.engine.set_recent_events_max(recent);
        }
        for reverse in [false, true] {
            let command = if reverse {
                "READ-EVENTS a REVERSE"
            } else {
                "READ-EVENTS a"
            };
            client.send(&[command, "PING"]).await;
            let Value::Array(events) = client.value().await else {
                panic!("expected an array");
            };
            let mut numbers: Vec<u64> = events
                .iter()
                .map(|event| match event {
                    Value::Array(items) => items[1].as_u64().unwrap(),
                    _ => panic!("expected an event"),
                })
                .collect();
            if reverse {
                numbers.reverse();
            }
            assert_eq!(numbers, (0..20_000).collect::<Vec<_>>());
            client.expect(&["+PONG"]).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_answered_before_the_password() {
    let config = Config {
        port: 0,
        requirepass: Password::new("secret".into()),
        ..Config::default()
    };
    let fixture = Fixture::start_with(config).await;
    let mut client = fixture.client().await;
    client
        .send(&[
            "PING",
            "PUBLISH a n x",
            "SUBSCRIBE a:0",
            "AUTH secret",
            "PUBLISH a n x",
        ])
        .await;
    let refused = "-NOAUTH Authentication required.";
    client
        .expect(&[refused, refused, refused, "+OK", ":0"])
        .await;
    // A frame that is too large before AUTH ends the connection, after it does not.
    let large = format!("ECHO {}", "x".repeat(20_000));
    assert_eq!(client.ask(&large).await.len(), 20_000);
    let mut stranger = fixture.client().await;
    stranger.send(&[&large]).await;
    let error = stranger.next().await;
    assert!(error.starts_with("-ERR Protocol error: "), "{error}");
    stranger.expect_closed().await;
}

#[tokio::test]
async fn several_addresses_share_a_port() {
    let hostnames = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let fixture = Fixture::start_with(Config {
        port: 0,
        hostnames,
        ..Config::default()
    })
    .await;
    let addresses = fixture.server.addresses().to_vec();
    assert!(
        addresses
            .iter()
            .all(|address| address.port() == addresses[0].port())
    );
    let taken = Config {
        port: addresses[0].port(),
        ..Config::default()
    };
    let engine = Arc::new(MemoryEngine::new());
    let error = Server::start(&taken, engine).await.unwrap_err().to_string();
    assert!(error.contains("another program listens on port"), "{error}");
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_ok(), "{address}");
    }
}

#[tokio::test]
async fn one_save_at_a_time_runs_in_the_background() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    client.ask("PUBLISH a n 0").await;
    // Both are executed before the first can end, for all runs on this thread.
    client.send(&["BGSAVE", "BGSAVE"]).await;
    client
        .expect(&[
            "+Background saving started",
            "-ERR Background save already in progress",
        ])
        .await;
    let context = Arc::clone(fixture.server.context());
    until(|| !context.saving.load(Ordering::Relaxed)).await;
    let info = client.ask("INFO persistence").await;
    for line in ["rdb_changes_since_last_save:0", "rdb_bgsave_in_progress:0"] {
        assert!(info.contains(line), "{info}");
    }
    assert_eq!(client.ask("BGSAVE").await, "+Background saving started");
}
