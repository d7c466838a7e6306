//! Goal: whatever a client does with streams and groups, MeiliES says what Redis says, byte for
//! byte, in both protocol versions, and after any number of stops and kills.
//!
//! Method: random commands of a seed go to MeiliES and to a redis-server at once, and every reply
//! is compared. Only times are compared with tolerance, and only the rules of
//! `redis_comparison/differences.rs` let the two differ. A difference is shown with the shortest
//! list of commands that gives it again. `SEED=42 OPERATIONS=20000 cargo test -p meilies-tests
//! --test redis_comparison` replays a run.

use meilies_tests::Value;
use meilies_tests::seed::{number_from_environment, seed};

use self::redis_comparison::generator::operations;
use self::redis_comparison::report;
use self::redis_comparison::run::Run;
use self::redis_comparison::side::Side;

mod redis_comparison {
    mod counters;
    mod differences;
    mod entries;
    mod failure;
    mod fields;
    pub(super) mod generator;
    mod groups;
    mod malformed;
    mod operation;
    mod reading;
    pub(super) mod report;
    pub(super) mod run;
    pub(super) mod side;
    mod times;
}

/// Over so many seeds the operations are spread.
const SEEDS: u64 = 5;

const REPLAY: &str = "SEED=<seed> cargo test -p meilies-tests --test redis_comparison";

const OPERATIONS_DEFAULT: u64 = 100_000;

/// How often MeiliES is stopped or killed.
const RESTART_INTERVAL: usize = 10_000;

#[test]
fn meilies_answers_as_redis_does() {
    let seeds = seeds();
    println!("seeds {seeds:?}, each alone: {REPLAY}");
    let count = number_from_environment("OPERATIONS").unwrap_or(OPERATIONS_DEFAULT);
    for seed in &seeds {
        let run = Run::new(Side::product(), Side::redis(), Some(RESTART_INTERVAL));
        compare(*seed, count.div_ceil(seeds.len() as u64), run);
    }
}

/// That the two servers of a run differ only where they must is worth as much as the run notices.
#[test]
fn redis_agrees_with_itself() {
    let seeds = seeds();
    println!("seeds {seeds:?}, each alone: {REPLAY}");
    let count = number_from_environment("OPERATIONS").unwrap_or(OPERATIONS_DEFAULT / 10);
    for seed in &seeds {
        let run = Run::new(Side::redis(), Side::redis(), None);
        compare(*seed, count.div_ceil(seeds.len() as u64), run);
    }
}

/// What one of two equal servers did behind the run's back.
#[test]
fn a_planted_difference_is_noticed() {
    let begin = [
        "XADD s 1-1 f v",
        "XADD s 2-1 f v",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g alice COUNT 1 STREAMS s >",
    ];
    let planted = [
        "XADD s 3-1 f v",
        "XDEL s 1-1",
        "XTRIM s MAXLEN 1",
        "XSETID s 9-0",
        "XADD planted 1-1 f v",
        "DEL s",
        "XGROUP CREATE s planted 0",
        "XGROUP SETID s g 1-1",
        "XGROUP CREATECONSUMER s g planted",
        "XACK s g 1-1",
        "XCLAIM s g alice 0 1-1",
        "XCLAIM s g bob 0 1-1 JUSTID",
        "XCLAIM s g alice 0 1-1 JUSTID IDLE 100000000",
    ];
    let mut run = Run::new(Side::redis(), Side::redis(), None);
    let mut notices = |line: Option<&str>| {
        run.clear().expect("both delete what they have");
        for (index, side) in run.sides().into_iter().enumerate() {
            let mut stranger = side.stranger();
            for line in begin.iter().chain(line.iter().filter(|_| index == 1)) {
                let reply = stranger.call(line);
                assert!(!matches!(reply, Value::Error(_)), "{line}: {reply}");
            }
        }
        // Without operations everything is compared as a whole.
        run.operations(&[]).is_err()
    };
    assert!(!notices(None), "nothing was planted");
    for line in planted {
        assert!(notices(Some(line)), "'{line}' went unnoticed");
    }
}

#[test]
fn the_same_seed_gives_the_same_operations() {
    let seed = seed();
    assert_eq!(operations(seed, 2_000), operations(seed, 2_000));
}

/// The seeds of this run: that of the environment's `SEED`, else several.
fn seeds() -> Vec<u64> {
    let first = seed();
    let count = match number_from_environment("SEED") {
        Some(_) => 1,
        None => SEEDS,
    };
    (0..count).map(|index| first.wrapping_add(index)).collect()
}

fn compare(seed: u64, count: u64, mut run: Run) {
    let operations = operations(seed, usize::try_from(count).expect("it fits into memory"));
    if let Err(failure) = run.operations(&operations) {
        report::fail(seed, &operations, &failure, &mut run);
    }
}
