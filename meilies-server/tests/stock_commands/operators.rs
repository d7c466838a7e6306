//! What operators look at and hold up: CLIENT PAUSE, MONITOR, SLOWLOG, LATENCY, what is counted of
//! commands, and what CLIENT LIST says of those that wait.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use futures::future::BoxFuture;
use meilies_protocol::{StreamName, Value};
use meilies_server::engine::memory::MemoryEngine;
use meilies_server::engine::{
    Access, AppendRequest, Appending, Engine, Look, Operation, ReadOutcome, ReadRequest,
    Statistics, StoreError, SyncWatch,
};
use meilies_server::{Config, Server};
use tokio::sync::{broadcast, watch};

use super::peer::{PATIENCE, Peer, info_field, start, with_password};

/// Asks again until it is so.
async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let asked = tokio::time::timeout(PATIENCE, async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    });
    asked.await.expect("it is so in time");
}

/// Waits until a client's last command was decoded.
async fn decoded(server: &Server, id: u64, command: &str) {
    until(|| async {
        let client = server.context().clients.find(id);
        client.expect("connected").last_command() == command
    })
    .await;
}

async fn id_of(peer: &mut Peer) -> u64 {
    let id = peer.value("CLIENT ID").await;
    id.as_u64().expect("an id")
}

async fn line_of(peer: &mut Peer, id: u64) -> String {
    peer.text(&format!("CLIENT LIST ID {id}")).await
}

#[tokio::test]
async fn a_pause_of_writes_holds_up_what_may_write_and_nothing_else() {
    let server = start(Config::default()).await;
    let mut operator = Peer::connect(&server).await;
    let commands = [
        ("PUBLISH s n 0", "publish", ":0\r\n"),
        ("PUBLISH-MANY s 1 n 0", "publish-many", ":1\r\n"),
        (
            "XADD s 9999999999999-1 f v",
            "xadd",
            "$15\r\n9999999999999-1\r\n",
        ),
        ("DEL s", "del", ":1\r\n"),
    ];
    for (command, name, reply) in commands {
        let mut writer = Peer::connect(&server).await;
        let id = id_of(&mut writer).await;
        let before = operator.raw("LAST-EVENT-NUMBER s").await;
        operator
            .expect(&[("CLIENT PAUSE 1000000 WRITE", "+OK\r\n")])
            .await;
        writer.send(command).await;
        decoded(&server, id, name).await;
        let mut reader = Peer::connect(&server).await;
        reader.expect(&[("PING", "+PONG\r\n")]).await;
        assert_eq!(reader.raw("LAST-EVENT-NUMBER s").await, before, "{command}");
        operator.expect(&[("CLIENT UNPAUSE", "+OK\r\n")]).await;
        let (_, raw) = writer.receive().await.expect("a reply");
        assert_eq!(raw, reply, "{command}");
    }
}

#[tokio::test]
async fn a_pause_of_writes_holds_up_a_transaction_that_writes() {
    let server = start(Config::default()).await;
    let (mut operator, mut writer) = (Peer::connect(&server).await, Peer::connect(&server).await);
    let id = id_of(&mut writer).await;
    writer
        .expect(&[("MULTI", "+OK\r\n"), ("PUBLISH s n 0", "+QUEUED\r\n")])
        .await;
    operator
        .expect(&[
            ("CLIENT PAUSE 1000000 WRITE", "+OK\r\n"),
            ("MULTI", "+OK\r\n"),
            ("EXISTS s", "+QUEUED\r\n"),
            ("EXEC", "*1\r\n:0\r\n"),
        ])
        .await;
    writer.send("EXEC").await;
    decoded(&server, id, "exec").await;
    operator
        .expect(&[("EXISTS s", ":0\r\n"), ("CLIENT UNPAUSE", "+OK\r\n")])
        .await;
    assert_eq!(writer.receive().await.expect("a reply").1, "*1\r\n:0\r\n");
}

