//! The protocol of MeiliES 0.2: commands in lower case, and replies and events on one connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meilies_client::{Error, EventNumber, ServerError, StreamName};
use meilies_protocol::{ReplyLimits, ReplyScanner, Value, writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::limits::{OLD_QUESTIONS_MAX, OLD_READ_BYTES, OLD_REPLY_TIMEOUT};

const PORT: u16 = 6480;

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    address: String,
    socket: TcpStream,
    input: BytesMut,
    scanner: ReplyScanner,
}

/// An event as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OldEvent {
    pub(super) number: EventNumber,
    pub(super) name: Bytes,
    pub(super) data: Bytes,
}

/// Host and port of a URL. There are no users and passwords in 0.2.
pub(super) fn address(url: &str) -> Result<String, Failure> {
    let address = url.strip_prefix("meilies://").unwrap_or(url);
    let address = address.strip_suffix('/').unwrap_or(address);
    if address.contains('@') {
        let text = "MeiliES 0.2 has neither users nor passwords: leave them out of --from";
        return Err(Failure::Usage(text.to_owned()));
    }
    let has_port = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && !port.contains(']'));
    Ok(match has_port {
        true => address.to_owned(),
        false => format!("{address}:{PORT}"),
    })
}

/// Whether a server answers HELLO as only 0.2 does.
pub(in crate::migrate) async fn speaks(url: &str) -> bool {
    let asked = async {
        let mut wire = Wire::open(&address(url)?).await?;
        wire.send(&[b"HELLO"]).await?;
        Ok::<_, Failure>(wire.reply().await?)
    };
    matches!(asked.await, Ok(Value::Error(line)) if line.starts_with(b"invalid request message"))
}

impl Wire {
    pub(super) async fn open(address: &str) -> Result<Wire, Failure> {
        let socket = timeout(OLD_REPLY_TIMEOUT, TcpStream::connect(address)).await;
        let socket = socket.map_err(|_elapsed| Error::ConnectTimeout {
            address: address.to_owned(),
            limit: OLD_REPLY_TIMEOUT,
        })?;
        let socket = socket.map_err(|error| Error::Connect {
            address: address.to_owned(),
            error: Arc::new(error),
        })?;
        Ok(Wire {
            address: address.to_owned(),
            socket,
            input: BytesMut::new(),
            scanner: ReplyScanner::new(ReplyLimits::default()),
        })
    }

    pub(super) async fn stream_names(&mut self) -> Result<Vec<StreamName>, Failure> {
        self.send(&[b"stream-names"]).await?;
        let names = self.list(b"stream-names").await?;
        let parse = |name: Value| match name.into_bytes() {
            Some(name) => Ok(StreamName::parse(name)
                .map_err(Error::StreamName)?
                .detached()),
            None => Err(unexpected("a name that is no string").into()),
        };
        names.into_iter().map(parse).collect()
    }

    /// The number that each stream gave last, to an event that may be lost.
    pub(super) async fn last_event_numbers(
        &mut self,
        names: &[StreamName],
    ) -> Result<Vec<Option<EventNumber>>, Failure> {
        let mut numbers = Vec::with_capacity(names.len());
        // It does not read on while nobody takes its replies, so not all are asked for at once.
        for names in names.chunks(OLD_QUESTIONS_MAX) {
            for name in names {
                self.send(&[b"last-event-number", name.as_bytes()]).await?;
            }
            for _ in names {
                let reply = self.list(b"last-event-number").await?;
                numbers.push(match reply.as_slice() {
                    [_, Value::Nil] => None,
                    [_, Value::Integer(number)] => Some(number.cast_unsigned()),
                    _ => return Err(unexpected(&format!("{reply:?}")).into()),
                });
            }
        }
        Ok(numbers)
    }

    pub(super) async fn subscribe(&mut self, spec: &[u8]) -> Result<(), Error> {
        self.send(&[b"subscribe", spec]).await
    }

