//! XNACK: gives pending events back to their group.

use bytes::Bytes;

use crate::request::stream::error::StreamRequestError;
use crate::request::stream::ids::{IdsError, counted, event_ids};
use crate::request::stream::stream;
use crate::request::{Options, Request, RequestError, integer, word};
use crate::{Arguments, EventId, StreamName};

/// `XNACK key group <SILENT|FAIL|FATAL> IDS count id … [RETRYCOUNT n] [FORCE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XNack {
    /// Of which stream.
    pub key: StreamName,
    /// Of which group.
    pub group: Bytes,
    /// What happened.
    pub mode: NackMode,
    /// Which events. Invariant: there is one at least.
    pub ids: Vec<EventId>,
    /// How many deliveries are written down instead of what `mode` says.
    pub deliveries: Option<u64>,
    /// Whether events that are not pending become so, without a consumer.
    pub force: bool,
}

/// What XNACK does to the number of an event's deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NackMode {
    /// `SILENT`: the delivery does not count.
    Silent,
    /// `FAIL`: the delivery counts.
    Fail,
    /// `FATAL`: the number becomes the greatest that there is.
    Fatal,
}

/// Bytes of an unknown option that the error repeats.
const SHOWN_BYTES_MAX: usize = 128;

fn shown(given: &[u8]) -> String {
    String::from_utf8_lossy(&given[..given.len().min(SHOWN_BYTES_MAX)]).into_owned()
}

pub(crate) fn release(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (stream(arguments, 1)?, arguments.bytes(2));
    let mode = match word(arguments, 3).as_bytes() {
        b"SILENT" => NackMode::Silent,
        b"FAIL" => NackMode::Fail,
        b"FATAL" => NackMode::Fatal,
        _ => return Err(StreamRequestError::ReleaseMode.into()),
    };
    let (mut ids, mut deliveries, mut force) = (None, None, false);
    let mut options = Options::from(arguments, 4);
    while let Some((word, given)) = options.next() {
        match (word.as_bytes(), options.left()) {
            (b"IDS", 1..) if ids.is_none() => {
                let given = counted(&mut options, IdsError::XNACK)?;
                ids = Some(event_ids(arguments, given)?);
            }
            (b"RETRYCOUNT", 1..) => {
                let given = u64::try_from(integer(&options.required()?)?);
                deliveries = Some(given.map_err(|_| StreamRequestError::ReleaseDeliveries)?);
            }
            (b"FORCE", _) => force = true,
            _ => return Err(StreamRequestError::ReleaseOption(shown(given)).into()),
        }
    }
    let ids = ids.ok_or(StreamRequestError::ReleaseWithoutIds)?;
    Ok(Request::XNack(XNack {
        key,
        group,
        mode,
        ids,
        deliveries,
        force,
    }))
}
