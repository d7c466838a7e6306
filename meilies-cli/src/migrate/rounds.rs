//! Rounds: find out what the destination lacks, copy it, and begin again when something broke.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::LocalBoxStream;
use meilies_client::{Builder, Client, Error, ErrorKind};
use tokio::time::{Instant, sleep};

use super::window::Window;
use super::{Plan, Source, Transfer};
use crate::failure::{Failure, note};
use crate::limits::{
    MIGRATE_CONFLICTS_MAX, MIGRATE_RETRY_DELAY_MAX, MIGRATE_RETRY_DELAY_MIN, MIGRATE_STOP_GRACE,
    PROGRESS_EVENTS,
};
use crate::output::Output;
use crate::progress::Progress;

/// See the module.
pub(super) struct Rounds {
    source: Source,
    destination: Builder,
    /// Connected already, for the first round.
    client: Option<Client>,
    /// Events that this run has stored.
    stored: Cell<u64>,
}

/// How a round ended that nothing went wrong in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Everything that is wanted is there.
    Done,
    /// The program was told to stop.
    Stopped,
}

impl Rounds {
    pub(super) fn new(source: Source, destination: Builder, client: Client) -> Rounds {
        Rounds {
            source,
            destination,
            client: Some(client),
            stored: Cell::new(0),
        }
    }

    /// Copies until all is done, or until `stop` ends, which is polled once after that at most.
    pub(super) async fn run(
        mut self,
        stop: Pin<&mut impl Future<Output = Result<(), Failure>>>,
        output: &Output,
    ) -> Result<(), Failure> {
        let bounded = self.source.is_bounded();
        let outcome = self.all(stop).await;
        let stored = self.stored.get();
        match outcome {
            Ok(End::Stopped) if bounded => Err(after(stored, Failure::Interrupted)),
            Ok(_) => tell(output, stored).await,
            Err(failure) => Err(after(stored, failure)),
        }
    }

    async fn all(
        &mut self,
        mut stop: Pin<&mut impl Future<Output = Result<(), Failure>>>,
    ) -> Result<End, Failure> {
        let mut patience = Patience::default();
        loop {
            let before = self.stored.get();
            let failure = match self.round(stop.as_mut()).await {
                Ok(end) => return Ok(end),
                Err(failure) => failure,
            };
            if self.stored.get() > before {
                patience = Patience::default();
            }
            let delay = patience.after(failure)?;
            tokio::select! {
                () = sleep(delay) => {}
                stopped = stop.as_mut() => return stopped.map(|()| End::Stopped),
            }
        }
    }

    async fn round(
        &mut self,
        mut stop: Pin<&mut impl Future<Output = Result<(), Failure>>>,
    ) -> Result<End, Failure> {
        let stored = &self.stored;
        let (destination, source) = (&self.destination, &mut self.source);
        let first = self.client.take();
        let plan = async {
            let client = match first {
                Some(client) => client,
                None => destination.clone().connect().await?,
            };
            let plan = source.plan(&client).await?;
            Ok::<_, Failure>((Window::open(client).await?, plan))
        };
        let (mut window, Plan { events, count }) = tokio::select! {
            planned = plan => planned?,
            stopped = stop.as_mut() => return stopped.map(|()| End::Stopped),
        };
        let progress = Progress::events(count);
        let before = stored.get();
        let outcome = copy(&mut window, events, stop, |is_last| {
            stored.set(stored.get() + 1);
            let now = stored.get() - before;
            if is_last || now.is_multiple_of(PROGRESS_EVENTS) {
                progress.set(now, now);
            }
        })
        .await;
        progress.finish();
        outcome
    }
}

/// Copies events until there are no more, or something is wrong, and until it is known what became
/// of those that were sent: when it is told to stop, for a while. `stored` is told of each that is
/// stored, and whether no other is on its way.
async fn copy(
    window: &mut Window,
    mut events: LocalBoxStream<'_, Result<Transfer, Failure>>,
    mut stop: Pin<&mut impl Future<Output = Result<(), Failure>>>,
    mut stored: impl FnMut(bool),
) -> Result<End, Failure> {
    let mut end = None;
    let mut refused = None;
    let mut grace = pin!(sleep(MIGRATE_STOP_GRACE));
    loop {
        tokio::select! {
            biased;
            ended = window.next(), if !window.is_empty() => match ended {
                // What was sent behind one that is not stored tells nothing new.
                Some(Err(error)) if refused.is_none() => {
                    refused = Some(error);
                    end = end.or(Some(Ok(End::Done)));
                }
                Some(Ok(())) => stored(window.is_empty()),
                _ => {}
            },
            event = events.next(), if end.is_none() && window.has_room() => match event {
                Some(Ok(event)) => end = window.push(event).err().map(Err),
                Some(Err(failure)) => end = Some(Err(failure)),
                None => end = Some(Ok(End::Done)),
            },
            stopped = stop.as_mut(), if end.is_none() => {
                end = Some(stopped.map(|()| End::Stopped));
                grace.as_mut().reset(Instant::now() + MIGRATE_STOP_GRACE);
            }
            () = grace.as_mut(), if is_stopped(end.as_ref()) && !window.is_empty() => {
                break;
            },
            else => break,
        }
    }
    match (end, refused) {
        // Whatever was refused will be seen by whoever goes on.
        (Some(Ok(End::Stopped)), _) => Ok(End::Stopped),
        (_, Some(error)) => Err(error.into()),
        (end, None) => end.unwrap_or(Ok(End::Done)),
    }
}

fn is_stopped(end: Option<&Result<End, Failure>>) -> bool {
    matches!(end, Some(Ok(End::Stopped)))
}

/// How often something may go wrong in a row, and how long to wait after it.
#[derive(Debug, Default)]
struct Patience {
    conflicts: u32,
    losses: u32,
}

impl Patience {
    /// How long to wait before the next round, or the failure if another round is of no use.
    fn after(&mut self, failure: Failure) -> Result<Duration, Failure> {
        let Failure::Client(error) = &failure else {
            return Err(failure);
        };
        if error.kind() == ErrorKind::Conflict && self.conflicts < MIGRATE_CONFLICTS_MAX {
            self.conflicts += 1;
            return Ok(MIGRATE_RETRY_DELAY_MIN);
        }
        if !passes(error) {
            return Err(failure);
        }
        if self.losses == 0 {
            note(&format!("{failure}; trying again"));
        }
        let delay = MIGRATE_RETRY_DELAY_MIN.saturating_mul(1 << self.losses.min(16));
        self.losses += 1;
        Ok(delay.min(MIGRATE_RETRY_DELAY_MAX))
    }
}

/// Whether the other side may be there again a little later. A full disk is for people to look at.
fn passes(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => error.is_retryable() && refusal.code != "MISCONF",
        Error::Unknown { error, .. } => passes(error),
        _ => matches!(error.kind(), ErrorKind::Connection | ErrorKind::Closed),
    }
}

fn after(stored: u64, failure: Failure) -> Failure {
    match stored {
        0 => failure,
        _ => Failure::After {
            done: format!("{} copied", events(stored)),
            failure: Box::new(failure),
        },
    }
}

async fn tell(output: &Output, stored: u64) -> Result<(), Failure> {
    match output.json() {
        true => output.line(&format!("{{\"events\":{stored}}}")).await,
        false => output.line(&format!("{} copied", events(stored))).await,
    }
}

fn events(count: u64) -> String {
    match count {
        1 => "1 event was".to_owned(),
        _ => format!("{count} events were"),
    }
}
