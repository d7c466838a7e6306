//! Random commands about consumer groups.
//!
//! How long an entry is idle is the clock's to decide, so that what is asked of it is either met
//! by everything, or only by what was claimed with a time or an idleness far in the past.

use rand::Rng;

use super::generator::{CONSUMERS, GROUPS, Generator, KEYS, Words, words};

/// About 28 hours.
const IDLE_LONG_MS: &str = "100000000";

/// What an entry claimed with [`IDLE_LONG_MS`] satisfies, and one just delivered does not.
const IDLE_ASKED_MS: &str = "50000000";

impl Generator {
    pub(crate) fn group(&mut self) -> &'static [u8] {
        if self.chance(3) {
            return b"nobody";
        }
        self.pick(&GROUPS)
    }

    pub(crate) fn consumer(&mut self) -> &'static [u8] {
        self.pick(&CONSUMERS)
    }

    pub(crate) fn xgroup(&mut self) -> Words {
        let key = self.key();
        let name = KEYS[key];
        let group = self.group();
        match self.random.random_range(0..100) {
            0..50 => {
                let id = self.start(key);
                let mut line = words("XGROUP CREATE").and(name).and(group).and(id);
                if self.chance(40) {
                    line = line.and("MKSTREAM");
                }
                self.with_entries_read(line)
            }
            50..62 => {
                let id = self.start(key);
                let line = words("XGROUP SETID").and(name).and(group).and(id);
                self.with_entries_read(line)
            }
            62..70 => words("XGROUP DESTROY").and(name).and(group),
            70..86 => words("XGROUP CREATECONSUMER")
                .and(name)
                .and(group)
                .and(self.consumer()),
            _ => words("XGROUP DELCONSUMER")
                .and(name)
                .and(group)
                .and(self.consumer()),
        }
    }

    fn start(&mut self, key: usize) -> String {
        match self.random.random_range(0..10) {
            0..4 => "0".to_owned(),
            4..6 => "$".to_owned(),
            _ => self.id(key),
        }
    }

    fn with_entries_read(&mut self, line: Words) -> Words {
        if !self.chance(25) {
            return line;
        }
        line.and("ENTRIESREAD")
            .and(self.pick(&["0", "1", "3", "10", "-1", "-2"]))
    }

    pub(crate) fn xreadgroup(&mut self) -> Words {
        let line = words("XREADGROUP GROUP")
            .and(self.group())
            .and(self.consumer());
        let mut line = self.with_count(line, 60);
        if self.chance(10) {
            line = line.and("NOACK");
        }
        let line = self.with_block(line).and("STREAMS");
        self.streams_and_ids(line, true)
    }

    pub(crate) fn xack(&mut self) -> Words {
        let key = self.key();
        let line = words("XACK").and(KEYS[key]).and(self.group());
        self.ids(line, key)
    }

    pub(crate) fn xpending(&mut self) -> Words {
        let key = self.key();
        let mut line = words("XPENDING").and(KEYS[key]).and(self.group());
        if self.chance(30) {
            return line;
        }
        if self.chance(30) {
            line = line
                .and("IDLE")
                .and(self.pick(&["0", IDLE_ASKED_MS, IDLE_ASKED_MS]));
        }
        let (low, high) = (self.range_end(key, "-"), self.range_end(key, "+"));
        line = line
            .and(low)
            .and(high)
            .and(self.pick(&["10", "1", "3", "100", "0", "-1"]));
        if self.chance(40) {
            line = line.and(self.consumer());
        }
        line
    }

    pub(crate) fn xclaim(&mut self) -> Words {
        let key = self.key();
        let line = words("XCLAIM")
            .and(KEYS[key])
            .and(self.group())
            .and(self.consumer());
        let idle = self.idle_asked();
        let mut line = self.ids(line.and(idle), key);
        match self.random.random_range(0..10) {
            0..3 => line = line.and("IDLE").and(self.pick(&[IDLE_LONG_MS, "0"])),
            3..5 => {
                // The last lies in the future: it counts as now.
                let times = ["1000", "0", "99999999999999"];
                line = line.and("TIME").and(self.pick(&times));
            }
            _ => {}
        }
        if self.chance(20) {
            line = line
                .and("RETRYCOUNT")
                .and(self.pick(&["0", "1", "7", "-1"]));
        }
        if self.chance(35) {
            line = line.and("FORCE");
        }
        if self.chance(25) {
            line = line.and("JUSTID");
        }
        if self.chance(12) {
            let id = self.id(key);
            line = line.and("LASTID").and(id);
        }
        line
    }

    pub(crate) fn xautoclaim(&mut self) -> Words {
        let key = self.key();
        let line = words("XAUTOCLAIM")
            .and(KEYS[key])
            .and(self.group())
            .and(self.consumer());
        let idle = self.idle_asked();
        let start = match self.chance(50) {
            true => "0".to_owned(),
            false => self.range_end(key, "-"),
        };
        let mut line = line.and(idle).and(start);
        if self.chance(60) {
            line = line
                .and("COUNT")
                .and(self.pick(&["1", "2", "3", "10", "100", "0", "-1"]));
        }
        if self.chance(25) {
            line = line.and("JUSTID");
        }
        line
    }

    fn idle_asked(&mut self) -> &'static str {
        self.pick(&["0", "0", "0", IDLE_ASKED_MS, "-5"])
    }
}
