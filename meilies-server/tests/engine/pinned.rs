//! Courses of events that random tests find late: each is run on a store that has all in memory and
//! on one that reads all from the disk, and held against the naive store after each step.

use meilies_protocol::{EventId, NewId};
use meilies_server::engine::local::LocalConfig;

use super::script::{Change, Ending, Expected, NewEvent, Script, SetIds, Step};
use super::store::config;
use super::transactions::Run;

fn event(stream: &'static str, ms: u64) -> NewEvent {
    NewEvent {
        stream,
        expect: Expected::Any,
        make_stream: true,
        id: NewId::Given(EventId::new(ms, 0)),
        fields: vec![b"happened".to_vec(), format!("{stream}{ms}").into_bytes()],
    }
}

fn add(stream: &'static str, ms: u64) -> Change {
    Change::Append(event(stream, ms))
}

fn script<const N: usize>(changes: [Change; N]) -> Script {
    Script {
        changes: changes.into(),
        ending: Ending::Commit,
    }
}

fn commit<const N: usize>(changes: [Change; N]) -> Step {
    Step::Transact(script(changes))
}

fn aborted<const N: usize>(changes: [Change; N]) -> Script {
    Script {
        ending: Ending::Abort,
        ..script(changes)
    }
}

fn above(ms: u64) -> SetIds {
    SetIds::Above {
        ms,
        surplus: 0,
        is_deleted: false,
    }
}

/// The steps, then a kill, a restart and a rebuild.
fn hold(steps: &[Step]) {
    for recent_bytes_max in [0, 1024 * 1024] {
        for last in [Step::Kill, Step::Restart, Step::Rebuild(false)] {
            let directory = tempfile::tempdir().unwrap();
            let mut run = Run::local(LocalConfig {
                recent_bytes_max,
                ..config(directory.path())
            });
            for step in steps.iter().chain([&last, &commit([add("z", 10_000)])]) {
                run.step(step);
            }
        }
    }
}

#[test]
fn a_name_that_passes_over_a_short_lived_stream_stays() {
    hold(&[
        commit([add("m", 1)]),
        commit([add("m", 2), add("a", 1), Change::Rename("m", "a")]),
    ]);
    hold(&[commit([
        add("m", 2),
        add("a", 1),
        Change::Remove("a"),
        Change::Rename("m", "a"),
        Change::Create("m"),
    ])]);
}

#[test]
fn names_that_are_exchanged_in_one_commit_stay_so() {
    let exchange = || {
        commit([
            Change::Rename("a", "z"),
            Change::Rename("m", "a"),
            Change::Rename("z", "m"),
        ])
    };
    hold(&[commit([add("a", 1), add("m", 2)]), exchange(), exchange()]);
    hold(&[
        commit([add("a", 1), add("m", 2)]),
        Step::Restart,
        exchange(),
    ]);
}

#[test]
fn an_event_that_its_own_commit_deletes_is_never_seen() {
    hold(&[commit([add("a", 1), Change::Delete("a", vec![0])])]);
    hold(&[commit([
        add("a", 1),
        add("a", 2),
        add("a", 3),
        Change::Delete("a", vec![1]),
    ])]);
    hold(&[commit([add("a", 1), Change::Trim("a", 1)])]);
    hold(&[commit([add("a", 1), Change::Remove("a")])]);
    hold(&[commit([add("a", 1), Change::Remove("a"), add("a", 1)])]);
    hold(&[commit([add("a", 1), add("m", 1), Change::Rename("a", "m")])]);
}

#[test]
fn what_an_aborted_operation_deletes_stays_beside_what_another_deletes() {
    hold(&[
        commit([
            add("a", 1),
            add("a", 2),
            add("a", 3),
            add("a", 4),
            add("m", 1),
        ]),
        Step::Together(vec![
            script([Change::Delete("a", vec![1])]),
            aborted([
                Change::Delete("a", vec![2]),
                add("a", 9),
                Change::Rename("a", "m"),
            ]),
            script([add("a", 5)]),
            aborted([Change::Remove("a"), add("a", 1)]),
            script([Change::Trim("m", 1)]),
        ]),
    ]);
}

#[test]
fn ids_set_back_in_the_commit_that_adds_stay_so() {
    hold(&[
        commit([add("a", 1), Change::SetIds("a", above(100))]),
        commit([
            Change::SetIds("a", above(50)),
            add("a", 60),
            Change::Picture("a"),
            Change::Delete("a", vec![1]),
            Change::Picture("a"),
        ]),
    ]);
}

#[test]
fn ids_below_those_that_were_trimmed_are_found() {
    for trimmed in [1, 3, 70] {
        let filled = (0..trimmed).map(|at| add("a", 100 + at)).collect();
        hold(&[
            Step::Transact(Script {
                changes: filled,
                ending: Ending::Commit,
            }),
            commit([Change::Trim("a", trimmed)]),
            commit([Change::SetIds("a", above(50))]),
            commit([add("a", 60)]),
            commit([add("a", 70), Change::Picture("a")]),
            Step::Restart,
            commit([add("a", 80)]),
        ]);
    }
}

#[test]
fn a_trim_never_brings_anything_back() {
    hold(&[
        commit([add("a", 1), add("a", 2), add("a", 3)]),
        commit([Change::Trim("a", 2)]),
        commit([Change::Trim("a", 1)]),
        commit([Change::Trim("a", 0), Change::Picture("a")]),
    ]);
}

#[test]
fn a_commit_that_changes_nothing_is_read_again() {
    hold(&[
        commit([add("a", 1)]),
        commit([Change::SetIds("a", SetIds::AsTheyAre)]),
        commit([Change::Rename("a", "m"), Change::Rename("m", "a")]),
        commit([Change::Trim("a", 0)]),
        commit([add("a", 2)]),
    ]);
}

#[test]
fn a_stream_that_is_deleted_while_it_is_read_is_not_damaged() {
    for change in [
        Change::Remove("a"),
        Change::Rename("m", "a"),
        Change::Trim("a", 2),
    ] {
        hold(&[
            commit([add("a", 1), add("a", 2), add("m", 1)]),
            commit([add("m", 2)]),
            // The first has to read from the disk, the second runs before it has done so.
            Step::Together(vec![
                script([Change::Picture("a")]),
                script([change.clone()]),
            ]),
            commit([add("a", 9)]),
        ]);
    }
}

#[test]
fn what_one_run_of_an_operation_trims_is_there_in_the_next() {
    let fill = |from, below| {
        let events = (from..below).map(|ms| add("a", ms));
        Step::Transact(Script {
            changes: events.collect(),
            ending: Ending::Commit,
        })
    };
    hold(&[
        fill(10, 16),
        // These stay in memory: the first run has the events, but not the places of lower ids.
        fill(16, 18),
        Step::Together(vec![
            // It trims to 60 modulo 9, which is 6; when it runs again it is modulo 10, which is 0.
            script([Change::Trim("a", 60), Change::Picture("a")]),
            script([add("a", 30)]),
        ]),
    ]);
}
