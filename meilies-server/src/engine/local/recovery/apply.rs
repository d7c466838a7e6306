//! What a commit read from the log changes: the same state that the committer made when it wrote
//! it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use meilies_protocol::limits::IDEMPOTENCY_KEYS_MAX;
use meilies_protocol::{EventId, StreamName};

use super::Recovery;
use crate::engine::batch::Events;
use crate::engine::keys::{StoredKey, hash};
use crate::engine::local::OpenError;
use crate::engine::local::checkpoint::Maintenance;
use crate::engine::local::commit::{BatchHeader, FormatError, Found, Header, Kind, batches};
use crate::engine::local::group_entries;
use crate::engine::local::live::{CommitChanges, GroupChanges, Known, StreamChange};
use crate::engine::local::log::{CommitPlace, Location, Segment};
use crate::engine::local::segment::{Footer, FooterEntry};
use crate::engine::local::settings::StoreSettings;
use crate::engine::local::stream_entries::{Deletions, StreamSettings};
use crate::engine::{DeletedNumbers, Group, Producer, StreamSummary};

impl Recovery {
    /// Verifies all of a commit, then takes it in.
    pub(super) fn apply(
        &mut self,
        segment: &Arc<Segment>,
        header: &Header,
        at: u64,
        body: &Bytes,
    ) -> Result<(), FormatError> {
        let place = CommitPlace {
            serial: segment.header.serial,
            generation: segment.header.generation,
            byte: u32::try_from(at).map_err(|_| FormatError::Length)?,
        };
        let mut end = self.live.end;
        end.commits = header.commit + 1;
        end.byte = at + header.commit_bytes();
        end.last_byte = at;
        end.previous_crc = header.crc;
        end.log_bytes += header.commit_bytes();
        let mut reading = Reading {
            recovery: self,
            place,
            commit: header.commit,
            changed: BTreeMap::new(),
            accepted: Vec::new(),
            left: Vec::new(),
            named: Vec::new(),
            changes: CommitChanges::new(place, end),
        };
        let mut count = 0;
        for found in batches(body) {
            let found = found?;
            reading.batch(&found)?;
            reading.changes.counted += u64::from(found.header.kind != Kind::Events);
            count += 1;
        }
        if count != header.batches {
            return Err(FormatError::Length);
        }
        reading.bind()?;
        let Reading {
            changed,
            mut changes,
            accepted,
            ..
        } = reading;
        for place in &mut self.damage {
            let within =
                |range: &(u64, u64)| range.0 <= place.commits.0 && place.commits.1 <= range.1;
            place.unproven &= !accepted.iter().any(within);
        }
        changes.streams.extend(changed.into_values());
        self.live.apply(changes);
        Ok(())
    }

    /// Brings the index up when much was read, so that memory stays small in a long rebuild.
    pub(super) fn checkpoint_if_due(&mut self) -> Result<(), OpenError> {
        if !Maintenance::is_due(&self.live.pending) {
            return Ok(());
        }
        let Some(frozen) = self.live.freeze() else {
            return Ok(());
        };
        let directory = &self.log.directory;
        if let Some(segment) = self.log.segment(frozen.end.serial) {
            let synced = segment.file.sync_data();
            synced.map_err(|error| OpenError::io(&directory.join(&*segment.name), error))?;
        }
        self.index
            .write(&frozen.changes, &frozen.end, &self.damage)
            .map_err(|error| OpenError::index(directory, &error))?;
        self.live.thaw();
        self.indexed = frozen.end.commits;
        Ok(())
    }

    fn row(&self, id: u64) -> Result<Option<StreamSummary>, FormatError> {
        match self.live.row(id) {
            Known::There(row) => Ok(Some(row.clone())),
            Known::Gone => Ok(None),
            Known::InIndex => self.index.stream(id).map_err(|_| FormatError::Index),
        }
    }

    /// The stream that a name is bound to.
    fn bound(&self, name: &StreamName) -> Result<Option<u64>, FormatError> {
        match self.live.stream_id(name) {
            Known::There(id) => Ok(Some(id)),
            Known::Gone => Ok(None),
            Known::InIndex => self.index.stream_id(name).map_err(|_| FormatError::Index),
        }
    }

