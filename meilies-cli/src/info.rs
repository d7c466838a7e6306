//! `meilies-cli info`: how the server is, or what is known of a stream.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use anstyle::Style;
use clap::Args;
use meilies_client::{Event, ServerInfo, StreamInfo};

use crate::arguments::Server;
use crate::ends::Ends;
use crate::failure::Failure;
use crate::output::people::{self, escaped, put};
use crate::output::time::Times;
use crate::output::{Output, json};

const HELP: &str = "\
Examples:
  meilies-cli info
  meilies-cli info --json | jq -r .server.meilies_version
  meilies-cli info orders

Without a stream it is what INFO of the server says; its README explains the fields. With --json \
it is one line, an object of sections whose fields are strings. Of a stream there are its \
last event number, how many events are kept, its stream id, which no other stream gets, its last \
id, when it was made, and its first and last event.";

const HEADING: Style = Style::new().bold();

/// Show how the server is, or what is known of a stream.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Info {
    /// Name of a stream; without it the server is shown
    stream: Option<OsString>,
}

pub(crate) async fn run(server: &Server, arguments: &Info, output: &Output) -> Result<(), Failure> {
    let client = server.connect().await?;
    let text = if let Some(stream) = &arguments.stream {
        let info = client.stream_info(stream.as_bytes()).await?;
        let Some(info) = info else {
            let name = escaped(stream.as_bytes());
            return Err(Failure::Missing(format!("there is no stream '{name}'")));
        };
        let ends = Ends::ask(&client, &info.name).await?;
        match output.json() {
            true => stream_json(&info, &ends),
            false => stream_text(&info, &ends, output.colour()),
        }
    } else {
        let info = client.server_info().await?;
        match output.json() {
            true => server_json(&info),
            false => server_text(&info, output.colour()),
        }
    };
    let mut lines = output.lines();
    lines.bytes(&text);
    lines.flush().await
}

fn server_text(info: &ServerInfo, colour: bool) -> Vec<u8> {
    let fields = info.sections().iter().flat_map(|(_, fields)| fields);
    let columns = fields.map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut out = Vec::new();
    for (section, fields) in info
        .sections()
        .iter()
        .filter(|(_, fields)| !fields.is_empty())
    {
        if !out.is_empty() {
            out.extend_from_slice(b"\n\n");
        }
        put(&mut out, colour, HEADING, section);
        for (name, value) in fields {
            out.extend_from_slice(b"\n  ");
            put(&mut out, colour, people::NAME, name);
            if !value.is_empty() {
                let padding = " ".repeat(columns.saturating_sub(name.len()) + 2);
                out.extend_from_slice(padding.as_bytes());
                out.extend_from_slice(escaped(value.as_bytes()).as_bytes());
            }
        }
    }
    out
}

fn server_json(info: &ServerInfo) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (index, (section, fields)) in info.sections().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::string(&mut out, &section.to_lowercase());
        out.extend_from_slice(b":{");
        for (index, (name, value)) in fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::string(&mut out, name);
            out.push(b':');
            json::string(&mut out, value);
        }
        out.push(b'}');
    }
    out.push(b'}');
    out
}

fn stream_text(info: &StreamInfo, ends: &Ends, colour: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = people::Writer::new(colour);
    writer.with_positions();
    put(&mut out, colour, HEADING, "stream             ");
    put(
        &mut out,
        colour,
        people::STREAM,
        &escaped(info.name.as_bytes()),
    );
    let number = |number: Option<u64>| number.map_or(String::new(), |it| it.to_string());
    for (heading, value) in [
        ("\nlast event number  ", number(info.last_event_number)),
        ("\nevents             ", info.events.to_string()),
        ("\nstream id          ", info.stream_id.to_string()),
        ("\nlast id            ", info.last_id.to_string()),
    ] {
        put(&mut out, colour, HEADING, heading);
        put(&mut out, colour, people::NUMBER, &value);
    }
    put(&mut out, colour, HEADING, "\ncreated            ");
    Times::local().write(&mut out, info.created_at_ms);
    for (heading, event) in [
        ("\nfirst event        ", &ends.first),
        ("\nlast event         ", &ends.last),
    ] {
        put(&mut out, colour, HEADING, heading);
        if let Some(event) = event {
            writer.event(&mut out, event);
            out.pop();
        }
    }
    out
}

fn stream_json(info: &StreamInfo, ends: &Ends) -> Vec<u8> {
    let mut writer = json::Writer::new();
    let mut out = b"{\"stream\":".to_vec();
    json::bytes(&mut out, info.name.as_bytes());
    for (name, number) in [
        ("stream_id", Some(info.stream_id)),
        ("last_event_number", info.last_event_number),
        ("first_event_number", info.first_event_number),
        ("events", Some(info.events)),
        ("created_at", Some(info.created_at_ms)),
    ] {
        out.push(b',');
        json::string(&mut out, name);
        out.push(b':');
        match number {
            Some(number) => json::number(&mut out, number),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b",\"last_id\":");
    json::string(&mut out, &info.last_id.to_string());
    let mut event = |out: &mut Vec<u8>, event: &Option<Event>| match event {
        Some(event) => writer.object(out, event),
        None => out.extend_from_slice(b"null"),
    };
    out.extend_from_slice(b",\"first\":");
    event(&mut out, &ends.first);
    out.extend_from_slice(b",\"last\":");
    event(&mut out, &ends.last);
    out.push(b'}');
    out
}
