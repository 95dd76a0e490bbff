//! Whose code a program is, and what compiling it may use.

use std::time::Duration;

use crate::limits::Limits;
use crate::quantity::ByteSize;

/// Whose code a program is. It decides where a module is compiled; its tasks run behind the same wall either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The caller's own: a module is compiled in this process, without limits on time and memory. Its shape is
    /// bounded all the same.
    Own,
    /// Anybody's: a module is compiled in a confined process, under [`CompileLimits`].
    #[default]
    Untrusted,
}

/// What compiling an untrusted module may use. A module that needs more is refused: `unstarted.limit-too-small`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Time by the clock on the wall. The default of 30 s is eight times what a whole Python takes.
    pub wall: Duration,
    /// Processor time of all the compiler's threads together. Twice the wall time by default.
    pub cpu: Duration,
    /// Memory of the compiling process. 2 GiB by default; a module of 26 MB takes less than half of it.
    pub memory: ByteSize,
    /// The size of a module. 128 MiB by default: compilers for whole languages stay below a third of it.
    pub module: ByteSize,
    /// The size of the code that is made of it: a few times its own. 1 GiB by default. It is also the most that is read of a
    /// file that was compiled ahead, whoever compiled it.
    pub code: ByteSize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(30),
            cpu: Duration::from_secs(60),
            memory: ByteSize::mib(2048),
            module: ByteSize::mib(128),
            code: ByteSize::mib(1024),
        }
    }
}

/// The compiler works on threads of its own; its main thread reads and writes.
const STACK: ByteSize = ByteSize::mib(8);

impl CompileLimits {
    /// The limits of the process that compiles.
    pub(crate) fn for_process(&self) -> Limits {
        Limits {
            memory: self.memory,
            wall: self.wall,
            cpu: self.cpu,
            stack: STACK.min(self.memory),
            output: self.code,
            ..Limits::default()
        }
    }
}