    fn group(&self, stream_id: u64, name: &[u8]) -> Result<Option<Arc<Group>>, FormatError> {
        match self.live.group(stream_id, name) {
            Known::There(group) => Ok(Some(Arc::clone(group))),
            Known::Gone => Ok(None),
            Known::InIndex => {
                let group = self.index.group(stream_id, name);
                group.map_err(|_| FormatError::Index)
            }
        }
    }

    fn producer(&self, stream_id: u64, hash: u128) -> Result<Arc<Producer>, FormatError> {
        if let Some(producer) = self.live.producer(stream_id, hash) {
            return Ok(Arc::clone(producer));
        }
        let producer = self.index.producer(stream_id, hash);
        let producer = producer.map_err(|_| FormatError::Index)?;
        Ok(producer.unwrap_or_default())
    }

    fn deleted(&self, id: u64) -> Result<Arc<DeletedNumbers>, FormatError> {
        if let Some(deleted) = self.live.deleted.get(&id) {
            return Ok(Arc::clone(deleted));
        }
        let deleted = self.index.deleted(id).map_err(|_| FormatError::Index)?;
        Ok(Arc::new(deleted))
    }

    /// Raises the tails of streams that lost their last events in this segment.
    pub(super) fn apply_footer(&mut self, footer: &Footer) -> Result<(), OpenError> {
        for entry in &footer.entries {
            let row = self.row(entry.stream_id);
            let row = row.map_err(|_| OpenError::unreadable_index(&self.log.directory))?;
            let is_new = row.is_none();
            let mut row = row.unwrap_or_else(|| lost_stream(entry));
            let name = entry.name.clone();
            let name = name.and_then(|name| StreamName::parse(name.into()).ok());
            let renamed = name.filter(|name| *name != row.name);
            let lost = entry
                .numbers
                .map(|(_, last)| last)
                .filter(|last| row.tail < Some(*last));
            if lost.is_none() && !is_new && renamed.is_none() {
                continue;
            }
            row.tail = lost.or(row.tail);
            let lower_bound = EventId::new(entry.last_time, u64::from(u32::MAX));
            row.last_id = row.last_id.max(lower_bound);
            if is_new {
                self.live.end.streams += 1;
                let next = &mut self.live.end.next_stream_id;
                *next = (*next).max(entry.stream_id + 1);
            }
            let names = &mut self.live.pending.names;
            if let Some(name) = renamed {
                names.insert(row.name, None);
                row.name = name;
            }
            names.insert(row.name.clone(), Some(entry.stream_id));
            self.live.pending.stream_changed(&row);
        }
        Ok(())
    }
}

fn lost_stream(entry: &FooterEntry) -> StreamSummary {
    StreamSummary::new(entry.stream_id, nameless(entry.stream_id), entry.first_time)
}

/// A stream whose name was lost with the entry of its creation.
fn nameless(id: u64) -> StreamName {
    StreamName::parse(format!("lost-stream-{id}").into()).expect("a short name is a name")
}

/// One commit being read.
struct Reading<'a> {
    recovery: &'a Recovery,
    place: CommitPlace,
    commit: u64,
    changed: BTreeMap<u64, StreamChange>,
    accepted: Vec<(u64, u64)>,
    /// Names that streams left.
    left: Vec<(StreamName, u64)>,
    /// Streams that were given a name.
    named: Vec<u64>,
    changes: CommitChanges,
}

