//! Streams page by page, in the order of names or of ids: the index with what changed since laid
//! over it.

use std::collections::BTreeMap;
use std::ops::Bound;

use meilies_protocol::StreamName;

use super::live::{Known, Live};
use crate::engine::{StoreError, StreamSummary, StreamsPage};

/// At most `limit` streams. `indexed` gives what the index says of a page.
pub(super) fn streams(
    live: &Live,
    page: &StreamsPage,
    limit: usize,
    indexed: impl Fn(&StreamsPage, usize) -> Result<Vec<StreamSummary>, StoreError>,
) -> Result<Vec<StreamSummary>, StoreError> {
    let mut found = Vec::new();
    let mut page = page.clone();
    while found.len() < limit {
        let rows = indexed(&page, limit)?;
        // Behind the last row of a full page there may be more, which come before other changes.
        let last = rows.last().filter(|_| rows.len() >= limit).cloned();
        match &page {
            StreamsPage::ByName(after) => {
                let last = last.as_ref().map(|stream| &stream.name);
                found.extend(by_name(live, rows.clone(), after.as_ref(), last));
            }
            StreamsPage::ById(from) => {
                let last = last.as_ref().map(|stream| stream.id);
                found.extend(by_id(live, rows.clone(), *from, last));
            }
        }
        let Some(last) = last else {
            break;
        };
        page = match page {
            StreamsPage::ByName(_) => StreamsPage::ByName(Some(last.name)),
            StreamsPage::ById(_) => StreamsPage::ById(last.id + 1),
        };
    }
    found.truncate(limit);
    Ok(found)
}

fn by_name(
    live: &Live,
    rows: Vec<StreamSummary>,
    after: Option<&StreamName>,
    last: Option<&StreamName>,
) -> impl Iterator<Item = StreamSummary> + use<> {
    let mut streams = BTreeMap::new();
    for row in rows {
        if live.stream_id(&row.name) == Known::InIndex {
            streams.insert(row.name.clone(), current(live, row));
        }
    }
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let until = last.map_or(Bound::Unbounded, Bound::Included);
    let frozen = live.frozen.as_ref().map(|frozen| &*frozen.changes);
    for changes in [Some(&live.pending), frozen].into_iter().flatten() {
        for name in changes
            .names
            .range::<StreamName, _>((from, until))
            .map(|(name, _)| name)
        {
            if let Known::There(id) = live.stream_id(name)
                && let Known::There(row) = live.row(id)
            {
                streams.insert(name.clone(), Some(row.clone()));
            }
        }
    }
    streams.into_values().flatten()
}

fn by_id(
    live: &Live,
    rows: Vec<StreamSummary>,
    from: u64,
    last: Option<u64>,
) -> impl Iterator<Item = StreamSummary> + use<> {
    let mut streams: BTreeMap<u64, Option<StreamSummary>> = BTreeMap::new();
    let frozen = live.frozen.as_ref().map(|frozen| &*frozen.changes);
    for changes in [Some(&live.pending), frozen].into_iter().flatten() {
        let within = |id: &&u64| **id >= from && last.is_none_or(|last| **id <= last);
        for id in changes.streams.keys().filter(within) {
            if let Known::There(row) = live.row(*id) {
                streams.insert(*id, Some(row.clone()));
            }
        }
    }
    for row in rows {
        streams.insert(row.id, current(live, row));
    }
    streams.into_values().flatten()
}

/// What a row of the index is now.
fn current(live: &Live, row: StreamSummary) -> Option<StreamSummary> {
    match live.row(row.id) {
        Known::There(row) => Some(row.clone()),
        Known::Gone => None,
        Known::InIndex => Some(row),
    }
}
