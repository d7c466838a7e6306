//! Commands about the connection itself: PING, ECHO, QUIT, RESET, SELECT, HELLO and AUTH.

// The table holds functions of one shape, though some of these cannot fail.
#![allow(clippy::unnecessary_wraps)]

use bytes::Bytes;

use super::client::client_name;
use super::error::short;
use super::{Options, Request, RequestError, integer};
use crate::integer::parse_i64;
use crate::{Arguments, Version};

/// `HELLO [version [AUTH user password] [SETNAME name]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The version to speak from now on; nothing means as before.
    pub version: Option<Version>,
    /// Who the client is.
    pub auth: Option<HelloAuth>,
    /// What the client calls itself; no bytes take its name away.
    pub name: Option<Bytes>,
}

/// What follows the word `AUTH` of HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloAuth {
    /// The user.
    pub user: Bytes,
    /// The password.
    pub password: Bytes,
}

pub(crate) fn ping(arguments: &Arguments) -> Result<Request, RequestError> {
    match arguments.len() {
        1 => Ok(Request::Ping { message: None }),
        2 => Ok(Request::Ping {
            message: Some(arguments.bytes(1)),
        }),
        _ => Err(RequestError::Arity { command: "ping" }),
    }
}

pub(crate) fn echo(arguments: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Echo {
        message: arguments.bytes(1),
    })
}

pub(crate) fn quit(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Quit)
}

pub(crate) fn reset(_: &Arguments) -> Result<Request, RequestError> {
    Ok(Request::Reset)
}

pub(crate) fn select(arguments: &Arguments) -> Result<Request, RequestError> {
    // Redis keeps the number in an int.
    let index = integer(arguments.get(1))?;
    i32::try_from(index).map_err(|_| RequestError::Index)?;
    Ok(Request::Select { index })
}

pub(crate) fn auth(arguments: &Arguments) -> Result<Request, RequestError> {
    match arguments.len() {
        2 => Ok(Request::Auth {
            user: None,
            password: arguments.bytes(1),
        }),
        3 => Ok(Request::Auth {
            user: Some(arguments.bytes(1)),
            password: arguments.bytes(2),
        }),
        _ => Err(RequestError::Syntax),
    }
}

pub(crate) fn hello(arguments: &Arguments) -> Result<Request, RequestError> {
    let mut hello = Hello::default();
    if arguments.len() == 1 {
        return Ok(Request::Hello(hello));
    }
    hello.version = match parse_i64(arguments.get(1)) {
        Some(2) => Some(Version::Resp2),
        Some(3) => Some(Version::Resp3),
        Some(_) => return Err(RequestError::UnsupportedProtocol),
        None => return Err(RequestError::ProtocolVersion),
    };
    let mut options = Options::from(arguments, 2);
    while let Some((word, given)) = options.next() {
        match (word.as_bytes(), options.left()) {
            (b"AUTH", 2..) => {
                let (user, password) = (options.required()?, options.required()?);
                hello.auth = Some(HelloAuth { user, password });
            }
            (b"SETNAME", 1..) => hello.name = Some(client_name(options.required()?)?),
            _ => {
                return Err(RequestError::HelloOption {
                    option: short(given),
                });
            }
        }
    }
    Ok(Request::Hello(hello))
}
