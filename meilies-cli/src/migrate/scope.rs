//! What is to be copied: specs, each of which must say where it begins.

use std::collections::HashSet;
use std::ffi::OsString;

use meilies_client::{EventNumber, Position, StreamName};
use meilies_protocol::{From, Source, Spec};

use crate::failure::Failure;
use crate::specs;

/// What is to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every stream, in the order in which events were committed.
    All {
        from: Position,
        until: Option<Position>,
    },
    /// These streams.
    Streams(Vec<Wanted>),
}

/// A stream, and what is to be copied of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: StreamName,
    /// The event that gets the number 0.
    pub(super) from: EventNumber,
    pub(super) until: Option<EventNumber>,
}

impl Scope {
    pub(super) fn parse(specs: &[OsString]) -> Result<Scope, Failure> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut names = HashSet::new();
        for given in specs {
            let spec = specs::parse(given)?;
            let from = start(&spec)?;
            let until = spec.until;
            match spec.source {
                Source::All if specs.len() == 1 => return Ok(Scope::All { from, until }),
                Source::All => {
                    let text = "'$all' is every stream: name no other one with it";
                    return Err(Failure::Usage(text.to_owned()));
                }
                Source::Stream(name) if !names.insert(name.clone()) => {
                    return Err(Failure::Usage(format!("stream '{name}' is named twice")));
                }
                Source::Stream(name) => wanted.push(Wanted { name, from, until }),
            }
        }
        Ok(Scope::Streams(wanted))
    }

    /// Whether all that is wanted has an end.
    pub(super) fn is_bounded(&self) -> bool {
        match self {
            Scope::All { until, .. } => until.is_some(),
            Scope::Streams(wanted) => wanted.iter().all(|wanted| wanted.until.is_some()),
        }
    }
}

/// New events only would be others after each start, and those between two starts would be lost.
fn start(spec: &Spec) -> Result<u64, Failure> {
    let Some(From::Number(from)) = spec.from else {
        let all = Spec {
            from: Some(From::Number(0)),
            until: None,
            source: spec.source.clone(),
        };
        return Err(Failure::Usage(format!(
            "spec '{spec}' does not say where to begin: '{all}' copies everything"
        )));
    };
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(specs: &[&str]) -> Result<Scope, String> {
        let specs: Vec<OsString> = specs.iter().map(OsString::from).collect();
        Scope::parse(&specs).map_err(|failure| {
            assert!(matches!(failure, Failure::Usage(_)), "{failure}");
            failure.to_string()
        })
    }

    fn wanted(name: &'static str, from: u64, until: Option<u64>) -> Wanted {
        let name = StreamName::parse(name.into()).expect("a good name");
        Wanted { name, from, until }
    }

    #[test]
    fn specs_say_streams_and_ranges() {
        let all = |from, until| Ok(Scope::All { from, until });
        assert_eq!(parse(&["$all:0"]), all(0, None));
        assert_eq!(parse(&["$all:3:9"]), all(3, Some(9)));
        assert_eq!(
            parse(&["orders:0", "a:42:5:+", "b:2:5"]),
            Ok(Scope::Streams(vec![
                wanted("orders", 0, None),
                wanted("a:42", 5, None),
                wanted("b", 2, Some(5)),
            ]))
        );
    }

    #[test]
    fn it_ends_by_itself_if_everything_does() {
        let bounded = |specs: &[&str]| parse(specs).expect("good specs").is_bounded();
        assert!(bounded(&["$all:0:9"]));
        assert!(bounded(&["a:0:1", "b:2:3"]));
        assert!(!bounded(&["a:0:1", "b:2"]));
        assert!(!bounded(&["$all:0"]));
    }

    #[test]
    fn what_cannot_be_resumed_is_refused() {
        for (specs, reason) in [
            (
                &["orders"][..],
                "spec 'orders' does not say where to begin: 'orders:0' copies",
            ),
            (&["orders:$"], "'orders:0' copies everything"),
            (&["a:42:$"], "'a:42:0:+' copies everything"),
            (&["$all"], "'$all:0' copies everything"),
            (&["$all:0", "orders:0"], "every stream"),
            (
                &["orders:0", "orders:0:7"],
                "stream 'orders' is named twice",
            ),
            (&["orders:"], "spec 'orders:' has nothing where"),
            (&["$other:0"], "names a stream of the system"),
        ] {
            let text = parse(specs).expect_err("refused");
            assert!(text.contains(reason), "{specs:?}: {text}");
        }
    }
}
