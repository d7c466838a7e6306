//! Streams page by page, in the order of names or of ids: the index with what changed since laid
//! over it. No more is looked at than a page needs.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

use meilies_protocol::StreamName;

use super::live::{Known, Live};
use super::pending::PendingStream;
use super::snapshot::newest;
use crate::engine::{StoreError, StreamSummary, StreamsPage};

/// What was read of the index: runs of rows, by where they begin.
#[derive(Debug, Default)]
pub(super) struct Pages {
    runs: BTreeMap<StreamsPage, Rows>,
}

/// Rows of the index that follow each other.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: Vec<StreamSummary>,
    /// Whether there are none behind them.
    pub(super) is_last: bool,
}

impl Pages {
    /// Rows that follow each other from here on.
    pub(super) fn add(&mut self, page: StreamsPage, rows: Rows) {
        self.runs.insert(page, rows);
    }

    /// Some rows of a page, and whether there are no more behind them; `None` if none is known.
    pub(super) fn rows(&self, page: &StreamsPage) -> Option<(&[StreamSummary], bool)> {
        let (start, run) = self.runs.range(..=page).next_back()?;
        if mem::discriminant(start) != mem::discriminant(page) {
            return None;
        }
        let is_before = |row: &StreamSummary| match page {
            StreamsPage::ByName(after) => after.as_ref().is_some_and(|after| row.name <= *after),
            StreamsPage::ById(from) => row.id < *from,
        };
        let rows = &run.rows[run.rows.partition_point(is_before)..];
        (run.is_last || !rows.is_empty()).then_some((rows, run.is_last))
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }
}

/// At most `limit` streams. `indexed` gives rows of the index and whether there are no more behind.
pub(super) fn streams<'a>(
    live: &Live,
    page: &StreamsPage,
    limit: usize,
    indexed: impl Fn(&StreamsPage) -> Result<(&'a [StreamSummary], bool), StoreError>,
) -> Result<Vec<StreamSummary>, StoreError> {
    let mut found = Vec::new();
    let mut page = page.clone();
    while found.len() < limit {
        let (rows, is_last) = indexed(&page)?;
        // Behind the last row there may be more, which come before other changes.
        let last = rows.last().filter(|_| !is_last);
        let left = limit - found.len();
        let next = match &page {
            StreamsPage::ByName(after) => {
                let last = last.map(|stream| &stream.name);
                found.extend(by_name(live, rows, after.as_ref(), last).take(left));
                last.map(|last| StreamsPage::ByName(Some(last.clone())))
            }
            StreamsPage::ById(from) => {
                let last = last.map(|stream| stream.id);
                found.extend(by_id(live, rows, *from, last).take(left));
                last.map(|last| StreamsPage::ById(last + 1))
            }
        };
        match next {
            Some(next) => page = next,
            None => break,
        }
    }
    Ok(found)
}

fn by_name<'a>(
    live: &'a Live,
    rows: &'a [StreamSummary],
    after: Option<&StreamName>,
    last: Option<&'a StreamName>,
) -> impl Iterator<Item = StreamSummary> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let until = last.map_or(Bound::Unbounded, Bound::Included);
    let bound = live.layers().map(move |layer| {
        let names = layer.names.range::<StreamName, _>((from, until));
        names.map(|(name, id)| (name, Named::Bound(*id)))
    });
    let rows = rows.iter().map(|row| (&row.name, Named::Indexed(row)));
    let named = newest(bound, rows);
    named.filter_map(|(_, named)| match named {
        Named::Bound(Some(id)) => match live.row(id) {
            Known::There(row) => Some(row.clone()),
            Known::Gone | Known::InIndex => None,
        },
        Named::Bound(None) => None,
        Named::Indexed(row) => current(live, row),
    })
}

/// What a name stands for.
enum Named<'a> {
    /// A stream to which it was bound since the index was written, or none.
    Bound(Option<u64>),
    Indexed(&'a StreamSummary),
}

fn by_id<'a>(
    live: &'a Live,
    rows: &'a [StreamSummary],
    from: u64,
    last: Option<u64>,
) -> impl Iterator<Item = StreamSummary> {
    let changed = live.layers().map(move |layer| {
        let streams = layer.streams.range(from..=last.unwrap_or(u64::MAX));
        streams.map(|(id, stream)| (*id, Stream::Changed(stream)))
    });
    let rows = rows.iter().map(|row| (row.id, Stream::Indexed(row)));
    newest(changed, rows).filter_map(|(_, stream)| match stream {
        Stream::Changed(stream) => (!stream.is_gone).then(|| stream.row.clone()),
        Stream::Indexed(row) => Some(row.clone()),
    })
}

/// What is known of a stream.
enum Stream<'a> {
    Changed(&'a PendingStream),
    Indexed(&'a StreamSummary),
}

/// What a row of the index is now.
fn current(live: &Live, row: &StreamSummary) -> Option<StreamSummary> {
    match live.row(row.id) {
        Known::There(row) => Some(row.clone()),
        Known::Gone => None,
        Known::InIndex => Some(row.clone()),
    }
}
