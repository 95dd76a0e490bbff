//! The caps a task runs under. Every one has a name, a unit and a default; none is unlimited by accident.

use std::fmt;
use std::time::Duration;

use crate::quantity::{ByteSize, Cpus, show_duration};
use crate::task::Wall;

/// What a task may use. A limit that is hit has a verdict of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory: all linear memories and tables of a module together, or the whole process tree.
    pub memory: ByteSize,
    /// What a guest meets that asks for more.
    pub on_memory_limit: OnMemoryLimit,
    /// Time by the clock on the wall, from the start of the attempt to its end.
    pub wall: Duration,
    /// How long a guest may go on that was told to end, because its task is cancelled or its host shuts down. It is ended at
    /// once, and told nothing, where this is no time at all, as it is unless somebody says otherwise; and where nothing can be
    /// told to it: `docs/limits.md` says how each kind of guest is. All other limits hold meanwhile.
    pub grace: Duration,
    /// Processor time of all threads together.
    pub cpu: Duration,
    /// How many processors its threads may use at once, a part of one included: they wait when they have had their
    /// share of a tenth of a second. `None` leaves that to the host. Only processes can be held to it.
    pub cpus: Option<Cpus>,
    /// Instructions of a module. `None` means that instructions are not counted, which is faster.
    pub fuel: Option<u64>,
    /// Stack of the main thread. Fixed when a program is loaded.
    pub stack: ByteSize,
    /// Bytes on stdout and stderr together.
    pub output: ByteSize,
    /// Bytes that a command may read of its standard input. `None` means that they are not counted. A process gets a pipe for
    /// its stdin where they are.
    pub stdin: Option<ByteSize>,
    /// Bytes that a guest may send back over its channel.
    pub result: ByteSize,
    /// Open descriptors of one process.
    pub open_files: u32,
    /// Processes alive at the same time.
    pub processes: u32,
    /// Threads alive at the same time, of all processes together; the first one of each counts, too. The default
    /// of 256 has room for programs that start one for each processor on all but the largest hosts, and the
    /// kernel's own memory for so many (24 KiB each) is a fortieth of the memory limit's default.
    pub threads: u32,
    /// The largest file that may be written.
    pub file_bytes: ByteSize,
    /// What there is room for in a `/tmp` of the guest's own, which is its `/dev/shm`, too, and which is there for one
    /// task and gone with it. Nothing means that there is none. Whether there is one is fixed when a program is loaded. It is part of the memory of
    /// a process; a module can have none.
    pub scratch: ByteSize,
    /// Files and folders in there, if there is one.
    pub scratch_files: u32,
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
            grace: Duration::ZERO,
            cpu: Duration::from_secs(30),
            cpus: None,
            fuel: None,
            stack: ByteSize::mib(1),
            output: ByteSize::mib(16),
            stdin: None,
            result: ByteSize::mib(64),
            open_files: 64,
            processes: 1,
            threads: 256,
            file_bytes: ByteSize::mib(64),
            scratch: ByteSize::bytes(0),
            scratch_files: 4096,
        }
    }
}

/// The least memory that any guest could live in: one page of a module.
pub const LEAST_MEMORY: ByteSize = ByteSize::kib(64);
/// What a deterministic task gets to run on where its fuel is not said: seconds of work, and far less than the
/// time on the clock that ends it otherwise.
pub const DETERMINISTIC_FUEL: u64 = 5_000_000_000;
/// The kernel gives out no less than a millisecond of a tenth of a second.
const LEAST_CPUS: Cpus = Cpus::thousandths(10);
/// Room is given out in pages.
const LEAST_SCRATCH: ByteSize = ByteSize::kib(4);
const LEAST_STACK: ByteSize = ByteSize::kib(64);
const MOST_STACK: ByteSize = ByteSize::mib(1024);
const LEAST_OPEN_FILES: u32 = 5;
/// Linux has numbers for 4 194 304 threads at most, and refuses to count to more than that.
const MOST_THREADS: u32 = 4_000_000;

/// A limit no guest could live with, or two that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct LimitError {
    limits: [Option<&'static str>; 2],
    words: String,
}

impl LimitError {
    fn alone(limit: &'static str, value: impl fmt::Display, fault: impl fmt::Display) -> Self {
        let words = format!("the {limit} limit of {value} {fault}");
        Self { limits: [Some(limit), None], words }
    }

