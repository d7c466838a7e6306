//! The words of the requests about consumer groups.

use bytes::Bytes;

use super::stream::{bound, push_ids, push_references, push_streams};
use super::{id, named, number, push_flag, push_option, word};
use crate::request::{
    Delivered, GroupFrom, GroupStart, NackMode, PendingFilter, Request, XAutoClaim, XClaim, XGroup,
    XNack, XReadGroup,
};

/// The words of a request about a group; nothing if it is another one.
pub(super) fn words(request: &Request) -> Option<Vec<Bytes>> {
    Some(match request {
        Request::XGroup(group) => group_words(group),
        Request::XReadGroup(read) => read_words(read),
        Request::XAck { key, group, ids } => {
            let mut words = named("XACK", [&key.to_bytes(), group]);
            words.extend(ids.iter().copied().map(id));
            words
        }
        Request::XAckDel {
            key,
            group,
            references,
            ids,
        } => {
            let mut words = named("XACKDEL", [&key.to_bytes(), group]);
            push_references(&mut words, *references);
            push_ids(&mut words, ids);
            words
        }
        Request::XNack(nack) => nack_words(nack),
        Request::XPending { key, group, filter } => {
            let mut words = named("XPENDING", [&key.to_bytes(), group]);
            if let Some(filter) = filter {
                push_filter(&mut words, filter);
            }
            words
        }
        Request::XClaim(claim) => claim_words(claim),
        Request::XAutoClaim(claim) => auto_claim_words(claim),
        _ => return None,
    })
}

fn group_words(group: &XGroup) -> Vec<Bytes> {
    match group {
        XGroup::Create {
            key,
            group,
            start,
            make_stream,
            entries_read,
        } => {
            let start = start_word(*start);
            let mut words = named("XGROUP CREATE", [&key.to_bytes(), group, &start]);
            push_flag(&mut words, "MKSTREAM", *make_stream);
            push_option(&mut words, "ENTRIESREAD", entries_read.map(number));
            words
        }
        XGroup::SetId {
            key,
            group,
            start,
            entries_read,
        } => {
            let start = start_word(*start);
            let mut words = named("XGROUP SETID", [&key.to_bytes(), group, &start]);
            push_option(&mut words, "ENTRIESREAD", entries_read.map(number));
            words
        }
        XGroup::Destroy { key, group } => named("XGROUP DESTROY", [&key.to_bytes(), group]),
        XGroup::CreateConsumer {
            key,
            group,
            consumer,
        } => named("XGROUP CREATECONSUMER", [&key.to_bytes(), group, consumer]),
        XGroup::DelConsumer {
            key,
            group,
            consumer,
        } => named("XGROUP DELCONSUMER", [&key.to_bytes(), group, consumer]),
        XGroup::Help => named("XGROUP HELP", []),
    }
}

fn start_word(start: GroupStart) -> Bytes {
    match start {
        GroupStart::Id(start) => id(start),
        GroupStart::End => word("$"),
    }
}

fn read_words(read: &XReadGroup) -> Vec<Bytes> {
    let mut words = named("XREADGROUP GROUP", [&read.group, &read.consumer]);
    push_option(&mut words, "COUNT", read.count.map(number));
    push_option(&mut words, "BLOCK", read.block_ms.map(number));
    push_option(&mut words, "CLAIM", read.claim_ms.map(number));
    push_option(&mut words, "MAXCOUNT", read.max_count.map(number));
    push_option(&mut words, "MAXSIZE", read.max_size.map(number));
    push_flag(&mut words, "NOACK", read.no_ack);
    push_streams(&mut words, &read.streams, |from| match from {
        GroupFrom::New => word(">"),
        GroupFrom::History(after) => id(after),
    });
    words
}

fn nack_words(nack: &XNack) -> Vec<Bytes> {
    let mode = word(match nack.mode {
        NackMode::Silent => "SILENT",
        NackMode::Fail => "FAIL",
        NackMode::Fatal => "FATAL",
    });
    let mut words = named("XNACK", [&nack.key.to_bytes(), &nack.group, &mode]);
    push_ids(&mut words, &nack.ids);
    push_option(&mut words, "RETRYCOUNT", nack.deliveries.map(number));
    push_flag(&mut words, "FORCE", nack.force);
    words
}

fn push_filter(words: &mut Vec<Bytes>, filter: &PendingFilter) {
    let idle = Some(filter.idle_ms).filter(|ms| *ms > 0);
    push_option(words, "IDLE", idle.map(number));
    words.extend([bound(filter.from), bound(filter.to), number(filter.count)]);
    words.extend(filter.consumer.clone());
}

fn claim_words(claim: &XClaim) -> Vec<Bytes> {
    let (key, idle) = (claim.key.to_bytes(), number(claim.min_idle_ms));
    let mut words = named("XCLAIM", [&key, &claim.group, &claim.consumer, &idle]);
    words.extend(claim.ids.iter().copied().map(id));
    match claim.delivered {
        None => {}
        Some(Delivered::AgoMs(ms)) => push_option(&mut words, "IDLE", Some(number(ms))),
        Some(Delivered::AtMs(ms)) => push_option(&mut words, "TIME", Some(number(ms))),
    }
    push_option(&mut words, "RETRYCOUNT", claim.deliveries.map(number));
    push_flag(&mut words, "FORCE", claim.force);
    push_flag(&mut words, "JUSTID", claim.just_ids);
    push_option(&mut words, "LASTID", claim.last_id.map(id));
    words
}

fn auto_claim_words(claim: &XAutoClaim) -> Vec<Bytes> {
    let (key, idle) = (claim.key.to_bytes(), number(claim.min_idle_ms));
    let start = id(claim.start);
    let who = [&key, &claim.group, &claim.consumer, &idle, &start];
    let mut words = named("XAUTOCLAIM", who);
    push_option(&mut words, "COUNT", Some(number(claim.count)));
    push_flag(&mut words, "JUSTID", claim.just_ids);
    words
}
