//! Goal: whatever is done in whatever order, with restarts, kills and slow readers in between, the
//! server answers as a naive model does.
//!
//! Method: random operations of a seed, each compared with the model. The seed is printed; a run is
//! replayed with `SEED=42 cargo test -p meilies-tests --test model`, longer with `OPERATIONS=5000`.

use meilies_tests::Client;
use meilies_tests::client::encode;
use meilies_tests::model::{Expect, Keyspace, Model, Source, Stored};
use meilies_tests::operations::{
    Expected, FOLLOWERS, Operation, Range, STREAMS, Step, Unit, Write, changes, operations,
};
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::resp::{Protocol, Value};
use meilies_tests::seed::{number_from_environment, seed};

#[test]
fn random_operations_agree_with_the_model() {
    let seed = seed();
    println!("replay with: SEED={seed} cargo test -p meilies-tests --test model");
    let count = number_from_environment("OPERATIONS").unwrap_or(600);
    run(&operations(seed, usize::try_from(count).unwrap()));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let seed = seed();
    println!("replay with: SEED={seed} cargo test -p meilies-tests --test model");
    assert_eq!(operations(seed, 2000), operations(seed, 2000));
    // How much of a killed pipeline is stored is the machine's to decide, all else is the seed's.
    let mut fixed = operations(seed, 150);
    fixed.retain(|operation| !matches!(operation, Operation::KillDuring { .. }));
    assert_eq!(run(&fixed), run(&fixed));
}

#[test]
fn random_changes_agree_with_the_model() {
    let seed = seed();
    println!("replay with: SEED={seed} cargo test -p meilies-tests --test model");
    let count = number_from_environment("OPERATIONS").unwrap_or(200);
    let mut server = ServerProcess::start(&Settings::default());
    let mut client = server.client();
    let mut model = Keyspace::default();
    for step in changes(seed, usize::try_from(count).unwrap()) {
        println!("{step:?}");
        match step {
            Step::Pipeline(units) => {
                let (_, unread) = change(&mut client, &mut model, &units, units.len());
                assert_eq!(unread, 0);
            }
            Step::Restart => server = server.restart(),
            Step::Kill => server = server.kill_and_restart(),
            Step::KillDuring(units, replies) => {
                let (states, _) = change(&mut client, &mut model, &units, replies);
                server = server.kill_and_restart();
                client = server.client();
                let found = states
                    .into_iter()
                    .find(|state| wrong(&mut client, state).is_none());
                model = found.expect("the store is as it was after some of the units");
            }
        }
        client = server.client();
        if let Some((question, answer, expected)) = wrong(&mut client, &model) {
            panic!("{question} answered {answer}, expected {expected}");
        }
    }
}

/// Sends the units in one pipeline and reads the replies of the first: what the store may be once
/// these are answered, after each unit from there on, and how many units were not read.
fn change(
    client: &mut Client,
    model: &mut Keyspace,
    units: &[Unit],
    read: usize,
) -> (Vec<Keyspace>, usize) {
    let mut commands = Vec::new();
    let mut expected = Vec::new();
    let mut states = vec![model.clone()];
    for unit in units {
        let (changes, ending) = match unit {
            Unit::Alone(change) => (std::slice::from_ref(change), None),
            Unit::Together(changes) => (&changes[..], Some("EXEC")),
            Unit::Discarded(changes) => (&changes[..], Some("DISCARD")),
        };
        let before = model.clone();
        let mut replies = Vec::new();
        if ending.is_some() {
            commands.extend(encode(&["MULTI"]));
            expected.push((states.len(), Value::Simple(b"OK".to_vec())));
        }
        for change in changes {
            let (words, reply) = model.change(change);
            commands.extend(encode(&words));
            replies.push(reply);
        }
        let replies = match ending {
            None => replies,
            Some(ending) => {
                commands.extend(encode(&[ending]));
                let mut said = vec![Value::Simple(b"QUEUED".to_vec()); changes.len()];
                said.push(match ending {
                    "EXEC" => Value::Array(replies),
                    _ => Value::Simple(b"OK".to_vec()),
                });
                said
            }
        };
        expected.extend(replies.into_iter().map(|reply| (states.len(), reply)));
        if ending == Some("DISCARD") {
            *model = before;
        }
        states.push(model.clone());
    }
    client.send(&commands);
    for (_, reply) in expected.iter().filter(|(unit, _)| *unit <= read) {
        assert_eq!(client.reply(), *reply, "{units:?}");
    }
    (states.split_off(read), units.len() - read)
}

