//! XREADGROUP with BLOCK: who waits for a group, in what order, and what becomes of the wait.
//!
//! A wait ends when its client goes, but never a commit for it: what that makes pending is to
//! arrive. So the two take turns as different kinds of work.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use meilies_protocol::{StreamName, UnblockReason, XReadGroup, writer};
use tokio::time::Instant;

use super::Editor;
use super::pending::claimable;
use super::read::read;
use crate::command::data::{Scope, finish};
use crate::command::stream::read::{blocked, look_async};
use crate::command::{Flow, Next};
use crate::context::Context;
use crate::engine::{Operation, StoreError, View, Wanted};
use crate::event_log::{EventLog, Line, Moment, Place as Turn, Waiter, What};
use crate::session::Session;

/// An XREADGROUP alone: it waits if it is to, there is nothing, and it asks for nothing but what
/// was not delivered yet.
pub(in crate::command) fn alone(
    context: &Arc<Context>,
    session: &Session,
    request: XReadGroup,
) -> Flow {
    let scope = Scope::of(context, session);
    let waits = request
        .block_ms
        .map(|block_ms| Waits::begin(context, session, &request, block_ms));
    let place = waits.as_ref().map(|waits| Arc::clone(&waits.place));
    let first = transact(&context.event_log, Arc::new(request), place, scope);
    Flow::Later(Box::pin(async move {
        let reply = first.await;
        let next: Next = Box::new(move |context, session, out| match (reply, waits) {
            (Ok(reply), Some(waits)) if reply.is_empty() => begin(context, session, waits, scope),
            (Ok(reply), None) if reply.is_empty() => {
                writer::null_array(out.buffer(), scope.version);
                Flow::Done
            }
            (reply, _) => finish(reply, out),
        });
        next
    }))
}

/// What may have to wait.
struct Waits {
    /// In memory of its own: the bytes that came with it are not kept for so long.
    request: XReadGroup,
    /// From the moment at which the command came: the order of commits is that of commands, but
    /// connections do not hear of them in this order.
    place: Arc<Turn>,
    block_ms: u64,
}

impl Waits {
    fn begin(context: &Context, session: &Session, request: &XReadGroup, block_ms: u64) -> Waits {
        let streams = request.streams.iter();
        let request = XReadGroup {
            group: Bytes::copy_from_slice(&request.group),
            consumer: Bytes::copy_from_slice(&request.consumer),
            streams: streams.map(|(key, from)| (key.detached(), *from)).collect(),
            ..request.clone()
        };
        let streams = names(&request);
        let inbox = session.client.inbox();
        let log = &context.event_log;
        let place = log.stand_in_line(&streams, &request.group, request.claim_ms, inbox);
        Waits {
            request,
            place: Arc::new(place),
            block_ms,
        }
    }
}

/// Reads in a commit: an empty reply when there is nothing.
fn transact(
    log: &EventLog,
    request: Arc<XReadGroup>,
    place: Option<Arc<Turn>>,
    scope: Scope,
) -> BoxFuture<'static, Result<BytesMut, StoreError>> {
    let operation = Operation {
        names: Vec::new(),
        bytes: 1024,
        run: Box::new(move |transaction, out| {
            read(transaction, &request, place.as_deref(), scope, out)
        }),
    };
    log.engine().transact(operation)
}

/// Begins to wait: until there may be something, then for a commit that gives it, and so on until
/// one has given something.
fn begin(context: &Context, session: &Session, waits: Waits, scope: Scope) -> Flow {
    let Waits {
        request,
        place,
        block_ms,
    } = waits;
    let log = context.event_log.clone();
    let inbox = session.client.inbox();
    let waiter = Waiter::new(&log, inbox, names(&request), Some(Arc::clone(&place)));
    let deadline = match block_ms {
        0 => None,
        ms => Instant::now().checked_add(Duration::from_millis(ms)),
    };
    wait(Reader {
        request: Arc::new(request),
        place,
        scope,
        log,
        waiter,
        deadline,
        seen: None,
    })
}

/// One that waits.
struct Reader {
    request: Arc<XReadGroup>,
    place: Arc<Turn>,
    scope: Scope,
    log: EventLog,
    waiter: Waiter,
    deadline: Option<Instant>,
    /// When it looked last, if it is to sleep before it looks again; something pending may be
    /// claimed in so many ms.
    seen: Option<(Moment, Option<u64>)>,
}

/// Waits until a commit may give something. It ends when its client goes.
fn wait(mut reader: Reader) -> Flow {
    let version = reader.scope.version;
    let due = async move { reader.due().await.map(|due| due.map(|()| reader)) };
    // It looks at the clock by itself, for that is what it may sleep for.
    blocked(due, 0, version, |_context, due, out| match due {
        Ok(reader) => take(reader),
        Err(error) => finish(Err(error), out),
    })
}

