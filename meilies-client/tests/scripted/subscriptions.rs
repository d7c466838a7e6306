//! Subscriptions: what is given, and how they go on over the next connection.

use futures::StreamExt;
use meilies_client::{Client, Error, ErrorKind, Item, Subscription};

use crate::player::{Player, STAY, Script, event, event_of_all, info, play, push, read};

const NIL: &str = "_\r\n";

/// A player for a client whose commands are not looked at.
async fn play_to_subscriptions(scripts: Vec<(u64, Script)>) -> (Player, Client) {
    let idle = (0, vec![("", STAY.to_owned())]);
    let scripts = std::iter::once(idle).chain(scripts).collect();
    let player = play(scripts).await;
    let client = player.connect().await;
    (player, client)
}

async fn end(player: Player, client: Client) {
    // The idle connection ends with its client.
    drop(client);
    player.end().await;
}

async fn next(subscription: &mut Subscription) -> Item {
    let item = subscription.next().await.expect("it goes on");
    item.expect("an item")
}

async fn next_number(subscription: &mut Subscription) -> u64 {
    match next(subscription).await {
        Item::Event(event) => event.number,
        other => panic!("{other:?}"),
    }
}

async fn next_error(subscription: &mut Subscription) -> Error {
    let item = subscription.next().await.expect("it goes on");
    item.expect_err("an error")
}

fn subscribed(spec: &str) -> String {
    push("subscribe", spec, 1)
}

/// A SUBSCRIBE to one stream, which is the same one before and after it.
fn follow(question: &'static str, command: &'static str, answer: String) -> Script {
    let is_there = || (question, info(1, 9));
    vec![is_there(), (command, answer), is_there()]
}

/// The same for what follows the first connection, where more comes before and behind it.
fn around(before: Script, script: Script, behind: Script) -> Script {
    before.into_iter().chain(script).chain(behind).collect()
}

#[tokio::test]
async fn confirmations_are_hidden_and_the_last_spec_ends_it() {
    let damaged = ">4\r\n$5\r\nerror\r\n$1\r\nb\r\n:0\r\n$7\r\ndamaged\r\n";
    let told = subscribed("a:0:1")
        + &subscribed("b:0:1")
        + &event("a", 0, 4)
        + &push("ended", "a:0:1", 1)
        + damaged;
    let (player, client) = play_to_subscriptions(vec![(
        0,
        vec![
            ("STREAM-INFO a", info(1, 0)),
            ("STREAM-INFO b", info(2, 0)),
            ("SUBSCRIBE a:0:1 b:0:1", told),
            ("STREAM-INFO a", info(1, 0)),
            ("STREAM-INFO b", info(2, 0)),
        ],
    )])
    .await;
    let mut subscription = client
        .subscribe(["a:0:1", "b:0:1"])
        .await
        .expect("both are good");
    match next(&mut subscription).await {
        Item::Event(event) => {
            assert_eq!((event.stream.as_bytes(), event.number), (&b"a"[..], 0));
            assert_eq!(
                (event.position, event.name(), event.data()),
                (4, &b"n"[..], &b"d"[..])
            );
        }
        other => panic!("{other:?}"),
    }
    let ended = next(&mut subscription).await;
    assert!(matches!(ended, Item::Ended { next: 1, .. }), "{ended:?}");
    let error = next_error(&mut subscription).await;
    assert_eq!(error.kind(), ErrorKind::Server);
    assert_eq!(
        error.to_string(),
        "the subscription to 'b' ended at 0: damaged"
    );
    assert!(subscription.next().await.is_none());
    end(player, client).await;
}

#[tokio::test]
async fn a_refused_subscription_keeps_the_servers_words() {
    let refused = "-ERR too many subscriptions\r\n".to_owned();
    let script = vec![("STREAM-INFO a", NIL.into()), ("SUBSCRIBE a:0", refused)];
    let (player, client) = play_to_subscriptions(vec![(0, script)]).await;
    let error = client.subscribe(["a:0"]).await.expect_err("it is refused");
    assert_eq!(error.to_string(), "ERR too many subscriptions");
    end(player, client).await;
}

