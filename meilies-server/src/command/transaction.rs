//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.
//!
//! Between MULTI and EXEC commands are gathered. EXEC runs those about streams as one operation of
//! the store: all or none of their writes, with nothing of others in between. What is about the
//! connection itself (PING, CLIENT …) is answered when that is done, each in its place.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use meilies_protocol::{Request, RequestError, StreamName, writer};

use super::data::{self, Scope, all};
use super::{Flow, Next, looking, measured, store_error};
use crate::context::Context;
use crate::engine::{NameWatch, Operation, StoreError, Transaction, Verdict, View};
use crate::limits::{PUBLISH_MANY_BYTES_MAX, REPLY_BYTES_MAX, TRANSACTION_COMMANDS_MAX};
use crate::output::Output;
use crate::session::{Session, Touches};

/// What a connection has gathered since MULTI.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    commands: Vec<Result<Request, RequestError>>,
    /// Bytes that its writes take, about.
    bytes: usize,
    /// Bytes of the words of its commands.
    pub(crate) word_bytes: usize,
    /// A command was refused: EXEC will be.
    pub(crate) failed: bool,
}

impl Gathered {
    /// How many commands there are.
    pub(crate) fn count(&self) -> usize {
        self.commands.len()
    }
}

/// What became of a command in a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Executed {
    pub(crate) took: Duration,
    /// Its reply is an error.
    pub(crate) failed: bool,
}

/// A stream that is watched, and what it was then. Events come and go; groups and what XSETID sets
/// do not count, as in Redis.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    name: StreamName,
    was: Option<Was>,
    /// A stream may come and go again, or get its name back: then it was what it is.
    watch: NameWatch,
}

impl Watched {
    fn of(view: &dyn View, name: &StreamName) -> Result<Watched, StoreError> {
        Ok(Watched {
            watch: view.watch(name)?,
            was: Was::of(view, name)?,
            name: name.clone(),
        })
    }

    fn is_touched(&self, view: &dyn View) -> Result<bool, StoreError> {
        let now = Was::of(view, &self.name)?;
        Ok(now != self.was || view.bound(&self.name) >= self.watch.since)
    }
}

/// What of a stream only its events change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Was {
    id: u64,
    next_number: u64,
    first: u64,
    deleted: u64,
}

impl Was {
    fn of(view: &dyn View, name: &StreamName) -> Result<Option<Was>, StoreError> {
        let stream = view.stream(name)?;
        Ok(stream.map(|stream| Was {
            id: stream.id,
            next_number: stream.next_number(),
            first: stream.first,
            deleted: stream.deleted,
        }))
    }
}

/// `MULTI`
pub(super) fn multi(session: &mut Session, out: &mut Output) -> Flow {
    if session.transaction.is_some() {
        writer::error(out.buffer(), "ERR MULTI calls can not be nested");
    } else {
        session.transaction = Some(Gathered::default());
        writer::simple(out.buffer(), "OK");
    }
    Flow::Done
}

/// Adds a command to a transaction.
pub(crate) fn gather(
    session: &mut Session,
    command: Result<Request, RequestError>,
    out: &mut Output,
) -> Flow {
    let Some(gathered) = &mut session.transaction else {
        return Flow::Done;
    };
    let bytes = command.as_ref().map_or(0, data::bytes_max);
    let refused = match &command {
        Ok(
            Request::Subscribe { .. }
            | Request::Unsubscribe { .. }
            | Request::ReadEvents { .. }
            | Request::Message { .. }
            | Request::Monitor,
        ) => Some("ERR Command not allowed inside a transaction".to_owned()),
        _ if gathered.commands.len() >= TRANSACTION_COMMANDS_MAX => Some(format!(
            "ERR a transaction has at most {TRANSACTION_COMMANDS_MAX} commands"
        )),
        _ if gathered.bytes + bytes > PUBLISH_MANY_BYTES_MAX => Some(format!(
            "ERR the events of a transaction take at most {PUBLISH_MANY_BYTES_MAX} bytes"
        )),
        _ => None,
    };
    if let Some(text) = refused {
        gathered.failed = true;
        writer::error(out.buffer(), &text);
        return Flow::Done;
    }
    gathered.bytes += bytes;
    gathered.commands.push(command);
    writer::simple(out.buffer(), "QUEUED");
    Flow::Done
}

