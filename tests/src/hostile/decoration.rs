//! Names, imports, exports and custom sections: what stands around the code, made to be read wrongly.

use sandtrap::Label;
use wasm_encoder::{
    CodeSection, CustomSection, ExportKind, ExportSection, Function, FunctionSection, Instruction,
    Module, TypeSection,
};

use super::{Row, bytes, family, text};

const START: &str = "(func (export \"_start\"))";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = exports();
    rows.extend(imports());
    rows.extend(custom_sections());
    rows
}

fn exports() -> Vec<Row> {
    use Label::{Completed, CrashedAbort, UnstartedInvalidModule, UnstartedRejected};
    let long = "n".repeat(90_000);
    let numbered: String =
        (0..50_000).map(|index| format!("(export \"{index}\" (func 0))")).collect();
    vec![
        text("an_export_without_a_name", Completed, "(func (export \"\"))").called(""),
        text("an_export_with_a_long_name", Completed, format!("(func (export \"{long}\"))"))
            .called(&long),
        text(
            "an_export_with_an_endless_name",
            UnstartedInvalidModule,
            format!("(func (export \"{}\"))", "n".repeat(1 << 20)),
        ),
        text(
            "an_export_that_turns_text",
            Completed,
            "(func (export \"\\e2\\80\\ae_start\\00\\0a\"))",
        )
        .called("\u{202e}_start\0\n"),
        text("exports_of_one_name", UnstartedInvalidModule, format!("{START} {START}")),
        text("fifty_thousand_exports", Completed, format!("{START} {numbered}")),
        text(
            "fifty_thousand_exports_and_no_start",
            UnstartedInvalidModule,
            format!("(func) {numbered}"),
        ),
        text(
            "a_function_that_is_not_there_among_long_names",
            UnstartedRejected,
            format!("(func (export \"{long}\"))"),
        )
        .called("absent"),
        text(
            "a_start_with_parameters",
            UnstartedInvalidModule,
            "(func (export \"_start\") (param i32))",
        ),
        text(
            "a_start_with_results",
            UnstartedInvalidModule,
            "(func (export \"_start\") (result i32) (i32.const 1))",
        ),
        text("a_start_that_is_a_memory", UnstartedInvalidModule, "(memory (export \"_start\") 1)"),
        text(
            "a_start_that_is_a_table",
            UnstartedInvalidModule,
            "(table (export \"_start\") 1 funcref)",
        ),
        text(
            "an_initializer_that_traps",
            CrashedAbort,
            "(func (export \"_initialize\") unreachable) (func (export \"f\"))",
        )
        .called("f"),
    ]
}

fn imports() -> Vec<Row> {
    use Label::UnstartedMissingImport;
    let missing: String =
        (0..20_000).map(|index| format!("(import \"env\" \"{index}\" (func))")).collect();
    let wasi = "wasi_snapshot_preview1";
    vec![
        text(
            "twenty_thousand_missing_imports",
            UnstartedMissingImport,
            format!("{missing} {START}"),
        ),
        text(
            "imports_from_twenty_thousand_modules",
            UnstartedMissingImport,
            (0..20_000)
                .map(|index| format!("(import \"{index}\" \"f\" (func))"))
                .collect::<String>()
                + START,
        ),
        text(
            "an_import_with_a_long_name",
            UnstartedMissingImport,
            format!("(import \"env\" \"{}\" (func)) {START}", "n".repeat(90_000)),
        ),
        text(
            "an_import_of_what_it_exports",
            UnstartedMissingImport,
            "(import \"own\" \"f\" (func $f)) (export \"f\" (func $f)) (func (export \"_start\") (call $f))",
        ),
        text(
            "an_import_of_another_type",
            UnstartedMissingImport,
            format!("(import \"{wasi}\" \"fd_write\" (func (param i64))) {START}"),
        ),
        text(
            "an_import_of_another_kind",
            UnstartedMissingImport,
            format!("(import \"{wasi}\" \"fd_write\" (global i32)) {START}"),
        ),
        text(
            "an_imported_memory",
            UnstartedMissingImport,
            format!("(import \"env\" \"memory\" (memory 1)) {START}"),
        ),
        text(
            "an_imported_table_of_4_billion",
            UnstartedMissingImport,
            format!("(import \"env\" \"table\" (table 4294967295 funcref)) {START}"),
        ),
        bytes("a_hundred_thousand_imports_of_a_wide_type", Label::UnstartedInvalidModule, || {
            imports_of_a_wide_type(100_000)
        }),
        bytes("four_hundred_imports_of_a_wide_type", UnstartedMissingImport, || {
            imports_of_a_wide_type(400)
        }),
        text(
            "an_import_without_names",
            UnstartedMissingImport,
            format!("(import \"\" \"\" (func)) {START}"),
        ),
    ]
}

