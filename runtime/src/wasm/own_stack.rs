//! Where a module keeps a stack of its own in linear memory, as compilers like LLVM do, and what points to it.

use serde::{Deserialize, Serialize};
use wasmparser::{
    ConstExpr, Export, ExternalKind, Global, GlobalType, KnownCustom, MemoryType, Name, Operator,
    ProducersSectionReader, ValType,
};

/// The name that LLVM gives to the pointer into the stack that it keeps in linear memory.
const STACK_POINTER: &str = "__stack_pointer";

/// What compilers with LLVM behind them call themselves in the section about a module's producers.
const LLVM_TOOLS: [&str; 4] = ["rustc", "clang", "llvm", "lld"];

/// What is known of a stack in linear memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum OwnStack {
    /// There is nothing that could point to one.
    #[default]
    Absent,
    /// There may be one, and nothing says which global points to it.
    Unknown,
    /// There is one, and this points to it.
    Known(StackPointer),
}

/// The global that holds a module's own stack pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StackPointer {
    /// Which of the globals that the module defines.
    pub(super) index: usize,
    /// Which of all its globals.
    pub(super) global: u32,
    /// Where the stack begins. It grows downwards.
    pub(super) top: u64,
}

/// What leads to the stack pointer of a module, while it is read.
#[derive(Default)]
pub(super) struct Clues {
    imported: u32,
    /// For each global that is defined: what it is as a pointer.
    defined: Vec<Candidate>,
    /// The types of those that are imported and mutable, which includes the pointer if it is one of them.
    imported_mutable: Vec<ValType>,
    /// Whether addresses have 64 bits.
    is_wide: bool,
    /// The index of the one that is called after the stack pointer.
    named: Option<u32>,
    /// Whether an LLVM compiler made the module.
    is_llvm: bool,
    /// Bytes of the first memory at the start.
    memory: Option<u64>,
}

/// One global, as a pointer.
#[derive(Clone, Copy)]
enum Candidate {
    /// Of another type, or constant.
    No,
    /// A mutable integer that begins with something to be computed.
    Computed,
    /// A mutable integer that begins with this.
    From(i64),
}

impl Clues {
    pub(super) fn take_import(&mut self, global: GlobalType) {
        self.imported += 1;
        self.imported_mutable.extend(global.mutable.then_some(global.content_type));
    }

    /// Takes a memory; if it is one of the module's own, with its bytes at the start.
    pub(super) fn take_memory(&mut self, memory: &MemoryType, bytes: Option<u64>) {
        self.is_wide = memory.memory64;
        self.memory = self.memory.or(bytes);
    }

    pub(super) fn take_global(&mut self, global: &Global<'_>) {
        self.defined.push(self.candidate(global.ty, &global.init_expr));
    }

    pub(super) fn take_export(&mut self, export: &Export<'_>) {
        if export.kind == ExternalKind::Global && export.name == STACK_POINTER {
            self.named = Some(export.index);
        }
    }

    /// These sections are decoration: one that can't be read says nothing.
    pub(super) fn take_decoration(&mut self, section: KnownCustom<'_>) {
        match section {
            KnownCustom::Name(names) => self.named = self.named.or_else(|| named_global(names)),
            KnownCustom::Producers(producers) => self.is_llvm |= names_llvm(producers),
            _ => {}
        }
    }

    fn type_of_pointers(&self) -> ValType {
        if self.is_wide { ValType::I64 } else { ValType::I32 }
    }

    fn candidate(&self, ty: GlobalType, init: &ConstExpr<'_>) -> Candidate {
        if !ty.mutable || ty.content_type != self.type_of_pointers() {
            return Candidate::No;
        }
        match init.get_operators_reader().read() {
            Ok(Operator::I32Const { value }) => Candidate::From(value.into()),
            Ok(Operator::I64Const { value }) => Candidate::From(value),
            _ => Candidate::Computed,
        }
    }

    /// What is known when all of the module was read.
    pub(super) fn stack(&self) -> OwnStack {
        if let Some(pointer) = self.pointer() {
            return OwnStack::Known(pointer);
        }
        let may_point = |candidate: &Candidate| !matches!(candidate, Candidate::No);
        let pointer = self.type_of_pointers();
        match self.imported_mutable.contains(&pointer) || self.defined.iter().any(may_point) {
            true => OwnStack::Unknown,
            false => OwnStack::Absent,
        }
    }

    /// The named one. Without any name the first that can be one, which is where LLVM puts it; in a
    /// module of anybody else's the first may be anything: a counter, the end of a heap.
    fn pointer(&self) -> Option<StackPointer> {
        if let Some(named) = self.named {
            let index = usize::try_from(named.checked_sub(self.imported)?).ok()?;
            return self.defined.get(index)?.pointer(index, named);
        }
        if !self.is_llvm || self.imported > 0 {
            return None;
        }
        let mut defined = self.defined.iter().enumerate();
        let pointer = defined
            .find(|(_, candidate)| !matches!(candidate, Candidate::No))
            .and_then(|(index, candidate)| candidate.pointer(index, u32::try_from(index).ok()?))?;
        let within = self.memory.is_some_and(|memory| pointer.top <= memory);
        within.then_some(pointer)
    }
}

