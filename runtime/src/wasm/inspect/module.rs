//! Reads the facts of a core module, as far as it can be read.

use std::collections::HashMap;

use wasmparser::{
    CompositeInnerType, CustomSectionReader, DataKind, ElementItems, Export, ExternalKind,
    FuncType, FunctionBody, GlobalType, KnownCustom, MemoryType, Operator, Payload, TableType,
    TypeRef,
};

use crate::inspection::{
    FunctionFacts, Import, ImportGroup, Item, MemoryFacts, ModuleFacts, Role, StackFacts,
    TableFacts,
};

use super::custom;
use super::features::Features;
use crate::wasm::entrance::cut;
use crate::wasm::own_stack::OwnStack;
use crate::wasm::shape::Shape;

/// How much of a type is shown: each import and each export of it shows it again.
const LONGEST_TYPE: usize = 200;

const PAGE_LOG2: u32 = 16;

/// The most segments of data that a linker writes. A tool that starts a program ahead of time and keeps its
/// memory writes thousands.
const MOST_DATA: usize = 64;

/// What was read so far. Vectors are index spaces: what is imported stands before what is defined.
#[derive(Default)]
pub(super) struct Reader {
    facts: ModuleFacts,
    types: Vec<String>,
    functions: Vec<u32>,
    globals: Vec<String>,
    tags: Vec<u32>,
    features: Features,
    /// Where the group of imports from a module is.
    groups: HashMap<String, usize>,
    bodies: u32,
    /// Where the segments of data end that stand at a known place of the first memory.
    data_ends: Vec<u64>,
    names: custom::Names,
}

