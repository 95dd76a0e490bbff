//! The table: what each way to die is to be called, whatever it was built with.

use std::time::Duration;

use sandtrap::Label::{self, *};
use sandtrap::{AccessKind, ByteSize, Limits, OnMemoryLimit, Profile};

/// One way to die, by the name that the victims know it by, and everything that a report is to say of it.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The victims' argument.
    pub name: &'static str,
    /// The verdict.
    pub label: Label,
    /// The exit code, where the verdict has one.
    pub code: Option<i32>,
    /// Whether the cause was seen.
    pub certain: bool,
    /// What is said of the address.
    pub address: Address,
    /// What is said to have been wanted there.
    pub access: Option<AccessKind>,
    /// Who is said to have killed it, where that is the verdict.
    pub killer: Option<Killer>,
    /// What it runs under.
    pub limits: Limits,
    /// The system calls that it needs.
    pub profile: Profile,
    /// The signal that it is sent as soon as it is ready.
    pub sent: Option<i32>,
    /// Whether other cages would have no limit that stops it.
    pub unbounded: bool,
}

/// What a report is to say of the address at which something was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// That there was no fault, or nothing in particular.
    Any,
    /// That it was close to zero.
    Null,
    /// This one.
    At(u64),
    /// That there is one, wherever.
    Some,
    /// That the processor named none.
    None,
}

/// Who is to be named as the killer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killer {
    /// The victim.
    Itself,
    /// Nobody: the kernel shows nobody who sends a SIGKILL.
    Unknown,
}

/// The address that the victims choose for wild accesses.
const WILD: Address = Address::At(0x4141_4141_0000);

const READ: Option<AccessKind> = Some(AccessKind::Read);
const WRITE: Option<AccessKind> = Some(AccessKind::Write);
const EXECUTE: Option<AccessKind> = Some(AccessKind::Execute);

fn cause(name: &'static str, label: Label) -> Cause {
    let limits = Limits {
        memory: ByteSize::mib(48),
        // Long enough for the slowest machine: only what hangs runs into it.
        wall: Duration::from_secs(60),
        cpu: Duration::from_secs(60),
        output: ByteSize::mib(1),
        file_bytes: ByteSize::mib(8),
        ..Limits::default()
    };
    Cause {
        name,
        label,
        code: None,
        certain: true,
        address: Address::Any,
        access: None,
        killer: None,
        limits,
        profile: Profile::Process,
        sent: None,
        unbounded: false,
    }
}

impl Cause {
    fn code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    fn at(mut self, address: Address, access: Option<AccessKind>) -> Self {
        (self.address, self.access) = (address, access);
        self
    }

    fn by(mut self, killer: Killer) -> Self {
        self.killer = Some(killer);
        self
    }

    fn sent(mut self, signal: i32) -> Self {
        self.sent = Some(signal);
        self
    }

    fn concluded(mut self) -> Self {
        self.certain = false;
        self
    }

