//! What the server holds in the end, and what publishers were told, held against each other.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use meilies_client::ErrorKind;

use super::all_streams;
use crate::client::support::{Rig, Stored};

/// Events that somebody tried to publish together, and what came of it. No two events have the
/// same data.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) stream: &'static str,
    pub(super) data: Vec<String>,
    pub(super) outcome: Outcome,
}

/// What the publisher was told.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// They are stored, the first with this number.
    Stored(u64),
    /// They are not.
    NotStored(ErrorKind),
    /// Nobody knows; the same events stand at this number.
    Unknown(Option<u64>),
}

/// All streams, and `$all`.
pub(super) struct Truth {
    sources: HashMap<&'static str, Vec<Stored>>,
}

/// What is left of an event that was delivered: the runs are long.
pub(super) fn digest(event: &Stored) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(event)
}

impl Attempt {
    /// The number of the first event, if they are stored: all of them, one behind the other.
    fn number(&self, places: &HashMap<&[u8], (&str, u64)>) -> Option<u64> {
        let place = |data: &String| places.get(data.as_bytes()).copied();
        let first = place(&self.data[0]).map(|(_, number)| number);
        for (index, data) in self.data.iter().enumerate() {
            let wanted = first.map(|first| (self.stream, first + index as u64));
            assert_eq!(
                place(data),
                wanted,
                "a part is stored, or elsewhere: {self:?}"
            );
        }
        first
    }
}

impl Truth {
    pub(super) fn read(rig: &Rig) -> Self {
        let sources = all_streams().chain(["$all"]);
        Self {
            sources: sources.map(|source| (source, rig.truth(source))).collect(),
        }
    }

    /// The events of a source.
    pub(super) fn of(&self, source: &str) -> &[Stored] {
        &self.sources[source]
    }

    /// Nothing is stored twice, and what the publishers were told is so.
    pub(super) fn compare_attempts(&self, attempts: &[Attempt]) -> String {
        let mut places: HashMap<&[u8], (&str, u64)> = HashMap::new();
        for stream in all_streams() {
            for (index, event) in self.of(stream).iter().enumerate() {
                assert_eq!(event.number, index as u64, "a gap in {stream}");
                let before = places.insert(&event.data, (stream, event.number));
                assert!(before.is_none(), "stored twice: {event:?} and {before:?}");
            }
        }
        assert_eq!(places.len(), self.of("$all").len());
        let (mut stored, mut conflicts, mut failed, mut unknown) = (0, 0, 0, 0);
        for attempt in attempts {
            let number = attempt.number(&places);
            match &attempt.outcome {
                Outcome::Stored(told) => {
                    assert_eq!(number, Some(*told), "{attempt:?} is elsewhere or lost");
                    stored += attempt.data.len();
                }
                Outcome::NotStored(kind) => {
                    assert_eq!(number, None, "{attempt:?} is stored all the same");
                    conflicts += u64::from(*kind == ErrorKind::Conflict);
                    failed += u64::from(*kind != ErrorKind::Conflict);
                }
                Outcome::Unknown(found) => {
                    assert!(
                        found.is_none() || *found == number,
                        "{attempt:?} is at {number:?}"
                    );
                    unknown += 1;
                }
            }
        }
        format!(
            "{stored} events published, {conflicts} conflicts, {failed} failed, {unknown} \
                 unknown: 0 doubled"
        )
    }
}
