//! Which server, and how to be let in.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use clap::Args;
use meilies_client::{Builder, Client};

use crate::failure::Failure;

const URL_DEFAULT: &str = "meilies://127.0.0.1";

const HEADING: &str = "Connection";

/// Which server, and how to be let in.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Server {
    /// Name or address of the server [default: 127.0.0.1]
    // `-h` is the host name, as in redis-cli.
    #[arg(short = 'h', long, value_name = "HOST", global = true)]
    hostname: Option<String>,

    /// TCP port of the server [default: 6480]
    #[arg(short, long, value_name = "PORT", global = true)]
    port: Option<u16>,

    /// The server as one text: meilies://[USER:PASSWORD@]HOST[:PORT]. The other flags win over it
    #[arg(long, value_name = "URL", env = "MEILIES_URL", global = true)]
    #[arg(hide_env_values = true)]
    url: Option<String>,

    /// User to be let in as
    #[arg(long, value_name = "USER", global = true)]
    user: Option<String>,

    /// Password of the server. Better set in the environment: other users of this machine can see
    /// flags
    #[arg(long, value_name = "PASSWORD", env = "MEILIES_PASSWORD", global = true)]
    #[arg(hide_env_values = true)]
    password: Option<OsString>,

    /// How long finding and reaching the server may take [default: 10]
    #[arg(long, value_name = "SECONDS", global = true, value_parser = seconds)]
    connect_timeout: Option<Duration>,
}

impl Server {
    /// How to connect, for those that set more of it.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let mut builder = Client::builder(&self.url())?;
        if let Some(user) = &self.user {
            builder = builder.user(user.clone());
        }
        // An empty variable counts as not set.
        if let Some(password) = self
            .password
            .as_ref()
            .filter(|password| !password.is_empty())
        {
            builder = builder.password(password.clone().into_vec());
        }
        if let Some(limit) = self.connect_timeout {
            builder = builder.connect_timeout(limit);
        }
        Ok(builder)
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        Ok(self.builder()?.connect().await?)
    }

    /// The URL with the flags in place of its parts.
    fn url(&self) -> String {
        // An empty variable counts as not set.
        let given = self.url.as_deref().filter(|url| !url.is_empty());
        let given = given.unwrap_or(URL_DEFAULT);
        if self.hostname.is_none() && self.port.is_none() {
            return given.to_owned();
        }
        // What makes no sense stays as it is, for the client to name.
        let (scheme, rest) = match given.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), given),
        };
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (format!("{login}@"), place),
            None => (String::new(), rest),
        };
        let (host, port) = split_place(place.strip_suffix('/').unwrap_or(place));
        let host = match self.hostname.as_deref() {
            Some(ipv6) if ipv6.contains(':') && !ipv6.starts_with('[') => format!("[{ipv6}]"),
            Some(host) => host.to_owned(),
            None => host.to_owned(),
        };
        let port = match self.port {
            Some(port) => format!(":{port}"),
            None => port.to_owned(),
        };
        format!("{scheme}{login}{host}{port}")
    }
}

/// Cuts an address before the colon of its port, if it has one.
fn split_place(place: &str) -> (&str, &str) {
    // Those inside the brackets of an IPv6 address are none.
    let end = place.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = place[end..].find(':').map_or(place.len(), |at| end + at);
    place.split_at(colon)
}

/// Reads a number of seconds, which may have a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds, such as 5 or 0.5".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("expected more than 0 seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(url: &str, hostname: Option<&str>, port: Option<u16>) -> String {
        let server = Server {
            url: Some(url.to_owned()),
            hostname: hostname.map(str::to_owned),
            port,
            ..Server::default()
        };
        server.url()
    }

    #[test]
    fn without_anything_it_is_this_machine() {
        assert_eq!(Server::default().url(), "meilies://127.0.0.1");
        assert_eq!(url("", None, None), "meilies://127.0.0.1");
        assert_eq!(url("", None, Some(7000)), "meilies://127.0.0.1:7000");
    }

    #[test]
    fn addresses_of_ipv6_get_brackets() {
        for (host, expected) in [
            ("localhost", "meilies://localhost:7000"),
            ("127.0.0.1", "meilies://127.0.0.1:7000"),
            ("::1", "meilies://[::1]:7000"),
            ("[::1]", "meilies://[::1]:7000"),
        ] {
            assert_eq!(url("", Some(host), Some(7000)), expected);
        }
    }

    #[test]
    fn flags_win_over_the_parts_of_the_url() {
        let given = "meilies://jane:se%40cret@a.example:7000";
        for (given, hostname, port, expected) in [
            (given, None, None, given),
            (given, Some("b"), None, "meilies://jane:se%40cret@b:7000"),
            (given, None, Some(1), "meilies://jane:se%40cret@a.example:1"),
            (given, Some("b"), Some(1), "meilies://jane:se%40cret@b:1"),
            ("meilies://a/", None, Some(7), "meilies://a:7"),
            ("[::1]:7000", None, None, "[::1]:7000"),
            ("[::1]:7000", None, Some(7), "[::1]:7"),
            ("[::1]", None, Some(7), "[::1]:7"),
            ("[::1]", Some("b"), None, "b"),
            ("a.example", None, None, "a.example"),
            ("redis://a", None, Some(7), "redis://a:7"),
        ] {
            assert_eq!(url(given, hostname, port), expected);
        }
    }

    #[test]
    fn timeouts_are_seconds() {
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["", "0", "-1", "x", "NaN", "inf", "1e300"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
