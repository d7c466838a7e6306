//! The body of an event batch, byte by byte.
//!
//! Each event is a varint (LEB128, at most 10 bytes) with the length of what follows, then:
//!
//! ```text
//! flags u8        1 = id given, 2 = time given, 4 = metadata, 8 = idempotency key,
//!                 16 = positions skipped; others are refused
//! [16] varint     how many positions of the same commit lie between the event before and this one
//! [2] varint      ms since the batch's recorded_at
//! [1] zigzag      id's ms minus the event's recorded_at, then varint: id's seq
//!                 without flag 1 the id is the one before plus one in seq
//! [4] varint+bytes  metadata
//! [8] varint+bytes  idempotency key
//! varint          number of (name, value) pairs, then for each two times varint+bytes
//! ```
//!
//! The first event of a batch has its id given. Everything here is plain computation on slices.

use bytes::{BufMut, Bytes, BytesMut};
use meilies_protocol::EventId;

use crate::engine::varint::{put_varint, take_bytes, take_varint, unzigzag, varint_bytes, zigzag};

const ID_GIVEN: u8 = 1;
const TIME_GIVEN: u8 = 2;
const METADATA: u8 = 4;
const KEY: u8 = 8;
const POSITIONS_SKIPPED: u8 = 16;
const KNOWN: u8 = ID_GIVEN | TIME_GIVEN | METADATA | KEY | POSITIONS_SKIPPED;

/// A body that does not follow the format though its checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {index} of the batch is malformed")]
pub struct BodyError {
    /// Index of the event in its batch.
    pub index: u32,
}

/// Writes the events of one batch.
#[derive(Debug)]
pub struct BodyWriter {
    recorded_at: u64,
    previous: Option<(u64, EventId)>,
}

impl BodyWriter {
    /// For a batch recorded at this time (ms since 1970 UTC).
    pub fn new(recorded_at: u64) -> Self {
        BodyWriter {
            recorded_at,
            previous: None,
        }
    }

    /// Appends one event to `out`. Positions ascend.
    pub fn push(
        &mut self,
        out: &mut BytesMut,
        (position, id): (u64, EventId),
        key: Option<&[u8]>,
        fields: &[Bytes],
    ) {
        debug_assert!(fields.len() >= 2 && fields.len().is_multiple_of(2));
        let follows = self.previous.is_some_and(|(_, previous)| {
            previous.ms == id.ms && previous.seq.checked_add(1) == Some(id.seq)
        });
        let skipped = match self.previous {
            Some((previous, _)) => position - previous - 1,
            None => 0,
        };
        self.previous = Some((position, id));
        let id_ms = zigzag(id.ms.wrapping_sub(self.recorded_at));
        let pairs = (fields.len() / 2) as u64;
        let mut length = 1 + varint_bytes(pairs);
        if skipped > 0 {
            length += varint_bytes(skipped);
        }
        if !follows {
            length += varint_bytes(id_ms) + varint_bytes(id.seq);
        }
        for item in key.into_iter().chain(fields.iter().map(|item| &item[..])) {
            length += varint_bytes(item.len() as u64) + item.len();
        }
        out.reserve(length + 10);
        put_varint(out, length as u64);
        let id_given = if follows { 0 } else { ID_GIVEN };
        let positions_skipped = if skipped > 0 { POSITIONS_SKIPPED } else { 0 };
        let keyed = if key.is_some() { KEY } else { 0 };
        out.put_u8(id_given | positions_skipped | keyed);
        if skipped > 0 {
            put_varint(out, skipped);
        }
        if !follows {
            put_varint(out, id_ms);
            put_varint(out, id.seq);
        }
        if let Some(key) = key {
            put_bytes(out, key);
        }
        put_varint(out, pairs);
        for item in fields {
            put_bytes(out, item);
        }
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// One event of a batch.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    /// Number in its stream.
    pub number: u64,
    /// Position in the store.
    pub position: u64,
    /// Its id.
    pub id: EventId,
    /// When it was recorded, ms since 1970 UTC.
    pub recorded_at: u64,
    /// Idempotency key it was written with.
    pub key: Option<&'a [u8]>,
    /// Metadata beside the fields.
    pub metadata: Option<&'a [u8]>,
    /// How many (name, value) pairs, one at least.
    pub pairs: usize,
    fields: &'a [u8],
}

impl<'a> EventRef<'a> {
    /// The (name, value) pairs in order.
    pub fn fields(&self) -> FieldPairs<'a> {
        FieldPairs { rest: self.fields }
    }
}

