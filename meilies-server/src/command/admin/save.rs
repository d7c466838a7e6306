//! `SAVE`, `BGSAVE`, `LASTSAVE`: the index is brought up to the log. `BGREWRITEAOF`: the log stays
//! as it is.
//!
//! Nothing has to be saved for what was acknowledged to last; but what a weaker policy leaves to
//! the system is durable then, and the next start has less to read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use meilies_protocol::{BackgroundRequest, writer};

use crate::command::{Flow, Next, store_error};
use crate::context::Context;
use crate::engine::StoreError;
use crate::session::{Output, Session};

/// `SAVE`
pub(crate) fn save(context: &Context) -> Flow {
    let saved = context.event_log.engine().checkpoint();
    Flow::Later(Box::pin(async move {
        let saved = saved.await;
        let next: Next = Box::new(move |_context, _session, out| {
            match saved {
                Ok(()) => writer::simple(out.buffer(), "OK"),
                Err(error) => writer::error(out.buffer(), &store_error(&error)),
            }
            Flow::Done
        });
        next
    }))
}

/// `BGSAVE [SCHEDULE]`, `BGREWRITEAOF`
pub(crate) fn background(
    context: &Arc<Context>,
    session: &Session,
    request: BackgroundRequest,
    out: &mut Output,
) -> Flow {
    match request {
        BackgroundRequest::Save { .. } => background_save(context, session, out),
        BackgroundRequest::Rewrite => {
            let text = "ERR Can't execute an AOF background rewriting: the log is never rewritten";
            writer::error(out.buffer(), text);
        }
    }
    Flow::Done
}

/// There is never anything else under way that it would have to wait for, so SCHEDULE changes
/// nothing. In a transaction it begins when EXEC has done the rest, and says so as in Redis.
fn background_save(context: &Arc<Context>, session: &Session, out: &mut Output) {
    if context.saving.swap(true, Ordering::AcqRel) {
        return writer::error(out.buffer(), "ERR Background save already in progress");
    }
    let saved = context.event_log.engine().checkpoint();
    let saving = Arc::clone(context);
    tokio::spawn(async move {
        let saved = saved.await;
        match &saved {
            // A store that is closed has been saved.
            Ok(()) | Err(StoreError::Closed) => {}
            Err(error) => tracing::warn!(%error, "a save in the background failed"),
        }
        saving.save_failed.store(saved.is_err(), Ordering::Release);
        saving.saving.store(false, Ordering::Release);
    });
    let begun = if session.is_executing {
        "Background saving scheduled"
    } else {
        "Background saving started"
    };
    writer::simple(out.buffer(), begun);
}

/// `LASTSAVE`: when the index was last brought up to the log, in seconds since 1970 UTC; as in
/// Redis the start of the server when it has not been since.
pub(crate) fn last_save(context: &Arc<Context>, _session: &mut Session, out: &mut Output) -> Flow {
    writer::number(out.buffer(), last_save_at(context));
    Flow::Done
}

pub(super) fn last_save_at(context: &Context) -> u64 {
    match context.event_log.engine().statistics().checkpoint_at {
        0 => seconds(context.started_at),
        at_ms => at_ms / 1000,
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
