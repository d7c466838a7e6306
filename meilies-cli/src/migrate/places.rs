//! Where each stream is: which event of the source comes next, and which number it gets.

use std::collections::HashMap;

use meilies_client::{Event, EventNumber, StreamName};

use super::Transfer;
use crate::failure::Failure;

/// Which event of a stream comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number at the source.
    pub(super) source: EventNumber,
    /// Its number at the destination.
    pub(super) destination: EventNumber,
}

impl Place {
    /// The place behind so many events, the first of which has the number `base` at the source.
    pub(super) fn behind(base: EventNumber, count: u64) -> Place {
        Place {
            source: base.saturating_add(count),
            destination: count,
        }
    }
}

/// The places of streams. One that is not known is at its beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(HashMap<StreamName, Place>);

impl Places {
    pub(super) fn set(&mut self, stream: StreamName, place: Place) {
        self.0.insert(stream, place);
    }

    /// Takes an event of the source. Gives nothing if the destination has it.
    pub(super) fn take(&mut self, event: Event) -> Result<Option<Transfer>, Failure> {
        if !self.0.contains_key(&event.stream) {
            self.0.insert(event.stream.detached(), Place::default());
        }
        let place = self.0.entry(event.stream.clone()).or_default();
        if event.number < place.source {
            return Ok(None);
        }
        if event.number > place.source {
            return Err(gap(&event.stream, place.source, event.number));
        }
        let number = place.destination;
        place.source += 1;
        place.destination += 1;
        Ok(Some(transfer(event, number)?))
    }
}

/// PUBLISH stores one name with one value.
fn transfer(event: Event, number: EventNumber) -> Result<Transfer, Failure> {
    let Event {
        stream,
        number: at_source,
        mut fields,
        ..
    } = event;
    let count = fields.len();
    match fields.pop() {
        Some((name, data)) if count == 1 => Ok(Transfer {
            stream,
            number,
            name,
            data,
        }),
        _ => Err(Failure::Input(format!(
            "event {at_source} of '{stream}' has {count} fields: only events with a name and data \
             can be published"
        ))),
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
    use meilies_client::{Bytes, EventId};

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
        let mut places = Places::default();
        places.set(name("a"), Place::behind(5, 2));
        assert_eq!(number(&mut places, "a", 5), None);
        assert_eq!(number(&mut places, "a", 6), None);
        assert_eq!(number(&mut places, "a", 7), Some(2));
        assert_eq!(number(&mut places, "a", 8), Some(3));
        assert_eq!(number(&mut places, "new", 0), Some(0));
        assert_eq!(number(&mut places, "new", 1), Some(1));
    }

    #[test]
    fn a_gap_stops_before_anything_behind_it_is_copied() {
        let mut places = Places::default();
        assert_eq!(number(&mut places, "a", 0), Some(0));
        let failure = places.take(event("a", 2, 1)).expect_err("1 is missing");
        assert!(
            failure.to_string().contains("no event 1 of 'a', but 2"),
            "{failure}"
        );
        assert_eq!(failure.exit_code(), 4);
    }

    #[test]
    fn an_event_of_several_fields_cannot_be_published() {
        for fields in [0, 2] {
            let taken = Places::default().take(event("a", 0, fields));
            let text = taken.expect_err("no event of PUBLISH").to_string();
            assert!(
                text.contains(&format!("event 0 of 'a' has {fields} fields")),
                "{text}"
            );
        }
    }
}
