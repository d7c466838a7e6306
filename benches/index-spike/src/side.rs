//! Side files: the locations of one log segment (or of one checkpoint within
//! it), sorted by stream id then number, written once.
//!
//! Layout: 4 KiB blocks; then a blocked Bloom filter over stream ids (64-byte
//! lines, 8 bits set per id); then the fence (first key of each block); then a
//! footer. Everything is little-endian and covered by CRC-32C.
//!
//! Block: crc u32, used u16, entries u16, then per entry: step of the stream
//! id (varint; absolute in the first entry), first number (varint; left out
//! when the stream is the previous entry's), location.

use crate::location::{get_varint, put_varint, Location};
use crate::workload::mix;
use anyhow::{ensure, Context, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: usize = 4096;
const HEADER: usize = 8;
const LINE: usize = 64;
const IDS_PER_LINE: u64 = 50;
const FOOTER: usize = 64;
const MAGIC: u64 = 0x3153_4544_4953_5449;

pub type Key = (u64, u64);

pub struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    block: Vec<u8>,
    entry: Vec<u8>,
    entries_in_block: u16,
    entries: u64,
    fence: Vec<Key>,
    hashes: Vec<u32>,
    base: Location,
    previous: Option<(Key, Location)>,
}

impl Writer {
    /// `base` gives the serial, the generation and a time near the others.
    pub fn create(path: &Path, base: Location) -> Result<Writer> {
        let file = File::create(path.with_extension("tmp"))?;
        Ok(Writer {
            out: BufWriter::with_capacity(256 << 10, file),
            path: path.to_owned(),
            block: vec![0; HEADER],
            entry: Vec::new(),
            entries_in_block: 0,
            entries: 0,
            fence: Vec::new(),
            hashes: Vec::new(),
            base: Location {
                byte: 0,
                count: 0,
                ..base
            },
            previous: None,
        })
    }

    fn encode(&mut self, key: Key, location: &Location) {
        self.entry.clear();
        let in_block = self.previous.filter(|_| self.entries_in_block > 0);
        let before = in_block.map_or(0, |((stream, _), _)| stream);
        put_varint(&mut self.entry, key.0 - before);
        match in_block {
            Some(((stream, number), previous))
                if stream == key.0 && number + u64::from(previous.count) == key.1 =>
            {
                location.encode(&previous, &mut self.entry);
            }
            _ => {
                put_varint(&mut self.entry, key.1);
                location.encode(&self.base, &mut self.entry);
            }
        }
    }

    /// Keys must ascend, and the numbers of one stream must have no gap.
    pub fn push(&mut self, key: Key, location: &Location) -> Result<()> {
        match self.previous {
            Some(((stream, number), location)) if stream == key.0 => ensure!(
                number + u64::from(location.count) == key.1,
                "stream {stream} has a gap before {}",
                key.1
            ),
            _ => self.hashes.push((mix(key.0) >> 32) as u32),
        }
        self.encode(key, location);
        if self.block.len() + self.entry.len() > BLOCK {
            self.finish_block()?;
            self.encode(key, location);
        }
        if self.entries_in_block == 0 {
            self.fence.push(key);
        }
        self.block.extend_from_slice(&self.entry);
        self.entries_in_block += 1;
        self.entries += 1;
        self.previous = Some((key, *location));
        Ok(())
    }

    fn finish_block(&mut self) -> Result<()> {
        let used = self.block.len() as u16;
        self.block[4..6].copy_from_slice(&used.to_le_bytes());
        self.block[6..8].copy_from_slice(&self.entries_in_block.to_le_bytes());
        self.block.resize(BLOCK, 0);
        let crc = crc32c::crc32c(&self.block[4..]);
        self.block[..4].copy_from_slice(&crc.to_le_bytes());
        self.out.write_all(&self.block)?;
        self.block.clear();
        self.block.resize(HEADER, 0);
        self.entries_in_block = 0;
        Ok(())
    }

