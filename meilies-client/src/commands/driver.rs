//! The task behind the handle: writes what was enqueued, reads replies, and connects again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meilies_protocol::{Incoming, Request, Value};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::pipe::{Answered, Chunk, State};
use crate::Error;
use crate::connection::{Connection, Input, closed, lost};
use crate::lifecycle::{Change, ConnectionKind};
use crate::limits::{READ_BYTES, REPLIES_A_TURN_MAX};
use crate::reconnect::{Attempts, is_final};

/// See the module. However it ends, nobody is left waiting.
#[derive(Debug)]
pub(super) struct Driver {
    shared: Arc<Shared>,
    chunk: Chunk,
    /// What those are told who still wait at the end.
    end: Error,
}

/// How a connection ended.
enum End {
    /// The client was closed and everything is answered.
    Finished,
    Lost(Error),
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.lock().end(self.chunk.sent(), &self.end);
        self.shared.room.close();
        self.shared.over.send_replace(true);
    }
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Driver {
        Driver {
            shared,
            chunk: Chunk::default(),
            end: Error::ClientClosed,
        }
    }

    /// Carries requests until the client is closed or connecting again has failed for good.
    pub(super) async fn run(mut self, mut connection: Connection) {
        loop {
            let error = match self.carry(connection).await {
                End::Finished => return,
                End::Lost(error) => error,
            };
            let reason = error.to_string();
            self.tell(Change::Lost { reason });
            let cost = self.shared.lock().lose(&mut self.chunk, &error);
            self.shared.room.add_permits(cost);
            match self.reconnect(error).await {
                Ok(Some(new)) => connection = new,
                Ok(None) => return,
                Err(error) => {
                    self.end = error;
                    return;
                }
            }
        }
    }

    fn tell(&self, change: Change) {
        let listener = &self.shared.options.listener;
        listener.tell(ConnectionKind::Commands, change);
    }

    async fn carry(&mut self, connection: Connection) -> End {
        let Connection {
            mut socket,
            mut input,
            ..
        } = connection;
        let (mut reader, mut writer) = socket.split();
        let heard = Heard::new();
        tokio::select! {
            end = write(&self.shared, &mut self.chunk, &mut writer) => end,
            end = read(&self.shared, &mut input, &mut reader, &heard) => end,
            error = watch(&self.shared, &heard) => End::Lost(error),
        }
    }

    /// Gives nothing when the client was closed and nobody waits any more.
    async fn reconnect(&self, mut error: Error) -> Result<Option<Connection>, Error> {
        let options = &self.shared.options;
        let mut attempts = Attempts::new(options.reconnect);
        loop {
            let Some(delay) = attempts.next(ConnectionKind::Commands, &options.listener) else {
                return Err(error);
            };
            let attempt = async {
                sleep(delay).await;
                Connection::open(options).await
            };
            let opened = tokio::select! {
                opened = attempt => opened,
                () = self.expire(&error) => return Ok(None),
            };
            match opened {
                Ok(connection) => {
                    self.tell(Change::Connected);
                    return Ok(Some(connection));
                }
                Err(new) if is_final(&new) => return Err(new),
                Err(new) => error = new,
            }
        }
    }

    /// Ends the requests that have waited too long without a connection. Returns when the client is
    /// closed and there are none.
    async fn expire(&self, error: &Error) {
        let limit = self.shared.options.request_timeout;
        loop {
            let oldest = {
                let mut pipe = self.shared.lock();
                if let Some(made) = Instant::now().checked_sub(limit) {
                    let cost = pipe.expire(made, error);
                    self.shared.room.add_permits(cost);
                }
                if matches!(pipe.state(), State::Closing) && pipe.is_idle() {
                    return;
                }
                pipe.oldest()
            };
            // A request that is made from now on waits longer than this.
            let next = oldest.unwrap_or_else(Instant::now) + limit;
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.shared.wake.notified() => {}
            }
        }
    }
}

