//! The errors of Redis' Streams family: as Redis 7.0 gave them when it was asked, but for what
//! later ones say, which stands apart.

use super::*;

const INVALID_ID: &str = "ERR Invalid stream ID specified as stream command argument";
const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const XADD_ARITY: &str = "ERR wrong number of arguments for 'xadd' command";
const LIMIT_ALONE: &str =
    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
const LIMIT_EXACT: &str = "ERR syntax error, LIMIT cannot be used without the special ~ option";
const TWO_TRIMS: &str =
    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
const RANGE_START: &str = "ERR invalid start ID for the interval";
const RANGE_END: &str = "ERR invalid end ID for the interval";
const SYNTAX: &str = "ERR syntax error";
const CREATE: &str =
    "ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.";
const SET_ID: &str =
    "ERR unknown subcommand or wrong number of arguments for 'SETID'. Try XGROUP HELP.";
const STREAM: &str =
    "ERR unknown subcommand or wrong number of arguments for 'stream'. Try XINFO HELP.";
const READ_UNBALANCED: &str = "ERR Unbalanced 'xread' list of streams: for each stream key an \
                               ID, '+', or '$' must be specified.";
const GROUP_UNBALANCED: &str = "ERR Unbalanced 'xreadgroup' list of streams: for each stream \
                                key an ID or '>' must be specified.";
const IDS_COUNT: &str = "ERR Number of IDs must be a positive integer";
const IDS_MISMATCH: &str = "ERR The `numids` parameter must match the number of arguments";
const COUNT_ABOVE_0: &str = "ERR COUNT must be > 0";

