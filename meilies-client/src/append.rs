//! Appending events of any fields: what is sent, and what a lost reply means.
//!
//! An append that names its id or expects a number can be sent again without harm: it is stored at
//! that place or nowhere. What a refusal of the second attempt means is told by what stands there,
//! as for a publish; but an event with the very id and the very fields is the one that was to be
//! stored, whoever stored it.

use bytes::{Bytes, BytesMut};
use meilies_protocol::limits::FRAME_ELEMENTS_MAX;
use meilies_protocol::{
    Event, EventId, EventNumber, Expect, From as Start, NewId, References, Request, Source, Spec,
    StreamName, Value, XAdd, XRange,
};
use tokio::time::Instant;

use crate::commands::Outcome;
use crate::limits::PUBLISH_BYTES_MAX;
use crate::publish::{failure, place, unknown};
use crate::read::page;
use crate::{Client, Error};

/// Elements of XADD beside names and values.
const WORDS_MAX: usize = 5;

/// Fields of one event: a command has a bound on its elements.
pub(crate) const FIELDS_MAX: usize = (FRAME_ELEMENTS_MAX - WORDS_MAX) / 2;

/// How an event is appended, see [`Client::append`](crate::Client::append). An [`Expect`] alone is
/// taken for one, too.
///
/// ```
/// use meilies_client::{Append, EventId, Expect};
///
/// let any: Append = Expect::Any.into();
/// assert_eq!(any, Append::default());
/// let exact = Append {
///     expect: Expect::Number(7),
///     id: Some(EventId::new(1_700_000_000_000, 0)),
/// };
/// # let _ = exact;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// Where the stream must be, else nothing is stored.
    pub expect: Expect,
    /// The event's id, which must be above all others of its stream; the server chooses one if
    /// there is none.
    pub id: Option<EventId>,
}

impl From<Expect> for Append {
    fn from(expect: Expect) -> Append {
        Append { expect, id: None }
    }
}

/// An event that is to be appended.
#[derive(Debug)]
pub(crate) struct Appending {
    stream: StreamName,
    /// Names and values in turn.
    fields: Vec<Bytes>,
    append: Append,
}

