//! Commands about the server: what it is, how it is set, when it ends.
#![allow(clippy::needless_pass_by_value)]

use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::{CommandRequest, ModuleRequest, Shutdown, table, writer};

use super::Flow;
use crate::context::Context;
use crate::session::{Output, Session};

mod config;
mod info;
mod latency;
pub(crate) mod memory;
mod save;
mod slow_log;
mod wait;

pub(crate) use config::config;
pub(crate) use latency::latency;
pub(crate) use save::{background, last_save, save};
pub(crate) use slow_log::slow_log;
pub(crate) use wait::wait;

/// The version of Redis whose behaviour clients may expect: they parse it to see what they may
/// use. Not the version of MeiliES.
pub(crate) const REDIS_VERSION: &str = "7.4.0";

/// `INFO [section …]`
pub(crate) fn info(
    context: &Arc<Context>,
    session: &mut Session,
    sections: Vec<Bytes>,
    out: &mut Output,
) -> Flow {
    let text = info::render(context, &sections);
    writer::verbatim(out.buffer(), session.version, b"txt", text.as_bytes());
    Flow::Done
}

/// `COMMAND [subcommand …]`, from the table that commands are parsed by.
pub(crate) fn command(
    _context: &Arc<Context>,
    session: &mut Session,
    request: CommandRequest,
    out: &mut Output,
) -> Flow {
    let version = session.version;
    let out = out.buffer();
    match request {
        CommandRequest::All => table::write_all(out, version),
        CommandRequest::Count => table::write_count(out),
        CommandRequest::Docs { names } => table::write_docs(out, version, &names),
        CommandRequest::Info { names } => table::write_info(out, version, &names),
        CommandRequest::List { filter } => table::write_list(out, filter.as_ref()),
        CommandRequest::GetKeys { arguments } => table::write_keys(out, &arguments),
        CommandRequest::GetKeysAndFlags { arguments } => {
            table::write_keys_and_flags(out, version, &arguments);
        }
        CommandRequest::Help => {
            let command = table::find(b"command").expect("COMMAND is in the table: it was parsed");
            table::write_help(out, command);
        }
    }
    Flow::Done
}

/// `MODULE LIST`: there are none.
pub(crate) fn module(request: ModuleRequest, out: &mut Output) -> Flow {
    match request {
        ModuleRequest::List => writer::array_header(out.buffer(), 0),
        ModuleRequest::Help => {
            let command = table::find(b"module").expect("MODULE is in the table: it was parsed");
            table::write_help(out.buffer(), command);
        }
    }
    Flow::Done
}

/// `MONITOR`: from now on every command is shown to this client. Asked again it changes nothing and
/// as in Redis has no reply.
pub(crate) fn monitor(context: &Arc<Context>, session: &mut Session, out: &mut Output) -> Flow {
    if session.monitoring.is_none() {
        session.monitoring = Some(context.monitors.join(&session.client));
        writer::simple(out.buffer(), "OK");
    }
    Flow::Done
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`: a graceful stop, without a reply.
///
/// The events are in the log and nothing is left to save or to leave unsaved, nobody has to be
/// waited for, and a stop cannot be taken back once it has begun: the options but ABORT change
/// nothing, as in a Redis that has nothing to save.
pub(crate) fn shutdown(
    context: &Arc<Context>,
    session: &mut Session,
    request: Shutdown,
    out: &mut Output,
) -> Flow {
    if request.abort {
        writer::error(out.buffer(), "ERR No shutdown in progress.");
        return Flow::Done;
    }
    tracing::info!(client = %session.client.address, "SHUTDOWN");
    context.request_stop();
    Flow::Close
}