/// The first question that is not answered as it should be.
fn wrong(client: &mut Client, model: &Keyspace) -> Option<(String, Value, Value)> {
    let questions = model.questions().into_iter();
    let mut answered = questions.map(|(words, expected)| {
        let answer = client.command(&words);
        let question: Vec<String> = words.iter().map(|word| text(word)).collect();
        (question.join(" "), answer, expected)
    });
    answered.find(|(_, answer, expected)| answer != expected)
}

/// Runs the operations and gives what was said, without what the clock decides.
fn run(operations: &[Operation]) -> Vec<String> {
    let mut run = Run::new();
    for operation in operations {
        run.operation(operation);
    }
    run.check_everything();
    run.restart(ServerProcess::restart);
    run.check_everything();
    run.trace
}

struct Run {
    server: Option<ServerProcess>,
    client: Client,
    followers: Vec<Follower>,
    model: Model,
    published: u64,
    trace: Vec<String>,
}

/// A client that reads only when told to.
struct Follower {
    client: Client,
    following: Option<Following>,
}

/// What it has to get next.
#[derive(Clone, Debug)]
struct Following {
    source: Source,
    from: u64,
    next: u64,
    end: Option<u64>,
    caught_up: bool,
}

impl Run {
    fn new() -> Self {
        let server = ServerProcess::start(&Settings::default());
        let client = server.client();
        let followers = (0..FOLLOWERS)
            .map(|index| follower(&server, index))
            .collect();
        let (model, published, trace) = (Model::default(), 0, Vec::new());
        Self {
            server: Some(server),
            client,
            followers,
            model,
            published,
            trace,
        }
    }

    fn operation(&mut self, operation: &Operation) {
        self.trace.push(format!("{operation:?}"));
        match operation {
            Operation::Publish(writes) => self.publish(writes),
            Operation::Tail(stream) => self.tail(*stream),
            Operation::Names => self.names(),
            Operation::Read {
                range,
                count,
                reverse,
            } => self.read(range, *count, *reverse),
            Operation::Subscribe {
                follower,
                range,
                new,
            } => {
                self.subscribe(*follower, range, *new);
            }
            Operation::Drain(follower) => self.followers[*follower].drain(&self.model),
            Operation::Unsubscribe(follower) => self.followers[*follower].unsubscribe(),
            Operation::Restart => self.restart(ServerProcess::restart),
            Operation::Kill => self.restart(ServerProcess::kill_and_restart),
            Operation::KillDuring { writes, replies } => self.kill_during(writes, *replies),
        }
    }

    fn publish(&mut self, writes: &[Write]) {
        let (commands, expected) = self.prepare(writes);
        self.client.send(&commands);
        for expected in expected {
            let reply = self.client.reply().to_string();
            assert_eq!(reply, expected);
            self.trace.push(reply);
        }
    }

