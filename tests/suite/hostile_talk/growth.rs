//! Whether a host grows while its guests misbehave: its memory, and its table of descriptors.

use std::time::{Duration, Instant};

use sandtrap::{Event, Loaded, Report, StopHandle, Task};
use sandtrap_tests::soak::{descriptors, status_kib};

/// More than any guest of ours needs that lives in this process, with what it may say at once; and far less than what it
/// says altogether, or says that it will.
const MOST_AT_ONCE_KIB: u64 = 24 * 1024;

/// What stays of all of them together. Allocators keep some.
const MOST_LEFT_KIB: u64 = 8 * 1024;

/// A few come and go with what stands ready for the next task. It is less than one for each misbehaviour.
const MOST_DESCRIPTORS: usize = 8;

/// A task has more while it runs, among them the files of a module, of which it may have 64; a flood would be hundreds.
const MOST_DESCRIPTORS_AT_ONCE: usize = 100;

/// Until what is dying is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was there before, and what was seen since.
pub(super) struct Growth {
    descriptors: usize,
    resident_kib: u64,
    found: Vec<String>,
}

impl Growth {
    pub(super) fn begin() -> Self {
        Self { descriptors: descriptors(), resident_kib: status_kib("VmRSS:"), found: Vec::new() }
    }

    /// Runs a task, and looks how large the host was meanwhile.
    pub(super) fn of(&mut self, name: &str, guest: &Loaded, task: &Task) -> Report {
        // Forgets what was the most before. Where the kernel can't, more is held against us.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let before = status_kib("VmRSS:");
        let (mut most, mut heard) = (0, 0_u32);
        let mut ear = |_: Event<'_>| {
            heard += 1;
            if heard.is_power_of_two() || heard.is_multiple_of(100) {
                most = most.max(descriptors());
            }
        };
        let report = guest.run_with(task, &StopHandle::new(), &mut ear);
        let more = status_kib("VmHWM:").saturating_sub(before);
        if more > MOST_AT_ONCE_KIB {
            self.found.push(format!("{name}: the host needed {more} KiB more"));
        }
        if most > self.descriptors + MOST_DESCRIPTORS_AT_ONCE {
            let before = self.descriptors;
            self.found
                .push(format!("{name}: the host had {most} descriptors, and {before} before"));
        }
        report
    }

    /// What has grown.
    pub(super) fn end(mut self) -> Vec<String> {
        let (end, before) = (Instant::now() + PATIENCE, self.descriptors);
        while descriptors() > before + MOST_DESCRIPTORS && Instant::now() < end {
            std::thread::yield_now();
        }
        let now = descriptors();
        if now > before + MOST_DESCRIPTORS {
            self.found.push(format!("{now} descriptors are open, and {before} were before"));
        }
        let more = status_kib("VmRSS:").saturating_sub(self.resident_kib);
        if more > MOST_LEFT_KIB {
            self.found.push(format!("the host has kept {more} KiB more"));
        }
        self.found
    }
}
