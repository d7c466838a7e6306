//! Commands about the server: COMMAND, CONFIG, INFO, MODULE, TIME, SAVE, BGSAVE, BGREWRITEAOF,
//! LASTSAVE, SHUTDOWN, MONITOR, WAIT and WAITAOF.

// The table holds functions of one shape, though some of these cannot fail.
#![allow(clippy::unnecessary_wraps)]

use bytes::Bytes;

use super::stream::timeout;
use super::{Options, Request, RequestError, integer, tail, word};
use crate::Arguments;
use crate::integer::parse_i64;

/// `COMMAND …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandRequest {
    /// Without a sub-command: every row of the table.
    All,
    /// `COUNT`.
    Count,
    /// `DOCS`.
    Docs {
        /// Of which commands; nothing means all.
        names: Vec<Bytes>,
    },
    /// `INFO`.
    Info {
        /// Of which commands; nothing means all.
        names: Vec<Bytes>,
    },
    /// `LIST`.
    List {
        /// Which names; nothing means all.
        filter: Option<CommandFilter>,
    },
    /// `GETKEYS`.
    GetKeys {
        /// A whole command.
        arguments: Vec<Bytes>,
    },
    /// `GETKEYSANDFLAGS`.
    GetKeysAndFlags {
        /// A whole command.
        arguments: Vec<Bytes>,
    },
    /// `HELP`.
    Help,
}

/// Which commands COMMAND LIST names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandFilter {
    /// Those that match.
    Pattern(Bytes),
    /// Those of a module: there is none.
    Module(Bytes),
    /// Those of a category of Redis' access control.
    AclCategory(Bytes),
}

/// `CONFIG …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigRequest {
    /// `GET`.
    Get {
        /// Which settings.
        patterns: Vec<Bytes>,
    },
    /// `SET`.
    Set {
        /// Names and values, in order.
        settings: Vec<(Bytes, Bytes)>,
    },
    /// `RESETSTAT`: begins to count anew.
    ResetStat,
    /// `REWRITE`: writes the settings to their file.
    Rewrite,
    /// `HELP`.
    Help,
}

/// `MODULE …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleRequest {
    /// `LIST`: the modules that are loaded.
    List,
    /// `HELP`.
    Help,
}

/// What is begun and not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundRequest {
    /// `BGSAVE [SCHEDULE]`.
    Save {
        /// To begin later if it cannot begin now.
        schedule: bool,
    },
    /// `BGREWRITEAOF`.
    Rewrite,
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// Whether to save, if that was said.
    pub save: Option<Save>,
    /// Not to wait for anybody.
    pub now: bool,
    /// To end even if saving fails.
    pub force: bool,
    /// To take a SHUTDOWN back. Invariant: nothing else is said with it.
    pub abort: bool,
}

/// Whether SHUTDOWN saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Save {
    /// `SAVE`.
    Save,
    /// `NOSAVE`.
    NoSave,
}

pub(crate) fn command_all(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Command(CommandRequest::All))
}

pub(crate) fn command_count(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Command(CommandRequest::Count))
}

pub(crate) fn command_docs(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Command(CommandRequest::Docs {
        names: tail(arguments, 2),
    }))
}

pub(crate) fn command_info(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Command(CommandRequest::Info {
        names: tail(arguments, 2),
    }))
}

pub(crate) fn command_get_keys(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Command(CommandRequest::GetKeys {
        arguments: tail(arguments, 2),
    }))
}

pub(crate) fn command_get_keys_and_flags(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Command(CommandRequest::GetKeysAndFlags {
        arguments: tail(arguments, 2),
    }))
}

pub(crate) fn command_help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Command(CommandRequest::Help))
}

pub(crate) fn command_list(arguments: &Arguments) -> Result<Request, RequestError> {
    let filter = match arguments.len() {
        2 => None,
        5 if word(arguments, 2).as_bytes() == b"FILTERBY" => {
            let value = arguments.bytes(4);
            Some(match word(arguments, 3).as_bytes() {
                b"PATTERN" => CommandFilter::Pattern(value),
                b"MODULE" => CommandFilter::Module(value),
                b"ACLCAT" => CommandFilter::AclCategory(value),
                _ => return Err(RequestError::Syntax),
            })
        }
        _ => return Err(RequestError::Syntax),
    };
    Ok(Request::Command(CommandRequest::List { filter }))
}

