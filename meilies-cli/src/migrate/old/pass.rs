//! The events that the destination lacks, stream by stream, and then again what has come.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use meilies_client::{EventNumber, StreamName};
use tokio::time::sleep;

use super::reading::Reading;
use super::wire::{OldEvent, Wire};
use super::{Old, Stretch};
use crate::content::Content;
use crate::failure::{Failure, note};
use crate::limits::{OLD_LOOK_INTERVAL_MIN, OLD_LOOK_SHARE};
use crate::migrate::Transfer;

/// See the module.
pub(super) struct Pass<'a> {
    old: &'a mut Old,
    /// For questions.
    wire: Wire,
    stretches: VecDeque<Stretch>,
    reading: Option<Reading>,
    /// Ends of streams whose last numbers were found to have no events.
    short: HashMap<StreamName, EventNumber>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(old: &'a mut Old, wire: Wire, stretches: VecDeque<Stretch>) -> Pass<'a> {
        Pass {
            old,
            wire,
            stretches,
            reading: None,
            short: HashMap::new(),
        }
    }

    /// The next event; nothing if all that is wanted has been given.
    pub(super) async fn next(&mut self) -> Result<Option<Transfer>, Failure> {
        loop {
            if let Some(reading) = &mut self.reading {
                if let Some(event) = reading.next().await? {
                    let stream = reading.stream().clone();
                    return Ok(Some(self.number(stream, event)));
                }
                if reading.is_short() {
                    let (stream, end) = (reading.stream().clone(), reading.end());
                    let next = self.old.numbers_of(&stream).next_source();
                    tell_lost(&stream, next, end);
                    self.short.insert(stream, end);
                }
                self.reading = None;
            } else if let Some((stream, end)) = self.stretches.pop_front() {
                let next = self.old.numbers_of(&stream).next_source();
                let server = Rc::clone(&self.old.server);
                self.reading = Some(Reading::new(server, stream, next, end));
            } else if self.is_done() {
                return Ok(None);
            } else {
                self.look_again().await?;
            }
        }
    }

    fn number(&mut self, stream: StreamName, event: OldEvent) -> Transfer {
        let OldEvent { number, name, data } = event;
        let numbers = self.old.numbers_of(&stream);
        let next = numbers.next_source();
        let at_destination = numbers.add(number);
        if next < number {
            tell_lost(&stream, next, number);
        }
        Transfer {
            stream,
            number: at_destination,
            id: None,
            content: Content::One(name, data),
        }
    }

    fn is_done(&mut self) -> bool {
        if self.old.until_caught_up {
            return true;
        }
        let super::Scope::Streams(wanted) = &self.old.scope else {
            return false;
        };
        let wanted: Vec<_> = wanted
            .iter()
            .map(|it| (it.name.clone(), it.until))
            .collect();
        wanted.into_iter().all(|(name, until)| {
            let next = self.old.numbers_of(&name).next_source();
            until.is_some_and(|until| next >= until || self.short.get(&name) == Some(&until))
        })
    }

    /// Waits, then asks which streams have more.
    async fn look_again(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        let streams = self.old.look(&mut self.wire).await?;
        // A server with many streams must not be busy with answering alone.
        let pause = begun.elapsed().saturating_mul(OLD_LOOK_SHARE);
        for (stream, behind_last) in streams {
            let end = self.old.end(&stream, behind_last);
            let has_more = self.old.numbers_of(&stream).next_source() < end;
            if has_more && self.short.get(&stream) != Some(&end) {
                self.stretches.push_back((stream, end));
            }
        }
        if self.stretches.is_empty() {
            sleep(pause.max(OLD_LOOK_INTERVAL_MIN)).await;
        }
        Ok(())
    }
}

fn tell_lost(stream: &StreamName, from: EventNumber, until: EventNumber) {
    let lost = match until - from {
        1 => format!("event {from}"),
        _ => format!("events {from} to {}", until - 1),
    };
    note(&format!(
        "the source has lost {lost} of '{stream}': what comes behind moves up"
    ));
}
