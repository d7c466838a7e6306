//! Events as they come, over a connection of their own that is made again when it is lost.
//!
//! There is no task behind a subscription: whoever polls it reads its socket. So what is not polled
//! is not read, the system's buffers fill, and the server sends no more.

mod cursor;
mod link;
mod open;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use meilies_protocol::{Event, EventNumber, GivenSpec};
use tokio::sync::OwnedSemaphorePermit;

use self::cursor::Cursors;
use self::link::Link;
use self::open::Opened;
use crate::Error;
use crate::builder::Options;
use crate::lifecycle::{Change, ConnectionKind};

/// What a subscription gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event of a stream, or of `$all`. Its bytes are a part of what was read from the socket:
    /// an event that is kept keeps some of its neighbours in memory.
    Event(Event),
    /// All events that there were have been given, and what comes now is live. Comes again after
    /// the connection was lost, when the events of the meantime have been given.
    CaughtUp {
        /// The stream, or `$all`.
        source: Bytes,
        /// The number, or position, of the last event that there is.
        number: Option<EventNumber>,
    },
    /// The end of a spec is reached.
    Ended {
        /// The spec as it was given.
        spec: Bytes,
        /// The number that would be next.
        next: EventNumber,
    },
    /// A stream is gone; the subscription to it has ended.
    Deleted {
        /// Its name.
        stream: Bytes,
        /// The number of its last event, as far as it is known.
        number: EventNumber,
    },
}

/// Events as they are sent: first those that there are, then those that come. A
/// [`futures::Stream`](futures_core::Stream) that ends when all its specs have ended, which only
/// those with an end do by themselves.
///
/// When the connection is lost it is made again, as [`Builder::reconnect`] says, and each spec
/// goes on behind the last event that was given: none is lost, and none comes twice. What has
/// ended stays so. An error that is about one spec, [`Error::Unreadable`], [`Error::Diverged`] or
/// [`Error::Replaced`], ends that spec only; the others go on. After any other error the stream
/// ends.
///
/// Nothing is done unless it is polled; dropping it closes its connection. No event is lost when
/// `next()` is dropped before it is done, as `tokio::select!` does.
///
/// [`Builder::reconnect`]: crate::Builder::reconnect
#[must_use = "nothing is read before it is polled"]
pub struct Subscription {
    options: Arc<Options>,
    state: State,
    /// What came while the subscription was opened.
    held: VecDeque<Result<Item, Error>>,
    /// Given back when it is over.
    place: Option<OwnedSemaphorePermit>,
}

enum State {
    Live { link: Box<Link>, cursors: Cursors },
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Error>> + Send>>),
    Over,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Live { .. } => "live",
            State::Opening(_) => "connecting again",
            State::Over => "over",
        };
        f.debug_struct("Subscription")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    /// Connects and subscribes.
    pub(crate) async fn open(
        options: Arc<Options>,
        specs: Vec<GivenSpec>,
        place: OwnedSemaphorePermit,
    ) -> Result<Subscription, Error> {
        let opened = open::first(Arc::clone(&options), Cursors::new(specs)).await?;
        let mut subscription = Subscription {
            options,
            state: State::Over,
            held: VecDeque::new(),
            place: Some(place),
        };
        subscription.take(opened);
        Ok(subscription)
    }

    /// The events alone, without what else is said of the specs. Errors stay.
    pub fn events(self) -> Events {
        Events(self)
    }

    /// The next item if it has been read together with the one before, without waiting and without
    /// reading more.
    pub fn next_buffered(&mut self) -> Option<Result<Item, Error>> {
        if let Some(item) = self.held.pop_front() {
            return Some(item);
        }
        let State::Live { link, cursors } = &mut self.state else {
            return None;
        };
        loop {
            // A failure of the connection is dealt with when it is waited for.
            let incoming = link.buffered()?;
            let item = cursors.take(incoming);
            link.ask(cursors);
            if let Some(item) = item {
                return Some(item);
            }
        }
    }

    fn take(&mut self, opened: Opened) {
        let Opened {
            mut link,
            mut cursors,
            held,
        } = opened;
        link.ask(&mut cursors);
        self.held = held;
        self.state = State::Live {
            link: Box::new(link),
            cursors,
        };
    }

    /// Makes the connection again.
    fn reopen(&mut self, error: Error) {
        let listener = &self.options.listener;
        let reason = error.to_string();
        listener.tell(ConnectionKind::Subscription, Change::Lost { reason });
        if let State::Live { cursors, .. } = std::mem::replace(&mut self.state, State::Over) {
            let options = Arc::clone(&self.options);
            self.state = State::Opening(Box::pin(open::again(options, cursors, error)));
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Item, Error>;

    fn poll_next(self: Pin<&mut Self>, waking: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.held.pop_front() {
                return Poll::Ready(Some(item));
            }
            match &mut this.state {
                State::Over => {
                    this.place = None;
                    return Poll::Ready(None);
                }
                State::Live { cursors, .. } if cursors.are_over() => this.state = State::Over,
                State::Live { link, cursors } => match link.poll_next(waking, &this.options) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => this.reopen(error),
                    Poll::Ready(Ok(incoming)) => {
                        let item = cursors.take(incoming);
                        link.ask(cursors);
                        if let Some(item) = item {
                            return Poll::Ready(Some(item));
                        }
                    }
                },
                State::Opening(opening) => match opening.as_mut().poll(waking) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(opened)) => this.take(opened),
                    Poll::Ready(Err(error)) => {
                        this.state = State::Over;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
            }
        }
    }
}

/// The events of a [`Subscription`], and its errors.
///
/// ```no_run
/// use futures::TryStreamExt;
///
/// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
/// let mut events = client.subscribe(["$all:0"]).await?.events();
/// while let Some(event) = events.try_next().await? {
///     println!("{} {} {}", event.position, event.stream, event.number);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is read before it is polled"]
pub struct Events(Subscription);

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, waking: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(&mut self.0).poll_next(waking) {
                Poll::Ready(Some(Ok(Item::Event(event)))) => Poll::Ready(Some(Ok(event))),
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}
