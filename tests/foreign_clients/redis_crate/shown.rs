//! The crate's replies as short texts, so that a check is one line: `orders: 1-0{n=1} 2-0{n=2}`.

use redis::streams::{
    StreamAutoClaimReply, StreamClaimReply, StreamId, StreamPendingCountReply, StreamPendingReply,
    StreamRangeReply, StreamReadReply,
};

/// A read: streams one per line.
pub(crate) fn read(reply: &StreamReadReply) -> String {
    let lines = reply
        .keys
        .iter()
        .map(|key| format!("{}: {}", key.key, entries(&key.ids)));
    lines.collect::<Vec<String>>().join("\n")
}

/// A range.
pub(crate) fn range(reply: &StreamRangeReply) -> String {
    entries(&reply.ids)
}

/// Claimed entries.
pub(crate) fn claim(reply: &StreamClaimReply) -> String {
    entries(&reply.ids)
}

/// Cursor, claimed entries, ids of entries that are gone.
pub(crate) fn auto_claim(reply: &StreamAutoClaimReply) -> String {
    format!(
        "{} | {} | {}",
        reply.next_stream_id,
        entries(&reply.claimed),
        reply.deleted_ids.join(" ")
    )
}

/// Count, smallest and greatest id, and consumers with how many each has.
pub(crate) fn pending(reply: &StreamPendingReply) -> String {
    match reply {
        StreamPendingReply::Empty => "nothing".to_owned(),
        StreamPendingReply::Data(data) => {
            let consumers = data
                .consumers
                .iter()
                .map(|consumer| format!("{}={}", consumer.name, consumer.pending));
            let consumers = consumers.collect::<Vec<String>>().join(" ");
            format!(
                "{} {} {} {consumers}",
                data.count, data.start_id, data.end_id
            )
        }
        _ => panic!("the crate knows two kinds of replies"),
    }
}

/// Id, consumer and deliveries of each; idle times are not told.
pub(crate) fn details(reply: &StreamPendingCountReply) -> String {
    let details = reply
        .ids
        .iter()
        .map(|one| format!("{} {} {}", one.id, one.consumer, one.times_delivered));
    details.collect::<Vec<String>>().join(", ")
}

/// A command, as far as it can be read.
pub(crate) fn command(command: &redis::Cmd) -> String {
    let packed = command.get_packed_command();
    String::from_utf8_lossy(&packed)
        .chars()
        .take(200)
        .collect::<String>()
        .replace("\r\n", " ")
}

fn entries(entries: &[StreamId]) -> String {
    entries.iter().map(entry).collect::<Vec<String>>().join(" ")
}

pub(crate) fn entry(entry: &StreamId) -> String {
    let mut fields: Vec<String> = entry
        .map
        .iter()
        .map(|(name, value)| match value {
            redis::Value::BulkString(bytes) => {
                format!("{name}={}", String::from_utf8_lossy(bytes))
            }
            other => panic!("a value is a bulk string, not {other:?}"),
        })
        .collect();
    fields.sort();
    format!("{}{{{}}}", entry.id, fields.join(","))
}