/// The line of the error for an EXEC that is wrong itself.
pub(crate) fn refused_exec(error: &RequestError) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("ERR ").unwrap_or(&text);
    format!("EXECABORT Transaction discarded because of: {text}")
}

/// `DISCARD`
pub(super) fn discard(session: &mut Session, out: &mut Output) -> Flow {
    match session.transaction.take() {
        Some(_) => {
            session.watched.clear();
            writer::simple(out.buffer(), "OK");
        }
        None => writer::error(out.buffer(), "ERR DISCARD without MULTI"),
    }
    Flow::Done
}

/// `WATCH key [key …]`
pub(super) fn watch(
    context: &Arc<Context>,
    session: &mut Session,
    keys: &[Bytes],
    out: &mut Output,
) -> Flow {
    if session.transaction.is_some() {
        writer::error(out.buffer(), "ERR WATCH inside MULTI is not allowed");
        return Flow::Done;
    }
    // What cannot be a stream's name never changes.
    let names = keys
        .iter()
        .filter_map(|key| StreamName::parse(key.clone()).ok())
        .map(|name| name.detached());
    let names: Vec<StreamName> = names.collect();
    let find = move |view: &dyn View| all(names.iter().map(|name| Watched::of(view, name)));
    looking(
        context,
        session,
        out,
        find,
        |found, _context, session, out| watched(session, found, out),
    )
}

fn watched(
    session: &mut Session,
    found: Result<Vec<Watched>, StoreError>,
    out: &mut Output,
) -> Flow {
    match found {
        Ok(found) => {
            for new in found {
                // A key that is watched already stays as it was.
                if !session.watched.iter().any(|old| old.name == new.name) {
                    session.watched.push(new);
                }
            }
            writer::simple(out.buffer(), "OK");
        }
        Err(error) => writer::error(out.buffer(), &store_error(&error)),
    }
    Flow::Done
}

/// `UNWATCH`
pub(super) fn unwatch(session: &mut Session, out: &mut Output) -> Flow {
    session.watched.clear();
    writer::simple(out.buffer(), "OK");
    Flow::Done
}

/// `EXEC`
pub(super) fn exec(context: &Arc<Context>, session: &mut Session, out: &mut Output) -> Flow {
    let Some(gathered) = session.transaction.take() else {
        writer::error(out.buffer(), "ERR EXEC without MULTI");
        return Flow::Done;
    };
    let watched = std::mem::take(&mut session.watched);
    if gathered.failed {
        let text = "EXECABORT Transaction discarded because of previous errors.";
        writer::error(out.buffer(), text);
        return Flow::Done;
    }
    let execution = Arc::new(Execution {
        commands: gathered.commands,
        watched,
        scope: Scope::of(context, session),
        touches: Arc::clone(&context.touches),
        ends: Mutex::default(),
    });
    let commands = execution.commands.iter().flatten();
    let operation = Operation {
        names: commands.clone().flat_map(data::names).collect(),
        bytes: commands.map(data::bytes_max).sum(),
        run: {
            let execution = Arc::clone(&execution);
            Box::new(move |transaction, out| execution.run(transaction, out))
        },
    };
    let (operation, ns) = measured(operation);
    let transacted = context.event_log.engine().transact(operation);
    Flow::Later(Box::pin(async move {
        let transacted = transacted.await;
        let next: Next = Box::new(move |context, session, out| {
            session.worked += Duration::from_nanos(ns.load(Ordering::Relaxed));
            match transacted {
                Ok(replies) => execution.answer(context, session, &replies, out),
                Err(error) => {
                    writer::error(out.buffer(), &store_error(&error));
                    Flow::Done
                }
            }
        });
        next
    }))
}

