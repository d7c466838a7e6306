//! Why a command is refused before it is executed: the catalogue of errors of arguments.

use bytes::BytesMut;

use super::stream::error::StreamRequestError;
use crate::limits::{ERROR_ARGUMENTS_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX};
use crate::{Arguments, EventIdError, EventNameError, SpecError, StreamNameError, writer};

/// A refused command. `Display` is the error reply's line without its `-`, in Redis' words
/// wherever Redis has the error. The connection goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such command.
    #[error("ERR unknown command '{name}', with args beginning with: {arguments}")]
    UnknownCommand {
        /// The beginning of its name.
        name: String,
        /// The beginning of its arguments, each in quotes.
        arguments: String,
    },
    /// There is no such sub-command.
    #[error("ERR unknown subcommand '{name}'. Try {command} HELP.")]
    UnknownSubcommand {
        /// The beginning of its name.
        name: String,
        /// The command, in upper case.
        command: String,
    },
    /// Too few or too many arguments of a sub-command that takes several numbers of them, or an
    /// option of it that there is not.
    #[error(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {command} HELP."
    )]
    SubcommandArguments {
        /// The beginning of its name, as it was given.
        name: String,
        /// The command, in upper case.
        command: String,
    },
    /// Too few or too many arguments.
    #[error("ERR wrong number of arguments for '{command}' command")]
    Arity {
        /// The full name, such as `client|kill`.
        command: &'static str,
    },
    /// The arguments do not fit together.
    #[error("ERR syntax error")]
    Syntax,
    /// An option of PUBLISH or READ-EVENTS that there is not.
    #[error("ERR syntax error: unknown option '{option}'")]
    UnknownOption {
        /// The option as it was given.
        option: String,
    },
    /// An option of PUBLISH or READ-EVENTS twice.
    #[error("ERR syntax error: option {option} is given twice")]
    RepeatedOption {
        /// The option.
        option: &'static str,
    },
    /// An option of PUBLISH or READ-EVENTS without its value, or without enough of them.
    #[error("ERR syntax error: option {option} needs a value")]
    MissingValue {
        /// The option.
        option: &'static str,
    },
    /// What EXPECT is given is neither a number nor one of its words.
    #[error("ERR syntax error: EXPECT takes an event number, none, exists or any, got '{value}'")]
    Expect {
        /// What it is given.
        value: String,
    },
    /// A key of no bytes or too many.
    #[error("ERR ID key is {bytes} bytes, it has 1 to {IDEMPOTENCY_KEY_BYTES_MAX}")]
    Key {
        /// How many there are.
        bytes: usize,
    },
    /// All streams are given where one is asked for.
    #[error("ERR $all is every stream: STREAM-INFO takes the name of one")]
    NotOneStream,
    /// A number is expected.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// The index of SELECT does not fit what Redis keeps it in.
    #[error("ERR value is out of range, value must between -2147483648 and 2147483647")]
    Index,
    /// A number must lie between two others.
    #[error("ERR value is out of range, value must between {least} and {most}")]
    OutOfRange {
        /// The least that is taken.
        least: i64,
        /// The greatest that is taken.
        most: i64,
    },
    /// A number must not be negative.
    #[error("ERR value is out of range, must be positive")]
    Negative,
    /// A number must be greater than 0.
    #[error("ERR {what} should be greater than 0")]
    NotPositive {
        /// What it is.
        what: &'static str,
    },
    /// The version that HELLO is given is no number.
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolVersion,
    /// The version that HELLO is given is none of ours.
    #[error("NOPROTO unsupported protocol version")]
    UnsupportedProtocol,
    /// An option of HELLO that there is not.
    #[error("ERR Syntax error in HELLO option '{option}'")]
    HelloOption {
        /// The option as it was given.
        option: String,
    },
    /// A name for a client, or its library, has bytes that may not be in it.
    #[error("ERR {what} cannot contain spaces, newlines or special characters.")]
    ClientAttribute {
        /// What it is.
        what: String,
    },
    /// An attribute of CLIENT SETINFO that there is not.
    #[error("ERR Unrecognized option '{option}'")]
    ClientOption {
        /// The attribute as it was given.
        option: String,
    },
    /// A type of clients that there is not.
    #[error("ERR Unknown client type '{name}'")]
    ClientType {
        /// The type as it was given.
        name: String,
    },
    /// An id of a client is no number.
    #[error("ERR Invalid client ID")]
    ClientId,
    /// What CLIENT UNBLOCK is to tell the other client is none of its two words.
    #[error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")]
    UnblockReason,
    /// What CLIENT PAUSE is to hold up is none of its two words.
    #[error("ERR CLIENT PAUSE mode must be WRITE or ALL")]
    PauseMode,
    /// How many commands SLOWLOG GET is to return is no number, or too small.
    #[error("ERR count should be greater than or equal to -1")]
    SlowLogCount,
    /// A time to wait is no number.
    #[error("ERR timeout is not an integer or out of range")]
    Timeout,
    /// A time to wait would never end.
    #[error("ERR timeout is out of range")]
    TimeoutTooLong,
    /// A time to wait is negative.
    #[error("ERR timeout is negative")]
    TimeoutNegative,
    /// The cursor of SCAN is no number.
    #[error("ERR invalid cursor")]
    Cursor,
    /// A stream's name is refused.
    #[error("ERR {0}")]
    StreamName(#[from] StreamNameError),
    /// An argument of the Streams family is refused.
    #[error("ERR {0}")]
    Stream(#[from] StreamRequestError),
    /// An event's id is refused.
    #[error("ERR {0}")]
    EventId(#[from] EventIdError),
    /// An event's name is refused.
    #[error("ERR {0}")]
    EventName(#[from] EventNameError),
    /// A spec is refused.
    #[error("ERR {0}")]
    Spec(#[from] SpecError),
}

impl RequestError {
    /// Appends the whole error reply.
    pub fn write(&self, out: &mut BytesMut) {
        let text = self.to_string();
        writer::error_bytes(out, &unescape(&text));
    }

    pub(crate) fn unknown_command(arguments: &Arguments) -> RequestError {
        // As Redis: each argument is cut to what is left of the limit when it begins.
        let mut shown = String::new();
        for argument in arguments.iter().skip(1) {
            if shown.len() >= ERROR_ARGUMENTS_BYTES_MAX {
                break;
            }
            let room = ERROR_ARGUMENTS_BYTES_MAX - shown.len();
            shown.push('\'');
            shown.push_str(&cut(argument, room));
            shown.push_str("' ");
        }
        RequestError::UnknownCommand {
            name: short(arguments.get(0)),
            arguments: shown,
        }
    }

    pub(crate) fn unknown_subcommand(arguments: &Arguments) -> RequestError {
        RequestError::UnknownSubcommand {
            name: short(arguments.get(1)),
            command: short(arguments.get(0)).to_ascii_uppercase(),
        }
    }

    pub(crate) fn subcommand_arguments(arguments: &Arguments) -> RequestError {
        RequestError::SubcommandArguments {
            name: short(arguments.get(1)),
            command: short(arguments.get(0)).to_ascii_uppercase(),
        }
    }
}

/// The beginning of what a peer sent, as text.
pub(crate) fn short(bytes: &[u8]) -> String {
    cut(bytes, ERROR_ARGUMENTS_BYTES_MAX)
}

fn cut(bytes: &[u8], room: usize) -> String {
    // Redis formats these as C strings: they end at a NUL.
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len()).min(room);
    escape(&bytes[..end])
}

/// Where the characters begin that stand for bytes which are no text: Unicode gives them to nobody.
const ESCAPED: u32 = 0x0010_FF00;

/// Text for any bytes, so that an error repeats exactly what a peer sent.
fn escape(bytes: &[u8]) -> String {
    let escaped = |byte: &u8| char::from_u32(ESCAPED + u32::from(*byte)).unwrap_or('?');
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if u32::from(character) < ESCAPED {
                text.push(character);
            } else {
                let mut buffer = [0; 4];
                let own = character.encode_utf8(&mut buffer).as_bytes();
                text.extend(own.iter().map(escaped));
            }
        }
        text.extend(chunk.invalid().iter().map(escaped));
    }
    text
}

/// The bytes that [`escape`] has made text of.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        if let Some(byte) = u32::from(character).checked_sub(ESCAPED) {
            bytes.extend(u8::try_from(byte));
        } else {
            let mut buffer = [0; 4];
            bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_repeated(bytes in proptest::collection::vec(any::<u8>(), 0..40),
                                  text in ".{0,9}") {
            for bytes in [bytes, text.into_bytes(), "\u{10FFFD}\u{10FF00}".into()] {
                prop_assert_eq!(unescape(&escape(&bytes)), bytes);
            }
        }
    }
}