/// What a walk over a whole body found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Positions from the first event to the last, those skipped included.
    pub positions: u64,
    /// Id of the first event.
    pub first_id: EventId,
    /// Id of the last event.
    pub last_id: EventId,
    /// How many events have keys.
    pub keyed: u32,
}

/// Iterates over an event's (name, value) pairs.
#[derive(Clone, Debug)]
pub struct FieldPairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for FieldPairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let name = take_bytes(&mut self.rest)?;
        Some((name, take_bytes(&mut self.rest)?))
    }
}

/// Iterates over the events of a batch.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    rest: &'a [u8],
    recorded_at: u64,
    number: u64,
    position: u64,
    previous: Option<EventId>,
}

impl<'a> Events<'a> {
    /// The events of a body that was verified.
    pub fn new(rest: &'a [u8], recorded_at: u64, number: u64, position: u64) -> Self {
        Events {
            rest,
            recorded_at,
            number,
            position,
            previous: None,
        }
    }

    /// Walks a whole body: it must hold exactly `count` well-formed events.
    pub fn verify(body: &'a [u8], recorded_at: u64, count: u32) -> Result<Walked, BodyError> {
        let mut events = Events::new(body, recorded_at, 0, 0);
        let mut first_id = None;
        let mut keyed = 0;
        for index in 0..count {
            let event = events.next().ok_or(BodyError { index })?;
            let mut fields = event.fields();
            let whole = fields.by_ref().count() == event.pairs && fields.rest.is_empty();
            if event.pairs == 0 || !whole {
                return Err(BodyError { index });
            }
            first_id.get_or_insert(event.id);
            keyed += u32::from(event.key.is_some());
        }
        match (events.rest.is_empty(), first_id, events.previous) {
            (true, Some(first_id), Some(last_id)) => Ok(Walked {
                positions: events.position,
                first_id,
                last_id,
                keyed,
            }),
            _ => Err(BodyError { index: count }),
        }
    }

    fn id(&self, given: bool, recorded_at: u64, event: &mut &[u8]) -> Option<EventId> {
        if !given {
            let previous = self.previous?;
            let seq = previous.seq.checked_add(1)?;
            return Some(EventId {
                ms: previous.ms,
                seq,
            });
        }
        let ms = recorded_at.wrapping_add(unzigzag(take_varint(event)?));
        let seq = take_varint(event)?;
        Some(EventId { ms, seq })
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = EventRef<'a>;

    fn next(&mut self) -> Option<EventRef<'a>> {
        let mut event = take_bytes(&mut self.rest)?;
        let (&flags, rest) = event.split_first()?;
        event = rest;
        if flags & !KNOWN != 0 {
            return None;
        }
        let mut position = self.position;
        if flags & POSITIONS_SKIPPED != 0 {
            position = position.checked_add(take_varint(&mut event)?)?;
        }
        let mut recorded_at = self.recorded_at;
        if flags & TIME_GIVEN != 0 {
            recorded_at = recorded_at.checked_add(take_varint(&mut event)?)?;
        }
        let id = self.id(flags & ID_GIVEN != 0, recorded_at, &mut event)?;
        let metadata = take_flagged(&mut event, flags & METADATA != 0)?;
        let key = take_flagged(&mut event, flags & KEY != 0)?;
        let pairs = usize::try_from(take_varint(&mut event)?).ok()?;
        let found = EventRef {
            number: self.number,
            position,
            id,
            recorded_at,
            key,
            metadata,
            pairs,
            fields: event,
        };
        self.number += 1;
        self.position = position + 1;
        self.previous = Some(id);
        Some(found)
    }
}

