//! The most recent events, in memory up to a byte bound, shared by reference with their readers.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use meilies_protocol::{EventId, StreamName};

use crate::engine::batch::{Batch, Run};
use crate::engine::{DeletedNumbers, Found};

/// Recent commits, whole ones.
#[derive(Debug)]
pub(super) struct Recent {
    /// Ascending, without gaps.
    commits: VecDeque<RecentCommit>,
    /// The same batches by stream, but for streams that are deleted.
    streams: HashMap<u64, RecentStream>,
    /// Bytes of the batches that live, here or with their last readers.
    meter: Arc<AtomicUsize>,
    bytes_max: usize,
}

#[derive(Debug)]
struct RecentCommit {
    first_position: u64,
    next_position: u64,
    batches: Vec<Arc<Batch>>,
}

/// The recent batches of one stream. What was deleted before the first of them came cannot
/// concern them; what was deleted since is here.
#[derive(Debug)]
struct RecentStream {
    name: StreamName,
    batches: VecDeque<Arc<Batch>>,
    /// Numbers below are trimmed.
    first: u64,
    deleted: Option<Arc<DeletedNumbers>>,
}

impl RecentStream {
    /// Adds the parts of a run that are not deleted, in order.
    fn keep(&self, run: Run, kept: &mut Vec<Run>) {
        run.keep(self.first, self.deleted.as_deref(), kept);
    }
}

impl Recent {
    /// Holds about so many bytes.
    pub(super) fn new(bytes_max: usize) -> Recent {
        Recent {
            commits: VecDeque::new(),
            streams: HashMap::new(),
            meter: Arc::default(),
            bytes_max,
        }
    }

    /// What batches count their memory with.
    pub(super) fn meter(&self) -> &Arc<AtomicUsize> {
        &self.meter
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.meter.load(Ordering::Relaxed)
    }

    /// Adds the batches of the next commit and forgets the oldest commits over the bound.
    pub(super) fn push(
        &mut self,
        first_position: u64,
        next_position: u64,
        batches: Vec<Arc<Batch>>,
    ) {
        for batch in &batches {
            let stream = self.streams.entry(batch.stream_id);
            let stream = stream.or_insert_with(|| RecentStream {
                name: batch.stream.clone(),
                batches: VecDeque::new(),
                first: 0,
                deleted: None,
            });
            stream.batches.push_back(Arc::clone(batch));
        }
        self.commits.push_back(RecentCommit {
            first_position,
            next_position,
            batches,
        });
        while self.commits.len() > 1 && self.bytes() > self.bytes_max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(commit) = self.commits.pop_front() else {
            return;
        };
        for batch in commit.batches {
            // A stream's batches stand in the same order here and there.
            if let Some(stream) = self.streams.get_mut(&batch.stream_id) {
                stream.batches.pop_front();
                if stream.batches.is_empty() {
                    self.streams.remove(&batch.stream_id);
                }
            }
        }
    }

    /// A stream was deleted.
    pub(super) fn forget_stream(&mut self, stream_id: u64) {
        self.streams.remove(&stream_id);
    }

    /// A stream has another name. Takes time in proportion to all that is here.
    pub(super) fn rename(&mut self, stream_id: u64, name: &StreamName) {
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        stream.name = name.clone();
        stream.batches.clear();
        for commit in &mut self.commits {
            for batch in commit
                .batches
                .iter_mut()
                .filter(|batch| batch.stream_id == stream_id)
            {
                *batch = Arc::new(batch.renamed(name));
                stream.batches.push_back(Arc::clone(batch));
            }
        }
    }

    /// Events below this number were trimmed.
    pub(super) fn trim(&mut self, stream_id: u64, first: u64) {
        if let Some(stream) = self.streams.get_mut(&stream_id) {
            stream.first = first;
        }
    }

    /// These are now the numbers that are deleted.
    pub(super) fn delete(&mut self, stream_id: u64, numbers: Arc<DeletedNumbers>) {
        if let Some(stream) = self.streams.get_mut(&stream_id) {
            stream.deleted = Some(numbers);
        }
    }

