//! XADD: an event of one or more fields.

use bytes::Bytes;

use super::error::StreamRequestError;
use super::ids::event_id;
use super::trim::{References, Trim, Trimming};
use crate::integer::parse_digits;
use crate::request::events::expectation;
use crate::request::{Expect, Options, Request, RequestError, tail};
use crate::{Arguments, EventId, EventIdError, StreamName};

/// What is said of a list of fields that is empty or odd.
const ARITY: RequestError = RequestError::Arity { command: "xadd" };

/// `XADD key [option …] <*|ms-*|id> field value [field value …]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XAdd {
    /// Where to. Not a name of the system.
    pub key: StreamName,
    /// Whether a stream that is not there is made.
    pub make_stream: bool,
    /// Which id the event gets.
    pub id: NewId,
    /// Which events are deleted afterwards.
    pub trim: Option<Trim>,
    /// What becomes of those in consumer groups.
    pub references: References,
    /// What makes a repetition of this command known as one. Invariant: then `id` is
    /// [`NewId::Auto`].
    pub idempotency: Option<Idempotency>,
    /// What must be true of the stream.
    pub expect: Expect,
    /// Names and values in turn. Invariant: they are even in number, and at least 2.
    pub fields: Vec<Bytes>,
}

impl XAdd {
    /// The parts of `XADD key * field value`, the form that most have: the stream, the field and
    /// its value, without an allocation. Nothing if it has another form, or is refused.
    pub fn simplest(arguments: &Arguments) -> Option<(StreamName, [Bytes; 2])> {
        if arguments.len() != 5 || arguments.get(2) != b"*" {
            return None;
        }
        let key = StreamName::parse_writable(arguments.bytes(1)).ok()?;
        Some((key, [arguments.bytes(3), arguments.bytes(4)]))
    }
}

/// Which id XADD gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`: by the clock.
    Auto,
    /// `ms-*`: the next one of this millisecond.
    AutoSeq {
        /// Which.
        ms: u64,
    },
    /// This one. Invariant: it is not 0-0.
    Given(EventId),
}

impl NewId {
    fn parse(text: &[u8]) -> Result<NewId, RequestError> {
        match text {
            b"*" => Ok(NewId::Auto),
            [ms @ .., b'-', b'*'] => match parse_digits(ms) {
                Some(ms) => Ok(NewId::AutoSeq { ms }),
                None => Err(EventIdError.into()),
            },
            _ => event_id(text).map(NewId::Given),
        }
    }
}

/// How a producer makes a repetition known as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// `IDMPAUTO`: an event of the same fields is the same event.
    Auto {
        /// Who produces it.
        producer: Bytes,
    },
    /// `IDMP`: an event with the same key is the same event.
    Given {
        /// Who produces it.
        producer: Bytes,
        /// The key.
        key: Bytes,
    },
}

pub(crate) fn add(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = StreamName::parse_writable(arguments.bytes(1))?;
    let mut trimming = Trimming::default();
    let (mut make_stream, mut idempotency, mut expect) = (true, None, None);
    let mut options = Options::from(arguments, 2);
    let id = loop {
        let (word, given) = options.next().ok_or(ARITY)?;
        match (word.as_bytes(), options.left()) {
            (b"NOMKSTREAM", _) => make_stream = false,
            (b"EXPECT", _) => expect = Some(expectation(&mut options, expect.is_some())?),
            (word @ b"IDMPAUTO", 1..) | (word @ b"IDMP", 2..) => {
                if idempotency.is_some() {
                    return Err(StreamRequestError::IdempotencyTwice.into());
                }
                idempotency = Some(idempotent(word, &mut options)?);
            }
            (word, _) => {
                if !trimming.take(word, &mut options)? {
                    break NewId::parse(given)?;
                }
            }
        }
    };
    if idempotency.is_some() && id != NewId::Auto {
        return Err(StreamRequestError::IdempotencyWithId.into());
    }
    let trim = trimming.checked(false)?;
    let fields = tail(arguments, arguments.len() - options.left());
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(ARITY);
    }
    if id == NewId::Given(EventId::MIN) {
        return Err(StreamRequestError::NewIdZero.into());
    }
    let references = trimming.references.unwrap_or_default();
    let expect = expect.unwrap_or_default();
    Ok(Request::XAdd(Box::new(XAdd {
        key,
        make_stream,
        id,
        trim,
        references,
        idempotency,
        expect,
        fields,
    })))
}

fn idempotent(word: &[u8], options: &mut Options<'_>) -> Result<Idempotency, RequestError> {
    let producer = options.required()?;
    let is_auto = word == b"IDMPAUTO";
    if producer.is_empty() {
        let option = if is_auto { "IDMPAUTO" } else { "IDMP" };
        return Err(StreamRequestError::ProducerEmpty { option }.into());
    }
    if is_auto {
        return Ok(Idempotency::Auto { producer });
    }
    let key = options.required()?;
    if key.is_empty() {
        return Err(StreamRequestError::KeyEmpty.into());
    }
    Ok(Idempotency::Given { producer, key })
}
