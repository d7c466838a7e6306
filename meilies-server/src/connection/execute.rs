//! Executing what a client sends, in order.
//!
//! Writes gather; everything else waits until the writes before it are answered, so that a client
//! reads its own writes and gets its replies in order.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as Waking, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use meilies_protocol::{
    ClientRequest, ProtocolError, ReplyMode, Request, RequestError, table, writer,
};

use super::appends::Shape;
use super::{Connection, OUTPUT_BYTES_AHEAD_MAX, OUTPUT_BYTES_MAX};
use crate::command::{self, Flow, Next, Publishing, data};
use crate::context::Context;
use crate::output::Output;
use crate::session::Client;

/// Something decoded whose turn comes when the writes before it are answered.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) what: Decoded,
    /// Pushes made when it came.
    pub(super) mark: u64,
}

#[derive(Debug)]
pub(super) enum Decoded {
    Request(Request),
    /// It waits for EXEC.
    Gathered(Result<Request, RequestError>),
    /// It waits for the end of a CLIENT PAUSE, and then goes on as if it had just come.
    Held(&'static table::Command),
    /// A call that failed: its arguments are wrong.
    Wrong(RequestError),
    /// A call that failed, with the text of the error.
    Failed(String),
    /// Not a call: there is no such command, or not with so many arguments.
    Refused(RequestError),
    /// Not a call: the text of an error.
    Error(String),
    Malformed(ProtocolError),
}

impl Decoded {
    /// Whether it counts as a call.
    fn is_call(&self) -> bool {
        matches!(
            self,
            Decoded::Request(_) | Decoded::Wrong(_) | Decoded::Failed(_)
        )
    }
}

impl Waiting {
    /// Whether it waits for the end of a CLIENT PAUSE.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.what, Decoded::Held(_))
    }

    /// As in Redis, the command that turns replies on is the first to get one.
    fn turns_replies_on(&self) -> bool {
        let on = ClientRequest::Reply(ReplyMode::On);
        matches!(&self.what, Decoded::Request(Request::Client(request)) if *request == on)
    }
}

/// A command at work.
pub(super) struct Later {
    work: BoxFuture<'static, Next>,
    /// It may never end by itself.
    pub(super) is_blocked: bool,
    pub(super) so_far: SoFar,
}

/// Resolves at the end of a CLIENT PAUSE. As long as it is there its client counts as held.
pub(super) struct PauseOver {
    over: BoxFuture<'static, ()>,
    client: Arc<Client>,
}

impl PauseOver {
    fn of(context: &Context, client: &Arc<Client>) -> PauseOver {
        client.set_held(true);
        PauseOver {
            over: Box::pin(context.pause.over()),
            client: Arc::clone(client),
        }
    }
}

impl Drop for PauseOver {
    fn drop(&mut self) {
        self.client.set_held(false);
    }
}

/// What is known of a command at work.
#[derive(Clone, Copy)]
pub(super) struct SoFar {
    is_call: bool,
    muted: bool,
    /// Part of its reply is written.
    pub(super) is_begun: bool,
    /// Pushes made when it came.
    pub(super) mark: u64,
}

impl Connection {
    /// Executes what is decoded or can be, and hands the writes among it over.
    pub(super) fn execute(&mut self, waking: &mut Waking<'_>) -> bool {
        let mut commands = false;
        let mut progress = false;
        while self.may_execute() {
            if let Some(waiting) = self.waiting.take() {
                if let Decoded::Held(command) = waiting.what {
                    if self.is_paused(waking, command) || !self.appends.has_room() {
                        self.waiting = Some(waiting);
                        break;
                    }
                    self.begin_command();
                    self.admit(command);
                    progress = true;
                    continue;
                }
                self.appends.close_group();
                if !self.appends.is_empty() {
                    self.waiting = Some(waiting);
                    break;
                }
                match waiting.what {
                    Decoded::Request(request) if data::is_brief_change(&request) => {
                        self.start_changes(request, waiting.mark);
                    }
                    _ => self.start(waiting),
                }
                progress = true;
                continue;
            }
            if !self.appends.has_room() {
                break;
            }
            if !self.next_decoded() {
                break;
            }
            commands = true;
        }
        self.settle();
        self.appends.close_group();
        if commands {
            // Handed over before anything else, so that the commit begins as early as it can.
            self.appends
                .poll(waking, &self.context, self.output.buffer());
        }
        progress || commands
    }

    /// Decodes the next command, if the client has sent one.
    pub(super) fn next_decoded(&mut self) -> bool {
        match self.input.next_command() {
            Ok(false) => return false,
            Ok(true) => {
                self.begin_command();
                self.decode();
            }
            Err(error) => self.wait(Decoded::Malformed(error)),
        }
        self.commands += 1;
        true
    }

    fn may_execute(&self) -> bool {
        self.is_idle()
            && self.closing.is_none()
            && self.output.unsent() < OUTPUT_BYTES_MAX
            && (self.waiting.is_some() || !self.session.client.inbox().is_draining())
    }

