//! MeiliES' own commands: PUBLISH, PUBLISH-MANY, SUBSCRIBE, UNSUBSCRIBE, LAST-EVENT-NUMBER,
//! STREAM-INFO, STREAM-NAMES and READ-EVENTS.

use std::fmt;

use bytes::Bytes;

use super::error::short;
use super::stream::error::StreamRequestError;
use super::stream::ids::event_id;
use super::{NewId, Options, Request, RequestError, positive, tail};
use crate::integer::parse_u64;
use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::{Arguments, EventId, EventName, Source, Spec, StreamName};

/// `PUBLISH stream name data [EXPECT n|none|exists|any] [ID key]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Where to. Not a name of the system.
    pub stream: StreamName,
    /// The event's name.
    pub name: EventName,
    /// The event's data.
    pub data: Bytes,
    /// What must be true of the stream.
    pub expect: Expect,
    /// What makes a repetition of this command known as one.
    pub key: Option<Bytes>,
}

/// `PUBLISH-MANY stream count name data [name data …] [EXPECT n|none|exists|any]
/// [IDS id|* [id|* …]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishMany {
    /// Where to. Not a name of the system.
    pub stream: StreamName,
    /// Names and data of the events. Invariant: there is one at least.
    pub events: Vec<(EventName, Bytes)>,
    /// What must be true of the stream before the first of them.
    pub expect: Expect,
    /// Their ids, where they do not all get the next one by the clock. Invariant: there is none,
    /// or one for each event; none is [`NewId::AutoSeq`].
    pub ids: Vec<NewId>,
}

/// What a writer expects of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    #[default]
    Any,
    /// That it never had an event.
    None,
    /// That it is there.
    Exists,
    /// That this is the number of its last event.
    Number(u64),
}

impl Expect {
    /// Reads what follows the word `EXPECT`.
    pub fn parse(text: &[u8]) -> Option<Expect> {
        if text.eq_ignore_ascii_case(b"any") {
            Some(Expect::Any)
        } else if text.eq_ignore_ascii_case(b"none") {
            Some(Expect::None)
        } else if text.eq_ignore_ascii_case(b"exists") {
            Some(Expect::Exists)
        } else {
            parse_u64(text).map(Expect::Number)
        }
    }
}

/// The word or number that follows `EXPECT`.
impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Any => f.write_str("any"),
            Expect::None => f.write_str("none"),
            Expect::Exists => f.write_str("exists"),
            Expect::Number(number) => number.fmt(f),
        }
    }
}

/// A spec with the text that it was read from: replies to SUBSCRIBE repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenSpec {
    /// As it was given.
    pub text: Bytes,
    /// What it means.
    pub spec: Spec,
}

impl GivenSpec {
    /// Reads a spec and keeps its text.
    pub fn parse(text: Bytes) -> Result<GivenSpec, crate::SpecError> {
        let spec = Spec::parse_bytes(&text)?;
        Ok(GivenSpec { text, spec })
    }
}

/// The count of arguments alone decides what PUBLISH is.
pub(crate) fn publish(arguments: &Arguments) -> Result<Request, RequestError> {
    if arguments.len() == 3 {
        let (channel, message) = (arguments.bytes(1), arguments.bytes(2));
        return Ok(Request::Message { channel, message });
    }
    let stream = StreamName::parse_writable(arguments.bytes(1))?;
    let name = EventName::parse(arguments.bytes(2))?;
    let (mut expect, mut key) = (None, None);
    let mut options = Options::from(arguments, 4);
    while let Some((word, given)) = options.next() {
        match word.as_bytes() {
            b"EXPECT" => expect = Some(expectation(&mut options, expect.is_some())?),
            b"ID" => key = Some(idempotency_key(value(&mut options, key.is_some(), "ID")?)?),
            _ => {
                return Err(RequestError::UnknownOption {
                    option: short(given),
                });
            }
        }
    }
    let (expect, data) = (expect.unwrap_or_default(), arguments.bytes(3));
    Ok(Request::Publish(Publish {
        stream,
        name,
        data,
        expect,
        key,
    }))
}

