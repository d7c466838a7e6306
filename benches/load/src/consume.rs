//! Consumers of one group: each reads a batch, checks it and acknowledges it. An event comes to one
//! of them and no more than once.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{Value, writer};

use crate::connection::Replies;
use crate::{LoadError, event, tell};

/// How consumers go about it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The group, which is there
    #[arg(long)]
    group: String,
    /// How many consumers
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    consumers: u16,
    /// Events that each asks for at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// How many events there are to get; only these have to come
    #[arg(long)]
    events: u64,
    /// Asks for the next batch in the same write that acknowledges one
    #[arg(long)]
    together: bool,
    /// Leaves all of it pending
    #[arg(long)]
    no_ack: bool,
}

/// Consumes until nothing is left, and tells `events` and `seconds`.
pub(crate) fn run(
    address: &str,
    stream: &str,
    data_bytes: usize,
    options: &Options,
) -> Result<(), LoadError> {
    let begin = Barrier::new(usize::from(options.consumers) + 1);
    let (started, outcomes) = thread::scope(|scope| {
        let consumers: Vec<_> = (0..options.consumers)
            .map(|index| {
                let begin = &begin;
                scope.spawn(move || {
                    let consumer = Consumer::connect(address, stream, data_bytes, options, index);
                    begin.wait();
                    consumer?.run()
                })
            })
            .collect();
        begin.wait();
        let started = Instant::now();
        let outcomes: Vec<_> = consumers.into_iter().map(|one| one.join()).collect();
        (started, outcomes)
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut numbers = Vec::new();
    for outcome in outcomes {
        numbers.append(&mut outcome.map_err(|_| LoadError::Consumer)??);
    }
    numbers.sort_unstable();
    if let Some(pair) = numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(LoadError::Twice(pair[0]));
    }
    if numbers.len() as u64 != options.events {
        return Err(LoadError::Missing {
            expected: options.events,
            got: numbers.len(),
        });
    }
    tell("events", numbers.len())?;
    tell("seconds", seconds)?;
    Ok(())
}

struct Consumer<'a> {
    socket: TcpStream,
    replies: Replies,
    stream: &'a str,
    group: &'a str,
    read: BytesMut,
    data_bytes: usize,
    together: bool,
    acknowledges: bool,
}

impl Consumer<'_> {
    fn connect<'a>(
        address: &str,
        stream: &'a str,
        data_bytes: usize,
        options: &'a Options,
        index: u16,
    ) -> Result<Consumer<'a>, LoadError> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let (name, count) = (format!("consumer{index}"), options.count.to_string());
        let mut read = BytesMut::new();
        let words: [&[u8]; 9] = [
            b"XREADGROUP",
            b"GROUP",
            options.group.as_bytes(),
            name.as_bytes(),
            b"COUNT",
            count.as_bytes(),
            b"STREAMS",
            stream.as_bytes(),
            b">",
        ];
        writer::command(&mut read, &words);
        Ok(Consumer {
            replies: Replies::new(socket.try_clone()?),
            socket,
            stream,
            group: &options.group,
            read,
            data_bytes,
            together: options.together,
            acknowledges: !options.no_ack,
        })
    }

    /// The numbers of all events that it gets.
    fn run(mut self) -> Result<Vec<u64>, LoadError> {
        let mut numbers = Vec::new();
        self.socket.write_all(&self.read)?;
        loop {
            let ids = self.take(&mut numbers)?;
            if ids.is_empty() {
                return Ok(numbers);
            }
            let mut out = BytesMut::new();
            if self.acknowledges {
                self.write_acknowledgement(&mut out, &ids);
            }
            if self.together || !self.acknowledges {
                out.extend_from_slice(&self.read);
            }
            self.socket.write_all(&out)?;
            if self.acknowledges {
                self.take_acknowledged(ids.len())?;
                if !self.together {
                    self.socket.write_all(&self.read)?;
                }
            }
        }
    }

    /// Takes a batch: the ids, and no ids where nothing is left.
    fn take(&mut self, numbers: &mut Vec<u64>) -> Result<Vec<Bytes>, LoadError> {
        let reply = self.replies.next()?;
        if reply == Value::Nil {
            return Ok(Vec::new());
        }
        let entries = entries(&reply).ok_or_else(|| unexpected(&reply))?;
        let mut ids = Vec::with_capacity(entries.len());
        for entry in entries {
            let (id, data) = id_and_data(entry).ok_or_else(|| unexpected(entry))?;
            let number = event::number(data, self.data_bytes).ok_or_else(|| unexpected(entry))?;
            numbers.push(number);
            ids.push(id.clone());
        }
        Ok(ids)
    }

    fn write_acknowledgement(&self, out: &mut BytesMut, ids: &[Bytes]) {
        let mut words: Vec<&[u8]> = vec![b"XACK", self.stream.as_bytes(), self.group.as_bytes()];
        words.extend(ids.iter().map(|id| &id[..]));
        writer::command(out, &words);
    }

    fn take_acknowledged(&mut self, count: usize) -> Result<(), LoadError> {
        let reply = self.replies.next()?;
        match reply.as_u64() == Some(count as u64) {
            true => Ok(()),
            false => Err(unexpected(&reply)),
        }
    }
}

/// The entries of the one stream that is read.
fn entries(reply: &Value) -> Option<&[Value]> {
    let [stream] = array(reply)? else {
        return None;
    };
    array(array(stream)?.get(1)?)
}

fn id_and_data(entry: &Value) -> Option<(&Bytes, &[u8])> {
    let [Value::Bulk(id), fields] = array(entry)? else {
        return None;
    };
    let [name, data] = array(fields)? else {
        return None;
    };
    (name.as_bytes() == Some(event::NAME)).then_some((id, data.as_bytes()?))
}

fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn unexpected(value: &Value) -> LoadError {
    LoadError::Unexpected(format!("{value:?}"))
}
