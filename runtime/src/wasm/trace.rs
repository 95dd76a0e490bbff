//! Where a guest was when it ended: the frames of its backtrace, and the state of its own stack.

use std::collections::BTreeMap;

use wasmtime::{Error, FrameInfo, Global, Instance, Store, Tag, Val, WasmBacktrace, WasmCoreDump};

use crate::debug_info::plain;
use crate::evidence::{StackState, Thrown};
use crate::trace::Frame;

use super::component_parts::Parts;
use super::entrance::cut;
use super::expose::STACK_POINTER;
use super::guest::GuestState;
use super::own_stack::{OwnStack, StackPointer};
use super::places::{Lookup, Places, purse};
use super::shape::Shape;

/// How many frames a report carries.
const MOST_FRAMES: usize = 20;

/// How much of an exception a report carries.
const MOST_VALUES: usize = 8;
const LONGEST_NAME: usize = 100;

/// How far below its stack pointer a function that calls no other may write (LLVM's red zone).
const RED_ZONE: u64 = 128;

/// The frames of a module, innermost first.
pub(super) fn frames(error: &Error, places: &Places, shape: &Shape) -> Vec<Frame> {
    let moved = shape.moved.unwrap_or(0);
    let lookup = places.open(&mut purse());
    frames_within(error, |info| {
        let function = name_of(info);
        let found = info.module_offset().zip(lookup.as_ref());
        let places = found.map(|(offset, lookup)| {
            lookup.at(offset.saturating_sub(moved), &function, MOST_FRAMES)
        });
        or_nowhere(places, function)
    })
}

/// What stands for the code that the engine puts between two components.
const BETWEEN_COMPONENTS: &str = "(between components)";

/// The frames of a component. Its modules count the places in their code from their own beginnings, and
/// the engine from the component's. Those that are open at once come out of one purse.
pub(super) fn component_frames(error: &Error, parts: &Parts, places: &[Places]) -> Vec<Frame> {
    let mut purse = purse();
    let mut opened: BTreeMap<usize, Option<Lookup<'_>>> = BTreeMap::new();
    frames_within(error, |info| {
        let Some((index, offset)) = parts.of_frame(info) else {
            return or_nowhere(None, BETWEEN_COMPONENTS.to_owned());
        };
        let function = match (info.func_name(), info.module().name()) {
            // Each module counts its functions for itself.
            (None, Some(module)) => {
                format!("{} of {}", name_of(info), cut(module, LONGEST_NAME))
            }
            _ => name_of(info),
        };
        let lookup = opened.entry(index).or_insert_with(|| places.get(index)?.open(&mut purse));
        or_nowhere(
            lookup.as_ref().map(|lookup| lookup.at(offset, &function, MOST_FRAMES)),
            function,
        )
    })
}

/// One frame of the engine is several of the source where functions were inlined.
fn frames_within(error: &Error, frames_of: impl FnMut(&FrameInfo) -> Vec<Frame>) -> Vec<Frame> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    backtrace.frames().iter().flat_map(frames_of).take(MOST_FRAMES).collect()
}

fn name_of(info: &FrameInfo) -> String {
    let number = || format!("wasm function {}", info.func_index());
    info.func_name().map_or_else(number, plain)
}

/// What was found, or the function alone.
fn or_nowhere(found: Option<Vec<Frame>>, function: String) -> Vec<Frame> {
    match found {
        Some(frames) if !frames.is_empty() => frames,
        _ => vec![Frame { function, place: None, times: 1 }],
    }
}

