//! Consumer groups: several workers share the events of a stream, each event for one of them.

mod consumer;
mod delivery;
mod info;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use meilies_protocol::{
    EventId, GroupFrom, GroupStart as Start, PendingFilter, Request, StreamName, Value, XAutoClaim,
    XClaim, XGroup, XInfo, XReadGroup,
};

pub use self::consumer::{Consumer, ConsumerBuilder};
pub use self::delivery::{Delivery, DeliveryKind};
pub use self::info::{ConsumerInfo, GroupInfo, PendingEntry, PendingSummary};
use crate::commands::Outcome;
use crate::limits::ACKNOWLEDGED_AT_ONCE_MAX;
use crate::{Client, Error};

/// What the server says of a stream that is not there, in Redis' words.
const NO_STREAM: &str = "The XGROUP subcommand requires the key to exist.";

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStart {
    /// With the first event that is kept.
    Beginning,
    /// With the first event that comes.
    New,
    /// With the event behind this id.
    After(EventId),
}

impl GroupStart {
    fn encoded(self) -> Start {
        match self {
            GroupStart::Beginning => Start::Id(EventId::MIN),
            GroupStart::New => Start::End,
            GroupStart::After(id) => Start::Id(id),
        }
    }
}

/// What [`Group::claim_idle`] has taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The events, which are now pending for the consumer that claims.
    pub deliveries: Vec<Delivery>,
    /// Where to go on; nothing if all that is pending was looked at.
    pub next: Option<EventId>,
    /// Events that were pending and are deleted: they are pending no longer.
    pub deleted: Vec<EventId>,
}

/// A consumer group of a stream: each event that it reads goes to one of its consumers and is
/// pending for it until it is acknowledged. A clone is as good as the original.
///
/// **Each event is given at least once.** What was given and not acknowledged, because a worker
/// died or its connection was lost, is given again: to the consumer of the same name when it reads
/// what is pending for it, or to another one that claims it. So an event may come twice, and what a
/// worker does with it must bear that. An event that is acknowledged does not come again.
///
/// The methods share the client's connection; only a [`Consumer`], which waits for events, has one
/// of its own.
///
/// ```no_run
/// use futures::StreamExt;
/// use meilies_client::{Client, GroupStart};
///
/// # async fn example(client: &Client) -> Result<(), meilies_client::Error> {
/// let group = client.group("orders", "billing")?;
/// group.create(GroupStart::Beginning).await?;
/// let mut alice = group.consumer("alice").connect().await?;
/// while let Some(delivery) = alice.next().await {
///     let delivery = delivery?;
///     println!("{} {:?}", delivery.id, delivery.get("total"));
///     group.ack([delivery.id]).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Group {
    client: Client,
    stream: StreamName,
    name: Bytes,
}

impl Group {
    pub(crate) fn new(client: Client, stream: &[u8], name: &[u8]) -> Result<Group, Error> {
        Ok(Group {
            client,
            stream: StreamName::parse_writable(Bytes::copy_from_slice(stream))?,
            name: Bytes::copy_from_slice(name),
        })
    }

    /// Whose events it reads.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// What it is called.
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// Makes the group, and the stream if there is none. Says whether it was made: if there is a
    /// group of this name it stays as it is. After a lost connection it is asked for again, so
    /// that it may say no though it was this call that made it.
    ///
    /// ```no_run
    /// # async fn example(client: &meilies_client::Client) -> Result<(), meilies_client::Error> {
    /// use meilies_client::GroupStart;
    ///
    /// let group = client.group("orders", "billing")?;
    /// let is_new = group.create(GroupStart::New).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create(&self, start: GroupStart) -> Result<bool, Error> {
        let request = Request::XGroup(XGroup::Create {
            key: self.stream.clone(),
            group: self.name.clone(),
            start: start.encoded(),
            make_stream: true,
            entries_read: None,
        });
        match self.client.ask(&request).await {
            Ok(Value::SimpleString(_)) => Ok(true),
            Ok(other) => Err(Error::from_reply(&other)),
            Err(Error::Refused(error)) if error.code == "BUSYGROUP" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes the group, and forgets what is pending in it. Says whether there was one.
    ///
    /// ```no_run
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// group.destroy().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn destroy(&self) -> Result<bool, Error> {
        let (key, group) = self.key();
        let request = Request::XGroup(XGroup::Destroy { key, group });
        match self.count(&request).await {
            Ok(count) => Ok(count > 0),
            Err(Error::Refused(error)) if error.message.starts_with(NO_STREAM) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is known of the group; nothing if there is none.
    ///
    /// ```no_run
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// if let Some(info) = group.info().await? {
    ///     println!("{} pending, {:?} to come", info.pending, info.lag);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn info(&self) -> Result<Option<GroupInfo>, Error> {
        let all = groups(&self.client, &self.stream).await?;
        Ok(all.into_iter().find(|info| info.name == self.name))
    }

    /// What is known of its consumers.
    ///
    /// ```no_run
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// for consumer in group.consumers().await? {
    ///     println!("{:?} has {} pending", consumer.name, consumer.pending);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn consumers(&self) -> Result<Vec<ConsumerInfo>, Error> {
        let (key, group) = self.key();
        let request = Request::XInfo(XInfo::Consumers { key, group });
        ConsumerInfo::all(&self.client.ask(&request).await?)
    }

