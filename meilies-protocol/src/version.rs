//! The two versions of the protocol that a connection can speak.

/// Which version of RESP a connection speaks: 2 until `HELLO 3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// The protocol of Redis before 6: no maps, no pushes of their own type.
    #[default]
    Resp2,
    /// The protocol that `HELLO 3` selects.
    Resp3,
}

impl Version {
    /// The number that `HELLO` takes and gives back.
    pub fn number(self) -> u8 {
        match self {
            Version::Resp2 => 2,
            Version::Resp3 => 3,
        }
    }
}
