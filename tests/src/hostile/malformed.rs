//! Bytes that are not quite a module.

use sandtrap::Label;
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, GlobalType, Instruction, MemorySection, MemoryType,
    Module, RefType, TableSection, TableType, TypeSection, ValType,
};

use super::{Row, SHORT, bytes, family};

const HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = heads();
    rows.extend(sections());
    rows.extend(texts());
    rows.extend(mutations());
    rows
}

fn module(sections: &[u8]) -> Vec<u8> {
    [&HEADER[..], sections].concat()
}

fn heads() -> Vec<Row> {
    use Label::UnstartedInvalidModule;
    let head = |name, content: &'static [u8]| {
        bytes(name, UnstartedInvalidModule, move || content.to_vec())
    };
    vec![
        head("nothing", b""),
        head("three_bytes_of_magic", b"\0as"),
        head("magic_only", b"\0asm"),
        head("a_head_only", b"\0asm\x01\0\0\0"),
        head("version_2", b"\0asm\x02\0\0\0"),
        head("version_4_billion", b"\0asm\xff\xff\xff\xff"),
        head("an_empty_component", b"\0asm\x0d\0\x01\0"),
        head("a_component_of_another_version", b"\0asm\xff\0\x01\0"),
        head("a_module_within_a_module", b"\0asm\x01\0\0\0\x01\x08\0asm\x01\0\0\0"),
        head("a_native_executable", b"\x7fELF\x02\x01\x01\0"),
        head("precompiled_code", b"\x7fELF\x02\x01\x01\xc8\0\0\0\0\0\0\0\0"),
    ]
}

fn sections() -> Vec<Row> {
    use Label::UnstartedInvalidModule;
    let invalid = |name, sections: &'static [u8]| {
        bytes(name, UnstartedInvalidModule, move || module(sections))
    };
    vec![
        invalid("a_section_of_4_gib", &[1, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        invalid("a_number_of_six_bytes", &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]),
        invalid("a_number_with_bits_left_over", &[1, 0x81, 0x80, 0x80, 0x80, 0x70]),
        invalid("a_section_of_an_unknown_kind", &[0x7f, 1, 0]),
        invalid("sections_in_the_wrong_order", &[3, 1, 0, 1, 1, 0]),
        invalid("a_section_twice", &[1, 1, 0, 1, 1, 0]),
        invalid("a_section_with_bytes_left_over", &[1, 2, 0, 0]),
        invalid("four_billion_types", &[1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        invalid("a_type_of_an_unknown_kind", &[1, 2, 1, 0x11]),
        invalid("a_function_without_a_body", &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0]),
        invalid("a_body_without_a_function", &[10, 4, 1, 2, 0, 0x0b]),
        invalid("a_body_without_an_end", &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 4, 1, 2, 0, 0x01]),
        invalid(
            "an_unknown_operation",
            &[1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 5, 1, 3, 0, 0xff, 0x0b],
        ),
        invalid("a_start_that_is_not_there", &[8, 1, 9]),
        invalid("an_export_that_is_not_there", &[7, 5, 1, 1, b'f', 0, 9]),
        invalid("a_name_that_is_no_text", &[7, 6, 1, 2, 0xff, 0xfe, 0, 0]),
        invalid("data_without_a_memory", &[11, 6, 1, 0, 0x41, 0, 0x0b, 0]),
        invalid("a_custom_section_without_a_name", &[0, 0]),
    ]
}

fn texts() -> Vec<Row> {
    use Label::UnstartedInvalidModule;
    let invalid =
        |name, text: &'static [u8]| bytes(name, UnstartedInvalidModule, move || text.to_vec());
    vec![
        invalid("a_text_without_an_end", b"(module (func (export \"_start\")"),
        invalid("a_text_that_is_noise", b"(\x01\x02\x03)"),
        invalid("a_comment_without_an_end", b"(; (; (;"),
        invalid("a_string_without_an_end", b"(module (func (export \"_start"),
        invalid("a_text_of_two_modules", b"(module) (module)"),
        invalid("a_text_of_16_bits", b"\xff\xfe(\0m\0o\0d\0u\0l\0e\0)\0"),
        invalid("a_text_that_turns", "(module (; \u{202e} ;) (func $\u{202e}))".as_bytes()),
        bytes("a_text_of_one_long_word", UnstartedInvalidModule, || {
            [&b"(module "[..], &vec![b'x'; 4 << 20], b")"].concat()
        }),
    ]
}

/// A module with a section of every kind, which ends well.
fn complete() -> Vec<u8> {
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    types.ty().function([], []);
    functions.function(0);
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 1,
        maximum: Some(1),
        shared: false,
    });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(2),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut globals = GlobalSection::new();
    let global = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
    globals.global(global, &ConstExpr::i32_const(3));
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0).export("memory", ExportKind::Memory, 0);
    let mut elements = ElementSection::new();
    elements.active(None, &ConstExpr::i32_const(0), Elements::Functions((&[0][..]).into()));
    let mut function = Function::new([(1, ValType::I32)]);
    for instruction in [
        Instruction::I32Const(40),
        Instruction::GlobalGet(0),
        Instruction::I32Add,
        Instruction::LocalTee(0),
        Instruction::Drop,
        Instruction::End,
    ] {
        function.instruction(&instruction);
    }
    let (mut code, mut data) = (CodeSection::new(), DataSection::new());
    code.function(&function);
    data.active(0, &ConstExpr::i32_const(8), *b"hello");
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories);
    module.section(&globals).section(&exports).section(&elements).section(&code).section(&data);
    module.finish()
}

fn mutations() -> Vec<Row> {
    use Label::{Completed, UnstartedInvalidModule};
    let mut anything = Label::ALL.to_vec();
    // Each of these would say that something is not as it should be in us, and not in the module.
    anything.retain(|label| {
        !matches!(label, Label::CrashedUnknown | Label::UnstartedResources | Label::UnstartedGuard)
    });
    vec![
        bytes("nothing_wrong_at_all", Completed, complete),
        // Without its code the last function is missing; without its data it is whole again.
        family("cut_off_anywhere", &[UnstartedInvalidModule, Completed], || {
            let whole = complete();
            (0..whole.len()).map(|end| whole[..end].to_vec()).collect()
        }),
        family("any_bit_turned_over", &anything, || {
            let whole = complete();
            let flip = |bit: usize| {
                let mut module = whole.clone();
                module[bit / 8] ^= 1 << (bit % 8);
                module
            };
            (0..whole.len() * 8).map(flip).collect()
        })
        .with(|limits| limits.wall = SHORT * 10),
    ]
}
