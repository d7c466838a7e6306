//! Numbers as Redis reads them from a peer: ASCII digits only, no sign but `-`, no spaces, no
//! leading zeros, no overflow.

/// A signed number, exactly as Redis' `string2ll` takes it.
pub(crate) fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let magnitude = parse_u64(digits)?;
    if !negative {
        return i64::try_from(magnitude).ok();
    }
    if magnitude == 0 {
        return None;
    }
    0_i64.checked_sub_unsigned(magnitude)
}

/// A number without sign, in its shortest form.
pub(crate) fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.len() > 1 && digits[0] == b'0' {
        return None;
    }
    parse_digits(digits)
}

/// A number without sign; leading zeros are taken.
pub(crate) fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_numbers_are_read_as_redis_reads_them() {
        let good = [
            "0",
            "1",
            "-1",
            "10",
            "9223372036854775807",
            "-9223372036854775808",
        ];
        for text in good {
            assert_eq!(parse_i64(text.as_bytes()), text.parse().ok(), "{text}");
        }
        let bad = [
            "", "-", "+1", " 1", "1 ", "01", "-0", "-01", "1e3", "0x1", "--1",
        ];
        for text in bad {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_i64(b"9223372036854775808"), None);
        assert_eq!(parse_i64(b"-9223372036854775809"), None);
    }

    #[test]
    fn unsigned_numbers_do_not_overflow() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"007"), None);
        assert_eq!(parse_digits(b"007"), Some(7));
    }
}
