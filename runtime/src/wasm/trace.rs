//! Where a guest was when it ended: the frames of its backtrace, and the state of its own stack.

use wasmtime::{Error, FrameInfo, Store, Val, WasmBacktrace, WasmCoreDump};

use crate::evidence::StackState;
use crate::trace::Frame;

use super::guest::GuestState;
use super::places::{Lookup, Places};
use super::shape::OwnStack;

/// How many frames a report carries.
const MOST_FRAMES: usize = 20;

/// How far below its stack pointer a function that calls no other may write (LLVM's red zone).
const RED_ZONE: u32 = 128;

/// The frames, innermost first.
pub(super) fn frames(error: &Error, places: &Places) -> Vec<Frame> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let lookup = places.open();
    let frames_of = |info| frames_of(info, lookup.as_ref());
    backtrace.frames().iter().flat_map(frames_of).take(MOST_FRAMES).collect()
}

/// One frame of the engine is several of the source where functions were inlined.
fn frames_of(info: &FrameInfo, lookup: Option<&Lookup<'_>>) -> Vec<Frame> {
    let number = || format!("wasm function {}", info.func_index());
    let function = info.func_name().map_or_else(number, plain);
    let found =
        info.module_offset().zip(lookup).map(|(offset, lookup)| lookup.at(offset, &function));
    match found {
        Some(frames) if !frames.is_empty() => frames,
        _ => vec![Frame { function, place: None }],
    }
}

/// The name as it stands in the source, without the compiler's hash.
pub(super) fn plain(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// What the guest's own stack pointer says at an access out of bounds.
///
/// Compilers like LLVM keep a stack of their own in linear memory. It grows down towards address zero,
/// and when it is used up the pointer wraps around, so the access that traps looks like any other one
/// out of bounds. The pointer itself tells them apart.
pub(super) fn stack_state(
    error: &Error,
    stack: OwnStack,
    store: &mut Store<GuestState>,
) -> StackState {
    let pointer = match stack {
        // Nothing is kept in linear memory that could run out.
        OwnStack::Absent => return StackState::Sound,
        OwnStack::Unknown => return StackState::Unseen,
        OwnStack::Known(pointer) => pointer,
    };
    let Some(dump) = error.downcast_ref::<WasmCoreDump>() else { return StackState::Unseen };
    let global = dump.globals().get(pointer.index);
    let Some(Val::I32(value)) = global.map(|global| global.get(&mut *store)) else {
        return StackState::Unseen;
    };
    let value = value.cast_unsigned();
    if value < RED_ZONE || value > pointer.top { StackState::Overrun } else { StackState::Sound }
}
