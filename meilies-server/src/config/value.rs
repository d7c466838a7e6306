//! The value of one setting, from text to what it means. The same for a flag, a variable, a key
//! of the file and `CONFIG SET`.

use std::net::SocketAddr;
use std::str::FromStr;

use tracing_subscriber::filter::Targets;

/// Why a text is not a value of its setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a whole number within the bounds.
    #[error("'{given}' is not a whole number from {min} to {max}")]
    Number {
        /// What was given.
        given: String,
        /// The lowest number taken.
        min: u64,
        /// The highest number taken.
        max: u64,
    },
    /// Not a number of bytes.
    #[error("'{0}' is not a number of bytes such as 65536, 64kb or 16mb")]
    Size(String),
    /// A number of bytes out of bounds.
    #[error("{given} bytes are not within {min} to {max}")]
    SizeBounds {
        /// What was given.
        given: u64,
        /// The fewest bytes taken.
        min: u64,
        /// The most bytes taken.
        max: u64,
    },
    /// Not one of the words that the setting takes.
    #[error("'{given}' is not one of: {}", .words.join(", "))]
    Word {
        /// What was given.
        given: String,
        /// The words.
        words: &'static [&'static str],
    },
    /// A host name that cannot be one.
    #[error("'{0}' is not a host name or an address (IPv6 goes without port, such as ::1)")]
    Host(String),
    /// A host with its port.
    #[error("'{0}' holds a port too: give it with --port")]
    HostWithPort(String),
    /// Not a filter of log lines.
    #[error(
        "'{0}' is not a log level (error, warn, info, debug, trace, off) \
         or a list such as info,meilies_server::engine=debug"
    )]
    LogFilter(String),
    /// Nothing where something must be.
    #[error("must not be empty")]
    Empty,
    /// Bytes where text is needed.
    #[error("is not UTF-8 text")]
    NotText,
    /// Several values where one is taken.
    #[error("takes one value, {0} are given")]
    Several(usize),
}

/// A whole number from `min` to `max`.
pub(super) fn number(text: &str, min: u64, max: u64) -> Result<u64, ValueError> {
    let out = || ValueError::Number {
        given: text.to_owned(),
        min,
        max,
    };
    let number = text.trim().parse().map_err(|_| out())?;
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(out())
    }
}

/// A number of bytes from `min` to `max`, with the units of Redis' configuration: `1k` is 1000,
/// `1kb` is 1024, and so for `m` and `g`; `KiB`, `MiB` and `GiB` are 1024 and its powers. Letters
/// in any case.
pub(crate) fn size(text: &str, min: u64, max: u64) -> Result<u64, ValueError> {
    let bytes = parse_size(text.trim()).ok_or_else(|| ValueError::Size(text.to_owned()))?;
    if (min..=max).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(ValueError::SizeBounds {
            given: bytes,
            min,
            max,
        })
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" | "kib" => 1 << 10,
        "m" => 1000 * 1000,
        "mb" | "mib" => 1 << 20,
        "g" => 1000 * 1000 * 1000,
        "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The place of `text` in `words`, letters in any case.
pub(super) fn word(text: &str, words: &'static [&'static str]) -> Result<usize, ValueError> {
    words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(text.trim()))
        .ok_or_else(|| ValueError::Word {
            given: text.to_owned(),
            words,
        })
}

/// The words of a switch.
const YES_NO: &[&str] = &["yes", "no"];

/// A switch.
pub(crate) fn yes_no(text: &str) -> Result<bool, ValueError> {
    Ok(word(text, YES_NO)? == 0)
}

/// A host name or an address, brackets around IPv6 taken off. Whether the name exists is seen
/// when it is listened on.
pub(super) fn host(text: &str) -> Result<String, ValueError> {
    let text = text.trim();
    if text.parse::<SocketAddr>().is_ok() {
        return Err(ValueError::HostWithPort(text.to_owned()));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(text);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if bare.is_empty() || !bare.chars().all(is_name) {
        return Err(ValueError::Host(text.to_owned()));
    }
    let colons = bare.bytes().filter(|byte| *byte == b':').count();
    match colons {
        1 => Err(ValueError::HostWithPort(text.to_owned())),
        _ => Ok(bare.to_owned()),
    }
}

/// Which log lines are written: a level for all, levels for parts of the program, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter {
    text: String,
    targets: Targets,
}

