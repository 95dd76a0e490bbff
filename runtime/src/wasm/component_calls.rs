//! Calls of a component's functions: which one is meant, what it is given, and what it answered.

use serde_json::Value as Json;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Instance, Val};
use wasmtime::{Store, format_err};

use sandtrap_protocol::{Codec, ErrorReport};

use crate::evidence::{Step, Testimony};
use crate::isolation::LoadError;
use crate::payload::Payload;

use super::component_values::{beyond_json, read, write};
use super::entrance::{LONGEST_NAME, cut, list};
use super::guest::GuestState;

/// A function with everything that it is given.
pub(super) struct Call {
    index: ComponentExportIndex,
    arguments: Vec<Val>,
    results: usize,
}

/// The most of an error's words that is kept beside its value.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// A function that was found, and its name in full.
struct Found {
    name: String,
    index: ComponentExportIndex,
    ty: ComponentFunc,
}

/// Whether it has any function to be called, be it within an interface.
pub(super) fn has_functions(component: &Component) -> bool {
    let (ty, engine) = (component.component_type(), component.engine());
    ty.exports(engine).any(|(_, export)| match export.ty {
        ComponentItem::ComponentFunc(_) => true,
        ComponentItem::ComponentInstance(inner) => {
            inner.exports(engine).any(|(_, it)| matches!(it.ty, ComponentItem::ComponentFunc(_)))
        }
        _ => false,
    })
}

