//! What the tests of the client crate share: a server behind a proxy, the truth as a client of our
//! own reads it, waits with a deadline, and the list of what the client said of its connections.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use meilies_client::{
    Builder, Change, Client, ConnectionKind, Error, ErrorKind, Event, Item, Lifecycle, Reconnect,
    Subscription,
};
use meilies_tests::Client as Direct;
use meilies_tests::client::DEADLINE;
use meilies_tests::process::{ServerProcess, Settings};
use meilies_tests::proxy::{Counts, Proxy};
use meilies_tests::resp::Value;
use tokio::sync::watch;

/// Comes back fast: a test waits for what the client does, never for its patience.
pub(crate) const QUICK: Reconnect = Reconnect {
    attempts_max: None,
    delay_min: Duration::from_millis(1),
    delay_max: Duration::from_millis(20),
};

/// How long a test that wants a time-out lets the client wait.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// A server, and a proxy in front of it.
pub(crate) struct Rig {
    server: Option<ServerProcess>,
    pub(crate) proxy: Proxy,
}

impl Rig {
    /// Starts both.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let server = ServerProcess::start(&Settings::flags(flags.iter().copied()));
        let proxy = Proxy::start(server.address());
        Self {
            server: Some(server),
            proxy,
        }
    }

    pub(crate) fn server(&self) -> &ServerProcess {
        self.server.as_ref().expect("it is taken in `change` only")
    }

    /// Lets the server be stopped, killed or replaced; the proxy follows it to its new port.
    pub(crate) fn change(&mut self, change: impl FnOnce(ServerProcess) -> ServerProcess) {
        let server = self.server.take().expect("it is taken here only");
        let server = change(server);
        self.proxy.set_target(server.address());
        self.server = Some(server);
    }

    /// The address of the proxy.
    pub(crate) fn url(&self) -> String {
        format!("meilies://{}", self.proxy.address())
    }

    /// A client through the proxy.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Client::builder(&self.url()).expect("the address is one");
        builder.reconnect(QUICK)
    }

    /// A client through the proxy, connected.
    pub(crate) async fn client(&self) -> Client {
        connect(self.builder()).await
    }

    /// A connection to the server itself, of another kind.
    pub(crate) fn direct(&self) -> Direct {
        self.server().client()
    }

    /// Publishes behind the client's back: the numbers.
    pub(crate) fn publish(&self, stream: &str, data: &[&str]) -> Vec<u64> {
        let mut direct = self.direct();
        let publish = |data: &&str| direct.command(&["PUBLISH", stream, "happened", data]);
        data.iter()
            .map(publish)
            .map(|reply| reply.number())
            .collect()
    }

    /// Everything that the server holds of a stream or of `$all`.
    pub(crate) fn truth(&self, source: &str) -> Vec<Stored> {
        truth(&mut self.direct(), source, 0)
    }

    /// The data of all events of a stream.
    pub(crate) fn data(&self, stream: &str) -> Vec<String> {
        self.truth(stream).iter().map(Stored::text).collect()
    }

    /// Waits until the stream's last event has this number.
    pub(crate) async fn wait_for_tail(&self, stream: &str, number: u64) {
        let mut direct = self.direct();
        let what = format!("event {number} of {stream}");
        until(&what, || tail(&mut direct, stream) == Some(number)).await;
    }

    /// Waits until the server has done with connections that are cut: what they brought is then
    /// stored or never will be.
    pub(crate) async fn settle(&self) {
        let mut direct = self.direct();
        until("the end of the connections that were cut", || {
            let open = self.proxy.count(Counts::open) as u64;
            info(&mut direct, "clients", "connected_clients") == open + 1
        })
        .await;
    }
}

/// An event as the server has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) stream: Vec<u8>,
    pub(crate) number: u64,
    pub(crate) position: u64,
    pub(crate) id: String,
    pub(crate) name: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Stored {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }

    fn parse(event: &Value) -> Self {
        let items = event.items();
        Self {
            stream: items[0].bytes().to_vec(),
            number: items[1].number(),
            position: items[2].number(),
            id: items[3].text().to_owned(),
            name: items[4].items()[0].bytes().to_vec(),
            data: items[4].items()[1].bytes().to_vec(),
        }
    }
}

impl From<&Event> for Stored {
    fn from(event: &Event) -> Self {
        Self {
            stream: event.stream.as_bytes().to_vec(),
            number: event.number,
            position: event.position,
            id: event.id.to_string(),
            name: event.name().to_vec(),
            data: event.data().to_vec(),
        }
    }
}

/// Everything from a number on.
pub(crate) fn truth(direct: &mut Direct, source: &str, from: u64) -> Vec<Stored> {
    let mut events = Vec::new();
    loop {
        let next = from + events.len() as u64;
        let page = direct.call(&format!("READ-EVENTS {source}:{next}:+ COUNT 2000"));
        if page.items().is_empty() {
            return events;
        }
        events.extend(page.items().iter().map(Stored::parse));
    }
}

/// The number of a stream's last event.
pub(crate) fn tail(direct: &mut Direct, stream: &str) -> Option<u64> {
    match direct.command(&["LAST-EVENT-NUMBER", stream]) {
        Value::Nil => None,
        number => Some(number.number()),
    }
}

/// A number that INFO shows.
pub(crate) fn info(direct: &mut Direct, section: &str, field: &str) -> u64 {
    let info = direct.call(&format!("INFO {section}"));
    let prefix = format!("{field}:");
    let mut lines = info.text().lines();
    let number = lines.find_map(|line| line.strip_prefix(prefix.as_str()));
    let number = number.unwrap_or_else(|| panic!("no {field} in {info}"));
    number.parse().expect("a number stands there")
}

