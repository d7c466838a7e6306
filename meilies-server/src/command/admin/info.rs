//! The text of INFO: Redis' sections with the fields that clients read, and one of our own. Every
//! value is computed or follows from what this server is; what is not known is left out.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::REDIS_VERSION;
use super::save::last_save_at;
use crate::context::Context;
use crate::engine::Statistics;
use crate::metrics::process;

/// One section.
struct Section {
    /// How it is asked for; its title is the same but for letter case.
    title: &'static str,
    /// Whether it is given where nothing is asked for.
    is_default: bool,
    write: fn(&Facts, &mut Lines),
}

impl Section {
    const fn new(title: &'static str, write: fn(&Facts, &mut Lines)) -> Section {
        Section {
            title,
            is_default: true,
            write,
        }
    }

    const fn on_request(self) -> Section {
        Section {
            is_default: false,
            ..self
        }
    }
}

/// In the order in which they are given.
const SECTIONS: &[Section] = &[
    Section::new("Server", server),
    Section::new("Clients", clients),
    Section::new("Memory", memory),
    Section::new("Persistence", persistence),
    Section::new("Stats", stats),
    Section::new("Replication", replication),
    Section::new("CPU", cpu),
    Section::new("Commandstats", commands).on_request(),
    Section::new("Errorstats", errors),
    Section::new("Latencystats", latencies).on_request(),
    Section::new("Cluster", cluster),
    Section::new("Keyspace", keyspace),
    Section::new("MeiliES", meilies),
];

/// What the sections are written from, gathered once so that they agree.
struct Facts<'a> {
    context: &'a Context,
    store: Statistics,
    now: SystemTime,
    subscribers: usize,
    /// Clients whose command waits: for events, or for the end of a CLIENT PAUSE.
    blocked: usize,
    client_bytes: usize,
}

/// The sections asked for, in the table's order, each once. None asked for means those that are
/// given by default, and so does `default`; `all` and `everything` mean all. An unknown one has no
/// text, as in Redis.
pub(super) fn render(context: &Context, asked: &[Bytes]) -> String {
    let is_asked = |section: &Section| {
        let is_named = |name: &str| {
            let name = name.as_bytes();
            asked.iter().any(|asked| name.eq_ignore_ascii_case(asked))
        };
        let by_default = asked.is_empty() || is_named("default");
        (section.is_default && by_default)
            || [section.title, "all", "everything"]
                .into_iter()
                .any(is_named)
    };
    let facts = Facts::gather(context);
    let mut lines = Lines(String::with_capacity(4096));
    for section in SECTIONS.iter().filter(|section| is_asked(section)) {
        if !lines.0.is_empty() {
            lines.0.push_str("\r\n");
        }
        lines.title(section.title);
        (section.write)(&facts, &mut lines);
    }
    lines.0
}

impl<'a> Facts<'a> {
    fn gather(context: &'a Context) -> Self {
        let mut facts = Facts {
            context,
            store: context.event_log.engine().statistics(),
            now: SystemTime::now(),
            subscribers: 0,
            blocked: context.event_log.blocked(),
            client_bytes: 0,
        };
        for client in context.clients.all() {
            facts.subscribers += usize::from(client.subscriptions() > 0);
            facts.blocked += usize::from(client.is_held());
            facts.client_bytes += client.buffers().input + client.output_bytes();
        }
        facts
    }
}

/// The text, line by line.
struct Lines(String);

impl Lines {
    fn title(&mut self, title: &str) {
        self.0.push_str("# ");
        self.0.push_str(title);
        self.0.push_str("\r\n");
    }

    /// A value with line breaks would look like several lines: they become spaces.
    fn field(&mut self, name: &str, value: impl Display) {
        let begin = self.0.len();
        // Writing to a string does not fail.
        let _written = write!(self.0, "{name}:{value}");
        if self.0[begin..].contains(['\r', '\n']) {
            let line = self.0[begin..].replace(['\r', '\n'], " ");
            self.0.replace_range(begin.., &line);
        }
        self.0.push_str("\r\n");
    }

    fn counter(&mut self, name: &str, counter: &AtomicU64) {
        self.field(name, counter.load(Ordering::Relaxed));
    }

