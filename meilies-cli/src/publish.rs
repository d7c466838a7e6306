//! `meilies-cli publish`: appends one event.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::Args;
use meilies_client::{EventId, EventNumber, Expect};
use tokio::io::AsyncReadExt;

use crate::arguments::Server;
use crate::failure::Failure;
use crate::interrupt::or_interrupted;
use crate::output::people::escaped;
use crate::output::{Output, json};

const HELP: &str = "\
Examples:
  meilies-cli publish orders created '{\"id\": 1}'
  meilies-cli publish orders created @order.json
  date | meilies-cli publish clock tick -
  meilies-cli publish orders-42 created '{}' --expect none
  meilies-cli publish orders-42 paid '{}' --expect 0
  meilies-cli publish orders --field id=1 --field total=30

The number of the event is printed once it is stored, as durably as the server's --fsync says. \
With --json it is {\"stream\":\"orders\",\"number\":0}. Of an event with --field its id is \
printed, with --json {\"stream\":\"orders\",\"id\":\"1700000000000-0\"}.

With --expect nothing is stored unless the stream is where you think it is; the exit code is 5 \
then. Without --expect, exit code 6 means that the reply was lost: the event is stored or not.";

/// Append an event to a stream and print its number, or its id if it has several fields.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct Publish {
    /// Name of the stream; it is created by its first event
    stream: OsString,

    /// Name of the event, such as created
    #[arg(required_unless_present = "fields")]
    name: Option<OsString>,

    /// Data of the event: any bytes. @FILE is what a file holds, and - what standard input gives.
    /// Write -- before other data that begins with -
    #[arg(allow_negative_numbers = true, required_unless_present = "fields")]
    data: Option<OsString>,

    /// A field of the event, in place of NAME and DATA: its name, = and its value, as it is. Once
    /// for each field, in order
    #[arg(
        long = "field",
        value_name = "NAME=VALUE",
        conflicts_with_all = ["name", "data", "raw"]
    )]
    fields: Vec<OsString>,

    /// Take DATA as it is, also if it is - or begins with @. For data that others have chosen
    #[arg(long)]
    raw: bool,

    /// Where the stream must be, or nothing is stored: N is the number of its last event, none
    /// means that it has no event, exists that it has one, any is no condition
    #[arg(long, value_name = "N|none|exists|any", default_value = "any", value_parser = expect)]
    expect: Expect,
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Publish,
    output: &Output,
) -> Result<(), Failure> {
    let fields = arguments.fields.iter().map(|field| split(field.as_bytes()));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    // Whoever types the data is told before that there is no server.
    let client = or_interrupted(server.connect()).await?;
    let data = or_interrupted(read_data(arguments)).await?;
    let published = async {
        let (stream, expect) = (arguments.stream.as_bytes(), arguments.expect);
        let Some(name) = &arguments.name else {
            return Ok(Stored::Id(client.append(stream, fields, expect).await?));
        };
        let number = client.publish(stream, name.as_bytes(), data, expect);
        Ok(Stored::Number(number.await?))
    };
    match or_interrupted(published).await {
        Ok(stored) => print(arguments, output, stored).await,
        Err(Failure::Interrupted) => Err(Failure::After {
            failure: Box::new(Failure::Interrupted),
            done: "the event is stored or not".to_owned(),
        }),
        Err(failure) => Err(failure),
    }
}

/// What the server says of the event that it has stored.
enum Stored {
    Number(EventNumber),
    Id(EventId),
}

/// The name and the value of a field.
fn split(field: &[u8]) -> Result<(&[u8], &[u8]), Failure> {
    let equals = field.iter().position(|byte| *byte == b'=');
    match equals {
        Some(at) => Ok((&field[..at], &field[at + 1..])),
        None => Err(Failure::Usage(format!(
            "'{}' is no field: write its name, = and its value",
            escaped(field)
        ))),
    }
}

async fn print(arguments: &Publish, output: &Output, stored: Stored) -> Result<(), Failure> {
    let mut line = Vec::new();
    if output.json() {
        line.extend_from_slice(b"{\"stream\":");
        json::bytes(&mut line, arguments.stream.as_bytes());
        match stored {
            Stored::Number(number) => {
                line.extend_from_slice(b",\"number\":");
                json::number(&mut line, number);
            }
            Stored::Id(id) => {
                line.extend_from_slice(b",\"id\":");
                json::string(&mut line, &id.to_string());
            }
        }
        line.push(b'}');
    } else {
        match stored {
            Stored::Number(number) => json::number(&mut line, number),
            Stored::Id(id) => line.extend_from_slice(id.to_string().as_bytes()),
        }
    }
    let mut lines = output.lines();
    lines.bytes(&line);
    lines.flush().await
}

async fn read_data(arguments: &Publish) -> Result<Vec<u8>, Failure> {
    let Some(data) = &arguments.data else {
        return Ok(Vec::new());
    };
    match data.as_bytes() {
        data if arguments.raw => Ok(data.to_vec()),
        b"-" => {
            let mut bytes = Vec::new();
            let read = tokio::io::stdin().read_to_end(&mut bytes).await;
            read.map_err(|error| file("standard input".into(), error))?;
            Ok(bytes)
        }
        [b'@', path @ ..] => {
            let path = PathBuf::from(OsString::from_vec(path.to_vec()));
            let read = tokio::fs::read(&path).await;
            read.map_err(|error| file(path, error))
        }
        data => Ok(data.to_vec()),
    }
}

fn file(path: PathBuf, error: std::io::Error) -> Failure {
    Failure::File { path, error }
}

fn expect(text: &str) -> Result<Expect, String> {
    match text {
        "any" => Ok(Expect::Any),
        "none" => Ok(Expect::None),
        "exists" => Ok(Expect::Exists),
        digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse()
            .map(Expect::Number)
            .map_err(|_| format!("the limit is {}", u64::MAX)),
        _ => Err("expected the number of an event, none, exists or any".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_words_or_numbers() {
        assert_eq!(expect("any"), Ok(Expect::Any));
        assert_eq!(expect("none"), Ok(Expect::None));
        assert_eq!(expect("exists"), Ok(Expect::Exists));
        assert_eq!(expect("0"), Ok(Expect::Number(0)));
        assert_eq!(expect("18446744073709551615"), Ok(Expect::Number(u64::MAX)));
        for text in ["", "-1", "+1", "1.0", "None", "18446744073709551616"] {
            assert!(expect(text).is_err(), "{text}");
        }
    }
}
