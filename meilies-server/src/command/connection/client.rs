//! `CLIENT`: what a client may know and change of itself and of others.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use meilies_protocol::{
    ClientAttribute, ClientRequest, ClientType, Kill, KillFilter, ReplyMode, table, writer,
};

use crate::command::Flow;
use crate::context::Context;
use crate::session::{Buffers, Client, ClientText, Output, Session};

/// Bytes of a client's name, and of each of its library's attributes. They are kept for as long
/// as the client is connected.
const CLIENT_TEXT_BYTES_MAX: usize = 4096;

/// `CLIENT subcommand …`
pub(crate) fn client(
    context: &Arc<Context>,
    session: &mut Session,
    request: ClientRequest,
    out: &mut Output,
) -> Flow {
    match request {
        ClientRequest::Id => writer::number(out.buffer(), session.client.id),
        ClientRequest::Info => write_text(session, out, &describe(&session.client)),
        ClientRequest::List { client_type, ids } => {
            let text = list(context, client_type, &ids);
            write_text(session, out, &text);
        }
        ClientRequest::SetName(name) => answer(out, set_name(session, &name)),
        ClientRequest::GetName => {
            let name = text(&session.client).name.clone();
            if name.is_empty() {
                writer::nil(out.buffer(), session.version);
            } else {
                writer::bulk(out.buffer(), &name);
            }
        }
        ClientRequest::SetInfo { attribute, value } => {
            answer(out, set_info(session, attribute, &value));
        }
        ClientRequest::NoEvict(on) => {
            session.client.set_no_evict(on);
            writer::simple(out.buffer(), "OK");
        }
        ClientRequest::NoTouch(on) => {
            session.client.set_no_touch(on);
            writer::simple(out.buffer(), "OK");
        }
        ClientRequest::Reply(mode) => reply(session, mode, out),
        ClientRequest::Kill(kill) => return kill_clients(context, session, kill, out),
        ClientRequest::Unblock { id, reason } => {
            let found = context.clients.find(id);
            let unblocked = found.is_some_and(|client| client.inbox().unblock(reason));
            writer::number(out.buffer(), u64::from(unblocked));
        }
        ClientRequest::Pause { timeout_ms, mode } => {
            context.pause.begin(Duration::from_millis(timeout_ms), mode);
            writer::simple(out.buffer(), "OK");
        }
        ClientRequest::Unpause => {
            context.pause.end();
            writer::simple(out.buffer(), "OK");
        }
        ClientRequest::Help => {
            let command = table::find(b"client").expect("CLIENT is in the table: it was parsed");
            table::write_help(out.buffer(), command);
        }
    }
    Flow::Done
}

fn write_text(session: &Session, out: &mut Output, text: &str) {
    writer::verbatim(out.buffer(), session.version, b"txt", text.as_bytes());
}

fn answer(out: &mut Output, outcome: Result<(), TextTooLong>) {
    match outcome {
        Ok(()) => writer::simple(out.buffer(), "OK"),
        Err(error) => writer::error(out.buffer(), &error.to_string()),
    }
}

/// What a client says of itself is too long.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("ERR {what} is {bytes} bytes, the limit is {CLIENT_TEXT_BYTES_MAX}")]
pub(super) struct TextTooLong {
    what: &'static str,
    bytes: usize,
}

/// A copy in memory of its own: the argument shares the frame that it came in.
fn kept(what: &'static str, value: &[u8]) -> Result<Bytes, TextTooLong> {
    match value.len() {
        0..=CLIENT_TEXT_BYTES_MAX => Ok(Bytes::copy_from_slice(value)),
        bytes => Err(TextTooLong { what, bytes }),
    }
}

/// Names the session's client; no bytes take the name away. The parser has seen to it that the
/// name keeps the lines of CLIENT LIST apart.
pub(super) fn set_name(session: &Session, name: &[u8]) -> Result<(), TextTooLong> {
    let name = kept("client name", name)?;
    text(&session.client).name = name;
    Ok(())
}

fn set_info(
    session: &Session,
    attribute: ClientAttribute,
    value: &[u8],
) -> Result<(), TextTooLong> {
    match attribute {
        ClientAttribute::LibName => {
            let name = kept("lib-name", value)?;
            text(&session.client).lib_name = name;
        }
        ClientAttribute::LibVersion => {
            let version = kept("lib-ver", value)?;
            text(&session.client).lib_version = version;
        }
    }
    Ok(())
}

fn text(client: &Client) -> MutexGuard<'_, ClientText> {
    client.text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// OFF and SKIP are not answered. SKIP has no effect while replies are off.
fn reply(session: &mut Session, mode: ReplyMode, out: &mut Output) {
    match mode {
        ReplyMode::On => {
            session.replies = ReplyMode::On;
            writer::simple(out.buffer(), "OK");
        }
        ReplyMode::Off => session.replies = ReplyMode::Off,
        ReplyMode::Skip if session.replies == ReplyMode::Off => {}
        ReplyMode::Skip => session.replies = ReplyMode::Skip,
    }
}

fn list(context: &Context, client_type: Option<ClientType>, ids: &[u64]) -> String {
    let clients = match ids {
        [] => context.clients.all(),
        ids => ids
            .iter()
            .filter_map(|id| context.clients.find(*id))
            .collect(),
    };
    let listed = clients
        .iter()
        .filter(|client| is_of_type(client, client_type));
    listed.map(|client| describe(client)).collect()
}

