//! Redis' commands about consumer groups, transactions and keys: what each argument means.

use super::*;

fn key(name: &str) -> StreamName {
    StreamName::parse(bytes(name)).expect("the name is good")
}

fn id(ms: u64, seq: u64) -> EventId {
    EventId::new(ms, seq)
}

#[test]
fn groups_are_made_and_moved() {
    let created = |start, make_stream, entries_read| {
        Request::XGroup(XGroup::Create {
            key: key("s"),
            group: bytes("$"),
            start,
            make_stream,
            entries_read,
        })
    };
    let end = GroupStart::End;
    assert_eq!(parse("XGROUP CREATE s $ $"), created(end, false, None));
    let start = GroupStart::Id(id(5, 0));
    for line in [
        "xgroup create s $ 5 mkstream entriesread 7",
        "XGROUP CREATE s $ 5 ENTRIESREAD 7 MKSTREAM",
    ] {
        assert_eq!(parse(line), created(start, true, Some(7)), "{line}");
    }
    assert_eq!(
        parse("XGROUP CREATE s $ 5 MKSTREAM MKSTREAM MKSTREAM"),
        created(start, true, None)
    );
    let moved = |entries_read| {
        Request::XGroup(XGroup::SetId {
            key: key("s"),
            group: bytes("g"),
            start,
            entries_read,
        })
    };
    assert_eq!(parse("XGROUP SETID s g 5 ENTRIESREAD -1"), moved(None));
    assert_eq!(parse("XGROUP SETID s g 5 ENTRIESREAD 0"), moved(Some(0)));
    let consumer = XGroup::DelConsumer {
        key: key("s"),
        group: bytes("g"),
        consumer: bytes("c"),
    };
    assert_eq!(parse("XGROUP DELCONSUMER s g c"), Request::XGroup(consumer));
    // A group of the system's stream cannot be made, but asked for.
    let destroyed = XGroup::Destroy {
        key: key("$all"),
        group: bytes("g"),
    };
    assert_eq!(parse("XGROUP DESTROY $all g"), Request::XGroup(destroyed));
}

#[test]
fn xreadgroup_reads_what_is_new_and_what_is_pending() {
    let read = XReadGroup {
        group: bytes("g"),
        consumer: bytes("c"),
        count: Some(1),
        block_ms: Some(2),
        claim_ms: Some(3),
        no_ack: true,
        max_count: Some(4),
        max_size: Some(5),
        streams: vec![
            (key("s"), GroupFrom::New),
            (key("t"), GroupFrom::History(id(6, 0))),
        ],
    };
    for line in [
        "XREADGROUP GROUP g c COUNT 1 BLOCK 2 CLAIM 3 MAXCOUNT 4 MAXSIZE 5 NOACK STREAMS s t > 6",
        "xreadgroup noack claim 3 block 2 count 1 maxsize 5 maxcount 4 group g c streams s t > 6",
    ] {
        assert_eq!(
            parse(line),
            Request::XReadGroup(Box::new(read.clone())),
            "{line}"
        );
    }
    let Request::XReadGroup(read) = parse("XREADGROUP GROUP a b GROUP g c CLAIM 0 STREAMS s 0")
    else {
        panic!("XREADGROUP reads");
    };
    assert_eq!(
        (&read.group[..], &read.consumer[..]),
        (&b"g"[..], &b"c"[..])
    );
    assert_eq!((read.claim_ms, read.no_ack), (Some(0), false));
}

#[test]
fn pending_events_are_listed_and_let_go() {
    let pending = |filter: Option<PendingFilter>| Request::XPending {
        key: key("s"),
        group: bytes("g"),
        filter: filter.map(Box::new),
    };
    let filter = |idle_ms, count, consumer: Option<&str>| PendingFilter {
        idle_ms,
        from: id(1, 1),
        to: EventId::MAX,
        count,
        consumer: consumer.map(bytes),
    };
    assert_eq!(parse("XPENDING s g"), pending(None));
    let filters = [
        ("(1 + 10", filter(0, 10, None)),
        ("(1 + -1 c", filter(0, 0, Some("c"))),
        ("(1 + 10 c d", filter(0, 10, Some("c"))),
        ("idle 5 (1 + 10", filter(5, 10, None)),
        ("IDLE -5 (1 + 10 c", filter(0, 10, Some("c"))),
    ];
    for (text, expected) in filters {
        let line = format!("XPENDING s g {text}");
        assert_eq!(parse(&line), pending(Some(expected)), "{line}");
    }
    let acknowledged = Request::XAck {
        key: key("s"),
        group: bytes("g"),
        ids: vec![id(5, 0), id(6, 1)],
    };
    assert_eq!(parse("XACK s g 5 6-1"), acknowledged);
    let nack = |mode, deliveries, force| {
        Request::XNack(XNack {
            key: key("s"),
            group: bytes("g"),
            mode,
            ids: vec![id(5, 0)],
            deliveries,
            force,
        })
    };
    assert_eq!(
        parse("XNACK s g silent IDS 1 5"),
        nack(NackMode::Silent, None, false)
    );
    assert_eq!(
        parse("XNACK s g FATAL IDS 1 5 FORCE RETRYCOUNT 0"),
        nack(NackMode::Fatal, Some(0), true)
    );
}

