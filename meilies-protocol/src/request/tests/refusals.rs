//! The errors of Redis' own commands, as Redis 7 gave them when it was asked.

use bytes::BytesMut;

use super::*;

/// What Redis 7 says to its own commands, and what is said alike to ours.
const REFUSALS: &[(&str, &str)] = &[
    (
        "FOO a b",
        "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ",
    ),
    (
        "FOO",
        "ERR unknown command 'FOO', with args beginning with: ",
    ),
    (
        "client|id",
        "ERR unknown command 'client|id', with args beginning with: ",
    ),
    (
        "PSUBSCRIBE x*",
        "ERR unknown command 'PSUBSCRIBE', with args beginning with: 'x*' ",
    ),
    (
        "CLIENT",
        "ERR wrong number of arguments for 'client' command",
    ),
    (
        "CLIENT FOO a",
        "ERR unknown subcommand 'FOO'. Try CLIENT HELP.",
    ),
    (
        "config foo",
        "ERR unknown subcommand 'foo'. Try CONFIG HELP.",
    ),
    (
        "COMMAND FOO",
        "ERR unknown subcommand 'FOO'. Try COMMAND HELP.",
    ),
    (
        "CLIENT KILL",
        "ERR wrong number of arguments for 'client|kill' command",
    ),
    (
        "CLIENT HELP x",
        "ERR wrong number of arguments for 'client|help' command",
    ),
    (
        "CLIENT SETNAME",
        "ERR wrong number of arguments for 'client|setname' command",
    ),
    ("CLIENT KILL ID x", "ERR client-id should be greater than 0"),
    ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
    ("CLIENT KILL FOO bar", "ERR syntax error"),
    ("CLIENT KILL TYPE foo", "ERR Unknown client type 'foo'"),
    ("CLIENT KILL SKIPME x", "ERR syntax error"),
    ("CLIENT KILL a b c", "ERR syntax error"),
    ("CLIENT KILL ID 1 TYPE", "ERR syntax error"),
    (
        "CLIENT KILL MAXAGE x",
        "ERR value is not an integer or out of range",
    ),
    (
        "CLIENT KILL MAXAGE 0",
        "ERR maxage should be greater than 0",
    ),
    ("CLIENT LIST FOO", "ERR syntax error"),
    ("CLIENT LIST TYPE", "ERR syntax error"),
    ("CLIENT LIST TYPE x", "ERR Unknown client type 'x'"),
    ("CLIENT LIST TYPE normal x", "ERR syntax error"),
    ("CLIENT LIST ID", "ERR syntax error"),
    ("CLIENT LIST ID x", "ERR Invalid client ID"),
    ("CLIENT REPLY x", "ERR syntax error"),
    ("CLIENT NO-EVICT x", "ERR syntax error"),
    ("CLIENT SETINFO a b", "ERR Unrecognized option 'a'"),
    (
        "HELLO x",
        "ERR Protocol version is not an integer or out of range",
    ),
    (
        "HELLO 99999999999999999999",
        "ERR Protocol version is not an integer or out of range",
    ),
    ("HELLO 4", "NOPROTO unsupported protocol version"),
    ("HELLO -1", "NOPROTO unsupported protocol version"),
    ("HELLO 3 FOO", "ERR Syntax error in HELLO option 'FOO'"),
    ("HELLO 3 AUTH a", "ERR Syntax error in HELLO option 'AUTH'"),
    (
        "HELLO 3 SETNAME",
        "ERR Syntax error in HELLO option 'SETNAME'",
    ),
    ("SELECT x", "ERR value is not an integer or out of range"),
    (
        "SELECT 99999999999",
        "ERR value is out of range, value must between -2147483648 and 2147483647",
    ),
    ("SCAN x", "ERR invalid cursor"),
    ("SCAN 18446744073709551616", "ERR invalid cursor"),
    ("SCAN 0 COUNT 0", "ERR syntax error"),
    ("SCAN 0 COUNT -1", "ERR syntax error"),
    (
        "SCAN 0 COUNT x",
        "ERR value is not an integer or out of range",
    ),
    ("SCAN 0 FOO", "ERR syntax error"),
    ("SCAN 0 MATCH", "ERR syntax error"),
    ("AUTH", "ERR wrong number of arguments for 'auth' command"),
    ("AUTH a b c", "ERR syntax error"),
    (
        "PING a b",
        "ERR wrong number of arguments for 'ping' command",
    ),
    (
        "CONFIG SET a",
        "ERR wrong number of arguments for 'config|set' command",
    ),
    ("CONFIG SET a b c", "ERR syntax error"),
    (
        "CONFIG GET",
        "ERR wrong number of arguments for 'config|get' command",
    ),
    (
        "COMMAND COUNT x",
        "ERR wrong number of arguments for 'command|count' command",
    ),
    ("COMMAND LIST FOO", "ERR syntax error"),
    ("COMMAND LIST FILTERBY PATTERN", "ERR syntax error"),
    ("COMMAND LIST FILTERBY FOO x", "ERR syntax error"),
    ("SHUTDOWN FOO", "ERR syntax error"),
    ("SHUTDOWN ABORT NOW", "ERR syntax error"),
    ("SHUTDOWN SAVE NOSAVE", "ERR syntax error"),
    (
        "EXISTS",
        "ERR wrong number of arguments for 'exists' command",
    ),
    ("TIME x", "ERR wrong number of arguments for 'time' command"),
    (
        "CLIENT PAUSE x",
        "ERR timeout is not an integer or out of range",
    ),
    (
        "CLIENT PAUSE x FOO",
        "ERR CLIENT PAUSE mode must be WRITE or ALL",
    ),
    ("CLIENT PAUSE -1", "ERR timeout is negative"),
    (
        "CLIENT PAUSE 1 WRITE x",
        "ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.",
    ),
    (
        "CLIENT UNBLOCK x",
        "ERR value is not an integer or out of range",
    ),
    (
        "CLIENT UNBLOCK x FOO",
        "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
    ),
    (
        "client unblock 5 ERROR x",
        "ERR unknown subcommand or wrong number of arguments for 'unblock'. Try CLIENT HELP.",
    ),
    ("FLUSHALL FOO", "ERR syntax error"),
    ("FLUSHALL ASYNC SYNC", "ERR syntax error"),
    ("FLUSHDB x y", "ERR syntax error"),
    ("DEL", "ERR wrong number of arguments for 'del' command"),
    (
        "RENAME a",
        "ERR wrong number of arguments for 'rename' command",
    ),
    ("WATCH", "ERR wrong number of arguments for 'watch' command"),
    (
        "MULTI x",
        "ERR wrong number of arguments for 'multi' command",
    ),
    (
        "MEMORY FOO",
        "ERR unknown subcommand 'FOO'. Try MEMORY HELP.",
    ),
    ("MEMORY USAGE a FOO", "ERR syntax error"),
    ("MEMORY USAGE a SAMPLES", "ERR syntax error"),
    (
        "MEMORY USAGE a SAMPLES x",
        "ERR value is not an integer or out of range",
    ),
    ("MEMORY USAGE a SAMPLES -1", "ERR syntax error"),
    (
        "OBJECT FOO",
        "ERR unknown subcommand 'FOO'. Try OBJECT HELP.",
    ),
    (
        "OBJECT ENCODING a b",
        "ERR wrong number of arguments for 'object|encoding' command",
    ),
    ("WAIT x 0", "ERR value is not an integer or out of range"),
    ("WAIT 0 x", "ERR timeout is not an integer or out of range"),
    ("WAIT 0 -1", "ERR timeout is negative"),
    (
        "SLOWLOG GET x",
        "ERR count should be greater than or equal to -1",
    ),
    (
        "SLOWLOG GET -2",
        "ERR count should be greater than or equal to -1",
    ),
    (
        "SLOWLOG GET 1 2",
        "ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.",
    ),
    (
        "LATENCY HISTORY a b",
        "ERR wrong number of arguments for 'latency|history' command",
    ),
    (
        "LATENCY FOO",
        "ERR unknown subcommand 'FOO'. Try LATENCY HELP.",
    ),
    (
        "CONFIG RESETSTAT x",
        "ERR wrong number of arguments for 'config|resetstat' command",
    ),
    (
        "WAITAOF 2 0 0",
        "ERR value is out of range, value must between 0 and 1",
    ),
    (
        "WAITAOF x 0 0",
        "ERR value is not an integer or out of range",
    ),
    (
        "WAITAOF 0 x 0",
        "ERR value is out of range, must be positive",
    ),
    (
        "WAITAOF 0 -1 0",
        "ERR value is out of range, must be positive",
    ),
    ("WAITAOF 0 0 -1", "ERR timeout is negative"),
    (
        "STREAM-NAMES a b",
        "ERR wrong number of arguments for 'stream-names' command",
    ),
    ("LAST-EVENT-NUMBER ", "ERR stream name is empty"),
    ("STREAM-INFO ", "ERR stream name is empty"),
    (
        "STREAM-INFO $all",
        "ERR $all is every stream: STREAM-INFO takes the name of one",
    ),
    (
        "STREAM-INFO a b",
        "ERR wrong number of arguments for 'stream-info' command",
    ),
];

