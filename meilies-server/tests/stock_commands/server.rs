//! What the server tells about itself, and how it is asked to stop.

use meilies_server::Config;

use super::peer::{PATIENCE, Peer, info_field, start, strings};
#[tokio::test]
async fn info_has_the_fields_that_clients_read() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.raw("PUBLISH orders created {}").await;
    let info = peer.text("INFO").await;
    let port = server.addresses()[0].port().to_string();
    let exact = [
        ("redis_version", "7.4.0"),
        ("meilies_version", env!("CARGO_PKG_VERSION")),
        ("redis_mode", "standalone"),
        ("tcp_port", &port),
        ("connected_clients", "1"),
        ("maxclients", "10000"),
        ("blocked_clients", "0"),
        ("loading", "0"),
        ("aof_enabled", "1"),
        ("total_connections_received", "1"),
        ("rejected_connections", "0"),
        ("role", "master"),
        ("connected_slaves", "0"),
        ("cluster_enabled", "0"),
        ("db0", "keys=1,expires=0,avg_ttl=0"),
        ("streams", "1"),
        ("events", "1"),
        ("engine", "memory"),
        ("subscriptions", "0"),
        ("failure", ""),
    ];
    for (name, value) in exact {
        assert_eq!(info_field(&info, name), Some(value), "{name} in {info}");
    }
    peer.raw("NONSENSE").await;
    peer.raw("SELECT 9").await;
    let errors = peer.text("INFO errorstats stats").await;
    assert_eq!(info_field(&errors, "errorstat_ERR"), Some("count=2"));
    assert_eq!(info_field(&errors, "total_error_replies"), Some("2"));
    let computed = [
        "run_id",
        "uptime_in_seconds",
        "used_memory",
        "used_cpu_user",
        "commits",
    ];
    for name in computed {
        assert!(
            info_field(&info, name).is_some_and(|value| !value.is_empty()),
            "{name}"
        );
    }
    assert!(info_field(&info, "used_memory").is_some_and(|bytes| bytes != "0"));

    let two = peer.text("INFO KEYSPACE server").await;
    let titles: Vec<&str> = two.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(titles, ["# Server", "# Keyspace"]);
    assert_eq!(peer.text("INFO nonsense").await, "");
    let sections = |info: &str| info.matches("# ").count();
    // Two more are given where they are asked for only.
    assert_eq!(
        sections(&peer.text("INFO everything").await),
        sections(&info) + 2
    );
    assert!(peer.raw("INFO replication").await.starts_with('$'));
    peer.raw("HELLO 3").await;
    assert!(peer.raw("INFO replication").await.starts_with('='));
}

#[tokio::test]
async fn who_reads_in_vain_for_a_group_has_been_seen() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.raw("XGROUP CREATE s g $ MKSTREAM").await;
    peer.raw("XREADGROUP GROUP g alice STREAMS s >").await;
    peer.raw("XREADGROUP GROUP g alice BLOCK 300 STREAMS s >")
        .await;
    let last = std::time::Instant::now();
    peer.raw("XREADGROUP GROUP g alice STREAMS s >").await;
    let told = peer.raw("XINFO CONSUMERS s g").await;
    let since_last_ms = last.elapsed().as_millis();
    let idle_ms = told.split("$4\r\nidle\r\n:").nth(1).and_then(|rest| {
        let (idle, _) = rest.split_once('\r')?;
        idle.parse::<u128>().ok()
    });
    let idle_ms = idle_ms.unwrap_or_else(|| panic!("{told}"));
    // Both are whole milliseconds of the clock.
    assert!(
        idle_ms <= since_last_ms + 1,
        "{idle_ms} of {since_last_ms} ms"
    );
}

#[tokio::test]
async fn times_are_those_of_the_clock() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    let seconds = |time: std::time::SystemTime| {
        time.duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs()
    };
    let before = seconds(std::time::SystemTime::now());
    let time = strings(peer.value("TIME").await);
    let told: u64 = time[0].parse().expect("seconds");
    assert!((before..=before + 60).contains(&told));
    assert!(
        time[1]
            .parse::<u64>()
            .is_ok_and(|micros| micros < 1_000_000)
    );
    let saved = peer.value("LASTSAVE").await.as_u64().expect("a number");
    assert!((before - 60..=before + 60).contains(&saved));
}

#[tokio::test]
async fn commands_describe_themselves() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    let count = peer
        .value("COMMAND COUNT")
        .await
        .as_u64()
        .expect("a number");
    let names = strings(peer.value("COMMAND LIST").await);
    let commands = names.iter().filter(|name| !name.contains('|')).count();
    assert_eq!(u64::try_from(commands), Ok(count));
    for name in ["publish", "hello", "scan", "client|list"] {
        assert!(names.iter().any(|listed| listed == name), "{name}");
    }
    assert!(
        peer.raw("COMMAND INFO ping")
            .await
            .contains("$4\r\nping\r\n:-1\r\n")
    );
    assert!(peer.raw("COMMAND DOCS ping").await.contains("summary"));
    assert_eq!(
        strings(peer.value("COMMAND GETKEYS EXISTS a b").await),
        ["a", "b"]
    );
    for family in ["COMMAND", "CLIENT", "CONFIG"] {
        let help = strings(peer.value(&format!("{family} HELP")).await);
        assert!(help[0].starts_with(family), "{help:?}");
    }
}

#[tokio::test]
async fn shutdown_asks_for_a_stop_and_closes() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.expect(&[
        ("SHUTDOWN NONSENSE", "-ERR syntax error\r\n"),
        ("SHUTDOWN SAVE NOSAVE", "-ERR syntax error\r\n"),
        ("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"),
    ])
    .await;
    peer.send("SHUTDOWN NOSAVE").await;
    let asked = tokio::time::timeout(PATIENCE, server.stop_requested());
    asked.await.expect("the stop was asked for");
    assert!(peer.is_closed().await);
    server.stop().await.expect("stopped");
}
