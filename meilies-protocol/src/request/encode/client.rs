//! The words of the sub-commands of CLIENT.

use bytes::Bytes;

use super::{named, number, push_flag, push_option, word};
use crate::request::{
    ClientAttribute, ClientRequest, ClientType, Kill, KillFilter, PauseMode, ReplyMode,
    UnblockReason,
};

pub(super) fn words(client: &ClientRequest) -> Vec<Bytes> {
    let on = |on: bool| if on { word("ON") } else { word("OFF") };
    match client {
        ClientRequest::Id => named("CLIENT ID", []),
        ClientRequest::Info => named("CLIENT INFO", []),
        ClientRequest::List { client_type, ids } => {
            let mut words = named("CLIENT LIST", []);
            push_option(&mut words, "TYPE", client_type.map(type_word));
            push_flag(&mut words, "ID", !ids.is_empty());
            words.extend(ids.iter().copied().map(number));
            words
        }
        ClientRequest::SetName(name) => named("CLIENT SETNAME", [name]),
        ClientRequest::GetName => named("CLIENT GETNAME", []),
        ClientRequest::SetInfo { attribute, value } => match attribute {
            ClientAttribute::LibName => named("CLIENT SETINFO LIB-NAME", [value]),
            ClientAttribute::LibVersion => named("CLIENT SETINFO LIB-VER", [value]),
        },
        ClientRequest::NoEvict(evict) => named("CLIENT NO-EVICT", [&on(*evict)]),
        ClientRequest::NoTouch(touch) => named("CLIENT NO-TOUCH", [&on(*touch)]),
        ClientRequest::Reply(ReplyMode::On) => named("CLIENT REPLY ON", []),
        ClientRequest::Reply(ReplyMode::Off) => named("CLIENT REPLY OFF", []),
        ClientRequest::Reply(ReplyMode::Skip) => named("CLIENT REPLY SKIP", []),
        ClientRequest::Kill(Kill::Address(address)) => named("CLIENT KILL", [address]),
        ClientRequest::Kill(Kill::Filter(filter)) => kill_words(filter),
        ClientRequest::Unblock { id, reason } => {
            let reason = match reason {
                UnblockReason::Timeout => "TIMEOUT",
                UnblockReason::Error => "ERROR",
            };
            named("CLIENT UNBLOCK", [&number(*id), &word(reason)])
        }
        ClientRequest::Pause { timeout_ms, mode } => {
            let mode = match mode {
                PauseMode::Write => "WRITE",
                PauseMode::All => "ALL",
            };
            named("CLIENT PAUSE", [&number(*timeout_ms), &word(mode)])
        }
        ClientRequest::Unpause => named("CLIENT UNPAUSE", []),
        ClientRequest::Help => named("CLIENT HELP", []),
    }
}

fn type_word(client_type: ClientType) -> Bytes {
    word(match client_type {
        ClientType::Normal => "normal",
        ClientType::Master => "master",
        ClientType::Replica => "replica",
        ClientType::Pubsub => "pubsub",
    })
}

fn kill_words(filter: &KillFilter) -> Vec<Bytes> {
    let mut words = named("CLIENT KILL", []);
    push_option(&mut words, "ID", filter.id.map(number));
    push_option(&mut words, "TYPE", filter.client_type.map(type_word));
    push_option(&mut words, "ADDR", filter.address.clone());
    push_option(&mut words, "LADDR", filter.local_address.clone());
    push_option(&mut words, "USER", filter.user.clone());
    push_option(&mut words, "MAXAGE", filter.age_s_min.map(number));
    // Always said: without any filter it would be another command.
    let skip_me = if filter.skip_me { "yes" } else { "no" };
    push_option(&mut words, "SKIPME", Some(word(skip_me)));
    words
}
