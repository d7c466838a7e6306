//! Patterns as in Redis' `KEYS`: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a byte that stands
//! for itself.
//!
//! Every element of a pattern but `*` takes exactly one byte, so only the last `*` ever has to be
//! tried again: the time is at most pattern times text, whatever the pattern.

/// Whether the whole of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, |byte| byte)
}

/// As [`matches()`], with the letters of ASCII taken for equal in either case.
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_by(pattern, text, |byte| byte.to_ascii_lowercase())
}

fn matches_by(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to go on when what follows the last `*` does not match here.
    let mut retry: Option<(usize, usize)> = None;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            at_pattern += 1;
            retry = Some((at_pattern, at_text));
            continue;
        }
        if let Some(after) = match_one(&pattern[at_pattern..], text[at_text], fold) {
            at_pattern += after;
            at_text += 1;
            continue;
        }
        let Some((after_star, from)) = retry else {
            return false;
        };
        at_pattern = after_star;
        at_text = from + 1;
        retry = Some((after_star, at_text));
    }
    pattern[at_pattern..].iter().all(|byte| *byte == b'*')
}

/// Matches the first element of `pattern`, which is not `*`, with one byte. Returns how many
/// bytes of the pattern that element takes, or nothing if it does not match.
fn match_one(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8 + Copy) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (matched, length) = match_class(class, byte, fold);
            matched.then_some(1 + length)
        }
        [b'\\', literal, ..] => (fold(*literal) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
    }
}

/// Matches a class, which begins behind its `[`. A class without `]` ends with the pattern.
fn match_class(class: &[u8], byte: u8, fold: impl Fn(u8) -> u8 + Copy) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut matched = false;
    let byte = fold(byte);
    loop {
        match &class[at..] {
            [] => break,
            [b'\\', literal, ..] => {
                matched |= fold(*literal) == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [one, b'-', other, ..] => {
                let (one, other) = (fold(*one), fold(*other));
                matched |= (one.min(other)..=one.max(other)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                matched |= fold(*literal) == byte;
                at += 1;
            }
        }
    }
    (matched != negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
        let yes: &[(&[u8], &[u8])] = &[
            (b"*", b""),
            (b"*", b"anything"),
            (b"", b""),
            (b"orders:*", b"orders:"),
            (b"h?llo", b"hello"),
            (b"h[ae]llo", b"hallo"),
            (b"h[^e]llo", b"hallo"),
            (b"h[a-b]llo", b"hbllo"),
            (b"h[b-a]llo", b"hallo"),
            (b"\\*", b"*"),
            (b"[\\]]", b"]"),
            (b"a\\", b"a\\"),
            (b"[a", b"a"),
            (b"**a**", b"bab"),
            (b"*a*b", b"xaxbxb"),
            (b"[a-]", b"^"),
            (b"\xff*", b"\xff\x00"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern, text), "{}", pattern.escape_ascii());
        }
        let no: &[(&[u8], &[u8])] = &[
            (b"", b"a"),
            (b"?", b""),
            (b"h[^e]llo", b"hello"),
            (b"orders", b"Orders"),
            (b"\\*", b"a"),
            (b"[", b"["),
            (b"a*b", b"abc"),
        ];
        for (pattern, text) in no {
            assert!(!matches(pattern, text), "{}", pattern.escape_ascii());
        }
        assert!(matches_ignore_case(b"MAX[A-Z]*", b"maxmemory"));
    }

    #[test]
    fn many_stars_take_linear_turns() {
        let pattern = b"a*".repeat(2000);
        let text = vec![b'a'; 4096];
        assert!(matches(&pattern, &text));
        let mut hopeless = pattern;
        hopeless.push(b'b');
        assert!(!matches(&hopeless, &text));
    }

    /// The obvious recursion: what a pattern without classes means.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            ([b'?', rest @ ..], [_, tail @ ..]) => naive(rest, tail),
            ([one, rest @ ..], [other, tail @ ..]) => one == other && naive(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_agree_with_the_obvious_recursion(pattern in "[ab?*]{0,8}", text in "[ab]{0,10}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), naive(pattern, text));
        }

        #[test]
        fn no_bytes_are_too_odd(pattern: Vec<u8>, text: Vec<u8>) {
            matches(&pattern, &text);
        }
    }
}
