//! Making pushes: the cursors of one connection take turns at reading and sending.
//!
//! A turn is one read. What is in memory is read at once; for what is not, one visit to the disk
//! at a time serves a few cursors, on a thread for blocking work, while the others go on. What was
//! read is sent as far as the allowance goes and the rest waits here, so a connection holds no
//! more than one read's events that are not sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use meilies_protocol::{Version, push};
use tokio::task::JoinHandle;

use super::inbox::CursorKey;
use super::subscription::{Cursor, Phase};
use super::subscriptions::Subscriptions;
use crate::engine::{Access, Engine, ReadOutcome, ReadRequest, Run, StoreError};
use crate::limits::{DISK_READ_CURSORS_MAX, EVENT_READ_BYTES_MAX, FOLLOW_TURNS_MAX};
use crate::output::Output;

/// Events read for a cursor, on their way to the client.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) key: CursorKey,
    runs: VecDeque<Run>,
    next: u64,
    tail: Option<u64>,
    visible: u64,
}

/// A visit to the disk.
pub(super) type DiskReads = JoinHandle<Vec<Landed>>;

/// What it brought for one cursor; `None` when its turn did not come.
#[derive(Debug)]
pub(super) struct Landed {
    key: CursorKey,
    epoch: u64,
    read: Option<Result<ReadOutcome, StoreError>>,
}

impl Subscriptions {
    /// Writes pushes to `out` until about `allowance` bytes are made or nothing is left. Returns
    /// whether it did anything; if not, `context` is woken when there may be more.
    pub(crate) fn poll_pushes(
        &mut self,
        context: &mut Context<'_>,
        version: Version,
        out: &mut Output,
        allowance: usize,
    ) -> bool {
        self.take_woken();
        if self.count() == 0 || allowance == 0 {
            return false;
        }
        let begin = out.unsent();
        let mut progress = false;
        for _ in 0..FOLLOW_TURNS_MAX {
            let made = out.unsent() - begin;
            if made >= allowance {
                break;
            }
            if self.staged.is_some() {
                self.send(version, out, allowance - made);
            } else if !self.poll_disk(context) && !self.next_turn(version, out) {
                break;
            }
            progress = true;
        }
        progress
    }

    fn take_woken(&mut self) {
        let mut woken = std::mem::take(&mut self.woken);
        self.inbox.take_ready(&mut woken);
        for key in woken.drain(..) {
            // A cursor that does not sleep will look at what there is before it does.
            if self
                .cursor(key)
                .is_some_and(|cursor| cursor.phase == Phase::Sleeping)
            {
                self.enqueue(key);
            }
        }
        self.woken = woken;
    }

    /// Sends some of what was read; when all of it is sent the cursor moves on.
    fn send(&mut self, version: Version, out: &mut Output, allowance: usize) {
        let Some(mut staged) = self.staged.take() else {
            return;
        };
        let Some(form) = self.cursor(staged.key).map(Cursor::form) else {
            return;
        };
        if let Some(run) = staged.runs.front_mut() {
            let before = run.count();
            out.push_shared(run.take_encoded(form, version, allowance));
            self.pushed += u64::from(before - run.count());
            if run.indexes.is_empty() {
                staged.runs.pop_front();
            }
        }
        if staged.runs.is_empty() {
            self.move_on(version, out, &staged);
        } else {
            self.staged = Some(staged);
        }
    }

    /// Moves a cursor behind what was sent: to its end, to its next turn or to sleep.
    fn move_on(&mut self, version: Version, out: &mut Output, staged: &Staged) {
        let Some(cursor) = self.cursor_mut(staged.key) else {
            return;
        };
        cursor.ahead &= cursor.next == staged.next;
        cursor.next = staged.next;
        if cursor.is_complete() {
            return self.end(version, out, staged.key);
        }
        if staged.tail.is_some_and(|tail| cursor.next <= tail) {
            return self.enqueue(staged.key);
        }
        // A start in the future is caught up when it gets its first event, not before: until then
        // the tail is no place to resume from.
        cursor.ahead |= cursor.next > staged.tail.map_or(0, |tail| tail.saturating_add(1));
        if !cursor.ahead && std::mem::replace(&mut cursor.replaying, false) {
            push::write_caught_up(out.buffer(), version, cursor.name(), staged.tail);
        }
        self.sleep(staged.key, staged.visible);
    }

    /// Lets the next cursor read: what the disk brought first, then from memory.
    fn next_turn(&mut self, version: Version, out: &mut Output) -> bool {
        if let Some(landed) = self.landed.pop_front() {
            if self
                .cursor(landed.key)
                .is_some_and(|cursor| cursor.epoch == landed.epoch)
            {
                match landed.read {
                    Some(read) => self.take_read(version, out, landed.key, read),
                    None => self.enqueue(landed.key),
                }
            }
            return true;
        }
        let Some(key) = self.queue.pop_front() else {
            return false;
        };
        let touches = self.log.shared.watchers.touches();
        let Some(cursor) = self.cursor_mut(key) else {
            return true;
        };
        if cursor.phase != Phase::Queued {
            return true;
        }
        cursor.phase = Phase::Reading;
        cursor.touches = touches;
        if cursor.is_complete() {
            self.end(version, out, key);
            return true;
        }
        let request = cursor.request();
        let read = self.log.engine().read(&request, Access::Memory);
        self.take_read(version, out, key, read);
        true
    }

