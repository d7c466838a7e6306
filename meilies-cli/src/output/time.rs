//! When an event was stored, from the milliseconds in its id.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Writes times. Most events share their second with the one before them, so that its text is kept.
#[derive(Debug)]
pub(crate) struct Times {
    form: Form,
    second: Option<i64>,
    /// The text of that second without what follows it.
    text: String,
}

#[derive(Debug)]
enum Form {
    /// As in `2023-11-14T22:13:20.000Z`.
    Utc,
    /// As in `2023-11-14 23:13:20.000`.
    Local(TimeZone),
}

impl Times {
    /// For programs: UTC, as RFC 3339 says.
    pub(crate) fn utc() -> Times {
        Times::new(Form::Utc)
    }

    /// For people: in the zone of this machine or of `TZ`.
    pub(crate) fn local() -> Times {
        Times::new(Form::Local(TimeZone::system()))
    }

    fn new(form: Form) -> Times {
        Times {
            form,
            second: None,
            text: String::new(),
        }
    }

    /// Appends a time. A publisher can choose an id that is none: then nothing is appended, and the
    /// answer is false.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, milliseconds: u64) -> bool {
        let Ok(milliseconds) = i64::try_from(milliseconds) else {
            return false;
        };
        let (second, fraction) = (milliseconds / 1000, milliseconds % 1000);
        if self.second != Some(second) {
            let Ok(time) = Timestamp::from_second(second) else {
                return false;
            };
            self.text = match &self.form {
                Form::Utc => time.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
                Form::Local(zone) => {
                    let time = time.to_zoned(zone.clone());
                    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
                }
            };
            self.second = Some(second);
        }
        out.extend_from_slice(self.text.as_bytes());
        let digits = 1000 + fraction;
        out.push(b'.');
        out.extend_from_slice(&itoa::Buffer::new().format(digits).as_bytes()[1..]);
        if matches!(self.form, Form::Utc) {
            out.push(b'Z');
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(times: &mut Times, milliseconds: u64) -> Option<String> {
        let mut out = Vec::new();
        let written = times.write(&mut out, milliseconds);
        assert_eq!(written, !out.is_empty());
        written.then(|| String::from_utf8(out).expect("times are text"))
    }

    #[test]
    fn times_are_written_with_milliseconds() {
        let mut utc = Times::utc();
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_000, "2023-11-14T22:13:20.000Z"),
            (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
            (1_700_000_000_999, "2023-11-14T22:13:20.999Z"),
            (1_700_000_001_000, "2023-11-14T22:13:21.000Z"),
        ] {
            assert_eq!(text(&mut utc, milliseconds).as_deref(), Some(expected));
        }
    }

    #[test]
    fn people_see_the_time_of_their_clock() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let mut local = Times::new(Form::Local(zone));
        assert_eq!(
            text(&mut local, 1_700_000_000_000).as_deref(),
            Some("2023-11-15 00:13:20.000")
        );
    }

    #[test]
    fn an_id_that_is_no_time_has_none() {
        let mut utc = Times::utc();
        assert!(text(&mut utc, 1_700_000_000_000).is_some());
        assert_eq!(text(&mut utc, u64::MAX), None);
        assert_eq!(text(&mut utc, i64::MAX.unsigned_abs()), None);
        assert!(text(&mut utc, 1_700_000_000_000).is_some());
    }
}
