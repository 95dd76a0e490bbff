//! What is to be run: a program, a task for it, and the policy both stand under.

#[path = "task/id.rs"]
mod id;
#[path = "task/value.rs"]
mod value;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::guarding::Guarding;
use crate::host::{Granted, HostFunctions};
use crate::limits::{DETERMINISTIC_FUEL, Limits};
use crate::payload::{Payload, Payloads, ValueError};
use crate::permissions::Permissions;
use crate::start::Start;
use crate::trust::{CompileLimits, Trust};

pub use id::TaskId;
pub use value::Value;

/// The two kinds of wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wall {
    /// A WebAssembly module or component inside this process.
    Wasm,
    /// A confined process of its own.
    Native,
}

impl Wall {
    /// The word used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
        }
    }
}

/// The code a task runs: a file, or the bytes of a module.
#[derive(Clone, Debug)]
pub struct Program {
    name: Arc<str>,
    source: ProgramSource,
    wall: Option<Wall>,
    policy: Policy,
    backtrace: bool,
    payloads: Payloads,
    host: HostFunctions,
    core_dump: bool,
    invoked_with: Vec<OsString>,
    start: Start,
}

/// Where the code of a program stands.
#[derive(Clone, Debug)]
pub enum ProgramSource {
    /// A file on the host.
    File(PathBuf),
    /// A module or component (binary or text) in memory, with a name for reports.
    Module {
        /// Shown wherever a file's path would be.
        name: String,
        /// The module itself.
        bytes: Arc<[u8]>,
    },
}

/// Everything that bounds a program: its limits, its grants, and how strictly guards are meant.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The caps of each task, unless a task brings its own.
    pub limits: Limits,
    /// What its tasks may see of the world.
    pub permissions: Permissions,
    /// What to do where this host lacks a guard.
    pub guards: Guarding,
    /// Whose code it is.
    pub trust: Trust,
    /// What compiling it may use, where it is untrusted.
    pub compile: CompileLimits,
}

impl Policy {
    /// The limits in force for a task with limits of its own, or without. A deterministic task always has
    /// fuel: it is the one limit at which two runs end at the same place.
    pub fn limits_for(&self, own: Option<&Limits>) -> Limits {
        let mut limits = own.unwrap_or(&self.limits).clone();
        if self.permissions.deterministic.is_some() {
            limits.fuel.get_or_insert(DETERMINISTIC_FUEL);
        }
        limits
    }
}

impl Program {
    /// A program in a file. Which wall it needs is found out from its content.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::from_source(ProgramSource::File(path.into()))
    }

    /// A module or component in memory, as binary or as text.
    pub fn module(name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        let (name, bytes) = (name.into(), bytes.into());
        Self::from_source(ProgramSource::Module { name, bytes }).within(Wall::Wasm)
    }

    fn from_source(source: ProgramSource) -> Self {
        let name = match &source {
            ProgramSource::File(path) => path.display().to_string().into(),
            ProgramSource::Module { name, .. } => name.as_str().into(),
        };
        let (policy, payloads, host, start) = Default::default();
        let (backtrace, core_dump, invoked_with) = Default::default();
        let wall = None;
        Self {
            name,
            source,
            wall,
            policy,
            backtrace,
            payloads,
            host,
            core_dump,
            invoked_with,
            start,
        }
    }

    /// Says which wall to use instead of looking at the file.
    pub fn within(mut self, wall: Wall) -> Self {
        self.wall = Some(wall);
        self
    }

    /// Caps every task of this program.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.policy.limits = limits;
        self
    }

    /// Grants what is named in `permissions`, and nothing else.
    pub fn permissions(mut self, permissions: Permissions) -> Self {
        self.policy.permissions = permissions;
        self
    }

    /// Says whether a guard missing on this host is a reason to refuse: any, by a [`GuardMode`](crate::GuardMode), or some.
    pub fn guards(mut self, guards: impl Into<Guarding>) -> Self {
        self.policy.guards = guards.into();
        self
    }

    /// Says whose code it is. Nobody's word is needed for [`Trust::Untrusted`], the default.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.policy.trust = trust;
        self
    }

    /// Caps what compiling it may use.
    pub fn compile_limits(mut self, limits: CompileLimits) -> Self {
        self.policy.compile = limits;
        self
    }

    /// Has a report say where a process was when it died: at its first fault, its panic, its abort, or its end. That costs
    /// it a moment where it dies, a longer one where its stack is deep, and nothing where it doesn't. A module always
    /// says it.
    pub fn backtrace(mut self, wanted: bool) -> Self {
        self.backtrace = wanted;
        self
    }

    /// Says how large values travel.
    pub fn payloads(mut self, payloads: Payloads) -> Self {
        self.payloads = payloads;
        self
    }

    /// How large values travel.
    pub fn wanted_payloads(&self) -> &Payloads {
        &self.payloads
    }

    /// With the functions of the host that were granted to it.
    pub(crate) fn with_host(self, host: HostFunctions) -> Self {
        Self { host, ..self }
    }

    /// The functions of the host that it may call.
    pub(crate) fn granted(&self) -> Granted {
        Granted { program: Arc::clone(&self.name), functions: self.host.clone() }
    }

    /// Says how the process of a task begins: [`Start::Spawn`] unless this says otherwise. Behind the wasm wall there is
    /// nothing to choose, and a fork is refused.
    pub fn started_by(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// How the process of a task begins.
    pub fn start(&self) -> Start {
        self.start
    }

    /// Whether a report shall say where a process was.
    pub fn wants_backtrace(&self) -> bool {
        self.backtrace
    }

    /// Has a report carry a core dump of a module that traps, or is stopped while it runs. That takes as much memory of the
    /// host as the module had, for a moment twice and a half as much. There is none of a component or a process: a
    /// program of these kinds is refused then.
    pub fn core_dump(mut self, wanted: bool) -> Self {
        self.core_dump = wanted;
        self
    }

    /// Whether a report shall carry a core dump.
    pub fn wants_core_dump(&self) -> bool {
        self.core_dump
    }

    /// Starts a process with these arguments where one of its functions is called; a command brings its own.
    pub(crate) fn invoked_with(mut self, arguments: Vec<&'static str>) -> Self {
        self.invoked_with = arguments.into_iter().map(OsString::from).collect();
        self
    }

    /// The arguments of a process of which a function is called.
    pub(crate) fn arguments_of_calls(&self) -> &[OsString] {
        &self.invoked_with
    }

    /// Where the code stands.
    pub fn source(&self) -> &ProgramSource {
        &self.source
    }

    /// The wall that was asked for, if one was.
    pub fn wall(&self) -> Option<Wall> {
        self.wall
    }

    /// What its tasks run under.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How reports call it: its path, or the name of a module in memory.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The file, where the program is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            ProgramSource::File(path) => Some(path),
            ProgramSource::Module { .. } => None,
        }
    }
}

