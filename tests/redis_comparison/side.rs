//! One of the two servers that are compared, its connections, and its replies in the form in which
//! they are compared.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::Instant;

use meilies_tests::client::{DEADLINE, encode};
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::redis_process::RedisProcess;
use meilies_tests::{Client, Protocol, Value};

use super::counters::{self, Behind, Stream};
use super::operation::{CONNECTIONS, Command, begins};
use super::reading::{Reading, compared};

const PROTOCOLS: [Protocol; CONNECTIONS] = [Protocol::Resp2, Protocol::Resp3];

/// What a list of commands gave.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    /// One of each command.
    pub(crate) readings: Vec<Reading>,
    /// Keys and groups whose counters this server keeps in the way of 7.0 from here on.
    pub(crate) behind: Vec<Behind>,
}

enum Backend {
    Redis(RedisProcess),
    Product(Option<ServerProcess>),
}

/// A server and its connections.
pub(crate) struct Side {
    backend: Backend,
    clients: Vec<Client>,
    waiters: Vec<Client>,
    waiter_ids: Vec<String>,
}

/// A command that was sent, or one that only asks for what later versions would say.
struct Sent<'a> {
    command: &'a Command,
    is_probe: bool,
}

impl Side {
    /// A fresh redis-server.
    pub(crate) fn redis() -> Self {
        Self::new(Backend::Redis(RedisProcess::start(&[])))
    }

    /// A fresh MeiliES. Every reply is awaited before the next batch: without syncs that is fast,
    /// and what a kill must not lose under this policy is everything that was replied.
    pub(crate) fn product() -> Self {
        let server = ServerProcess::start(&Settings::flags(["--fsync", "no"]));
        Self::new(Backend::Product(Some(server)))
    }

    fn new(backend: Backend) -> Self {
        let mut side = Self {
            backend,
            clients: Vec::new(),
            waiters: Vec::new(),
            waiter_ids: Vec::new(),
        };
        side.connect();
        side
    }

    fn address(&self) -> SocketAddr {
        match &self.backend {
            Backend::Redis(redis) => redis.address(),
            Backend::Product(server) => server.as_ref().expect("the server runs").address(),
        }
    }

    /// A connection of its own.
    pub(crate) fn stranger(&self) -> Client {
        Client::connect(self.address(), Protocol::Resp2)
    }

    /// Leaves the connections and opens new ones.
    pub(crate) fn connect(&mut self) {
        let address = self.address();
        let open = || PROTOCOLS.map(|protocol| Client::connect(address, protocol));
        self.clients = open().into();
        self.waiters = open().into();
        let ids = self.waiters.iter_mut().map(|waiter| {
            let id = waiter.call("CLIENT ID");
            id.integer().to_string()
        });
        self.waiter_ids = ids.collect();
    }

    /// Stops MeiliES, or kills it, and starts it again; Redis stays, for it keeps nothing.
    pub(crate) fn restart(&mut self, kill: bool) {
        let Backend::Product(server) = &mut self.backend else {
            return;
        };
        self.clients.clear();
        self.waiters.clear();
        let restart = match kill {
            true => ServerProcess::kill_and_restart,
            false => ServerProcess::restart,
        };
        *server = server.take().map(restart);
        self.connect();
    }

    /// Sends commands in one write.
    pub(crate) fn send(&mut self, connection: usize, commands: &[Command]) {
        let mut bytes = Vec::new();
        for command in commands {
            for probe in self.probes(command) {
                bytes.extend(encode(&probe));
            }
            bytes.extend(encode(command));
        }
        self.clients[connection].send(&bytes);
    }

    /// Reads what the commands that were sent last gave.
    pub(crate) fn read(&mut self, connection: usize, commands: &[Command]) -> io::Result<Readings> {
        let mut readings = Readings::default();
        let mut streams = Vec::new();
        let mut queue = None;
        for command in commands {
            let probes = self.probes(command);
            let mut sent = Vec::new();
            sent.extend(probes.iter().map(|command| Sent {
                command,
                is_probe: true,
            }));
            sent.push(Sent {
                command,
                is_probe: false,
            });
            for sent in sent {
                let reply = self.clients[connection].try_reply()?;
                let reading = self.one(&sent, reply, &mut streams, &mut queue, &mut readings);
                readings.readings.extend(reading);
            }
        }
        if let (Some(command), Some(last)) = (commands.last(), readings.readings.last())
            && !matches!(last.value, Value::Error(_))
        {
            self.make_consumers(connection, command)?;
        }
        Ok(readings)
    }

