//! What may follow on a line, from the syntax that the command table has for each command: the
//! hint behind what is typed, and the words that complete it.

use meilies_protocol::table::{self, Command};

/// A part of a syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece<'a> {
    /// As the table has it, brackets included.
    text: &'a str,
    /// The words of which one begins it, such as `COUNT`; none if any word does.
    tokens: Vec<&'a str>,
    /// What follows its first word.
    value: &'a str,
    optional: bool,
}

impl<'a> Piece<'a> {
    fn new(text: &'a str, tokens: Vec<&'a str>, value: &'a str, optional: bool) -> Piece<'a> {
        Piece {
            text,
            // Without a token the whole part is what is typed for it.
            value: if tokens.is_empty() { "" } else { value },
            tokens,
            optional,
        }
    }
}

/// What may follow some words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest<'a> {
    /// The hint: what may follow, as the table has it.
    pub(crate) hint: String,
    /// The words that may come next, as far as they are known.
    pub(crate) words: Vec<&'a str>,
}

/// The row of the words' command, and how many of the words name it. A command that has
/// sub-commands is found alone if the sub-command is not known.
pub(crate) fn find(words: &[Vec<u8>]) -> Option<(&'static Command, usize)> {
    let command = table::find(words.first()?)?;
    let is_named = |row: &&Command| {
        let name = words.get(1).map(Vec::as_slice).unwrap_or_default();
        row.name.as_bytes().eq_ignore_ascii_case(name)
    };
    match command.subcommands.iter().find(is_named) {
        Some(subcommand) => Some((subcommand, 2)),
        None => Some((command, 1)),
    }
}

/// What may follow these arguments of a command, in a syntax of the table.
pub(crate) fn rest<'a>(syntax: &'a str, arguments: &[Vec<u8>]) -> Rest<'a> {
    let Some(first) = arguments.first() else {
        let forms = forms(syntax);
        return Rest {
            hint: syntax.to_owned(),
            words: forms
                .iter()
                .flat_map(|form| next_words(&pieces(form)))
                .collect(),
        };
    };
    let mut pieces = pieces(chosen(syntax, first));
    // What is left of the value of the last token that was typed.
    let mut value: Vec<&str> = Vec::new();
    for argument in arguments {
        if !value.is_empty() && !is_token_of(&pieces, argument) {
            value = behind(value, argument);
            continue;
        }
        value.clear();
        let Some(index) = place(&pieces, argument) else {
            continue;
        };
        if !is_repeated(pieces[index].text) || !pieces[index].tokens.is_empty() {
            value = value_parts(pieces.remove(index).value);
        }
    }
    let hint = value
        .iter()
        .copied()
        .chain(pieces.iter().map(|piece| piece.text));
    Rest {
        hint: hint.collect::<Vec<&str>>().join(" "),
        words: match value.first() {
            Some(value) if !is_repeated(value) => words_of_value(value),
            Some(_) | None => next_words(&pieces),
        },
    }
}

/// The words of a token's value, or all of it if it has several forms.
fn value_parts(value: &str) -> Vec<&str> {
    match forms(value).len() {
        1 => split(value),
        _ => vec![value],
    }
}

/// What is left of a value behind an argument.
fn behind<'a>(mut value: Vec<&'a str>, argument: &[u8]) -> Vec<&'a str> {
    if is_repeated(value[0]) {
        return value;
    }
    if forms(value[0]).len() > 1 {
        value = split(chosen(value[0], argument));
    }
    value.remove(0);
    value
}

/// The words that may come for a part of a value.
fn words_of_value(value: &str) -> Vec<&str> {
    match forms(value)[..] {
        [value] => choices(value),
        ref forms => forms
            .iter()
            .flat_map(|form| next_words(&pieces(form)))
            .collect(),
    }
}

/// Whether a part, with or without brackets, may come again and again.
fn is_repeated(text: &str) -> bool {
    text.trim_end_matches(']').ends_with('…')
}

/// Some commands take one of several forms. A choice between single words is none.
fn forms(syntax: &str) -> Vec<&str> {
    let forms = split_outside(syntax, '|');
    match forms.iter().any(|form| form.contains(' ')) {
        true => forms,
        false => vec![syntax],
    }
}

/// The form that the first argument chooses: that which begins so, or that which takes any word.
fn chosen<'a>(syntax: &'a str, first: &[u8]) -> &'a str {
    let forms = forms(syntax);
    let by_token = forms.iter().find(|form| is_token_of(&pieces(form), first));
    let is_free = |form: &&&str| pieces(form).iter().all(|piece| piece.tokens.is_empty());
    by_token
        .or(forms.iter().find(is_free))
        .copied()
        .unwrap_or(forms[0])
}

