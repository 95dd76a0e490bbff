//! The caps a task runs under. Every one has a name, a unit and a default; none is unlimited by accident.

use std::time::Duration;

use crate::quantity::{ByteSize, show_duration};

/// What a task may use. A limit that is hit has a verdict of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory: all linear memories and tables of a module together, or the whole process tree.
    pub memory: ByteSize,
    /// What a guest meets that asks for more.
    pub on_memory_limit: OnMemoryLimit,
    /// Time by the clock on the wall, from the start of the attempt to its end.
    pub wall: Duration,
    /// Processor time of all threads together.
    pub cpu: Duration,
    /// Instructions of a module. `None` means that instructions are not counted, which is faster.
    pub fuel: Option<u64>,
    /// Stack of the main thread. Fixed when a program is loaded.
    pub stack: ByteSize,
    /// Bytes on stdout and stderr together.
    pub output: ByteSize,
    /// Bytes that a guest may send back over its channel.
    pub result: ByteSize,
    /// Open descriptors of one process.
    pub open_files: u32,
    /// Processes alive at the same time; threads are not counted.
    pub processes: u32,
    /// The largest file that may be written.
    pub file_bytes: ByteSize,
}

/// What a guest meets that asks for more memory than its limit allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnMemoryLimit {
    /// Its end, at once. The verdict is exact.
    #[default]
    Trap,
    /// A refusal: a module is told -1, a process gets no memory from its allocator (its address space is capped
    /// besides), and either may cope. If it ends itself later, that memory was the reason is a conclusion.
    Refuse,
}

impl OnMemoryLimit {
    /// The word used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Refuse => "refuse",
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(256),
            on_memory_limit: OnMemoryLimit::Trap,
            wall: Duration::from_secs(30),
            cpu: Duration::from_secs(30),
            fuel: None,
            stack: ByteSize::mib(1),
            output: ByteSize::mib(16),
            result: ByteSize::mib(64),
            open_files: 64,
            processes: 1,
            file_bytes: ByteSize::mib(64),
        }
    }
}

/// The least memory that any guest could live in: one page of a module.
pub const LEAST_MEMORY: ByteSize = ByteSize::kib(64);
/// What a deterministic task gets to run on where its fuel is not said: seconds of work, and far less than the
/// time on the clock that ends it otherwise.
pub const DETERMINISTIC_FUEL: u64 = 5_000_000_000;
const LEAST_STACK: ByteSize = ByteSize::kib(64);
const MOST_STACK: ByteSize = ByteSize::mib(1024);
const LEAST_OPEN_FILES: u32 = 5;

/// A limit no guest could live with, or two that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {limit} limit of {value} {fault}")]
pub struct LimitError {
    limit: &'static str,
    value: String,
    fault: String,
}

impl Limits {
    /// Refuses limits under which nothing could run, before anything is started.
    pub fn check(&self) -> Result<(), LimitError> {
        let fail = |limit, value: String, fault: String| Err(LimitError { limit, value, fault });
        if self.memory < LEAST_MEMORY {
            let fault = format!("is below {LEAST_MEMORY}, the least any guest needs; try 16MiB");
            return fail("memory", self.memory.to_string(), fault);
        }
        if self.stack < LEAST_STACK || self.stack > MOST_STACK {
            let fault = format!("is not between {LEAST_STACK} and {MOST_STACK}; try 1MiB");
            return fail("stack", self.stack.to_string(), fault);
        }
        if self.open_files < LEAST_OPEN_FILES {
            let fault = format!(
                "is below {LEAST_OPEN_FILES}: stdin, stdout, stderr and the channel are open already, and what loads a program opens one more"
            );
            return fail("open-files", self.open_files.to_string(), fault);
        }
        for (limit, duration) in [("wall", self.wall), ("cpu", self.cpu)] {
            if duration.is_zero() {
                let fault = "leaves no time to run; try 5s".to_owned();
                return fail(limit, show_duration(duration), fault);
            }
        }
        for (limit, count) in
            [("processes", u64::from(self.processes)), ("fuel", self.fuel.unwrap_or(1))]
        {
            if count == 0 {
                return fail(limit, "0".to_owned(), "lets nothing run; try at least 1".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn limits_nothing_could_live_with_are_refused_by_name() {
        let base = Limits::default;
        for (limits, word) in [
            (Limits { memory: ByteSize::kib(1), ..base() }, "memory"),
            (Limits { stack: ByteSize::kib(1), ..base() }, "stack"),
            (Limits { open_files: 2, ..base() }, "open-files"),
            (Limits { wall: Duration::ZERO, ..base() }, "wall"),
            (Limits { cpu: Duration::ZERO, ..base() }, "cpu"),
            (Limits { processes: 0, ..base() }, "processes"),
            (Limits { fuel: Some(0), ..base() }, "fuel"),
        ] {
            let error = limits.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
