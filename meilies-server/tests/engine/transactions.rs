//! Random operations on a store, held against a naive one after each: appends, transactions of all
//! kinds of changes, several of them in one commit, restarts, kills, lost indexes, checkpoints.
//!
//! The seed is printed; `SEED=n` replays, `STEPS=n` makes more steps.

// What a test prints is shown when it fails.
#![allow(clippy::print_stdout)]

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use futures::future::{BoxFuture, join_all};
use futures::poll;
use meilies_server::engine::local::{LocalConfig, LocalEngine};
use meilies_server::engine::memory::MemoryEngine;
use meilies_server::engine::{
    AppendRequest, Engine, Operation, Refusal, StoreError, StreamSummary, StreamsPage, Verdict,
    Write, WriteOutcome,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::naive::{Naive, NaiveStream};
use super::pictures::SeenEvent;
use super::script::{Ending, Expected, NAMES, NewEvent, Script, Step, Steps};
use super::scripted::{Ran, answers, check, failure, fields, operation};
use super::store::{block_on, config, name, open};

const STEPS_DEFAULT: u64 = 120;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap())
}

fn seed() -> u64 {
    let seed = number("SEED").unwrap_or_else(rand::random);
    println!("replay with: SEED={seed} cargo test -p meilies-server --test engine transactions");
    seed
}

/// The store under test and what it should be.
pub(crate) struct Run {
    engine: Option<Box<dyn Engine>>,
    /// None for the engine in memory.
    config: Option<LocalConfig>,
    /// The id of the first stream.
    base: u64,
    naive: Naive,
    trace: Vec<String>,
}

impl Run {
    pub(crate) fn local(config: LocalConfig) -> Run {
        Run {
            engine: Some(Box::new(open(&config).unwrap())),
            config: Some(config),
            base: 1,
            naive: Naive::default(),
            trace: Vec::new(),
        }
    }

    fn memory() -> Run {
        Run {
            engine: Some(Box::new(MemoryEngine::new())),
            config: None,
            base: 0,
            naive: Naive::default(),
            trace: Vec::new(),
        }
    }

