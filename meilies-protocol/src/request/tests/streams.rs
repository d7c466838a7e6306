//! Redis' commands about streams: what each of their arguments means.

use super::*;

fn key(name: &str) -> StreamName {
    StreamName::parse(bytes(name)).expect("the name is good")
}

fn id(ms: u64, seq: u64) -> EventId {
    EventId::new(ms, seq)
}

/// It may not say anything but what the whole parser says.
#[test]
fn the_simplest_xadd_is_the_same_as_when_it_is_parsed() {
    for line in [
        "XADD s * f v",
        "xadd orders:42 * * *",
        "XADD s * NOMKSTREAM v",
    ] {
        let parsed = add(line);
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let (key, pair) = XAdd::simplest(&Arguments::from_slices(&words)).expect("it is simple");
        let simplest = XAdd {
            key,
            make_stream: true,
            id: NewId::Auto,
            trim: None,
            references: References::default(),
            idempotency: None,
            expect: Expect::Any,
            fields: pair.to_vec(),
        };
        assert_eq!(simplest, parsed, "{line}");
    }
    for line in [
        "XADD s 1-1 f v",
        "XADD s * f v g w",
        "XADD s * f",
        "XADD s NOMKSTREAM * f v",
        "XADD $all * f v",
    ] {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        assert_eq!(
            XAdd::simplest(&Arguments::from_slices(&words)),
            None,
            "{line}"
        );
    }
}

