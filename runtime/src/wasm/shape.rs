//! What a module says about itself before it runs, as far as the engine does not tell.

use wasmparser::{
    ConstExpr, ExternalKind, KnownCustom, MemoryType, Name, Operator, Parser, Payload, TableType,
    TypeRef, ValType,
};

use super::meter::ELEMENT_BYTES;

/// The name that LLVM gives to the pointer into the stack that it keeps in linear memory.
const STACK_POINTER: &str = "__stack_pointer";

const PAGE_LOG2: u32 = 16;

/// Facts of one module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes of all memories and tables together at the start.
    pub(super) least_memory: u64,
    /// Whether one of its memories is to be shared between threads.
    pub(super) shares_memory: bool,
    /// Whether something runs by itself when it is instantiated.
    pub(super) has_start: bool,
    /// The pointer into its own stack, where it keeps one.
    pub(super) stack_pointer: Option<StackPointer>,
}

/// The global that holds a module's own stack pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StackPointer {
    /// Which of the globals that the module defines.
    pub(super) index: usize,
    /// Where the stack begins. It grows downwards.
    pub(super) top: u32,
}

/// The globals of a module, while it is read.
#[derive(Default)]
struct Globals {
    imported: u32,
    /// For each: its initial value, if it is a mutable i32 with a constant one.
    defined: Vec<Option<u32>>,
    /// The index of the one that is called after the stack pointer.
    named: Option<u32>,
}

impl Shape {
    /// Reads a module that the engine has found to be valid.
    pub(super) fn of(module: &[u8]) -> wasmparser::Result<Self> {
        let mut shape = Self::default();
        let mut globals = Globals::default();
        for payload in Parser::new(0).parse_all(module) {
            shape.take(payload?, &mut globals)?;
        }
        shape.stack_pointer = globals.stack_pointer();
        Ok(shape)
    }

    fn take(&mut self, payload: Payload<'_>, globals: &mut Globals) -> wasmparser::Result<()> {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    globals.imported += u32::from(matches!(import?.ty, TypeRef::Global(_)));
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    self.take_memory(&memory?);
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
                    let fits = global.ty.mutable && global.ty.content_type == ValType::I32;
                    globals.defined.push(if fits { constant(&global.init_expr) } else { None });
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    if export.kind == ExternalKind::Global && export.name == STACK_POINTER {
                        globals.named = Some(export.index);
                    }
                }
            }
            Payload::StartSection { .. } => self.has_start = true,
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(names) = section.as_known() {
                    // Names are decoration: a section that can't be read names nothing.
                    globals.named = globals.named.or_else(|| named_global(names));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_memory(&mut self, memory: &MemoryType) {
        let page = 1_u64 << memory.page_size_log2.unwrap_or(PAGE_LOG2);
        let bytes = memory.initial.saturating_mul(page);
        self.least_memory = self.least_memory.saturating_add(bytes);
        self.shares_memory |= memory.shared;
    }

    fn take_table(&mut self, table: &TableType) {
        let bytes = table.initial.saturating_mul(ELEMENT_BYTES);
        self.least_memory = self.least_memory.saturating_add(bytes);
    }
}

impl Globals {
    /// The named one; without any name the first, which is where LLVM puts it.
    fn stack_pointer(&self) -> Option<StackPointer> {
        let index = match self.named {
            Some(named) => usize::try_from(named.checked_sub(self.imported)?).ok()?,
            None if self.imported == 0 => 0,
            None => return None,
        };
        let top = self.defined.get(index).copied().flatten()?;
        // A stack has room. What is no positive number is something else.
        (top.cast_signed() > 0).then_some(StackPointer { index, top })
    }
}

fn constant(init: &ConstExpr<'_>) -> Option<u32> {
    match init.get_operators_reader().read() {
        Ok(Operator::I32Const { value }) => Some(value.cast_unsigned()),
        _ => None,
    }
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

    #[test]
    fn the_stack_pointer_is_found_by_name_and_else_is_the_first_global() {
        let pointer = |index, top| Some(StackPointer { index, top });
        for (text, expected) in [
            ("(module (global $__stack_pointer (mut i32) (i32.const 64)))", pointer(0, 64)),
            (
                "(module (global i32 (i32.const 1)) (global $__stack_pointer (mut i32) (i32.const 8)))",
                pointer(1, 8),
            ),
            (
                "(module (global (mut i32) (i32.const 1))
                   (global (export \"__stack_pointer\") (mut i32) (i32.const 8)))",
                pointer(1, 8),
            ),
            ("(module (global (mut i32) (i32.const 1024)))", pointer(0, 1024)),
            ("(module (global (mut i32) (i32.const 0)))", None),
            ("(module (global i32 (i32.const 1024)))", None),
            ("(module (global (mut i64) (i64.const 1024)))", None),
            ("(module)", None),
        ] {
            assert_eq!(shape(text).stack_pointer, expected, "{text}");
        }
    }
}
