//! The flags that the measurements share.

use std::num::NonZero;
use std::time::Duration;

use clap::Args;

use super::limits::{
    BATCH_BYTES_DEFAULT, BATCH_EVENTS_DEFAULT, BATCH_EVENTS_MAX, CONNECTIONS_MAX, DATA_BYTES_MAX,
    IN_FLIGHT_EVENTS_DEFAULT, PIPELINE_CALLS_DEFAULT, PIPELINE_CALLS_MAX, STREAMS_MAX,
    TIME_DEFAULT,
};
use super::plan::{End, Plan};

/// What is published, and how fast.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// Events a second over all connections; without it flat out
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rate: Option<u64>,

    /// Stop after so many events
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,

    /// Stop after so many seconds [default: 10]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,

    /// Bytes of data of an event
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    #[arg(value_parser = clap::value_parser!(u64).range(..=DATA_BYTES_MAX))]
    pub(crate) size: u64,

    /// Events of a call: those of one call are stored together, in one stream [default: 1 with
    /// --rate, else 256 or as many as have 1 MiB of data]
    #[arg(long, value_name = "EVENTS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=BATCH_EVENTS_MAX))]
    batch: Option<u64>,

    /// Calls in flight on each connection that publishes [default: 1024, or as many as have 8192
    /// events]
    #[arg(long, value_name = "CALLS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=PIPELINE_CALLS_MAX))]
    pipeline: Option<u64>,
}

impl Load {
    /// These events as fast as can be, spread over so many streams.
    pub(crate) fn flat_out(events: u64, size: u64, streams: u64) -> Load {
        let load = Load {
            rate: None,
            events: Some(events),
            seconds: None,
            size,
            batch: None,
            pipeline: None,
        };
        Load {
            batch: Some(load.batch().min(events.div_ceil(streams)).max(1)),
            ..load
        }
    }

    /// Events of a call.
    pub(crate) fn batch(&self) -> u64 {
        self.batch.unwrap_or_else(|| match self.rate {
            // The latency of each event is wanted.
            Some(_) => 1,
            None => BATCH_EVENTS_DEFAULT
                .min(BATCH_BYTES_DEFAULT / self.size.max(1))
                .max(1),
        })
    }

    /// Calls in flight on a connection.
    pub(crate) fn pipeline(&self) -> u64 {
        let few = IN_FLIGHT_EVENTS_DEFAULT.div_ceil(self.batch());
        self.pipeline.unwrap_or(few.min(PIPELINE_CALLS_DEFAULT))
    }

    /// What publishers make of it.
    pub(crate) fn plan(&self, connections: u64, streams: u64) -> Plan {
        Plan {
            connections,
            streams,
            batch: self.batch(),
            pipeline: usize::try_from(self.pipeline()).expect("the flag has a bound"),
            rate: self.rate,
            end: match (self.events, self.seconds) {
                (Some(events), _) => End::Events(events),
                (None, Some(seconds)) => End::After(Duration::from_secs(seconds)),
                (None, None) => End::After(TIME_DEFAULT),
            },
        }
    }

    /// How many events there will be, if that is known.
    pub(crate) fn events(&self) -> Option<u64> {
        let at_rate = self.rate.map(|rate| {
            let seconds = self.seconds.unwrap_or(TIME_DEFAULT.as_secs());
            rate.saturating_mul(seconds)
        });
        self.events.or(at_rate)
    }
}

/// Connections and the threads that they share.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connections {
    /// Connections at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=CONNECTIONS_MAX))]
    pub(crate) connections: u64,

    /// Threads of this program that the connections share [default: as many as there are cores]
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<NonZero<usize>>,
}

/// The streams that a run makes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Streams {
    /// Streams, to which the calls go in turns
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=STREAMS_MAX))]
    pub(crate) streams: u64,

    #[command(flatten)]
    pub(crate) prefix: Prefix,
}

/// How the streams are named.
#[derive(Args, Clone, Debug)]
pub(crate) struct Prefix {
    /// What the names of the streams begin with [default: bench- and a random number]
    #[arg(long, value_name = "TEXT")]
    stream_prefix: Option<String>,
}

impl Prefix {
    /// What was given, or a name that no other run has.
    pub(crate) fn text(&self) -> String {
        self.stream_prefix
            .clone()
            .unwrap_or_else(super::data::random_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(size: u64, rate: Option<u64>) -> Load {
        Load {
            rate,
            events: None,
            seconds: None,
            size,
            batch: None,
            pipeline: None,
        }
    }

    #[test]
    fn without_flags_the_calls_fit_what_is_measured() {
        let chosen = |load: &Load| (load.batch(), load.pipeline());
        assert_eq!(chosen(&load(128, None)), (256, 32));
        assert_eq!(chosen(&load(0, None)), (256, 32));
        assert_eq!(chosen(&load(64 * 1024, None)), (16, 512));
        assert_eq!(chosen(&load(5_000_000, None)), (1, 1024));
        assert_eq!(chosen(&load(128, Some(10))), (1, 1024));
        let said = Load {
            batch: Some(7),
            pipeline: Some(3),
            ..load(128, Some(10))
        };
        assert_eq!(chosen(&said), (7, 3));
    }

    #[test]
    fn what_is_spread_reaches_every_stream() {
        let batch = |events, streams| Load::flat_out(events, 128, streams).batch();
        assert_eq!(
            (batch(1_000_000, 1), batch(1000, 10), batch(3, 10)),
            (256, 100, 1)
        );
    }

    #[test]
    fn a_run_ends_as_it_is_told() {
        let five = Load::flat_out(5, 128, 1);
        assert_eq!(five.plan(1, 1).end, End::Events(5));
        assert_eq!(five.events(), Some(5));
        let timed = |rate, seconds| Load {
            seconds,
            ..load(128, rate)
        };
        let end = timed(None, Some(3)).plan(1, 1).end;
        assert_eq!(end, End::After(Duration::from_secs(3)));
        assert_eq!(timed(None, Some(3)).events(), None);
        assert_eq!(timed(Some(100), Some(3)).events(), Some(300));
        assert_eq!(
            timed(Some(100), None).plan(1, 1).end,
            End::After(TIME_DEFAULT)
        );
    }
}
