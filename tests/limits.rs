//! Goal: every limit that a client can meet holds at its maximum, refuses one more with the value
//! in the text, and costs the connection only where the frame itself is malformed.
//!
//! Method: one test per limit, at max and at max + 1.

use std::time::Instant;

use meilies_tests::client::{Client, DEADLINE, encode};
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::resp::Value;

const STREAM_NAME_BYTES_MAX: usize = 4096;
const EVENT_NAME_BYTES_MAX: usize = 64 * 1024;
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
const FRAME_ELEMENTS_MAX: usize = 1_048_576;
const INLINE_BYTES_MAX: usize = 64 * 1024;
const UNAUTHENTICATED_ELEMENTS_MAX: usize = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;

#[test]
fn stream_names() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let name = vec![b'\xff'; STREAM_NAME_BYTES_MAX];
    let longer = vec![b'\xff'; STREAM_NAME_BYTES_MAX + 1];
    let refusal = "ERR stream name is 4097 bytes, the limit is 4096";

    assert_eq!(publish(&mut client, &name, b"e", b"0"), Value::Integer(0));
    let reply = publish(&mut client, &longer, b"e", b"0");
    assert_eq!(reply.error(), refusal);
    assert_eq!(
        client.command(&[b"LAST-EVENT-NUMBER", &name[..]]),
        Value::Integer(0)
    );
    assert_eq!(
        client.command(&[b"LAST-EVENT-NUMBER", &longer[..]]).error(),
        refusal
    );

    let spec = |name: &[u8]| [name, b":18446744073709551614:18446744073709551615"].concat();
    let events = client.command(&[b"READ-EVENTS", &spec(&name)[..]]);
    assert_eq!(events, Value::Array(Vec::new()));
    let reply = client.command(&[b"READ-EVENTS", &spec(&longer)[..]]);
    assert!(
        reply
            .error()
            .ends_with("stream name is 4097 bytes, the limit is 4096"),
        "{reply}"
    );
    client.send(&encode(&[b"SUBSCRIBE", &[&name[..], b":0"].concat()[..]]));
    assert_eq!(client.push().items()[0].text(), "subscribe");
    assert_eq!(client.push().items()[1].bytes(), name);
    let names = client.call("STREAM-NAMES");
    assert_eq!(names, Value::Array(vec![Value::Bulk(name)]));
}

#[test]
fn event_names() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let name = vec![b'n'; EVENT_NAME_BYTES_MAX];
    assert_eq!(publish(&mut client, b"s", &name, b"0"), Value::Integer(0));
    let longer = vec![b'n'; EVENT_NAME_BYTES_MAX + 1];
    let reply = publish(&mut client, b"s", &longer, b"0");
    assert_eq!(
        reply.error(),
        "ERR event name is 65537 bytes, the limit is 65536"
    );
    let events = client.call("READ-EVENTS s");
    assert_eq!(events.items().len(), 1);
    assert_eq!(events.items()[0].items()[4].items()[0].bytes(), name);
}

#[test]
fn events() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let data = vec![b'd'; EVENT_BYTES_MAX];
    let fits = &data[..EVENT_BYTES_MAX - 1];
    assert_eq!(publish(&mut client, b"s", b"n", fits), Value::Integer(0));
    let reply = publish(&mut client, b"s", b"n", &data);
    assert_eq!(
        reply.error(),
        "ERR event is 16777217 bytes, the limit is 16777216"
    );
    let much_more = vec![b'd'; 4 * EVENT_BYTES_MAX];
    let reply = publish(&mut client, b"s", b"n", &much_more);
    assert_eq!(
        reply.error(),
        "ERR event is 67108865 bytes, the limit is 16777216"
    );
    let events = client.call("READ-EVENTS s");
    assert_eq!(events.items().len(), 1);
    assert_eq!(events.items()[0].items()[4].items()[1].bytes(), fits);
}

