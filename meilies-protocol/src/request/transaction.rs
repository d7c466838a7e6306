//! Redis' commands about transactions: MULTI, EXEC, DISCARD, WATCH and UNWATCH.

// The table holds functions of one shape, though these cannot fail.
#![allow(clippy::unnecessary_wraps)]

use super::{Request, RequestError, tail};
use crate::Arguments;

pub(crate) fn multi(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Multi)
}

pub(crate) fn exec(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Exec)
}

pub(crate) fn discard(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Discard)
}

pub(crate) fn watch(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Watch {
        keys: tail(arguments, 1),
    })
}

pub(crate) fn unwatch(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Unwatch)
}
