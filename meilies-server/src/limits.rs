//! Every bound of the server in one place, with the relations between them proved at compile time.
//! Units come last in the names. The wire's own bounds are in `meilies_protocol::limits`.

use meilies_protocol::limits::{COMMIT_BYTES_MAX, PUSH_BYTES_BETWEEN_REPLIES_MAX};

/// Writes that one append request carries.
pub const APPEND_WRITES_MAX: usize = 1024;

/// Bytes of events after which an append request is handed over. A single event may be larger.
pub const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of the events of one PUBLISH-MANY, each counted with [`PUBLISH_MANY_BYTES_AN_EVENT`] more:
/// they are one commit.
pub const PUBLISH_MANY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What an event of a PUBLISH-MANY counts beside its bytes.
pub const PUBLISH_MANY_BYTES_AN_EVENT: usize = 64;

/// Append requests of one connection that wait for their commit.
pub const APPENDS_IN_FLIGHT_MAX: usize = 8;

/// Bytes of events in them after which a connection hands over no more.
pub const APPEND_BYTES_IN_FLIGHT_MAX: usize = 4 * 1024 * 1024;

/// Unsent bytes at which a connection stops to decode and to read until its client takes some.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// Unsent bytes above which a reply that is made in pieces makes no further piece.
pub const OUTPUT_BYTES_AHEAD_MAX: usize = 256 * 1024;

/// Unsent bytes above which no pushes are made.
pub const PUSH_BYTES_AHEAD_MAX: usize = PUSH_BYTES_BETWEEN_REPLIES_MAX;

/// Shared bytes of this size are sent from where they lie; smaller ones are copied.
pub const SHARED_BYTES_MIN: usize = 16 * 1024;

/// Parts of the output that one system call sends.
pub const OUTPUT_SLICES_MAX: usize = 64;

/// Capacity of an empty output buffer that stays allocated.
pub const OUTPUT_BYTES_KEPT_MAX: usize = 64 * 1024;

/// Room for the first read of an idle connection.
pub const READ_BYTES_MIN: usize = 16 * 1024;

/// Room for a read of a connection whose reads come back full.
pub const READ_BYTES_MAX: usize = 256 * 1024;

/// Bytes of events that one read of the engine asks for.
pub const EVENT_READ_BYTES_MAX: usize = 256 * 1024;

/// Cursors of one connection that one visit to the disk serves.
pub const DISK_READ_CURSORS_MAX: usize = 64;

/// Steps that the cursors of one connection take before the connection looks at other things.
pub const FOLLOW_TURNS_MAX: usize = 1024;

/// Bytes of recent batches that the fan-out takes in one step.
pub const FAN_OUT_READ_BYTES_MAX: usize = 1024 * 1024;

/// Subscriptions of one connection.
pub const SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// Streams that one page of names holds.
pub const STREAMS_PAGE_MAX: usize = 1024;

/// Bytes of a reply to STREAM-NAMES.
pub const NAMES_REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Commands of one transaction.
pub const TRANSACTION_COMMANDS_MAX: usize = 1024 * 1024;

/// Bytes of the replies of one EXEC, and of other replies that are made in one piece.
pub const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Events that MEMORY USAGE looks at in one go.
pub const MEMORY_SAMPLES_MAX: u64 = 1024;

/// Streams of which it is known when they were used last.
pub const TOUCHED_STREAMS_MAX: usize = 16 * 1024;

/// Arguments of a slow command that are kept, as in Redis.
pub const SLOW_LOG_ARGUMENTS_MAX: usize = 32;

/// Bytes of each of them that are kept, as in Redis.
pub const SLOW_LOG_ARGUMENT_BYTES_MAX: usize = 128;

/// Seconds of each kind of event that LATENCY HISTORY knows, as in Redis.
pub const LATENCY_SAMPLES_MAX: usize = 160;

/// Bytes of commands that wait for a client that has sent MONITOR to take them.
pub const MONITOR_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of one argument that MONITOR shows.
pub const MONITOR_ARGUMENT_BYTES_MAX: usize = 64 * 1024;

/// Clients that the system holds until they are accepted.
pub const LISTEN_BACKLOG: u32 = 1024;

/// How long accepting pauses after it failed, in ms.
pub const ACCEPT_RETRY_MS: u64 = 50;

/// Turns that a connection takes before it lets others run.
pub const TURNS_MAX: usize = 16;

/// How long a connection that is to close waits for its client to take another byte, in ms.
pub const LINGER_MS: u64 = 10_000;

/// Bytes that a closing connection reads and throws away, so that its last replies arrive.
pub const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long it does so, in ms.
pub const UNREAD_WAIT_MS: u64 = 1_000;

/// How long a stop waits for clients to take their last replies, in ms.
pub const STOP_GRACE_MS: u64 = 15_000;

const _: () = assert!(PUBLISH_MANY_BYTES_MAX <= COMMIT_BYTES_MAX / 2);
const _: () = assert!(APPEND_BYTES_MAX <= APPEND_BYTES_IN_FLIGHT_MAX);
const _: () = assert!(APPEND_BYTES_IN_FLIGHT_MAX < COMMIT_BYTES_MAX);
const _: () = assert!(PUSH_BYTES_AHEAD_MAX < OUTPUT_BYTES_MAX);
const _: () = assert!(OUTPUT_BYTES_AHEAD_MAX < OUTPUT_BYTES_MAX);
const _: () = assert!(READ_BYTES_MIN <= READ_BYTES_MAX);
// A stop outlasts the linger of each connection that it closes.
const _: () = assert!(LINGER_MS + UNREAD_WAIT_MS < STOP_GRACE_MS);
// Cursors are named by u32.
const _: () = assert!(SUBSCRIPTIONS_MAX < u32::MAX as usize);
