//! The naive model: everything that was stored, in one list, and every question answered by going
//! through it. It shares no code and no idea with the engine.

use std::collections::{BTreeMap, BTreeSet};

use crate::operations::{Change, STREAMS};
use crate::resp::Value;

/// An event as the wire tells it, but for its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The stream's name.
    pub stream: Vec<u8>,
    /// Its number in the stream.
    pub number: u64,
    /// Its number over all streams.
    pub position: u64,
    /// The event's name.
    pub name: Vec<u8>,
    /// The event's data.
    pub data: Vec<u8>,
}

/// What a write expects of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// No event.
    None,
    /// An event.
    Exists,
    /// This number as the last.
    Last(u64),
}

/// Whose events are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `$all`
    All,
    /// One stream.
    Stream(Vec<u8>),
}

/// Everything that was stored.
#[derive(Clone, Debug, Default)]
pub struct Model {
    stored: Vec<Stored>,
}

impl Model {
    /// Stores an event, or says where the stream is instead of where it was expected.
    pub fn publish(
        &mut self,
        stream: &[u8],
        name: &[u8],
        data: &[u8],
        expect: Expect,
    ) -> Result<u64, Option<u64>> {
        let tail = self.tail(&Source::Stream(stream.to_vec()));
        let holds = match expect {
            Expect::Any => true,
            Expect::None => tail.is_none(),
            Expect::Exists => tail.is_some(),
            Expect::Last(number) => tail == Some(number),
        };
        if !holds {
            return Err(tail);
        }
        let number = tail.map_or(0, |tail| tail + 1);
        self.stored.push(Stored {
            stream: stream.to_vec(),
            number,
            position: self.len(),
            name: name.to_vec(),
            data: data.to_vec(),
        });
        Ok(number)
    }

    /// How many events there are.
    pub fn len(&self) -> u64 {
        self.stored.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// The last number of a source.
    pub fn tail(&self, source: &Source) -> Option<u64> {
        self.of(source).map(|event| source.number(event)).max()
    }

    /// The events of a source from a number to another, in their order.
    pub fn read(&self, source: &Source, from: u64, to: u64) -> Vec<Stored> {
        let wanted = self.of(source).filter(|event| {
            let number = source.number(event);
            from <= number && number < to
        });
        wanted.cloned().collect()
    }

    /// The names of all streams, sorted.
    pub fn names(&self) -> BTreeSet<Vec<u8>> {
        self.stored
            .iter()
            .map(|event| event.stream.clone())
            .collect()
    }

    /// Forgets all but the first events.
    pub fn truncate(&mut self, len: usize) {
        self.stored.truncate(len);
    }

    fn of(&self, source: &Source) -> impl Iterator<Item = &Stored> {
        self.stored.iter().filter(move |event| match source {
            Source::All => true,
            Source::Stream(name) => event.stream == *name,
        })
    }
}

impl Source {
    /// An event's number in this source.
    pub fn number(&self, event: &Stored) -> u64 {
        match self {
            Self::All => event.position,
            Self::Stream(_) => event.number,
        }
    }

    /// As the wire names it.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::All => b"$all",
            Self::Stream(name) => name,
        }
    }
}

/// Streams whose events are deleted and that are renamed: what each command answers, and what is
/// there.
#[derive(Clone, Debug, Default)]
pub struct Keyspace {
    streams: BTreeMap<&'static [u8], Entries>,
    position: u64,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    /// By the milliseconds of the id; the rest of an id is 1.
    kept: BTreeMap<u64, Kept>,
    last: Option<u64>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    number: u64,
    position: u64,
    data: String,
}

impl Keyspace {
    /// Does it: the command's words, and the reply that has to come.
    pub fn change(&mut self, change: &Change) -> (Vec<Vec<u8>>, Value) {
        let text = |number: u64| number.to_string().into_bytes();
        let (name, more, reply): (&str, Vec<Vec<u8>>, Value) = match change {
            Change::Add {
                stream,
                above,
                kept,
            } => {
                let (id, data, reply) = self.add(STREAMS[*stream], *above, *kept);
                let mut words = vec![STREAMS[*stream].to_vec()];
                if let Some(kept) = kept {
                    words.extend([b"MAXLEN".to_vec(), text(*kept)]);
                }
                words.extend([id, b"happened".to_vec(), data]);
                ("XADD", words, reply)
            }
            Change::Delete(stream, picks) => {
                let (ids, deleted) = self.delete(STREAMS[*stream], picks);
                let mut words = vec![STREAMS[*stream].to_vec()];
                words.extend(ids);
                ("XDEL", words, integer(deleted))
            }
            Change::TrimToLength(stream, kept) => {
                let words = vec![STREAMS[*stream].to_vec(), b"MAXLEN".to_vec(), text(*kept)];
                let trimmed = self.entries(*stream).map(|it| it.trim_to_length(*kept));
                ("XTRIM", words, integer(trimmed.unwrap_or(0)))
            }
            Change::TrimToId(stream, pick) => {
                let least = self.entries(*stream).map_or(0, |it| it.pick(*pick));
                let words = vec![STREAMS[*stream].to_vec(), b"MINID".to_vec(), text(least)];
                let trimmed = self.entries(*stream).map(|it| {
                    let before = it.kept.len();
                    it.kept = it.kept.split_off(&least);
                    (before - it.kept.len()) as u64
                });
                ("XTRIM", words, integer(trimmed.unwrap_or(0)))
            }
            Change::Remove(streams) => {
                let removed = streams.iter().filter(|stream| self.remove(**stream));
                let removed = integer(removed.count() as u64);
                let words = streams.iter().map(|stream| STREAMS[*stream].to_vec());
                ("DEL", words.collect(), removed)
            }
            Change::Rename(from, to) => {
                let (from, to) = (STREAMS[*from], STREAMS[*to]);
                let reply = match self.streams.remove(from) {
                    Some(entries) => {
                        self.streams.insert(to, entries);
                        Value::Simple(b"OK".to_vec())
                    }
                    None => Value::Error(b"ERR no such key".to_vec()),
                };
                ("RENAME", vec![from.to_vec(), to.to_vec()], reply)
            }
            Change::Length(stream) => {
                let length = self.entries(*stream).map_or(0, |it| it.kept.len() as u64);
                ("XLEN", vec![STREAMS[*stream].to_vec()], integer(length))
            }
        };
        ([vec![name.as_bytes().to_vec()], more].concat(), reply)
    }

