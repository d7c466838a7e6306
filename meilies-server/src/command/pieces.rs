//! Replies that are made in pieces, as the client takes them, however long they are.
//!
//! What is visible when the command begins is what it gives, so how many events there are is told
//! first. What does not fit one piece is read twice: once to see that all of it can be read, for an
//! error is a reply only before the first element; then to send it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use meilies_protocol::{Version, writer};

use super::stream::range::Part;
use super::{Flow, Next, blocking, looking, store_error};
use crate::context::Context;
use crate::engine::{Access, Engine, Form, Run, StoreError, View};
use crate::output::Output;
use crate::session::Session;

/// A reply: parts of streams, each behind what comes before it.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    pub(super) form: Form,
    pub(super) parts: VecDeque<(BytesMut, Part)>,
    /// The reply when there are no parts.
    pub(super) nothing: BytesMut,
}

/// Finds out what the reply is, then sends it.
pub(super) fn send_alone(
    context: &Arc<Context>,
    session: &mut Session,
    out: &mut Output,
    find: impl Fn(&dyn View) -> Result<Pieces, StoreError> + Send + 'static,
) -> Flow {
    looking(
        context,
        session,
        out,
        find,
        |found, context, _session, out| begin(context, found, out),
    )
}

/// Sends a reply that is known.
pub(super) fn begin(
    context: &Arc<Context>,
    found: Result<Pieces, StoreError>,
    out: &mut Output,
) -> Flow {
    let pieces = match found {
        Ok(pieces) => pieces,
        Err(error) => {
            writer::error(out.buffer(), &store_error(&error));
            return Flow::Done;
        }
    };
    if pieces.parts.is_empty() {
        out.push_shared(pieces.nothing.freeze());
        return Flow::Done;
    }
    let sending = Sending {
        pieces,
        begun: false,
        verified: false,
    };
    sending.go_on(context, out)
}

/// A reply on its way to a client.
struct Sending {
    pieces: Pieces,
    begun: bool,
    verified: bool,
}

/// What was read of the first part, and what is left of it.
type Read = Result<(Part, Vec<Run>), StoreError>;

impl Sending {
    fn go_on(mut self, context: &Arc<Context>, out: &mut Output) -> Flow {
        match self.read(&**context.event_log.engine(), Access::Memory) {
            Err(StoreError::WouldBlock) => blocking(
                context,
                move |engine| {
                    let read = self.read(engine, Access::Disk);
                    (self, read)
                },
                |(sending, read), _context, _session, out| sending.send(read, out),
            ),
            read => self.send(read, out),
        }
    }

    fn read(&mut self, engine: &dyn Engine, access: Access) -> Read {
        let (_, part) = self.pieces.parts.front().expect("a part is left");
        let (rest, runs) = next(engine, part, access)?;
        let is_all = rest.numbers.is_empty() && self.pieces.parts.len() == 1;
        if !is_all && !self.verified {
            let others = self.pieces.parts.iter().skip(1).map(|(_, part)| part);
            for part in std::iter::once(&rest).chain(others) {
                let mut left = part.clone();
                while !left.numbers.is_empty() {
                    (left, _) = next(engine, &left, access)?;
                }
            }
            self.verified = true;
        }
        Ok((rest, runs))
    }

    fn send(mut self, read: Read, out: &mut Output) -> Flow {
        let (rest, runs) = match read {
            Ok(read) => read,
            Err(error) if self.begun => {
                // The client waits for elements that cannot come: only the end of the connection
                // tells it so.
                tracing::error!(%error, "a reply was cut short");
                return Flow::Close;
            }
            Err(error) => {
                writer::error(out.buffer(), &store_error(&error));
                return Flow::Done;
            }
        };
        self.begun = true;
        let form = self.pieces.form;
        let (header, part) = self.pieces.parts.front_mut().expect("a part is left");
        out.buffer().extend_from_slice(header);
        header.clear();
        for run in runs {
            match part.reverse {
                true => run.write_reversed(form, Version::Resp2, out.buffer()),
                false => out.push_shared(run.encoded(form, Version::Resp2)),
            }
        }
        *part = rest;
        if part.numbers.is_empty() {
            self.pieces.parts.pop_front();
        }
        if self.pieces.parts.is_empty() {
            return Flow::Done;
        }
        let next: Next = Box::new(move |context, _session, out| self.go_on(context, out));
        Flow::Later(Box::pin(std::future::ready(next)))
    }
}

fn next(engine: &dyn Engine, part: &Part, access: Access) -> Read {
    let (mut rest, mut runs) = (part.clone(), Vec::new());
    if part.numbers.is_empty() {
        return Ok((rest, runs));
    }
    engine.look(access, &mut |view| {
        rest = part.clone();
        runs = rest.next(view)?;
        Ok(())
    })?;
    Ok((rest, runs))
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("pieces", &self.pieces)
            .finish_non_exhaustive()
    }
}
