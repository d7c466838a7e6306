//! What clients say about their connection: who they are, which protocol they speak, whether
//! anybody is there. In Redis' words and shapes, since client libraries send these at connect.
//!
//! Every function takes its request's payload by value: the shape that the dispatch expects.
#![allow(clippy::needless_pass_by_value)]

use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::{Hello, Version, writer};

use super::Flow;
use super::admin::REDIS_VERSION;
use crate::config::Password;
use crate::context::Context;
use crate::session::{Output, Session};

mod client;

pub(crate) use client::client;

/// The only user that there is, as Redis calls it.
const DEFAULT_USER: &[u8] = b"default";

/// `PING [message]`. A subscribed client of RESP2 gets a list, to tell the reply from pushes.
pub(crate) fn ping(
    _context: &Arc<Context>,
    session: &mut Session,
    message: Option<Bytes>,
    out: &mut Output,
) -> Flow {
    let out = out.buffer();
    if session.version == Version::Resp2 && session.subscriptions.count() > 0 {
        writer::array_header(out, 2);
        writer::bulk(out, b"pong");
        writer::bulk(out, message.as_deref().unwrap_or_default());
        return Flow::Done;
    }
    match message {
        Some(message) => writer::bulk(out, &message),
        None => writer::simple(out, "PONG"),
    }
    Flow::Done
}

/// `ECHO message`
pub(crate) fn echo(
    _context: &Arc<Context>,
    _session: &mut Session,
    message: Bytes,
    out: &mut Output,
) -> Flow {
    writer::bulk(out.buffer(), &message);
    Flow::Done
}

/// `QUIT`: the last reply, then the end.
pub(crate) fn quit(_context: &Arc<Context>, _session: &mut Session, out: &mut Output) -> Flow {
    writer::simple(out.buffer(), "OK");
    Flow::Close
}

/// `RESET`: the connection is as if it were new.
pub(crate) fn reset(context: &Arc<Context>, session: &mut Session, out: &mut Output) -> Flow {
    session.reset(context);
    writer::simple(out.buffer(), "RESET");
    Flow::Done
}

/// `SELECT index`: there is one database, 0.
pub(crate) fn select(
    _context: &Arc<Context>,
    _session: &mut Session,
    index: i64,
    out: &mut Output,
) -> Flow {
    match index {
        0 => writer::simple(out.buffer(), "OK"),
        _ => writer::error(out.buffer(), "ERR DB index is out of range"),
    }
    Flow::Done
}

/// `AUTH [user] password`
pub(crate) fn auth(
    context: &Arc<Context>,
    session: &mut Session,
    user: Option<Bytes>,
    password: Bytes,
    out: &mut Output,
) -> Flow {
    let in_force = context.settings.password();
    if user.is_none() && in_force.is_none() {
        writer::error(out.buffer(), NO_PASSWORD);
        return Flow::Done;
    }
    let user = user.as_deref().unwrap_or(DEFAULT_USER);
    if is_admitted(in_force.as_ref(), user, &password) {
        session.authenticated = true;
        writer::simple(out.buffer(), "OK");
    } else {
        writer::error(out.buffer(), WRONG_PASSWORD);
    }
    Flow::Done
}

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
                           default user. Are you sure your configuration is correct?";

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

const HELLO_UNAUTHENTICATED: &str = "NOAUTH HELLO must be called with the client already \
                                     authenticated, otherwise the HELLO <proto> AUTH <user> \
                                     <pass> option can be used to authenticate the client and \
                                     select the RESP protocol version at the same time";

/// Without a password in force everybody is the default user, as in Redis.
fn is_admitted(in_force: Option<&Password>, user: &[u8], password: &[u8]) -> bool {
    let right = in_force.is_none_or(|in_force| in_force.matches(password));
    user == DEFAULT_USER && right
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`: all of it or, with an error, only the
/// authentication.
pub(crate) fn hello(
    context: &Arc<Context>,
    session: &mut Session,
    hello: Hello,
    out: &mut Output,
) -> Flow {
    if let Some(auth) = &hello.auth {
        if !is_admitted(
            context.settings.password().as_ref(),
            &auth.user,
            &auth.password,
        ) {
            writer::error(out.buffer(), WRONG_PASSWORD);
            return Flow::Done;
        }
        session.authenticated = true;
    }
    if !session.authenticated {
        writer::error(out.buffer(), HELLO_UNAUTHENTICATED);
        return Flow::Done;
    }
    if let Some(Err(error)) = hello.name.map(|name| client::set_name(session, &name)) {
        writer::error(out.buffer(), &error.to_string());
        return Flow::Done;
    }
    if let Some(version) = hello.version {
        session.set_version(version);
    }
    write_greeting(context, session, out);
    Flow::Done
}

/// Redis' fields, of which clients read `version`, `proto`, `id`, `mode` and `role`, then ours.
/// `version` is that of Redis whose behaviour clients may expect; no known client reads `server`,
/// so it says what this is.
fn write_greeting(context: &Context, session: &Session, out: &mut Output) {
    let epoch = context.event_log.engine().statistics().epoch;
    let version = session.version;
    let out = out.buffer();
    writer::map_header(out, version, 9);
    let text = |out: &mut _, name: &str, value: &str| {
        writer::bulk(out, name.as_bytes());
        writer::bulk(out, value.as_bytes());
    };
    text(out, "server", "meilies");
    text(out, "version", REDIS_VERSION);
    writer::bulk(out, b"proto");
    writer::integer(out, i64::from(version.number()));
    writer::bulk(out, b"id");
    writer::number(out, session.client.id);
    text(out, "mode", "standalone");
    text(out, "role", "master");
    writer::bulk(out, b"modules");
    writer::array_header(out, 0);
    text(out, "meilies_version", env!("CARGO_PKG_VERSION"));
    writer::bulk(out, b"epoch");
    writer::number(out, epoch);
}