    /// Deletes a consumer with what is pending for it, which then comes to nobody. Returns how many
    /// events these were. To keep them, let another consumer claim them before.
    ///
    /// ```no_run
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// let forgotten = group.delete_consumer("alice").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_consumer(&self, consumer: impl AsRef<[u8]>) -> Result<u64, Error> {
        let (key, group) = self.key();
        let consumer = Bytes::copy_from_slice(consumer.as_ref());
        let request = XGroup::DelConsumer {
            key,
            group,
            consumer,
        };
        self.count(&Request::XGroup(request)).await
    }

    /// A consumer that waits for events over a connection of its own: see [`Consumer`].
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// let consumer = group
    ///     .consumer("alice")
    ///     .prefetch(50)
    ///     .claim_idle(Duration::from_secs(60))
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn consumer(&self, name: impl AsRef<[u8]>) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), Bytes::copy_from_slice(name.as_ref()))
    }

    /// Reads up to so many events that the group has not read, without waiting for any. From then
    /// on they are pending for this consumer. If the reply is lost so are not the events: they are
    /// pending, and [`Group::history`] gives them.
    ///
    /// ```no_run
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// for delivery in group.read("alice", 10).await? {
    ///     group.ack([delivery.id]).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read(
        &self,
        consumer: impl AsRef<[u8]>,
        count: u64,
    ) -> Result<Vec<Delivery>, Error> {
        self.read_from(consumer.as_ref(), count, GroupFrom::New)
            .await
    }

    /// Reads up to so many events that are pending for this consumer, behind an id. They count as
    /// delivered once more. Those that were deleted meanwhile are left out.
    ///
    /// ```no_run
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// use meilies_client::EventId;
    ///
    /// let unfinished = group.history("alice", EventId::MIN, 10).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn history(
        &self,
        consumer: impl AsRef<[u8]>,
        after: EventId,
        count: u64,
    ) -> Result<Vec<Delivery>, Error> {
        self.read_from(consumer.as_ref(), count, GroupFrom::History(after))
            .await
    }

    async fn read_from(
        &self,
        consumer: &[u8],
        count: u64,
        from: GroupFrom,
    ) -> Result<Vec<Delivery>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let request = self.reading(Bytes::copy_from_slice(consumer), from, count);
        let reply = self.once(&Request::XReadGroup(Box::new(request))).await?;
        Ok(delivery::read(reply, from)?.deliveries)
    }

    /// Says that events have been dealt with: they do not come again. Returns how many were
    /// pending; fewer, too, if the connection was lost and the question was asked again.
    ///
    /// Any number of calls may be on their way at a time.
    ///
    /// ```no_run
    /// use meilies_client::Delivery;
    ///
    /// # async fn example(
    /// #     group: &meilies_client::Group,
    /// #     deliveries: &[Delivery],
    /// # ) -> Result<(), meilies_client::Error> {
    /// group.ack(deliveries.iter().map(|delivery| delivery.id)).await?;
    /// # Ok(())
    /// # }
    /// ```
    // Not an `async fn`: the ids are taken at once, so the future is `Send` whatever they are.
    pub fn ack(
        &self,
        ids: impl IntoIterator<Item = EventId>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        let ids: Vec<EventId> = ids.into_iter().collect();
        async move {
            let mut acknowledged = 0;
            for ids in ids.chunks(ACKNOWLEDGED_AT_ONCE_MAX) {
                acknowledged += self.count(&self.acknowledging(ids.to_vec())).await?;
            }
            Ok(acknowledged)
        }
    }

    fn acknowledging(&self, ids: Vec<EventId>) -> Request {
        let (key, group) = self.key();
        Request::XAck { key, group, ids }
    }

    /// How much is pending, and for whom.
    ///
    /// ```no_run
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// let pending = group.pending().await?;
    /// println!("{} events for {} consumers", pending.count, pending.consumers.len());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pending(&self) -> Result<PendingSummary, Error> {
        let (key, group) = self.key();
        let filter = None;
        let request = Request::XPending { key, group, filter };
        PendingSummary::from_reply(&self.client.ask(&request).await?)
    }

    /// Up to so many of the events that have been pending for at least a time, from an id on: for
    /// one consumer, or for all.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use meilies_client::EventId;
    ///
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// let hour = Duration::from_secs(3600);
    /// for entry in group.pending_entries(None, hour, EventId::MIN, 100).await? {
    ///     println!("{} was delivered {} times", entry.id, entry.deliveries);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pending_entries(
        &self,
        consumer: Option<&[u8]>,
        min_idle: Duration,
        from: EventId,
        count: u64,
    ) -> Result<Vec<PendingEntry>, Error> {
        let (key, group) = self.key();
        let filter = PendingFilter {
            idle_ms: milliseconds(min_idle),
            from,
            to: EventId::MAX,
            count,
            consumer: consumer.map(Bytes::copy_from_slice),
        };
        let filter = Some(Box::new(filter));
        let request = Request::XPending { key, group, filter };
        PendingEntry::all(&self.client.ask(&request).await?)
    }

    /// Takes events over for a consumer that have been pending for at least a time, wherever they
    /// are. Returns those that it got. It is not asked for twice: after a lost connection they may
    /// be pending for the consumer, and [`Group::history`] gives them.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn example(
    /// #     group: &meilies_client::Group,
    /// #     id: meilies_client::EventId,
    /// # ) -> Result<(), meilies_client::Error> {
    /// let claimed = group.claim("bob", Duration::from_secs(60), [id]).await?;
    /// # Ok(())
    /// # }
    /// ```
    // Not an `async fn`, as `ack`.
    pub fn claim(
        &self,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        ids: impl IntoIterator<Item = EventId>,
    ) -> impl Future<Output = Result<Vec<Delivery>, Error>> + Send {
        let (key, group) = self.key();
        let claim = XClaim {
            key,
            group,
            consumer: Bytes::copy_from_slice(consumer.as_ref()),
            min_idle_ms: milliseconds(min_idle),
            ids: ids.into_iter().collect(),
            delivered: None,
            deliveries: None,
            force: false,
            just_ids: false,
            last_id: None,
        };
        async move {
            if claim.ids.is_empty() {
                return Ok(Vec::new());
            }
            let reply = self.once(&Request::XClaim(Box::new(claim))).await?;
            delivery::claimed(reply)
        }
    }

    /// Looks through what is pending from an id on, and takes over up to so many events that have
    /// been pending for at least a time. As with [`Group::claim`], it is not asked for twice.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use meilies_client::EventId;
    ///
    /// # async fn example(group: &meilies_client::Group) -> Result<(), meilies_client::Error> {
    /// let mut next = Some(EventId::MIN);
    /// while let Some(from) = next {
    ///     let claimed = group.claim_idle("bob", Duration::from_secs(60), from, 100).await?;
    ///     println!("{} events", claimed.deliveries.len());
    ///     next = claimed.next;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn claim_idle(
        &self,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        from: EventId,
        count: u64,
    ) -> Result<Claimed, Error> {
        let (key, group) = self.key();
        let claim = XAutoClaim {
            key,
            group,
            consumer: Bytes::copy_from_slice(consumer.as_ref()),
            min_idle_ms: milliseconds(min_idle),
            start: from,
            count: count.max(1),
            just_ids: false,
        };
        delivery::claimed_idle(self.once(&Request::XAutoClaim(claim)).await?)
    }

    fn key(&self) -> (StreamName, Bytes) {
        (self.stream.clone(), self.name.clone())
    }

    /// What reads up to so many events, without waiting.
    fn reading(&self, consumer: Bytes, from: GroupFrom, count: u64) -> XReadGroup {
        XReadGroup {
            group: self.name.clone(),
            consumer,
            count: Some(count),
            block_ms: None,
            claim_ms: None,
            no_ack: false,
            max_count: None,
            max_size: None,
            streams: vec![(self.stream.clone(), from)],
        }
    }

    /// Asks for a number.
    async fn count(&self, request: &Request) -> Result<u64, Error> {
        let reply = self.client.ask(request).await?;
        reply.as_u64().ok_or_else(|| Error::from_reply(&reply))
    }

    /// Asks for what is not the same when it is asked for twice.
    async fn once(&self, request: &Request) -> Result<Value, Error> {
        let mut encoded = BytesMut::new();
        request.encode(&mut encoded);
        let put = |out: &mut BytesMut| out.extend_from_slice(&encoded);
        match self.client.commands().tell(encoded.len(), put).await {
            Outcome::Replied(value @ Value::Error(_)) => Err(Error::from_reply(&value)),
            Outcome::Replied(value) => Ok(value),
            Outcome::NotSent(error) | Outcome::MaybeSent(error) => Err(error),
        }
    }
}

/// What is known of all groups of a stream; there are none if there is no stream.
pub(crate) async fn groups(client: &Client, stream: &StreamName) -> Result<Vec<GroupInfo>, Error> {
    let key = stream.clone();
    let request = Request::XInfo(XInfo::Groups { key });
    match client.ask(&request).await {
        Ok(reply) => GroupInfo::all(&reply),
        Err(Error::Refused(error)) if error.message == "no such key" => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
