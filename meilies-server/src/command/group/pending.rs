//! `XPENDING key group [[IDLE ms] start end count [consumer]]`

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, PendingFilter, StreamName, writer};

use super::no_key_or_group;
use crate::command::data::Scope;
use crate::engine::{Consumer, Group, PendingEntry, StoreError, View};

/// Entries that are looked at at a time.
const PAGE: usize = 1024;

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
            view.pending(group, all.clone(), false, 1)?.pop(),
            view.pending(group, all, true, 1)?.pop(),
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
    let is_wanted = |entry: &PendingEntry| {
        owner.is_none_or(|owner| owner.id == entry.consumer) && entry.is_idle(now, filter.idle_ms)
    };
    let wanted = usize::try_from(filter.count).unwrap_or(usize::MAX);
    let found = match owner {
        Some(owner) if owner.pending == 0 => Vec::new(),
        owner => {
            let from = owner.map_or(filter.from, |owner| owner.first.max(filter.from));
            collect(view, group, from..=filter.to, wanted, is_wanted)?
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

/// At most so many entries that are wanted, in the order in which they are claimed.
pub(super) fn longest_idle(
    view: &dyn View,
    group: &Group,
    wanted: usize,
    is_wanted: impl Fn(&PendingEntry) -> bool,
) -> Result<Vec<PendingEntry>, StoreError> {
    let mut found = Vec::new();
    let mut from = EventId::MIN;
    if group.pending == 0 || wanted == 0 {
        return Ok(found);
    }
    loop {
        let page = view.pending(group, from..=EventId::MAX, false, PAGE)?;
        let last = page.last().filter(|_| page.len() >= PAGE);
        let next = last.and_then(|last| last.id.next());
        found.extend(page.into_iter().filter(&is_wanted));
        if found.len() > wanted {
            // No more are kept than may be given.
            found.select_nth_unstable_by_key(wanted - 1, PendingEntry::turn);
            found.truncate(wanted);
        }
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    found.sort_unstable_by_key(PendingEntry::turn);
    Ok(found)
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
    let is_own = |entry: &PendingEntry| entry.consumer == owner.id;
    collect(view, group, ids, wanted.min(pending), is_own)
}

/// At most so many entries of a range that are wanted.
pub(super) fn collect(
    view: &dyn View,
    group: &Group,
    ids: std::ops::RangeInclusive<EventId>,
    wanted: usize,
    is_wanted: impl Fn(&PendingEntry) -> bool,
) -> Result<Vec<PendingEntry>, StoreError> {
    let mut found = Vec::new();
    let (mut from, to) = ids.into_inner();
    while from <= to && found.len() < wanted {
        let page = view.pending(group, from..=to, false, PAGE)?;
        let last = page
            .last()
            .filter(|_| page.len() >= PAGE)
            .map(|entry| entry.id);
        let left = wanted - found.len();
        found.extend(page.into_iter().filter(&is_wanted).take(left));
        match last.and_then(EventId::next) {
            Some(next) => from = next,
            None => break,
        }
    }
    Ok(found)
}
