//! A file system in memory that fails when told to, and that forgets what was not synced.
//!
//! Every call that changes something is counted. The Nth can fail with an error, write short, or
//! end the world: then it and all later calls fail. `after_power_loss` gives what a disk might
//! hold: all that was synced, and of the rest, in the order of a seed, some calls wholly, some torn
//! at a byte, some not at all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use meilies_server::engine::local::file::{File, FileSystem, OpenMode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What happens at the Nth change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails; nothing of it is done.
    Error(i32),
    /// Half of a write is done, then it and the next fail.
    Short(i32),
    /// This call and all later ones fail; of this one nothing is done.
    End,
}

/// Which calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Writes,
    Syncs,
    All,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RiggedFiles {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    files: Vec<Content>,
    /// Entries as they are, and as they were when their directory was last synced.
    entries: BTreeMap<PathBuf, usize>,
    durable_entries: BTreeMap<PathBuf, usize>,
    plan: Option<Plan>,
    ended: bool,
}

#[derive(Debug)]
struct Plan {
    count: Count,
    left: u64,
    fault: Fault,
    hit: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(at, written) => {
                if bytes.len() < at + written.len() {
                    bytes.resize(at + written.len(), 0);
                }
                bytes[*at..at + written.len()].copy_from_slice(written);
            }
            Change::Length(length) => bytes.resize(*length, 0),
        }
    }
}

impl RiggedFiles {
    /// Lets the `nth` counted call from now on (from 0) meet this fault.
    pub(crate) fn rig(&self, count: Count, nth: u64, fault: Fault) {
        self.lock().plan = Some(Plan {
            count,
            left: nth,
            fault,
            hit: false,
        });
    }

    /// Whether the planned call was made.
    pub(crate) fn was_hit(&self) -> bool {
        self.lock().plan.as_ref().is_some_and(|plan| plan.hit)
    }

    /// What the disk may hold after the power failed now.
    pub(crate) fn after_power_loss(&self, seed: u64) -> RiggedFiles {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = self.lock();
        let files: Vec<Content> = disk
            .files
            .iter()
            .map(|content| content.after_power_loss(&mut random))
            .collect();
        let mut entries = disk.durable_entries.clone();
        for (path, file) in &disk.entries {
            if disk.durable_entries.get(path) != Some(file) && random.random() {
                entries.insert(path.clone(), *file);
            }
        }
        for path in disk.durable_entries.keys() {
            if !disk.entries.contains_key(path) && random.random() {
                entries.remove(path);
            }
        }
        RiggedFiles {
            disk: Arc::new(Mutex::new(Disk {
                files,
                durable_entries: entries.clone(),
                entries,
                plan: None,
                ended: false,
            })),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }
}

impl Content {
    fn after_power_loss(&self, random: &mut StdRng) -> Content {
        let mut bytes = self.durable.clone();
        for change in &self.unsynced {
            match (random.random_range(0..3), change) {
                (0, _) => {}
                (1, Change::Write(at, written)) => {
                    let kept = random.random_range(0..=written.len());
                    let (head, tail) = written.split_at(kept);
                    let torn = match random.random() {
                        true => Change::Write(*at, head.to_vec()),
                        false => Change::Write(at + kept, tail.to_vec()),
                    };
                    torn.apply(&mut bytes);
                }
                _ => change.apply(&mut bytes),
            }
        }
        Content {
            now: bytes.clone(),
            durable: bytes,
            unsynced: Vec::new(),
        }
    }
}

impl Disk {
    /// Counts a call; the error that it meets.
    fn step(&mut self, kind: Count) -> Result<(), Fault> {
        if self.ended {
            return Err(Fault::End);
        }
        let Some(plan) = &mut self.plan else {
            return Ok(());
        };
        if plan.hit || !(plan.count == Count::All || plan.count == kind) {
            return Ok(());
        }
        if plan.left > 0 {
            plan.left -= 1;
            return Ok(());
        }
        plan.hit = true;
        self.ended = plan.fault == Fault::End;
        Err(plan.fault)
    }

    fn plain_step(&mut self, kind: Count) -> io::Result<()> {
        self.step(kind).map_err(error)
    }
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Error(code) | Fault::Short(code) => io::Error::from_raw_os_error(code),
        Fault::End => io::Error::other("the power is off"),
    }
}

#[derive(Debug)]
struct RiggedFile {
    disk: Arc<Mutex<Disk>>,
    file: usize,
}

impl FileSystem for RiggedFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut disk = self.lock();
        let found = disk.entries.get(path).copied();
        let file = match (mode, found) {
            (OpenMode::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Create, None) => {
                disk.plain_step(Count::All)?;
                disk.files.push(Content::default());
                let file = disk.files.len() - 1;
                disk.entries.insert(path.to_owned(), file);
                file
            }
            (_, Some(file)) => file,
            (_, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(RiggedFile {
            disk: Arc::clone(&self.disk),
            file,
        }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let disk = self.lock();
        let inside = disk
            .entries
            .keys()
            .filter(|path| path.parent() == Some(directory));
        let names = inside.filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn create_dir(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.plain_step(Count::All)?;
        let file = disk.entries.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.entries.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        if !disk.entries.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.plain_step(Count::All)?;
        disk.entries.remove(path);
        Ok(())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let mut disk = self.lock();
        disk.plain_step(Count::Syncs)?;
        let inside = |path: &Path| path.parent() == Some(directory);
        disk.durable_entries.retain(|path, _| !inside(path));
        let entries: Vec<_> = disk
            .entries
            .iter()
            .map(|(path, file)| (path.clone(), *file))
            .collect();
        disk.durable_entries
            .extend(entries.into_iter().filter(|(path, _)| inside(path)));
        Ok(())
    }
}

impl RiggedFile {
    fn change(&self, change: Change) {
        let content = &mut self.disk.lock().unwrap().files[self.file];
        change.apply(&mut content.now);
        content.unsynced.push(change);
    }

    fn step(&self, kind: Count) -> Result<(), Fault> {
        self.disk.lock().unwrap().step(kind)
    }
}

impl File for RiggedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.disk.lock().unwrap();
        let bytes = &disk.files[self.file].now;
        let from = bytes.len().min(usize::try_from(offset).unwrap());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let at = usize::try_from(offset).unwrap();
        match self.step(Count::Writes) {
            Ok(()) => {
                self.change(Change::Write(at, bytes.to_vec()));
                Ok(bytes.len())
            }
            Err(Fault::Short(code)) => {
                let half = &bytes[..bytes.len() / 2];
                self.change(Change::Write(at, half.to_vec()));
                self.disk.lock().unwrap().plan = Some(Plan {
                    count: Count::Writes,
                    left: 0,
                    fault: Fault::Error(code),
                    hit: false,
                });
                Ok(half.len())
            }
            Err(fault) => Err(error(fault)),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(Count::Syncs).map_err(error)?;
        let content = &mut self.disk.lock().unwrap().files[self.file];
        content.durable.clone_from(&content.now);
        content.unsynced.clear();
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.step(Count::All).map_err(error)?;
        self.change(Change::Length(usize::try_from(bytes).unwrap()));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().unwrap().files[self.file].now.len() as u64)
    }
}