#[tokio::test]
async fn it_resumes_behind_the_last_event() {
    let first = subscribed("a:0") + &event("a", 0, 0) + &event("a", 1, 5);
    let again = subscribed("a:2") + &event("a", 2, 6);
    let (player, client) = play_to_subscriptions(vec![
        (0, follow("STREAM-INFO a", "SUBSCRIBE a:0", first)),
        (
            0,
            vec![
                ("STREAM-INFO a", info(1, 2)),
                ("READ-EVENTS a:1:2 COUNT 1", read("a", 1, 5)),
                ("SUBSCRIBE a:2", again),
                ("STREAM-INFO a", info(1, 2)),
                ("", STAY.into()),
            ],
        ),
    ])
    .await;
    let mut subscription = client.subscribe(["a:0"]).await.expect("good");
    for number in 0..3 {
        assert_eq!(next_number(&mut subscription).await, number);
    }
    drop(subscription);
    end(player, client).await;
}

#[tokio::test]
async fn a_new_only_spec_resumes_where_it_began_and_all_at_its_position() {
    let stream = subscribed("a") + ">3\r\n$9\r\ncaught-up\r\n$1\r\na\r\n_\r\n";
    let all = subscribed("$all") + &push("caught-up", "$all", 8);
    let known = read("x", 3, 8);
    let again = subscribed("a:0") + &subscribed("$all:9") + &event("a", 0, 9);
    let again = again + &event_of_all("a", 0, 9);
    let both = stream + &all;
    let (player, client) = play_to_subscriptions(vec![
        (
            0,
            vec![
                ("STREAM-INFO a", NIL.into()),
                ("SUBSCRIBE a $all", both),
                ("STREAM-INFO a", NIL.into()),
                ("READ-EVENTS $all:8:9 COUNT 1", known.clone()),
            ],
        ),
        (
            0,
            vec![
                ("STREAM-INFO a", info(3, 0)),
                ("LAST-EVENT-NUMBER $all", ":9\r\n".into()),
                ("READ-EVENTS $all:8:9 COUNT 1", known),
                ("SUBSCRIBE a:0 $all:9", again),
                ("STREAM-INFO a", info(3, 0)),
                ("", STAY.into()),
            ],
        ),
    ])
    .await;
    let mut subscription = client.subscribe(["a", "$all"]).await.expect("good");
    assert!(matches!(
        next(&mut subscription).await,
        Item::CaughtUp { number: None, .. }
    ));
    assert!(matches!(
        next(&mut subscription).await,
        Item::CaughtUp {
            number: Some(8),
            ..
        }
    ));
    assert_eq!(next_number(&mut subscription).await, 0);
    assert_eq!(next_number(&mut subscription).await, 0);
    drop(subscription);
    end(player, client).await;
}

#[tokio::test]
async fn a_range_whose_end_was_not_told_ends_all_the_same() {
    let first = subscribed("a:4:6") + &event("a", 4, 4) + &event("a", 5, 5);
    let script = follow("STREAM-INFO a", "SUBSCRIBE a:4:6", first);
    let (player, client) = play_to_subscriptions(vec![(0, script), (0, vec![])]).await;
    let mut subscription = client.subscribe(["a:4:6"]).await.expect("good");
    assert_eq!(next_number(&mut subscription).await, 4);
    assert_eq!(next_number(&mut subscription).await, 5);
    match next(&mut subscription).await {
        Item::Ended { spec, next } => assert_eq!((&spec[..], next), (&b"a:4:6"[..], 6)),
        other => panic!("{other:?}"),
    }
    assert!(subscription.next().await.is_none());
    end(player, client).await;
}