    fn fight<T: fmt::Display>(
        first: (&'static str, T),
        second: (&'static str, T),
        why: &str,
    ) -> Self {
        let words = format!(
            "the {} limit of {} and the {} limit of {} contradict each other: {why}",
            first.0, first.1, second.0, second.1
        );
        Self { limits: [Some(first.0), Some(second.0)], words }
    }

    /// The limits it is about, by the names of their flags: one, or two that contradict each other.
    pub fn limits(&self) -> impl Iterator<Item = &'static str> {
        self.limits.into_iter().flatten()
    }
}

impl Limits {
    /// The same for a call behind others whose words may come with its own.
    pub(crate) fn with_room_for(&self, others: u64) -> Self {
        let output = ByteSize::bytes(self.output.as_u64().saturating_add(others));
        Self { output, ..self.clone() }
    }

    /// Refuses limits under which nothing could run, and limits that contradict each other, before anything is
    /// started.
    ///
    /// A limit that is never reached because another one comes first is no contradiction: more processor time
    /// than all threads can use until the wall time is up, say. It takes nothing from what holds.
    pub fn check(&self) -> Result<(), LimitError> {
        self.check_sizes()?;
        self.check_counts()?;
        for (limit, duration) in [("wall", self.wall), ("cpu", self.cpu)] {
            if duration.is_zero() {
                let fault = "leaves no time to run; try 5s";
                return Err(LimitError::alone(limit, show_duration(duration), fault));
            }
        }
        Ok(())
    }

