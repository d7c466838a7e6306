//! Lines into words and back, by the rules of redis-cli: words stand between spaces, `"…"` knows
//! `\n`, `\r`, `\t`, `\a`, `\b` and `\x00`, and `'…'` knows `\'` alone.

use std::fmt;

use crate::output::people::escaped;

/// Why a line has no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordsError {
    /// A quotation mark has no counterpart.
    Unbalanced,
    /// Something follows a quotation mark that ends a word.
    NoSpace,
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WordsError::Unbalanced => "a quotation mark is missing",
            WordsError::NoSpace => "a closing quotation mark must be followed by a space",
        })
    }
}

/// Splits a line into its words. An empty line has none.
pub(crate) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, WordsError> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (word, behind) = next_word(rest)?;
        words.push(word);
        rest = behind.trim_ascii_start();
    }
    Ok(words)
}

/// The first word of what does not begin with a space, and what follows it.
fn next_word(line: &[u8]) -> Result<(Vec<u8>, &[u8]), WordsError> {
    let mut word = Vec::new();
    let mut rest = line;
    while let [byte, behind @ ..] = rest {
        match byte {
            b'"' | b'\'' => {
                rest = match byte {
                    b'"' => double_quoted(behind, &mut word)?,
                    _ => single_quoted(behind, &mut word)?,
                };
                return match rest.first() {
                    None => Ok((word, rest)),
                    Some(next) if next.is_ascii_whitespace() => Ok((word, rest)),
                    Some(_) => Err(WordsError::NoSpace),
                };
            }
            space if space.is_ascii_whitespace() => break,
            byte => word.push(*byte),
        }
        rest = behind;
    }
    Ok((word, rest))
}

/// Appends what stands up to the closing mark, and gives what follows it.
fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], WordsError> {
    loop {
        match rest {
            [] => return Err(WordsError::Unbalanced),
            [b'"', behind @ ..] => return Ok(behind),
            [b'\\', b'x', high, low, behind @ ..] if is_hex(*high, *low) => {
                word.push(nibble(*high) << 4 | nibble(*low));
                rest = behind;
            }
            [b'\\', letter, behind @ ..] => {
                word.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => b'\x07',
                    b'b' => b'\x08',
                    other => *other,
                });
                rest = behind;
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], WordsError> {
    loop {
        match rest {
            [] => return Err(WordsError::Unbalanced),
            [b'\'', behind @ ..] => return Ok(behind),
            [b'\\', b'\'', behind @ ..] => {
                word.push(b'\'');
                rest = behind;
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                rest = behind;
            }
        }
    }
}

fn is_hex(high: u8, low: u8) -> bool {
    high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.to_ascii_uppercase() - b'A' + 10,
    }
}

/// Appends bytes in double quotation marks, so that [`split`] reads them back exactly and no
/// terminal takes them for a command. UTF-8 stays readable.
pub(crate) fn quote(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\x07' => out.extend_from_slice(b"\\a"),
                '\x08' => out.extend_from_slice(b"\\b"),
                '\\' => out.extend_from_slice(b"\\\\"),
                '"' => out.extend_from_slice(b"\\\""),
                shown => {
                    let mut buffer = [0; 4];
                    let encoded = shown.encode_utf8(&mut buffer).as_bytes();
                    match is_readable(shown) {
                        true => out.extend_from_slice(encoded),
                        false => escape(out, encoded),
                    }
                }
            }
        }
        escape(out, chunk.invalid());
    }
    out.push(b'"');
}

/// Whether a terminal shows a character and does nothing else.
fn is_readable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        other => {
            let text = other.to_string();
            escaped(text.as_bytes()) == text
        }
    }
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<Vec<u8>>, WordsError> {
        split(line.as_bytes())
    }

    fn are(line: &str, expected: &[&[u8]]) {
        let expected = expected.iter().map(|word| word.to_vec()).collect();
        assert_eq!(words(line), Ok(expected), "{line}");
    }

    #[test]
    fn words_stand_between_spaces() {
        are("", &[]);
        are("  \t ", &[]);
        are(" PUBLISH  a\tb ", &[b"PUBLISH", b"a", b"b"]);
        are("caf\u{e9}", &[b"caf\xc3\xa9"]);
    }

    #[test]
    fn double_quotation_marks_take_any_byte() {
        are(r#""two words" "" x"#, &[b"two words", b"", b"x"]);
        are(
            r#""\x00\xfF\n\r\t\a\b\"\\""#,
            &[b"\x00\xff\n\r\t\x07\x08\"\\"],
        );
        are(r#""\xg0 \x1""#, &[b"xg0 x1"]);
        are(r#"a"b c""#, &[b"ab c"]);
    }

    #[test]
    fn single_quotation_marks_take_everything_as_it_is() {
        are(
            r#"'{"id": 1}' '\x00\n\ '"#,
            &[b"{\"id\": 1}", b"\\x00\\n\\ "],
        );
        are(r"'it\'s'", &[b"it's"]);
    }

    #[test]
    fn a_missing_mark_or_space_is_told() {
        for line in ["\"", "a 'b", r#""a\""#, r"'\'"] {
            assert_eq!(words(line), Err(WordsError::Unbalanced), "{line}");
        }
        for line in ["\"a\"b", "'a'\"b\""] {
            assert_eq!(words(line), Err(WordsError::NoSpace), "{line}");
        }
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let every_character: String = ('\0'..=char::MAX).collect();
        for bytes in [&every_byte[..], every_character.as_bytes(), b"", b"'"] {
            let mut line = Vec::new();
            quote(&mut line, bytes);
            assert!(
                split(&line) == Ok(vec![bytes.to_vec()]),
                "a byte has changed"
            );
            let text = String::from_utf8(line).expect("it is for people");
            assert!(!text.contains(char::is_control), "a terminal could obey it");
        }
    }

    #[test]
    fn text_stays_readable() {
        let mut line = Vec::new();
        quote(
            &mut line,
            "caf\u{e9} \"1\"\n\u{1b}[31m\u{202e}\x7f".as_bytes(),
        );
        quote(&mut line, b"\xff");
        let expected = "\"café \\\"1\\\"\\n\\x1b[31m\\xe2\\x80\\xae\\x7f\"\"\\xff\"";
        assert_eq!(String::from_utf8(line).as_deref(), Ok(expected));
    }
}