#[tokio::test]
async fn a_range_that_goes_on_ends_with_the_spec_that_was_given() {
    let first = subscribed("a:4:6") + &event("a", 4, 4);
    let again = subscribed("a:5:6") + &event("a", 5, 5) + &push("ended", "a:5:6", 6);
    let (player, client) = play_to_subscriptions(vec![
        (0, follow("STREAM-INFO a", "SUBSCRIBE a:4:6", first)),
        (
            0,
            vec![
                ("STREAM-INFO a", info(1, 5)),
                ("READ-EVENTS a:4:5 COUNT 1", read("a", 4, 4)),
                ("SUBSCRIBE a:5:6", again),
                ("STREAM-INFO a", info(1, 5)),
            ],
        ),
    ])
    .await;
    let mut subscription = client.subscribe(["a:4:6"]).await.expect("good");
    assert_eq!(next_number(&mut subscription).await, 4);
    assert_eq!(next_number(&mut subscription).await, 5);
    match next(&mut subscription).await {
        Item::Ended { spec, next } => assert_eq!((&spec[..], next), (&b"a:4:6"[..], 6)),
        other => panic!("{other:?}"),
    }
    assert!(subscription.next().await.is_none());
    end(player, client).await;
}

/// One event of `a` and of `b` is seen; then the server says this about `a`, before and after it
/// is told to follow it. Only if it goes on it is subscribed to again.
async fn after_an_outage(
    goes_on: bool,
    now: [String; 2],
    there: String,
) -> Vec<Result<Item, ErrorKind>> {
    let first = subscribed("a:0") + &subscribed("b:0") + &event("a", 0, 0) + &event("b", 0, 1);
    let again = match goes_on {
        true => (
            "SUBSCRIBE a:1 b:1",
            subscribed("a:1") + &subscribed("b:1") + &event("a", 1, 2) + &event("b", 1, 3),
        ),
        false => ("SUBSCRIBE b:1", subscribed("b:1") + &event("b", 1, 3)),
    };
    let [before, after] = now;
    let followed = goes_on.then_some(("STREAM-INFO a", after));
    let both = || vec![("STREAM-INFO a", info(1, 0)), ("STREAM-INFO b", info(2, 0))];
    let (player, client) = play_to_subscriptions(vec![
        (
            0,
            around(both(), vec![("SUBSCRIBE a:0 b:0", first)], both()),
        ),
        (
            0,
            around(
                vec![
                    ("STREAM-INFO a", before),
                    ("READ-EVENTS a:0:1 COUNT 1", there),
                    ("STREAM-INFO b", info(2, 1)),
                    ("READ-EVENTS b:0:1 COUNT 1", read("b", 0, 1)),
                    again,
                ],
                followed.into_iter().collect(),
                vec![("STREAM-INFO b", info(2, 1)), ("", STAY.into())],
            ),
        ),
    ])
    .await;
    let mut subscription = client.subscribe(["a:0", "b:0"]).await.expect("good");
    assert_eq!(next_number(&mut subscription).await, 0);
    assert_eq!(next_number(&mut subscription).await, 0);
    let mut items = Vec::new();
    while items.len() < 2
        && let Some(item) = subscription.next().await
    {
        items.push(item.map_err(|error| error.kind()));
    }
    drop(subscription);
    end(player, client).await;
    items
}

fn is_event(item: &Result<Item, ErrorKind>, stream: &str) -> bool {
    matches!(item, Ok(Item::Event(event)) if event.stream.as_bytes() == stream.as_bytes())
}

#[tokio::test]
async fn a_stream_that_was_made_anew_ends_and_the_others_go_on() {
    // It has the same event, as a copy of the stream would, but it is another stream.
    let now = [info(5, 1), NIL.to_owned()];
    let items = after_an_outage(false, now, read("a", 0, 0)).await;
    assert!(items.contains(&Err(ErrorKind::Replaced)), "{items:?}");
    assert!(items.iter().any(|item| is_event(item, "b")), "{items:?}");
}

