//! Readers of groups that wait: what ends a wait, and what never does.

use meilies_protocol::StreamName;

use super::*;
use crate::engine::{Engine, Operation, Verdict};
use crate::limits::{OUTPUT_BYTES_AHEAD_MAX, OUTPUT_BYTES_MAX};
use crate::session::Client as Connected;

/// A reader that waits for events of `s`, and another client.
async fn waiting(fixture: &Fixture) -> (Client, Client, Arc<Connected>) {
    let mut reader = fixture.client().await;
    assert_eq!(reader.ask("XGROUP CREATE s g $ MKSTREAM").await, "+OK");
    let connected = fixture.server.context().clients.all().remove(0);
    wait(fixture, &mut reader, "bob", 1).await;
    let writer = fixture.client().await;
    (reader, writer, connected)
}

/// Sends a read that waits; returns when so many do.
async fn wait(fixture: &Fixture, reader: &mut Client, name: &str, count: usize) {
    reader.send(&[&read(name)]).await;
    until(|| fixture.server.context().event_log.blocked() == count).await;
}

fn read(name: &str) -> String {
    format!("XREADGROUP GROUP g {name} COUNT 1 BLOCK 0 STREAMS s >")
}

/// Adds an event, and returns when the commit that gives it to a reader is held back; before that
/// comes what `between` asks of the engine.
async fn add_and_hold(fixture: &Fixture, writer: &mut Client, between: impl FnOnce()) {
    fixture.engine.hold();
    writer.send(&["XADD s * f v"]).await;
    until(|| fixture.engine.held() == 1).await;
    // Nothing else runs on this thread between the two.
    fixture.engine.release();
    fixture.engine.hold();
    between();
    let queued = fixture.engine.held();
    until(|| fixture.engine.held() == queued + 1).await;
    writer.value().await;
}

/// Returns when the connection reads no more, or is gone.
async fn until_noticed(connected: &Arc<Connected>) {
    until(|| !connected.buffers().reads || Arc::strong_count(connected) == 1).await;
}

/// Takes the first event of `s` away.
fn trim(fixture: &Fixture) {
    let name = StreamName::parse("s".into()).unwrap();
    let operation = Operation {
        names: Vec::new(),
        bytes: 0,
        run: Box::new(move |transaction, _| {
            transaction.trim(&name, 1)?.unwrap();
            Ok(Verdict::Commit)
        }),
    };
    // The engine has it from here on.
    drop(fixture.engine.transact(operation));
}

/// Asks for replies and does not read them, until so much is unsent that a long reply would not go
/// on. Returns how many there are.
async fn fill_output(client: &mut Client, connected: &Connected) -> usize {
    const WORD_BYTES: usize = 64 * 1024;
    // The sockets may take some more later on: far enough above the one bound, below the other.
    const _: () = assert!(2 * OUTPUT_BYTES_AHEAD_MAX + WORD_BYTES < OUTPUT_BYTES_MAX);
    let echo = format!("ECHO {}", "x".repeat(WORD_BYTES));
    let before = connected.sent_bytes();
    let mut reply_bytes = 0;
    for replies in 0.. {
        if connected.output_bytes() >= 2 * OUTPUT_BYTES_AHEAD_MAX {
            return replies;
        }
        client.send(&[&echo]).await;
        reply_bytes += format!("${WORD_BYTES}\r\n").len() + WORD_BYTES + 2;
        until(|| {
            let sent = connected.sent_bytes() - before;
            sent + connected.output_bytes() as u64 == reply_bytes as u64
        })
        .await;
    }
    unreachable!("it returns");
}

const GIVEN: &str = "[[s [[[f v]]]]]";

#[tokio::test]
async fn what_is_being_taken_for_a_reader_arrives_after_a_half_close() {
    let fixture = Fixture::start().await;
    let (mut reader, mut writer, connected) = waiting(&fixture).await;
    add_and_hold(&fixture, &mut writer, || {}).await;
    reader.send(&["PING"]).await;
    reader.socket.shutdown().await.unwrap();
    until_noticed(&connected).await;
    fixture.engine.release();
    reader.expect(&[GIVEN, "+PONG"]).await;
    reader.expect_closed().await;
}