    /// Waits for the next event, for as long as it takes. May be dropped.
    pub(super) async fn event(&mut self) -> Result<OldEvent, Error> {
        loop {
            let value = self.next().await?;
            let Value::Array(mut elements) = value else {
                return Err(refusal(&value));
            };
            match elements.as_mut_slice() {
                [kind, _stream] if kind.as_bytes() == Some(b"subscribed") => {}
                [kind, _stream, Value::Integer(number), name, data]
                    if kind.as_bytes() == Some(b"event") =>
                {
                    let number = number.cast_unsigned();
                    let name = std::mem::replace(name, Value::Nil).into_bytes();
                    let data = std::mem::replace(data, Value::Nil).into_bytes();
                    let (Some(name), Some(data)) = (name, data) else {
                        return Err(unexpected("an event without name or data"));
                    };
                    return Ok(OldEvent { number, name, data });
                }
                _ => return Err(refusal(&Value::Array(elements))),
            }
        }
    }

    async fn send(&mut self, words: &[&[u8]]) -> Result<(), Error> {
        let mut bytes = BytesMut::new();
        writer::command(&mut bytes, words);
        let sent = timeout(OLD_REPLY_TIMEOUT, self.socket.write_all(&bytes)).await;
        let sent = sent.map_err(|_elapsed| silent(&self.address, OLD_REPLY_TIMEOUT))?;
        sent.map_err(|error| self.lost(error))
    }

    /// What follows the name of the command in a reply.
    async fn list(&mut self, command: &[u8]) -> Result<Vec<Value>, Error> {
        match self.reply().await? {
            Value::Array(mut elements)
                if elements.first().and_then(Value::as_bytes) == Some(command) =>
            {
                elements.remove(0);
                Ok(elements)
            }
            other => Err(refusal(&other)),
        }
    }

    async fn reply(&mut self) -> Result<Value, Error> {
        let address = self.address.clone();
        let reply = timeout(OLD_REPLY_TIMEOUT, self.next()).await;
        reply.map_err(|_elapsed| silent(&address, OLD_REPLY_TIMEOUT))?
    }

    async fn next(&mut self) -> Result<Value, Error> {
        loop {
            if let Some(value) = self.scanner.next(&mut self.input)? {
                return Ok(value);
            }
            self.input.reserve(OLD_READ_BYTES);
            match self.socket.read_buf(&mut self.input).await {
                Ok(0) => {
                    let address = self.address.clone();
                    return Err(Error::Closed { address });
                }
                Ok(_) => {}
                Err(error) => return Err(self.lost(error)),
            }
        }
    }

    fn lost(&self, error: io::Error) -> Error {
        Error::Lost {
            address: self.address.clone(),
            error: Arc::new(error),
        }
    }
}

/// No answer came in time.
pub(super) fn silent(address: &str, limit: Duration) -> Error {
    Error::RequestTimeout {
        address: address.to_owned(),
        limit,
    }
}

fn refusal(value: &Value) -> Error {
    let Value::Error(line) = value else {
        return unexpected(&format!("{value:?}"));
    };
    let line = String::from_utf8_lossy(line);
    let (code, message) = line.split_once(' ').unwrap_or((&line, ""));
    Error::Refused(ServerError {
        code: code.to_owned(),
        message: message.to_owned(),
    })
}

fn unexpected(what: &str) -> Error {
    Error::Unexpected(what.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_without_users() {
        for (url, expected) in [
            ("old.example", "old.example:6480"),
            ("meilies://old.example", "old.example:6480"),
            ("meilies://old.example:7000/", "old.example:7000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]", "[::1]:6480"),
            ("[::1]:7000", "[::1]:7000"),
        ] {
            assert_eq!(address(url).expect("a good URL"), expected);
        }
        assert!(matches!(address("a:b@h"), Err(Failure::Usage(_))));
    }
}