    /// Writes the rest, syncs, gives the file its name. Returns its size.
    pub fn finish(mut self) -> Result<u64> {
        if self.entries_in_block > 0 {
            self.finish_block()?;
        }
        let lines = (self.hashes.len() as u64).div_ceil(IDS_PER_LINE).max(1);
        let mut bloom = vec![0u8; lines as usize * LINE];
        for &hash in &self.hashes {
            let (line, bits) = bloom_bits(hash, lines);
            for bit in bits {
                bloom[line as usize * LINE + bit / 8] |= 1 << (bit % 8);
            }
        }
        let mut fence = Vec::with_capacity(self.fence.len() * 16);
        for (stream, number) in &self.fence {
            fence.extend_from_slice(&stream.to_le_bytes());
            fence.extend_from_slice(&number.to_le_bytes());
        }
        let mut footer = Vec::with_capacity(FOOTER);
        for field in [
            MAGIC,
            self.fence.len() as u64,
            lines,
            self.entries,
            self.base.serial.into(),
            self.base.id_ms,
        ] {
            footer.extend_from_slice(&field.to_le_bytes());
        }
        footer.extend_from_slice(&u32::from(self.base.generation).to_le_bytes());
        footer.extend_from_slice(&crc32c::crc32c(&bloom).to_le_bytes());
        footer.extend_from_slice(&crc32c::crc32c(&fence).to_le_bytes());
        footer.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
        self.out.write_all(&bloom)?;
        self.out.write_all(&fence)?;
        self.out.write_all(&footer)?;
        let size = (self.fence.len() * BLOCK + bloom.len() + fence.len() + FOOTER) as u64;
        let file = self
            .out
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        file.sync_data()?;
        std::fs::rename(self.path.with_extension("tmp"), &self.path)?;
        let folder = self.path.parent().context("side file without a folder")?;
        File::open(folder)?.sync_all()?;
        Ok(size)
    }
}

fn bloom_bits(hash: u32, lines: u64) -> (u64, [usize; 8]) {
    let line = (u64::from(hash) * lines) >> 32;
    let mut bits = [0; 8];
    let mut word = mix(hash.into());
    for bit in &mut bits {
        *bit = (word & 511) as usize;
        word >>= 7;
    }
    (line, bits)
}

/// What one file says about an event.
#[derive(Debug)]
pub enum Probe {
    /// The file has it.
    Found(u64, Location),
    /// The file has the stream, but only smaller numbers.
    Newer,
    /// The file has the stream, but only greater numbers.
    Older,
    /// The file does not have the stream.
    Absent,
}

pub struct Reader {
    file: File,
    pub path: PathBuf,
    pub base: Location,
    pub entries: u64,
    blocks: u64,
    lines: u64,
    /// The fence, unless it is to be read from the file in every search.
    fence: Option<Vec<Key>>,
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u64_at(&[&bytes[at..at + 4], &[0; 4]].concat(), 0) as u32
}

