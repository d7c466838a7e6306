//! What is said of a difference: the shortest list of operations that still shows it, or all that
//! came before on the same keys.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::operation::Operation;
use super::run::Run;

/// So long a shorter list is looked for.
const SHRINKING_MAX: Duration = Duration::from_secs(20);

/// So many operations before the difference are shown.
const SHOWN_MAX: usize = 60;

/// Fails the test with everything that helps to find the reason.
pub(crate) fn fail(seed: u64, operations: &[Operation], failure: &Failure, run: &mut Run) -> ! {
    // Should the server be gone, what follows ends in another failure.
    let first = format!("seed {seed}, {failure}\n");
    io::stderr().write_all(first.as_bytes()).ok();
    let before = &operations[..=failure.index.min(operations.len() - 1)];
    let (shown, last) = match shrink(before, run) {
        Some((operations, failure)) => (
            format!("the same with {} operations:", operations.len())
                + &list(operations.iter().enumerate()),
            format!("\n{failure}"),
        ),
        None => (
            "before it on the same keys:".to_owned() + &list(history(before, failure).into_iter()),
            String::new(),
        ),
    };
    panic!(
        "seed {seed}, {failure}\n\
        replay with: SEED={seed} cargo test -p meilies-tests --test redis_comparison\n{shown}{last}"
    );
}

fn list<'a>(operations: impl Iterator<Item = (usize, &'a Operation)>) -> String {
    let lines = operations.map(|(index, operation)| format!("\n  {index}: {operation}"));
    lines.collect()
}

/// The last operations that name a key of the failed command.
fn history<'a>(before: &'a [Operation], failure: &Failure) -> Vec<(usize, &'a Operation)> {
    let keys = super::generator::KEYS;
    let named = |command: &[Vec<u8>]| -> Vec<&[u8]> {
        let is_named = |key: &&[u8]| command.iter().any(|word| word == key);
        keys.into_iter().filter(is_named).collect()
    };
    let wanted = named(&failure.command);
    let concerns = |operation: &Operation| {
        let commands = operation.commands();
        commands
            .iter()
            .any(|command| named(command).iter().any(|key| wanted.contains(key)))
    };
    let all: Vec<_> = before
        .iter()
        .enumerate()
        .filter(|(_, operation)| wanted.is_empty() || concerns(operation))
        .collect();
    all[all.len().saturating_sub(SHOWN_MAX)..].to_vec()
}

/// Leaves out whatever can be left out; none if the difference does not come again, as when it
/// needed a restart.
fn shrink(operations: &[Operation], run: &mut Run) -> Option<(Vec<Operation>, Failure)> {
    let begun = Instant::now();
    let mut fails = |operations: &[Operation]| {
        run.clear()
            .err()
            .or_else(|| run.operations(operations).err())
    };
    let mut left = operations.to_vec();
    let mut failure = fails(&left)?;
    left.truncate(failure.index + 1);
    let mut size = left.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < left.len() {
            if begun.elapsed() > SHRINKING_MAX {
                return Some((left, failure));
            }
            let mut fewer = left.clone();
            fewer.drain(at..(at + size).min(left.len()));
            match fails(&fewer) {
                Some(again) => {
                    fewer.truncate(again.index + 1);
                    (left, failure) = (fewer, again);
                }
                None => at += size,
            }
        }
        if size == 1 {
            return Some((left, failure));
        }
        size = size.div_ceil(2);
    }
}
