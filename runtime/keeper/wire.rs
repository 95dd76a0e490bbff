//! What the host and its keeper say to each other. Compiled into both.
//!
//! The host writes one order at a time to a socket: a [`Head`], then its [`Rlimit`]s, then texts that end with
//! a null byte: the program, its arguments, its environment, what its scratch is to be. The descriptors travel beside the first byte. The
//! keeper answers with one byte when the child has left its memory, and everything else is on the board, a
//! page that both have in their memory.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

/// The descriptors of a keeper.
pub(crate) const SOCKET: i32 = 3;
pub(crate) const BOARD: i32 = 4;
/// The Landlock rules of its tasks, if there are any.
pub(crate) const RULES: i32 = 5;
/// The program itself, where it is executed by descriptor.
pub(crate) const PROGRAM: i32 = 6;
/// What comes with an order begins here.
pub(crate) const FIRST: i32 = 7;

/// Those that every order brings: the task's 0, 1, 2 and 3.
pub(crate) const PLACES: usize = 4;
/// At most so many files of groups come after them.
pub(crate) const MOST_DOORS: usize = 4;

/// An order may be this large; the kernel takes less from an exec.
pub(crate) const MOST_BYTES: usize = 16 << 20;
/// Instructions of a filter.
pub(crate) const MOST_FILTER: usize = 4096;

/// The task is to be traced by the host.
pub(crate) const TRACE: u32 = 1;
/// Where tracing is refused, go on.
pub(crate) const UNTRACED_IS_FINE: u32 = 2;
/// The task is the first process of a namespace of its own.
pub(crate) const OWN_PIDS: u32 = 4;
/// The task has the rules put upon it.
pub(crate) const RESTRICT: u32 = 8;
/// The task puts the filter on the board upon itself.
pub(crate) const FILTER: u32 = 16;
/// The first door is a folder to be born into, and not a file to write to.
pub(crate) const BORN_INTO: u32 = 32;
/// Execute the descriptor [`PROGRAM`] and not the path.
pub(crate) const BY_DESCRIPTOR: u32 = 64;

/// The task gets a `/tmp` of its own: the order ends with the options of its mount, and the last descriptor is a socket
/// on which the host gets it.
pub(crate) const SCRATCH: u32 = 128;
/// The task gets a `/proc` of its own processes.
pub(crate) const PROC: u32 = 256;
/// The rules are this task's own, and come behind the doors: what it gets for itself is added to them.
pub(crate) const OWN_RULES: u32 = 512;
/// Files of its own may be executed.
pub(crate) const EXECUTES: u32 = 1024;
/// The order brings one descriptor more: the task's 4.
pub(crate) const ARENA: u32 = 2048;
/// The task keeps the capability that the keeper has for making namespaces: it will make tasks out of itself.
pub(crate) const KEEPS_ADMIN: u32 = 4096;

/// The order brings one descriptor more, behind those of the task: the next of its own.
pub(crate) const LANE: u32 = 8192;

/// The beginning of an order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    /// Bytes of the whole order, this head included.
    pub(crate) bytes: u32,
    pub(crate) flags: u32,
    pub(crate) rlimits: u32,
    pub(crate) arguments: u32,
    pub(crate) variables: u32,
    pub(crate) doors: u32,
}

/// One limit of a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rlimit {
    pub(crate) resource: u64,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// The steps of a task's child, for naming the one that failed. 0 is none.
pub(crate) mod step {
    pub(crate) const CLONE: u32 = 1;
    pub(crate) const PROCESS_GROUP: u32 = 2;
    pub(crate) const GROUP: u32 = 3;
    pub(crate) const DESCRIPTORS: u32 = 4;
    pub(crate) const LIMITS: u32 = 5;
    pub(crate) const RULES: u32 = 6;
    pub(crate) const CAPABILITIES: u32 = 7;
    pub(crate) const FILTER: u32 = 8;
    pub(crate) const TRACE: u32 = 9;
    pub(crate) const EXEC: u32 = 10;
    pub(crate) const ORDER: u32 = 11;
    pub(crate) const SCRATCH: u32 = 12;
    pub(crate) const PROC: u32 = 13;
}

/// What both see. The kernel writes `pid` before the child runs its first instruction.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Board {
    /// The child, as the host calls it.
    pub(crate) pid: AtomicI32,
    /// The step that failed.
    pub(crate) step: AtomicU32,
    pub(crate) errno: AtomicI32,
    /// Whether the child is traced.
    pub(crate) traced: AtomicU32,
    /// Instructions of the filter.
    pub(crate) filter: AtomicU32,
    /// The number of the thread that watches; the kernel adds its mark for dead owners when that thread ends.
    pub(crate) watcher: AtomicU32,
    pub(crate) instructions: [AtomicU64; MOST_FILTER],
}
