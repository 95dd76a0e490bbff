//! The history of crashes as a file: a line of JSON for each, which outlives the process that wrote it.
//!
//! Lines are only ever added, each by one write, so several executors and processes may share a file; each reads back what is
//! its program's and not too old. A line that was torn, or is none of these, is passed over.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::policy::health::{CrashRecord, HealthSettings, Phase};
use crate::policy::quarantine::Culprit;
use crate::task::TaskId;

/// So much of the end of a file is read back.
const MOST_READ: u64 = 16 * 1024 * 1024;

/// One crash. Names are added, never changed.
#[derive(Serialize, Deserialize)]
struct Line {
    at_unix_ms: u64,
    program: String,
    device: Option<String>,
    task: String,
    attempt: u32,
    worker: u64,
    label: String,
    phase: String,
    signature: String,
    kind: String,
    input: String,
    stderr: String,
}

/// A file to which crashes are added.
pub(super) struct Ledger {
    lines: Mutex<Lines<File>>,
}

/// Opens a file that can be added to and read back, and makes it if there is none.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // A pipe would have us wait for its other end, and a terminal would be ours.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    Ok(file)
}

/// Lines, of which the last may be torn.
struct Lines<W> {
    to: W,
    is_torn: bool,
}

impl<W: Write> Lines<W> {
    /// By one write: what others add meanwhile is before it or behind it. A disk that is full takes a part of it; the next
    /// one is not to be lost with that.
    fn add(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        if self.is_torn {
            line.insert(0, b'\n');
        }
        let written = loop {
            match self.to.write(&line) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        self.is_torn = written < line.len();
        if self.is_torn {
            let why = format!("only {written} of {} bytes could be written", line.len());
            return Err(io::Error::new(io::ErrorKind::WriteZero, why));
        }
        Ok(())
    }
}

impl Ledger {
    /// Opens it, and makes it if there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        // A host that was killed may have left half a line.
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
        Ok(Self { lines: Mutex::new(Lines { to: file, is_torn: false }) })
    }

    pub(super) fn add(&self, record: &CrashRecord) -> io::Result<()> {
        let line = serde_json::to_vec(&Line::of(record, SystemTime::now(), Instant::now()))?;
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).add(line)
    }

    /// What it knows of a program's crashes that are still to be kept, oldest first.
    pub(super) fn read(
        &self,
        program: &Arc<str>,
        settings: &HealthSettings,
    ) -> io::Result<Vec<CrashRecord>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let file = &mut lines.to;
        let from = file.metadata()?.len().saturating_sub(MOST_READ);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(MOST_READ).read_to_end(&mut bytes)?;
        drop(lines);
        let (today, now) = (SystemTime::now(), Instant::now());
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        let own = lines.filter(|line| line.program == **program);
        let mut records: Vec<_> = own
            .filter_map(|line| line.into_record(program, today, now))
            .filter(|record| now.saturating_duration_since(record.at) < settings.keep_for)
            .collect();
        records.sort_by_key(|record| record.at);
        let too_many = records.len().saturating_sub(settings.keep);
        Ok(records.split_off(too_many))
    }
}

impl Line {
    fn of(record: &CrashRecord, today: SystemTime, now: Instant) -> Self {
        let at = today.checked_sub(now.saturating_duration_since(record.at));
        let at = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Self {
            at_unix_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            program: record.program.to_string(),
            device: record.device.as_deref().map(str::to_owned),
            task: record.task.to_string(),
            attempt: record.attempt,
            worker: record.worker,
            label: record.label.to_string(),
            phase: record.phase.name().to_owned(),
            signature: format!("{:016x}", record.signature),
            kind: record.culprit.kind.to_string(),
            input: format!("{:032x}", u128::from_be_bytes(record.culprit.digest)),
            stderr: record.stderr.clone(),
        }
    }

    /// None for one of which something can't be read, or that is older than this host's clock can say.
    fn into_record(
        self,
        program: &Arc<str>,
        today: SystemTime,
        now: Instant,
    ) -> Option<CrashRecord> {
        let at = UNIX_EPOCH.checked_add(Duration::from_millis(self.at_unix_ms))?;
        let phases = [Phase::WarmUp, Phase::Task, Phase::AfterResult];
        Some(CrashRecord {
            // A clock that was set back makes it one of now.
            at: now.checked_sub(today.duration_since(at).unwrap_or_default())?,
            task: TaskId::named(self.task),
            attempt: self.attempt,
            worker: self.worker,
            program: Arc::clone(program),
            device: self.device.map(Into::into),
            label: self.label.parse().ok()?,
            phase: phases.into_iter().find(|phase| phase.name() == self.phase)?,
            stderr: self.stderr,
            signature: u64::from_str_radix(&self.signature, 16).ok()?,
            culprit: Culprit {
                kind: self.kind.into(),
                digest: u128::from_str_radix(&self.input, 16).ok()?.to_be_bytes(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let fits = bytes.len().min(self.room);
            self.bytes.extend_from_slice(&bytes[..fits]);
            self.room -= fits;
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn s30_a_line_that_was_torn_by_a_full_disk_costs_no_other_line() {
        let mut lines = Lines { to: Disk { bytes: Vec::new(), room: 9 }, is_torn: false };
        assert!(lines.add(b"first".to_vec()).is_ok());
        assert!(lines.add(b"second".to_vec()).is_err(), "a part of it fits");
        assert!(lines.add(b"third".to_vec()).is_err(), "nothing of it fits");
        lines.to.room = 100;
        assert!(lines.add(b"fourth".to_vec()).is_ok());
        assert!(lines.add(b"fifth".to_vec()).is_ok());
        assert_eq!(String::from_utf8_lossy(&lines.to.bytes), "first\nsec\nfourth\nfifth\n");
    }
}
