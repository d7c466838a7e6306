//! What events hold that are moved from one place to another.

use bytes::Bytes;
use meilies_client::EventName;

/// What an event holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// One name and data, as PUBLISH stores them.
    One(Bytes, Bytes),
    /// Any fields, as XADD stores them.
    Fields(Vec<(Bytes, Bytes)>),
}

impl Content {
    /// Those of an event.
    pub(crate) fn of(mut fields: Vec<(Bytes, Bytes)>) -> Content {
        match (fields.pop(), fields.is_empty()) {
            (Some((name, data)), true) if EventName::check(&name).is_ok() => {
                Content::One(name, data)
            }
            (last, _) => {
                fields.extend(last);
                Content::Fields(fields)
            }
        }
    }

    /// Names and values.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (one, fields) = match self {
            Content::One(name, data) => (Some((&name[..], &data[..])), &[][..]),
            Content::Fields(fields) => (None, &fields[..]),
        };
        let fields = fields.iter().map(|(name, value)| (&name[..], &value[..]));
        one.into_iter().chain(fields)
    }

    /// The bytes of its strings.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |(name, value): (&[u8], &[u8])| name.len() + value.len();
        self.fields().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_a_name_and_data_if_it_can_be() {
        let field = |name: &'static str| (Bytes::from_static(name.as_bytes()), Bytes::from("data"));
        let one = Content::of(vec![field("name")]);
        assert_eq!(one, Content::One("name".into(), "data".into()));
        for fields in [vec![field("")], vec![field("a"), field("b")], Vec::new()] {
            let content = Content::of(fields.clone());
            assert_eq!(content.fields().count(), fields.len());
            assert_eq!(content, Content::Fields(fields));
        }
        assert_eq!(one.bytes(), 8);
    }
}
