//! `CONFIG GET`, `CONFIG SET`, `CONFIG RESETSTAT` and `CONFIG REWRITE`: the settings under their
//! names in Redis and as flags.
//!
//! Setting what changes nothing is an error, but for two that tools set or read without regard:
//! `save` and `appendonly` are accepted and ignored, since there are no snapshots and the log is
//! always written.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use meilies_protocol::limits::{IDEMPOTENCY_DURATION_S_MAX, IDEMPOTENCY_KEYS_MAX};
use meilies_protocol::{ConfigRequest, glob, table, writer};

use crate::command::Flow;
use crate::config::{
    CLIENTS_MAX, Changes, EVENT_BYTES_MAX, Fsync, LogFilter, LogFormat, Password, make_room_for,
};
use crate::context::Context;
use crate::session::{Output, Session};

/// One setting.
struct Entry {
    /// Its name in Redis, if it has one there, then its flag's.
    names: &'static [&'static str],
    read: fn(&Context) -> Bytes,
    change: Change,
}

/// What CONFIG SET does with a setting.
enum Change {
    /// It stands until the next start; in Redis, too, if it has it.
    Never,
    /// It stands until the next start, but Redis would change it.
    NotHere,
    /// Nothing, without an error.
    Ignored(fn(&str) -> Result<(), &'static str>),
    /// It takes effect at once. The error is what Redis says of such a value.
    Now(fn(&[u8], &mut Changes) -> Result<(), String>),
    /// The same, where the log is this program's.
    LogLevel,
}

const ENTRIES: &[Entry] = &[
    Entry {
        names: &["appendfsync", "fsync"],
        read: fsync,
        change: Change::NotHere,
    },
    Entry {
        names: &["appendonly"],
        read: |_| text("yes"),
        change: Change::Ignored(yes_or_no),
    },
    Entry {
        names: &["bind", "hostname"],
        read: |context| text(context.settings.started_with().hostnames.join(" ")),
        change: Change::NotHere,
    },
    Entry {
        names: &["databases"],
        read: |_| text("1"),
        change: Change::Never,
    },
    Entry {
        names: &["dir", "db-path"],
        read: directory,
        change: Change::Never,
    },
    Entry {
        names: &["latency-monitor-threshold"],
        read: |context| text(context.settings.latency_monitor_threshold_ms().to_string()),
        change: Change::Now(set_latency_monitor_threshold),
    },
    Entry {
        names: &["log-format"],
        read: log_format,
        change: Change::Never,
    },
    Entry {
        names: &["loglevel", "log-level"],
        read: |context| text(context.settings.log_level().as_str()),
        change: Change::LogLevel,
    },
    Entry {
        names: &["max-event-bytes"],
        read: |context| text(context.settings.max_event_bytes().to_string()),
        change: Change::Now(set_max_event_bytes),
    },
    Entry {
        names: &["maxclients", "max-clients"],
        read: |context| text(context.settings.max_clients().to_string()),
        change: Change::Now(set_max_clients),
    },
    // Nothing is ever evicted.
    Entry {
        names: &["maxmemory"],
        read: |_| text("0"),
        change: Change::NotHere,
    },
    Entry {
        names: &["maxmemory-policy"],
        read: |_| text("noeviction"),
        change: Change::NotHere,
    },
    Entry {
        names: &["port"],
        read: port,
        change: Change::NotHere,
    },
    Entry {
        names: &["protected-mode"],
        read: |context| text(yes_no(context.settings.protected_mode())),
        change: Change::Now(set_protected_mode),
    },
    Entry {
        names: &["recent-bytes"],
        read: |context| text(context.settings.started_with().recent_bytes.to_string()),
        change: Change::Never,
    },
    Entry {
        names: &["requirepass"],
        read: password,
        change: Change::Now(set_password),
    },
    Entry {
        names: &["save"],
        read: |_| text(""),
        change: Change::Ignored(|_| Ok(())),
    },
    Entry {
        names: &["slowlog-log-slower-than"],
        read: |context| text(context.settings.slow_log_slower_than_us().to_string()),
        change: Change::Now(set_slow_log_slower_than),
    },
    Entry {
        names: &["slowlog-max-len"],
        read: |context| text(context.settings.slow_log_max_len().to_string()),
        change: Change::Now(set_slow_log_max_len),
    },
    Entry {
        names: &["stream-idmp-duration"],
        read: |context| text(context.settings.stream_idmp_duration_s().to_string()),
        change: Change::Now(set_stream_idmp_duration),
    },
    Entry {
        names: &["stream-idmp-maxsize"],
        read: |context| text(context.settings.stream_idmp_maxsize().to_string()),
        change: Change::Now(set_stream_idmp_maxsize),
    },
    Entry {
        names: &["stream-node-max-entries"],
        read: |context| text(context.settings.stream_node_max_entries().to_string()),
        change: Change::Now(set_stream_node_max_entries),
    },
    // Idle clients are never disconnected.
    Entry {
        names: &["timeout"],
        read: |_| text("0"),
        change: Change::NotHere,
    },
];

const NO_FILE: &str = "ERR The server is running without a config file";

/// The file may be shared, generated or read-only: it is whoever wrote it that changes it.
const FILE_IS_READ_ONLY: &str = "ERR Rewriting config file: the server only reads it";

/// `CONFIG …`
pub(crate) fn config(
    context: &Arc<Context>,
    session: &mut Session,
    request: ConfigRequest,
    out: &mut Output,
) -> Flow {
    match request {
        ConfigRequest::Get { patterns } => get(context, session, &patterns, out.buffer()),
        ConfigRequest::Set { settings } => match set(context, &settings) {
            Ok(()) => writer::simple(out.buffer(), "OK"),
            Err(error) => writer::error(out.buffer(), &error.to_string()),
        },
        ConfigRequest::ResetStat => {
            context.metrics.reset();
            writer::simple(out.buffer(), "OK");
        }
        ConfigRequest::Rewrite => {
            let has_file = context.settings.started_with().file.is_some();
            let text = if has_file { FILE_IS_READ_ONLY } else { NO_FILE };
            writer::error(out.buffer(), text);
        }
        ConfigRequest::Help => {
            let command = table::find(b"config").expect("CONFIG is in the table: it was parsed");
            table::write_help(out.buffer(), command);
        }
    }
    Flow::Done
}

fn get(context: &Context, session: &Session, patterns: &[Bytes], out: &mut BytesMut) {
    let is_asked = |name: &str| {
        patterns
            .iter()
            .any(|pattern| glob::matches_ignore_case(pattern, name.as_bytes()))
    };
    let found: Vec<(&str, &Entry)> = ENTRIES
        .iter()
        .flat_map(|entry| entry.names.iter().map(move |name| (*name, entry)))
        .filter(|(name, _)| is_asked(name))
        .collect();
    writer::map_header(out, session.version, found.len());
    for (name, entry) in found {
        writer::bulk(out, name.as_bytes());
        writer::bulk(out, &(entry.read)(context));
    }
}

/// Why CONFIG SET set nothing, in Redis' words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum SetError {
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Failed { name: String, reason: String },
}