    fn unbounded(mut self) -> Self {
        self.unbounded = true;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// It keeps a file in memory.
    fn in_memory(mut self) -> Self {
        self.profile = Profile::Jit;
        self
    }

    fn hangs(self) -> Self {
        self.with(|limits| limits.wall = Duration::from_millis(100)).unbounded()
    }

    fn with_child(self) -> Self {
        self.with(|limits| limits.processes = 3).unbounded()
    }

    fn refused(self) -> Self {
        self.with(|limits| limits.on_memory_limit = OnMemoryLimit::Refuse).concluded()
    }
}

/// All of them.
pub fn causes() -> Vec<Cause> {
    [accesses(), stacks(), instructions(), endings(), signals(), memory(), limits()]
        .into_iter()
        .flatten()
        .collect()
}

fn accesses() -> Vec<Cause> {
    let fault = |name| cause(name, CrashedMemoryFault);
    let call = |name| cause(name, CrashedBadCall);
    vec![
        fault("null-read").at(Address::Null, READ),
        fault("null-write").at(Address::Null, WRITE),
        fault("null-field").at(Address::Null, READ),
        call("null-call").at(Address::Null, EXECUTE),
        fault("wild-read").at(WILD, READ),
        fault("wild-write").at(WILD, WRITE),
        call("wild-call").at(WILD, EXECUTE),
        fault("wild-add").at(WILD, WRITE),
        // Where a copy begins is the C library's own choice.
        fault("wild-copy").at(Address::Some, WRITE),
        fault("wild-fill").at(Address::Some, WRITE),
        fault("wild-strlen").at(Address::Some, READ),
        fault("noncanonical-read").at(Address::None, READ),
        fault("noncanonical-write").at(Address::None, WRITE),
        call("noncanonical-call").at(Address::None, EXECUTE),
        fault("use-after-unmap").at(Address::Some, READ),
        fault("protected-read").at(Address::Some, READ),
        fault("write-constant").at(Address::Some, WRITE),
        fault("write-code").at(Address::Some, WRITE),
        call("run-data").at(Address::Some, EXECUTE),
        fault("misaligned-vector").at(Address::None, WRITE),
        fault("past-file-end").at(Address::Some, READ).in_memory(),
        fault("thread-read").at(WILD, READ),
        cause("mended-fault", Completed),
        cause("mended-then-aborts", CrashedAbort),
        cause("mended-then-exits", FailedExit).code(3),
        cause("handler-exits", FailedExit).code(50),
        fault("handler-aborts").at(WILD, READ),
        fault("executes-reader").at(Address::Null, READ),
        cause("child-faults", FailedExit).code(3).with_child(),
    ]
}

fn stacks() -> Vec<Cause> {
    let overflow = |name| cause(name, CrashedStackOverflow).at(Address::Some, WRITE);
    vec![
        overflow("recursion"),
        overflow("wide-recursion"),
        overflow("huge-frame"),
        overflow("huge-frame-calls"),
        overflow("thread-recursion"),
        overflow("thread-wide-recursion"),
        overflow("thread-frame"),
        overflow("executes-from-thread"),
        overflow("overflow-aborts"),
        cause("handled-overflow", FailedExit).code(50),
        // The pointer itself was damaged: that is no depth.
        cause("lost-stack-pointer", CrashedMemoryFault).at(Address::Some, WRITE),
        cause("noncanonical-stack-pointer", CrashedMemoryFault).at(Address::None, WRITE),
        // To withhold it takes a call that no profile has.
        cause("withheld-stack", DeniedSyscall),
        cause("smashed-return", CrashedBadCall).at(Address::At(0x4141_4141_4141), EXECUTE),
        cause("smashed-return-wide", CrashedBadCall).at(Address::None, EXECUTE),
        cause("protected-smash", CrashedAbort),
    ]
}

fn instructions() -> Vec<Cause> {
    vec![
        cause("divide-by-zero", CrashedArithmetic),
        cause("overflowing-division", CrashedArithmetic),
        cause("float-exception", CrashedArithmetic),
        cause("ud2", CrashedAbort),
        cause("ud1", CrashedAbort),
        cause("breakpoint", CrashedAbort),
        cause("halt", CrashedAbort),
        cause("undecodable", CrashedIllegalInstruction),
        cause("privileged", CrashedIllegalInstruction),
        cause("reads-port", CrashedIllegalInstruction),
        cause("unknown-interrupt", CrashedIllegalInstruction),
    ]
}

fn endings() -> Vec<Cause> {
    vec![
        cause("completes", Completed),
        cause("exit-3", FailedExit).code(3),
        cause("exit-139", FailedExit).code(139),
        cause("lies", FailedExit).code(139),
        // Without the SDK a panic is an exit code.
        cause("panics", FailedExit).code(101),
        cause("thread-panics", Completed),
        cause("panics-twice", CrashedAbort),
        cause("abort", CrashedAbort),
        cause("thread-abort", CrashedAbort),
        cause("assertion", CrashedAbort),
        cause("invalid-free", CrashedAbort),
        cause("double-free", CrashedAbort),
    ]
}

fn signals() -> Vec<Cause> {
    let itself = |name| cause(name, CrashedKilled).by(Killer::Itself);
    vec![
        itself("raise-segv"),
        itself("raise-fpe"),
        itself("kill-ill"),
        itself("raise-sys"),
        itself("kill-itself"),
        itself("thread-kills"),
        itself("queue-kill"),
        itself("pidfd-kill"),
        itself("terminate-itself"),
        itself("forged-fault"),
        cause("killed-from-outside", CrashedKilled).by(Killer::Unknown).sent(9),
        cause("terminated-from-outside", CrashedKilled).by(Killer::Unknown).sent(15),
        cause("faulted-from-outside", CrashedKilled).by(Killer::Unknown).sent(11),
        cause("filtered", DeniedSyscall),
        cause("filtered-trap", DeniedSyscall),
        cause("filtered-thread", DeniedSyscall),
    ]
}

fn memory() -> Vec<Cause> {
    let hog = |name| cause(name, CrashedOutOfMemory).unbounded();
    vec![
        hog("hog"),
        hog("thread-hog"),
        hog("kernel-hog").with(|limits| limits.open_files = 1000).in_memory(),
        cause("child-hogs", Completed).with_child(),
        cause("child-hogs-then-fails", FailedExit).code(3).with_child(),
        cause("child-hogs-then-kills-itself", CrashedKilled).by(Killer::Itself).with_child(),
        cause("child-hogs-then-aborts", CrashedAbort).with_child(),
        cause("child-hogs-then-faults", CrashedMemoryFault).at(Address::Null, READ).with_child(),
        cause("child-hogs-then-killed-from-outside", CrashedKilled)
            .by(Killer::Unknown)
            .sent(9)
            .with_child(),
        hog("refused-null").refused(),
        hog("refused-abort").refused(),
        cause("refused-copes", Completed)
            .with(|limits| limits.on_memory_limit = OnMemoryLimit::Refuse)
            .unbounded(),
        hog("executes-too-large").refused(),
    ]
}

fn limits() -> Vec<Cause> {
    vec![
        cause("spins", StoppedWallTime).hangs(),
        cause("sleeps", StoppedWallTime).hangs(),
        cause("spins-on-cpu", StoppedCpuTime)
            .with(|limits| limits.cpu = Duration::from_millis(50))
            .unbounded(),
        cause("floods", StoppedOutput).unbounded(),
        cause("writes-much", StoppedFiles).unbounded().in_memory(),
        cause("forks", StoppedProcesses).unbounded(),
    ]
}