    fn decode(&mut self) {
        let command = match table::resolve(&self.input.arguments) {
            Ok(command) => command,
            Err(error) => {
                let commands = &self.context.metrics.commands;
                if let RequestError::Arity { command } = &error
                    && let Some(place) = commands.place(command)
                {
                    commands.row(place).add_rejected();
                }
                self.fail_transaction();
                let exec = RequestError::Arity { command: "exec" };
                let decoded = if error == exec {
                    // Whatever it was to execute is forgotten, as in Redis.
                    self.session.transaction = None;
                    self.session.watched.clear();
                    Decoded::Error(command::transaction::refused_exec(&error))
                } else {
                    Decoded::Refused(error)
                };
                return self.wait(decoded);
            }
        };
        self.turn_to(command);
        if !self.session.authenticated && !command.flags.contains(table::Flags::NO_AUTH) {
            self.reject();
            return self.wait(Decoded::Error(command::NOAUTH.to_owned()));
        }
        if self.holds(command) {
            return self.wait(Decoded::Held(command));
        }
        self.admit(command);
    }

    /// Whether a CLIENT PAUSE holds up a command now. As in Redis it is one for operators, too; but
    /// UNPAUSE ends a pause of any kind.
    fn holds(&self, command: &table::Command) -> bool {
        let may_write = command.flags.contains(table::Flags::WRITE)
            || command.name == "exec" && self.account.will_write();
        self.context.pause.holds(may_write) && command.full_name != "client|unpause"
    }

    /// Whether a command that was held up has to wait on; if so, `waking` is woken when that may be
    /// over.
    fn is_paused(&mut self, waking: &mut Waking<'_>, command: &table::Command) -> bool {
        while self.holds(command) {
            let over = match &mut self.pause_over {
                Some(over) => over,
                none => none.insert(PauseOver::of(&self.context, &self.session.client)),
            };
            if over.over.as_mut().poll(waking).is_pending() {
                return true;
            }
            self.pause_over = None;
        }
        self.pause_over = None;
        false
    }

    /// Goes on with a command that may be executed, or gathered.
    fn admit(&mut self, command: &'static table::Command) {
        if self.session.transaction.is_none() && !self.changes.is_gathering() {
            let (settings, arguments) = (&self.context.settings, &self.input.arguments);
            let simplest = command::stream::add::write_simplest(settings, command, arguments);
            if let Some(publishing) = simplest {
                self.show();
                return self.gather(publishing, Shape::Id(self.session.version));
            }
        }
        let parsed = command.parse(&self.input.arguments);
        if self.session.transaction.is_some() {
            match command.in_transaction() {
                table::InTransaction::AtOnce => {}
                table::InTransaction::Gathered => return self.wait(Decoded::Gathered(parsed)),
                table::InTransaction::Refused => {
                    self.reject();
                    self.fail_transaction();
                    let text = "ERR Command not allowed inside a transaction";
                    return self.wait(Decoded::Error(text.to_owned()));
                }
            }
        }
        self.show();
        match parsed {
            Err(error) => self.wait(Decoded::Wrong(error)),
            Ok(request) if self.changes.is_gathering() => self.wait(Decoded::Request(request)),
            Ok(Request::Publish(publish)) if publish.key.is_none() => {
                let publishing = command::publish::write(&self.context.settings, publish);
                self.gather(publishing, Shape::Number);
            }
            Ok(Request::XAdd(add)) if command::stream::add::is_plain(&add) => {
                let publishing = command::stream::add::write(&self.context.settings, *add);
                self.gather(publishing, Shape::Id(self.session.version));
            }
            Ok(Request::PublishMany(many)) => self.gather_many(many),
            Ok(request) => self.wait(Decoded::Request(request)),
        }
    }

    /// A command between MULTI and EXEC is refused: the transaction will be, too.
    fn fail_transaction(&mut self) {
        if let Some(transaction) = &mut self.session.transaction {
            transaction.failed = true;
        }
    }

    fn gather(&mut self, publishing: Publishing, shape: Shape) {
        match publishing {
            Publishing::Write(write) => {
                let muted = self.take_muted();
                let mark = self.mark();
                let place = self.account.place();
                self.appends.gather(write, shape, place, muted, mark);
                self.count_gathered();
            }
            Publishing::Refused(text) => self.wait(Decoded::Failed(text)),
        }
    }

    fn gather_many(&mut self, many: meilies_protocol::PublishMany) {
        match command::publish::writes(&self.context.settings, many) {
            Ok(writes) => {
                let muted = self.take_muted();
                let mark = self.mark();
                let place = self.account.place();
                self.appends.add_atomic(writes, place, muted, mark);
                self.count_gathered();
            }
            Err(text) => self.wait(Decoded::Failed(text)),
        }
    }

    fn wait(&mut self, what: Decoded) {
        self.settle_gathered();
        let mark = self.mark();
        self.waiting = Some(Waiting { what, mark });
    }