    /// Where ids from this one on begin among the events of a stream from number `first` on; `None`
    /// when they may begin before what is here. Ids below that number need not be lower.
    pub(super) fn find(&self, stream_id: u64, first: u64, id: EventId) -> Option<Found> {
        let batches = &self.streams.get(&stream_id)?.batches;
        let start = batches.partition_point(|batch| batch.last_number() < first);
        let (mut after, mut end) = (start, batches.len());
        while after < end {
            let middle = after + (end - after) / 2;
            match batches[middle].first_id() <= id {
                true => after = middle + 1,
                false => end = middle,
            }
        }
        (after > start).then(|| batches[after - 1].find(id))
    }

    /// Events of a stream from number `from` up to `below`, deleted ones too; `None` when `from` is
    /// not here.
    pub(super) fn whole_runs(
        &self,
        stream_id: u64,
        numbers: Range<u64>,
        reverse: bool,
        bytes_max: usize,
    ) -> Option<Vec<Run>> {
        match reverse {
            false => self.ascending(stream_id, numbers, bytes_max),
            true => self.descending(stream_id, numbers, bytes_max),
        }
    }

    /// These runs without the events that are deleted, in the same direction.
    pub(super) fn without_deleted(
        &self,
        stream_id: u64,
        runs: Vec<Run>,
        reverse: bool,
    ) -> Vec<Run> {
        let Some(stream) = self.streams.get(&stream_id) else {
            return Vec::new();
        };
        Run::keep_all(runs, stream.first, stream.deleted.as_deref(), reverse)
    }

    fn ascending(&self, stream_id: u64, numbers: Range<u64>, bytes_max: usize) -> Option<Vec<Run>> {
        let batches = &self.streams.get(&stream_id)?.batches;
        if numbers.start < batches.front()?.first_number {
            return None;
        }
        let start = batches.partition_point(|batch| batch.last_number() < numbers.start);
        let mut runs = Vec::new();
        let mut bytes = 0;
        for batch in batches.range(start..) {
            if batch.first_number >= numbers.end || bytes >= bytes_max {
                break;
            }
            bytes += batch.body_bytes();
            runs.extend(Run::between(batch, numbers.start, numbers.end));
        }
        Some(runs)
    }

    /// The newest batch first; `None` when the last number is not here. Stops at the oldest batch
    /// that is here.
    fn descending(
        &self,
        stream_id: u64,
        numbers: Range<u64>,
        bytes_max: usize,
    ) -> Option<Vec<Run>> {
        let batches = &self.streams.get(&stream_id)?.batches;
        if numbers.end <= batches.front()?.first_number {
            return None;
        }
        let end = batches.partition_point(|batch| batch.first_number < numbers.end);
        let mut runs = Vec::new();
        let mut bytes = 0;
        for batch in batches.range(..end).rev() {
            if batch.last_number() < numbers.start || bytes >= bytes_max {
                break;
            }
            bytes += batch.body_bytes();
            runs.extend(Run::between(batch, numbers.start, numbers.end));
        }
        Some(runs)
    }

    /// All events from position `from` up to `below` in commit order but for deleted ones; `None`
    /// when `from` is not here. Beside them the position up to which all is told.
    pub(super) fn all_runs(
        &self,
        from: u64,
        below: u64,
        bytes_max: usize,
    ) -> Option<(Vec<Run>, u64)> {
        if from < self.commits.front()?.first_position {
            return None;
        }
        let start = self
            .commits
            .partition_point(|commit| commit.next_position <= from);
        let mut runs = Vec::new();
        let mut bytes = 0;
        let mut end = from;
        for commit in self.commits.range(start..) {
            if commit.first_position >= below || bytes >= bytes_max {
                break;
            }
            bytes += commit
                .batches
                .iter()
                .map(|batch| batch.body_bytes())
                .sum::<usize>();
            Run::in_commit_order(&commit.batches, from, below, &mut runs);
            end = commit.next_position.min(below);
        }
        let mut kept = Vec::with_capacity(runs.len());
        for run in runs {
            if let Some(stream) = self.streams.get(&run.batch.stream_id) {
                stream.keep(run, &mut kept);
            }
        }
        Some((kept, end))
    }

    /// The last number and the name of a stream with recent events.
    pub(super) fn tail(&self, stream_id: u64) -> Option<(u64, &StreamName)> {
        let stream = self.streams.get(&stream_id)?;
        Some((stream.batches.back()?.last_number(), &stream.name))
    }

    /// The first position that is here; `None` when nothing is.
    pub(super) fn first_position(&self) -> Option<u64> {
        Some(self.commits.front()?.first_position)
    }
}
