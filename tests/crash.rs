//! Goal: kill -9 at any moment under load loses no acknowledged event, repeats none and leaves no
//! gap; what was published together is there together; and what a follower saw is what is there.
//!
//! Method: in each round publishers and followers run against a child process, which is killed once
//! a random number of events was acknowledged, and started again on the same directory. Then every
//! event is read back and compared with what was acknowledged and seen. `tests/crash-rounds 200`
//! runs 200 rounds; `SEED=42` replays the same choices. The module below does so for consumer
//! groups.

mod crash {
    mod groups;
}

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Sender};
use std::thread;

use meilies_tests::client::{Client, encode};
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::resp::{Protocol, Value};
use meilies_tests::seed::{number_from_environment, seed};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const ROUNDS_DEFAULT: u64 = 15;
const PUBLISHERS: usize = 4;
const PIPELINE_MAX: usize = 64;
const ACKNOWLEDGED_PER_ROUND_MAX: u64 = 3000;
const STREAMS: [&str; 2] = ["orders", "orders:42"];
const SOURCES: [&str; 3] = ["orders", "orders:42", "$all"];

#[test]
fn acknowledged_events_survive_kill_9_under_load() {
    let seed = seed();
    let rounds = number_from_environment("ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    println!("replay with: SEED={seed} ROUNDS={rounds} cargo test -p meilies-tests --test crash");
    println!("{}", run_rounds(seed, rounds, &Settings::default()));
}

#[test]
fn kill_9_loses_nothing_under_the_weaker_policies_either() {
    let seed = seed();
    println!("replay with: SEED={seed} cargo test -p meilies-tests --test crash");
    for policy in ["everysec", "no"] {
        let settings = Settings::flags(["--fsync", policy]);
        println!("{}", run_rounds(seed, ROUNDS_DEFAULT / 3, &settings));
    }
}

#[test]
fn transactions_are_whole_after_kill_9_under_load() {
    const ROUNDS: u64 = 6;
    let seed = seed();
    println!("replay with: SEED={seed} cargo test -p meilies-tests --test crash");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = ServerProcess::start(&Settings::default());
    let mut writers: Vec<Transactions> = (0..PUBLISHERS).map(Transactions::new).collect();
    for _ in 0..ROUNDS {
        let address = server.address();
        let (progress, reports) = mpsc::channel();
        let target = random.random_range(1..300);
        // All are connected before the first writes: the kill may come soon after.
        let clients: Vec<Client> = writers
            .iter()
            .map(|_| Client::connect_plain(address))
            .collect();
        server = thread::scope(|scope| {
            for (writer, client) in writers.iter_mut().zip(clients) {
                let (random, progress) = (StdRng::seed_from_u64(random.random()), progress.clone());
                scope.spawn(move || writer.run(client, random, &progress));
            }
            drop(progress);
            for _ in 0..target {
                reports.recv().expect("writers go on until the kill");
            }
            server.kill_and_restart()
        });
        let mut client = server.client();
        for writer in &mut writers {
            writer.check(&mut client);
        }
    }
}

/// One writer's transactions over three streams: each adds to two, deletes from one, and every
/// tenth gives one the name of another.
struct Transactions {
    name: String,
    /// So many are known to be there.
    stored: u64,
    /// So many more were acknowledged, and so many more sent.
    acknowledged: u64,
    sent: u64,
}

impl Transactions {
    fn new(writer: usize) -> Self {
        Self {
            name: format!("writer{writer}"),
            stored: 0,
            acknowledged: 0,
            sent: 0,
        }
    }

    /// The commands of the transaction with this number, and how many replies come before EXEC's.
    fn commands(&self, number: u64) -> (Vec<u8>, usize) {
        let [left, right, old] = self.keys();
        let (before, id) = (format!("{number}-1"), format!("{}-1", number + 1));
        let mut commands = vec![
            encode(&["MULTI"]),
            encode(&["XADD", &left, &id, "happened", &id]),
            encode(&["XADD", &right, &id, "happened", &id]),
            encode(&["XDEL", &left, &before]),
        ];
        if number % 10 == 9 {
            commands.push(encode(&["RENAME", &right, &old]));
        }
        let replies = commands.len();
        commands.push(encode(&["EXEC"]));
        (commands.concat(), replies)
    }

    fn keys(&self) -> [String; 3] {
        ["left", "right", "old"].map(|key| format!("{}-{key}", self.name))
    }

    /// Runs transactions in pipelines until the connection ends.
    fn run(&mut self, mut client: Client, mut random: StdRng, progress: &Sender<u64>) {
        loop {
            let depth = random.random_range(1..20);
            let first = self.stored + self.sent;
            let sent: Vec<(Vec<u8>, usize)> = (first..first + depth)
                .map(|number| self.commands(number))
                .collect();
            self.sent += depth;
            let commands = sent.iter().map(|(commands, _)| &commands[..]);
            client.send(&commands.collect::<Vec<_>>().concat());
            for (_, replies) in sent {
                for _ in 0..replies {
                    if client.try_reply().is_err() {
                        return;
                    }
                }
                let Ok(reply) = client.try_reply() else {
                    return;
                };
                assert_eq!(reply.items().len(), replies - 1, "{reply}");
                self.acknowledged += 1;
                progress.send(1).ok();
            }
        }
    }

    /// What was acknowledged is there, and of no transaction only a part.
    fn check(&mut self, client: &mut Client) {
        let [left, right, old] = self.keys().map(|key| ids(client, &key));
        let stored = left.last().copied().unwrap_or(0);
        let least = self.stored + self.acknowledged;
        let most = self.stored + self.sent;
        assert!(
            (least..=most).contains(&stored),
            "{stored} are stored, expected {least} to {most}"
        );
        let renamed = stored / 10 * 10;
        assert_eq!(left, (stored.max(1)..=stored).collect::<Vec<u64>>());
        assert_eq!(right, (renamed + 1..=stored).collect::<Vec<u64>>());
        let first = renamed.saturating_sub(9).max(1);
        assert_eq!(old, (first..=renamed).collect::<Vec<u64>>());
        (self.stored, self.acknowledged, self.sent) = (stored, 0, 0);
    }
}

/// The ids of a stream's events; their milliseconds.
fn ids(client: &mut Client, key: &str) -> Vec<u64> {
    let reply = client.command(&["XRANGE", key, "-", "+"]);
    let ms = |entry: &Value| {
        let id = entry.items()[0].text();
        let (ms, _) = id.split_once('-').expect("an id");
        ms.parse().expect("a number")
    };
    reply.items().iter().map(ms).collect()
}

/// Runs so many rounds and says what came of them.
fn run_rounds(seed: u64, rounds: u64, settings: &Settings) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = ServerProcess::start(settings);
    let mut store = Store::default();
    let mut followers: Vec<Follower> = SOURCES.map(Follower::new).into_iter().collect();
    let mut acknowledged = 0;
    for round in 0..rounds {
        let load = load(server, &mut followers, random.random(), round);
        server = load.server;
        store.read_on(&mut server.client());
        for event in &load.acknowledged {
            assert!(
                store.has(event),
                "acknowledged and lost: {event:?} in round {round}"
            );
        }
        for follower in &mut followers {
            follower.compare(&store);
        }
        acknowledged += load.acknowledged.len();
    }
    store.expect_nothing_changed(&mut server.client());
    for follower in &mut followers {
        follower.catch_up(server.address());
        follower.compare(&store);
        assert_eq!(follower.next, store.tail_of(follower.source));
    }
    let stored = store.positions.len();
    format!(
        "{rounds} rounds: {acknowledged} events acknowledged, {stored} stored: \
         0 lost, 0 repeated, 0 gaps"
    )
}