/// A transaction on its way.
#[derive(Debug)]
struct Execution {
    commands: Vec<Result<Request, RequestError>>,
    watched: Vec<Watched>,
    scope: Scope,
    touches: Arc<Touches>,
    /// Where the reply of each command ends, and how long it took; `None` when there is one reply
    /// for all.
    ends: Mutex<Option<Vec<(usize, Duration)>>>,
}

impl Execution {
    /// What happens in the store.
    fn run(
        &self,
        transaction: &mut dyn Transaction,
        out: &mut BytesMut,
    ) -> Result<Verdict, StoreError> {
        let touched = all(self.watched.iter().map(|old| old.is_touched(transaction)))?;
        if touched.contains(&true) {
            self.set_ends(None);
            writer::null_array(out, self.scope.version);
            return Ok(Verdict::Abort);
        }
        let mut ends = Vec::with_capacity(self.commands.len());
        for command in &self.commands {
            let since = Instant::now();
            let begin = out.len();
            if let Ok(request) = command
                && data::kind(request).is_some()
                && self.change(request, transaction, out)? == Verdict::Abort
            {
                self.set_ends(None);
                let refused = out.split_off(begin);
                *out = refused;
                return Ok(Verdict::Abort);
            }
            if out.len() > REPLY_BYTES_MAX {
                self.set_ends(None);
                out.clear();
                let text = format!("ERR the replies take more than {REPLY_BYTES_MAX} bytes");
                writer::error(out, &text);
                return Ok(Verdict::Abort);
            }
            ends.push((out.len(), since.elapsed()));
        }
        self.set_ends(Some(ends));
        Ok(Verdict::Commit)
    }

    fn change(
        &self,
        request: &Request,
        transaction: &mut dyn Transaction,
        out: &mut BytesMut,
    ) -> Result<Verdict, StoreError> {
        let scope = self.scope.knowing(&self.touches, request);
        data::change(request, transaction, scope, out)
    }

    fn set_ends(&self, ends: Option<Vec<(usize, Duration)>>) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    /// Puts the replies together.
    fn answer(
        &self,
        context: &Arc<Context>,
        session: &mut Session,
        replies: &[u8],
        out: &mut Output,
    ) -> Flow {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ends) = &*ends else {
            out.buffer().extend_from_slice(replies);
            return Flow::Done;
        };
        writer::array_header(out.buffer(), self.commands.len());
        let mut begin = 0;
        let mut flow = Flow::Done;
        session.is_executing = true;
        for (command, (end, took)) in self.commands.iter().zip(ends) {
            let since = Instant::now();
            let reply_at = out.buffer().len();
            match command {
                Err(error) => error.write(out.buffer()),
                Ok(request) if data::kind(request).is_some() => {
                    out.buffer().extend_from_slice(&replies[begin..*end]);
                }
                Ok(request) => {
                    if answer_other(context, session, request.clone(), out) {
                        flow = Flow::Close;
                    }
                }
            }
            let reply = out.buffer().get(reply_at..).unwrap_or_default();
            let failed = reply.starts_with(b"-");
            context.metrics.count_reply(reply);
            session.executed.push(Executed {
                took: *took + since.elapsed(),
                failed,
            });
            begin = *end;
        }
        session.is_executing = false;
        flow
    }
}

/// Answers a command that is not about streams. Says whether the connection closes.
fn answer_other(
    context: &Arc<Context>,
    session: &mut Session,
    request: Request,
    out: &mut Output,
) -> bool {
    let mut own = Output::default();
    match super::execute(context, session, request, &mut own) {
        Flow::Later(_) | Flow::Blocked(_) => {
            writer::error(out.buffer(), "ERR Command not allowed inside a transaction");
            false
        }
        flow => {
            out.append(own);
            matches!(flow, Flow::Close)
        }
    }
}
