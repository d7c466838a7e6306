//! `meilies-cli migrate`: copies streams from one server to another, in order, and each event once.
//!
//! There is no file that says how far it got: the streams of the destination do. A round looks
//! where they end, compares their last events with the source's, and goes on behind them. Every
//! publish expects the event before it, so whatever was on its way when something broke is stored
//! once or not at all, and the next round sees which.

mod current;
mod old;
mod places;
mod rounds;
mod scope;
mod window;

use std::ffi::OsString;
use std::pin::pin;

use clap::{Args, ValueEnum};
use futures::stream::LocalBoxStream;
use meilies_client::{Builder, Client, EventId, EventNumber, Reconnect, StreamName};

use self::current::Current;
use self::old::Old;
use self::rounds::Rounds;
use self::scope::Scope;
use crate::arguments::Server;
use crate::content::Content;
use crate::failure::Failure;
use crate::interrupt::interrupted;
use crate::output::Output;
use crate::subscribe::tell_lifecycle;

const MIGRATE_HELP: &str = "\
Examples:
  meilies-cli migrate --from old.example --until-caught-up
  meilies-cli migrate --from meilies://old.example:6480 --to meilies://new.example orders:0
  meilies-cli -h new.example migrate --from old.example 'orders:0' 'invoices:100:200'

A SPEC is a stream and what to copy of it:
  '$all:0'        every event of every stream; this is the default
  orders:0        all of orders
  orders:5        from event 5 on; it gets the number 0 at the destination
  orders:2:5      events 2, 3 and 4
  orders:42:0:+   all of orders:42, a name that ends with a number

Events keep their names, data, fields and order; of $all:0 also the order between streams. They \
keep their numbers if their stream is copied from 0. An event keeps its id, and so its time, if \
that is above the last id of the stream at the destination, as it is unless others have written \
there; if not, it and those behind it get new ones. With --new-ids they all do, and so do \
those from 0.2, which has none.

It ends when the end of every spec is reached, with --until-caught-up when what there was at the \
start is copied, and otherwise with Ctrl-C. Then it prints how many events were copied.

It may be stopped and killed at any moment, and started again with the same specs: it finds out \
what the destination has and goes on behind it, and publishes nothing twice. When a server goes \
away, it waits for it. For this the last event of each stream at the destination is compared with \
the source's. If it is another one, the stream holds other events: then nothing is written. Nobody \
else should write to these streams meanwhile; whoever does is noticed, and it stops.

When the destination refuses an event, as on a full disk, events of other streams that were on \
their way may come before it. In every other case the order between streams is kept.

Where the source has deleted an event, those behind it could not keep their numbers: it stops and \
says so. A range behind it can be copied by itself to where its stream has no events.

A server of MeiliES 0.2 is recognized. It has no order between streams: they are copied one after \
the other. Where it lost an event in a crash, those behind it move up, and that is told. To follow \
it is to ask it several times a second.";

/// Copy streams from one server to another.
#[derive(Args, Debug)]
#[command(after_help = MIGRATE_HELP)]
pub(crate) struct Migrate {
    /// What to copy
    #[arg(value_name = "SPEC", default_value = "$all:0")]
    specs: Vec<OsString>,

    /// Server to copy from: meilies://[USER:PASSWORD@]HOST[:PORT]. Where it has a password, set it
    /// in the environment: other users of this machine can see flags
    #[arg(
        long,
        value_name = "URL",
        env = "MEILIES_FROM_URL",
        hide_env_values = true
    )]
    from: String,

    /// Server to copy to [default: the one that the connection flags name]
    #[arg(
        long,
        value_name = "URL",
        env = "MEILIES_TO_URL",
        hide_env_values = true
    )]
    to: Option<String>,

    /// End when everything that is there at the start is copied, and do not follow
    #[arg(long)]
    until_caught_up: bool,

    /// Give all events new ids, whatever their ids are
    #[arg(long)]
    new_ids: bool,

    /// Version of MeiliES that the source is [default: found out]
    #[arg(long, value_name = "VERSION", value_enum)]
    from_version: Option<SourceVersion>,
}

