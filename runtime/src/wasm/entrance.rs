//! How a task enters a module or a component: its entry, checked against what is exported.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sandtrap_protocol::{EXPORT_SERVE, IMPORT_MODULE, IMPORT_RECEIVE};
use wasmtime::{ExternType, FuncType, ImportType, Module, ModuleExport, Val, ValType};

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::task::{Entry, Value};

use super::component_calls;

const COMMAND: &str = "_start";
const REACTOR: &str = "_initialize";

/// How many names a message lists.
const MOST_NAMES: usize = 8;

/// How much of a name a message shows.
pub(super) const LONGEST_NAME: usize = 100;

/// An entry that fits its module.
pub(super) enum Entrance {
    Command {
        /// The export to call. `None` if a module runs by itself when it is instantiated, and for a
        /// component, which has one way to be run.
        start: Option<ModuleExport>,
        args: Vec<String>,
    },
    Call {
        callee: Arc<Callee>,
        arguments: Vec<Val>,
    },
    /// A guest that serves what comes over its channel, and returns when nothing more is there.
    Serve {
        /// Enters a new one.
        start: ModuleExport,
        /// Enters it again.
        again: Option<ModuleExport>,
    },
    /// A function of a component.
    Function(Box<component_calls::Call>),
}

/// An exported function that can be called from outside.
pub(super) struct Callee {
    /// What has to be called first, where the module says so.
    pub(super) initialize: Option<ModuleExport>,
    pub(super) function: ModuleExport,
    params: Vec<ValType>,
    /// How many values come back.
    pub(super) results: usize,
}

/// How a module can be entered, found out once for all attempts.
pub(super) struct Doors {
    /// Whether it talks to its host.
    has_channel: bool,
    /// As a command, or why not. `None` within: it runs by itself when it is instantiated.
    command: Result<Option<ModuleExport>, LoadError>,
    /// Functions that were called already.
    known: RwLock<HashMap<String, Arc<Callee>>>,
}

impl Doors {
    pub(super) fn of(name: &str, module: &Module, has_start: bool) -> Self {
        let has_channel = module.imports().any(|import| import.module() == IMPORT_MODULE);
        Self { has_channel, command: command(name, module, has_start), known: RwLock::default() }
    }

    /// Whether it talks to its host over the channel.
    pub(super) fn has_channel(&self) -> bool {
        self.has_channel
    }

    /// Refuses a function that does not take and return exactly this.
    pub(super) fn check_types(
        &self,
        module: &Module,
        name: &str,
        params: &[ValType],
        results: &[ValType],
    ) -> Result<(), LoadError> {
        self.callee(module, name)?;
        let Some(ty) = function_type(module, name) else { return Ok(()) };
        let is_same = |all: Vec<ValType>, other: &[ValType]| {
            all.len() == other.len() && all.iter().zip(other).all(|(a, b)| ValType::eq(a, b))
        };
        if is_same(ty.params().collect(), params) && is_same(ty.results().collect(), results) {
            return Ok(());
        }
        let shown =
            |types: &mut dyn Iterator<Item = ValType>| tuple(types.map(|ty| type_name(&ty)));
        Err(rejected(format!(
            "`{name}` takes {} and returns {}, and was to take {} and return {}",
            shown(&mut ty.params()),
            shown(&mut ty.results()),
            shown(&mut params.iter().cloned()),
            shown(&mut results.iter().cloned()),
        )))
    }

    /// Checks an entry. What does not fit is refused before anything of the module runs.
    pub(super) fn enter(&self, module: &Module, entry: &Entry) -> Result<Entrance, LoadError> {
        match entry {
            Entry::Command { args, .. } => {
                Ok(Entrance::Command { start: self.command.clone()?, args: texts(args)? })
            }
            Entry::Call { function, arguments } => {
                let callee = self.callee(module, function)?;
                callee.check(function, arguments)?;
                let arguments = arguments.iter().map(val).collect();
                Ok(Entrance::Call { callee, arguments })
            }
            Entry::Invoke { function, .. } => self.serve(module, function),
        }
    }

    fn serve(&self, module: &Module, function: &str) -> Result<Entrance, LoadError> {
        let hears = |import: ImportType<'_>| {
            (import.module(), import.name()) == (IMPORT_MODULE, IMPORT_RECEIVE)
        };
        match (&self.command, module.imports().any(hears)) {
            (Ok(Some(start)), true) => {
                let again = function_type(module, EXPORT_SERVE).filter(is_plain);
                let again = again.and_then(|_| module.get_export_index(EXPORT_SERVE));
                Ok(Entrance::Serve { start: *start, again })
            }
            _ => Err(rejected(format!(
                "`{function}` can't be called with a value: the module serves no calls over its \
                 channel; build it with `sandtrap-guest`, or call one of its exports with numbers"
            ))),
        }
    }

    fn callee(&self, module: &Module, name: &str) -> Result<Arc<Callee>, LoadError> {
        // A callee is inserted whole or not at all, so a panic elsewhere leaves the map in order.
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Arc::clone(known));
        }
        let callee = Arc::new(Callee::of(module, name)?);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), Arc::clone(&callee));
        Ok(callee)
    }
}

