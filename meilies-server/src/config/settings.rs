//! The table of settings: flags, environment variables, keys of the file and the help all derive
//! from it.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// One row of the table. It is `--name` as a flag, `MEILIES_NAME` in the environment and `name`
/// in the file.
#[derive(Debug)]
pub struct Setting {
    /// Words of lower-case letters joined by `-`.
    pub name: &'static str,
    /// One letter that stands for it.
    pub short: Option<char>,
    /// What its value is called in the help.
    pub value: &'static str,
    /// Whether it may be given several times or as a list.
    pub many: bool,
    /// Under which heading the help shows it.
    pub heading: &'static str,
    /// The value when none is given; empty text means nothing.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Whether subcommands take it too.
    pub global: bool,
}

impl Setting {
    /// Its name in the environment.
    pub fn variable(&self) -> String {
        format!(
            "MEILIES_{}",
            self.name.replace('-', "_").to_ascii_uppercase()
        )
    }
}

const NETWORK: &str = "Network";
const ACCESS: &str = "Access";
const STORAGE: &str = "Storage";
const LIMITS: &str = "Limits";
const LOGGING: &str = "Logging";
const OTHER: &str = "Other";

/// What most rows have in common.
const COMMON: Setting = Setting {
    name: "",
    short: None,
    value: "",
    many: false,
    heading: OTHER,
    default: "",
    help: "",
    global: false,
};

/// The name of the setting that names the file; it cannot stand in the file itself.
pub(super) const CONFIG: &str = "config";

/// Every setting, in the order of the help.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "hostname",
        short: Some('h'),
        value: "HOST",
        many: true,
        heading: NETWORK,
        default: "127.0.0.1",
        help: "Name or address to listen on; repeat it or separate several by commas. \
               0.0.0.0 and :: are every IPv4 and IPv6 address",
        ..COMMON
    },
    Setting {
        name: "port",
        short: Some('p'),
        value: "PORT",
        heading: NETWORK,
        default: "6480",
        help: "TCP port to listen on; 0 lets the system choose one",
        ..COMMON
    },
    Setting {
        name: "requirepass",
        value: "PASSWORD",
        heading: ACCESS,
        help: "Password that clients must give with AUTH or HELLO. Better set in the environment \
               or the file: other users of this machine can see flags",
        ..COMMON
    },
    Setting {
        name: "protected-mode",
        value: "yes|no",
        heading: ACCESS,
        default: "yes",
        help: "Refuse to listen on addresses that other machines can reach while there is no \
               password",
        ..COMMON
    },
    Setting {
        name: "db-path",
        value: "DIRECTORY",
        heading: STORAGE,
        default: "meilies-data",
        help: "Where the events are kept; created when missing, used by one server at a time",
        global: true,
        ..COMMON
    },
    Setting {
        name: "fsync",
        value: "always|everysec|no",
        heading: STORAGE,
        default: "always",
        help: "When commits are synced to the disk. always: before they are acknowledged. \
               everysec: within a second after, so power loss may take that second. no: when the \
               system likes. kill -9 loses no acknowledged event under any of them",
        ..COMMON
    },
    Setting {
        name: "recent-bytes",
        value: "BYTES",
        heading: STORAGE,
        default: "32mb",
        help: "Memory for the latest events, from which subscribers that keep up are served",
        ..COMMON
    },
    Setting {
        name: "max-clients",
        value: "COUNT",
        heading: LIMITS,
        default: "10000",
        help: "Connections at the same time; more are answered with an error and closed",
        ..COMMON
    },
    Setting {
        name: "max-event-bytes",
        value: "BYTES",
        heading: LIMITS,
        default: "16mb",
        help: "Size of one event, names and values together; at most 63mb",
        ..COMMON
    },
    Setting {
        name: "log-format",
        value: "text|json",
        heading: LOGGING,
        default: "text",
        help: "Log lines on stderr for people, or one JSON object per line",
        global: true,
        ..COMMON
    },
    Setting {
        name: "log-level",
        value: "LEVEL",
        heading: LOGGING,
        default: "info",
        help: "Which lines are logged: off, error, warn, info, debug or trace, also for parts of \
               the program: info,meilies_server::engine=debug",
        global: true,
        ..COMMON
    },
    Setting {
        name: CONFIG,
        value: "FILE",
        help: "TOML file of settings; its keys are these flags without their dashes in front: \
               port = 6480",
        global: true,
        ..COMMON
    },
];

const ABOUT: &str = "MeiliES: an event store that every Redis client can talk to";

const AFTER_HELP: &str = "\
Every setting is taken from the first of these that has it: the flag, the environment variable, \
the file, the default. An empty variable counts as not set. Sizes take the units of Redis: 1kb is \
1024 bytes, 1k is 1000, and so for mb, m, gb and g.

Try it:
  meilies-server &
  redis-cli -p 6480 PUBLISH orders created '{\"id\": 1}'
  redis-cli -p 6480 SUBSCRIBE orders:0";

/// The name of the subcommand that accepts the loss of damaged events.
pub(super) const REPAIR: &str = "repair";

/// How the program's arguments are read.
pub fn command() -> Command {
    let repair = Command::new(REPAIR).about(
        "Accept the loss of events that lie in damaged parts of the log, so that their streams \
         can be written to again. The server must not be running",
    );
    Command::new("meilies-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER_HELP)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(SETTINGS.iter().map(argument))
        .next_help_heading(OTHER)
        // `-h` is the host name, as in redis-cli.
        .arg(
            Arg::new("help")
                .long("help")
                .action(ArgAction::Help)
                .global(true)
                .help("Print help"),
        )
        .arg(
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::Version)
                .help("Print version"),
        )
        .subcommand(repair)
}

fn argument(setting: &Setting) -> Arg {
    let mut help = format!("{} [env: {}]", setting.help, setting.variable());
    if !setting.default.is_empty() {
        help = format!("{help} [default: {}]", setting.default);
    }
    let mut argument = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .help(help)
        .help_heading(setting.heading)
        .global(setting.global)
        .action(if setting.many {
            ArgAction::Append
        } else {
            ArgAction::Set
        })
        .value_parser(clap::value_parser!(OsString));
    if let Some(short) = setting.short {
        argument = argument.short(short);
    }
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_table() {
        command().debug_assert();
    }

    #[test]
    fn the_help_explains_every_setting_under_its_heading() {
        let help = command().render_long_help().to_string();
        for setting in SETTINGS {
            assert!(help.contains(&format!("--{} <{}>", setting.name, setting.value)));
            assert!(
                help.contains(&format!("{}:", setting.heading)),
                "{}",
                setting.heading
            );
            assert!(help.contains(&setting.variable()), "{}", setting.name);
        }
    }
}