    /// Encodes the writes and applies them to the model: the replies that must come.
    fn prepare(&mut self, writes: &[Write]) -> (Vec<u8>, Vec<String>) {
        let mut commands = Vec::new();
        let mut replies = Vec::new();
        for write in writes {
            let stream = STREAMS[write.stream];
            let tail = self.model.tail(&Source::Stream(stream.to_vec()));
            let (expect, words) = expectation(write.expect, tail);
            let data = data(self.published, write.bytes);
            self.published += 1;
            let mut arguments: Vec<&[u8]> = vec![b"PUBLISH", stream, b"happened", &data];
            arguments.extend(words.iter().map(String::as_bytes));
            commands.extend(encode(&arguments));
            replies.push(
                match self.model.publish(stream, b"happened", &data, expect) {
                    Ok(number) => format!(":{number}"),
                    Err(tail) => conflict(stream, tail, &words[1]),
                },
            );
        }
        (commands, replies)
    }

    fn tail(&mut self, stream: usize) {
        let reply = self
            .client
            .command(&[b"LAST-EVENT-NUMBER", STREAMS[stream]]);
        let tail = self.model.tail(&Source::Stream(STREAMS[stream].to_vec()));
        assert_eq!(
            reply.to_string(),
            tail.map_or("nil".to_owned(), |tail| format!(":{tail}"))
        );
        self.trace.push(reply.to_string());
    }

    fn names(&mut self) {
        let reply = self.client.call("STREAM-NAMES");
        let names = self.model.names().into_iter().map(Value::Bulk).collect();
        assert_eq!(reply, Value::Array(names));
    }

    fn read(&mut self, range: &Range, count: Option<usize>, reverse: bool) {
        let (source, from, end) = self.resolve(range);
        let mut arguments = vec![b"READ-EVENTS".to_vec(), spec(&source, from, end)];
        if let Some(count) = count {
            arguments.extend([b"COUNT".to_vec(), count.to_string().into_bytes()]);
        }
        if reverse {
            arguments.push(b"REVERSE".to_vec());
        }
        let mut expected = self.model.read(&source, from, end.unwrap_or(u64::MAX));
        if reverse {
            expected.reverse();
        }
        expected.truncate(count.unwrap_or(usize::MAX));
        let reply = self.client.command(&arguments);
        let events: Vec<Stored> = reply
            .items()
            .iter()
            .map(|event| stored(event.items()))
            .collect();
        same(&events, &expected);
        self.trace.push(format!("{} events", events.len()));
    }

    fn subscribe(&mut self, follower: usize, range: &Range, new: bool) {
        let (source, mut from, end) = self.resolve(range);
        let follower = &mut self.followers[follower];
        // One source per connection: the one before goes first, so that nothing of it is read.
        follower.unsubscribe();
        let mut name = spec(&source, from, end);
        let end = end.filter(|_| !new);
        if new {
            from = self.model.tail(&source).map_or(0, |tail| tail + 1);
            name = [source.name(), b":$"].concat();
        }
        follower.client.send(&encode(&[b"SUBSCRIBE", &name[..]]));
        let confirmation = follower.client.push();
        assert_eq!(confirmation.items()[..2], [bulk(b"subscribe"), bulk(&name)]);
        let following = Following {
            source,
            from,
            next: from,
            end,
            caught_up: false,
        };
        follower.following = Some(following);
    }

    fn resolve(&self, range: &Range) -> (Source, u64, Option<u64>) {
        let source = match range.stream {
            Some(stream) => Source::Stream(STREAMS[stream].to_vec()),
            None => Source::All,
        };
        let count = self.model.tail(&source).map_or(0, |tail| tail + 1);
        let from = count * range.from_permille / 1000;
        (source, from, range.length.map(|length| from + length))
    }

    fn restart(&mut self, how: fn(ServerProcess) -> ServerProcess) {
        self.server = self.server.take().map(how);
        let server = self.server.as_ref().expect("it runs again");
        self.client = server.client();
        for (index, follower) in self.followers.iter_mut().enumerate() {
            let following = follower.following.take();
            *follower = self::follower(server, index);
            if let Some(following) = following {
                follower.resume(following);
            }
        }
    }

