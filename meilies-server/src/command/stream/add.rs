//! `XADD`: an event of one or more fields, and what is trimmed for it.

use bytes::{Bytes, BytesMut};
use meilies_protocol::{XAdd, writer};

use super::trim_stream;
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
    let fields = fields(request.fields);
    if let Some(refused) = too_large(&fields, settings.max_event_bytes()) {
        return Publishing::Refused(refused);
    }
    Publishing::Write(Write {
        stream: request.key,
        expect: request.expect,
        make_stream: request.make_stream,
        id: request.id,
        fields,
    })
}

/// An XADD in a transaction: replies with the id; a failed expectation ends all of it.
pub(crate) fn add(
    transaction: &mut dyn Transaction,
    request: &XAdd,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    if request.idempotency.is_some() {
        writer::error(out, "ERR XADD does not take IDMP and IDMPAUTO yet");
        return Ok(Verdict::Commit);
    }
    let fields = fields(request.fields.clone());
    if let Some(refused) = too_large(&fields, scope.event_bytes_max) {
        writer::error(out, &refused);
        return Ok(Verdict::Commit);
    }
    let (key, expect, id) = (&request.key, request.expect, request.id);
    let added = transaction.append(key, expect, request.make_stream, id, fields)?;
    let refused = match added {
        Ok(added) => {
            writer::bulk_id(out, added.id);
            match &request.trim {
                Some(trim) => {
                    let trim = (trim, request.references);
                    trim_stream(transaction, key, trim, scope)?.err()
                }
                None => None,
            }
        }
        Err(refused) => Some(refused),
    };
    match refused {
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
