//! Clients that do not read.

use super::*;
use crate::limits::{OUTPUT_BYTES_KEPT_MAX, OUTPUT_BYTES_MAX, PUSH_BYTES_AHEAD_MAX};

/// The output of the only other client.
fn unsent(fixture: &Fixture, id: u64) -> usize {
    fixture
        .server
        .context()
        .clients
        .find(id)
        .map_or(0, |client| client.output_bytes())
}

#[tokio::test]
async fn a_client_that_does_not_read_is_stopped_being_read_from() {
    let fixture = Fixture::start().await;
    let mut slow = fixture.client().await;
    assert_eq!(slow.ask("PING").await, "+PONG");
    let word = "x".repeat(1000);
    let mut command = BytesMut::new();
    writer::command(&mut command, &[b"ECHO", word.as_bytes()]);
    let commands = command.repeat(1000);
    let mut sent = 0;
    // Writes until the server has stopped reading, whatever the sockets hold.
    loop {
        // The block is sent in turns: a partial write goes on where it stopped.
        match slow.socket.try_write(&commands[sent % commands.len()..]) {
            Ok(count) => sent += count,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                tokio::task::yield_now().await;
                if unsent(&fixture, 1) >= OUTPUT_BYTES_MAX {
                    break;
                }
            }
        }
        assert!(sent < 1 << 30, "the server never stopped to read");
    }
    assert!(unsent(&fixture, 1) < OUTPUT_BYTES_MAX + 300_000);
    // Others are served meanwhile.
    let mut other = fixture.client().await;
    assert_eq!(other.ask("PING").await, "+PONG");
    // And it goes on where it stopped: every reply comes.
    let whole = sent / command.len();
    for _ in 0..whole {
        assert_eq!(slow.value().await.as_bytes().map(<[u8]>::len), Some(1000));
    }
}

#[tokio::test]
async fn a_follower_that_does_not_read_costs_a_bounded_output() {
    let fixture = Fixture::start().await;
    let mut slow = fixture.client().await;
    assert_eq!(slow.ask("PING").await, "+PONG");
    slow.send(&["SUBSCRIBE a:0"]).await;
    slow.expect(&["[subscribe a:0 :1]", "[caught-up a nil]"])
        .await;
    let mut publisher = fixture.client().await;
    let data = "x".repeat(4000);
    let command = format!("PUBLISH a n {data}");
    for _ in 0..50 {
        publisher.send(&vec![command.as_str(); 200]).await;
        for _ in 0..200 {
            publisher.value().await;
        }
        assert!(unsent(&fixture, 1) <= PUSH_BYTES_AHEAD_MAX + 8192);
    }
    // A command of the slow one is answered before more than the bound has passed it by.
    slow.send(&["ECHO now"]).await;
    for number in 0..10_000 {
        let value = slow.value().await;
        if value.as_bytes() == Some(b"now") {
            assert_eq!(slow.event_number().await, number);
            continue;
        }
        let Value::Array(items) = value else {
            panic!("expected a push")
        };
        assert_eq!(items[2].as_u64(), Some(number));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_is_pushed_to_is_forgotten() {
    let fixture = Fixture::start().await;
    let mut publisher = fixture.client().await;
    let command = format!("PUBLISH a n {}", "x".repeat(4000));
    for _ in 0..20 {
        publisher.send(&vec![command.as_str(); 200]).await;
        for _ in 0..200 {
            publisher.value().await;
        }
    }
    let mut gone = fixture.client().await;
    gone.send(&["SUBSCRIBE a:0"]).await;
    assert_eq!(gone.next().await, "[subscribe a:0 :1]");
    drop(gone);
    until(|| fixture.server.context().clients.count() == 1).await;
    assert_eq!(fixture.server.context().event_log.subscriptions(), 0);
}

#[tokio::test]
async fn the_output_buffer_is_told_as_it_was_before_the_command() {
    let fixture = Fixture::start().await;
    let mut client = fixture.client().await;
    let echo = format!("ECHO {}", "x".repeat(1000));
    let reply_bytes = "$1000\r\n\r\n".len() + 1000;
    let mut line = String::new();
    // The peak is forgotten after seconds: who is held up for so long asks again.
    for _ in 0..10 {
        client.ask(&echo).await;
        line = client.ask("CLIENT INFO").await;
        let field = |name| {
            let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
            let (_, value) = fields.find(|(field, _)| *field == name).unwrap();
            value.parse::<usize>().unwrap()
        };
        if field("rbp") == reply_bytes {
            assert!((reply_bytes..=OUTPUT_BYTES_KEPT_MAX).contains(&field("rbs")));
            assert_eq!(field("obl"), 0);
            assert!(field("tot-mem") >= field("rbs"));
            return;
        }
    }
    panic!("{line}");
}