    fn engine(&self) -> &dyn Engine {
        &**self.engine.as_ref().expect("it is open between steps")
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Append(events, atomic) => self.append(events, *atomic),
            Step::Transact(script) => self.transact(script),
            Step::Together(scripts) => self.together(scripts),
            Step::Restart => self.reopen(true, false),
            Step::Kill => self.reopen(false, false),
            Step::Rebuild(is_closed) => self.reopen(*is_closed, true),
            Step::Checkpoint => self.checkpoint(),
        }
        check(self.engine(), &self.naive, self.base);
    }

    fn append(&mut self, events: &[NewEvent], atomic: bool) {
        let before = self.naive.clone();
        let now = now_ms();
        let mut writes = Vec::new();
        for event in events {
            let tail = self.naive.stream(event.stream).and_then(NaiveStream::tail);
            let expect = event.expect.of(tail);
            let _known = self.naive.append(event, now);
            writes.push(Write {
                make_stream: event.make_stream,
                id: event.id,
                ..Write::new(name(event.stream), expect, fields(event))
            });
        }
        self.naive = before.clone();
        let request = AppendRequest { writes, atomic };
        let outcomes = block_on(async {
            let appending = self.engine().append(request).await.unwrap();
            appending.await.unwrap().unwrap()
        });
        let mut expected = Vec::new();
        for (event, outcome) in events.iter().zip(&outcomes) {
            // What the clock said is seen from an id that begins a millisecond.
            let now = match outcome {
                WriteOutcome::Stored { id, .. } if id.seq == 0 => id.ms,
                WriteOutcome::Stored { .. } => 0,
                WriteOutcome::Refused(_) => now,
            };
            expected.push(match self.naive.append(event, now) {
                Ok(SeenEvent {
                    number,
                    position,
                    id,
                    ..
                }) => WriteOutcome::Stored {
                    number,
                    position,
                    id,
                },
                Err(refusal) => WriteOutcome::Refused(refusal),
            });
        }
        let is_refused = |outcome: &WriteOutcome| matches!(outcome, WriteOutcome::Refused(_));
        if let Some(first) = expected.iter().position(is_refused)
            && atomic
        {
            self.naive = before;
            for (at, outcome) in expected.iter_mut().enumerate() {
                if at != first {
                    *outcome = WriteOutcome::Refused(Refusal::Aborted);
                }
            }
        }
        assert_eq!(outcomes, expected);
        self.trace.push(format!("{outcomes:?}"));
    }

    fn transact(&mut self, script: &Script) {
        let operation = operation(script, 0, self.base, &Ran::default());
        let reply = block_on(self.engine().transact(operation));
        self.expect(script, reply);
    }

    fn expect(&mut self, script: &Script, reply: Result<BytesMut, StoreError>) {
        match reply {
            Ok(reply) => {
                let (now, answers) = answers(&reply);
                let expected = self.naive.run(script, now);
                assert_eq!(Some(&answers), expected.as_ref(), "{script:#?}");
                self.trace.push(answers);
            }
            Err(error) => {
                assert_eq!((script.ending, &error), (Ending::Fail, &failure()));
                self.trace.push(error.to_string());
            }
        }
    }

    /// Lets the operations wait for each other, so that one commit takes them all; those that miss
    /// something come after.
    fn together(&mut self, scripts: &[Script]) {
        let ran = Ran::default();
        let base = self.base;
        let replies = block_on(async {
            let engine = self.engine();
            let (gate, waits) = Gate::new();
            // The engine in memory has no other thread that could wait.
            let mut held = self.config.is_some().then(|| engine.transact(waits));
            if let Some(held) = &mut held {
                assert!(poll!(held).is_pending());
                gate.wait_until_entered();
            }
            let operations = scripts.iter().enumerate();
            let mut waiting: Vec<BoxFuture<'_, Result<BytesMut, StoreError>>> = operations
                .map(|(at, script)| engine.transact(operation(script, at, base, &ran)))
                .collect();
            let mut replies: Vec<Option<Result<BytesMut, StoreError>>> = Vec::new();
            if held.is_none() {
                return join_all(waiting).await;
            }
            for operation in &mut waiting {
                replies.push(match poll!(operation) {
                    std::task::Poll::Ready(reply) => Some(reply),
                    std::task::Poll::Pending => None,
                });
            }
            assert!(replies.iter().all(Option::is_none), "the gate holds them");
            gate.release();
            held.expect("there is a gate").await.unwrap();
            join_all(waiting).await
        });
        let ran = ran.lock().unwrap();
        let last = |at: &usize| ran.iter().rposition(|ran| ran == at);
        let mut order: Vec<usize> = (0..scripts.len()).collect();
        order.sort_by_key(last);
        let mut replies: Vec<_> = replies.into_iter().map(Some).collect();
        for at in order {
            let reply = replies[at].take().expect("each is there once");
            self.expect(&scripts[at], reply);
        }
    }

    fn reopen(&mut self, is_closed: bool, rebuild: bool) {
        let Some(config) = &self.config else {
            return;
        };
        let before = summaries(self.engine());
        if is_closed {
            block_on(self.engine().close()).unwrap();
        }
        self.engine = None;
        if rebuild {
            std::fs::remove_dir_all(config.path.join("index")).unwrap();
        }
        let engine: LocalEngine = open(config).unwrap();
        assert_eq!(engine.statistics().damaged, 0);
        self.engine = Some(Box::new(engine));
        assert_eq!(
            summaries(self.engine()),
            before,
            "as before it was opened again"
        );
    }

    /// 64 MiB of log bring a checkpoint. The stream that has them is removed again.
    fn checkpoint(&mut self) {
        let before = self.engine().statistics();
        for _ in 0..17 {
            let event = NewEvent {
                stream: "filler",
                expect: Expected::Any,
                make_stream: true,
                id: meilies_protocol::NewId::AutoSeq { ms: 7 },
                fields: vec![b"filler".to_vec(), vec![b'f'; 4 * 1024 * 1024]],
            };
            self.append(&[event], false);
        }
        self.transact(&Script {
            changes: vec![super::script::Change::Remove("filler")],
            ending: Ending::Commit,
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.config.is_some()
            && self.engine().statistics().checkpoint_commits <= before.commits
        {
            assert!(Instant::now() < deadline, "no checkpoint came");
            std::thread::yield_now();
        }
    }
}

/// An operation that the committer waits in until it is released, and that does nothing.
pub(crate) struct Gate {
    entered: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

impl Gate {
    pub(crate) fn new() -> (Gate, Operation) {
        let (enter, entered) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let ends = Mutex::new((enter, released));
        let run = Box::new(
            move |_: &mut dyn meilies_server::engine::Transaction, _: &mut BytesMut| {
                let (enter, released) = &*ends.lock().unwrap();
                enter.send(()).unwrap();
                let _ended = released.recv_timeout(Duration::from_secs(60));
                Ok(Verdict::Abort)
            },
        );
        let operation = Operation {
            names: Vec::new(),
            bytes: 0,
            run,
        };
        (Gate { entered, release }, operation)
    }

    /// Returns when the committer is in it: what is queued from then on comes after it, together.
    pub(crate) fn wait_until_entered(&self) {
        let entered = self.entered.recv_timeout(Duration::from_secs(60));
        entered.expect("the committer comes to it");
    }

    pub(crate) fn release(&self) {
        self.release.send(()).unwrap();
    }
}

fn summaries(engine: &dyn Engine) -> Vec<StreamSummary> {
    engine.streams(&StreamsPage::ById(0), 1000).unwrap()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Steps of a seed; with two checkpoints if they are wanted.
fn steps(seed: u64, with_clock: bool, with_checkpoints: bool) -> Vec<Step> {
    let mut steps = Steps::new(StdRng::seed_from_u64(seed), with_clock);
    let count = number("STEPS").unwrap_or(STEPS_DEFAULT);
    let mut all: Vec<Step> = (0..count).map(|_| steps.step()).collect();
    if with_checkpoints {
        for at in [all.len() / 3, all.len() * 2 / 3] {
            all.insert(at, Step::Checkpoint);
        }
    }
    all
}

fn run_local(seed: u64, recent_bytes_max: usize, segment_bytes: u64, with_checkpoints: bool) {
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::local(LocalConfig {
        recent_bytes_max,
        segment_bytes,
        ahead_bytes: 0,
        ..config(directory.path())
    });
    for (at, step) in steps(seed, true, with_checkpoints).iter().enumerate() {
        println!("step {at}: {step:?}");
        run.step(step);
    }
    run.step(&Step::Rebuild(false));
}

#[test]
fn a_store_that_has_all_in_memory_agrees_with_a_naive_one() {
    run_local(seed(), 64 * 1024 * 1024, 64 * 1024, false);
}

#[test]
fn a_store_that_reads_all_from_the_disk_agrees_with_a_naive_one() {
    run_local(seed(), 0, 8 * 1024, false);
}

#[test]
fn a_store_with_checkpoints_agrees_with_a_naive_one() {
    run_local(seed(), 3000, 64 * 1024, true);
}

#[test]
fn both_engines_give_the_same_replies() {
    let seed = seed();
    let directory = tempfile::tempdir().unwrap();
    let mut local = Run::local(LocalConfig {
        recent_bytes_max: 2000,
        ..config(directory.path())
    });
    let mut memory = Run::memory();
    for step in steps(seed, false, false) {
        // In which order those run that miss something is the machine's to decide.
        let Step::Together(scripts) = &step else {
            local.step(&step);
            memory.step(&step);
            continue;
        };
        for script in scripts {
            let step = Step::Transact(script.clone());
            local.step(&step);
            memory.step(&step);
        }
    }
    assert!(local.trace.len() > 50);
    assert_eq!(local.trace, memory.trace);
}

#[test]
fn the_naive_store_is_not_empty() {
    let mut run = Run::memory();
    let (mut most, mut deleted) = (0, 0);
    for step in steps(seed(), false, false) {
        run.step(&step);
        let lengths = NAMES.map(|name| run.naive.stream(name).map_or(0, |it| it.events.len()));
        most = most.max(lengths.iter().sum());
        let deleted_now = NAMES.map(|name| run.naive.picture(name).map_or(0, |it| it.deleted));
        deleted = deleted.max(deleted_now.iter().sum());
    }
    assert!(most > 10, "{most} events at most");
    assert!(deleted > 0, "{deleted} holes at most");
}