    /// A number of bytes, and the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }
}

fn server(facts: &Facts, lines: &mut Lines) {
    let context = facts.context;
    let since_1970 = facts
        .now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let uptime = context.uptime().as_secs();
    lines.field("redis_version", REDIS_VERSION);
    lines.field("meilies_version", env!("CARGO_PKG_VERSION"));
    lines.field("redis_mode", "standalone");
    lines.field("os", process::system_name());
    lines.field("arch_bits", usize::BITS);
    lines.field("process_id", std::process::id());
    lines.field("run_id", &context.run_id);
    if let Some(address) = context.addresses.first() {
        lines.field("tcp_port", address.port());
    }
    lines.field("server_time_usec", since_1970.as_micros());
    lines.field("uptime_in_seconds", uptime);
    lines.field("uptime_in_days", uptime / (24 * 60 * 60));
    let file = context.settings.started_with().file.as_ref();
    lines.field(
        "config_file",
        file.map_or(String::new(), |file| file.display().to_string()),
    );
}

fn clients(facts: &Facts, lines: &mut Lines) {
    lines.field("connected_clients", facts.context.clients.count());
    lines.field("maxclients", facts.context.settings.max_clients());
    lines.field("blocked_clients", facts.blocked);
    lines.field("pubsub_clients", facts.subscribers);
}

fn memory(facts: &Facts, lines: &mut Lines) {
    if let Some(memory) = process::memory() {
        lines.bytes("used_memory", memory.anonymous);
        lines.bytes("used_memory_rss", memory.resident);
        lines.bytes("used_memory_peak", memory.resident_peak);
    }
    if let Some(bytes) = process::system_memory() {
        lines.bytes("total_system_memory", bytes);
    }
    lines.field("mem_clients_normal", facts.client_bytes);
    // There is no bound to evict for, and nothing is evicted.
    lines.bytes("maxmemory", 0);
    lines.field("maxmemory_policy", "noeviction");
}

fn persistence(facts: &Facts, lines: &mut Lines) {
    // Clients are accepted once the store is open.
    lines.field("loading", 0);
    lines.field("rdb_changes_since_last_save", facts.store.unsaved_changes);
    let is_saving = facts.context.saving.load(Ordering::Acquire);
    lines.field("rdb_bgsave_in_progress", u8::from(is_saving));
    lines.field("rdb_last_save_time", last_save_at(facts.context));
    let has_failed = facts.context.save_failed.load(Ordering::Acquire);
    lines.field("rdb_last_bgsave_status", ok_or_err(has_failed));
    // The log is always written.
    lines.field("aof_enabled", 1);
    // It is never rewritten.
    lines.field("aof_rewrite_in_progress", 0);
    lines.field("aof_rewrite_scheduled", 0);
    let has_failed = facts.store.failure.is_some();
    lines.field("aof_last_write_status", ok_or_err(has_failed));
    lines.field("aof_current_size", facts.store.log_bytes);
}

fn ok_or_err(has_failed: bool) -> &'static str {
    if has_failed { "err" } else { "ok" }
}

fn stats(facts: &Facts, lines: &mut Lines) {
    let metrics = &facts.context.metrics;
    lines.counter("total_connections_received", &metrics.connections_total);
    lines.counter("total_commands_processed", &metrics.commands_total);
    lines.counter("total_net_input_bytes", &metrics.input_bytes_total);
    lines.counter("total_net_output_bytes", &metrics.output_bytes_total);
    lines.counter("rejected_connections", &metrics.connections_rejected);
    lines.counter("total_error_replies", &metrics.error_replies_total);
}

fn replication(_facts: &Facts, lines: &mut Lines) {
    // A server stands alone.
    lines.field("role", "master");
    lines.field("connected_slaves", 0);
}

fn cpu(_facts: &Facts, lines: &mut Lines) {
    if let Some(time) = process::processor_time() {
        lines.field("used_cpu_sys", in_seconds(time.system));
        lines.field("used_cpu_user", in_seconds(time.user));
    }
}

fn in_seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

