//! The process that holds a store's lock: whether it is worth waiting for.
//!
//! The lock of a process that was killed is free when the system has taken the process apart, which
//! is some time after the kill. Whoever starts a successor seldom waits for that, so it is waited
//! for here; of a holder that lives on, no end is in sight.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How long the end of a holder that is going is waited for.
const GOING_MAX: Duration = Duration::from_secs(2);
/// How long it is looked whether a holder that seems to live is going: the signal that ends it may
/// be on its way.
const ALIVE_MAX: Duration = Duration::from_millis(100);
/// How long nobody looks.
const STEP: Duration = Duration::from_millis(5);

/// A wait for the end of a holder.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Instant>,
}

impl Patience {
    /// Waits a moment; `false` when it was long enough. `holder` is what the holder says of itself.
    pub(super) fn wait(&mut self, holder: &str) -> bool {
        if self.since.is_none() {
            tracing::info!(%holder, "the store is in use: looking whether its holder ends");
        }
        let waited = self.since.get_or_insert_with(Instant::now).elapsed();
        let longest = if is_going(holder) {
            GOING_MAX
        } else {
            ALIVE_MAX
        };
        if waited >= longest {
            return false;
        }
        thread::sleep(STEP);
        true
    }
}

/// Whether the process that is named ends or has ended. If nothing can be known of it, it lives.
fn is_going(holder: &str) -> bool {
    let process = holder.strip_prefix("process ");
    let Some(process) = process.and_then(|number| number.parse::<u32>().ok()) else {
        return false;
    };
    match fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => is_ending(&stat),
        // Gone, or there is no such directory at all.
        Err(_) => fs::exists("/proc/self/stat").unwrap_or(false),
    }
}

/// Reads the system's line on a process. Its name, in brackets, may hold anything.
fn is_ending(stat: &str) -> bool {
    /// The system takes it apart.
    const EXITING: u64 = 4;
    let Some((_, fields)) = stat.rsplit_once(") ") else {
        return false;
    };
    let mut fields = fields.split(' ');
    let state = fields.next();
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok());
    matches!(state, Some("Z" | "X")) || flags.is_some_and(|flags| flags & EXITING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_told_from_what_lives() {
        let stat = |state, flags| format!("7 (a ) b) {state} 1 7 7 0 -1 {flags} 100 0 0 0");
        assert!(!is_ending(&stat("S", 4_194_560)));
        assert!(!is_ending(&stat("R", 0)));
        assert!(is_ending(&stat("Z", 0)));
        assert!(is_ending(&stat("D", 4_194_564)));
        assert!(!is_ending("nonsense"));
        assert!(!is_going("another process"));
        assert!(!is_going(&format!("process {}", std::process::id())));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_has_ended_is_going() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let holder = format!("process {}", child.id());
        child.wait().unwrap();
        assert!(is_going(&holder));
    }
}
