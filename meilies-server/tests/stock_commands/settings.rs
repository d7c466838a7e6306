//! CONFIG: read by pattern, changed all or none, and in force at once.

use std::collections::BTreeSet;

use meilies_server::Config;
use meilies_server::config::LogFilter;

use super::peer::{Peer, pairs, start};
#[tokio::test]
async fn settings_are_read_by_pattern() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.expect(&[
        (
            "CONFIG GET databases",
            "*2\r\n$9\r\ndatabases\r\n$1\r\n1\r\n",
        ),
        ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
        (
            "config get APPENDONLY",
            "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n",
        ),
        ("CONFIG GET nonsense", "*0\r\n"),
    ])
    .await;
    let names = |pairs: Vec<(String, String)>| -> BTreeSet<String> {
        pairs.into_iter().map(|(name, _)| name).collect()
    };
    let some = names(pairs(peer.value("CONFIG GET max-* p?rt max-clients").await));
    let expected = ["max-clients", "max-event-bytes", "port"].map(str::to_owned);
    assert_eq!(some, BTreeSet::from(expected));
    let all = pairs(peer.value("CONFIG GET *").await);
    assert_eq!(names(all.clone()).len(), all.len(), "no name twice");
    let port = server.addresses()[0].port().to_string();
    assert!(all.contains(&("port".to_owned(), port)));
    peer.raw("HELLO 3").await;
    assert_eq!(
        peer.raw("CONFIG GET save").await,
        "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"
    );
}

#[tokio::test]
async fn settings_are_changed_all_or_none_and_errors_are_those_of_redis() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    let failed = |name: &str, reason: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}\r\n")
    };
    let unknown = "-ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'\r\n";
    let immutable = "can't set immutable config";
    let table = [
        ("CONFIG SET nonsense 1", unknown.to_owned()),
        ("CONFIG SET maxclients 7 nonsense 1", unknown.to_owned()),
        ("CONFIG SET databases 3", failed("databases", immutable)),
        ("CONFIG SET port 3", failed("port", immutable)),
        ("CONFIG SET fsync no", failed("fsync", immutable)),
        // Nobody has said how to change the log of the test.
        ("CONFIG SET loglevel debug", failed("loglevel", immutable)),
        (
            "CONFIG SET maxclients 7 max-event-bytes x",
            failed("max-event-bytes", "argument must be a memory value"),
        ),
        (
            "CONFIG SET maxclients x",
            failed("maxclients", "argument couldn't be parsed into an integer"),
        ),
        (
            "CONFIG SET maxclients 0",
            failed(
                "maxclients",
                "argument must be between 1 and 1000000 inclusive",
            ),
        ),
        (
            "CONFIG SET max-event-bytes 64mb",
            failed(
                "max-event-bytes",
                "argument must be between 1 and 66060288 inclusive",
            ),
        ),
        (
            "CONFIG SET maxclients 7 max-clients 8",
            failed("max-clients", "duplicate parameter"),
        ),
        (
            "CONFIG SET protected-mode x",
            failed("protected-mode", "argument must be 'yes' or 'no'"),
        ),
        (
            "CONFIG SET appendonly x",
            failed("appendonly", "argument must be 'yes' or 'no'"),
        ),
        (
            "CONFIG SET maxclients",
            "-ERR wrong number of arguments for 'config|set' command\r\n".to_owned(),
        ),
        (
            "CONFIG GET maxclients",
            "*2\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n".to_owned(),
        ),
        ("CONFIG SET save 900 appendonly no", "+OK\r\n".to_owned()),
        (
            "CONFIG GET appendonly",
            "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n".to_owned(),
        ),
        (
            "CONFIG SET MaxClients 7 max-event-bytes 2kb",
            "+OK\r\n".to_owned(),
        ),
        (
            "CONFIG GET maxclients",
            "*2\r\n$10\r\nmaxclients\r\n$1\r\n7\r\n".to_owned(),
        ),
        (
            "CONFIG GET max-event-bytes",
            "*2\r\n$15\r\nmax-event-bytes\r\n$4\r\n2048\r\n".to_owned(),
        ),
    ];
    for (command, reply) in table {
        assert_eq!(peer.raw(command).await, reply, "{command}");
    }
}

#[tokio::test]
async fn changed_settings_take_effect() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;

    peer.expect(&[("CONFIG SET max-event-bytes 100", "+OK\r\n")])
        .await;
    let large = "x".repeat(101);
    let refused = peer.raw(&format!("PUBLISH orders created {large}")).await;
    assert!(
        refused.starts_with("-ERR") && refused.contains("100"),
        "{refused}"
    );
    let fits = "x".repeat(100 - "created".len());
    assert_eq!(
        peer.raw(&format!("PUBLISH orders created {fits}")).await,
        ":0\r\n"
    );

    peer.expect(&[("CONFIG SET maxclients 1", "+OK\r\n")]).await;
    let mut second = Peer::connect(&server).await;
    let refusal = second.receive().await.map(|(_, raw)| raw);
    assert_eq!(
        refusal.as_deref(),
        Some("-ERR max number of clients reached\r\n")
    );
    peer.expect(&[("CONFIG SET maxclients 10", "+OK\r\n")])
        .await;

    peer.expect(&[
        ("CONFIG SET requirepass secret", "+OK\r\n"),
        ("PING", "+PONG\r\n"),
    ])
    .await;
    let mut second = Peer::connect(&server).await;
    second
        .expect(&[
            ("PING", "-NOAUTH Authentication required.\r\n"),
            ("AUTH secret", "+OK\r\n"),
        ])
        .await;
    peer.expect(&[("CONFIG SET requirepass \"\"", "+OK\r\n")])
        .await;
    Peer::connect(&server)
        .await
        .expect(&[("PING", "+PONG\r\n")])
        .await;
}

#[tokio::test]
async fn the_log_level_can_be_changed_where_the_program_owns_the_log() {
    let server = start(Config::default()).await;
    let (sender, receiver) = std::sync::mpsc::channel();
    server
        .context()
        .settings
        .set_log_switch(Box::new(move |filter: &LogFilter| {
            sender
                .send(filter.as_str().to_owned())
                .expect("the test listens");
        }));
    let mut peer = Peer::connect(&server).await;
    peer.expect(&[
        ("CONFIG SET loglevel warning", "+OK\r\n"),
        (
            "CONFIG GET loglevel",
            "*2\r\n$8\r\nloglevel\r\n$4\r\nwarn\r\n",
        ),
    ])
    .await;
    assert_eq!(receiver.recv().as_deref(), Ok("warn"));
    assert!(
        peer.raw("CONFIG SET log-level nonsense")
            .await
            .contains("is not a log level")
    );
}
