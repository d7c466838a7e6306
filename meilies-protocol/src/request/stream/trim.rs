//! XTRIM, and the options of XADD that trim.

use super::error::StreamRequestError;
use super::ids::event_id;
use super::stream;
use crate::request::{Options, Request, RequestError, integer};
use crate::{Arguments, EventId};

/// `MAXLEN|MINID [=|~] threshold [LIMIT n]`: which of the first events of a stream to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// Which are left.
    pub by: TrimBy,
    /// `~`: more may be left than was asked, where that is less work; never fewer.
    pub approximate: bool,
    /// How many to delete at most, as it was given: 0 means any number. Invariant: it is only
    /// given if `approximate`.
    pub limit: Option<u64>,
}

/// What a trim leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimBy {
    /// `MAXLEN`: the last events, so many.
    MaxLen(u64),
    /// `MINID`: the events with this id or a greater one.
    MinId(EventId),
}

/// What becomes of the places where consumer groups remember deleted events as pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// `KEEPREF`: they stay and name nothing.
    #[default]
    Keep,
    /// `DELREF`: they go as well.
    Delete,
    /// `ACKED`: only events that every group has read and acknowledged are deleted.
    Acknowledged,
}

impl References {
    /// The word's meaning, if it is one of these. It is in upper case.
    pub(crate) fn parse(word: &[u8]) -> Option<References> {
        match word {
            b"KEEPREF" => Some(References::Keep),
            b"DELREF" => Some(References::Delete),
            b"ACKED" => Some(References::Acknowledged),
            _ => None,
        }
    }
}

pub(crate) fn trim(arguments: &Arguments) -> Result<Request, RequestError> {
    let key = stream(arguments, 1)?;
    let mut trimming = Trimming::default();
    let mut options = Options::from(arguments, 2);
    while let Some((word, _)) = options.next() {
        if !trimming.take(word.as_bytes(), &mut options)? {
            return Err(RequestError::Syntax);
        }
    }
    let references = trimming.references.unwrap_or_default();
    let missing = StreamRequestError::TrimMissing;
    let trim = trimming.checked(true)?.ok_or(missing)?;
    Ok(Request::XTrim {
        key,
        trim,
        references,
    })
}

/// The options of a trim as they come, in any order.
#[derive(Default)]
pub(super) struct Trimming {
    by: Option<TrimBy>,
    approximate: bool,
    limit: Option<u64>,
    pub(super) references: Option<References>,
}

impl Trimming {
    /// Takes an option and its value, and says whether it is one of a trim at all. A word without
    /// a value behind it is none: XADD takes it for an id.
    pub(super) fn take(
        &mut self,
        word: &[u8],
        options: &mut Options<'_>,
    ) -> Result<bool, RequestError> {
        match (word, options.left()) {
            (b"MAXLEN", 1..) => {
                let value = self.threshold(options)?;
                let length = not_negative(&value, "MAXLEN")?;
                self.by = Some(TrimBy::MaxLen(length));
            }
            (b"MINID", 1..) => {
                let value = self.threshold(options)?;
                self.by = Some(TrimBy::MinId(event_id(&value)?));
            }
            (b"LIMIT", 1..) => self.limit = Some(not_negative(&options.required()?, "LIMIT")?),
            _ => {
                let references = References::parse(word);
                // It comes once: as in Redis a second one is no option.
                if references.is_none() || self.references.is_some() {
                    return Ok(false);
                }
                self.references = references;
            }
        }
        Ok(true)
    }

    /// What follows `MAXLEN` or `MINID`, which come once: the sign, if any, is taken, and the
    /// threshold returned.
    fn threshold(&mut self, options: &mut Options<'_>) -> Result<bytes::Bytes, RequestError> {
        if self.by.is_some() {
            return Err(StreamRequestError::TrimTwice.into());
        }
        let value = options.required()?;
        if options.left() == 0 || !matches!(&value[..], b"~" | b"=") {
            return Ok(value);
        }
        self.approximate = &value[..] == b"~";
        options.required()
    }

    /// The trim, if there is one, when every option has been read. If it must be there, that it
    /// is missing is said before what its limit lacks.
    pub(super) fn checked(&self, required: bool) -> Result<Option<Trim>, RequestError> {
        let trim = self.by.map(|by| Trim {
            by,
            approximate: self.approximate,
            limit: self.limit,
        });
        match self.limit {
            Some(1..) if trim.is_none() => Err(StreamRequestError::LimitAlone.into()),
            _ if trim.is_none() && required => Err(StreamRequestError::TrimMissing.into()),
            Some(_) if !self.approximate => Err(StreamRequestError::LimitExact.into()),
            _ => Ok(trim),
        }
    }
}

fn not_negative(text: &[u8], option: &'static str) -> Result<u64, RequestError> {
    let number = u64::try_from(integer(text)?);
    number.map_err(|_| StreamRequestError::Negative { option }.into())
}
