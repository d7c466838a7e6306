//! `XADD`: an event of one or more fields, and what is trimmed for it.

use bytes::{Bytes, BytesMut};
use meilies_protocol::{Arguments, Expect, XAdd, table, writer};

use super::{idempotency, trim_stream};
use crate::command::data::Scope;
use crate::command::{Publishing, refusal};
use crate::config::Settings;
use crate::engine::{Fields, Refusal, StoreError, Transaction, Verdict, Write};

/// Whether an XADD is nothing but an event, so that it may go with other writes.
pub(crate) fn is_plain(request: &XAdd) -> bool {
    request.trim.is_none() && request.idempotency.is_none()
}

/// Makes a write of a plain XADD. Nothing is copied.
pub(crate) fn write(settings: &Settings, request: XAdd) -> Publishing {
    let write = Write {
        make_stream: request.make_stream,
        id: request.id,
        ..Write::new(request.key, request.expect, fields(request.fields))
    };
    checked(settings, write)
}

/// Makes a write of an XADD in its simplest form, if it has that.
pub(crate) fn write_simplest(
    settings: &Settings,
    command: &table::Command,
    arguments: &Arguments,
) -> Option<Publishing> {
    if command.name != "xadd" {
        return None;
    }
    let (key, pair) = XAdd::simplest(arguments)?;
    let write = Write::new(key, Expect::Any, Fields::One(pair));
    Some(checked(settings, write))
}

fn checked(settings: &Settings, write: Write) -> Publishing {
    match too_large(&write.fields, settings.max_event_bytes()) {
        Some(refused) => Publishing::Refused(refused),
        None => Publishing::Write(write),
    }
}

/// An XADD in a transaction: replies with the id; a failed expectation ends all of it.
pub(crate) fn add(
    transaction: &mut dyn Transaction,
    request: &XAdd,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let event = fields(request.fields.clone());
    if let Some(refused) = too_large(&event, scope.event_bytes_max) {
        writer::error(out, &refused);
        return Ok(Verdict::Commit);
    }
    match add_once(transaction, request, event, scope, out)?.err() {
        None => Ok(Verdict::Commit),
        Some(Refusal::NoStream) => {
            writer::nil(out, scope.version);
            Ok(Verdict::Commit)
        }
        Some(refused) => {
            writer::error(out, &refusal(&refused));
            match refused {
                Refusal::Conflict { .. } => Ok(Verdict::Abort),
                _ => Ok(Verdict::Commit),
            }
        }
    }
}

/// Adds an event, unless it is known to be a repetition, and replies with the id.
fn add_once(
    transaction: &mut dyn Transaction,
    request: &XAdd,
    fields: Fields,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Result<(), Refusal>, StoreError> {
    let key = request
        .idempotency
        .as_ref()
        .map(|idempotency| idempotency::write_key(idempotency, &request.fields, scope));
    if let Some(key) = &key {
        match idempotency::repeated(transaction, &request.key, key)? {
            Ok(None) => {}
            Ok(Some(id)) => {
                writer::bulk_id(out, id);
                return Ok(Ok(()));
            }
            Err(refused) => return Ok(Err(refused)),
        }
    }
    let added = transaction.append(Write {
        stream: request.key.clone(),
        expect: request.expect,
        make_stream: request.make_stream,
        id: request.id,
        fields,
        key: key.map(Box::new),
    })?;
    let added = match added {
        Ok(added) => added,
        Err(refused) => return Ok(Err(refused)),
    };
    writer::bulk_id(out, added.id);
    match &request.trim {
        Some(trim) => {
            let trim = (trim, request.references);
            let trimmed = trim_stream(transaction, &request.key, trim, scope)?;
            Ok(trimmed.map(|_| ()))
        }
        None => Ok(Ok(())),
    }
}

fn fields(items: Vec<Bytes>) -> Fields {
    match <[Bytes; 2]>::try_from(items) {
        Ok(pair) => Fields::One(pair),
        Err(items) => Fields::Many(items),
    }
}

fn too_large(fields: &Fields, limit: usize) -> Option<String> {
    let bytes = fields.bytes();
    (bytes > limit).then(|| format!("ERR event is {bytes} bytes, the limit is {limit}"))
}