/// All or nothing: every name is looked up and every value read before the first takes effect. What
/// is wrong is said in Redis' order; what only this server does not change comes behind the names.
fn set(context: &Context, settings: &[(Bytes, Bytes)]) -> Result<(), SetError> {
    let entries = look_up(settings)?;
    let has_log_switch = context.settings.has_log_switch();
    let is_fixed = |entry: &Entry| match entry.change {
        Change::Never | Change::NotHere => true,
        Change::LogLevel => !has_log_switch,
        Change::Ignored(_) | Change::Now(_) => false,
    };
    let mut named = entries.iter().zip(settings);
    if let Some((_, (name, _))) = named.find(|((_, entry), _)| is_fixed(entry)) {
        return Err(failed(name, IMMUTABLE));
    }
    let mut changes = Changes::default();
    for ((name, entry), (_, value)) in entries.into_iter().zip(settings) {
        read_change(entry, value, &mut changes)
            .map_err(|reason| failed(name.as_bytes(), reason))?;
    }
    context.settings.apply(changes);
    let slow_log = &context.metrics.slow_log;
    slow_log.cut(context.settings.slow_log_max_len());
    Ok(())
}

const IMMUTABLE: &str = "can't set immutable config";

/// The settings with their names, each of which comes once.
fn look_up(settings: &[(Bytes, Bytes)]) -> Result<Vec<(&'static str, &'static Entry)>, SetError> {
    let mut found: Vec<(&str, &Entry)> = Vec::with_capacity(settings.len().min(ENTRIES.len()));
    for (name, _) in settings {
        let (known, entry) = find(name).ok_or_else(|| SetError::Unknown(shown(name)))?;
        if matches!(entry.change, Change::Never) {
            return Err(failed(name, IMMUTABLE));
        }
        if found.iter().any(|(_, other)| std::ptr::eq(*other, entry)) {
            return Err(failed(name, "duplicate parameter"));
        }
        found.push((known, entry));
    }
    Ok(found)
}

