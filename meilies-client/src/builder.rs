//! How to connect: where to, as whom, and how long to wait for what.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::{Lifecycle, Listener};
use crate::limits::{
    CONNECT_TIMEOUT_DEFAULT, IN_FLIGHT_BYTES_MAX_DEFAULT, PING_INTERVAL_DEFAULT, PING_INTERVAL_MIN,
    PREFETCH_BYTES_DEFAULT, PREFETCH_BYTES_MAX, REQUEST_TIMEOUT_DEFAULT, SUBSCRIPTIONS_MAX_DEFAULT,
    WAIT_MAX,
};
use crate::reconnect::Reconnect;
use crate::url::Url;
use crate::{Client, Error};

/// What a client knows for as long as it lives.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) address: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Password>,
    pub(crate) name: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) in_flight_bytes_max: usize,
    pub(crate) prefetch_bytes: usize,
    pub(crate) subscriptions_max: usize,
    pub(crate) reconnect: Reconnect,
    pub(crate) retry_first_connect: bool,
    pub(crate) listener: Listener,
}

/// Bytes that no log shows.
#[derive(Clone)]
pub(crate) struct Password(pub(crate) Vec<u8>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Makes a [`Client`] that differs from what [`Client::connect`] gives. Times above a year count as
/// a year.
///
/// ```no_run
/// use std::time::Duration;
/// use meilies_client::Client;
///
/// # async fn example() -> Result<(), meilies_client::Error> {
/// let client = Client::builder("meilies://localhost")?
///     .password("open sesame")
///     .request_timeout(Duration::from_secs(5))
///     .on_lifecycle(|change| eprintln!("{change:?}"))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is connected before `connect` is called"]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// Reads `meilies://[user:password@]host[:port]`, or `host[:port]` alone.
    pub(crate) fn new(url: &str) -> Result<Builder, Error> {
        let url = Url::parse(url)?;
        Ok(Builder {
            options: Options {
                address: url.address,
                user: url.user,
                password: url.password.map(Password),
                name: None,
                connect_timeout: CONNECT_TIMEOUT_DEFAULT,
                request_timeout: REQUEST_TIMEOUT_DEFAULT,
                ping_interval: PING_INTERVAL_DEFAULT,
                in_flight_bytes_max: IN_FLIGHT_BYTES_MAX_DEFAULT,
                prefetch_bytes: PREFETCH_BYTES_DEFAULT,
                subscriptions_max: SUBSCRIPTIONS_MAX_DEFAULT,
                reconnect: Reconnect::default(),
                retry_first_connect: false,
                listener: Listener::default(),
            },
        })
    }

    /// Who connects, instead of whom the URL names. Without this it is the server's default user.
    pub fn user(mut self, user: impl Into<String>) -> Builder {
        self.options.user = Some(user.into());
        self
    }

    /// What the server's `--requirepass` asks for, instead of what the URL says.
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Builder {
        self.options.password = Some(Password(password.into()));
        self
    }

    /// What the connections call themselves in the server's CLIENT LIST: printable ASCII without
    /// spaces.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.options.name = Some(name.into());
        self
    }

    /// How long finding, reaching and greeting the server may take. 10 s by default.
    pub fn connect_timeout(mut self, limit: Duration) -> Builder {
        self.options.connect_timeout = limit.min(WAIT_MAX);
        self
    }

    /// How long a request waits while nothing comes from the server, and how long it waits while
    /// there is no connection. 30 s by default.
    pub fn request_timeout(mut self, limit: Duration) -> Builder {
        self.options.request_timeout = limit.min(WAIT_MAX);
        self
    }

    /// How long a connection may be silent before the server is asked whether it is still there;
    /// it then has the request timeout to answer. 15 s by default.
    pub fn ping_interval(mut self, interval: Duration) -> Builder {
        self.options.ping_interval = interval.clamp(PING_INTERVAL_MIN, WAIT_MAX);
        self
    }

    /// Bytes of requests that have no reply yet, each counted with 128 bytes more. What goes
    /// beyond waits its turn, for no longer than the request timeout, and is not kept meanwhile. A
    /// request that is greater than the bound travels alone. 32 MiB by default.
    pub fn in_flight_bytes_max(mut self, bytes: usize) -> Builder {
        self.options.in_flight_bytes_max = bytes.max(1);
        self
    }

    /// Bytes that a subscription, or a consumer of a group, reads before its events are asked for.
    /// What goes beyond stays with the system and the server, which sends no more until there is
    /// room. 256 KiB by default, 1 reads as little ahead as can be, 64 MiB is the most. A longer
    /// event is read whole.
    pub fn prefetch_bytes(mut self, bytes: usize) -> Builder {
        self.options.prefetch_bytes = bytes.clamp(1, PREFETCH_BYTES_MAX);
        self
    }

    /// How many subscriptions and consumers of groups the client may have at a time: each is a
    /// connection. 256 by default.
    pub fn subscriptions_max(mut self, subscriptions: usize) -> Builder {
        self.options.subscriptions_max = subscriptions;
        self
    }

    /// How to connect again after a connection was lost: by default for ever, after 50 ms to 5 s.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Builder {
        self.options.reconnect = reconnect;
        self
    }

    /// Whether [`Builder::connect`] treats a server that is not there as one that was lost, and
    /// waits for it as [`Builder::reconnect`] says. By default it fails at once.
    pub fn retry_first_connect(mut self, retry: bool) -> Builder {
        self.options.retry_first_connect = retry;
        self
    }

    /// Whom to tell when a connection stands, is lost or is tried again. It is called in between
    /// the work of the client and must not block.
    pub fn on_lifecycle(
        mut self,
        listener: impl Fn(&Lifecycle) + Send + Sync + 'static,
    ) -> Builder {
        self.options.listener = Listener::new(listener);
        self
    }

    /// Connects. Must be called within a tokio runtime, which then carries the connection.
    pub async fn connect(self) -> Result<Client, Error> {
        Client::start(Arc::new(self.options)).await
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_debug_output_shows_a_password() {
        let builder = Builder::new("meilies://ann:sesame@h").expect("a good URL");
        assert!(!format!("{builder:?}").contains("sesame"));
    }

    #[test]
    fn no_value_is_beyond_what_clocks_and_memory_can_do() {
        let builder = Builder::new("h").expect("a good URL");
        let options = builder
            .connect_timeout(Duration::MAX)
            .request_timeout(Duration::MAX)
            .ping_interval(Duration::MAX)
            .prefetch_bytes(usize::MAX)
            .options;
        for wait in [
            options.connect_timeout,
            options.request_timeout,
            options.ping_interval,
        ] {
            assert_eq!(wait, WAIT_MAX);
        }
        assert_eq!(options.prefetch_bytes, PREFETCH_BYTES_MAX);
        let builder = Builder::new("h").expect("a good URL");
        let options = builder
            .ping_interval(Duration::ZERO)
            .prefetch_bytes(0)
            .options;
        assert_eq!(
            (options.ping_interval, options.prefetch_bytes),
            (PING_INTERVAL_MIN, 1)
        );
    }

    #[test]
    fn what_is_said_last_counts() {
        let builder = Builder::new("meilies://ann:sesame@h").expect("a good URL");
        let options = builder.user("bob").password("other").options;
        assert_eq!(options.user.as_deref(), Some("bob"));
        assert_eq!(options.password.map(|it| it.0), Some(b"other".to_vec()));
    }
}