/// What the guest's own stack pointer says at an access out of bounds.
///
/// Compilers like LLVM keep a stack of their own in linear memory. It grows down towards address zero,
/// and when it is used up the pointer wraps around, so the access that traps looks like any other one
/// out of bounds. The pointer itself tells them apart.
pub(super) fn stack_state(
    error: &Error,
    shape: &Shape,
    instance: Option<&Instance>,
    store: &mut Store<GuestState>,
) -> StackState {
    let pointer = match shape.stack {
        // Nothing is kept in linear memory that could run out.
        OwnStack::Absent => return StackState::Sound,
        OwnStack::Unknown => return StackState::Unseen,
        OwnStack::Known(pointer) => pointer,
    };
    if shape.moved.is_some() {
        let global = instance.and_then(|instance| instance.get_global(&mut *store, STACK_POINTER));
        return state_of(pointer, global.as_ref(), store);
    }
    let Some(dump) = error.downcast_ref::<WasmCoreDump>() else { return StackState::Unseen };
    state_of(pointer, dump.globals().get(pointer.index), store)
}

/// The exception that left the guest, which the engine keeps for whoever asks. How its kind is called is known
/// if the module exports it; of a component, that is not asked.
pub(super) fn thrown(instance: Option<&Instance>, store: &mut Store<GuestState>) -> Option<Thrown> {
    let exception = store.take_pending_exception()?;
    let tag = exception.tag(&mut *store).ok()?;
    let named = instance.and_then(|instance| {
        let all: Vec<_> = instance.exports(&mut *store).collect();
        let all = all.into_iter().map(|export| (export.name().to_owned(), export.into_extern()));
        let mut tags =
            all.filter_map(|(name, export)| Some((name, export.into_tag()?))).collect::<Vec<_>>();
        tags.retain(|(_, exported)| Tag::eq(exported, &tag, &*store));
        tags.into_iter().next().map(|(name, _)| cut(&name, LONGEST_NAME).into_owned())
    });
    let fields: Vec<Val> = exception.fields(&mut *store).ok()?.take(MOST_VALUES).collect();
    Some(Thrown { tag: named, values: fields.iter().map(text).collect() })
}

fn text(value: &Val) -> String {
    match value {
        Val::I32(value) => format!("i32:{value}"),
        Val::I64(value) => format!("i64:{value}"),
        Val::F32(bits) => format!("f32:{}", f32::from_bits(*bits)),
        Val::F64(bits) => format!("f64:{}", f64::from_bits(*bits)),
        Val::V128(value) => format!("v128:{:#x}", value.as_u128()),
        Val::FuncRef(_) => "funcref".to_owned(),
        Val::ExternRef(_) => "externref".to_owned(),
        Val::AnyRef(_) => "anyref".to_owned(),
        Val::ExnRef(_) => "exnref".to_owned(),
        Val::ContRef(_) => "contref".to_owned(),
    }
}

/// The same for a component: what the stack pointer of the module says that was running.
pub(super) fn component_stack_state(
    error: &Error,
    parts: &Parts,
    store: &mut Store<GuestState>,
) -> StackState {
    let innermost = || {
        let frame = error.downcast_ref::<WasmBacktrace>()?.frames().first()?;
        parts.of_frame(frame)
    };
    // The engine's own code between two components runs on nobody's stack.
    let Some((module, _)) = innermost() else { return StackState::Unseen };
    let pointer = match parts.modules[module].shape.stack {
        OwnStack::Absent => return StackState::Sound,
        OwnStack::Unknown => return StackState::Unseen,
        OwnStack::Known(pointer) => pointer,
    };
    let Some(dump) = error.downcast_ref::<WasmCoreDump>() else { return StackState::Unseen };
    // The engine lists the globals of all instances in one row. While they are still being made, it is a
    // shorter one; if it is longer than it can be, nobody knows whose is whose.
    match parts.globals_of(module) {
        Some((begin, all)) if dump.globals().len() <= all => {
            state_of(pointer, dump.globals().get(begin + pointer.index), store)
        }
        _ => StackState::Unseen,
    }
}

fn state_of(
    pointer: StackPointer,
    global: Option<&Global>,
    store: &mut Store<GuestState>,
) -> StackState {
    let value = match global.map(|global| global.get(store)) {
        Some(Val::I32(value)) => u64::from(value.cast_unsigned()),
        Some(Val::I64(value)) => value.cast_unsigned(),
        _ => return StackState::Unseen,
    };
    if value < RED_ZONE || value > pointer.top { StackState::Overrun } else { StackState::Sound }
}
