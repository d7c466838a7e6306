//! The loop of inspect: reads events, runs their commands, and records what was handled.
//!
//! A command holds its place until its success is in the file. So what a kill makes run again are
//! the commands that were running, and those that had just ended: no more than may run at once.

use std::collections::HashMap;
use std::ffi::OsString;

use futures::StreamExt;
use futures::future::{BoxFuture, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use meilies_client::{Error, Item, StreamName, Subscription};
use meilies_protocol::{From, Source, Spec};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::task::JoinHandle;

use super::command::Running;
use super::position::{Handled, PositionFile, Saved};
use super::schedule::Schedule;
use super::{Inspect, number_in};
use crate::failure::Failure;
use crate::interrupt::interrupted;

/// See the module.
pub(super) struct Work {
    command: OsString,
    source: Source,
    until_caught_up: bool,
    schedule: Schedule,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    /// The process groups of those that run.
    groups: HashMap<u64, i32>,
    record: Option<Record>,
    /// Whether more events may come.
    reading: bool,
    /// How often it was told to stop.
    stops: u32,
    failure: Option<Failure>,
}

/// A command that has ended.
struct Finished {
    number: u64,
    stream: StreamName,
    id: String,
    outcome: Result<(), Failure>,
}

/// The file, and what is not in it yet.
struct Record {
    spec: String,
    /// Not here while it is written.
    file: Option<PositionFile>,
    writing: Option<JoinHandle<(PositionFile, Result<(), Failure>)>>,
    /// Whose commands have ended: they hold their places until they are in the file.
    unsaved: Vec<StreamName>,
    being_saved: Vec<StreamName>,
    last: Option<Handled>,
    /// Whether there is something to save.
    is_stale: bool,
    /// Whether the file, or the spec, says where to begin.
    has_start: bool,
}

impl Work {
    /// `saved` is what `file` holds, `given` the spec that it belongs to, and `spec` what is
    /// subscribed to because of both.
    pub(super) fn new(
        arguments: &Inspect,
        spec: &Spec,
        given: String,
        saved: Option<Saved>,
        file: Option<PositionFile>,
    ) -> Work {
        let start = match spec.from {
            Some(From::Number(number)) => Some(number),
            Some(From::New) | None => None,
        };
        let done = saved.iter().flat_map(|saved| saved.done.iter().copied());
        let schedule = Schedule::new(arguments.parallel, start.unwrap_or(0), done);
        let record = file.map(|file| Record {
            spec: given,
            file: Some(file),
            writing: None,
            unsaved: Vec::new(),
            being_saved: Vec::new(),
            last: saved.and_then(|saved| saved.last),
            is_stale: false,
            has_start: start.is_some(),
        });
        Work {
            command: arguments.command.clone(),
            source: spec.source.clone(),
            until_caught_up: arguments.until_caught_up,
            schedule,
            running: FuturesUnordered::new(),
            groups: HashMap::new(),
            record,
            reading: true,
            stops: 0,
            failure: None,
        }
    }

    /// Runs commands until all is done, or until `stop` ends.
    pub(super) async fn run(
        mut self,
        mut subscription: Subscription,
        stop: impl Future<Output = Result<(), Failure>> + 'static,
    ) -> Result<(), Failure> {
        let mut stop: LocalBoxFuture<'static, _> = Box::pin(stop);
        loop {
            self.begin();
            if self.is_over() {
                break;
            }
            let reads = self.reading && self.schedule.has_room();
            tokio::select! {
                Some(finished) = self.running.next() => self.finish(finished),
                outcome = written(self.record.as_mut()) => self.release(outcome),
                item = subscription.next(), if reads => self.take(item),
                stopped = &mut stop => {
                    self.stop(stopped);
                    stop = Box::pin(interrupted());
                }
            }
        }
        match self.failure {
            _ if self.stops > 1 => Err(Failure::Interrupted),
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Begins what may be begun: commands, and writing the file.
    fn begin(&mut self) {
        while !self.is_ending()
            && let Some((number, event)) = self.schedule.begin()
        {
            let running = match Running::start(&self.command, &event) {
                Ok(running) => running,
                Err(failure) => {
                    self.fail(failure);
                    break;
                }
            };
            self.groups
                .extend(running.group().map(|group| (number, group)));
            let (stream, id) = (event.stream, event.id.to_string());
            self.running.push(Box::pin(async move {
                Finished {
                    number,
                    stream,
                    id,
                    outcome: running.end().await,
                }
            }));
        }
        if let Some(record) = &mut self.record {
            record.begin(&self.schedule);
        }
    }

    /// Whether no more commands are begun.
    fn is_ending(&self) -> bool {
        self.failure.is_some() || self.stops > 0
    }

    fn is_over(&self) -> bool {
        let is_recorded = self.record.as_ref().is_none_or(Record::is_idle);
        let is_wanted = self.reading || !self.schedule.is_idle();
        self.running.is_empty() && is_recorded && (self.is_ending() || !is_wanted)
    }

    fn finish(&mut self, finished: Finished) {
        let Finished {
            number,
            stream,
            id,
            outcome,
        } = finished;
        self.groups.remove(&number);
        if let Err(failure) = outcome {
            return self.fail(failure);
        }
        self.schedule.finish(number);
        match &mut self.record {
            Some(record) => record.add(Handled { number, id }, stream),
            None => self.schedule.release(&stream),
        }
    }

    /// The file is written: the places of those that are in it are free.
    fn release(&mut self, outcome: Result<(), Failure>) {
        if let Some(record) = &mut self.record {
            for stream in record.being_saved.drain(..) {
                self.schedule.release(&stream);
            }
        }
        if let Err(failure) = outcome {
            // What cannot be recorded once is not tried again and again.
            self.record = None;
            self.fail(failure);
        }
    }

    fn take(&mut self, item: Option<Result<Item, Error>>) {
        match item {
            None => self.reading = false,
            Some(Ok(Item::Event(event))) => {
                self.schedule.add(number_in(&self.source, &event), event);
            }
            Some(Ok(Item::CaughtUp { number, .. })) => {
                if let Some(record) = &mut self.record
                    && !record.has_start
                {
                    // From now on the next start knows where this one began.
                    self.schedule
                        .start_at(number.map_or(0, |number| number + 1));
                    record.has_start = true;
                    record.is_stale = true;
                }
                self.reading &= !self.until_caught_up;
            }
            Some(Ok(Item::Ended { .. })) => {}
            Some(Ok(Item::Deleted { stream, .. })) => {
                if self.source != Source::All {
                    let name = stream.escape_ascii();
                    self.fail(Failure::Damaged(format!("stream '{name}' was deleted")));
                }
            }
            Some(Err(error)) => self.fail(error.into()),
        }
    }

    fn stop(&mut self, stopped: Result<(), Failure>) {
        self.reading = false;
        self.stops += 1;
        if let Err(failure) = stopped {
            self.fail(failure);
        }
        if self.stops > 1 {
            for group in self
                .groups
                .values()
                .filter_map(|group| Pid::from_raw(*group))
            {
                // It may have ended in the meantime.
                kill_process_group(group, Signal::INT).ok();
            }
        }
    }

    /// The first failure is the one to tell.
    fn fail(&mut self, failure: Failure) {
        self.reading = false;
        self.failure.get_or_insert(failure);
    }
}

impl Record {
    fn add(&mut self, handled: Handled, stream: StreamName) {
        self.unsaved.push(stream);
        self.is_stale = true;
        if self
            .last
            .as_ref()
            .is_none_or(|last| last.number < handled.number)
        {
            self.last = Some(handled);
        }
    }

    /// Begins to write, if there is something to save.
    fn begin(&mut self, schedule: &Schedule) {
        if !self.is_stale || self.writing.is_some() {
            return;
        }
        let Some(mut file) = self.file.take() else {
            return;
        };
        self.is_stale = false;
        self.being_saved = std::mem::take(&mut self.unsaved);
        let saved = Saved {
            spec: self.spec.clone(),
            next: schedule.next(),
            done: schedule.done().collect(),
            last: self.last.clone(),
        };
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let outcome = file.save(saved);
            (file, outcome)
        }));
    }

    fn is_idle(&self) -> bool {
        !self.is_stale && self.writing.is_none()
    }
}

/// Waits until the file is written; for ever if it is not being written.
async fn written(record: Option<&mut Record>) -> Result<(), Failure> {
    let Some(record) = record else {
        return std::future::pending().await;
    };
    let Some(writing) = &mut record.writing else {
        return std::future::pending().await;
    };
    let ended = writing.await;
    record.writing = None;
    match ended {
        Ok((file, outcome)) => {
            record.file = Some(file);
            outcome
        }
        Err(error) => Err(Failure::Program(format!(
            "cannot write the position: {error}"
        ))),
    }
}
