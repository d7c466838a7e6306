//! What a client writes is what a server reads.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::{CommandScanner, ScanLimits};

/// One line for each command and each of its options.
const LINES: &[&str] = &[
    "PUBLISH c m",
    "PUBLISH s n d",
    "PUBLISH s n d EXPECT none ID k",
    "PUBLISH s n d EXPECT exists",
    "PUBLISH s n d EXPECT 7",
    "SUBSCRIBE s s:5 $all:3:9 a:5:$",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE s t",
    "LAST-EVENT-NUMBER s",
    "STREAM-INFO s",
    "PUBLISH-MANY s 1 n d",
    "PUBLISH-MANY s 2 n d m e EXPECT none",
    "PUBLISH-MANY s 2 n d m e EXPECT 5 IDS 7-1 *",
    "STREAM-NAMES",
    "STREAM-NAMES s*",
    "READ-EVENTS s",
    "READ-EVENTS s:eu COUNT 5",
    "READ-EVENTS s:2:5 REVERSE",
    "READ-EVENTS s COUNT 5 BYTES 7 REVERSE",
    "READ-EVENTS $all:$",
    "PING",
    "PING x",
    "ECHO x",
    "QUIT",
    "RESET",
    "SELECT 0",
    "HELLO",
    "HELLO 2",
    "HELLO 3 AUTH u p SETNAME n",
    "AUTH p",
    "AUTH u p",
    "CLIENT ID",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLIENT LIST TYPE replica",
    "CLIENT LIST ID 1 2",
    "CLIENT SETNAME n",
    "CLIENT GETNAME",
    "CLIENT SETINFO LIB-NAME n",
    "CLIENT SETINFO LIB-VER n",
    "CLIENT NO-EVICT ON",
    "CLIENT NO-TOUCH OFF",
    "CLIENT REPLY ON",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CLIENT KILL 127.0.0.1:5",
    "CLIENT KILL ID 5 SKIPME no",
    "CLIENT KILL TYPE pubsub ADDR a LADDR l USER u MAXAGE 5",
    "CLIENT HELP",
    "COMMAND",
    "COMMAND COUNT",
    "COMMAND DOCS a b",
    "COMMAND INFO",
    "COMMAND LIST",
    "COMMAND LIST FILTERBY PATTERN p",
    "COMMAND LIST FILTERBY MODULE m",
    "COMMAND LIST FILTERBY ACLCAT a",
    "COMMAND GETKEYS PUBLISH a b c",
    "COMMAND HELP",
    "CONFIG GET a b",
    "CONFIG SET a b c d",
    "CONFIG HELP",
    "INFO",
    "INFO server clients",
    "DBSIZE",
    "TYPE k",
    "EXISTS k l",
    "KEYS p",
    "SCAN 0",
    "SCAN 5 MATCH p COUNT 7 TYPE stream",
    "TIME",
    "LASTSAVE",
    "SAVE",
    "BGSAVE",
    "BGSAVE SCHEDULE",
    "BGREWRITEAOF",
    "SHUTDOWN",
    "SHUTDOWN SAVE NOW FORCE",
    "SHUTDOWN NOSAVE",
    "SHUTDOWN ABORT",
    "XADD s * f v",
    "XADD s 5-* f v",
    "XADD s 5-7 f v g w",
    "XADD s NOMKSTREAM DELREF MAXLEN 5 EXPECT 7 * f v",
    "XADD s KEEPREF MINID ~ 5-1 LIMIT 100 EXPECT none 9 f v",
    "XADD s ACKED MAXLEN ~ 0 LIMIT 0 EXPECT exists * f v",
    "XADD s IDMPAUTO p * f v",
    "XADD s IDMP p k * f v",
    "XLEN s",
    "XRANGE s - +",
    "XRANGE s (5 (7-3 COUNT 2",
    "XRANGE s + - COUNT -1",
    "XREVRANGE s + -",
    "XREVRANGE s 7 (5-1 COUNT 0",
    "XREAD STREAMS s 0",
    "XREAD COUNT 2 BLOCK 0 MAXCOUNT 3 MAXSIZE 4 STREAMS s t u 5-1 $ +",
    "XDEL s 1 2-2",
    "XDELEX s IDS 1 1-1",
    "XDELEX s IDS 2 1-1 2-2 ACKED",
    "XTRIM s MAXLEN 5",
    "XTRIM s MINID ~ 5-1 LIMIT 3 DELREF",
    "XSETID s 5-1",
    "XSETID s 5-1 ENTRIESADDED 7 MAXDELETEDID 5-1",
    "XCFGSET s IDMP-DURATION 5",
    "XCFGSET s IDMP-DURATION 86400 IDMP-MAXSIZE 10000",
    "XINFO STREAM s",
    "XINFO STREAM s FULL",
    "XINFO STREAM s FULL COUNT 0",
    "XINFO GROUPS s",
    "XINFO CONSUMERS s g",
    "XINFO HELP",
    "XGROUP CREATE s g $",
    "XGROUP CREATE s g 5-1 MKSTREAM ENTRIESREAD 7",
    "XGROUP SETID s g 0",
    "XGROUP SETID s g $ ENTRIESREAD 7",
    "XGROUP DESTROY s g",
    "XGROUP CREATECONSUMER s g c",
    "XGROUP DELCONSUMER s g c",
    "XGROUP HELP",
    "XREADGROUP GROUP g c STREAMS s >",
    "XREADGROUP GROUP g c COUNT 1 BLOCK 2 CLAIM 3 MAXCOUNT 4 MAXSIZE 5 NOACK STREAMS s t 5-1 >",
    "XACK s g 1 2-2",
    "XACKDEL s g IDS 1 1-1",
    "XACKDEL s g DELREF IDS 2 1-1 2-2",
    "XNACK s g SILENT IDS 1 1-1",
    "XNACK s g FAIL IDS 2 1-1 2-2 RETRYCOUNT 5",
    "XNACK s g FATAL IDS 1 1-1 FORCE",
    "XPENDING s g",
    "XPENDING s g - + 10",
    "XPENDING s g IDLE 5 (1 (7-3 10 c",
    "XCLAIM s g c 0 5-1",
    "XCLAIM s g c 5 5-1 6-1 IDLE 7 RETRYCOUNT 8 FORCE JUSTID LASTID 9-1",
    "XCLAIM s g c 5 TIME 7",
    "XAUTOCLAIM s g c 0 0",
    "XAUTOCLAIM s g c 5 (5-1 COUNT 7 JUSTID",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH k l",
    "UNWATCH",
    "DEL k l",
    "UNLINK k l",
    "TOUCH k l",
    "RANDOMKEY",
    "RENAME k l",
    "RENAMENX k l",
    "FLUSHALL",
    "FLUSHALL ASYNC",
    "FLUSHDB",
    "FLUSHDB SYNC",
    "TTL k",
    "PTTL k",
    "EXPIRETIME k",
    "PEXPIRETIME k",
    "PERSIST k",
    "MEMORY USAGE k",
    "MEMORY USAGE k SAMPLES 0",
    "MEMORY HELP",
    "OBJECT ENCODING k",
    "OBJECT FREQ k",
    "OBJECT IDLETIME k",
    "OBJECT REFCOUNT k",
    "OBJECT HELP",
    "SLOWLOG GET",
    "SLOWLOG GET -1",
    "SLOWLOG GET 5",
    "SLOWLOG LEN",
    "SLOWLOG RESET",
    "SLOWLOG HELP",
    "LATENCY DOCTOR",
    "LATENCY HISTOGRAM",
    "LATENCY HISTOGRAM a b",
    "LATENCY HISTORY e",
    "LATENCY LATEST",
    "LATENCY RESET",
    "LATENCY RESET e f",
    "LATENCY HELP",
    "MODULE LIST",
    "MODULE HELP",
    "MONITOR",
    "WAIT 0 0",
    "WAIT 5 100",
    "WAITAOF 0 5 100",
    "WAITAOF 1 0 0",
    "CLIENT UNBLOCK 5",
    "CLIENT UNBLOCK 5 ERROR",
    "CLIENT PAUSE 100",
    "CLIENT PAUSE 100 WRITE",
    "CLIENT UNPAUSE",
    "COMMAND GETKEYSANDFLAGS TYPE a",
    "CONFIG RESETSTAT",
    "CONFIG REWRITE",
];

