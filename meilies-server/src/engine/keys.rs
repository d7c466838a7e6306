//! Keys by which a repeated write is known: the caller's own, and those of producers.
//!
//! A key lies in the event that was written with it. The first byte says whose it is: 0, then the
//! bytes that PUBLISH was given; or 1, then as varints how many events of the stream have a
//! producer's key with this one and how long the producer's name is, the name, and the key. So all
//! that is known of keys is found again by reading events.
//!
//! A key of the first kind is known for as long as its event is kept. Those of a producer are
//! known for some time, and only the last ones (XADD with IDMP, as in Redis 8.6); that is little,
//! and is kept as one value.

use std::collections::VecDeque;
use std::hash::Hasher;

use bytes::{Bytes, BytesMut};
use meilies_protocol::EventId;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::varint::{put_varint, take_bytes, take_varint, varint_bytes};

const OWN: u8 = 0;
const OF_PRODUCER: u8 = 1;

/// A key that a write is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteKey {
    /// Known by itself.
    Own(Bytes),
    /// Known among those of a producer.
    OfProducer {
        /// The producer's name.
        producer: Bytes,
        /// The key.
        key: Bytes,
        /// What a stream is set to with its first such key, where nothing was set.
        unless_set: Remembered,
    },
}

/// For how long keys of producers are known, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// For so many seconds.
    pub duration_s: u64,
    /// So many of each producer.
    pub keys_max: u64,
}

impl WriteKey {
    /// About how many bytes it takes in its event, never fewer than it does.
    pub fn bytes(&self) -> usize {
        let strings = match self {
            WriteKey::Own(key) => key.len(),
            WriteKey::OfProducer { producer, key, .. } => producer.len() + key.len(),
        };
        strings + 32
    }

    /// As it lies in the event, which is the `added`th of its stream with a producer's key.
    pub(crate) fn encode(&self, added: u64) -> Box<[u8]> {
        let mut out = BytesMut::with_capacity(self.bytes());
        match self {
            WriteKey::Own(key) => {
                out.extend_from_slice(&[OWN]);
                out.extend_from_slice(key);
            }
            WriteKey::OfProducer { producer, key, .. } => {
                out.extend_from_slice(&[OF_PRODUCER]);
                put_varint(&mut out, added);
                put_varint(&mut out, producer.len() as u64);
                out.extend_from_slice(producer);
                out.extend_from_slice(key);
            }
        }
        out.as_ref().into()
    }
}

/// A key as it lies in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoredKey<'a> {
    /// Known by itself.
    Own(&'a [u8]),
    /// Known among those of a producer.
    OfProducer {
        /// How many events of the stream have such a key, with this one.
        added: u64,
        producer: &'a [u8],
        key: &'a [u8],
    },
}

impl<'a> StoredKey<'a> {
    /// Reads what [`WriteKey::encode`] wrote.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<StoredKey<'a>> {
        let (kind, mut rest) = bytes.split_first()?;
        match *kind {
            OWN => Some(StoredKey::Own(rest)),
            OF_PRODUCER => Some(StoredKey::OfProducer {
                added: take_varint(&mut rest)?,
                producer: take_bytes(&mut rest)?,
                key: rest,
            }),
            _ => None,
        }
    }
}

/// What stands for a key, or the name of a producer: SipHash-2-4 with 128 bits and the key 0.
pub fn hash(bytes: &[u8]) -> u128 {
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    hasher.finish128().as_u128()
}

/// What is set and counted of the keys of producers in one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Producing {
    /// For how many seconds a key is known, if that was set.
    pub duration_s: Option<u64>,
    /// How many keys of each producer are known, if that was set.
    pub keys_max: Option<u64>,
    /// Keys of events with lower numbers are forgotten.
    pub from: u64,
    /// How many events were ever added with such a key.
    pub added: u64,
    /// How many repetitions were found.
    pub repeated: u64,
}

impl Producing {
    /// What is set, else what is given.
    pub fn remembered(&self, unless_set: Remembered) -> Remembered {
        Remembered {
            duration_s: self.duration_s.unwrap_or(unless_set.duration_s),
            keys_max: self.keys_max.unwrap_or(unless_set.keys_max),
        }
    }

