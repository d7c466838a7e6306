//! `SLOWLOG …`, in Redis' shapes.

use std::sync::Arc;

use meilies_protocol::{SlowLogRequest, table, writer};

use crate::command::Flow;
use crate::context::Context;
use crate::session::Output;

/// `SLOWLOG …`
pub(crate) fn slow_log(context: &Arc<Context>, request: &SlowLogRequest, out: &mut Output) -> Flow {
    let log = &context.metrics.slow_log;
    let out = out.buffer();
    match request {
        SlowLogRequest::Get { count } => {
            let count = count.and_then(|count| usize::try_from(count).ok());
            let commands = log.newest(count.unwrap_or(usize::MAX));
            writer::array_header(out, commands.len());
            for command in commands {
                writer::array_header(out, 6);
                writer::number(out, command.id);
                writer::number(out, command.at);
                let us = u64::try_from(command.took.as_micros()).unwrap_or(u64::MAX);
                writer::number(out, us);
                writer::array_header(out, command.arguments.len());
                for argument in &command.arguments {
                    writer::bulk(out, argument);
                }
                writer::bulk(out, command.address.to_string().as_bytes());
                writer::bulk(out, &command.name);
            }
        }
        SlowLogRequest::Length => writer::number(out, log.length() as u64),
        SlowLogRequest::Reset => {
            log.reset();
            writer::simple(out, "OK");
        }
        SlowLogRequest::Help => {
            let command = table::find(b"slowlog").expect("SLOWLOG is in the table: it was parsed");
            table::write_help(out, command);
        }
    }
    Flow::Done
}