fn encode_and_parse(request: &Request) -> Request {
    let mut out = BytesMut::new();
    request.encode(&mut out);
    let mut arguments = Arguments::new();
    let mut scanner = CommandScanner::new(ScanLimits::Full {
        bulk_bytes_max: 1 << 20,
    });
    assert_eq!(scanner.next(&mut out, &mut arguments), Ok(true));
    assert!(out.is_empty());
    Request::parse(&arguments).expect("what is encoded parses")
}

#[test]
fn what_a_client_writes_a_server_reads() {
    for line in LINES {
        let request = parse(line);
        assert_eq!(encode_and_parse(&request), request, "{line}");
    }
}

#[test]
fn every_row_of_the_table_has_a_line() {
    let has_line = |name: &str| {
        let words = name.replace('|', " ");
        LINES.iter().any(|line| {
            let line = line.to_ascii_lowercase();
            line == words || line.starts_with(&format!("{words} "))
        })
    };
    for command in table::commands() {
        assert!(has_line(command.full_name), "{}", command.full_name);
        for subcommand in command.subcommands {
            assert!(has_line(subcommand.full_name), "{}", subcommand.full_name);
        }
    }
}

#[test]
fn a_bare_name_that_cannot_be_spelled_is_read_from_its_begin() {
    let name = StreamName::parse(bytes("orders:42")).expect("the name is good");
    let spec = |from| Spec {
        source: Source::Stream(name.clone()),
        from,
        until: None,
    };
    let read = |from| Request::ReadEvents {
        spec: spec(from),
        count: None,
        bytes: None,
        reverse: false,
    };
    assert_eq!(encode_and_parse(&read(None)), read(Some(Start::Number(0))));
}

