//! The machine on which all of it runs.

use std::env;
use std::fs;
use std::thread;

use super::findings::Machine;

impl Machine {
    /// This one.
    pub(super) fn here() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let system = format!("{} {} on {}", env::consts::OS, release.trim(), env::consts::ARCH);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self { processors, system }
    }
}

/// What the kernel would give without trouble, in bytes.
pub(super) fn memory_available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(1 << 20) << 10
}
