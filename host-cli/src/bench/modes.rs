//! The ways in which a guest can be run: behind which wall, and whether it is fresh for each task.
//!
//! A mode that this build, this host or this guest can't do is left out, with the reason.

use sandtrap::{Kept, Loaded, Program, Report, Reuse, Runtime, Start, Task, Verdict, Wall};

use super::guests::Guests;

/// One way to run a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    NativeFresh,
    NativeFork,
    NativeWarm,
    WasmFresh,
    WasmWarm,
}

impl Mode {
    /// All of them, in the order in which they are shown.
    pub(crate) const ALL: [Self; 5] =
        [Self::NativeFresh, Self::NativeFork, Self::NativeWarm, Self::WasmFresh, Self::WasmWarm];

    /// How it is called in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NativeFresh => "native fresh",
            Self::NativeFork => "native fork",
            Self::NativeWarm => "native warm",
            Self::WasmFresh => "wasm fresh",
            Self::WasmWarm => "wasm warm",
        }
    }

    /// What it means, in a few words.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::NativeFresh => "a new process for each call",
            Self::NativeFork => "a fork of a warmed-up process for each call",
            Self::NativeWarm => "one process that answers call after call",
            Self::WasmFresh => "a new instance for each call",
            Self::WasmWarm => "one instance that answers call after call",
        }
    }

    pub(crate) const fn wall(self) -> Wall {
        match self {
            Self::NativeFresh | Self::NativeFork | Self::NativeWarm => Wall::Native,
            Self::WasmFresh | Self::WasmWarm => Wall::Wasm,
        }
    }

    /// Whether a guest lives on between two calls.
    pub(crate) const fn is_warm(self) -> bool {
        match self {
            Self::NativeFresh | Self::NativeFork | Self::WasmFresh => false,
            Self::NativeWarm | Self::WasmWarm => true,
        }
    }

    /// How its processes begin.
    pub(crate) const fn beginning(self) -> Start {
        match self {
            Self::NativeFork => Start::Fork,
            Self::NativeFresh | Self::NativeWarm | Self::WasmFresh | Self::WasmWarm => Start::Spawn,
        }
    }

    /// The program of this mode, if the guest has the form for it.
    pub(crate) fn program(
        self,
        guests: &Guests,
        shape: &dyn Fn(Program) -> Program,
    ) -> Result<Program, String> {
        match guests.of(self.wall()) {
            Some(path) => {
                let program = Program::file(path).within(self.wall());
                Ok(shape(program).started_by(self.beginning()))
            }
            None => {
                let paths: Vec<String> =
                    guests.looked_for.iter().map(|path| format!("`{}`", path.display())).collect();
                let form = match self.wall() {
                    Wall::Native => "process",
                    Wall::Wasm => "module",
                };
                Err(format!("there is no {form} of this guest at {}", paths.join(" or at ")))
            }
        }
    }

    /// A cell of a program of this mode.
    pub(crate) fn open(self, loaded: &Loaded) -> Result<Cell, String> {
        let loaded = loaded.clone();
        match self.is_warm() {
            false => Ok(Cell::Fresh(loaded)),
            true => keep(&loaded).map(|kept| Cell::Warm { loaded, kept }),
        }
    }

    /// The same from nothing: with a runtime of its own.
    pub(crate) fn start(self, runtime: &Runtime, program: Program) -> Result<Cell, String> {
        let loaded = runtime.load(program).map_err(|error| error.to_string())?;
        self.open(&loaded)
    }
}

fn keep(loaded: &Loaded) -> Result<Box<Kept>, String> {
    // It is used until the bench has seen enough.
    let reuse = Reuse { max_tasks: u64::MAX, ..Reuse::default() };
    loaded.keep(reuse).map(Box::new).map_err(|error| error.to_string())
}

/// Something that runs task after task.
pub(crate) enum Cell {
    /// Each in a guest of its own.
    Fresh(Loaded),
    /// All in the same guest.
    Warm { loaded: Loaded, kept: Box<Kept> },
}

impl Cell {
    pub(crate) fn run(&mut self, task: &Task) -> Report {
        match self {
            Self::Fresh(loaded) => loaded.run(task),
            Self::Warm { kept, .. } => kept.run(task),
        }
    }

    /// Runs a task that has to end well.
    pub(crate) fn complete(&mut self, task: &Task) -> Result<(), String> {
        let report = self.run(task);
        if report.verdict.is_completed() { Ok(()) } else { Err(words_of(&report.verdict)) }
    }

    /// Another guest in place of one that came to a bad end.
    pub(crate) fn renew(&mut self) -> Result<(), String> {
        if let Self::Warm { loaded, kept } = self
            && !kept.is_usable()
        {
            *kept = keep(loaded)?;
        }
        Ok(())
    }

    /// What one of its guests holds: between calls if it lives on, at most if it doesn't.
    pub(crate) fn memory(&mut self, task: &Task) -> u64 {
        let report = self.run(task);
        match self {
            Self::Fresh(_) => report.usage.peak_memory,
            Self::Warm { kept, .. } => kept.vitals().resident_bytes,
        }
    }
}

/// A bad end, on one line.
pub(crate) fn words_of(verdict: &Verdict) -> String {
    let text = verdict.to_string();
    let first = text.lines().next().unwrap_or_default();
    format!("{}: {first}", verdict.label())
}
