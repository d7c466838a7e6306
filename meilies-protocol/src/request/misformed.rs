//! Commands whose arguments are wrong, which Redis notices only once it has found what they are
//! about: where that is not there, it says so instead.

use bytes::Bytes;

use super::{Request, RequestError};
use crate::{Arguments, StreamName};

/// A command with a wrong argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misformed {
    /// The command as it was sent.
    pub arguments: Vec<Bytes>,
    /// Streams, and groups where one is named, that are looked for first.
    pub needs: Vec<(StreamName, Option<Bytes>)>,
    /// What is replied if one of these is not there.
    pub absent: Absent,
    /// What is wrong otherwise.
    pub error: RequestError,
}

/// What is replied where a stream or a group is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The number 0.
    Zero,
    /// The number -1 for each of the ids.
    Each {
        /// How many there are.
        count: usize,
    },
    /// That there is no such key.
    Key,
    /// What XGROUP says of a key, and of a group.
    Group,
    /// What XREADGROUP says.
    Read,
    /// What XCLAIM says.
    Claim,
}

/// What was parsed; where that failed, the command with what comes before the error.
pub(crate) fn unless_absent(
    parsed: Result<Request, RequestError>,
    arguments: &Arguments,
    needs: impl FnOnce() -> Result<Vec<(StreamName, Option<Bytes>)>, RequestError>,
    absent: Absent,
) -> Result<Request, RequestError> {
    let Err(error) = parsed else {
        return parsed;
    };
    let Ok(needs) = needs() else {
        return Err(error);
    };
    let arguments = (0..arguments.len()).map(|index| arguments.bytes(index));
    Ok(Request::Misformed(Box::new(Misformed {
        arguments: arguments.collect(),
        needs,
        absent,
        error,
    })))
}
