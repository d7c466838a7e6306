//! What must hold after a kill: what the server says of the group, against what its consumers know.

use std::collections::{BTreeMap, VecDeque};

use meilies_tests::client::Client;
use meilies_tests::resp::Value;

use super::consumer::{Consumer, Request, look_through};
use super::{Added, GROUP, STREAM, number_of};

const PAGE: usize = 10_000;

/// What the server says of the group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// How many events the stream has.
    stored: u64,
    last_delivered: u64,
    /// What is pending: with whom, and how often delivered.
    pending: BTreeMap<u64, (String, u64)>,
}

impl Snapshot {
    /// Asks for everything; the parts must agree.
    pub(super) fn of(client: &mut Client) -> Snapshot {
        let info = fields(&client.command(&["XINFO", "STREAM", STREAM]));
        let stored = info["length"].number();
        assert_eq!(info["entries-added"].number(), stored);
        let groups = client.command(&["XINFO", "GROUPS", STREAM]);
        let group = fields(&groups.items()[0]);
        let last_delivered = match group["last-delivered-id"].text() {
            "0-0" => 0,
            id => number_of(id),
        };
        let pending = pending(client);
        assert_eq!(group["entries-read"].number(), last_delivered);
        assert_eq!(group["lag"].number(), stored - last_delivered);
        assert_eq!(group["pending"].number(), pending.len() as u64);
        if let Some((highest, _)) = pending.last_key_value() {
            assert!(*highest <= last_delivered, "{highest} was not delivered");
        }
        let snapshot = Snapshot {
            stored,
            last_delivered,
            pending,
        };
        snapshot.expect_counts(client);
        snapshot
    }

    /// How many are pending with each is said in two more places.
    fn expect_counts(&self, client: &mut Client) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (consumer, _) in self.pending.values() {
            *counts.entry(consumer).or_default() += 1;
        }
        let consumers = client.command(&["XINFO", "CONSUMERS", STREAM, GROUP]);
        for consumer in consumers.items() {
            let consumer = fields(consumer);
            let count = counts.get(consumer["name"].text()).copied().unwrap_or(0);
            assert_eq!(consumer["pending"].number(), count, "{consumer:?}");
        }
        let summary = client.command(&["XPENDING", STREAM, GROUP]);
        let [count, lowest, highest, owners] = summary.items() else {
            panic!("XPENDING answered {summary}");
        };
        assert_eq!(count.number(), self.pending.len() as u64);
        let ends = self
            .pending
            .first_key_value()
            .zip(self.pending.last_key_value());
        let Some(((first, _), (last, _))) = ends else {
            return;
        };
        assert_eq!(number_of(lowest.text()), *first);
        assert_eq!(number_of(highest.text()), *last);
        let said = owners.items().iter().map(|owner| {
            let count = owner.items()[1].text().parse().expect("a number");
            (owner.items()[0].text(), count)
        });
        assert_eq!(said.collect::<BTreeMap<&str, u64>>(), counts);
    }

    /// Where this one differs from another, for a person.
    pub(super) fn difference(&self, other: &Snapshot) -> String {
        let differs = |number: &&u64| self.pending.get(number) != other.pending.get(number);
        let numbers = self.pending.keys().chain(other.pending.keys());
        let numbers: Vec<&u64> = numbers.filter(differs).take(20).collect();
        format!(
            "stored {} and {}, last delivered {} and {}, pending {} and {}, different are \
             {numbers:?}",
            self.stored,
            other.stored,
            self.last_delivered,
            other.last_delivered,
            self.pending.len(),
            other.pending.len()
        )
    }
}

/// All that is pending, page by page.
fn pending(client: &mut Client) -> BTreeMap<u64, (String, u64)> {
    let mut pending = BTreeMap::new();
    let mut from = "-".to_owned();
    let count = PAGE.to_string();
    loop {
        let page = client.command(&["XPENDING", STREAM, GROUP, &from, "+", &count]);
        for entry in page.items() {
            let [id, consumer, _idle, deliveries] = entry.items() else {
                panic!("XPENDING answered {entry}");
            };
            from = format!("({}", id.text());
            let value = (consumer.text().to_owned(), deliveries.number());
            let before = pending.insert(number_of(id.text()), value);
            assert_eq!(before, None, "listed twice: {entry}");
        }
        if page.items().len() < PAGE {
            return pending;
        }
    }
}

/// A flat array of names and values, which is a map in RESP3.
fn fields(reply: &Value) -> BTreeMap<String, Value> {
    let pairs = reply.items().chunks_exact(2);
    pairs
        .map(|pair| (pair[0].text().to_owned(), pair[1].clone()))
        .collect()
}

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    Delivered,
    Acknowledged,
}

/// What is known of all events, and a count of what was seen.
#[derive(Default)]
pub(super) struct Ledger {
    /// The event with number 1 is the first.
    fates: Vec<Fate>,
    acknowledged: u64,
    /// So many events more were added since the last kill and answered, and so many sent.
    added: u64,
    sent: u64,
    requests_in_doubt: u64,
    of_them_happened: u64,
    pending_max: usize,
}