impl LogFilter {
    /// Reads `LEVEL` and `part=LEVEL`, separated by commas. Redis' words for levels are taken too.
    pub fn parse(text: &str) -> Result<LogFilter, ValueError> {
        let parts: Vec<String> = text
            .split(',')
            .map(|part| canonical_level(part.trim()))
            .collect();
        let canonical = parts.join(",");
        let bad = || ValueError::LogFilter(text.to_owned());
        // `Targets` takes a misspelt level for the name of a part and would show all of it.
        let is_level = |word: &str| LEVELS.contains(&word);
        let well_formed = parts.iter().all(|part| match part.split_once('=') {
            Some((target, level)) => !target.is_empty() && is_level(level),
            None => is_level(part),
        });
        if !well_formed {
            return Err(bad());
        }
        let targets = Targets::from_str(&canonical).map_err(|_| bad())?;
        Ok(LogFilter {
            text: canonical,
            targets,
        })
    }

    /// As it is written in the configuration.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it means to the subscriber of log lines.
    pub fn targets(&self) -> Targets {
        self.targets.clone()
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

fn canonical_level(part: &str) -> String {
    let (target, level) = match part.rsplit_once('=') {
        Some((target, level)) => (Some(target), level),
        None => (None, part),
    };
    let level = match level.to_ascii_lowercase().as_str() {
        "verbose" => "debug".to_owned(),
        "notice" => "info".to_owned(),
        "warning" => "warn".to_owned(),
        "nothing" => "off".to_owned(),
        other => other.to_owned(),
    };
    match target {
        Some(target) => format!("{target}={level}"),
        None => level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_units_of_redis_and_the_binary_ones() {
        let cases = [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("1k", 1000),
            ("1kb", 1024),
            ("64KiB", 65536),
            ("1m", 1_000_000),
            ("16mb", 16 << 20),
            ("16 MB", 16 << 20),
            ("2MiB", 2 << 20),
            ("1g", 1_000_000_000),
            ("1gb", 1 << 30),
            ("3GiB", 3 << 30),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text, 0, u64::MAX), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "mb",
            "-1",
            "1.5mb",
            "1tb",
            "1 2",
            "99999999999999999999",
            "18446744073709551615kb",
        ] {
            assert_eq!(
                size(text, 0, u64::MAX),
                Err(ValueError::Size(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn bounds_hold_at_their_ends_and_are_told() {
        assert_eq!(size("10", 10, 20), Ok(10));
        assert_eq!(size("20", 10, 20), Ok(20));
        let error = size("21", 10, 20).expect_err("above");
        assert_eq!(error.to_string(), "21 bytes are not within 10 to 20");
        assert_eq!(number("65535", 0, 65535), Ok(65535));
        let error = number("65536", 0, 65535).expect_err("above");
        assert_eq!(
            error.to_string(),
            "'65536' is not a whole number from 0 to 65535"
        );
        assert!(number("abc", 0, 10).is_err());
        assert!(number("", 0, 10).is_err());
    }

    #[test]
    fn switches_and_words_are_taken_in_any_case() {
        assert_eq!(yes_no("Yes"), Ok(true));
        assert_eq!(yes_no("no"), Ok(false));
        let error = yes_no("true").expect_err("not a word");
        assert_eq!(error.to_string(), "'true' is not one of: yes, no");
    }

    #[test]
    fn hosts_are_names_or_addresses_without_a_port() {
        let good = [("localhost", "localhost"), ("::1", "::1"), ("[::1]", "::1")];
        for (text, bare) in good {
            assert_eq!(host(text), Ok(bare.to_owned()));
        }
        for text in ["127.0.0.1:6480", "[::1]:6480", "localhost:6480"] {
            assert_eq!(host(text), Err(ValueError::HostWithPort(text.to_owned())));
        }
        for text in ["", "a b", "http://x"] {
            assert_eq!(host(text), Err(ValueError::Host(text.to_owned())));
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_rather_than_taken_for_a_part() {
        for text in ["info", "INFO", "warn,meilies_server::engine=debug", "off"] {
            assert!(LogFilter::parse(text).is_ok(), "{text}");
        }
        for text in ["", "infoo", "meilies_server", "=debug", "a=b", "info,,warn"] {
            assert!(LogFilter::parse(text).is_err(), "{text}");
        }
        let redis = LogFilter::parse("notice").expect("a word of Redis");
        assert_eq!(redis.as_str(), "info");
    }
}