/// `Some(None)` when the flag is not set, `None` when the bytes are too short.
#[allow(clippy::option_option)] // As `?` takes it: the outer says whether to go on.
fn take_flagged<'a>(from: &mut &'a [u8], flagged: bool) -> Option<Option<&'a [u8]>> {
    if !flagged {
        return Some(None);
    }
    take_bytes(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(recorded_at: u64, events: &[(EventId, Vec<Bytes>)]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut writer = BodyWriter::new(recorded_at);
        let mut position = 9;
        for (id, fields) in events {
            writer.push(&mut out, (position, *id), None, fields);
            position += 1 + position % 3;
        }
        out
    }

    proptest! {
        #[test]
        fn events_come_back_as_they_were_written(
            recorded_at: u64,
            events in proptest::collection::vec(
                (any::<u64>(), any::<u64>(), any::<bool>(),
                 proptest::collection::vec(
                    (proptest::collection::vec(any::<u8>(), 0..200), any::<[u8; 3]>()), 1..4)),
                1..20),
        ) {
            let mut previous = EventId { ms: 0, seq: 0 };
            let events: Vec<(EventId, Vec<Bytes>)> = events
                .into_iter()
                .map(|(ms, seq, follow, pairs)| {
                    let id = match follow {
                        true => EventId { ms: previous.ms, seq: previous.seq.wrapping_add(1) },
                        false => EventId { ms, seq },
                    };
                    previous = id;
                    let fields = pairs
                        .into_iter()
                        .flat_map(|(name, value)| [Bytes::from(name), value.to_vec().into()])
                        .collect();
                    (id, fields)
                })
                .collect();
            let body = body(recorded_at, &events);
            let count = u32::try_from(events.len()).unwrap();
            prop_assert!(Events::verify(&body, recorded_at, count).is_ok());
            let mut position = 9;
            for ((id, fields), found) in events.iter().zip(Events::new(&body, recorded_at, 7, 9)) {
                prop_assert_eq!(found.id, *id);
                prop_assert_eq!(found.position, position);
                position += 1 + position % 3;
                prop_assert_eq!(found.recorded_at, recorded_at);
                let pairs: Vec<(&[u8], &[u8])> = found.fields().collect();
                let given: Vec<(&[u8], &[u8])> =
                    fields.chunks(2).map(|pair| (&pair[0][..], &pair[1][..])).collect();
                prop_assert_eq!(pairs, given);
            }
        }

        #[test]
        fn damaged_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _verdict = Events::verify(&bytes, 5, 3);
            for event in Events::new(&bytes, 5, 0, 0) {
                let _pairs = event.fields().count();
            }
        }
    }

    #[test]
    fn a_short_event_costs_few_bytes() {
        let fields = vec![Bytes::from_static(b"n"), Bytes::from_static(&[b'x'; 100])];
        let first = EventId { ms: 1000, seq: 0 };
        let second = EventId { ms: 1000, seq: 1 };
        let one = body(1000, &[(first, fields.clone())]).len();
        let two = body(1000, &[(first, fields.clone()), (second, fields)]).len();
        assert_eq!(one - 101, 7);
        assert_eq!(two - one - 101, 5);
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        let fields = vec![Bytes::from_static(b"n"), Bytes::from_static(b"v")];
        let mut body = body(1, &[(EventId { ms: 1, seq: 0 }, fields)]);
        assert_eq!(
            Events::verify(&body, 1, 1).map(|walked| walked.positions),
            Ok(1)
        );
        body[1] |= 0x40;
        assert_eq!(Events::verify(&body, 1, 1), Err(BodyError { index: 0 }));
    }
}
