//! Commands: one function each, grouped as their files say, and the match that picks one.
//!
//! A command answers at once, or hands back work that waits ([`Flow::Later`]) and goes on in the
//! connection when that is done. A PUBLISH does not pass through here: the connection gathers
//! consecutive ones.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use futures::future::BoxFuture;
use meilies_protocol::{Request, writer};

pub(crate) mod admin;
pub(crate) mod connection;
pub(crate) mod data;
mod group;
pub(crate) mod keyspace;
mod pieces;
pub(crate) mod publish;
mod read;
pub(crate) mod stream;
mod stream_info;
mod subscribe;
pub(crate) mod transaction;

pub(crate) use publish::{Publishing, refusal};

use crate::context::Context;
use crate::engine::{Access, Engine, Operation, StoreError, Transaction, View};
use crate::output::Output;
use crate::session::Session;

/// The answer to all that a client asks before it has given the password.
pub(crate) const NOAUTH: &str = "NOAUTH Authentication required.";

/// How a command goes on.
pub enum Flow {
    /// Its reply is in the output.
    Done,
    /// Its reply is in the output, and the connection closes once that is sent.
    Close,
    /// It waits for something; nothing else of this client runs before it has answered.
    ///
    /// A long reply is made in pieces, each of which hands back the work for the next: behind the
    /// first the work is waited for only while little is unsent.
    Later(BoxFuture<'static, Next>),
    /// The same for what may never come: it ends when its client goes, or the server stops. Nothing
    /// may be lost by that: what is taken for the client is taken in a [`Flow::Later`].
    Blocked(BoxFuture<'static, Next>),
}

/// What a command does in its connection when what it waited for is there.
pub type Next = Box<dyn FnOnce(&Arc<Context>, &mut Session, &mut Output) -> Flow + Send>;

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flow::Done => "Done",
            Flow::Close => "Close",
            Flow::Later(_) => "Later",
            Flow::Blocked(_) => "Blocked",
        })
    }
}

/// Executes one command.
pub(crate) fn execute(
    context: &Arc<Context>,
    session: &mut Session,
    request: Request,
    out: &mut Output,
) -> Flow {
    match request {
        // Ranges may be longer than memory is large: alone they are sent in pieces.
        Request::XRange(range) => stream::range::alone(context, session, range, out),
        Request::XRead(read) => stream::read::alone(context, session, read, out),
        Request::XReadGroup(read) => group::wait::alone(context, session, *read),
        // So may be what all events of a stream take.
        Request::Memory(request) => admin::memory::memory(context, session, request, out),
        request if data::kind(&request) == Some(data::Kind::Look) => {
            data::look_alone(context, session, request, out)
        }
        request if data::kind(&request) == Some(data::Kind::Change) => {
            data::change_alone(context, session, request)
        }
        Request::Message { channel, .. } => publish::message(context, channel, out),
        Request::Subscribe { specs } => subscribe::subscribe(context, session, specs, out),
        Request::Unsubscribe { names } => subscribe::unsubscribe(session, &names, out),
        Request::ReadEvents {
            spec,
            count,
            bytes,
            reverse,
        } => {
            let wanted = read::Wanted {
                spec,
                count,
                bytes,
                reverse,
            };
            read::read_events(context, session, wanted, out)
        }
        Request::Ping { message } => connection::ping(context, session, message, out),
        Request::Echo { message } => connection::echo(context, session, message, out),
        Request::Quit => connection::quit(context, session, out),
        Request::Reset => connection::reset(context, session, out),
        Request::Select { index } => connection::select(context, session, index, out),
        Request::Hello(hello) => connection::hello(context, session, hello, out),
        Request::Auth { user, password } => connection::auth(context, session, user, password, out),
        Request::Client(request) => connection::client(context, session, request, out),
        Request::Command(request) => admin::command(context, session, request, out),
        Request::Config(request) => admin::config(context, session, request, out),
        Request::Info { sections } => admin::info(context, session, sections, out),
        Request::Multi => transaction::multi(session, out),
        Request::Exec => transaction::exec(context, session, out),
        Request::Discard => transaction::discard(session, out),
        Request::Watch { keys } => transaction::watch(context, session, &keys, out),
        Request::Unwatch => transaction::unwatch(session, out),
        Request::Time => keyspace::time(context, session, out),
        Request::Save => admin::save(context),
        Request::Background(request) => admin::background(context, session, request, out),
        Request::LastSave => admin::last_save(context, session, out),
        Request::Shutdown(request) => admin::shutdown(context, session, request, out),
        Request::Module(request) => admin::module(request, out),
        Request::Monitor => admin::monitor(context, session, out),
        Request::SlowLog(request) => admin::slow_log(context, &request, out),
        Request::Latency(request) => admin::latency(context, session, &request, out),
        Request::Wait { .. } | Request::WaitAof { .. } => {
            admin::wait(context, session, &request, out)
        }
        _ => {
            writer::error(out.buffer(), "ERR this command is not supported yet");
            Flow::Done
        }
    }
}