/// An event as its publisher knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    stream: String,
    number: u64,
    data: String,
}

struct Load {
    server: ServerProcess,
    acknowledged: Vec<Event>,
}

/// Runs publishers and followers until so many events are acknowledged, kills the server and
/// starts it again.
fn load(server: ServerProcess, followers: &mut [Follower], seed: u64, round: u64) -> Load {
    let mut random = StdRng::seed_from_u64(seed);
    let target = random.random_range(1..ACKNOWLEDGED_PER_ROUND_MAX);
    let address = server.address();
    let (progress, reports) = mpsc::channel();
    // All are connected before the first publishes: the kill may come soon after.
    let clients = (0..PUBLISHERS).map(|_| Client::connect_plain(address));
    let clients: Vec<Client> = clients.collect();
    let following: Vec<Client> = followers.iter().map(|it| it.subscribe(address)).collect();
    thread::scope(|scope| {
        for (follower, client) in followers.iter_mut().zip(following) {
            scope.spawn(move || follower.follow(client));
        }
        let publishers: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(publisher, client)| {
                let random = StdRng::seed_from_u64(random.random());
                let name = format!("{round}-{publisher}");
                let progress = progress.clone();
                scope.spawn(move || publish(client, &name, random, &progress))
            })
            .collect();
        drop(progress);
        let mut acknowledged = 0;
        while acknowledged < target {
            acknowledged += reports.recv().expect("publishers go on until the kill");
        }
        let server = server.kill_and_restart_under_kills(random.random_range(0..4));
        let acknowledged = publishers
            .into_iter()
            .flat_map(|publisher| {
                publisher
                    .join()
                    .expect("publishers end with the connection")
            })
            .collect();
        Load {
            server,
            acknowledged,
        }
    })
}

