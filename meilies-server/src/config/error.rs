//! What can be wrong with the configuration, said so that the reader can put it right.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::value::ValueError;

/// Why the program cannot start with what it was given.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The arguments are not understood, or they ask for the help or the version.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// The value of a setting is wrong.
    #[error("{origin}: {error}")]
    Value {
        /// Where the value stands.
        origin: Origin,
        /// What is wrong with it.
        error: ValueError,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {error}", .path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {error}", .path.display())]
    FileSyntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// The file has a key that is no setting.
    #[error(
        "unknown key '{key}' in the configuration file {}; keys are the flags of \
         'meilies-server --help' without their dashes in front",
        .path.display()
    )]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A key of the file holds a table or a date.
    #[error(
        "'{key}' in the configuration file {} must be text, a number, true or false, \
         or a list of these",
        .path.display()
    )]
    FileValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// Anybody who reaches the address could use the store.
    #[error("{0}")]
    Exposed(#[from] Exposed),
}

/// An address that others than this machine can reach would be served without a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached from other machines and there is no password. Set one with \
     --requirepass (or MEILIES_REQUIREPASS), listen on a loopback address with --hostname \
     127.0.0.1, or allow it with --protected-mode no"
)]
pub struct Exposed {
    /// The address.
    pub address: IpAddr,
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag(&'static str),
    /// In the environment: the variable's name.
    Environment(String),
    /// In the configuration file.
    File(&'static str, PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => write!(f, "--{name}"),
            Origin::Environment(name) => write!(f, "{name} in the environment"),
            Origin::File(name, path) => write!(f, "{name} in {}", path.display()),
        }
    }
}
