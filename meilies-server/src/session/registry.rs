//! The clients that are connected, as other clients see them: CLIENT LIST, CLIENT KILL, INFO.
//!
//! A client's own task writes here once per turn, never once per event.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use meilies_protocol::Version;
use tokio::sync::Notify;

use super::peak::Peak;
use crate::event_log::Inbox;

/// A connected client, shared with whoever looks at it.
#[derive(Debug)]
pub struct Client {
    /// Counted from 1, never reused.
    pub id: u64,
    /// Where it connects from.
    pub address: SocketAddr,
    /// Where it connects to.
    pub local_address: SocketAddr,
    /// Of its socket.
    pub descriptor: i32,
    /// When it connected.
    pub created: Instant,
    /// What it says of itself.
    pub text: Mutex<ClientText>,
    inbox: Arc<Inbox>,
    last_command: Mutex<&'static str>,
    last_active_ms: AtomicU64,
    subscriptions: AtomicUsize,
    buffers: Mutex<Buffers>,
    output_peak: Mutex<Peak>,
    /// Bytes of the words of the command at work, and of those gathered since MULTI.
    word_bytes: AtomicUsize,
    gathered_bytes: AtomicUsize,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    commands: AtomicU64,
    resp3: AtomicBool,
    no_evict: AtomicBool,
    no_touch: AtomicBool,
    blocked: AtomicBool,
    held: AtomicBool,
    monitor: AtomicBool,
    /// Commands gathered since MULTI, and one more; 0 without MULTI.
    gathered: AtomicUsize,
    watched: AtomicUsize,
}

/// What a connection holds for its client, and what it waits for on the socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffers {
    /// Bytes that it has sent and that are not decoded.
    pub input: usize,
    /// For how many more there is room already.
    pub input_room: usize,
    /// Bytes that it has still to be sent, but for those that are sent from where they lie.
    pub output: usize,
    /// The size of the buffer that these lie in.
    pub output_room: usize,
    /// Bytes that are sent from where they lie.
    pub shared: usize,
    /// In so many parts.
    pub shared_parts: usize,
    /// More is taken from it.
    pub reads: bool,
    /// More is to be sent as soon as the socket takes it.
    pub writes: bool,
}

/// What a client says of itself.
#[derive(Clone, Debug, Default)]
pub struct ClientText {
    /// Set by CLIENT SETNAME and HELLO.
    pub name: Bytes,
    /// Set by CLIENT SETINFO LIB-NAME.
    pub lib_name: Bytes,
    /// Set by CLIENT SETINFO LIB-VER.
    pub lib_version: Bytes,
}

impl Client {
    fn new(id: u64, address: SocketAddr, local_address: SocketAddr, descriptor: i32) -> Self {
        Client {
            id,
            address,
            local_address,
            descriptor,
            created: Instant::now(),
            text: Mutex::default(),
            inbox: Arc::default(),
            last_command: Mutex::new(""),
            last_active_ms: AtomicU64::new(0),
            subscriptions: AtomicUsize::new(0),
            buffers: Mutex::new(Buffers {
                reads: true,
                ..Buffers::default()
            }),
            output_peak: Mutex::default(),
            word_bytes: AtomicUsize::new(0),
            gathered_bytes: AtomicUsize::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            resp3: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            held: AtomicBool::new(false),
            monitor: AtomicBool::new(false),
            gathered: AtomicUsize::new(0),
            watched: AtomicUsize::new(0),
        }
    }

    /// Closes its connection at once, with nothing more sent.
    pub fn kill(&self) {
        self.inbox.kill();
    }

    pub(super) fn is_killed(&self) -> bool {
        self.inbox.is_killed()
    }

    /// How long it has been connected.
    pub fn age(&self) -> Duration {
        self.created.elapsed()
    }

    /// How long ago it sent something.
    pub fn idle(&self) -> Duration {
        let active = Duration::from_millis(self.last_active_ms.load(Ordering::Relaxed));
        self.age().saturating_sub(active)
    }

    /// How many sources it follows.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    /// Which version of the protocol it speaks.
    pub fn version(&self) -> Version {
        if self.resp3.load(Ordering::Relaxed) {
            Version::Resp3
        } else {
            Version::Resp2
        }
    }

    /// The full name of its last command, empty before the first.
    pub fn last_command(&self) -> &'static str {
        *self
            .last_command
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that it has still to be sent.
    pub fn output_bytes(&self) -> usize {
        let buffers = self.buffers();
        buffers.output + buffers.shared
    }

