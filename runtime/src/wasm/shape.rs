//! What a module says about itself before it runs, as far as the engine does not tell.

use serde::{Deserialize, Serialize};
use wasmparser::{
    ConstExpr, ExternalKind, GlobalType, KnownCustom, MemoryType, Name, Operator, Parser, Payload,
    ProducersSectionReader, TableType, TypeRef, ValType,
};

use super::meter::ELEMENT_BYTES;

/// The name that LLVM gives to the pointer into the stack that it keeps in linear memory.
const STACK_POINTER: &str = "__stack_pointer";

/// What compilers with LLVM behind them call themselves in the section about a module's producers.
const LLVM_TOOLS: [&str; 4] = ["rustc", "clang", "llvm", "lld"];

const PAGE_LOG2: u32 = 16;

/// Facts of one module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Bytes of all memories and tables together at the start.
    pub(super) least_memory: u64,
    /// How many memories it defines.
    pub(super) memories: usize,
    /// How many tables it defines.
    pub(super) tables: usize,
    /// How many globals it defines.
    pub(super) globals: usize,
    /// How many functions it imports and defines.
    pub(super) functions: u64,
    /// Elements that its largest table may ever have.
    pub(super) most_elements: u64,
    /// Whether a memory of it has addresses of 64 bits, or pages of another size than usual.
    pub(super) is_unusual: bool,
    /// Whether one of its memories is to be shared between threads.
    pub(super) shares_memory: bool,
    /// Whether something runs by itself when it is instantiated.
    pub(super) has_start: bool,
    /// Whether it keeps a stack of its own in linear memory.
    pub(super) stack: OwnStack,
    /// By how many bytes its code was moved, if it was compiled with its stack pointer exported.
    pub(super) moved: Option<usize>,
}

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
struct Clues {
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

impl Shape {
    /// Reads a module that the engine has found to be valid.
    pub(super) fn of(module: &[u8]) -> wasmparser::Result<Self> {
        let mut shape = Self::default();
        let mut clues = Clues::default();
        for payload in Parser::new(0).parse_all(module) {
            shape.take(payload?, &mut clues)?;
        }
        shape.stack = clues.stack();
        Ok(shape)
    }

    fn take(&mut self, payload: Payload<'_>, clues: &mut Clues) -> wasmparser::Result<()> {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    match import?.ty {
                        TypeRef::Global(ty) => {
                            clues.imported += 1;
                            clues.imported_mutable.extend(ty.mutable.then_some(ty.content_type));
                        }
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.functions += 1,
                        TypeRef::Memory(memory) => clues.is_wide = memory.memory64,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(functions) => self.functions += u64::from(functions.count()),
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    let bytes = self.take_memory(&memory);
                    clues.is_wide = memory.memory64;
                    clues.memory.get_or_insert(bytes);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.take_table(&table?.ty);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    clues.defined.push(clues.candidate(global.ty, &global.init_expr));
                    self.globals += 1;
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    if export.kind == ExternalKind::Global && export.name == STACK_POINTER {
                        clues.named = Some(export.index);
                    }
                }
            }
            Payload::StartSection { .. } => self.has_start = true,
            // These are decoration: a section that can't be read says nothing.
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::Name(names) => {
                    clues.named = clues.named.or_else(|| named_global(names));
                }
                KnownCustom::Producers(producers) => clues.is_llvm |= names_llvm(producers),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// Takes one memory, and says how large it is at the start.
    fn take_memory(&mut self, memory: &MemoryType) -> u64 {
        let page_log2 = memory.page_size_log2.unwrap_or(PAGE_LOG2);
        // Modules within a component are read before they are found to be valid.
        let page = 1_u64.checked_shl(page_log2).unwrap_or(u64::MAX);
        let bytes = memory.initial.saturating_mul(page);
        self.memories += 1;
        self.is_unusual |= memory.memory64 || memory.page_size_log2.is_some();
        self.least_memory = self.least_memory.saturating_add(bytes);
        self.shares_memory |= memory.shared;
        bytes
    }

    fn take_table(&mut self, table: &TableType) {
        self.tables += 1;
        self.most_elements = self.most_elements.max(table.maximum.unwrap_or(u64::MAX));
        let bytes = table.initial.saturating_mul(ELEMENT_BYTES);
        self.least_memory = self.least_memory.saturating_add(bytes);
    }
}

impl Clues {
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

    fn stack(&self) -> OwnStack {
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

    fn shape(text: &str) -> Shape {
        Shape::of(&wat::parse_str(text).unwrap()).unwrap()
    }

    #[test]
    fn memories_and_tables_are_summed() {
        let shape = shape("(module (memory 1) (memory 2) (table 10 funcref) (table 6 funcref))");
        assert_eq!(shape.least_memory, 3 * 65_536 + 16 * ELEMENT_BYTES);
    }

    const POINTER: &str = "(memory 1) (global (mut i32) (i32.const 1024))";
    const RUST: &str = "(@producers (language \"Rust\" \"\") (processed-by \"rustc\" \"1.90.0\"))";

    #[track_caller]
    fn assert_stack(body: &str, expected: OwnStack) {
        assert_eq!(shape(&format!("(module {body})")).stack, expected, "{body}");
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
