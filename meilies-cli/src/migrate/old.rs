//! Reading a source that is MeiliES 0.2.
//!
//! It tells the names of its streams and the number that each gave last, and sends the events of a
//! range. It does not say that a range is done, and it may have given a number to an event that a
//! crash took. So a stream is read in ranges that end where its numbers do, its events are counted,
//! and following means to look again and again. That leaves no waiting thread behind in the
//! server, which has one for every subscription that is not done.

mod numbers;
mod pass;
mod reading;
mod wire;

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use futures::{StreamExt, TryStreamExt, stream};
use meilies_client::{Client, Event, EventNumber, StreamName};

use self::numbers::Numbers;
use self::pass::Pass;
use self::reading::Reading;
use self::wire::Wire;
pub(super) use self::wire::speaks;
use super::Plan;
use super::current::last_event;
use super::scope::{Scope, Wanted};
use crate::failure::Failure;
use crate::limits::QUESTIONS_MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Old {
    server: Rc<OldServer>,
    scope: Scope,
    until_caught_up: bool,
    /// What is known of the numbers of each stream. Stays from round to round.
    numbers: HashMap<StreamName, Numbers>,
}

/// Where it is, and what it was found to be.
#[derive(Debug)]
struct OldServer {
    address: String,
    /// Whether it refuses ranges, as the first servers of 0.2 do.
    refuses_ranges: Cell<bool>,
}

/// A stream and a number to stop before.
type Stretch = (StreamName, EventNumber);

impl Old {
    pub(super) fn new(url: &str, scope: Scope, until_caught_up: bool) -> Result<Old, Failure> {
        let address = wire::address(url)?;
        match &scope {
            Scope::All {
                from: 0,
                until: None,
            } => {}
            Scope::All { .. } => {
                let text = "MeiliES 0.2 has no positions: '$all:0' copies every stream, and \
                            parts are said stream by stream, such as orders:5";
                return Err(Failure::Usage(text.to_owned()));
            }
            Scope::Streams(wanted) => {
                let cannot_be =
                    |name: &[u8]| name.contains(&b':') || name.utf8_chunks().count() > 1;
                if let Some(wanted) = wanted.iter().find(|it| cannot_be(it.name.as_bytes())) {
                    return Err(Failure::Usage(format!(
                        "MeiliES 0.2 has no stream '{}': its names have no ':' and are UTF-8",
                        wanted.name
                    )));
                }
            }
        }
        let refuses_ranges = Cell::new(false);
        Ok(Old {
            server: Rc::new(OldServer {
                address,
                refuses_ranges,
            }),
            scope,
            until_caught_up,
            numbers: HashMap::new(),
        })
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.until_caught_up || self.scope.is_bounded()
    }

    /// Compares every stream before the first event is copied.
    pub(super) async fn plan(&mut self, destination: &Client) -> Result<Plan<'_>, Failure> {
        let mut wire = Wire::open(&self.server.address).await?;
        let streams = self.look(&mut wire).await?;
        let lasts = stream::iter(&streams).map(|(name, _)| last_event(destination, name));
        let lasts: Vec<Option<Event>> = lasts.buffered(QUESTIONS_MAX).try_collect().await?;
        let (mut stretches, mut count) = (VecDeque::new(), 0);
        for ((name, behind_last), there) in streams.into_iter().zip(lasts) {
            self.compare(&name, there, behind_last).await?;
            let next = self.numbers_of(&name).next_source();
            let end = self.end(&name, behind_last);
            if next < end {
                count += end - next;
                stretches.push_back((name, end));
            }
        }
        let pass = Pass::new(self, wire, stretches);
        let events = stream::try_unfold(pass, |mut pass| async {
            Ok(pass.next().await?.map(|event| (event, pass)))
        });
        Ok(Plan {
            events: events.boxed_local(),
            count: Some(count),
        })
    }

    /// The streams that are wanted, and the number that each will give next.
    async fn look(&self, wire: &mut Wire) -> Result<Vec<Stretch>, Failure> {
        let names = match &self.scope {
            Scope::All { .. } => wire.stream_names().await?,
            Scope::Streams(wanted) => wanted.iter().map(|it| it.name.clone()).collect(),
        };
        if let Some(name) = names.iter().find(|name| name.is_system()) {
            return Err(Failure::Input(format!(
                "stream '{name}' of the source cannot be copied, because names that begin with '$' \
                 are the server's own now: name the other streams"
            )));
        }
        let lasts = wire.last_event_numbers(&names).await?;
        let behind = |last: Option<EventNumber>| last.map_or(0, |last| last.saturating_add(1));
        Ok(names
            .into_iter()
            .zip(lasts.into_iter().map(behind))
            .collect())
    }

    /// Counts the source's events up to the last one that the destination has, and compares it.
    async fn compare(
        &mut self,
        name: &StreamName,
        there: Option<Event>,
        behind_last: EventNumber,
    ) -> Result<(), Failure> {
        let server = Rc::clone(&self.server);
        let numbers = self.numbers_of(name);
        let Some(there) = there else {
            numbers.truncate(0);
            return Ok(());
        };
        numbers.truncate(there.number);
        let mut reading = Reading::new(server, name.clone(), numbers.next_source(), behind_last);
        while let Some(event) = reading.next().await? {
            let number = numbers.add(event.number);
            if number < there.number {
                continue;
            }
            return match there.fields.as_slice() {
                [(name, data)] if *name == event.name && *data == event.data => Ok(()),
                _ => Err(Failure::Conflict(format!(
                    "stream '{name}' of the destination holds other events: its event {number} is \
                     not event {} of the source",
                    event.number
                ))),
            };
        }
        Err(Failure::Conflict(format!(
            "stream '{name}' of the destination holds other events: it goes up to {}, and the \
             source has no more than {} events",
            there.number,
            numbers.count()
        )))
    }

    fn numbers_of(&mut self, name: &StreamName) -> &mut Numbers {
        let base = self.wanted(name).map_or(0, |wanted| wanted.from);
        self.numbers
            .entry(name.clone())
            .or_insert_with(|| Numbers::new(base))
    }

    /// Where to stop for now.
    fn end(&self, name: &StreamName, behind_last: EventNumber) -> EventNumber {
        let until = self.wanted(name).and_then(|wanted| wanted.until);
        until.map_or(behind_last, |until| until.min(behind_last))
    }

    fn wanted(&self, name: &StreamName) -> Option<&Wanted> {
        match &self.scope {
            Scope::All { .. } => None,
            Scope::Streams(wanted) => wanted.iter().find(|wanted| wanted.name == *name),
        }
    }
}
