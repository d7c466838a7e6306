//! One connection: bytes out, replies and pushes in. It knows nothing of what the commands mean.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use meilies_protocol::{
    Hello, HelloAuth, Incoming, ReplyError, ReplyLimits, ReplyScanner, Request, Value, Version,
    writer,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Error;
use crate::builder::Options;
use crate::limits::{READ_BYTES, READ_BYTES_MAX, READ_BYTES_SPARE};

/// Whom the server's default user is when a password alone is given.
const USER_DEFAULT: &str = "default";

/// A connection that speaks RESP3.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    pub(crate) input: Input,
    /// The store's epoch, as HELLO told it.
    pub(crate) epoch: Option<u64>,
}

impl Connection {
    /// Connects, gives user and password if there are any, and switches to RESP3.
    pub(crate) async fn open(options: &Options) -> Result<Connection, Error> {
        let limit = options.connect_timeout;
        match timeout(limit, Connection::greet(options)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(Error::ConnectTimeout {
                address: options.address.clone(),
                limit,
            }),
        }
    }

    async fn greet(options: &Options) -> Result<Connection, Error> {
        let failed = |error| Error::Connect {
            address: options.address.clone(),
            error: Arc::new(error),
        };
        let socket = TcpStream::connect(&options.address).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        let mut connection = Connection {
            socket,
            input: Input::new(),
            epoch: None,
        };
        let mut output = BytesMut::new();
        hello(options).encode(&mut output);
        for (what, value) in [
            ("LIB-NAME", env!("CARGO_PKG_NAME")),
            ("LIB-VER", env!("CARGO_PKG_VERSION")),
        ] {
            let words = ["CLIENT", "SETINFO", what, value];
            writer::command(&mut output, &words.map(str::as_bytes));
        }
        let lost = |error| lost(options, error);
        // What the server says before it closes tells more than that it does.
        let sent = connection.socket.write_all(&output).await;
        let greeting = match connection.reply(options).await {
            Err(error) => return Err(sent.err().map_or(error, lost)),
            Ok(reply) => reply,
        };
        let Value::Map(fields) = greeting else {
            return Err(Error::from_reply(&greeting));
        };
        connection.epoch = fields
            .iter()
            .find(|(name, _)| name.as_bytes() == Some(b"epoch"))
            .and_then(|(_, epoch)| epoch.as_u64());
        // A server that does not want to know the library is as good.
        for _ in 0..2 {
            connection.reply(options).await?;
        }
        Ok(connection)
    }

    /// Waits for the next reply; pushes before it are dropped.
    async fn reply(&mut self, options: &Options) -> Result<Value, Error> {
        loop {
            match self.next(options).await? {
                Incoming::Value(Value::Push(_)) | Incoming::Push(_) => {}
                Incoming::Value(reply) => return Ok(reply),
            }
        }
    }

    /// Waits for the next reply or push. May be dropped: nothing is lost.
    pub(crate) async fn next(&mut self, options: &Options) -> Result<Incoming, Error> {
        loop {
            if let Some(incoming) = self.input.next()? {
                return Ok(incoming);
            }
            let read = self.input.read(&mut self.socket, options.prefetch_bytes);
            if read.await.map_err(|error| lost(options, error))? == 0 {
                return Err(closed(options));
            }
        }
    }
}

/// What was read and not taken apart.
#[derive(Debug)]
pub(crate) struct Input {
    scanner: ReplyScanner,
    buffer: BytesMut,
}

impl Input {
    fn new() -> Input {
        Input {
            scanner: ReplyScanner::new(ReplyLimits::default()),
            buffer: BytesMut::new(),
        }
    }

    /// The next reply or push among the bytes that are read already.
    pub(crate) fn next(&mut self) -> Result<Option<Incoming>, ReplyError> {
        self.scanner.next_incoming(&mut self.buffer)
    }

    /// As [`Input::next`], without telling pushes from other values than by their type.
    pub(crate) fn next_value(&mut self) -> Result<Option<Value>, ReplyError> {
        self.scanner.next(&mut self.buffer)
    }

    /// Reads what is there, up to `ahead` bytes or what the reply that has begun needs. Gives 0 at
    /// the end.
    pub(crate) async fn read(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        ahead: usize,
    ) -> io::Result<usize> {
        let room = self.make_room(ahead);
        socket.read_buf(&mut (&mut self.buffer).limit(room)).await
    }

    /// As [`Input::read`], for those who poll.
    pub(crate) fn poll_read(
        &mut self,
        waking: &mut Context<'_>,
        socket: &mut TcpStream,
        ahead: usize,
    ) -> Poll<io::Result<usize>> {
        let room = self.make_room(ahead);
        let mut target = (&mut self.buffer).limit(room);
        // The future keeps nothing between two polls, so a new one each time is as good.
        let read = std::pin::pin!(socket.read_buf(&mut target));
        read.poll(waking)
    }

    fn make_room(&mut self, ahead: usize) -> usize {
        // The server has chosen the number: no more is made room for at once than a bound.
        let needed = self.scanner.needed().min(READ_BYTES_MAX);
        let room = needed.max(ahead);
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * room.max(READ_BYTES) {
            // It held something large.
            self.buffer = BytesMut::new();
        }
        // Events that are kept keep their buffer: no new one is begun for each of them.
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare < needed.max(ahead.min(READ_BYTES_SPARE)) {
            self.buffer.reserve(room);
        }
        room
    }
}

fn hello(options: &Options) -> Request {
    let auth = (options.user.is_some() || options.password.is_some()).then(|| HelloAuth {
        user: Bytes::from(options.user.clone().unwrap_or(USER_DEFAULT.to_owned())),
        password: Bytes::from(options.password.clone().map_or(Vec::new(), |it| it.0)),
    });
    Request::Hello(Hello {
        version: Some(Version::Resp3),
        auth,
        name: options.name.clone().map(Bytes::from),
    })
}

/// The error of a connection that broke.
pub(crate) fn lost(options: &Options, error: io::Error) -> Error {
    Error::Lost {
        address: options.address.clone(),
        error: Arc::new(error),
    }
}

/// The error of a connection that ended.
pub(crate) fn closed(options: &Options) -> Error {
    Error::Closed {
        address: options.address.clone(),
    }
}
