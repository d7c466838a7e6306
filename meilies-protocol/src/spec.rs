//! What SUBSCRIBE and READ-EVENTS name: a stream, where to begin and where to end.
//!
//! A spec is read from its right end and never depends on which streams exist.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::integer::parse_digits;
use crate::stream_name::{StreamName, StreamNameError, write_escaped};

/// The name of the stream of all events in commit order.
const ALL: &[u8] = b"$all";

/// Bytes of a refused spec that its error repeats.
const SHOWN_BYTES_MAX: usize = 128;

/// A stream and the part of it that is wanted.
///
/// The parts of a spec stand between its colons. The last one decides, with the one before it:
///
/// | last part | part before it | meaning | example |
/// |---|---|---|---|
/// | a word | any | all of it is a name | `orders`, `orders:eu`, `a:5:x` |
/// | `$` | any, and part of the name | new events only | `orders:$`, `orders:42:$` |
/// | number | none, or a word | from that number on | `orders:0`, `orders:eu:7` |
/// | number | number or `$` | from, until (exclusive) | `orders:2:5`, `orders:$:9` |
/// | `+` | number or `$` | from, without end | `orders:0:+`, `orders:42:0:+` |
/// | `+` | none, or a word | refused: there is no start | `orders:+` |
/// | number or `+` | empty, signed, too big, `+` | refused: a start was meant | `x::0`, `x:-1:5` |
/// | empty, signed, too big | any | refused: a number was meant | `x:`, `x:0:`, `x:-1`, `x:+1` |
///
/// A *number* is decimal digits that fit u64; *signed* is `-` or `+` and digits; a *word* is
/// anything else. The end must be greater than the start. What is left in front is the name: any
/// bytes, so every name can be spelled with `:$` or `:0:+` behind it. Of the names that begin with
/// `$` only `$all` is taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Whose events.
    pub source: Source,
    /// Where to begin, if that was said: a bare name means the whole stream to READ-EVENTS and
    /// new events to SUBSCRIBE.
    pub from: Option<From>,
    /// The number to stop before. Invariant: it is greater than the number in `from`.
    pub until: Option<u64>,
}

/// Whose events a spec is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Every stream's, in commit order: `$all`. Its numbers are positions.
    All,
    /// One stream's.
    Stream(StreamName),
}

impl Source {
    /// The source as specs and pushes name it.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Source::All => ALL,
            Source::Stream(name) => name.as_bytes(),
        }
    }
}

/// Where a spec begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum From {
    /// At this number, which may lie in the future.
    Number(u64),
    /// Behind the last event that there is: `$`.
    New,
}

impl Spec {
    /// Reads a spec and copies the name out of it.
    pub fn parse(text: &[u8]) -> Result<Spec, SpecError> {
        Spec::parse_bytes(&Bytes::copy_from_slice(text))
    }

    /// Reads a spec, sharing the name with it.
    pub fn parse_bytes(text: &Bytes) -> Result<Spec, SpecError> {
        parse_parts(text).map_err(|reason| {
            let bytes = &text[..text.len().min(SHOWN_BYTES_MAX)];
            SpecError {
                spec: Escaped(bytes).to_string(),
                reason,
            }
        })
    }

    /// Appends the shortest text that is read as this spec. A bare name that would be read as
    /// something else is written as what SUBSCRIBE makes of it, `name:$`.
    pub fn write(&self, out: &mut BytesMut) {
        let name = self.source.as_bytes();
        let mut digits = itoa::Buffer::new();
        out.put_slice(name);
        match self.from {
            None if matches!(split(name), Ok((_, None, None))) => {}
            None | Some(From::New) => out.put_slice(b":$"),
            Some(From::Number(number)) => {
                out.put_u8(b':');
                out.put_slice(digits.format(number).as_bytes());
            }
        }
        if let Some(until) = self.until {
            out.put_u8(b':');
            out.put_slice(digits.format(until).as_bytes());
        } else if matches!(self.from, Some(From::Number(_)))
            && !matches!(split(name), Ok((_, None, None)))
        {
            out.put_slice(b":+");
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = BytesMut::new();
        self.write(&mut text);
        write_escaped(f, &text)
    }
}

fn parse_parts(text: &Bytes) -> Result<Spec, SpecReason> {
    let (name, from, until) = split(text)?;
    if name.is_empty() {
        return Err(SpecReason::NameEmpty);
    }
    let source = if name == ALL {
        Source::All
    } else if name[0] == b'$' {
        return Err(SpecReason::System);
    } else {
        Source::Stream(StreamName::parse(text.slice(..name.len()))?)
    };
    if let Some(until) = until {
        let least = match from {
            Some(From::Number(number)) => number,
            _ => 0,
        };
        if until <= least {
            return Err(SpecReason::RangeEmpty { from: least, until });
        }
    }
    Ok(Spec {
        source,
        from,
        until,
    })
}

type Split<'a> = (&'a [u8], Option<From>, Option<u64>);