#[tokio::test]
async fn what_is_being_taken_for_a_reader_arrives_before_a_stop() {
    let fixture = Fixture::start().await;
    let (mut reader, mut writer, connected) = waiting(&fixture).await;
    add_and_hold(&fixture, &mut writer, || {}).await;
    let engine = Arc::clone(&fixture.engine);
    let stop = tokio::spawn(fixture.server.stop());
    until_noticed(&connected).await;
    engine.release();
    reader.expect(&[GIVEN]).await;
    reader.expect_closed().await;
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_being_taken_for_a_reader_arrives_although_its_wait_is_ended() {
    let fixture = Fixture::start().await;
    let (mut reader, mut writer, connected) = waiting(&fixture).await;
    add_and_hold(&fixture, &mut writer, || {}).await;
    let unblock = format!("CLIENT UNBLOCK {} ERROR", connected.id);
    assert_eq!(writer.ask(&unblock).await, ":1");
    fixture.engine.release();
    reader.expect(&[GIVEN]).await;
    assert_eq!(reader.ask("PING").await, "+PONG");
}

#[tokio::test]
async fn a_killed_reader_is_gone_while_something_is_taken_for_it() {
    let fixture = Fixture::start().await;
    let (mut reader, mut writer, connected) = waiting(&fixture).await;
    add_and_hold(&fixture, &mut writer, || {}).await;
    connected.kill();
    reader.expect_closed().await;
    until(|| fixture.server.context().clients.count() == 1).await;
    fixture.engine.release();
    let pending = writer.ask("XPENDING s g").await;
    assert_eq!(pending, "[:1 [[bob 1]]]");
}

#[tokio::test]
async fn a_reader_for_which_nothing_is_being_taken_ends_at_once() {
    let fixture = Fixture::start().await;
    let (mut first, mut second, _) = waiting(&fixture).await;
    wait(&fixture, &mut second, "eve", 2).await;
    // From here on no commit is finished.
    fixture.engine.hold();
    first.socket.shutdown().await.unwrap();
    first.expect_closed().await;
    let stop = tokio::spawn(fixture.server.stop());
    second.expect_closed().await;
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_reader_that_was_given_nothing_waits_on_or_ends() {
    for ends in [false, true] {
        let fixture = Fixture::start().await;
        let (mut reader, mut writer, connected) = waiting(&fixture).await;
        add_and_hold(&fixture, &mut writer, || trim(&fixture)).await;
        if ends {
            reader.socket.shutdown().await.unwrap();
            until_noticed(&connected).await;
        }
        fixture.engine.release();
        if ends {
            reader.expect_closed().await;
        } else {
            writer.ask("XADD s * f v").await;
            reader.expect(&[GIVEN]).await;
        }
    }
}

#[tokio::test]
async fn the_first_in_line_need_not_read_for_the_next_to_be_given_something() {
    let fixture = Fixture::start().await;
    let mut first = fixture.client().await;
    assert_eq!(first.ask("XGROUP CREATE s g $ MKSTREAM").await, "+OK");
    let connected = fixture.server.context().clients.all().remove(0);
    let echoes = fill_output(&mut first, &connected).await;
    first.send(&[&read("bob")]).await;
    until(|| connected.last_command() == "xreadgroup").await;
    let mut second = fixture.client().await;
    second.send(&[&read("eve")]).await;
    let mut writer = fixture.client().await;
    writer.send(&["XADD s * f 1", "XADD s * f 2"]).await;
    second.expect(&["[[s [[[f 2]]]]]"]).await;
    let unsent = connected.output_bytes();
    assert!(unsent >= OUTPUT_BYTES_AHEAD_MAX, "{unsent} are unsent");
    for _ in 0..echoes {
        first.value().await;
    }
    first.expect(&["[[s [[[f 1]]]]]"]).await;
}