    /// Which keys are known now, ms since 1970 UTC.
    pub fn known(&self, unless_set: Remembered, now: u64) -> Known {
        let Remembered {
            duration_s,
            keys_max,
        } = self.remembered(unless_set);
        Known {
            from: self.from,
            after: now.saturating_sub(duration_s * 1000),
            keys_max,
        }
    }

    /// Counts an event with such a key.
    pub(crate) fn count(&mut self, unless_set: Remembered) {
        let Remembered {
            duration_s,
            keys_max,
        } = self.remembered(unless_set);
        self.duration_s = Some(duration_s);
        self.keys_max = Some(keys_max);
        self.added += 1;
    }

    /// As it is written, where 0 stands for what was not set.
    pub(crate) fn to_values(self) -> [u64; 5] {
        let set = |value: Option<u64>| value.unwrap_or(0);
        let (duration_s, keys_max) = (set(self.duration_s), set(self.keys_max));
        [duration_s, keys_max, self.from, self.added, self.repeated]
    }

    /// Undoes [`Producing::to_values`].
    pub(crate) fn from_values(values: [u64; 5]) -> Producing {
        let set = |value: u64| (value > 0).then_some(value);
        let [duration_s, keys_max, from, added, repeated] = values;
        Producing {
            duration_s: set(duration_s),
            keys_max: set(keys_max),
            from,
            added,
            repeated,
        }
    }
}

/// Which keys of producers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Those of events with this number and higher ones.
    pub from: u64,
    /// Those of events that were recorded after this time, ms since 1970 UTC.
    pub after: u64,
    /// So many of each producer.
    pub keys_max: u64,
}

/// The last keys of one producer in one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producer {
    /// The oldest first: numbers and times ascend.
    keys: VecDeque<ProducerKey>,
}

/// A key of a producer, and the event that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerKey {
    hash: u128,
    number: u64,
    id: EventId,
    recorded_at: u64,
}

impl Producer {
    /// Adds a key behind the others and forgets the oldest, so that at most `keys_max` stay. One
    /// that is there already changes nothing: a log may be read again. Returns what is forgotten,
    /// the oldest first.
    pub(crate) fn add(
        &mut self,
        key: &[u8],
        event: (u64, EventId, u64),
        keys_max: u64,
    ) -> Vec<ProducerKey> {
        let (number, id, recorded_at) = event;
        let mut forgotten = Vec::new();
        if self.keys.back().is_some_and(|last| last.number >= number) {
            return forgotten;
        }
        self.keys.push_back(ProducerKey {
            hash: hash(key),
            number,
            id,
            recorded_at,
        });
        while self.keys.len() as u64 > keys_max {
            forgotten.extend(self.keys.pop_front());
        }
        forgotten
    }

    /// Takes the key back that was added last, with what was forgotten for it.
    pub(crate) fn take_back(&mut self, forgotten: Vec<ProducerKey>) {
        self.keys.pop_back();
        for key in forgotten.into_iter().rev() {
            self.keys.push_front(key);
        }
    }

    /// The event that has a key.
    pub fn find(&self, key: &[u8], known: Known) -> Option<EventId> {
        let hash = hash(key);
        let mut keys = self.known(known).rev();
        keys.find(|key| key.hash == hash).map(|key| key.id)
    }

    /// How many keys are known.
    pub fn count(&self, known: Known) -> u64 {
        self.known(known).count() as u64
    }

    /// How many are kept, known or not.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// When the last of them was added, ms since 1970 UTC.
    pub(crate) fn last_at(&self) -> u64 {
        self.keys.back().map_or(0, |last| last.recorded_at)
    }

    fn known(&self, known: Known) -> impl DoubleEndedIterator<Item = &ProducerKey> {
        let kept = usize::try_from(known.keys_max).unwrap_or(usize::MAX);
        let keys = self.keys.iter().skip(self.keys.len().saturating_sub(kept));
        keys.filter(move |key| key.number >= known.from && key.recorded_at > known.after)
    }