async fn write(shared: &Shared, chunk: &mut Chunk, writer: &mut WriteHalf<'_>) -> End {
    loop {
        let (is_any, is_finished) = {
            let mut pipe = shared.lock();
            let is_any = pipe.take(chunk);
            let closing = matches!(pipe.state(), State::Closing);
            (is_any, closing && pipe.is_idle())
        };
        if is_finished {
            // The server sees the end of the connection either way.
            writer.shutdown().await.ok();
            return End::Finished;
        }
        if !is_any {
            shared.wake.notified().await;
        }
        while !chunk.rest().is_empty() {
            match writer.write(chunk.rest()).await {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return End::Lost(lost(&shared.options, error));
                }
                Ok(written) => chunk.written += written,
                Err(error) => return End::Lost(lost(&shared.options, error)),
            }
        }
    }
}

async fn read(shared: &Shared, input: &mut Input, reader: &mut ReadHalf<'_>, heard: &Heard) -> End {
    let mut replies = Vec::new();
    let mut answered = Answered::default();
    loop {
        let more = take_apart(input, &mut replies);
        let is_full = matches!(more, Ok(true));
        if !replies.is_empty()
            && let Some(value) = answer(shared, &mut replies, &mut answered)
        {
            return End::Lost(Error::from_reply(&value));
        }
        if let Err(error) = more {
            return End::Lost(error);
        }
        if is_full {
            continue;
        }
        match input.read(reader, READ_BYTES).await {
            Ok(0) => return End::Lost(closed(&shared.options)),
            Ok(_) => heard.now(),
            Err(error) => return End::Lost(lost(&shared.options, error)),
        }
    }
}

/// Takes replies apart, up to a bound. Says whether there may be more.
fn take_apart(input: &mut Input, replies: &mut Vec<Value>) -> Result<bool, Error> {
    while replies.len() < REPLIES_A_TURN_MAX {
        match input.next()? {
            None => return Ok(false),
            // Nothing was subscribed to here: what is sent unasked is for nobody.
            Some(Incoming::Push(_) | Incoming::Value(Value::Push(_))) => {}
            Some(Incoming::Value(value)) => replies.push(value),
        }
    }
    Ok(true)
}

/// Hands replies to those who wait. Returns the first that nobody has asked for.
fn answer(shared: &Shared, replies: &mut Vec<Value>, answered: &mut Answered) -> Option<Value> {
    let (unasked, is_finished) = {
        let mut pipe = shared.lock();
        let unasked = pipe.answer(replies, answered);
        let closing = matches!(pipe.state(), State::Closing);
        (unasked, closing && pipe.is_idle())
    };
    answered.send();
    shared.room.add_permits(std::mem::take(&mut answered.cost));
    if is_finished {
        shared.wake.notify_one();
    }
    unasked
}

/// When something last came from the server.
#[derive(Debug)]
struct Heard {
    begin: Instant,
    last_ms: AtomicU64,
}

impl Heard {
    fn new() -> Heard {
        Heard {
            begin: Instant::now(),
            last_ms: AtomicU64::new(0),
        }
    }

    fn now(&self) {
        let ms = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.begin + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}

/// Ends when a request has waited too long while nothing came, and asks a server that is silent
/// whether it is there.
async fn watch(shared: &Shared, heard: &Heard) -> Error {
    let (limit, interval) = (shared.options.request_timeout, shared.options.ping_interval);
    loop {
        let now = Instant::now();
        let oldest = shared.lock().oldest();
        let next = match oldest {
            Some(oldest) => oldest.max(heard.last()) + limit,
            None => heard.last() + interval,
        };
        if next > now {
            // Meanwhile a request may be made, and the server may answer and fall silent again.
            sleep_until(next.min(now + limit.min(interval))).await;
        } else if oldest.is_some() {
            return shared.timed_out();
        } else {
            let ping = Request::Ping { message: None };
            shared.lock().enqueue(0, None, None, |out| ping.encode(out));
            shared.wake.notify_one();
        }
    }
}
