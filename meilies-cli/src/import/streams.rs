//! Where each stream is, and so what becomes of a line that has a number.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use meilies_client::{Event, EventNumber, Expect, StreamInfo};

use super::line::Line;
use crate::ends::Ends;
use crate::output::people::escaped;

/// The streams of the lines that have come.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: HashMap<Bytes, Stream>,
}

#[derive(Debug)]
enum Stream {
    /// Its lines have numbers.
    Numbered(Numbered),
    /// Its lines have none.
    Appended,
}

#[derive(Debug)]
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
    Publish(Expect),
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

    /// Takes what the server says of a stream whose lines have numbers.
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
        // By itself: the lines that it comes from are long gone when it is still needed.
        let name = Bytes::copy_from_slice(name);
        self.streams.insert(name, Stream::Numbered(numbered));
    }

    /// Says what to do with a line, and counts on it to be done. If the line has a number its
    /// stream was added before.
    pub(crate) fn place(&mut self, line: &Line) -> Result<Place, PlaceError> {
        let Some(number) = line.number else {
            return self.append(line);
        };
        let numbered = match self.streams.get_mut(&line.stream) {
            Some(Stream::Numbered(numbered)) => numbered,
            Some(Stream::Appended) | None => {
                return Err(PlaceError::Mixed {
                    stream: line.stream.clone(),
                });
            }
        };
        let next = numbered.next;
        if number > next {
            return Err(PlaceError::Gap {
                stream: line.stream.clone(),
                number,
                next,
            });
        }
        if number < next {
            let mut same_number = numbered.there.iter().filter(|there| there.0 == number);
            if same_number.any(|there| there.1 != of_line(line)) {
                return Err(PlaceError::Other {
                    stream: line.stream.clone(),
                    number,
                });
            }
            return Ok(Place::Skip);
        }
        numbered.next += 1;
        Ok(Place::Publish(match number.checked_sub(1) {
            None => Expect::None,
            Some(last) => Expect::Number(last),
        }))
    }

    fn append(&mut self, line: &Line) -> Result<Place, PlaceError> {
        match self.streams.get(&line.stream) {
            Some(Stream::Appended) => {}
            Some(Stream::Numbered(_)) => {
                return Err(PlaceError::Mixed {
                    stream: line.stream.clone(),
                });
            }
            None => {
                let name = Bytes::copy_from_slice(&line.stream);
                self.streams.insert(name, Stream::Appended);
            }
        }
        Ok(Place::Publish(Expect::Any))
    }
}

fn of_event(event: &Event) -> u64 {
    let fields = event.fields.iter();
    hash(fields.map(|(name, value)| (&name[..], &value[..])))
}

fn of_line(line: &Line) -> u64 {
    hash(std::iter::once((&line.name[..], &line.data[..])))
}

fn hash<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> u64 {
    let mut hasher = DefaultHasher::new();
    fields.for_each(|field| field.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use meilies_client::{EventId, StreamName};

    use super::*;

    fn line(number: impl Into<Option<u64>>, data: &'static str) -> Line {
        Line {
            stream: "s".into(),
            number: number.into(),
            name: "n".into(),
            data: data.into(),
        }
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
        assert_eq!(
            streams.place(&line(0, "a")),
            Ok(Place::Publish(Expect::None))
        );
        assert_eq!(
            streams.place(&line(1, "b")),
            Ok(Place::Publish(Expect::Number(0)))
        );
        // What was published meanwhile is there, too.
        assert_eq!(streams.place(&line(0, "a")), Ok(Place::Skip));
        assert_eq!(
            streams.place(&line(2, "c")),
            Ok(Place::Publish(Expect::Number(1)))
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
            Ok(Place::Publish(Expect::Number(2)))
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
        assert_eq!(
            appended.place(&line(None, "a")),
            Ok(Place::Publish(Expect::Any))
        );
        assert!(appended.is_known(&"s".into()));
        assert!(matches!(
            appended.place(&line(1, "b")),
            Err(PlaceError::Mixed { .. })
        ));
        let mut numbered = streams(&event(0, "a"), &event(0, "a"));
        assert!(matches!(
            numbered.place(&line(None, "b")),
            Err(PlaceError::Mixed { .. })
        ));
    }
}
