//! Runs code that may blow up, and says exactly how it ended.
//!
//! A [`Task`] of a [`Program`] runs behind one of two walls: as a WebAssembly module (or component) inside this process,
//! or as a confined process of its own. Whatever happens to it, the caller gets one [`Report`] with one
//! [`Verdict`], and goes on.
//!
//! ```
//! use sandtrap::{Program, Runtime, Task, Verdict};
//!
//! fn main() -> Result<(), sandtrap::Error> {
//!     let runtime = Runtime::new()?;
//!     let guest = runtime.load(Program::file("/bin/echo"))?; // or a module: "guest.wasm"
//!     let report = guest.run(&Task::command(["hello"]));
//!     match report.verdict {
//!         Verdict::Completed => print!("{}", report.output.stdout_text()),
//!         other => eprintln!("{other}  [{}]", other.label()),
//!     }
//!     # assert_eq!(report.output.stdout_text(), "hello\n");
//!     Ok(())
//! }
//! ```
//!
//! # What a guest gets
//!
//! Nothing that was not granted by name, behind either wall:
//!
//! * its arguments, an empty stdin (see [`Stdin`]), and two streams that are counted and capped;
//! * no environment (see [`Permissions`]); a process finds the number of its channel there;
//! * no directory ([`Permissions::grant_dir`]); a module can't leave one, or write where it is to look only;
//! * the caps of its [`Limits`], none of which is unlimited by accident.
//!
//! A module sees clocks and random numbers besides (made-up ones, if [`Permissions::deterministic`] says so), and nothing
//! else of the host. A process makes the system calls of its [`Profile`], and opens no connection unless the network
//! was granted. It still reaches the files and the other processes that its user reaches (it can send them signals,
//! this one included): [`Report::guards`] lists what stands around it and what does not.
//!
//! Two things to know. An untrusted module is compiled in a confined process of the host's own program, if that
//! calls [`init`] first in its `main`; without it, in this process, and reports say so. And a host that itself
//! waits for *any* child (`waitpid(-1)`, or ignoring SIGCHLD) takes ends of processes that are this library's children. Of a
//! process that is traced it can't: the kernel gives its end to the tracer first. Where nobody may trace, the end is lost to us:
//! we see that the process is gone, by looking for it, and the report says `crashed.unknown` instead of waiting for ever. Such
//! a host should wait for its own children by their numbers.
//!
//! # Limits, stops, and what can be heard
//!
//! ```
//! use std::time::Duration;
//! use sandtrap::{ByteSize, Event, Limits, Program, Runtime, StopHandle, StopReason, Task};
//!
//! let spin = r#"(module (func (export "_start") (loop br 0)))"#;
//! let limits = Limits { memory: ByteSize::mib(16), wall: Duration::from_secs(600), ..Limits::default() };
//! let guest = Runtime::new()?.load(Program::module("spin", spin.as_bytes()).limits(limits))?;
//!
//! let stop = StopHandle::new();
//! let report = std::thread::scope(|scope| {
//!     scope.spawn(|| stop.stop(StopReason::Cancelled));
//!     guest.run_with(&Task::command(["x"; 0]), &stop, &mut |event: Event<'_>| {
//!         // Called as the guest writes, on this thread.
//!         let _ = event;
//!     })
//! });
//! assert_eq!(report.verdict.label().as_str(), "stopped.cancelled");
//! # Ok::<(), sandtrap::Error>(())
//! ```
//!
//! # How a verdict is reached
//!
//! A wall gathers [`Evidence`] and judges nothing. [`classify`] is pure and reaches the verdict; its rules stand at
//! the head of its source. The evidence is in the report, too: [`Report::facts`], and [`Record`] as JSON.

mod builder;
mod call;
mod chance;
mod channel;
mod classify;
mod confined;
mod core_dump;
mod debug_info;
mod ending;
mod error;
mod event;
mod evidence;
mod executor;
mod finding;
mod fleet;
mod function;
mod guarding;
mod hooks;
mod host;
mod init;
mod inspect;
mod inspection;
mod isolated;
mod isolation;
mod kept;
mod label;
mod labels;
mod limits;
mod lines;
#[cfg(target_os = "linux")]
mod native;
#[cfg(not(target_os = "linux"))]
#[path = "native/absent.rs"]
mod native;
mod order;
mod outlets;
mod payload;
mod permissions;
pub mod policy;
mod pool;
mod probe;
mod quantity;
mod record;
mod rejection;
mod report;
mod reuse;
mod runtime;
mod signals;
mod start;
mod supervisor;
mod task;
mod telemetry;
mod trace;
mod trust;
mod value_file;
mod verdict;
mod wasm;

