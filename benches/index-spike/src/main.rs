//! Measures ways to keep the location index of an append-only event log.
//!
//! ```text
//! cargo run --release -- --dir /var/tmp/index-spike --events 2000000 --streams 100000
//! cargo run --release -- --dir /var/tmp/index-spike --layout parts --checkpoint-mib 256
//! ```
//!
//! One run: a child process fills the index (the log itself is only simulated)
//! and is killed with SIGKILL in the middle of its last checkpoint; a second
//! child opens what is left; a third opens it again after that clean close; a
//! fourth reads random events back and checks every answer. The parent samples
//! RssAnon of each child every 5 ms and prints the figures as one Markdown row.
//! The folder given with `--dir` is removed at the start and at the end.

mod index;
mod location;
mod pending;
mod side;
mod workload;

use anyhow::{ensure, Context, Result};
use clap::{Parser, ValueEnum};
use index::{serial_of, Index, Options, Search};
use pending::{Pending, Tail};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use workload::{mix, Kind, Workload};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Drive,
    Fill,
    Reopen,
    Lookup,
}

#[derive(Parser)]
#[command(about = "Measures ways to keep the location index of an event log")]
struct Cli {
    /// Folder for the index; it is removed first and last.
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, value_enum, default_value = "a")]
    workload: Kind,
    #[arg(long, default_value_t = 20_000_000)]
    events: u64,
    #[arg(long, default_value_t = 1_000_000)]
    streams: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Checkpoint after this much log (a sealed segment always checkpoints).
    #[arg(long, default_value_t = 64)]
    checkpoint_mib: u64,
    /// Checkpoint when this many locations are pending.
    #[arg(long, default_value_t = 2_000_000)]
    checkpoint_locations: usize,
    /// Close and open sled after this many checkpoints (0: never).
    #[arg(long, default_value_t = 0)]
    reopen_every: u64,
    /// Keep ids and tails of all streams in memory instead of reading `names`
    /// and `streams` for every batch whose stream is not pending.
    #[arg(long)]
    no_lookups: bool,
    /// Drop the index files from the page cache before the first reopen.
    #[arg(long)]
    cold: bool,
    /// Events read back at the end, per search strategy.
    #[arg(long, default_value_t = 20_000)]
    reads: u64,
    #[command(flatten)]
    options: Options,
    /// What this process does; the parent sets it for its children.
    #[arg(long, value_enum, default_value = "drive", hide = true)]
    role: Role,
}

impl Cli {
    fn workload(&self) -> Workload {
        Workload {
            kind: self.workload,
            streams: self.streams,
            seed: self.seed,
        }
    }

    fn batches(&self) -> u64 {
        self.events / self.workload().events_per_batch()
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.role {
        Role::Drive => drive(&cli),
        Role::Fill => fill(&cli),
        Role::Reopen => reopen(&cli),
        Role::Lookup => lookup(&cli),
    }
}

// ---- parent -----------------------------------------------------------------

/// RssAnon of a process, in bytes.
fn rss_anon(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

struct Ran {
    lines: Vec<String>,
    peak: u64,
}

impl Ran {
    fn field(&self, name: &str) -> String {
        let words = self.lines.iter().flat_map(|line| line.split_whitespace());
        let mut values =
            words.filter_map(|word| word.strip_prefix(name).and_then(|w| w.strip_prefix('=')));
        values.next_back().unwrap_or("-").to_owned()
    }
}

/// Runs a child in `role`, killing it when it says that it is in the middle.
fn run_child(role: &str) -> Result<Ran> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .args(["--role", role])
        .stdout(Stdio::piped())
        .spawn()?;
    let pid = child.id();
    let (peak, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let stdout = child.stdout.take().context("child without stdout")?;
    let mut lines = Vec::new();
    let status = std::thread::scope(|scope| -> Result<_> {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(rss_anon(pid).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let read = || -> Result<_> {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                if line == "middle" {
                    child.kill()?; // SIGKILL
                }
                eprintln!("  {role}: {line}");
                lines.push(line);
            }
            Ok(child.wait()?)
        };
        let status = read();
        done.store(true, Ordering::Relaxed);
        status
    })?;
    let killed = status.signal() == Some(libc::SIGKILL) && role == "fill";
    ensure!(killed || status.success(), "{role} ended with {status}");
    Ok(Ran {
        lines,
        peak: peak.into_inner(),
    })
}

/// Every file below `folder`, in no order.
fn files_below(folder: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), out)?;
        } else {
            out.push(entry.path());
        }
    }
    Ok(())
}

fn disk_bytes(folder: &Path) -> Result<u64> {
    let mut files = Vec::new();
    files_below(folder, &mut files)?;
    let mut bytes = 0;
    for file in files {
        bytes += file
            .metadata()
            .map_or(0, |metadata| metadata.blocks() * 512);
    }
    Ok(bytes)
}

