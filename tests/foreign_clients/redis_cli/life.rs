//! The life as commands and what redis-cli says to them.

/// Lines that show what a terminal shows.
type Lines = &'static [&'static str];

/// Commands and the words of their replies; at the end `orders` has five entries, the last 60-0.
pub(super) const LIFE: &[(&str, &str)] = &[
    // Adding.
    ("XADD orders 1-0 n 1", "1-0"),
    ("XADD orders 2-* n 2", "2-0"),
    ("XADD orders MAXLEN ~ 1000 3-0 n 3", "3-0"),
    ("XADD orders 4 n 4 m 5 n 6", "4-0"),
    ("XADD missing NOMKSTREAM * n 1", ""),
    ("XLEN orders", "4"),
    ("XLEN missing", "0"),
    (
        "XADD orders 4-0 n 1",
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ),
    (
        "XADD orders 0-0 n 1",
        "ERR The ID specified in XADD must be greater than 0-0",
    ),
    (
        "XADD orders nonsense n 1",
        "ERR Invalid stream ID specified as stream command argument",
    ),
    (
        "XADD orders * n",
        "ERR wrong number of arguments for 'xadd' command",
    ),
    // Reading.
    ("XRANGE orders - + COUNT 2", "1-0 n 1 2-0 n 2"),
    ("XRANGE orders (1-0 (4-0", "2-0 n 2 3-0 n 3"),
    ("XRANGE orders 4 4", "4-0 n 4 m 5 n 6"),
    ("XREVRANGE orders (4-0 - COUNT 2", "3-0 n 3 2-0 n 2"),
    ("XRANGE missing - +", ""),
    ("XADD others 1-0 a b", "1-0"),
    (
        "XREAD COUNT 1 STREAMS orders others 2-0 0",
        "orders 3-0 n 3 others 1-0 a b",
    ),
    ("XREAD STREAMS orders others 9-0 $", ""),
    (
        "XINFO STREAM others FULL",
        "length 1 radix-tree-keys <n> radix-tree-nodes <n> last-generated-id 1-0 \
         max-deleted-entry-id 0-0 entries-added 1 recorded-first-entry-id 1-0 entries 1-0 a b \
         groups",
    ),
    // Groups.
    ("XGROUP CREATE orders g 0", "OK"),
    (
        "XGROUP CREATE orders g 0",
        "BUSYGROUP Consumer Group name already exists",
    ),
    ("XGROUP CREATE made g $ MKSTREAM", "OK"),
    ("XLEN made", "0"),
    (
        "XREADGROUP GROUP g alice COUNT 2 STREAMS orders >",
        "orders 1-0 n 1 2-0 n 2",
    ),
    (
        "XREADGROUP GROUP g bob COUNT 1 STREAMS orders >",
        "orders 3-0 n 3",
    ),
    (
        "XREADGROUP GROUP g alice STREAMS orders 1-0",
        "orders 2-0 n 2",
    ),
    ("XREADGROUP GROUP g carol STREAMS orders 0", "orders"),
    (
        "XREADGROUP GROUP nobody alice STREAMS orders >",
        "NOGROUP No such key 'orders' or consumer group 'nobody' in XREADGROUP with GROUP option",
    ),
    ("XPENDING orders g", "3 1-0 3-0 alice 2 bob 1"),
    (
        "XPENDING orders g - + 9",
        "1-0 alice <n> 1 2-0 alice <n> 2 3-0 bob <n> 1",
    ),
    ("XPENDING orders g IDLE 3600000 - + 9", ""),
    ("XPENDING orders g (1-0 + 9 alice", "2-0 alice <n> 2"),
    ("XACK orders g 1-0 9-9", "1"),
    ("XCLAIM orders g carol 0 2-0", "2-0 n 2"),
    ("XCLAIM orders g carol 3600000 3-0", ""),
    ("XCLAIM orders g carol 0 3-0 JUSTID", "3-0"),
    ("XAUTOCLAIM orders g dave 0 0 COUNT 1", "3-0 2-0 n 2"),
    ("XDEL orders 3-0", "1"),
    ("XAUTOCLAIM orders g dave 0 3-0", "0-0 3-0"),
    (
        "XINFO STREAM orders",
        "length 3 radix-tree-keys <n> radix-tree-nodes <n> last-generated-id 4-0 \
         max-deleted-entry-id 3-0 entries-added 4 recorded-first-entry-id 1-0 groups 1 \
         first-entry 1-0 n 1 last-entry 4-0 n 4 m 5 n 6",
    ),
    (
        "XINFO GROUPS made",
        "name g consumers 0 pending 0 last-delivered-id 0-0 entries-read lag 0",
    ),
    ("XINFO STREAM missing", "ERR no such key"),
    (
        "XINFO NONSENSE orders",
        "ERR unknown subcommand 'NONSENSE'. Try XINFO HELP.",
    ),
    ("XGROUP CREATECONSUMER orders g erin", "1"),
    ("XGROUP DELCONSUMER orders g dave", "1"),
    ("XGROUP DELCONSUMER orders g nobody", "0"),
    ("XGROUP SETID made g 0", "OK"),
    ("XGROUP DESTROY made g", "1"),
    ("XGROUP DESTROY made g", "0"),
    (
        "XINFO CONSUMERS made g",
        "NOGROUP No such consumer group 'g' for key name 'made'",
    ),
    // Trimming and deleting.
    ("XTRIM orders MAXLEN 2", "1"),
    ("XTRIM orders MINID = 3", "1"),
    ("XTRIM orders MAXLEN ~ 100", "0"),
    ("XSETID orders 50-0", "OK"),
    ("XADD orders 50-* n 1", "50-1"),
    (
        "XSETID orders 49-0",
        "ERR The ID specified in XSETID is smaller than the target stream top item",
    ),
    // Keys, whatever their names.
    ("EXISTS orders others made missing", "3"),
    ("TYPE orders", "stream"),
    ("TYPE missing", "none"),
    ("KEYS oth*", "others"),
    ("TTL orders", "-1"),
    ("TTL missing", "-2"),
    ("RENAME others 'two words: ключ'", "OK"),
    ("RENAME others orders", "ERR no such key"),
    ("XRANGE 'two words: ключ' - +", "1-0 a b"),
    ("SCAN 0 MATCH two* TYPE stream", "0 two words: ключ"),
    ("DEL 'two words: ключ' made", "2"),
    ("DBSIZE", "1"),
    // Without a connection of its own nothing is a transaction.
    ("MULTI", "OK"),
    ("EXEC", "ERR EXEC without MULTI"),
    (
        "NONSENSE a",
        "ERR unknown command 'NONSENSE', with args beginning with: 'a'",
    ),
    ("XADD orders 60-0 n 1", "60-0"),
    ("XGROUP SETID orders g $", "OK"),
];

