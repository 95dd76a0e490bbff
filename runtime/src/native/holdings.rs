//! How much memory a process that stays holds, asked again and again at the price of one call of the system.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};

use super::lately::Lately;

/// A peak is measured anew when it has risen by more than this: each time takes as long as asking for it.
const RISE: u64 = 1024 * 1024;

/// One process's account of its pages, and its group's account of the most it held. They read nothing any more once
/// the process and the group are gone.
pub(super) struct Holdings {
    pages: Option<File>,
    peak: Option<File>,
    /// What the group held when its peak was last measured anew.
    floor: Cell<u64>,
    /// What it held when it was last asked for the most.
    held: Lately<u64>,
    /// What the process held when it was last asked.
    lately: Lately<u64>,
}

impl Holdings {
    pub(super) fn of(pid: i32, peak: Option<&Path>) -> Self {
        let pages = File::open(format!("/proc/{pid}/statm")).ok();
        // Older kernels let nobody set the peak of a group of version 2 back.
        let open = |path| OpenOptions::new().read(true).write(true).open(path);
        let peak = peak.and_then(|path| open(path).or_else(|_| File::open(path)).ok());
        let (held, lately) = (Lately::default(), Lately::default());
        Self { pages, peak, floor: Cell::new(0), held, lately }
    }

    /// The pages of the process that are there now, or were a moment ago, in bytes; 0 where nobody says.
    pub(super) fn resident(&self) -> u64 {
        self.lately.get(|| self.resident_now())
    }

    fn resident_now(&self) -> u64 {
        let field = |text: &str| text.split(' ').nth(1)?.parse::<u64>().ok();
        let pages = self.pages.as_ref().and_then(|file| read(file, field)).unwrap_or(0);
        pages.saturating_mul(page_bytes())
    }

    /// The most that the group held since this was asked last, or a little longer ago if it wasn't much more. Without a
    /// group, what the process holds now. If it was asked a moment ago, what it held then.
    pub(super) fn peak(&self) -> u64 {
        let mut most = None;
        let held = self.held.get(|| {
            let (peak, left) = self.peak_now();
            most = Some(peak);
            left
        });
        most.unwrap_or(held)
    }

    /// The most, and what is left of it.
    fn peak_now(&self) -> (u64, u64) {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let Some(peak) = self.peak.as_ref().and_then(|file| read(file, number)) else {
            let resident = self.resident_now();
            return (resident, resident);
        };
        if peak > self.floor.get().saturating_add(RISE) {
            let set_back = self.peak.as_ref().is_some_and(|file| file.write_at(b"0", 0).is_ok());
            let left = self.peak.as_ref().filter(|_| set_back).and_then(|file| read(file, number));
            self.floor.set(left.unwrap_or(peak));
            return (peak, self.floor.get());
        }
        (peak, peak)
    }
}

/// What stands at the beginning of a file of the kernel's.
pub(super) fn read<T>(file: &File, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut buffer = [0; 128];
    let count = file.read_at(&mut buffer, 0).ok()?;
    parse(str::from_utf8(&buffer[..count]).ok()?)
}

fn page_bytes() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_memory_and_nobody_holds_none() {
        let own = Holdings::of(std::process::id().cast_signed(), None);
        let before = own.resident();
        assert!(before >= page_bytes());
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(own.peak() >= before + (32 << 20), "{before} {}", own.resident_now());
        drop(touched);
        assert_eq!(Holdings::of(-1, Some(Path::new("/nowhere"))).peak(), 0);
    }
}