impl Ledger {
    /// How many events are known to be there.
    pub(super) fn stored(&self) -> u64 {
        self.fates.len() as u64 + self.added
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(super) fn note_added(&mut self, added: &Added) {
        self.added += added.acknowledged;
        self.sent += added.sent;
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} events delivered and acknowledged, at most {} pending after a kill, {} requests \
             without a reply of which {} took effect: 0 lost, 0 repeated, 0 in part",
            self.acknowledged, self.pending_max, self.requests_in_doubt, self.of_them_happened
        )
    }

    /// Compares what was found after a kill with what the consumers know, which they then know
    /// for certain. `is_filled`: no events were added in this round while the consumers read.
    pub(super) fn settle(&mut self, consumers: &mut [Consumer], found: &Snapshot, is_filled: bool) {
        let before = self.fates.len() as u64;
        let possible = before + self.added..=before + self.sent;
        assert!(
            possible.contains(&found.stored),
            "{} events are stored, expected {possible:?}",
            found.stored
        );
        let stored = usize::try_from(found.stored).expect("a test's events fit memory");
        self.fates.resize(stored, Fate::Stored);
        (self.added, self.sent) = (0, 0);
        self.pending_max = self.pending_max.max(found.pending.len());

        for consumer in consumers.iter_mut() {
            for number in std::mem::take(&mut consumer.received) {
                self.move_on(number, Fate::Stored, Fate::Delivered);
            }
            for number in std::mem::take(&mut consumer.acknowledged) {
                self.move_on(number, Fate::Delivered, Fate::Acknowledged);
            }
        }
        for consumer in consumers {
            self.settle_one(consumer, found, is_filled);
        }
        // Nothing is lost: what was delivered is acknowledged or pending, all else is yet to come.
        for (fate, number) in self.fates.iter().zip(1..) {
            let expected = match (number <= found.last_delivered, fate) {
                (false, fate) => *fate == Fate::Stored,
                (true, Fate::Delivered) => found.pending.contains_key(&number),
                (true, fate) => *fate == Fate::Acknowledged,
            };
            assert!(
                expected,
                "event {number} is {fate:?}, and in the group it is not"
            );
        }
        let acknowledged = self
            .fates
            .iter()
            .filter(|fate| **fate == Fate::Acknowledged);
        self.acknowledged = acknowledged.count() as u64;
        let pending = found.pending.len() as u64;
        assert_eq!(self.acknowledged + pending, found.last_delivered);
    }

    /// Finds how many of the requests without a reply took effect: the first few of them, each as
    /// a whole.
    fn settle_one(&mut self, consumer: &mut Consumer, found: &Snapshot, is_filled: bool) {
        let own = found
            .pending
            .iter()
            .filter(|(_, (name, _))| *name == consumer.name);
        let own: BTreeMap<u64, u64> = own
            .map(|(number, (_, deliveries))| (*number, *deliveries))
            .collect();
        let in_doubt: Vec<Request> = consumer.in_doubt.drain(..).collect();
        let is_plenty = is_filled && found.last_delivered < found.stored;
        let happened = (0..=in_doubt.len()).find(|happened| {
            let requests = &in_doubt[..*happened];
            after(&consumer.held, requests, &own, is_plenty).as_ref() == Some(&own)
        });
        let Some(happened) = happened else {
            panic!(
                "{}: {} pending of which it knew {}, and no part of {in_doubt:?} explains that: \
                 {:?}",
                consumer.name,
                own.len(),
                consumer.held.len(),
                differences(&consumer.held, &own)
            );
        };
        self.requests_in_doubt += in_doubt.len() as u64;
        self.of_them_happened += happened as u64;
        for number in own
            .keys()
            .filter(|number| !consumer.held.contains_key(number))
        {
            self.move_on(*number, Fate::Stored, Fate::Delivered);
        }
        for number in consumer
            .held
            .keys()
            .filter(|number| !own.contains_key(number))
        {
            self.move_on(*number, Fate::Delivered, Fate::Acknowledged);
        }
        consumer.held = own;
    }

    fn move_on(&mut self, number: u64, from: Fate, to: Fate) {
        let index = usize::try_from(number - 1).expect("a test's events fit memory");
        let fate = &mut self.fates[index];
        assert_eq!(*fate, from, "event {number} becomes {to:?} a second time");
        *fate = to;
    }
}

/// What a consumer has after these requests, if it had `held` before; new are the events that are
/// in `own` alone. `None` where they do not explain those. With `is_plenty` there was more to give
/// than was asked for, so each that reads got all that it asked for.
fn after(
    held: &BTreeMap<u64, u64>,
    requests: &[Request],
    own: &BTreeMap<u64, u64>,
    is_plenty: bool,
) -> Option<BTreeMap<u64, u64>> {
    let mut held = held.clone();
    let new = own
        .keys()
        .copied()
        .filter(|number| !held.contains_key(number));
    let mut new: VecDeque<u64> = new.collect();
    for request in requests {
        match request {
            Request::Acknowledge(numbers) => {
                held.retain(|number, _| !numbers.contains(number));
            }
            Request::History { after, count } => {
                look_through(&mut held, *after, *count);
            }
            Request::Read { count, .. } => {
                let first = new.front().copied().unwrap_or(0);
                let together = new.iter().zip(first..).take_while(|(a, b)| **a == *b);
                let given = (*count).min(together.count());
                if is_plenty && given < *count {
                    return None;
                }
                for number in new.drain(..given) {
                    held.insert(number, 1);
                }
            }
        }
    }
    new.is_empty().then_some(held)
}

/// The first few events of which two have not the same.
fn differences(held: &BTreeMap<u64, u64>, own: &BTreeMap<u64, u64>) -> Vec<String> {
    let numbers = held.keys().chain(own.keys());
    let different = numbers.filter(|number| held.get(number) != own.get(number));
    different
        .take(20)
        .map(|number| format!("{number}: {:?} → {:?}", held.get(number), own.get(number)))
        .collect()
}
