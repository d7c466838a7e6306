//! The rows that are as Redis 7.0 has them, by what its `COMMAND` said when it was asked.

use super::*;

/// Full name, arity, first and last key and the step between them, and the flags.
const REDIS: &[&str] = &[
    "auth -2 0 0 0 allow_busy fast loading no_auth noscript stale",
    "client -2 0 0 0",
    "client|getname 2 0 0 0 loading noscript stale",
    "client|help 2 0 0 0 loading stale",
    "client|id 2 0 0 0 loading noscript stale",
    "client|info 2 0 0 0 loading noscript stale",
    "client|kill -3 0 0 0 admin loading noscript stale",
    "client|list -2 0 0 0 admin loading noscript stale",
    "client|no-evict 3 0 0 0 admin loading noscript stale",
    "client|pause -3 0 0 0 admin loading noscript stale",
    "client|reply 3 0 0 0 loading noscript stale",
    "client|setname 3 0 0 0 loading noscript stale",
    "client|unblock -3 0 0 0 admin loading noscript stale",
    "client|unpause 2 0 0 0 admin loading noscript stale",
    "command -1 0 0 0 loading stale",
    "command|count 2 0 0 0 loading stale",
    "command|docs -2 0 0 0 loading stale",
    "command|help 2 0 0 0 loading stale",
    "command|info -2 0 0 0 loading stale",
    "command|list -2 0 0 0 loading stale",
    "config -2 0 0 0",
    "config|get -3 0 0 0 admin loading noscript stale",
    "config|help 2 0 0 0 loading stale",
    "config|resetstat 2 0 0 0 admin loading noscript stale",
    "config|rewrite 2 0 0 0 admin loading noscript stale",
    "config|set -4 0 0 0 admin loading noscript stale",
    "dbsize 1 0 0 0 fast readonly",
    "del -2 1 -1 1 write",
    "discard 1 0 0 0 allow_busy fast loading noscript stale",
    "echo 2 0 0 0 fast loading stale",
    "exec 1 0 0 0 loading noscript skip_slowlog stale",
    "exists -2 1 -1 1 fast readonly",
    "expiretime 2 1 1 1 fast readonly",
    "flushall -1 0 0 0 write",
    "flushdb -1 0 0 0 write",
    "hello -1 0 0 0 allow_busy fast loading no_auth noscript stale",
    "info -1 0 0 0 loading stale",
    "keys 2 0 0 0 readonly",
    "lastsave 1 0 0 0 fast loading stale",
    "latency -2 0 0 0",
    "latency|doctor 2 0 0 0 admin loading noscript stale",
    "latency|help 2 0 0 0 loading stale",
    "latency|histogram -2 0 0 0 admin loading noscript stale",
    "latency|history 3 0 0 0 admin loading noscript stale",
    "latency|latest 2 0 0 0 admin loading noscript stale",
    "latency|reset -2 0 0 0 admin loading noscript stale",
    "memory -2 0 0 0",
    "memory|help 2 0 0 0 loading stale",
    "memory|usage -3 2 2 1 readonly",
    "monitor 1 0 0 0 admin loading noscript stale",
    "module -2 0 0 0",
    "module|help 2 0 0 0 loading stale",
    "module|list 2 0 0 0 admin noscript",
    "multi 1 0 0 0 allow_busy fast loading noscript stale",
    "object -2 0 0 0",
    "object|encoding 3 2 2 1 readonly",
    "object|freq 3 2 2 1 readonly",
    "object|help 2 0 0 0 loading stale",
    "object|idletime 3 2 2 1 readonly",
    "object|refcount 3 2 2 1 readonly",
    "persist 2 1 1 1 fast write",
    "pexpiretime 2 1 1 1 fast readonly",
    "ping -1 0 0 0 fast",
    "pttl 2 1 1 1 fast readonly",
    "quit -1 0 0 0 allow_busy fast loading no_auth noscript stale",
    "randomkey 1 0 0 0 readonly",
    "rename 3 1 2 1 write",
    "renamenx 3 1 2 1 fast write",
    "reset 1 0 0 0 allow_busy fast loading no_auth noscript stale",
    "scan -2 0 0 0 readonly",
    "select 2 0 0 0 fast loading stale",
    "shutdown -1 0 0 0 admin allow_busy loading no_multi noscript stale",
    "slowlog -2 0 0 0",
    "slowlog|get -2 0 0 0 admin loading stale",
    "slowlog|help 2 0 0 0 loading stale",
    "slowlog|len 2 0 0 0 admin loading stale",
    "slowlog|reset 2 0 0 0 admin loading stale",
    "subscribe -2 0 0 0 loading noscript pubsub stale",
    "time 1 0 0 0 fast loading stale",
    "touch -2 1 -1 1 fast readonly",
    "ttl 2 1 1 1 fast readonly",
    "type 2 1 1 1 fast readonly",
    "unlink -2 1 -1 1 fast write",
    "unsubscribe -1 0 0 0 loading noscript pubsub stale",
    "unwatch 1 0 0 0 allow_busy fast loading noscript stale",
    "watch -2 1 -1 1 allow_busy fast loading noscript stale",
    "xack -4 1 1 1 fast write",
    "xadd -5 1 1 1 denyoom fast write",
    "xautoclaim -6 1 1 1 fast write",
    "xclaim -6 1 1 1 fast write",
    "xdel -3 1 1 1 fast write",
    "xgroup -2 0 0 0",
    "xgroup|create -5 2 2 1 denyoom write",
    "xgroup|createconsumer 5 2 2 1 denyoom write",
    "xgroup|delconsumer 5 2 2 1 write",
    "xgroup|destroy 4 2 2 1 write",
    "xgroup|help 2 0 0 0 loading stale",
    "xgroup|setid -5 2 2 1 write",
    "xinfo -2 0 0 0",
    "xinfo|consumers 4 2 2 1 readonly",
    "xinfo|groups 3 2 2 1 readonly",
    "xinfo|help 2 0 0 0 loading stale",
    "xinfo|stream -3 2 2 1 readonly",
    "xlen 2 1 1 1 fast readonly",
    "xpending -3 1 1 1 readonly",
    "xrange -4 1 1 1 readonly",
    "xread -4 0 0 0 blocking movablekeys readonly",
    "xreadgroup -7 0 0 0 blocking movablekeys write",
    "xrevrange -4 1 1 1 readonly",
    "xsetid -3 1 1 1 denyoom fast write",
    "xtrim -4 1 1 1 write",
];

