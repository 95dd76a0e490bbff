//! What a module says about itself before it runs, as far as the engine does not tell.

use sandtrap_protocol::IMPORT_MODULE;
use serde::{Deserialize, Serialize};
use wasmparser::{MemoryType, Parser, Payload, RefType, TableType, TypeRef};

use super::features;
use super::meter::Element;
use super::own_stack::{Clues, OwnStack};

const PAGE_LOG2: u32 = 16;

/// The import by which a module gets its calls.
const HEARING: (&str, &str) = (IMPORT_MODULE, "receive");

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
    /// Elements of all its tables at the start.
    elements: u64,
    /// Elements that its largest table may ever have.
    pub(super) most_elements: u64,
    /// Whether a memory of it has addresses of 64 bits, or pages of another size than usual.
    pub(super) is_unusual: bool,
    /// What an element of its tables is counted as.
    pub(super) element: Element,
    /// Whether it may need the engine's heap: for objects, references of the host, exceptions.
    pub(super) needs_heap: bool,
    /// Whether one of its memories is to be shared between threads.
    pub(super) shares_memory: bool,
    /// Whether something runs by itself when it is instantiated.
    pub(super) has_start: bool,
    /// Whether it keeps a stack of its own in linear memory.
    pub(super) stack: OwnStack,
    /// By how many bytes its code was moved, if it was compiled with its stack pointer exported.
    pub(super) moved: Option<usize>,
    /// Whether it imports what it would hear calls with values by.
    #[serde(default)]
    pub(super) hears_calls: bool,
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
        let bytes = shape.elements.saturating_mul(shape.element.bytes());
        shape.least_memory = shape.least_memory.saturating_add(bytes);
        shape.needs_heap = features::needs_heap(module);
        Ok(shape)
    }

    fn take(&mut self, payload: Payload<'_>, clues: &mut Clues) -> wasmparser::Result<()> {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    self.hears_calls |= (import.module, import.name) == HEARING;
                    match import.ty {
                        TypeRef::Global(ty) => clues.take_import(ty),
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.functions += 1,
                        TypeRef::Memory(memory) => clues.take_memory(&memory, None),
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(functions) => self.functions += u64::from(functions.count()),
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    clues.take_memory(&memory, Some(self.take_memory(&memory)));
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    self.take_table(&table?.ty);
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    clues.take_global(&global?);
                    self.globals += 1;
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    clues.take_export(&export?);
                }
            }
            Payload::StartSection { .. } => self.has_start = true,
            Payload::CustomSection(section) => clues.take_decoration(section.as_known()),
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
        if table.element_type != RefType::FUNCREF {
            self.element = Element::Reference;
        }
        self.elements = self.elements.saturating_add(table.initial);
    }
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
        assert_eq!(shape.least_memory, 3 * 65_536 + 16 * Element::Function.bytes());
    }

    #[test]
    fn elements_that_the_collector_looks_at_count_for_more() {
        let shape = shape("(module (table 10 funcref) (table 6 externref))");
        assert_eq!(shape.least_memory, 16 * Element::Reference.bytes());
    }

    #[test]
    fn who_may_need_the_heap_is_known_before_it_runs() {
        for (needs_heap, body) in [
            (false, "(table 1 funcref) (func (param f64) (drop (ref.null func)))"),
            (true, "(table 1 externref)"),
            (true, "(func (param externref))"),
            (true, "(type (struct)) (func (drop (struct.new 0)))"),
            (true, "(table 1 i31ref)"),
            (true, "(global anyref (ref.null any))"),
            (true, "(tag) (func (throw 0))"),
            (true, "(func (block (try_table (catch_all 0))))"),
        ] {
            assert_eq!(shape(&format!("(module {body})")).needs_heap, needs_heap, "{body}");
        }
    }
}