fn read_change(entry: &Entry, value: &[u8], changes: &mut Changes) -> Result<(), String> {
    match entry.change {
        // Refused before the values were read.
        Change::Never | Change::NotHere => Ok(()),
        Change::Ignored(check) => Ok(check(utf8(value)?)?),
        Change::Now(read) => read(value, changes),
        Change::LogLevel => {
            let level = LogFilter::parse(utf8(value)?).map_err(|error| error.to_string())?;
            changes.log_level = Some(level);
            Ok(())
        }
    }
}

fn failed(name: &[u8], reason: impl Into<String>) -> SetError {
    SetError::Failed {
        name: shown(name),
        reason: reason.into(),
    }
}

/// A setting, with that of its names which was given.
fn find(name: &[u8]) -> Option<(&'static str, &'static Entry)> {
    ENTRIES.iter().find_map(|entry| {
        let mut names = entry.names.iter();
        let known = names.find(|known| known.as_bytes().eq_ignore_ascii_case(name))?;
        Some((*known, entry))
    })
}

/// Bytes of a setting's name that the error repeats.
const SHOWN_BYTES_MAX: usize = 128;

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES_MAX)]).into_owned()
}

fn utf8(value: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(value).map_err(|_| "argument is not UTF-8 text")
}

fn yes_or_no(value: &str) -> Result<(), &'static str> {
    crate::config::yes_no(value)
        .map(|_| ())
        .map_err(|_| "argument must be 'yes' or 'no'")
}

fn set_max_clients(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    let clients: i64 = utf8(value)?
        .parse()
        .map_err(|_| "argument couldn't be parsed into an integer")?;
    let clients = usize::try_from(clients)
        .ok()
        .filter(|clients| within(*clients, CLIENTS_MAX));
    let bounds = || format!("argument must be between 1 and {CLIENTS_MAX} inclusive");
    let clients = clients.ok_or_else(bounds)?;
    let possible = make_room_for(clients);
    if possible < clients {
        return Err(format!(
            "The operating system is not able to handle the specified number of clients, try \
             with {possible}"
        ));
    }
    changes.max_clients = Some(clients);
    Ok(())
}

fn set_max_event_bytes(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    let bytes = crate::config::size(utf8(value)?, 0, u64::MAX)
        .map_err(|_| "argument must be a memory value")?;
    let bytes = usize::try_from(bytes)
        .ok()
        .filter(|bytes| within(*bytes, EVENT_BYTES_MAX));
    let bounds = || format!("argument must be between 1 and {EVENT_BYTES_MAX} inclusive");
    changes.max_event_bytes = Some(bytes.ok_or_else(bounds)?);
    Ok(())
}