pub(crate) fn config_get(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Config(ConfigRequest::Get {
        patterns: tail(arguments, 2),
    }))
}

pub(crate) fn config_set(arguments: &Arguments) -> Result<Request, RequestError> {
    if !arguments.len().is_multiple_of(2) {
        return Err(RequestError::Syntax);
    }
    let pairs = (2..arguments.len()).step_by(2);
    let settings = pairs
        .map(|name| (arguments.bytes(name), arguments.bytes(name + 1)))
        .collect();
    Ok(Request::Config(ConfigRequest::Set { settings }))
}

pub(crate) fn config_help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Config(ConfigRequest::Help))
}

pub(crate) fn config_reset_stat(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Config(ConfigRequest::ResetStat))
}

pub(crate) fn config_rewrite(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Config(ConfigRequest::Rewrite))
}

pub(crate) fn module_list(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Module(ModuleRequest::List))
}

pub(crate) fn module_help(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Module(ModuleRequest::Help))
}

pub(crate) fn monitor(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Monitor)
}

pub(crate) fn wait(arguments: &Arguments) -> Result<Request, RequestError> {
    // There are never fewer servers than none, so a negative number means none as well.
    let replicas = u64::try_from(integer(arguments.get(1))?).unwrap_or(0);
    let timeout_ms = timeout(arguments.get(2))?;
    Ok(Request::Wait {
        replicas,
        timeout_ms,
    })
}

pub(crate) fn wait_for_log(arguments: &Arguments) -> Result<Request, RequestError> {
    let local = match integer(arguments.get(1))? {
        0 => false,
        1 => true,
        _ => return Err(RequestError::OutOfRange { least: 0, most: 1 }),
    };
    // As in Redis, the same is said of what is no number.
    let replicas = parse_i64(arguments.get(2)).and_then(|replicas| u64::try_from(replicas).ok());
    let replicas = replicas.ok_or(RequestError::Negative)?;
    let timeout_ms = timeout(arguments.get(3))?;
    Ok(Request::WaitAof {
        local,
        replicas,
        timeout_ms,
    })
}

pub(crate) fn info(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Info {
        sections: tail(arguments, 1),
    })
}

pub(crate) fn time(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Time)
}

pub(crate) fn save(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Save)
}

pub(crate) fn background_save(arguments: &Arguments) -> Result<Request, RequestError> {
    let mut options = Options::from(arguments, 1);
    let schedule = match options.next() {
        None => false,
        Some((word, _)) if word.as_bytes() == b"SCHEDULE" && options.next().is_none() => true,
        Some(_) => return Err(RequestError::Syntax),
    };
    Ok(Request::Background(BackgroundRequest::Save { schedule }))
}

pub(crate) fn background_rewrite(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Background(BackgroundRequest::Rewrite))
}

pub(crate) fn last_save(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::LastSave)
}

pub(crate) fn shutdown(arguments: &Arguments) -> Result<Request, RequestError> {
    let mut shutdown = Shutdown::default();
    let mut options = Options::from(arguments, 1);
    while let Some((word, _)) = options.next() {
        match (word.as_bytes(), shutdown.save) {
            (b"SAVE", None | Some(Save::Save)) => shutdown.save = Some(Save::Save),
            (b"NOSAVE", None | Some(Save::NoSave)) => shutdown.save = Some(Save::NoSave),
            (b"NOW", _) => shutdown.now = true,
            (b"FORCE", _) => shutdown.force = true,
            (b"ABORT", _) => shutdown.abort = true,
            _ => return Err(RequestError::Syntax),
        }
    }
    if shutdown.abort
        && shutdown
            != (Shutdown {
                abort: true,
                ..Shutdown::default()
            })
    {
        return Err(RequestError::Syntax);
    }
    Ok(Request::Shutdown(shutdown))
}
