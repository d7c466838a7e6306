//! What is shown of replies and pushes: events as lines, everything else as redis-cli would.

use anstyle::Style;
use meilies_client::{Event, Value};
use meilies_protocol::Push;

use super::json;
use super::reply::{write, write_error};
use super::session::Incoming;
use crate::output::Output;
use crate::output::people::{self, QUIET, escaped, put};

/// Turns what comes into text, or into lines of JSON.
#[derive(Debug)]
pub(crate) struct View {
    colour: bool,
    form: Form,
}

#[derive(Debug)]
enum Form {
    People(people::Writer),
    Json(json::Writer),
}

impl View {
    /// As the output is wanted.
    pub(crate) fn new(output: &Output) -> View {
        let colour = output.colour();
        View {
            colour,
            form: match output.json() {
                true => Form::Json(json::Writer::new()),
                false => Form::People(people::Writer::new(colour)),
            },
        }
    }

    /// Appends what came, in lines. `command` is the name of the command that it may reply to.
    pub(crate) fn incoming(&mut self, out: &mut Vec<u8>, command: &[u8], incoming: Incoming) {
        match incoming {
            Incoming::Push(push) => self.push(out, &push),
            Incoming::Reply(Value::Array(values))
                if command.eq_ignore_ascii_case(b"read-events") =>
            {
                match events(&values) {
                    Some(events) if !events.is_empty() => self.events(out, &events),
                    _ => self.reply(out, &Value::Array(values)),
                }
            }
            Incoming::Reply(reply) => self.reply(out, &reply),
        }
    }

    /// Appends something that is not from the server, for people only.
    pub(crate) fn note(&self, out: &mut Vec<u8>, text: &str) {
        if let Form::People(_) = self.form {
            put(out, self.colour, QUIET, text);
            out.push(b'\n');
        }
    }

    /// Appends an error that is not from the server.
    pub(crate) fn error(&mut self, out: &mut Vec<u8>, text: &str) {
        match &mut self.form {
            Form::People(_) => write_error(out, self.colour, &format!("(error) {text}")),
            Form::Json(writer) => {
                let error = Value::Error(text.to_owned().into());
                writer.reply(out, &error);
            }
        }
    }

    fn reply(&mut self, out: &mut Vec<u8>, reply: &Value) {
        match &mut self.form {
            Form::People(_) => write(out, self.colour, reply),
            Form::Json(writer) => writer.reply(out, reply),
        }
    }

    fn events(&mut self, out: &mut Vec<u8>, events: &[Event]) {
        match &mut self.form {
            Form::People(writer) => events.iter().for_each(|event| writer.event(out, event)),
            Form::Json(writer) => writer.events(out, events),
        }
    }

    fn push(&mut self, out: &mut Vec<u8>, push: &Value) {
        match (&mut self.form, Push::from_value(push.clone())) {
            (Form::People(writer), Ok(Push::Event(event) | Push::Pevent { event, .. })) => {
                writer.event(out, &event);
            }
            (Form::Json(writer), Ok(Push::Event(event) | Push::Pevent { event, .. })) => {
                writer.event(out, &event);
            }
            (Form::Json(writer), _) => writer.push(out, push),
            (Form::People(_), Ok(Push::Message { channel, message })) => {
                put(
                    out,
                    self.colour,
                    QUIET,
                    &format!("message to {}: ", escaped(&channel)),
                );
                write(out, self.colour, &Value::Bulk(message));
            }
            (
                Form::People(_),
                Ok(Push::Unreadable {
                    source,
                    next,
                    reason,
                }),
            ) => {
                let (source, reason) = (escaped(&source), escaped(&reason));
                let text = format!("the subscription to {source} ended at {next}: {reason}");
                write_error(out, self.colour, &text);
            }
            (Form::People(_), Ok(said)) => {
                put(out, self.colour, Style::new().dimmed(), &sentence(&said));
                out.push(b'\n');
            }
            (Form::People(_), Err(other)) => write(out, self.colour, &other),
        }
    }
}

/// All values as events, if all are.
fn events(values: &[Value]) -> Option<Vec<Event>> {
    let events = values
        .iter()
        .map(|value| Event::from_value(value.clone()).ok());
    events.collect()
}

fn sentence(push: &Push) -> String {
    match push {
        Push::CaughtUp { source, number } => {
            let source = escaped(source);
            match number {
                Some(number) => format!("{source}: caught up, the last event is {number}"),
                None => format!("{source}: caught up, there are no events"),
            }
        }
        Push::Ended { spec, next } => format!("{}: ended, {next} would be next", escaped(spec)),
        Push::Deleted { stream, number } => {
            format!("{}: deleted, the last event was {number}", escaped(stream))
        }
        Push::Subscribed { spec, count } => {
            format!("subscribed to {}, {}", escaped(spec), subscriptions(*count))
        }
        Push::Unsubscribed { name, count } => match name {
            Some(name) => {
                format!(
                    "unsubscribed from {}, {}",
                    escaped(name),
                    subscriptions(*count)
                )
            }
            None => "there was no subscription".to_owned(),
        },
        // They are shown in their own way.
        Push::Event(_) | Push::Pevent { .. } | Push::Unreadable { .. } | Push::Message { .. } => {
            String::new()
        }
    }
}

