//! Goal: kill -9 amid the reading and acknowledging of a consumer group loses nothing and brings
//! nothing back. What was acknowledged is pending no more and never comes again; what was not is
//! pending with its consumer and its count of deliveries, or still to be delivered.
//!
//! Method: in each round 16 consumers read a stream together, acknowledge most of what they get and
//! look through the rest again, while a producer adds to it. The server is killed once a random
//! number of events was acknowledged, and started again; in some rounds it is killed while it
//! starts, too, and in some its index is deleted. Then what it says of the group is held against
//! what the consumers know. Of a request without a reply either all happened or nothing.
//!
//! `tests/crash-group-rounds` runs 50 rounds over a million events; `SEED=42` replays the choices.

mod consumer;
mod ledger;

use std::fs;
use std::ops::Range;
use std::sync::mpsc;
use std::thread;

use meilies_tests::client::{Client, encode};
use meilies_tests::process::{ServerProcess, Settings, db_path};
use meilies_tests::seed::{number_from_environment, seed};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use consumer::Consumer;
use ledger::{Ledger, Snapshot};

const STREAM: &str = "jobs";
const GROUP: &str = "workers";
const CONSUMERS: usize = 16;
const KILLS_AT_START_MAX: usize = 2;
const ROUNDS_DEFAULT: u64 = 8;
const EVENTS_PER_ROUND_DEFAULT: u64 = 1000;
const PIPELINE_MAX: u64 = 200;
/// Every so many events is one that consumers keep to the last round: they have much to do with it.
const HARD_EVERY: u64 = 61;

#[test]
fn groups_lose_and_repeat_nothing_after_kill_9() {
    let seed = seed();
    let rounds = number_from_environment("ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    let events = number_from_environment("EVENTS").unwrap_or(rounds * EVENTS_PER_ROUND_DEFAULT);
    println!(
        "replay with: SEED={seed} ROUNDS={rounds} EVENTS={events} \
         cargo test -p meilies-tests --test crash groups"
    );
    let mut run = Run::begin(seed);
    for round in 1..=rounds {
        run.round(events * round / rounds, round == rounds);
    }
    assert_eq!(run.ledger.acknowledged(), events);
    println!("{rounds} rounds: {}", run.ledger.summary());
}

/// The server, and what is known of the group from outside.
struct Run {
    random: StdRng,
    server: Option<ServerProcess>,
    ledger: Ledger,
    consumers: Vec<Consumer>,
}

impl Run {
    fn begin(seed: u64) -> Run {
        let server = ServerProcess::start(&Settings::default());
        let from = "XGROUP CREATE jobs workers 0 MKSTREAM ENTRIESREAD 0";
        assert_eq!(server.client().call(from).text(), "OK");
        Run {
            random: StdRng::seed_from_u64(seed),
            server: Some(server),
            ledger: Ledger::default(),
            consumers: (0..CONSUMERS).map(Consumer::new).collect(),
        }
    }

    /// Load until the kill, and what is left of it. The stream grows to so many events; in the last
    /// round all of them are acknowledged.
    fn round(&mut self, events: u64, is_last: bool) {
        let server = self.server.take().expect("it runs between rounds");
        let target = if is_last {
            events - self.ledger.acknowledged()
        } else {
            let most = events - events / HARD_EVERY - self.ledger.acknowledged();
            let share = 2 * (events - self.ledger.stored());
            self.random.random_range(0..=most.min(share))
        };
        // Where all events are there before, it is known how many each request has to give.
        let is_filled = self.random.random_bool(0.5);
        if is_filled {
            let numbers = self.ledger.stored() + 1..events + 1;
            let added = add(server.client(), numbers, StdRng::seed_from_u64(0));
            self.ledger.note_added(&added);
        }
        let server = self.load(server, events, target, is_last);
        let found = Snapshot::of(&mut server.client());
        self.ledger.settle(&mut self.consumers, &found, is_filled);
        self.server = Some(match self.random.random_bool(0.3) {
            true => without_index(server, &found),
            false => server,
        });
    }

    /// Consumers and a producer at work until so many events were acknowledged, and the kill. Gives
    /// the server that was started again.
    fn load(
        &mut self,
        server: ServerProcess,
        events: u64,
        target: u64,
        is_last: bool,
    ) -> ServerProcess {
        let address = server.address();
        let (progress, reports) = mpsc::channel();
        // All are connected before the first sends: the kill may come soon after.
        let clients: Vec<Client> = (0..CONSUMERS)
            .map(|_| Client::connect_plain(address))
            .collect();
        let producer = Client::connect_plain(address);
        let numbers = self.ledger.stored() + 1..events + 1;
        let random = &mut self.random;
        let (server, added) = thread::scope(|scope| {
            let depths = StdRng::seed_from_u64(random.random());
            let producer = scope.spawn(move || add(producer, numbers, depths));
            for (consumer, client) in self.consumers.iter_mut().zip(clients) {
                let random = StdRng::seed_from_u64(random.random());
                let progress = progress.clone();
                scope.spawn(move || consumer.run(client, random, is_last, &progress));
            }
            drop(progress);
            let mut acknowledged = 0;
            while acknowledged < target {
                acknowledged += reports.recv().expect("consumers go on until the kill");
            }
            let kills = random.random_range(0..=KILLS_AT_START_MAX);
            let server = server.kill_and_restart_under_kills(kills);
            let added = producer.join().expect("it ends with the connection");
            (server, added)
        });
        self.ledger.note_added(&added);
        server
    }
}

/// How many events a producer has added.
struct Added {
    acknowledged: u64,
    sent: u64,
}

/// Adds the events with these numbers in pipelines of random depth, as long as the connection
/// lasts.
fn add(mut client: Client, numbers: Range<u64>, mut random: StdRng) -> Added {
    let mut next = numbers.start;
    let mut added = Added {
        acknowledged: 0,
        sent: 0,
    };
    while next < numbers.end {
        let depth = random.random_range(1..=PIPELINE_MAX);
        let chunk = next..numbers.end.min(next + depth);
        let commands = chunk.clone().map(|number| {
            let (id, data) = (id(number), data(number));
            encode(&["XADD", STREAM, &id, "number", &data])
        });
        client.send(&commands.collect::<Vec<_>>().concat());
        added.sent += chunk.end - chunk.start;
        for number in chunk.clone() {
            let Ok(reply) = client.try_reply() else {
                return added;
            };
            assert_eq!(reply.text(), id(number));
            added.acknowledged += 1;
        }
        next = chunk.end;
    }
    added
}

/// The same group from the log alone.
fn without_index(server: ServerProcess, before: &Snapshot) -> ServerProcess {
    let directory = server.kill();
    let index = db_path(directory.path()).join("index");
    fs::remove_dir_all(index).expect("the index is there");
    let server = ServerProcess::start_on(directory, &Settings::default());
    let after = Snapshot::of(&mut server.client());
    assert!(
        after == *before,
        "the log says something else than the index said: {}",
        after.difference(before)
    );
    server
}

/// An event that consumers keep to the last round.
fn is_hard(number: u64) -> bool {
    number.is_multiple_of(HARD_EVERY)
}

fn id(number: u64) -> String {
    format!("{number}-1")
}

/// The number of the event with this id.
fn number_of(id: &str) -> u64 {
    let number = id.strip_suffix("-1").expect("all ids end alike");
    number.parse().expect("a number")
}

/// What the event holds: from a few bytes to some hundred.
fn data(number: u64) -> String {
    let padding = usize::try_from(number % 7 * 29).expect("it is small");
    format!("{number}:{}", "x".repeat(padding))
}
