//! What groups count, by the rules of later versions: `entries-read` and `lag` as since 7.4.2,
//! consumers as since 7.2.
//!
//! A redis-server of 7.0 counts otherwise in a few cases. To know them, it is asked for the state
//! of a stream before the commands whose replies or effects they touch.

use meilies_tests::Value;

use super::fields::{field, field_mut, fields_mut, items_mut, not_compared};
use super::operation::{Command, begins, is_word};

/// An entry's id.
type Id = (u64, u64);

/// What `XINFO STREAM key FULL` says of a stream's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) key: Vec<u8>,
    length: i64,
    added: i64,
    first: Id,
    last: Id,
    deleted: Id,
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: Vec<u8>,
    delivered: Id,
    read: Option<i64>,
}

/// What has to be known of the streams before this command.
pub(crate) fn probes(command: &Command) -> Vec<Command> {
    keys(command)
        .into_iter()
        .map(|key| {
            let words: [&[u8]; 6] = [b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"1"];
            words.map(<[u8]>::to_vec).to_vec()
        })
        .collect()
}

/// The keys whose counters decide what this command answers or changes.
fn keys(command: &Command) -> Vec<&[u8]> {
    if begins(command, &["XINFO", "GROUPS"]) && command.len() == 3 {
        return vec![&command[2]];
    }
    if entries_added(command).is_some() {
        return vec![&command[1]];
    }
    match entries_read(command) {
        Some(_) => vec![&command[2]],
        None => streams_read(command),
    }
}

/// How many entries a command says that were ever added to a stream.
pub(crate) fn entries_added(command: &Command) -> Option<i64> {
    if !begins(command, &["XSETID"]) {
        return None;
    }
    let at = command
        .iter()
        .rposition(|word| is_word(word, "ENTRIESADDED"))?;
    let added = std::str::from_utf8(command.get(at + 1)?).ok()?;
    added.parse().ok()
}

/// How many entries a command says that a group has read.
pub(crate) fn entries_read(command: &Command) -> Option<i64> {
    let sets = ["CREATE", "SETID"];
    if !sets.iter().any(|name| begins(command, &["XGROUP", name])) {
        return None;
    }
    let at = command
        .iter()
        .rposition(|word| is_word(word, "ENTRIESREAD"))?;
    let read = std::str::from_utf8(command.get(at + 1)?).ok()?;
    read.parse().ok()
}

/// The streams that an XREADGROUP names.
fn streams_read(command: &Command) -> Vec<&[u8]> {
    if !begins(command, &["XREADGROUP", "GROUP"]) {
        return Vec::new();
    }
    let streams = command.iter().position(|word| is_word(word, "STREAMS"));
    let rest = streams.map_or(&[][..], |at| &command[at + 1..]);
    rest[..rest.len() / 2].iter().map(Vec::as_slice).collect()
}

/// The commands that make the consumers which this one names.
pub(crate) fn consumers(command: &Command) -> Vec<Command> {
    let make = |key: &[u8], group: &[u8], consumer: &[u8]| {
        let words = [b"XGROUP", &b"CREATECONSUMER"[..], key, group, consumer];
        words.map(<[u8]>::to_vec).to_vec()
    };
    let claims = ["XCLAIM", "XAUTOCLAIM"];
    if claims.iter().any(|name| begins(command, &[name])) && command.len() >= 4 {
        return vec![make(&command[1], &command[2], &command[3])];
    }
    streams_read(command)
        .into_iter()
        .map(|key| make(key, &command[2], &command[3]))
        .collect()
}

/// A group whose entries read are counted otherwise from a command on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) key: Vec<u8>,
    pub(crate) group: Vec<u8>,
    /// Whether they are only if more are said to be read now than were ever added.
    pub(crate) if_beyond: bool,
}

/// The groups of this command whose entries read are counted otherwise from here on: those that
/// stand before the first entry, or before a deleted one, while their count is known. 7.0 counts
/// on; later versions begin anew from the entry's place. And those that are said to have read more
/// entries than were ever added, or come to that by reading: 7.0 believes it, later versions (8.6,
/// 8.8) take all of them to be read.
pub(crate) fn groups_behind(command: &Command, streams: &[Stream]) -> Vec<Behind> {
    let behind = |key: &[u8], group: &[u8], if_beyond| Behind {
        key: key.to_vec(),
        group: group.to_vec(),
        if_beyond,
    };
    if let Some(read) = entries_read(command) {
        let added = streams.first().map_or(0, |stream| stream.added);
        let is_beyond = read > added && command.len() > 3;
        let found = is_beyond.then(|| behind(&command[2], &command[3], false));
        return found.into_iter().collect();
    }
    if let Some(added) = entries_added(command) {
        let groups = streams.iter().flat_map(|stream| {
            let groups = stream.groups.iter();
            let beyond = groups.filter(|group| group.read.is_some_and(|read| read > added));
            beyond.map(|group| behind(&stream.key, &group.name, false))
        });
        return groups.collect();
    }
    if !begins(command, &["XREADGROUP", "GROUP"]) || command.len() < 3 {
        return Vec::new();
    }
    let groups = streams.iter().flat_map(|stream| {
        let of_command = |group: &&Group| group.name == command[2] && group.read.is_some();
        let groups = stream.groups.iter().filter(of_command);
        groups.filter_map(|group| {
            let is_behind = group.delivered < stream.first;
            let has_deleted = stream.deleted != (0, 0) && stream.deleted >= group.delivered;
            let is_right = group.read == stream.read_at(group.delivered);
            let if_beyond = !is_behind && !has_deleted;
            (!if_beyond || !is_right).then(|| behind(&stream.key, &group.name, if_beyond))
        })
    });
    groups.collect()
}

