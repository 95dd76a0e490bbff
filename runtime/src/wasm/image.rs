//! A module or a component made ready: compiled, and its imports linked, once for all attempts.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use wasmtime::{InstancePre, Module, UnknownImportError};

use crate::channel::results_in;
use crate::evidence::{Guard, Step};
use crate::guarding::Guarding;
use crate::host::Granted;
use crate::isolation::{Cell, Image, LoadError, OpenError};
use crate::payload::Payloads;
use crate::permissions::{Network, Permissions};
use crate::task::{Entry, Program, ProgramSource};
use crate::value_file::ValueDir;

use super::cell::WasmCell;
use super::compiler::first_lines;
use super::component::ComponentCode;
use super::engines::{Configuration, GuestEngine};
use super::entrance::{Doors, Entrance, list};
use super::guest::GuestState;
use super::imports;
use super::loading::{Loaded, Machine};
use super::meter::Element;
use super::places::Places;
use super::shape::Shape;
use super::threads::{ThreadTime, Threads};
use super::wasi::Dirs;

/// A program behind the Wasm wall.
pub(super) struct WasmImage {
    prepared: Arc<Prepared>,
    threads: Arc<Threads>,
}

/// What every guest of one program is made of.
pub(super) struct Prepared {
    pub(super) engine: Arc<GuestEngine>,
    pub(super) code: Code,
    /// What the guest finds as its own name.
    pub(super) argv0: String,
    pub(super) guards: Vec<Guard>,
    pub(super) env: Vec<(String, String)>,
    pub(super) dirs: Dirs,
    pub(super) net: Network,
    /// The seed of what its guests see, if that is to be the same in every run.
    pub(super) deterministic: Option<u64>,
    /// Whether a large result stays in its guest's memory.
    pub(super) lends_memory: bool,
    /// Where large results go, if not into memory.
    pub(super) results_in: Option<ValueDir>,
    /// The functions of the host that its guests may call.
    pub(super) granted: Granted,
    /// How core dumps call it, if there are to be any.
    pub(super) core_dump: Option<Arc<str>>,
}

/// What was loaded.
pub(super) enum Code {
    Module(Box<ModuleCode>),
    Component(ComponentCode),
}

/// A core module, compiled and linked.
pub(super) struct ModuleCode {
    pub(super) module: Module,
    pub(super) linked: InstancePre<GuestState>,
    pub(super) shape: Shape,
    pub(super) doors: Doors,
    pub(super) places: Places,
}

impl Code {
    fn prepare(
        program: &Program,
        engine: &GuestEngine,
        machine: Machine,
    ) -> Result<Self, LoadError> {
        let (name, source) = (program.name(), program.source());
        match machine {
            Machine::Module(module, shape) => {
                let code = ModuleCode::prepare(name, source, engine, module, shape)?;
                Ok(Self::Module(Box::new(code)))
            }
            Machine::Component(component, parts) => {
                ComponentCode::prepare(name, source, engine, &component, parts).map(Self::Component)
            }
        }
    }

    /// Checks how a task enters it.
    pub(super) fn enter(&self, entry: &Entry) -> Result<Entrance, LoadError> {
        match self {
            Self::Module(code) => code.doors.enter(&code.module, entry),
            Self::Component(code) => code.entrance(entry),
        }
    }

    /// Whether its guests talk to their host over a channel.
    pub(super) fn has_channel(&self) -> bool {
        matches!(self, Self::Module(_))
    }

    /// How many memories and how many tables each guest of it has.
    pub(super) fn memories_and_tables(&self) -> (usize, usize) {
        match self {
            Self::Module(code) => (code.shape.memories, code.shape.tables),
            Self::Component(code) => code.memories_and_tables(),
        }
    }

    /// What an element of its tables is counted as.
    pub(super) fn element(&self) -> Element {
        match self {
            Self::Module(code) => code.shape.element,
            Self::Component(code) => code.element(),
        }
    }

    /// Bytes of all memories and tables at the start, as far as that is known beforehand.
    pub(super) fn least_memory(&self) -> u64 {
        match self {
            Self::Module(code) => code.shape.least_memory,
            Self::Component(code) => code.least_memory(),
        }
    }
}

impl ModuleCode {
    fn prepare(
        name: &str,
        source: &ProgramSource,
        engine: &GuestEngine,
        module: Module,
        shape: Shape,
    ) -> Result<Self, LoadError> {
        let linked = engine
            .linker
            .instantiate_pre(&module)
            .map_err(|error| unlinked(name, &module, &error))?;
        let doors = Doors::of(name, &module, shape.has_start);
        Ok(Self { module, linked, shape, doors, places: Places::of(source) })
    }
}