/// Lets a command look: at once if memory has what it needs, else on a thread that may wait for the
/// disk. `find` may run several times.
pub(crate) fn looking<T: Send + 'static>(
    context: &Arc<Context>,
    session: &mut Session,
    out: &mut Output,
    find: impl Fn(&dyn View) -> Result<T, StoreError> + Send + 'static,
    answer: impl FnOnce(Result<T, StoreError>, &Arc<Context>, &mut Session, &mut Output) -> Flow
    + Send
    + 'static,
) -> Flow {
    match look(&**context.event_log.engine(), Access::Memory, &find) {
        Err(StoreError::WouldBlock) => blocking(
            context,
            move |engine| look(engine, Access::Disk, &find),
            answer,
        ),
        found => answer(found, context, session, out),
    }
}

/// What a look finds.
pub(crate) fn look<T>(
    engine: &dyn Engine,
    access: Access,
    find: &dyn Fn(&dyn View) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut found = None;
    engine.look(access, &mut |view| {
        found = Some(find(view)?);
        Ok(())
    })?;
    Ok(found.expect("a look that does not fail has found"))
}

/// Work that may wait for the disk: `work` runs on a thread for that, `answer` back in the
/// connection.
pub(crate) fn blocking<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&dyn Engine) -> T + Send + 'static,
    answer: impl FnOnce(T, &Arc<Context>, &mut Session, &mut Output) -> Flow + Send + 'static,
) -> Flow {
    let engine = Arc::clone(context.event_log.engine());
    let done = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        (work(&*engine), began.elapsed())
    });
    Flow::Later(Box::pin(async move {
        let done = done.await;
        let next: Next = Box::new(move |context, session, out| {
            let Ok((value, took)) = done else {
                writer::error(out.buffer(), "ERR the command failed inside the server");
                return Flow::Done;
            };
            session.worked += took;
            answer(value, context, session, out)
        });
        next
    }))
}

/// Measures how long an operation runs. Waiting for its turn and for its commit does not count.
pub(crate) fn measured(operation: Operation) -> (Operation, Arc<AtomicU64>) {
    let ns = Arc::new(AtomicU64::new(0));
    let Operation {
        names,
        bytes,
        mut run,
    } = operation;
    let run = {
        let ns = Arc::clone(&ns);
        Box::new(
            move |transaction: &mut dyn Transaction, out: &mut BytesMut| {
                let began = Instant::now();
                let verdict = run(transaction, out);
                let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                ns.fetch_add(took, Ordering::Relaxed);
                verdict
            },
        )
    };
    (Operation { names, bytes, run }, ns)
}

/// The line of an error reply for what the store says, code included.
pub(crate) fn store_error(error: &StoreError) -> String {
    match error {
        StoreError::WriteFailed(_) | StoreError::Poisoned(_) | StoreError::CheckpointFailed(_) => {
            format!("MISCONF {error}")
        }
        _ => format!("ERR {error}"),
    }
}