/// Takes what there is, in a commit. That is let finish: what it makes pending is to arrive,
/// whatever ends the wait meanwhile.
fn take(reader: Reader) -> Flow {
    let (request, place) = (Arc::clone(&reader.request), Arc::clone(&reader.place));
    let taken = transact(&reader.log, request, Some(place), reader.scope);
    Flow::Later(Box::pin(async move {
        let reply = taken.await;
        let next: Next = Box::new(move |_context, _session, out| match reply {
            Ok(reply) if reply.is_empty() => wait(reader),
            reply => finish(reply, out),
        });
        next
    }))
}

fn names(request: &XReadGroup) -> Vec<StreamName> {
    request.streams.iter().map(|(key, _)| key.clone()).collect()
}

impl Reader {
    /// Resolves when it is its turn and there is something, or the group is gone.
    async fn due(&mut self) -> Result<Result<(), StoreError>, UnblockReason> {
        loop {
            if let Some((moment, due_ms)) = self.seen.take() {
                self.sleep(moment, due_ms).await?;
            }
            let moment = self.log.moment();
            let (wanted, line) = (Arc::clone(&self.request), Arc::clone(&self.place));
            let seen = look_async(&self.log, move |view| has_any(view, &wanted, &line)).await;
            match seen {
                Ok(Seen::Nothing { due_ms }) => self.seen = Some((moment, due_ms)),
                Ok(Seen::Something) => {
                    // If a commit gives nothing, others were faster, or the clock is behind.
                    self.seen = Some((moment, self.request.claim_ms.map(|_| 0)));
                    return Ok(Ok(()));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Resolves when there may be something new since `moment`, or something to claim.
    async fn sleep(&mut self, moment: Moment, due_ms: Option<u64>) -> Result<(), UnblockReason> {
        let due = async {
            match due_ms {
                // The clock may be a little behind.
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms + 1)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            woken = self.waiter.sleep(moment) => woken.map_or(Ok(()), Err),
            () = due => Ok(()),
            () = until(self.deadline) => Err(UnblockReason::Timeout),
        }
    }
}

/// Resolves at the deadline, if there is one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What who waits has seen.
enum Seen {
    /// There may be an answer.
    Something,
    /// There is none yet; something pending may be claimed in so many ms, if nothing becomes of it
    /// before.
    Nothing { due_ms: Option<u64> },
}

/// Whether there is an answer: in a line where it is first an event that was not delivered yet, or
/// no group any more, or something that may be claimed.
fn has_any(view: &dyn View, request: &XReadGroup, place: &Turn) -> Result<Seen, StoreError> {
    let now = view.now_ms();
    let mut due_ms: Option<u64> = None;
    for (key, _) in &request.streams {
        let is_first = place.is_first(key);
        let Some(editor) = Editor::find(view, key, &request.group)? else {
            if is_first {
                return Ok(Seen::Something);
            }
            continue;
        };
        if is_first && has_undelivered(view, &editor)? {
            return Ok(Seen::Something);
        }
        let claims = request.claim_ms.filter(|_| place.is_first_to_claim(key));
        let Some(min_idle_ms) = claims else {
            continue;
        };
        let next = claimable(view, &editor, &Wanted::ALL, 1)?.pop();
        let idle_ms = next.map(|entry| entry.idle_ms(now).unwrap_or(min_idle_ms));
        match idle_ms.map(|idle| min_idle_ms.saturating_sub(idle)) {
            Some(0) => return Ok(Seen::Something),
            Some(left) => due_ms = Some(due_ms.map_or(left, |due| due.min(left))),
            None => {}
        }
    }
    Ok(Seen::Nothing { due_ms })
}

/// Whether there is an event that was not delivered yet.
fn has_undelivered(view: &dyn View, editor: &Editor) -> Result<bool, StoreError> {
    let (stream, next) = (&editor.stream, editor.next(view)?);
    let end = stream.next_number();
    Ok(next < end && view.deleted(stream)?.count(next..end) < end - next)
}

/// Who looks at a group waits no longer than this for those who wait for its events.
const READERS_FIRST_MAX: Duration = Duration::from_secs(1);

/// Lets those who wait for groups of a stream take the events that there are for them: in Redis
/// they have them before anyone's next command.
pub(in crate::command) async fn let_readers_go_first(log: EventLog, key: StreamName) {
    let served = async {
        loop {
            let left = log.reader_left();
            let lines = log.waited_for(&key);
            let due = look_async(&log, move |view| is_any_due(view, &lines)).await;
            // What cannot be looked at is told to who asked.
            match due {
                Ok(true) => left.await,
                Ok(false) | Err(_) => return,
            }
        }
    };
    // One that does not come forward is not waited for.
    let _in_time = tokio::time::timeout(READERS_FIRST_MAX, served).await;
}

fn is_any_due(view: &dyn View, lines: &[Line]) -> Result<bool, StoreError> {
    for line in lines {
        let Some(editor) = Editor::find(view, &line.stream, &line.group)? else {
            continue;
        };
        let is_due = match line.what {
            What::New => has_undelivered(view, &editor)?,
            What::Idle(min_idle_ms) => {
                let idle = Wanted::ALL.idle_for(view.now_ms(), min_idle_ms);
                !claimable(view, &editor, &idle, 1)?.is_empty()
            }
        };
        if is_due {
            return Ok(true);
        }
    }
    Ok(false)
}