#[test]
fn events_that_are_published_together() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let half = EVENT_BYTES_MAX - 64;
    let data = vec![b'd'; half];
    let mut publish = |first: &[u8], second: &[u8]| {
        let command = [
            b"PUBLISH-MANY",
            b"s".as_slice(),
            b"2",
            b"n",
            first,
            b"n",
            second,
        ];
        client.command(&command)
    };
    assert_eq!(publish(&data[1..], &data[1..]), Value::Integer(1));
    let reply = publish(&data[1..], &data);
    assert_eq!(
        reply.error(),
        "ERR the events are 33554433 bytes together, each counted with 64 more, the limit is \
         33554432"
    );
    assert_eq!(client.call("LAST-EVENT-NUMBER s"), Value::Integer(1));
}

#[test]
fn bytes_of_a_reply_in_one_piece() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    // Four of them fit in, five do not.
    let event = vec![b'x'; REPLY_BYTES_MAX / 5];
    for id in ["1", "2", "3", "4", "5"] {
        client.command(&[b"XADD", &b"s"[..], id.as_bytes(), b"f", &event]);
    }
    let full = client.call("XINFO STREAM s FULL COUNT 4");
    assert!(!matches!(full, Value::Error(_)), "{full}");
    let reply = client.call("XINFO STREAM s FULL COUNT 0");
    assert_eq!(
        reply.error(),
        "ERR the reply takes more than 67108864 bytes: read less"
    );
    for command in [
        "MULTI",
        "XRANGE s - + COUNT 3",
        "XRANGE s - + COUNT 2",
        "XLEN s",
    ] {
        client.call(command);
    }
    let replies = client.call("EXEC");
    assert_eq!(replies.items()[0].items().len(), 3);
    assert_eq!(
        replies.items()[1].error(),
        "ERR the replies of a transaction take more than 67108864 bytes: read less"
    );
    assert_eq!(replies.items()[2], Value::Integer(5));
    assert!(is_served(client));
}

#[test]
fn events_of_a_size_that_was_set() {
    let server = ServerProcess::start(&Settings::flags(["--max-event-bytes", "1kb"]));
    let mut client = server.client();
    let data = vec![b'd'; 1024];
    assert_eq!(
        publish(&mut client, b"s", b"n", &data[..1023]),
        Value::Integer(0)
    );
    let reply = publish(&mut client, b"s", b"n", &data);
    assert_eq!(reply.error(), "ERR event is 1025 bytes, the limit is 1024");
}

#[test]
fn elements_of_a_command() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let arguments = vec!["ECHO"; FRAME_ELEMENTS_MAX];
    let reply = client.command(&arguments);
    assert_eq!(
        reply.error(),
        "ERR wrong number of arguments for 'echo' command"
    );
    client.send(format!("*{}\r\n", FRAME_ELEMENTS_MAX + 1).as_bytes());
    assert_eq!(
        client.reply().error(),
        "ERR Protocol error: invalid multibulk length"
    );
    client.expect_closed();
}

#[test]
fn bytes_of_an_inline_command() {
    let server = ServerProcess::start(&Settings::default());
    // As in Redis, everything in front of the line feed counts.
    let line = |bytes| [&b"ECHO "[..], &vec![b'a'; bytes - 5]].concat();
    let mut client = server.client();
    client.send(&[&line(INLINE_BYTES_MAX)[..], b"\n"].concat());
    assert_eq!(client.reply().bytes().len(), INLINE_BYTES_MAX - 5);
    client.send(&[&line(INLINE_BYTES_MAX - 1)[..], b"\r\n"].concat());
    assert_eq!(client.reply().bytes().len(), INLINE_BYTES_MAX - 6);
    client.send(&[&line(INLINE_BYTES_MAX + 1)[..], b"\n"].concat());
    assert_eq!(
        client.reply().error(),
        "ERR Protocol error: too big inline request"
    );
    client.expect_closed();

    // A line that never ends is refused as soon as it is too long.
    let mut client = server.client();
    client.send(&line(INLINE_BYTES_MAX + 2));
    assert_eq!(
        client.reply().error(),
        "ERR Protocol error: too big inline request"
    );
    client.expect_closed();
}

#[test]
fn lines_that_announce_a_length() {
    let server = ServerProcess::start(&Settings::default());
    for (start, error) in [
        ("*", "ERR Protocol error: too big mbulk count string"),
        ("*1\r\n$", "ERR Protocol error: too big bulk count string"),
    ] {
        let mut client = server.client();
        client.send(format!("{start}{}", "1".repeat(INLINE_BYTES_MAX + 1)).as_bytes());
        assert_eq!(client.reply().error(), error);
        client.expect_closed();
    }
}

