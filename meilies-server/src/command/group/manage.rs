//! `XGROUP CREATE|SETID|DESTROY|CREATECONSUMER|DELCONSUMER`

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, GroupStart, StreamName, XGroup, table, writer};

use super::pending::collect_own;
use super::{Editor, no_group};
use crate::command::refusal;
use crate::engine::{Group, StoreError, StreamSummary, Transaction, Verdict, View};

pub(super) const NO_KEY: &str = "ERR The XGROUP subcommand requires the key to exist. Note that \
    for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.";

pub(in crate::command) fn manage(
    transaction: &mut dyn Transaction,
    request: &XGroup,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    match request {
        XGroup::Help => {
            let command = table::find(b"xgroup").expect("XGROUP is in the table: it was parsed");
            table::write_help(out, command);
        }
        XGroup::Create {
            key,
            group,
            start,
            make_stream,
            entries_read,
        } => {
            if *make_stream
                && transaction.stream(key)?.is_none()
                && let Err(refused) = transaction.create(key)?
            {
                writer::error(out, &refusal(&refused));
                return Ok(Verdict::Abort);
            }
            create(transaction, (key, group), *start, *entries_read, out)?;
        }
        XGroup::SetId {
            key,
            group,
            start,
            entries_read,
        } => set_id(transaction, (key, group), *start, *entries_read, out)?,
        XGroup::Destroy { key, group } => destroy(transaction, key, group, out)?,
        XGroup::CreateConsumer {
            key,
            group,
            consumer,
        } => {
            if let Some(mut editor) = existing(transaction, key, group, out)? {
                let (_, is_new) = editor.consumer(transaction, consumer);
                editor.finish(transaction)?;
                writer::number(out, u64::from(is_new));
            }
        }
        XGroup::DelConsumer {
            key,
            group,
            consumer,
        } => delete_consumer(transaction, key, group, consumer, out)?,
    }
    Ok(Verdict::Commit)
}

/// A group that has to be there; the error is written if it is not.
fn existing(
    view: &dyn View,
    key: &StreamName,
    group: &[u8],
    out: &mut BytesMut,
) -> Result<Option<Editor>, StoreError> {
    let Some(stream) = view.stream(key)? else {
        writer::error(out, NO_KEY);
        return Ok(None);
    };
    let found = view.group(&stream, group)?;
    if found.is_none() {
        no_group(key, group, out);
    }
    Ok(found.map(|group| Editor::of(stream, &group)))
}

/// Where a group begins: the id, and the first number behind it.
fn place(
    view: &dyn View,
    stream: &StreamSummary,
    start: GroupStart,
) -> Result<(EventId, u64), StoreError> {
    let id = match start {
        GroupStart::End => return Ok((stream.last_id, stream.next_number())),
        GroupStart::Id(id) => id,
    };
    Ok(match id.next() {
        Some(behind) => (id, view.find(stream, behind)?.number),
        None => (id, stream.next_number()),
    })
}

fn create(
    transaction: &mut dyn Transaction,
    (key, name): (&StreamName, &Bytes),
    start: GroupStart,
    entries_read: Option<u64>,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let Some(stream) = transaction.stream(key)? else {
        writer::error(out, NO_KEY);
        return Ok(());
    };
    if transaction.group(&stream, name)?.is_some() {
        writer::error(out, "BUSYGROUP Consumer Group name already exists");
        return Ok(());
    }
    let (last_id, next) = place(transaction, &stream, start)?;
    let id = transaction.new_id();
    let name = Bytes::copy_from_slice(name);
    let group = Group {
        entries_read: entries_read.map(|read| read.min(stream.added())),
        ..Group::new(id, name, last_id, next)
    };
    transaction.put_group(&stream, group)?;
    transaction.count(1);
    writer::simple(out, "OK");
    Ok(())
}

fn set_id(
    transaction: &mut dyn Transaction,
    (key, name): (&StreamName, &Bytes),
    start: GroupStart,
    entries_read: Option<u64>,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let Some(mut editor) = existing(transaction, key, name, out)? else {
        return Ok(());
    };
    let (last_id, next) = place(transaction, &editor.stream, start)?;
    let entries_read = entries_read.map(|read| read.min(editor.stream.added()));
    let group = editor.change();
    (group.last_id, group.next, group.entries_read) = (last_id, next, entries_read);
    editor.finish(transaction)?;
    transaction.count(1);
    writer::simple(out, "OK");
    Ok(())
}

fn destroy(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    group: &[u8],
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let Some(stream) = transaction.stream(key)? else {
        writer::error(out, NO_KEY);
        return Ok(());
    };
    let was_there = transaction.group(&stream, group)?.is_some();
    if was_there {
        transaction.remove_group(&stream, group)?;
        transaction.count(1);
    }
    writer::number(out, u64::from(was_there));
    Ok(())
}

/// Replies with how many events were pending with the consumer: they are not any more.
fn delete_consumer(
    transaction: &mut dyn Transaction,
    key: &StreamName,
    group: &[u8],
    name: &[u8],
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let Some(mut editor) = existing(transaction, key, group, out)? else {
        return Ok(());
    };
    let Some(consumer) = editor.group.consumer(name).cloned() else {
        writer::number(out, 0);
        return Ok(());
    };
    let all = EventId::MIN..=EventId::MAX;
    for entry in collect_own(transaction, &editor.group, &consumer, all, usize::MAX)? {
        editor.settle(transaction, entry);
    }
    editor.change().remove(name);
    editor.finish(transaction)?;
    transaction.count(1);
    writer::number(out, consumer.pending);
    Ok(())
}
