//! The one writer of the log: makes one commit of some requests, writes it with one `write` and
//! makes it durable with one `fdatasync`.
//!
//! The order of [`Committer::write`] is the promise: durable, then visible, then acknowledged
//! (under `everysec` and `no`: written, visible, acknowledged, durable later). Who calls it, and
//! with which requests, is the `queue`'s to decide.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;

use super::Fsync;
use super::answers::{Answer, Answers};
use super::assembly::{Assembly, NewBatch, Start};
use super::catalog::StreamHandle;
use super::commit::{CommitWriter, HEADER_BYTES, Header};
use super::index::{Checkpoint, DamageRow};
use super::live::{CommitChanges, StreamChange};
use super::log::{Location, LogWriter, NextCommit};
use super::queue::{Queued, Work};
use super::settings::StoreSettings;
use super::shared::{Health, Shared};
use super::transaction;
use crate::engine::batch::{Batch, BatchHead};
use crate::engine::{AppendRequest, Refusal, StoreError, WriteOutcome};

/// What is allocated at a time for the bytes of commits.
const BUFFER_BYTES: usize = 256 * 1024;

/// The writer of the log.
#[derive(Debug)]
pub(super) struct Committer {
    shared: Arc<Shared>,
    log: LogWriter,
    /// As of the last commit that was written.
    end: Checkpoint,
    /// How many commits were assembled, written or not.
    assemblies: u64,
    buffer: BytesMut,
    /// Whether bytes after the log's end may have been written by a commit that failed.
    must_cut: bool,
    closed: bool,
    answers: Answers,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, log: LogWriter, end: Checkpoint) -> Committer {
        Committer {
            shared,
            log,
            end,
            assemblies: 0,
            buffer: BytesMut::new(),
            must_cut: false,
            closed: false,
            answers: Answers::default(),
        }
    }

    /// Through which the requests are answered.
    pub(super) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Decides on the writes of all requests, stores what is accepted and answers.
    pub(super) fn commit(&mut self, requests: Vec<Queued>) {
        if self.closed {
            return self.fail(requests, &StoreError::Closed);
        }
        if let Err(error) = self.shared.wait_for_room().and_then(|()| self.heal()) {
            return self.fail(requests, &error);
        }
        let mut assembly = Assembly::new(self.start());
        let mut answers = Vec::with_capacity(requests.len());
        let mut places = Vec::with_capacity(requests.len());
        for Queued { work, place, .. } in requests {
            answers.push(self.decide(&mut assembly, work));
            places.push(place);
        }
        if !assembly.is_empty()
            && let Err(error) = self.write(&assembly)
        {
            assembly.undo();
            for answer in &mut answers {
                answer.fail(&error);
            }
        }
        // Else everything was refused, by what earlier, synced commits say.
        // Places are given back before: who is answered finds the queue without it.
        drop(places);
        self.answers.send(answers);
    }

    /// Decides on one request: what it is answered if the commit can be written.
    fn decide(&self, assembly: &mut Assembly, work: Work) -> Answer {
        match work {
            Work::Append {
                request,
                handles,
                done,
            } => {
                let damage = self.shared.damage();
                Answer::Append(done, Ok(append(assembly, request, &handles, &damage)))
            }
            Work::Transact { attempt, done } => {
                Answer::Transact(done, transaction::run(&self.shared, assembly, attempt))
            }
        }
    }

    fn start(&mut self) -> Start {
        self.assemblies += 1;
        Start {
            assembly: self.assemblies,
            commit: self.end.commits,
            position: self.end.next_position,
            stream_id: self.end.next_stream_id,
            now: now_ms().max(self.end.recorded_at),
        }
    }

    /// Durable, visible; the caller acknowledges.
    fn write(&mut self, assembly: &Assembly) -> Result<(), StoreError> {
        let mut writer = CommitWriter::start(self.empty_buffer(assembly.bytes_max()));
        let batches = assembly.encode(&mut writer, &mut self.buffer);
        let now = assembly.recorded_at();
        let next = self.append(writer, now)?;
        self.end.next_position = assembly.next_position();
        self.end.next_stream_id = assembly.next_stream_id();
        self.end.streams = self.end.streams.wrapping_add(assembly.streams_added());
        self.end.has_deletions |= assembly.has_deletions();
        self.make_durable()?;
        self.publish(assembly, &batches, next);
        Ok(())
    }

    /// Room for a commit of about so many bytes. Small commits share one allocation.
    fn empty_buffer(&mut self, bytes: usize) -> &mut BytesMut {
        self.buffer.clear();
        if self.buffer.capacity() < bytes + HEADER_BYTES {
            self.buffer = BytesMut::with_capacity(BUFFER_BYTES.max(bytes + HEADER_BYTES));
        }
        &mut self.buffer
    }

    /// Writes the commit in the buffer to the end of the log.
    fn append(&mut self, writer: CommitWriter, now: u64) -> Result<NextCommit, StoreError> {
        let written = self.try_append(writer, now);
        written.map_err(|error| {
            if let Health::Poisoned(reason) = self.shared.health() {
                return StoreError::Poisoned(reason);
            }
            let reason: Arc<str> = error.to_string().into();
            tracing::error!(%reason, "the log cannot be written, events are refused");
            self.must_cut = true;
            self.shared
                .set_health(Health::WriteFailed(Arc::clone(&reason)));
            // Mended right away if it can be; else before the next commit.
            let _tried_again_later = self.heal();
            StoreError::WriteFailed(reason)
        })
    }

    fn try_append(&mut self, writer: CommitWriter, now: u64) -> io::Result<NextCommit> {
        let bytes = self.buffer.len() as u64;
        if self.log.is_full_for(bytes) {
            self.roll()?;
        }
        let next = self.log.next();
        let header = Header {
            salt: next.salt,
            commit: self.end.commits,
            first_position: self.end.next_position,
            synced: self.shared.synced.load(Ordering::Acquire),
            body_bytes: 0,
            batches: 0,
            previous_crc: next.previous_crc,
            crc: 0,
        };
        let crc = writer.finish(&mut self.buffer, &header);
        self.log.append(&self.buffer, crc)?;
        self.end.commits += 1;
        self.end.recorded_at = now;
        self.end.log_bytes += bytes;
        (self.end.serial, self.end.byte) = self.log.end();
        self.end.last_byte = next.place.byte.into();
        self.end.previous_crc = crc;
        Ok(next)
    }

    /// Syncs and begins the next segment. A failed sync poisons: `make_durable` says so.
    fn roll(&mut self) -> io::Result<()> {
        self.sync_now().map_err(io::Error::other)?;
        let sealed = self.log.roll(self.end.commits, self.end.next_position)?;
        self.shared.set_open_segment(self.log.segment());
        self.shared.maintenance.seal(sealed);
        Ok(())
    }

    fn make_durable(&mut self) -> Result<(), StoreError> {
        match self.shared.fsync {
            Fsync::Always => self.sync_now(),
            Fsync::EverySecond | Fsync::No => {
                self.shared
                    .written
                    .store(self.end.commits, Ordering::Release);
                Ok(())
            }
        }
    }

    /// Syncs all that was written. After a failure nothing is written any more: what the kernel
    /// dropped cannot be known, and a second sync would claim success for it.
    fn sync_now(&mut self) -> Result<(), StoreError> {
        let began = Instant::now();
        match self.log.sync() {
            Ok(()) => {
                self.shared.figures.synced(began.elapsed());
                self.shared
                    .written
                    .store(self.end.commits, Ordering::Release);
                self.shared
                    .synced
                    .fetch_max(self.end.commits, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => Err(self.shared.poison(&error)),
        }
    }

    /// Makes the commit visible and wakes those who wait for it.
    fn publish(&mut self, assembly: &Assembly, batches: &[NewBatch], next: NextCommit) {
        let bytes = self.buffer.split().freeze();
        let slots = assembly.slots();
        let mut changes = CommitChanges {
            streams: Vec::with_capacity(slots.len()),
            names: assembly.bindings().collect(),
            touched: assembly.touched().collect(),
            groups: assembly.group_changes(),
            keys: assembly.key_changes(),
            producers: assembly.producer_changes(),
            located: Vec::with_capacity(batches.len()),
            batches: Vec::with_capacity(batches.len()),
            counted: assembly.counted(),
            ..CommitChanges::new(next.place, self.end)
        };
        for slot in slots {
            changes.streams.push(StreamChange {
                row: slot.summary(),
                is_gone: slot.is_gone(),
                deleted: slot.deleted(),
            });
        }
        let meter = self.shared.recent_meter();
        for batch in batches {
            let header = &batch.header;
            changes
                .located
                .push((header.stream_id, location(batch, next)));
            let head = BatchHead {
                stream: changes.streams[batch.slot].row.name.clone(),
                stream_id: header.stream_id,
                first_number: header.first_number,
                first_position: header.first_position,
                last_position: batch.last_position,
                count: header.count,
                recorded_at: header.recorded_at,
            };
            let body = bytes.slice(batch.body.clone());
            let batch = Batch::new(head, body).metered(meter);
            changes.batches.push(Arc::new(batch));
        }
        self.shared.publish(changes);
    }

    /// Cuts what a failed commit may have left, before anything else is written.
    fn heal(&mut self) -> Result<(), StoreError> {
        match self.shared.health() {
            Health::Good => return Ok(()),
            Health::Poisoned(reason) => return Err(StoreError::Poisoned(reason)),
            Health::WriteFailed(_) => {}
        }
        if self.must_cut {
            self.log.cut().map_err(|error| match error {
                super::log::CutError::Cut(error) => {
                    let reason: Arc<str> = error.to_string().into();
                    self.shared
                        .set_health(Health::WriteFailed(Arc::clone(&reason)));
                    StoreError::WriteFailed(reason)
                }
                super::log::CutError::Sync(error) => self.shared.poison(&error),
            })?;
            self.must_cut = false;
            tracing::info!("the log was cut back to its last commit, events are accepted again");
        }
        self.shared.set_health(Health::Good);
        Ok(())
    }

    fn fail(&self, requests: Vec<Queued>, error: &StoreError) {
        let answers = requests.into_iter().map(|Queued { work, place, .. }| {
            drop(place);
            work.fail(error)
        });
        self.answers.send(answers.collect());
    }

    /// Records the store's settings in a commit of their own, durable on return.
    pub(super) fn write_settings(&mut self, settings: &StoreSettings) -> Result<(), StoreError> {
        let mut writer = CommitWriter::start(self.empty_buffer(0));
        let now = self.start().now;
        settings.encode(now, &mut writer, &mut self.buffer);
        let next = self.append(writer, now)?;
        settings.apply(&mut self.end);
        self.sync_now()?;
        self.buffer.clear();
        self.shared
            .publish(CommitChanges::new(next.place, self.end));
        Ok(())
    }

    /// Makes all commits durable and takes no more; where the log ends.
    pub(super) fn close(&mut self) -> Result<Checkpoint, StoreError> {
        self.closed = true;
        self.heal()?;
        self.sync_now()?;
        Ok(self.end)
    }
}

/// Decides on the writes of a request.
fn append(
    assembly: &mut Assembly,
    request: AppendRequest,
    handles: &[(Arc<StreamHandle>, usize)],
    damage: &[DamageRow],
) -> Vec<WriteOutcome> {
    let count = request.writes.len();
    let mut outcomes = Vec::with_capacity(count);
    if request.atomic {
        assembly.set_savepoint();
    }
    let handles = handles
        .iter()
        .flat_map(|(handle, count)| std::iter::repeat_n(handle, *count));
    for (write, handle) in request.writes.into_iter().zip(handles) {
        let outcome = assembly.write(handle, write, damage);
        let is_refused = matches!(outcome, WriteOutcome::Refused(_));
        outcomes.push(outcome);
        if is_refused && request.atomic {
            assembly.roll_back();
            let stored = outcomes.len() - 1;
            outcomes[..stored].fill(WriteOutcome::Refused(Refusal::Aborted));
            outcomes.resize(count, WriteOutcome::Refused(Refusal::Aborted));
            return outcomes;
        }
    }
    if request.atomic {
        assembly.release();
    }
    outcomes
}

fn location(batch: &NewBatch, next: NextCommit) -> Location {
    let start = u32::try_from(batch.start).expect("a commit is below 4 GiB");
    let bytes = batch.body.end - batch.start;
    Location {
        serial: next.place.serial,
        generation: next.place.generation,
        byte: next.place.byte + start,
        bytes: u32::try_from(bytes).expect("a batch is below 4 GiB"),
        first_number: batch.header.first_number,
        count: batch.header.count,
        first_id: batch.first_id,
        first_time: batch.header.recorded_at,
    }
}

/// The time by the system's clock, ms since 1970 UTC.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
