//! Where each stream is, and so what becomes of a line that has a number.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use meilies_client::{Event, EventId, EventNumber, Expect, StreamInfo};

use super::line::Line;
use crate::ends::Ends;
use crate::output::people::escaped;

/// The streams of the lines that have come.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: HashMap<Bytes, Stream>,
}

#[derive(Debug)]
struct Stream {
    kind: Kind,
    /// The last id that there is, or will be when what comes before is stored. Nothing once an
    /// event got a new one: which, only the server knows.
    last_id: Option<EventId>,
}

#[derive(Debug)]
enum Kind {
    /// The server was asked, and no line has come.
    Asked(Numbered),
    /// Its lines have numbers.
    Numbered(Numbered),
    /// Its lines have none.
    Appended,
}

#[derive(Debug, Default)]
struct Numbered {
    /// The number of the next event that is published.
    next: EventNumber,
    /// Numbers of the server's first and last event at the beginning, with what tells them from
    /// others: all of them would be too much to compare.
    there: Vec<(EventNumber, u64)>,
}

/// What the server says of a stream at the beginning.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) info: StreamInfo,
    pub(crate) ends: Ends,
}

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The server has it.
    Skip,
    /// Its turn has come.
    Publish {
        /// What is expected of its stream.
        expect: Expect,
        /// The id that it keeps.
        id: Option<EventId>,
    },
}

/// Why a line cannot be imported.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PlaceError {
    /// Numbers are missing before it.
    Gap {
        /// Whose.
        stream: Bytes,
        /// The line's.
        number: EventNumber,
        /// The number that would be next.
        next: EventNumber,
    },
    /// The server has another event under this number.
    Other {
        /// Whose.
        stream: Bytes,
        /// Which.
        number: EventNumber,
    },
    /// Other lines of this stream have numbers, or have none, unlike this one.
    Mixed {
        /// Whose.
        stream: Bytes,
    },
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaceError::Gap {
                stream,
                number,
                next,
            } => write!(
                f,
                "stream '{}' goes on with number {next}, and the line has number {number}",
                escaped(stream)
            ),
            PlaceError::Other { stream, number } => write!(
                f,
                "stream '{}' has another event under number {number}",
                escaped(stream)
            ),
            PlaceError::Mixed { stream } => write!(
                f,
                "some lines of stream '{}' have a number and others have none; --renumber appends \
                 them all",
                escaped(stream)
            ),
        }
    }
}

impl Streams {
    /// Whether a stream needs not to be asked about.
    pub(crate) fn is_known(&self, name: &Bytes) -> bool {
        self.streams.contains_key(name)
    }

    /// Takes what the server says of a stream, before its first line comes.
    pub(crate) fn add(&mut self, name: &[u8], standing: Option<&Standing>) {
        let events = standing.map(|standing| [&standing.ends.first, &standing.ends.last]);
        let events = events.into_iter().flatten().flatten();
        let last = standing.and_then(|standing| standing.info.last_event_number);
        let numbered = Numbered {
            next: last.map_or(0, |last| last + 1),
            there: events
                .map(|event| (event.number, of_event(event)))
                .collect(),
        };
        let stream = Stream {
            kind: Kind::Asked(numbered),
            last_id: Some(standing.map_or(EventId::MIN, |standing| standing.info.last_id)),
        };
        // By itself: the lines that it comes from are long gone when it is still needed.
        self.streams.insert(Bytes::copy_from_slice(name), stream);
    }

    /// Says what to do with a line, and counts on it to be done. If the line has a number or an id
    /// its stream was added before.
    pub(crate) fn place(&mut self, line: &Line) -> Result<Place, PlaceError> {
        if !self.streams.contains_key(&line.stream) {
            let stream = Stream {
                kind: Kind::Appended,
                last_id: None,
            };
            let name = Bytes::copy_from_slice(&line.stream);
            self.streams.insert(name, stream);
        }
        let stream = self.streams.get_mut(&line.stream);
        let stream = stream.expect("it was inserted if it was not there");
        if let (Some(_), Kind::Asked(numbered)) = (line.number, &mut stream.kind) {
            stream.kind = Kind::Numbered(std::mem::take(numbered));
        }
        let expect = match (line.number, &mut stream.kind) {
            (Some(number), Kind::Numbered(numbered)) => numbered.expect(line, number)?,
            (None, Kind::Asked(_) | Kind::Appended) => {
                stream.kind = Kind::Appended;
                Some(Expect::Any)
            }
            (Some(_), Kind::Asked(_) | Kind::Appended) | (None, Kind::Numbered(_)) => {
                return Err(PlaceError::Mixed {
                    stream: line.stream.clone(),
                });
            }
        };
        Ok(match expect {
            None => Place::Skip,
            Some(expect) => Place::Publish {
                expect,
                id: stream.keep(line.id),
            },
        })
    }
}

impl Numbered {
    /// What is expected before a line with this number; nothing if it is there already.
    fn expect(&mut self, line: &Line, number: EventNumber) -> Result<Option<Expect>, PlaceError> {
        let next = self.next;
        if number > next {
            return Err(PlaceError::Gap {
                stream: line.stream.clone(),
                number,
                next,
            });
        }
        if number < next {
            let mut same_number = self.there.iter().filter(|there| there.0 == number);
            if same_number.any(|there| there.1 != of_line(line)) {
                return Err(PlaceError::Other {
                    stream: line.stream.clone(),
                    number,
                });
            }
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(match number.checked_sub(1) {
            None => Expect::None,
            Some(last) => Expect::Number(last),
        }))
    }
}