/// Asks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::task::yield_now().await;
    }
}

/// Waits with a deadline.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(DEADLINE, future).await;
    waited.unwrap_or_else(|_elapsed| panic!("waited in vain for {what}"))
}

/// Connects, with a deadline.
pub(crate) async fn connect(builder: Builder) -> Client {
    let connected = within("the connection", builder.connect()).await;
    connected.expect("the server is there")
}

/// Subscribes, with a deadline.
pub(crate) async fn subscribe(client: &Client, specs: &[&str]) -> Subscription {
    let subscribed = within("the subscription", client.subscribe(specs)).await;
    subscribed.unwrap_or_else(|error| panic!("subscribing to {specs:?}: {error}"))
}

/// The next of a stream that goes on without an error.
pub(crate) async fn next<T>(stream: &mut (impl Stream<Item = Result<T, Error>> + Unpin)) -> T {
    match within("the next item", stream.next()).await {
        Some(Ok(item)) => item,
        Some(Err(error)) => panic!("expected an item, got the error: {error} ({error:?})"),
        None => panic!("expected an item, got the end"),
    }
}

/// The next event. A subscription may say again that it has caught up.
pub(crate) async fn next_event(subscription: &mut Subscription) -> Event {
    loop {
        match next(subscription).await {
            Item::Event(event) => return event,
            Item::CaughtUp { .. } => {}
            other => panic!("expected an event, got {other:?}"),
        }
    }
}

/// The data of so many next events, which have the numbers from this one on.
pub(crate) async fn next_data(
    subscription: &mut Subscription,
    number: u64,
    count: usize,
) -> Vec<String> {
    let mut data = Vec::new();
    for number in (number..).take(count) {
        let event = next_event(subscription).await;
        assert_eq!(event.number, number, "an event is skipped or repeated");
        data.push(Stored::from(&event).text());
    }
    data
}

/// Expects that the source is caught up, and up to where.
pub(crate) async fn expect_caught_up(
    subscription: &mut Subscription,
    source: &str,
    number: Option<u64>,
) {
    let item = next(subscription).await;
    let is_it = matches!(&item, Item::CaughtUp { source: its, number: at }
        if its == source.as_bytes() && *at == number);
    assert!(
        is_it,
        "expected {source} to be caught up at {number:?}, got {item:?}"
    );
}

/// Reads on to the error that ends a stream: events may come before it, and nothing after it.
pub(crate) async fn error_at_end<T: Debug>(
    stream: &mut (impl Stream<Item = Result<T, Error>> + Unpin),
) -> Error {
    loop {
        match within("the error", stream.next()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                expect_end(stream).await;
                return error;
            }
            None => panic!("expected an error, got the end"),
        }
    }
}

/// Expects the end.
pub(crate) async fn expect_end<T: Debug>(
    stream: &mut (impl Stream<Item = Result<T, Error>> + Unpin),
) {
    let end = within("the end", stream.next()).await;
    assert!(end.is_none(), "expected the end, got {end:?}");
}

/// Expects an error of this kind.
pub(crate) fn expect_kind<T: Debug>(result: Result<T, Error>, kind: ErrorKind) -> Error {
    match result {
        Err(error) if error.kind() == kind => error,
        other => panic!("expected an error of kind {kind:?}, got {other:?}"),
    }
}

/// What the client said of its connections, in order.
#[derive(Clone)]
pub(crate) struct Recorder {
    changes: watch::Sender<Vec<(ConnectionKind, Change)>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            changes: watch::Sender::new(Vec::new()),
        }
    }

    /// What a builder's `on_lifecycle` takes.
    pub(crate) fn hook(&self) -> impl Fn(&Lifecycle) + Send + Sync + 'static {
        let changes = self.changes.clone();
        move |lifecycle| {
            let change = (lifecycle.connection, lifecycle.change.clone());
            changes.send_modify(|changes| changes.push(change));
        }
    }

    /// What was said of the connections of a kind.
    pub(crate) fn of(&self, kind: ConnectionKind) -> Vec<Change> {
        let changes = self.changes.borrow();
        let of_kind = changes.iter().filter(|(connection, _)| *connection == kind);
        of_kind.map(|(_, change)| change.clone()).collect()
    }

    /// How many changes there were.
    pub(crate) fn count(&self) -> usize {
        self.changes.borrow().len()
    }

    /// How often connections of a kind were lost.
    pub(crate) fn losses(&self, kind: ConnectionKind) -> usize {
        let changes = self.changes.borrow();
        let losses = changes
            .iter()
            .filter(|(of, change)| *of == kind && is_lost(change));
        losses.count()
    }

    /// The last changes, for people.
    pub(crate) fn recent(&self) -> String {
        let changes = self.changes.borrow();
        let recent = &changes[changes.len().saturating_sub(20)..];
        format!("the last changes were {recent:?}")
    }

    /// Waits until more connections of a kind were lost than this.
    pub(crate) async fn wait_for_loss(&self, kind: ConnectionKind, more_than: usize) {
        let what = format!("the loss of a connection of kind {kind:?}");
        self.wait_for(&what, || self.losses(kind) > more_than).await;
    }

    /// Waits until this is so, and asks at every change.
    pub(crate) async fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let mut changes = self.changes.subscribe();
        let waited = tokio::time::timeout(DEADLINE, async {
            while !is_so() {
                changes.changed().await.expect("the sender is ours");
            }
        })
        .await;
        assert!(
            waited.is_ok(),
            "waited in vain for {what}; {}",
            self.recent()
        );
    }
}

fn is_lost(change: &Change) -> bool {
    matches!(change, Change::Lost { .. })
}
