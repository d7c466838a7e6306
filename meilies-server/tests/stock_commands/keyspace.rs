//! The generic commands, where a key is a stream.

use std::collections::BTreeSet;

use meilies_protocol::Value;
use meilies_server::Config;

use super::peer::{Peer, start, string, strings};
#[tokio::test]
async fn keys_are_streams() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    assert_eq!(peer.raw("DBSIZE").await, ":0\r\n");
    for stream in ["orders:1", "orders:2", "users"] {
        assert_eq!(
            peer.raw(&format!("PUBLISH {stream} created {{}}")).await,
            ":0\r\n"
        );
    }
    let long = format!("EXISTS {}", "x".repeat(5000));
    let table = [
        ("DBSIZE", ":3\r\n"),
        ("TYPE users", "+stream\r\n"),
        ("TYPE nobody", "+none\r\n"),
        ("TYPE \"\"", "+none\r\n"),
        ("EXISTS users users nobody orders:1", ":3\r\n"),
        (&long, ":0\r\n"),
        ("KEYS nobody*", "*0\r\n"),
        ("SCAN x", "-ERR invalid cursor\r\n"),
        ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
        ("SCAN 0 TYPE string", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("SCAN 18446744073709551615", "*2\r\n$1\r\n0\r\n*0\r\n"),
    ];
    peer.expect(&table).await;
    let keys: BTreeSet<String> = strings(peer.value("KEYS orders:?").await)
        .into_iter()
        .collect();
    assert_eq!(
        keys,
        BTreeSet::from(["orders:1", "orders:2"].map(str::to_owned))
    );
    assert_eq!(strings(peer.value("KEYS *").await).len(), 3);
}

#[tokio::test]
async fn a_scan_gives_every_stream_that_stays_exactly_once() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    for number in 0..25 {
        peer.raw(&format!("PUBLISH stream-{number} created {{}}"))
            .await;
    }
    for options in [
        "",
        " COUNT 1",
        " COUNT 7 MATCH stream-*",
        " COUNT 1000 TYPE STREAM",
    ] {
        let (mut cursor, mut seen, mut rounds) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let reply = peer.value(&format!("SCAN {cursor}{options}")).await;
            let Value::Array(parts) = reply else {
                panic!("{reply:?}")
            };
            let [next, names] = <[Value; 2]>::try_from(parts).expect("two parts");
            seen.extend(strings(names));
            cursor = string(next);
            rounds += 1;
            // Streams that come meanwhile do not disturb it.
            peer.raw(&format!(
                "PUBLISH new{}-{rounds} created {{}}",
                options.len()
            ))
            .await;
            if cursor == "0" || rounds > 200 {
                break;
            }
        }
        let stayed: Vec<&String> = seen
            .iter()
            .filter(|name| name.starts_with("stream-"))
            .collect();
        let different: BTreeSet<&&String> = stayed.iter().collect();
        assert_eq!((stayed.len(), different.len()), (25, 25), "{options}");
        let all: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(all.len(), seen.len(), "none twice: {options}");
    }
}

/// Waits until a stream was not used for a second. OBJECT does not use it.
async fn wait_until_idle(peer: &mut Peer, stream: &str) {
    while peer.raw(&format!("OBJECT IDLETIME {stream}")).await == ":0\r\n" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn whatever_uses_a_stream_ends_its_idleness() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    for stream in ["touched", "read", "grouped", "executed", "left"] {
        peer.raw(&format!("XADD {stream} 1-1 f v")).await;
    }
    peer.raw("CLIENT NO-TOUCH ON").await;
    wait_until_idle(&mut peer, "left").await;
    // Who does not touch does not end it, and neither does who only asks.
    for command in ["XRANGE left - +", "EXISTS left", "TYPE left", "TTL left"] {
        peer.raw(command).await;
    }
    assert_ne!(peer.raw("OBJECT IDLETIME left").await, ":0\r\n");
    // TOUCH does, whoever asks for it.
    assert_eq!(peer.raw("TOUCH touched nobody").await, ":1\r\n");
    peer.raw("CLIENT NO-TOUCH OFF").await;
    peer.raw("EXISTS left").await;
    peer.raw("XREAD STREAMS read 0").await;
    peer.raw("XGROUP CREATE grouped g 0").await;
    for command in ["MULTI", "XLEN executed", "EXEC"] {
        peer.raw(command).await;
    }
    for stream in ["touched", "read", "grouped", "executed"] {
        let idle = peer.raw(&format!("OBJECT IDLETIME {stream}")).await;
        assert_eq!(idle, ":0\r\n", "{stream}");
    }
    assert_ne!(peer.raw("OBJECT IDLETIME left").await, ":0\r\n");
}
