//! The scripted server: for each connection what it must hear, and what it answers.

use std::time::Duration;

use meilies_client::{Builder, Client, Reconnect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything may take that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What one connection says behind its greeting: commands as words, and the bytes that answer
/// each. It is closed behind the last one, unless that is answered with [`STAY`].
pub(crate) type Script = Vec<(&'static str, String)>;

/// Instead of an answer: the connection stays, and is silent. Behind no command at all it means
/// that nothing more is said.
pub(crate) const STAY: &str = "stay";

/// A server that plays scripts.
pub(crate) struct Player {
    pub(crate) address: String,
    playing: JoinHandle<()>,
}

/// Plays one script per connection, each with a greeting of this epoch.
pub(crate) async fn play(scripts: Vec<(u64, Script)>) -> Player {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let playing = tokio::spawn(async move {
        let mut connections = Vec::new();
        for (epoch, script) in scripts {
            let (stream, _) = listener.accept().await.expect("the client connects");
            connections.push(tokio::spawn(follow(stream, epoch, script)));
        }
        for connection in connections {
            connection.await.expect("the script is followed");
        }
    });
    Player { address, playing }
}

impl Player {
    /// A client that knows when to give up, and does not wait long between two attempts.
    pub(crate) fn builder(&self) -> Builder {
        Client::builder(&self.address)
            .expect("a good address")
            .request_timeout(DEADLINE)
            .reconnect(Reconnect {
                delay_min: Duration::from_millis(1),
                delay_max: Duration::from_millis(5),
                ..Reconnect::default()
            })
    }

    pub(crate) async fn connect(&self) -> Client {
        self.builder().connect().await.expect("it is greeted")
    }

    /// Waits until everything was said.
    pub(crate) async fn end(self) {
        let ended = timeout(DEADLINE, self.playing).await;
        ended.expect("all is said in time").expect("all was said");
    }
}

async fn follow(mut stream: TcpStream, epoch: u64, script: Script) {
    hear(&mut stream, "HELLO 3").await;
    hear(&mut stream, "CLIENT SETINFO LIB-NAME meilies-client").await;
    let version = concat!("CLIENT SETINFO LIB-VER ", env!("CARGO_PKG_VERSION"));
    hear(&mut stream, version).await;
    let greeting = format!("%1\r\n$5\r\nepoch\r\n:{epoch}\r\n+OK\r\n-ERR no such thing\r\n");
    say(&mut stream, &greeting).await;
    for (command, answer) in script {
        if !command.is_empty() {
            hear(&mut stream, command).await;
        }
        if answer == STAY {
            // Until the client goes.
            let more = stream.read_u8().await;
            assert!(!command.is_empty() || more.is_err(), "{more:?}");
            return;
        }
        say(&mut stream, &answer).await;
    }
}

pub(crate) async fn hear(stream: &mut TcpStream, command: &str) {
    let expected = encoded(command);
    let mut got = vec![0; expected.len()];
    stream
        .read_exact(&mut got)
        .await
        .unwrap_or_else(|error| panic!("before {command}: {error}"));
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

pub(crate) async fn say(stream: &mut TcpStream, answer: &str) {
    let said = stream.write_all(answer.as_bytes()).await;
    said.expect("the client reads");
}

/// A command whose words have no spaces.
pub(crate) fn encoded(command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let strings = words.iter().map(|word| bulk(word));
    format!("*{}\r\n{}", words.len(), strings.collect::<String>())
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// The push of an event whose name is `n` and whose data is `d`.
pub(crate) fn event(stream: &str, number: u64, position: u64) -> String {
    format!(
        ">6\r\n{}{}{}",
        bulk("event"),
        bulk(stream),
        event_rest(number, position)
    )
}

/// The same for `$all`.
pub(crate) fn event_of_all(stream: &str, number: u64, position: u64) -> String {
    let words = bulk("pevent") + &bulk("$all") + &bulk(stream);
    format!(">7\r\n{words}{}", event_rest(number, position))
}

/// The same as an only element of a reply.
pub(crate) fn read(stream: &str, number: u64, position: u64) -> String {
    format!(
        "*1\r\n*5\r\n{}{}",
        bulk(stream),
        event_rest(number, position)
    )
}

fn event_rest(number: u64, position: u64) -> String {
    format!(
        ":{number}\r\n:{position}\r\n{}*2\r\n{}{}",
        bulk(&format!("{}-0", 1000 + position)),
        bulk("n"),
        bulk("d")
    )
}

/// A push of a kind, a name and a number.
pub(crate) fn push(kind: &str, name: &str, number: u64) -> String {
    format!(">3\r\n{}{}:{number}\r\n", bulk(kind), bulk(name))
}

/// The reply to STREAM-INFO: which stream it is, and its last number.
pub(crate) fn info(stream_id: u64, last: u64) -> String {
    let fields = [
        ("stream-id", format!(":{stream_id}\r\n")),
        ("last-event-number", format!(":{last}\r\n")),
        ("first-event-number", ":0\r\n".to_owned()),
        ("events", format!(":{}\r\n", last + 1)),
        ("last-id", bulk("1000-0")),
        ("created-at", ":1000\r\n".to_owned()),
    ];
    let fields = fields.map(|(name, value)| bulk(name) + &value);
    format!("%6\r\n{}", fields.concat())
}