/// All functions that this name may mean: by itself, or one within an interface by its own name or by both.
///
/// Names are put together only for those: an interface with a long name may have very many functions.
fn called(component: &Component, wanted: &str) -> Vec<Found> {
    let (ty, engine) = (component.component_type(), component.engine());
    let mut found = Vec::new();
    for (name, export) in ty.exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(ty) if name == wanted => {
                if let Some(index) = component.get_export_index(None, name) {
                    return vec![Found { name: name.to_owned(), index, ty }];
                }
            }
            ComponentItem::ComponentInstance(inner) => {
                let in_full = wanted.strip_prefix(name).and_then(|rest| rest.strip_prefix('#'));
                for (function, export) in inner.exports(engine) {
                    let ComponentItem::ComponentFunc(ty) = export.ty else { continue };
                    if function != wanted && Some(function) != in_full {
                        continue;
                    }
                    let interface = component.get_export_index(None, name);
                    if let Some(index) = component.get_export_index(interface.as_ref(), function) {
                        found.push(Found { name: format!("{name}#{function}"), index, ty });
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// The functions of a component, each as far as people read its name.
fn names(component: &Component) -> Vec<String> {
    let (ty, engine) = (component.component_type(), component.engine());
    let mut all = Vec::new();
    for (name, export) in ty.exports(engine) {
        let name = cut(name, LONGEST_NAME);
        match export.ty {
            ComponentItem::ComponentFunc(_) => all.push(name.into_owned()),
            ComponentItem::ComponentInstance(inner) => {
                let functions = inner
                    .exports(engine)
                    .filter(|(_, it)| matches!(it.ty, ComponentItem::ComponentFunc(_)));
                all.extend(
                    functions
                        .map(|(function, _)| format!("{name}#{}", cut(function, LONGEST_NAME))),
                );
            }
            _ => {}
        }
    }
    all
}

impl Call {
    /// Checks a call. What does not fit is refused before anything of the component runs.
    pub(super) fn of(
        component: &Component,
        function: &str,
        input: &Payload,
    ) -> Result<Self, LoadError> {
        let mut found = called(component, function);
        let Found { name, index, ty } = match (found.pop(), found.is_empty()) {
            (Some(found), true) => found,
            (Some(last), false) => {
                let names: Vec<String> =
                    found.into_iter().map(|it| it.name).chain([last.name]).collect();
                let names = list(&names);
                return Err(rejected(format!(
                    "`{function}` may be each of {names}; name it in full"
                )));
            }
            (None, _) => {
                let all = match &names(component)[..] {
                    [] => "none at all".to_owned(),
                    all => list(all),
                };
                return Err(rejected(format!(
                    "there is no function `{function}`; the component exports {all}"
                )));
            }
        };
        for ty in ty.params().map(|(_, ty)| ty).chain(ty.results()) {
            if let Some(what) = beyond_json(&ty) {
                return Err(rejected(format!(
                    "`{name}` takes or returns {what}, for which JSON has no form"
                )));
            }
        }
        let arguments = arguments(&name, &ty, input)?;
        Ok(Self { index, arguments, results: ty.results().len() })
    }

    /// Carries it out within this instance, and gives what it answered. `None` where that is longer, as JSON, than it may
    /// be.
    pub(super) async fn carry_out(
        &self,
        instance: Instance,
        store: &mut Store<GuestState>,
        most: u64,
    ) -> wasmtime::Result<Option<Testimony>> {
        let function = instance.get_func(&mut *store, self.index);
        let function = function.ok_or_else(|| format_err!("a function is gone that it has"))?;
        let mut results = vec![Val::Bool(false); self.results];
        function.call_async(&mut *store, &self.arguments, &mut results).await?;
        let (value, is_error) = match results.first() {
            None => (None, false),
            Some(Val::Result(Ok(value))) => (value.as_deref(), false),
            Some(Val::Result(Err(error))) => (error.as_deref(), true),
            Some(value) => (Some(value), false),
        };
        let Some(bytes) = write(value, usize::try_from(most).unwrap_or(usize::MAX))? else {
            return Ok(None);
        };
        let mut testimony = Testimony::default();
        if is_error {
            let message = match value {
                None => "its function returned an error".into(),
                Some(Val::String(text)) => cut(text, LONGEST_MESSAGE),
                Some(_) => cut(str::from_utf8(&bytes)?, LONGEST_MESSAGE),
            };
            let message = message.into_owned();
            testimony.error = Some(ErrorReport { message, chain: Vec::new() });
            testimony.error_value = Some(Payload::new(Codec::Json, bytes));
        } else {
            testimony.result = Some(Payload::new(Codec::Json, bytes));
        }
        Ok(Some(testimony))
    }
}

/// One argument is the input itself; several are an array of them, or an object with their names.
fn arguments(name: &str, ty: &ComponentFunc, input: &Payload) -> Result<Vec<Val>, LoadError> {
    if input.codec() != Codec::Json {
        return Err(rejected(format!(
            "`{name}` is a component's and takes JSON; give it a `Payload::json`"
        )));
    }
    let json: Json = serde_json::from_slice(input.bytes())
        .map_err(|error| rejected(format!("the input of `{name}` is no JSON: {error}")))?;
    let params: Vec<_> = ty.params().collect();
    let given: Vec<Option<&Json>> = match (&params[..], &json) {
        ([], Json::Null) => Vec::new(),
        ([], Json::Array(none)) if none.is_empty() => Vec::new(),
        ([_], one) => vec![Some(one)],
        (_, Json::Array(all)) if all.len() == params.len() => all.iter().map(Some).collect(),
        (_, Json::Object(map))
            if map.len() == params.len()
                && params.iter().all(|(name, _)| map.contains_key(*name)) =>
        {
            params.iter().map(|(name, _)| map.get(*name)).collect()
        }
        _ => {
            let names: Vec<String> = params.iter().map(|(name, _)| (*name).to_owned()).collect();
            let wanted = match names.is_empty() {
                true => "nothing; leave the input out, or give null".to_owned(),
                false => format!("{}, as an array or as an object with these names", list(&names)),
            };
            return Err(rejected(format!("`{name}` takes {wanted}")));
        }
    };
    let one = |((param, ty), json): (&(&str, _), Option<&Json>)| {
        read(json.unwrap_or(&Json::Null), ty, param)
            .map_err(|words| rejected(format!("`{name}` can't be given that: {words}")))
    };
    params.iter().zip(given).map(one).collect()
}

fn rejected(detail: String) -> LoadError {
    LoadError::at(Step::Accept, detail)
}
