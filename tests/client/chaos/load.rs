//! Publishers and readers that go on whatever happens, and remember what they were told.

use futures::future::{join_all, select_all};
use futures::{StreamExt, TryStreamExt};
use meilies_client::{Client, Error, ErrorKind, Expect};
use meilies_tests::client::DEADLINE;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::truth::{Attempt, Outcome};
use super::{ACCOUNTS, CONTENDED, STREAMS};
use crate::client::support::{Recorder, within};

const PIPELINE_MAX: usize = 32;
const BATCH_MAX: usize = 20;
const PADDING_BYTES_MAX: usize = 300;
const LARGE_BYTES: usize = 40_000;

/// Everything that publishes and reads.
pub(super) struct Load {
    publishers: Vec<JoinHandle<Vec<Attempt>>>,
    readers: Vec<JoinHandle<()>>,
    /// How many events are published.
    progress: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
}

impl Load {
    pub(super) fn start(client: &Client, seed: u64) -> Self {
        let stop = watch::Sender::new(false);
        let progress = watch::Sender::new(0);
        let mut random = StdRng::seed_from_u64(seed);
        let mut publisher = |name: &str| Publisher {
            client: client.clone(),
            random: StdRng::seed_from_u64(random.random()),
            name: name.to_owned(),
            attempts: Vec::new(),
            progress: progress.clone(),
            stop: stop.subscribe(),
        };
        let mut publishers = vec![
            tokio::spawn(publisher("pipeline-0").pipelines()),
            tokio::spawn(publisher("pipeline-1").pipelines()),
            tokio::spawn(publisher("batch").batches()),
            tokio::spawn(publisher("contender-0").contend()),
            tokio::spawn(publisher("contender-1").contend()),
        ];
        for account in ACCOUNTS {
            publishers.push(tokio::spawn(publisher(account).keep_account(account)));
        }
        let readers = vec![tokio::spawn(publisher("reader").read())];
        Self {
            publishers,
            readers,
            progress: progress.subscribe(),
            stop,
        }
    }

    /// Waits until so many more events are published.
    pub(super) async fn wait_for_more(&mut self, events: u64, recorder: &Recorder) {
        let mut progress = self.progress.clone();
        let before = *progress.borrow();
        let enough = progress.wait_for(|published| *published >= before + events);
        let waited = tokio::select! {
            enough = tokio::time::timeout(DEADLINE, enough) => enough.is_ok(),
            (ended, ..) = select_all(&mut self.publishers) => {
                panic!("a publisher ended before it was told to: {:?}", ended.err());
            }
        };
        let published = *self.progress.borrow() - before;
        assert!(
            waited,
            "{published} of {events} events are published; {}",
            recorder.recent()
        );
    }

    /// Ends it: everything that was tried.
    pub(super) async fn stop(self) -> Vec<Attempt> {
        self.stop.send_replace(true);
        for reader in within("the readers", join_all(self.readers)).await {
            reader.expect("no reader panics");
        }
        let attempts = within("the publishers", join_all(self.publishers)).await;
        attempts
            .into_iter()
            .flat_map(|attempts| attempts.expect("no publisher panics"))
            .collect()
    }
}

struct Publisher {
    client: Client,
    random: StdRng,
    name: String,
    attempts: Vec<Attempt>,
    progress: watch::Sender<u64>,
    stop: watch::Receiver<bool>,
}

impl Publisher {
    fn goes_on(&self) -> bool {
        !*self.stop.borrow()
    }

    /// Data that no other event has.
    fn data(&mut self, index: usize) -> String {
        let bytes = match self.random.random_range(0..100) {
            0 => LARGE_BYTES,
            _ => self.random.random_range(0..PADDING_BYTES_MAX),
        };
        format!(
            "{}-{}-{index}-{}",
            self.name,
            self.attempts.len(),
            "x".repeat(bytes)
        )
    }

    /// Publishes many at once, without waiting for one before the next.
    async fn pipelines(mut self) -> Vec<Attempt> {
        while self.goes_on() {
            let depth = self.random.random_range(1..=PIPELINE_MAX);
            let events: Vec<(&str, String)> = (0..depth)
                .map(|index| {
                    (
                        *STREAMS.choose(&mut self.random).expect("some"),
                        self.data(index),
                    )
                })
                .collect();
            let publishing = events
                .iter()
                .map(|(stream, data)| self.client.publish(stream, "happened", data, Expect::Any));
            let published = within("a pipeline of publishes", join_all(publishing)).await;
            for ((stream, data), published) in events.into_iter().zip(published) {
                self.note(stream, vec![data], published);
            }
        }
        self.attempts
    }

    async fn batches(mut self) -> Vec<Attempt> {
        while self.goes_on() {
            let stream = *STREAMS.choose(&mut self.random).expect("some");
            self.publish_many(stream, Expect::Any).await;
        }
        self.attempts
    }