/// Cuts a spec into name, start and end by the table above.
fn split(text: &[u8]) -> Result<Split<'_>, SpecReason> {
    let Some((rest, last)) = cut_last(text) else {
        return Ok((text, None, None));
    };
    match Part::of(last)? {
        Part::Word => Ok((text, None, None)),
        Part::Dollar => Ok((rest, Some(From::New), None)),
        Part::Plus => {
            let (name, from) = cut_last(rest).ok_or(SpecReason::FromMissing)?;
            let from = Part::of(from)?.start()?.ok_or(SpecReason::FromMissing)?;
            Ok((name, Some(from), None))
        }
        Part::Number(number) => {
            let Some((name, from)) = cut_last(rest) else {
                return Ok((rest, Some(From::Number(number)), None));
            };
            match Part::of(from)?.start()? {
                Some(from) => Ok((name, Some(from), Some(number))),
                None => Ok((rest, Some(From::Number(number)), None)),
            }
        }
    }
}

/// What stands before and behind the last colon.
fn cut_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memrchr(b':', text)?;
    Some((&text[..colon], &text[colon + 1..]))
}

/// What a part of a spec is by itself.
#[derive(Clone, Copy)]
enum Part {
    Number(u64),
    Dollar,
    Plus,
    Word,
}

impl Part {
    /// Refuses the parts that can only be a number gone wrong.
    fn of(part: &[u8]) -> Result<Part, SpecReason> {
        let shown = || Escaped(&part[..part.len().min(SHOWN_BYTES_MAX)]).to_string();
        match part {
            [] => Err(SpecReason::PartEmpty),
            b"$" => Ok(Part::Dollar),
            b"+" => Ok(Part::Plus),
            [b'-' | b'+', digits @ ..] if is_digits(digits) => {
                Err(SpecReason::Signed { value: shown() })
            }
            digits if is_digits(digits) => match parse_digits(digits) {
                Some(number) => Ok(Part::Number(number)),
                None => Err(SpecReason::TooBig { value: shown() }),
            },
            _ => Ok(Part::Word),
        }
    }

    /// The start that this part means, or nothing if it belongs to the name.
    fn start(self) -> Result<Option<From>, SpecReason> {
        match self {
            Part::Number(number) => Ok(Some(From::Number(number))),
            Part::Dollar => Ok(Some(From::New)),
            Part::Plus => Err(SpecReason::PlusAsFrom),
            Part::Word => Ok(None),
        }
    }
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.0)
    }
}

/// A spec that is refused, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec '{spec}' {reason}")]
pub struct SpecError {
    /// The beginning of the spec as text.
    pub spec: String,
    /// What is wrong with it.
    pub reason: SpecReason,
}

/// What is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecReason {
    /// No name is left in front of the numbers.
    #[error("has no stream name")]
    NameEmpty,
    /// Two colons follow each other, or one is the last byte.
    #[error("has nothing where an event number or '$' is expected")]
    PartEmpty,
    /// A number has a sign.
    #[error("has '{value}' where an event number is expected: digits without a sign")]
    Signed {
        /// The number with its sign.
        value: String,
    },
    /// A number does not fit u64.
    #[error("has the event number '{value}', the limit is 18446744073709551615")]
    TooBig {
        /// The digits.
        value: String,
    },
    /// `+` stands where a start does.
    #[error("has '+' where an event number or '$' is expected: '+' can only be the end")]
    PlusAsFrom,
    /// `+` is the end of nothing.
    #[error("has the end '+' but no event number or '$' before it")]
    FromMissing,
    /// The end is not behind the start.
    #[error("ends before {until}, which must be greater than its start {from}")]
    RangeEmpty {
        /// The number that it begins at.
        from: u64,
        /// The number that it would stop before.
        until: u64,
    },
    /// The name begins with `$` and is not `$all`.
    #[error("names a stream of the system: of the names that begin with '$' only $all is read")]
    System,
    /// The name cannot be a stream's.
    #[error("has a bad name: {0}")]
    Name(#[from] StreamNameError),
}

#[cfg(test)]
mod tests;
