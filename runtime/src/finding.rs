//! What was found out about this host by trying: one finding for each thing a wall may need.

/// One thing that was tried or looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub probe: Probe,
    /// What came of it.
    pub state: ProbeState,
    /// What there is to know beyond that: a version, a place, a number, or what the system said.
    pub fact: Option<String>,
    /// The step that failed.
    pub failed: Option<FailedStep>,
    /// A setting of the host that decides it, where there is one.
    pub setting: Option<Setting>,
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeState {
    /// It was done, and had the effect it is for.
    Works,
    /// It can't be done here, or had no effect.
    Missing,
    /// Nothing a guard depends on; it is good to know.
    Noted,
}

impl ProbeState {
    /// The word used on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Works => "ok",
            Self::Missing => "missing",
            Self::Noted => "note",
        }
    }
}

/// The step at which a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedStep {
    /// What was to be done.
    pub step: &'static str,
    /// The system's number for why not; none where it was done without an effect.
    pub errno: Option<i32>,
}

/// A setting of the host, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file it is read from.
    pub path: &'static str,
    /// What it says.
    pub value: String,
}

/// What is tried on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Probe {
    /// The kernel's version.
    Kernel,
    /// A control group that caps memory, of either version.
    MemoryGroup,
    /// One of version 2.
    MemoryGroupV2,
    /// One of version 1.
    MemoryGroupV1,
    /// A group that holds a task to a share of the processors.
    CpuGroup,
    /// A `/tmp` of a task's own.
    Scratch,
    /// A `/proc` of a task's own.
    Proc,
    /// A user namespace, with its own map of users.
    UserNamespace,
    /// A process namespace.
    PidNamespace,
    /// A namespace of mounts.
    MountNamespace,
    /// A network without the host's.
    NetworkNamespace,
    /// Shared memory and queues of its own.
    IpcNamespace,
    /// A host name of its own.
    UtsNamespace,
    /// A view of control groups of its own.
    CgroupNamespace,
    /// Another root, and none of the old one.
    PivotRoot,
    /// A filter of system calls.
    Seccomp,
    /// Rules for files, by Landlock.
    Landlock,
    /// Landlock's scopes: no signals and no abstract sockets beyond the task.
    LandlockScopes,
    /// Seeing a child's first instruction as its tracer.
    Tracing,
    /// Actions for signals as the kernel has them, whatever the host ignores.
    SignalDispositions,
    /// No signal blocked, whatever the host blocks.
    SignalMask,
    /// The mask for new files, whatever the host's is.
    Umask,
    /// A session without a terminal.
    Session,
    /// No compatibility switches, whatever the host has.
    Personality,
    /// A keyring without the host's keys.
    Keyring,
    /// A process group of its own.
    ProcessGroup,
    /// None of the host's descriptors.
    Descriptors,
    /// None of the host's variables.
    Environment,
    /// No privileges gained by executing.
    NoNewPrivileges,
    /// Giving up capabilities.
    Capabilities,
    /// Limits of resources.
    Rlimits,
    /// Killing exactly one process, whatever becomes of its number.
    Pidfd,
    /// Executing what lies in memory only.
    MemfdExec,
    /// The restriction of user namespaces by AppArmor.
    AppArmor,
    /// The restriction of tracing by Yama.
    Yama,
    /// Learning from the kernel which pages were written.
    PagemapScan,
    /// Swap, which makes the former incomplete.
    Swap,
    /// Address space for modules.
    AddressSpace,
    /// How many mappings a process may have.
    MaxMapCount,
    /// A pool of places for modules.
    Pool,
    /// Compiling modules of others in a confined process.
    CompileConfinement,
    /// Virtual machines.
    Kvm,
}