    fn entries(&mut self, stream: usize) -> Option<&mut Entries> {
        self.streams.get_mut(STREAMS[stream])
    }

    fn remove(&mut self, stream: usize) -> bool {
        self.streams.remove(STREAMS[stream]).is_some()
    }

    /// The id and the data to add, and the reply.
    fn add(
        &mut self,
        stream: &'static [u8],
        above: u64,
        kept: Option<u64>,
    ) -> (Vec<u8>, Vec<u8>, Value) {
        let last = self.streams.get(stream).and_then(|entries| entries.last);
        let ms = last.unwrap_or(0) + above;
        let id = format!("{ms}-1").into_bytes();
        let data = format!("{}:{ms}", self.position);
        if last == Some(ms) {
            let text = "ERR The ID specified in XADD is equal or smaller than the target stream \
                        top item";
            return (id, data.into_bytes(), Value::Error(text.into()));
        }
        let position = self.position;
        self.position += 1;
        let entries = self.streams.entry(stream).or_default();
        let number = entries.next;
        entries.next += 1;
        entries.last = Some(ms);
        entries.kept.insert(
            ms,
            Kept {
                number,
                position,
                data: data.clone(),
            },
        );
        if let Some(kept) = kept {
            entries.trim_to_length(kept);
        }
        (id.clone(), data.into_bytes(), Value::Bulk(id))
    }

    /// The ids to delete, and how many are deleted.
    fn delete(&mut self, stream: &[u8], picks: &[u64]) -> (Vec<Vec<u8>>, u64) {
        let mut deleted = 0;
        let mut ids = Vec::new();
        for pick in picks {
            let entries = self.streams.get_mut(stream);
            let ms = entries.as_ref().map_or(*pick, |it| it.pick(*pick));
            ids.push(format!("{ms}-1").into_bytes());
            let removed = entries.and_then(|it| it.kept.remove(&ms));
            deleted += u64::from(removed.is_some());
        }
        (ids, deleted)
    }

    /// Questions about everything, and what has to be answered.
    pub fn questions(&self) -> Vec<(Vec<Vec<u8>>, Value)> {
        let words = |line: &[&[u8]]| line.iter().map(|word| word.to_vec()).collect();
        let names = self.streams.keys().map(|name| Value::Bulk(name.to_vec()));
        let mut asked = vec![(words(&[b"STREAM-NAMES"]), Value::Array(names.collect()))];
        // Tells states apart that differ only in what was added and deleted again.
        let tail = self.position.checked_sub(1);
        let tail = tail.map_or(Value::Nil, integer);
        asked.push((words(&[b"LAST-EVENT-NUMBER", b"$all"]), tail));
        let mut all = BTreeMap::new();
        for name in STREAMS {
            let none = Entries::default();
            let entries = self.streams.get(name).unwrap_or(&none);
            let length = integer(entries.kept.len() as u64);
            asked.push((words(&[b"XLEN", name]), length));
            let tail = entries.next.checked_sub(1);
            let tail = tail.map_or(Value::Nil, integer);
            asked.push((words(&[b"LAST-EVENT-NUMBER", name]), tail));
            let mut range: Vec<Value> = Vec::new();
            for (ms, kept) in &entries.kept {
                range.push(Value::Array(kept.entry(*ms)));
                all.insert(kept.position, Value::Array(kept.event(name, *ms)));
            }
            let backward = range.iter().rev().cloned().collect();
            asked.push((words(&[b"XRANGE", name, b"-", b"+"]), Value::Array(range)));
            let backward = Value::Array(backward);
            asked.push((words(&[b"XREVRANGE", name, b"+", b"-"]), backward));
        }
        let backward = Value::Array(all.values().rev().cloned().collect());
        let all = Value::Array(all.into_values().collect());
        asked.push((words(&[b"READ-EVENTS", b"$all:0:+"]), all));
        asked.push((words(&[b"READ-EVENTS", b"$all:0:+", b"REVERSE"]), backward));
        asked
    }
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).expect("a test's numbers are small"))
}

impl Entries {
    /// Some id around those that are there.
    fn pick(&self, pick: u64) -> u64 {
        pick % (self.last.unwrap_or(0) + 2)
    }

    fn trim_to_length(&mut self, kept: u64) -> u64 {
        let mut trimmed = 0;
        while self.kept.len() as u64 > kept {
            self.kept.pop_first();
            trimmed += 1;
        }
        trimmed
    }
}

impl Kept {
    fn entry(&self, ms: u64) -> Vec<Value> {
        let id = Value::Bulk(format!("{ms}-1").into_bytes());
        let pair = [b"happened".to_vec(), self.data.clone().into_bytes()];
        vec![id, Value::Array(pair.map(Value::Bulk).into())]
    }

    fn event(&self, stream: &[u8], ms: u64) -> Vec<Value> {
        let mut items = vec![
            Value::Bulk(stream.to_vec()),
            integer(self.number),
            integer(self.position),
        ];
        items.extend(self.entry(ms));
        items
    }
}
