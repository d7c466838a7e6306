//! Commands that change streams, on their way through the engine together.
//!
//! What a client pipelines of them is handed over as one: they run one after the other, each as a
//! whole, and share a commit. Only commands with short replies go together, so that what waits for
//! the commit is bounded. While they are under way nothing else of this client is executed; what
//! comes meanwhile goes together next.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Waking, Poll};
use std::time::Duration;

use bytes::BytesMut;
use futures::future::BoxFuture;
use meilies_protocol::{Arguments, Request, writer};

use super::Connection;
use super::account::Called;
use super::execute::{Decoded, Waiting};
use crate::command::{data, measured, store_error};
use crate::engine::{Operation, StoreError};
use crate::limits::{APPEND_BYTES_MAX, APPEND_WRITES_MAX};

type Replies = Vec<Result<BytesMut, StoreError>>;

/// Commands that are gathered, or wait for their commit.
#[derive(Default)]
pub(super) struct Changes {
    /// Whether the next command may join them.
    gathering: bool,
    operations: Vec<Operation>,
    bytes: usize,
    calls: Vec<Call>,
    transacting: Option<BoxFuture<'static, Replies>>,
}

/// What is kept of a command until it is answered.
#[derive(Debug)]
struct Call {
    called: Called,
    arguments: Arguments,
    /// How long it ran.
    ns: Arc<AtomicU64>,
    muted: bool,
    /// Pushes made when it came.
    mark: u64,
}

impl Changes {
    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether a command that comes now may join others.
    pub(super) fn is_gathering(&self) -> bool {
        self.gathering
    }

    /// The mark of the oldest command that is not answered.
    pub(super) fn oldest_mark(&self) -> Option<u64> {
        self.calls.first().map(|call| call.mark)
    }

    fn has_room(&self) -> bool {
        self.calls.len() < APPEND_WRITES_MAX && self.bytes < APPEND_BYTES_MAX
    }

    /// Whether a command may go with those that are gathered.
    fn takes(&self, request: &Request) -> bool {
        data::is_brief_change(request) && self.bytes + data::bytes_max(request) <= APPEND_BYTES_MAX
    }
}

impl Connection {
    /// Executes a change with those that the client has sent behind it.
    pub(super) fn start_changes(&mut self, first: Request, mark: u64) {
        self.changes.gathering = true;
        self.add_change(first, mark);
        while self.changes.has_room() && self.next_decoded() {
            match self.waiting.take() {
                Some(Waiting {
                    what: Decoded::Request(request),
                    mark,
                }) if self.changes.takes(&request) => self.add_change(request, mark),
                other => {
                    self.waiting = other;
                    break;
                }
            }
        }
        self.changes.gathering = false;
        let operations = std::mem::take(&mut self.changes.operations);
        self.changes.bytes = 0;
        let engine = self.context.event_log.engine();
        self.changes.transacting = Some(engine.transact_each(operations));
    }

    fn add_change(&mut self, request: Request, mark: u64) {
        let operation = data::operation(&self.context, &self.session, request);
        let (operation, ns) = measured(operation);
        let muted = self.take_muted();
        self.changes.bytes += operation.bytes;
        self.changes.operations.push(operation);
        self.changes
            .calls
            .extend(self.account.called().map(|called| Call {
                called,
                arguments: self.input.arguments.clone(),
                ns,
                muted,
                mark,
            }));
    }

    /// Answers the changes whose commit is complete.
    pub(super) fn poll_changes(&mut self, waking: &mut Waking<'_>) -> bool {
        let Some(transacting) = &mut self.changes.transacting else {
            return false;
        };
        let Poll::Ready(replies) = transacting.as_mut().poll(waking) else {
            return false;
        };
        self.changes.transacting = None;
        let calls = std::mem::take(&mut self.changes.calls);
        assert_eq!(calls.len(), replies.len(), "each operation is answered");
        for (call, reply) in calls.into_iter().zip(replies) {
            let reply = reply.unwrap_or_else(|error| {
                let mut reply = BytesMut::new();
                writer::error(&mut reply, &store_error(&error));
                reply
            });
            self.context.metrics.count_reply(&reply);
            let took = Duration::from_nanos(call.ns.load(Ordering::Relaxed));
            self.finish_call(call.called, &call.arguments, took, reply.starts_with(b"-"));
            if !call.muted {
                self.output.buffer().extend_from_slice(&reply);
            }
        }
        self.settle();
        true
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}
