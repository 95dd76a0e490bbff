//! A component: compiled and linked once for all attempts, and how a guest of one is run.
//!
//! A component waits in its host calls for whatever it likes, so its store is driven as a future, by the
//! guest's own thread: a guest that is to end is dropped where it waits.

use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmtime::component::{Component, Instance, InstancePre};
use wasmtime::{Error, Store, format_err};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::evidence::{StackState, Step, StopReason, Testimony};
use crate::isolation::LoadError;
use crate::limits::Limits;
use crate::task::{Entry, ProgramSource};
use crate::trace::Frame;

use super::compiler::first_lines;
use super::component_calls::{Call, has_functions};
use super::component_imports::{self, MOST_HANDLES, VERSION};
use super::component_parts::Parts;
use super::ending::{Exit, Interrupted};
use super::engines::GuestEngine;
use super::entering::Failed;
use super::entrance::{Entrance, list, no_numbers, texts};
use super::guest::{GuestState, Run};
use super::meter::Element;
use super::places::Places;
use super::signal::Signal;
use super::timers::with_timers;
use super::{features, source, trace};

/// What a command exports.
const RUN: &str = "wasi:cli/run";

/// How much one call may pass to the host at most, however large the guest's memory may be.
const MOST_PASSED: usize = 128 << 20;

/// A component that is a command, or has functions.
pub(super) struct ComponentCode {
    component: Component,
    linked: InstancePre<GuestState>,
    /// As a command, or why it is none.
    command: Result<CommandPre<GuestState>, LoadError>,
    parts: Parts,
    /// Where the debug information of each of its modules is.
    places: Vec<Places>,
}

impl ComponentCode {
    pub(super) fn prepare(
        name: &str,
        source: &ProgramSource,
        engine: &GuestEngine,
        component: &Component,
        parts: Parts,
    ) -> Result<Self, LoadError> {
        let ty = component.component_type();
        let exports: Vec<String> =
            ty.exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
        let is_callable = has_functions(component);
        let is_command = check_exports(name, &exports, is_callable);
        if !is_callable {
            is_command.clone()?;
        }
        let linked = engine.component_linker()?.instantiate_pre(component);
        let linked = linked.map_err(|error| unlinked(name, component, &error))?;
        let command = is_command.and_then(|()| {
            CommandPre::new(linked.clone()).map_err(|error| {
                let error = first_lines(&format!("{error:#}"));
                source::refused(name, &format!("is no command: {error}"))
            })
        });
        if !is_callable {
            command.as_ref().map_err(Clone::clone)?;
        }
        let component = component.clone();
        let places = parts.modules.iter().map(|part| Places::of_part(source, part.range.clone()));
        let places = places.collect();
        Ok(Self { component, linked, command, parts, places })
    }

    /// Bytes of all memories and tables at the start, as far as the modules are known.
    pub(super) fn least_memory(&self) -> u64 {
        self.parts.shapes().fold(0, |sum, shape| sum.saturating_add(shape.least_memory))
    }

    /// What an element of its tables is counted as: one meter counts those of all modules.
    pub(super) fn element(&self) -> Element {
        self.parts.element()
    }

    /// How many memories and how many tables each guest of it has, as far as the modules are known.
    pub(super) fn memories_and_tables(&self) -> (usize, usize) {
        let shapes = self.parts.shapes();
        shapes.fold((0, 0), |(memories, tables), shape| {
            (memories + shape.memories, tables + shape.tables)
        })
    }

    /// Checks how a task enters it.
    pub(super) fn entrance(&self, entry: &Entry) -> Result<Entrance, LoadError> {
        match entry {
            Entry::Command { args, .. } => {
                self.command.as_ref().map_err(Clone::clone)?;
                Ok(Entrance::Command { start: None, args: texts(args)? })
            }
            Entry::Invoke { function, input } => {
                let call = Call::of(&self.component, function, input)?;
                Ok(Entrance::Function(Box::new(call)))
            }
            Entry::Call { .. } => Err(no_numbers()),
        }
    }

    /// Runs a guest to its end, and gives what a function answered. One that is called is kept for the next call.
    pub(super) fn enter(
        &self,
        run: &Run,
        store: &mut Store<GuestState>,
        kept: &mut Option<Instance>,
    ) -> Result<Option<Testimony>, Failed> {
        let signal = &run.signal;
        bound(&run.limits, store);
        let Entrance::Function(call) = &run.entrance else {
            self.run_command(signal, store)?;
            return Ok(None);
        };
        let instance = match *kept {
            Some(instance) => instance,
            None => drive(signal, self.linked.instantiate_async(&mut *store))
                .map_err(|error| Failed { error, instantiated: false })?,
        };
        *kept = Some(instance);
        let most = run.limits.result.as_u64();
        let answer = drive(signal, call.carry_out(instance, store, most))?;
        if answer.is_none() {
            run.stop.stop(StopReason::Result);
            return Err(Error::from(Interrupted).into());
        }
        Ok(answer)
    }

