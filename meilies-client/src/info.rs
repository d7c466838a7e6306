//! What is known of a stream, and of the server.

use bytes::Bytes;
use meilies_protocol::{Event, EventNumber, From, Source, Spec, StreamName};

use crate::read::page;
use crate::{Client, Error};

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: StreamName,
    /// The number that was last given to an event of it.
    pub last_event_number: EventNumber,
    /// The first event that can still be read.
    pub first: Option<Event>,
    /// The last event that can still be read.
    pub last: Option<Event>,
}

impl StreamInfo {
    pub(crate) async fn ask(client: &Client, stream: &[u8]) -> Result<Option<StreamInfo>, Error> {
        let name = StreamName::parse(Bytes::copy_from_slice(stream))?;
        let Some(last_event_number) = client.last_event_number(stream).await? else {
            return Ok(None);
        };
        let spec = Spec {
            source: Source::Stream(name.clone()),
            from: Some(From::Number(0)),
            until: None,
        };
        let first = page(client.commands(), spec.clone(), Some(1), false)
            .await?
            .pop();
        let last = page(client.commands(), spec, Some(1), true).await?.pop();
        Ok(Some(StreamInfo {
            name,
            last_event_number,
            first,
            last,
        }))
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