#[test]
fn refusals_have_the_words_of_redis() {
    for (line, text) in REFUSALS {
        assert_eq!(refusal(line), *text, "{line}");
    }
}

#[test]
fn unknown_commands_are_repeated_in_part_and_on_one_line() {
    let refusal = |words: &[&[u8]]| {
        let error = Request::parse(&Arguments::from_slices(words)).expect_err("it is unknown");
        let mut out = BytesMut::new();
        error.write(&mut out);
        String::from_utf8(out.to_vec()).expect("errors are text")
    };
    assert_eq!(
        refusal(&[b"FOO\r\nx", b"a\x00b", &[b'c'; 200], b"d"]),
        format!(
            "-ERR unknown command 'FOO  x', with args beginning with: 'a' '{}' \r\n",
            "c".repeat(124)
        )
    );
    assert_eq!(
        refusal(&[b"FOO", &[b'c'; 100], &[b'd'; 100], b"e"]),
        format!(
            "-ERR unknown command 'FOO', with args beginning with: '{}' '{}' \r\n",
            "c".repeat(100),
            "d".repeat(25)
        )
    );
    assert_eq!(
        refusal(&[&[b'F'; 200]]),
        format!(
            "-ERR unknown command '{}', with args beginning with: \r\n",
            "F".repeat(128)
        )
    );
    assert_eq!(
        refusal(&[b"CLIENT", b"SETNAME", b"a b"]),
        "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
    );
    assert_eq!(
        refusal(&[b"CLIENT", b"SETINFO", b"lib-name", b"a b"]),
        "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
    );
}
