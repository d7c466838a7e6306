//! Every form in both versions, written and read again.

use proptest::prelude::*;

use super::*;
use crate::{ReplyLimits, ReplyScanner, StreamName, Value, reply};

fn written(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8(out.to_vec())
        .expect("the test writes text")
        .replace("\r\n", " ")
}

const ID: EventId = EventId::new(1700, 3);

fn fields() -> impl Fields<'static> {
    let pairs: [(&[u8], &[u8]); 1] = [(b"created", b"{}")];
    pairs.into_iter()
}

#[test]
fn forms_are_those_of_the_page() {
    use Version::{Resp2, Resp3};
    let event = "$5 event $1 s :7 :9 $6 1700-3 *2 $7 created $2 {} ";
    let write = |version| written(|out| write_event(out, version, b"s", 7, 9, ID, fields()));
    assert_eq!(write(Resp2), format!("*6 {event}"));
    assert_eq!(write(Resp3), format!(">6 {event}"));

    let pevent = "$6 pevent $4 $all $1 s :7 :9 $6 1700-3 *2 $7 created $2 {} ";
    let write =
        |version| written(|out| write_pevent(out, version, b"$all", b"s", 7, 9, ID, fields()));
    assert_eq!(write(Resp2), format!("*7 {pevent}"));
    assert_eq!(write(Resp3), format!(">7 {pevent}"));

    let write = |version, number| written(|out| write_caught_up(out, version, b"s", number));
    assert_eq!(write(Resp2, Some(7)), "*3 $9 caught-up $1 s :7 ");
    assert_eq!(write(Resp3, Some(7)), ">3 $9 caught-up $1 s :7 ");
    assert_eq!(write(Resp2, None), "*3 $9 caught-up $1 s $-1 ");
    assert_eq!(write(Resp3, None), ">3 $9 caught-up $1 s _ ");

    assert_eq!(
        written(|out| write_ended(out, Resp3, b"s:2:5", 5)),
        ">3 $5 ended $5 s:2:5 :5 "
    );
    assert_eq!(
        written(|out| write_deleted(out, Resp2, b"s", 5)),
        "*3 $7 deleted $1 s :5 "
    );
    assert_eq!(
        written(|out| write_subscribe(out, Resp3, b"s:0", 1)),
        ">3 $9 subscribe $3 s:0 :1 "
    );
    let write = |version| written(|out| write_error(out, version, b"s", 5, b"bad checksum"));
    assert_eq!(write(Resp2), "*4 $5 error $1 s :5 $12 bad checksum ");
    assert_eq!(write(Resp3), ">4 $5 error $1 s :5 $12 bad checksum ");
    let write = |version, name| written(|out| write_unsubscribe(out, version, name, 0));
    assert_eq!(write(Resp2, Some(&b"s"[..])), "*3 $11 unsubscribe $1 s :0 ");
    assert_eq!(write(Resp2, None), "*3 $11 unsubscribe $-1 :0 ");
    assert_eq!(write(Resp3, None), ">3 $11 unsubscribe _ :0 ");
    assert_eq!(
        written(|out| write_message(out, Resp2, b"c", b"m")),
        "*3 $7 message $1 c $1 m "
    );
    assert_eq!(
        written(|out| reply::write_read_event(out, b"s", 7, 9, ID, fields())),
        "*5 $1 s :7 :9 $6 1700-3 *2 $7 created $2 {} "
    );
}

#[test]
fn what_is_no_push_is_given_back() {
    let bulk = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
    let others = [
        Value::Nil,
        bulk("event"),
        Value::Array(vec![]),
        Value::Array(vec![bulk("a"), bulk("b"), bulk("c")]),
        Value::Array(vec![bulk("deleted"), bulk("b"), bulk("c")]),
        Value::Array(vec![bulk("deleted"), bulk("b"), Value::Integer(-1)]),
        Value::Push(vec![bulk("event"); 6]),
        Value::Push(vec![bulk("invalidate"), Value::Nil]),
        Value::Push(vec![bulk("error"), bulk("s"), Value::Nil, bulk("reason")]),
        Value::Push(vec![
            bulk("error"),
            bulk("s"),
            Value::Integer(5),
            Value::Nil,
        ]),
        Value::Push(vec![bulk("error"), bulk("s"), Value::Integer(5)]),
    ];
    let event = |fields: Vec<Value>| {
        let (number, id) = (Value::Integer(1), bulk("1-1"));
        let fields = Value::Array(fields);
        Value::Push(vec![
            bulk("event"),
            bulk("s"),
            number.clone(),
            number,
            id,
            fields,
        ])
    };
    assert!(Push::from_value(event(vec![bulk("a"), bulk("b")])).is_ok());
    let odd = [
        event(vec![bulk("a")]),
        event(vec![bulk("a"), Value::Nil]),
        event(vec![bulk("a"), bulk("b"), bulk("c")]),
    ];
    for other in others.into_iter().chain(odd) {
        assert_eq!(Push::from_value(other.clone()), Err(other));
    }
}