    /// The same, and what matters behind one wall only: the stack of a process is a part of its memory, and that
    /// of a module is not.
    pub fn check_behind(&self, wall: Wall) -> Result<(), LimitError> {
        self.check()?;
        if wall == Wall::Native && self.stack > self.memory {
            let why = "the stack of a process is a part of its memory, and could never be full; \
                       lower the stack limit, or raise the memory limit";
            let (stack, memory) = (("stack", self.stack), ("memory", self.memory));
            return Err(LimitError::fight(stack, memory, why));
        }
        if wall == Wall::Native && self.scratch > self.memory {
            let why = "what a process keeps in its scratch is a part of its memory, and it could never be full; \
                       lower the scratch limit, or raise the memory limit";
            let (scratch, memory) = (("scratch", self.scratch), ("memory", self.memory));
            return Err(LimitError::fight(scratch, memory, why));
        }
        if wall == Wall::Wasm && self.scratch > ByteSize::bytes(0) {
            let fault =
                "is for processes, which get a `/tmp` of their own; grant a module a directory";
            return Err(LimitError::alone("scratch", self.scratch, fault));
        }
        if let (Wall::Wasm, Some(cpus)) = (wall, self.cpus) {
            let fault = "is for processes: a module runs on a thread of its host's, which nobody holds back; \
                         bound it by its cpu limit";
            return Err(LimitError::alone("cpus", cpus, fault));
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), LimitError> {
        if self.memory < LEAST_MEMORY {
            let fault = format!("is below {LEAST_MEMORY}, the least any guest needs; try 16MiB");
            return Err(LimitError::alone("memory", self.memory, fault));
        }
        if self.stack < LEAST_STACK || self.stack > MOST_STACK {
            let fault = format!("is not between {LEAST_STACK} and {MOST_STACK}; try 1MiB");
            return Err(LimitError::alone("stack", self.stack, fault));
        }
        if self.scratch > ByteSize::bytes(0) && self.scratch < LEAST_SCRATCH {
            let fault = format!("is below {LEAST_SCRATCH}, which one file takes; try 64MiB");
            return Err(LimitError::alone("scratch", self.scratch, fault));
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), LimitError> {
        if self.open_files < LEAST_OPEN_FILES {
            let fault = format!(
                "is below {LEAST_OPEN_FILES}: stdin, stdout, stderr and the channel are open already, and what loads a program opens one more"
            );
            return Err(LimitError::alone("open-files", self.open_files, fault));
        }
        let counts = [
            ("processes", u64::from(self.processes)),
            ("threads", u64::from(self.threads)),
            ("scratch-files", u64::from(self.scratch_files)),
            ("fuel", self.fuel.unwrap_or(1)),
        ];
        for (limit, count) in counts {
            if count == 0 {
                return Err(LimitError::alone(limit, 0, "lets nothing run; try at least 1"));
            }
        }
        if let Some(cpus) = self.cpus.filter(|cpus| *cpus < LEAST_CPUS) {
            let fault = format!("is below {LEAST_CPUS}, the least that a host gives out; try 0.5");
            return Err(LimitError::alone("cpus", cpus, fault));
        }
        if self.threads > MOST_THREADS {
            let fault = format!("is above {MOST_THREADS}, more than a host can count; try 256");
            return Err(LimitError::alone("threads", self.threads, fault));
        }
        if self.processes > self.threads {
            let why = "every process has at least one thread; \
                       raise the threads limit, or lower the processes limit";
            let (processes, threads) = (("processes", self.processes), ("threads", self.threads));
            return Err(LimitError::fight(processes, threads, why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        for wall in [Wall::Native, Wall::Wasm] {
            assert_eq!(Limits::default().check_behind(wall), Ok(()));
        }
    }

    /// Each with the limits it is about, and what its words say to do.
    fn refused() -> Vec<(Limits, &'static [&'static str], &'static str)> {
        let base = Limits::default;
        vec![
            (Limits { memory: ByteSize::kib(1), ..base() }, &["memory"], "try 16MiB"),
            (Limits { memory: ByteSize::bytes(0), ..base() }, &["memory"], "try 16MiB"),
            (Limits { stack: ByteSize::kib(1), ..base() }, &["stack"], "try 1MiB"),
            (Limits { stack: ByteSize::mib(4096), ..base() }, &["stack"], "try 1MiB"),
            (Limits { scratch: ByteSize::bytes(1), ..base() }, &["scratch"], "try 64MiB"),
            (Limits { scratch_files: 0, ..base() }, &["scratch-files"], "at least 1"),
            (Limits { open_files: 2, ..base() }, &["open-files"], "is below 5"),
            (Limits { wall: Duration::ZERO, ..base() }, &["wall"], "try 5s"),
            (Limits { cpu: Duration::ZERO, ..base() }, &["cpu"], "try 5s"),
            (Limits { cpus: Some(Cpus::thousandths(0)), ..base() }, &["cpus"], "try 0.5"),
            (Limits { processes: 0, ..base() }, &["processes"], "at least 1"),
            (Limits { threads: 0, ..base() }, &["threads"], "at least 1"),
            (Limits { threads: u32::MAX, ..base() }, &["threads"], "try 256"),
            (Limits { fuel: Some(0), ..base() }, &["fuel"], "at least 1"),
            (
                Limits { processes: 9, threads: 8, ..base() },
                &["processes", "threads"],
                "limit of 9 and the threads limit of 8 contradict each other: every process has at \
                 least one thread; raise the threads limit, or lower the processes limit",
            ),
            (
                Limits { stack: ByteSize::mib(512), ..base() },
                &["stack", "memory"],
                "limit of 512 MiB and the memory limit of 256 MiB contradict each other: the stack \
                 of a process is a part of its memory, and could never be full; lower the stack \
                 limit, or raise the memory limit",
            ),
            (
                Limits { scratch: ByteSize::mib(512), ..base() },
                &["scratch", "memory"],
                "limit of 512 MiB and the memory limit of 256 MiB contradict each other: what a process \
                 keeps in its scratch is a part of its memory, and it could never be full; lower the \
                 scratch limit, or raise the memory limit",
            ),
        ]
    }

    #[test]
    fn limits_nothing_could_live_with_are_refused_by_name() {
        for (limits, names, words) in refused() {
            let error = limits.check_behind(Wall::Native).unwrap_err();
            assert_eq!(error.limits().collect::<Vec<_>>(), names, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().starts_with(&format!("the {} limit of ", names[0])));
        }
    }

    #[test]
    fn what_only_comes_first_is_no_contradiction() {
        let never_reached = Limits {
            wall: Duration::from_millis(1),
            grace: Duration::MAX,
            cpu: Duration::from_secs(3600),
            cpus: Some(Cpus::thousandths(4000)),
            threads: 1,
            output: ByteSize::bytes(0),
            stdin: Some(ByteSize::bytes(0)),
            result: ByteSize::bytes(0),
            file_bytes: ByteSize::bytes(0),
            ..Limits::default()
        };
        assert_eq!(never_reached.check_behind(Wall::Native), Ok(()));
    }

    #[test]
    fn a_scratch_is_for_processes() {
        let limits = Limits { scratch: ByteSize::mib(1), ..Limits::default() };
        assert_eq!(limits.check_behind(Wall::Native), Ok(()));
        let error = limits.check_behind(Wall::Wasm).unwrap_err().to_string();
        assert!(error.contains("grant a module a directory"), "{error}");
    }

    #[test]
    fn a_share_of_the_processors_is_for_processes() {
        let limits = Limits { cpus: Some(Cpus::thousandths(500)), ..Limits::default() };
        assert_eq!(limits.check_behind(Wall::Native), Ok(()));
        let error = limits.check_behind(Wall::Wasm).unwrap_err().to_string();
        assert!(error.starts_with("the cpus limit of 0.5 is for processes"), "{error}");
    }

    #[test]
    fn the_stack_of_a_module_is_no_part_of_its_memory() {
        let limits = Limits { memory: LEAST_MEMORY, ..Limits::default() };
        assert_eq!(limits.check_behind(Wall::Wasm), Ok(()));
        assert!(limits.check_behind(Wall::Native).is_err());
    }
}
