//! Counts events by their names, in a file that survives kill -9: no event is ever missing from the
//! counts or in them twice.
//!
//! The trick is that the position is stored together with the state that it belongs to, in one
//! step: here in one file that is replaced as a whole, elsewhere in one transaction of a database.
//!
//! ```sh
//! cargo run --example projection counts.txt [meilies://host:port]
//! ```

// An example may print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use futures::StreamExt;
use meilies_client::{Client, Item, Position};

/// Events after which the state is stored, when more wait.
const EVENTS_A_STEP: u64 = 1000;

/// The state, and which position comes next.
#[derive(Debug, Default)]
struct Counts {
    next: Position,
    by_name: BTreeMap<String, u64>,
}

impl Counts {
    /// The first line is the next position, each other one a name and its count.
    fn load(path: &Path) -> io::Result<Counts> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Counts::default()),
            text => text?,
        };
        let bad = || io::Error::new(ErrorKind::InvalidData, "it is not of this program");
        let mut lines = text.lines();
        let next = lines.next().and_then(|line| line.parse().ok());
        let mut counts = Counts {
            next: next.ok_or_else(bad)?,
            ..Counts::default()
        };
        for line in lines {
            let (name, count) = line.rsplit_once('\t').ok_or_else(bad)?;
            let count = count.parse().map_err(|_| bad())?;
            counts.by_name.insert(name.to_owned(), count);
        }
        Ok(counts)
    }

    /// Replaces the file in one step, which is on the disk when this returns.
    fn store(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = BufWriter::new(File::create(&new)?);
        writeln!(file, "{}", self.next)?;
        for (name, count) in &self.by_name {
            writeln!(file, "{name}\t{count}")?;
        }
        file.into_inner()?.sync_all()?;
        fs::rename(&new, path)?;
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("which file?")?);
    let url = arguments.next();
    let client = Client::connect(url.as_deref().unwrap_or("meilies://localhost")).await?;

    let mut counts = Counts::load(&path)?;
    println!("going on at position {}", counts.next);
    let mut events = client.subscribe([format!("$all:{}", counts.next)]).await?;
    let mut unstored = 0;
    while let Some(item) = events.next().await {
        let mut next = Some(item);
        // What has come together is stored together.
        while let Some(item) = next {
            if let Item::Event(event) = item? {
                let name = event.name().escape_ascii().to_string();
                *counts.by_name.entry(name).or_default() += 1;
                counts.next = event.position + 1;
                unstored += 1;
            }
            next = (unstored < EVENTS_A_STEP)
                .then(|| events.next_buffered())
                .flatten();
        }
        if unstored > 0 {
            counts.store(&path)?;
            unstored = 0;
        }
    }
    Ok(())
}
