//! The name of an event, as `PUBLISH stream name data` takes it: 1 byte to 64 KiB.

use bytes::Bytes;

use crate::limits::EVENT_NAME_BYTES_MAX;

/// An event's name. Invariant: it has 1 to [`EVENT_NAME_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventName(Bytes);

impl EventName {
    /// Takes the bytes, of any value, if there are neither none nor too many.
    pub fn parse(name: Bytes) -> Result<EventName, EventNameError> {
        EventName::check(&name)?;
        Ok(EventName(name))
    }

    /// Whether [`EventName::parse`] would take these bytes, without keeping them.
    pub fn check(name: &[u8]) -> Result<(), EventNameError> {
        match name.len() {
            0 => Err(EventNameError::Empty),
            1..=EVENT_NAME_BYTES_MAX => Ok(()),
            bytes => Err(EventNameError::TooLong { bytes }),
        }
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as shared bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Why bytes are not the name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventNameError {
    /// There are no bytes.
    #[error("event name is empty")]
    Empty,
    /// There are too many bytes.
    #[error("event name is {bytes} bytes, the limit is {EVENT_NAME_BYTES_MAX}")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_name_has_1_byte_to_64_kib() {
        let name = |bytes| EventName::parse(Bytes::from(vec![b'a'; bytes]));
        assert_eq!(name(0), Err(EventNameError::Empty));
        assert!(name(1).is_ok());
        assert!(name(65536).is_ok());
        assert_eq!(name(65537), Err(EventNameError::TooLong { bytes: 65537 }));
        assert_eq!(
            name(65537)
                .expect_err("65537 bytes are refused")
                .to_string(),
            "event name is 65537 bytes, the limit is 65536"
        );
    }
}
