//! The generic commands, where a key is a stream.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use meilies_protocol::limits::STREAM_NAME_BYTES_MAX;
use meilies_protocol::{Scan, StreamName, glob, writer};

use super::data::{Scope, all};
use super::{Flow, refusal};
use crate::context::Context;
use crate::engine::{Refusal, StoreError, StreamsPage, Transaction, Verdict, View};
use crate::limits::{NAMES_REPLY_BYTES_MAX, STREAMS_PAGE_MAX};
use crate::session::{Output, Session};

/// What TYPE says of every key that exists.
const STREAM_TYPE: &[u8] = b"stream";

const NO_SUCH_KEY: &str = "ERR no such key";

/// What a name costs in memory and on the wire beside its bytes, about.
const NAME_OVERHEAD_BYTES: usize = 48;

const _: () = assert!(STREAM_NAME_BYTES_MAX + NAME_OVERHEAD_BYTES < NAMES_REPLY_BYTES_MAX);

/// `TYPE key`: `stream` or `none`.
pub(super) fn key_type(view: &dyn View, key: &Bytes, out: &mut BytesMut) -> Result<(), StoreError> {
    let existing = existing(view, std::slice::from_ref(key))?;
    writer::simple(out, if existing > 0 { "stream" } else { "none" });
    Ok(())
}

/// `EXISTS key [key …]`: how many of them exist; a repeated key counts as often as it is given.
/// `TOUCH` says the same; that a key was used is noted of commands as a whole.
pub(super) fn exists(
    view: &dyn View,
    keys: &[Bytes],
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    writer::number(out, existing(view, keys)?);
    Ok(())
}

/// `TTL key` and the like: -1 for a key, for none expires, and -2 for none.
pub(super) fn time_to_live(
    view: &dyn View,
    key: &Bytes,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let existing = existing(view, std::slice::from_ref(key))?;
    writer::integer(out, if existing > 0 { -1 } else { -2 });
    Ok(())
}

fn existing(view: &dyn View, keys: &[Bytes]) -> Result<u64, StoreError> {
    let found = all(stream_names(keys).map(|name| view.stream(&name)))?;
    Ok(found.iter().flatten().count() as u64)
}

/// A key that cannot be a stream's name is one that does not exist.
fn stream_names(keys: &[Bytes]) -> impl Iterator<Item = StreamName> {
    keys.iter()
        .filter_map(|key| StreamName::parse(key.clone()).ok())
}

/// `KEYS pattern`: all names that match, in no promised order.
pub(super) fn keys(view: &dyn View, pattern: &[u8], out: &mut BytesMut) -> Result<(), StoreError> {
    let mut matching = Vec::new();
    let mut bytes = 0;
    let mut next_id = 0;
    loop {
        let page = view.streams(&StreamsPage::ById(next_id), STREAMS_PAGE_MAX)?;
        let Some(last) = page.last() else {
            write_names(out, &matching);
            return Ok(());
        };
        next_id = last.id + 1;
        for stream in page {
            if glob::matches(pattern, stream.name.as_bytes()) {
                bytes += stream.name.as_bytes().len() + NAME_OVERHEAD_BYTES;
                if bytes > NAMES_REPLY_BYTES_MAX {
                    let error = format!(
                        "ERR the names take more than {NAMES_REPLY_BYTES_MAX} bytes: use SCAN"
                    );
                    writer::error(out, &error);
                    return Ok(());
                }
                matching.push(stream.name);
            }
        }
    }
}