    /// What was acknowledged is there; of the rest a prefix may be, in order and with the numbers
    /// that its replies would have said.
    fn kill_during(&mut self, writes: &[Write], replies: usize) {
        let stored_before = self.model.len();
        let (commands, expected) = self.prepare(writes);
        self.client.send(&commands);
        for expected in &expected[..replies] {
            assert_eq!(self.client.reply().to_string(), *expected);
        }
        let acknowledged = expected[..replies]
            .iter()
            .filter(|reply| reply.starts_with(':'));
        let least = stored_before + acknowledged.count() as u64;
        let most = self.model.len();
        self.restart(ServerProcess::kill_and_restart);
        let reply = self.client.command(&[
            b"READ-EVENTS".to_vec(),
            spec(&Source::All, stored_before, None),
        ]);
        let events: Vec<Stored> = reply
            .items()
            .iter()
            .map(|event| stored(event.items()))
            .collect();
        let found = stored_before + events.len() as u64;
        assert!(
            (least..=most).contains(&found),
            "{found} events, expected {least} to {most}"
        );
        same(
            &events,
            &self.model.read(&Source::All, stored_before, found),
        );
        self.model
            .truncate(usize::try_from(found).expect("a test's events fit memory"));
    }

    fn check_everything(&mut self) {
        self.names();
        for stream in 0..STREAMS.len() {
            self.tail(stream);
        }
        for stream in [None].into_iter().chain((0..STREAMS.len()).map(Some)) {
            for reverse in [false, true] {
                let all = Range {
                    stream,
                    from_permille: 0,
                    length: None,
                };
                self.read(&all, None, reverse);
            }
        }
        for follower in &mut self.followers {
            follower.drain(&self.model);
        }
    }
}

impl Follower {
    fn drain(&mut self, model: &Model) {
        let Some(following) = &mut self.following else {
            return;
        };
        let end = following.end.unwrap_or(u64::MAX);
        for event in model.read(&following.source, following.next, end) {
            loop {
                let push = self.client.push();
                if push.items()[0].text() != "caught-up" {
                    same(&[followed(&push, &following.source)], &[event]);
                    break;
                }
                following.catch_up(&push);
            }
            following.next += 1;
        }
        if Some(following.next) == following.end {
            self.expect_end();
            return;
        }
        let tail = model.tail(&following.source).map_or(0, |tail| tail + 1);
        // A start in the future is caught up with when it comes.
        if !following.caught_up && following.from <= tail {
            following.catch_up(&self.client.push());
        }
    }

    fn expect_end(&mut self) {
        let following = self.following.take().expect("the caller follows");
        let mut push = self.client.push();
        if push.items()[0].text() == "caught-up" {
            // It may have been caught up with before the last event came.
            push = self.client.push();
        }
        assert_eq!(push.items()[0], bulk(b"ended"));
        assert_eq!(push.items()[2].number(), following.next);
    }

    fn unsubscribe(&mut self) {
        let Some(following) = self.following.take() else {
            return;
        };
        self.client
            .send(&encode(&[b"UNSUBSCRIBE", following.source.name()]));
        loop {
            let push = self.client.push();
            if push.items()[0].text() == "unsubscribe" {
                assert_eq!(push.items()[1], bulk(following.source.name()));
                break;
            }
        }
        assert_eq!(self.client.call("ECHO silence"), bulk(b"silence"));
        assert!(
            self.client.left_over().next().is_none(),
            "a push follows 'unsubscribe'"
        );
    }

    /// Goes on behind the last event that it read, as a client does that lost its connection.
    fn resume(&mut self, following: Following) {
        let spec = spec(&following.source, following.next, following.end);
        self.client.send(&encode(&[b"SUBSCRIBE", &spec[..]]));
        assert_eq!(
            self.client.push().items()[..2],
            [bulk(b"subscribe"), bulk(&spec)]
        );
        let from = following.next;
        self.following = Some(Following {
            from,
            caught_up: false,
            ..following
        });
    }
}

