//! The rows of MeiliES' own commands.

use super::{Command, Flags, Group, Keys};
use crate::request::events as parse;

const SUBSCRIBING: Flags = Flags::PUBSUB
    .and(Flags::NOSCRIPT)
    .and(Flags::LOADING)
    .and(Flags::STALE);

pub(super) static COMMANDS: &[Command] = &[
    Command {
        name: "publish",
        full_name: "publish",
        arity: -3,
        flags: Flags::WRITE
            .and(Flags::DENYOOM)
            .and(Flags::PUBSUB)
            .and(Flags::FAST),
        group: Group::Stream,
        syntax: "stream name data [EXPECT n|none|exists|any] [ID key]",
        summary: "Stores an event, or with two arguments sends a message that is not stored.",
        complexity: "O(1), and O(N) for a message to N subscribers",
        keys: Keys::ONE,
        parse: parse::publish,
        ..Command::BASE
    },
    Command {
        name: "publish-many",
        full_name: "publish-many",
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        group: Group::Stream,
        syntax: "stream count name data [name data …] [EXPECT n|none|exists|any] [IDS id [id …]]",
        summary: "Stores events, all or none, and returns the number of the last one.",
        complexity: "O(N) for N events",
        keys: Keys::ONE,
        parse: parse::publish_many,
        ..Command::BASE
    },
    Command {
        name: "subscribe",
        full_name: "subscribe",
        arity: -2,
        flags: SUBSCRIBING,
        group: Group::Pubsub,
        syntax: "spec [spec …]",
        summary: "Reads the events of streams from a number on and then follows them live.",
        complexity: "O(N) for N specs, then O(1) for each event",
        parse: parse::subscribe,
        ..Command::BASE
    },
    Command {
        name: "unsubscribe",
        full_name: "unsubscribe",
        arity: -1,
        flags: SUBSCRIBING,
        group: Group::Pubsub,
        syntax: "[name …]",
        summary: "Ends the subscriptions to these streams, or to all.",
        complexity: "O(N) for N names",
        parse: parse::unsubscribe,
        ..Command::BASE
    },
    Command {
        name: "last-event-number",
        full_name: "last-event-number",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        group: Group::Stream,
        syntax: "stream",
        summary: "Returns the number that was last given to an event of a stream.",
        keys: Keys::ONE,
        parse: parse::last_event_number,
        ..Command::BASE
    },
    Command {
        name: "stream-info",
        full_name: "stream-info",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        group: Group::Stream,
        syntax: "stream",
        summary: "Returns which stream a name stands for, and what is known of its events.",
        keys: Keys::ONE,
        parse: parse::stream_info,
        ..Command::BASE
    },
    Command {
        name: "stream-names",
        full_name: "stream-names",
        arity: -1,
        flags: Flags::READONLY,
        group: Group::Stream,
        syntax: "[pattern]",
        summary: "Returns the names of the streams that match a pattern, or of all, sorted.",
        complexity: "O(N) for N streams",
        parse: parse::stream_names,
        ..Command::BASE
    },
    Command {
        name: "read-events",
        full_name: "read-events",
        arity: -2,
        flags: Flags::READONLY,
        group: Group::Stream,
        syntax: "spec [COUNT n] [BYTES n] [REVERSE]",
        summary: "Returns the events that there are of a stream, in order of their numbers.",
        complexity: "O(log N) for N events of the stream, and O(1) for each that is returned",
        parse: parse::read_events,
        ..Command::BASE
    },
];