fn write_names(out: &mut BytesMut, names: &[StreamName]) {
    writer::array_header(out, names.len());
    for name in names {
        writer::bulk(out, name.as_bytes());
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
///
/// The cursor is the first stream id not yet looked at. Ids only grow and are never reused, so a
/// stream that is there during the whole scan is given exactly once, and one that comes or goes
/// meanwhile is given once or not at all.
pub(super) fn scan(view: &dyn View, scan: &Scan, out: &mut BytesMut) -> Result<(), StoreError> {
    let all_types = scan
        .key_type
        .as_deref()
        .is_none_or(|t| t.eq_ignore_ascii_case(STREAM_TYPE));
    if !all_types {
        // No key has another type: nothing is left to look at.
        write_page(out, 0, &[]);
        return Ok(());
    }
    let limit = usize::try_from(scan.count)
        .unwrap_or(usize::MAX)
        .clamp(1, STREAMS_PAGE_MAX);
    let page = view.streams(&StreamsPage::ById(scan.cursor), limit)?;
    let next = match page.last() {
        Some(last) if page.len() >= limit => last.id + 1,
        _ => 0,
    };
    let names: Vec<StreamName> = page
        .into_iter()
        .map(|stream| stream.name)
        .filter(|name| {
            let pattern = scan.pattern.as_deref();
            pattern.is_none_or(|pattern| glob::matches(pattern, name.as_bytes()))
        })
        .collect();
    write_page(out, next, &names);
    Ok(())
}

fn write_page(out: &mut BytesMut, next_cursor: u64, names: &[StreamName]) {
    writer::array_header(out, 2);
    writer::bulk_number(out, next_cursor);
    write_names(out, names);
}

/// `RANDOMKEY`: each stream is as likely as any other. Takes time in proportion to their count.
pub(super) fn random_key(
    view: &dyn View,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let mut left = usize::try_from(scope.draw % view.count().max(1)).unwrap_or(0);
    let mut next_id = 0;
    loop {
        let page = view.streams(&StreamsPage::ById(next_id), STREAMS_PAGE_MAX)?;
        let Some(last) = page.last() else {
            writer::nil(out, scope.version);
            return Ok(());
        };
        if let Some(stream) = page.get(left) {
            writer::bulk(out, stream.name.as_bytes());
            return Ok(());
        }
        left -= page.len();
        next_id = last.id + 1;
    }
}

/// `DEL key [key …]` and `UNLINK`: how many there were.
pub(super) fn delete(
    transaction: &mut dyn Transaction,
    keys: &[Bytes],
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let mut deleted = 0;
    for name in stream_names(keys) {
        match transaction.remove(&name)? {
            Ok(was_there) => deleted += u64::from(was_there),
            Err(refused) => {
                writer::error(out, &refusal(&refused));
                return Ok(Verdict::Abort);
            }
        }
    }
    transaction.count(deleted);
    writer::number(out, deleted);
    Ok(Verdict::Commit)
}

/// `RENAME from to`, and `RENAMENX`, which does not replace.
pub(super) fn rename(
    transaction: &mut dyn Transaction,
    from: &Bytes,
    to: &Bytes,
    replaces: bool,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let Ok(from) = StreamName::parse(from.clone()) else {
        writer::error(out, NO_SUCH_KEY);
        return Ok(Verdict::Commit);
    };
    let to = match StreamName::parse_writable(to.clone()) {
        Ok(to) => to,
        Err(error) => {
            writer::error(out, &format!("ERR {error}"));
            return Ok(Verdict::Commit);
        }
    };
    let view: &dyn View = transaction;
    let is_taken = !replaces && view.stream(&to)?.is_some();
    if view.stream(&from)?.is_none() {
        writer::error(out, NO_SUCH_KEY);
        return Ok(Verdict::Commit);
    }
    if is_taken {
        writer::number(out, 0);
        return Ok(Verdict::Commit);
    }
    let renamed = transaction.rename(&from, &to)?;
    transaction.count(u64::from(renamed.is_ok()));
    match renamed {
        Ok(()) if replaces => writer::simple(out, "OK"),
        Ok(()) => writer::number(out, 1),
        Err(Refusal::NoStream) => writer::error(out, NO_SUCH_KEY),
        Err(refused) => writer::error(out, &refusal(&refused)),
    }
    Ok(Verdict::Commit)
}

/// `FLUSHALL`, `FLUSHDB`: deletes every stream.
pub(super) fn flush(
    transaction: &mut dyn Transaction,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let mut next_id = 0;
    let mut names = Vec::new();
    loop {
        let view: &dyn View = transaction;
        let page = view.streams(&StreamsPage::ById(next_id), STREAMS_PAGE_MAX)?;
        let Some(last) = page.last() else {
            break;
        };
        next_id = last.id + 1;
        names.extend(page.into_iter().map(|stream| stream.name));
    }
    let mut missing = Ok(());
    for name in names {
        match transaction.remove(&name) {
            Ok(Ok(was_there)) => transaction.count(u64::from(was_there)),
            Ok(Err(refused)) => {
                writer::error(out, &refusal(&refused));
                return Ok(Verdict::Abort);
            }
            // Goes on, so that all that is missing is asked for in one go.
            Err(error) => missing = Err(error),
        }
    }
    missing?;
    writer::simple(out, "OK");
    Ok(Verdict::Commit)
}

/// `TIME`: seconds since 1970 UTC, and the microseconds of the second.
pub(crate) fn time(_context: &Arc<Context>, _session: &mut Session, out: &mut Output) -> Flow {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    writer::array_header(out.buffer(), 2);
    writer::bulk_number(out.buffer(), now.as_secs());
    writer::bulk_number(out.buffer(), u64::from(now.subsec_micros()));
    Flow::Done
}
