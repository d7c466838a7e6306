//! The connection that all commands of a client share: requests go in, replies come out, many at a
//! time. A task of its own, the [`driver`], carries the bytes and connects again when need be.

mod driver;
mod pipe;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{Request, Value};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use self::driver::Driver;
pub(crate) use self::pipe::Outcome;
use self::pipe::{Pipe, State, Waiting};
use crate::Error;
use crate::builder::Options;
use crate::connection::Connection;
use crate::limits::IN_FLIGHT_BYTES_A_REQUEST;

/// What callers and the driver share.
#[derive(Debug)]
struct Shared {
    options: Arc<Options>,
    pipe: Mutex<Pipe>,
    /// The driver sleeps on it when there is nothing to send.
    wake: Notify,
    /// Bytes that may still be in flight.
    room: Semaphore,
    /// Whoever has it is the next to send, so that nobody overtakes one who waits for room.
    turn: tokio::sync::Mutex<()>,
    /// Becomes true when the driver has ended.
    over: watch::Sender<bool>,
}

/// The handle of the callers. The connection ends with it.
#[derive(Debug)]
pub(crate) struct Commands {
    shared: Arc<Shared>,
    driver: JoinHandle<()>,
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Commands {
    /// Takes over a connection. Must be called within a tokio runtime.
    pub(crate) fn new(options: Arc<Options>, connection: Connection) -> Commands {
        let room = options.in_flight_bytes_max.min(Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            options,
            pipe: Mutex::default(),
            wake: Notify::new(),
            room: Semaphore::new(room),
            turn: tokio::sync::Mutex::new(()),
            over: watch::Sender::new(false),
        });
        let driver = Driver::new(Arc::clone(&shared)).run(connection);
        Commands {
            shared,
            driver: tokio::spawn(driver),
        }
    }

    /// How long a request may wait.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.options.request_timeout
    }

    /// Asks for something that may be asked twice: it is sent again if the connection is lost.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Value, Error> {
        let mut encoded = BytesMut::new();
        request.encode(&mut encoded);
        let encoded = encoded.freeze();
        let again = Some(encoded.clone());
        let put = |out: &mut BytesMut| out.extend_from_slice(&encoded);
        match self.send(encoded.len(), again, put).await {
            Outcome::Replied(value @ Value::Error(_)) => Err(Error::from_reply(&value)),
            Outcome::Replied(value) => Ok(value),
            Outcome::NotSent(error) | Outcome::MaybeSent(error) => Err(error),
        }
    }

    /// Sends one command that must not be sent twice. `encode` appends about `bytes` bytes.
    pub(crate) async fn tell(&self, bytes: usize, encode: impl FnOnce(&mut BytesMut)) -> Outcome {
        self.send(bytes, None, encode).await
    }

    async fn send(
        &self,
        bytes: usize,
        again: Option<Bytes>,
        encode: impl FnOnce(&mut BytesMut),
    ) -> Outcome {
        let (sender, receiver) = oneshot::channel();
        match self.enqueue(bytes, again, Some(sender), encode).await {
            Err(error) => Outcome::NotSent(error),
            // The driver answers everybody before it ends.
            Ok(()) => receiver
                .await
                .unwrap_or(Outcome::MaybeSent(Error::ClientClosed)),
        }
    }

    /// Waits for its turn and for room, then hands the request over.
    async fn enqueue(
        &self,
        bytes: usize,
        again: Option<Bytes>,
        waiting: Waiting,
        encode: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Error> {
        let shared = &*self.shared;
        let cost = (bytes + IN_FLIGHT_BYTES_A_REQUEST).min(shared.options.in_flight_bytes_max);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let turn = match shared.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => self.in_time(shared.turn.lock()).await?,
        };
        if let Ok(room) = shared.room.try_acquire_many(cost) {
            room.forget();
        } else {
            match self.in_time(shared.room.acquire_many(cost)).await? {
                Ok(room) => room.forget(),
                Err(_closed) => return Err(self.why_closed()),
            }
        }
        let wake = {
            let mut pipe = shared.lock();
            if !matches!(pipe.state(), State::Open) {
                drop(pipe);
                shared.room.add_permits(cost as usize);
                return Err(self.why_closed());
            }
            pipe.enqueue(cost as usize, again, waiting, encode)
        };
        drop(turn);
        if wake {
            shared.wake.notify_one();
        }
        Ok(())
    }

    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        let limit = self.shared.options.request_timeout;
        let waited = timeout_at(Instant::now() + limit, future).await;
        waited.map_err(|_elapsed| self.shared.timed_out())
    }

    fn why_closed(&self) -> Error {
        self.check_open().err().unwrap_or(Error::ClientClosed)
    }

    /// Whether requests are taken.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        match self.shared.lock().state() {
            State::Open => Ok(()),
            State::Closing => Err(Error::ClientClosed),
            State::Over(error) => Err(error.clone()),
        }
    }

    /// Takes no more requests and waits until those that were made have ended.
    pub(crate) async fn close(&self) {
        self.shared.lock().close();
        self.shared.wake.notify_one();
        let mut over = self.shared.over.subscribe();
        // The sender lives as long as the handle.
        let _ended = over.wait_for(|over| *over).await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timed_out(&self) -> Error {
        Error::RequestTimeout {
            address: self.options.address.clone(),
            limit: self.options.request_timeout,
        }
    }
}
