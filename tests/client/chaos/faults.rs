//! What can happen to a server and to a network.

use meilies_tests::process::ServerProcess;
use std::time::Instant;

use meilies_tests::proxy::{Cut, Direction, Flow};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rustix::process::Signal;

use super::REQUEST_TIMEOUT;
use crate::client::support::{Recorder, Rig};

const CUT_AFTER_BYTES_MAX: u64 = 30_000;

/// More than the client says when it loses all of its connections.
const NOTICED_MAX: usize = 25;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// SIGTERM, and a start on the same directory.
    Restart,
    /// kill -9, and a start on the same directory.
    Kill,
    /// kill -9, also of those that are just starting.
    KillOften,
    /// SIGSTOP until requests run out of time, then SIGCONT.
    Pause,
    /// SIGSTOP until requests run out of time, then kill -9.
    PauseAndKill,
    /// SIGSTOP and SIGCONT at once, a few times.
    Hiccups,
    /// Every connection breaks.
    Cut,
    /// Connections break one after the other, anywhere in a frame.
    CutInFrames,
    /// Nothing passes until requests run out of time.
    Stall,
    /// Requests pass and replies do not, or the other way round.
    StallOneWay,
    /// What one side says is lost until requests run out of time.
    Swallow,
    /// Every connection breaks, and nobody listens for a while.
    Refuse,
    /// The same, until requests that wait for a connection run out of time.
    RefuseLong,
}

const FAULTS: [Fault; 13] = [
    Fault::Restart,
    Fault::Kill,
    Fault::KillOften,
    Fault::Pause,
    Fault::PauseAndKill,
    Fault::Hiccups,
    Fault::Cut,
    Fault::CutInFrames,
    Fault::Stall,
    Fault::StallOneWay,
    Fault::Swallow,
    Fault::Refuse,
    Fault::RefuseLong,
];

/// Lets something happen, and says what. When this returns, everything works again, or will as
/// soon as the client notices.
pub(super) async fn strike(rig: &mut Rig, recorder: &Recorder, random: &mut StdRng) -> String {
    let fault = *FAULTS.choose(random).expect("there are some");
    let cut = *[Cut::Reset, Cut::Finish].choose(random).expect("two");
    let direction = direction(random);
    match fault {
        Fault::Restart | Fault::Kill | Fault::KillOften => bring_down(rig, fault, random).await,
        Fault::Pause | Fault::PauseAndKill | Fault::Hiccups => {
            pause(rig, fault, recorder, random).await;
        }
        Fault::Cut => rig.proxy.cut(cut).await,
        Fault::CutInFrames => cut_in_frames(rig, random).await,
        Fault::Stall => {
            let noticed = Noticed::begin(recorder);
            rig.proxy.stall();
            noticed.wait(recorder, random).await;
            rig.proxy.pass();
        }
        Fault::StallOneWay | Fault::Swallow => {
            let noticed = Noticed::begin(recorder);
            let flow = match fault {
                Fault::Swallow => Flow::Swallow,
                _ => Flow::Stall,
            };
            rig.proxy.set_flow(direction, flow);
            noticed.wait(recorder, random).await;
            // What was swallowed is a hole: no connection that has one may go on.
            rig.proxy.refuse().await;
            rig.proxy.cut(cut).await;
            rig.proxy.pass();
            rig.proxy.accept().await;
        }
        Fault::Refuse | Fault::RefuseLong => {
            let noticed = Noticed::begin(recorder);
            rig.proxy.refuse().await;
            rig.proxy.cut(cut).await;
            noticed.wait(recorder, random).await;
            if matches!(fault, Fault::RefuseLong) {
                let begun = Instant::now();
                let is_long = || begun.elapsed() > REQUEST_TIMEOUT * 5 / 4;
                recorder.wait_for("an attempt much later", is_long).await;
            }
            rig.proxy.accept().await;
        }
    }
    format!("{fault:?} ({cut:?}, {direction:?})")
}

fn direction(random: &mut StdRng) -> Direction {
    match random.random() {
        true => Direction::ToServer,
        false => Direction::ToClient,
    }
}

async fn bring_down(rig: &mut Rig, fault: Fault, random: &mut StdRng) {
    // Where nobody listens the client sees that at once; else it connects and is thrown out.
    let refuses = random.random();
    if refuses {
        rig.proxy.refuse().await;
    }
    rig.change(|server| match fault {
        Fault::Restart => server.restart(),
        Fault::Kill => server.kill_and_restart(),
        _ => server.kill_and_restart_under_kills(2),
    });
    if refuses {
        rig.proxy.accept().await;
    }
}

async fn pause(rig: &mut Rig, fault: Fault, recorder: &Recorder, random: &mut StdRng) {
    if matches!(fault, Fault::Hiccups) {
        for _ in 0..20 {
            rig.server().signal(Signal::STOP);
            tokio::task::yield_now().await;
            rig.server().signal(Signal::CONT);
        }
        return;
    }
    let noticed = Noticed::begin(recorder);
    rig.server().signal(Signal::STOP);
    noticed.wait(recorder, random).await;
    match fault {
        Fault::PauseAndKill => rig.change(ServerProcess::kill_and_restart),
        _ => rig.server().signal(Signal::CONT),
    }
}

/// Each cut hits whichever connection passes the byte, the next one another, or the same again.
async fn cut_in_frames(rig: &Rig, random: &mut StdRng) {
    for _ in 0..random.random_range(1..6) {
        let accepted = rig.proxy.count(|counts| counts.accepted);
        let bytes = match random.random() {
            true => random.random_range(0..300),
            false => random.random_range(0..CUT_AFTER_BYTES_MAX),
        };
        let cut = match random.random() {
            true => Cut::Reset,
            false => Cut::Finish,
        };
        rig.proxy.cut_after(direction(random), bytes, cut);
        rig.proxy
            .wait_for("the next connection", |counts| counts.accepted > accepted)
            .await;
    }
    rig.proxy.cut_never();
}

/// How much the client had said of its connections before something happened.
struct Noticed {
    before: usize,
}

impl Noticed {
    fn begin(recorder: &Recorder) -> Self {
        Self {
            before: recorder.count(),
        }
    }

    /// Waits until the client has noticed: one of its connections, or all, or it has tried in vain
    /// to come back.
    async fn wait(&self, recorder: &Recorder, random: &mut StdRng) {
        let more = random.random_range(1..=NOTICED_MAX);
        let is_noticed = || recorder.count() >= self.before + more;
        recorder.wait_for("the client to notice", is_noticed).await;
    }
}