impl Probe {
    /// The word used on the command line and in JSON. Where there is a guard of that name in reports, the same.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::MemoryGroup => "memory-group",
            Self::MemoryGroupV2 => "memory-group-v2",
            Self::MemoryGroupV1 => "memory-group-v1",
            Self::CpuGroup => "cpu-group",
            Self::Scratch => "scratch",
            Self::Proc => "proc",
            Self::UserNamespace => "user-namespace",
            Self::PidNamespace => "pid-namespace",
            Self::MountNamespace => "mount-namespace",
            Self::NetworkNamespace => "network-namespace",
            Self::IpcNamespace => "ipc-namespace",
            Self::UtsNamespace => "uts-namespace",
            Self::CgroupNamespace => "cgroup-namespace",
            Self::PivotRoot => "pivot-root",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::LandlockScopes => "landlock-scopes",
            Self::Tracing => "tracing",
            Self::SignalDispositions => "signal-dispositions",
            Self::SignalMask => "signal-mask",
            Self::Umask => "umask",
            Self::Session => "session",
            Self::Personality => "personality",
            Self::Keyring => "keyring",
            Self::ProcessGroup => "process-group",
            Self::Descriptors => "descriptors",
            Self::Environment => "environment",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Capabilities => "capabilities",
            Self::Rlimits => "rlimits",
            Self::Pidfd => "pidfd",
            Self::MemfdExec => "memfd-exec",
            Self::AppArmor => "apparmor-userns",
            Self::Yama => "yama",
            Self::PagemapScan => "pagemap-scan",
            Self::Swap => "swap",
            Self::AddressSpace => "address-space",
            Self::MaxMapCount => "max-map-count",
            Self::Pool => "pool",
            Self::CompileConfinement => "compile-confinement",
            Self::Kvm => "kvm",
        }
    }

    /// Whether a guard of the defaults can't stand without it. What has a substitute that is as good (one version
    /// of control groups, a user namespace for root) is not required by itself.
    pub const fn is_required(self) -> bool {
        match self {
            Self::Kernel
            | Self::MemoryGroup
            | Self::PidNamespace
            | Self::MountNamespace
            | Self::NetworkNamespace
            | Self::IpcNamespace
            | Self::UtsNamespace
            | Self::PivotRoot
            | Self::Seccomp
            | Self::Landlock
            | Self::Tracing
            | Self::SignalDispositions
            | Self::SignalMask
            | Self::Umask
            | Self::Session
            | Self::ProcessGroup
            | Self::Descriptors
            | Self::Environment
            | Self::NoNewPrivileges
            | Self::Capabilities
            | Self::Rlimits
            | Self::Pidfd
            | Self::CompileConfinement => true,
            // What these two keep from a guest, its filter keeps from it, too.
            Self::Personality
            | Self::Keyring
            | Self::MemoryGroupV2
            | Self::MemoryGroupV1
            | Self::CpuGroup
            | Self::Scratch
            | Self::Proc
            | Self::UserNamespace
            | Self::CgroupNamespace
            | Self::LandlockScopes
            | Self::MemfdExec
            | Self::AppArmor
            | Self::Yama
            | Self::PagemapScan
            | Self::Swap
            | Self::AddressSpace
            | Self::MaxMapCount
            | Self::Pool
            | Self::Kvm => false,
        }
    }
}

impl Finding {
    /// It works.
    pub(crate) fn works(probe: Probe, fact: Option<String>) -> Self {
        Self { probe, state: ProbeState::Works, fact, failed: None, setting: None }
    }

    /// It doesn't.
    pub(crate) fn missing(probe: Probe, fact: impl Into<String>) -> Self {
        let fact = Some(fact.into());
        Self { probe, state: ProbeState::Missing, fact, failed: None, setting: None }
    }

    /// It failed at a step.
    pub(crate) fn failed(probe: Probe, failed: FailedStep) -> Self {
        let failed = Some(failed);
        Self { probe, state: ProbeState::Missing, fact: None, failed, setting: None }
    }

    /// It is so.
    pub(crate) fn noted(probe: Probe, fact: impl Into<String>) -> Self {
        Self { state: ProbeState::Noted, ..Self::missing(probe, fact) }
    }

    /// The same, with a setting that decides it.
    pub(crate) fn with(mut self, setting: Option<Setting>) -> Self {
        self.setting = setting;
        self
    }

    /// Whether a guard that the defaults require is missing for lack of this.
    pub fn is_trouble(&self) -> bool {
        self.state == ProbeState::Missing && self.probe.is_required()
    }
}