/// Imports of one function of a thousand parameters and results, which each of them could be shown with.
fn imports_of_a_wide_type(count: usize) -> Vec<u8> {
    use wasm_encoder::{EntityType, ImportSection, ValType};
    let mut types = TypeSection::new();
    types.ty().function(vec![ValType::I32; 1_000], vec![ValType::I32; 1_000]);
    let mut imports = ImportSection::new();
    for _ in 0..count {
        imports.import("env", "f", EntityType::Function(0));
    }
    let mut module = Module::new();
    module.section(&types).section(&imports);
    module.finish()
}

/// A module that traps in its first instruction, with custom sections behind it.
pub(super) fn trapping(sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    with_sections(sections, &[Instruction::Unreachable, Instruction::End])
}

fn with_sections(sections: &[(&str, Vec<u8>)], body: &[Instruction<'_>]) -> Vec<u8> {
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    types.ty().function([], []);
    functions.function(0);
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0);
    let mut function = Function::new([]);
    for instruction in body {
        function.instruction(instruction);
    }
    let mut code = CodeSection::new();
    code.function(&function);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    for (name, data) in sections {
        let section = CustomSection { name: (*name).into(), data: data.into() };
        module.section(&section);
    }
    module.finish()
}

fn custom_sections() -> Vec<Row> {
    use Label::{Completed, CrashedAbort};
    let end = [Instruction::End];
    vec![
        family("names_that_are_garbage", &[CrashedAbort], || {
            garbage().into_iter().map(|data| trapping(&[("name", data)])).collect()
        }),
        family("producers_that_are_garbage", &[CrashedAbort], || {
            garbage().into_iter().map(|data| trapping(&[("producers", data)])).collect()
        }),
        bytes("a_function_with_an_endless_name", CrashedAbort, || {
            let mut names = wasm_encoder::NameSection::new();
            let mut map = wasm_encoder::NameMap::new();
            map.append(0, &"_ZN4core".repeat(10_000));
            names.functions(&map);
            let mut module = trapping(&[]);
            wasm_encoder::Section::append_to(&names, &mut module);
            module
        }),
        family("debug_information_that_is_garbage", &[CrashedAbort], || {
            garbage().into_iter().map(|data| trapping(&dwarf(&data, &data))).collect()
        }),
        bytes("debug_information_that_refers_to_itself", CrashedAbort, || {
            let (info, abbreviations) = self_referential();
            trapping(&dwarf(&info, &abbreviations))
        }),
        bytes("debug_information_of_20_mb", CrashedAbort, || {
            trapping(&dwarf(&vec![0; 20 << 20], &[0]))
        }),
        bytes("a_custom_section_of_20_mb", Completed, move || {
            with_sections(&[("padding", vec![0x5a; 20 << 20])], &end)
        }),
        bytes("a_hundred_thousand_named_sections", Completed, || {
            let mut module = with_sections(&[], &[Instruction::End]);
            for name in 0..100_000 {
                module.extend([0_u8, 7, 6]);
                module.extend(format!("{name:06}").into_bytes());
            }
            module
        }),
        bytes("a_million_custom_sections", Completed, || {
            let mut module = with_sections(&[], &[Instruction::End]);
            // Each is a section with an empty name and nothing else.
            module.extend([0_u8, 1, 0].repeat(1_000_000));
            module
        }),
    ]
}

/// Bytes that are no section of any kind, some of which begin well.
fn garbage() -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..length).map(|_| next()).collect()
    };
    vec![
        vec![],
        vec![0xff; 64],
        vec![0; 64],
        // A subsection of function names that says it has four billion of them.
        vec![1, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 0],
        noise(256),
        noise(4096),
        noise(65_536),
    ]
}

fn dwarf(info: &[u8], abbreviations: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (".debug_abbrev", abbreviations.to_vec()),
        (".debug_info", info.to_vec()),
        (".debug_line", info.to_vec()),
        (".debug_str", vec![0]),
        (".debug_ranges", info.to_vec()),
        (".debug_aranges", info.to_vec()),
    ]
}

/// A unit (DWARF 4) with a function that says it is its own origin.
fn self_referential() -> (Vec<u8>, Vec<u8>) {
    let abbreviations = vec![
        1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0, // a unit with children: low_pc, high_pc
        2, 0x2e, 0, 0x11, 0x01, 0x12, 0x06, 0x31, 0x13, 0,
        0, // a function: low_pc, high_pc, abstract_origin
        0,
    ];
    let mut unit = vec![4, 0, 0, 0, 0, 0, 4]; // version, place of the abbreviations, size of an address
    unit.extend([1, 0, 0, 0, 0, 0xff, 0xff, 0, 0]);
    let at = 4 + unit.len() as u32;
    unit.extend([2, 0, 0, 0, 0, 0xff, 0xff, 0, 0]);
    unit.extend(at.to_le_bytes());
    unit.push(0);
    let mut info = (unit.len() as u32).to_le_bytes().to_vec();
    info.extend(unit);
    (info, abbreviations)
}
