//! Random commands about streams and their entries.

use rand::Rng;

use super::generator::{Generator, KEY_LONG, KEYS, Key, Words, words};
use super::operation::Operation;

/// No id of these is one; `*` is not among them, for the clock would decide it.
const IDS_WRONG: [&str; 9] = [
    "abc",
    "1-2-3",
    "-1",
    "1-",
    "",
    "1-x",
    "18446744073709551616-0",
    "1-18446744073709551616",
    "( 1",
];

impl Generator {
    pub(crate) fn xadd(&mut self) -> Words {
        if self.chance(12) {
            self.long_tail += 1;
            return self.field_pairs(words("XADD").and(KEY_LONG).and("7000-*"));
        }
        let key = self.key();
        let mut line = words("XADD").and(KEYS[key]);
        if self.chance(12) {
            line = line.and("NOMKSTREAM");
        }
        if self.chance(15) {
            line = self.trim_exactly(line, key);
        }
        let id = self.new_id(key);
        self.field_pairs(line.and(id))
    }

    fn field_pairs(&mut self, mut line: Words) -> Words {
        for _ in 0..self.pick(&[1, 1, 1, 2, 3]) {
            let field = self.pick(&["f", "f", "g", ""]);
            let value = self.random.random_range(0..100).to_string();
            line = line.and(field).and(value);
        }
        line
    }

    pub(crate) fn xrange(&mut self) -> Words {
        let key = self.key();
        let (low, high) = (self.range_end(key, "-"), self.range_end(key, "+"));
        let line = if self.chance(55) {
            words("XRANGE").and(KEYS[key]).and(low).and(high)
        } else {
            words("XREVRANGE").and(KEYS[key]).and(high).and(low)
        };
        self.with_count(line, 50)
    }

    pub(crate) fn xread(&mut self) -> Words {
        let line = self.with_count(words("XREAD"), 50);
        let line = self.with_block(line).and("STREAMS");
        self.streams_and_ids(line, false)
    }

    /// Waiting costs time, and seldom shows more than not waiting.
    pub(crate) fn with_block(&mut self, line: Words) -> Words {
        match self.chance(2) {
            true => line.and("BLOCK").and(self.pick(&["1", "2"])),
            false => line,
        }
    }

    /// Keys, then as many ids.
    pub(crate) fn streams_and_ids(&mut self, mut line: Words, group: bool) -> Words {
        let keys: Vec<Key> = (0..self.pick(&[1, 1, 1, 2, 3]))
            .map(|_| self.key())
            .collect();
        for key in &keys {
            line = line.and(KEYS[*key]);
        }
        for key in keys {
            let id = match self.random.random_range(0..100) {
                0..70 if group => ">".to_owned(),
                0..10 => "$".to_owned(),
                10..25 => "0".to_owned(),
                // Redis 7.0 does not know `XREAD +`, later versions do: the transcripts have it.
                _ => self.id(key).replace('+', "$"),
            };
            line = line.and(id);
        }
        line
    }

    pub(crate) fn xdel(&mut self) -> Words {
        let key = self.key();
        let line = words("XDEL").and(KEYS[key]);
        self.ids(line, key)
    }

    pub(crate) fn xtrim(&mut self) -> Words {
        let key = self.key();
        self.trim_exactly(words("XTRIM").and(KEYS[key]), key)
    }

    fn trim_exactly(&mut self, mut line: Words, key: Key) -> Words {
        let by_length = self.chance(60);
        line = line.and(if by_length { "MAXLEN" } else { "MINID" });
        if self.chance(50) {
            line = line.and("=");
        }
        let bound = match by_length {
            true => self.random.random_range(0..12).to_string(),
            false => self.id(key),
        };
        line.and(bound)
    }

    pub(crate) fn xsetid(&mut self) -> Words {
        let key = self.key();
        if self.ended[key] {
            // An id that was used before is that of another event in MeiliES.
            return self.xinfo();
        }
        // Redis 7.0 lets the last id fall behind a deleted one, later versions do not: it never
        // does so here, the transcripts have it.
        self.tails[key] += 1;
        let id = format!("{}-{}", self.tails[key], self.random.random_range(0..3));
        let mut line = words("XSETID").and(KEYS[key]).and(id);
        if self.chance(50) {
            let added = self.random.random_range(0..60).to_string();
            let deleted = self.id(key);
            if self.chance(85) {
                line = line.and("ENTRIESADDED").and(added);
            }
            if self.chance(85) {
                line = line.and("MAXDELETEDID").and(deleted);
            }
        }
        line
    }