const ADD: &[(&str, &str)] = &[
    ("XADD s * a", XADD_ARITY),
    ("XADD s * a b c", XADD_ARITY),
    ("XADD s MAXLEN 5 *", XADD_ARITY),
    ("XADD s MAXLEN 5 * a", XADD_ARITY),
    ("XADD s MAXLEN 5 NOMKSTREAM", XADD_ARITY),
    // The fields are counted before the id is looked at.
    ("XADD s MAXLEN 5 0-0 a", XADD_ARITY),
    ("XADD s MAXLEN 5 a b", INVALID_ID),
    ("XADD s FOO * a b", INVALID_ID),
    ("XADD s MAXLEN 5 foo a", INVALID_ID),
    ("XADD s MINID foo * a b", INVALID_ID),
    ("XADD s MINID 5-* * a b", INVALID_ID),
    ("XADD s MINID - * a b", INVALID_ID),
    ("XADD s *-1 a b", INVALID_ID),
    ("XADD s -* a b", INVALID_ID),
    ("XADD s 5-** a b", INVALID_ID),
    ("XADD s - a b", INVALID_ID),
    ("XADD s + a b", INVALID_ID),
    ("XADD s $ a b", INVALID_ID),
    ("XADD s *foo a b", INVALID_ID),
    ("XADD s 18446744073709551616-1 a b", INVALID_ID),
    // A word that lacks its value is taken for the id.
    ("XADD s maxlen 1000 LIMIT", INVALID_ID),
    ("XADD s NOMKSTREAM NOMKSTREAM MAXLEN", INVALID_ID),
    ("XADD s LIMIT 5 foo a b", INVALID_ID),
    ("XADD s MAXLEN x * a b", NOT_AN_INTEGER),
    ("XADD s MAXLEN ~ * a b", NOT_AN_INTEGER),
    ("XADD s MAXLEN = * a b", NOT_AN_INTEGER),
    ("XADD s NOMKSTREAM MAXLEN ~", NOT_AN_INTEGER),
    ("XADD s MAXLEN 05 * a b", NOT_AN_INTEGER),
    ("XADD s MAXLEN ~ 5 LIMIT x * a b", NOT_AN_INTEGER),
    (
        "XADD s MAXLEN -1 * a b",
        "ERR The MAXLEN argument must be >= 0.",
    ),
    (
        "XADD s MAXLEN ~ 5 LIMIT -1 * a b",
        "ERR The LIMIT argument must be >= 0.",
    ),
    ("XADD s MAXLEN 5 LIMIT 1 * a b", LIMIT_EXACT),
    ("XADD s MAXLEN = 5 LIMIT 0 * a b", LIMIT_EXACT),
    ("XADD s MAXLEN 5 LIMIT 1 * a", LIMIT_EXACT),
    ("XADD s LIMIT 0 * a b", LIMIT_EXACT),
    ("XADD s LIMIT 1 * a b", LIMIT_ALONE),
    ("XADD s LIMIT 5 0-0 a b", LIMIT_ALONE),
    ("XADD s MAXLEN 5 MINID 3 * a b", TWO_TRIMS),
    ("XADD s MINID 3 MAXLEN 5 * a b", TWO_TRIMS),
    ("XADD s MAXLEN 5 MAXLEN 6 * a b", TWO_TRIMS),
    (
        "XADD s 0-0 a b",
        "ERR The ID specified in XADD must be greater than 0-0",
    ),
    (
        "XADD s 0 a b",
        "ERR The ID specified in XADD must be greater than 0-0",
    ),
    (
        "XTRIM s MAXLEN",
        "ERR wrong number of arguments for 'xtrim' command",
    ),
    ("XTRIM s FOO 5", SYNTAX),
    ("XTRIM s = 5", SYNTAX),
    ("XTRIM s NOMKSTREAM MAXLEN 5", SYNTAX),
    ("XTRIM s MAXLEN ~ 5 LIMIT", SYNTAX),
    ("XTRIM s MAXLEN 5 FOO 1", SYNTAX),
    ("XTRIM s LIMIT 0 FOO", SYNTAX),
    ("XTRIM s MAXLEN 5 MINID x", TWO_TRIMS),
    ("XTRIM s MAXLEN 5 LIMIT 3", LIMIT_EXACT),
    ("XTRIM s LIMIT 4", LIMIT_ALONE),
    ("XTRIM s LIMIT x MAXLEN 5", NOT_AN_INTEGER),
    ("XTRIM s MAXLEN ~", NOT_AN_INTEGER),
    ("XTRIM s MAXLEN ~ ~ 5", NOT_AN_INTEGER),
    ("XTRIM s MINID foo", INVALID_ID),
    ("XTRIM s MAXLEN -1", "ERR The MAXLEN argument must be >= 0."),
    (
        "XTRIM s LIMIT 0 LIMIT 0",
        "ERR syntax error, XTRIM must be called with a trimming strategy",
    ),
];

