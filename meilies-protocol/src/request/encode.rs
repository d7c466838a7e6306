//! Requests as a client sends them: arrays of bulk strings that parse to the same request.

mod client;
mod group;
mod keyspace;
mod server;
mod stream;

use bytes::{Bytes, BytesMut};

use super::{Expect, Hello, NewId, Publish, PublishMany, Request};
use crate::{EventId, From as Start, Spec, writer};

impl Request {
    /// Appends the command.
    pub fn encode(&self, out: &mut BytesMut) {
        // What a busy client sends is written without a list in between.
        if let Request::Publish(Publish {
            stream,
            name,
            data,
            expect: Expect::Any,
            key: None,
        }) = self
        {
            let words = [b"PUBLISH", stream.as_bytes(), name.as_bytes(), data];
            return writer::command(out, &words);
        }
        let words = self.words();
        let slices: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        writer::command(out, &slices);
    }

    /// The command's name and its arguments.
    fn words(&self) -> Vec<Bytes> {
        match self {
            Request::Publish(publish) => publish_words(publish),
            Request::PublishMany(many) => publish_many_words(many),
            Request::Message { channel, message } => named("PUBLISH", [channel, message]),
            Request::Subscribe { specs } => {
                named("SUBSCRIBE", specs.iter().map(|given| &given.text))
            }
            Request::Unsubscribe { names } => named("UNSUBSCRIBE", names),
            Request::LastEventNumber { stream } => named("LAST-EVENT-NUMBER", [&stream.to_bytes()]),
            Request::StreamInfo { stream } => named("STREAM-INFO", [&stream.to_bytes()]),
            Request::StreamNames { pattern } => named("STREAM-NAMES", pattern),
            Request::ReadEvents {
                spec,
                count,
                bytes,
                reverse,
            } => read_words(spec, *count, *bytes, *reverse),
            Request::Ping { message } => named("PING", message),
            Request::Echo { message } => named("ECHO", [message]),
            Request::Quit => named("QUIT", []),
            Request::Reset => named("RESET", []),
            Request::Select { index } => named("SELECT", [&Bytes::from(index.to_string())]),
            Request::Hello(hello) => hello_words(hello),
            Request::Auth { user, password } => named("AUTH", user.iter().chain([password])),
            Request::Client(client) => client::words(client),
            Request::Misformed(misformed) => misformed.arguments.clone(),
            // The others are told apart by what they are about.
            _ => [stream::words, group::words, keyspace::words, server::words]
                .iter()
                .find_map(|words| words(self))
                .expect("every request is about one of these"),
        }
    }
}

fn word(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn number(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

fn id(id: EventId) -> Bytes {
    Bytes::from(id.to_string())
}

/// Words, separated by spaces, and arguments behind them.
fn named<'a>(names: &'static str, arguments: impl IntoIterator<Item = &'a Bytes>) -> Vec<Bytes> {
    names
        .split(' ')
        .map(word)
        .chain(arguments.into_iter().cloned())
        .collect()
}

/// An option with its value, if it has one.
fn push_option(words: &mut Vec<Bytes>, option: &'static str, value: Option<Bytes>) {
    if let Some(value) = value {
        words.extend([word(option), value]);
    }
}

/// A word without a value, if it is said.
fn push_flag(words: &mut Vec<Bytes>, flag: &'static str, said: bool) {
    if said {
        words.push(word(flag));
    }
}

fn publish_words(publish: &Publish) -> Vec<Bytes> {
    let Publish {
        stream,
        name,
        data,
        expect,
        key,
    } = publish;
    let name = name.clone().into_bytes();
    let mut words = named("PUBLISH", [&stream.to_bytes(), &name, data]);
    push_option(&mut words, "EXPECT", expect_word(*expect));
    push_option(&mut words, "ID", key.clone());
    words
}

fn publish_many_words(many: &PublishMany) -> Vec<Bytes> {
    let count = number(many.events.len() as u64);
    let mut words = named("PUBLISH-MANY", [&many.stream.to_bytes(), &count]);
    for (name, data) in &many.events {
        words.extend([name.clone().into_bytes(), data.clone()]);
    }
    push_option(&mut words, "EXPECT", expect_word(many.expect));
    push_flag(&mut words, "IDS", !many.ids.is_empty());
    words.extend(many.ids.iter().copied().map(new_id));
    words
}

fn new_id(new: NewId) -> Bytes {
    match new {
        NewId::Auto => word("*"),
        NewId::AutoSeq { ms } => Bytes::from(format!("{ms}-*")),
        NewId::Given(given) => id(given),
    }
}

fn expect_word(expect: Expect) -> Option<Bytes> {
    match expect {
        Expect::Any => None,
        Expect::None => Some(word("none")),
        Expect::Exists => Some(word("exists")),
        Expect::Number(last) => Some(number(last)),
    }
}

fn read_words(spec: &Spec, count: Option<u64>, bytes: Option<u64>, reverse: bool) -> Vec<Bytes> {
    let mut text = BytesMut::new();
    spec.write(&mut text);
    if spec.from.is_none() && Spec::parse(&text).as_ref() != Ok(spec) {
        // To this command a bare name is the whole stream, so the name needs its start said.
        text.clear();
        Spec {
            from: Some(Start::Number(0)),
            ..spec.clone()
        }
        .write(&mut text);
    }
    let mut words = named("READ-EVENTS", [&text.freeze()]);
    push_option(&mut words, "COUNT", count.map(number));
    push_option(&mut words, "BYTES", bytes.map(number));
    push_flag(&mut words, "REVERSE", reverse);
    words
}

fn hello_words(hello: &Hello) -> Vec<Bytes> {
    let mut words = named("HELLO", []);
    // Options can only follow a version, and the older one is what a connection begins with.
    let version = match hello.version {
        None if hello.auth.is_some() || hello.name.is_some() => Some(2),
        version => version.map(crate::Version::number),
    };
    words.extend(version.map(|version| number(version.into())));
    if let Some(auth) = &hello.auth {
        words.extend([word("AUTH"), auth.user.clone(), auth.password.clone()]);
    }
    push_option(&mut words, "SETNAME", hello.name.clone());
    words
}