/// The parts of a syntax. What is optional within something optional stands beside it.
fn pieces(syntax: &str) -> Vec<Piece<'_>> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for text in split(syntax) {
        let optional = text
            .strip_prefix('[')
            .and_then(|inside| inside.strip_suffix(']'));
        let inside = optional.unwrap_or(text);
        let (first, value) = inside.split_once(' ').unwrap_or((inside, ""));
        let tokens = tokens(first);
        if tokens.is_empty() && value.starts_with('[') {
            pieces.push(Piece::new(first, Vec::new(), "", true));
            pieces.extend(self::pieces(value));
        } else {
            pieces.push(Piece::new(text, tokens, value, optional.is_some()));
        }
    }
    pieces
}

/// The words in capitals that a part can begin with.
fn tokens(word: &str) -> Vec<&str> {
    let words: Vec<&str> = word.split('|').collect();
    let is_token = |word: &&str| {
        word.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'-')
    };
    match words.iter().all(is_token) {
        true => words,
        false => Vec::new(),
    }
}

fn is_token_of(pieces: &[Piece<'_>], word: &[u8]) -> bool {
    let mut tokens = pieces.iter().flat_map(|piece| &piece.tokens);
    tokens.any(|token| token.as_bytes().eq_ignore_ascii_case(word))
}

/// Which part an argument is for: what must come first, then what its token says, then whatever
/// takes any word.
fn place(pieces: &[Piece<'_>], argument: &[u8]) -> Option<usize> {
    if pieces.first().is_some_and(|piece| !piece.optional) {
        return Some(0);
    }
    let has_token = |piece: &Piece<'_>| {
        let mut tokens = piece.tokens.iter();
        tokens.any(|token| token.as_bytes().eq_ignore_ascii_case(argument))
    };
    let by_token = pieces.iter().position(has_token);
    by_token.or_else(|| pieces.iter().position(|piece| piece.tokens.is_empty()))
}

fn next_words<'a>(pieces: &[Piece<'a>]) -> Vec<&'a str> {
    let mut words = Vec::new();
    for piece in pieces {
        match piece.tokens.is_empty() {
            false => words.extend(&piece.tokens),
            true => words.extend(choices(piece.text.trim_matches(['[', ']', '<', '>']))),
        }
        if !piece.optional {
            break;
        }
    }
    words
}

/// The words among which a part such as `n|none|any` chooses; a single letter stands for a value.
fn choices(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split('|').collect();
    let is_word = |word: &&str| {
        word.len() > 1
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    };
    match words.len() {
        0..=1 => Vec::new(),
        _ => words.into_iter().filter(is_word).collect(),
    }
}

