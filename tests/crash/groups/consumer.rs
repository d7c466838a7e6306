//! One consumer: what it asks for, and what it knows of its pending events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::Sender;

use meilies_tests::client::{Client, encode};
use meilies_tests::resp::Value;
use rand::Rng;
use rand::rngs::StdRng;

use super::{GROUP, STREAM, data, id, is_hard, number_of};

const COUNT_MAX: usize = 100;
/// Longer than anything here takes: a wait ends with an event or with the kill.
const BLOCK_MS: &str = "600000";

/// A request of a consumer.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// XREADGROUP of what is new, at most so many.
    Read { count: usize, blocks: bool },
    /// XREADGROUP of what is pending with it behind a number.
    History { after: u64, count: usize },
    /// XACK of these.
    Acknowledge(Vec<u64>),
}

/// A consumer, and what it was told.
pub(super) struct Consumer {
    pub(super) name: String,
    /// What is pending with it, and how often that was delivered.
    pub(super) held: BTreeMap<u64, u64>,
    /// What it got in this round for the first time.
    pub(super) received: Vec<u64>,
    /// What it acknowledged in this round and was answered.
    pub(super) acknowledged: Vec<u64>,
    /// Requests without a reply, in their order.
    pub(super) in_doubt: VecDeque<Request>,
}

impl Consumer {
    pub(super) fn new(index: usize) -> Consumer {
        Consumer {
            name: format!("worker{index}"),
            held: BTreeMap::new(),
            received: Vec::new(),
            acknowledged: Vec::new(),
            in_doubt: VecDeque::new(),
        }
    }

    /// Works until the connection ends. It begins with what is pending, as a worker does that
    /// comes back.
    pub(super) fn run(
        &mut self,
        mut client: Client,
        mut random: StdRng,
        is_last: bool,
        progress: &Sender<u64>,
    ) {
        let mut requests = vec![Request::History {
            after: 0,
            count: COUNT_MAX,
        }];
        loop {
            let commands = requests.iter().map(|request| self.encode(request));
            client.send(&commands.collect::<Vec<_>>().concat());
            self.in_doubt.extend(requests);
            while let Some(request) = self.in_doubt.front().cloned() {
                let Ok(reply) = client.try_reply() else {
                    return;
                };
                self.take(&request, &reply, progress);
                self.in_doubt.pop_front();
            }
            requests = self.choose(&mut random, is_last);
        }
    }

    /// What to send together: first what is done, then what to do next.
    fn choose(&self, random: &mut StdRng, is_last: bool) -> Vec<Request> {
        let mut requests = Vec::new();
        let mut left: BTreeSet<u64> = self.held.keys().copied().collect();
        left.retain(|number| is_last || !is_hard(*number));
        for _ in 0..random.random_range(0..=2) {
            let most = random.random_range(1..=COUNT_MAX);
            let done = left.iter().filter(|_| random.random_bool(0.8)).copied();
            let done: Vec<u64> = done.take(most).collect();
            left.retain(|number| !done.contains(number));
            if !done.is_empty() {
                requests.push(Request::Acknowledge(done));
            }
        }
        if random.random_bool(0.1) {
            let highest = self.held.keys().next_back().copied().unwrap_or(0);
            let after = match random.random_bool(0.5) {
                true => 0,
                false => random.random_range(0..=highest),
            };
            let count = random.random_range(1..=COUNT_MAX);
            requests.push(Request::History { after, count });
            return requests;
        }
        // It waits only when it has nothing else to do: else nobody might go on to the kill.
        let blocks = left.is_empty() && random.random_bool(0.5);
        let reads = if blocks {
            1
        } else {
            random.random_range(1..=3)
        };
        for _ in 0..reads {
            let count = random.random_range(1..=COUNT_MAX);
            requests.push(Request::Read { count, blocks });
        }
        requests
    }

    fn encode(&self, request: &Request) -> Vec<u8> {
        let mut words = Vec::new();
        match request {
            Request::Read { count, blocks } => {
                let count = count.to_string();
                words.extend(["XREADGROUP", "GROUP", GROUP, &self.name, "COUNT", &count]);
                if *blocks {
                    words.extend(["BLOCK", BLOCK_MS]);
                }
                words.extend(["STREAMS", STREAM, ">"]);
                encode(&words)
            }
            Request::History { after, count } => {
                let (count, after) = (count.to_string(), id(*after));
                words.extend(["XREADGROUP", "GROUP", GROUP, &self.name, "COUNT", &count]);
                words.extend(["STREAMS", STREAM, &after]);
                encode(&words)
            }
            Request::Acknowledge(numbers) => {
                let ids: Vec<String> = numbers.iter().map(|number| id(*number)).collect();
                words.extend(["XACK", STREAM, GROUP]);
                words.extend(ids.iter().map(String::as_str));
                encode(&words)
            }
        }
    }

    /// What a reply tells.
    fn take(&mut self, request: &Request, reply: &Value, progress: &Sender<u64>) {
        match request {
            Request::Read { count, .. } => {
                let numbers = numbers(reply);
                assert!(numbers.len() <= *count, "more than {count}: {reply}");
                for number in &numbers {
                    let before = self.held.insert(*number, 1);
                    assert_eq!(before, None, "{number} comes again to {}", self.name);
                }
                self.received.extend(numbers);
            }
            Request::History { after, count } => {
                let expected = look_through(&mut self.held, *after, *count);
                assert_eq!(numbers(reply), expected, "what {} has", self.name);
            }
            Request::Acknowledge(numbers) => {
                assert_eq!(reply.number(), numbers.len() as u64, "XACK of {numbers:?}");
                for number in numbers {
                    self.held.remove(number);
                }
                self.acknowledged.extend(numbers);
                progress.send(numbers.len() as u64).ok();
            }
        }
    }
}

/// What XREADGROUP gives of the pending events behind a number. Each is delivered once more.
pub(super) fn look_through(held: &mut BTreeMap<u64, u64>, after: u64, count: usize) -> Vec<u64> {
    let behind = held.range_mut(after + 1..);
    let given = behind.take(count);
    given
        .map(|(number, deliveries)| {
            *deliveries += 1;
            *number
        })
        .collect()
}

/// The numbers of the events in a reply of XREADGROUP: ascending, each with its data.
fn numbers(reply: &Value) -> Vec<u64> {
    if *reply == Value::NilArray {
        return Vec::new();
    }
    let [stream] = reply.items() else {
        panic!("expected one stream, got {reply}");
    };
    let entries = stream.items()[1].items().iter();
    let numbers: Vec<u64> = entries
        .map(|entry| {
            let number = number_of(entry.items()[0].text());
            let fields = entry.items()[1].items();
            let fields: Vec<&str> = fields.iter().map(Value::text).collect();
            assert_eq!(fields, ["number", &data(number)]);
            number
        })
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "not in order: {reply}");
    numbers
}
