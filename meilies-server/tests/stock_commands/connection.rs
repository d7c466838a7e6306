//! The handshake: who is there, in which version of the protocol, with which password.

use meilies_server::Config;

use super::peer::{Peer, start, with_password};
#[tokio::test]
async fn connection_commands_answer_in_redis_words() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    let table = [
        ("PING", "+PONG\r\n"),
        ("ping hello", "$5\r\nhello\r\n"),
        (
            "PING a b",
            "-ERR wrong number of arguments for 'ping' command\r\n",
        ),
        ("ECHO hello", "$5\r\nhello\r\n"),
        (
            "ECHO",
            "-ERR wrong number of arguments for 'echo' command\r\n",
        ),
        ("SELECT 0", "+OK\r\n"),
        ("SELECT 1", "-ERR DB index is out of range\r\n"),
        ("SELECT -1", "-ERR DB index is out of range\r\n"),
        (
            "SELECT x",
            "-ERR value is not an integer or out of range\r\n",
        ),
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
        (
            "HELLO x",
            "-ERR Protocol version is not an integer or out of range\r\n",
        ),
        (
            "HELLO 2 AUTH a",
            "-ERR Syntax error in HELLO option 'AUTH'\r\n",
        ),
        (
            "HELLO 2 AUTH bob x",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        ),
        (
            "AUTH x",
            "-ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?\r\n",
        ),
        ("AUTH default x", "+OK\r\n"),
        (
            "AUTH bob x",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        ),
        ("AUTH a b c", "-ERR syntax error\r\n"),
        (
            "CLIENT FOO",
            "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n",
        ),
        ("CLIENT GETNAME", "$-1\r\n"),
        ("CLIENT SETNAME me", "+OK\r\n"),
        ("CLIENT GETNAME", "$2\r\nme\r\n"),
        ("CLIENT SETNAME \"\"", "+OK\r\n"),
        ("CLIENT GETNAME", "$-1\r\n"),
        ("CLIENT SETINFO LIB-NAME lib", "+OK\r\n"),
        ("client setinfo lib-ver 1.2", "+OK\r\n"),
        ("CLIENT NO-EVICT ON", "+OK\r\n"),
        ("CLIENT NO-TOUCH off", "+OK\r\n"),
        ("CLIENT NO-EVICT maybe", "-ERR syntax error\r\n"),
        ("CLIENT REPLY ON", "+OK\r\n"),
        ("CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"),
        ("CLIENT KILL ID 999", ":0\r\n"),
        ("CLIENT KILL USER bob", "-ERR No such user 'bob'\r\n"),
        ("RESET", "+RESET\r\n"),
        ("QUIT", "+OK\r\n"),
    ];
    peer.expect(&table).await;
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn hello_greets_with_a_map_in_either_version() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    for (command, begin, proto) in [
        ("HELLO", "*18", "2"),
        ("HELLO 3 SETNAME me", "%9", "3"),
        ("HELLO", "%9", "3"),
    ] {
        let raw = peer.raw(command).await;
        assert!(raw.starts_with(begin), "{raw}");
        assert!(
            raw.contains(&format!("$5\r\nproto\r\n:{proto}\r\n")),
            "{raw}"
        );
        assert!(raw.contains("$7\r\nversion\r\n$5\r\n7.4.0\r\n"), "{raw}");
        assert!(raw.contains("$2\r\nid\r\n:1\r\n"), "{raw}");
        assert!(raw.contains("$4\r\nmode\r\n$10\r\nstandalone\r\n"), "{raw}");
        assert!(raw.contains("$4\r\nrole\r\n$6\r\nmaster\r\n"), "{raw}");
        assert!(raw.contains("$7\r\nmodules\r\n*0\r\n"), "{raw}");
        assert!(raw.contains("$5\r\nepoch\r\n:"), "{raw}");
    }
    peer.expect(&[
        ("CLIENT GETNAME", "$2\r\nme\r\n"),
        ("RESET", "+RESET\r\n"),
        ("CLIENT GETNAME", "$-1\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_password_is_asked_for() {
    let server = start(with_password()).await;
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let mut peer = Peer::connect(&server).await;
    let refused = peer.raw("PING").await;
    assert_eq!(refused, "-NOAUTH Authentication required.\r\n");
    assert!(
        peer.raw("HELLO 3")
            .await
            .starts_with("-NOAUTH HELLO must be called with")
    );
    peer.expect(&[
        ("AUTH wrong", wrong),
        ("AUTH secre", wrong),
        ("AUTH bob secret", wrong),
        ("HELLO 3 AUTH default wrong", wrong),
        ("AUTH secret", "+OK\r\n"),
        ("PING", "+PONG\r\n"),
        ("AUTH wrong", wrong),
        ("PING", "+PONG\r\n"),
        ("RESET", "+RESET\r\n"),
        ("PING", "-NOAUTH Authentication required.\r\n"),
    ])
    .await;
    assert!(
        peer.raw("HELLO 3 AUTH default secret")
            .await
            .starts_with("%9\r\n")
    );
    peer.expect(&[("PING", "+PONG\r\n")]).await;
}

#[tokio::test]
async fn clients_are_listed_and_killed() {
    let server = start(Config::default()).await;
    let mut one = Peer::connect(&server).await;
    let mut two = Peer::connect(&server).await;
    let mut three = Peer::connect(&server).await;
    for (peer, id) in [(&mut one, 1), (&mut two, 2), (&mut three, 3)] {
        assert_eq!(peer.raw("CLIENT ID").await, format!(":{id}\r\n"));
    }
    one.raw("CLIENT SETNAME first").await;
    one.raw("CLIENT SETINFO LIB-NAME lib").await;
    one.raw("CLIENT NO-EVICT ON").await;
    two.raw("SUBSCRIBE orders").await;

    let own = one.text("CLIENT INFO").await;
    for part in [
        "id=1 ",
        "name=first ",
        "db=0 ",
        "flags=e ",
        "resp=2 ",
        "lib-name=lib ",
    ] {
        assert!(own.contains(part), "{part} in {own}");
    }
    assert!(own.ends_with('\n'));
    let all = one.text("CLIENT LIST").await;
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(
        one.text("CLIENT LIST TYPE pubsub")
            .await
            .starts_with("id=2 ")
    );
    assert_eq!(one.text("CLIENT LIST TYPE normal").await.lines().count(), 2);
    assert_eq!(one.text("CLIENT LIST TYPE replica").await, "");
    assert!(one.text("CLIENT LIST ID 3 99").await.starts_with("id=3 "));

    let address = three.stream.local_addr().expect("bound");
    assert_eq!(one.raw(&format!("CLIENT KILL {address}")).await, "+OK\r\n");
    assert!(three.is_closed().await);
    assert_eq!(one.raw("CLIENT KILL TYPE pubsub").await, ":1\r\n");
    one.expect(&[
        ("CLIENT KILL ID 1", ":0\r\n"),
        ("CLIENT KILL ID 1 SKIPME no", ":1\r\n"),
    ])
    .await;
    assert!(one.is_closed().await);
}

#[tokio::test]
async fn replies_can_be_turned_off() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    for command in ["CLIENT REPLY SKIP", "ECHO skipped"] {
        peer.send(command).await;
    }
    peer.expect(&[("ECHO given", "$5\r\ngiven\r\n")]).await;
    for command in [
        "CLIENT REPLY OFF",
        "ECHO off",
        "CLIENT REPLY SKIP",
        "ECHO off",
    ] {
        peer.send(command).await;
    }
    peer.expect(&[
        ("CLIENT REPLY ON", "+OK\r\n"),
        ("ECHO given", "$5\r\ngiven\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn pings_of_subscribers_are_lists_in_resp2() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.raw("SUBSCRIBE orders").await;
    // The reply to SUBSCRIBE may be followed by pushes: look for the one to PING.
    peer.send("PING there").await;
    loop {
        let (_, raw) = peer.receive().await.expect("not closed");
        if raw == "*2\r\n$4\r\npong\r\n$5\r\nthere\r\n" {
            break;
        }
        assert!(raw.contains("caught-up"), "{raw}");
    }
}
