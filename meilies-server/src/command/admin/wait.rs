//! `WAIT` and `WAITAOF`: what of a connection's writes is where. A server stands alone, so no other
//! has any of it; whether it is durable here follows from when writes are answered.

use std::sync::Arc;
use std::time::Duration;

use meilies_protocol::{Request, UnblockReason, writer};

use crate::command::{Flow, Next};
use crate::context::Context;
use crate::event_log::{EventLog, Waiter};
use crate::session::{Output, Session};

const NOT_DURABLE: &str = "ERR WAITAOF cannot be used when numlocal is set but fsync is not \
                           'always': when a write is durable is not known then";

const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// What is waited for: other servers, which are none.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// How many have what was written.
    Replicas,
    /// Whether it is durable here, and on how many others.
    Durable(bool),
}

/// `WAIT numreplicas timeout` and `WAITAOF numlocal numreplicas timeout`. A command waits for the
/// replies to the writes before it: where they come when the writes are durable, these are.
pub(crate) fn wait(
    context: &Arc<Context>,
    session: &Session,
    request: &Request,
    out: &mut Output,
) -> Flow {
    let (answer, replicas, timeout_ms) = match *request {
        Request::Wait {
            replicas,
            timeout_ms,
        } => (Answer::Replicas, replicas, timeout_ms),
        Request::WaitAof {
            local,
            replicas,
            timeout_ms,
        } => {
            let is_durable = context.event_log.engine().statistics().fsync == "always";
            if local && !is_durable {
                writer::error(out.buffer(), NOT_DURABLE);
                return Flow::Done;
            }
            (Answer::Durable(is_durable), replicas, timeout_ms)
        }
        _ => unreachable!("the dispatch says which requests come here"),
    };
    // As in Redis nothing waits inside a transaction.
    if replicas == 0 || session.is_executing {
        answer.write(out);
        return Flow::Done;
    }
    begin(context, session, answer, timeout_ms)
}

fn begin(context: &Context, session: &Session, answer: Answer, timeout_ms: u64) -> Flow {
    let log = context.event_log.clone();
    let mut waiter = Waiter::new(&log, session.client.inbox(), Vec::new(), None);
    Flow::Blocked(Box::pin(async move {
        let time_out = async {
            match timeout_ms {
                0 => std::future::pending().await,
                ms => tokio::time::sleep(Duration::from_millis(ms)).await,
            }
        };
        let ended = tokio::select! {
            ended = unblocked(&log, &mut waiter) => ended,
            () = time_out => UnblockReason::Timeout,
        };
        let next: Next = Box::new(move |_context, _session, out| {
            match ended {
                UnblockReason::Timeout => answer.write(out),
                UnblockReason::Error => writer::error(out.buffer(), UNBLOCKED),
            }
            Flow::Done
        });
        next
    }))
}

/// It waits for no event, so only another client ends this.
async fn unblocked(log: &EventLog, waiter: &mut Waiter) -> UnblockReason {
    loop {
        if let Some(reason) = waiter.sleep(log.moment()).await {
            return reason;
        }
    }
}

impl Answer {
    fn write(self, out: &mut Output) {
        let out = out.buffer();
        match self {
            Answer::Replicas => writer::number(out, 0),
            Answer::Durable(local) => {
                writer::array_header(out, 2);
                writer::number(out, u64::from(local));
                writer::number(out, 0);
            }
        }
    }
}
