//! Seeds: drawn unless `SEED` says which, printed by the tests that use them, replayed with one
//! command.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of this run: that of the environment's `SEED`, else one drawn from the clock.
pub fn seed() -> u64 {
    number_from_environment("SEED").unwrap_or_else(|| {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is past 1970");
        u64::from(now.subsec_nanos()) ^ now.as_secs().rotate_left(32)
    })
}

/// A number given in the environment, such as `ROUNDS=200`.
pub fn number_from_environment(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{name}={text} is not a number: {error}"),
    }
}
