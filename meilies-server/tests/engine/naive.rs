//! The naive store: plain maps, every question answered by going through them. It shares no code
//! and no idea with the engine, but for the types in which both answer.

use std::collections::BTreeMap;

use meilies_protocol::{EventId, Expect, NewId};
use meilies_server::engine::Refusal;

use super::pictures::{Pages, Picture, SeenEvent, probes};
use super::script::{Change, Ending, NewEvent, Script};
use super::store::name;

#[derive(Clone, Debug, Default)]
pub(crate) struct Naive {
    pub(crate) names: BTreeMap<String, u64>,
    pub(crate) streams: BTreeMap<u64, NaiveStream>,
    pub(crate) next_position: u64,
    /// The id of the next stream.
    pub(crate) next_stream: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct NaiveStream {
    /// What is kept, by number.
    pub(crate) events: BTreeMap<u64, SeenEvent>,
    /// The ids of all that were ever given, by number.
    ids: Vec<EventId>,
    last_id: EventId,
    max_deleted_id: EventId,
    surplus: u64,
}

impl NaiveStream {
    pub(crate) fn next(&self) -> u64 {
        self.ids.len() as u64
    }

    pub(crate) fn tail(&self) -> Option<u64> {
        self.next().checked_sub(1)
    }

    fn first(&self) -> u64 {
        self.events.keys().next().copied().unwrap_or(self.next())
    }

    fn find(&self, id: EventId) -> (u64, bool) {
        let at = (self.first()..self.next()).find(|number| self.id(*number) >= id);
        let number = at.unwrap_or(self.next());
        (number, at.is_some_and(|number| self.id(number) == id))
    }

    fn id(&self, number: u64) -> EventId {
        self.ids[usize::try_from(number).unwrap()]
    }

    pub(crate) fn picture(&self, name: &str, id: u64) -> Picture {
        let forward: Vec<SeenEvent> = self.events.values().cloned().collect();
        let found = probes(&forward).into_iter().map(|id| {
            let (number, is_exact) = self.find(id);
            let is_there = is_exact && self.events.contains_key(&number);
            (id, number, is_exact, is_there.then_some(number))
        });
        Picture {
            name: name.to_owned(),
            id,
            tail: self.tail(),
            first: self.first(),
            deleted: self.next() - self.first() - self.events.len() as u64,
            last_id: self.last_id,
            max_deleted_id: self.max_deleted_id,
            added: self.next().wrapping_add(self.surplus),
            ends: forward.first().map(|first| {
                let last = forward.last().expect("there is a first one");
                (first.number, last.number)
            }),
            found: found.collect(),
            backward: forward.iter().rev().cloned().collect(),
            forward,
        }
    }
}

impl Naive {
    pub(crate) fn stream(&self, name: &str) -> Option<&NaiveStream> {
        self.streams.get(self.names.get(name)?)
    }

    fn stream_mut(&mut self, name: &str) -> Option<&mut NaiveStream> {
        self.streams.get_mut(self.names.get(name)?)
    }

    /// All events that are kept, by position, with the names of their streams.
    pub(crate) fn all(&self) -> BTreeMap<u64, (String, SeenEvent)> {
        let of_stream = |(name, id): (&String, &u64)| {
            let events = self.streams[id].events.values();
            let named = events.map(|event| (event.position, (name.clone(), event.clone())));
            named.collect::<Vec<_>>()
        };
        self.names.iter().flat_map(of_stream).collect()
    }

    pub(crate) fn picture(&self, name: &str) -> Option<Picture> {
        let id = *self.names.get(name)?;
        Some(self.streams[&id].picture(name, id))
    }

    pub(crate) fn pages(&self) -> Pages {
        let named = |(name, id): (&String, &u64)| (name.clone(), *id);
        let by_name: Vec<(String, u64)> = self.names.iter().map(named).collect();
        let mut by_id = by_name.clone();
        by_id.sort_by_key(|(_, id)| *id);
        Pages {
            count: by_name.len() as u64,
            next_position: self.next_position,
            by_name,
            by_id,
        }
    }

    fn open(&mut self, name: &str) -> &mut NaiveStream {
        let id = *self.names.entry(name.to_owned()).or_insert_with(|| {
            self.next_stream += 1;
            self.next_stream - 1
        });
        self.streams.entry(id).or_default()
    }

