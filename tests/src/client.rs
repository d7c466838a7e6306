//! A small blocking RESP client: raw bytes, pipelines, both protocol versions, and deadlines that
//! fail the test with what was sent and what came.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::resp::{self, Protocol, Value};
use crate::words;

/// How long anything may take before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    protocol: Protocol,
    replies: VecDeque<Value>,
    pushes: VecDeque<Value>,
    last_sent: String,
}

impl Client {
    /// Connects and, for RESP3, says `HELLO 3`.
    pub fn connect(address: SocketAddr, protocol: Protocol) -> Self {
        let mut client = Self::connect_plain(address);
        if protocol == Protocol::Resp3 {
            client.protocol = Protocol::Resp3;
            let hello = client.call("HELLO 3");
            assert!(matches!(hello, Value::Map(_)), "HELLO 3 answered {hello}");
        }
        client
    }

    /// Connects and says nothing.
    pub fn connect_plain(address: SocketAddr) -> Self {
        match Self::try_connect(address) {
            Ok(client) => client,
            Err(error) => panic!("connecting to {address}: {error}"),
        }
    }

    /// Connects if somebody listens.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self {
            reader: BufReader::with_capacity(64 * 1024, stream.try_clone()?),
            writer: stream,
            protocol: Protocol::Resp2,
            replies: VecDeque::new(),
            pushes: VecDeque::new(),
            last_sent: String::new(),
        })
    }

    /// The version that replies are read in.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Reads replies in this version from now on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Waits this long for a value, instead of [`DEADLINE`].
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.writer
            .set_read_timeout(Some(deadline))
            .expect("the time-out is not zero");
        self.writer
            .set_write_timeout(Some(deadline))
            .expect("the time-out is not zero");
    }

    /// Sends a command written as words, and gives its reply.
    pub fn call(&mut self, line: &str) -> Value {
        self.command(&words::split(line))
    }

    /// Sends a command, and gives its reply.
    pub fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Value {
        self.send(&encode(arguments));
        self.reply()
    }

    /// Sends bytes as they are. A failure to write is left to the read that follows.
    pub fn send(&mut self, bytes: &[u8]) {
        self.last_sent = resp::escape(&bytes[..bytes.len().min(200)]);
        self.try_send(bytes).ok();
    }

    /// Sends bytes as they are, or says why it could not.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Sends as much as the socket takes now or before the deadline: how many bytes were taken.
    pub fn try_send_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    /// The next reply to a command; pushes that come before it are kept.
    pub fn reply(&mut self) -> Value {
        self.try_reply()
            .unwrap_or_else(|error| self.fail("a reply", &error))
    }

    /// The next reply, or why there is none.
    pub fn try_reply(&mut self) -> io::Result<Value> {
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(reply);
            }
            self.read_one()?;
        }
    }

    /// The next push; replies that come before it are kept.
    pub fn push(&mut self) -> Value {
        self.try_push()
            .unwrap_or_else(|error| self.fail("a push", &error))
    }

    /// The next push, or why there is none.
    pub fn try_push(&mut self) -> io::Result<Value> {
        loop {
            if let Some(push) = self.pushes.pop_front() {
                return Ok(push);
            }
            self.read_one()?;
        }
    }

    /// The next push that `wanted` accepts; the others are kept in their order.
    pub fn push_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(index) = self.pushes.iter().position(&wanted) {
                return self
                    .pushes
                    .remove(index)
                    .expect("the position is in the queue");
            }
            if let Err(error) = self.read_one() {
                self.fail("a push", &error);
            }
        }
    }

    /// The push that is already read, if any.
    pub fn buffered_push(&mut self) -> Option<Value> {
        self.pushes.pop_front()
    }

    /// Everything that was read and not taken.
    pub fn left_over(&self) -> impl Iterator<Item = &Value> {
        self.replies.iter().chain(&self.pushes)
    }

    /// Fails unless the server closes the connection without another value.
    pub fn expect_closed(&mut self) {
        if let Some(value) = self.left_over().next() {
            panic!("expected the connection to close, got {value}");
        }
        match resp::read_value(&mut self.reader, self.protocol) {
            Ok(value) => panic!("expected the connection to close, got {value}"),
            Err(error) if is_closed(&error) => {}
            Err(error) => self.fail("the end of the connection", &error),
        }
    }

    /// Closes the sending half: the server sees the end of the input.
    pub fn shut_down_write(&self) {
        self.writer.shutdown(Shutdown::Write).ok();
    }

    fn read_one(&mut self) -> io::Result<()> {
        let value = resp::read_value(&mut self.reader, self.protocol)?;
        if value.is_push(self.protocol) {
            self.pushes.push_back(value);
        } else {
            self.replies.push_back(value);
        }
        Ok(())
    }

    fn fail(&self, wanted: &str, error: &io::Error) -> ! {
        let kept: Vec<String> = self.left_over().take(20).map(Value::to_string).collect();
        panic!(
            "waited for {wanted}, got: {error}; last sent: {}; read and not asked for: {}",
            self.last_sent,
            kept.join(" ")
        );
    }
}

/// Whether an error means that the other side is gone.
pub fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// A command as clients send it: an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