/// A component has no functions that take numbers.
pub(super) fn no_numbers() -> LoadError {
    rejected(
        "it is a component, whose functions take values and no numbers; call them with JSON \
         (`Payload::json`, or `sandtrap call … --input`)"
            .into(),
    )
}

pub(super) fn texts(args: &[std::ffi::OsString]) -> Result<Vec<String>, LoadError> {
    let args = args.iter().map(|arg| arg.to_str().map(str::to_owned)).collect::<Option<_>>();
    args.ok_or_else(|| rejected("an argument is not UTF-8, which modules require".into()))
}

fn command(
    name: &str,
    module: &Module,
    has_start: bool,
) -> Result<Option<ModuleExport>, LoadError> {
    let fault = match function_type(module, COMMAND) {
        Some(ty) if is_plain(&ty) => return Ok(module.get_export_index(COMMAND)),
        Some(_) => "is no command: its `_start` takes or returns something".to_owned(),
        None if has_start => return Ok(None),
        None => {
            let functions = functions(module);
            match functions.is_empty() {
                true => {
                    "is no command: it has no `_start`, and no other function to call".to_owned()
                }
                false => format!(
                    "is no command: it has no `_start`. Call one of its functions instead: {}",
                    list(&functions)
                ),
            }
        }
    };
    Err(super::source::refused(name, &fault))
}

impl Callee {
    fn of(module: &Module, name: &str) -> Result<Self, LoadError> {
        let (Some(ty), Some(function)) =
            (function_type(module, name), module.get_export_index(name))
        else {
            let functions = functions(module);
            return Err(rejected(match functions.is_empty() {
                true => format!("there is no function `{name}`; the module exports none at all"),
                false => format!(
                    "there is no function `{name}`; the module exports {}",
                    list(&functions)
                ),
            }));
        };
        if let Some(odd) = ty.results().find(|ty| !is_number(ty)) {
            let odd = type_name(&odd);
            return Err(rejected(format!("`{name}` returns {odd}, which can't be passed on")));
        }
        let initialize = function_type(module, REACTOR)
            .filter(|ty| is_plain(ty) && name != REACTOR)
            .and_then(|_| module.get_export_index(REACTOR));
        let (params, results) = (ty.params().collect(), ty.results().len());
        Ok(Self { initialize, function, params, results })
    }

    fn check(&self, name: &str, arguments: &[Value]) -> Result<(), LoadError> {
        let params = &self.params;
        let fits = params.len() == arguments.len()
            && params.iter().zip(arguments).all(|(ty, value)| takes(ty, *value));
        if fits {
            return Ok(());
        }
        let given = tuple(arguments.iter().map(|value| value_type(*value).to_owned()));
        let wanted = tuple(params.iter().map(type_name));
        Err(rejected(format!("`{name}` takes {wanted}, and was given {given}")))
    }
}

fn takes(ty: &ValType, value: Value) -> bool {
    matches!(
        (ty, value),
        (ValType::I32, Value::I32(_))
            | (ValType::I64, Value::I64(_))
            | (ValType::F32, Value::F32(_))
            | (ValType::F64, Value::F64(_))
    )
}

fn rejected(detail: String) -> LoadError {
    LoadError::at(Step::Accept, detail)
}

fn function_type(module: &Module, name: &str) -> Option<FuncType> {
    match module.get_export(name)? {
        ExternType::Func(ty) => Some(ty),
        _ => None,
    }
}

fn is_plain(ty: &FuncType) -> bool {
    ty.params().len() == 0 && ty.results().len() == 0
}

fn functions(module: &Module) -> Vec<String> {
    let is_function = |ty: &ExternType| matches!(ty, ExternType::Func(_));
    let exports = module.exports().filter(|export| is_function(&export.ty()));
    exports.map(|export| export.name().to_owned()).collect()
}

/// The first few names, each as far as people read it: a module may have any number, of any length.
pub(super) fn list(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(MOST_NAMES)
        .map(|name| format!("`{}`", cut(name, LONGEST_NAME)))
        .collect();
    let rest = names.len() - shown.len();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
}

/// A text, as far as people read it.
pub(super) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn tuple(types: impl Iterator<Item = String>) -> String {
    format!("({})", types.collect::<Vec<_>>().join(", "))
}

fn is_number(ty: &ValType) -> bool {
    matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64)
}

fn type_name(ty: &ValType) -> String {
    ty.to_string()
}

fn value_type(value: Value) -> &'static str {
    match value {
        Value::I32(_) => "i32",
        Value::I64(_) => "i64",
        Value::F32(_) => "f32",
        Value::F64(_) => "f64",
    }
}

fn val(value: &Value) -> Val {
    match *value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(value) => Val::F32(value.to_bits()),
        Value::F64(value) => Val::F64(value.to_bits()),
    }
}

/// A number that came back. Anything else was refused before the call.
pub(super) fn value(val: &Val) -> Option<Value> {
    match *val {
        Val::I32(value) => Some(Value::I32(value)),
        Val::I64(value) => Some(Value::I64(value)),
        Val::F32(bits) => Some(Value::F32(f32::from_bits(bits))),
        Val::F64(bits) => Some(Value::F64(f64::from_bits(bits))),
        _ => None,
    }
}