/// What the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SourceVersion {
    /// MeiliES 0.2, which has another protocol
    #[value(name = "0.2")]
    Old,
    /// The version of this program
    #[value(name = "0.3")]
    Current,
}

pub(crate) async fn run(
    server: &Server,
    arguments: &Migrate,
    output: &Output,
) -> Result<(), Failure> {
    let mut stop = pin!(interrupted());
    let rounds = tokio::select! {
        // Before anything else, so that a signal finds it.
        biased;
        stopped = stop.as_mut() => return stopped.and(Err(Failure::Interrupted)),
        rounds = prepare(server, arguments) => rounds?,
    };
    rounds.run(stop, output).await
}

async fn prepare(server: &Server, arguments: &Migrate) -> Result<Rounds, Failure> {
    let scope = Scope::parse(&arguments.specs)?;
    let destination = destination(server, arguments)?;
    let client = destination.clone().connect().await?;
    let source = source(arguments, scope).await?;
    refuse_same_store(&source, &client).await?;
    Ok(Rounds::new(source, destination, client))
}

/// A client of the destination does not connect again by itself. It would send what had not left
/// it before it is known what became of the rest, and so change the order between streams.
fn destination(server: &Server, arguments: &Migrate) -> Result<Builder, Failure> {
    let builder = match &arguments.to {
        Some(url) => Client::builder(url)?,
        None => server.builder()?,
    };
    Ok(builder.reconnect(Reconnect {
        attempts_max: Some(0),
        ..Reconnect::default()
    }))
}

async fn source(arguments: &Migrate, scope: Scope) -> Result<Source, Failure> {
    let bounded = arguments.until_caught_up;
    let url = arguments.from.as_str();
    let old = |scope| Ok(Source::Old(Old::new(url, scope, bounded)?));
    if arguments.from_version == Some(SourceVersion::Old) {
        return old(scope);
    }
    let builder = Client::builder(url)?.on_lifecycle(tell_lifecycle);
    match builder.connect().await {
        Ok(client) => {
            let current = Current::new(client, scope, bounded, arguments.new_ids);
            Ok(Source::Current(current))
        }
        Err(_) if arguments.from_version.is_none() && old::speaks(url).await => old(scope),
        Err(error) => Err(error.into()),
    }
}

/// To copy a store into itself would look as if everything was there.
async fn refuse_same_store(source: &Source, destination: &Client) -> Result<(), Failure> {
    let Source::Current(source) = source else {
        return Ok(());
    };
    let here = source.store_id().await?;
    let there = destination.server_info().await?;
    if here.is_some() && here.as_deref() == there.get("store_id") {
        return Err(Failure::Usage(
            "the source and the destination are the same store".to_owned(),
        ));
    }
    Ok(())
}

/// What is copied from.
#[derive(Debug)]
enum Source {
    Current(Current),
    Old(Old),
}

/// What a round is to copy.
struct Plan<'a> {
    /// The events that the destination lacks, in order. Ends if what is wanted has an end.
    events: LocalBoxStream<'a, Result<Transfer, Failure>>,
    /// How many they are, as far as that is known.
    count: Option<u64>,
}

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Transfer {
    stream: StreamName,
    /// What it gets at the destination.
    number: EventNumber,
    /// The id that it keeps.
    id: Option<EventId>,
    content: Content,
}

impl Source {
    /// Finds out what the destination lacks. Nothing is written before that is known.
    async fn plan(&mut self, destination: &Client) -> Result<Plan<'_>, Failure> {
        match self {
            Source::Current(current) => current.plan(destination).await,
            Source::Old(old) => old.plan(destination).await,
        }
    }

    /// Whether it ends by itself.
    fn is_bounded(&self) -> bool {
        match self {
            Source::Current(current) => current.is_bounded(),
            Source::Old(old) => old.is_bounded(),
        }
    }
}