impl Reading<'_> {
    fn batch(&mut self, found: &Found<'_>) -> Result<(), FormatError> {
        let header = &found.header;
        let end = &mut self.changes.end;
        end.recorded_at = end
            .recorded_at
            .max(header.recorded_at + u64::from(header.span_ms));
        match header.kind {
            Kind::Events => self.events(found),
            Kind::Created => self.created(header, found.body),
            Kind::Settings if header.stream_id == 0 => {
                let settings = StoreSettings::decode(found.body)?;
                settings.apply(&mut self.changes.end);
                self.accepted.extend(settings.accepted);
                Ok(())
            }
            Kind::Renamed => self.renamed(header, found.body),
            Kind::Deleted => self.deleted(header),
            Kind::Deletions => self.deletions(header, found.body),
            Kind::Group => self.group(header, found.body),
            Kind::Settings => {
                let row = &mut self.stream(header)?.row;
                let settings = StreamSettings::of(row).decode(found.body)?;
                row.last_id = settings.last_id;
                row.surplus = settings.surplus;
                row.max_deleted_id = settings.max_deleted_id;
                row.producing = settings.producing;
                Ok(())
            }
            other => Err(FormatError::UnknownKind(other as u8)),
        }
    }

    fn created(&mut self, header: &BatchHeader, name: &[u8]) -> Result<(), FormatError> {
        let name =
            StreamName::parse(Bytes::copy_from_slice(name)).map_err(|_| FormatError::Body)?;
        self.add_stream(header.stream_id, name, header.recorded_at)
    }

    fn add_stream(
        &mut self,
        id: u64,
        name: StreamName,
        created_at: u64,
    ) -> Result<(), FormatError> {
        let end = &mut self.changes.end;
        end.next_stream_id = end.next_stream_id.max(id + 1);
        end.streams += 1;
        self.named.push(id);
        // The index may be ahead of what is read, and know of events that damage hides.
        let row = match self.recovery.row(id)? {
            Some(known) => StreamSummary { name, ..known },
            None => StreamSummary::new(id, name, created_at),
        };
        let row = StreamSummary {
            changed: self.commit,
            ..row
        };
        self.changed.insert(id, StreamChange::of(row));
        Ok(())
    }

    /// The stream that a batch is about, which this commit changes.
    fn stream(&mut self, header: &BatchHeader) -> Result<&mut StreamChange, FormatError> {
        let id = header.stream_id;
        if !self.changed.contains_key(&id) {
            match self.recovery.row(id)? {
                Some(row) => {
                    self.changed.insert(id, StreamChange::of(row));
                }
                None => self.add_stream(id, nameless(id), header.recorded_at)?,
            }
        }
        let change = self.changed.get_mut(&id).expect("it was just added");
        change.row.changed = self.commit;
        Ok(change)
    }

    fn renamed(&mut self, header: &BatchHeader, name: &[u8]) -> Result<(), FormatError> {
        let name =
            StreamName::parse(Bytes::copy_from_slice(name)).map_err(|_| FormatError::Body)?;
        let before = std::mem::replace(&mut self.stream(header)?.row.name, name);
        self.left.push((before, header.stream_id));
        self.named.push(header.stream_id);
        Ok(())
    }

    fn deleted(&mut self, header: &BatchHeader) -> Result<(), FormatError> {
        let change = self.stream(header)?;
        change.is_gone = true;
        change.deleted = None;
        let name = change.row.name.clone();
        self.changes.end.streams = self.changes.end.streams.saturating_sub(1);
        self.changes.end.has_deletions = true;
        self.left.push((name, header.stream_id));
        Ok(())
    }

    /// Binds names as they are after the commit: what it does to several streams stands in no
    /// promised order, and a name may have passed from one to another on the way.
    fn bind(&mut self) -> Result<(), FormatError> {
        for (name, id) in self.left.drain(..) {
            if self.recovery.bound(&name)? == Some(id) {
                self.changes.names.push((name, None));
            }
        }
        for id in &self.named {
            if let Some(change) = self.changed.get(id).filter(|change| !change.is_gone) {
                let name = change.row.name.clone();
                self.changes.names.push((name, Some(*id)));
            }
        }
        Ok(())
    }

    fn group(&mut self, header: &BatchHeader, body: &[u8]) -> Result<(), FormatError> {
        let change = group_entries::decode(body)?;
        let stream_id = header.stream_id;
        if let Some((id, name)) = change.gone {
            self.changes.groups.push(GroupChanges {
                stream_id,
                name,
                group: None,
                gone: vec![id],
                entries: change.entries,
            });
            return Ok(());
        }
        let mut group = change.group.ok_or(FormatError::Body)?;
        let known = self.recovery.group(stream_id, &group.name)?;
        if let Some(known) = known.filter(|known| known.id == group.id) {
            group.consumers.clone_from(&known.consumers);
        }
        let next = &mut self.changes.end.next_stream_id;
        *next = (*next).max(group.id + 1);
        // The order in which events were given back comes from the same numbers.
        let given_back = change.entries.values().flatten();
        for entry in given_back.filter(|entry| entry.is_given_back()) {
            *next = (*next).max(entry.delivered_at + 1);
        }
        for id in change.consumers_gone {
            group.consumers.retain(|consumer| consumer.id != id);
        }
        for consumer in change.consumers {
            *next = (*next).max(consumer.id + 1);
            group
                .consumers
                .retain(|old| old.id != consumer.id && old.name != consumer.name);
            group.add(consumer);
        }
        self.changes.groups.push(GroupChanges {
            stream_id,
            name: group.name.clone(),
            group: Some(Arc::new(group)),
            gone: Vec::new(),
            entries: change.entries,
        });
        Ok(())
    }

    fn deletions(&mut self, header: &BatchHeader, body: &[u8]) -> Result<(), FormatError> {
        let deletions = Deletions::decode(body)?;
        self.changes.end.has_deletions = true;
        let recovery = self.recovery;
        let change = self.stream(header)?;
        let row = &mut change.row;
        let has_holes = row.deleted > 0 || deletions.deleted > 0;
        row.first = deletions.first;
        row.deleted = deletions.deleted;
        row.max_deleted_id = deletions.max_deleted_id;
        if !has_holes && deletions.numbers.is_empty() {
            return Ok(());
        }
        let (mut set, mut ranges) = match change.deleted.take() {
            Some(changed) => changed,
            None => (recovery.deleted(header.stream_id)?, Vec::new()),
        };
        let deleted = Arc::make_mut(&mut set);
        for range in &deletions.numbers {
            deleted.insert_range(range.clone());
        }
        deleted.remove_below(deletions.first);
        ranges.extend(deletions.numbers);
        change.deleted = Some((set, ranges));
        Ok(())
    }

    fn events(&mut self, found: &Found<'_>) -> Result<(), FormatError> {
        let header = &found.header;
        let walked = Events::verify(found.body, header.recorded_at, header.count);
        let walked = walked.map_err(|_| FormatError::Body)?;
        let id = header.stream_id;
        // What a checkpoint that was cut short left in the index may be ahead: only locations that
        // were read now can contradict. Numbers are only missing where damage took them.
        let read = self.changes.located.iter().rev().find(|(of, _)| *of == id);
        let read = read.map(|(_, location)| location.next_number());
        let read = read.or_else(|| self.recovery.live.next_pending_number(id));
        if read.is_some_and(|next| header.first_number < next) {
            return Err(FormatError::Contradiction);
        }
        let row = &mut self.stream(header)?.row;
        // Tails and ids never go down, so what the index knows of damaged commits still counts.
        let last = header.first_number + u64::from(header.count) - 1;
        row.tail = row.tail.max(Some(last));
        row.last_id = row.last_id.max(walked.last_id);
        let start = u32::try_from(found.start).map_err(|_| FormatError::Length)?;
        let header_bytes = u32::try_from(super::super::commit::HEADER_BYTES);
        let header_bytes = header_bytes.map_err(|_| FormatError::Length)?;
        let location = Location {
            serial: self.place.serial,
            generation: self.place.generation,
            byte: self.place.byte + header_bytes + start,
            bytes: u32::try_from(header.batch_bytes()).map_err(|_| FormatError::Length)?,
            first_number: header.first_number,
            count: header.count,
            first_id: walked.first_id,
            first_time: header.recorded_at,
        };
        self.changes.located.push((id, location));
        self.changes.end.next_position += header.events();
        match walked.keyed {
            0 => Ok(()),
            _ => self.keys(found),
        }
    }

    /// Takes in the keys of a batch's events.
    fn keys(&mut self, found: &Found<'_>) -> Result<(), FormatError> {
        let header = &found.header;
        let (id, at) = (header.stream_id, header.recorded_at);
        let events = Events::new(found.body, at, header.first_number, header.first_position);
        for event in events {
            let Some(key) = event.key else {
                continue;
            };
            match StoredKey::decode(key).ok_or(FormatError::Body)? {
                StoredKey::Own(key) => self.changes.keys.push((id, hash(key), event.number)),
                StoredKey::OfProducer {
                    added,
                    producer,
                    key,
                } => {
                    let row = &mut self.stream(header)?.row;
                    row.producing.added = row.producing.added.max(added);
                    let keys_max = row.producing.keys_max.unwrap_or(IDEMPOTENCY_KEYS_MAX);
                    let producer = self.producer((id, hash(producer)))?;
                    producer.add(key, (event.number, event.id, at), keys_max);
                }
            }
        }
        Ok(())
    }

    /// A producer, which this commit changes, by its stream and what stands for its name.
    fn producer(&mut self, key: (u64, u128)) -> Result<&mut Producer, FormatError> {
        let known = match self.changes.producers.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.recovery.producer(key.0, key.1)?),
        };
        Ok(Arc::make_mut(known))
    }
}
