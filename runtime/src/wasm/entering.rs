//! The way into a guest: a command's start, a call of one function, or the door by which it serves calls.

use wasmtime::component;
use wasmtime::{Error, Func, Instance, ModuleExport, Store, Val};

use crate::evidence::Testimony;
use crate::task::Value;

use super::entrance::{Entrance, value};
use super::guest::{GuestState, Run};
use super::image::Code;

/// What a guest that has returned gave back.
#[derive(Default)]
pub(super) struct Returned {
    pub(super) values: Vec<Value>,
    /// What a component's function said: it has no channel to say it by.
    pub(super) answer: Option<Testimony>,
}

/// An error, and whether the guest had come into being before it.
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) instantiated: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, instantiated: true }
    }
}

/// Runs a guest until it returns. What it is called by is made the first time, and kept.
pub(super) fn enter(
    run: &Run,
    store: &mut Store<GuestState>,
    kept: &mut Option<Instance>,
    component: &mut Option<component::Instance>,
) -> Result<Returned, Failed> {
    if run.image.engine.configuration.counts_fuel {
        store.set_fuel(run.limits.fuel.unwrap_or(u64::MAX))?;
    }
    // The guest's epoch deadline counts from the store's making; a stop before that is seen here.
    run.signal.check().map_err(Error::from)?;
    let code = match &run.image.code {
        Code::Module(code) => code,
        Code::Component(code) => {
            let answer = code.enter(run, store, component)?;
            return Ok(Returned { answer, ..Returned::default() });
        }
    };
    let is_new = kept.is_none();
    let instance = match *kept {
        Some(instance) => instance,
        None => code
            .linked
            .instantiate(&mut *store)
            .map_err(|error| Failed { error, instantiated: false })?,
    };
    *kept = Some(instance);
    match &run.entrance {
        Entrance::Command { start, .. } => {
            if let Some(start) = start {
                start_at(&instance, store, start)?;
            }
            Ok(Returned::default())
        }
        Entrance::Serve { start, again } => {
            let export = if is_new { Some(start) } else { again.as_ref() };
            if let Some(export) = export {
                start_at(&instance, store, export)?;
            }
            Ok(Returned::default())
        }
        Entrance::Call { callee, arguments } => {
            if is_new && let Some(initialize) = &callee.initialize {
                start_at(&instance, store, initialize)?;
            }
            let function = exported(&instance, store, &callee.function)?;
            let mut values = vec![Val::I32(0); callee.results];
            function.call(&mut *store, arguments, &mut values)?;
            let values = values.iter().filter_map(value).collect();
            Ok(Returned { values, answer: None })
        }
        Entrance::Function(_) => {
            Err(wasmtime::format_err!("a module was to be called like a component").into())
        }
    }
}

/// Calls what takes nothing and returns nothing.
fn start_at(
    instance: &Instance,
    store: &mut Store<GuestState>,
    export: &ModuleExport,
) -> wasmtime::Result<()> {
    exported(instance, store, export)?.typed::<(), ()>(&*store)?.call(&mut *store, ())
}

fn exported(
    instance: &Instance,
    store: &mut Store<GuestState>,
    export: &ModuleExport,
) -> wasmtime::Result<Func> {
    instance
        .get_module_export(&mut *store, export)
        .and_then(wasmtime::Extern::into_func)
        .ok_or_else(|| wasmtime::format_err!("an export is gone that the module has"))
}