#[tokio::test]
async fn a_pause_of_all_ends_with_unpause_by_itself_and_with_the_server() {
    let server = start(Config::default()).await;
    let (mut operator, mut other) = (Peer::connect(&server).await, Peer::connect(&server).await);
    let id = id_of(&mut other).await;
    operator
        .expect(&[("CLIENT PAUSE 1000000", "+OK\r\n")])
        .await;
    other.send("PING").await;
    decoded(&server, id, "ping").await;
    operator.expect(&[("CLIENT UNPAUSE", "+OK\r\n")]).await;
    assert_eq!(other.receive().await.expect("a reply").1, "+PONG\r\n");
    let began = std::time::Instant::now();
    operator.expect(&[("CLIENT PAUSE 50 ALL", "+OK\r\n")]).await;
    other.expect(&[("PING", "+PONG\r\n")]).await;
    assert!(began.elapsed().as_millis() >= 50, "it was not held up");
    operator
        .expect(&[("CLIENT PAUSE 1000000", "+OK\r\n")])
        .await;
    other.send("ECHO held").await;
    decoded(&server, id, "echo").await;
    let stopped = tokio::time::timeout(PATIENCE, server.stop()).await;
    stopped.expect("in time").expect("stopped");
    assert!(other.is_closed().await);
}

