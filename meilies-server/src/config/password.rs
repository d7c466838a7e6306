//! The password that clients have to give.

use std::fmt;
use std::hint::black_box;

use bytes::Bytes;

/// A password: at least one byte, never printed, never compared in a time that tells of it.
#[derive(Clone)]
pub struct Password(Bytes);

impl Password {
    /// No bytes mean that there is no password.
    pub fn new(password: Bytes) -> Option<Password> {
        (!password.is_empty()).then_some(Password(password))
    }

    /// Whether `given` is the password. The time that it takes depends on the length of `given`
    /// alone.
    pub fn matches(&self, given: &[u8]) -> bool {
        let own = self.0.iter().cycle();
        let lengths = self.0.len() ^ given.len();
        let difference = given
            .iter()
            .zip(own)
            .fold(0, |difference, (one, other)| difference | (one ^ other));
        black_box(difference) == 0 && lengths == 0
    }

    /// The bytes themselves, for `CONFIG GET requirepass`.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_bytes_match() {
        let password = Password::new(Bytes::from_static(b"secret")).expect("not empty");
        assert!(password.matches(b"secret"));
        for wrong in [
            &b""[..],
            b"secre",
            b"secrets",
            b"Secret",
            b"secretsecret",
            b"s",
        ] {
            assert!(!password.matches(wrong));
        }
        assert!(Password::new(Bytes::new()).is_none());
        assert!(!format!("{password:?}").contains("secret"));
    }
}