fn errors(facts: &Facts, lines: &mut Lines) {
    for (code, count) in facts.context.metrics.errors() {
        lines.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn commands(facts: &Facts, lines: &mut Lines) {
    for row in facts.context.metrics.commands.rows() {
        let (calls, rejected) = (row.calls(), row.rejected());
        if calls == 0 && rejected == 0 {
            continue;
        }
        let us = row.took().as_micros();
        let hundredths = row.took().as_nanos() / 10;
        let each = hundredths.checked_div(u128::from(calls)).unwrap_or(0);
        lines.field(
            &format!("cmdstat_{}", row.command.full_name),
            format_args!(
                "calls={calls},usec={us},usec_per_call={}.{:02},rejected_calls={rejected},\
                 failed_calls={}",
                each / 100,
                each % 100,
                row.failed()
            ),
        );
    }
}

fn latencies(facts: &Facts, lines: &mut Lines) {
    let called = facts.context.metrics.commands.rows().iter();
    for row in called.filter(|row| row.calls() > 0) {
        let [half, most, nearly_all] = [500, 990, 999].map(|part| row.quantile(part));
        lines.field(
            &format!("latency_percentiles_usec_{}", row.command.full_name),
            format_args!("p50={half}.000,p99={most}.000,p99.9={nearly_all}.000"),
        );
    }
}

fn cluster(_facts: &Facts, lines: &mut Lines) {
    lines.field("cluster_enabled", 0);
}

fn keyspace(facts: &Facts, lines: &mut Lines) {
    // As in Redis an empty database is not shown. Streams do not expire.
    if facts.store.streams > 0 {
        lines.field(
            "db0",
            format_args!("keys={},expires=0,avg_ttl=0", facts.store.streams),
        );
    }
}

fn meilies(facts: &Facts, lines: &mut Lines) {
    let store = &facts.store;
    let settings = &facts.context.settings;
    let metrics = &facts.context.metrics;
    lines.field("engine", store.engine);
    lines.field("store_id", &store.store_id);
    lines.field("epoch", store.epoch);
    lines.field("fsync", store.fsync);
    lines.field("streams", store.streams);
    lines.field("events", store.events);
    lines.field("commits", store.commits);
    lines.field("log_bytes", store.log_bytes);
    lines.field("segments", store.segments);
    lines.field("syncs", store.syncs);
    lines.field("sync_us_total", store.sync_us_total);
    lines.field(
        "sync_us_mean",
        store.sync_us_total.checked_div(store.syncs).unwrap_or(0),
    );
    lines.field("sync_us_max", store.sync_us_max);
    lines.field("checkpoint_commits", store.checkpoint_commits);
    lines.field("checkpoint_at_ms", store.checkpoint_at);
    lines.field("recent_bytes", store.recent_bytes);
    lines.field("recent_bytes_max", settings.started_with().recent_bytes);
    lines.field("max_event_bytes", settings.max_event_bytes());
    lines.field("subscribers", facts.subscribers);
    lines.field("subscriptions", facts.context.event_log.subscriptions());
    lines.counter("pushed_events_total", &metrics.pushed_events_total);
    lines.counter("protocol_errors_total", &metrics.protocol_errors_total);
    lines.field("damaged", store.damaged);
    lines.field("failure", store.failure.as_deref().unwrap_or(""));
}

/// Bytes for people, as Redis writes them: `1.50M`.
fn human(bytes: u64) -> String {
    let units = [
        (1 << 40, 'T'),
        (1 << 30, 'G'),
        (1 << 20, 'M'),
        (1_u64 << 10, 'K'),
    ];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes}B"),
        Some((unit, letter)) => {
            let hundredths = (bytes % unit) * 100 / unit;
            format!("{}.{hundredths:02}{letter}", bytes / unit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people_are_as_redis_writes_them() {
        let cases = [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1536, "1.50K"),
            (1_048_576 + 524_288, "1.50M"),
            (3 << 30, "3.00G"),
            (5 << 40, "5.00T"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
        assert!(human(u64::MAX).ends_with('T'));
    }

    #[test]
    fn a_value_with_line_breaks_stays_one_line() {
        let mut lines = Lines(String::new());
        lines.field("failure", "a\r\nb:c");
        assert_eq!(lines.0, "failure:a  b:c\r\n");
    }
}