const READ: &[(&str, &str)] = &[
    ("XRANGE s (- +", INVALID_ID),
    ("XRANGE s - (+", INVALID_ID),
    ("XRANGE s ( +", INVALID_ID),
    ("XRANGE s 5-* +", INVALID_ID),
    ("XRANGE s foo + FOO", INVALID_ID),
    ("XRANGE s ++ -", INVALID_ID),
    (
        "XRANGE s (18446744073709551615-18446744073709551615 +",
        RANGE_START,
    ),
    (
        "XRANGE s (18446744073709551615-18446744073709551615 foo",
        RANGE_START,
    ),
    ("XRANGE s - (0-0", RANGE_END),
    ("XRANGE s - + COUNT", SYNTAX),
    ("XRANGE s - + FOO 1", SYNTAX),
    ("XRANGE s - + COUNT x", NOT_AN_INTEGER),
    ("XREVRANGE s (0-0 -", RANGE_END),
    (
        "XREVRANGE s foo (18446744073709551615-18446744073709551615",
        RANGE_START,
    ),
    ("XREVRANGE s + (foo", INVALID_ID),
    (
        "XREAD STREAMS s",
        "ERR wrong number of arguments for 'xread' command",
    ),
    ("XREAD FOO 1 STREAMS s 0", SYNTAX),
    ("XREAD COUNT 1 s 0", SYNTAX),
    ("XREAD COUNT 1 STREAMS", SYNTAX),
    ("XREAD BLOCK 1 COUNT", SYNTAX),
    ("XREAD COUNT x STREAMS s 0", NOT_AN_INTEGER),
    ("XREAD COUNT STREAMS s 0", NOT_AN_INTEGER),
    (
        "XREAD BLOCK x STREAMS s 0",
        "ERR timeout is not an integer or out of range",
    ),
    (
        "XREAD BLOCK 1.5 STREAMS s 0",
        "ERR timeout is not an integer or out of range",
    ),
    ("XREAD BLOCK -1 STREAMS s 0", "ERR timeout is negative"),
    (
        "XREAD STREAMS s >",
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
         <consumer> option.",
    ),
    ("XREAD STREAMS s -", INVALID_ID),
    ("XREAD STREAMS s foo", INVALID_ID),
    ("XREAD STREAMS s (5", INVALID_ID),
    ("XREAD STREAMS s 5-*", INVALID_ID),
    ("XREAD STREAMS a b 0 foo", INVALID_ID),
    (
        "XREAD GROUP g c STREAMS s 0",
        "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
    ),
    (
        "XREAD NOACK STREAMS s 0",
        "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
    ),
    ("XREADGROUP FOO g c STREAMS s >", SYNTAX),
    ("XREADGROUP GROUP g c COUNT 1 s >", SYNTAX),
    ("XREADGROUP COUNT 1 GROUP g STREAMS x", SYNTAX),
    (
        "XREADGROUP GROUP g c STREAMS s $",
        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history \
         of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ \
         ID would just return an empty result set.",
    ),
    ("XREADGROUP GROUP g c STREAMS s x", INVALID_ID),
    (
        "XREADGROUP NOACK NOACK NOACK STREAMS s >",
        "ERR Missing GROUP option for XREADGROUP",
    ),
    (
        "XREADGROUP GROUP g c BLOCK -1 STREAMS s 0",
        "ERR timeout is negative",
    ),
];

const CHANGE: &[(&str, &str)] = &[
    ("XDEL s foo", INVALID_ID),
    ("XDEL s 5 (5", INVALID_ID),
    ("XDEL s 5-*", INVALID_ID),
    ("XACK s g 5 x", INVALID_ID),
    ("XSETID s foo", INVALID_ID),
    ("XSETID s 99-1 ENTRIESADDED 5 MAXDELETEDID foo", INVALID_ID),
    ("XSETID s 99-1 ENTRIESADDED", SYNTAX),
    ("XSETID s 99-1 5 6", SYNTAX),
    ("XSETID s 99-1 ENTRIESADDED 5 MAXDELETEDID 1 x", SYNTAX),
    (
        "XSETID s 99-1 ENTRIESADDED x MAXDELETEDID 5",
        NOT_AN_INTEGER,
    ),
    (
        "XSETID s 99-1 ENTRIESADDED -1 MAXDELETEDID 5",
        "ERR entries_added must be positive",
    ),
    (
        "XSETID s 99-1 ENTRIESADDED 5 MAXDELETEDID 100",
        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
    ),
    ("XINFO FOO", "ERR unknown subcommand 'FOO'. Try XINFO HELP."),
    ("XINFO", "ERR wrong number of arguments for 'xinfo' command"),
    (
        "XINFO GROUPS s x",
        "ERR wrong number of arguments for 'xinfo|groups' command",
    ),
    ("XINFO stream s FOO", STREAM),
    ("XINFO stream s FULL COUNT", STREAM),
    ("XINFO stream s FULL FOO 1", STREAM),
    ("XINFO stream s FULL COUNT 1 2", STREAM),
    ("XINFO stream s FULL COUNT x", NOT_AN_INTEGER),
    (
        "XINFO HELP x",
        "ERR wrong number of arguments for 'xinfo|help' command",
    ),
];

