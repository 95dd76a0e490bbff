//! Names the features that a module uses and this engine does not have.
//!
//! The engine's own message says at which byte it gave up. Here the module is validated again with all
//! features there are, and then without each of those that are off: what it can't do without, it uses.

use wasmparser::types::Types;
use wasmparser::{Validator, WasmFeatures};

/// What is off, and what it is called.
const OFF: [(WasmFeatures, &str); 12] = [
    (WasmFeatures::LEGACY_EXCEPTIONS, "exceptions of the older kind"),
    (WasmFeatures::STACK_SWITCHING, "stack switching"),
    (WasmFeatures::SHARED_EVERYTHING_THREADS, "shared-everything threads"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::MEMORY_CONTROL, "memory control"),
    (WasmFeatures::CUSTOM_DESCRIPTORS, "custom descriptors"),
    (WasmFeatures::CM_ASYNC, "asynchronous functions between components, as in WASI 0.3"),
    (WasmFeatures::CM_THREADING, "threads of components"),
    (WasmFeatures::CM_GC, "garbage-collected values between components"),
    (WasmFeatures::CM_MAP, "maps between components"),
    (WasmFeatures::CM_FIXED_LENGTH_LISTS, "lists of fixed length between components"),
];

/// Whether a valid module may keep something in the engine's own heap, which its collector looks after:
/// objects, references of the host, exceptions.
pub(super) fn needs_heap(module: &[u8]) -> bool {
    let heap = WasmFeatures::GC | WasmFeatures::GC_TYPES | WasmFeatures::EXCEPTIONS;
    !is_valid(module, offered() - heap)
}

/// What a module or component that was refused uses and can't have. Empty if it is wrong in another way.
pub(super) fn missing(bytes: &[u8]) -> Vec<&'static str> {
    if !is_valid(bytes, WasmFeatures::all()) {
        return Vec::new();
    }
    let is_used = |feature: WasmFeatures| !is_valid(bytes, WasmFeatures::all() - feature);
    OFF.iter().filter(|(feature, _)| is_used(*feature)).map(|(_, name)| *name).collect()
}

fn is_valid(bytes: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(bytes).is_ok()
}

/// The types of a module or component that is valid with what there is. Of another one, why it is refused.
pub(super) fn check(kind: &str, bytes: &[u8]) -> Result<Types, String> {
    let valid = Validator::new_with_features(offered()).validate_all(bytes);
    valid.map_err(|error| fault(kind, bytes, error.message()))
}

fn offered() -> WasmFeatures {
    OFF.iter().fold(WasmFeatures::all(), |all, (feature, _)| all - *feature)
}

/// Why a module or component was refused that did not compile.
pub(super) fn fault(kind: &str, bytes: &[u8], engine_says: &str) -> String {
    match missing(bytes)[..] {
        [] => format!("is not a valid {kind}: {engine_says}"),
        ref used => {
            let used = used.join(", and ");
            format!("uses {used}: this version does not offer that, so build it without")
        }
    }
}