proptest! {
    #[test]
    fn events_survive_the_wire(
        stream in proptest::collection::vec(any::<u8>(), 1..20),
        name in proptest::collection::vec(any::<u8>(), 1..20),
        data: Vec<u8>,
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..20)),
        expect in prop_oneof![
            Just(Expect::Any),
            Just(Expect::None),
            Just(Expect::Exists),
            any::<u64>().prop_map(Expect::Number),
        ],
    ) {
        prop_assume!(stream[0] != b'$');
        let request = Request::Publish(Publish {
            stream: StreamName::parse_writable(stream.into()).expect("the name is short"),
            name: EventName::parse(name.into()).expect("the name is short"),
            data: data.into(),
            expect,
            key: key.map(Bytes::from),
        });
        prop_assert_eq!(encode_and_parse(&request), request);
    }

    #[test]
    fn fields_and_ids_survive_the_wire(
        fields in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..9),
                "\\*|[0-9]-\\*|MAXLEN|LIMIT|IDS|EXPECT".prop_map(String::into_bytes),
            ],
            2..9,
        ),
        id in (any::<u64>(), any::<u64>()).prop_filter("no event has 0-0", |id| *id != (0, 0)),
        which in 0_usize..3,
        by in prop_oneof![
            any::<u64>().prop_map(|length| TrimBy::MaxLen(length >> 1)),
            any::<(u64, u64)>().prop_map(|(ms, seq)| TrimBy::MinId(EventId::new(ms, seq))),
        ],
        limit in proptest::option::of(0..=i64::MAX as u64),
        producer in proptest::collection::vec(any::<u8>(), 1..32),
    ) {
        let mut fields: Vec<Bytes> = fields.into_iter().map(Bytes::from).collect();
        fields.truncate(fields.len() & !1);
        let given = EventId::new(id.0, id.1);
        let id = [NewId::Auto, NewId::AutoSeq { ms: id.0 }, NewId::Given(given)][which];
        let producer = Bytes::from(producer);
        let idempotency = (id == NewId::Auto).then(|| Idempotency::Given {
            producer: producer.clone(),
            key: producer,
        });
        let request = Request::XAdd(Box::new(XAdd {
            key: StreamName::parse(bytes("MAXLEN")).expect("the name is good"),
            make_stream: limit.is_some(),
            id,
            trim: Some(Trim { by, approximate: limit.is_some(), limit }),
            references: References::Delete,
            idempotency,
            expect: Expect::None,
            fields,
        }));
        prop_assert_eq!(encode_and_parse(&request), request);
    }

    #[test]
    fn any_words_are_parsed_or_refused(
        name in proptest::sample::select(LINES),
        words in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..6),
                "[A-Z]{1,8}|[0-9]{1,3}|\\$all:[0-9]".prop_map(String::into_bytes),
            ],
            0..6,
        ),
        keep in 0_usize..6,
    ) {
        let kept = name.split(' ').map(|word| word.as_bytes().to_vec()).take(keep.max(1));
        let words: Vec<Vec<u8>> = kept.chain(words).collect();
        let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        match Request::parse(&Arguments::from_slices(&slices)) {
            Ok(request) => {
                let same = encode_and_parse(&request);
                prop_assert_eq!(same, request);
            }
            Err(error) => {
                let mut out = BytesMut::new();
                error.write(&mut out);
                prop_assert_eq!(memchr::memchr(b'\n', &out), Some(out.len() - 1));
            }
        }
    }
}
