//! Goal: under load, and whatever happens to the server and the network, each subscription
//! delivers each event once and in order, and what publishers were told is true.
//!
//! Method: publishers, readers and subscribers of every kind run against a server that is stopped,
//! restarted, killed and paused, behind a proxy that cuts, stalls and refuses, each at a moment
//! that a seed chooses. In the end everything is compared with what the server holds.
//! `tests/client-rounds 100` runs 100 rounds; `SEED=42` replays the same choices.

mod faults;
mod follow;
mod load;
mod truth;

use std::time::Duration;

use meilies_client::Builder;
use meilies_tests::process::ServerProcess;
use meilies_tests::seed::{number_from_environment, seed};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::follow::Followers;
use self::load::Load;
use self::truth::Truth;
use super::support::{Recorder, Rig, connect};

const ROUNDS_DEFAULT: u64 = 15;
const PUBLISHED_PER_ROUND_MAX: u64 = 1500;

/// Everybody publishes to these.
const STREAMS: [&str; 3] = ["orders", "orders:42", "quiet"];

/// Each has one writer, who knows its last number.
const ACCOUNTS: [&str; 2] = ["account:0:a", "account:1:a"];

/// Several write to it, each where it believes the end to be.
const CONTENDED: &str = "contended";

fn all_streams() -> impl Iterator<Item = &'static str> {
    STREAMS.into_iter().chain(ACCOUNTS).chain([CONTENDED])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_event_comes_once_and_in_order_and_each_outcome_is_true() {
    let seed = seed();
    let rounds = number_from_environment("ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    println!(
        "replay with: SEED={seed} ROUNDS={rounds} cargo test -p meilies-tests --test client chaos"
    );
    println!(
        "{}",
        run_rounds(seed, rounds, |line| println!("{line}")).await
    );
}

const REQUEST_TIMEOUT: Duration = Duration::from_millis(800);

/// Impatient: what takes longer than this in these tests is never going to be.
fn builder(rig: &Rig) -> Builder {
    rig.builder()
        .connect_timeout(Duration::from_millis(500))
        .request_timeout(REQUEST_TIMEOUT)
        .ping_interval(Duration::from_millis(300))
}

/// Runs so many rounds and says what came of them.
async fn run_rounds(seed: u64, rounds: u64, tell: impl Fn(&str)) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::start(&[]);
    for stream in STREAMS {
        for index in 0..3 {
            rig.publish(stream, &[&format!("before-{index} of {stream}")]);
        }
    }
    let recorder = Recorder::new();
    let client = connect(builder(&rig).on_lifecycle(recorder.hook())).await;
    let slow = connect(builder(&rig).prefetch_bytes(1)).await;
    let followers = Followers::start(&rig, [&client, &slow], random.random()).await;
    let mut load = Load::start(&client, random.random());
    for round in 0..rounds {
        let published = random.random_range(1..PUBLISHED_PER_ROUND_MAX);
        load.wait_for_more(published, &recorder).await;
        let fault = faults::strike(&mut rig, &recorder, &mut random).await;
        tell(&format!("round {round}: {fault}"));
    }
    load.wait_for_more(1, &recorder).await;
    let attempts = load.stop().await;
    // A request that lies unread in a socket of the server can be stored no more after this.
    rig.proxy.cut_never();
    rig.change(ServerProcess::restart);
    for stream in all_streams() {
        rig.publish(stream, &[&format!("last of {stream}")]);
    }
    let truth = Truth::read(&rig);
    let outcomes = truth.compare_attempts(&attempts);
    let delivered = followers.finish(&truth).await;
    format!(
        "{rounds} rounds, {} connections: {outcomes}; {delivered} events delivered: 0 lost, 0 \
         repeated",
        rig.proxy.count(|counts| counts.accepted),
    )
}