    /// Since 7.2 whoever tries to read or claim is a consumer from then on; in 7.0 only who gets
    /// something. The consumers that later versions have by now are made by hand.
    fn make_consumers(&mut self, connection: usize, command: &Command) -> io::Result<()> {
        if !self.is_redis() {
            return Ok(());
        }
        for make in counters::consumers(command) {
            let client = &mut self.clients[connection];
            client.send(&encode(&make));
            client.try_reply()?;
        }
        Ok(())
    }

    /// One reply; none of a probe.
    fn one(
        &self,
        sent: &Sent<'_>,
        reply: Value,
        streams: &mut Vec<Stream>,
        queue: &mut Option<Vec<(Command, bool)>>,
        readings: &mut Readings,
    ) -> Option<Reading> {
        let Sent { command, is_probe } = *sent;
        if let Some(queued) = queue {
            if reply == Value::Simple(b"QUEUED".to_vec()) {
                queued.push((command.clone(), is_probe));
            } else if begins(command, &["EXEC"]) || begins(command, &["DISCARD"]) {
                let queued = mem::take(queue).expect("just seen");
                return Some(self.transaction(&queued, reply, readings));
            }
            return (!is_probe).then(|| Reading::plain(reply));
        }
        if is_probe {
            streams.extend(Stream::parse(&command[2], &reply));
            return None;
        }
        if begins(command, &["MULTI"]) && !matches!(reply, Value::Error(_)) {
            *queue = Some(Vec::new());
        }
        let behind = counters::groups_behind(command, streams);
        readings.behind.extend(behind);
        let streams = mem::take(streams);
        Some(self.compared(command, &streams, reply))
    }

    /// The reply to `EXEC`: that of each command is treated as if it stood alone.
    fn transaction(
        &self,
        queued: &[(Command, bool)],
        reply: Value,
        readings: &mut Readings,
    ) -> Reading {
        let Value::Array(replies) = reply else {
            return Reading::plain(reply);
        };
        let (mut values, mut times, mut streams) = (Vec::new(), Vec::new(), Vec::new());
        for (reply, (command, is_probe)) in replies.into_iter().zip(queued) {
            if *is_probe {
                streams.extend(Stream::parse(&command[2], &reply));
                continue;
            }
            let behind = counters::groups_behind(command, &streams);
            readings.behind.extend(behind);
            let reading = self.compared(command, &mem::take(&mut streams), reply);
            values.push(reading.value);
            times.extend(reading.times);
        }
        Reading {
            value: Value::Array(values),
            times,
        }
    }

    fn compared(&self, command: &Command, streams: &[Stream], value: Value) -> Reading {
        compared(command, streams, value, self.is_redis())
    }

    /// How the connection says that a reader got nothing.
    pub(crate) fn nothing(&self, connection: usize) -> Value {
        match self.waiters[connection].protocol() {
            Protocol::Resp2 => Value::NilArray,
            Protocol::Resp3 => Value::Nil,
        }
    }

    fn probes(&self, command: &Command) -> Vec<Command> {
        match self.is_redis() {
            true => counters::probes(command),
            false => Vec::new(),
        }
    }

    pub(crate) fn is_redis(&self) -> bool {
        matches!(self.backend, Backend::Redis(_))
    }

    /// Lets a waiter send a command, and returns once it waits.
    pub(crate) fn wait(&mut self, connection: usize, command: &Command) -> io::Result<()> {
        self.waiters[connection].send(&encode(command));
        let begun = Instant::now();
        loop {
            let info = self.clients[connection].command(&["INFO", "clients"]);
            let info = String::from_utf8_lossy(info.bytes()).into_owned();
            if info.contains("blocked_clients:1\r\n") {
                return Ok(());
            }
            if begun.elapsed() > DEADLINE {
                let text = format!("nobody waits, INFO clients says:\n{info}");
                return Err(io::Error::other(text));
            }
        }
    }

    /// Sends a waiter away, as if its time were over or with an error: 1 if it still waited.
    pub(crate) fn unblock(&mut self, connection: usize, reason: &str) -> io::Result<Value> {
        let waiter = self.waiter_ids[connection].clone();
        let command = ["CLIENT", "UNBLOCK", &waiter, reason];
        self.clients[connection].send(&encode(&command));
        self.clients[connection].try_reply()
    }

    /// The reply that a waiter got. Its consumer was made when it tried to read before: it may be
    /// deleted by now.
    pub(crate) fn waited(&mut self, connection: usize, command: &Command) -> io::Result<Reading> {
        let reply = self.waiters[connection].try_reply()?;
        Ok(self.compared(command, &[], reply))
    }
}