#[tokio::test]
async fn a_stream_that_was_made_anew_is_known_without_the_event_that_was_seen() {
    let now = [info(5, 1), NIL.to_owned()];
    let items = after_an_outage(false, now, "*0\r\n".to_owned()).await;
    assert!(items.contains(&Err(ErrorKind::Replaced)), "{items:?}");
    assert!(items.iter().any(|item| is_event(item, "b")), "{items:?}");
}

#[tokio::test]
async fn the_same_stream_with_other_events_is_an_older_copy() {
    let now = [info(1, 1), NIL.to_owned()];
    let items = after_an_outage(false, now, read("a", 0, 7)).await;
    assert!(items.contains(&Err(ErrorKind::Replaced)), "{items:?}");
}

#[tokio::test]
async fn nothing_is_given_of_a_stream_that_is_made_anew_while_it_is_subscribed_to() {
    for (after, expected) in [(info(5, 1), Some(ErrorKind::Replaced)), (NIL.into(), None)] {
        let items = after_an_outage(true, [info(1, 1), after], read("a", 0, 0)).await;
        assert!(!items.iter().any(|item| is_event(item, "a")), "{items:?}");
        assert!(items.iter().any(|item| is_event(item, "b")), "{items:?}");
        match expected {
            Some(kind) => assert!(items.contains(&Err(kind)), "{items:?}"),
            None => assert!(items.iter().any(is_deleted), "{items:?}"),
        }
    }
}

fn is_deleted(item: &Result<Item, ErrorKind>) -> bool {
    matches!(item, Ok(Item::Deleted { number: 0, .. }))
}

#[tokio::test]
async fn a_stream_is_known_again_before_its_first_event() {
    for (now, kind) in [(info(5, 0), Some(ErrorKind::Replaced)), (NIL.into(), None)] {
        let (player, client) = play_to_subscriptions(vec![
            (
                0,
                follow("STREAM-INFO a", "SUBSCRIBE a:7", subscribed("a:7")),
            ),
            (0, vec![("STREAM-INFO a", now)]),
        ])
        .await;
        let mut subscription = client.subscribe(["a:7"]).await.expect("good");
        let item = subscription.next().await.expect("it is told");
        assert_eq!(item.as_ref().err().map(Error::kind), kind, "{item:?}");
        assert!(kind.is_some() || is_deleted(&item.map_err(|error| error.kind())));
        assert!(subscription.next().await.is_none());
        end(player, client).await;
    }
}

#[tokio::test]
async fn a_stream_that_comes_later_is_asked_for_with_its_first_event() {
    let first = subscribed("a:0") + &event("a", 0, 0);
    let (player, client) = play_to_subscriptions(vec![
        (
            0,
            vec![
                ("STREAM-INFO a", NIL.into()),
                ("SUBSCRIBE a:0", first),
                ("STREAM-INFO a", NIL.into()),
                ("STREAM-INFO a", info(1, 0) + &event("a", 1, 1)),
            ],
        ),
        (
            0,
            vec![
                ("STREAM-INFO a", info(5, 1)),
                ("READ-EVENTS a:1:2 COUNT 1", "*0\r\n".into()),
            ],
        ),
    ])
    .await;
    let mut subscription = client.subscribe(["a:0"]).await.expect("good");
    assert_eq!(next_number(&mut subscription).await, 0);
    assert_eq!(next_number(&mut subscription).await, 1);
    let error = next_error(&mut subscription).await;
    assert_eq!(error.kind(), ErrorKind::Replaced, "{error}");
    assert_eq!(
        error.to_string(),
        "the stream 'a' is not the one whose event 1 was seen"
    );
    assert!(subscription.next().await.is_none());
    end(player, client).await;
}

#[tokio::test]
async fn a_stream_that_is_gone_is_deleted() {
    let now = [NIL.to_owned(), NIL.to_owned()];
    let items = after_an_outage(false, now, "*0\r\n".to_owned()).await;
    assert!(items.iter().any(is_deleted), "{items:?}");
    assert!(items.iter().any(|item| is_event(item, "b")), "{items:?}");
}

