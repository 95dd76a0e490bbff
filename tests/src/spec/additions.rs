//! What is put into a module besides its own: functions with their types, and exports.

use wasm_encoder::{Encode as _, ExportKind, ExportSection, Function, HeapType, Instruction};
use wasmparser::ValType;

/// What is added to a module.
pub(super) struct Additions {
    pub(super) types: Vec<u8>,
    pub(super) functions: Vec<u8>,
    pub(super) exports: Vec<u8>,
    pub(super) bodies: Vec<Function>,
    pub(super) count: usize,
    pub(super) names: usize,
    first_type: u32,
    first_function: u32,
}

impl Additions {
    pub(super) fn new(first_type: u32, first_function: u32) -> Self {
        Self {
            types: Vec::new(),
            functions: Vec::new(),
            exports: Vec::new(),
            bodies: Vec::new(),
            count: 0,
            names: 0,
            first_type,
            first_function,
        }
    }

    /// Adds a function of its own type: what `body` leaves on the stack is returned as integers.
    pub(super) fn add_function(
        &mut self,
        name: &str,
        results: &[ValType],
        body: impl FnOnce(&mut Function),
    ) -> u32 {
        let returned: Vec<u8> = match name {
            "" => Vec::new(),
            _ => results.iter().flat_map(|ty| flat(*ty)).collect(),
        };
        self.types.extend([0x60, 0]);
        returned.len().encode(&mut self.types);
        self.types.extend(&returned);
        (self.first_type + self.count as u32).encode(&mut self.functions);
        let index = self.first_function + self.count as u32;
        self.count += 1;
        // Results wait in locals until all of them have been taken from the stack.
        let kept = if name.is_empty() { &[][..] } else { results };
        let mut function = Function::new(kept.iter().map(|ty| (1, encoded(*ty))));
        body(&mut function);
        for local in (0..kept.len()).rev() {
            function.instruction(&Instruction::LocalSet(local as u32));
        }
        for (local, ty) in kept.iter().enumerate() {
            flatten(local as u32, *ty, &mut function);
        }
        function.instruction(&Instruction::End);
        self.bodies.push(function);
        if !name.is_empty() {
            self.names += 1;
            let mut exports = ExportSection::new();
            exports.export(name, ExportKind::Func, index);
            let mut section = Vec::new();
            exports.encode(&mut section);
            // Behind the size and the count of one, both of one byte: no name here is long.
            self.exports.extend(&section[2..]);
        }
        index
    }
}

/// A section's content with entries before and behind its own.
pub(super) fn splice(old: Option<&[u8]>, before: (usize, &[u8]), after: (usize, &[u8])) -> Vec<u8> {
    let (count, entries) = match old {
        Some(old) => {
            let mut reader = wasmparser::BinaryReader::new(old, 0);
            let count = reader.read_var_u32().unwrap_or(0);
            (count as usize, &old[reader.current_position()..])
        }
        None => (0, &[][..]),
    };
    let mut section = Vec::new();
    (before.0 + count + after.0).encode(&mut section);
    section.extend(before.1);
    section.extend(entries);
    section.extend(after.1);
    section
}

/// The integers that a value comes back as, by the bytes of their types.
fn flat(ty: ValType) -> Vec<u8> {
    match ty {
        ValType::I32 | ValType::F32 | ValType::Ref(_) => vec![0x7f],
        ValType::I64 | ValType::F64 => vec![0x7e],
        ValType::V128 => vec![0x7e, 0x7e],
    }
}

pub(super) fn number_type(ty: ValType) -> u8 {
    match ty {
        ValType::I32 => 0x7f,
        ValType::I64 => 0x7e,
        ValType::F32 => 0x7d,
        ValType::F64 => 0x7c,
        ValType::V128 => 0x7b,
        ValType::Ref(_) => 0x70,
    }
}

fn encoded(ty: ValType) -> wasm_encoder::ValType {
    match ty {
        ValType::I32 => wasm_encoder::ValType::I32,
        ValType::I64 => wasm_encoder::ValType::I64,
        ValType::F32 => wasm_encoder::ValType::F32,
        ValType::F64 => wasm_encoder::ValType::F64,
        ValType::V128 => wasm_encoder::ValType::V128,
        // A local begins as null.
        ValType::Ref(ty) => wasm_encoder::ValType::Ref(wasm_encoder::RefType {
            nullable: true,
            heap_type: heap_type(ty.heap_type()),
        }),
    }
}

fn heap_type(ty: wasmparser::HeapType) -> HeapType {
    use wasm_encoder::AbstractHeapType as Named;
    use wasmparser::AbstractHeapType as Known;
    match ty {
        wasmparser::HeapType::Abstract { shared, ty } => {
            let ty = match ty {
                Known::Func => Named::Func,
                Known::Extern => Named::Extern,
                Known::Any => Named::Any,
                Known::None => Named::None,
                Known::NoExtern => Named::NoExtern,
                Known::NoFunc => Named::NoFunc,
                Known::Eq => Named::Eq,
                Known::Struct => Named::Struct,
                Known::Array => Named::Array,
                Known::I31 => Named::I31,
                Known::Exn => Named::Exn,
                Known::NoExn => Named::NoExn,
                Known::Cont => Named::Cont,
                Known::NoCont => Named::NoCont,
            };
            HeapType::Abstract { shared, ty }
        }
        wasmparser::HeapType::Concrete(index) | wasmparser::HeapType::Exact(index) => {
            HeapType::Concrete(index.as_module_index().expect("a module counts its own types"))
        }
    }
}

fn flatten(local: u32, ty: ValType, function: &mut Function) {
    function.instruction(&Instruction::LocalGet(local));
    match ty {
        ValType::I32 | ValType::I64 => {}
        ValType::F32 => {
            function.instruction(&Instruction::I32ReinterpretF32);
        }
        ValType::F64 => {
            function.instruction(&Instruction::I64ReinterpretF64);
        }
        ValType::V128 => {
            function.instruction(&Instruction::I64x2ExtractLane(0));
            function.instruction(&Instruction::LocalGet(local));
            function.instruction(&Instruction::I64x2ExtractLane(1));
        }
        ValType::Ref(_) => {
            function.instruction(&Instruction::RefIsNull);
        }
    }
}
