//! The sub-commands of CLIENT.

// The table holds functions of one shape, though some of these cannot fail.
#![allow(clippy::unnecessary_wraps)]

use bytes::Bytes;

use super::error::short;
use super::stream::timeout;
use super::{Options, Request, RequestError, integer, positive, word};
use crate::Arguments;
use crate::integer::parse_i64;

/// `CLIENT …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    /// `ID`: the number of this connection.
    Id,
    /// `INFO`: what is known of this connection.
    Info,
    /// `LIST`: what is known of all that match.
    List {
        /// Of this type only.
        client_type: Option<ClientType>,
        /// With these ids only; nothing means all.
        ids: Vec<u64>,
    },
    /// `SETNAME`: what this connection calls itself; no bytes take its name away.
    SetName(Bytes),
    /// `GETNAME`.
    GetName,
    /// `SETINFO`: what library this client uses.
    SetInfo {
        /// Its name or its version.
        attribute: ClientAttribute,
        /// That.
        value: Bytes,
    },
    /// `NO-EVICT ON|OFF`.
    NoEvict(bool),
    /// `NO-TOUCH ON|OFF`.
    NoTouch(bool),
    /// `REPLY`: whether replies are sent.
    Reply(ReplyMode),
    /// `KILL`: closes connections.
    Kill(Kill),
    /// `UNBLOCK`: ends the waiting of another connection's command.
    Unblock {
        /// Whose; there is none with the id 0.
        id: u64,
        /// What the command then answers.
        reason: UnblockReason,
    },
    /// `PAUSE`: holds up the commands of all connections.
    Pause {
        /// For how long.
        timeout_ms: u64,
        /// Which commands.
        mode: PauseMode,
    },
    /// `UNPAUSE`: lets them go on.
    Unpause,
    /// `HELP`.
    Help,
}

/// What CLIENT SETINFO sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAttribute {
    /// `LIB-NAME`.
    LibName,
    /// `LIB-VER`.
    LibVersion,
}

/// Redis' types of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientType {
    /// Any that is none of the others.
    Normal,
    /// The server that this one replicates.
    Master,
    /// A server that replicates this one; `SLAVE` is read too.
    Replica,
    /// One that has subscribed.
    Pubsub,
}

impl ClientType {
    fn parse(name: &[u8]) -> Result<ClientType, RequestError> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(ClientType::Normal),
            b"master" => Ok(ClientType::Master),
            b"replica" | b"slave" => Ok(ClientType::Replica),
            b"pubsub" => Ok(ClientType::Pubsub),
            _ => Err(RequestError::ClientType { name: short(name) }),
        }
    }
}

/// Whether replies are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// They are.
    On,
    /// They are not.
    Off,
    /// The one to the next command is not.
    Skip,
}

/// What a command answers that CLIENT UNBLOCK ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnblockReason {
    /// `TIMEOUT`: as if its time were over.
    #[default]
    Timeout,
    /// `ERROR`: that it was ended.
    Error,
}

/// Which commands CLIENT PAUSE holds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PauseMode {
    /// `WRITE`: those that write.
    Write,
    /// `ALL`.
    #[default]
    All,
}

/// Which connections CLIENT KILL closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The old form: the one from this `ip:port`, which is an error if there is none.
    Address(Bytes),
    /// The new form: all that match, and the reply is how many.
    Filter(KillFilter),
}

/// What must all be true of a connection that CLIENT KILL closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillFilter {
    /// It has this id.
    pub id: Option<u64>,
    /// It is of this type.
    pub client_type: Option<ClientType>,
    /// It comes from this `ip:port`.
    pub address: Option<Bytes>,
    /// It came to this `ip:port`.
    pub local_address: Option<Bytes>,
    /// It is this user's.
    pub user: Option<Bytes>,
    /// It is not this connection, unless that is said not to matter.
    pub skip_me: bool,
    /// It has been there for at least this many seconds.
    pub age_s_min: Option<u64>,
}

impl Default for KillFilter {
    fn default() -> KillFilter {
        KillFilter {
            id: None,
            client_type: None,
            address: None,
            local_address: None,
            user: None,
            skip_me: true,
            age_s_min: None,
        }
    }
}

pub(crate) fn id(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Client(ClientRequest::Id))
}

pub(crate) fn info(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Client(ClientRequest::Info))
}

pub(crate) fn get_name(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Client(ClientRequest::GetName))
}

pub(crate) fn help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Client(ClientRequest::Help))
}

pub(crate) fn list(arguments: &Arguments) -> Result<Request, RequestError> {
    let (mut client_type, mut ids) = (None, Vec::new());
    if arguments.len() > 2 {
        match (word(arguments, 2).as_bytes(), arguments.len()) {
            (b"TYPE", 4) => client_type = Some(ClientType::parse(arguments.get(3))?),
            (b"ID", 4..) => {
                let given = arguments.iter().skip(3);
                ids = given.map(client_id).collect::<Result<_, _>>()?;
            }
            _ => return Err(RequestError::Syntax),
        }
    }
    Ok(Request::Client(ClientRequest::List { client_type, ids }))
}

