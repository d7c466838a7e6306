//! `COMMAND GETKEYS`: which arguments of a command name streams.

use bytes::{Bytes, BytesMut};

use super::{Command, Keys, resolve};
use crate::request::RequestError;
use crate::{Arguments, writer};

/// `COMMAND GETKEYS`: the names of streams in a whole command, or Redis' error.
pub fn write_keys(out: &mut BytesMut, command: &[Bytes]) {
    match keys(command) {
        Ok(keys) => {
            writer::array_header(out, keys.len());
            for key in keys {
                writer::bulk(out, key);
            }
        }
        Err(reason) => writer::error(out, reason),
    }
}

fn keys(words: &[Bytes]) -> Result<Vec<&Bytes>, &'static str> {
    let command = resolve_words(words)?;
    let Keys {
        first,
        last,
        step,
        behind,
    } = command.keys;
    if let Some((word, from)) = behind {
        return keys_behind(words, word, from).ok_or("ERR Invalid arguments specified for command");
    }
    if first == 0 {
        return Err("ERR The command has no key arguments");
    }
    let count = i64::try_from(words.len()).unwrap_or(i64::MAX);
    let last = if last < 0 { count + last } else { last };
    let indices = (first..=last).step_by(usize::try_from(step).unwrap_or(1));
    let words = indices.filter_map(|index| words.get(usize::try_from(index).ok()?));
    Ok(words.collect())
}

/// The first half of what follows a word, if it can be halved.
fn keys_behind<'a>(words: &'a [Bytes], word: &str, from: i64) -> Option<Vec<&'a Bytes>> {
    let from = usize::try_from(from).ok()?;
    let is_word = |given: &Bytes| given.eq_ignore_ascii_case(word.as_bytes());
    let at = from + words.get(from..)?.iter().position(is_word)?;
    let (keys, rest) = words[at + 1..].split_at((words.len() - at - 1) / 2);
    (!keys.is_empty() && keys.len() == rest.len()).then(|| keys.iter().collect())
}

fn resolve_words(words: &[Bytes]) -> Result<&'static Command, &'static str> {
    let slices: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
    resolve(&Arguments::from_slices(&slices)).map_err(|error| match error {
        RequestError::Arity { .. } => "ERR Invalid number of arguments specified for command",
        _ => "ERR Invalid command specified",
    })
}