    /// As it lies in the index: for each key its hash, then as varints how much its number, the ms
    /// of its id and its time are above those of the one before, and the seq of its id.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = BytesMut::with_capacity(self.keys.len() * (20 + varint_bytes(u64::MAX)));
        let (mut number, mut ms, mut at) = (0_u64, 0_u64, 0_u64);
        for key in &self.keys {
            out.extend_from_slice(&key.hash.to_be_bytes());
            put_varint(&mut out, key.number - number);
            put_varint(&mut out, key.id.ms.wrapping_sub(ms));
            put_varint(&mut out, key.id.seq);
            put_varint(&mut out, key.recorded_at - at);
            (number, ms, at) = (key.number, key.id.ms, key.recorded_at);
        }
        out.to_vec()
    }

    /// Reads what [`Producer::encode`] wrote.
    pub(crate) fn decode(mut from: &[u8]) -> Option<Producer> {
        let mut producer = Producer::default();
        let (mut number, mut ms, mut at) = (0_u64, 0_u64, 0_u64);
        while !from.is_empty() {
            let (hash, rest) = from.split_first_chunk::<16>()?;
            from = rest;
            number = number.checked_add(take_varint(&mut from)?)?;
            ms = ms.wrapping_add(take_varint(&mut from)?);
            let seq = take_varint(&mut from)?;
            at = at.checked_add(take_varint(&mut from)?)?;
            producer.keys.push_back(ProducerKey {
                hash: u128::from_be_bytes(*hash),
                number,
                id: EventId { ms, seq },
                recorded_at: at,
            });
        }
        Some(producer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Known = Known {
        from: 0,
        after: 0,
        keys_max: u64::MAX,
    };

    #[test]
    fn keys_come_back() {
        let own = WriteKey::Own(Bytes::from_static(b"k"));
        let stored = own.encode(0);
        assert_eq!(StoredKey::decode(&stored), Some(StoredKey::Own(b"k")));
        let of_producer = WriteKey::OfProducer {
            producer: Bytes::from_static(b"p"),
            key: Bytes::from_static(b"k"),
            unless_set: Remembered {
                duration_s: 1,
                keys_max: 1,
            },
        };
        let stored = of_producer.encode(700);
        let expected = StoredKey::OfProducer {
            added: 700,
            producer: b"p",
            key: b"k",
        };
        assert_eq!(StoredKey::decode(&stored), Some(expected));
        assert_eq!(StoredKey::decode(&[2, 1]), None);
        assert_eq!(StoredKey::decode(&[]), None);
    }

    #[test]
    fn the_last_keys_are_known_for_some_time() {
        let mut producer = Producer::default();
        for (number, key) in [b"a", b"b", b"c", b"d"].into_iter().enumerate() {
            let number = number as u64 * 2;
            let event = (number, EventId::new(number + 1, 0), 1000 + number);
            let before = producer.clone();
            let forgotten = producer.add(key, event, 3);
            assert!(producer.add(key, event, 3).is_empty());
            producer.take_back(forgotten);
            assert_eq!(producer, before);
            producer.add(key, event, 3);
        }
        let found = |key: &[u8], known| producer.find(key, known);
        assert_eq!(found(b"a", ALL), None, "there were three others");
        assert_eq!(found(b"b", ALL), Some(EventId::new(3, 0)));
        assert_eq!(found(b"d", ALL), Some(EventId::new(7, 0)));
        let two = Known { keys_max: 2, ..ALL };
        assert_eq!(found(b"b", two), None);
        assert_eq!(producer.count(two), 2);
        let later = Known { after: 1002, ..ALL };
        assert_eq!(found(b"b", later), None);
        assert_eq!(found(b"c", later), Some(EventId::new(5, 0)));
        assert_eq!(producer.count(Known { from: 5, ..ALL }), 1);
    }

    proptest! {
        #[test]
        fn producers_come_back(steps in proptest::collection::vec(
            (any::<u64>(), 1_u64..9, any::<u64>(), any::<u64>(), 0_u64..50), 0..40)) {
            let mut producer = Producer::default();
            let (mut number, mut at) = (0, 0);
            for (key, step, ms, seq, later) in steps {
                number += step;
                at += later;
                producer.add(&key.to_be_bytes(), (number, EventId { ms, seq }, at), 20);
            }
            prop_assert_eq!(Producer::decode(&producer.encode()), Some(producer));
        }

        #[test]
        fn malformed_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _producer = Producer::decode(&bytes);
            let _key = StoredKey::decode(&bytes);
        }
    }
}
