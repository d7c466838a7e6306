//! The publishes that are on their way to the destination.

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use meilies_client::{Append, Client, Error, Expect};

use super::Transfer;
use crate::content::Content;
use crate::failure::Failure;
use crate::limits::{IN_FLIGHT_BYTES_MAX, IN_FLIGHT_EVENTS_MAX};

/// See the module. Publishes are sent in the order in which they are pushed, and each expects the
/// event before its own.
pub(super) struct Window {
    client: Client,
    in_flight: FuturesOrdered<BoxFuture<'static, Ended>>,
    bytes: usize,
    /// What the destination takes, if it says so.
    event_bytes_max: Option<usize>,
}

/// How a publish ended, and how many bytes it had.
type Ended = (usize, Result<(), Error>);

impl Window {
    pub(super) async fn open(client: Client) -> Result<Window, Failure> {
        let info = client.server_info().await?;
        let event_bytes_max = info.get("max_event_bytes");
        Ok(Window {
            event_bytes_max: event_bytes_max.and_then(|bytes| bytes.parse().ok()),
            client,
            in_flight: FuturesOrdered::new(),
            bytes: 0,
        })
    }

    /// Whether another event may be sent. The bound of the client is above this one: what is pushed
    /// never waits there, where those that wait too long are left out.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT_EVENTS_MAX && self.bytes < IN_FLIGHT_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Sends an event, unless the destination is known to refuse it: those behind it would be
    /// stored, and what comes before them would not.
    pub(super) fn push(&mut self, event: Transfer) -> Result<(), Failure> {
        let bytes = event.content.bytes();
        if let Some(limit) = self.event_bytes_max
            && bytes > limit
        {
            return Err(Failure::Input(format!(
                "event {} of '{}' has {bytes} bytes, the limit of the destination is {limit}: \
                 see its --max-event-bytes",
                event.number, event.stream
            )));
        }
        if event.stream.is_system() {
            return Err(Failure::Input(format!(
                "stream '{}' cannot be copied: names that begin with '$' are the destination's own",
                event.stream
            )));
        }
        let bytes = bytes + event.stream.as_bytes().len();
        self.bytes += bytes;
        let client = self.client.clone();
        let publish = async move {
            let expect = event
                .number
                .checked_sub(1)
                .map_or(Expect::None, Expect::Number);
            let stored = match (&event.content, event.id) {
                (Content::One(name, data), None) => {
                    let number = client.publish(&event.stream, name, data, expect);
                    number.await.map(|_number| ())
                }
                (content, id) => {
                    let append = Append { expect, id };
                    let id = client.append(&event.stream, content.fields(), append);
                    id.await.map(|_id| ())
                }
            };
            (bytes, stored)
        };
        self.in_flight.push_back(Box::pin(publish));
        Ok(())
    }

    /// How the oldest publish ended; nothing if there is none. May be dropped.
    pub(super) async fn next(&mut self) -> Option<Result<(), Error>> {
        let (bytes, stored) = self.in_flight.next().await?;
        self.bytes -= bytes;
        Some(stored)
    }
}
