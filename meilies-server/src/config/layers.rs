//! Where a value comes from: the flag before the environment before the file before the default.
//! Nothing here knows what a value means.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::error::{ConfigError, Origin};
use super::settings::{CONFIG, SETTINGS, Setting};
use super::value::ValueError;

/// How a variable of the environment is looked up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The given values, each with its origin; a setting that is not in here has its default.
#[derive(Debug, Default)]
pub(super) struct Layers {
    given: BTreeMap<&'static str, (Vec<OsString>, Origin)>,
    /// The file that was read.
    pub(super) file: Option<PathBuf>,
}

impl Layers {
    /// Reads all layers.
    pub(super) fn gather(
        matches: &ArgMatches,
        environment: Environment,
    ) -> Result<Layers, ConfigError> {
        let mut layers = Layers::default();
        for setting in SETTINGS {
            let value = flag(setting, matches).or_else(|| variable(setting, environment));
            if let Some(value) = value {
                layers.given.insert(setting.name, value);
            }
        }
        if let Some((values, _)) = layers.given.get(CONFIG) {
            let path = PathBuf::from(values.last().map_or(OsStr::new(""), OsString::as_os_str));
            layers.read_file(&path)?;
            layers.file = Some(path);
        }
        Ok(layers)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::FileUnreadable {
            path: path.to_owned(),
            error,
        })?;
        let table: toml::Table = text.parse().map_err(|error| ConfigError::FileSyntax {
            path: path.to_owned(),
            error: Box::new(error),
        })?;
        for (key, value) in table {
            let setting = SETTINGS
                .iter()
                .find(|setting| setting.name == key && key != CONFIG);
            let Some(setting) = setting else {
                return Err(ConfigError::UnknownKey {
                    path: path.to_owned(),
                    key,
                });
            };
            let Some(values) = file_values(&value) else {
                return Err(ConfigError::FileValue {
                    path: path.to_owned(),
                    key,
                });
            };
            let origin = Origin::File(setting.name, path.to_owned());
            self.given.entry(setting.name).or_insert((values, origin));
        }
        Ok(())
    }

    /// The meaning of a setting that takes one value.
    pub(super) fn one<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<T, ConfigError> {
        let raw = self.raw(name)?;
        let parsed = match raw.to_str() {
            Some(text) => parse(text),
            None => Err(ValueError::NotText),
        };
        parsed.map_err(|error| self.wrong(name, error))
    }

    /// The meaning of a setting that takes a list.
    pub(super) fn many<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<Vec<T>, ConfigError> {
        let default = [OsString::from(default(name))];
        let raw = self
            .given
            .get(name)
            .map_or(&default[..], |(values, _)| values);
        let mut parsed = Vec::new();
        for value in raw {
            let text = value
                .to_str()
                .ok_or_else(|| self.wrong(name, ValueError::NotText))?;
            for part in text.split(',') {
                parsed.push(parse(part).map_err(|error| self.wrong(name, error))?);
            }
        }
        if parsed.is_empty() {
            return Err(self.wrong(name, ValueError::Empty));
        }
        Ok(parsed)
    }

    /// The value of a setting as it was given, or its default.
    pub(super) fn raw(&self, name: &'static str) -> Result<OsString, ConfigError> {
        match self.given.get(name) {
            None => Ok(OsString::from(default(name))),
            Some((values, _)) => match values.as_slice() {
                [value] => Ok(value.clone()),
                values => Err(self.wrong(name, ValueError::Several(values.len()))),
            },
        }
    }

    /// Says where a wrong value stands.
    pub(super) fn wrong(&self, name: &'static str, error: ValueError) -> ConfigError {
        let origin = match self.given.get(name) {
            Some((_, origin)) => origin.clone(),
            None => Origin::Flag(name),
        };
        ConfigError::Value { origin, error }
    }
}

fn default(name: &str) -> &'static str {
    let setting = SETTINGS.iter().find(|setting| setting.name == name);
    setting
        .expect("settings are named as in the table: every one is read by a test")
        .default
}

fn flag(setting: &Setting, matches: &ArgMatches) -> Option<(Vec<OsString>, Origin)> {
    if matches.value_source(setting.name) != Some(ValueSource::CommandLine) {
        return None;
    }
    let values = matches
        .get_many::<OsString>(setting.name)?
        .cloned()
        .collect();
    Some((values, Origin::Flag(setting.name)))
}

fn variable(setting: &Setting, environment: Environment) -> Option<(Vec<OsString>, Origin)> {
    let name = setting.variable();
    let value = environment(&name).filter(|value| !value.is_empty())?;
    Some((vec![value], Origin::Environment(name)))
}

fn file_values(value: &toml::Value) -> Option<Vec<OsString>> {
    match value {
        toml::Value::Array(items) => items.iter().map(file_value).collect(),
        value => Some(vec![file_value(value)?]),
    }
}

fn file_value(value: &toml::Value) -> Option<OsString> {
    match value {
        toml::Value::String(text) => Some(OsString::from(text)),
        toml::Value::Integer(number) => Some(OsString::from(number.to_string())),
        toml::Value::Boolean(true) => Some(OsString::from("yes")),
        toml::Value::Boolean(false) => Some(OsString::from("no")),
        _ => None,
    }
}