    fn remove(&mut self, name: &str) -> bool {
        let removed = self.names.remove(name);
        removed.is_some_and(|id| self.streams.remove(&id).is_some())
    }

    /// Adds an event, or says why not. `now` is what the clock said.
    pub(crate) fn append(&mut self, event: &NewEvent, now: u64) -> Result<SeenEvent, Refusal> {
        let found = self.stream(event.stream);
        let tail = found.and_then(NaiveStream::tail);
        let expected = event.expect.of(tail);
        let holds = match expected {
            Expect::Any => true,
            Expect::None => tail.is_none(),
            Expect::Exists => tail.is_some(),
            Expect::Number(number) => tail == Some(number),
        };
        if !holds {
            return Err(Refusal::Conflict {
                stream: name(event.stream),
                tail,
                expected,
            });
        }
        if found.is_none() && !event.make_stream {
            return Err(Refusal::NoStream);
        }
        let last = found.map_or(EventId::MIN, |stream| stream.last_id);
        let id = match event.id {
            NewId::Given(EventId::MIN) => return Err(Refusal::IdZero),
            NewId::Given(id) => id,
            NewId::AutoSeq { ms } if ms == last.ms => EventId::new(ms, last.seq + 1),
            NewId::AutoSeq { ms } => EventId::new(ms, 0),
            NewId::Auto if now > last.ms => EventId::new(now, 0),
            NewId::Auto => EventId::new(last.ms, last.seq + 1),
        };
        if id <= last {
            return Err(Refusal::IdTooSmall);
        }
        let position = self.next_position;
        self.next_position += 1;
        let stream = self.open(event.stream);
        let seen = SeenEvent::new(stream.next(), position, id, &event.fields);
        stream.ids.push(id);
        stream.last_id = id;
        stream.events.insert(seen.number, seen.clone());
        Ok(seen)
    }

    /// What the operation answers; its changes are done if it commits.
    pub(crate) fn run(&mut self, script: &Script, now: u64) -> Option<String> {
        let before = self.clone();
        let answers = script.changes.iter().map(|change| self.change(change, now));
        let answers: Vec<String> = answers.collect();
        if script.ending != Ending::Commit {
            *self = before;
        }
        (script.ending != Ending::Fail).then(|| answers.join("\n"))
    }

    fn change(&mut self, change: &Change, now: u64) -> String {
        match change {
            Change::Append(event) => format!("{:?}", self.append(event, now)),
            Change::Create(name) => {
                self.open(name);
                "created".to_owned()
            }
            Change::Delete(name, picks) => match self.stream_mut(name) {
                None => "nothing to delete".to_owned(),
                Some(stream) => format!("deleted {:?}", stream.delete(picks)),
            },
            Change::Trim(name, pick) => match self.stream_mut(name) {
                None => format!("{:?}", Refusal::NoStream),
                Some(stream) => {
                    let first = pick % (stream.next() + 1);
                    stream.events.retain(|number, _| *number >= first);
                    format!("trimmed to {first}")
                }
            },
            Change::SetIds(name, set) => match self.stream_mut(name) {
                None => "nothing to set".to_owned(),
                Some(stream) => {
                    let top = stream.events.values().next_back().map(|event| event.id);
                    let (id, surplus, max) =
                        set.of(stream.last_id, stream.surplus, stream.max_deleted_id, top);
                    (stream.last_id, stream.surplus, stream.max_deleted_id) = (id, surplus, max);
                    format!("set {id} {surplus} {max}")
                }
            },
            Change::Remove(name) => format!("removed {}", self.remove(name)),
            Change::Rename(from, to) => self.rename(from, to),
            Change::Picture(name) => format!("{:?}", self.picture(name)),
            Change::Pages(_) => format!("{:?}", self.pages()),
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> String {
        let Some(id) = self.names.get(from).copied() else {
            return format!("{:?}", Refusal::NoStream);
        };
        if from != to {
            self.remove(to);
            self.names.remove(from);
            self.names.insert(to.to_owned(), id);
        }
        "renamed".to_owned()
    }
}

impl NaiveStream {
    fn delete(&mut self, picks: &[u64]) -> Vec<u64> {
        let next = self.next().max(1);
        let mut numbers: Vec<u64> = picks.iter().map(|pick| pick % next).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| self.events.contains_key(number));
        for number in &numbers {
            let event = self.events.remove(number).expect("it is there");
            self.max_deleted_id = self.max_deleted_id.max(event.id);
        }
        numbers
    }
}
