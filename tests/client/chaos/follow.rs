//! Subscribers of every kind of spec, who expect each event once and in order, and visitors who
//! come and go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use meilies_client::{Client, Item, Subscription};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::STREAMS;
use super::load::expect_outage;
use super::truth::{Truth, digest};
use crate::client::support::{Rig, Stored, subscribe, tail, within};

/// What each subscription is for.
const SPECS: [&[&str]; 9] = [
    &["orders:0"],
    &["orders"],
    &["$all:0"],
    &["$all"],
    &["orders:5:900"],
    &[
        "orders:42:0:+",
        "account:0:a:0:+",
        "contended:10:200",
        "quiet:$",
    ],
    &["orders:1:3", "orders:42:2:4", "quiet:0"],
    &["$all:10:2000"],
    &["account:1:a", "contended"],
];

/// The last number of each source: to be reached before the end.
type Goal = Arc<HashMap<String, u64>>;

pub(super) struct Followers {
    followers: Vec<JoinHandle<Vec<Cursor>>>,
    goal: watch::Sender<Option<Goal>>,
}

impl Followers {
    /// Subscribes while nothing is published, so that the beginning of each spec is known.
    pub(super) async fn start(rig: &Rig, clients: [&Client; 2], seed: u64) -> Self {
        let goal = watch::Sender::new(None);
        let mut random = StdRng::seed_from_u64(seed);
        let mut followers = Vec::new();
        for specs in SPECS {
            for (index, client) in clients.into_iter().enumerate() {
                let cursors = specs
                    .iter()
                    .map(|spec| Cursor::of_spec(rig, spec))
                    .collect();
                let follower = Follower {
                    subscription: subscribe(client, specs).await,
                    cursors,
                    goal: goal.subscribe(),
                    // Those of one client give up a poll now and then.
                    is_nervous: index == 1,
                };
                followers.push(tokio::spawn(follower.follow()));
            }
        }
        for client in clients {
            let random = StdRng::seed_from_u64(random.random());
            followers.push(tokio::spawn(visit(
                client.clone(),
                random,
                goal.subscribe(),
            )));
        }
        Self { followers, goal }
    }

    /// Waits until everybody has everything, and compares: how many events were delivered.
    pub(super) async fn finish(self, truth: &Truth) -> usize {
        let sources = SPECS
            .iter()
            .copied()
            .flatten()
            .map(|spec| source_and_range(spec).0);
        let last = |source: &str| truth.of(source).len() as u64 - 1;
        let goal = sources
            .map(|source| (source.to_owned(), last(source)))
            .collect();
        self.goal.send_replace(Some(Arc::new(goal)));
        let mut delivered = 0;
        for cursors in within("the subscribers", join_all(self.followers)).await {
            for cursor in cursors.expect("no subscriber panics") {
                delivered += cursor.seen.len();
                cursor.compare(truth);
            }
        }
        delivered
    }
}

/// How far a spec has come.
#[derive(Debug)]
struct Cursor {
    spec: String,
    source: String,
    from: u64,
    end: Option<u64>,
    has_ended: bool,
    /// The digests of the events, one after the other.
    seen: Vec<u64>,
}

impl Cursor {
    fn of_spec(rig: &Rig, spec: &str) -> Self {
        let (source, range) = source_and_range(spec);
        let (from, end) = range.unwrap_or_else(|| {
            let next = match source {
                "$all" => rig.truth("$all").len() as u64,
                stream => tail(&mut rig.direct(), stream).map_or(0, |tail| tail + 1),
            };
            (next, None)
        });
        Self::new(spec, source, from, end)
    }

    fn new(spec: &str, source: &str, from: u64, end: Option<u64>) -> Self {
        Self {
            spec: spec.to_owned(),
            source: source.to_owned(),
            from,
            end,
            has_ended: false,
            seen: Vec::new(),
        }
    }

    fn next(&self) -> u64 {
        self.from + self.seen.len() as u64
    }

    fn take(&mut self, event: &Stored) {
        let number = match &self.source[..] {
            "$all" => event.position,
            _ => event.number,
        };
        let next = self.next();
        assert_eq!(
            number,
            next,
            "{} skips or repeats: {}",
            self.spec,
            short(event)
        );
        assert!(
            self.end.is_none_or(|end| number < end),
            "{}: beyond its end",
            self.spec
        );
        assert!(!self.has_ended, "{}: an event behind the end", self.spec);
        self.seen.push(digest(event));
    }

    fn reached(&self, goal: &Goal) -> bool {
        self.has_ended || self.next() > goal[&self.source]
    }

    fn compare(&self, truth: &Truth) {
        let from = usize::try_from(self.from).expect("a test's events fit memory");
        let events = truth.of(&self.source).iter().skip(from);
        let same = events
            .zip(&self.seen)
            .take_while(|(event, seen)| digest(event) == **seen);
        let same = same.count();
        assert_eq!(
            same,
            self.seen.len(),
            "{} delivered another event at {same}",
            self.spec
        );
        if let (true, Some(end)) = (self.has_ended, self.end) {
            assert_eq!(self.next(), end, "{} ended early", self.spec);
        }
    }
}

fn short(event: &Stored) -> String {
    let data: String = event.text().chars().take(40).collect();
    let stream = String::from_utf8_lossy(&event.stream);
    format!("{stream} {} at {}: {data}", event.number, event.position)
}

