//! A client that shows replies as they came, and a server for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{ReplyLimits, ReplyScanner, Value, writer};
use meilies_server::config::Password;
use meilies_server::engine::memory::MemoryEngine;
use meilies_server::{Config, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes: only a failing test waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn start(config: Config) -> Server {
    let config = Config { port: 0, ..config };
    Server::start(&config, Arc::new(MemoryEngine::default()))
        .await
        .expect("the server starts")
}

pub(super) fn with_password() -> Config {
    Config {
        requirepass: Password::new(Bytes::from_static(b"secret")),
        ..Config::default()
    }
}

/// A client that shows replies as they came.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    buffer: BytesMut,
    replies: ReplyScanner,
}

impl Peer {
    pub(super) async fn connect(server: &Server) -> Peer {
        let stream = TcpStream::connect(server.addresses()[0])
            .await
            .expect("connected");
        let replies = ReplyScanner::new(ReplyLimits::default());
        Peer {
            stream,
            buffer: BytesMut::new(),
            replies,
        }
    }

    /// Sends words separated by spaces; `""` is an empty word.
    pub(super) async fn send(&mut self, command: &str) {
        let words: Vec<&[u8]> = command
            .split(' ')
            .map(|word| {
                if word == "\"\"" {
                    &b""[..]
                } else {
                    word.as_bytes()
                }
            })
            .collect();
        let mut frame = BytesMut::new();
        writer::command(&mut frame, &words);
        self.stream.write_all(&frame).await.expect("sent");
    }

    /// The next reply and its bytes, or nothing when the connection was closed.
    pub(super) async fn receive(&mut self) -> Option<(Value, String)> {
        let mut raw = self.buffer.to_vec();
        loop {
            if let Some(value) = self.replies.next(&mut self.buffer).expect("a valid reply") {
                raw.truncate(raw.len() - self.buffer.len());
                return Some((value, String::from_utf8_lossy(&raw).into_owned()));
            }
            let mut chunk = [0; 4096];
            let reading = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk));
            match reading.await.expect("a reply in time") {
                Ok(0) | Err(_) => return None,
                Ok(count) => {
                    raw.extend_from_slice(&chunk[..count]);
                    self.buffer.extend_from_slice(&chunk[..count]);
                }
            }
        }
    }

    pub(super) async fn raw(&mut self, command: &str) -> String {
        self.send(command).await;
        self.receive()
            .await
            .map_or_else(|| "closed".to_owned(), |(_, raw)| raw)
    }

    pub(super) async fn value(&mut self, command: &str) -> Value {
        self.send(command).await;
        self.receive().await.expect("not closed").0
    }

    pub(super) async fn text(&mut self, command: &str) -> String {
        match self.value(command).await {
            Value::Bulk(text) | Value::Verbatim { text, .. } | Value::SimpleString(text) => {
                String::from_utf8(text.to_vec()).expect("text")
            }
            other => panic!("{command}: {other:?}"),
        }
    }

    pub(super) async fn expect(&mut self, table: &[(&str, &str)]) {
        for (command, reply) in table {
            assert_eq!(self.raw(command).await, *reply, "{command}");
        }
    }

    pub(super) async fn is_closed(&mut self) -> bool {
        self.receive().await.is_none()
    }
}

pub(super) fn strings(value: Value) -> Vec<String> {
    match value {
        Value::Array(items) | Value::Set(items) => items.into_iter().map(string).collect(),
        other => panic!("not a list: {other:?}"),
    }
}

pub(super) fn string(value: Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        value => {
            let bytes = value.into_bytes().expect("a string");
            String::from_utf8(bytes.to_vec()).expect("text")
        }
    }
}

pub(super) fn pairs(value: Value) -> Vec<(String, String)> {
    match value {
        Value::Map(pairs) => pairs
            .into_iter()
            .map(|(name, value)| (string(name), string(value)))
            .collect(),
        Value::Array(items) => {
            let items = strings(Value::Array(items));
            items
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect()
        }
        other => panic!("not a map: {other:?}"),
    }
}

pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}
