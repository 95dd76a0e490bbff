//! How a task enters a module: its entry, checked against what the module exports.

use wasmtime::{ExternType, FuncType, Module, ModuleExport, Val, ValType};

use crate::evidence::Step;
use crate::isolation::LoadError;
use crate::task::{Entry, Value};

use super::image::Prepared;

const COMMAND: &str = "_start";
const REACTOR: &str = "_initialize";

/// How many names a message lists.
const MOST_NAMES: usize = 8;

/// An entry that fits its module.
pub(super) enum Entrance {
    Command {
        /// The export to call. `None` if the module runs by itself when it is instantiated.
        start: Option<ModuleExport>,
        args: Vec<String>,
    },
    Call {
        /// What has to be called first, where the module says so.
        initialize: Option<ModuleExport>,
        function: ModuleExport,
        arguments: Vec<Val>,
        /// How many values come back.
        results: usize,
    },
}

impl Entrance {
    /// Checks an entry. What does not fit is refused before anything of the module runs.
    pub(super) fn of(image: &Prepared, entry: &Entry) -> Result<Self, LoadError> {
        match entry {
            Entry::Command { args, .. } => command(image, args),
            Entry::Call { function, arguments } => call(&image.module, function, arguments),
        }
    }
}

fn command(image: &Prepared, args: &[std::ffi::OsString]) -> Result<Entrance, LoadError> {
    let start = match function_type(&image.module, COMMAND) {
        Some(ty) if is_plain(&ty) => image.module.get_export_index(COMMAND),
        Some(_) => {
            let fault = "is no command: its `_start` takes or returns something";
            return Err(super::source::refused(&image.name, fault));
        }
        None if image.shape.has_start => None,
        None => {
            let functions = functions(&image.module);
            let fault = match functions.is_empty() {
                true => {
                    "is no command: it has no `_start`, and no other function to call".to_owned()
                }
                false => format!(
                    "is no command: it has no `_start`. Call one of its functions instead: {}",
                    list(&functions)
                ),
            };
            return Err(super::source::refused(&image.name, &fault));
        }
    };
    let args = args.iter().map(|arg| arg.to_str().map(str::to_owned)).collect::<Option<_>>();
    let args =
        args.ok_or_else(|| rejected("an argument is not UTF-8, which modules require".into()))?;
    Ok(Entrance::Command { start, args })
}

fn call(module: &Module, name: &str, arguments: &[Value]) -> Result<Entrance, LoadError> {
    let (Some(ty), Some(function)) = (function_type(module, name), module.get_export_index(name))
    else {
        let functions = functions(module);
        let detail = match functions.is_empty() {
            true => format!("there is no function `{name}`; the module exports none at all"),
            false => {
                format!("there is no function `{name}`; the module exports {}", list(&functions))
            }
        };
        return Err(rejected(detail));
    };
    let fits = ty.params().len() == arguments.len()
        && ty.params().zip(arguments).all(|(ty, value)| type_name(&ty) == value_type(*value));
    if !fits {
        let given = tuple(arguments.iter().map(|value| value_type(*value).to_owned()));
        let wanted = tuple(ty.params().map(|ty| type_name(&ty)));
        return Err(rejected(format!("`{name}` takes {wanted}, and was given {given}")));
    }
    if let Some(odd) = ty.results().find(|ty| !is_number(ty)) {
        let odd = type_name(&odd);
        return Err(rejected(format!("`{name}` returns {odd}, which can't be passed on")));
    }
    let initialize = function_type(module, REACTOR)
        .filter(|ty| is_plain(ty) && name != REACTOR)
        .and_then(|_| module.get_export_index(REACTOR));
    let (arguments, results) = (arguments.iter().map(val).collect(), ty.results().len());
    Ok(Entrance::Call { initialize, function, arguments, results })
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

fn list(names: &[String]) -> String {
    let shown: Vec<String> =
        names.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    let rest = names.len() - shown.len();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
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