pub use builder::RuntimeBuilder;
pub use call::CallError;
pub use classify::classify;
pub use core_dump::CoreDump;
pub use error::Error;
pub use event::Event;
pub use evidence::{
    AccessKind, Basis, Death, Denied, DeniedSyscall, Ending, Evidence, Fault, Guard, GuardState,
    Opcode, Output, Outside, Refusal, RefusedMemory, Remedy, Sender, Source, StackState, Step,
    StopReason, Testimony, Thrown, TrapCause, Usage,
};
pub use executor::{ConfigError, Executor, ExecutorSettings};
pub use finding::{FailedStep, Finding, Probe, ProbeState, Setting};
pub use fleet::{Device, DeviceStatus, Fleet};
pub use function::{Function, Numbers};
pub use guarding::{GuardMode, Guarding, UnknownGuard};
pub use hooks::{Hooks, TaskHooks};
pub use host::HostContext;
pub use init::init;
pub use inspect::inspect;
pub use inspection::{
    ComponentFacts, ExecutableFacts, FunctionFacts, Grant, Import, ImportGroup, Inspection, Item,
    MemoryFacts, ModuleFacts, Need, Obstacle, ProgramKind, Resource, Role, ScriptFacts,
    SectionFacts, StackFacts, TableFacts,
};
pub use isolated::{Running, isolated_parts};
pub use isolation::{
    Attempt, Cell, Deaf, Ear, Image, Isolation, LoadError, OpenError, StopGuard, StopHandle,
    Vitals, Wake,
};
pub use kept::Kept;
pub use label::{Label, UnknownLabel};
pub use labels::Labels;
pub use limits::{DETERMINISTIC_FUEL, LEAST_MEMORY, LimitError, Limits, OnMemoryLimit};
pub use lines::{Line, Lines};
pub use order::{Order, Priority};
pub use outlets::{Outlet, Outlets, Streamed};
pub use payload::{Payload, Payloads, ValueError};
pub use permissions::{
    Access, DirGrant, GrantError, Network, Permissions, Profile, UnknownProfile,
};
pub use pool::{
    AsCompleted, Drained, InOrder, Pool, PoolSettings, PoolStatus, Rejected, Ticket, WorkerState,
    WorkerStatus,
};
pub use probe::probe;
pub use quantity::{ByteSize, Cpus, QuantityError, parse_duration, show_duration};
pub use record::Record;
pub use rejection::Rejection;
pub use report::{AttemptSummary, Facts, InputSummary, Report, TaskSummary};
pub use reuse::Reuse;
pub use runtime::{Loaded, Runtime};
/// Has every call of a function run in a caged process of this very program.
///
/// The function gives `Result<T, CallError>` then, where `T` is what it returned, or what stood in its `Result`. A
/// type of its name has other ways to run it, `call_async` among them. It needs [`init`](crate::init()) in `main`, or
/// [`init_tests!`] in a harness. What may stand in the brackets, what a function may take and what it finds there
/// is told in `docs/isolated.md`.
///
/// ```standalone_crate
/// use sandtrap::isolated;
///
/// #[isolated(memory = "256MiB", wall = "60s")]
/// fn words(text: &str) -> usize {
///     text.split_whitespace().count()
/// }
///
/// fn main() -> Result<(), sandtrap::CallError> {
///     sandtrap::init();
///     assert_eq!(words("one two three")?, 3);
///     Ok(())
/// }
/// ```
///
/// An async function is refused: it has a process of its own, and its caller awaits `name::call_async(…)`.
///
/// ```compile_fail
/// #[sandtrap::isolated]
/// async fn words() {}
/// ```
///
/// So is one whose guards can't be had anywhere, for there are none of that name.
///
/// ```compile_fail,E0080
/// #[sandtrap::isolated(require_guard = "moat")]
/// fn words() {}
/// ```
pub use sandtrap_macros::isolated;
pub use sandtrap_protocol::{Codec, ErrorReport, Level, PanicReport};
pub use signals::Signal;
pub use start::Start;
pub use task::{Capture, Entry, Policy, Program, ProgramSource, Stdin, Task, TaskId, Value, Wall};
pub use telemetry::{Happening, Telemetry};
pub use trace::{Frame, Trace};
pub use trust::{CompileLimits, Trust};
pub use verdict::{
    Crash, CrashCause, Denial, Failure, Killer, Stop, Unstarted, UnstartedReason, Verdict,
};

/// The example of the README is compiled and run, too.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