pub(crate) fn publish_many(arguments: &Arguments) -> Result<Request, RequestError> {
    let stream = StreamName::parse_writable(arguments.bytes(1))?;
    let count = positive(
        &arguments.bytes(2),
        RequestError::NotPositive { what: "count" },
    )?;
    let behind = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(2)?.checked_add(3))
        .filter(|behind| *behind <= arguments.len())
        .ok_or(RequestError::Arity {
            command: "publish-many",
        })?;
    let events = (3..behind).step_by(2).map(|index| {
        let name = EventName::parse(arguments.bytes(index))?;
        Ok((name, arguments.bytes(index + 1)))
    });
    let events = events.collect::<Result<Vec<_>, RequestError>>()?;
    let (mut expect, mut ids) = (None, None);
    let mut options = Options::from(arguments, behind);
    while let Some((word, given)) = options.next() {
        match word.as_bytes() {
            b"EXPECT" => expect = Some(expectation(&mut options, expect.is_some())?),
            b"IDS" if ids.is_some() => {
                return Err(RequestError::RepeatedOption { option: "IDS" });
            }
            b"IDS" => ids = Some(new_ids(&mut options, events.len())?),
            _ => {
                return Err(RequestError::UnknownOption {
                    option: short(given),
                });
            }
        }
    }
    Ok(Request::PublishMany(PublishMany {
        stream,
        events,
        expect: expect.unwrap_or_default(),
        ids: ids.unwrap_or_default(),
    }))
}

/// As many ids as there are events: each an id, or `*` for the next one by the clock.
fn new_ids(options: &mut Options<'_>, events: usize) -> Result<Vec<NewId>, RequestError> {
    let id = |_| {
        let text = options
            .value()
            .ok_or(RequestError::MissingValue { option: "IDS" })?;
        match &text[..] {
            b"*" => Ok(NewId::Auto),
            text => match event_id(text)? {
                EventId::MIN => Err(StreamRequestError::NewIdZero.into()),
                id => Ok(NewId::Given(id)),
            },
        }
    };
    (0..events).map(id).collect()
}

/// The value of `EXPECT`.
pub(super) fn expectation(
    options: &mut Options<'_>,
    given_before: bool,
) -> Result<Expect, RequestError> {
    let value = value(options, given_before, "EXPECT")?;
    Expect::parse(&value).ok_or_else(|| RequestError::Expect {
        value: short(&value),
    })
}

pub(crate) fn subscribe(arguments: &Arguments) -> Result<Request, RequestError> {
    let specs = tail(arguments, 1).into_iter().map(GivenSpec::parse);
    Ok(Request::Subscribe {
        specs: specs.collect::<Result<_, _>>()?,
    })
}

// The table holds functions of one shape, though some of these cannot fail.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn unsubscribe(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Unsubscribe {
        names: tail(arguments, 1),
    })
}

pub(crate) fn last_event_number(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::LastEventNumber {
        stream: StreamName::parse(arguments.bytes(1))?,
    })
}

pub(crate) fn stream_info(arguments: &Arguments) -> Result<Request, RequestError> {
    let stream = StreamName::parse(arguments.bytes(1))?;
    match stream.as_bytes() == Source::All.as_bytes() {
        true => Err(RequestError::NotOneStream),
        false => Ok(Request::StreamInfo { stream }),
    }
}

pub(crate) fn stream_names(arguments: &Arguments) -> Result<Request, RequestError> {
    match arguments.len() {
        1 => Ok(Request::StreamNames { pattern: None }),
        2 => Ok(Request::StreamNames {
            pattern: Some(arguments.bytes(1)),
        }),
        _ => Err(RequestError::Arity {
            command: "stream-names",
        }),
    }
}

pub(crate) fn read_events(arguments: &Arguments) -> Result<Request, RequestError> {
    let spec = Spec::parse_bytes(&arguments.bytes(1))?;
    let (mut count, mut bytes, mut reverse) = (None, None, false);
    let mut options = Options::from(arguments, 2);
    while let Some((word, given)) = options.next() {
        match word.as_bytes() {
            b"COUNT" => {
                let value = value(&mut options, count.is_some(), "COUNT")?;
                count = Some(parse_u64(&value).ok_or(RequestError::NotAnInteger)?);
            }
            b"BYTES" => {
                let value = value(&mut options, bytes.is_some(), "BYTES")?;
                bytes = Some(parse_u64(&value).ok_or(RequestError::NotAnInteger)?);
            }
            b"REVERSE" if reverse => {
                return Err(RequestError::RepeatedOption { option: "REVERSE" });
            }
            b"REVERSE" => reverse = true,
            _ => {
                return Err(RequestError::UnknownOption {
                    option: short(given),
                });
            }
        }
    }
    Ok(Request::ReadEvents {
        spec,
        count,
        bytes,
        reverse,
    })
}

/// The value of an option that may come once.
fn value(
    options: &mut Options<'_>,
    given_before: bool,
    option: &'static str,
) -> Result<Bytes, RequestError> {
    if given_before {
        return Err(RequestError::RepeatedOption { option });
    }
    options.value().ok_or(RequestError::MissingValue { option })
}

fn idempotency_key(key: Bytes) -> Result<Bytes, RequestError> {
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(RequestError::Key { bytes: key.len() });
    }
    Ok(key)
}
