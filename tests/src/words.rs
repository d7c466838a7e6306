//! How transcripts and tests write commands: words as redis-cli reads them, with escapes, and
//! `<x*4096>` for a run of one character.

/// Splits a line into arguments: blanks separate, `"…"` takes escapes, `'…'` is verbatim, and
/// `<x*4096>` outside quotes is 4,096 times `x`.
pub fn split(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = take_word(rest);
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn take_word(line: &str) -> (Vec<u8>, &str) {
    let mut word = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next().filter(|first| !first.is_whitespace()) {
        rest = match first {
            '"' => {
                let end = closing_quote(&rest[1..]) + 1;
                word.extend(unescape(&rest[1..end]));
                &rest[end + 1..]
            }
            '\'' => {
                let end = rest[1..].find('\'').expect("a ' is closed") + 1;
                word.extend_from_slice(&rest.as_bytes()[1..end]);
                &rest[end + 1..]
            }
            '<' if repeat(rest).is_some() => {
                let (bytes, after) = repeat(rest).expect("just seen");
                word.extend(bytes);
                after
            }
            other => {
                word.extend_from_slice(other.to_string().as_bytes());
                &rest[other.len_utf8()..]
            }
        };
    }
    (word, rest)
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return index,
            b'\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    panic!("a quote is not closed: {text}");
}

/// Replaces `\r \n \t \0 \\ \" \'` and `\xHH`, and expands `<x*4096>`.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((run, after)) = repeat(rest) {
            bytes.extend(run);
            rest = after;
        } else if first == '\\' {
            let (byte, after) = escaped(&rest[1..]);
            bytes.push(byte);
            rest = after;
        } else {
            bytes.extend_from_slice(first.to_string().as_bytes());
            rest = &rest[first.len_utf8()..];
        }
    }
    bytes
}

fn escaped(rest: &str) -> (u8, &str) {
    let byte = match rest.as_bytes().first() {
        Some(b'r') => b'\r',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'0') => 0,
        Some(b'x') => {
            let digits = rest.get(1..3).expect("two digits follow \\x");
            let byte = u8::from_str_radix(digits, 16).expect("\\x takes hexadecimal digits");
            return (byte, &rest[3..]);
        }
        Some(other) => *other,
        None => panic!("a lone \\ at the end"),
    };
    (byte, &rest[1..])
}

/// `<x*4096>…` as 4,096 times `x` and what follows.
fn repeat(text: &str) -> Option<(Vec<u8>, &str)> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find('>')?;
    let (byte, count) = inner[..end].split_once('*')?;
    let count: usize = count.parse().ok()?;
    match byte.as_bytes() {
        [byte] => Some((vec![*byte; count], &inner[end + 1..])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_redis_cli() {
        let words = split(r#"  PUBLISH "a b\x00" 'c "d"' {"k":1}x <z*3>y "" "#);
        let expected: [&[u8]; 6] = [b"PUBLISH", b"a b\0", b"c \"d\"", b"{k:1}x", b"zzzy", b""];
        assert_eq!(words, expected);
    }
}
