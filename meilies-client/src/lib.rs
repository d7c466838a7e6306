//! The asynchronous client of the MeiliES event store.
//!
//! A [`Client`] publishes and reads over one connection that all its clones share.
//! [`Client::subscribe`] gives a [`Subscription`], a `futures::Stream` that reads events from a
//! number on and then follows the stream live. [`Client::group`] gives a [`Group`], whose
//! [`Consumer`]s share the events of a stream among them. All connect again by themselves.
//!
//! ```no_run
//! use futures::StreamExt;
//! use meilies_client::{Client, Expect, Item};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), meilies_client::Error> {
//!     let client = Client::connect("meilies://localhost").await?;
//!     let number = client
//!         .publish("orders", "created", r#"{"id": 1}"#, Expect::Any)
//!         .await?;
//!
//!     let mut orders = client.subscribe(["orders:0"]).await?;
//!     while let Some(item) = orders.next().await {
//!         if let Item::Event(event) = item? {
//!             println!("{} {:?}", event.number, event.data_text());
//!             if event.number == number {
//!                 break;
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What is promised
//!
//! * A subscription gives each event once, in order, whatever happens to its connection. It
//!   resumes behind the last event that it gave. If the store is not the one it was, it says so:
//!   [`Error::Diverged`], [`Error::Replaced`].
//! * A publish ends with a number, with an error that says that nothing was stored, or with
//!   [`Error::Unknown`]. It is sent again only where that cannot store it twice.
//! * A [`Group`] gives each event at least once, until it is acknowledged.
//! * Memory is bounded: [`Builder::in_flight_bytes_max`], [`Builder::prefetch_bytes`]. Who does not
//!   poll a subscription slows down nobody but that subscription.
//!
//! # Features
//!
//! `json`: [`Event`]s give their data as any type that serde reads, and `Client::publish_json`
//! takes any that serde writes.

mod append;
mod builder;
mod client;
mod commands;
mod connection;
mod error;
mod group;
mod info;
mod lifecycle;
mod limits;
mod publish;
mod raw;
mod read;
mod reconnect;
mod subscription;
mod url;

pub use append::Append;
pub use builder::Builder;
pub use client::Client;
pub use error::{Error, ErrorKind, ServerError};
pub use group::{
    Claimed, Consumer, ConsumerBuilder, ConsumerInfo, Delivery, DeliveryKind, Group, GroupInfo,
    GroupStart, PendingEntry, PendingSummary,
};
pub use info::{ServerInfo, StreamInfo};
pub use lifecycle::{Change, ConnectionKind, Lifecycle};
pub use raw::RawConnection;
pub use read::Read;
pub use reconnect::Reconnect;
pub use subscription::{Events, Item, Subscription};

// What the methods take and give: a program needs no other crate to use this one.
pub use bytes::Bytes;
pub use meilies_protocol::{
    Event, EventId, EventName, EventNumber, Expect, Position, Spec, StreamName, Value,
};
