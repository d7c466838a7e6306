//! Ids of events as commands name them: one by one, or behind the word `IDS`.

use std::ops::Range;

use super::error::StreamRequestError;
use super::trim::References;
use crate::integer::{parse_digits, parse_i64};
use crate::request::{Options, RequestError};
use crate::{Arguments, EventId, EventIdError};

/// `<ms>-<seq>`, or `<ms>` for the first id of that millisecond.
pub(crate) fn event_id(text: &[u8]) -> Result<EventId, RequestError> {
    partial_id(text, 0)
}

/// `<ms>-<seq>`, or `<ms>` alone. As in Redis, blanks and a plus sign may stand before a number.
pub(crate) fn partial_id(text: &[u8], missing_seq: u64) -> Result<EventId, RequestError> {
    let number = |text: &[u8]| {
        let digits = text.trim_ascii_start();
        let digits = digits.strip_prefix(b"+").unwrap_or(digits);
        parse_digits(digits).ok_or(EventIdError)
    };
    let Some(hyphen) = text.iter().position(|byte| *byte == b'-') else {
        let ms = number(text)?;
        let seq = missing_seq;
        return Ok(EventId { ms, seq });
    };
    let ms = number(&text[..hyphen])?;
    let seq = number(&text[hyphen + 1..])?;
    Ok(EventId { ms, seq })
}

/// Arguments that are all ids.
pub(crate) fn event_ids(
    arguments: &Arguments,
    at: Range<usize>,
) -> Result<Vec<EventId>, RequestError> {
    at.map(|index| event_id(arguments.get(index))).collect()
}

/// `[KEEPREF|DELREF|ACKED] IDS count id [id …]`, where the word may also come last, and of several
/// lists of ids the last one counts. Returns where the ids are: Redis looks at them last.
pub(crate) fn referenced(
    arguments: &Arguments,
    from: usize,
) -> Result<(References, Range<usize>), RequestError> {
    let (mut references, mut ids) = (None, None);
    let mut options = Options::from(arguments, from);
    while let Some((word, _)) = options.next() {
        match (word.as_bytes(), References::parse(word.as_bytes())) {
            (_, Some(given)) if references.is_none() => references = Some(given),
            (b"IDS", _) => ids = Some(counted(&mut options, IdsError::OTHERS)?),
            _ => return Err(RequestError::Syntax),
        }
    }
    let ids = ids.ok_or(RequestError::Syntax)?;
    Ok((references.unwrap_or_default(), ids))
}

/// What is said of a wrong count: XNACK has its own words.
pub(crate) struct IdsError {
    not_positive: StreamRequestError,
    mismatch: StreamRequestError,
}

impl IdsError {
    pub(crate) const OTHERS: IdsError = IdsError {
        not_positive: StreamRequestError::IdsCount,
        mismatch: StreamRequestError::IdsMismatch,
    };
    pub(crate) const XNACK: IdsError = IdsError {
        not_positive: StreamRequestError::ReleasedCount,
        mismatch: StreamRequestError::ReleasedMismatch,
    };
}

/// What follows the word `IDS`: their count, and they themselves. Returns where these are.
pub(crate) fn counted(
    options: &mut Options<'_>,
    refused: IdsError,
) -> Result<Range<usize>, RequestError> {
    let count = parse_i64(&options.required()?).and_then(|count| usize::try_from(count).ok());
    let count = count
        .filter(|count| *count > 0)
        .ok_or(refused.not_positive)?;
    options.take(count).ok_or(refused.mismatch.into())
}
