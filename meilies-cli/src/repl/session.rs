//! One connection, and which of what comes over it is the reply to a command. Most commands have
//! one reply; those that subscribe are confirmed by a push for each name.

use meilies_client::{Builder, Error, RawConnection, Value};

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Incoming {
    /// The reply to the command.
    Reply(Value),
    /// Something else.
    Push(Value),
}

/// A connection that may not be there.
#[derive(Debug)]
pub(crate) struct Session {
    builder: Builder,
    connection: Option<RawConnection>,
    state: State,
}

impl Session {
    /// Not connected yet.
    pub(crate) fn new(builder: Builder) -> Session {
        Session {
            builder,
            connection: None,
            state: State::default(),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// How many subscriptions the connection has, or had when it was lost.
    pub(crate) fn subscriptions(&self) -> u64 {
        self.state.subscriptions
    }

    /// Makes a new connection.
    pub(crate) async fn connect(&mut self) -> Result<(), Error> {
        self.connection = Some(RawConnection::connect(&self.builder).await?);
        self.state = State::default();
        Ok(())
    }

    /// Ends the connection.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends a command. What follows is given by [`Session::next`].
    pub(crate) async fn send(&mut self, words: &[Vec<u8>]) -> Result<(), Error> {
        let Some(connection) = &mut self.connection else {
            return Err(Error::ClientClosed);
        };
        self.state.sent(words);
        let sent = connection.send(words).await;
        sent.inspect_err(|_| self.connection = None)
    }

    /// Waits for what comes next, and gives nothing once the command that was sent is replied to.
    /// May be dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Incoming>, Error> {
        if self.state.expected == Expected::Nothing {
            return Ok(None);
        }
        match self.receive().await {
            Ok(incoming) => Ok(Some(incoming)),
            // Some commands are replied to by closing the connection.
            Err(Error::Closed { .. } | Error::Lost { .. }) if self.state.may_close => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for what comes while no command is on its way. May be dropped. Waits for ever without
    /// a connection.
    pub(crate) async fn receive(&mut self) -> Result<Incoming, Error> {
        let Some(connection) = &mut self.connection else {
            return std::future::pending().await;
        };
        match connection.next().await {
            Ok(value) => Ok(self.state.received(value)),
            Err(error) => {
                self.connection = None;
                Err(error)
            }
        }
    }
}

/// What is known of the connection from what went over it.
#[derive(Debug, Default)]
struct State {
    subscriptions: u64,
    expected: Expected,
    /// What a reply that is no error will have changed.
    effect: Effect,
    /// Whether the last command may end the connection.
    may_close: bool,
    /// Whether pushes look like lists.
    is_resp2: bool,
    replies: Replies,
}

/// Whether the server replies to commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Replies {
    #[default]
    On,
    /// Not to the next.
    SkipNext,
    Off,
}

/// What is still to come for the command that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Nothing,
    Reply,
    /// So many confirmations, or one reply that is an error.
    Confirmations(usize),
    /// Confirmations until there are no subscriptions, or one reply that is an error.
    ConfirmationsOfAll,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Effect {
    #[default]
    None,
    Resp2(bool),
    Reset,
    Replies,
}

impl State {
    fn sent(&mut self, words: &[Vec<u8>]) {
        let is = |index: usize, name: &str| {
            let word = words.get(index).map(Vec::as_slice).unwrap_or_default();
            word.eq_ignore_ascii_case(name.as_bytes())
        };
        self.effect = match words.get(1).map(Vec::as_slice) {
            Some(version) if is(0, "hello") => Effect::Resp2(version == b"2"),
            _ if is(0, "reset") => Effect::Reset,
            _ if is(0, "client") && is(1, "reply") && is(2, "on") => Effect::Replies,
            _ => Effect::None,
        };
        self.may_close = is(0, "shutdown") || is(0, "quit");
        self.expected = match words.len() {
            1 if is(0, "unsubscribe") => Expected::ConfirmationsOfAll,
            count if is(0, "subscribe") || is(0, "unsubscribe") => {
                Expected::Confirmations((count - 1).max(1))
            }
            _ => Expected::Reply,
        };
        let before = self.replies;
        self.replies = match before {
            _ if is(0, "client") && is(1, "reply") && is(2, "off") => Replies::Off,
            Replies::Off => Replies::Off,
            _ if is(0, "client") && is(1, "reply") && is(2, "skip") => Replies::SkipNext,
            Replies::On | Replies::SkipNext => Replies::On,
        };
        let is_on = before == Replies::On && self.replies == Replies::On;
        if !is_on && self.effect != Effect::Replies {
            self.expected = Expected::Nothing;
        }
    }

    fn received(&mut self, value: Value) -> Incoming {
        let Some(kind) = self.push_kind(&value) else {
            if !matches!(value, Value::Error(_)) {
                self.take_effect();
            }
            self.expected = Expected::Nothing;
            return Incoming::Reply(value);
        };
        match kind {
            b"subscribe" | b"unsubscribe" => {
                self.subscriptions = count_of(&value).unwrap_or(self.subscriptions);
                self.expected = match self.expected {
                    Expected::Confirmations(more @ 2..) => Expected::Confirmations(more - 1),
                    Expected::ConfirmationsOfAll if self.subscriptions > 0 => self.expected,
                    Expected::Reply => Expected::Reply,
                    _ => Expected::Nothing,
                };
            }
            b"ended" | b"deleted" | b"error" => {
                self.subscriptions = self.subscriptions.saturating_sub(1);
            }
            _ => {}
        }
        Incoming::Push(value)
    }

    /// The word that a push begins with, if this is one. In the old protocol a list that begins so
    /// is taken for one if there can be one.
    fn push_kind<'a>(&self, value: &'a Value) -> Option<&'a [u8]> {
        const KINDS: [&[u8]; 8] = [
            b"event",
            b"pevent",
            b"caught-up",
            b"ended",
            b"deleted",
            b"error",
            b"subscribe",
            b"unsubscribe",
        ];
        let first = |values: &'a [Value]| values.first().and_then(Value::as_bytes);
        match value {
            Value::Push(values) => Some(first(values).unwrap_or_default()),
            Value::Array(values) if self.is_resp2 && self.expects_pushes() => {
                first(values).filter(|kind| KINDS.contains(kind))
            }
            _ => None,
        }
    }

