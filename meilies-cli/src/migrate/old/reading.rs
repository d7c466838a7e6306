//! Reading a part of one stream, with doubts: an event that does not come may be lost for ever, or
//! come a moment later.
//!
//! 0.2 gives a number to an event and then stores it. In between others may be stored and sent, and
//! a crash there leaves a number without an event. So where a number is left out the part behind
//! it is asked for again after a pause, which is much longer than that moment. And where the last
//! numbers do not come, it is asked for the last event that did, to see that the server answers.

use std::rc::Rc;
use std::time::Duration;

use meilies_client::{Error, EventNumber, StreamName};
use tokio::time::{sleep, timeout};

use super::OldServer;
use super::wire::{OldEvent, Wire, silent};
use crate::failure::Failure;
use crate::limits::{OLD_PAUSE, OLD_REPLY_TIMEOUT, OLD_SILENCE, OLD_SILENCE_FIRST};

/// See the module.
#[derive(Debug)]
pub(super) struct Reading {
    server: Rc<OldServer>,
    stream: StreamName,
    wire: Option<Wire>,
    /// What should come next.
    next: EventNumber,
    /// What should not come any more.
    end: EventNumber,
    seen: Option<EventNumber>,
    doubt: Doubt,
}

/// What is being found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// Nothing.
    None,
    /// Whether there is nothing before this event.
    Gap(EventNumber),
    /// Whether the server answers at all.
    Asked,
    /// It does. Whether there is more.
    Answered,
}

impl Reading {
    pub(super) fn new(
        server: Rc<OldServer>,
        stream: StreamName,
        next: EventNumber,
        end: EventNumber,
    ) -> Reading {
        Reading {
            server,
            stream,
            wire: None,
            next,
            end,
            seen: None,
            doubt: Doubt::None,
        }
    }

    pub(super) fn stream(&self) -> &StreamName {
        &self.stream
    }

    pub(super) fn end(&self) -> EventNumber {
        self.end
    }

    /// Whether the last numbers of this part have no events.
    pub(super) fn is_short(&self) -> bool {
        self.next < self.end
    }

    /// The next event; nothing when all that there are have been given.
    pub(super) async fn next(&mut self) -> Result<Option<OldEvent>, Failure> {
        while self.next < self.end {
            let limit = self.patience();
            let wire = match &mut self.wire {
                Some(wire) => wire,
                None => self.wire.insert(self.open(self.next).await?),
            };
            let event = match timeout(limit, wire.event()).await {
                Ok(Ok(event)) => event,
                Ok(Err(error)) => {
                    self.without_ranges(error)?;
                    continue;
                }
                Err(_silence) if self.gives_up()? => return Ok(None),
                Err(_silence) => {
                    let from = self.seen.unwrap_or(self.next);
                    self.wire = Some(self.open(from).await?);
                    self.doubt = Doubt::Asked;
                    continue;
                }
            };
            if event.number < self.next {
                self.doubt = Doubt::Answered;
            } else if event.number > self.next && self.doubt != Doubt::Gap(event.number) {
                sleep(OLD_PAUSE).await;
                self.wire = None;
                self.doubt = Doubt::Gap(event.number);
            } else if event.number >= self.end {
                return Ok(None);
            } else {
                self.next = event.number + 1;
                self.seen = Some(event.number);
                self.doubt = Doubt::None;
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// How long it may be silent.
    fn patience(&self) -> Duration {
        match self.doubt {
            Doubt::None | Doubt::Answered => OLD_SILENCE,
            // There is something to be sent.
            Doubt::Gap(_) => OLD_REPLY_TIMEOUT,
            Doubt::Asked if self.seen.is_some() => OLD_REPLY_TIMEOUT,
            Doubt::Asked => OLD_SILENCE_FIRST,
        }
    }

    /// What silence means: nothing more comes, or the server is to be asked.
    fn gives_up(&self) -> Result<bool, Failure> {
        match self.doubt {
            Doubt::None => Ok(false),
            Doubt::Answered => Ok(true),
            Doubt::Asked if self.seen.is_none() => Ok(true),
            Doubt::Asked | Doubt::Gap(_) => {
                Err(silent(&self.server.address, OLD_REPLY_TIMEOUT).into())
            }
        }
    }

    /// The first servers of 0.2 have no ranges. To them a start is said alone, which the later ones
    /// understand wrongly.
    fn without_ranges(&mut self, error: Error) -> Result<(), Failure> {
        let refuses = matches!(&error, Error::Refused(refusal)
            if refusal.message.ends_with("Invalid argument resp type"));
        if !refuses || self.server.refuses_ranges.replace(true) {
            return Err(error.into());
        }
        self.wire = None;
        Ok(())
    }

    async fn open(&self, from: EventNumber) -> Result<Wire, Failure> {
        let mut wire = Wire::open(&self.server.address).await?;
        let range = match self.server.refuses_ranges.get() {
            true => format!(":{from}"),
            false => format!(":{from}:{}", self.end),
        };
        let spec = [self.stream.as_bytes(), range.as_bytes()].concat();
        wire.subscribe(&spec).await?;
        Ok(wire)
    }
}
