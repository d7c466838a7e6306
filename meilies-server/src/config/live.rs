//! The settings that `CONFIG SET` may change while the server runs. Read on every connection and
//! command, so each is an atomic or a lock held for an instant.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use super::{Config, LogFilter, Password};

/// What puts another filter of log lines in force.
pub type LogSwitch = Box<dyn Fn(&LogFilter) + Send + Sync>;

/// Events of a stream's node at the start, as in Redis.
const STREAM_NODE_ENTRIES: u64 = 100;

/// For how many seconds keys of producers are known at the start, as in Redis.
const STREAM_IDMP_DURATION_S: u64 = 100;

/// How many keys of each producer are known at the start, as in Redis.
const STREAM_IDMP_KEYS: u64 = 100;

/// Commands that take so many µs are slow at the start, as in Redis.
const SLOW_US: i64 = 10_000;

/// How many slow commands are kept at the start, as in Redis.
const SLOW_LOG_LENGTH: u64 = 128;

/// The settings in force.
pub struct Settings {
    started_with: Config,
    max_clients: AtomicUsize,
    max_event_bytes: AtomicUsize,
    stream_node_max_entries: AtomicU64,
    stream_idmp_duration_s: AtomicU64,
    stream_idmp_maxsize: AtomicU64,
    slow_log_slower_than_us: AtomicI64,
    slow_log_max_len: AtomicU64,
    latency_monitor_threshold_ms: AtomicU64,
    protected_mode: AtomicBool,
    password: RwLock<Option<Password>>,
    log_level: RwLock<LogFilter>,
    log_switch: OnceLock<LogSwitch>,
}

/// Changes to make together. What is `None` stays.
#[derive(Debug, Default)]
pub struct Changes {
    /// See [`Config::max_clients`].
    pub max_clients: Option<usize>,
    /// See [`Config::max_event_bytes`].
    pub max_event_bytes: Option<usize>,
    /// See [`Settings::stream_node_max_entries`].
    pub stream_node_max_entries: Option<u64>,
    /// See [`Settings::stream_idmp_duration_s`].
    pub stream_idmp_duration_s: Option<u64>,
    /// See [`Settings::stream_idmp_maxsize`].
    pub stream_idmp_maxsize: Option<u64>,
    /// See [`Settings::slow_log_slower_than_us`].
    pub slow_log_slower_than_us: Option<i64>,
    /// See [`Settings::slow_log_max_len`].
    pub slow_log_max_len: Option<u64>,
    /// See [`Settings::latency_monitor_threshold_ms`].
    pub latency_monitor_threshold_ms: Option<u64>,
    /// See [`Config::protected_mode`].
    pub protected_mode: Option<bool>,
    /// See [`Config::requirepass`]; the inner `None` takes the password away.
    pub password: Option<Option<Password>>,
    /// See [`Config::log_level`].
    pub log_level: Option<LogFilter>,
}

impl Settings {
    /// What the program started with.
    pub fn new(config: &Config) -> Settings {
        Settings {
            max_clients: AtomicUsize::new(config.max_clients),
            max_event_bytes: AtomicUsize::new(config.max_event_bytes),
            stream_node_max_entries: AtomicU64::new(STREAM_NODE_ENTRIES),
            stream_idmp_duration_s: AtomicU64::new(STREAM_IDMP_DURATION_S),
            stream_idmp_maxsize: AtomicU64::new(STREAM_IDMP_KEYS),
            slow_log_slower_than_us: AtomicI64::new(SLOW_US),
            slow_log_max_len: AtomicU64::new(SLOW_LOG_LENGTH),
            latency_monitor_threshold_ms: AtomicU64::new(0),
            protected_mode: AtomicBool::new(config.protected_mode),
            password: RwLock::new(config.requirepass.clone()),
            log_level: RwLock::new(config.log_level.clone()),
            log_switch: OnceLock::new(),
            started_with: config.clone(),
        }
    }

    /// The settings at the start: right for all that cannot change.
    pub fn started_with(&self) -> &Config {
        &self.started_with
    }

    /// Connections at the same time.
    pub fn max_clients(&self) -> usize {
        self.max_clients.load(Ordering::Relaxed)
    }