const GROUP: &[(&str, &str)] = &[
    (
        "XGROUP CREATE s g",
        "ERR wrong number of arguments for 'xgroup|create' command",
    ),
    ("XGROUP CREATE s g foo", INVALID_ID),
    ("XGROUP CREATE s g +", INVALID_ID),
    ("XGROUP CREATE s g 5-*", INVALID_ID),
    ("XGROUP CREATE s g 0 FOO", CREATE),
    ("XGROUP CREATE s g 0 MKSTREAM FOO", CREATE),
    ("XGROUP CREATE s g 0 ENTRIESREAD", CREATE),
    ("XGROUP CREATE s g 0 ENTRIESREAD 5 ENTRIESREAD 6", CREATE),
    ("XGROUP CREATE s g 0 ENTRIESREAD x", NOT_AN_INTEGER),
    (
        "XGROUP CREATE s g 0 ENTRIESREAD -2",
        "ERR value for ENTRIESREAD must be positive or -1",
    ),
    ("XGROUP SETID s g 0 MKSTREAM", SET_ID),
    ("XGROUP SETID s g 0 ENTRIESREAD", SET_ID),
    ("XGROUP SETID s g 0 ENTRIESREAD 5 x", SET_ID),
    (
        "XGROUP DELCONSUMER s g",
        "ERR wrong number of arguments for 'xgroup|delconsumer' command",
    ),
    (
        "XGROUP FOO",
        "ERR unknown subcommand 'FOO'. Try XGROUP HELP.",
    ),
    ("XPENDING s g -", SYNTAX),
    ("XPENDING s g - +", SYNTAX),
    ("XPENDING s g IDLE 5 - +", SYNTAX),
    ("XPENDING s g IDLE 5 - + 10 c d", SYNTAX),
    ("XPENDING s g foo + x", NOT_AN_INTEGER),
    ("XPENDING s g IDLE x - + 10", NOT_AN_INTEGER),
    ("XPENDING s g FOO 5 - + 10", NOT_AN_INTEGER),
    ("XPENDING s g (- + 10", INVALID_ID),
    ("XPENDING s g - (0-0 10", RANGE_END),
    (
        "XPENDING s g (18446744073709551615-18446744073709551615 foo 10",
        RANGE_START,
    ),
    (
        "XCLAIM s g c x 5",
        "ERR Invalid min-idle-time argument for XCLAIM",
    ),
    (
        "XCLAIM s g c 0 5-1 foo",
        "ERR Unrecognized XCLAIM option 'foo'",
    ),
    (
        "XCLAIM s g c 0 5-1 FORCE 5-2",
        "ERR Unrecognized XCLAIM option '5-2'",
    ),
    (
        "XCLAIM s g c 0 5-1 IDLE",
        "ERR Unrecognized XCLAIM option 'IDLE'",
    ),
    (
        "XCLAIM s g c 0 5-1 IDLE x",
        "ERR Invalid IDLE option argument for XCLAIM",
    ),
    (
        "XCLAIM s g c 0 5-1 TIME x",
        "ERR Invalid TIME option argument for XCLAIM",
    ),
    (
        "XCLAIM s g c 0 5-1 RETRYCOUNT x",
        "ERR Invalid RETRYCOUNT option argument for XCLAIM",
    ),
    ("XCLAIM s g c 0 5-1 LASTID x", INVALID_ID),
    (
        "XAUTOCLAIM s g c x foo",
        "ERR Invalid min-idle-time argument for XAUTOCLAIM",
    ),
    ("XAUTOCLAIM s g c 0 (-", INVALID_ID),
    (
        "XAUTOCLAIM s g c 0 (18446744073709551615-18446744073709551615",
        RANGE_START,
    ),
    ("XAUTOCLAIM s g c 0 foo COUNT x", INVALID_ID),
    ("XAUTOCLAIM s g c 0 0 COUNT", SYNTAX),
    ("XAUTOCLAIM s g c 0 0 FOO", SYNTAX),
    ("XAUTOCLAIM s g c 0 0 COUNT x", COUNT_ABOVE_0),
    ("XAUTOCLAIM s g c 0 0 COUNT 0", COUNT_ABOVE_0),
    ("XAUTOCLAIM s g c 0 0 COUNT -1", COUNT_ABOVE_0),
    (
        "XAUTOCLAIM s g c 0 0 COUNT 576460752303423488",
        COUNT_ABOVE_0,
    ),
];