fn drop_from_page_cache(folder: &Path) -> Result<()> {
    use std::os::fd::AsRawFd;
    let mut files = Vec::new();
    files_below(folder, &mut files)?;
    for path in files {
        let file = std::fs::File::open(path)?;
        file.sync_all()?;
        // SAFETY: only advice about a descriptor that is open here.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
    Ok(())
}

fn drive(cli: &Cli) -> Result<()> {
    if cli.dir.exists() {
        std::fs::remove_dir_all(&cli.dir)?;
    }
    let fill = run_child("fill")?;
    let disk_sled = disk_bytes(&cli.dir.join("sled"))?;
    let disk_side = disk_bytes(&cli.dir.join("side"))?;
    if cli.cold {
        drop_from_page_cache(&cli.dir)?;
    }
    let after_kill = run_child("reopen")?;
    let clean = run_child("reopen")?;
    let lookup = run_child("lookup")?;
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "| {:?} | {:?} | {} MiB / {} KiB | {} MiB | {} | {} | {} | {} | {} + {} | {} ({}) | {} ({}) | {} | {} |",
        cli.workload,
        cli.options.layout,
        cli.options.cache_mib,
        cli.options.segment_kib,
        cli.checkpoint_mib,
        cli.options.tail_bucket,
        fill.field("rate"),
        mib(fill.peak),
        fill.field("longest_ms"),
        mib(disk_sled),
        mib(disk_side),
        after_kill.field("open_ms"),
        mib(after_kill.peak),
        clean.field("open_ms"),
        mib(clean.peak),
        lookup.field("us"),
        mib(lookup.peak),
    );
    std::fs::remove_dir_all(&cli.dir)?;
    Ok(())
}

// ---- children ---------------------------------------------------------------

/// Prints a line at once: the parent waits for some of them.
fn say(line: std::fmt::Arguments) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

struct Filler<'a> {
    cli: &'a Cli,
    workload: Workload,
    index: Index,
    pending: Pending,
    next_id: u64,
    /// Id and tail by stream ordinal, with `--no-lookups`.
    known: Vec<Option<(u64, Tail)>>,
    name: String,
    checkpoints: u64,
    checkpointing: Duration,
    longest: Duration,
    from: u64,
}

impl Filler<'_> {
    fn append(&mut self, batch: u64) -> Result<()> {
        let location = self.workload.location(batch);
        let ordinal = self.workload.stream_of(batch);
        self.workload.name_of(ordinal, &mut self.name);
        let known = match self.known.get(ordinal as usize) {
            Some(known) => known.map(|(id, _)| id),
            None => match self.pending.names.get(self.name.as_str()) {
                Some(&id) => Some(id),
                None => self.index.id_of(&self.name)?,
            },
        };
        let at = match known {
            Some(id) => match self.pending.find(id) {
                Some(at) => at,
                None => {
                    let tail = match self.known.get(ordinal as usize).copied().flatten() {
                        Some((_, tail)) => tail,
                        None => self.index.tail_of(id)?,
                    };
                    self.pending.add_stream(id, tail)
                }
            },
            None => {
                let id = self.next_id;
                self.next_id += 1;
                self.pending.names.insert(self.name.as_str().into(), id);
                let tail = Tail {
                    created_ms: location.time_ms,
                    ..Tail::default()
                };
                self.pending.add_stream(id, tail)
            }
        };
        self.pending.append(at, location);
        if let Some(known) = self.known.get_mut(ordinal as usize) {
            let changed = &self.pending.changed[at];
            *known = Some((changed.id, changed.tail));
        }
        let position = self.workload.log_position(batch);
        if position >> 20 != position.saturating_sub(self.workload.batch_bytes()) >> 20 {
            let first = batch * self.workload.events_per_batch();
            self.pending.positions.push((first, location));
        }
        Ok(())
    }

    fn checkpoint(&mut self, batch: u64, sealed: Option<u32>, last: bool) -> Result<()> {
        let start = Instant::now();
        let (locations, streams) = (self.pending.locations(), self.pending.changed.len());
        self.index.checkpoint(&mut self.pending, batch, || {
            if last {
                // A parent that does not answer is found by its silence.
                let _ = say(format_args!("middle"));
                std::thread::sleep(Duration::from_millis(100));
            }
        })?;
        if let Some(serial) = sealed {
            self.index.seal(serial)?;
        }
        self.checkpoints += 1;
        self.from = self.workload.log_position(batch);
        let took = start.elapsed();
        self.checkpointing += took;
        self.longest = self.longest.max(took);
        say(format_args!(
            "events={} locations={locations} streams={streams} checkpoint_ms={} rss_mib={} disk_mib={}",
            batch * self.workload.events_per_batch(),
            took.as_millis(),
            rss_anon(std::process::id()).unwrap_or(0) >> 20,
            disk_bytes(&self.cli.dir)? >> 20,
        ))
    }
}