    /// Names and values of one event together.
    pub fn max_event_bytes(&self) -> usize {
        self.max_event_bytes.load(Ordering::Relaxed)
    }

    /// Events that an approximate trim takes together, as Redis takes whole nodes.
    pub fn stream_node_max_entries(&self) -> u64 {
        self.stream_node_max_entries.load(Ordering::Relaxed)
    }

    /// For how many seconds a stream knows a producer's key, where XCFGSET has not said so.
    pub fn stream_idmp_duration_s(&self) -> u64 {
        self.stream_idmp_duration_s.load(Ordering::Relaxed)
    }

    /// How many keys of each producer a stream knows, where XCFGSET has not said so.
    pub fn stream_idmp_maxsize(&self) -> u64 {
        self.stream_idmp_maxsize.load(Ordering::Relaxed)
    }

    /// A command that takes more µs is slow; none is if this is negative.
    pub fn slow_log_slower_than_us(&self) -> i64 {
        self.slow_log_slower_than_us.load(Ordering::Relaxed)
    }

    /// How many slow commands are kept.
    pub fn slow_log_max_len(&self) -> u64 {
        self.slow_log_max_len.load(Ordering::Relaxed)
    }

    /// What takes so many ms is noted; nothing is if this is 0.
    pub fn latency_monitor_threshold_ms(&self) -> u64 {
        self.latency_monitor_threshold_ms.load(Ordering::Relaxed)
    }

    /// Whether only this machine is served while there is no password.
    pub fn protected_mode(&self) -> bool {
        self.protected_mode.load(Ordering::Relaxed)
    }

    /// What clients must give.
    pub fn password(&self) -> Option<Password> {
        self.password
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether clients must give a password.
    pub fn has_password(&self) -> bool {
        self.password
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Which log lines there are.
    pub fn log_level(&self) -> LogFilter {
        self.log_level
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says how to put another filter in force; the first call counts. Without it the filter
    /// cannot be changed: whoever embeds the server owns the log.
    pub fn set_log_switch(&self, switch: LogSwitch) {
        // A second switch would be a programming error without consequence: the first stays.
        self.log_switch.get_or_init(|| switch);
    }

    /// Whether the filter of log lines can be changed.
    pub fn has_log_switch(&self) -> bool {
        self.log_switch.get().is_some()
    }

    /// Puts changes in force. The caller has checked the values.
    pub fn apply(&self, changes: Changes) {
        if let Some(clients) = changes.max_clients {
            self.max_clients.store(clients, Ordering::Relaxed);
        }
        if let Some(bytes) = changes.max_event_bytes {
            self.max_event_bytes.store(bytes, Ordering::Relaxed);
        }
        if let Some(entries) = changes.stream_node_max_entries {
            self.stream_node_max_entries
                .store(entries, Ordering::Relaxed);
        }
        if let Some(seconds) = changes.stream_idmp_duration_s {
            self.stream_idmp_duration_s
                .store(seconds, Ordering::Relaxed);
        }
        if let Some(keys) = changes.stream_idmp_maxsize {
            self.stream_idmp_maxsize.store(keys, Ordering::Relaxed);
        }
        if let Some(us) = changes.slow_log_slower_than_us {
            self.slow_log_slower_than_us.store(us, Ordering::Relaxed);
        }
        if let Some(length) = changes.slow_log_max_len {
            self.slow_log_max_len.store(length, Ordering::Relaxed);
        }
        if let Some(ms) = changes.latency_monitor_threshold_ms {
            self.latency_monitor_threshold_ms
                .store(ms, Ordering::Relaxed);
        }
        if let Some(password) = changes.password {
            *self
                .password
                .write()
                .unwrap_or_else(PoisonError::into_inner) = password;
        }
        if let Some(protected) = changes.protected_mode {
            self.protected_mode.store(protected, Ordering::Relaxed);
        }
        if let (Some(level), Some(switch)) = (changes.log_level, self.log_switch.get()) {
            switch(&level);
            *self
                .log_level
                .write()
                .unwrap_or_else(PoisonError::into_inner) = level;
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("started_with", &self.started_with)
            .field("max_clients", &self.max_clients)
            .field("max_event_bytes", &self.max_event_bytes)
            .field("protected_mode", &self.protected_mode)
            .finish_non_exhaustive()
    }
}
