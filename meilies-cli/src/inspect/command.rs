//! The command for one event: a shell with the data as its input and the rest in its environment.
//!
//! The input is a file in memory that is whole before the command begins. Through a pipe, a command
//! that outlives this program would see a part of the data, and take it for all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use meilies_client::Event;
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::process::{Child, Command};

use crate::failure::Failure;

/// A command that runs. It goes on when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// What failures name.
    event: String,
}

impl Running {
    pub(super) fn start(command: &OsStr, event: &Event) -> Result<Running, Failure> {
        let shown = format!("event {} of '{}'", event.number, event.stream);
        let failed = |error| Failure::Program(format!("{shown}: cannot run the command: {error}"));
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(command)
            .env(
                "MEILIES_STREAM_NAME",
                text(event.stream.as_bytes(), "stream", &shown)?,
            )
            .env("MEILIES_EVENT_NAME", text(event.name(), "event", &shown)?)
            .env("MEILIES_EVENT_NUMBER", event.number.to_string())
            .env("MEILIES_EVENT_POSITION", event.position.to_string())
            .env("MEILIES_EVENT_ID", event.id.to_string())
            .stdin(input(event.data()).map_err(failed)?)
            // Ctrl-C at the terminal is for this program, which waits for the command then.
            .process_group(0);
        Ok(Running {
            child: shell.spawn().map_err(failed)?,
            event: shown,
        })
    }

    /// The process group that it leads.
    pub(super) fn group(&self) -> Option<i32> {
        i32::try_from(self.child.id()?).ok()
    }

    /// Waits for its end.
    pub(super) async fn end(mut self) -> Result<(), Failure> {
        let status = self.child.wait().await;
        let status =
            status.map_err(|error| Failure::Program(format!("{}: {error}", self.event)))?;
        match status.success() {
            true => Ok(()),
            false => Err(Failure::Command(format!(
                "{}: the command {}",
                self.event,
                reason(status)
            ))),
        }
    }
}

fn input(data: &[u8]) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create("event data", MemfdFlags::CLOEXEC)?);
    file.write_all(data)?;
    file.rewind()?;
    Ok(file.into())
}

/// A name as it is put into the environment: any bytes but NUL.
fn text(name: &[u8], whose: &str, shown: &str) -> Result<OsString, Failure> {
    match name.contains(&0) {
        true => Err(Failure::Input(format!(
            "{shown}: the name of the {whose} has a NUL byte, which an environment variable cannot \
             have"
        ))),
        false => Ok(OsStr::from_bytes(name).to_owned()),
    }
}

fn reason(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}