/// Splits at the spaces that no bracket encloses.
fn split(syntax: &str) -> Vec<&str> {
    let parts = split_outside(syntax, ' ');
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

fn split_outside(syntax: &str, at: char) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = syntax.split(|character| {
        match character {
            '[' | '<' => depth += 1,
            ']' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == at && depth == 0
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISH: &str = "stream name data [EXPECT n|none|exists|any] [ID key]";
    const KILL: &str = "ip:port|[ID id] [TYPE type] [SKIPME yes|no]";
    const SETINFO: &str = "LIB-NAME name|LIB-VER version";
    const HELLO: &str = "[protover [AUTH username password] [SETNAME clientname]]";
    const LIST: &str = "[FILTERBY MODULE name|ACLCAT category|PATTERN pattern]";

    fn expect(syntax: &str, arguments: &str, hint: &str, words: &[&str]) {
        let arguments = arguments
            .split_whitespace()
            .map(|word| word.as_bytes().to_vec());
        let rest = rest(syntax, &arguments.collect::<Vec<_>>());
        assert_eq!(
            (rest.hint.as_str(), &rest.words[..]),
            (hint, words),
            "{syntax}"
        );
    }

    #[test]
    fn what_is_typed_is_taken_off_the_hint() {
        let options = "[EXPECT n|none|exists|any] [ID key]";
        expect(PUBLISH, "", PUBLISH, &[]);
        expect(PUBLISH, "s", &format!("name data {options}"), &[]);
        expect(PUBLISH, "s n d", options, &["EXPECT", "ID"]);
        expect(PUBLISH, "EXPECT ID d", options, &["EXPECT", "ID"]);
        let choice = "n|none|exists|any [ID key]";
        expect(PUBLISH, "s n d expect", choice, &["none", "exists", "any"]);
        expect(PUBLISH, "s n d EXPECT none", "[ID key]", &["ID"]);
        expect(
            PUBLISH,
            "s n d ID k",
            "[EXPECT n|none|exists|any]",
            &["EXPECT"],
        );
        expect(
            "spec [COUNT n] [REVERSE]",
            "s REVERSE",
            "[COUNT n]",
            &["COUNT"],
        );
        expect("[NOSAVE|SAVE] [NOW]", "save", "[NOW]", &["NOW"]);
        expect("[username] password", "me", "password", &[]);
        expect("", "", "", &[]);
        expect("", "x", "", &[]);
    }

    #[test]
    fn what_may_be_repeated_stays() {
        expect("spec [spec …]", "a", "[spec …]", &[]);
        expect("spec [spec …]", "a b c", "[spec …]", &[]);
        expect("[name …]", "a b", "[name …]", &[]);
        expect("name value [name value …]", "a 1", "[name value …]", &[]);
        let list = "[TYPE type] [ID id [id …]]";
        expect(list, "ID 1", "[id …] [TYPE type]", &["TYPE"]);
        expect(list, "ID 1 2", "[id …] [TYPE type]", &["TYPE"]);
        expect(list, "ID 1 TYPE normal", "", &[]);
    }

    #[test]
    fn one_of_several_forms_is_chosen() {
        expect(KILL, "", KILL, &["ID", "TYPE", "SKIPME"]);
        expect(KILL, "1.2.3.4:5", "", &[]);
        expect(
            KILL,
            "type normal",
            "[ID id] [SKIPME yes|no]",
            &["ID", "SKIPME"],
        );
        expect(KILL, "SKIPME", "yes|no [ID id] [TYPE type]", &["yes", "no"]);
        expect(SETINFO, "", SETINFO, &["LIB-NAME", "LIB-VER"]);
        expect(SETINFO, "lib-ver", "version", &[]);
        expect("ON|OFF|SKIP", "", "ON|OFF|SKIP", &["ON", "OFF", "SKIP"]);
        expect("ON|OFF|SKIP", "on", "", &[]);
    }

    #[test]
    fn what_is_optional_within_something_optional_stands_beside_it() {
        let options = "[AUTH username password] [SETNAME clientname]";
        expect(HELLO, "3", options, &["AUTH", "SETNAME"]);
        expect(HELLO, "3 AUTH me", "password [SETNAME clientname]", &[]);
        expect(HELLO, "3 AUTH me x", "[SETNAME clientname]", &["SETNAME"]);
        expect(LIST, "", LIST, &["FILTERBY"]);
        let filters = "MODULE name|ACLCAT category|PATTERN pattern";
        expect(LIST, "FILTERBY", filters, &["MODULE", "ACLCAT", "PATTERN"]);
        expect(LIST, "FILTERBY pattern", "pattern", &[]);
        expect(LIST, "FILTERBY PATTERN p", "", &[]);
    }

    #[test]
    fn a_choice_in_the_middle_is_no_form() {
        let nack = "key group <SILENT|FAIL|FATAL> IDS count id [id …] [FORCE]";
        expect(
            nack,
            "s",
            "group <SILENT|FAIL|FATAL> IDS count id [id …] [FORCE]",
            &[],
        );
        expect(
            nack,
            "s g",
            "<SILENT|FAIL|FATAL> IDS count id [id …] [FORCE]",
            &["SILENT", "FAIL", "FATAL"],
        );
        expect(nack, "s g FAIL", "IDS count id [id …] [FORCE]", &["IDS"]);
        let add = "key [MAXLEN|MINID [=|~] threshold [LIMIT n]] <*|id> field value [field value …]";
        expect(
            add,
            "s MAXLEN ~",
            "threshold [LIMIT n] <*|id> field value [field value …]",
            &[],
        );
    }

    #[test]
    fn sub_commands_are_found() {
        let find = |line: &str| {
            let words: Vec<Vec<u8>> = line.split(' ').map(Vec::from).collect();
            find(&words).map(|(command, names)| (command.full_name, names))
        };
        assert_eq!(find("Client kill x"), Some(("client|kill", 2)));
        assert_eq!(find("client nothing"), Some(("client", 1)));
        assert_eq!(find("publish client"), Some(("publish", 1)));
        assert_eq!(find("nothing"), None);
    }

    #[test]
    fn every_command_of_the_table_can_be_typed_to_its_end() {
        for command in table::commands() {
            for row in command.subcommands.iter().chain([*command]) {
                let mut arguments = Vec::new();
                let mut rest = rest(row.syntax, &arguments);
                assert_eq!(rest.hint, row.syntax);
                // The first word that may come, or any: nothing must be left but what repeats.
                for _ in 0..30 {
                    let word = rest.words.first().copied().unwrap_or("x");
                    arguments.push(word.as_bytes().to_vec());
                    rest = super::rest(row.syntax, &arguments);
                }
                let left = &rest.hint;
                assert!(
                    left.is_empty() || left.contains('…'),
                    "{}: {left}",
                    row.full_name
                );
            }
        }
    }
}