fn fill(cli: &Cli) -> Result<()> {
    let workload = cli.workload();
    let mut filler = Filler {
        cli,
        workload,
        index: Index::open(&cli.options, &cli.dir)?,
        pending: Pending::default(),
        next_id: 0,
        known: match cli.no_lookups {
            true => vec![None; cli.streams as usize],
            false => Vec::new(),
        },
        name: String::new(),
        checkpoints: 0,
        checkpointing: Duration::ZERO,
        longest: Duration::ZERO,
        from: 0,
    };
    let start = Instant::now();
    for batch in 0..cli.batches() {
        let position = workload.log_position(batch);
        let serial = serial_of(position);
        let sealed = serial_of(position.saturating_sub(workload.batch_bytes()));
        if serial != sealed {
            filler.checkpoint(batch, Some(sealed), false)?;
        } else if position - filler.from >= cli.checkpoint_mib << 20
            || filler.pending.locations() >= cli.checkpoint_locations
        {
            filler.checkpoint(batch, None, false)?;
        }
        if cli.reopen_every > 0 && filler.checkpoints >= cli.reopen_every {
            let start = Instant::now();
            filler.index = filler.index.reopen()?;
            filler.checkpoints = 0;
            say(format_args!("closed and opened in {:?}", start.elapsed()))?;
        }
        filler.append(batch)?;
    }
    let took = start.elapsed();
    say(format_args!(
        "rate={:.0} total_s={:.1} checkpointing_s={:.1} longest_ms={}",
        cli.events as f64 / took.as_secs_f64(),
        took.as_secs_f64(),
        filler.checkpointing.as_secs_f64(),
        filler.longest.as_millis(),
    ))?;
    filler.checkpoint(cli.batches(), None, true)?;
    anyhow::bail!("was not killed")
}

fn reopen(cli: &Cli) -> Result<()> {
    let start = Instant::now();
    let index = Index::open(&cli.options, &cli.dir)?;
    let opened = start.elapsed();
    let c = index.checkpointed()?;
    let mut name = String::new();
    let ordinal = cli.workload().stream_of(c / 2);
    cli.workload().name_of(ordinal, &mut name);
    let id = index.id_of(&name)?.context("a stream is lost")?;
    let tail = index.tail_of(id)?;
    ensure!(tail.next > 0, "an empty tail");
    let (found, _) = index.find(id, 0, Search::NewestFirst)?;
    ensure!(found.is_some(), "an event is lost");
    say(format_args!(
        "open_ms={} sled_and_files_ms={} c={c} side_files={:?} side_entries={} rss_mib={}",
        start.elapsed().as_millis(),
        opened.as_millis(),
        index.side_files(),
        index.side_entries(),
        rss_anon(std::process::id()).unwrap_or(0) >> 20,
    ))?;
    drop(index);
    say(format_args!(
        "with_close_ms={}",
        start.elapsed().as_millis()
    ))
}

/// Reads random events below the last checkpoint and checks where they lie.
fn lookup(cli: &Cli) -> Result<()> {
    let index = Index::open(&cli.options, &cli.dir)?;
    let workload = cli.workload();
    let c = index.checkpointed()?;
    // How many events of each stream the checkpoint covers.
    let mut numbers = vec![0u64; cli.streams as usize];
    for batch in 0..c {
        numbers[workload.stream_of(batch) as usize] += workload.events_per_batch();
    }
    let mut name = String::new();
    let mut averages = Vec::new();
    for search in [
        Search::NewestFirst,
        Search::NewestFirstBloom,
        Search::Bisect,
    ] {
        let (mut asked, mut spent) = (0u64, Duration::ZERO);
        for i in 0..cli.reads {
            let ordinal = workload.stream_of(mix(i) % c);
            let number = mix(i ^ cli.seed) % numbers[ordinal as usize];
            workload.name_of(ordinal, &mut name);
            let id = index.id_of(&name)?.context("a stream is lost")?;
            let tail = index.tail_of(id)?;
            ensure!(
                tail.next >= numbers[ordinal as usize],
                "{name}: tail {tail:?} is behind the checkpoint"
            );
            let start = Instant::now();
            let (found, files) = index.find(id, number, search)?;
            spent += start.elapsed();
            asked += u64::from(files);
            let (first, location) = found.with_context(|| format!("{name} {number} is lost"))?;
            let batch = workload.batch_at(&location).context("not a batch")?;
            ensure!(
                workload.stream_of(batch) == ordinal
                    && workload.location(batch) == location
                    && number - first < location.count.into(),
                "{name} {number}: wrong location {location:?}"
            );
        }
        let average = spent.as_secs_f64() * 1e6 / cli.reads as f64;
        averages.push(format!("{average:.1}"));
        say(format_args!(
            "{search:?}: average_us={average:.1} files_asked={:.2}",
            asked as f64 / cli.reads as f64
        ))?;
    }
    say(format_args!(
        "us={} positions={} location_bytes_in_runs={:.2}",
        averages.join("/"),
        index.position_entries(),
        index.run_bytes_per_location()?
    ))
}
