//! `meilies-cli publish`: appends one event.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::Args;
use meilies_client::{EventNumber, Expect};
use tokio::io::AsyncReadExt;

use crate::arguments::Server;
use crate::failure::Failure;
use crate::interrupt::or_interrupted;
use crate::output::{Output, json};

const HELP: &str = "\
Examples:
  meilies-cli publish orders created '{\"id\": 1}'
  meilies-cli publish orders created @order.json
  date | meilies-cli publish clock tick -
  meilies-cli publish orders-42 created '{}' --expect none
  meilies-cli publish orders-42 paid '{}' --expect 0

The number of the event is printed once it is stored, as durably as the server's --fsync says. \
With --json it is {\"stream\":\"orders\",\"number\":0}.

With --expect nothing is stored unless the stream is where you think it is; the exit code is 5 \
then. Without --expect, exit code 6 means that the reply was lost: the event is stored or not.";

/// Append an event to a stream and print its number.
#[derive(Args, Debug)]
#[command(after_help = HELP, arg_required_else_help = true)]
pub(crate) struct Publish {
    /// Name of the stream; it is created by its first event
    stream: OsString,

    /// Name of the event, such as created
    name: OsString,

    /// Data of the event: any bytes. @FILE is what a file holds, and - what standard input gives.
    /// Write -- before other data that begins with -
    #[arg(allow_negative_numbers = true)]
    data: OsString,

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
    // Whoever types the data is told before that there is no server.
    let client = or_interrupted(server.connect()).await?;
    let data = or_interrupted(read_data(arguments)).await?;
    let published = async {
        let (stream, name) = (arguments.stream.as_bytes(), arguments.name.as_bytes());
        let number = client.publish(stream, name, data, arguments.expect).await?;
        Ok(number)
    };
    match or_interrupted(published).await {
        Ok(number) => print(arguments, output, number).await,
        Err(Failure::Interrupted) => Err(Failure::After {
            failure: Box::new(Failure::Interrupted),
            done: "the event is stored or not".to_owned(),
        }),
        Err(failure) => Err(failure),
    }
}

async fn print(arguments: &Publish, output: &Output, number: EventNumber) -> Result<(), Failure> {
    let mut line = Vec::new();
    if output.json() {
        line.extend_from_slice(b"{\"stream\":");
        json::bytes(&mut line, arguments.stream.as_bytes());
        line.extend_from_slice(b",\"number\":");
        json::number(&mut line, number);
        line.push(b'}');
    } else {
        json::number(&mut line, number);
    }
    let mut lines = output.lines();
    lines.bytes(&line);
    lines.flush().await
}

async fn read_data(arguments: &Publish) -> Result<Vec<u8>, Failure> {
    let data = arguments.data.as_bytes();
    match data {
        _ if arguments.raw => Ok(data.to_vec()),
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
