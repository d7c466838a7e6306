//! The whole front over real sockets, on the memory engine. No sleeps: tests wait for replies, or
//! yield until a state is reached.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use meilies_protocol::{ReplyLimits, ReplyScanner, Value, writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Server;
use crate::config::Config;
use crate::engine::memory::MemoryEngine;

mod commands;
mod follow;
mod groups;
mod pressure;
mod rate;

/// A server on a port of its own.
struct Fixture {
    server: Server,
    engine: Arc<MemoryEngine>,
}

impl Fixture {
    async fn start() -> Fixture {
        Fixture::start_with(Config {
            port: 0,
            ..Config::default()
        })
        .await
    }

    async fn start_with(config: Config) -> Fixture {
        let engine = Arc::new(MemoryEngine::new());
        let server = Server::start(&config, Arc::clone(&engine) as _)
            .await
            .unwrap();
        Fixture { server, engine }
    }

    async fn client(&self) -> Client {
        let socket = TcpStream::connect(self.server.addresses()[0])
            .await
            .unwrap();
        socket.set_nodelay(true).unwrap();
        Client {
            socket,
            scanner: ReplyScanner::new(ReplyLimits::default()),
            buffer: BytesMut::new(),
        }
    }
}

/// A client that shows replies as text.
struct Client {
    socket: TcpStream,
    scanner: ReplyScanner,
    buffer: BytesMut,
}

impl Client {
    /// Sends commands, words separated by blanks, in one write.
    async fn send(&mut self, commands: &[&str]) {
        let mut out = BytesMut::new();
        for command in commands {
            let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
            writer::command(&mut out, &words);
        }
        self.socket.write_all(&out).await.unwrap();
    }

    /// The next reply or push; `None` when the server has closed.
    async fn try_next(&mut self) -> Option<Value> {
        loop {
            if let Some(value) = self.scanner.next(&mut self.buffer).unwrap() {
                return Some(value);
            }
            let read = self.socket.read_buf(&mut self.buffer);
            let read = tokio::time::timeout(Duration::from_secs(20), read).await;
            match read.expect("the server answers within 20 seconds") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn value(&mut self) -> Value {
        self.try_next()
            .await
            .expect("the server does not close the connection")
    }

    async fn next(&mut self) -> String {
        show(&self.value().await)
    }

    /// Sends a command and gives its reply.
    async fn ask(&mut self, command: &str) -> String {
        self.send(&[command]).await;
        self.next().await
    }

    /// Expects these replies and pushes, in this order.
    async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.next().await, *expected);
        }
    }

    async fn expect_closed(&mut self) {
        let more = self.try_next().await;
        assert!(
            more.is_none(),
            "expected the end, got {}",
            show(&more.unwrap())
        );
    }

    /// Publishes one event per data in one pipeline and reads the replies.
    async fn publish(&mut self, stream: &str, count: usize) {
        let command = format!("PUBLISH {stream} n data");
        self.send(&vec![command.as_str(); count]).await;
        for _ in 0..count {
            let reply = self.next().await;
            assert!(reply.starts_with(':'), "{reply}");
        }
    }

    /// The number of the next push, which must be an event of this stream.
    async fn event_number(&mut self) -> u64 {
        let value = self.value().await;
        match &value {
            Value::Array(items) | Value::Push(items) if items[0].as_bytes() == Some(b"event") => {
                items[2].as_u64().unwrap()
            }
            _ => panic!("expected an event, got {}", show(&value)),
        }
    }
}

/// A value as text; ids, which hold the time, are left out of events.
fn show(value: &Value) -> String {
    let list = |open: &str, items: &[Value]| {
        let mut shown: Vec<String> = items.iter().map(show).collect();
        shown.retain(|item| !is_id(item));
        format!("{open}{}]", shown.join(" "))
    };
    match value {
        Value::SimpleString(text) => format!("+{}", text.escape_ascii()),
        Value::Error(text) => format!("-{}", text.escape_ascii()),
        Value::Integer(number) => format!(":{number}"),
        Value::Bulk(bytes) => format!("{}", bytes.escape_ascii()),
        Value::Nil => "nil".to_owned(),
        Value::Array(items) => list("[", items),
        Value::Push(items) => list(">[", items),
        other => format!("{other:?}"),
    }
}

fn is_id(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(ms, seq)| is_number(ms) && is_number(seq))
}

/// Waits for a state that others bring about.
async fn until(mut reached: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    });
    waited
        .await
        .expect("the state is reached within 20 seconds");
}
