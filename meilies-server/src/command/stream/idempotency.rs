//! `XADD … IDMP|IDMPAUTO` and `XCFGSET`: a producer's repetitions are known by their keys, as in
//! Redis 8.6.

use bytes::{Bytes, BytesMut};
use meilies_protocol::{EventId, Idempotency, StreamName, writer};

use super::NO_SUCH_KEY;
use crate::command::data::Scope;
use crate::command::refusal;
use crate::engine::{
    Producing, Refusal, Remembered, StoreError, StreamSummary, Transaction, Verdict, View,
    WriteKey, hash,
};

/// The key that an XADD's event gets.
pub(super) fn write_key(idempotency: &Idempotency, fields: &[Bytes], scope: Scope) -> WriteKey {
    let (producer, key) = match idempotency {
        Idempotency::Given { producer, key } => (producer.clone(), key.clone()),
        Idempotency::Auto { producer } => (producer.clone(), key_of(fields)),
    };
    WriteKey::OfProducer {
        producer,
        key,
        unless_set: scope.remembered,
    }
}

/// The same for the same pairs of names and values, in whatever order.
fn key_of(fields: &[Bytes]) -> Bytes {
    let mut hashes: Vec<[u8; 32]> = fields
        .chunks_exact(2)
        .map(|pair| {
            let mut both = [0; 32];
            both[..16].copy_from_slice(&hash(&pair[0]).to_be_bytes());
            both[16..].copy_from_slice(&hash(&pair[1]).to_be_bytes());
            both
        })
        .collect();
    hashes.sort_unstable();
    Bytes::copy_from_slice(&hash(hashes.as_flattened()).to_be_bytes())
}

/// The event of which an XADD with this key is a repetition. That is counted.
pub(super) fn repeated(
    transaction: &mut dyn Transaction,
    name: &StreamName,
    key: &WriteKey,
) -> Result<Result<Option<EventId>, Refusal>, StoreError> {
    let WriteKey::OfProducer {
        producer,
        key,
        unless_set,
    } = key
    else {
        return Ok(Ok(None));
    };
    let Some(stream) = transaction.stream(name)? else {
        return Ok(Ok(None));
    };
    let known = stream.producing.known(*unless_set, transaction.now_ms());
    let Some(id) = transaction.producer(&stream, producer)?.find(key, known) else {
        return Ok(Ok(None));
    };
    let producing = Producing {
        repeated: stream.producing.repeated + 1,
        ..stream.producing
    };
    let counted = transaction.set_producing(name, producing)?;
    Ok(counted.map(|()| Some(id)))
}

/// `XCFGSET key [IDMP-DURATION seconds] [IDMP-MAXSIZE n]`: what is changed lets all keys be
/// forgotten.
pub(in crate::command) fn configure(
    transaction: &mut dyn Transaction,
    name: &StreamName,
    (duration_s, keys_max): (Option<u64>, Option<u64>),
    scope: Scope,
    out: &mut BytesMut,
) -> Result<Verdict, StoreError> {
    let Some(stream) = transaction.stream(name)? else {
        writer::error(out, NO_SUCH_KEY);
        return Ok(Verdict::Commit);
    };
    let before = stream.producing;
    let producing = Producing {
        duration_s: duration_s.or(before.duration_s),
        keys_max: keys_max.or(before.keys_max),
        ..before
    };
    let is_same = producing.remembered(scope.remembered) == before.remembered(scope.remembered);
    let producing = Producing {
        from: if is_same {
            before.from
        } else {
            stream.next_number()
        },
        ..producing
    };
    match transaction.set_producing(name, producing)? {
        Ok(()) => {
            transaction.count(1);
            writer::simple(out, "OK");
        }
        Err(refused) => writer::error(out, &refusal(&refused)),
    }
    Ok(Verdict::Commit)
}

/// What XINFO STREAM says: so many fields.
pub(super) const INFO_FIELDS: usize = 6;

/// Writes what XINFO STREAM says of producers.
pub(super) fn write_info(
    view: &dyn View,
    stream: &StreamSummary,
    unless_set: Remembered,
    out: &mut BytesMut,
) -> Result<(), StoreError> {
    let remembered = stream.producing.remembered(unless_set);
    let known = stream.producing.known(unless_set, view.now_ms());
    let (mut producers, mut keys) = (0, 0);
    // A stream that never had such a key has no producers to be looked up.
    if stream.producing.added > 0 {
        for producer in view.producers(stream)? {
            let count = producer.count(known);
            producers += u64::from(count > 0);
            keys += count;
        }
    }
    for (name, value) in [
        ("idmp-duration", remembered.duration_s),
        ("idmp-maxsize", remembered.keys_max),
        ("pids-tracked", producers),
        ("iids-tracked", keys),
        ("iids-added", stream.producing.added),
        ("iids-duplicates", stream.producing.repeated),
    ] {
        writer::bulk(out, name.as_bytes());
        writer::number(out, value);
    }
    Ok(())
}
