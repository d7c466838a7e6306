//! A server that behaves as MeiliES 0.2 does, for `migrate` to read from: a store in memory, and
//! the commands of its wire. What it gets wrong this gets wrong, too.
//!
//! It keeps no limits and trusts its clients; a request that it does not understand ends it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

/// Which server of 0.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The first ones have no ranges.
    WithoutRanges,
    /// The last one sends of `name:from` one event, and then what is new.
    WithRanges,
}

/// A running server. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct OldServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dialect: Dialect,
    store: Mutex<Store>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Store {
    streams: BTreeMap<String, Stream>,
    /// Every request, as words.
    requests: Vec<String>,
    /// Subscriptions that wait for events.
    waiting: usize,
    connections: Vec<TcpStream>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Stream {
    last: Option<u64>,
    events: BTreeMap<u64, Event>,
    /// Numbers in the order in which they were stored.
    arrivals: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Event {
    name: String,
    data: Vec<u8>,
}

impl OldServer {
    pub(crate) fn start(dialect: Dialect) -> OldServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            dialect,
            store: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_listener = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.expect("clients are accepted");
                let mut store = of_listener.lock();
                if store.is_over {
                    return;
                }
                let copy = socket.try_clone().expect("sockets can be copied");
                store.connections.push(copy);
                let shared = Arc::clone(&of_listener);
                // A client that goes away is none of its concern.
                thread::spawn(move || serve(&shared, &socket).ok());
            }
        });
        OldServer { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("meilies://{}", self.address)
    }

    /// Stores an event.
    pub(crate) fn publish(&self, stream: &str, name: &str, data: &[u8]) -> u64 {
        let number = self.lose(stream);
        self.fill(stream, number, name, data);
        number
    }

    /// Gives a number to an event that is not stored: a crash takes it, or it comes later.
    pub(crate) fn lose(&self, stream: &str) -> u64 {
        let mut store = self.shared.lock();
        let stream = store.streams.entry(stream.to_owned()).or_default();
        let number = stream.last.map_or(0, |last| last + 1);
        stream.last = Some(number);
        number
    }

    /// Stores the event that a number was given to.
    pub(crate) fn fill(&self, stream: &str, number: u64, name: &str, data: &[u8]) {
        let mut store = self.shared.lock();
        let event = Event {
            name: name.to_owned(),
            data: data.to_vec(),
        };
        let stream = store.streams.get_mut(stream).expect("it gave a number");
        stream.events.insert(number, event);
        stream.arrivals.push(number);
        self.shared.changed.notify_all();
    }

    /// Makes a stream without events.
    pub(crate) fn create(&self, stream: &str) {
        self.shared
            .lock()
            .streams
            .entry(stream.to_owned())
            .or_default();
    }

    pub(crate) fn stream_names(&self) -> Vec<String> {
        self.shared.lock().streams.keys().cloned().collect()
    }

    /// How many requests had this as a part.
    pub(crate) fn count_requests(&self, part: &str) -> usize {
        let store = self.shared.lock();
        store
            .requests
            .iter()
            .filter(|words| words.contains(part))
            .count()
    }

    /// Waits until there was a request with this in it, so many times.
    pub(crate) fn wait_for_requests(&self, part: &str, count: usize) {
        let store = self.shared.lock();
        let is_there = |store: &mut Store| {
            store
                .requests
                .iter()
                .filter(|words| words.contains(part))
                .count()
                < count
        };
        let waited =
            self.shared
                .changed
                .wait_timeout_while(store, crate::harness::DEADLINE, is_there);
        let (_store, timeout) = waited.expect("no thread has panicked");
        assert!(!timeout.timed_out(), "no {count} requests with '{part}'");
    }

    /// How many of its threads wait for events that may never come.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().waiting
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        for socket in self.shared.lock().connections.drain(..) {
            socket.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Drop for OldServer {
    fn drop(&mut self) {
        self.cut();
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
        // The listener looks when somebody comes.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no thread has panicked")
    }
}

/// One connection: commands in order; what is sent for subscriptions comes in between.
fn serve(shared: &Arc<Shared>, socket: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let writer = Arc::new(Mutex::new(socket.try_clone()?));
    let send = |bytes: &[u8]| {
        writer
            .lock()
            .expect("no thread has panicked")
            .write_all(bytes)
    };
    while let Some(words) = read_request(&mut reader)? {
        let text: Vec<String> = words
            .iter()
            .map(|word| String::from_utf8(word.clone()).expect("it wants UTF-8"))
            .collect();
        shared.lock().requests.push(text.join(" "));
        shared.changed.notify_all();
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        match text.as_slice() {
            ["stream-names", ..] => send(&stream_names(shared))?,
            ["last-event-number", stream] => send(&last_event_number(shared, stream))?,
            ["subscribe", specs @ ..] => {
                let specs: Vec<Option<Spec>> = specs.iter().map(|it| shared.spec(it)).collect();
                let Some(specs) = specs.into_iter().collect::<Option<Vec<Spec>>>() else {
                    return refuse(&send, "Invalid argument resp type");
                };
                for spec in specs {
                    let (shared, writer) = (Arc::clone(shared), Arc::clone(&writer));
                    thread::spawn(move || follow(&shared, &writer, &spec).ok());
                }
            }
            _ => return refuse(&send, "Unknown command name"),
        }
    }
    Ok(())
}

/// After an error it reads no more. Nothing else keeps the connection open here.
fn refuse(send: &impl Fn(&[u8]) -> io::Result<()>, why: &str) -> io::Result<()> {
    send(format!("-invalid request message; {why}\r\n").as_bytes())?;
    Err(io::Error::other("the request is wrong"))
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Vec<Vec<u8>>>> {
    let Some(count) = read_length(reader, '*')? else {
        return Ok(None);
    };
    let mut words = Vec::new();
    for _ in 0..count {
        let length = read_length(reader, '$')?.expect("a request is whole");
        let mut word = vec![0; length + 2];
        reader.read_exact(&mut word)?;
        word.truncate(length);
        words.push(word);
    }
    Ok(Some(words))
}

fn read_length(reader: &mut impl BufRead, kind: char) -> io::Result<Option<usize>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let digits = line
        .trim_end()
        .strip_prefix(kind)
        .expect("requests are arrays of strings");
    Ok(Some(digits.parse().expect("a length is a number")))
}

fn stream_names(shared: &Shared) -> Vec<u8> {
    let store = shared.lock();
    let names: Vec<String> = store
        .streams
        .keys()
        .map(|name| format!("+{name}\r\n"))
        .collect();
    let head = format!("*{}\r\n+stream-names\r\n", names.len() + 1);
    (head + &names.concat()).into_bytes()
}

fn last_event_number(shared: &Shared, stream: &str) -> Vec<u8> {
    let last = shared
        .lock()
        .streams
        .get(stream)
        .and_then(|stream| stream.last);
    let number = last.map_or("$-1".to_owned(), |last| format!(":{last}"));
    format!("*3\r\n+last-event-number\r\n+{stream}\r\n{number}\r\n").into_bytes()
}

#[derive(Clone, Debug)]
struct Spec {
    stream: String,
    from: Option<u64>,
    to: Option<u64>,
}

impl Shared {
    fn spec(&self, text: &str) -> Option<Spec> {
        let parts: Vec<&str> = text.split(':').collect();
        let (from, to) = match parts.as_slice() {
            [_] => (None, None),
            [_, from] => (Some(from.parse().ok()?), None),
            [_, from, to] if self.dialect == Dialect::WithRanges => {
                (Some(from.parse().ok()?), Some(to.parse().ok()?))
            }
            _ => return None,
        };
        let is_empty = matches!((from, to), (Some(from), Some(to)) if from >= to);
        (!is_empty && !parts[0].is_empty()).then(|| Spec {
            stream: parts[0].to_owned(),
            from,
            to,
        })
    }
}

/// A subscription: what is there, then what is stored from then on, in the order in which it is.
fn follow(shared: &Shared, writer: &Mutex<TcpStream>, spec: &Spec) -> io::Result<()> {
    let send = |bytes: &[u8]| {
        writer
            .lock()
            .expect("no thread has panicked")
            .write_all(bytes)
    };
    send(format!("*2\r\n+subscribed\r\n+{}\r\n", spec.stream).as_bytes())?;
    let (scanned, mut seen) = {
        let mut store = shared.lock();
        let stream = store.streams.entry(spec.stream.clone()).or_default();
        let end = match (spec.from, spec.to) {
            (None, _) => 0,
            (Some(_), Some(to)) => to,
            (Some(from), None) if shared.dialect == Dialect::WithRanges => from + 1,
            (Some(_), None) => u64::MAX,
        };
        let from = spec.from.unwrap_or(0).min(end);
        let scanned: Vec<(u64, Event)> = stream
            .events
            .range(from..end)
            .map(|(number, event)| (*number, event.clone()))
            .collect();
        (scanned, stream.arrivals.len())
    };
    let mut next = spec.from.unwrap_or(0);
    for (number, event) in scanned {
        send(&push(&spec.stream, number, &event))?;
        next = number + 1;
    }
    while spec.to.is_none_or(|to| next < to) {
        let mut store = shared.lock();
        store.waiting += 1;
        let is_idle = |store: &mut Store| {
            !store.is_over && store.streams[&spec.stream].arrivals.len() == seen
        };
        let mut store = shared.changed.wait_while(store, is_idle).expect("no panic");
        store.waiting -= 1;
        if store.is_over {
            return Ok(());
        }
        let stream = &store.streams[&spec.stream];
        let number = stream.arrivals[seen];
        let event = stream.events[&number].clone();
        drop(store);
        seen += 1;
        if spec.to.is_some_and(|to| number >= to) {
            return Ok(());
        }
        if number >= next {
            send(&push(&spec.stream, number, &event))?;
        }
    }
    Ok(())
}

fn push(stream: &str, number: u64, event: &Event) -> Vec<u8> {
    let Event { name, data } = event;
    let head = format!(
        "*5\r\n+event\r\n+{stream}\r\n:{number}\r\n+{name}\r\n${}\r\n",
        data.len()
    );
    [head.as_bytes(), data, b"\r\n"].concat()
}
