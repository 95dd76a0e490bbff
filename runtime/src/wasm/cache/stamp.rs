//! The marks of a file: the same marks, the same content, as far as times can tell.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// File systems count time in steps: the coarsest still in use in steps of two seconds.
const COARSEST: Duration = Duration::from_secs(2);

/// What the kernel says of a file. The time of its last change (`ctime`) is nobody's to set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether a change from now on will show, on any file system: the last one is long enough ago.
    pub(super) fn is_settled(&self) -> io::Result<bool> {
        let now = kernel_time()?;
        let (seconds, _) = self.changed.max(self.modified);
        Ok(seconds.saturating_add_unsigned(COARSEST.as_secs()) < now.0)
    }

    /// Waits until a change would show, on a file system whose time is the kernel's own. Says whether it does.
    pub(super) fn settle(&self) -> io::Result<bool> {
        // One step of the kernel's time is ten milliseconds at the most.
        for _ in 0..50 {
            if kernel_time()? > self.changed {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(false)
    }
}

/// The time that the kernel writes into files.
fn kernel_time() -> io::Result<(i64, i64)> {
    let time = clock_gettime(ClockId::CLOCK_REALTIME_COARSE)?;
    Ok((time.tv_sec(), time.tv_nsec()))
}