/// Redis takes 0 for "no limit"; then nothing is trimmed approximately.
fn set_stream_node_max_entries(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    changes.stream_node_max_entries = Some(not_negative(value)?);
    Ok(())
}

fn set_stream_idmp_duration(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    changes.stream_idmp_duration_s = Some(between_one_and(IDEMPOTENCY_DURATION_S_MAX, value)?);
    Ok(())
}

fn set_stream_idmp_maxsize(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    changes.stream_idmp_maxsize = Some(between_one_and(IDEMPOTENCY_KEYS_MAX, value)?);
    Ok(())
}

fn between_one_and(max: u64, value: &[u8]) -> Result<u64, String> {
    let number: i64 = utf8(value)?
        .parse()
        .map_err(|_| "argument couldn't be parsed into an integer")?;
    let number = u64::try_from(number).ok();
    let within = number.filter(|number| (1..=max).contains(number));
    within.ok_or_else(|| format!("argument must be between 1 and {max} inclusive"))
}

fn set_slow_log_slower_than(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    changes.slow_log_slower_than_us = Some(at_least(-1, value)?);
    Ok(())
}

fn set_slow_log_max_len(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    changes.slow_log_max_len = Some(not_negative(value)?);
    Ok(())
}

fn set_latency_monitor_threshold(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    changes.latency_monitor_threshold_ms = Some(not_negative(value)?);
    Ok(())
}

fn not_negative(value: &[u8]) -> Result<u64, String> {
    at_least(0, value).map(i64::unsigned_abs)
}

fn at_least(min: i64, value: &[u8]) -> Result<i64, String> {
    let number: i64 = utf8(value)?
        .parse()
        .map_err(|_| "argument couldn't be parsed into an integer")?;
    let bounds = || format!("argument must be between {min} and {} inclusive", i64::MAX);
    (number >= min).then_some(number).ok_or_else(bounds)
}

fn within(number: usize, max: u64) -> bool {
    number >= 1 && u64::try_from(number).is_ok_and(|number| number <= max)
}

fn set_protected_mode(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    let on = crate::config::yes_no(utf8(value)?).map_err(|_| "argument must be 'yes' or 'no'")?;
    changes.protected_mode = Some(on);
    Ok(())
}

/// Clients that are connected stay so, with what they may do, as in Redis.
fn set_password(value: &[u8], changes: &mut Changes) -> Result<(), String> {
    if value.len() > PASSWORD_BYTES_MAX {
        return Err(format!(
            "argument must be at most {PASSWORD_BYTES_MAX} bytes"
        ));
    }
    changes.password = Some(Password::new(Bytes::copy_from_slice(value)));
    Ok(())
}

/// Bytes of a password: what a client may send before it has given it.
const PASSWORD_BYTES_MAX: usize = meilies_protocol::limits::UNAUTHENTICATED_BULK_BYTES_MAX;

fn text(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

fn yes_no(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

fn fsync(context: &Context) -> Bytes {
    text(match context.settings.started_with().fsync {
        Fsync::Always => "always",
        Fsync::EverySecond => "everysec",
        Fsync::No => "no",
    })
}

/// The directory from the root on, as Redis says it.
fn directory(context: &Context) -> Bytes {
    let path = &context.settings.started_with().db_path;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    text(absolute.to_string_lossy())
}

fn log_format(context: &Context) -> Bytes {
    text(match context.settings.started_with().log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    })
}

/// The port listened on, which the system may have chosen.
fn port(context: &Context) -> Bytes {
    let listened_on = context.addresses.first().map(std::net::SocketAddr::port);
    text(
        listened_on
            .unwrap_or(context.settings.started_with().port)
            .to_string(),
    )
}

fn password(context: &Context) -> Bytes {
    let password = context.settings.password();
    password.map_or(Bytes::new(), |password| {
        Bytes::copy_from_slice(password.reveal())
    })
}
