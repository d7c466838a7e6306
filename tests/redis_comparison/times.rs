//! Milliseconds in replies. Two servers are never asked at the same moment: their times are taken
//! out of the replies, by their position, and compared apart, with some tolerance.

use std::mem;

use meilies_tests::Value;

use super::fields::{field_mut, fields_mut, items_mut, list_mut, not_compared};
use super::operation::{Command, begins};

/// Two times that differ by no more are the same: what is under way meanwhile takes less.
const TOLERANCE_MS: u64 = 120_000;

/// Takes the times of a reply out.
pub(crate) fn take(command: &Command, reply: &mut Value) -> Vec<i64> {
    let mut times = Vec::new();
    for time in places(command, reply) {
        // What is no number is no time, and stays to be compared.
        if let Value::Integer(number) = time {
            times.push(*number);
            drop(mem::replace(time, not_compared()));
        }
    }
    times
}

/// Whether two replies have the same times.
pub(crate) fn are_close(ours: &[i64], theirs: &[i64]) -> bool {
    ours.len() == theirs.len()
        && ours
            .iter()
            .zip(theirs)
            .all(|(ours, theirs)| ours.abs_diff(*theirs) <= TOLERANCE_MS)
}

fn places<'a>(command: &Command, reply: &'a mut Value) -> Vec<&'a mut Value> {
    if begins(command, &["XPENDING"]) && command.len() >= 6 {
        // [id, consumer, idle, deliveries]
        return items_mut(reply)
            .iter_mut()
            .filter_map(|row| items_mut(row).get_mut(2))
            .collect();
    }
    if begins(command, &["XINFO", "CONSUMERS"]) {
        return items_mut(reply)
            .iter_mut()
            .filter_map(|consumer| field_mut(consumer, "idle"))
            .collect();
    }
    if begins(command, &["XINFO", "STREAM"]) && command.len() >= 4 {
        return list_mut(reply, "groups")
            .iter_mut()
            .flat_map(places_of_group)
            .collect();
    }
    Vec::new()
}

fn places_of_group(group: &mut Value) -> Vec<&mut Value> {
    let mut places = Vec::new();
    for (name, value) in fields_mut(group) {
        match name {
            // [id, consumer, delivered at, deliveries]
            b"pending" => {
                let rows = items_mut(value).iter_mut();
                places.extend(rows.filter_map(|row| items_mut(row).get_mut(2)));
            }
            b"consumers" => {
                for consumer in items_mut(value) {
                    places.extend(places_of_consumer(consumer));
                }
            }
            _ => {}
        }
    }
    places
}

fn places_of_consumer(consumer: &mut Value) -> Vec<&mut Value> {
    let mut places = Vec::new();
    for (name, value) in fields_mut(consumer) {
        match name {
            b"seen-time" => places.push(value),
            // [id, delivered at, deliveries]
            b"pending" => {
                let rows = items_mut(value).iter_mut();
                places.extend(rows.filter_map(|row| items_mut(row).get_mut(1)));
            }
            _ => {}
        }
    }
    places
}