fn client_id(text: &[u8]) -> Result<u64, RequestError> {
    let id = parse_i64(text).ok_or(RequestError::ClientId)?;
    // No client has the id 0, so one that is negative means none as well.
    Ok(u64::try_from(id).unwrap_or(0))
}

pub(crate) fn set_name(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Client(ClientRequest::SetName(client_name(
        arguments.bytes(2),
    )?)))
}

/// Takes the name of a client: of printable bytes without spaces, as in Redis.
pub(super) fn client_name(name: Bytes) -> Result<Bytes, RequestError> {
    if !is_attribute(&name) {
        return Err(RequestError::ClientAttribute {
            what: "Client names".to_owned(),
        });
    }
    Ok(name)
}

fn is_attribute(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

pub(crate) fn set_info(arguments: &Arguments) -> Result<Request, RequestError> {
    let given = arguments.get(2);
    let attribute = match word(arguments, 2).as_bytes() {
        b"LIB-NAME" => ClientAttribute::LibName,
        b"LIB-VER" => ClientAttribute::LibVersion,
        _ => {
            return Err(RequestError::ClientOption {
                option: short(given),
            });
        }
    };
    let value = arguments.bytes(3);
    if !is_attribute(&value) {
        return Err(RequestError::ClientAttribute { what: short(given) });
    }
    Ok(Request::Client(ClientRequest::SetInfo { attribute, value }))
}

pub(crate) fn no_evict(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Client(ClientRequest::NoEvict(on_or_off(
        arguments,
    )?)))
}

pub(crate) fn no_touch(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Client(ClientRequest::NoTouch(on_or_off(
        arguments,
    )?)))
}

fn on_or_off(arguments: &Arguments) -> Result<bool, RequestError> {
    match word(arguments, 2).as_bytes() {
        b"ON" => Ok(true),
        b"OFF" => Ok(false),
        _ => Err(RequestError::Syntax),
    }
}

pub(crate) fn reply(arguments: &Arguments) -> Result<Request, RequestError> {
    let mode = match word(arguments, 2).as_bytes() {
        b"ON" => ReplyMode::On,
        b"OFF" => ReplyMode::Off,
        b"SKIP" => ReplyMode::Skip,
        _ => return Err(RequestError::Syntax),
    };
    Ok(Request::Client(ClientRequest::Reply(mode)))
}

pub(crate) fn kill(arguments: &Arguments) -> Result<Request, RequestError> {
    if arguments.len() == 3 {
        let address = arguments.bytes(2);
        return Ok(Request::Client(ClientRequest::Kill(Kill::Address(address))));
    }
    let mut filter = KillFilter::default();
    let mut options = Options::from(arguments, 2);
    while let Some((word, _)) = options.next() {
        let value = options.required()?;
        match word.as_bytes() {
            b"ID" => {
                let id = positive(&value, not_positive("client-id"));
                filter.id = Some(id.map_err(|_| not_positive("client-id"))?);
            }
            b"TYPE" => filter.client_type = Some(ClientType::parse(&value)?),
            b"ADDR" => filter.address = Some(value),
            b"LADDR" => filter.local_address = Some(value),
            b"USER" => filter.user = Some(value),
            b"SKIPME" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
            b"SKIPME" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
            b"MAXAGE" => filter.age_s_min = Some(positive(&value, not_positive("maxage"))?),
            _ => return Err(RequestError::Syntax),
        }
    }
    Ok(Request::Client(ClientRequest::Kill(Kill::Filter(filter))))
}

pub(crate) fn unblock(arguments: &Arguments) -> Result<Request, RequestError> {
    let reason = match arguments.len() {
        3 => UnblockReason::default(),
        4 => match word(arguments, 3).as_bytes() {
            b"TIMEOUT" => UnblockReason::Timeout,
            b"ERROR" => UnblockReason::Error,
            _ => return Err(RequestError::UnblockReason),
        },
        _ => return Err(RequestError::subcommand_arguments(arguments)),
    };
    // No client has the id 0, so one that is negative means none as well.
    let id = u64::try_from(integer(arguments.get(2))?).unwrap_or(0);
    Ok(Request::Client(ClientRequest::Unblock { id, reason }))
}

pub(crate) fn pause(arguments: &Arguments) -> Result<Request, RequestError> {
    let mode = match arguments.len() {
        3 => PauseMode::default(),
        4 => match word(arguments, 3).as_bytes() {
            b"WRITE" => PauseMode::Write,
            b"ALL" => PauseMode::All,
            _ => return Err(RequestError::PauseMode),
        },
        _ => return Err(RequestError::subcommand_arguments(arguments)),
    };
    let timeout_ms = timeout(arguments.get(2))?;
    Ok(Request::Client(ClientRequest::Pause { timeout_ms, mode }))
}

pub(crate) fn unpause(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Client(ClientRequest::Unpause))
}

fn not_positive(what: &'static str) -> RequestError {
    RequestError::NotPositive { what }
}
