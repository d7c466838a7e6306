//! One client's state, as its commands see and change it. It is owned by the connection's task;
//! what others may look at is in [`Client`].

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
pub use meilies_protocol::ReplyMode;
use meilies_protocol::Version;

mod monitors;
mod pause;
mod peak;
mod registry;
mod touches;

pub use monitors::{Monitoring, Monitors};
pub use pause::Pause;
pub use registry::{Buffers, Client, ClientText, Clients, Registration};
pub use touches::Touches;

use crate::command::transaction::{Executed, Gathered, Watched};
use crate::context::Context;
use crate::event_log::Subscriptions;
pub use crate::output::Output;

/// One client's state.
#[derive(Debug)]
pub struct Session {
    /// What other clients may see of this one.
    pub client: Arc<Client>,
    /// Which version of the protocol it speaks; changed by [`Session::set_version`].
    pub version: Version,
    /// It has given the password, or none was asked for.
    pub authenticated: bool,
    /// Whether it wants replies. `Skip` goes back to `On` with the command after.
    pub replies: ReplyMode,
    /// What it follows.
    pub subscriptions: Subscriptions,
    /// What it has gathered since MULTI.
    pub(crate) transaction: Option<Gathered>,
    /// What WATCH has noted.
    pub(crate) watched: Vec<Watched>,
    /// EXEC executes what was gathered.
    pub(crate) is_executing: bool,
    /// What EXEC has executed, in order.
    pub(crate) executed: Vec<Executed>,
    /// How long others worked for the command: threads that wait for the disk, the committer.
    pub(crate) worked: Duration,
    /// It is shown every command.
    pub(crate) monitoring: Option<Monitoring>,
}

impl Session {
    /// A client that has just connected.
    pub fn new(context: &Context, client: Arc<Client>) -> Self {
        let inbox = Arc::clone(client.inbox());
        Session {
            client,
            version: Version::Resp2,
            authenticated: !context.settings.has_password(),
            replies: ReplyMode::On,
            subscriptions: Subscriptions::new(context.event_log.clone(), inbox),
            transaction: None,
            watched: Vec::new(),
            is_executing: false,
            executed: Vec::new(),
            worked: Duration::ZERO,
            monitoring: None,
        }
    }

    /// Speaks another version from the next reply on.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
        self.client.set_version(version);
    }

    /// Lets others see what it has gathered and watches.
    pub(crate) fn publish_transaction(&self) {
        let gathered = self.transaction.as_ref();
        let bytes = gathered.map_or(0, |gathered| gathered.word_bytes);
        self.client
            .set_gathered(gathered.map(Gathered::count), bytes);
        self.client.set_watched(self.watched.len());
    }

    /// Forgets all that the client has set, as if it had just connected.
    pub fn reset(&mut self, context: &Context) {
        self.subscriptions.clear();
        self.client.set_subscriptions(0);
        self.set_version(Version::Resp2);
        self.authenticated = !context.settings.has_password();
        self.replies = ReplyMode::On;
        self.transaction = None;
        self.watched = Vec::new();
        self.monitoring = None;
        self.client.set_no_evict(false);
        self.client.set_no_touch(false);
        self.client
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .name = Bytes::new();
    }
}
