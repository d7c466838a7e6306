//! Commands about streams and keys, as functions of what a transaction sees.
//!
//! A command that stands alone and one inside EXEC are the same function. Those that only look run
//! on what is visible, the others in a commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{
    Idempotency, ObjectRequest, Request, StreamName, Version, XGroup, XInfo, writer,
};

use super::admin::memory;
use super::{
    Flow, Next, group, keyspace, looking, measured, publish, read, store_error, stream, stream_info,
};
use crate::context::Context;
use crate::engine::{Operation, Remembered, StoreError, Transaction, Verdict, View};
use crate::output::Output;
use crate::session::{Session, Touches};

/// What a command goes by beside what it sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// Of the protocol.
    pub(crate) version: Version,
    /// Bytes that the fields of an event may have together.
    pub(crate) event_bytes_max: usize,
    /// Events in what counts as a node: approximate trimming takes whole ones.
    pub(crate) node_events_max: u64,
    /// What a stream remembers of producers' keys where nothing is set.
    pub(crate) remembered: Remembered,
    /// A random number: the same however often the command runs.
    pub(crate) draw: u64,
    /// When the stream that OBJECT IDLETIME names was used last, in ms since 1970 UTC, if that is
    /// known.
    pub(crate) used_at: Option<u64>,
}

impl Scope {
    /// That of a client.
    pub(crate) fn of(context: &Context, session: &Session) -> Scope {
        Scope {
            version: session.version,
            event_bytes_max: context.settings.max_event_bytes(),
            node_events_max: context.settings.stream_node_max_entries(),
            remembered: Remembered {
                duration_s: context.settings.stream_idmp_duration_s(),
                keys_max: context.settings.stream_idmp_maxsize(),
            },
            draw: rand::random(),
            used_at: None,
        }
    }

    /// The same for a command that may ask when a stream was used last.
    pub(crate) fn knowing(self, touches: &Touches, request: &Request) -> Scope {
        match request {
            Request::Object(ObjectRequest::IdleTime { key }) => Scope {
                used_at: StreamName::parse(key.clone())
                    .ok()
                    .and_then(|name| touches.last(&name)),
                ..self
            },
            _ => self,
        }
    }
}

/// What a command does with streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only looks.
    Look,
    /// It may change something.
    Change,
}

/// What a command does with streams; `None` if nothing.
pub(crate) fn kind(request: &Request) -> Option<Kind> {
    match request {
        Request::XLen { .. }
        | Request::XRange(_)
        | Request::XRead(_)
        | Request::XInfo(_)
        | Request::XPending { .. }
        | Request::Misformed(_)
        | Request::Exists { .. }
        | Request::Touch { .. }
        | Request::Type { .. }
        | Request::Keys { .. }
        | Request::Scan(_)
        | Request::RandomKey
        | Request::DbSize
        | Request::Ttl { .. }
        | Request::PTtl { .. }
        | Request::ExpireTime { .. }
        | Request::PExpireTime { .. }
        | Request::Persist { .. }
        | Request::Memory(_)
        | Request::Object(_)
        | Request::LastEventNumber { .. }
        | Request::StreamInfo { .. }
        | Request::StreamNames { .. } => Some(Kind::Look),
        Request::Publish(_)
        | Request::PublishMany(_)
        | Request::XAdd(_)
        | Request::XDel { .. }
        | Request::XDelEx { .. }
        | Request::XTrim { .. }
        | Request::XSetId(_)
        | Request::XCfgSet { .. }
        | Request::XGroup(_)
        | Request::XReadGroup(_)
        | Request::XAck { .. }
        | Request::XAckDel { .. }
        | Request::XNack(_)
        | Request::XClaim(_)
        | Request::XAutoClaim(_)
        | Request::Del { .. }
        | Request::Unlink { .. }
        | Request::Rename { .. }
        | Request::RenameNx { .. }
        | Request::FlushAll
        | Request::FlushDb => Some(Kind::Change),
        _ => None,
    }
}