    /// What its connection holds for it.
    pub fn buffers(&self) -> Buffers {
        *self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most bytes that lay in the buffer of its output lately.
    pub fn output_peak(&self) -> usize {
        let peak = *self.lock_peak();
        peak.recent(self.age_ms()).max(self.buffers().output)
    }

    /// Bytes of the words of the command that it is at.
    pub fn word_bytes(&self) -> usize {
        self.word_bytes.load(Ordering::Relaxed)
    }

    /// The same of the commands that it has gathered since MULTI.
    pub fn gathered_bytes(&self) -> usize {
        self.gathered_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that it ever sent.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that it was ever sent.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// How many of its commands were taken up, but for those of the turn that is under way.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// What CLIENT NO-EVICT set.
    pub fn no_evict(&self) -> bool {
        self.no_evict.load(Ordering::Relaxed)
    }

    /// Sets what CLIENT NO-EVICT sets; nothing is ever evicted here.
    pub fn set_no_evict(&self, on: bool) {
        self.no_evict.store(on, Ordering::Relaxed);
    }

    /// What CLIENT NO-TOUCH set.
    pub fn no_touch(&self) -> bool {
        self.no_touch.load(Ordering::Relaxed)
    }

    /// Sets what CLIENT NO-TOUCH sets: whether what it uses stays as long unused as it was.
    pub fn set_no_touch(&self, on: bool) {
        self.no_touch.store(on, Ordering::Relaxed);
    }

    /// What it calls itself; nothing when it does not.
    pub fn name(&self) -> Bytes {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.name.clone()
    }

    /// Whether its command waits for what may never come.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Whether its command waits for the end of a CLIENT PAUSE.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether it is shown every command.
    pub fn is_monitor(&self) -> bool {
        self.monitor.load(Ordering::Relaxed)
    }

    /// How many commands it has gathered since MULTI.
    pub fn gathered(&self) -> Option<usize> {
        self.gathered.load(Ordering::Relaxed).checked_sub(1)
    }

    /// How many keys it watches.
    pub fn watched(&self) -> usize {
        self.watched.load(Ordering::Relaxed)
    }

    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    pub(crate) fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    pub(crate) fn set_monitor(&self, monitor: bool) {
        self.monitor.store(monitor, Ordering::Relaxed);
    }

    pub(crate) fn set_gathered(&self, count: Option<usize>, bytes: usize) {
        let count = count.map_or(0, |count| count + 1);
        self.gathered.store(count, Ordering::Relaxed);
        self.gathered_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_word_bytes(&self, bytes: usize) {
        self.word_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_received(&self, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_commands(&self, count: u64) {
        self.commands.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn set_watched(&self, count: usize) {
        self.watched.store(count, Ordering::Relaxed);
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    pub(crate) fn set_version(&self, version: Version) {
        self.resp3
            .store(version == Version::Resp3, Ordering::Relaxed);
    }

    pub(crate) fn set_subscriptions(&self, count: usize) {
        self.subscriptions.store(count, Ordering::Relaxed);
    }

    pub(crate) fn set_last_command(&self, name: &'static str) {
        *self
            .last_command
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = name;
    }

    pub(crate) fn set_buffers(&self, buffers: Buffers) {
        *self.buffers.lock().unwrap_or_else(PoisonError::into_inner) = buffers;
    }

    pub(crate) fn note_output_peak(&self, bytes: usize) {
        let now_ms = self.age_ms();
        self.lock_peak().note(bytes, now_ms);
    }

    pub(crate) fn touch(&self) {
        self.last_active_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock_peak(&self) -> MutexGuard<'_, Peak> {
        self.output_peak
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// All clients that are connected.
#[derive(Debug, Default)]
pub struct Clients {
    table: Mutex<Table>,
    gone: Notify,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    draining: bool,
    clients: BTreeMap<u64, Arc<Client>>,
}

impl Clients {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().clients.len()
    }

    /// All of them, in the order in which they came. Who was killed is none of them, though its
    /// connection may still be about to close.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let table = self.lock();
        let clients = table.clients.values();
        clients
            .filter(|client| !client.is_killed())
            .cloned()
            .collect()
    }

    /// The one with this id, unless it was killed.
    pub fn find(&self, id: u64) -> Option<Arc<Client>> {
        let client = self.lock().clients.get(&id).cloned();
        client.filter(|client| !client.is_killed())
    }

    /// Adds a client, unless there are `limit` or the server stops.
    pub(crate) fn register(
        &self,
        address: SocketAddr,
        local_address: SocketAddr,
        descriptor: i32,
        limit: usize,
    ) -> Option<Arc<Client>> {
        let mut table = self.lock();
        if table.draining || table.clients.len() >= limit {
            return None;
        }
        table.last_id += 1;
        let client = Client::new(table.last_id, address, local_address, descriptor);
        let client = Arc::new(client);
        table.clients.insert(client.id, Arc::clone(&client));
        Some(client)
    }

    /// Takes no more clients and tells those that are here to finish.
    pub(crate) fn drain(&self) {
        let clients = {
            let mut table = self.lock();
            table.draining = true;
            table.clients.clone()
        };
        for client in clients.values() {
            client.inbox.drain();
        }
    }

    /// Resolves when no client is left.
    pub(crate) async fn drained(&self) {
        loop {
            let gone = self.gone.notified();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }

    fn remove(&self, id: u64) {
        self.lock().clients.remove(&id);
        self.gone.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a client in the registry for as long as it lives.
#[derive(Debug)]
pub struct Registration {
    context: Arc<crate::context::Context>,
    id: u64,
}

impl Registration {
    /// Takes over the entry of a client that was registered.
    pub(crate) fn new(context: Arc<crate::context::Context>, id: u64) -> Self {
        Registration { context, id }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.context.clients.remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_killed_is_seen_no_more() {
        let clients = Clients::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let register = || {
            clients
                .register(address, address, 1, 2)
                .expect("there is room")
        };
        let (victim, other) = (register(), register());
        victim.kill();
        let ids: Vec<u64> = clients.all().iter().map(|client| client.id).collect();
        assert_eq!(ids, [other.id]);
        assert!(clients.find(victim.id).is_none());
        // Its connection is still there, and counts.
        assert_eq!(clients.count(), 2);
        clients.remove(victim.id);
        assert_eq!(clients.count(), 1);
    }
}