/// So many subscriptions.
pub(crate) fn subscriptions(count: u64) -> String {
    match count {
        1 => "1 subscription".to_owned(),
        count => format!("{count} subscriptions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(json: bool) -> View {
        View {
            colour: false,
            form: match json {
                true => Form::Json(json::Writer::new()),
                false => Form::People(people::Writer::new(false)),
            },
        }
    }

    fn shown(json: bool, command: &str, incoming: Incoming) -> String {
        let mut out = Vec::new();
        view(json).incoming(&mut out, command.as_bytes(), incoming);
        String::from_utf8(out).expect("people and programs read text")
    }

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(text.into())
    }

    fn event() -> Vec<Value> {
        vec![
            bulk("orders"),
            Value::Integer(7),
            Value::Integer(12),
            bulk("1700000000000-0"),
            Value::Array(vec![bulk("created"), bulk("{}")]),
        ]
    }

    fn push(kind: &'static str, rest: Vec<Value>) -> Incoming {
        Incoming::Push(Value::Push([vec![bulk(kind)], rest].concat()))
    }

    #[test]
    fn events_are_lines() {
        let line = shown(false, "", push("event", event()));
        assert!(line.ends_with("  orders  7  created  {}\n"), "{line}");
        let pevent = push("pevent", [vec![bulk("$all")], event()].concat());
        assert_eq!(shown(false, "", pevent.clone()), line);
        let reply = Incoming::Reply(Value::Array(vec![Value::Array(event())]));
        assert_eq!(shown(false, "Read-Events", reply.clone()), line);
        // Another command's list is shown as it is.
        assert!(shown(false, "other", reply.clone()).starts_with("1) 1) \"orders\""));

        let json = shown(true, "", push("event", event()));
        assert!(
            json.starts_with("{\"event\":{\"stream\":\"orders\",\"number\":7,"),
            "{json}"
        );
        let listed = shown(true, "read-events", reply);
        let expected = json
            .replace("{\"event\":", "{\"reply\":[")
            .replace("}}\n", "}]}\n");
        assert_eq!(listed, expected);
    }

    #[test]
    fn a_list_without_events_is_a_list() {
        let nothing = Incoming::Reply(Value::Array(Vec::new()));
        assert_eq!(
            shown(false, "read-events", nothing.clone()),
            "(empty array)\n"
        );
        assert_eq!(shown(true, "read-events", nothing), "{\"reply\":[]}\n");
    }

    #[test]
    fn other_pushes_are_sentences() {
        let number = Value::Integer;
        for (incoming, expected) in [
            (
                push("subscribe", vec![bulk("orders:0"), number(1)]),
                "subscribed to orders:0, 1 subscription\n",
            ),
            (
                push("unsubscribe", vec![bulk("orders"), number(2)]),
                "unsubscribed from orders, 2 subscriptions\n",
            ),
            (
                push("unsubscribe", vec![Value::Nil, number(0)]),
                "there was no subscription\n",
            ),
            (
                push("caught-up", vec![bulk("orders"), number(7)]),
                "orders: caught up, the last event is 7\n",
            ),
            (
                push("caught-up", vec![bulk("orders"), Value::Nil]),
                "orders: caught up, there are no events\n",
            ),
            (
                push("ended", vec![bulk("orders:0:3"), number(3)]),
                "orders:0:3: ended, 3 would be next\n",
            ),
            (
                push("deleted", vec![bulk("orders"), number(3)]),
                "orders: deleted, the last event was 3\n",
            ),
            (
                push("error", vec![bulk("orders"), number(3), bulk("damaged")]),
                "the subscription to orders ended at 3: damaged\n",
            ),
            (
                push("message", vec![bulk("c"), bulk("hi")]),
                "message to c: \"hi\"\n",
            ),
            (push("unheard-of", vec![]), "1) \"unheard-of\"\n"),
        ] {
            assert_eq!(shown(false, "", incoming), expected);
        }
        let ended = push("ended", vec![bulk("orders:0:3"), number(3)]);
        assert_eq!(
            shown(true, "", ended),
            "{\"push\":[\"ended\",\"orders:0:3\",3]}\n"
        );
    }

    #[test]
    fn notes_are_for_people() {
        let mut out = Vec::new();
        view(true).note(&mut out, "connected again");
        assert!(out.is_empty());
        view(true).error(&mut out, "ERR no");
        let line = String::from_utf8(out).expect("JSON is text");
        assert_eq!(line, "{\"error\":{\"code\":\"ERR\",\"message\":\"no\"}}\n");
    }
}
