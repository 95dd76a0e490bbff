//! The core dump of a guest that has trapped: the engine's, made while the guest's store is still there.

use wasmtime::{Error, HeapType, Store, ValType, WasmCoreDump};

use crate::core_dump::CoreDump;

use super::guest::GuestState;

/// Copies what the guest held. That is no more than its memories, which its limit bounds, and its globals.
pub(super) fn take(error: &Error, name: &str, store: &mut Store<GuestState>) -> CoreDump {
    let Some(dump) = error.downcast_ref::<WasmCoreDump>() else {
        return CoreDump::Missing("it ended before any code of it ran, or within the host");
    };
    let is_told = |ty: ValType| match ty {
        ValType::Ref(ty) => {
            matches!(ty.heap_type().top(), HeapType::Extern | HeapType::Func | HeapType::Any)
        }
        _ => true,
    };
    // The engine can't write the others, and would panic.
    if !dump.globals().iter().all(|global| is_told(global.ty(&*store).content().clone())) {
        return CoreDump::Missing("one of its globals holds an exception, which no dump can tell");
    }
    CoreDump::Taken(dump.serialize(store, name).into())
}