    fn run_command(&self, signal: &Signal, store: &mut Store<GuestState>) -> Result<(), Failed> {
        let Ok(command) = &self.command else {
            return Err(format_err!("it was to be run like a command").into());
        };
        let command = drive(signal, command.instantiate_async(&mut *store))
            .map_err(|error| Failed { error, instantiated: false })?;
        let ended = drive(signal, command.wasi_cli_run().call_run(&mut *store))?;
        ended.map_err(|()| Error::from(Exit(1)).into())
    }

    /// What the guest's own stack pointer says at an access out of bounds.
    pub(super) fn stack_state(&self, error: &Error, store: &mut Store<GuestState>) -> StackState {
        trace::component_stack_state(error, &self.parts, store)
    }

    /// Where the guest was, innermost frame first.
    pub(super) fn frames(&self, error: &Error) -> Vec<Frame> {
        trace::component_frames(error, &self.parts, &self.places)
    }
}

/// Bounds what the host keeps for a guest beside the guest's own memory.
fn bound(limits: &Limits, store: &mut Store<GuestState>) {
    // What one call passes to the host is copied there. No guest has more to pass than its memory holds.
    store.set_hostcall_fuel(limits.memory.as_usize().min(MOST_PASSED));
    store.set_max_component_handles(MOST_HANDLES);
    store.data_mut().ctx().table.set_max_capacity(MOST_HANDLES);
}

/// Waits on this thread for a guest to get on, as long as it is not to end.
fn drive<T>(
    signal: &Signal,
    guest: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    with_timers(|| signal.drive(guest))?
}

/// A component that is something else than a command is refused with what it is.
fn check_exports(name: &str, exports: &[String], is_callable: bool) -> Result<(), LoadError> {
    let is_run = |export: &String| {
        let version = export.strip_prefix(RUN).and_then(|rest| rest.strip_prefix('@'));
        version.is_some_and(|version| version.starts_with(VERSION))
    };
    if exports.iter().any(is_run) {
        return Ok(());
    }
    let exported = match (exports, is_callable) {
        ([], _) => "it exports nothing".to_owned(),
        (_, false) => format!("it exports {}", list(exports)),
        (_, true) => format!("it exports {}: call one of its functions instead", list(exports)),
    };
    let fault = format!("is no command: it lacks the export `{RUN}@{VERSION}x`; {exported}");
    Err(source::refused(name, &fault))
}

fn unlinked(name: &str, component: &Component, error: &Error) -> LoadError {
    let ty = component.component_type();
    let imports: Vec<String> =
        ty.imports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    check_imports(name, &imports).err().unwrap_or_else(|| {
        let error = first_lines(&format!("{error:#}"));
        LoadError::at(Step::Import, format!("`{name}` can't be linked: {error}"))
    })
}

fn check_imports(name: &str, imports: &[String]) -> Result<(), LoadError> {
    let missing = component_imports::missing(imports);
    if missing.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "`{name}` imports what nobody offers: {}; there is WASI {VERSION}x, as commands use it",
        list(&missing)
    );
    Err(LoadError::at(Step::Import, detail))
}

/// Goes through what loading checks, without compiling anything.
pub(super) fn obstacle(
    name: &str,
    binary: &[u8],
    imports: &[String],
    exports: &[String],
) -> Result<(), LoadError> {
    let refused = |fault: String| source::refused(name, &fault);
    let parts =
        Parts::of(binary).map_err(|error| refused(format!("is not a valid component: {error}")))?;
    parts.check().map_err(refused)?;
    let types = features::check("component", binary).map_err(refused)?;
    if !exports.iter().any(|export| is_or_has_function(&types, export)) {
        check_exports(name, exports, false)?;
    }
    check_imports(name, imports)
}

/// Whether this export can be called, or is an interface with a function.
fn is_or_has_function(types: &Types, export: &str) -> bool {
    let is_function = |ty: &ComponentEntityType| matches!(ty, ComponentEntityType::Func(_));
    match types.component_item_for_export(export).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(interface)) => {
            types[interface].exports.values().any(|item| is_function(&item.ty))
        }
        ty => ty.is_some_and(|ty| is_function(&ty)),
    }
}
