//! Modules that a machine thought up: valid, and without any sense. The seeds are fixed.

use sandtrap::{Label, Task, Value};
use wasm_smith::{Config, Module};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, ValType};

use super::{Row, Way, family};

/// How many modules there are of each kind.
const EACH: u64 = 24;

/// As much noise as one module is made of.
const NOISE: usize = 4096;

/// Instructions after which one that does not end is ended.
const FUEL: u64 = 200_000;

pub(super) fn rows() -> Vec<Row> {
    let plain = || Config {
        max_imports: 0,
        export_everything: true,
        min_funcs: 1,
        exceptions_enabled: false,
        gc_enabled: false,
        compact_imports_enabled: false,
        wide_arithmetic_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        custom_page_sizes_enabled: false,
        ..Config::default()
    };
    vec![
        row("thought_up_by_a_machine", plain),
        row("thought_up_with_many_memories_and_tables", move || Config {
            max_memories: 8,
            max_tables: 8,
            memory_max_size_required: false,
            ..plain()
        }),
        row("thought_up_with_data_out_of_bounds", move || Config {
            min_data_segments: 4,
            max_data_segments: 32,
            min_element_segments: 2,
            allow_invalid_funcs: false,
            ..plain()
        }),
        // A cast that fails has no verdict of its own.
        with_casts(row("thought_up_with_objects_and_exceptions", move || Config {
            exceptions_enabled: true,
            gc_enabled: true,
            ..plain()
        })),
        row("thought_up_to_be_invalid", move || Config { allow_invalid_funcs: true, ..plain() }),
    ]
}

/// Whatever it is, it ends within its limits, and not by a mistake of ours.
fn row(name: &'static str, config: impl Fn() -> Config + Send + Sync + 'static) -> Row {
    let mut labels = Label::ALL.to_vec();
    labels.retain(|label| {
        !matches!(label, Label::UnstartedResources | Label::UnstartedGuard | Label::CrashedUnknown)
    });
    let make = move || (0..EACH).map(|seed| module(seed, config())).collect();
    let mut row = family(name, &labels, make);
    row.entry = Way::First;
    row.limits.fuel = Some(FUEL);
    row
}

fn with_casts(mut row: Row) -> Row {
    row.labels.push(Label::CrashedUnknown);
    row
}

/// A call of the first export that can be called with numbers alone. Where there is none, the module runs as
/// far as it runs by itself.
pub(super) fn first_call(module: &[u8]) -> Task {
    let (mut types, mut functions) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module).map_while(Result::ok) {
        match payload {
            Payload::TypeSection(section) => {
                types.extend(section.into_iter_err_on_gc_types().map_while(Result::ok));
            }
            Payload::FunctionSection(section) => {
                functions.extend(section.into_iter().map_while(Result::ok));
            }
            Payload::ExportSection(exports) => {
                let found = exports.into_iter().flatten().find_map(|export| {
                    let ty = functions.get(export.index as usize)?;
                    let ty: &FuncType = types.get(*ty as usize)?;
                    let is_number = |ty: &ValType| number(*ty).is_some();
                    let fits = export.kind == ExternalKind::Func
                        && ty.params().iter().chain(ty.results()).all(is_number);
                    let zeros: Vec<Value> =
                        ty.params().iter().copied().filter_map(number).collect();
                    fits.then(|| Task::call(export.name, zeros))
                });
                return found.unwrap_or_else(|| Task::command([""; 0]));
            }
            _ => {}
        }
    }
    Task::command([""; 0])
}

fn number(ty: ValType) -> Option<Value> {
    match ty {
        ValType::I32 => Some(Value::I32(0)),
        ValType::I64 => Some(Value::I64(0)),
        ValType::F32 => Some(Value::F32(0.0)),
        ValType::F64 => Some(Value::F64(0.0)),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

fn module(seed: u64, config: Config) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise: Vec<u8> = (0..NOISE)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect();
    let mut noise = arbitrary::Unstructured::new(&noise);
    Module::new(config, &mut noise).expect("noise enough").to_bytes()
}