    /// Writes to a stream that nobody else writes to, and expects to.
    async fn keep_account(mut self, stream: &'static str) -> Vec<Attempt> {
        let mut tail = None;
        while self.goes_on() {
            let expect = tail.map_or(Expect::None, Expect::Number);
            let told = match self.random.random() {
                true => self.publish_one(stream, expect).await,
                false => self.publish_many(stream, expect).await,
            };
            // An event whose outcome is not known may be stored late: the end has to be looked up,
            // and a conflict is possible although nobody else writes.
            tail = match told {
                Some(number) => {
                    let next = tail.map_or(0, |tail| tail + 1);
                    assert!(
                        number >= next,
                        "{stream}: {number} where {next} is the next"
                    );
                    Some(number)
                }
                None => self.tail(stream).await,
            };
        }
        self.attempts
    }

    /// Writes to a stream that others write to, too.
    async fn contend(mut self) -> Vec<Attempt> {
        while self.goes_on() {
            let tail = self.tail(CONTENDED).await;
            self.publish_one(CONTENDED, tail.map_or(Expect::None, Expect::Number))
                .await;
        }
        self.attempts
    }

    /// Publishes one event: its number, where it is known to be stored.
    async fn publish_one(&mut self, stream: &'static str, expect: Expect) -> Option<u64> {
        let data = self.data(0);
        let publishing = self.client.publish(stream, "happened", &data, expect);
        let published = within("a publish", publishing).await;
        if let (Ok(number), Some(next)) = (&published, next_of(expect)) {
            assert_eq!(*number, next, "{stream}: the expectation says the number");
        }
        let number = published.as_ref().ok().copied();
        self.note(stream, vec![data], published);
        number
    }

    /// Publishes a few: the last number, where all are known to be stored.
    async fn publish_many(&mut self, stream: &'static str, expect: Expect) -> Option<u64> {
        let length = self.random.random_range(1..=BATCH_MAX);
        let data: Vec<String> = (0..length).map(|index| self.data(index)).collect();
        let events = data.iter().map(|data| ("happened", data));
        let published = within(
            "a batch of publishes",
            self.client.publish_many(stream, events, expect),
        )
        .await;
        let number = published.as_ref().ok().map(|numbers| {
            let follow = numbers.iter().copied().eq((numbers[0]..).take(length));
            assert!(follow, "{numbers:?} do not follow each other");
            numbers[0]
        });
        if let (Some(number), Some(next)) = (number, next_of(expect)) {
            assert_eq!(number, next, "{stream}: the expectation says the number");
        }
        self.note(stream, data, published.map(|numbers| numbers[0]));
        number.map(|number| number + length as u64 - 1)
    }

    fn note(&mut self, stream: &'static str, data: Vec<String>, published: Result<u64, Error>) {
        let outcome = match published {
            Ok(number) => {
                self.progress
                    .send_modify(|progress| *progress += data.len() as u64);
                Outcome::Stored(number)
            }
            Err(error) => outcome_of(&error),
        };
        self.attempts.push(Attempt {
            stream,
            data,
            outcome,
        });
    }

    /// The last number of a stream, asked for until it is answered.
    async fn tail(&mut self, stream: &str) -> Option<u64> {
        loop {
            match within("a last number", self.client.last_event_number(stream)).await {
                Ok(tail) => return tail,
                Err(error) => expect_outage(&error),
            }
            if !self.goes_on() {
                return None;
            }
        }
    }

    /// Reads streams from anywhere to their end, again and again.
    async fn read(mut self) {
        while self.goes_on() {
            let stream = *STREAMS.choose(&mut self.random).expect("some");
            let tail = self.tail(stream).await.unwrap_or(0);
            let from = self.random.random_range(0..=tail);
            let read = self
                .client
                .read(format!("{stream}:{from}:+"))
                .expect("the spec is right");
            let mut read = read.take(1000);
            let mut next = from;
            loop {
                match within("an event", read.try_next()).await {
                    Ok(Some(event)) => {
                        assert_eq!(event.number, next, "{stream} is read with a gap");
                        next += 1;
                    }
                    Ok(None) => {
                        assert!(
                            next > tail || next == from + 1000,
                            "{stream} ends at {next}"
                        );
                        break;
                    }
                    Err(error) => {
                        expect_outage(&error);
                        break;
                    }
                }
            }
        }
    }
}

/// The number that an event gets if the expectation holds.
fn next_of(expect: Expect) -> Option<u64> {
    match expect {
        Expect::None => Some(0),
        Expect::Number(number) => Some(number + 1),
        Expect::Any | Expect::Exists => None,
    }
}

fn outcome_of(error: &Error) -> Outcome {
    match error {
        Error::Unknown { found, .. } => Outcome::Unknown(*found),
        error if error.kind() == ErrorKind::Conflict => Outcome::NotStored(ErrorKind::Conflict),
        error => {
            expect_outage(error);
            Outcome::NotStored(error.kind())
        }
    }
}

/// The only other thing that may go wrong here is the connection.
pub(super) fn expect_outage(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Connection, "{error} ({error:?})");
    assert!(error.is_retryable(), "{error}");
}