/// Writes the lag of later versions into what 7.0 says of groups.
pub(crate) fn rewrite_lag(command: &Command, streams: &[Stream], reply: &mut Value) {
    if begins(command, &["XINFO", "STREAM"]) && command.len() >= 4 {
        if let Some(stream) = Stream::parse(&command[2], reply) {
            let groups = field_mut(reply, "groups").map_or(&mut [][..], items_mut);
            rewrite_groups(&stream, groups);
        }
    } else if begins(command, &["XINFO", "GROUPS"])
        && let Some(stream) = streams.first()
    {
        rewrite_groups(stream, items_mut(reply));
    }
}

/// Hides the counters of all groups: within a transaction that moved a group that is behind.
pub(crate) fn hide(reply: &mut Value) {
    let is_group = field(reply, "entries-read").is_some();
    for (name, value) in fields_mut(reply) {
        if is_group && (name == b"entries-read" || name == b"lag") {
            *value = not_compared();
        }
    }
    match reply {
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| hide(value)),
        _ => {}
    }
}

fn rewrite_groups(stream: &Stream, groups: &mut [Value]) {
    for reply in groups {
        let Some(group) = Group::parse(reply) else {
            continue;
        };
        let Some(lag) = field_mut(reply, "lag") else {
            continue;
        };
        // Everywhere else 7.0 says the same: what it says there is left as it is.
        if stream.lag_differs(&group) {
            *lag = stream.lag(&group).map_or(Value::Nil, Value::Integer);
        }
    }
}

impl Stream {
    /// Reads the reply to `XINFO STREAM key FULL`; none if there is no such stream.
    pub(crate) fn parse(key: &[u8], reply: &Value) -> Option<Self> {
        let number = |name| field(reply, name).map(Value::integer);
        let id = |name| field(reply, name).and_then(parse_id);
        let groups = match field(reply, "groups")? {
            Value::Array(groups) => groups.iter().filter_map(Group::parse).collect(),
            _ => Vec::new(),
        };
        Some(Self {
            key: key.to_vec(),
            length: number("length")?,
            added: number("entries-added")?,
            first: id("recorded-first-entry-id")?,
            last: id("last-generated-id")?,
            deleted: id("max-deleted-entry-id")?,
            groups,
        })
    }

    /// Where a group stands, if its counter has to be mended.
    pub(crate) fn to_be_mended(&self, behind: &Behind) -> Option<String> {
        let mut groups = self.groups.iter();
        let group = groups.find(|group| group.name == behind.group)?;
        let is_beyond = group.read.is_some_and(|read| read > self.added);
        let (ms, seq) = group.delivered;
        (is_beyond || !behind.if_beyond).then(|| format!("{ms}-{seq}"))
    }

    /// The two cases in which 7.0 has another lag: of an empty stream, and of a group that has
    /// everything before it.
    fn lag_differs(&self, group: &Group) -> bool {
        self.length == 0 || (group.delivered < self.first && self.deleted < self.first)
    }

    fn lag(&self, group: &Group) -> Option<i64> {
        if self.added == 0 || self.length == 0 {
            return Some(0);
        }
        if group.delivered < self.first && self.deleted < self.first {
            return Some(self.length);
        }
        let whole = self.deleted == (0, 0) || self.deleted < group.delivered;
        match group.read {
            Some(read) if whole => Some(self.added - read),
            _ => Some(self.added - self.read_at(group.delivered)?),
        }
    }

    /// How many entries were ever added up to this id, if that can be told.
    fn read_at(&self, id: Id) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.length == 0 && id <= self.last {
            return Some(self.added);
        }
        if id != (0, 0) && id < self.deleted {
            return None;
        }
        if id == self.last {
            return Some(self.added);
        }
        if id > self.last {
            return None;
        }
        let whole = self.deleted == (0, 0) || self.deleted < self.first;
        match id.cmp(&self.first) {
            std::cmp::Ordering::Less if whole => Some(self.added - self.length),
            std::cmp::Ordering::Equal if whole => Some(self.added - self.length + 1),
            _ => None,
        }
    }
}

impl Group {
    fn parse(reply: &Value) -> Option<Self> {
        Some(Self {
            name: field(reply, "name")?.bytes().to_vec(),
            delivered: parse_id(field(reply, "last-delivered-id")?)?,
            read: match field(reply, "entries-read")? {
                Value::Integer(read) => Some(*read),
                _ => None,
            },
        })
    }
}

fn parse_id(value: &Value) -> Option<Id> {
    let (millis, sequence) = value.text().split_once('-')?;
    Some((millis.parse().ok()?, sequence.parse().ok()?))
}