#[tokio::test]
async fn a_monitor_sees_writes_in_order_and_no_password() {
    let server = start(with_password()).await;
    let (mut monitor, mut other) = (Peer::connect(&server).await, Peer::connect(&server).await);
    monitor
        .expect(&[("AUTH secret", "+OK\r\n"), ("MONITOR", "+OK\r\n")])
        .await;
    let commands = [
        ("PUBLISH s n refused", None),
        ("AUTH secret", Some(r#""AUTH" "(redacted)""#)),
        (
            "HELLO 2 AUTH default secret",
            Some(r#""HELLO" "2" "AUTH" "(redacted)" "(redacted)""#),
        ),
        ("PUBLISH s n 0", Some(r#""PUBLISH" "s" "n" "0""#)),
        (
            "PUBLISH s n 1 EXPECT 7",
            Some(r#""PUBLISH" "s" "n" "1" "EXPECT" "7""#),
        ),
        ("CONFIG SET requirepass secret", None),
        (
            "XADD s nonsense f v",
            Some(r#""XADD" "s" "nonsense" "f" "v""#),
        ),
        ("RESET", Some(r#""RESET""#)),
    ];
    for (command, _) in commands {
        other.send(command).await;
    }
    let port = other.stream.local_addr().expect("an address");
    for shown in commands.into_iter().filter_map(|(_, shown)| shown) {
        let (_, line) = monitor.receive().await.expect("a line");
        let (time, rest) = line.split_once(' ').expect("a time");
        assert_eq!(rest, format!("[0 {port}] {shown}\r\n"));
        let (seconds, micros) = time[1..].split_once('.').expect("a point");
        assert!(
            seconds.parse::<u64>().is_ok() && micros.len() == 6,
            "{time}"
        );
    }
    // RESET ends it, and nobody pays for it any more.
    assert_eq!(monitor.raw("RESET").await, "+RESET\r\n");
    assert!(!server.context().monitors.any());
}

#[tokio::test]
async fn a_monitor_that_does_not_read_is_disconnected_and_slows_nobody() {
    let server = start(Config::default()).await;
    let (mut monitor, mut other) = (Peer::connect(&server).await, Peer::connect(&server).await);
    monitor.expect(&[("MONITOR", "+OK\r\n")]).await;
    let large = format!("ECHO {}", "x".repeat(1 << 20));
    let mut rounds = 0;
    while server.context().monitors.any() {
        assert!(other.raw(&large).await.len() > 1 << 20);
        rounds += 1;
        assert!(rounds < 10_000, "the bound is never reached");
    }
    assert_eq!(server.context().clients.count(), 1);
}

#[tokio::test]
async fn the_slow_log_shows_writes_and_is_cut() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.raw("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3")
        .await;
    peer.raw("SLOWLOG RESET").await;
    peer.raw(&format!("PUBLISH s n {}", "x".repeat(200))).await;
    peer.raw(&format!("XADD s * {}", ["f v"; 40].join(" ")))
        .await;
    let log = peer.raw("SLOWLOG GET 2").await;
    let cut = format!("{}... (72 more bytes)", "x".repeat(128));
    assert!(log.contains(&cut) && log.contains("PUBLISH"), "{log}");
    assert!(log.contains("... (52 more arguments)"), "{log}");
    assert_eq!(peer.raw("SLOWLOG LEN").await, ":3\r\n");
}

#[tokio::test]
async fn what_takes_long_is_noted_by_its_kind() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    for number in 0..20_000 {
        peer.send(&format!("PUBLISH stream-{number} n 0")).await;
    }
    for _ in 0..20_000 {
        peer.receive().await.expect("a reply");
    }
    peer.raw("KEYS *").await;
    assert_eq!(peer.raw("LATENCY LATEST").await, "*0\r\n", "0 means off");
    peer.raw("CONFIG SET latency-monitor-threshold 1").await;
    let asked = tokio::time::timeout(PATIENCE, async {
        while peer.raw("LATENCY HISTORY command").await == "*0\r\n" {
            peer.raw("STREAM-NAMES").await;
        }
    });
    asked.await.expect("one took a millisecond");
    let latest = match peer.value("LATENCY LATEST").await {
        Value::Array(events) => events,
        other => panic!("{other:?}"),
    };
    let Value::Array(event) = &latest[0] else {
        panic!("{latest:?}");
    };
    assert_eq!(event[0].as_bytes(), Some(&b"command"[..]));
    let (ms, most) = (event[2].as_u64(), event[3].as_u64());
    assert!(ms >= Some(1) && most >= ms, "{event:?}");
    let report = peer.text("LATENCY DOCTOR").await;
    assert!(report.contains("command: slow in "), "{report}");
    assert_eq!(peer.raw("LATENCY RESET sync").await, ":0\r\n");
    assert_eq!(peer.raw("LATENCY RESET COMMAND").await, ":1\r\n");
}

/// An engine whose syncs take as long as a test says.
#[derive(Default)]
struct Syncing {
    memory: MemoryEngine,
    watch: OnceLock<SyncWatch>,
}

impl fmt::Debug for Syncing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Syncing")
    }
}

impl Engine for Syncing {
    fn append(&self, request: AppendRequest) -> BoxFuture<'static, Result<Appending, StoreError>> {
        self.memory.append(request)
    }

    fn read(&self, request: &ReadRequest, access: Access) -> Result<ReadOutcome, StoreError> {
        self.memory.read(request, access)
    }

    fn transact_each(
        &self,
        operations: Vec<Operation>,
    ) -> BoxFuture<'static, Vec<Result<BytesMut, StoreError>>> {
        self.memory.transact_each(operations)
    }

    fn look(&self, access: Access, look: Look<'_>) -> Result<(), StoreError> {
        self.memory.look(access, look)
    }

    fn tail_notice(&self) -> watch::Receiver<u64> {
        self.memory.tail_notice()
    }

    fn touched(&self) -> broadcast::Receiver<Arc<[StreamName]>> {
        self.memory.touched()
    }

    fn statistics(&self) -> Statistics {
        self.memory.statistics()
    }

    fn watch_syncs(&self, watch: SyncWatch) {
        self.watch.get_or_init(|| watch);
    }

    fn checkpoint(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        self.memory.checkpoint()
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        self.memory.close()
    }
}

#[tokio::test]
async fn syncs_that_take_long_are_noted() {
    let engine = Arc::new(Syncing::default());
    let config = Config {
        port: 0,
        ..Config::default()
    };
    let server = Server::start(&config, Arc::clone(&engine) as Arc<dyn Engine>).await;
    let server = server.expect("the server starts");
    let mut peer = Peer::connect(&server).await;
    let synced = engine.watch.get().expect("the server watches");
    synced(Duration::from_secs(1));
    peer.raw("CONFIG SET latency-monitor-threshold 100").await;
    assert_eq!(peer.raw("LATENCY HISTORY sync").await, "*0\r\n");
    synced(Duration::from_millis(99));
    synced(Duration::from_millis(170));
    let history = peer.raw("LATENCY HISTORY sync").await;
    assert!(history.ends_with("\r\n:170\r\n"), "{history}");
    let report = peer.text("LATENCY DOCTOR").await;
    assert!(
        report.contains("sync: slow in 1 seconds, 170 ms"),
        "{report}"
    );
}

#[tokio::test]
async fn writes_that_gather_are_all_counted() {
    let server = start(Config::default()).await;
    let mut peer = Peer::connect(&server).await;
    for _ in 0..100 {
        peer.send("PUBLISH s n 0").await;
    }
    peer.send("PUBLISH s n 0 EXPECT 7").await;
    peer.send("PUBLISH s n 0 ID key").await;
    peer.send("PUBLISH-MANY s 2 n 0 n 1").await;
    peer.send("PUBLISH").await;
    for _ in 0..104 {
        peer.receive().await.expect("a reply");
    }
    let stats = peer.text("INFO commandstats").await;
    let row = info_field(&stats, "cmdstat_publish").expect("a row");
    assert!(row.starts_with("calls=102,usec="), "{row}");
    assert!(row.ends_with(",rejected_calls=1,failed_calls=1"), "{row}");
    let many = info_field(&stats, "cmdstat_publish-many").expect("a row");
    assert!(many.starts_with("calls=1,"), "{many}");
    assert_eq!(info_field(&stats, "cmdstat_xadd"), None);
    let latencies = peer.text("INFO latencystats").await;
    assert!(info_field(&latencies, "latency_percentiles_usec_publish").is_some());
    let usual = peer.text("INFO").await;
    assert!(!usual.contains("cmdstat_") && !usual.contains("latency_percentiles"));
    assert!(peer.text("INFO all").await.contains("cmdstat_publish:"));
}

#[tokio::test]
async fn a_client_that_waits_says_so() {
    let server = start(Config::default()).await;
    let (mut operator, mut waiting) = (Peer::connect(&server).await, Peer::connect(&server).await);
    let id = id_of(&mut waiting).await;
    waiting.expect(&[("WATCH a b", "+OK\r\n")]).await;
    let line = line_of(&mut operator, id).await;
    assert!(
        line.contains(" watch=2 ") && line.contains(" flags=N "),
        "{line}"
    );
    for (command, ended) in [("", ":0\r\n"), (" ERROR", "-UNBLOCKED")] {
        waiting.send("WAIT 3 0").await;
        let client = server.context().clients.find(id).expect("connected");
        until(|| async { client.is_blocked() }).await;
        let line = line_of(&mut operator, id).await;
        assert!(
            line.contains(" flags=b ") && line.contains(" cmd=wait "),
            "{line}"
        );
        let clients = operator.text("INFO clients").await;
        assert_eq!(info_field(&clients, "blocked_clients"), Some("1"));
        let unblock = format!("CLIENT UNBLOCK {id}{command}");
        assert_eq!(operator.raw(&unblock).await, ":1\r\n");
        let (_, reply) = waiting.receive().await.expect("a reply");
        assert!(reply.starts_with(ended), "{reply}");
        until(|| async { !client.is_blocked() }).await;
    }
    // One who waits for ever is gone as soon as the client is.
    waiting.send("WAIT 3 0").await;
    drop(waiting);
    until(|| async { server.context().clients.count() == 1 }).await;
}