impl Following {
    fn catch_up(&mut self, push: &Value) {
        let items = push.items();
        assert_eq!(
            items[..2],
            [bulk(b"caught-up"), bulk(self.source.name())],
            "{push}"
        );
        assert!(!self.caught_up, "caught up with twice: {push}");
        self.caught_up = true;
        match &items[2] {
            // It is the last one delivered, or what was the last when nothing was to deliver.
            number if self.next > self.from => assert_eq!(number.number(), self.next - 1),
            Value::Nil => assert_eq!(self.from, 0),
            number => assert!(number.number() < self.from || self.from == 0, "{push}"),
        }
    }
}

fn follower(server: &ServerProcess, index: usize) -> Follower {
    let protocol = if index.is_multiple_of(2) {
        Protocol::Resp2
    } else {
        Protocol::Resp3
    };
    Follower {
        client: Client::connect(server.address(), protocol),
        following: None,
    }
}

fn expectation(expected: Expected, tail: Option<u64>) -> (Expect, Vec<String>) {
    let said = |expect, word: String| (expect, vec!["EXPECT".to_owned(), word]);
    match expected {
        Expected::Unsaid => (Expect::Any, Vec::new()),
        Expected::Any => said(Expect::Any, "any".to_owned()),
        Expected::None => said(Expect::None, "none".to_owned()),
        Expected::Exists => said(Expect::Exists, "exists".to_owned()),
        Expected::Tail(delta) => {
            let number = tail.unwrap_or(0).saturating_add_signed(delta);
            said(Expect::Last(number), number.to_string())
        }
    }
}

fn conflict(stream: &[u8], tail: Option<u64>, expected: &str) -> String {
    let shown = if stream[0] == 0 {
        "\\\\x00\\\\xff\\\\r\\\\n"
    } else {
        &text(stream)
    };
    match tail {
        Some(tail) => format!("-CONFLICT stream '{shown}' is at {tail}, expected {expected}"),
        None => format!("-CONFLICT stream '{shown}' has no event, expected {expected}"),
    }
}

/// Data that is different for every event of a run.
fn data(serial: u64, bytes: usize) -> Vec<u8> {
    let mut data = format!("{serial}:").into_bytes();
    data.extend((0..bytes).map(|index| index.to_le_bytes()[0]));
    data
}

fn spec(source: &Source, from: u64, end: Option<u64>) -> Vec<u8> {
    let end = end.map_or("+".to_owned(), |end| end.to_string());
    [source.name(), format!(":{from}:{end}").as_bytes()].concat()
}

/// `stream number position id [name data]`
fn stored(items: &[Value]) -> Stored {
    let pair = items[4].items();
    assert_eq!(pair.len(), 2);
    Stored {
        stream: items[0].bytes().to_vec(),
        number: items[1].number(),
        position: items[2].number(),
        name: pair[0].bytes().to_vec(),
        data: pair[1].bytes().to_vec(),
    }
}

fn followed(push: &Value, source: &Source) -> Stored {
    let items = push.items();
    match (items[0].text(), source) {
        ("event", Source::Stream(_)) => stored(&items[1..]),
        ("pevent", Source::All) => {
            assert_eq!(items[1], bulk(b"$all"));
            stored(&items[2..])
        }
        _ => panic!("not an event of {source:?}: {push}"),
    }
}

fn same(events: &[Stored], expected: &[Stored]) {
    assert_eq!(events.len(), expected.len());
    for (event, expected) in events.iter().zip(expected) {
        if event != expected {
            let show = |event: &Stored| {
                let (number, position) = (event.number, event.position);
                let data = text(&event.data[..event.data.len().min(30)]);
                format!("{} {number} at {position}: {data}", text(&event.stream))
            };
            panic!("expected {}, got {}", show(expected), show(event));
        }
    }
}

fn bulk(bytes: &[u8]) -> Value {
    Value::Bulk(bytes.to_vec())
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
