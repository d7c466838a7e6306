//! The index under test: sled trees, and side files if the layout wants them.

use crate::location::Location;
use crate::pending::{Pending, Tail, TAIL_BYTES};
use crate::side::{self, Key, Probe, Reader, Writer};
use crate::workload::SEGMENT_BYTES;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RUN: usize = 64;
const CHECKPOINT: &[u8] = b"c";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Variant 1: runs of every segment in sled.
    Sled,
    /// Variant 2: runs of the open segment in a sled tree that is dropped when
    /// the segment is sealed into a side file.
    OpenTree,
    /// Variant 2: every checkpoint writes a small side file; they are merged
    /// when the segment is sealed. No locations in sled.
    Parts,
}

#[derive(Clone, Debug, Args)]
pub struct Options {
    #[arg(long, value_enum, default_value = "sled")]
    pub layout: Layout,
    /// sled's cache_capacity.
    #[arg(long, default_value_t = 32)]
    pub cache_mib: u64,
    /// sled's segment_size (a power of two).
    #[arg(long, default_value_t = 512)]
    pub segment_kib: usize,
    /// Keep this many neighbouring tails in one value of `streams`.
    #[arg(long, default_value_t = 1)]
    pub tail_bucket: u64,
    /// Read the fences of side files from disk in every search.
    #[arg(long)]
    pub fence_on_disk: bool,
}

/// How to choose the side file that has an event.
#[derive(Clone, Copy, Debug)]
pub enum Search {
    NewestFirst,
    NewestFirstBloom,
    Bisect,
}

pub struct Index {
    options: Options,
    folder: PathBuf,
    db: sled::Db,
    names: sled::Tree,
    streams: sled::Tree,
    positions: sled::Tree,
    meta: sled::Tree,
    /// Variant 1: `events`. Open-tree: the runs of the open segment.
    events: Option<sled::Tree>,
    own_handle: File,
    sealed: Vec<Reader>,
    parts: Vec<Reader>,
}

fn event_key(stream: u64, number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&stream.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

fn u64_from(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(bytes.try_into()?))
}

/// Decodes a run; `first` is its first number.
fn decode_run(first: u64, mut input: &[u8], out: &mut Vec<(u64, Location)>) -> Result<()> {
    out.clear();
    let mut previous = Location::default();
    let mut number = first;
    while !input.is_empty() {
        previous = Location::decode(&previous, &mut input)?;
        out.push((number, previous));
        number += u64::from(previous.count);
    }
    Ok(())
}

fn open_sled(options: &Options, path: &Path) -> Result<sled::Db> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(options.cache_mib << 20)
        .segment_size(options.segment_kib << 10)
        .flush_every_ms(None);
    // A database that was just dropped may keep its lock for a moment.
    let start = Instant::now();
    loop {
        match config.open() {
            Err(sled::Error::Io(e)) if start.elapsed() < Duration::from_secs(5) => {
                eprintln!("sled did not open, trying again: {e}");
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return Ok(other?),
        }
    }
}

impl Index {
    pub fn open(options: &Options, folder: &Path) -> Result<Index> {
        let sled_folder = folder.join("sled");
        std::fs::create_dir_all(folder.join("side"))?;
        let db = open_sled(options, &sled_folder)?;
        let meta = db.open_tree("meta")?;
        let mut index = Index {
            names: db.open_tree("names")?,
            streams: db.open_tree("streams")?,
            positions: db.open_tree("positions")?,
            meta,
            events: match options.layout {
                Layout::Parts => None,
                _ => Some(db.open_tree("events")?),
            },
            own_handle: File::open(sled_folder.join("db"))?,
            db,
            options: options.clone(),
            folder: folder.to_owned(),
            sealed: Vec::new(),
            parts: Vec::new(),
        };
        index.open_side_files()?;
        Ok(index)
    }