fn add(line: &str) -> XAdd {
    match parse(line) {
        Request::XAdd(add) => *add,
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn xadd_needs_no_more_than_an_id_and_a_field() {
    let plain = XAdd {
        key: key("s"),
        make_stream: true,
        id: NewId::Auto,
        trim: None,
        references: References::Keep,
        idempotency: None,
        expect: Expect::Any,
        fields: vec![bytes("f"), bytes("v")],
    };
    assert_eq!(add("XADD s * f v"), plain);
    assert_eq!(add("xadd s expect ANY keepref * f v"), plain);
    let ids = [
        ("5", NewId::Given(id(5, 0))),
        ("5-7", NewId::Given(id(5, 7))),
        ("0-1", NewId::Given(id(0, 1))),
        ("007-08", NewId::Given(id(7, 8))),
        ("5-*", NewId::AutoSeq { ms: 5 }),
        ("0-*", NewId::AutoSeq { ms: 0 }),
        (
            "18446744073709551615-18446744073709551615",
            NewId::Given(EventId::MAX),
        ),
    ];
    for (text, given) in ids {
        assert_eq!(add(&format!("XADD s {text} f v")).id, given, "{text}");
    }
    // Behind the id nothing is an option.
    let fields = add("XADD s * NOMKSTREAM MAXLEN 5 *").fields;
    assert_eq!(fields, ["NOMKSTREAM", "MAXLEN", "5", "*"].map(bytes));
}

#[test]
fn xadd_takes_its_options_in_any_order() {
    let all = XAdd {
        key: key("s"),
        make_stream: false,
        id: NewId::Auto,
        trim: Some(Trim {
            by: TrimBy::MaxLen(5),
            approximate: true,
            limit: Some(7),
        }),
        references: References::Acknowledged,
        idempotency: Some(Idempotency::Given {
            producer: bytes("MAXLEN"),
            key: bytes("k"),
        }),
        expect: Expect::Number(3),
        fields: ["f", "v", "g", "w"].map(bytes).to_vec(),
    };
    let lines = [
        "XADD s NOMKSTREAM ACKED IDMP MAXLEN k MAXLEN ~ 5 LIMIT 7 EXPECT 3 * f v g w",
        "XADD s limit 7 expect 3 maxlen ~ 5 idmp MAXLEN k acked nomkstream nomkstream * f v g w",
    ];
    for line in lines {
        assert_eq!(add(line), all, "{line}");
    }
    let producer = bytes("p");
    assert_eq!(
        add("XADD s IDMPAUTO p * f v").idempotency,
        Some(Idempotency::Auto { producer })
    );
}

#[test]
fn trims_are_exact_unless_they_need_not_be() {
    let trim = |by, approximate, limit| Trim {
        by,
        approximate,
        limit,
    };
    let trims = [
        ("MAXLEN 0", trim(TrimBy::MaxLen(0), false, None)),
        ("maxlen = 5", trim(TrimBy::MaxLen(5), false, None)),
        ("MAXLEN ~ 5", trim(TrimBy::MaxLen(5), true, None)),
        ("MAXLEN ~ 5 LIMIT 0", trim(TrimBy::MaxLen(5), true, Some(0))),
        ("MINID 5", trim(TrimBy::MinId(id(5, 0)), false, None)),
        (
            "LIMIT 1 LIMIT 2 MINID ~ 5-7",
            trim(TrimBy::MinId(id(5, 7)), true, Some(2)),
        ),
    ];
    for (text, trim) in trims {
        let expected = Request::XTrim {
            key: key("s"),
            trim,
            references: References::Keep,
        };
        assert_eq!(parse(&format!("XTRIM s {text}")), expected, "{text}");
        assert_eq!(add(&format!("XADD s {text} * f v")).trim, Some(trim));
    }
    let Request::XTrim { references, .. } = parse("XTRIM s DELREF MAXLEN 5") else {
        panic!("XTRIM trims");
    };
    assert_eq!(references, References::Delete);
}

#[test]
fn ranges_are_whole_and_begin_at_the_least_id() {
    let range = |line: &str| match parse(line) {
        Request::XRange(range) => range,
        other => panic!("{line} is {other:?}"),
    };
    let bounds = [
        ("- +", EventId::MIN, EventId::MAX),
        ("+ -", EventId::MAX, EventId::MIN),
        ("5 7", id(5, 0), id(7, u64::MAX)),
        ("5-1 7-3", id(5, 1), id(7, 3)),
        ("(5 (7", id(5, 1), id(7, u64::MAX - 1)),
        ("(5-18446744073709551615 (7-0", id(6, 0), id(6, u64::MAX)),
        ("(5-5 (5-5", id(5, 6), id(5, 4)),
    ];
    for (text, from, to) in bounds {
        let (start, end) = text.split_once(' ').expect("there are two bounds");
        let forward = range(&format!("XRANGE s {start} {end}"));
        assert_eq!((forward.from, forward.to), (from, to), "{text}");
        assert!(!forward.reverse && forward.count.is_none());
        let backward = range(&format!("XREVRANGE s {end} {start} COUNT 2"));
        assert_eq!((backward.from, backward.to), (from, to), "{text}");
        assert!(backward.reverse && backward.count == Some(2));
    }
    assert_eq!(range("XRANGE s - + COUNT 0").count, Some(0));
    assert_eq!(range("XRANGE s - + COUNT -99").count, Some(0));
    assert_eq!(range("XRANGE s - + COUNT 1 count 2").count, Some(2));
}

#[test]
fn xread_reads_many_streams_from_many_places() {
    let plain = |streams: Vec<(StreamName, ReadFrom)>| XRead {
        count: None,
        block_ms: None,
        max_count: None,
        max_size: None,
        streams,
    };
    let after = ReadFrom::After(id(5, 0));
    let one = plain(vec![(key("s"), after)]);
    assert_eq!(parse("XREAD STREAMS s 5"), Request::XRead(one.clone()));
    assert_eq!(
        parse("XREAD COUNT 0 STREAMS s 5"),
        Request::XRead(one.clone())
    );
    assert_eq!(
        parse("XREAD COUNT 3 COUNT -1 STREAMS s 5"),
        Request::XRead(one)
    );
    let many = XRead {
        count: Some(1),
        block_ms: Some(0),
        max_count: Some(2),
        max_size: Some(3),
        ..plain(vec![
            (key("COUNT"), after),
            (key("$all"), ReadFrom::New),
            (key("COUNT"), ReadFrom::Last),
        ])
    };
    assert_eq!(
        parse("XREAD maxsize 3 maxcount 2 block 0 count 1 streams COUNT $all COUNT 5 $ +"),
        Request::XRead(many)
    );
}

#[test]
fn other_commands_about_a_stream_are_understood() {
    assert_eq!(parse("XLEN s"), Request::XLen { key: key("s") });
    let ids = vec![id(5, 0), id(6, 1)];
    let deleted = Request::XDel {
        key: key("s"),
        ids: ids.clone(),
    };
    assert_eq!(parse("XDEL s 5 6-1"), deleted);
    let deleted = |references| Request::XDelEx {
        key: key("s"),
        references,
        ids: ids.clone(),
    };
    assert_eq!(parse("XDELEX s IDS 2 5 6-1"), deleted(References::Keep));
    assert_eq!(
        parse("XDELEX s ids 2 5 6-1 delref"),
        deleted(References::Delete)
    );
    let set = |entries_added, max_deleted| {
        Request::XSetId(XSetId {
            key: key("s"),
            id: id(9, 1),
            entries_added,
            max_deleted,
        })
    };
    assert_eq!(parse("XSETID s 9-1"), set(None, None));
    assert_eq!(
        parse("XSETID s 9-1 MAXDELETEDID 9-1 ENTRIESADDED 0"),
        set(Some(0), Some(id(9, 1)))
    );
    let configured = |duration_s, max_size| Request::XCfgSet {
        key: key("s"),
        duration_s,
        max_size,
    };
    assert_eq!(parse("XCFGSET s IDMP-MAXSIZE 1"), configured(None, Some(1)));
    assert_eq!(
        parse("XCFGSET s IDMP-DURATION 86400"),
        configured(Some(86400), None)
    );
    let info = |full| {
        Request::XInfo(XInfo::Stream {
            key: key("s"),
            full,
        })
    };
    let full = |count| Some(Full { count });
    assert_eq!(parse("XINFO STREAM s"), info(None));
    assert_eq!(parse("XINFO STREAM s full"), info(full(10)));
    assert_eq!(parse("XINFO STREAM s FULL count 0"), info(full(0)));
    assert_eq!(parse("XINFO STREAM s FULL COUNT -1"), info(full(10)));
}
