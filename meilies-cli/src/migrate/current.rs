//! Reading a source that speaks this protocol: where the destination ends in each stream, and what
//! comes behind that, as one subscription.

use std::collections::HashSet;

use bytes::BytesMut;
use futures::{StreamExt, TryStreamExt, future, stream};
use meilies_client::{Client, Event, EventId, EventNumber, Item, Position, StreamName};
use meilies_protocol::{From, Source, Spec};

use super::places::{Place, Places, gap};
use super::scope::{Scope, Wanted};
use super::{Plan, Transfer};
use crate::failure::Failure;
use crate::limits::QUESTIONS_MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Current {
    client: Client,
    scope: Scope,
    /// Whether it ends at the tail.
    until_caught_up: bool,
    /// Whether events get new ids at the destination.
    new_ids: bool,
}

impl Current {
    pub(super) fn new(
        client: Client,
        scope: Scope,
        until_caught_up: bool,
        new_ids: bool,
    ) -> Current {
        Current {
            client,
            scope,
            until_caught_up,
            new_ids,
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.until_caught_up || self.scope.is_bounded()
    }

    pub(super) async fn store_id(&self) -> Result<Option<String>, Failure> {
        let info = self.client.server_info().await?;
        Ok(info.get("store_id").map(str::to_owned))
    }

    pub(super) async fn plan(&self, destination: &Client) -> Result<Plan<'_>, Failure> {
        match &self.scope {
            Scope::All { from, until } => self.plan_all(destination, *from, *until).await,
            Scope::Streams(wanted) => self.plan_streams(destination, wanted).await,
        }
    }