/// Redis 7.0 says this otherwise, or does not have it.
const LATER: &[(&str, &str)] = &[
    ("XREAD STREAMS s t 0", READ_UNBALANCED),
    ("XREAD STREAMS s t u", READ_UNBALANCED),
    ("XREADGROUP GROUP g c STREAMS s t >", GROUP_UNBALANCED),
    // The streams are counted before the group is missed.
    ("XREADGROUP NOACK NOACK STREAMS a b 0", GROUP_UNBALANCED),
    (
        "XREAD CLAIM 5 STREAMS s 0",
        "ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.",
    ),
    (
        "XREADGROUP GROUP g c STREAMS s +",
        "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history \
         of this consumer by specifying a proper ID, or use the > ID to get new messages. The + \
         ID would just return an empty result set.",
    ),
    (
        "XREADGROUP GROUP g c CLAIM x STREAMS s >",
        "ERR min-idle-time is not an integer or out of range",
    ),
    (
        "XREADGROUP GROUP g c CLAIM -0 STREAMS s >",
        "ERR min-idle-time is not an integer or out of range",
    ),
    (
        "XREADGROUP GROUP g c CLAIM -10 STREAMS s >",
        "ERR min-idle-time must be a positive integer",
    ),
    ("XREAD MAXCOUNT x STREAMS s 0", NOT_AN_INTEGER),
    ("XREAD MAXSIZE x STREAMS s 0", NOT_AN_INTEGER),
    (
        "XREAD MAXCOUNT 0 STREAMS s 0",
        "ERR MAXCOUNT must be a positive integer",
    ),
    (
        "XREADGROUP GROUP g c MAXSIZE -1 STREAMS s >",
        "ERR MAXSIZE must be a positive integer",
    ),
    (
        "XREAD MAXCOUNT 1 COUNT 2 STREAMS s 0",
        "ERR MAXCOUNT must be greater than or equal to COUNT",
    ),
    (
        "XREAD BLOCK 9223372036854775807 STREAMS s 0",
        "ERR timeout is out of range",
    ),
    ("XADD s KEEPREF DELREF * a b", INVALID_ID),
    ("XTRIM s MAXLEN 5 ACKED ACKED", SYNTAX),
    (
        "XADD s IDMP p k 1-1 a b",
        "ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
    ),
    (
        "XADD s IDMPAUTO p 1-* a b",
        "ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
    ),
    (
        "XADD s IDMP p k IDMPAUTO p * a b",
        "ERR syntax error, IDMP/IDMPAUTO specified multiple times",
    ),
    // The id is taken for the key, and the field for the id.
    ("XADD s IDMP p * a b", INVALID_ID),
    ("XDELEX s IDS 0 1-1", IDS_COUNT),
    ("XDELEX s IDS -5 1-1", IDS_COUNT),
    ("XDELEX s IDS x 1-1", IDS_COUNT),
    ("XDELEX s IDS 3 1-1 2-2", IDS_MISMATCH),
    ("XDELEX s IDS 9223372036854775807 1-1", IDS_MISMATCH),
    ("XDELEX s IDS 1 1-1 2-2", SYNTAX),
    ("XDELEX s IDS 1 1-1 IDS 0 1-1", IDS_COUNT),
    ("XDELEX s IDS 2 1-1 IDS 1", SYNTAX),
    ("XDELEX s ACKED IDS 1 1-1 KEEPREF", SYNTAX),
    ("XDELEX s FOO IDS 1 1-1", SYNTAX),
    ("XDELEX s KEEPREF ACKED IDS 1 1-1", SYNTAX),
    ("XDELEX s KEEPREF 1-1 2-2", SYNTAX),
    ("XDELEX s KEEPREF DELREF IDS", SYNTAX),
    ("XDELEX s IDS 1 foo", INVALID_ID),
    (
        "XDELEX s IDS 1",
        "ERR wrong number of arguments for 'xdelex' command",
    ),
    ("XACKDEL s g IDS 0 1-1", IDS_COUNT),
    ("XACKDEL s g IDS 2 1-1", IDS_MISMATCH),
    ("XACKDEL s g FOO IDS 1 1-1", SYNTAX),
    (
        "XNACK s g FOO IDS 1 1-1",
        "ERR mode must be SILENT, FAIL, or FATAL",
    ),
    (
        "XNACK s g FAIL IDS 0 1-1",
        "ERR numids must be a positive integer",
    ),
    (
        "XNACK s g FAIL IDS 2 1-1",
        "ERR number of IDs doesn't match numids",
    ),
    (
        "XNACK s g FAIL IDS 1 1-1 2-2",
        "ERR Unrecognized XNACK option '2-2'",
    ),
    (
        "XNACK s g FAIL FORCE FORCE FORCE",
        "ERR syntax error, expected IDS keyword",
    ),
    (
        "XNACK s g FAIL FATAL IDS 1 1-1",
        "ERR Unrecognized XNACK option 'FATAL'",
    ),
    (
        "XNACK s g FAIL IDS 1 1-1 RETRYCOUNT",
        "ERR Unrecognized XNACK option 'RETRYCOUNT'",
    ),
    ("XNACK s g FAIL IDS 1 1-1 RETRYCOUNT x", NOT_AN_INTEGER),
    (
        "XNACK s g FAIL IDS 1 1-1 RETRYCOUNT -1",
        "ERR Invalid RETRYCOUNT value, must be >= 0",
    ),
    ("XCFGSET s", "ERR At least one parameter must be specified"),
    ("XCFGSET s IDMP-DURATION", SYNTAX),
    ("XCFGSET s FOO 5", SYNTAX),
    (
        "XCFGSET s IDMP-MAXSIZE 5 IDMP-MAXSIZE 6",
        "ERR IDMP-MAXSIZE specified multiple times",
    ),
    ("XCFGSET s IDMP-DURATION x", NOT_AN_INTEGER),
    (
        "XCFGSET s IDMP-DURATION 0",
        "ERR IDMP-DURATION must be between 1 and 86400 seconds",
    ),
    (
        "XCFGSET s IDMP-DURATION 86401",
        "ERR IDMP-DURATION must be between 1 and 86400 seconds",
    ),
    (
        "XCFGSET s IDMP-MAXSIZE -1",
        "ERR IDMP-MAXSIZE must be between 1 and 10000 entries",
    ),
    (
        "XCFGSET s IDMP-MAXSIZE 10001",
        "ERR IDMP-MAXSIZE must be between 1 and 10000 entries",
    ),
    // MeiliES' own option, and names that only MeiliES refuses.
    (
        "XADD s EXPECT -1 * a b",
        "ERR syntax error: EXPECT takes an event number, none, exists or any, got '-1'",
    ),
    (
        "XADD s EXPECT 1 EXPECT 1 * a b",
        "ERR syntax error: option EXPECT is given twice",
    ),
    (
        "XADD s MAXLEN 5 EXPECT",
        "ERR syntax error: option EXPECT needs a value",
    ),
    (
        "XADD $all * a b",
        "ERR stream name '$all' begins with '$': these names are the system's",
    ),
    (
        "XGROUP CREATE $all g 0",
        "ERR stream name '$all' begins with '$': these names are the system's",
    ),
    ("XLEN ", "ERR stream name is empty"),
];

#[test]
fn refusals_have_the_words_of_redis() {
    for (line, text) in [ADD, READ, CHANGE, GROUP, LATER].concat() {
        assert_eq!(refusal(line), text, "{line}");
    }
}
