//! `XINFO GROUPS key`, `XINFO CONSUMERS key group`, and what XINFO STREAM FULL shows of groups.

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, StreamName, Version, writer};

use super::pending::collect_own;
use super::{lag, no_group};
use crate::command::data::Scope;
use crate::command::stream::range::is_too_large;
use crate::engine::{Consumer, Group, StoreError, StreamSummary, View, Wanted};
use crate::limits::REPLY_BYTES_MAX;

const NO_SUCH_KEY: &str = "ERR no such key";

/// Bytes of the shortest pending entry of a consumer in a reply.
const PENDING_BYTES_MIN: usize = b"*3\r\n$3\r\n0-1\r\n:0\r\n:1\r\n".len();

/// Pending entries that no reply has room for: more need not be looked up.
const PENDING_MAX: usize = REPLY_BYTES_MAX / PENDING_BYTES_MIN + 1;

pub(in crate::command) fn groups(
    view: &dyn View,
    key: &StreamName,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let Some(stream) = view.stream(key)? else {
        writer::error(out, NO_SUCH_KEY);
        return Ok(());
    };
    let groups = view.groups(&stream)?;
    writer::array_header(out, groups.len());
    for group in groups {
        writer::map_header(out, scope.version, 6);
        bulk(out, "name", &group.name);
        number(out, "consumers", group.consumers.len() as u64);
        number(out, "pending", group.pending);
        id(out, "last-delivered-id", group.last_id);
        let lag = lag(view, &stream, &group)?;
        optional(
            out,
            "entries-read",
            group.entries_read.map(u64::cast_signed),
            scope.version,
        );
        optional(out, "lag", lag, scope.version);
    }
    Ok(())
}

pub(in crate::command) fn consumers(
    view: &dyn View,
    key: &StreamName,
    group: &Bytes,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let Some(stream) = view.stream(key)? else {
        writer::error(out, NO_SUCH_KEY);
        return Ok(());
    };
    let Some(found) = view.group(&stream, group)? else {
        no_group(key, group, out);
        return Ok(());
    };
    let now = view.now_ms();
    writer::array_header(out, found.consumers.len());
    for consumer in &found.consumers {
        writer::map_header(out, scope.version, 4);
        bulk(out, "name", &consumer.name);
        number(out, "pending", consumer.pending);
        let seen_at = view.sightings().last(consumer);
        number(out, "idle", now.saturating_sub(seen_at));
        writer::bulk(out, b"inactive");
        match consumer.active_at {
            Some(active_at) => writer::number(out, now.saturating_sub(active_at)),
            None => writer::integer(out, -1),
        }
    }
    Ok(())
}

/// The groups of a stream with up to `count` pending entries of each and of each consumer. It ends
/// early where the reply has grown too large.
pub(in crate::command) fn full(
    view: &dyn View,
    stream: &StreamSummary,
    count: u64,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let most = match count {
        0 => PENDING_MAX,
        count => usize::try_from(count).map_or(PENDING_MAX, |count| count.min(PENDING_MAX)),
    };
    let groups = view.groups(stream)?;
    writer::array_header(out, groups.len());
    for group in groups {
        if is_too_large(out) {
            break;
        }
        writer::map_header(out, scope.version, 8);
        bulk(out, "name", &group.name);
        id(out, "last-delivered-id", group.last_id);
        let lag = lag(view, stream, &group)?;
        optional(
            out,
            "entries-read",
            group.entries_read.map(u64::cast_signed),
            scope.version,
        );
        optional(out, "lag", lag, scope.version);
        number(out, "pel-count", group.pending);
        number(out, "nacked-count", group.given_back());
        writer::bulk(out, b"pending");
        let everything = EventId::MIN..=EventId::MAX;
        let pending = view.pending(&group, everything, &Wanted::ALL, false, most)?;
        writer::array_header(out, pending.len());
        for entry in pending {
            writer::array_header(out, 4);
            writer::bulk_id(out, entry.id);
            let owner = group.consumer_by_id(entry.consumer);
            writer::bulk(out, owner.map_or(&b""[..], |owner| &owner.name));
            writer::number(out, entry.delivered_at_ms());
            writer::number(out, entry.deliveries);
        }
        writer::bulk(out, b"consumers");
        writer::array_header(out, group.consumers.len());
        for consumer in &group.consumers {
            if is_too_large(out) {
                break;
            }
            full_consumer(view, &group, consumer, most, scope, out)?;
        }
    }
    Ok(())
}

fn full_consumer(
    view: &dyn View,
    group: &Group,
    consumer: &Consumer,
    most: usize,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    writer::map_header(out, scope.version, 5);
    bulk(out, "name", &consumer.name);
    number(out, "seen-time", view.sightings().last(consumer));
    writer::bulk(out, b"active-time");
    match consumer.active_at {
        Some(active_at) => writer::number(out, active_at),
        None => writer::integer(out, -1),
    }
    number(out, "pel-count", consumer.pending);
    writer::bulk(out, b"pending");
    let pending = collect_own(view, group, consumer, EventId::MIN..=EventId::MAX, most)?;
    writer::array_header(out, pending.len());
    for entry in pending {
        writer::array_header(out, 3);
        writer::bulk_id(out, entry.id);
        writer::number(out, entry.delivered_at);
        writer::number(out, entry.deliveries);
    }
    Ok(())
}

fn bulk(out: &mut BytesMut, name: &str, value: &[u8]) {
    writer::bulk(out, name.as_bytes());
    writer::bulk(out, value);
}

fn number(out: &mut BytesMut, name: &str, number: u64) {
    writer::bulk(out, name.as_bytes());
    writer::number(out, number);
}

fn id(out: &mut BytesMut, name: &str, id: EventId) {
    writer::bulk(out, name.as_bytes());
    writer::bulk_id(out, id);
}

fn optional(out: &mut BytesMut, name: &str, number: Option<i64>, version: Version) {
    writer::bulk(out, name.as_bytes());
    match number {
        Some(number) => writer::integer(out, number),
        None => writer::nil(out, version),
    }
}
