//! Every bound of the program in one place. Units come last in the names.

use std::time::Duration;

use meilies_protocol::limits::COMMIT_BYTES_MAX;

/// Bytes of lines after which they are written, while more wait.
pub(crate) const OUTPUT_BYTES: usize = 64 * 1024;

/// Columns of a name up to which others are aligned with it.
pub(crate) const ALIGNED_COLUMNS_MAX: usize = 32;

/// Bytes of an event as a line of JSON: any event can be exported and imported. A byte becomes six
/// at most, as `\u001b` does.
pub(crate) const LINE_BYTES_MAX: usize = 6 * COMMIT_BYTES_MAX + 64 * 1024;

/// How often export connects again, one time after the other, before it gives up: that takes about
/// half a minute.
pub(crate) const EXPORT_RECONNECTS_MAX: u32 = 12;

/// Room for a read of the lines that are imported. It grows for a line that is longer.
pub(crate) const IMPORT_READ_BYTES: usize = 256 * 1024;

/// Events of one stream that are published with one call.
pub(crate) const RUN_EVENTS_MAX: usize = 512;

/// Bytes of such events. One event may be larger.
pub(crate) const RUN_BYTES_MAX: usize = 128 * 1024;

/// Events that are published and not yet answered.
pub(crate) const IN_FLIGHT_EVENTS_MAX: usize = 16 * 1024;

/// Bytes of the events that are published and not yet answered. One event may be larger.
pub(crate) const IN_FLIGHT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Streams that the server is asked about at once.
pub(crate) const QUESTIONS_MAX: usize = 256;

/// Commands that inspect runs at once.
pub(crate) const INSPECT_PARALLEL_MAX: usize = 256;

/// Events that wait for their command, or run it. A stream whose command is slow fills this, and
/// then no others are read.
pub(crate) const INSPECT_WAITING_EVENTS_MAX: usize = 1024;

/// Bytes of the events that wait for their command. One event may be larger.
pub(crate) const INSPECT_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of the file in which inspect keeps its position: a number for each event that waits.
pub(crate) const POSITION_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How long inspect waits for that file, while another one may be about to end.
pub(crate) const POSITION_LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How often it looks.
pub(crate) const POSITION_LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// How often in a row somebody else may write to the destination of migrate while it begins.
pub(crate) const MIGRATE_CONFLICTS_MAX: u32 = 10;

/// How long migrate waits after something broke, at first and at most.
pub(crate) const MIGRATE_RETRY_DELAY_MIN: Duration = Duration::from_millis(50);

/// See [`MIGRATE_RETRY_DELAY_MIN`].
pub(crate) const MIGRATE_RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// How long migrate waits for what it has sent, when it is told to stop.
pub(crate) const MIGRATE_STOP_GRACE: Duration = Duration::from_secs(5);

/// Events after which migrate shows how far it is, while more are on their way.
pub(crate) const PROGRESS_EVENTS: u64 = 256;

/// Questions that a MeiliES 0.2 server is sent before its replies are read.
pub(crate) const OLD_QUESTIONS_MAX: usize = 64;

/// Room for a read from a MeiliES 0.2 server.
pub(crate) const OLD_READ_BYTES: usize = 64 * 1024;

/// How long a MeiliES 0.2 server may take to answer.
pub(crate) const OLD_REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long no event may come before a MeiliES 0.2 server is asked whether it is there, and how
/// long before what does not come counts as lost.
pub(crate) const OLD_SILENCE: Duration = Duration::from_secs(2);

/// The same where no event has come at all, so that nothing is known of how fast it is.
pub(crate) const OLD_SILENCE_FIRST: Duration = Duration::from_secs(10);

/// How long an event may take from its number to its place in a MeiliES 0.2 store.
pub(crate) const OLD_PAUSE: Duration = Duration::from_secs(1);

/// How long after a look at a MeiliES 0.2 server the next one comes.
pub(crate) const OLD_LOOK_INTERVAL_MIN: Duration = Duration::from_millis(250);

/// How many times as long as a look takes it waits for the next one.
pub(crate) const OLD_LOOK_SHARE: u32 = 10;

const _: () = assert!(RUN_EVENTS_MAX <= IN_FLIGHT_EVENTS_MAX);
const _: () = assert!(RUN_BYTES_MAX <= IN_FLIGHT_BYTES_MAX);