/// One piece of work for a program.
#[derive(Clone, Debug)]
pub struct Task {
    /// Names the task in reports.
    pub id: TaskId,
    /// How the program is entered.
    pub entry: Entry,
    /// Caps of this task alone; the program's own where `None`. The stack cannot differ from the program's.
    pub limits: Option<Limits>,
    /// Whether the report shall carry what the guest wrote to stdout.
    pub stdout: Capture,
}

/// How a program is entered.
#[derive(Clone, Debug)]
pub enum Entry {
    /// As a command: from its beginning, with arguments and an input.
    Command {
        /// The arguments after the program's own name.
        args: Vec<OsString>,
        /// What it reads from its standard input.
        stdin: Stdin,
    },
    /// One exported function of a plain module.
    Call {
        /// The export's name.
        function: String,
        /// One value for each parameter.
        arguments: Vec<Value>,
    },
    /// One function of a guest that serves calls over its channel.
    Invoke {
        /// The function's name.
        function: String,
        /// What it is given. The result comes back in the same codec.
        input: Payload,
    },
}

/// What a guest finds on its standard input.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Nothing: it is at its end from the beginning.
    #[default]
    Null,
    /// These bytes, then the end.
    Bytes(Arc<[u8]>),
    /// A file, a pipe or a device of the host.
    File(PathBuf),
    /// Something of the host's that is open already. The guest reads on where others stopped.
    #[cfg(unix)]
    Descriptor(Arc<std::os::fd::OwnedFd>),
}

impl fmt::Display for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("an empty input"),
            Self::Bytes(_) => f.write_str("the given input"),
            Self::File(path) => write!(f, "`{}`", path.display()),
            #[cfg(unix)]
            Self::Descriptor(_) => f.write_str("the given descriptor"),
        }
    }
}

/// Whether a stream is kept for the report. It is counted and heard in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capture {
    /// Kept whole; the output limit bounds it.
    #[default]
    Keep,
    /// Not kept.
    Discard,
}

impl Task {
    /// Runs the program from its beginning with these arguments.
    pub fn command<I, S>(args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let args = args.into_iter().map(Into::into).collect();
        Self::new(Entry::Command { args, stdin: Stdin::Null })
    }

    /// Calls one export of a plain module.
    pub fn call(function: impl Into<String>, arguments: impl Into<Vec<Value>>) -> Self {
        let (function, arguments) = (function.into(), arguments.into());
        Self::new(Entry::Call { function, arguments })
    }

    /// Calls one function of a guest built with `sandtrap-guest`, behind either wall, with a typed value. Its result
    /// is read by [`Report::value`](crate::Report::value).
    pub fn invoke<T: Serialize + ?Sized>(
        function: impl Into<String>,
        input: &T,
    ) -> Result<Self, ValueError> {
        let function = function.into();
        match Payload::typed(input) {
            Ok(input) => Ok(Self::invoke_with(function, input)),
            Err(error) => Err(error.of(format_args!("the input of `{function}`"))),
        }
    }

    /// The same with bytes, or with a value written in a codec of the caller's choice.
    pub fn invoke_with(function: impl Into<String>, input: Payload) -> Self {
        Self::new(Entry::Invoke { function: function.into(), input })
    }

    fn new(entry: Entry) -> Self {
        Self { id: TaskId::next(), entry, limits: None, stdout: Capture::Keep }
    }

    /// Gives the command something to read.
    pub fn stdin(mut self, input: Stdin) -> Self {
        if let Entry::Command { stdin, .. } = &mut self.entry {
            *stdin = input;
        }
        self
    }

    /// Caps this task alone.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }
}
