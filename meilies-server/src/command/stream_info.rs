//! `STREAM-INFO stream`: which stream a name stands for, and what is known of its events.
//!
//! Unlike XINFO STREAM it says nothing that costs a look at events: a client asks it whenever it
//! connects again.

use bytes::BytesMut;
use meilies_protocol::{StreamName, writer};

use super::data::Scope;
use crate::engine::{StoreError, View};

pub(super) fn write(
    view: &dyn View,
    name: &StreamName,
    scope: Scope,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let Some(stream) = view.stream(name)? else {
        writer::nil(out, scope.version);
        return Ok(());
    };
    let first = (stream.length() > 0).then_some(stream.first);
    writer::map_header(out, scope.version, 6);
    let field = |out: &mut BytesMut, name: &str, number| {
        writer::bulk(out, name.as_bytes());
        match number {
            Some(number) => writer::number(out, number),
            None => writer::nil(out, scope.version),
        }
    };
    field(out, "stream-id", Some(stream.id));
    field(out, "last-event-number", stream.tail);
    field(out, "first-event-number", first);
    field(out, "events", Some(stream.length()));
    writer::bulk(out, b"last-id");
    writer::bulk_id(out, stream.last_id);
    field(out, "created-at", Some(stream.created_at));
    Ok(())
}