impl Stream {
    /// The id that a line keeps: its own if the stream can take it.
    fn keep(&mut self, id: Option<EventId>) -> Option<EventId> {
        let last = self.last_id?;
        self.last_id = id.filter(|id| *id > last);
        self.last_id
    }
}

fn of_event(event: &Event) -> u64 {
    let fields = event.fields.iter();
    hash(fields.map(|(name, value)| (&name[..], &value[..])))
}

fn of_line(line: &Line) -> u64 {
    hash(line.content.fields())
}

fn hash<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> u64 {
    let mut hasher = DefaultHasher::new();
    fields.for_each(|field| field.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use meilies_client::StreamName;

    use super::*;
    use crate::content::Content;

    fn line(number: impl Into<Option<u64>>, data: &'static str) -> Line {
        Line {
            stream: "s".into(),
            number: number.into(),
            id: None,
            content: Content::One("n".into(), data.into()),
        }
    }

    fn published(expect: Expect) -> Place {
        Place::Publish { expect, id: None }
    }

    fn event(number: u64, data: &'static str) -> Event {
        Event {
            stream: StreamName::parse("s".into()).expect("a good name"),
            number,
            position: number,
            id: EventId::new(1, number),
            fields: vec![("n".into(), data.into())],
        }
    }

    fn streams(first: &Event, last: &Event) -> Streams {
        let mut streams = Streams::default();
        let standing = Standing {
            info: StreamInfo {
                name: last.stream.clone(),
                stream_id: 1,
                last_event_number: Some(last.number),
                first_event_number: Some(first.number),
                events: last.number + 1,
                last_id: last.id,
                created_at_ms: 0,
            },
            ends: Ends {
                first: Some(first.clone()),
                last: Some(last.clone()),
            },
        };
        streams.add(b"s", Some(&standing));
        streams
    }

    #[test]
    fn each_event_expects_the_one_before_it() {
        let mut streams = Streams::default();
        streams.add(b"s", None);
        assert!(streams.is_known(&"s".into()) && !streams.is_known(&"t".into()));
        assert_eq!(streams.place(&line(0, "a")), Ok(published(Expect::None)));
        assert_eq!(
            streams.place(&line(1, "b")),
            Ok(published(Expect::Number(0)))
        );
        // What was published meanwhile is there, too.
        assert_eq!(streams.place(&line(0, "a")), Ok(Place::Skip));
        assert_eq!(
            streams.place(&line(2, "c")),
            Ok(published(Expect::Number(1)))
        );
    }

    #[test]
    fn what_is_there_is_skipped() {
        let mut streams = streams(&event(0, "a"), &event(2, "c"));
        assert_eq!(streams.place(&line(0, "a")), Ok(Place::Skip));
        assert_eq!(streams.place(&line(1, "b")), Ok(Place::Skip));
        assert_eq!(streams.place(&line(2, "c")), Ok(Place::Skip));
        assert_eq!(
            streams.place(&line(3, "d")),
            Ok(published(Expect::Number(2)))
        );
    }

    #[test]
    fn another_history_is_noticed_at_its_ends() {
        for (number, data) in [(0, "x"), (2, "x")] {
            let mut streams = streams(&event(0, "a"), &event(2, "c"));
            let refusal = streams.place(&line(number, data)).expect_err("it differs");
            assert_eq!(
                refusal.to_string(),
                format!("stream 's' has another event under number {number}")
            );
        }
    }

    #[test]
    fn a_gap_is_refused() {
        let mut streams = streams(&event(0, "a"), &event(2, "c"));
        let refusal = streams
            .place(&line(5, "f"))
            .expect_err("3 and 4 are missing");
        assert_eq!(
            refusal.to_string(),
            "stream 's' goes on with number 3, and the line has number 5"
        );
    }

    #[test]
    fn lines_of_a_stream_are_all_of_one_kind() {
        let mut appended = Streams::default();
        assert_eq!(appended.place(&line(None, "a")), Ok(published(Expect::Any)));
        assert!(appended.is_known(&"s".into()));
        assert!(matches!(
            appended.place(&line(1, "b")),
            Err(PlaceError::Mixed { .. })
        ));
        let mut numbered = streams(&event(0, "a"), &event(0, "a"));
        assert_eq!(numbered.place(&line(0, "a")), Ok(Place::Skip));
        assert!(matches!(
            numbered.place(&line(None, "b")),
            Err(PlaceError::Mixed { .. })
        ));
    }

    #[test]
    fn ids_are_kept_as_long_as_they_ascend() {
        let mut streams = streams(&event(0, "a"), &event(2, "c"));
        let mut place = |number, id: Option<(u64, u64)>| {
            let line = Line {
                id: id.map(|(ms, seq)| EventId::new(ms, seq)),
                ..line(number, "x")
            };
            match streams.place(&line) {
                Ok(Place::Publish { id, .. }) => id.map(|id| (id.ms, id.seq)),
                other => panic!("{other:?}"),
            }
        };
        // The last one is 1-2.
        assert_eq!(place(3, Some((1, 3))), Some((1, 3)));
        assert_eq!(place(4, Some((7, 0))), Some((7, 0)));
        assert_eq!(place(5, Some((7, 0))), None);
        // Now only the server knows the last one.
        assert_eq!(place(6, Some((9, 0))), None);
    }
}