/// There are no masters and replicas.
fn is_of_type(client: &Client, client_type: Option<ClientType>) -> bool {
    match client_type {
        None => true,
        Some(ClientType::Normal) => client.subscriptions() == 0,
        Some(ClientType::Pubsub) => client.subscriptions() > 0,
        Some(ClientType::Master | ClientType::Replica) => false,
    }
}

/// A client's line, with those of Redis' fields that mean something here, in Redis' order. Nobody
/// subscribes to patterns or shards, and nothing is redirected.
fn describe(client: &Client) -> String {
    let buffers = client.buffers();
    let text = text(client);
    let plain = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut line = String::with_capacity(256);
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        let separator = if line.is_empty() { "" } else { " " };
        // Writing to a string does not fail.
        let _written = write!(line, "{separator}{name}={value}");
    };
    field("id", &client.id);
    field("addr", &client.address);
    field("laddr", &client.local_address);
    field("fd", &client.descriptor);
    field("name", &plain(&text.name));
    field("age", &client.age().as_secs());
    field("idle", &client.idle().as_secs());
    field("flags", &flags(client));
    field("db", &0);
    field("sub", &client.subscriptions());
    field("psub", &0);
    field("ssub", &0);
    match client.gathered() {
        Some(commands) => field("multi", &commands),
        None => field("multi", &-1),
    }
    field("watch", &client.watched());
    field("qbuf", &buffers.input);
    field("qbuf-free", &buffers.input_room);
    field("argv-mem", &client.word_bytes());
    field("multi-mem", &client.gathered_bytes());
    field("rbs", &buffers.output_room);
    field("rbp", &client.output_peak());
    field("obl", &buffers.output);
    field("oll", &buffers.shared_parts);
    field("omem", &buffers.shared);
    field("tot-mem", &total_bytes(client, &buffers));
    field("events", &events(&buffers));
    field("cmd", &client.last_command());
    field("user", &"default");
    field("redir", &-1);
    field("resp", &client.version().number());
    field("lib-name", &plain(&text.lib_name));
    field("lib-ver", &plain(&text.lib_version));
    field("tot-net-in", &client.received_bytes());
    field("tot-net-out", &client.sent_bytes());
    field("tot-cmds", &client.commands());
    line.push('\n');
    line
}

/// All that is held for a client.
fn total_bytes(client: &Client, buffers: &Buffers) -> usize {
    let input = buffers.input + buffers.input_room;
    let output = buffers.output_room + buffers.shared;
    input + output + client.word_bytes() + client.gathered_bytes()
}

/// What is waited for on a client's socket.
fn events(buffers: &Buffers) -> &'static str {
    match (buffers.reads, buffers.writes) {
        (true, true) => "rw",
        (true, false) => "r",
        (false, true) => "w",
        (false, false) => "",
    }
}

/// Redis' letters.
fn flags(client: &Client) -> String {
    let letters = [
        ('O', client.is_monitor()),
        ('P', client.subscriptions() > 0),
        ('x', client.gathered().is_some()),
        ('b', client.is_blocked() || client.is_held()),
        ('e', client.no_evict()),
        ('T', client.no_touch()),
    ];
    let set: String = letters
        .iter()
        .filter(|(_, set)| *set)
        .map(|(letter, _)| letter)
        .collect();
    if set.is_empty() { "N".to_owned() } else { set }
}

fn kill_clients(
    context: &Arc<Context>,
    session: &mut Session,
    kill: Kill,
    out: &mut Output,
) -> Flow {
    let own = session.client.id;
    let killed: Vec<Arc<Client>> = match &kill {
        Kill::Address(address) => {
            let clients = context.clients.all();
            clients
                .into_iter()
                .filter(|client| is_at(client.address, address))
                .collect()
        }
        Kill::Filter(filter) => {
            if let Some(user) = filter
                .user
                .as_deref()
                .filter(|user| *user != super::DEFAULT_USER)
            {
                let user = String::from_utf8_lossy(user);
                writer::error(out.buffer(), &format!("ERR No such user '{user}'"));
                return Flow::Done;
            }
            let clients = context.clients.all();
            clients
                .into_iter()
                .filter(|client| is_meant(client, filter, own))
                .collect()
        }
    };
    for client in killed.iter().filter(|client| client.id != own) {
        client.kill();
    }
    match kill {
        Kill::Address(_) if killed.is_empty() => {
            writer::error(out.buffer(), "ERR No such client");
        }
        Kill::Address(_) => writer::simple(out.buffer(), "OK"),
        Kill::Filter(_) => writer::number(out.buffer(), killed.len() as u64),
    }
    // Who kills itself still gets the reply.
    if killed.iter().any(|client| client.id == own) {
        Flow::Close
    } else {
        Flow::Done
    }
}

fn is_at(address: SocketAddr, text: &[u8]) -> bool {
    address.to_string().as_bytes() == text
}

fn is_meant(client: &Client, filter: &KillFilter, own: u64) -> bool {
    let at = |address, text: &Option<Bytes>| text.as_ref().is_none_or(|text| is_at(address, text));
    filter.id.is_none_or(|id| id == client.id)
        && is_of_type(client, filter.client_type)
        && at(client.address, &filter.address)
        && at(client.local_address, &filter.local_address)
        && filter
            .age_s_min
            .is_none_or(|age| client.age().as_secs() >= age)
        && !(filter.skip_me && client.id == own)
}