impl Reader {
    pub fn open(path: &Path, fence_in_memory: bool) -> Result<Reader> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        ensure!(size >= FOOTER as u64, "{} is too short", path.display());
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, size - FOOTER as u64)?;
        ensure!(
            u64_at(&footer, 0) == MAGIC && crc32c::crc32c(&footer[..60]) == u32_at(&footer, 60),
            "{} has a bad footer",
            path.display()
        );
        let mut reader = Reader {
            file,
            path: path.to_owned(),
            blocks: u64_at(&footer, 8),
            lines: u64_at(&footer, 16),
            entries: u64_at(&footer, 24),
            base: Location {
                serial: u64_at(&footer, 32) as u32,
                generation: u32_at(&footer, 48) as u16,
                id_ms: u64_at(&footer, 40),
                time_ms: u64_at(&footer, 40),
                ..Location::default()
            },
            fence: None,
        };
        if fence_in_memory {
            let mut bytes = vec![0; reader.blocks as usize * 16];
            reader
                .file
                .read_exact_at(&mut bytes, reader.fence_at())
                .context("fence")?;
            ensure!(
                crc32c::crc32c(&bytes) == u32_at(&footer, 56),
                "{} has a bad fence",
                path.display()
            );
            let keys = bytes.chunks_exact(16);
            reader.fence = Some(keys.map(|key| (u64_at(key, 0), u64_at(key, 8))).collect());
        }
        Ok(reader)
    }

    fn bloom_at(&self) -> u64 {
        self.blocks * BLOCK as u64
    }

    fn fence_at(&self) -> u64 {
        self.bloom_at() + self.lines * LINE as u64
    }

    fn fence_key(&self, block: u64) -> Result<Key> {
        if let Some(fence) = &self.fence {
            return Ok(fence[block as usize]);
        }
        let mut key = [0; 16];
        self.file
            .read_exact_at(&mut key, self.fence_at() + block * 16)?;
        Ok((u64_at(&key, 0), u64_at(&key, 8)))
    }

    /// False if the file surely does not have the stream.
    pub fn may_have(&self, stream: u64) -> Result<bool> {
        let (line, bits) = bloom_bits((mix(stream) >> 32) as u32, self.lines);
        let mut bytes = [0; LINE];
        self.file
            .read_exact_at(&mut bytes, self.bloom_at() + line * LINE as u64)?;
        Ok(bits
            .iter()
            .all(|bit| bytes[bit / 8] & (1 << (bit % 8)) != 0))
    }

    fn read_block(&self, block: u64, out: &mut Vec<(Key, Location)>) -> Result<()> {
        let mut bytes = [0; BLOCK];
        self.file.read_exact_at(&mut bytes, block * BLOCK as u64)?;
        ensure!(
            crc32c::crc32c(&bytes[4..]) == u32_at(&bytes, 0),
            "{}: block {block} is damaged",
            self.path.display()
        );
        let used = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
        let entries = u16::from_le_bytes([bytes[6], bytes[7]]);
        let mut input = bytes.get(HEADER..used).context("block length")?;
        out.clear();
        let mut before: Option<(Key, Location)> = None;
        for _ in 0..entries {
            let step = get_varint(&mut input)?;
            let entry = match before {
                Some(((stream, number), previous)) if step == 0 => (
                    (stream, number + u64::from(previous.count)),
                    Location::decode(&previous, &mut input)?,
                ),
                _ => (
                    (
                        before.map_or(0, |((stream, _), _)| stream) + step,
                        get_varint(&mut input)?,
                    ),
                    Location::decode(&self.base, &mut input)?,
                ),
            };
            out.push(entry);
            before = Some(entry);
        }
        Ok(())
    }

    /// Looks for the location that covers event `number` of `stream`.
    pub fn probe(
        &self,
        stream: u64,
        number: u64,
        block: &mut Vec<(Key, Location)>,
    ) -> Result<Probe> {
        let (mut low, mut high) = (0, self.blocks);
        while low < high {
            let middle = (low + high) / 2;
            if self.fence_key(middle)? <= (stream, number) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // Block `low - 1` holds the last key at or below the wanted one.
        if low > 0 {
            self.read_block(low - 1, block)?;
            let after = block.partition_point(|(key, _)| *key <= (stream, number));
            if let Some(((s, first), location)) = after.checked_sub(1).map(|i| block[i]) {
                if s == stream {
                    return Ok(if number < first + u64::from(location.count) {
                        Probe::Found(first, location)
                    } else {
                        Probe::Newer
                    });
                }
            }
            if let Some(((s, _), _)) = block.get(after) {
                return Ok(if *s == stream {
                    Probe::Older
                } else {
                    Probe::Absent
                });
            }
        }
        if low < self.blocks && self.fence_key(low)?.0 == stream {
            return Ok(Probe::Older);
        }
        Ok(Probe::Absent)
    }

    pub fn entries(&self) -> Entries<'_> {
        Entries {
            reader: self,
            next_block: 0,
            block: Vec::new(),
            at: 0,
        }
    }
}

/// All entries of a file, in order.
pub struct Entries<'a> {
    reader: &'a Reader,
    next_block: u64,
    block: Vec<(Key, Location)>,
    at: usize,
}

impl Entries<'_> {
    pub fn peek(&mut self) -> Result<Option<(Key, Location)>> {
        while self.at == self.block.len() {
            if self.next_block == self.reader.blocks {
                return Ok(None);
            }
            self.reader.read_block(self.next_block, &mut self.block)?;
            self.next_block += 1;
            self.at = 0;
        }
        Ok(Some(self.block[self.at]))
    }

    pub fn advance(&mut self) {
        self.at += 1;
    }
}

/// Merges files (each newer than the one before it) into `target`.
pub fn merge(parts: &[Reader], target: &Path) -> Result<u64> {
    let base = parts.first().context("nothing to merge")?.base;
    let mut writer = Writer::create(target, base)?;
    let mut inputs: Vec<Entries> = parts.iter().map(Reader::entries).collect();
    loop {
        let mut least: Option<(Key, Location, usize)> = None;
        for (i, input) in inputs.iter_mut().enumerate() {
            if let Some((key, location)) = input.peek()? {
                if least.is_none_or(|(other, _, _)| key < other) {
                    least = Some((key, location, i));
                }
            }
        }
        let Some((key, location, i)) = least else {
            break;
        };
        writer.push(key, &location)?;
        inputs[i].advance();
    }
    writer.finish()
}