fn write(out: &mut BytesMut, version: Version, push: &Push) {
    fn of(event: &Event) -> impl Fields<'_> {
        event
            .fields
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
    }
    match push {
        Push::Event(event) => {
            let Event {
                stream,
                number,
                position,
                id,
                ..
            } = event;
            let stream = stream.as_bytes();
            write_event(out, version, stream, *number, *position, *id, of(event));
        }
        Push::Pevent { source, event } => {
            let Event {
                stream,
                number,
                position,
                id,
                ..
            } = event;
            let stream = stream.as_bytes();
            write_pevent(
                out,
                version,
                source,
                stream,
                *number,
                *position,
                *id,
                of(event),
            );
        }
        Push::CaughtUp { source, number } => write_caught_up(out, version, source, *number),
        Push::Ended { spec, next } => write_ended(out, version, spec, *next),
        Push::Deleted { stream, number } => write_deleted(out, version, stream, *number),
        Push::Unreadable {
            source,
            next,
            reason,
        } => write_error(out, version, source, *next, reason),
        Push::Subscribed { spec, count } => write_subscribe(out, version, spec, *count),
        Push::Unsubscribed { name, count } => {
            write_unsubscribe(out, version, name.as_deref(), *count);
        }
        Push::Message { channel, message } => write_message(out, version, channel, message),
    }
}

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..12).prop_map(Bytes::from)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..10, 0..u64::MAX / 2]
}

fn event() -> impl Strategy<Value = Event> {
    let name = proptest::collection::vec(any::<u8>(), 1..12);
    let name = name.prop_map(|name| StreamName::parse(name.into()).expect("the name is short"));
    let id = (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| EventId::new(ms, seq));
    let fields = proptest::collection::vec((bytes(), bytes()), 0..4);
    (name, number(), number(), id, fields).prop_map(|(stream, number, position, id, fields)| {
        Event {
            stream,
            number,
            position,
            id,
            fields,
        }
    })
}

fn push() -> impl Strategy<Value = Push> {
    prop_oneof![
        event().prop_map(Push::Event),
        (bytes(), event()).prop_map(|(source, event)| Push::Pevent { source, event }),
        (bytes(), proptest::option::of(number()))
            .prop_map(|(source, number)| Push::CaughtUp { source, number }),
        (bytes(), number()).prop_map(|(spec, next)| Push::Ended { spec, next }),
        (bytes(), number()).prop_map(|(stream, number)| Push::Deleted { stream, number }),
        (bytes(), number(), bytes()).prop_map(|(source, next, reason)| Push::Unreadable {
            source,
            next,
            reason
        }),
        (bytes(), number()).prop_map(|(spec, count)| Push::Subscribed { spec, count }),
        (proptest::option::of(bytes()), number())
            .prop_map(|(name, count)| Push::Unsubscribed { name, count }),
        (bytes(), bytes()).prop_map(|(channel, message)| Push::Message { channel, message }),
    ]
}

proptest! {
    #[test]
    fn what_a_server_writes_a_client_reads(push in push()) {
        for version in [Version::Resp2, Version::Resp3] {
            let mut out = BytesMut::new();
            write(&mut out, version, &push);
            let mut scanner = ReplyScanner::new(ReplyLimits::default());
            let value = scanner.next(&mut out).expect("the bytes are good");
            let value = value.expect("the reply is whole");
            prop_assert!(out.is_empty());
            prop_assert_eq!(Push::from_value(value), Ok(push.clone()));
        }
    }

    #[test]
    fn what_read_events_writes_a_client_reads(event in event()) {
        let fields = event.fields.iter().map(|(name, value)| (&name[..], &value[..]));
        let mut out = BytesMut::new();
        let Event { stream, number, position, id, .. } = &event;
        reply::write_read_event(&mut out, stream.as_bytes(), *number, *position, *id, fields);
        let mut scanner = ReplyScanner::new(ReplyLimits::default());
        let value = scanner.next(&mut out).expect("the bytes are good").expect("it is whole");
        prop_assert_eq!(Event::from_value(value), Ok(event));
    }
}
