//! `XINFO STREAM key [FULL [COUNT n]]`, `XINFO GROUPS key`, `XINFO CONSUMERS key group`.

use bytes::BytesMut;
use meilies_protocol::{EventId, Full, StreamName, XInfo, table, writer};

use super::range::{Part, check_size, is_too_large};
use super::{NO_SUCH_KEY, idempotency};
use crate::command::data::Scope;
use crate::command::group;
use crate::engine::{Form, StoreError, StreamSummary, View};

pub(in crate::command) fn write(
    view: &dyn View,
    request: &XInfo,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    match request {
        XInfo::Help => {
            let command = table::find(b"xinfo").expect("XINFO is in the table: it was parsed");
            table::write_help(out, command);
            Ok(())
        }
        XInfo::Stream { key, full } => stream(view, key, *full, scope, out),
        XInfo::Groups { key } => group::info::groups(view, key, scope, out),
        XInfo::Consumers { key, group } => group::info::consumers(view, key, group, scope, out),
    }
}

fn stream(
    view: &dyn View,
    key: &StreamName,
    full: Option<Full>,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let Some(stream) = view.stream(key)? else {
        writer::error(out, NO_SUCH_KEY);
        return Ok(());
    };
    let begin = out.len();
    let ends = view.ends(&stream)?;
    let first_id = match ends {
        Some((first, _)) => view.id_of(&stream, first)?.unwrap_or(EventId::MIN),
        None => EventId::MIN,
    };
    let others = if full.is_some() { 9 } else { 10 };
    writer::map_header(out, scope.version, others + idempotency::INFO_FIELDS);
    counts(&stream, first_id, scope, out);
    idempotency::write_info(view, &stream, scope.remembered, out)?;
    match full {
        None => {
            number(out, "groups", view.groups(&stream)?.len() as u64);
            for (name, at) in [
                ("first-entry", ends.map(|ends| ends.0)),
                ("last-entry", ends.map(|ends| ends.1)),
            ] {
                writer::bulk(out, name.as_bytes());
                match at {
                    Some(at) => entry(view, &stream, at, scope, out)?,
                    None => writer::nil(out, scope.version),
                }
            }
        }
        Some(full) => {
            writer::bulk(out, b"entries");
            let part = Part {
                deleted: view.deleted(&stream)?,
                numbers: stream.first..stream.next_number(),
                stream: stream.clone(),
                reverse: false,
            };
            let part = part.limited((full.count > 0).then_some(full.count));
            writer::array_header(out, part.count());
            part.write_all(view, out)?;
            if !is_too_large(out) {
                writer::bulk(out, b"groups");
                group::info::full(view, &stream, full.count, scope, out)?;
            }
        }
    }
    check_size(out, begin);
    Ok(())
}

fn counts(stream: &StreamSummary, first_id: EventId, scope: Scope, out: &mut BytesMut) {
    // There is no radix tree here: these are the nodes that a stream of Redis would have.
    let nodes = stream.length().div_ceil(scope.node_events_max.max(1));
    number(out, "length", stream.length());
    number(out, "radix-tree-keys", nodes);
    number(out, "radix-tree-nodes", nodes + 1);
    id(out, "last-generated-id", stream.last_id);
    id(out, "max-deleted-entry-id", stream.max_deleted_id);
    number(out, "entries-added", stream.added());
    id(out, "recorded-first-entry-id", first_id);
}

fn entry(
    view: &dyn View,
    stream: &StreamSummary,
    number: u64,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let (runs, _) = view.runs(stream, number..number + 1, false, 1)?;
    match runs.first() {
        Some(run) => out.extend_from_slice(&run.encoded(Form::Entry, scope.version)),
        None => writer::nil(out, scope.version),
    }
    Ok(())
}

fn number(out: &mut BytesMut, name: &str, number: u64) {
    writer::bulk(out, name.as_bytes());
    writer::number(out, number);
}

fn id(out: &mut BytesMut, name: &str, id: EventId) {
    writer::bulk(out, name.as_bytes());
    writer::bulk_id(out, id);
}
