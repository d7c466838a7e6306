//! Every bound of the protocol in one place, with the relations between them proved at compile
//! time. Units come last in the names. A bound that is exceeded is told to the peer by its value.

/// Bytes of a stream name.
pub const STREAM_NAME_BYTES_MAX: usize = 4096;

/// Bytes of the event name in `PUBLISH stream name data`.
pub const EVENT_NAME_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one event, unless `--max-event-bytes` says otherwise.
pub const EVENT_BYTES_MAX_DEFAULT: usize = 16 * 1024 * 1024;

/// Bytes of one commit: what is atomic and shares a sync.
pub const COMMIT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of the key in `PUBLISH … ID key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 4096;

/// Elements of one command.
pub const FRAME_ELEMENTS_MAX: usize = 1_048_576;

/// Bytes of one command with all its elements.
pub const FRAME_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Bytes of an inline command, and of any line of a frame that announces a length.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Elements of a command before `AUTH`, where a password is set.
pub const UNAUTHENTICATED_ELEMENTS_MAX: usize = 10;

/// Bytes of a bulk string before `AUTH`, where a password is set.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;

/// Bytes of one reply that a client takes.
pub const REPLY_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Elements of one reply that a client takes, nested ones included.
pub const REPLY_ELEMENTS_MAX: usize = 8 * 1024 * 1024;

/// Levels of nested replies that a client follows.
pub const REPLY_DEPTH_MAX: usize = 32;

/// Bytes of pushes that may pass between a command and its reply.
pub const PUSH_BYTES_BETWEEN_REPLIES_MAX: usize = 256 * 1024;

/// Bytes of a user's arguments that an `unknown command` error repeats, as in Redis.
pub const ERROR_ARGUMENTS_BYTES_MAX: usize = 128;

/// Seconds for which `XCFGSET … IDMP-DURATION` may keep keys, as in Redis.
pub const IDEMPOTENCY_DURATION_S_MAX: u64 = 24 * 60 * 60;

/// Keys of one producer that `XCFGSET … IDMP-MAXSIZE` may keep, as in Redis.
pub const IDEMPOTENCY_KEYS_MAX: u64 = 10_000;

/// Events that `XINFO STREAM … FULL` shows unless it is told how many, as in Redis.
pub const INFO_COUNT_DEFAULT: u64 = 10;

/// Events that XAUTOCLAIM takes over unless it is told how many, as in Redis.
pub const AUTO_CLAIM_COUNT_DEFAULT: u64 = 100;

/// Events that XAUTOCLAIM may be told to take over, as in Redis. No memory is reserved for them.
pub const AUTO_CLAIM_COUNT_MAX: u64 = i64::MAX as u64 / 16;

/// Commands that SLOWLOG GET shows unless it is told how many, as in Redis.
pub const SLOW_LOG_COUNT_DEFAULT: u64 = 10;

/// Bytes of a parsed command apart from what it points to: connections keep many of them.
pub(crate) const REQUEST_BYTES_MAX: usize = 144;

/// Entries of an argument list that stay allocated between two commands of a connection.
pub(crate) const ARGUMENTS_KEPT_MAX: usize = 1024;

const _: () = assert!(STREAM_NAME_BYTES_MAX < INLINE_BYTES_MAX);
const _: () = assert!(STREAM_NAME_BYTES_MAX <= UNAUTHENTICATED_BULK_BYTES_MAX);
const _: () = assert!(EVENT_NAME_BYTES_MAX < EVENT_BYTES_MAX_DEFAULT);
const _: () = assert!(EVENT_BYTES_MAX_DEFAULT < COMMIT_BYTES_MAX);
const _: () = assert!(COMMIT_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(INLINE_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(UNAUTHENTICATED_ELEMENTS_MAX < FRAME_ELEMENTS_MAX);
const _: () = assert!(UNAUTHENTICATED_BULK_BYTES_MAX < INLINE_BYTES_MAX);
const _: () = assert!(ARGUMENTS_KEPT_MAX < FRAME_ELEMENTS_MAX);
const _: () = assert!(AUTO_CLAIM_COUNT_DEFAULT < AUTO_CLAIM_COUNT_MAX);
const _: () = assert!(FRAME_BYTES_MAX < REPLY_BYTES_MAX);
const _: () = assert!(FRAME_ELEMENTS_MAX < REPLY_ELEMENTS_MAX);
// Every element takes at least `$0\r\n\r\n`: the element bound is reachable within the byte bound.
const _: () = assert!(FRAME_ELEMENTS_MAX * 6 < FRAME_BYTES_MAX);
// Ranges inside a frame are kept as pairs of u32.
const _: () = assert!((FRAME_BYTES_MAX as u64) < u32::MAX as u64);
