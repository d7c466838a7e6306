//! Where each stream is: which event of the source comes next, and which number it gets.

use std::collections::HashMap;

use meilies_client::{Event, EventId, EventNumber, StreamName};

use super::Transfer;
use crate::content::Content;
use crate::failure::Failure;

/// Which event of a stream comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number at the source.
    pub(super) source: EventNumber,
    /// Its number at the destination.
    pub(super) destination: EventNumber,
    /// The last id at the destination. Nothing once an event got a new one: which, only the
    /// destination knows.
    last_id: Option<EventId>,
}

impl Place {
    /// The place behind so many events, the first of which has the number `base` at the source and
    /// the last of which left this id at the destination.
    pub(super) fn behind(base: EventNumber, count: u64, last_id: EventId) -> Place {
        Place {
            source: base.saturating_add(count),
            destination: count,
            last_id: Some(last_id),
        }
    }

    /// The id that the next event keeps: its own if the destination can take it.
    fn keep(&mut self, id: EventId) -> Option<EventId> {
        self.last_id = self.last_id.filter(|last| id > *last).map(|_lower| id);
        self.last_id
    }
}

/// The places of streams. One that is not known is at its beginning.
#[derive(Clone, Debug)]
pub(super) struct Places {
    places: HashMap<StreamName, Place>,
    /// Whether events get new ids at the destination.
    new_ids: bool,
}

impl Places {
    pub(super) fn new(new_ids: bool) -> Places {
        Places {
            places: HashMap::new(),
            new_ids,
        }
    }

    pub(super) fn set(&mut self, stream: StreamName, place: Place) {
        self.places.insert(stream, place);
    }

    /// Takes an event of the source. Gives nothing if the destination has it.
    pub(super) fn take(&mut self, event: Event) -> Result<Option<Transfer>, Failure> {
        let beginning = Place::behind(0, 0, EventId::MIN);
        if !self.places.contains_key(&event.stream) {
            self.places.insert(event.stream.detached(), beginning);
        }
        let place = self.places.entry(event.stream.clone());
        let place = place.or_insert(beginning);
        if event.number < place.source {
            return Ok(None);
        }
        if event.number > place.source {
            return Err(gap(&event.stream, place.source, event.number));
        }
        let number = place.destination;
        place.source += 1;
        place.destination += 1;
        let id = match self.new_ids {
            true => None,
            false => place.keep(event.id),
        };
        Ok(Some(Transfer {
            stream: event.stream,
            number,
            id,
            content: Content::of(event.fields),
        }))
    }
}

/// What it means that `found` comes where `missing` should.
pub(super) fn gap(stream: &StreamName, missing: EventNumber, found: EventNumber) -> Failure {
    Failure::Missing(format!(
        "the source has no event {missing} of '{stream}', but {found}: it was deleted or lost, \
         and what is behind it cannot keep its numbers"
    ))
}

#[cfg(test)]
mod tests {
    use meilies_client::Bytes;

    use super::*;

    fn name(name: &'static str) -> StreamName {
        StreamName::parse(name.into()).expect("a good name")
    }

    fn event(stream: &'static str, number: u64, fields: usize) -> Event {
        let field = (Bytes::from_static(b"name"), Bytes::from_static(b"data"));
        Event {
            stream: name(stream),
            number,
            position: number,
            id: EventId::new(1, number),
            fields: vec![field; fields],
        }
    }

    fn number(places: &mut Places, stream: &'static str, number: u64) -> Option<u64> {
        let taken = places.take(event(stream, number, 1)).expect("no gap");
        taken.map(|transfer| transfer.number)
    }

    #[test]
    fn what_is_there_is_left_out_and_the_rest_is_numbered() {
        let mut places = Places::new(false);
        places.set(name("a"), Place::behind(5, 2, EventId::MIN));
        assert_eq!(number(&mut places, "a", 5), None);
        assert_eq!(number(&mut places, "a", 6), None);
        assert_eq!(number(&mut places, "a", 7), Some(2));
        assert_eq!(number(&mut places, "a", 8), Some(3));
        assert_eq!(number(&mut places, "new", 0), Some(0));
        assert_eq!(number(&mut places, "new", 1), Some(1));
    }

    #[test]
    fn a_gap_stops_before_anything_behind_it_is_copied() {
        let mut places = Places::new(false);
        assert_eq!(number(&mut places, "a", 0), Some(0));
        let failure = places.take(event("a", 2, 1)).expect_err("1 is missing");
        assert!(
            failure.to_string().contains("no event 1 of 'a', but 2"),
            "{failure}"
        );
        assert_eq!(failure.exit_code(), 4);
    }

    #[test]
    fn ids_are_kept_as_long_as_they_ascend() {
        // The events have the ids 1-0, 1-1 ….
        let ids = |places: &mut Places| {
            [0, 1, 2].map(|number| {
                let taken = places.take(event("a", number, 1)).expect("no gap");
                taken.expect("it is not there").id.map(|id| id.seq)
            })
        };
        let mut places = Places::new(false);
        assert_eq!(ids(&mut places), [Some(0), Some(1), Some(2)]);
        places.set(name("a"), Place::behind(0, 0, EventId::new(1, 0)));
        assert_eq!(ids(&mut places), [None, None, None]);
        assert_eq!(ids(&mut Places::new(true)), [None, None, None]);
    }

    #[test]
    fn an_event_keeps_all_its_fields() {
        for fields in [1, 2] {
            let taken = Places::new(false).take(event("a", 0, fields));
            let transfer = taken.expect("no gap").expect("it is not there");
            assert_eq!(transfer.content.fields().count(), fields);
        }
    }
}
