//! Goal: everything that the wire says is as written in `transcripts/*.resp`, on every engine and
//! in both protocol versions; what is marked so, Redis itself says, too.
//!
//! Method: each file runs against a fresh server. `TRANSCRIPT=publish cargo test -p meilies-tests
//! --test transcripts` runs those whose name contains the word.

use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};

use meilies_tests::in_process::InProcess;
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::redis_process::RedisProcess;
use meilies_tests::resp::Protocol;
use meilies_tests::transcript::{Backend, Transcript};

#[test]
fn local_engine_in_resp2() {
    run_all("local", Protocol::Resp2, start_local);
}

#[test]
fn local_engine_in_resp3() {
    run_all("local", Protocol::Resp3, start_local);
}

#[test]
fn memory_engine_in_resp2() {
    run_all("memory", Protocol::Resp2, start_memory);
}

#[test]
fn memory_engine_in_resp3() {
    run_all("memory", Protocol::Resp3, start_memory);
}

#[test]
fn redis_says_the_same_in_resp2() {
    run_all("redis", Protocol::Resp2, start_redis);
}

#[test]
fn redis_says_the_same_in_resp3() {
    run_all("redis", Protocol::Resp3, start_redis);
}

fn run_all(engine: &str, protocol: Protocol, start: fn(&Transcript) -> Box<dyn Backend>) {
    let mut failures = Vec::new();
    let transcripts = Transcript::all();
    let chosen = transcripts.iter().filter(|transcript| {
        transcript.holds_on(engine, protocol) && (engine != "redis" || transcript.also_redis)
    });
    for transcript in chosen {
        let run = || transcript.run(start(transcript).as_mut(), protocol);
        if panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
            failures.push(transcript.name.as_str());
        }
    }
    assert!(
        failures.is_empty(),
        "on {engine} in {protocol:?}: {}",
        failures.join(", ")
    );
}

struct Local(Option<ServerProcess>);

impl Backend for Local {
    fn address(&self) -> SocketAddr {
        self.0.as_ref().expect("the server runs").address()
    }

    fn restart(&mut self) {
        self.0 = self.0.take().map(ServerProcess::restart);
    }

    fn kill(&mut self) {
        self.0 = self.0.take().map(ServerProcess::kill_and_restart);
    }
}

fn start_local(transcript: &Transcript) -> Box<dyn Backend> {
    Box::new(Local(Some(ServerProcess::start(&Settings::flags(
        &transcript.flags,
    )))))
}

struct Memory(InProcess);

impl Backend for Memory {
    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn restart(&mut self) {
        panic!("the in-memory engine forgets everything");
    }

    fn kill(&mut self) {
        panic!("the in-memory engine forgets everything");
    }
}

fn start_memory(transcript: &Transcript) -> Box<dyn Backend> {
    Box::new(Memory(InProcess::start_in_memory(&transcript.flags)))
}

struct Redis(RedisProcess);

impl Backend for Redis {
    fn address(&self) -> SocketAddr {
        self.0.address()
    }

    fn restart(&mut self) {
        panic!("only MeiliES is restarted");
    }

    fn kill(&mut self) {
        panic!("only MeiliES is killed");
    }
}

fn start_redis(transcript: &Transcript) -> Box<dyn Backend> {
    Box::new(Redis(RedisProcess::start(&transcript.flags)))
}
