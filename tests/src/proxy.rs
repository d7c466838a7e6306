//! A TCP proxy between a client and a server, as bad a network as a test wants: it cuts
//! connections, also in the middle of a frame, stalls, loses what one side says, refuses, and
//! passes on. It counts what it passed.
//!
//! The server may come back on another port: [`Proxy::set_target`] follows it, and the client's
//! address stays. Everything ends when the proxy is dropped.

use std::collections::BTreeSet;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::OwnedFd;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;

use crate::client::DEADLINE;

const CHUNK_BYTES: usize = 64 * 1024;
const BACKLOG: u32 = 1024;

/// The ports that are tried, and how far apart processes that run at the same time begin.
const PORT_MIN: u16 = 10_000;
const PORTS: u32 = 20_000;
const PORTS_A_PROCESS: u32 = 100;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Replies and pushes.
    ToClient,
}

/// What happens to the bytes of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They arrive.
    Pass,
    /// They are not even read, as on a network that drops packets. They arrive once it passes.
    Stall,
    /// They are read and thrown away.
    Swallow,
}

/// How a connection ends, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// With RST: what was not read yet is lost, too.
    Reset,
    /// With FIN, as if the other side had closed it.
    Finish,
}

/// What went through since the start, of all connections together.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were accepted.
    pub accepted: u64,
    /// The bytes that came in, by direction.
    received: [u64; 2],
    /// The bytes that were passed on, by direction.
    passed: [u64; 2],
    /// The connections that are open, by the order in which they were accepted.
    open: BTreeSet<u64>,
    /// Whether new connections are accepted.
    listens: bool,
}

impl Counts {
    /// The bytes that came in.
    pub fn received(&self, direction: Direction) -> u64 {
        self.received[direction as usize]
    }

    /// The bytes that were passed on.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.passed[direction as usize]
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

/// A proxy on a port of its own.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Starts a proxy that passes everything on to this address.
    pub fn start(target: SocketAddr) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let entered = runtime.enter();
        let (reserved, address) = reserve();
        let listener = listen(address).expect("the port is ours");
        drop(entered);
        let shared = Arc::new(Shared {
            control: watch::Sender::new(Control::new(target)),
            counts: watch::Sender::new(Counts {
                listens: true,
                ..Counts::default()
            }),
            budgets: Mutex::default(),
        });
        runtime.spawn(accept(address, reserved, listener, shared.clone()));
        Self {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects clients to this server from now on.
    pub fn set_target(&self, target: SocketAddr) {
        let set = |control: &mut Control| control.target = target;
        self.shared.control.send_modify(set);
    }

    /// Says what happens to the bytes of a direction from now on.
    pub fn set_flow(&self, direction: Direction, flow: Flow) {
        let set = |control: &mut Control| control.flows[direction as usize] = flow;
        self.shared.control.send_modify(set);
    }

    /// Passes nothing in either direction. Connections are still accepted.
    pub fn stall(&self) {
        self.set_flow(Direction::ToServer, Flow::Stall);
        self.set_flow(Direction::ToClient, Flow::Stall);
    }

    /// Passes everything, in both directions.
    pub fn pass(&self) {
        self.set_flow(Direction::ToServer, Flow::Pass);
        self.set_flow(Direction::ToClient, Flow::Pass);
    }

    /// Refuses new connections, as a host where nobody listens. Those that are open go on.
    pub async fn refuse(&self) {
        self.shared
            .control
            .send_modify(|control| control.refuses = true);
        self.wait_for("the refusal", |counts| !counts.listens).await;
    }

    /// Accepts new connections again.
    pub async fn accept(&self) {
        self.shared
            .control
            .send_modify(|control| control.refuses = false);
        self.wait_for("the listener", |counts| counts.listens).await;
    }

    /// Cuts every connection that is open, and waits until they are gone.
    pub async fn cut(&self, cut: Cut) {
        let newest = self.shared.counts.borrow().accepted;
        self.shared.control.send_modify(|control| {
            control.cuts += 1;
            control.cut = cut;
        });
        let gone = |counts: &Counts| counts.open.first().is_none_or(|first| *first >= newest);
        self.wait_for("the cut", gone).await;
    }

    /// Cuts the connection that has passed so many more bytes in this direction; bytes of all
    /// connections count. It happens once.
    pub fn cut_after(&self, direction: Direction, bytes: u64, cut: Cut) {
        self.shared.set_budget(direction, Some((bytes, cut)));
    }

    /// Forgets what [`Proxy::cut_after`] said: whether it had not happened yet.
    pub fn cut_never(&self) -> bool {
        let to_server = self.shared.set_budget(Direction::ToServer, None);
        let to_client = self.shared.set_budget(Direction::ToClient, None);
        to_server.is_some() || to_client.is_some()
    }

    /// A number of what went through until now.
    pub fn count<T>(&self, of: impl FnOnce(&Counts) -> T) -> T {
        of(&self.shared.counts.borrow())
    }

    /// Waits until this is true of the counts.
    pub async fn wait_for(&self, what: &str, is_there: impl FnMut(&Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        let waited = tokio::time::timeout(DEADLINE, counts.wait_for(is_there)).await;
        // What was seen keeps the counts locked, and a second look would wait for a writer that
        // waits for the first.
        let is_seen = waited.is_ok_and(|seen| seen.is_ok());
        if !is_seen {
            let seen = self.shared.counts.borrow();
            panic!("the proxy waited for {what}: {seen:?}");
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It may be dropped inside a test's own runtime, which must not be blocked.
            runtime.shutdown_background();
        }
    }
}

#[derive(Debug)]
struct Shared {
    control: watch::Sender<Control>,
    counts: watch::Sender<Counts>,
    /// The bytes that may still pass before a cut, by direction.
    budgets: Mutex<[Option<(u64, Cut)>; 2]>,
}

#[derive(Debug)]
struct Control {
    target: SocketAddr,
    refuses: bool,
    flows: [Flow; 2],
    /// How often everything was cut, and how the last time.
    cuts: u64,
    cut: Cut,
}

impl Control {
    fn new(target: SocketAddr) -> Self {
        Self {
            target,
            refuses: false,
            flows: [Flow::Pass; 2],
            cuts: 0,
            cut: Cut::Reset,
        }
    }
}

impl Shared {
    /// Sets the bytes that may still pass, and gives what was left of those before.
    fn set_budget(&self, direction: Direction, budget: Option<(u64, Cut)>) -> Option<(u64, Cut)> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut budgets[direction as usize], budget)
    }

