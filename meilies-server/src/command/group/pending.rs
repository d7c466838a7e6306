//! `XPENDING key group [[IDLE ms] start end count [consumer]]`

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, PendingFilter, StreamName, writer};

use super::entries::is_deleted;
use super::{Editor, no_key_or_group};
use crate::command::data::Scope;
use crate::engine::{Consumer, Group, PendingEntry, StoreError, View, Wanted};

pub(in crate::command) fn write(
    view: &dyn View,
    key: &StreamName,
    name: &Bytes,
    filter: Option<&PendingFilter>,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let group = match view.stream(key)? {
        Some(stream) => view.group(&stream, name)?,
        None => None,
    };
    let Some(group) = group else {
        no_key_or_group(key, name, "", out);
        return Ok(());
    };
    match filter {
        None => summary(view, &group, scope, out),
        Some(filter) => list(view, &group, filter, out),
    }
}

fn summary(
    view: &dyn View,
    group: &Group,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let all = EventId::MIN..=EventId::MAX;
    let ends = match group.pending {
        0 => (None, None),
        _ => (
            view.pending(group, all.clone(), &Wanted::ALL, false, 1)?
                .pop(),
            view.pending(group, all, &Wanted::ALL, true, 1)?.pop(),
        ),
    };
    writer::array_header(out, 4);
    writer::number(out, group.pending);
    let (Some(first), Some(last)) = ends else {
        writer::nil(out, scope.version);
        writer::nil(out, scope.version);
        writer::null_array(out, scope.version);
        return Ok(());
    };
    writer::bulk_id(out, first.id);
    writer::bulk_id(out, last.id);
    let owners = group
        .consumers
        .iter()
        .filter(|consumer| consumer.pending > 0);
    writer::array_header(out, owners.clone().count());
    for consumer in owners {
        writer::array_header(out, 2);
        writer::bulk(out, &consumer.name);
        writer::bulk_number(out, consumer.pending);
    }
    Ok(())
}

fn list(
    view: &dyn View,
    group: &Group,
    filter: &PendingFilter,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let named = filter.consumer.as_ref();
    let owner = named.and_then(|name| group.consumer(name));
    if named.is_some() && owner.is_none() {
        writer::array_header(out, 0);
        return Ok(());
    }
    let now = view.now_ms();
    let wanted = owner.map_or(Wanted::ALL, |owner| Wanted::of(owner));
    let wanted = wanted.idle_for(now, filter.idle_ms);
    let count = usize::try_from(filter.count).unwrap_or(usize::MAX);
    let found = match owner {
        Some(owner) if owner.pending == 0 => Vec::new(),
        owner => {
            let from = owner.map_or(filter.from, |owner| owner.first.max(filter.from));
            view.pending(group, from..=filter.to, &wanted, false, count)?
        }
    };
    writer::array_header(out, found.len());
    for entry in found {
        writer::array_header(out, 4);
        writer::bulk_id(out, entry.id);
        let owner = group.consumer_by_id(entry.consumer);
        writer::bulk(out, owner.map_or(&b""[..], |owner| &owner.name));
        write_idle(entry.idle_ms(now), out);
        writer::number(out, entry.deliveries);
    }
    Ok(())
}

/// For how long an entry has been idle: -1 if it was given back.
pub(super) fn write_idle(idle_ms: Option<u64>, out: &mut BytesMut) {
    match idle_ms {
        Some(idle_ms) => writer::number(out, idle_ms),
        None => writer::integer(out, -1),
    }
}

/// At most so many wanted entries, in the order in which they are claimed, but for those whose
/// events are deleted.
pub(super) fn claimable(
    view: &dyn View,
    editor: &Editor,
    wanted: &Wanted,
    limit: usize,
) -> Result<Vec<PendingEntry>, StoreError> {
    let is_gone = is_deleted(view, &editor.stream)?;
    view.first_in_turn(&editor.group, wanted, limit, &|entry| !is_gone(entry))
}

/// At most so many entries of a range that are pending with a consumer.
pub(super) fn collect_own(
    view: &dyn View,
    group: &Group,
    owner: &Consumer,
    ids: std::ops::RangeInclusive<EventId>,
    wanted: usize,
) -> Result<Vec<PendingEntry>, StoreError> {
    let pending = usize::try_from(owner.pending).unwrap_or(usize::MAX);
    let (from, to) = ids.into_inner();
    let ids = from.max(owner.first)..=to;
    view.pending(group, ids, &Wanted::of(owner), false, wanted.min(pending))
}