#[tokio::test]
async fn an_event_that_was_deleted_or_is_damaged_proves_nothing() {
    for there in ["*0\r\n", "-ERR a 0 to 0 cannot be read\r\n"] {
        let now = [info(1, 1), info(1, 1)];
        let items = after_an_outage(true, now, there.to_owned()).await;
        assert!(
            is_event(&items[0], "a") && is_event(&items[1], "b"),
            "{items:?}"
        );
    }
}

#[tokio::test]
async fn a_new_epoch_is_told_to_every_source_that_has_seen_something() {
    let first = subscribed("a:0") + &subscribed("b:0") + &event("a", 0, 0);
    let again = subscribed("b:0") + &event("b", 0, 0);
    let both = || vec![("STREAM-INFO a", info(1, 0)), ("STREAM-INFO b", info(2, 0))];
    let one = || vec![("STREAM-INFO b", info(2, 0))];
    let stay = vec![("", STAY.to_owned())];
    let (player, client) = play_to_subscriptions(vec![
        (
            3,
            around(both(), vec![("SUBSCRIBE a:0 b:0", first)], both()),
        ),
        (
            4,
            around(
                one(),
                vec![("SUBSCRIBE b:0", again)],
                around(one(), stay, vec![]),
            ),
        ),
    ])
    .await;
    let mut subscription = client.subscribe(["a:0", "b:0"]).await.expect("good");
    assert_eq!(next_number(&mut subscription).await, 0);
    match next_error(&mut subscription).await {
        Error::Diverged {
            source_name,
            number,
            reason,
        } => {
            assert_eq!((&source_name[..], number), (&b"a"[..], Some(0)));
            assert_eq!(reason, "the store was in epoch 3 and is in epoch 4");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(next_number(&mut subscription).await, 0);
    drop(subscription);
    end(player, client).await;
}

#[tokio::test]
async fn another_event_at_a_position_of_all_means_another_store() {
    for (last, there) in [
        (":0\r\n", read("a", 0, 0).replace("1000-0", "9999-0")),
        (NIL, "*0\r\n".to_owned()),
    ] {
        let first = subscribed("$all:0") + &event_of_all("a", 0, 0);
        let (player, client) = play_to_subscriptions(vec![
            (0, vec![("SUBSCRIBE $all:0", first)]),
            (
                0,
                vec![
                    ("LAST-EVENT-NUMBER $all", last.into()),
                    ("READ-EVENTS $all:0:1 COUNT 1", there),
                ],
            ),
        ])
        .await;
        let mut subscription = client.subscribe(["$all:0"]).await.expect("good");
        assert_eq!(next_number(&mut subscription).await, 0);
        let error = next_error(&mut subscription).await;
        assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
        assert!(subscription.next().await.is_none());
        end(player, client).await;
    }
}

#[tokio::test]
async fn a_place_that_is_free_again_can_be_taken() {
    let (player, client) = {
        let player = play(vec![
            (0, vec![("", STAY.to_owned())]),
            (
                0,
                around(
                    follow("STREAM-INFO a", "SUBSCRIBE a:0", subscribed("a:0")),
                    vec![("", STAY.into())],
                    vec![],
                ),
            ),
            (
                0,
                around(
                    follow("STREAM-INFO b", "SUBSCRIBE b:0", subscribed("b:0")),
                    vec![("", STAY.into())],
                    vec![],
                ),
            ),
        ])
        .await;
        let client = player.builder().subscriptions_max(1).connect().await;
        (player, client.expect("it is greeted"))
    };
    let first = client.subscribe(["a:0"]).await.expect("there is a place");
    let refused = client.subscribe(["b:0"]).await.expect_err("there is none");
    assert_eq!(refused.kind(), ErrorKind::Limit);
    assert!(refused.to_string().contains("1 subscriptions"), "{refused}");
    drop(first);
    let second = client.subscribe(["b:0"]).await;
    drop(second.expect("there is one again"));
    end(player, client).await;
}
