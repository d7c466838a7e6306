//! What the system says about this process and its machine. Every figure may be missing: nothing
//! here invents one.

use std::fs;
use std::time::Duration;

/// Ticks per second in which Linux tells processor time to programs: fixed by its interface.
const TICKS_PER_SECOND: u64 = 100;

/// Memory of this process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Resident at most since the start.
    pub resident_peak: u64,
    /// Resident and the process' own, so without mapped files.
    pub anonymous: u64,
}

/// Processor time of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorTime {
    /// In its own code.
    pub user: Duration,
    /// In the system on its behalf.
    pub system: Duration,
}

/// Reads the memory figures.
pub fn memory() -> Option<Memory> {
    parse_memory(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Reads the processor time.
pub fn processor_time() -> Option<ProcessorTime> {
    parse_processor_time(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Memory of the machine in bytes.
pub fn system_memory() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// The system's name, its release where known, and the processor's kind.
pub fn system_name() -> String {
    let kind = std::env::consts::ARCH;
    match (
        fs::read_to_string("/proc/sys/kernel/ostype"),
        kernel_release(),
    ) {
        (Ok(name), Some(release)) => format!("{} {release} {kind}", name.trim()),
        _ => format!("{} {kind}", std::env::consts::OS),
    }
}

fn kernel_release() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(release.trim().to_owned())
}

fn parse_memory(status: &str) -> Option<Memory> {
    Some(Memory {
        resident: kilobytes(status, "VmRSS:")?,
        resident_peak: kilobytes(status, "VmHWM:")?,
        anonymous: kilobytes(status, "RssAnon:")?,
    })
}

/// The value of a line such as `VmRSS:     4092 kB`, in bytes.
fn kilobytes(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

fn parse_processor_time(stat: &str) -> Option<ProcessorTime> {
    // The program's name stands in parentheses and may hold anything, spaces too.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace();
    // `utime` and `stime` are fields 14 and 15; behind the name begins field 3.
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let time = |ticks: u64| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    Some(ProcessorTime {
        user: time(user),
        system: time(system),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_the_text_of_the_system() {
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t  512 kB\n";
        let expected = Memory {
            resident: 1 << 20,
            resident_peak: 2 << 20,
            anonymous: 1 << 19,
        };
        assert_eq!(parse_memory(status), Some(expected));
        assert_eq!(parse_memory("Name:\tx\n"), None);
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0";
        let time = parse_processor_time(stat).expect("well-formed");
        assert_eq!(time.user, Duration::from_millis(2500));
        assert_eq!(time.system, Duration::from_millis(500));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_figures() {
        assert!(memory().is_some_and(|memory| memory.resident > 0));
        assert!(processor_time().is_some());
        assert!(system_memory().is_some_and(|bytes| bytes > 0));
        assert!(system_name().starts_with("Linux "));
    }
}
