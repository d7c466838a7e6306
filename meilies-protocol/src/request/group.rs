//! Redis' commands about consumer groups: XGROUP, XREADGROUP, XACK, XACKDEL, XNACK, XPENDING,
//! XCLAIM and XAUTOCLAIM.

pub(crate) mod claim;
pub(crate) mod manage;
pub(crate) mod pending;
pub(crate) mod read;
pub(crate) mod release;

use super::misformed::{Absent, unless_absent};
use super::stream::ids::{event_ids, referenced};
use super::stream::stream;
use super::{Request, RequestError};
use crate::Arguments;

pub(crate) fn acknowledge(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (stream(arguments, 1)?, arguments.bytes(2));
    let parsed = event_ids(arguments, 3..arguments.len()).map(|ids| Request::XAck {
        key: key.clone(),
        group: group.clone(),
        ids,
    });
    let needs = || Ok(vec![(key, Some(group))]);
    unless_absent(parsed, arguments, needs, Absent::Zero)
}

pub(crate) fn acknowledge_and_delete(arguments: &Arguments) -> Result<Request, RequestError> {
    let (key, group) = (stream(arguments, 1)?, arguments.bytes(2));
    let (references, ids) = referenced(arguments, 3)?;
    let count = ids.len();
    let parsed = event_ids(arguments, ids).map(|ids| Request::XAckDel {
        key: key.clone(),
        group: group.clone(),
        references,
        ids,
    });
    let needs = || Ok(vec![(key, Some(group))]);
    unless_absent(parsed, arguments, needs, Absent::Each { count })
}
