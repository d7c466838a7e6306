//! `meilies-cli subscribe`: prints events until all specs have ended or it is stopped.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

use bytes::Bytes;
use clap::Args;
use futures::StreamExt;
use meilies_client::{Change, ConnectionKind, Item, Lifecycle, Spec, Subscription};

use crate::arguments::Server;
use crate::failure::{Failure, note};
use crate::interrupt::interrupted;
use crate::output::people::escaped;
use crate::output::{Lines, Output};
use crate::specs;

const EXAMPLES: &str = "\
Examples:
  meilies-cli subscribe orders
  meilies-cli subscribe orders:0 customers:0
  meilies-cli subscribe '$all:0' --until-caught-up --json | jq .name
  meilies-cli subscribe orders --count 1

It ends when it is stopped with Ctrl-C, when nobody reads its output any more, or when the end of \
every spec is reached. When the server goes away it waits for it and goes on behind the last \
event.";

/// Print the events of streams, one line each, and then those that come.
#[derive(Args, Debug)]
#[command(after_help = help(), arg_required_else_help = true)]
pub(crate) struct Subscribe {
    /// Streams and where to begin
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<OsString>,

    /// End after so many events
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End when everything that there is has been printed
    #[arg(long)]
    until_caught_up: bool,
}

fn help() -> String {
    format!(
        "{}\n\n{EXAMPLES}\n\n{}",
        specs::SUBSCRIBE_SPECS,
        specs::LINES
    )
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Subscribe,
    output: &Output,
) -> Result<(), Failure> {
    tokio::select! {
        outcome = follow(server, arguments, output) => outcome,
        stopped = interrupted() => stopped,
    }
}

async fn follow(server: &Server, arguments: &Subscribe, output: &Output) -> Result<(), Failure> {
    let mut lines = output.lines();
    if specs::any_of_all(&arguments.specs)? {
        lines.with_positions();
    }
    let mut end = End::of(arguments)?;
    let client = server
        .builder()?
        .on_lifecycle(tell_lifecycle)
        .connect()
        .await?;
    let specs = arguments.specs.iter().map(|spec| spec.as_bytes());
    let mut subscription = client.subscribe(specs).await?;
    match print(&mut subscription, &mut end, &mut lines).await {
        Err(Failure::Client(error)) => {
            // What came before a fault is shown; nobody needs to read it.
            lines.flush().await.ok();
            Err(Failure::Client(error))
        }
        outcome => outcome,
    }
}

async fn print(
    subscription: &mut Subscription,
    end: &mut End,
    lines: &mut Lines,
) -> Result<(), Failure> {
    while let Some(item) = subscription.next().await {
        let mut item = Some(item);
        // What came together is written together.
        while let Some(taken) = item {
            if end.take(&taken?, lines).is_break() {
                return lines.flush().await;
            }
            lines.write_if_full().await?;
            item = subscription.next_buffered();
        }
        lines.flush().await?;
    }
    Ok(())
}

/// Which items are still wanted.
struct End {
    events_left: Option<u64>,
    /// The sources that have not caught up, if that is waited for.
    behind: Option<Vec<Bytes>>,
}

impl End {
    fn of(arguments: &Subscribe) -> Result<End, Failure> {
        let sources = arguments
            .specs
            .iter()
            .map(|spec| {
                Ok(Bytes::copy_from_slice(
                    specs::parse(spec)?.source.as_bytes(),
                ))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(End {
            events_left: arguments.count,
            behind: arguments.until_caught_up.then_some(sources),
        })
    }

    /// Prints an item, and says whether it is the last.
    fn take(&mut self, item: &Item, lines: &mut Lines) -> ControlFlow<()> {
        match item {
            Item::Event(event) => {
                lines.event(event);
                return self.count();
            }
            Item::CaughtUp { source, .. } => self.leave(source),
            Item::Ended { spec, .. } => {
                if let Ok(spec) = Spec::parse_bytes(spec) {
                    self.leave(spec.source.as_bytes());
                }
            }
            Item::Deleted { stream, number } => {
                note(&format!(
                    "stream '{}' was deleted; its last event was {number}",
                    escaped(stream)
                ));
                self.leave(stream);
            }
        }
        match self.behind.as_ref().is_some_and(Vec::is_empty) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn count(&mut self) -> ControlFlow<()> {
        if let Some(left) = &mut self.events_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn leave(&mut self, source: &[u8]) {
        if let Some(behind) = &mut self.behind {
            behind.retain(|other| other != source);
        }
    }
}

/// Tells that events may come late, and that they come again.
pub(crate) fn tell_lifecycle(lifecycle: &Lifecycle) {
    if lifecycle.connection != ConnectionKind::Subscription {
        return;
    }
    match &lifecycle.change {
        Change::Lost { reason } => note(&format!("{reason}; connecting again")),
        Change::Reconnecting { attempt, .. } if attempt.is_power_of_two() && *attempt > 1 => {
            note(&format!("connecting again, attempt {attempt}"));
        }
        Change::Reconnecting { .. } | Change::Connected => {}
    }
}
