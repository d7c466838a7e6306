//! A location (where a batch of one stream's events lies in the log) and its
//! compact encoding.

use anyhow::{ensure, Context, Result};

/// Where `count` consecutive events of one stream lie in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    pub serial: u32,
    pub generation: u16,
    pub byte: u32,
    pub count: u32,
    pub id_ms: u64,
    pub id_seq: u64,
    pub time_ms: u64,
}

const SERIAL: u8 = 1;
const GENERATION: u8 = 2;
const COUNT: u8 = 4;
const SEQ: u8 = 8;
const TIME: u8 = 16;

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn get_varint(input: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first().context("varint is cut short")?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    anyhow::bail!("varint is too long")
}

fn zigzag(from: u64, to: u64) -> u64 {
    let delta = to.wrapping_sub(from) as i64;
    ((delta << 1) ^ (delta >> 63)) as u64
}

fn unzigzag(from: u64, value: u64) -> u64 {
    let delta = (value >> 1) as i64 ^ -((value & 1) as i64);
    from.wrapping_add(delta as u64)
}

impl Location {
    /// Appends `self` to `out`, as a difference against `previous` (the
    /// location before it in the same run, or the default for the first).
    ///
    /// One byte of flags, then: serial step (if any), generation (if it
    /// differs), byte (a step within one segment file, else absolute), count
    /// (if not 1), id milliseconds, id sequence (if not 0), time (if it is not
    /// the id's milliseconds).
    pub fn encode(&self, previous: &Location, out: &mut Vec<u8>) {
        let at = out.len();
        out.push(0);
        let mut flags = 0;
        let same_file = self.serial == previous.serial && self.byte >= previous.byte;
        if !same_file {
            flags |= SERIAL;
            put_varint(out, zigzag(previous.serial.into(), self.serial.into()));
        }
        if self.generation != previous.generation {
            flags |= GENERATION;
            put_varint(out, self.generation.into());
        }
        let base = if same_file { previous.byte } else { 0 };
        put_varint(out, (self.byte - base).into());
        if self.count != 1 {
            flags |= COUNT;
            put_varint(out, self.count.into());
        }
        put_varint(out, zigzag(previous.id_ms, self.id_ms));
        if self.id_seq != 0 {
            flags |= SEQ;
            put_varint(out, self.id_seq);
        }
        if self.time_ms != self.id_ms {
            flags |= TIME;
            put_varint(out, zigzag(self.id_ms, self.time_ms));
        }
        out[at] = flags;
    }

    /// Takes one location off the front of `input`.
    pub fn decode(previous: &Location, input: &mut &[u8]) -> Result<Location> {
        let (&flags, rest) = input.split_first().context("location is cut short")?;
        *input = rest;
        ensure!(flags < 32, "unknown location flags {flags:#x}");
        let mut location = *previous;
        let mut base = previous.byte;
        if flags & SERIAL != 0 {
            base = 0;
            location.serial = unzigzag(previous.serial.into(), get_varint(input)?).try_into()?;
        }
        if flags & GENERATION != 0 {
            location.generation = get_varint(input)?.try_into()?;
        }
        location.byte = u32::try_from(u64::from(base) + get_varint(input)?)?;
        location.count = match flags & COUNT {
            0 => 1,
            _ => get_varint(input)?.try_into()?,
        };
        location.id_ms = unzigzag(previous.id_ms, get_varint(input)?);
        location.id_seq = match flags & SEQ {
            0 => 0,
            _ => get_varint(input)?,
        };
        location.time_ms = match flags & TIME {
            0 => location.id_ms,
            _ => unzigzag(location.id_ms, get_varint(input)?),
        };
        Ok(location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut locations = vec![Location::default()];
        for i in 1..200u32 {
            locations.push(Location {
                serial: i / 7,
                generation: (i % 3) as u16,
                byte: i.wrapping_mul(0x9e37_79b9),
                count: i % 5,
                id_ms: 1_700_000_000_000 + u64::from(i % 13),
                id_seq: u64::from(i % 4),
                time_ms: 1_700_000_000_000 + u64::from(i % 11),
            });
        }
        let mut bytes = Vec::new();
        for pair in locations.windows(2) {
            pair[1].encode(&pair[0], &mut bytes);
        }
        let mut input = bytes.as_slice();
        for pair in locations.windows(2) {
            assert_eq!(Location::decode(&pair[0], &mut input).unwrap(), pair[1]);
        }
        assert!(input.is_empty());
    }
}