impl Reader {
    /// Takes one part of the module.
    pub(super) fn take(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(groups) => {
                for group in groups {
                    for ty in group?.types() {
                        self.take_type(&ty.composite_type.inner);
                    }
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    let item = self.import(import.name, import.ty);
                    self.add_import(import.module, item);
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    self.functions.push(ty?);
                    self.facts.functions += 1;
                }
            }
            Payload::StartSection { .. } => self.facts.has_start = true,
            Payload::CodeSectionStart { size, .. } => self.facts.code_bytes = u64::from(size),
            Payload::CodeSectionEntry(body) => self.take_body(&body),
            Payload::CustomSection(section) => self.take_custom(&section),
            payload => self.take_definitions(payload)?,
        }
        Ok(())
    }

    /// What a module holds besides functions.
    fn take_definitions(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TableSection(tables) => {
                for table in tables {
                    self.take_table(&table?.ty, false);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    self.take_memory(&memory?, false);
                }
            }
            Payload::TagSection(tags) => {
                self.features.meet("exceptions");
                for tag in tags {
                    self.tags.push(tag?.func_type_idx);
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let global = global?;
                    self.features.take_constant(&global.init_expr);
                    self.globals.push(global_type(global.ty));
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    self.take_export(&export?);
                }
            }
            Payload::ElementSection(segments) => {
                for segment in segments {
                    if let ElementItems::Expressions(..) = segment?.items {
                        self.features.meet("reference_types");
                    }
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    let segment = segment?;
                    self.take_data(&segment.kind, segment.data.len() as u64);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_custom(&mut self, section: &CustomSectionReader<'_>) {
        custom::list(&mut self.facts.custom_sections, section.name(), section.data());
        self.facts.has_debug_info |= section.name().starts_with(".debug_");
        if section.name() == custom::TARGET_FEATURES {
            self.facts.target_features = custom::target_features(section.data());
        }
        match section.as_known() {
            KnownCustom::Name(names) => self.names.take(names),
            KnownCustom::Producers(fields) => self.facts.producers = custom::producers(fields),
            _ => {}
        }
    }

    fn take_type(&mut self, ty: &CompositeInnerType) {
        let text = match ty {
            CompositeInnerType::Func(ty) => {
                self.features.take_function_type(ty);
                cut(&function_type(ty), LONGEST_TYPE).into_owned()
            }
            CompositeInnerType::Array(_) => self.beyond("gc", "array"),
            CompositeInnerType::Struct(_) => self.beyond("gc", "struct"),
            CompositeInnerType::Cont(_) => self.beyond("stack_switching", "continuation"),
        };
        self.types.push(text);
    }

    fn beyond(&mut self, feature: &'static str, text: &str) -> String {
        self.features.meet(feature);
        text.to_owned()
    }

    fn import(&mut self, name: &str, ty: TypeRef) -> Item {
        let (kind, ty) = match ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                self.functions.push(index);
                ("func", self.type_text(index))
            }
            TypeRef::Table(table) => {
                self.take_table(&table, true);
                ("table", table_type(&table))
            }
            TypeRef::Memory(memory) => {
                self.take_memory(&memory, true);
                ("memory", memory_type(&memory))
            }
            TypeRef::Global(global) => {
                if global.mutable {
                    self.features.meet("mutable_global");
                }
                self.globals.push(global_type(global));
                ("global", global_type(global))
            }
            TypeRef::Tag(tag) => {
                self.features.meet("exceptions");
                self.tags.push(tag.func_type_idx);
                ("tag", self.type_text(tag.func_type_idx))
            }
        };
        Item { name: name.to_owned(), kind, ty }
    }

    fn add_import(&mut self, module: &str, item: Item) {
        let import = Import { item, offered: false };
        let groups = &mut self.facts.imports;
        // A module can import from as many as it has imports, so they are not searched one by one.
        let at = *self.groups.entry(module.to_owned()).or_insert_with(|| {
            groups.push(ImportGroup { module: module.to_owned(), items: Vec::new() });
            groups.len() - 1
        });
        groups[at].items.push(import);
    }

    fn take_table(&mut self, table: &TableType, is_imported: bool) {
        self.features.take_table(table);
        if self.facts.tables.len() == 1 {
            self.features.meet("reference_types");
        }
        let element = table.element_type.to_string();
        let (minimum, maximum) = (table.initial, table.maximum);
        self.facts.tables.push(TableFacts { element, minimum, maximum, is_imported });
    }

    fn take_memory(&mut self, memory: &MemoryType, is_imported: bool) {
        self.features.take_memory(memory);
        let page = 1_u64 << memory.page_size_log2.unwrap_or(PAGE_LOG2);
        self.facts.memories.push(MemoryFacts {
            minimum_bytes: memory.initial.saturating_mul(page),
            maximum_bytes: memory.maximum.map(|pages| pages.saturating_mul(page)),
            is_64_bit: memory.memory64,
            is_shared: memory.shared,
            is_imported,
        });
    }

    fn take_export(&mut self, export: &Export<'_>) {
        let index = export.index as usize;
        let (kind, ty) = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                let ty = self.functions.get(index).map(|ty| self.type_text(*ty));
                ("func", ty)
            }
            ExternalKind::Table => {
                let table = self.facts.tables.get(index);
                ("table", table.map(|table| table.element.clone()))
            }
            ExternalKind::Memory => {
                let memory = self.facts.memories.get(index);
                ("memory", memory.map(|memory| format!("{} bytes", memory.minimum_bytes)))
            }
            ExternalKind::Global => ("global", self.globals.get(index).cloned()),
            ExternalKind::Tag => ("tag", self.tags.get(index).map(|ty| self.type_text(*ty))),
        };
        let (name, ty) = (export.name.to_owned(), ty.unwrap_or_default());
        self.facts.exports.push(Item { name, kind, ty });
    }

    fn take_data(&mut self, kind: &DataKind<'_>, length: u64) {
        self.facts.data_segments += 1;
        self.facts.data_bytes = self.facts.data_bytes.saturating_add(length);
        match kind {
            DataKind::Passive => self.features.meet("bulk_memory"),
            DataKind::Active { memory_index, offset_expr } => {
                self.features.take_constant(offset_expr);
                if let (0, Ok(Operator::I32Const { value })) =
                    (*memory_index, offset_expr.get_operators_reader().read())
                {
                    self.data_ends.push(u64::from(value.cast_unsigned()).saturating_add(length));
                }
            }
        }
    }

    fn take_body(&mut self, body: &FunctionBody<'_>) {
        self.features.take_body(body);
        let imported = self.functions.len() as u64 - self.facts.functions;
        let index = u32::try_from(imported).unwrap_or(u32::MAX).saturating_add(self.bodies);
        self.bodies += 1;
        let bytes = body.as_bytes().len() as u64;
        let largest = self.facts.largest_function.as_ref();
        if largest.is_none_or(|largest| largest.bytes < bytes) {
            self.facts.largest_function = Some(FunctionFacts { index, name: None, bytes });
        }
    }

    fn type_text(&self, index: u32) -> String {
        self.types.get(index as usize).cloned().unwrap_or_default()
    }

    /// The facts, with what can be said only at the end.
    pub(super) fn finish(mut self, shape: Option<&Shape>) -> ModuleFacts {
        self.facts.role = role(&self.facts);
        self.facts.uses = self.features.names();
        self.facts.has_names = self.names.are_there();
        if let Some(largest) = &mut self.facts.largest_function {
            largest.name = self.names.of_function(largest.index);
        }
        if let Some(shape) = shape {
            self.facts.least_memory_bytes = shape.least_memory;
            self.facts.stack = self.stack(shape);
        }
        self.facts
    }

    fn stack(&self, shape: &Shape) -> Option<StackFacts> {
        let OwnStack::Known(pointer) = shape.stack else { return None };
        let top = pointer.top;
        let below = self.data_ends.iter().copied().filter(|end| *end <= top).max();
        let is_picture = self.data_ends.len() > MOST_DATA;
        let most_bytes = (!is_picture).then(|| top - below.unwrap_or(0));
        Some(StackFacts { top, most_bytes })
    }
}

fn role(facts: &ModuleFacts) -> Role {
    let exports = |name: &str| {
        facts
            .exports
            .iter()
            .any(|item| item.name == name && item.kind == "func" && item.ty == "() -> ()")
    };
    if exports("_start") {
        Role::Command
    } else if exports("_initialize") {
        Role::Reactor
    } else {
        Role::Plain
    }
}

fn function_type(ty: &FuncType) -> String {
    let list = |types: &[wasmparser::ValType]| {
        types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    signature(&list(ty.params()), &list(ty.results()))
}

/// A function's type as people read it.
pub(super) fn signature(params: &str, results: &str) -> String {
    format!("({params}) -> ({results})")
}

fn global_type(ty: GlobalType) -> String {
    let content = ty.content_type;
    if ty.mutable { format!("mut {content}") } else { content.to_string() }
}

fn memory_type(ty: &MemoryType) -> String {
    let shared = if ty.shared { ", shared" } else { "" };
    match ty.maximum {
        Some(most) => format!("{} to {most} pages{shared}", ty.initial),
        None => format!("{} pages or more{shared}", ty.initial),
    }
}

fn table_type(ty: &TableType) -> String {
    match ty.maximum {
        Some(most) => format!("{}, {} to {most}", ty.element_type, ty.initial),
        None => format!("{}, {} or more", ty.element_type, ty.initial),
    }
}
