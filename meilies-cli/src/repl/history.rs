//! What was typed, kept for the next time: where, and what is never kept.

use std::env;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::words::split;

/// Only the user reads what was typed.
const DIRECTORY_MODE: u32 = 0o700;

/// The file for the history: the one that was given, or that of the XDG state directory. There is
/// none without a home, and none if it is not a plain file, such as `/dev/null`.
pub(crate) fn file(given: Option<&Path>) -> Option<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => default_file(env::var_os("XDG_STATE_HOME"), env::var_os("HOME"))?,
    };
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => None,
        Ok(_) | Err(_) => Some(path),
    }
}

/// The specification says that relative paths do not count.
fn default_file(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let state = state.and_then(absolute).or_else(|| {
        let home = home.and_then(absolute)?;
        Some(home.join(".local/state"))
    });
    Some(state?.join("meilies-cli/history"))
}

/// Makes the directory of a file.
pub(crate) fn make_directory(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(parent),
        _ => Ok(()),
    }
}

/// Whether a line may hold a password: it is not kept, not even until the program ends.
pub(crate) fn is_secret(line: &str) -> bool {
    let Ok(words) = split(line.as_bytes()) else {
        // What it means is not known, so that any sign of one is enough.
        return holds_secret_word(line.as_bytes());
    };
    let is = |word: Option<&Vec<u8>>, name: &str| {
        word.is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    is(words.first(), "auth")
        || is(words.first(), "hello") && words.iter().any(|word| is(Some(word), "auth"))
        || is(words.first(), "config")
            && is(words.get(1), "set")
            && words.iter().any(|word| holds_secret_word(word))
}

fn holds_secret_word(bytes: &[u8]) -> bool {
    let text = bytes.to_ascii_lowercase();
    [b"auth".as_slice(), b"pass"]
        .iter()
        .any(|word| text.windows(word.len()).any(|window| window == *word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_in_the_state_directory() {
        let file = |state: Option<&str>, home: Option<&str>| {
            default_file(state.map(OsString::from), home.map(OsString::from))
        };
        let expected = |path: &str| Some(PathBuf::from(path));
        assert_eq!(
            file(Some("/s"), Some("/h")),
            expected("/s/meilies-cli/history")
        );
        let below_home = expected("/h/.local/state/meilies-cli/history");
        for state in [None, Some(""), Some("relative")] {
            assert_eq!(file(state, Some("/h")), below_home);
        }
        assert_eq!(file(None, None), None);
    }

    #[test]
    fn what_is_no_plain_file_is_left_alone() {
        assert_eq!(file(Some(Path::new("/dev/null"))), None);
        let directory = tempfile::TempDir::new().expect("a directory can be made");
        assert_eq!(file(Some(directory.path())), None);
        let missing = directory.path().join("a/b");
        assert_eq!(file(Some(&missing)), Some(missing.clone()));
        make_directory(&missing).expect("it can be made");
        assert!(directory.path().join("a").is_dir());
        assert!(make_directory(Path::new("history")).is_ok());
    }

    #[test]
    fn passwords_are_not_kept() {
        for line in [
            "AUTH sesame",
            "  auth me sesame",
            "\"\\x41uth\" sesame",
            "HELLO 3 AUTH me sesame",
            "config set requirepass sesame",
            "CONFIG SET maxclients 10 requirepass sesame",
            "AUTH \"sesame",
            "config set requirepass 'sesame",
        ] {
            assert!(is_secret(line), "{line}");
        }
        for line in [
            "PUBLISH authors created auth",
            "HELLO 3",
            "CONFIG GET requirepass",
            "CONFIG SET maxclients 10",
            "help auth",
            "",
        ] {
            assert!(!is_secret(line), "{line}");
        }
    }
}