/// Lines and replies that are alike in both protocol versions.
pub(super) const AT_A_TERMINAL: &[(&str, Lines)] = &[
    ("XADD orders 1-0 n 1", &["…\"1-0\""]),
    (
        "XADD orders 1-0",
        &["…(error) ERR wrong number of arguments for 'xadd' command"],
    ),
    (
        "XRANGE orders - +",
        &["…1) 1) \"1-0\"", "   2) 1) \"n\"", "      2) \"1\""],
    ),
    ("XRANGE orders 2 +", &["…(empty array)"]),
    ("XREAD STREAMS orders 1-0", &["…(nil)"]),
    ("XGROUP CREATE orders g 0", &["…OK"]),
    (
        "XREADGROUP GROUP g alice STREAMS nonsense >",
        &["…(error) NOGROUP No such key 'nonsense' or consumer group 'g'"],
    ),
    ("XLEN orders", &["…(integer) 1"]),
    ("MULTI", &["…OK"]),
    ("XLEN orders", &["…QUEUED"]),
    ("EXEC", &["…1) (integer) 1"]),
    ("MULTI", &["…OK"]),
    ("XADD orders", &["…(error) ERR wrong number of arguments"]),
    (
        "EXEC",
        &["…(error) EXECABORT Transaction discarded because of previous errors."],
    ),
    ("TYPE orders", &["…stream"]),
];

/// Lines and replies that the protocol version changes: RESP2 has no maps.
pub(super) fn at_a_terminal_in(version: &str) -> &'static [(&'static str, Lines)] {
    match version {
        "-2" => &[
            (
                "XREADGROUP GROUP g alice STREAMS orders >",
                &[
                    "…1) 1) \"orders\"",
                    "   2) 1) 1) \"1-0\"",
                    "         2) 1) \"n\"",
                    "            2) \"1\"",
                ],
            ),
            (
                "XINFO GROUPS orders",
                &["…1)  1) \"name\"", "    2) \"g\"", "    3) \"consumers\""],
            ),
            PENDING,
        ],
        _ => &[
            (
                "XREADGROUP GROUP g alice STREAMS orders >",
                &[
                    "…1# \"orders\" => ",
                    "   1) 1) \"1-0\"",
                    "      2) 1) \"n\"",
                    "         2) \"1\"",
                ],
            ),
            (
                "XINFO GROUPS orders",
                &[
                    "…1) 1# \"name\" => \"g\"",
                    "   2# \"consumers\" => (integer) 1",
                ],
            ),
            PENDING,
        ],
    }
}

const PENDING: (&str, Lines) = (
    "XPENDING orders g",
    &[
        "…1) (integer) 1",
        "2) \"1-0\"",
        "3) \"1-0\"",
        "4) 1) 1) \"alice\"",
        "      2) \"1\"",
    ],
);
