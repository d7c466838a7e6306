//! What the server is told to do: from the command line, the environment and a file to one
//! [`Config`] that is valid by construction. The only place that reads arguments and environment.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use bytes::Bytes;
use meilies_protocol::limits::COMMIT_BYTES_MAX;

mod error;
mod layers;
mod live;
mod open_files;
mod password;
mod settings;
mod value;

pub use error::{ConfigError, Exposed, Origin};
pub use live::{Changes, LogSwitch, Settings};
pub use open_files::make_room_for;
pub use password::Password;
pub use settings::{SETTINGS, Setting, command};
pub use value::{LogFilter, ValueError};

pub(crate) use value::{size, yes_no};

use layers::{Environment, Layers};

/// The most connections that `--max-clients` may allow.
pub(crate) const CLIENTS_MAX: u64 = 1_000_000;

/// The most bytes that `--max-event-bytes` may allow: an event has to fit into a commit together
/// with what the commit says about it.
pub(crate) const EVENT_BYTES_MAX: u64 = COMMIT_BYTES_MAX as u64 - (1 << 20);

/// The most memory that `--recent-bytes` may claim.
const RECENT_BYTES_MAX: u64 = 1 << 40;

/// The settings that the program starts with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names and addresses to listen on, one at least.
    pub hostnames: Vec<String>,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
    /// What clients must give before anything else.
    pub requirepass: Option<Password>,
    /// Without a password only this machine is served.
    pub protected_mode: bool,
    /// The store's directory.
    pub db_path: PathBuf,
    /// When commits are synced.
    pub fsync: Fsync,
    /// Memory for recent events.
    pub recent_bytes: usize,
    /// Connections at the same time.
    pub max_clients: usize,
    /// Names and values of one event together.
    pub max_event_bytes: usize,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_level: LogFilter,
    /// The file that settings were read from.
    pub file: Option<PathBuf>,
}

/// When a commit is synced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before it is visible and acknowledged.
    Always,
    /// Within a second after.
    EverySecond,
    /// When the system likes.
    No,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, coloured on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the program is asked to do.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Serve clients until told to stop.
    Serve(Config),
    /// Accept the loss of damaged events.
    Repair(Config),
}

impl Invocation {
    /// Reads this process' arguments and environment.
    pub fn from_process() -> Result<Invocation, ConfigError> {
        Invocation::read(std::env::args_os(), &|name| std::env::var_os(name))
    }

    /// As [`Invocation::from_process`], with the arguments (the program's name first) and the
    /// environment of the caller's choice.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: Environment,
    ) -> Result<Invocation, ConfigError> {
        let matches = settings::command().try_get_matches_from(arguments)?;
        let config = Config::resolve(&Layers::gather(&matches, environment)?)?;
        if matches.subcommand_name() == Some(settings::REPAIR) {
            return Ok(Invocation::Repair(config));
        }
        let literal = config.hostnames.iter().filter_map(|host| host.parse().ok());
        config.check_exposure(literal)?;
        Ok(Invocation::Serve(config))
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::resolve(&Layers::default()).expect("the table's defaults are valid: a test asks")
    }
}

impl Config {
    fn resolve(layers: &Layers) -> Result<Config, ConfigError> {
        let bytes = |name, min, max| {
            let bytes = layers.one(name, |text| size(text, min, max))?;
            Ok::<usize, ConfigError>(fitting(bytes))
        };
        let fsync_words = &["always", "everysec", "no"];
        let format_words = &["text", "json"];
        Ok(Config {
            hostnames: layers.many("hostname", value::host)?,
            port: layers.one("port", |text| {
                let port = value::number(text, 0, u64::from(u16::MAX))?;
                Ok(u16::try_from(port).expect("within the bounds just checked"))
            })?,
            requirepass: Password::new(Bytes::from(layers.raw("requirepass")?.into_vec())),
            protected_mode: layers.one("protected-mode", yes_no)?,
            db_path: match layers.raw("db-path")? {
                path if path.is_empty() => {
                    return Err(layers.wrong("db-path", ValueError::Empty));
                }
                path => PathBuf::from(path),
            },
            fsync: layers.one("fsync", |text| {
                let policies = [Fsync::Always, Fsync::EverySecond, Fsync::No];
                Ok(policies[value::word(text, fsync_words)?])
            })?,
            recent_bytes: bytes("recent-bytes", 0, RECENT_BYTES_MAX)?,
            max_clients: fitting(
                layers.one("max-clients", |text| value::number(text, 1, CLIENTS_MAX))?,
            ),
            max_event_bytes: bytes("max-event-bytes", 1, EVENT_BYTES_MAX)?,
            log_format: layers.one("log-format", |text| {
                Ok([LogFormat::Text, LogFormat::Json][value::word(text, format_words)?])
            })?,
            log_level: layers.one("log-level", LogFilter::parse)?,
            file: layers.file.clone(),
        })
    }

    /// Whether these addresses may be listened on: not those that other machines can reach,
    /// without a password and in protected mode.
    pub fn check_exposure(
        &self,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), Exposed> {
        if !self.protected_mode || self.requirepass.is_some() {
            return Ok(());
        }
        match addresses
            .into_iter()
            .find(|address| !is_this_machine(*address))
        {
            Some(address) => Err(Exposed { address }),
            None => Ok(()),
        }
    }
}

/// Whether only this machine can be, or be reached at, this address.
fn is_this_machine(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// A number whose bound was checked to be far below what the machine counts to.
fn fitting(number: u64) -> usize {
    usize::try_from(number).expect("bounded far below 2^64 where it was parsed")
}

impl Settings {
    /// Protected mode: the error line for a peer that must not be served, without its `-`.
    pub fn refuses(&self, peer: &SocketAddr) -> Option<String> {
        let open = !self.protected_mode() || self.has_password();
        (!open && !is_this_machine(peer.ip())).then(|| {
            "DENIED MeiliES is running in protected mode because no password is set. In this \
             mode connections are only accepted from the loopback interface. To connect from \
             other machines, set a password ('CONFIG SET requirepass' from this machine, or \
             --requirepass), or turn protected mode off with 'CONFIG SET protected-mode no' or \
             --protected-mode no."
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests;