/// Publishes in pipelines of random depth until the connection ends: what was acknowledged.
fn publish(
    mut client: Client,
    name: &str,
    mut random: StdRng,
    progress: &Sender<u64>,
) -> Vec<Event> {
    let mut acknowledged = Vec::new();
    for pipeline in 0.. {
        let depth = random.random_range(1..=PIPELINE_MAX);
        let sent: Vec<(&str, Vec<String>)> = (0..depth)
            .map(|index| {
                let parts = if random.random_bool(0.2) {
                    random.random_range(2..20)
                } else {
                    1
                };
                let data = (0..parts).map(|part| {
                    let padding = "x".repeat(random.random_range(0..300));
                    format!("{name}-{pipeline}-{index}/{part}/{parts}/{padding}")
                });
                let data = data.collect();
                (STREAMS[random.random_range(0..STREAMS.len())], data)
            })
            .collect();
        let commands = sent.iter().map(|(stream, data)| command(stream, data));
        client.send(&commands.collect::<Vec<_>>().concat());
        let mut events = 0;
        for (stream, data) in sent {
            let Ok(reply) = client.try_reply() else {
                return acknowledged;
            };
            let first = reply.number() + 1 - data.len() as u64;
            events += data.len() as u64;
            acknowledged.extend(data.into_iter().zip(first..).map(|(data, number)| Event {
                stream: stream.to_owned(),
                number,
                data,
            }));
        }
        progress.send(events).ok();
    }
    acknowledged
}

fn command(stream: &str, data: &[String]) -> Vec<u8> {
    if let [data] = data {
        return encode(&["PUBLISH", stream, "happened", data]);
    }
    let count = data.len().to_string();
    let mut words = vec!["PUBLISH-MANY", stream, &count];
    words.extend(data.iter().flat_map(|data| ["happened", data]));
    encode(&words)
}

/// What was published together is there together, or not at all.
fn expect_whole(events: &[String]) {
    let mut left = events;
    while let [first, ..] = left {
        let mut words = first.split('/');
        let group = words.next().expect("a name");
        let parts = words.nth(1).expect("a count").parse().expect("a number");
        let (together, others) = left.split_at_checked(parts).expect("all parts are there");
        for (part, data) in together.iter().enumerate() {
            let expected = format!("{group}/{part}/{parts}/");
            assert!(data.starts_with(&expected), "{data} is not {expected}");
        }
        left = others;
    }
}

/// Everything that the server holds, as read after each restart.
#[derive(Default)]
struct Store {
    streams: HashMap<String, Vec<String>>,
    positions: Vec<(String, u64)>,
    all_data: HashSet<String>,
}