/// The source of a spec of these tests, and its range if it has one.
fn source_and_range(spec: &str) -> (&str, Option<(u64, Option<u64>)>) {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let known = STREAMS
        .iter()
        .chain(&super::ACCOUNTS)
        .chain(&[super::CONTENDED, "$all"]);
    let is_source = |source: &&&str| {
        let rest = spec.strip_prefix(**source);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    let source = known
        .filter(is_source)
        .max_by_key(|source| source.len())
        .expect("it is known");
    match spec[source.len()..].trim_start_matches(':').split_once(':') {
        None if spec.len() == source.len() || spec.ends_with('$') => (source, None),
        None => (source, Some((number(&spec[source.len() + 1..]), None))),
        Some((from, "+")) => (source, Some((number(from), None))),
        Some((from, end)) => (source, Some((number(from), Some(number(end))))),
    }
}

struct Follower {
    subscription: Subscription,
    cursors: Vec<Cursor>,
    goal: watch::Receiver<Option<Goal>>,
    is_nervous: bool,
}

impl Follower {
    async fn follow(mut self) -> Vec<Cursor> {
        let patience = match self.is_nervous {
            true => Duration::from_millis(1),
            false => Duration::MAX,
        };
        while !self.is_done() {
            let next = tokio::time::timeout(patience, self.subscription.next());
            let item = tokio::select! {
                item = next => item,
                _ = self.goal.changed() => continue,
            };
            match item {
                Ok(Some(Ok(item))) => self.take(item),
                Ok(Some(Err(error))) => panic!("{}: {error} ({error:?})", self.specs()),
                Ok(None) => {
                    let ended = self.cursors.iter().all(|cursor| cursor.has_ended);
                    assert!(ended, "{} is over: {:?}", self.specs(), self.goal.borrow());
                    break;
                }
                Err(_) => {}
            }
        }
        self.cursors
    }

    fn is_done(&self) -> bool {
        let goal = self.goal.borrow();
        let reached = |goal: &Goal| self.cursors.iter().all(|cursor| cursor.reached(goal));
        goal.as_ref().is_some_and(reached)
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Event(event) => {
                let event = Stored::from(&event);
                let is_its = |cursor: &&mut Cursor| {
                    cursor.source == "$all" || cursor.source.as_bytes() == event.stream
                };
                let cursor = self.cursors.iter_mut().find(is_its);
                cursor.expect("it was asked for").take(&event);
            }
            Item::CaughtUp { source, number } => {
                let is_its = |cursor: &&Cursor| cursor.source.as_bytes() == source;
                let cursor = self.cursors.iter().find(is_its).expect("it was asked for");
                let next = number.map_or(0, |number| number + 1);
                assert_eq!(next, cursor.next(), "{} is not caught up", cursor.spec);
            }
            Item::Ended { spec, next } => {
                let is_its = |cursor: &&mut Cursor| cursor.spec.as_bytes() == spec;
                let cursor = self
                    .cursors
                    .iter_mut()
                    .find(is_its)
                    .expect("it was asked for");
                assert_eq!(
                    (Some(next), next),
                    (cursor.end, cursor.next()),
                    "{}",
                    cursor.spec
                );
                assert!(!cursor.has_ended, "{} ends twice", cursor.spec);
                cursor.has_ended = true;
            }
            Item::Deleted { stream, .. } => panic!("{stream:?} was never deleted"),
        }
    }

    fn specs(&self) -> String {
        self.cursors
            .iter()
            .map(|cursor| &cursor.spec[..])
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Subscribes for a while to what there is, again and again.
async fn visit(
    client: Client,
    mut random: StdRng,
    goal: watch::Receiver<Option<Goal>>,
) -> Vec<Cursor> {
    let mut cursors = Vec::new();
    while goal.borrow().is_none() {
        let stream = *STREAMS.choose(&mut random).expect("some");
        let tail = match within("a last number", client.last_event_number(stream)).await {
            Ok(tail) => tail.expect("there were events before the load"),
            Err(error) => {
                expect_outage(&error);
                tokio::task::yield_now().await;
                continue;
            }
        };
        let from = random.random_range(tail.saturating_sub(500)..=tail);
        let end = random.random_range(from + 1..=tail + 1);
        let spec = format!("{stream}:{from}:{end}");
        match within("a visit", client.subscribe([&spec])).await {
            Ok(subscription) => {
                let leaves_after = match random.random() {
                    true => usize::MAX,
                    false => random.random_range(0..100),
                };
                let cursor = Cursor::new(&spec, stream, from, Some(end));
                cursors.push(read_range(subscription, cursor, leaves_after).await);
            }
            Err(error) => expect_outage(&error),
        }
    }
    cursors
}

async fn read_range(mut subscription: Subscription, mut cursor: Cursor, most: usize) -> Cursor {
    while cursor.seen.len() < most {
        match within("the range", subscription.next()).await {
            Some(Ok(Item::Event(event))) => cursor.take(&Stored::from(&event)),
            Some(Ok(Item::Ended { next, .. })) => {
                assert_eq!(Some(next), cursor.end);
                cursor.has_ended = true;
            }
            Some(Ok(Item::CaughtUp { .. })) => {}
            Some(other) => panic!("{}: {other:?}", cursor.spec),
            None => {
                assert!(
                    cursor.has_ended,
                    "{} is over at {}",
                    cursor.spec,
                    cursor.next()
                );
                break;
            }
        }
    }
    cursor
}