/// Executes a command that only looks.
pub(crate) fn look(
    request: &Request,
    view: &dyn View,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    match request {
        Request::XLen { key } => stream::length(view, key, out),
        Request::XRange(range) => stream::range::write(view, range, scope, out),
        Request::XRead(request) => stream::read::write_all(view, request, scope, out),
        Request::XInfo(info) => stream::info::write(view, info, scope, out),
        Request::Misformed(misformed) => group::misformed(view, misformed, out),
        Request::XPending { key, group, filter } => {
            group::pending::write(view, key, group, filter.as_deref(), scope, out)
        }
        Request::Exists { keys } | Request::Touch { keys } => keyspace::exists(view, keys, out),
        Request::Type { key } => keyspace::key_type(view, key, out),
        Request::Keys { pattern } => keyspace::keys(view, pattern, out),
        Request::Scan(scan) => keyspace::scan(view, scan, out),
        Request::RandomKey => keyspace::random_key(view, scope, out),
        Request::DbSize => {
            writer::number(out, view.count());
            Ok(())
        }
        Request::Ttl { key }
        | Request::PTtl { key }
        | Request::ExpireTime { key }
        | Request::PExpireTime { key } => keyspace::time_to_live(view, key, out),
        Request::Persist { .. } => {
            // No key expires, so none loses its expiry.
            writer::number(out, 0);
            Ok(())
        }
        Request::Memory(request) => memory::write_memory(view, request, scope, out),
        Request::Object(request) => memory::write_object(view, request, scope, out),
        Request::LastEventNumber { stream } => read::last_number(view, stream, scope, out),
        Request::StreamInfo { stream } => stream_info::write(view, stream, scope, out),
        Request::StreamNames { pattern } => read::names(view, pattern.as_deref(), out),
        _ => unreachable!("`kind` says which commands look"),
    }
}

/// Executes a command that may change something.
pub(crate) fn change(
    request: &Request,
    transaction: &mut dyn Transaction,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    match request {
        Request::Publish(request) => publish::publish(transaction, request, scope, out),
        Request::PublishMany(request) => publish::publish_many(transaction, request, scope, out),
        Request::XAdd(request) => stream::add::add(transaction, request, scope, out),
        Request::XDel { key, ids } => stream::delete(transaction, key, ids, out),
        Request::XDelEx {
            key,
            references,
            ids,
        } => stream::delete_each(transaction, key, *references, ids, out),
        Request::XTrim {
            key,
            trim,
            references,
        } => stream::trim(transaction, key, (trim, *references), scope, out),
        Request::XGroup(request) => group::manage::manage(transaction, request, out),
        Request::XReadGroup(request) => {
            let before = out.len();
            let verdict = group::read::read(transaction, request, None, scope, out)?;
            if out.len() == before {
                writer::null_array(out, scope.version);
            }
            Ok(verdict)
        }
        Request::XAck { key, group, ids } => group::acknowledge(transaction, key, group, ids, out),
        Request::XAckDel {
            key,
            group,
            references,
            ids,
        } => group::acknowledge_and_delete(transaction, key, group, *references, ids, out),
        Request::XNack(request) => group::claim::give_back(transaction, request, out),
        Request::XClaim(request) => group::claim::claim(transaction, request, out),
        Request::XAutoClaim(request) => group::claim::claim_idle(transaction, request, out),
        Request::XSetId(request) => stream::set_id(transaction, request, out),
        Request::XCfgSet {
            key,
            duration_s,
            max_size,
        } => {
            let set = (*duration_s, *max_size);
            stream::idempotency::configure(transaction, key, set, scope, out)
        }
        Request::Del { keys } | Request::Unlink { keys } => {
            keyspace::delete(transaction, keys, out)
        }
        Request::Rename { from, to } => keyspace::rename(transaction, from, to, true, out),
        Request::RenameNx { from, to } => keyspace::rename(transaction, from, to, false, out),
        Request::FlushAll | Request::FlushDb => keyspace::flush(transaction, out),
        _ => look(request, transaction, scope, out).map(|()| Verdict::Commit),
    }
}

/// The streams that a command names and may write to.
pub(crate) fn names(request: &Request) -> Vec<StreamName> {
    let parsed = |keys: &[Bytes]| -> Vec<StreamName> {
        keys.iter()
            .filter_map(|key| StreamName::parse(key.clone()).ok())
            .collect()
    };
    match request {
        Request::Publish(publish) => vec![publish.stream.clone()],
        Request::PublishMany(many) => vec![many.stream.clone()],
        Request::XAdd(add) => vec![add.key.clone()],
        Request::XSetId(request) => vec![request.key.clone()],
        Request::XDel { key, .. }
        | Request::XDelEx { key, .. }
        | Request::XCfgSet { key, .. }
        | Request::XTrim { key, .. }
        | Request::XAckDel { key, .. }
        | Request::XGroup(XGroup::Create { key, .. }) => vec![key.clone()],
        Request::Del { keys } | Request::Unlink { keys } => parsed(keys),
        Request::Rename { from, to } | Request::RenameNx { from, to } => {
            parsed(&[from.clone(), to.clone()])
        }
        _ => Vec::new(),
    }
}