impl Appending {
    pub(crate) fn new<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        stream: &[u8],
        fields: impl IntoIterator<Item = (N, V)>,
        append: Append,
    ) -> Result<Appending, Error> {
        let stream = StreamName::parse_writable(Bytes::copy_from_slice(stream))?;
        let mut strings = Vec::new();
        let mut bytes = stream.as_bytes().len();
        for (name, value) in fields {
            for string in [name.as_ref(), value.as_ref()] {
                bytes += string.len();
                strings.push(Bytes::copy_from_slice(string));
            }
            if bytes > PUBLISH_BYTES_MAX {
                return Err(Error::TooLong { bytes });
            }
        }
        let fields = strings.len() / 2;
        if fields == 0 || fields > FIELDS_MAX {
            return Err(Error::Fields { fields });
        }
        Ok(Appending {
            stream,
            fields: strings,
            append,
        })
    }

    fn encode(&self) -> BytesMut {
        let mut encoded = BytesMut::new();
        let add = XAdd {
            key: self.stream.clone(),
            make_stream: true,
            id: self.append.id.map_or(NewId::Auto, NewId::Given),
            trim: None,
            references: References::default(),
            idempotency: None,
            expect: self.append.expect,
            fields: self.fields.clone(),
        };
        Request::XAdd(Box::new(add)).encode(&mut encoded);
        encoded
    }

    /// Appends it and returns its id.
    pub(crate) async fn send(self, client: &Client) -> Result<EventId, Error> {
        let encoded = self.encode();
        let error = match self.attempt(client, &encoded).await {
            Ok(id) => return Ok(id),
            Err(Outcome::MaybeSent(error)) => error,
            Err(outcome) => return Err(failure(self.stream.as_bytes(), outcome)),
        };
        Box::pin(self.settle(client, &encoded, error)).await
    }

    async fn attempt(&self, client: &Client, encoded: &[u8]) -> Result<EventId, Outcome> {
        let put = |out: &mut BytesMut| out.extend_from_slice(encoded);
        match client.commands().tell(encoded.len(), put).await {
            Outcome::Replied(reply) => {
                let id = reply.as_bytes().and_then(|id| EventId::parse(id).ok());
                id.ok_or(Outcome::Replied(reply))
            }
            outcome => Err(outcome),
        }
    }

    /// Sends again what has no reply, if it may be, until it is known what became of it or the time
    /// of a request is over.
    async fn settle(
        &self,
        client: &Client,
        encoded: &[u8],
        mut error: Error,
    ) -> Result<EventId, Error> {
        let unsure = |error| Err(unknown(&self.stream, None, error));
        if self.append.id.is_none() && place(self.append.expect).is_none() {
            return unsure(error);
        }
        let begun = Instant::now();
        while begun.elapsed() <= client.commands().request_timeout() {
            match self.attempt(client, encoded).await {
                Ok(id) => return Ok(id),
                Err(Outcome::MaybeSent(new)) => error = new,
                Err(Outcome::NotSent(new)) => return unsure(new),
                Err(Outcome::Replied(reply)) => {
                    return self.judge(client, Error::from_reply(&reply), error).await;
                }
            }
        }
        unsure(error)
    }

    /// Says what a refusal of a later attempt means.
    async fn judge(&self, client: &Client, refusal: Error, error: Error) -> Result<EventId, Error> {
        if let Some(id) = self.append.id
            && is_about_place(&refusal)
        {
            return match self.there_by_id(client, id).await {
                Some(Some(true)) => Ok(id),
                // Another event has the id: this one was never stored.
                Some(Some(false)) => Err(refusal),
                Some(None) | None => Err(unknown(&self.stream, None, error)),
            };
        }
        let (Error::Conflict(_), Some(number)) = (&refusal, place(self.append.expect)) else {
            // Why it was refused now says nothing of what was before.
            return Err(unknown(&self.stream, None, refusal));
        };
        Err(match self.there_by_number(client, number).await {
            Some(false) => refusal,
            Some(true) => unknown(&self.stream, Some(number), error),
            None => unknown(&self.stream, None, error),
        })
    }

    /// Whether the event with this id has these fields; nothing within if there is no such event,
    /// and nothing at all if that cannot be told.
    async fn there_by_id(&self, client: &Client, id: EventId) -> Option<Option<bool>> {
        let request = Request::XRange(XRange {
            key: self.stream.clone(),
            from: id,
            to: id,
            count: Some(1),
            reverse: false,
        });
        let Ok(Value::Array(mut entries)) = client.ask(&request).await else {
            return None;
        };
        let Some(Value::Array(mut entry)) = entries.pop() else {
            return Some(None);
        };
        let Some(Value::Array(strings)) = entry.pop() else {
            return None;
        };
        let there = strings.iter().map(Value::as_bytes);
        Some(Some(there.eq(self.fields.iter().map(|it| Some(&it[..])))))
    }

    /// Whether the event with this number has these fields. Nothing if that cannot be told.
    async fn there_by_number(&self, client: &Client, number: EventNumber) -> Option<bool> {
        let spec = Spec {
            source: Source::Stream(self.stream.clone()),
            from: Some(Start::Number(number)),
            until: number.checked_add(1),
        };
        let there: Event = page(client.commands(), spec, Some(1), false)
            .await
            .ok()?
            .pop()?;
        let strings = there.fields.iter().flat_map(|(name, value)| [name, value]);
        Some(strings.eq(self.fields.iter()))
    }
}

/// Whether a refusal says that the stream has gone on.
fn is_about_place(refusal: &Error) -> bool {
    match refusal {
        Error::Conflict(_) => true,
        Error::Refused(error) => error.message.contains("equal or smaller"),
        _ => false,
    }
}
