//! Reading what is there: pages of READ-EVENTS, asked for one after the other.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use futures_core::Stream;
use meilies_protocol::{Event, From, Request, Source, Spec, Value};

use crate::commands::Commands;
use crate::limits::PAGE_BYTES;
use crate::{Client, Error};

/// The events that there are of a stream, or of all streams, in order: a
/// [`futures::Stream`](futures_core::Stream) that ends with the last one.
///
/// It asks for a page at a time over the connection that all commands share, for the first when
/// it is first polled. Events that are published meanwhile may be among the last ones. After an
/// error it ends.
///
/// ```no_run
/// use futures::TryStreamExt;
///
/// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
/// let last_three: Vec<_> = client.read("orders-42")?.reverse().limit(3).try_collect().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is read before it is polled"]
pub struct Read {
    client: Client,
    spec: Spec,
    reverse: bool,
    /// Events that may still be given, if there is a limit.
    left: Option<u64>,
    events: vec::IntoIter<Event>,
    state: State,
}

type Page = Pin<Box<dyn Future<Output = Result<Vec<Event>, Error>> + Send>>;

enum State {
    /// There may be more.
    Idle,
    /// A page was asked for.
    Waiting(Page),
    Over,
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read")
            .field("spec", &self.spec)
            .field("reverse", &self.reverse)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Read {
    pub(crate) fn new(client: Client, mut spec: Spec) -> Read {
        // Said, so that an end can be said, too.
        spec.from = spec.from.or(Some(From::Number(0)));
        Read {
            client,
            spec,
            reverse: false,
            left: None,
            events: Vec::new().into_iter(),
            state: State::Idle,
        }
    }

    /// From the last event to the first.
    pub fn reverse(mut self) -> Read {
        self.reverse = true;
        self
    }

    /// No more than so many events.
    pub fn limit(mut self, events: u64) -> Read {
        self.left = Some(events);
        self
    }

    fn ask(&mut self) -> State {
        if self.left == Some(0) {
            return State::Over;
        }
        let (client, spec) = (self.client.clone(), self.spec.clone());
        let (limit, reverse) = (self.left, self.reverse);
        State::Waiting(Box::pin(async move {
            page(client.commands(), spec, limit, reverse).await
        }))
    }

    /// Takes a page, and says what to do next.
    fn take(&mut self, events: Vec<Event>) -> State {
        let Some(last) = events.last() else {
            return State::Over;
        };
        let count = events.len() as u64;
        self.left = self.left.map(|left| left.saturating_sub(count));
        let number = match self.spec.source {
            Source::All => last.position,
            Source::Stream(_) => last.number,
        };
        // A spec has an end above its start.
        let goes_on = if self.reverse {
            self.spec.until = Some(number);
            matches!(self.spec.from, Some(From::Number(from)) if from < number)
        } else {
            self.spec.from = number.checked_add(1).map(From::Number);
            self.spec.until.is_none_or(|until| until - 1 > number)
        };
        self.events = events.into_iter();
        match goes_on {
            true => State::Idle,
            false => State::Over,
        }
    }
}

impl Stream for Read {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, waking: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.events.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            this.state = match &mut this.state {
                State::Over => return Poll::Ready(None),
                State::Idle => this.ask(),
                State::Waiting(page) => match page.as_mut().poll(waking) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(events)) => this.take(events),
                    Poll::Ready(Err(error)) => {
                        this.state = State::Over;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
            };
        }
    }
}

/// Asks for up to so many events, but for no more bytes than a page has.
pub(crate) async fn page(
    commands: &Commands,
    spec: Spec,
    limit: Option<u64>,
    reverse: bool,
) -> Result<Vec<Event>, Error> {
    let request = Request::ReadEvents {
        spec,
        count: limit,
        bytes: Some(PAGE_BYTES),
        reverse,
    };
    match commands.ask(&request).await? {
        Value::Array(events) => events
            .into_iter()
            .map(|event| Event::from_value(event).map_err(|other| Error::from_reply(&other)))
            .collect(),
        other => Err(Error::from_reply(&other)),
    }
}