    /// Whether the next reply is not wanted.
    pub(super) fn take_muted(&mut self) -> bool {
        if let ReplyMode::On = self.session.replies {
            return false;
        }
        if let ReplyMode::Skip = self.session.replies {
            self.session.replies = ReplyMode::On;
        }
        true
    }

    /// Executes a command whose turn has come.
    fn start(&mut self, waiting: Waiting) {
        let client = &self.session.client;
        client.set_word_bytes(self.input.arguments.word_bytes());
        let muted = self.take_muted() && !waiting.turns_replies_on();
        let mut nowhere = Output::default();
        let out = if muted {
            &mut nowhere
        } else {
            &mut self.output
        };
        let before = out.unsent();
        let begin = out.buffer().len();
        let since = self.account.since();
        let is_call = waiting.what.is_call();
        let is_gathered = matches!(waiting.what, Decoded::Gathered(_));
        let metrics = &self.context.metrics;
        let flow = match waiting.what {
            Decoded::Request(request) => {
                let authenticated = self.session.authenticated;
                let flow = command::execute(&self.context, &mut self.session, request, out);
                if authenticated != self.session.authenticated {
                    self.input.set_authenticated(self.session.authenticated);
                }
                flow
            }
            Decoded::Gathered(parsed) => {
                command::transaction::gather(&mut self.session, parsed, out)
            }
            Decoded::Held(_) => unreachable!("it goes on before it is started"),
            Decoded::Wrong(error) | Decoded::Refused(error) => {
                error.write(out.buffer());
                Flow::Done
            }
            Decoded::Failed(text) | Decoded::Error(text) => {
                writer::error(out.buffer(), &text);
                Flow::Done
            }
            Decoded::Malformed(error) => {
                metrics
                    .protocol_errors_total
                    .fetch_add(1, Ordering::Relaxed);
                tracing::debug!(client = self.session.client.id, %error, "malformed frame");
                error.write(out.buffer());
                Flow::Close
            }
        };
        let is_begun = out.unsent() > before;
        let reply = out.buffer().get(begin..).unwrap_or_default();
        metrics.count_reply(reply);
        self.account.spend(since, reply.starts_with(b"-"));
        if is_gathered {
            self.queue();
        }
        let so_far = SoFar {
            is_call,
            muted,
            is_begun,
            mark: waiting.mark,
        };
        self.go_on(flow, so_far);
    }

    fn go_on(&mut self, flow: Flow, so_far: SoFar) {
        let is_blocked = matches!(flow, Flow::Blocked(_));
        self.session.client.set_blocked(is_blocked);
        match flow {
            Flow::Done => self.end_command(so_far.is_call),
            Flow::Close => {
                self.end_command(so_far.is_call);
                self.begin_close();
            }
            Flow::Later(work) | Flow::Blocked(work) => {
                self.later = Some(Later {
                    work,
                    is_blocked,
                    so_far,
                });
            }
        }
    }

    /// A command is answered.
    fn end_command(&mut self, is_call: bool) {
        if is_call {
            self.finish();
        } else {
            self.account.forget();
        }
        self.session.client.set_word_bytes(0);
        self.session.publish_transaction();
    }

    /// Goes on with a command at work, one piece of its reply at a time.
    pub(super) fn poll_later(&mut self, waking: &mut Waking<'_>) -> bool {
        let Some(mut later) = self.later.take() else {
            return false;
        };
        // Only a reply that is made in pieces waits for its client: who stands in line for a group
        // and does not read must not hold up the others.
        if later.so_far.is_begun && self.output.unsent() >= OUTPUT_BYTES_AHEAD_MAX {
            self.later = Some(later);
            return false;
        }
        let Poll::Ready(next) = later.work.as_mut().poll(waking) else {
            self.later = Some(later);
            return false;
        };
        let mut nowhere = Output::default();
        let so_far = later.so_far;
        let out = if so_far.muted {
            &mut nowhere
        } else {
            &mut self.output
        };
        let before = out.unsent();
        let begin = out.buffer().len();
        let since = Instant::now();
        let flow = next(&self.context, &mut self.session, out);
        let is_begun = so_far.is_begun || out.unsent() > before;
        let mut failed = false;
        if !so_far.is_begun {
            let reply = out.buffer().get(begin..).unwrap_or_default();
            self.context.metrics.count_reply(reply);
            failed = reply.starts_with(b"-");
        }
        self.account.spend(since, failed);
        self.go_on(flow, SoFar { is_begun, ..so_far });
        true
    }
}

/// Answers a client that is not let in.
pub(crate) fn refuse(socket: &tokio::net::TcpStream, text: &str) {
    let mut out = Output::default();
    writer::error(out.buffer(), text);
    // One attempt: whoever is not let in is not waited for.
    let _sent = out.send(socket);
}

impl fmt::Debug for PauseOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PauseOver")
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later")
            .field("is_begun", &self.so_far.is_begun)
            .finish_non_exhaustive()
    }
}