impl Store {
    /// Reads what came since the last time: gapless, and nothing twice.
    fn read_on(&mut self, client: &mut Client) {
        for stream in STREAMS {
            let known = self.streams.entry(stream.to_owned()).or_default();
            while let Some(events) = page(client, stream, known.len()) {
                for event in events {
                    assert_eq!(event.number, known.len() as u64, "a gap in {stream}");
                    assert!(
                        self.all_data.insert(event.data.clone()),
                        "stored twice: {event:?}"
                    );
                    known.push(event.data);
                }
            }
        }
        self.streams
            .values()
            .for_each(|events| expect_whole(events));
        let mut next: HashMap<String, u64> = HashMap::new();
        for (stream, number) in &self.positions {
            next.insert(stream.clone(), number + 1);
        }
        while let Some(events) = page(client, "$all", self.positions.len()) {
            for event in events {
                let expected = next.entry(event.stream.clone()).or_default();
                assert_eq!(event.number, *expected, "a gap in $all: {event:?}");
                *expected += 1;
                assert!(self.has(&event), "$all has another event: {event:?}");
                self.positions.push((event.stream, event.number));
            }
        }
        let events: usize = self.streams.values().map(Vec::len).sum();
        assert_eq!(self.positions.len(), events, "$all and the streams differ");
    }

    fn has(&self, event: &Event) -> bool {
        let stream = self.streams.get(&event.stream);
        let index = usize::try_from(event.number).expect("a test's events fit memory");
        stream.and_then(|events| events.get(index)) == Some(&event.data)
    }

    fn tail_of(&self, source: &str) -> u64 {
        match self.streams.get(source) {
            Some(events) => events.len() as u64,
            None => self.positions.len() as u64,
        }
    }

    /// Reads everything once more: no restart changed what an earlier one showed.
    fn expect_nothing_changed(&self, client: &mut Client) {
        let mut again = Store::default();
        again.read_on(client);
        assert_eq!(again.positions, self.positions);
        assert!(
            again.streams == self.streams,
            "events changed from one restart to another"
        );
    }
}

fn page(client: &mut Client, source: &str, from: usize) -> Option<Vec<Event>> {
    let reply = client.call(&format!("READ-EVENTS {source}:{from}:+ COUNT 5000"));
    let events: Vec<Event> = reply
        .items()
        .iter()
        .map(|event| parse(event.items(), 0))
        .collect();
    if source == "$all" {
        for (index, event) in reply.items().iter().enumerate() {
            assert_eq!(
                event.items()[2].number(),
                (from + index) as u64,
                "a gap in the positions"
            );
        }
    }
    (!events.is_empty()).then_some(events)
}

/// `stream number position id [name data]`, from this index on.
fn parse(items: &[Value], at: usize) -> Event {
    Event {
        stream: items[at].text().to_owned(),
        number: items[at + 1].number(),
        data: items[at + 4].items()[1].text().to_owned(),
    }
}

/// A subscriber that resumes behind its last event after every kill.
struct Follower {
    source: &'static str,
    next: u64,
    seen: Vec<Event>,
}

impl Follower {
    fn new(source: &'static str) -> Self {
        Self {
            source,
            next: 0,
            seen: Vec::new(),
        }
    }

    /// Follows until the connection ends.
    fn follow(&mut self, mut client: Client) {
        while let Ok(push) = client.try_push() {
            self.take(&push);
        }
    }

    /// Follows until it is told that it has everything.
    fn catch_up(&mut self, address: SocketAddr) {
        let mut client = self.subscribe(address);
        while self.take(&client.push()) != "caught-up" {}
    }

    fn subscribe(&self, address: SocketAddr) -> Client {
        let mut client = Client::connect(address, Protocol::Resp3);
        let spec = format!("{}:{}:+", self.source, self.next);
        client.send(&encode(&["SUBSCRIBE", &spec]));
        client
    }

    fn take(&mut self, push: &Value) -> String {
        let items = push.items();
        let kind = items[0].text().to_owned();
        let (event, number) = match kind.as_str() {
            "event" => (parse(items, 1), items[2].number()),
            "pevent" => (parse(items, 2), items[4].number()),
            _ => return kind,
        };
        assert_eq!(number, self.next, "{} skips or repeats", self.source);
        self.next += 1;
        self.seen.push(event);
        kind
    }

    /// What was visible survived: a follower never saw an event that is not there.
    fn compare(&mut self, store: &Store) {
        for event in self.seen.drain(..) {
            assert!(
                store.has(&event),
                "{} saw what is not there: {event:?}",
                self.source
            );
        }
    }
}
