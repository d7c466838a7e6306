//! Events as commands reply with them: written by the server, read by clients.

use std::mem;
use std::str::{self, Utf8Error};

use bytes::{Bytes, BytesMut};

use crate::writer::{self, bulk_bytes_max};
use crate::{EventId, StreamName, Value};

/// The fields of an event: pairs of a name and a value, walked twice to be written.
pub trait Fields<'a>: Iterator<Item = (&'a [u8], &'a [u8])> + Clone {}

impl<'a, I: Iterator<Item = (&'a [u8], &'a [u8])> + Clone> Fields<'a> for I {}

/// An event as a client gets it.
///
/// ```
/// # use bytes::Bytes;
/// # use meilies_protocol::{Event, EventId, StreamName, StreamNameError};
/// let mut event = Event {
///     stream: StreamName::parse(Bytes::from_static(b"orders"))?,
///     number: 7,
///     position: 9,
///     id: EventId::new(1_700_000_000_000, 0),
///     fields: vec![(Bytes::from_static(b"created"), Bytes::from_static(b"{}"))],
/// };
/// assert_eq!((event.name(), event.data()), (&b"created"[..], &b"{}"[..]));
/// assert_eq!((event.name_text(), event.data_text()), (Ok("created"), Ok("{}")));
///
/// event.fields = vec![(Bytes::from_static(b"\xff"), Bytes::from_static(b"caf\xe9"))];
/// assert!(event.name_text().is_err() && event.data_text().is_err());
/// # Ok::<(), StreamNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose it is.
    pub stream: StreamName,
    /// Its number in that stream.
    pub number: u64,
    /// Its number over all streams.
    pub position: u64,
    /// Its id.
    pub id: EventId,
    /// Its names and values: one pair, the event's name and data, if PUBLISH stored it.
    pub fields: Vec<(Bytes, Bytes)>,
}

impl Event {
    /// Takes an element of what READ-EVENTS replies, and gives back what is none.
    pub fn from_value(value: Value) -> Result<Event, Value> {
        match value {
            Value::Array(mut elements) => Event::take(&mut elements).ok_or(Value::Array(elements)),
            other => Err(other),
        }
    }

    /// The name of an event that PUBLISH stored: that of its first field.
    pub fn name(&self) -> &[u8] {
        self.fields.first().map_or(&[], |(name, _)| name)
    }

    /// The data of an event that PUBLISH stored: the value of its first field.
    pub fn data(&self) -> &[u8] {
        self.fields.first().map_or(&[], |(_, data)| data)
    }

    /// The name of an event that PUBLISH stored, as text.
    pub fn name_text(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(self.name())
    }

    /// The data of an event that PUBLISH stored, as text.
    pub fn data_text(&self) -> Result<&str, Utf8Error> {
        str::from_utf8(self.data())
    }

    /// The data of an event that PUBLISH stored, read as JSON. It needs the feature `json`.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use meilies_protocol::{Event, EventId, StreamName};
    /// # let event = |name: &'static [u8], data: &'static [u8]| Event {
    /// #     stream: StreamName::parse(Bytes::from_static(b"cart")).expect("it is short"),
    /// #     number: 0,
    /// #     position: 0,
    /// #     id: EventId::MIN,
    /// #     fields: vec![(Bytes::from_static(name), Bytes::from_static(data))],
    /// # };
    /// let (item, count): (String, u32) = event(b"added", br#"["pear", 3]"#).json()?;
    /// assert_eq!((item.as_str(), count), ("pear", 3));
    /// assert!(event(b"added", b"pear").json::<String>().is_err());
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.data())
    }

    /// Reads stream, number, position, id and fields. Nothing is taken out unless all are good.
    pub(crate) fn take(elements: &mut [Value]) -> Option<Event> {
        let [
            Value::Bulk(stream),
            number,
            position,
            Value::Bulk(id),
            Value::Array(fields),
        ] = elements
        else {
            return None;
        };
        let (number, position) = (number.as_u64()?, position.as_u64()?);
        let stream = StreamName::parse(stream.clone()).ok()?;
        let id = EventId::parse(id).ok()?;
        let fields = take_pairs(fields)?;
        Some(Event {
            stream,
            number,
            position,
            id,
            fields,
        })
    }
}

/// Takes names and values out, in pairs, unless one of them is no string.
fn take_pairs(fields: &mut [Value]) -> Option<Vec<(Bytes, Bytes)>> {
    let all_strings = fields.iter().all(|field| matches!(field, Value::Bulk(_)));
    if !all_strings || !fields.len().is_multiple_of(2) {
        return None;
    }
    let mut pairs = Vec::with_capacity(fields.len() / 2);
    for pair in fields.chunks_exact_mut(2) {
        if let [Value::Bulk(name), Value::Bulk(value)] = pair {
            pairs.push((mem::take(name), mem::take(value)));
        }
    }
    Some(pairs)
}

/// An element of what READ-EVENTS replies: `[stream, number, position, id, [name, data …]]`.
/// `fields` is walked twice.
pub fn write_read_event<'a>(
    out: &mut BytesMut,
    stream: &[u8],
    number: u64,
    position: u64,
    id: EventId,
    fields: impl Fields<'a>,
) {
    put_event(
        out,
        &[],
        stream,
        (number, position, id),
        fields,
        writer::array_header,
    );
}

/// An event as Redis' commands reply it, an entry: `[id, [field, value …]]`. `fields` is walked
/// twice.
pub fn write_entry<'a>(out: &mut BytesMut, id: EventId, fields: impl Fields<'a>) {
    let (mut count, mut bytes) = (0, NUMBERS_BYTES_MAX);
    for (name, value) in fields.clone() {
        count += 2;
        bytes += bulk_bytes_max(name.len()) + bulk_bytes_max(value.len());
    }
    out.reserve(bytes);
    writer::array_header(out, 2);
    writer::bulk_id(out, id);
    writer::array_header(out, count);
    for (name, value) in fields {
        writer::bulk(out, name);
        writer::bulk(out, value);
    }
}

/// What a line that holds a number or announces a length takes, and an id as a string.
const NUMBERS_BYTES_MAX: usize = 128;

/// An event behind `before`, under the header that `header` writes. Reserves once for all.
pub(crate) fn put_event<'a>(
    out: &mut BytesMut,
    before: &[&[u8]],
    stream: &[u8],
    (number, position, id): (u64, u64, EventId),
    fields: impl Fields<'a>,
    header: impl FnOnce(&mut BytesMut, usize),
) {
    let (mut count, mut bytes) = (0, NUMBERS_BYTES_MAX + bulk_bytes_max(stream.len()));
    for (name, value) in fields.clone() {
        count += 2;
        bytes += bulk_bytes_max(name.len()) + bulk_bytes_max(value.len());
    }
    bytes += before
        .iter()
        .map(|word| bulk_bytes_max(word.len()))
        .sum::<usize>();
    out.reserve(bytes);

    header(out, before.len() + 5);
    for word in before {
        writer::bulk(out, word);
    }
    writer::bulk(out, stream);
    writer::number(out, number);
    writer::number(out, position);
    writer::bulk_id(out, id);
    writer::array_header(out, count);
    for (name, value) in fields {
        writer::bulk(out, name);
        writer::bulk(out, value);
    }
}
