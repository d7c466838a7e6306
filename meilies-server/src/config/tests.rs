//! Every setting is read from every layer, in the right order. Method: a table of two different
//! values per setting; a setting that is ignored anywhere fails its row.

use std::collections::HashMap;
use std::io::Write;

use super::*;

fn read(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Invocation, ConfigError> {
    let environment: HashMap<&str, &str> = environment.iter().copied().collect();
    let arguments = std::iter::once("meilies-server").chain(arguments.iter().copied());
    Invocation::read(arguments.map(OsString::from), &|name| {
        environment.get(name).map(OsString::from)
    })
}

fn serve(arguments: &[&str], environment: &[(&str, &str)]) -> Config {
    match read(arguments, environment).expect("valid") {
        Invocation::Serve(config) => config,
        Invocation::Repair(_) => panic!("not asked to repair"),
    }
}

fn refusal(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    read(arguments, environment)
        .expect_err("invalid")
        .to_string()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

/// What a setting came out as, to compare.
fn show(config: &Config, name: &str) -> String {
    match name {
        "hostname" => config.hostnames.join("+"),
        "port" => config.port.to_string(),
        "requirepass" => match &config.requirepass {
            Some(password) => String::from_utf8_lossy(password.reveal()).into_owned(),
            None => String::new(),
        },
        "protected-mode" => format!("{:?}", config.protected_mode),
        "db-path" => config.db_path.display().to_string(),
        "fsync" => format!("{:?}", config.fsync),
        "recent-bytes" => config.recent_bytes.to_string(),
        "max-clients" => config.max_clients.to_string(),
        "max-event-bytes" => config.max_event_bytes.to_string(),
        "log-format" => format!("{:?}", config.log_format),
        "log-level" => config.log_level.as_str().to_owned(),
        "config" => config
            .file
            .as_ref()
            .map_or(String::new(), |file| file.display().to_string()),
        name => panic!("'{name}' is not read by this test"),
    }
}

/// Setting, a value and what it comes out as, and another.
const VALUES: &[(&str, [&str; 2], [&str; 2])] = &[
    (
        "hostname",
        ["::1", "localhost,127.0.0.2"],
        ["::1", "localhost+127.0.0.2"],
    ),
    ("port", ["7001", "0"], ["7001", "0"]),
    ("requirepass", ["secret", "other"], ["secret", "other"]),
    ("protected-mode", ["no", "yes"], ["false", "true"]),
    ("db-path", ["/a/b", "c"], ["/a/b", "c"]),
    ("fsync", ["everysec", "no"], ["EverySecond", "No"]),
    ("recent-bytes", ["1mb", "0"], ["1048576", "0"]),
    ("max-clients", ["5", "6"], ["5", "6"]),
    ("max-event-bytes", ["1kb", "32MiB"], ["1024", "33554432"]),
    ("log-format", ["json", "text"], ["Json", "Text"]),
    (
        "log-level",
        ["debug", "warn,meilies_server=trace"],
        ["debug", "warn,meilies_server=trace"],
    ),
];

#[test]
fn the_defaults_are_valid_and_documented_ones() {
    let config = Config::default();
    let expected = [
        ("hostname", "127.0.0.1"),
        ("port", "6480"),
        ("requirepass", ""),
        ("protected-mode", "true"),
        ("db-path", "meilies-data"),
        ("fsync", "Always"),
        ("recent-bytes", "33554432"),
        ("max-clients", "10000"),
        ("max-event-bytes", "16777216"),
        ("log-format", "Text"),
        ("log-level", "info"),
        ("config", ""),
    ];
    assert_eq!(expected.len(), SETTINGS.len());
    for (name, value) in expected {
        assert_eq!(show(&config, name), value, "{name}");
        assert_eq!(show(&serve(&[], &[]), name), value, "{name}");
    }
}

#[test]
fn each_setting_comes_from_flag_then_environment_then_file_then_default() {
    for setting in SETTINGS.iter().filter(|setting| setting.name != "config") {
        let name = setting.name;
        let row = VALUES.iter().find(|(row, ..)| *row == name);
        let (_, [one, two], [shown_one, shown_two]) = row.expect("every setting has its row");
        let flag = format!("--{name}");
        let variable = setting.variable();
        let in_file = file(&format!("{name} = '{two}'\n"));
        let path = in_file.path().to_str().expect("text");

        assert_eq!(show(&serve(&[&flag, one], &[]), name), *shown_one, "flag");
        assert_eq!(
            show(&serve(&[], &[(&variable, one)]), name),
            *shown_one,
            "{variable}"
        );
        assert_eq!(
            show(&serve(&["--config", path], &[]), name),
            *shown_two,
            "{name} in the file"
        );
        let over = serve(&["--config", path], &[(&variable, one)]);
        assert_eq!(show(&over, name), *shown_one, "{variable} over the file");
        let over = serve(&[&flag, two], &[(&variable, one)]);
        assert_eq!(show(&over, name), *shown_two, "{flag} over {variable}");
        let empty = serve(&["--config", path], &[(&variable, "")]);
        assert_eq!(
            show(&empty, name),
            *shown_two,
            "an empty {variable} is not set"
        );
    }
}

#[test]
fn the_file_is_named_by_flag_or_environment_and_can_hold_numbers_and_lists() {
    let one = file("port = 7001\nprotected-mode = false\nhostname = ['::1', 'localhost']\n");
    let two = file("port = 7002\n");
    let [one, two] = [&one, &two].map(|file| file.path().to_str().expect("text").to_owned());
    let config = serve(&[], &[("MEILIES_CONFIG", &one)]);
    assert_eq!(config.port, 7001);
    assert!(!config.protected_mode);
    assert_eq!(config.hostnames, ["::1", "localhost"]);
    assert_eq!(
        serve(&["--config", &two], &[("MEILIES_CONFIG", &one)]).port,
        7002
    );
}

#[test]
fn short_flags_and_repeated_hostnames() {
    let config = serve(
        &["-h", "::1", "-h", "localhost,127.0.0.1", "-p", "7001"],
        &[],
    );
    assert_eq!(config.hostnames, ["::1", "localhost", "127.0.0.1"]);
    assert_eq!(config.port, 7001);
}

#[test]
fn errors_say_where_the_value_stands() {
    assert_eq!(
        refusal(&["--port", "70000"], &[]),
        "--port: '70000' is not a whole number from 0 to 65535"
    );
    assert_eq!(
        refusal(&[], &[("MEILIES_FSYNC", "sometimes")]),
        "MEILIES_FSYNC in the environment: 'sometimes' is not one of: always, everysec, no"
    );
    let wrong = file("max-event-bytes = '64mb'\n");
    let path = wrong.path().to_str().expect("text");
    assert_eq!(
        refusal(&["--config", path], &[]),
        format!("max-event-bytes in {path}: 67108864 bytes are not within 1 to 66060288")
    );
    assert_eq!(
        refusal(&["--db-path", ""], &[]),
        "--db-path: must not be empty"
    );
}

#[test]
fn a_wrong_file_is_refused_by_what_is_wrong_with_it() {
    let cases = [
        ("prot = 1\n", "unknown key 'prot'"),
        ("config = 'x'\n", "unknown key 'config'"),
        ("[port]\nx = 1\n", "'port' in the configuration file"),
        ("port = \n", "is not valid TOML"),
        ("port = [1, 2]\n", "takes one value, 2 are given"),
    ];
    for (text, expected) in cases {
        let wrong = file(text);
        let error = refusal(&["--config", wrong.path().to_str().expect("text")], &[]);
        assert!(error.contains(expected), "{error}");
    }
    let error = refusal(&["--config", "/nonexistent/meilies.toml"], &[]);
    assert!(
        error.contains("cannot read the configuration file /nonexistent"),
        "{error}"
    );
}

#[test]
fn bounds_of_sizes_and_counts() {
    let most = EVENT_BYTES_MAX.to_string();
    let above = (EVENT_BYTES_MAX + 1).to_string();
    assert_eq!(
        serve(&["--max-event-bytes", &most], &[]).max_event_bytes,
        63 << 20
    );
    assert!(read(&["--max-event-bytes", &above], &[]).is_err());
    assert!(read(&["--max-event-bytes", "0"], &[]).is_err());
    assert!(read(&["--max-clients", "0"], &[]).is_err());
    assert_eq!(
        serve(&["--max-clients", "1000000"], &[]).max_clients,
        1_000_000
    );
    assert!(read(&["--max-clients", "1000001"], &[]).is_err());
}

#[test]
fn without_a_password_only_loopback_addresses_are_allowed() {
    for exposed in ["0.0.0.0", "::", "192.168.0.1", "::ffff:10.0.0.1"] {
        let error = refusal(&["-h", exposed], &[]);
        assert!(error.contains("there is no password"), "{error}");
        serve(&["-h", exposed, "--requirepass", "x"], &[]);
        serve(&["-h", exposed, "--protected-mode", "no"], &[]);
    }
    for loopback in [
        "127.0.0.1",
        "127.1.2.3",
        "::1",
        "localhost",
        "::ffff:127.0.0.1",
    ] {
        serve(&["-h", loopback], &[]);
    }
}

#[test]
fn peers_from_elsewhere_are_refused_while_there_is_no_password() {
    let settings = Settings::new(&Config::default());
    let near = "127.0.0.1:5".parse().expect("an address");
    let far = "10.0.0.1:5".parse().expect("an address");
    assert_eq!(settings.refuses(&near), None);
    assert!(
        settings
            .refuses(&far)
            .is_some_and(|line| line.starts_with("DENIED "))
    );
    settings.apply(Changes {
        password: Some(Password::new(Bytes::from_static(b"x"))),
        ..Changes::default()
    });
    assert_eq!(settings.refuses(&far), None);
    settings.apply(Changes {
        password: Some(None),
        ..Changes::default()
    });
    assert!(settings.refuses(&far).is_some());
    settings.apply(Changes {
        protected_mode: Some(false),
        ..Changes::default()
    });
    assert_eq!(settings.refuses(&far), None);
}

#[test]
fn repair_takes_the_directory_before_or_after_its_name() {
    for arguments in [["repair", "--db-path", "x"], ["--db-path", "x", "repair"]] {
        match read(&arguments, &[]).expect("valid") {
            Invocation::Repair(config) => assert_eq!(config.db_path, PathBuf::from("x")),
            Invocation::Serve(_) => panic!("asked to repair"),
        }
    }
    assert!(read(&["repair", "--port", "1"], &[]).is_err());
    assert!(read(&["mend"], &[]).is_err());
}

#[test]
fn the_password_is_never_printed() {
    let config = serve(&["--requirepass", "hunter2"], &[]);
    assert!(!format!("{config:?} {:?}", Settings::new(&config)).contains("hunter2"));
}

#[test]
fn help_has_no_short_flag_and_version_is_the_crates() {
    let help = refusal(&["--help"], &[]);
    assert!(help.contains("-h, --hostname <HOST>"), "{help}");
    assert!(help.contains("MEILIES_MAX_CLIENTS"), "{help}");
    assert!(refusal(&["--version"], &[]).contains(env!("CARGO_PKG_VERSION")));
}
