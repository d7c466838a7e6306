//! Random commands that are wrong: the error lines must be equal as well.

use rand::Rng;

use super::generator::Generator;
use super::operation::{Command, begins, is_word};

/// Wrong in ways that spoiling a good command seldom gives.
const WRITTEN: [&str; 50] = [
    "XADD",
    "XADD s",
    "XADD s 1-1",
    "XADD s 1-1 f",
    "XADD s 99-1 f v g",
    "XADD s MAXLEN",
    "XADD s MAXLEN = -1 99-1 f v",
    "XADD s MAXLEN = many 99-1 f v",
    "XADD s MAXLEN = 5 LIMIT 3 99-1 f v",
    "XADD s MAXLEN 5 MINID 3 99-1 f v",
    "XADD s LIMIT 3 99-1 f v",
    "XADD s MAXLEN ~ 5 LIMIT -1 99-1 f v",
    "XADD s NONSENSE 99-1 f v",
    "XTRIM s",
    "XTRIM s MAXLEN",
    "XTRIM s MAXLEN -1",
    "XTRIM s MAXLEN 5 LIMIT 3",
    "XTRIM s MINID nonsense",
    "XTRIM s MINID 1 MAXLEN 5",
    "XTRIM s NONSENSE 5",
    "XREAD",
    "XREAD STREAMS",
    "XREAD STREAMS s",
    "XREAD STREAMS s t 0",
    "XREAD STREAMS s >",
    "XREAD COUNT many STREAMS s 0",
    "XREAD BLOCK -1 STREAMS s 0",
    "XREAD BLOCK soon STREAMS s 0",
    "XREAD NOACK STREAMS s 0",
    "XREAD GROUP g alice STREAMS s 0",
    "XREAD NONSENSE STREAMS s 0",
    "XREADGROUP STREAMS s t u v >",
    "XREADGROUP GROUP g alice STREAMS s t >",
    "XREADGROUP GROUP g alice STREAMS s $",
    "XREADGROUP GROUP g alice BLOCK -1 STREAMS s >",
    "XREADGROUP COUNT 1 NOACK STREAMS s >",
    "XINFO",
    "XINFO NONSENSE s",
    "XINFO STREAM s NONSENSE",
    "XINFO STREAM s FULL COUNT",
    "XGROUP",
    "XGROUP NONSENSE s g",
    "XGROUP CREATE s g 0 NONSENSE",
    "XGROUP CREATE nothing g 0",
    "XPENDING s g IDLE 0",
    "XAUTOCLAIM s g alice 0 0 COUNT 9223372036854775807",
    "EXEC",
    "DISCARD",
    "SELECT many",
    "XNONSENSE s \"1\"",
];

/// What stands where something else should. Nothing at all is no name of a stream in MeiliES.
const GARBAGE: [&str; 9] = [
    "abc",
    "-1",
    "0",
    "NONSENSE",
    "99999999999999999999",
    "9223372036854775808",
    "1.5",
    LAST_ID,
    "+",
];

const LAST_ID: &str = "18446744073709551615-18446744073709551615";

impl Generator {
    pub(crate) fn malformed(&mut self) -> Command {
        if self.chance(40) {
            let line = self.pick(&WRITTEN);
            return line.split(' ').map(Into::into).collect();
        }
        let mut command = self.command();
        if command.iter().any(|word| is_word(word, "BLOCK")) {
            // A spoiled time could be for ever.
            return command;
        }
        // Other places of the same numbers could mean milliseconds, which the clock decides,
        // or a last id that falls behind a deleted one.
        let timed = ["XCLAIM", "XAUTOCLAIM", "XPENDING", "XSETID"];
        let moves = !timed.iter().any(|name| begins(&command, &[name]));
        if command.len() == 1 {
            command.push(self.pick(&GARBAGE).into());
            return command;
        }
        let at = self.random.random_range(1..command.len());
        match self.random.random_range(0..6) {
            0 => command.truncate(at),
            1 | 2 if !begins(&command, &["XSETID"]) => command[at] = self.pick(&GARBAGE).into(),
            3 if moves => drop(command.remove(at)),
            4 if moves => command.insert(at, self.pick(&GARBAGE).into()),
            _ => command.push(self.pick(&GARBAGE).into()),
        }
        // Where a word is missing a field without a name may come to stand where a stream should.
        command.retain(|word| !word.is_empty());
        if ["XREAD", "XREADGROUP"]
            .iter()
            .any(|name| begins(&command, &[name]))
        {
            // Redis 7.0 does not know `XREAD +`, later versions do: the transcripts have it.
            command.retain(|word| word != b"+");
        }
        if begins(&command, &["XADD"]) {
            // An entry with the last id of all: when it is deleted, XSETID cannot stay above it.
            // The transcripts have it.
            command.retain(|word| word != LAST_ID.as_bytes());
        }
        command
    }
}
