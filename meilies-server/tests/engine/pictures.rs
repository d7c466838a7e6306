//! What a store shows of itself, so that it can be compared: streams, their events both ways, what
//! is found by id, pages.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use meilies_protocol::EventId;
use meilies_server::engine::{Run, StoreError, StreamSummary, StreamsPage, View};

/// An event; its fields only as a checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenEvent {
    pub(crate) number: u64,
    pub(crate) position: u64,
    pub(crate) id: EventId,
    pub(crate) digest: u64,
}

impl SeenEvent {
    pub(crate) fn new<F: AsRef<[u8]>>(
        number: u64,
        position: u64,
        id: EventId,
        fields: &[F],
    ) -> SeenEvent {
        let mut hasher = DefaultHasher::new();
        for field in fields {
            field.as_ref().hash(&mut hasher);
        }
        SeenEvent {
            number,
            position,
            id,
            digest: hasher.finish(),
        }
    }
}

/// All that can be asked of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) tail: Option<u64>,
    pub(crate) first: u64,
    pub(crate) deleted: u64,
    pub(crate) last_id: EventId,
    pub(crate) max_deleted_id: EventId,
    pub(crate) added: u64,
    pub(crate) ends: Option<(u64, u64)>,
    pub(crate) forward: Vec<SeenEvent>,
    pub(crate) backward: Vec<SeenEvent>,
    /// For ids: where they begin, whether exactly there, and the number of the event.
    pub(crate) found: Vec<(EventId, u64, bool, Option<u64>)>,
}

/// All streams: names and ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    pub(crate) count: u64,
    pub(crate) next_position: u64,
    pub(crate) by_name: Vec<(String, u64)>,
    pub(crate) by_id: Vec<(String, u64)>,
}

/// The ids to look for: some fixed ones, and those around the events that are there.
pub(crate) fn probes(events: &[SeenEvent]) -> Vec<EventId> {
    let mut ids: Vec<EventId> = [0, 5, 20, 40, 80, 160].map(|ms| EventId::new(ms, 1)).into();
    ids.extend([EventId::MIN, EventId::MAX]);
    for event in events.iter().step_by(3) {
        ids.extend([event.id, event.id.next().unwrap_or(EventId::MAX)]);
    }
    ids.extend(events.last().map(|event| event.id));
    ids
}

/// The events of a run, the last first if `reverse`.
pub(crate) fn seen(run: &Run, reverse: bool) -> Vec<SeenEvent> {
    let events = run.events().map(|event| {
        let fields: Vec<&[u8]> = event
            .fields()
            .flat_map(|(name, value)| [name, value])
            .collect();
        SeenEvent::new(event.number, event.position, event.id, &fields)
    });
    let mut events: Vec<SeenEvent> = events.collect();
    if reverse {
        events.reverse();
    }
    events
}

/// The picture of a stream; its events are read about `bytes_max` bytes at a time.
pub(crate) fn picture(
    view: &dyn View,
    stream: &StreamSummary,
    bytes_max: usize,
) -> Result<Picture, StoreError> {
    let forward = events(view, stream, false, bytes_max)?;
    let mut found = Vec::new();
    for id in probes(&forward) {
        let at = view.find(stream, id)?;
        found.push((id, at.number, at.is_exact, view.number_of(stream, id)?));
    }
    Ok(Picture {
        name: stream.name.to_string(),
        id: stream.id,
        tail: stream.tail,
        first: stream.first,
        deleted: stream.deleted,
        last_id: stream.last_id,
        max_deleted_id: stream.max_deleted_id,
        added: stream.added(),
        ends: view.ends(stream)?,
        backward: events(view, stream, true, bytes_max)?,
        forward,
        found,
    })
}

fn events(
    view: &dyn View,
    stream: &StreamSummary,
    reverse: bool,
    bytes_max: usize,
) -> Result<Vec<SeenEvent>, StoreError> {
    let mut found = Vec::new();
    let mut left: Range<u64> = 0..u64::MAX;
    while !left.is_empty() && left.start < stream.next_number() {
        let (runs, next) = view.runs(stream, left.clone(), reverse, bytes_max)?;
        found.extend(runs.iter().flat_map(|run| seen(run, reverse)));
        let before = left.clone();
        match reverse {
            false => left.start = next,
            true => left.end = next.max(stream.first),
        }
        assert_ne!(left, before, "reading goes on");
        if reverse && left.end <= stream.first {
            break;
        }
    }
    Ok(found)
}

/// All streams in pages of this many.
pub(crate) fn pages(view: &dyn View, limit: usize) -> Result<Pages, StoreError> {
    let mut all: [Vec<(String, u64)>; 2] = Default::default();
    for (found, first) in all
        .iter_mut()
        .zip([StreamsPage::ByName(None), StreamsPage::ById(0)])
    {
        let mut page = first;
        loop {
            let streams = view.streams(&page, limit)?;
            found.extend(
                streams
                    .iter()
                    .map(|stream| (stream.name.to_string(), stream.id)),
            );
            let Some(last) = streams.last().filter(|_| streams.len() == limit) else {
                break;
            };
            page = match page {
                StreamsPage::ByName(_) => StreamsPage::ByName(Some(last.name.clone())),
                StreamsPage::ById(_) => StreamsPage::ById(last.id + 1),
            };
        }
    }
    let [by_name, by_id] = all;
    Ok(Pages {
        count: view.count(),
        next_position: view.next_position(),
        by_name,
        by_id,
    })
}