    async fn plan_all(
        &self,
        destination: &Client,
        from: Position,
        until: Option<Position>,
    ) -> Result<Plan<'_>, Failure> {
        // Looked up first: what comes later has a higher position, and so is within what is read.
        let behind_tail = self.behind_tail(&Source::All).await?;
        let mut places = Places::new(self.new_ids);
        let mut start = behind_tail.max(from);
        let names = self.client.stream_names(None).await?;
        let there: HashSet<StreamName> =
            destination.stream_names(None).await?.into_iter().collect();
        if from == 0 && !names.iter().any(|name| there.contains(name)) {
            start = 0;
        } else {
            let looks = stream::iter(names).map(|name| async {
                let base = self.first_from(&name, from).await?;
                let is_there = there.contains(&name);
                let found = self.look(destination, &name, base, is_there).await?;
                Ok::<_, Failure>((name, found))
            });
            let mut looks = looks.buffer_unordered(QUESTIONS_MAX);
            while let Some((name, (place, missing))) = looks.try_next().await? {
                start = missing.map_or(start, |event| start.min(event.position));
                places.set(name, place);
            }
        }
        let spec = Spec {
            source: Source::All,
            from: Some(From::Number(start)),
            until: self.end(until, behind_tail),
        };
        let count = spec.until.unwrap_or(behind_tail).saturating_sub(start);
        self.read(vec![spec], places, count).await
    }

    async fn plan_streams(
        &self,
        destination: &Client,
        wanted: &[Wanted],
    ) -> Result<Plan<'_>, Failure> {
        let mut places = Places::new(self.new_ids);
        let (mut specs, mut count) = (Vec::new(), 0);
        for Wanted { name, from, until } in wanted {
            let is_there = destination.last_event_number(name).await?.is_some();
            let (place, _missing) = self.look(destination, name, *from, is_there).await?;
            let source = Source::Stream(name.clone());
            let behind_tail = self.behind_tail(&source).await?;
            let until = self.end(*until, behind_tail);
            count += until.unwrap_or(behind_tail).saturating_sub(place.source);
            let from = Some(From::Number(place.source));
            specs.push(Spec {
                source,
                from,
                until,
            });
            places.set(name.clone(), place);
        }
        self.read(specs, places, count).await
    }

    /// Subscribes to what is not empty.
    async fn read(
        &self,
        specs: Vec<Spec>,
        mut places: Places,
        count: u64,
    ) -> Result<Plan<'_>, Failure> {
        let is_empty = |spec: &Spec| match (spec.from, spec.until) {
            (Some(From::Number(from)), Some(until)) => until <= from,
            _ => false,
        };
        let specs: Vec<BytesMut> = specs
            .iter()
            .filter(|spec| !is_empty(spec))
            .map(text)
            .collect();
        let count = Some(count);
        if specs.is_empty() {
            let events = stream::empty().boxed_local();
            return Ok(Plan { events, count });
        }
        let subscription = self.client.subscribe(specs).await?;
        let events = subscription.map(move |item| transfer(&mut places, item?));
        let events = events.filter_map(|taken| future::ready(taken.transpose()));
        Ok(Plan {
            events: events.boxed_local(),
            count,
        })
    }

    /// Compares the last event that the destination has of a stream with the source's, and returns
    /// the place behind it. Also the event there, or the first one after it.
    async fn look(
        &self,
        destination: &Client,
        name: &StreamName,
        base: EventNumber,
        is_there: bool,
    ) -> Result<(Place, Option<Event>), Failure> {
        let last = match is_there {
            true => last_event(destination, name).await?,
            false => None,
        };
        let last_id = match destination.stream_info(name).await? {
            Some(info) => info.last_id,
            None => EventId::MIN,
        };
        let Some(last) = last else {
            let place = Place::behind(base, 0, last_id);
            let missing = self.first_at(name, place).await?;
            return Ok((place, missing));
        };
        let number = base.saturating_add(last.number);
        match first_event(&self.client, name, number).await? {
            Some(event) if event.number == number && event.fields == last.fields => {}
            Some(event) if event.number == number => {
                return Err(Failure::Conflict(format!(
                    "stream '{name}' of the destination holds other events: its event {} is not \
                     event {number} of the source",
                    last.number
                )));
            }
            Some(event) => return Err(gap(name, number, event.number)),
            None => {
                return Err(Failure::Conflict(format!(
                    "stream '{name}' of the destination holds other events: it goes up to {}, and \
                     the source has no event {number}",
                    last.number
                )));
            }
        }
        let place = Place::behind(base, last.number + 1, last_id);
        let missing = self.first_at(name, place).await?;
        Ok((place, missing))
    }

    /// The event at a place of the source; nothing if it is behind the tail.
    async fn first_at(&self, name: &StreamName, place: Place) -> Result<Option<Event>, Failure> {
        match first_event(&self.client, name, place.source).await? {
            Some(event) if event.number != place.source => {
                Err(gap(name, place.source, event.number))
            }
            found => Ok(found),
        }
    }

    /// The number of a stream's first event that stands at this position or behind it, or the one
    /// that its next event will get.
    async fn first_from(
        &self,
        name: &StreamName,
        position: Position,
    ) -> Result<EventNumber, Failure> {
        if position == 0 {
            return Ok(0);
        }
        let source = Source::Stream(name.clone());
        let (mut low, mut high) = (0, self.behind_tail(&source).await?);
        // Invariant: those below `low` stand before the position, those from `high` on do not.
        while low < high {
            let middle = low + (high - low) / 2;
            match first_event(&self.client, name, middle).await? {
                Some(event) if event.position < position => low = event.number + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The number, or position, that comes next.
    async fn behind_tail(&self, source: &Source) -> Result<u64, Failure> {
        let spec = Spec {
            source: source.clone(),
            from: Some(From::Number(0)),
            until: None,
        };
        let mut last = self.client.read(text(&spec))?.reverse().limit(1);
        let last = last.try_next().await?;
        Ok(last.map_or(0, |event| match source {
            Source::All => event.position + 1,
            Source::Stream(_) => event.number + 1,
        }))
    }

    /// Where to stop.
    fn end(&self, until: Option<u64>, behind_tail: u64) -> Option<u64> {
        match self.until_caught_up {
            true => Some(until.map_or(behind_tail, |until| until.min(behind_tail))),
            false => until,
        }
    }
}

fn transfer(places: &mut Places, item: Item) -> Result<Option<Transfer>, Failure> {
    match item {
        Item::Event(event) => places.take(event),
        Item::CaughtUp { .. } | Item::Ended { .. } => Ok(None),
        Item::Deleted { stream, .. } => Err(Failure::Damaged(format!(
            "stream '{}' was deleted at the source",
            stream.escape_ascii()
        ))),
    }
}

/// A stream's event of this number, or the first one after it.
async fn first_event(
    client: &Client,
    name: &StreamName,
    number: EventNumber,
) -> Result<Option<Event>, Failure> {
    let spec = Spec {
        source: Source::Stream(name.clone()),
        from: Some(From::Number(number)),
        until: None,
    };
    Ok(client.read(text(&spec))?.limit(1).try_next().await?)
}

pub(super) async fn last_event(
    client: &Client,
    name: &StreamName,
) -> Result<Option<Event>, Failure> {
    let Some(number) = client.last_event_number(name).await? else {
        return Ok(None);
    };
    match first_event(client, name, number).await? {
        Some(event) => Ok(Some(event)),
        None => Err(Failure::Damaged(format!(
            "event {number} of '{name}', the last one at the destination, was deleted there: \
             it cannot be compared with the source's"
        ))),
    }
}

fn text(spec: &Spec) -> BytesMut {
    let mut text = BytesMut::new();
    spec.write(&mut text);
    text
}