impl Candidate {
    /// A stack has room. What begins with no positive number is something else.
    fn pointer(self, index: usize, global: u32) -> Option<StackPointer> {
        match self {
            Self::From(top) if top > 0 => {
                Some(StackPointer { index, global, top: top.cast_unsigned() })
            }
            _ => None,
        }
    }
}

fn names_llvm(producers: ProducersSectionReader<'_>) -> bool {
    producers.into_iter().flatten().any(|field| {
        let names = field.values.into_iter().flatten().map(|value| value.name);
        match field.name {
            // A vendor may stand before the name: `Ubuntu clang`.
            "processed-by" => names.into_iter().any(|name| {
                let name = name.to_ascii_lowercase();
                LLVM_TOOLS.iter().any(|tool| name.contains(tool))
            }),
            "language" => names.into_iter().any(is_llvm_language),
            _ => false,
        }
    })
}

/// Whether LLVM is what compiles a language to modules: Rust, and each edition of C and C++ (`C11`,
/// `C_plus_plus_14`).
fn is_llvm_language(name: &str) -> bool {
    let edition = name.strip_prefix('C').map(str::as_bytes);
    name == "Rust"
        || edition.is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit))
        || name.starts_with("C_plus_plus")
}

fn named_global(names: wasmparser::NameSectionReader<'_>) -> Option<u32> {
    names.into_iter().flatten().find_map(|name| match name {
        Name::Global(globals) => globals
            .into_iter()
            .flatten()
            .find(|naming| naming.name == STACK_POINTER)
            .map(|naming| naming.index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::shape::Shape;

    const POINTER: &str = "(memory 1) (global (mut i32) (i32.const 1024))";
    const RUST: &str = "(@producers (language \"Rust\" \"\") (processed-by \"rustc\" \"1.90.0\"))";

    #[track_caller]
    fn assert_stack(body: &str, expected: OwnStack) {
        let module = wat::parse_str(format!("(module {body})")).unwrap();
        assert_eq!(Shape::of(&module).unwrap().stack, expected, "{body}");
    }

    fn known(index: usize, top: u64) -> OwnStack {
        OwnStack::Known(StackPointer { index, global: index as u32, top })
    }

    #[test]
    fn a_stack_pointer_is_found_by_its_name() {
        for (body, expected) in [
            ("(global $__stack_pointer (mut i32) (i32.const 64))", known(0, 64)),
            (
                "(global i32 (i32.const 1)) (global $__stack_pointer (mut i32) (i32.const 8))",
                known(1, 8),
            ),
            (
                "(global (mut i32) (i32.const 1))
                 (global (export \"__stack_pointer\") (mut i32) (i32.const 8))",
                known(1, 8),
            ),
            ("(global $__stack_pointer (mut i32) (i32.const 0))", OwnStack::Unknown),
        ] {
            assert_stack(body, expected);
        }
    }

    #[test]
    fn a_stack_pointer_is_as_wide_as_the_addresses() {
        let wide = "(memory i64 1) (global $__stack_pointer (mut i64) (i64.const 64))";
        assert_stack(wide, known(0, 64));
        assert_stack("(memory i64 1) (global (mut i64) (i64.const 64))", OwnStack::Unknown);
        assert_stack("(memory i64 1) (global (mut i32) (i32.const 64))", OwnStack::Absent);
        assert_stack("(memory 1) (global (mut i64) (i64.const 64))", OwnStack::Absent);
    }

    #[test]
    fn without_its_name_it_is_guessed_in_what_llvm_made_and_nowhere_else() {
        assert_stack(POINTER, OwnStack::Unknown);
        for producers in [
            RUST,
            "(@producers (processed-by \"Ubuntu clang\" \"18\"))",
            "(@producers (language \"C11\" \"\"))",
            "(@producers (language \"C_plus_plus_14\" \"\"))",
        ] {
            assert_stack(&format!("{POINTER} {producers}"), known(0, 1024));
        }
        for producers in [
            "(@producers (language \"Go\" \"\") (processed-by \"Go cmd/compile\" \"go1.25\"))",
            "(@producers (sdk \"rustc\" \"\"))",
            "(@custom \"producers\" \"\\02\\ff\")",
        ] {
            assert_stack(&format!("{POINTER} {producers}"), OwnStack::Unknown);
        }
    }

    #[test]
    fn what_is_guessed_points_into_the_memory() {
        for (body, expected) in [
            ("(memory 1) (global (mut i32) (i32.const 65536))", known(0, 65_536)),
            ("(memory 1) (global (mut i32) (i32.const 65537))", OwnStack::Unknown),
            ("(memory 1) (global (mut i32) (i32.const 0))", OwnStack::Unknown),
            ("(memory 1) (global (mut i32) (i32.const -16))", OwnStack::Unknown),
            ("(global (mut i32) (i32.const 1024))", OwnStack::Unknown),
            (
                "(memory 1) (global i32 (i32.const 1)) (global (mut i32) (i32.const 64))",
                known(1, 64),
            ),
        ] {
            assert_stack(&format!("{body} {RUST}"), expected);
        }
    }

    #[test]
    fn a_module_without_a_pointer_has_no_stack_of_its_own() {
        for body in ["", "(global i32 (i32.const 1024))", "(global (mut i64) (i64.const 1024))"] {
            assert_stack(body, OwnStack::Absent);
            assert_stack(&format!("{body} {RUST}"), OwnStack::Absent);
        }
    }
}
