//! Every bound of `bench` in one place. Units come last in the names.

use std::time::Duration;

/// What is longer counts as so long, in the percentiles.
pub(crate) const LATENCY_MAX: Duration = Duration::from_secs(60 * 60);

/// Values that must lie beyond a percentile for it to be said.
pub(crate) const VALUES_BEYOND_MIN: u64 = 10;

/// Connections of a run.
pub(crate) const CONNECTIONS_MAX: u64 = 4096;

/// Streams of a run.
pub(crate) const STREAMS_MAX: u64 = 1_000_000;

/// Events of a call.
pub(crate) const BATCH_EVENTS_MAX: u64 = 65_536;

/// Calls in flight on a connection.
pub(crate) const PIPELINE_CALLS_MAX: u64 = 1_000_000;

/// Bytes of the data of an event. The server may take less.
pub(crate) const DATA_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a run without an end goes on.
pub(crate) const TIME_DEFAULT: Duration = Duration::from_secs(10);

/// How often it is shown how far the run is.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Events of a call, flat out and unless it is said.
pub(crate) const BATCH_EVENTS_DEFAULT: u64 = 256;

/// Bytes of their data, unless one event has more.
pub(crate) const BATCH_BYTES_DEFAULT: u64 = 1024 * 1024;

/// Events in flight on a connection, unless it is said how many calls.
pub(crate) const IN_FLIGHT_EVENTS_DEFAULT: u64 = 8192;

/// Calls in flight on a connection, unless it is said.
pub(crate) const PIPELINE_CALLS_DEFAULT: u64 = 1024;