#[test]
fn bytes_of_a_command() {
    let server = ServerProcess::start(&Settings::default());
    // No argument may be announced that can never be used: memory is not the sender's to claim.
    let mut client = server.client();
    client.send(b"*2\r\n$4\r\nECHO\r\n$536870913\r\n");
    assert_eq!(
        client.reply().error(),
        "ERR Protocol error: invalid bulk length"
    );
    client.expect_closed();

    // Nor may many arguments together claim what one may not.
    let mut client = server.client();
    let argument = [&b"$16777216\r\n"[..], &vec![b'a'; EVENT_BYTES_MAX], b"\r\n"].concat();
    client.send(b"*1000\r\n$4\r\nECHO\r\n");
    let taken = (0..100)
        .take_while(|_| client.try_send(&argument).is_ok())
        .count();
    assert!(
        taken < 100,
        "{taken} arguments of 16 MiB were taken for one command"
    );
    let rss_kb = server.process_status("VmRSS");
    assert!(rss_kb < 1024 * 1024, "{rss_kb} kB of memory");
    assert_eq!(
        server.client().call("PING"),
        Value::Simple(b"PONG".to_vec())
    );
}

#[test]
fn before_authentication() {
    let server = ServerProcess::start(&Settings::flags(["--requirepass", "secret"]));
    let no_auth = "NOAUTH Authentication required.";

    let mut client = server.client();
    let reply = client.command(&["PING"; UNAUTHENTICATED_ELEMENTS_MAX]);
    assert_eq!(reply.error(), no_auth);
    client.send(&encode(&["PING"; UNAUTHENTICATED_ELEMENTS_MAX + 1]));
    assert_eq!(
        client.reply().error(),
        "ERR Protocol error: unauthenticated multibulk length"
    );
    client.expect_closed();

    let mut client = server.client();
    let bulk = "a".repeat(UNAUTHENTICATED_BULK_BYTES_MAX);
    assert_eq!(client.command(&["ECHO", &bulk]).error(), no_auth);
    client.send(format!("*2\r\n$4\r\nECHO\r\n${}\r\n", bulk.len() + 1).as_bytes());
    assert_eq!(
        client.reply().error(),
        "ERR Protocol error: unauthenticated bulk length"
    );
    client.expect_closed();

    // The limits are gone with the password given.
    let mut client = server.client();
    client.call("AUTH secret");
    let longer = "a".repeat(UNAUTHENTICATED_BULK_BYTES_MAX + 1);
    assert_eq!(client.command(&["ECHO", &longer]).text(), longer);
    let reply = client.command(&["EXISTS"; UNAUTHENTICATED_ELEMENTS_MAX + 1]);
    assert_eq!(reply, Value::Integer(0));
}

#[test]
fn clients() {
    let server = ServerProcess::start(&Settings::flags(["--max-clients", "3"]));
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.call("PING"), Value::Simple(b"PONG".to_vec()));
    }
    let mut refused = server.client();
    assert_eq!(refused.reply().error(), "ERR max number of clients reached");
    refused.expect_closed();

    // Who leaves makes room; the server sees it soon after, not before.
    clients.pop();
    let until = Instant::now() + DEADLINE;
    while !is_served(server.client()) {
        assert!(Instant::now() < until, "no room although a client left");
    }
    for client in &mut clients {
        assert_eq!(client.call("PING"), Value::Simple(b"PONG".to_vec()));
    }
}

#[test]
fn the_deepest_nesting_is_a_flat_command() {
    let server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    client.send(&b"*1\r\n".repeat(100_000));
    assert_eq!(
        client.reply().error(),
        "ERR Protocol error: expected '$', got '*'"
    );
    client.expect_closed();
    assert_eq!(
        server.client().call("PING"),
        Value::Simple(b"PONG".to_vec())
    );
}

fn publish(client: &mut Client, stream: &[u8], name: &[u8], data: &[u8]) -> Value {
    client.command(&[b"PUBLISH", stream, name, data])
}

fn is_served(mut client: Client) -> bool {
    client.send(&encode(&["PING"]));
    matches!(client.try_reply(), Ok(Value::Simple(text)) if text == b"PONG")
}
