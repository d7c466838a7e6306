//! `COMMAND GETKEYS` and `COMMAND GETKEYSANDFLAGS`: which arguments of a command name streams, and
//! what it does with them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::info::write_use;
use super::{Command, Flags, Keys, Use, resolve};
use crate::request::RequestError;
use crate::{Arguments, Version, writer};

/// `COMMAND GETKEYS`: the names of streams in a whole command, or Redis' error.
pub fn write_keys(out: &mut BytesMut, command: &[Bytes]) {
    match resolve_words(command).and_then(|row| keys(row, command)) {
        Ok(keys) => {
            writer::array_header(out, keys.len());
            for key in keys {
                writer::bulk(out, key);
            }
        }
        Err(reason) => writer::error(out, reason),
    }
}

/// `COMMAND GETKEYSANDFLAGS`: the same, each with what the command does with it.
pub fn write_keys_and_flags(out: &mut BytesMut, version: Version, command: &[Bytes]) {
    let found = resolve_words(command).and_then(|row| Ok((row.uses(), keys(row, command)?)));
    let (uses, keys) = match found {
        Ok(found) => found,
        Err(reason) => return writer::error(out, reason),
    };
    writer::array_header(out, keys.len());
    // The last is that of all which follow.
    let last = uses.last().copied().unwrap_or_default();
    let uses = uses.iter().copied().chain(std::iter::repeat(last));
    for (key, uses) in keys.into_iter().zip(uses) {
        writer::array_header(out, 2);
        writer::bulk(out, key);
        write_use(out, version, uses);
    }
}

impl Command {
    /// The names of streams among the arguments of this command, which [`resolve`] has found for
    /// them; none where its arguments are wrong.
    pub fn keys<'a>(&self, arguments: &'a Arguments) -> Vec<&'a [u8]> {
        let words: Vec<&[u8]> = arguments.iter().collect();
        let places = self.key_places(&words).unwrap_or_default();
        places.into_iter().map(|place| words[place]).collect()
    }

    fn key_places(&self, words: &[&[u8]]) -> Result<Vec<usize>, &'static str> {
        let Keys {
            first,
            last,
            step,
            behind,
            ..
        } = self.keys;
        if let Some((word, from)) = behind {
            let places = places_behind(words, word, from);
            let places = places.ok_or("ERR Invalid arguments specified for command")?;
            return Ok(places.collect());
        }
        if first == 0 {
            return Err("ERR The command has no key arguments");
        }
        let count = i64::try_from(words.len()).unwrap_or(i64::MAX);
        let last = if last < 0 { count + last } else { last };
        let places = (first..=last).step_by(usize::try_from(step).unwrap_or(1));
        let places = places.filter_map(|place| usize::try_from(place).ok());
        Ok(places.filter(|place| *place < words.len()).collect())
    }

    /// What it does with the streams that it names: with each for itself, or with all alike.
    pub(super) fn uses(&self) -> &'static [Use] {
        match self.keys.uses {
            [] if self.flags.contains(Flags::WRITE) => &[&["RW", "update"]],
            [] => &[&["RO", "access"]],
            uses => uses,
        }
    }
}

fn keys<'a>(command: &Command, words: &'a [Bytes]) -> Result<Vec<&'a Bytes>, &'static str> {
    let slices: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
    let places = command.key_places(&slices)?;
    Ok(places.into_iter().map(|place| &words[place]).collect())
}

/// The first half of what follows a word, if it can be halved.
fn places_behind(words: &[&[u8]], word: &str, from: i64) -> Option<Range<usize>> {
    let from = usize::try_from(from).ok()?;
    let is_word = |given: &&[u8]| given.eq_ignore_ascii_case(word.as_bytes());
    let first = from + words.get(from..)?.iter().position(is_word)? + 1;
    let left = words.len() - first;
    (left > 0 && left.is_multiple_of(2)).then(|| first..first + left / 2)
}

fn resolve_words(words: &[Bytes]) -> Result<&'static Command, &'static str> {
    let slices: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
    resolve(&Arguments::from_slices(&slices)).map_err(|error| match error {
        RequestError::Arity { .. } => "ERR Invalid number of arguments specified for command",
        _ => "ERR Invalid command specified",
    })
}