    /// Closes and opens sled, for the snapshot that it writes at open.
    pub fn reopen(self) -> Result<Index> {
        let (options, folder) = (self.options.clone(), self.folder.clone());
        drop(self);
        Index::open(&options, &folder)
    }

    fn side_path(&self, name: String) -> PathBuf {
        self.folder.join("side").join(name)
    }

    fn open_side_files(&mut self) -> Result<()> {
        let committed = self.checkpointed()?;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.folder.join("side"))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        for name in names {
            let Some(stem) = name.strip_suffix(".loc") else {
                continue; // a file that was not finished
            };
            let mut fields = stem.split('-');
            let kind = fields.next();
            let fields: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>()?;
            let open = || Reader::open(&self.side_path(name.clone()), !self.options.fence_on_disk);
            match (kind, fields.as_slice()) {
                (Some("seg"), [_]) => self.sealed.push(open()?),
                (Some("part"), [_, c]) if *c <= committed => self.parts.push(open()?),
                _ => {} // part of a checkpoint that was not committed
            }
        }
        // Parts whose segment was sealed just before a crash.
        let last = self.sealed.last().map(|reader| reader.base.serial);
        self.parts.retain(|part| Some(part.base.serial) > last);
        Ok(())
    }

    /// The number of batches that the last checkpoint covers.
    pub fn checkpointed(&self) -> Result<u64> {
        let value = self.meta.get(CHECKPOINT)?;
        value.map_or(Ok(0), |bytes| u64_from(&bytes))
    }

    pub fn id_of(&self, name: &str) -> Result<Option<u64>> {
        let value = self.names.get(name)?;
        value.map(|bytes| u64_from(&bytes)).transpose()
    }

    pub fn tail_of(&self, id: u64) -> Result<Tail> {
        let bucket = self.options.tail_bucket;
        let value = self.streams.get((id / bucket).to_be_bytes())?;
        let at = (id % bucket) as usize * TAIL_BYTES;
        value
            .as_ref()
            .and_then(|bytes| bytes.get(at..at + TAIL_BYTES))
            .and_then(Tail::from_bytes)
            .with_context(|| format!("stream {id} has no tail"))
    }

    /// Writes everything pending and commits `c`. `middle` is called once,
    /// when half of the tails are written.
    pub fn checkpoint(
        &mut self,
        pending: &mut Pending,
        c: u64,
        mut middle: impl FnMut(),
    ) -> Result<()> {
        let order = pending.order();
        match self.options.layout {
            Layout::Sled | Layout::OpenTree => self.write_runs(pending, &order)?,
            Layout::Parts => self.write_part(pending, &order, c)?,
        }
        self.write_tails(pending, &order, &mut middle)?;
        let mut names: Vec<(&str, u64)> = pending.names.iter().map(|(n, &id)| (&**n, id)).collect();
        names.sort_unstable();
        for (name, id) in names {
            self.names.insert(name, &id.to_be_bytes())?;
        }
        let mut value = Vec::new();
        for (first, location) in &pending.positions {
            value.clear();
            location.encode(&Location::default(), &mut value);
            self.positions
                .insert(first.to_be_bytes(), value.as_slice())?;
        }
        self.sync()?;
        self.meta.insert(CHECKPOINT, &c.to_be_bytes())?;
        self.sync()?;
        pending.clear();
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.db.flush()?;
        self.own_handle.sync_data()?;
        Ok(())
    }

    /// Grows the last run of every changed stream, starting new ones as needed.
    fn write_runs(&self, pending: &mut Pending, order: &[u32]) -> Result<()> {
        let events = self.events.as_ref().context("layout without `events`")?;
        let (mut fresh, mut run, mut value) = (Vec::new(), Vec::new(), Vec::new());
        for &i in order {
            let i = i as usize;
            pending.collect(i, &mut fresh);
            let changed = &mut pending.changed[i];
            let mut first = changed.tail.run;
            value.clear();
            run.clear();
            if let Some(bytes) = events.get(event_key(changed.id, first))? {
                decode_run(first, &bytes, &mut run)?;
                value.extend_from_slice(&bytes);
            }
            // Numbers at or below the run's last were written by a checkpoint
            // that was not committed.
            let last = run.last().map(|&(number, _)| number);
            for &(number, location) in fresh.iter().filter(|&&(number, _)| Some(number) > last) {
                if run.len() == RUN || run.is_empty() {
                    if !run.is_empty() {
                        events.insert(event_key(changed.id, first), value.as_slice())?;
                    }
                    first = number;
                    value.clear();
                    run.clear();
                }
                let previous = run.last().map(|&(_, location)| location);
                location.encode(&previous.unwrap_or_default(), &mut value);
                run.push((number, location));
            }
            events.insert(event_key(changed.id, first), value.as_slice())?;
            changed.tail.run = first;
        }
        Ok(())
    }

    fn write_part(&mut self, pending: &Pending, order: &[u32], c: u64) -> Result<()> {
        let mut fresh = Vec::new();
        let mut writer: Option<Writer> = None;
        let mut path = PathBuf::new();
        for &i in order {
            pending.collect(i as usize, &mut fresh);
            for (number, location) in &fresh {
                if writer.is_none() {
                    path = self.side_path(format!("part-{:08}-{c:016}.loc", location.serial));
                    writer = Some(Writer::create(&path, *location)?);
                }
                if let Some(writer) = &mut writer {
                    writer.push((pending.changed[i as usize].id, *number), location)?;
                }
            }
        }
        if let Some(writer) = writer {
            writer.finish()?;
            self.parts
                .push(Reader::open(&path, !self.options.fence_on_disk)?);
        }
        Ok(())
    }

    fn write_tails(
        &self,
        pending: &Pending,
        order: &[u32],
        middle: &mut impl FnMut(),
    ) -> Result<()> {
        let bucket = self.options.tail_bucket;
        let mut value: Vec<u8> = Vec::new();
        let mut at = 0;
        let mut reported = false;
        while at < order.len() {
            if !reported && at >= order.len() / 2 {
                reported = true;
                middle();
            }
            let key = pending.changed[order[at] as usize].id / bucket;
            value.clear();
            if bucket > 1 {
                if let Some(bytes) = self.streams.get(key.to_be_bytes())? {
                    value.extend_from_slice(&bytes);
                }
            }
            while let Some(&i) = order.get(at) {
                let changed = &pending.changed[i as usize];
                if changed.id / bucket != key {
                    break;
                }
                let offset = (changed.id % bucket) as usize * TAIL_BYTES;
                if value.len() < offset + TAIL_BYTES {
                    value.resize(offset + TAIL_BYTES, 0);
                }
                value[offset..offset + TAIL_BYTES].copy_from_slice(&changed.tail.to_bytes());
                at += 1;
            }
            self.streams.insert(key.to_be_bytes(), value.as_slice())?;
        }
        Ok(())
    }

    /// Turns the locations of a sealed segment into its side file. Call it
    /// right after the checkpoint that covers the segment's last batch.
    pub fn seal(&mut self, serial: u32) -> Result<()> {
        let target = self.side_path(format!("seg-{serial:08}.loc"));
        match self.options.layout {
            Layout::Sled => return Ok(()),
            Layout::Parts if self.parts.len() == 1 => {
                std::fs::rename(&self.parts[0].path, &target)?;
                File::open(self.folder.join("side"))?.sync_all()?;
            }
            Layout::Parts => {
                side::merge(&self.parts, &target)?;
                for part in &self.parts {
                    std::fs::remove_file(&part.path)?;
                }
            }
            Layout::OpenTree => self.seal_tree(&target)?,
        }
        self.parts.clear();
        let reader = Reader::open(&target, !self.options.fence_on_disk)?;
        self.sealed.push(reader);
        Ok(())
    }

    fn seal_tree(&mut self, target: &Path) -> Result<()> {
        let events = self.events.take().context("layout without `events`")?;
        let mut run = Vec::new();
        let mut writer: Option<Writer> = None;
        for item in events.iter() {
            let (key, value) = item?;
            decode_run(u64_from(&key[8..])?, &value, &mut run)?;
            for (number, location) in &run {
                if writer.is_none() {
                    writer = Some(Writer::create(target, *location)?);
                }
                if let Some(writer) = &mut writer {
                    writer.push((u64_from(&key[..8])?, *number), location)?;
                }
            }
        }
        if let Some(writer) = writer {
            writer.finish()?;
        }
        drop(events);
        self.db.drop_tree("events")?;
        self.events = Some(self.db.open_tree("events")?);
        Ok(())
    }

    /// Finds an event. Returns its location and how many side files were asked.
    pub fn find(
        &self,
        stream: u64,
        number: u64,
        search: Search,
    ) -> Result<(Option<(u64, Location)>, u32)> {
        if let Some(events) = &self.events {
            let key = event_key(stream, number);
            if let Some((key, value)) = events.range(..=key).next_back().transpose()? {
                if u64_from(&key[..8])? == stream {
                    let mut run = Vec::new();
                    decode_run(u64_from(&key[8..])?, &value, &mut run)?;
                    let after = run.partition_point(|&(first, _)| first <= number);
                    let found = after.checked_sub(1).map(|i| run[i]);
                    let covers = |&(first, at): &(u64, Location)| number - first < at.count.into();
                    return Ok((found.filter(covers), 0));
                }
            }
        }
        let mut block: Vec<(Key, Location)> = Vec::new();
        let mut asked = 0;
        let files: Vec<&Reader> = self.sealed.iter().chain(&self.parts).collect();
        if let Search::Bisect = search {
            let (mut low, mut high) = (0, files.len());
            while low < high {
                let middle = (low + high) / 2;
                // Files without the stream say nothing: go on to older ones.
                let mut at = middle;
                let answer = loop {
                    asked += 1;
                    match files[at].probe(stream, number, &mut block)? {
                        Probe::Absent if at > low => at -= 1,
                        answer => break answer,
                    }
                };
                match answer {
                    Probe::Found(first, location) => return Ok((Some((first, location)), asked)),
                    Probe::Older => high = at,
                    Probe::Newer | Probe::Absent => low = middle + 1,
                }
            }
            return Ok((None, asked));
        }
        for file in files.iter().rev() {
            if matches!(search, Search::NewestFirstBloom) && !file.may_have(stream)? {
                continue;
            }
            asked += 1;
            match file.probe(stream, number, &mut block)? {
                Probe::Found(first, location) => return Ok((Some((first, location)), asked)),
                Probe::Newer => break,
                Probe::Older | Probe::Absent => {}
            }
        }
        Ok((None, asked))
    }

    /// Average over some runs in `events` (NaN if there are none).
    pub fn run_bytes_per_location(&self) -> Result<f64> {
        let (mut bytes, mut locations, mut run) = (0, 0, Vec::new());
        for item in self.events.iter().flat_map(|tree| tree.iter().take(20_000)) {
            let value = item?.1;
            decode_run(0, &value, &mut run)?;
            bytes += value.len();
            locations += run.len();
        }
        Ok(bytes as f64 / locations as f64)
    }

    pub fn side_entries(&self) -> u64 {
        self.sealed.iter().map(|reader| reader.entries).sum()
    }

    pub fn side_files(&self) -> (usize, usize) {
        (self.sealed.len(), self.parts.len())
    }

    pub fn position_entries(&self) -> usize {
        self.positions.len()
    }
}

/// The serial of the log segment that a log position lies in.
pub fn serial_of(position: u64) -> u32 {
    (position / SEGMENT_BYTES) as u32
}