    pub(crate) fn xinfo(&mut self) -> Words {
        let key = self.key_name();
        match self.random.random_range(0..100) {
            0..22 => words("XINFO STREAM").and(key),
            22..60 => {
                let line = words("XINFO STREAM").and(key).and("FULL");
                match self.chance(60) {
                    true => line
                        .and("COUNT")
                        .and(self.pick(&["0", "1", "3", "-1", "1000"])),
                    false => line,
                }
            }
            60..85 => words("XINFO GROUPS").and(key),
            _ => words("XINFO CONSUMERS").and(key).and(self.group()),
        }
    }

    /// A reader that waits, and what others do meanwhile.
    pub(crate) fn waiting(&mut self) -> Operation {
        let (head, tail) = if self.chance(60) {
            let head = words("XREADGROUP GROUP")
                .and(self.group())
                .and(self.consumer());
            (head, ">")
        } else {
            (words("XREAD"), "$")
        };
        let head = self.with_count(head, 30);
        let mut keys: Vec<Key> = (0..self.pick(&[1, 1, 2])).map(|_| self.key()).collect();
        keys.dedup();
        let streams = keys
            .iter()
            .fold(words("STREAMS"), |line, key| line.and(KEYS[*key]));
        let streams = keys.iter().fold(streams, |line, _| line.and(tail));
        let with = |middle: &[&str]| {
            let mut command = head.0.clone();
            command.extend(middle.iter().map(|word| word.as_bytes().to_vec()));
            command.extend(streams.0.clone());
            command
        };
        // 7.0 answers with the first stream only that has something, later versions with all: one
        // at a time is the same.
        let choice = self.random.random_range(0..10);
        let choice = if keys.len() > 1 && choice > 3 {
            6
        } else {
            choice
        };
        let waking = match choice {
            0..4 => vec![self.xadd().0],
            4..6 => {
                let inside = (0..3).map(|_| self.xadd().0);
                let begin = std::iter::once(words("MULTI").0);
                begin.chain(inside).chain([words("EXEC").0]).collect()
            }
            6 => vec![words("DEL").and(KEYS[keys[0]]).0],
            7 => vec![self.xgroup().0],
            _ => vec![self.command()],
        };
        Operation::Waiting {
            connection: self.connection(),
            probe: with(&[]),
            waiting: with(&["BLOCK", "0"]),
            waking,
        }
    }

    pub(crate) fn with_count(&mut self, line: Words, percent: u32) -> Words {
        if !self.chance(percent) {
            return line;
        }
        line.and("COUNT")
            .and(self.pick(&["1", "2", "3", "5", "1", "2", "0", "-1"]))
    }

    /// Ids to act on, most of which are there.
    pub(crate) fn ids(&mut self, mut line: Words, key: Key) -> Words {
        for _ in 0..self.pick(&[1, 1, 2, 3, 6]) {
            let id = self.id(key);
            line = line.and(id);
        }
        line
    }

    /// An id around those that the stream has.
    pub(crate) fn id(&mut self, key: Key) -> String {
        let millis = self.random.random_range(0..=self.tails[key] + 2);
        match self.random.random_range(0..100) {
            0..74 => format!("{millis}-{}", self.random.random_range(0..3)),
            74..92 => millis.to_string(),
            92..94 => format!("0{millis}-00"),
            94..96 => "0-0".to_owned(),
            96..97 => "18446744073709551615-18446744073709551615".to_owned(),
            97..98 => self.pick(&["-", "+", "$", ">"]).to_owned(),
            _ => self.pick(&IDS_WRONG).to_owned(),
        }
    }

    /// An id for a new entry, and the guess of the stream's end that follows from it.
    pub(crate) fn new_id(&mut self, key: Key) -> String {
        let millis = self.tails[key] + self.random.random_range(0..3);
        self.tails[key] = millis;
        match self.random.random_range(0..200) {
            0..110 => format!("{millis}-{}", self.random.random_range(0..4)),
            110..160 => format!("{millis}-*"),
            160..180 => millis.to_string(),
            180..196 => format!("{}-2", self.random.random_range(0..=millis)),
            196 => "0-*".to_owned(),
            197 => format!("{millis}-18446744073709551615"),
            198 => {
                self.ended[key] = true;
                "18446744073709551615-*".to_owned()
            }
            _ => self.pick(&IDS_WRONG).to_owned(),
        }
    }

    pub(crate) fn range_end(&mut self, key: Key, open: &str) -> String {
        match self.random.random_range(0..100) {
            0..40 => open.to_owned(),
            40..55 => format!("({}", self.id(key)),
            55..57 => format!("({open}"),
            57..58 => "(18446744073709551615-18446744073709551615".to_owned(),
            _ => self.id(key),
        }
    }
}