/// About how many bytes of events a command writes, never fewer than it does.
pub(crate) fn bytes_max(request: &Request) -> usize {
    const ITEM: usize = 256;
    match request {
        Request::Publish(publish) => {
            let key = publish.key.as_ref().map_or(0, Bytes::len);
            publish.name.as_bytes().len() + publish.data.len() + key + ITEM
        }
        Request::PublishMany(many) => {
            let bytes = |(name, data): &(meilies_protocol::EventName, Bytes)| {
                name.as_bytes().len() + data.len() + ITEM
            };
            many.events.iter().map(bytes).sum()
        }
        Request::XAdd(add) => {
            let key = match &add.idempotency {
                Some(Idempotency::Given { producer, key }) => producer.len() + key.len(),
                Some(Idempotency::Auto { producer }) => producer.len(),
                None => 0,
            };
            let fields = add.fields.iter().map(|field| field.len() + 16);
            fields.sum::<usize>() + key + ITEM
        }
        _ => ITEM,
    }
}

/// A command that stands alone and only looks. At a group it looks when those who wait for its
/// events have what there is for them.
pub(crate) fn look_alone(
    context: &Arc<Context>,
    session: &mut Session,
    request: Request,
    out: &mut Output,
) -> Flow {
    let log = &context.event_log;
    match group_looked_at(&request) {
        Some(key) if !log.waited_for(key).is_empty() => {
            let readers = group::wait::let_readers_go_first(log.clone(), key.clone());
            Flow::Later(Box::pin(async move {
                readers.await;
                let next: Next =
                    Box::new(move |context, session, out| look_now(context, session, request, out));
                next
            }))
        }
        _ => look_now(context, session, request, out),
    }
}

/// The stream at whose groups a command looks.
fn group_looked_at(request: &Request) -> Option<&StreamName> {
    match request {
        Request::XPending { key, .. }
        | Request::XInfo(
            XInfo::Groups { key }
            | XInfo::Consumers { key, .. }
            | XInfo::Stream {
                key, full: Some(_), ..
            },
        ) => Some(key),
        _ => None,
    }
}

fn look_now(
    context: &Arc<Context>,
    session: &mut Session,
    request: Request,
    out: &mut Output,
) -> Flow {
    let scope = Scope::of(context, session).knowing(&context.touches, &request);
    let find = move |view: &dyn View| {
        let mut reply = BytesMut::new();
        look(&request, view, scope, &mut reply)?;
        Ok(reply)
    };
    looking(
        context,
        session,
        out,
        find,
        |looked, _context, _session, out| finish(looked, out),
    )
}

/// A command that stands alone and may change something.
pub(crate) fn change_alone(context: &Arc<Context>, session: &Session, request: Request) -> Flow {
    transact(context, operation(context, session, request))
}

/// What a command that may change something does in the engine.
pub(crate) fn operation(context: &Context, session: &Session, request: Request) -> Operation {
    let scope = Scope::of(context, session);
    Operation {
        names: names(&request),
        bytes: bytes_max(&request),
        run: Box::new(move |transaction, out| change(&request, transaction, scope, out)),
    }
}

/// Whether a command changes something and has a short reply, so that many may wait for one commit.
pub(crate) fn is_brief_change(request: &Request) -> bool {
    match request {
        Request::Publish(_)
        | Request::XAdd(_)
        | Request::XDel { .. }
        | Request::XDelEx { .. }
        | Request::XTrim { .. }
        | Request::XSetId(_)
        | Request::XCfgSet { .. }
        | Request::XAck { .. }
        | Request::XAckDel { .. }
        | Request::XNack(_)
        | Request::Del { .. }
        | Request::Unlink { .. }
        | Request::Rename { .. }
        | Request::RenameNx { .. } => true,
        Request::XGroup(request) => !matches!(request, XGroup::Help),
        _ => false,
    }
}

/// Hands an operation over and waits for its reply.
pub(crate) fn transact(context: &Context, operation: Operation) -> Flow {
    let (operation, ns) = measured(operation);
    let transacted = context.event_log.engine().transact(operation);
    Flow::Later(Box::pin(async move {
        let transacted = transacted.await;
        let next: Next = Box::new(move |_context, session, out| {
            session.worked += Duration::from_nanos(ns.load(Ordering::Relaxed));
            finish(transacted, out)
        });
        next
    }))
}

/// Writes a reply, or why there is none.
pub(crate) fn finish(reply: Result<BytesMut, StoreError>, out: &mut Output) -> Flow {
    match reply {
        Ok(reply) => out.push_shared(reply.freeze()),
        Err(error) => writer::error(out.buffer(), &store_error(&error)),
    }
    Flow::Done
}

/// All of what was looked up, or the first reason why not; everything is looked up in either case,
/// so that what is not in memory is read from the disk in one go.
pub(crate) fn all<T>(
    lookups: impl Iterator<Item = Result<T, StoreError>>,
) -> Result<Vec<T>, StoreError> {
    let lookups: Vec<Result<T, StoreError>> = lookups.collect();
    lookups.into_iter().collect()
}