/// What Redis 7.0 does not have, or what other versions or MeiliES have otherwise.
const OTHERS: &[&str] = &[
    "bgrewriteaof",
    "bgsave",
    "client|no-touch",
    "client|setinfo",
    "command|getkeys",
    "command|getkeysandflags",
    "last-event-number",
    "publish",
    "publish-many",
    "read-events",
    "save",
    "stream-info",
    "stream-names",
    "wait",
    "waitaof",
    "xackdel",
    "xcfgset",
    "xdelex",
    "xnack",
];

#[test]
fn rows_are_as_redis_has_them() {
    let mut names = Vec::new();
    for line in REDIS {
        let mut words = line.split(' ');
        let name = words.next().expect("a line begins with a name");
        let row = lookup::find_full(name.as_bytes());
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table"));
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
        let numbers = [number(), number(), number(), number()];
        let Keys {
            first, last, step, ..
        } = row.keys;
        assert_eq!(numbers, [row.arity, first, last, step].map(Some), "{name}");
        let mut flags: Vec<&str> = row.flags.names().collect();
        flags.sort_unstable();
        assert_eq!(flags, words.collect::<Vec<&str>>(), "{name}");
        names.push(name);
    }
    names.extend(OTHERS);
    names.sort_unstable();
    let mut all: Vec<&str> = rows().map(|row| row.full_name).collect();
    all.sort_unstable();
    assert_eq!(all, names);
}
