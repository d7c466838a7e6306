//! Where the versions of Redis differ, and the servers are right to differ: each difference is a
//! rule that rewrites exactly that, and everything else must be equal byte for byte.
//!
//! The judge is a redis-server of 7.0; MeiliES follows the later versions.

use meilies_tests::Value;

use super::counters::{self, Stream};
use super::fields::{field_mut, list_mut, not_compared, take_field};
use super::operation::{Command, begins, is_word};

/// One known difference.
pub(crate) struct Difference {
    /// Whether only what redis-server 7.0 says is rewritten, to what later versions say.
    pub(crate) only_of_redis: bool,
    rewrite: fn(&Command, &[Stream], &mut Value),
}

/// All of them.
pub(crate) const DIFFERENCES: [Difference; 10] = [
    everywhere(sort_keys),
    everywhere(hide_inner_nodes),
    everywhere(drop_active_time),
    everywhere(drop_inactive),
    everywhere(drop_given_back),
    everywhere(drop_idempotency),
    everywhere(rewrite_gone),
    of_redis(counters::rewrite_lag),
    of_redis(rewrite_unbalanced),
    of_redis(rewrite_exhausted),
];

const fn everywhere(rewrite: fn(&Command, &[Stream], &mut Value)) -> Difference {
    Difference {
        only_of_redis: false,
        rewrite,
    }
}

const fn of_redis(rewrite: fn(&Command, &[Stream], &mut Value)) -> Difference {
    Difference {
        only_of_redis: true,
        rewrite,
    }
}

impl Difference {
    /// Rewrites a reply. The streams are those that [`counters::probes`] asked for.
    pub(crate) fn apply(&self, command: &Command, streams: &[Stream], reply: &mut Value) {
        (self.rewrite)(command, streams, reply);
    }
}

/// `KEYS` has no order.
fn sort_keys(command: &Command, _: &[Stream], reply: &mut Value) {
    if let (true, Value::Array(keys)) = (begins(command, &["KEYS"]), reply) {
        keys.sort_by_key(Value::to_string);
    }
}

/// How many inner nodes there are is a matter of how entries are kept.
fn hide_inner_nodes(command: &Command, _: &[Stream], reply: &mut Value) {
    if begins(command, &["XINFO", "STREAM"]) {
        for name in ["radix-tree-keys", "radix-tree-nodes"] {
            if let Some(value @ Value::Integer(_)) = field_mut(reply, name) {
                *value = not_compared();
            }
        }
    }
}

/// 7.2 added when a consumer last got an entry: a time, or -1 for never.
fn drop_active_time(command: &Command, _: &[Stream], reply: &mut Value) {
    if !begins(command, &["XINFO", "STREAM"]) {
        return;
    }
    for group in list_mut(reply, "groups") {
        for consumer in list_mut(group, "consumers") {
            drop_number(consumer, "active-time", -1);
        }
    }
}

/// 7.2 added how long ago a consumer last got an entry, -1 for never.
fn drop_inactive(command: &Command, _: &[Stream], reply: &mut Value) {
    if let (true, Value::Array(consumers)) = (begins(command, &["XINFO", "CONSUMERS"]), reply) {
        for consumer in consumers {
            drop_number(consumer, "inactive", -1);
        }
    }
}

/// 8.8 added how many pending events nobody has: there are none without XNACK.
fn drop_given_back(command: &Command, _: &[Stream], reply: &mut Value) {
    if !begins(command, &["XINFO", "STREAM"]) {
        return;
    }
    for group in list_mut(reply, "groups") {
        if matches!(field_mut(group, "nacked-count"), Some(Value::Integer(0))) {
            take_field(group, "nacked-count");
        }
    }
}

/// 8.6 added what is known of producers.
fn drop_idempotency(command: &Command, _: &[Stream], reply: &mut Value) {
    const FIELDS: [&str; 6] = [
        "idmp-duration",
        "idmp-maxsize",
        "pids-tracked",
        "iids-tracked",
        "iids-added",
        "iids-duplicates",
    ];
    if begins(command, &["XINFO", "STREAM"]) {
        for name in FIELDS {
            drop_number(reply, name, 0);
        }
    }
}

/// A field that has another type or too low a value stays, and is a difference.
fn drop_number(map: &mut Value, name: &str, least: i64) {
    if matches!(field_mut(map, name), Some(Value::Integer(number)) if *number >= least) {
        take_field(map, name);
    }
}

/// 7.4 named the command in small letters, and `+` with it.
fn rewrite_unbalanced(command: &Command, _: &[Stream], reply: &mut Value) {
    let Value::Error(text) = reply else { return };
    let read: [&[u8]; 2] = [
        b"ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be \
          specified.",
        b"ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be \
          specified.",
    ];
    let group: &[u8] = b"ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID \
        or '>' must be specified.";
    if text == read[0] {
        let of_group = is_word(&command[0], "XREADGROUP");
        *text = if of_group { group } else { read[1] }.to_vec();
    }
}

/// `ms-*` where the millisecond has no number left: 7.0 had the error of entries that are too
/// large, by mistake.
fn rewrite_exhausted(command: &Command, _: &[Stream], reply: &mut Value) {
    let Value::Error(text) = reply else { return };
    let counts_on = command.iter().any(|word| word.ends_with(b"-*"));
    if begins(command, &["XADD"]) && counts_on && text == b"ERR Elements are too large to be stored"
    {
        *text = b"ERR The ID specified in XADD is equal or smaller than the target stream top item"
            .to_vec();
    }
}

/// A reader whose stream or group is gone: 7.0 said so in two texts of their own, later versions
/// say what a new XREADGROUP would be told, of one of its streams.
fn rewrite_gone(command: &Command, _: &[Stream], reply: &mut Value) {
    const GONE: [&[u8]; 2] = [
        b"UNBLOCKED the stream key no longer exists",
        b"NOGROUP the consumer group this client was blocked on no longer exists",
    ];
    let Value::Error(text) = reply else { return };
    let waits = command.iter().any(|word| is_word(word, "BLOCK"));
    if waits && begins(command, &["XREADGROUP"]) {
        let start = b"NOGROUP No such key '";
        let end = b" in XREADGROUP with GROUP option";
        if GONE.contains(&text.as_slice()) || (text.starts_with(start) && text.ends_with(end)) {
            *text = b"NOGROUP".to_vec();
        }
    }
}
