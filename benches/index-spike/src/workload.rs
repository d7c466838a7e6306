//! The simulated appends: a counter-based generator, so that any batch can be
//! recomputed from its place in the log when a look-up is verified.

use crate::location::Location;
use clap::ValueEnum;

pub const SEGMENT_BYTES: u64 = 256 << 20;
const START_MS: u64 = 1_700_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// One event per batch, streams drawn uniformly at random.
    A,
    /// 256 events per batch, one stream.
    B,
}

#[derive(Clone, Copy, Debug)]
pub struct Workload {
    pub kind: Kind,
    pub streams: u64,
    pub seed: u64,
}

pub fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Workload {
    pub fn events_per_batch(&self) -> u64 {
        match self.kind {
            Kind::A => 1,
            Kind::B => 256,
        }
    }

    /// Log bytes of one batch: events of 128 bytes and an assumed framing.
    pub fn batch_bytes(&self) -> u64 {
        match self.kind {
            Kind::A => 128 + 52,
            Kind::B => 256 * (128 + 12) + 52,
        }
    }

    /// The stream (its ordinal, not its id) that batch `batch` goes to.
    pub fn stream_of(&self, batch: u64) -> u64 {
        match self.kind {
            Kind::A => mix(self.seed ^ mix(batch)) % self.streams,
            Kind::B => 0,
        }
    }

    pub fn name_of(&self, stream: u64, out: &mut String) {
        use std::fmt::Write;
        out.clear();
        // Writing to a String cannot fail.
        let _ = write!(out, "order-{:016x}", mix(stream));
    }

    pub fn log_position(&self, batch: u64) -> u64 {
        batch * self.batch_bytes()
    }

    /// The batch that a location points at, if it points at the start of one.
    pub fn batch_at(&self, location: &Location) -> Option<u64> {
        let position = u64::from(location.serial) * SEGMENT_BYTES + u64::from(location.byte);
        position
            .is_multiple_of(self.batch_bytes())
            .then(|| position / self.batch_bytes())
    }

    pub fn location(&self, batch: u64) -> Location {
        let position = self.log_position(batch);
        // 100 thousand events per second of simulated time.
        let id_ms = START_MS + batch * self.events_per_batch() / 100;
        Location {
            serial: (position / SEGMENT_BYTES) as u32,
            generation: 0,
            byte: (position % SEGMENT_BYTES) as u32,
            count: self.events_per_batch() as u32,
            id_ms,
            id_seq: 0,
            time_ms: id_ms,
        }
    }
}
