//! Reading streams from number 0 to their tails, and measuring it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use meilies_client::{Client, Event, Item};

use super::crew::{Job, Measured, Member};
use crate::arguments::Server;
use crate::failure::Failure;

/// The stream of all events: its numbers are positions.
const ALL: &str = "$all";

/// What is read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The stream.
    pub(crate) name: String,
    /// How many events of it.
    pub(crate) events: u64,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) events: u64,
    /// Of event data.
    pub(crate) bytes: u64,
    /// How often everything was read.
    pub(crate) replays: u64,
    /// From the SUBSCRIBE to the first event, at the slowest.
    pub(crate) first_event: Option<Duration>,
    /// When the last event came, since the start.
    pub(crate) end: Duration,
}

impl Replayed {
    /// Adds what another has read.
    pub(crate) fn add(&mut self, other: &Replayed) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.replays += other.replays;
        self.first_event = self.first_event.max(other.first_event);
        self.end = self.end.max(other.end);
    }
}

/// Jobs that each read all sources: once, or again and again for a time.
pub(crate) fn jobs(
    server: &Server,
    connections: u64,
    sources: &[Source],
    time: Option<Duration>,
) -> Result<Vec<Job<Replayed>>, Failure> {
    let builder = server.builder()?;
    let jobs = (0..connections).map(|_| {
        let (builder, sources) = (builder.clone(), sources.to_vec());
        let job: Job<Replayed> = Box::new(move |mut member| {
            Box::pin(async move {
                let client = match member.or_stopped(builder.connect()).await {
                    Some(Ok(client)) => client,
                    Some(Err(error)) => return (Replayed::default(), Err(error.into())),
                    None => return (Replayed::default(), Ok(())),
                };
                match member.begin().await {
                    Some(begin) => read(&client, &sources, time, &mut member, begin).await,
                    None => (Replayed::default(), Ok(())),
                }
            })
        });
        job
    });
    Ok(jobs.collect())
}

async fn read(
    client: &Client,
    sources: &[Source],
    time: Option<Duration>,
    member: &mut Member,
    begin: Instant,
) -> Measured<Replayed> {
    let mut replayed = Replayed::default();
    let until = time.map(|time| begin + time);
    loop {
        let outcome = read_once(client, sources, until, member, &mut replayed).await;
        replayed.end = begin.elapsed();
        match outcome {
            Ok(End::Tail) => replayed.replays += 1,
            Ok(End::Stopped) => return (replayed, Ok(())),
            Err(failure) => return (replayed, Err(failure)),
        }
        if until.is_none_or(|until| Instant::now() >= until) {
            return (replayed, Ok(()));
        }
    }
}

/// Where reading has ended.
enum End {
    Tail,
    Stopped,
}

async fn read_once(
    client: &Client,
    sources: &[Source],
    until: Option<Instant>,
    member: &mut Member,
    replayed: &mut Replayed,
) -> Result<End, Failure> {
    let begin = Instant::now();
    let specs = sources
        .iter()
        .map(|source| format!("{}:0:{}", source.name, source.events));
    let mut items = client.subscribe(specs).await?;
    let mut order = Order::new(sources);
    let (before, mut counted) = (replayed.events, replayed.events);
    loop {
        // What is there already is taken without the cost of waiting for anything else.
        let item = if let Some(item) = items.next().now_or_never() {
            item
        } else {
            member.count(replayed.events - counted);
            counted = replayed.events;
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(End::Stopped);
            }
            match member.or_stopped(items.next()).await {
                Some(item) => item,
                None => return Ok(End::Stopped),
            }
        };
        match item.transpose()? {
            Some(Item::Event(event)) => {
                order.check(&event)?;
                if replayed.events == before {
                    replayed.first_event = replayed.first_event.max(Some(begin.elapsed()));
                }
                replayed.events += 1;
                let lengths = event.fields.iter().map(|(_, data)| data.len() as u64);
                replayed.bytes += lengths.sum::<u64>();
            }
            Some(Item::CaughtUp { .. } | Item::Ended { .. }) => {}
            Some(Item::Deleted { stream, .. }) => {
                let name = stream.escape_ascii();
                return Err(Failure::Missing(format!(
                    "stream '{name}' was deleted meanwhile"
                )));
            }
            None => {
                member.count(replayed.events - counted);
                return order.finish().map(|()| End::Tail);
            }
        }
    }
}

/// Which number of each stream comes next.
struct Order<'a> {
    sources: &'a [Source],
    places: HashMap<&'a [u8], usize>,
    next: Vec<u64>,
    /// Where the last event was found: most have the same stream as the one before.
    last: usize,
}

impl Order<'_> {
    fn new(sources: &[Source]) -> Order<'_> {
        let names = sources.iter().map(|source| source.name.as_bytes());
        Order {
            sources,
            places: names.zip(0..).collect(),
            next: vec![0; sources.len()],
            last: 0,
        }
    }

    fn check(&mut self, event: &Event) -> Result<(), Failure> {
        let is_all = self.sources[0].name == ALL;
        let number = if is_all { event.position } else { event.number };
        let stream = event.stream.as_bytes();
        if !is_all && self.sources[self.last].name.as_bytes() != stream {
            self.last = *self.places.get(stream).ok_or_else(|| {
                Failure::Damaged(format!("an event of '{}' came unasked", event.stream))
            })?;
        }
        let next = &mut self.next[self.last];
        if number != *next {
            let name = &self.sources[self.last].name;
            let text = format!("event {next} of '{name}' was to come, but it was {number}");
            return Err(Failure::Damaged(text));
        }
        *next += 1;
        Ok(())
    }

    fn finish(&self) -> Result<(), Failure> {
        for (source, next) in self.sources.iter().zip(&self.next) {
            if *next != source.events {
                let (name, end) = (&source.name, source.events);
                let text = format!("'{name}' ended at {next}, not at {end}");
                return Err(Failure::Damaged(text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meilies_client::{EventId, StreamName};

    use super::*;

    fn event(stream: &'static str, number: u64, position: u64) -> Event {
        Event {
            stream: StreamName::parse(stream.into()).expect("a good name"),
            number,
            position,
            id: EventId::new(1, 0),
            fields: Vec::new(),
        }
    }

    fn sources(names: &[(&str, u64)]) -> Vec<Source> {
        let sources = names.iter().map(|(name, events)| Source {
            name: (*name).to_owned(),
            events: *events,
        });
        sources.collect()
    }

    #[test]
    fn every_event_must_come_once_and_in_order() {
        let sources = sources(&[("a", 2), ("b", 1)]);
        let mut order = Order::new(&sources);
        for (stream, number) in [("b", 0), ("a", 0), ("a", 1)] {
            assert!(order.finish().is_err());
            assert!(order.check(&event(stream, number, 9)).is_ok());
        }
        assert!(order.finish().is_ok());
        for wrong in [event("a", 1, 9), event("a", 3, 9), event("c", 0, 9)] {
            assert_eq!(
                order.check(&wrong).map_err(|error| error.exit_code()),
                Err(7)
            );
        }
    }

    #[test]
    fn positions_are_the_numbers_of_all_streams() {
        let sources = sources(&[(ALL, 2)]);
        let mut order = Order::new(&sources);
        assert!(order.check(&event("a", 7, 0)).is_ok());
        assert!(order.check(&event("b", 7, 2)).is_err());
        assert!(order.check(&event("b", 7, 1)).is_ok());
        assert!(order.finish().is_ok());
    }
}
