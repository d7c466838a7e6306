//! Every bound and default of the client in one place. Those of the wire are in
//! `meilies_protocol::limits`.

use std::time::Duration;

use meilies_protocol::limits::{COMMIT_BYTES_MAX, FRAME_BYTES_MAX, FRAME_ELEMENTS_MAX};

/// The port of a URL that names none.
pub(crate) const PORT_DEFAULT: u16 = 6480;

/// How long finding, reaching and greeting a server may take.
pub(crate) const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How long a request may wait for its reply.
pub(crate) const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How long a connection may be silent before the server is asked whether it is there.
pub(crate) const PING_INTERVAL_DEFAULT: Duration = Duration::from_secs(15);

/// Bytes of requests without a reply.
pub(crate) const IN_FLIGHT_BYTES_MAX_DEFAULT: usize = 32 * 1024 * 1024;

/// What a request counts beside its bytes: its place in the queue and whoever waits for it.
pub(crate) const IN_FLIGHT_BYTES_A_REQUEST: usize = 128;

/// Bytes that a subscription reads ahead.
pub(crate) const PREFETCH_BYTES_DEFAULT: usize = 256 * 1024;

/// Subscriptions and consumers of a client at the same time: each is a connection.
pub(crate) const SUBSCRIPTIONS_MAX_DEFAULT: usize = 256;

/// Events that a consumer of a group reads ahead.
pub(crate) const CONSUMER_EVENTS_DEFAULT: u64 = 100;

/// The most events that a consumer of a group reads ahead.
pub(crate) const CONSUMER_EVENTS_MAX: u64 = 10_000;

/// The shortest time after which a consumer looks again for what others have left.
pub(crate) const CLAIM_WAIT_MIN: Duration = Duration::from_millis(100);

/// Events that are acknowledged with one command.
pub(crate) const ACKNOWLEDGED_AT_ONCE_MAX: usize = 1024;

/// The first wait before connecting again.
pub(crate) const RECONNECT_DELAY_MIN_DEFAULT: Duration = Duration::from_millis(50);

/// The longest wait before connecting again.
pub(crate) const RECONNECT_DELAY_MAX_DEFAULT: Duration = Duration::from_secs(5);

/// Room for a read of a connection.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// The most room that is made at once for a reply whose length the server has announced.
pub(crate) const READ_BYTES_MAX: usize = 1024 * 1024;

/// Capacity that a buffer of a connection keeps when it is empty.
pub(crate) const BUFFER_KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Replies that are taken apart before those who wait for them are woken.
pub(crate) const REPLIES_A_TURN_MAX: usize = 1024;

/// Bytes of the events that [`crate::Client::read`] asks for at a time.
pub(crate) const PAGE_BYTES: u64 = 256 * 1024;

/// Questions that a subscription sends before it reads their answers: a server that cannot send
/// stops to read.
pub(crate) const QUESTIONS_AT_ONCE: usize = 64;

/// The longest time that may be waited for anything: moments must stay within what clocks can say.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The shortest time after which a silent server is asked.
pub(crate) const PING_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The most that a subscription reads ahead.
pub(crate) const PREFETCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Spare room of a buffer that is enough for another read.
pub(crate) const READ_BYTES_SPARE: usize = 16 * 1024;

/// Bytes of an unexpected reply that its error repeats.
pub(crate) const SHOWN_BYTES_MAX: usize = 200;

const _: () = assert!(READ_BYTES <= READ_BYTES_MAX);
/// Events of one publish: a command has a bound on its elements.
pub(crate) const PUBLISH_EVENTS_MAX: usize = (FRAME_ELEMENTS_MAX - PUBLISH_WORDS_MAX) / 2;

/// Elements of a publish beside names and data.
const PUBLISH_WORDS_MAX: usize = 6;

/// Bytes of one publish: no server takes more, and what is longer than a command may be would cost
/// the connection.
pub(crate) const PUBLISH_BYTES_MAX: usize = COMMIT_BYTES_MAX;

const _: () = assert!(PUBLISH_BYTES_MAX < FRAME_BYTES_MAX);