#[test]
fn pending_events_are_claimed() {
    let claim = XClaim {
        key: key("s"),
        group: bytes("g"),
        consumer: bytes("c"),
        min_idle_ms: 0,
        ids: vec![id(5, 1)],
        delivered: None,
        deliveries: None,
        force: false,
        just_ids: false,
        last_id: None,
    };
    let claimed = |line: &str| match parse(line) {
        Request::XClaim(claim) => *claim,
        other => panic!("{line} is {other:?}"),
    };
    assert_eq!(claimed("XCLAIM s g c -5 5-1 RETRYCOUNT -5"), claim);
    let all = XClaim {
        min_idle_ms: 3,
        ids: vec![id(5, 1), id(6, 0)],
        delivered: Some(Delivered::AtMs(9)),
        deliveries: Some(0),
        force: true,
        just_ids: true,
        last_id: Some(id(7, 0)),
        ..claim.clone()
    };
    assert_eq!(
        claimed("XCLAIM s g c 3 5-1 6 IDLE 8 justid TIME 9 force RETRYCOUNT 0 LASTID 7"),
        all
    );
    for (option, delivered) in [
        ("TIME 9 IDLE 8", Delivered::AgoMs(8)),
        ("IDLE -8", Delivered::AgoMs(0)),
        ("TIME -9", Delivered::AgoMs(0)),
    ] {
        let line = format!("XCLAIM s g c 0 5-1 {option}");
        assert_eq!(claimed(&line).delivered, Some(delivered), "{line}");
    }
    assert_eq!(claimed("XCLAIM s g c 0 JUSTID").ids, []);
    let found = |start, count, just_ids| {
        Request::XAutoClaim(XAutoClaim {
            key: key("s"),
            group: bytes("g"),
            consumer: bytes("c"),
            min_idle_ms: 3,
            start,
            count,
            just_ids,
        })
    };
    assert_eq!(
        parse("XAUTOCLAIM s g c 3 -"),
        found(EventId::MIN, 100, false)
    );
    assert_eq!(
        parse("XAUTOCLAIM s g c 3 (5 JUSTID COUNT 576460752303423487"),
        found(id(5, 1), 576460752303423487, true)
    );
}

#[test]
fn keys_are_any_bytes() {
    let name = Bytes::from(vec![b'a'; 5000]);
    let words: [&[u8]; 4] = [b"DEL", b"", b"$all", &name];
    let deleted = Request::parse(&Arguments::from_slices(&words));
    let keys = vec![bytes(""), bytes("$all"), name];
    assert_eq!(deleted, Ok(Request::Del { keys }));
    let renamed = Request::Rename {
        from: bytes("k"),
        to: bytes(""),
    };
    assert_eq!(parse("RENAME k "), renamed);
    assert_eq!(parse("FLUSHALL async"), Request::FlushAll);
    assert_eq!(parse("FLUSHDB SYNC"), Request::FlushDb);
}

#[test]
fn waiting_and_logs_have_their_numbers() {
    let waits = Request::Wait {
        replicas: 0,
        timeout_ms: 5,
    };
    assert_eq!(parse("WAIT -1 5"), waits);
    let waits = Request::WaitAof {
        local: true,
        replicas: 2,
        timeout_ms: 0,
    };
    assert_eq!(parse("WAITAOF 1 2 0"), waits);
    let log = |count| Request::SlowLog(SlowLogRequest::Get { count });
    assert_eq!(parse("SLOWLOG GET"), log(Some(10)));
    assert_eq!(parse("SLOWLOG GET 0"), log(Some(0)));
    assert_eq!(parse("SLOWLOG GET -1"), log(None));
    let unblock = |id, reason| Request::Client(ClientRequest::Unblock { id, reason });
    let timeout = UnblockReason::Timeout;
    assert_eq!(parse("CLIENT UNBLOCK -5"), unblock(0, timeout));
    let error = UnblockReason::Error;
    assert_eq!(parse("CLIENT UNBLOCK 5 error"), unblock(5, error));
    let pause = |mode| {
        Request::Client(ClientRequest::Pause {
            timeout_ms: 5,
            mode,
        })
    };
    assert_eq!(parse("CLIENT PAUSE 5"), pause(PauseMode::All));
    assert_eq!(parse("CLIENT PAUSE 5 write"), pause(PauseMode::Write));
}
