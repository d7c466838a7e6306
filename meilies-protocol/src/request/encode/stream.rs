//! The words of the requests about streams.

use bytes::Bytes;

use super::{expect_word, id, named, new_id, number, push_flag, push_option, word};
use crate::request::stream::info::{Full, XInfo};
use crate::request::{
    Idempotency, ReadFrom, References, Request, Trim, TrimBy, XAdd, XRange, XRead, XSetId,
};
use crate::{EventId, StreamName};

/// The words of a request about a stream; nothing if it is another one.
pub(super) fn words(request: &Request) -> Option<Vec<Bytes>> {
    Some(match request {
        Request::XAdd(add) => add_words(add),
        Request::XLen { key } => named("XLEN", [&key.to_bytes()]),
        Request::XRange(range) => range_words(range),
        Request::XRead(read) => read_words(read),
        Request::XDel { key, ids } => {
            let mut words = named("XDEL", [&key.to_bytes()]);
            words.extend(ids.iter().copied().map(id));
            words
        }
        Request::XDelEx {
            key,
            references,
            ids,
        } => {
            let mut words = named("XDELEX", [&key.to_bytes()]);
            push_references(&mut words, *references);
            push_ids(&mut words, ids);
            words
        }
        Request::XTrim {
            key,
            trim,
            references,
        } => {
            let mut words = named("XTRIM", [&key.to_bytes()]);
            push_trim(&mut words, *trim);
            push_references(&mut words, *references);
            words
        }
        Request::XSetId(set) => set_id_words(set),
        Request::XCfgSet {
            key,
            duration_s,
            max_size,
        } => {
            let mut words = named("XCFGSET", [&key.to_bytes()]);
            push_option(&mut words, "IDMP-DURATION", duration_s.map(number));
            push_option(&mut words, "IDMP-MAXSIZE", max_size.map(number));
            words
        }
        Request::XInfo(info) => info_words(info),
        _ => return None,
    })
}

fn add_words(add: &XAdd) -> Vec<Bytes> {
    let mut words = named("XADD", [&add.key.to_bytes()]);
    push_flag(&mut words, "NOMKSTREAM", !add.make_stream);
    push_references(&mut words, add.references);
    match &add.idempotency {
        None => {}
        Some(Idempotency::Auto { producer }) => words.extend([word("IDMPAUTO"), producer.clone()]),
        Some(Idempotency::Given { producer, key }) => {
            words.extend([word("IDMP"), producer.clone(), key.clone()]);
        }
    }
    if let Some(trim) = add.trim {
        push_trim(&mut words, trim);
    }
    push_option(&mut words, "EXPECT", expect_word(add.expect));
    words.push(new_id(add.id));
    words.extend(add.fields.iter().cloned());
    words
}

fn push_trim(words: &mut Vec<Bytes>, trim: Trim) {
    let (by, threshold) = match trim.by {
        TrimBy::MaxLen(length) => ("MAXLEN", number(length)),
        TrimBy::MinId(least) => ("MINID", id(least)),
    };
    words.push(word(by));
    push_flag(words, "~", trim.approximate);
    words.push(threshold);
    push_option(words, "LIMIT", trim.limit.map(number));
}

/// The word for what becomes of references, where it is not what happens anyway.
pub(super) fn push_references(words: &mut Vec<Bytes>, references: References) {
    match references {
        References::Keep => {}
        References::Delete => words.push(word("DELREF")),
        References::Acknowledged => words.push(word("ACKED")),
    }
}

/// `IDS`, their count, and they themselves.
pub(super) fn push_ids(words: &mut Vec<Bytes>, ids: &[EventId]) {
    words.extend([word("IDS"), number(ids.len() as u64)]);
    words.extend(ids.iter().copied().map(id));
}

fn range_words(range: &XRange) -> Vec<Bytes> {
    let (name, first, last) = match range.reverse {
        false => ("XRANGE", range.from, range.to),
        true => ("XREVRANGE", range.to, range.from),
    };
    let mut words = named(name, [&range.key.to_bytes(), &bound(first), &bound(last)]);
    let count = range.count.map(|count| Bytes::from(count.to_string()));
    push_option(&mut words, "COUNT", count);
    words
}

/// The shortest word for an id that a range begins or ends with.
pub(super) fn bound(bound: EventId) -> Bytes {
    match bound {
        EventId::MIN => word("-"),
        EventId::MAX => word("+"),
        other => id(other),
    }
}

fn read_words(read: &XRead) -> Vec<Bytes> {
    let mut words = named("XREAD", []);
    push_option(&mut words, "COUNT", read.count.map(number));
    push_option(&mut words, "BLOCK", read.block_ms.map(number));
    push_option(&mut words, "MAXCOUNT", read.max_count.map(number));
    push_option(&mut words, "MAXSIZE", read.max_size.map(number));
    push_streams(&mut words, &read.streams, |from| match from {
        ReadFrom::After(after) => id(after),
        ReadFrom::New => word("$"),
        ReadFrom::Last => word("+"),
    });
    words
}

/// `STREAMS`, all the names, and then as many ids.
pub(super) fn push_streams<From: Copy>(
    words: &mut Vec<Bytes>,
    streams: &[(StreamName, From)],
    from_word: impl Fn(From) -> Bytes,
) {
    words.push(word("STREAMS"));
    words.extend(streams.iter().map(|(name, _)| name.to_bytes()));
    words.extend(streams.iter().map(|(_, from)| from_word(*from)));
}

fn set_id_words(set: &XSetId) -> Vec<Bytes> {
    let mut words = named("XSETID", [&set.key.to_bytes(), &id(set.id)]);
    push_option(&mut words, "ENTRIESADDED", set.entries_added.map(number));
    push_option(&mut words, "MAXDELETEDID", set.max_deleted.map(id));
    words
}

fn info_words(info: &XInfo) -> Vec<Bytes> {
    match info {
        XInfo::Stream { key, full: None } => named("XINFO STREAM", [&key.to_bytes()]),
        XInfo::Stream {
            key,
            full: Some(Full { count }),
        } => {
            let (full, count) = (word("FULL"), number(*count));
            named(
                "XINFO STREAM",
                [&key.to_bytes(), &full, &word("COUNT"), &count],
            )
        }
        XInfo::Groups { key } => named("XINFO GROUPS", [&key.to_bytes()]),
        XInfo::Consumers { key, group } => named("XINFO CONSUMERS", [&key.to_bytes(), group]),
        XInfo::Help => named("XINFO HELP", []),
    }
}
