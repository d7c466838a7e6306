//! What is known of a stream, and of the server.

use meilies_protocol::{EventId, EventNumber, StreamName, Value};

use crate::Error;

/// What is known of a stream, all at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: StreamName,
    /// Which stream it is. This is never given twice: a stream that was deleted and made again
    /// under the same name has another one.
    pub stream_id: u64,
    /// The number that was last given to an event of it; nothing if it never had one.
    pub last_event_number: Option<EventNumber>,
    /// The number of the first event that is kept; nothing if none is.
    pub first_event_number: Option<EventNumber>,
    /// How many events are kept.
    pub events: u64,
    /// The id that was last given to an event of it, or that was set: later ones are above it.
    pub last_id: EventId,
    /// When it was made, in milliseconds since 1970 UTC.
    pub created_at_ms: u64,
}

impl StreamInfo {
    /// Reads the reply to STREAM-INFO.
    pub(crate) fn from_reply(name: StreamName, reply: &Value) -> Result<Option<StreamInfo>, Error> {
        let fields = match reply {
            Value::Nil => return Ok(None),
            Value::Map(fields) => fields,
            other => return Err(Error::from_reply(other)),
        };
        let field = |wanted: &str| {
            let is_it = |name: &Value| name.as_bytes() == Some(wanted.as_bytes());
            let found = fields.iter().find(|(name, _)| is_it(name));
            found.map(|(_, value)| value)
        };
        let number = |wanted: &str| field(wanted).and_then(Value::as_u64);
        let last_id = field("last-id").and_then(Value::as_bytes);
        let read = || {
            Some(StreamInfo {
                name,
                stream_id: number("stream-id")?,
                last_event_number: number("last-event-number"),
                first_event_number: number("first-event-number"),
                events: number("events")?,
                last_id: EventId::parse(last_id?).ok()?,
                created_at_ms: number("created-at")?,
            })
        };
        read().map(Some).ok_or_else(|| Error::from_reply(reply))
    }
}

/// A section of INFO: its name, and its fields with their values, in order.
type Section = (String, Vec<(String, String)>);

/// What the server says of itself, as INFO has it.
///
/// ```no_run
/// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
/// let info = client.server_info().await?;
/// for (name, fields) in info.sections() {
///     println!("{name}");
///     for (field, value) in fields {
///         println!("  {field}: {value}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    sections: Vec<Section>,
}

impl ServerInfo {
    pub(crate) fn parse(text: &str) -> ServerInfo {
        let mut sections: Vec<Section> = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('#') {
                sections.push((name.trim().to_owned(), Vec::new()));
            } else if let Some((field, value)) = line.split_once(':') {
                if sections.is_empty() {
                    sections.push((String::new(), Vec::new()));
                }
                if let Some((_, fields)) = sections.last_mut() {
                    fields.push((field.to_owned(), value.to_owned()));
                }
            }
        }
        ServerInfo { sections }
    }

    /// The value of a field of any section.
    pub fn get(&self, field: &str) -> Option<&str> {
        let mut fields = self.sections.iter().flat_map(|(_, fields)| fields);
        let found = fields.find(|(name, _)| name == field);
        found.map(|(_, value)| value.as_str())
    }

    /// All sections with their fields and values, in the order of INFO.
    pub fn sections(&self) -> &[(String, Vec<(String, String)>)] {
        &self.sections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_belong_to_their_sections() {
        let info = ServerInfo::parse("# Server\r\na:1\r\nb:x:y\r\n\r\n# Clients\r\nc:\r\nno\r\n");
        let names: Vec<&str> = info.sections().iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["Server", "Clients"]);
        assert_eq!(info.get("a"), Some("1"));
        assert_eq!(info.get("b"), Some("x:y"));
        assert_eq!(info.get("c"), Some(""));
        assert_eq!(info.get("no"), None);
    }
}
