//! The handle that programs keep, and what can be asked with it.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::{EventId, EventNumber, Expect, GivenSpec, Request, Spec, StreamName, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::append::{Append, Appending};
use crate::builder::Options;
use crate::commands::Commands;
use crate::connection::Connection;
use crate::group::{Group, GroupInfo};
use crate::info::{ServerInfo, StreamInfo};
use crate::lifecycle::{Change, ConnectionKind};
use crate::publish::Batch;
use crate::reconnect::{Attempts, is_final};
use crate::subscription::Subscription;
use crate::{Builder, Error, Read, group, publish};

/// A client of one server. A clone is as good as the original and costs nothing.
///
/// Commands share one connection, over which any number of them may be on their way at a time;
/// they are sent in the order in which their futures are first polled. Only after a loss of the
/// connection may what is sent again come behind what was not sent yet. A subscription has a
/// connection of its own. When a connection is lost it is made again, see
/// [`Builder::reconnect`](crate::Builder::reconnect), and what was asked for is asked again where
/// that is safe.
///
/// The connections end with the last clone, and their subscriptions with the subscriptions. A
/// future that is dropped may have been sent or not.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Arc<Options>,
    commands: Commands,
    subscriptions: Arc<Semaphore>,
}

impl Client {
    /// Connects to `meilies://[user:password@]host[:port]`, or `host[:port]` alone. The port is
    /// 6480 unless it is said; user and password may be percent-encoded. Must be called within a
    /// tokio runtime. Fails if the server cannot be reached now.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), meilies_client::Error> {
    /// let client = meilies_client::Client::connect("meilies://localhost").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(url: &str) -> Result<Client, Error> {
        Client::builder(url)?.connect().await
    }

    /// As [`Client::connect`], with more to say: passwords, times, limits, who is told what.
    pub fn builder(url: &str) -> Result<Builder, Error> {
        Builder::new(url)
    }

    pub(crate) async fn start(options: Arc<Options>) -> Result<Client, Error> {
        let connection = first_connection(&options).await?;
        let subscriptions = options.subscriptions_max.min(Semaphore::MAX_PERMITS);
        Ok(Client {
            inner: Arc::new(Inner {
                commands: Commands::new(Arc::clone(&options), connection),
                subscriptions: Arc::new(Semaphore::new(subscriptions)),
                options,
            }),
        })
    }

    /// Appends an event and returns its number, once it is as durable as the server's `--fsync`
    /// says. [`Expect`] says where the stream must be, else nothing is stored and the error's kind
    /// is [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
    ///
    /// If the connection is lost before the reply has come, the event may be stored or not. With
    /// [`Expect::Number`] and [`Expect::None`] it is then published again, which cannot store it
    /// twice. Otherwise, and where even that does not tell, the error's kind is
    /// [`ErrorKind::Unknown`](crate::ErrorKind::Unknown).
    ///
    /// ```no_run
    /// use meilies_client::{Client, ErrorKind, Expect};
    ///
    /// # async fn example(client: &Client) -> Result<(), meilies_client::Error> {
    /// let created = client.publish("orders-42", "created", "{}", Expect::None).await?;
    /// let twice = client.publish("orders-42", "created", "{}", Expect::None).await;
    /// assert_eq!(created, 0);
    /// assert_eq!(twice.map_err(|error| error.kind()), Err(ErrorKind::Conflict));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Many may be on their way at a time:
    ///
    /// ```no_run
    /// use futures::{StreamExt, TryStreamExt, stream};
    /// use meilies_client::{Client, Expect};
    ///
    /// # async fn example(client: &Client) -> Result<(), meilies_client::Error> {
    /// let numbers: Vec<u64> = stream::iter(0..10_000)
    ///     .map(|count: u32| client.publish("counts", "counted", count.to_string(), Expect::Any))
    ///     .buffered(1000)
    ///     .try_collect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(
        &self,
        stream: impl AsRef<[u8]>,
        name: impl AsRef<[u8]>,
        data: impl AsRef<[u8]>,
        expect: Expect,
    ) -> Result<EventNumber, Error> {
        let event = (name.as_ref(), data.as_ref());
        publish::one(self, stream.as_ref(), event, expect).await
    }

    /// Appends events in one step, all or none, and returns their numbers, which follow each other.
    /// What is expected is expected of the stream before the first of them.
    ///
    /// The server takes up to 32 MiB in one step, where each event counts 64 bytes more than its
    /// name and data have. Several calls may be on their way at a time, as with
    /// [`Client::publish`].
    ///
    /// ```no_run
    /// use meilies_client::{Client, Expect};
    ///
    /// # async fn example(client: &Client) -> Result<(), meilies_client::Error> {
    /// let events = [("created", "{}"), ("paid", "{}")];
    /// let numbers = client.publish_many("orders-42", events, Expect::None).await?;
    /// assert_eq!(numbers, [0, 1]);
    /// # Ok(())
    /// # }
    /// ```
    // Not an `async fn`: the events are taken at once, so the future is `Send` whatever they are.
    pub fn publish_many<N: AsRef<[u8]>, D: AsRef<[u8]>>(
        &self,
        stream: impl AsRef<[u8]>,
        events: impl IntoIterator<Item = (N, D)>,
        expect: Expect,
    ) -> impl Future<Output = Result<Vec<EventNumber>, Error>> + Send {
        let mut batch = Batch::default();
        let mut events = events.into_iter();
        let added = events.try_for_each(|(name, data)| {
            batch.add(name.as_ref(), data.as_ref())?;
            batch.check()
        });
        let stream = writable(stream.as_ref());
        async move { publish::all(self, stream?, added.map(|()| batch)?, expect).await }
    }

    /// As [`Client::publish_many`], with an id for each event, such as those that they had in
    /// another store; where there is none the server chooses the next one by its clock. The ids
    /// ascend, and are above the stream's last one, else the server refuses them all.
    ///
    /// ```no_run
    /// use meilies_client::{Client, EventId, Expect};
    ///
    /// # async fn example(client: &Client) -> Result<(), meilies_client::Error> {
    /// let id = EventId::new(1_700_000_000_000, 0);
    /// let events = [(Some(id), "created", "{}"), (None, "paid", "{}")];
    /// client.publish_many_with_ids("orders-42", events, Expect::None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_many_with_ids<N: AsRef<[u8]>, D: AsRef<[u8]>>(
        &self,
        stream: impl AsRef<[u8]>,
        events: impl IntoIterator<Item = (Option<EventId>, N, D)>,
        expect: Expect,
    ) -> impl Future<Output = Result<Vec<EventNumber>, Error>> + Send {
        let mut batch = Batch::default();
        let mut events = events.into_iter();
        let added = events.try_for_each(|(id, name, data)| {
            batch.add_with_id(id, name.as_ref(), data.as_ref())?;
            batch.check()
        });
        let stream = writable(stream.as_ref());
        async move { publish::all(self, stream?, added.map(|()| batch)?, expect).await }
    }

    /// Appends an event of any fields, which are pairs of a name and a value, and returns its id.
    /// What [`Client::publish`] stores is an event with one field.
    ///
    /// The last argument is an [`Expect`], or an [`Append`] that also says which id the event gets.
    /// Where the stream is not where it must be the error's kind is
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict); an id that is not above the stream's
    /// last one the server refuses.
    ///
    /// If the connection is lost before the reply has come, the event may be stored or not. With
    /// [`Expect::Number`], [`Expect::None`] or an id it is then appended again, which cannot store
    /// it twice. If by then the stream has an event with that very id and these very fields, it is
    /// the one that was to be stored. Otherwise, and where even that does not tell, the error's
    /// kind is [`ErrorKind::Unknown`](crate::ErrorKind::Unknown).
    ///
    /// ```no_run
    /// use meilies_client::{Append, Client, Expect};
    ///
    /// # async fn example(client: &Client) -> Result<(), meilies_client::Error> {
    /// let fields = [("id", "1"), ("total", "30")];
    /// let id = client.append("orders", fields, Expect::Any).await?;
    ///
    /// let copy = Append { id: Some(id), ..Append::default() };
    /// client.append("orders-copy", fields, copy).await?;
    /// # Ok(())
    /// # }
    /// ```
    // Not an `async fn`: the fields are taken at once, so the future is `Send` whatever they are.
    pub fn append<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        stream: impl AsRef<[u8]>,
        fields: impl IntoIterator<Item = (N, V)>,
        append: impl Into<Append>,
    ) -> impl Future<Output = Result<EventId, Error>> + Send {
        let appending = Appending::new(stream.as_ref(), fields, append.into());
        async move { appending?.send(self).await }
    }

    /// As [`Client::publish`], with data that is written as JSON.
    ///
    /// ```no_run
    /// use meilies_client::{Client, Expect};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Deposited {
    ///     cents: u64,
    /// }
    ///
    /// # async fn example(client: &Client) -> Result<(), meilies_client::Error> {
    /// let deposited = Deposited { cents: 250 };
    /// client.publish_json("account-7", "deposited", &deposited, Expect::Any).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "json")]
    pub async fn publish_json(
        &self,
        stream: impl AsRef<[u8]>,
        name: impl AsRef<[u8]>,
        data: &impl serde::Serialize,
        expect: Expect,
    ) -> Result<EventNumber, Error> {
        let data = serde_json::to_vec(data).map_err(|error| Error::Json(Arc::new(error)))?;
        self.publish(stream, name, data, expect).await
    }

    /// Reads the events that there are of what a spec names, without waiting for those that will
    /// come: `orders` and `orders:0` are all of them, `orders:2:5` are 2, 3 and 4, and `$all` is
    /// every stream. See [`Read`].
    pub fn read(&self, spec: impl AsRef<[u8]>) -> Result<Read, Error> {
        Ok(Read::new(self.clone(), Spec::parse(spec.as_ref())?))
    }

    /// The number of a stream's last event; nothing if it never had one.
    ///
    /// ```no_run
    /// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
    /// let last = client.last_event_number("orders-42").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn last_event_number(
        &self,
        stream: impl AsRef<[u8]>,
    ) -> Result<Option<EventNumber>, Error> {
        let stream = StreamName::parse(Bytes::copy_from_slice(stream.as_ref()))?;
        let reply = self.ask(&Request::LastEventNumber { stream }).await?;
        match reply.as_u64() {
            None if reply.is_nil() => Ok(None),
            None => Err(Error::from_reply(&reply)),
            number => Ok(number),
        }
    }

    /// The names of all streams, sorted, or of those that match a pattern as Redis' KEYS has it:
    /// `*` stands for anything, `?` for one byte, `[ab]` for one of these.
    ///
    /// The server refuses what takes more than 64 MiB.
    ///
    /// ```no_run
    /// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
    /// for name in client.stream_names(Some(b"orders-*")).await? {
    ///     println!("{name}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stream_names(&self, pattern: Option<&[u8]>) -> Result<Vec<StreamName>, Error> {
        let pattern = pattern.map(Bytes::copy_from_slice);
        let reply = self.ask(&Request::StreamNames { pattern }).await?;
        let Value::Array(names) = reply else {
            return Err(Error::from_reply(&reply));
        };
        let parse = |name: Value| match name.into_bytes() {
            // By itself, so that one that is kept does not keep them all.
            Some(name) => Ok(StreamName::parse(name)?.detached()),
            None => Err(Error::Unexpected("a name that is no string".to_owned())),
        };
        names.into_iter().map(parse).collect()
    }

    /// What is known of a stream, all at one moment; nothing if there is none.
    ///
    /// ```no_run
    /// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
    /// if let Some(info) = client.stream_info("orders-42").await? {
    ///     println!("{} has {} events, the last is {}", info.name, info.events, info.last_id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stream_info(&self, stream: impl AsRef<[u8]>) -> Result<Option<StreamInfo>, Error> {
        let name = StreamName::parse(Bytes::copy_from_slice(stream.as_ref()))?;
        let stream = name.clone();
        let reply = self.ask(&Request::StreamInfo { stream }).await?;
        StreamInfo::from_reply(name, &reply)
    }

    /// What the server says of itself: its INFO.
    ///
    /// ```no_run
    /// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
    /// let info = client.server_info().await?;
    /// println!("{:?} events", info.get("events"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn server_info(&self) -> Result<ServerInfo, Error> {
        let sections = Vec::new();
        let reply = self.ask(&Request::Info { sections }).await?;
        match reply.as_bytes() {
            Some(text) => Ok(ServerInfo::parse(&String::from_utf8_lossy(text))),
            None => Err(Error::from_reply(&reply)),
        }
    }

    /// Subscribes to these specs over a connection of their own: see [`Subscription`].
    ///
    /// A spec is a stream's name and where to begin: `orders:0` is everything and what follows,
    /// `orders:2:5` the events 2, 3 and 4, `orders` only what is new, and `$all:0` everything of
    /// every stream. For a stream whose name ends with a number say where to end as well:
    /// `orders:42:0:+` is all of `orders:42`. One spec that cannot be read refuses them all, and so
    /// do two that name the same stream: these need two subscriptions.
    ///
    /// When this returns, every event that is published from then on is within the specs that name
    /// only what is new.
    ///
    /// ```no_run
    /// use futures::StreamExt;
    /// use meilies_client::{Client, Item};
    ///
    /// # async fn example(client: &Client) -> Result<(), meilies_client::Error> {
    /// let mut subscription = client.subscribe(["orders:0"]).await?;
    /// while let Some(item) = subscription.next().await {
    ///     match item? {
    ///         Item::Event(event) => println!("{} {:?}", event.number, event.data_text()),
    ///         Item::CaughtUp { .. } => println!("from now on live"),
    ///         Item::Ended { .. } | Item::Deleted { .. } => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn subscribe<S: AsRef<[u8]>>(
        &self,
        specs: impl IntoIterator<Item = S>,
    ) -> Result<Subscription, Error> {
        let parse = |spec: S| GivenSpec::parse(Bytes::copy_from_slice(spec.as_ref()));
        let specs = specs
            .into_iter()
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?;
        if specs.is_empty() {
            return Err(Error::NoSpec);
        }
        let mut sources = HashSet::new();
        if let Some(given) = specs
            .iter()
            .find(|given| !sources.insert(&given.spec.source))
        {
            return Err(Error::RepeatedSource {
                source_name: Bytes::copy_from_slice(given.spec.source.as_bytes()),
            });
        }
        let place = self.place()?;
        Subscription::open(Arc::clone(self.options()), specs, place).await
    }

    /// The consumer group of this name of a stream, whether there is one or not: see [`Group`].
    ///
    /// ```no_run
    /// use meilies_client::GroupStart;
    ///
    /// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
    /// let group = client.group("orders", "billing")?;
    /// group.create(GroupStart::Beginning).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(&self, stream: impl AsRef<[u8]>, name: impl AsRef<[u8]>) -> Result<Group, Error> {
        Group::new(self.clone(), stream.as_ref(), name.as_ref())
    }

    /// What is known of the consumer groups of a stream; there are none if there is no stream.
    ///
    /// ```no_run
    /// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
    /// for group in client.groups("orders").await? {
    ///     println!("{:?} has {} pending", group.name, group.pending);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn groups(&self, stream: impl AsRef<[u8]>) -> Result<Vec<GroupInfo>, Error> {
        let stream = StreamName::parse(Bytes::copy_from_slice(stream.as_ref()))?;
        group::groups(self, &stream).await
    }

    /// Takes no more commands, waits until those that were made have their replies or have failed,
    /// and closes the connection they share. Subscriptions go on: they end when they are dropped.
    ///
    /// ```no_run
    /// # async fn example(client: &meilies_client::Client) {
    /// client.close().await;
    /// # }
    /// ```
    pub async fn close(&self) {
        self.inner.commands.close().await;
    }

    /// A place among the connections beside the one of the commands.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.commands().check_open()?;
        let place = Arc::clone(&self.inner.subscriptions).try_acquire_owned();
        place.map_err(|_full| Error::TooManySubscriptions {
            limit: self.inner.options.subscriptions_max,
        })
    }

    pub(crate) fn options(&self) -> &Arc<Options> {
        &self.inner.options
    }

    pub(crate) async fn ask(&self, request: &Request) -> Result<Value, Error> {
        self.commands().ask(request).await
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.inner.commands
    }
}

fn writable(stream: &[u8]) -> Result<StreamName, Error> {
    let stream = Bytes::copy_from_slice(stream);
    Ok(StreamName::parse_writable(stream)?)
}

async fn first_connection(options: &Options) -> Result<Connection, Error> {
    let kind = ConnectionKind::Commands;
    let mut attempts = Attempts::new(options.reconnect);
    loop {
        let error = match Connection::open(options).await {
            Ok(connection) => {
                options.listener.tell(kind, Change::Connected);
                return Ok(connection);
            }
            Err(error) => error,
        };
        if !options.retry_first_connect || is_final(&error) {
            return Err(error);
        }
        match attempts.next(kind, &options.listener) {
            Some(delay) => sleep(delay).await,
            None => return Err(error),
        }
    }
}
