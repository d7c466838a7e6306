//! Goal: what `append` returns is true, also when the reply never came.
//!
//! Method: as for `publish`: the proxy swallows request or reply, other writers do what they like
//! in the meantime, and then the connection breaks. What is stored is read from the server.

use futures::TryStreamExt;
use meilies_client::{Append, Client, Error, ErrorKind, EventId, Expect};
use meilies_tests::proxy::{Cut, Direction, Flow};
use tokio::task::JoinHandle;

use super::support::{Rig, expect_kind, within};

type Appended = Result<EventId, Error>;

const FIELDS: [(&str, &str); 3] = [("id", "1"), ("total", "30"), ("id", "again")];

fn with_id(ms: u64, expect: Expect) -> Append {
    let id = Some(EventId::new(ms, 0));
    Append { expect, id }
}

/// Appends in a task of its own.
fn append(client: &Client, append: Append) -> JoinHandle<Appended> {
    let client = client.clone();
    tokio::spawn(async move { client.append("orders", FIELDS, append).await })
}

/// Appends; what goes in this direction is lost, this happens meanwhile, and the connection breaks.
async fn lose(rig: &Rig, client: &Client, what: Direction, how: Append, then: &[&str]) -> Appended {
    let there = within("an answer", client.last_event_number("orders")).await;
    let there = there.expect("the server is there");
    rig.proxy.set_flow(what, Flow::Swallow);
    let received = |rig: &Rig| {
        rig.proxy
            .count(|counts| counts.received(Direction::ToServer))
    };
    let before = received(rig);
    let appending = append(client, how);
    if what == Direction::ToClient {
        rig.wait_for_tail("orders", there.map_or(0, |last| last + 1))
            .await;
    } else {
        rig.proxy
            .wait_for("the request", |counts| {
                counts.received(Direction::ToServer) > before
            })
            .await;
    }
    let mut direct = rig.direct();
    for command in then {
        direct.call(command);
    }
    rig.proxy.refuse().await;
    rig.proxy.cut(Cut::Reset).await;
    rig.proxy.pass();
    rig.proxy.accept().await;
    let joined = within("the outcome", appending).await;
    joined.expect("the task does not panic")
}

async fn count(client: &Client) -> u64 {
    let info = client.stream_info("orders").await.expect("it is answered");
    info.map_or(0, |info| info.events)
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_and_ids_are_stored_as_they_are() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let id = client.append("orders", FIELDS, Expect::None).await;
    let id = id.expect("it is stored");
    let exact = EventId::new(id.milliseconds() + 5, 7);
    let append = Append {
        expect: Expect::Number(0),
        id: Some(exact),
    };
    let binary = [(&b""[..], &b"\xff\r\n"[..])];
    let stored = client.append("orders", binary, append).await;
    assert_eq!(stored.expect("it is stored"), exact);
    let events: Vec<_> = client
        .read("orders")
        .expect("a good spec")
        .try_collect()
        .await
        .expect("they are read");
    assert_eq!((events[0].id, events[1].id), (id, exact));
    let fields = events[0].fields.iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| (&name[..], &value[..]))
        .collect();
    let expected = FIELDS.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    assert_eq!(fields, expected);
    assert_eq!(events[1].fields.len(), 1);
    assert_eq!(&events[1].fields[0].1[..], b"\xff\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_refused() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    client
        .append("orders", FIELDS, with_id(5, Expect::Any))
        .await
        .expect("it is stored");
    let conflict = client.append("orders", FIELDS, Expect::None).await;
    expect_kind(conflict, ErrorKind::Conflict);
    let lower = client
        .append("orders", FIELDS, with_id(5, Expect::Any))
        .await;
    expect_kind(lower, ErrorKind::Server);
    let none: [(&str, &str); 0] = [];
    expect_kind(
        client.append("orders", none, Expect::Any).await,
        ErrorKind::Argument,
    );
    expect_kind(
        client.append("", FIELDS, Expect::Any).await,
        ErrorKind::Argument,
    );
    expect_kind(
        client.append("$all", FIELDS, Expect::Any).await,
        ErrorKind::Argument,
    );
    assert_eq!(count(&client).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_unknown_where_nothing_was_expected() {
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let lost = lose(&rig, &client, Direction::ToClient, Append::default(), &[]).await;
    expect_kind(lost, ErrorKind::Unknown);
    rig.settle().await;
    assert_eq!(count(&client).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_or_a_number_makes_it_safe_to_append_again() {
    for (events, how) in [
        (1, with_id(5, Expect::Any)),
        (2, with_id(6, Expect::Number(0))),
        (3, with_id(7, Expect::Exists)),
    ] {
        for what in [Direction::ToServer, Direction::ToClient] {
            let rig = Rig::start(&[]);
            let client = rig.client().await;
            if how.expect != Expect::Any {
                rig.direct().call("XADD orders 1-1 a b");
            }
            let stored = lose(&rig, &client, what, how, &[]).await;
            assert_eq!(stored.ok(), how.id, "{events} {what:?}");
            rig.settle().await;
            let expected = if how.expect == Expect::Any { 1 } else { 2 };
            assert_eq!(count(&client).await, expected, "{how:?} {what:?}");
        }
    }
    // Without an id: the number is expected, and it had not arrived.
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let none = Append::from(Expect::None);
    let stored = lose(&rig, &client, Direction::ToServer, none, &[]).await;
    stored.expect("it is appended again");
    rig.settle().await;
    assert_eq!(count(&client).await, 1);
    // It had, and who else could have written the same there?
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let unknown = lose(&rig, &client, Direction::ToClient, none, &[]).await;
    let error = expect_kind(unknown, ErrorKind::Unknown);
    assert!(
        matches!(error, Error::Unknown { found: Some(0), .. }),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_event_in_its_place_means_that_it_was_not_stored() {
    let how = [with_id(5, Expect::Any), Append::from(Expect::None)];
    for (how, kind) in how
        .into_iter()
        .zip([ErrorKind::Server, ErrorKind::Conflict])
    {
        let rig = Rig::start(&[]);
        let client = rig.client().await;
        let theirs = ["XADD orders 5-0 not ours"];
        let refused = lose(&rig, &client, Direction::ToServer, how, &theirs).await;
        expect_kind(refused, kind);
        rig.settle().await;
        assert_eq!(count(&client).await, 1);
    }
    // Behind a higher id nobody can tell: it may have been there and be deleted.
    let rig = Rig::start(&[]);
    let client = rig.client().await;
    let theirs = ["XADD orders 9-0 not ours"];
    let how = with_id(5, Expect::Any);
    let unknown = lose(&rig, &client, Direction::ToServer, how, &theirs).await;
    expect_kind(unknown, ErrorKind::Unknown);
}