    fn expects_pushes(&self) -> bool {
        self.subscriptions > 0
            || matches!(
                self.expected,
                Expected::Confirmations(_) | Expected::ConfirmationsOfAll
            )
    }

    fn take_effect(&mut self) {
        match std::mem::take(&mut self.effect) {
            Effect::None => {}
            Effect::Resp2(is_resp2) => self.is_resp2 = is_resp2,
            Effect::Replies => self.replies = Replies::On,
            Effect::Reset => {
                *self = State {
                    is_resp2: true,
                    ..State::default()
                };
            }
        }
    }
}

/// How many subscriptions a confirmation says that there are.
fn count_of(value: &Value) -> Option<u64> {
    match value {
        Value::Push(values) | Value::Array(values) => values.get(2)?.as_u64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(Vec::from).collect()
    }

    fn elements(kind: &'static str, number: i64) -> Vec<Value> {
        let word = |word: &'static str| Value::Bulk(word.into());
        vec![word(kind), word("orders"), Value::Integer(number)]
    }

    fn push(kind: &'static str, number: i64) -> Value {
        Value::Push(elements(kind, number))
    }

    fn ok() -> Value {
        Value::SimpleString("OK".into())
    }

    #[test]
    fn most_commands_have_one_reply_and_pushes_pass_before_it() {
        let mut state = State::default();
        state.sent(&words("PING"));
        assert!(matches!(
            state.received(push("caught-up", 3)),
            Incoming::Push(_)
        ));
        assert_eq!(state.expected, Expected::Reply);
        assert_eq!(state.received(ok()), Incoming::Reply(ok()));
        assert_eq!(state.expected, Expected::Nothing);
    }

    #[test]
    fn subscribing_is_confirmed_for_each_spec() {
        let mut state = State::default();
        state.sent(&words("subscribe orders orders:0"));
        state.received(push("subscribe", 1));
        state.received(push("caught-up", 7));
        assert_eq!(state.expected, Expected::Confirmations(1));
        state.received(push("subscribe", 2));
        assert_eq!(
            (state.expected, state.subscriptions),
            (Expected::Nothing, 2)
        );

        state.received(push("ended", 3));
        assert_eq!(state.subscriptions, 1);
        // A refusal is the only reply.
        state.sent(&words("SUBSCRIBE a b:"));
        let error = Value::Error("ERR no".into());
        assert_eq!(state.received(error.clone()), Incoming::Reply(error));
        assert_eq!(
            (state.expected, state.subscriptions),
            (Expected::Nothing, 1)
        );
    }

    #[test]
    fn unsubscribing_from_all_is_confirmed_until_there_is_none() {
        let mut state = State::default();
        state.sent(&words("SUBSCRIBE a b"));
        state.received(push("subscribe", 1));
        state.received(push("subscribe", 2));
        state.sent(&words("unsubscribe"));
        state.received(push("unsubscribe", 1));
        assert_eq!(state.expected, Expected::ConfirmationsOfAll);
        state.received(push("unsubscribe", 0));
        assert_eq!(state.expected, Expected::Nothing);
    }

    #[test]
    fn what_has_no_reply_is_not_waited_for() {
        let mut state = State::default();
        state.sent(&words("CLIENT REPLY SKIP"));
        assert_eq!(state.expected, Expected::Nothing);
        state.sent(&words("PING"));
        assert_eq!(state.expected, Expected::Nothing);
        state.sent(&words("PING"));
        assert_eq!(state.expected, Expected::Reply);
        state.received(ok());
        state.sent(&words("client reply off"));
        state.sent(&words("PING"));
        assert_eq!(state.expected, Expected::Nothing);
        state.sent(&words("client reply on"));
        assert_eq!(state.expected, Expected::Reply);
        state.received(ok());
        state.sent(&words("PING"));
        assert_eq!(state.expected, Expected::Reply);
    }

    #[test]
    fn in_the_old_protocol_lists_can_be_pushes() {
        let list = |kind, number| Value::Array(elements(kind, number));
        let mut state = State::default();
        state.sent(&words("HELLO 2"));
        state.received(ok());
        // Nothing was subscribed to: a list that looks like a push is none.
        state.sent(&words("STREAM-NAMES"));
        assert!(matches!(
            state.received(list("ended", 1)),
            Incoming::Reply(_)
        ));
        state.sent(&words("SUBSCRIBE orders"));
        assert!(matches!(
            state.received(list("subscribe", 1)),
            Incoming::Push(_)
        ));
        state.sent(&words("STREAM-NAMES"));
        assert!(matches!(
            state.received(list("caught-up", 1)),
            Incoming::Push(_)
        ));
        assert!(matches!(
            state.received(list("orders", 1)),
            Incoming::Reply(_)
        ));
        state.sent(&words("HELLO 3"));
        state.received(ok());
        state.sent(&words("STREAM-NAMES"));
        assert!(matches!(
            state.received(list("caught-up", 1)),
            Incoming::Reply(_)
        ));
    }

    #[test]
    fn a_reset_ends_the_subscriptions() {
        let mut state = State::default();
        state.sent(&words("SUBSCRIBE orders"));
        state.received(push("subscribe", 1));
        state.sent(&words("RESET"));
        state.received(Value::SimpleString("RESET".into()));
        assert_eq!((state.subscriptions, state.is_resp2), (0, true));
    }
}