    fn take_read(
        &mut self,
        version: Version,
        out: &mut Output,
        key: CursorKey,
        read: Result<ReadOutcome, StoreError>,
    ) {
        let Some(cursor) = self.cursor_mut(key) else {
            return;
        };
        let epoch = cursor.epoch;
        let outcome = match read {
            Ok(outcome) => outcome,
            Err(StoreError::WouldBlock) => return self.cold.push((key, epoch)),
            Err(error) => return self.fail(version, out, key, &error),
        };
        cursor.stream_id = cursor.stream_id.or(outcome.stream_id);
        self.staged = Some(Staged {
            key,
            runs: outcome.runs.into(),
            next: outcome.next,
            tail: outcome.tail,
            visible: outcome.visible,
        });
    }

    /// Ends a subscription whose spec is complete.
    fn end(&mut self, version: Version, out: &mut Output, key: CursorKey) {
        if let Some(cursor) = self.cursor(key) {
            let spec = cursor.end.as_ref().map_or(cursor.name(), |(_, spec)| spec);
            push::write_ended(out.buffer(), version, spec, cursor.next);
        }
        self.remove(key);
    }

    /// The stream is gone: goes on with the next one of its name, from its first event.
    fn begin_anew(&mut self, key: CursorKey) {
        if let Some(cursor) = self.cursor_mut(key) {
            (cursor.stream_id, cursor.next) = (None, 0);
            (cursor.replaying, cursor.ahead) = (false, false);
            self.enqueue(key);
        }
    }

    /// Ends a subscription that cannot go on, and says why: the others of its connection live.
    fn fail(&mut self, version: Version, out: &mut Output, key: CursorKey, error: &StoreError) {
        if let Some(cursor) = self.cursor(key) {
            let buffer = out.buffer();
            if let StoreError::Deleted(_) = error {
                let last = cursor.next.saturating_sub(1);
                push::write_deleted(buffer, version, cursor.name(), last);
                return self.begin_anew(key);
            }
            tracing::error!(%error, "a subscription ended");
            let reason = error.to_string();
            let name = cursor.name();
            push::write_error(buffer, version, name, cursor.next, reason.as_bytes());
        }
        self.remove(key);
    }

    /// The next cursors that wait for the disk, the longest waiting first.
    fn cold_requests(&mut self) -> Vec<(CursorKey, u64, ReadRequest)> {
        let mut requests = Vec::new();
        while requests.is_empty() && !self.cold.is_empty() {
            let most = self.cold.len().min(DISK_READ_CURSORS_MAX);
            let cold: Vec<_> = self.cold.drain(..most).collect();
            // Those of an earlier SUBSCRIBE are not waited for any more.
            requests.extend(cold.into_iter().filter_map(|(key, epoch)| {
                let cursor = self.cursor(key).filter(|cursor| cursor.epoch == epoch)?;
                Some((key, epoch, cursor.request()))
            }));
        }
        requests
    }

    /// Sends cursors to the disk, or takes what the last visit brought.
    fn poll_disk(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        if self.disk.is_none() {
            let requests = self.cold_requests();
            if requests.is_empty() {
                return false;
            }
            let engine = Arc::clone(self.log.engine());
            self.disk = Some(tokio::task::spawn_blocking(move || {
                read_all(&*engine, requests)
            }));
            progress = true;
        }
        let Some(disk) = &mut self.disk else {
            return progress;
        };
        match Pin::new(disk).poll(context) {
            Poll::Pending => progress,
            Poll::Ready(landed) => {
                self.disk = None;
                match landed {
                    Ok(landed) => self.landed.extend(landed),
                    // The engine panicked and has said so: its cursors cannot go on.
                    Err(_) => self.inbox.kill(),
                }
                true
            }
        }
    }
}

/// Reads for each cursor in turn until enough is read.
fn read_all(engine: &dyn Engine, requests: Vec<(CursorKey, u64, ReadRequest)>) -> Vec<Landed> {
    let mut bytes = 0;
    let mut landed = Vec::with_capacity(requests.len());
    for (key, epoch, request) in requests {
        let read = (bytes < EVENT_READ_BYTES_MAX).then(|| engine.read(&request, Access::Disk));
        if let Some(Ok(outcome)) = &read {
            bytes += outcome
                .runs
                .iter()
                .map(|run| run.batch.body_bytes())
                .sum::<usize>();
        }
        landed.push(Landed { key, epoch, read });
    }
    landed
}