    /// How many of these bytes may pass, and the cut that follows them.
    fn allowance(&self, direction: Direction, bytes: usize) -> (usize, Option<Cut>) {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = &mut budgets[direction as usize];
        match budget {
            Some((left, _)) if *left > bytes as u64 => {
                *left -= bytes as u64;
                (bytes, None)
            }
            Some((left, cut)) => {
                let allowed = usize::try_from(*left).expect("it is at most the number of bytes");
                let cut = *cut;
                *budget = None;
                (allowed, Some(cut))
            }
            None => (bytes, None),
        }
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}

/// A socket that keeps a port for this proxy, also while nobody listens on it.
///
/// The port is none that the system gives to those who ask for any: it would give it away while
/// nobody listens. The bind fails if another socket has the port; sharing it with the listeners
/// that come and go is allowed only afterwards.
fn reserve() -> (TcpSocket, SocketAddr) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = process::id().wrapping_mul(PORTS_A_PROCESS);
        let count = count.wrapping_add(NEXT.fetch_add(1, Relaxed));
        let port = PORT_MIN + u16::try_from(count % PORTS).expect("there are not so many");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        if socket.bind(address).is_ok() {
            socket.set_reuseaddr(true).expect("the socket is ours");
            return (socket, address);
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A child process that is just being started may hold a copy of the socket: to close ours would
/// not be enough.
fn stop_listening(listener: TcpListener) -> io::Result<()> {
    let socket = OwnedFd::from(listener.into_std()?);
    net::TcpStream::from(socket).shutdown(net::Shutdown::Both)
}

/// Accepts connections while it is told to. `_reserved` keeps the port in between.
async fn accept(
    address: SocketAddr,
    _reserved: TcpSocket,
    listener: TcpListener,
    shared: Arc<Shared>,
) {
    let mut control = shared.control.subscribe();
    let mut listener = Some(listener);
    loop {
        if control.borrow_and_update().refuses {
            if let Some(listener) = listener.take() {
                stop_listening(listener).expect("it listened");
            }
        } else if listener.is_none() {
            listener = Some(listen(address).expect("the port is kept"));
        }
        shared.count(|counts| counts.listens = listener.is_some());
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((client, _)) = accepted => {
                let cuts = control.borrow().cuts;
                tokio::spawn(relay(client, cuts, shared.clone()));
            }
            changed = control.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// One connection, until both sides have ended it or it is cut.
async fn relay(mut client: TcpStream, cuts: u64, shared: Arc<Shared>) {
    let mut connection = 0;
    shared.count(|counts| {
        connection = counts.accepted;
        counts.accepted += 1;
        counts.open.insert(connection);
    });
    let target = shared.control.borrow().target;
    let cut = match TcpStream::connect(target).await {
        Ok(mut server) => {
            let cut = join(&mut client, &mut server, cuts, &shared).await;
            close(server, cut);
            cut
        }
        Err(_) => Cut::Reset,
    };
    close(client, cut);
    shared.count(|counts| {
        counts.open.remove(&connection);
    });
}

async fn join(client: &mut TcpStream, server: &mut TcpStream, cuts: u64, shared: &Shared) -> Cut {
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let requests = pump(Direction::ToServer, client_read, server_write, shared);
    let replies = pump(Direction::ToClient, server_read, client_write, shared);
    let both = async { tokio::try_join!(requests, replies) };
    let mut control = shared.control.subscribe();
    tokio::select! {
        ended = both => ended.err().unwrap_or(Cut::Finish),
        cut = control.wait_for(|control| control.cuts > cuts) => {
            cut.map_or(Cut::Reset, |control| control.cut)
        }
    }
}

/// Passes on what comes until its end, which is passed on, too; fails with the cut that is due.
async fn pump(
    direction: Direction,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
) -> Result<(), Cut> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut control = shared.control.subscribe();
    loop {
        flowing(&mut control, direction).await?;
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.map_err(|_| Cut::Reset)?,
            _ = control.changed() => continue,
        };
        // It may have been told to stall while it read.
        let flow = flowing(&mut control, direction).await?;
        if read == 0 {
            return to.shutdown().await.map_err(|_| Cut::Reset);
        }
        shared.count(|counts| counts.received[direction as usize] += read as u64);
        if flow == Flow::Swallow {
            continue;
        }
        let (allowed, cut) = shared.allowance(direction, read);
        let written = to.write_all(&buffer[..allowed]).await;
        written.map_err(|_| Cut::Reset)?;
        shared.count(|counts| counts.passed[direction as usize] += allowed as u64);
        if let Some(cut) = cut {
            return Err(cut);
        }
    }
}

/// Waits while the direction is stalled, then says how it flows.
async fn flowing(
    control: &mut watch::Receiver<Control>,
    direction: Direction,
) -> Result<Flow, Cut> {
    let flow = |control: &Control| control.flows[direction as usize];
    let control = control
        .wait_for(|control| flow(control) != Flow::Stall)
        .await;
    control
        .map(|control| flow(&control))
        .map_err(|_| Cut::Reset)
}

fn close(stream: TcpStream, cut: Cut) {
    if cut == Cut::Reset {
        stream.set_zero_linger().ok();
    }
    drop(stream);
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::*;

    /// A server that says everything back, and a proxy in front of it.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await.ok();
                });
            }
        });
        proxy
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.unwrap()
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(DEADLINE, future).await.unwrap()
    }

    async fn echoed(stream: &mut TcpStream, text: &str) -> String {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut bytes = vec![0; text.len()];
        within(stream.read_exact(&mut bytes)).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn it_passes_on_and_counts() {
        let proxy = echo().await;
        let mut stream = connect(&proxy).await;
        assert_eq!(echoed(&mut stream, "hello").await, "hello");
        stream.shutdown().await.unwrap();
        assert_eq!(
            within(stream.read_u8()).await.unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        proxy.wait_for("the end", |counts| counts.open() == 0).await;
        for direction in [Direction::ToServer, Direction::ToClient] {
            assert_eq!(proxy.count(|counts| counts.passed(direction)), 5);
            assert_eq!(proxy.count(|counts| counts.received(direction)), 5);
        }
    }

    #[tokio::test]
    async fn it_cuts_now_and_later() {
        let proxy = echo().await;
        for (cut, kind) in [
            (Cut::Reset, ErrorKind::ConnectionReset),
            (Cut::Finish, ErrorKind::UnexpectedEof),
        ] {
            let mut stream = connect(&proxy).await;
            assert_eq!(echoed(&mut stream, "one").await, "one");
            proxy.cut(cut).await;
            assert_eq!(within(stream.read_u8()).await.unwrap_err().kind(), kind);
        }
        let mut stream = connect(&proxy).await;
        proxy.cut_after(Direction::ToClient, 4, Cut::Finish);
        stream.write_all(b"123456").await.unwrap();
        let mut bytes = Vec::new();
        within(stream.read_to_end(&mut bytes)).await.unwrap();
        assert_eq!(bytes, b"1234");
        assert!(!proxy.cut_never());
        let mut stream = connect(&proxy).await;
        assert_eq!(echoed(&mut stream, "123456").await, "123456");
        proxy.cut_after(Direction::ToClient, 4, Cut::Finish);
        assert!(proxy.cut_never());
        assert_eq!(echoed(&mut stream, "123456").await, "123456");
    }

    #[tokio::test]
    async fn it_stalls_and_swallows() {
        let proxy = echo().await;
        let mut stream = connect(&proxy).await;
        assert_eq!(echoed(&mut stream, "one").await, "one");
        proxy.set_flow(Direction::ToClient, Flow::Swallow);
        stream.write_all(b"two").await.unwrap();
        let swallowed = |counts: &Counts| counts.received(Direction::ToClient) == 6;
        proxy.wait_for("what is swallowed", swallowed).await;
        proxy.stall();
        stream.write_all(b"three").await.unwrap();
        let stalled = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        assert!(stalled.is_err());
        proxy.pass();
        let mut bytes = [0; 5];
        within(stream.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(&bytes, b"three");
    }

    #[tokio::test]
    async fn it_refuses_and_accepts_again_on_the_same_port() {
        let proxy = echo().await;
        let mut open = connect(&proxy).await;
        assert_eq!(echoed(&mut open, "one").await, "one");
        for _ in 0..3 {
            proxy.refuse().await;
            let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert_eq!(echoed(&mut open, "two").await, "two");
            proxy.accept().await;
            let mut stream = connect(&proxy).await;
            assert_eq!(echoed(&mut stream, "three").await, "three");
        }
    }
}