impl WasmImage {
    pub(super) fn prepare(
        program: &Program,
        loaded: Loaded,
        threads: Arc<Threads>,
    ) -> Result<Self, LoadError> {
        let name: &str = program.name();
        let permissions = &program.policy().permissions;
        let (net, deterministic) = (permissions.net, permissions.deterministic);
        let (env, dirs) = (environment(permissions)?, Dirs::of(permissions)?);
        let Loaded { engine, machine, guard } = loaded;
        let code = Code::prepare(program, &engine, machine)?;
        let argv0 = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut guards = guards(engine.configuration, &dirs);
        guards.push(guard);
        check_guards(&program.policy().guards, &guards)?;
        let granted = program.granted();
        let core_dump = program.wants_core_dump().then(|| Arc::clone(program.name()));
        let lends_memory = *program.wanted_payloads() != Payloads::Inline;
        let results_in = results_in(program)?;
        if results_in.is_some() && !code.has_channel() {
            let detail = "a component's results are values in JSON, and can't be put into files; leave that out";
            return Err(LoadError::at(Step::Accept, detail));
        }
        let prepared = Prepared {
            engine,
            code,
            argv0,
            guards,
            env,
            dirs,
            net,
            deterministic,
            lends_memory,
            results_in,
            granted,
            core_dump,
        };
        Ok(Self { prepared: Arc::new(prepared), threads })
    }
}

fn environment(permissions: &Permissions) -> Result<Vec<(String, String)>, LoadError> {
    let text = |part: &OsString| part.to_str().map(str::to_owned);
    let all = permissions.env.iter();
    all.map(|(key, value)| {
        text(key).zip(text(value)).ok_or_else(|| {
            let key = key.display();
            let detail = format!("the variable `{key}` is not UTF-8, which modules require");
            LoadError::at(Step::Accept, detail)
        })
    })
    .collect()
}

fn unlinked(name: &str, module: &Module, error: &wasmtime::Error) -> LoadError {
    let missing = imports::missing(module);
    if error.is::<UnknownImportError>() && !missing.is_empty() {
        let detail = format!(
            "`{name}` imports what nobody offers: {}; there is WASI preview 1, and `sandtrap.send` and `.receive`",
            list(&missing)
        );
        return LoadError::at(Step::Import, detail);
    }
    let detail = format!("`{name}` can't be linked: {}", first_lines(&format!("{error:#}")));
    LoadError::at(Step::Import, detail)
}

#[cfg(test)]
impl WasmImage {
    /// How many guests hold it.
    pub(super) fn guests(&self) -> usize {
        Arc::strong_count(&self.prepared) - 1
    }
}

impl Image for WasmImage {
    fn open(&self) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(WasmCell::new(Arc::clone(&self.prepared), Arc::clone(&self.threads))))
    }

    fn keep(&self) -> Result<Box<dyn Cell>, OpenError> {
        Ok(Box::new(WasmCell::kept(Arc::clone(&self.prepared), Arc::clone(&self.threads))))
    }

    fn keeps_time(&self) -> bool {
        true
    }

    fn is_pure(&self) -> bool {
        match &self.prepared.code {
            Code::Module(code) => code.module.imports().len() == 0,
            // None is without a world that it looks at.
            Code::Component(_) => false,
        }
    }

    fn guards(&self) -> Vec<Guard> {
        self.prepared.guards.clone()
    }
}

/// Refuses a guest that would lack one of them, or that was promised one that modules don't have.
fn check_guards(guarding: &Guarding, guards: &[Guard]) -> Result<(), LoadError> {
    let missed = guarding.missed(guards).or_else(|| {
        let absent = guarding.absent(|name| guards.iter().any(|guard| guard.name == name))?;
        Some((absent, "it does not stand around this module".to_owned()))
    });
    missed.map_or(Ok(()), |(name, why)| {
        let detail = format!("the guard `{name}` is required, and can't be had: {why}");
        Err(LoadError::at(Step::Guard(name), detail))
    })
}

/// The guards around every guest.
fn guards(configuration: Configuration, dirs: &Dirs) -> Vec<Guard> {
    let mut guards: Vec<Guard> =
        ["linear-memory", "capabilities", "memory-limit", "stack-limit", "wall-limit"]
            .map(Guard::in_force)
            .into();
    guards.push(match ThreadTime::IS_SEEN {
        true => Guard::in_force("cpu-limit"),
        false => Guard::missing("cpu-limit", "this system does not tell the time of one thread"),
    });
    guards.extend(configuration.counts_fuel.then(|| Guard::in_force("fuel-limit")));
    guards.extend(configuration.is_deterministic.then(|| Guard::in_force("determinism")));
    guards.push(Guard::in_force("output-limit"));
    guards.extend((dirs.count() > 0).then(|| Guard::in_force("file-limits")));
    guards
}
