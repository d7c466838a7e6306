//! The words of the requests about keys and about transactions.

use bytes::Bytes;

use super::{named, number, push_option};
use crate::request::{Request, Scan};

/// The words of a request about keys or a transaction; nothing if it is another one.
pub(super) fn words(request: &Request) -> Option<Vec<Bytes>> {
    Some(match request {
        Request::Multi => named("MULTI", []),
        Request::Exec => named("EXEC", []),
        Request::Discard => named("DISCARD", []),
        Request::Watch { keys } => named("WATCH", keys),
        Request::Unwatch => named("UNWATCH", []),
        Request::DbSize => named("DBSIZE", []),
        Request::Type { key } => named("TYPE", [key]),
        Request::Exists { keys } => named("EXISTS", keys),
        Request::Keys { pattern } => named("KEYS", [pattern]),
        Request::Scan(scan) => scan_words(scan),
        Request::Del { keys } => named("DEL", keys),
        Request::Unlink { keys } => named("UNLINK", keys),
        Request::Touch { keys } => named("TOUCH", keys),
        Request::RandomKey => named("RANDOMKEY", []),
        Request::Rename { from, to } => named("RENAME", [from, to]),
        Request::RenameNx { from, to } => named("RENAMENX", [from, to]),
        Request::FlushAll => named("FLUSHALL", []),
        Request::FlushDb => named("FLUSHDB", []),
        Request::Ttl { key } => named("TTL", [key]),
        Request::PTtl { key } => named("PTTL", [key]),
        Request::ExpireTime { key } => named("EXPIRETIME", [key]),
        Request::PExpireTime { key } => named("PEXPIRETIME", [key]),
        Request::Persist { key } => named("PERSIST", [key]),
        _ => return None,
    })
}

fn scan_words(scan: &Scan) -> Vec<Bytes> {
    let mut words = named("SCAN", [&number(scan.cursor)]);
    push_option(&mut words, "MATCH", scan.pattern.clone());
    push_option(&mut words, "COUNT", Some(number(scan.count)));
    push_option(&mut words, "TYPE", scan.key_type.clone());
    words
}
