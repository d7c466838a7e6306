//! The words of the requests about the server.

use bytes::Bytes;

use super::{named, number, push_flag, push_option, word};
use crate::request::{
    BackgroundRequest, CommandFilter, CommandRequest, ConfigRequest, LatencyRequest, MemoryRequest,
    ModuleRequest, ObjectRequest, Request, Save, Shutdown, SlowLogRequest,
};

/// The words of a request about the server; nothing if it is another one.
pub(super) fn words(request: &Request) -> Option<Vec<Bytes>> {
    Some(match request {
        Request::Command(command) => command_words(command),
        Request::Config(config) => config_words(config),
        Request::Info { sections } => named("INFO", sections),
        Request::Memory(memory) => memory_words(memory),
        Request::Object(object) => object_words(object),
        Request::SlowLog(log) => slow_log_words(log),
        Request::Latency(latency) => latency_words(latency),
        Request::Module(ModuleRequest::List) => named("MODULE LIST", []),
        Request::Module(ModuleRequest::Help) => named("MODULE HELP", []),
        Request::Monitor => named("MONITOR", []),
        Request::Wait {
            replicas,
            timeout_ms,
        } => named("WAIT", [&number(*replicas), &number(*timeout_ms)]),
        Request::WaitAof {
            local,
            replicas,
            timeout_ms,
        } => {
            let local = number(u64::from(*local));
            named(
                "WAITAOF",
                [&local, &number(*replicas), &number(*timeout_ms)],
            )
        }
        Request::Time => named("TIME", []),
        Request::Save => named("SAVE", []),
        Request::Background(BackgroundRequest::Save { schedule }) => {
            let mut words = named("BGSAVE", []);
            push_flag(&mut words, "SCHEDULE", *schedule);
            words
        }
        Request::Background(BackgroundRequest::Rewrite) => named("BGREWRITEAOF", []),
        Request::LastSave => named("LASTSAVE", []),
        Request::Shutdown(shutdown) => shutdown_words(*shutdown),
        _ => return None,
    })
}

fn command_words(command: &CommandRequest) -> Vec<Bytes> {
    match command {
        CommandRequest::All => named("COMMAND", []),
        CommandRequest::Count => named("COMMAND COUNT", []),
        CommandRequest::Docs { names } => named("COMMAND DOCS", names),
        CommandRequest::Info { names } => named("COMMAND INFO", names),
        CommandRequest::List { filter: None } => named("COMMAND LIST", []),
        CommandRequest::List {
            filter: Some(filter),
        } => match filter {
            CommandFilter::Pattern(value) => named("COMMAND LIST FILTERBY PATTERN", [value]),
            CommandFilter::Module(value) => named("COMMAND LIST FILTERBY MODULE", [value]),
            CommandFilter::AclCategory(value) => named("COMMAND LIST FILTERBY ACLCAT", [value]),
        },
        CommandRequest::GetKeys { arguments } => named("COMMAND GETKEYS", arguments),
        CommandRequest::GetKeysAndFlags { arguments } => {
            named("COMMAND GETKEYSANDFLAGS", arguments)
        }
        CommandRequest::Help => named("COMMAND HELP", []),
    }
}

fn config_words(config: &ConfigRequest) -> Vec<Bytes> {
    match config {
        ConfigRequest::Get { patterns } => named("CONFIG GET", patterns),
        ConfigRequest::Set { settings } => named(
            "CONFIG SET",
            settings.iter().flat_map(|(name, value)| [name, value]),
        ),
        ConfigRequest::ResetStat => named("CONFIG RESETSTAT", []),
        ConfigRequest::Rewrite => named("CONFIG REWRITE", []),
        ConfigRequest::Help => named("CONFIG HELP", []),
    }
}

fn shutdown_words(shutdown: Shutdown) -> Vec<Bytes> {
    let mut words = named("SHUTDOWN", []);
    push_flag(&mut words, "SAVE", shutdown.save == Some(Save::Save));
    push_flag(&mut words, "NOSAVE", shutdown.save == Some(Save::NoSave));
    push_flag(&mut words, "NOW", shutdown.now);
    push_flag(&mut words, "FORCE", shutdown.force);
    push_flag(&mut words, "ABORT", shutdown.abort);
    words
}

fn memory_words(memory: &MemoryRequest) -> Vec<Bytes> {
    match memory {
        MemoryRequest::Usage { key, samples } => {
            let mut words = named("MEMORY USAGE", [key]);
            push_option(&mut words, "SAMPLES", samples.map(number));
            words
        }
        MemoryRequest::Help => named("MEMORY HELP", []),
    }
}

fn object_words(object: &ObjectRequest) -> Vec<Bytes> {
    match object {
        ObjectRequest::Encoding { key } => named("OBJECT ENCODING", [key]),
        ObjectRequest::Frequency { key } => named("OBJECT FREQ", [key]),
        ObjectRequest::IdleTime { key } => named("OBJECT IDLETIME", [key]),
        ObjectRequest::ReferenceCount { key } => named("OBJECT REFCOUNT", [key]),
        ObjectRequest::Help => named("OBJECT HELP", []),
    }
}

fn slow_log_words(log: &SlowLogRequest) -> Vec<Bytes> {
    match log {
        SlowLogRequest::Get { count: None } => named("SLOWLOG GET", [&word("-1")]),
        SlowLogRequest::Get { count: Some(count) } => named("SLOWLOG GET", [&number(*count)]),
        SlowLogRequest::Length => named("SLOWLOG LEN", []),
        SlowLogRequest::Reset => named("SLOWLOG RESET", []),
        SlowLogRequest::Help => named("SLOWLOG HELP", []),
    }
}

fn latency_words(latency: &LatencyRequest) -> Vec<Bytes> {
    match latency {
        LatencyRequest::Doctor => named("LATENCY DOCTOR", []),
        LatencyRequest::Histogram { commands } => named("LATENCY HISTOGRAM", commands),
        LatencyRequest::History { event } => named("LATENCY HISTORY", [event]),
        LatencyRequest::Latest => named("LATENCY LATEST", []),
        LatencyRequest::Reset { events } => named("LATENCY RESET", events),
        LatencyRequest::Help => named("LATENCY HELP", []),
    }
}
