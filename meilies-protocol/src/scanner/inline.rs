//! Inline commands: a line of words, split as Redis' `sdssplitargs` splits it.
//!
//! Words are separated by white space. Within double quotes `\n` `\r` `\t` `\b` `\a` and `\xff`
//! stand for bytes and `\` before any other byte for that byte; within single quotes only `\'`
//! stands for a quote. White space or the end of the line must follow a closing quote.

use bytes::{BufMut, Bytes, BytesMut};

use super::ProtocolError;
use crate::arguments::offset;

/// Splits a line into words: their bytes, one after the other, and the range of each.
pub(super) fn split(line: &[u8], ranges: &mut Vec<(u32, u32)>) -> Result<Bytes, ProtocolError> {
    let mut words = BytesMut::with_capacity(line.len());
    let mut rest = line;
    while let Some(begin) = rest.iter().position(|byte| !is_space(*byte)) {
        let word_begin = offset(words.len());
        rest = take_word(&rest[begin..], &mut words)?;
        ranges.push((word_begin, offset(words.len())));
    }
    Ok(words.freeze())
}

/// Takes one word off the front of `rest` and returns what is behind it.
fn take_word<'a>(mut rest: &'a [u8], words: &mut BytesMut) -> Result<&'a [u8], ProtocolError> {
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | b'\0', ..] => return Ok(rest),
            [b'"', tail @ ..] => return take_double_quoted(tail, words),
            [b'\'', tail @ ..] => return take_single_quoted(tail, words),
            [byte, tail @ ..] => {
                words.put_u8(*byte);
                rest = tail;
            }
        }
    }
}

fn take_double_quoted<'a>(
    mut rest: &'a [u8],
    words: &mut BytesMut,
) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', tail @ ..] => return end_of_quotes(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                words.put_u8(hex_digit(*high) << 4 | hex_digit(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                words.put_u8(unescaped(*escaped));
                tail
            }
            [byte, tail @ ..] => {
                words.put_u8(*byte);
                tail
            }
        }
    }
}

fn take_single_quoted<'a>(
    mut rest: &'a [u8],
    words: &mut BytesMut,
) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\\', b'\'', tail @ ..] => {
                words.put_u8(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return end_of_quotes(tail),
            [byte, tail @ ..] => {
                words.put_u8(*byte);
                tail
            }
        }
    }
}

fn end_of_quotes(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(byte) if !is_space(*byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

/// White space of C's `isspace`, and NUL, which ends a string there and a word here.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | b'\0')
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut ranges = Vec::new();
        let frame = split(line, &mut ranges)?;
        Ok(ranges
            .iter()
            .map(|(begin, end)| frame[*begin as usize..*end as usize].to_vec())
            .collect())
    }

    #[test]
    fn lines_are_split_as_redis_splits_them() {
        let lines: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b"  \t\x0b ", &[]),
            (b"PING", &[b"PING"]),
            (b"  SET  a b ", &[b"SET", b"a", b"b"]),
            (b"SET a \"b c\"", &[b"SET", b"a", b"b c"]),
            (b"SET a 'b c'", &[b"SET", b"a", b"b c"]),
            (b"SET a \"\"", &[b"SET", b"a", b""]),
            (b"a\"b\" c", &[b"ab", b"c"]),
            (
                br#""\xfF\n\r\t\b\a\"\\\xg""#,
                &[b"\xff\n\r\t\x08\x07\"\\xg"],
            ),
            (br"'a\'b\n'", &[b"a'b\\n"]),
            (b"a\x0bb", &[b"a\x0bb"]),
            (b"\xff\xfe", &[b"\xff\xfe"]),
        ];
        for (line, expected) in lines {
            assert_eq!(
                words(line).expect("quotes are balanced"),
                *expected,
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn quotes_without_partner_are_refused() {
        let lines: [&[u8]; 6] = [b"\"a", b"'a", b"\"a\"b", b"'a'b", br#""a\""#, br"'a\'"];
        for line in lines {
            assert_eq!(
                words(line),
                Err(ProtocolError::UnbalancedQuotes),
                "{}",
                line.escape_ascii()
            );
        }
    }
}
