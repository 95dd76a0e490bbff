//! Code that goes in circles, goes too deep, or is made to be hard to compile.

use sandtrap::Label;

use super::{Row, bytes, start, text};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = depths();
    rows.extend(circles());
    rows.extend(starts());
    rows.extend(shapes());
    rows.extend(numbers());
    rows
}

fn depths() -> Vec<Row> {
    use Label::CrashedStackOverflow;
    vec![
        text(
            "calls_itself",
            CrashedStackOverflow,
            "(func $f (export \"_start\") (call $f) (call $f))",
        ),
        text(
            "calls_each_other",
            CrashedStackOverflow,
            "(func $a (export \"_start\") (call $b) (call $b)) (func $b (call $a) (call $a))",
        ),
        text(
            "calls_itself_through_a_table",
            CrashedStackOverflow,
            "(type $t (func)) (table funcref (elem $f)) \
             (func $f (export \"_start\") (call_indirect (type $t) (i32.const 0)) (nop))",
        ),
        text(
            "calls_itself_with_wide_frames",
            CrashedStackOverflow,
            format!(
                "(func $f (param {0}) (call $f {1}) (call $f {1})) \
                 (func (export \"_start\") (call $f {1}))",
                "i64 ".repeat(900),
                "(i64.const 1)".repeat(900)
            ),
        ),
    ]
}

fn circles() -> Vec<Row> {
    use Label::{StoppedCpuTime, StoppedFuel, StoppedWallTime};
    vec![
        start("spins", StoppedWallTime, "(loop (br 0))").hangs(),
        start("spins_on_fuel", StoppedFuel, "(loop (br 0))")
            .with(|limits| limits.fuel = Some(100_000)),
        start("spins_on_the_processor", StoppedCpuTime, "(loop (br 0))")
            .with(|limits| limits.cpu = super::SHORT),
        text(
            "tail_calls_itself",
            StoppedWallTime,
            "(func $f (export \"_start\") (return_call $f))",
        )
        .hangs(),
        text(
            "tail_calls_each_other_through_a_table",
            StoppedWallTime,
            "(type $t (func)) (table funcref (elem $a $b)) \
             (func $a (export \"_start\") (return_call_indirect (type $t) (i32.const 1))) \
             (func $b (return_call_indirect (type $t) (i32.const 0)))",
        )
        .hangs(),
    ]
}

fn starts() -> Vec<Row> {
    use Label::{
        Completed, CrashedAbort, CrashedOutOfMemory, CrashedStackOverflow, FailedExit,
        StoppedWallTime,
    };
    const EXIT: &str = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))";
    let at_start = |name, label, body: &str| {
        text(
            name,
            label,
            format!("{EXIT} (memory (export \"memory\") 1) (start $s) (func $s {body})"),
        )
    };
    vec![
        at_start("start_spins", StoppedWallTime, "(loop (br 0))").hangs(),
        at_start("start_traps", CrashedAbort, "unreachable"),
        at_start("start_recurses", CrashedStackOverflow, "(call $s) (call $s)"),
        at_start(
            "start_grows",
            CrashedOutOfMemory,
            "(loop (drop (memory.grow (i32.const 9))) (br 0))",
        ),
        at_start("start_exits_with_7", FailedExit, "(call $exit (i32.const 7))").exits(7),
        at_start("start_exits_with_0", Completed, "(call $exit (i32.const 0)) unreachable"),
    ]
}

fn shapes() -> Vec<Row> {
    use Label::{Completed, UnstartedInvalidModule};
    let func = |body: String| format!("(func (export \"_start\") {body})");
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    let targets = "0 ".repeat(50_000);
    let depth = 200;
    let square: String = (0..depth)
        .map(|inner| {
            let targets: String = (0..depth - inner).map(|target| format!("{target} ")).collect();
            format!("(br_table {targets} (i32.const {inner}))")
        })
        .fold(String::new(), |inside, table| format!("(block {inside} {table})"));
    vec![
        text(
            "br_table_of_50_000",
            Completed,
            func(format!("(block (br_table {targets} (i32.const 7)))")),
        ),
        text("br_tables_within_each_other", Completed, func(square)),
        text(
            "br_if_chain",
            Completed,
            func(format!("(block {})", "(br_if 0 (i32.const 0))".repeat(20_000))),
        ),
        text("blocks_3_000_deep", Completed, func(nested("block ", "end ", 3_000))),
        text("loops_1_000_deep", Completed, func(nested("loop ", "end ", 1_000))),
        text("ifs_1_000_deep", Completed, func(nested("i32.const 1 if ", "end ", 1_000))),
        text(
            "folded_text_100_000_deep",
            UnstartedInvalidModule,
            func(nested("(block ", ")", 100_000)),
        ),
        bytes("components_that_are_empty_and_double_sixty_times", UnstartedInvalidModule, doubling),
        bytes("parentheses_without_end", UnstartedInvalidModule, || b"(".repeat(1 << 20)),
        text(
            "twenty_thousand_operations_in_a_row",
            Completed,
            func(format!("(local i32) local.get 0 {} drop", "i32.const 3 i32.mul ".repeat(20_000))),
        ),
        text(
            "dead_code",
            Completed,
            func(format!("return {}", "unreachable i32.add drop ".repeat(50_000))),
        ),
        text(
            "calls_through_a_broken_table",
            Label::CrashedBadCall,
            "(type $t (func (param i64))) (table 9 funcref) (elem (i32.const 0) $s) \
             (func $s (export \"_start\") (call_indirect (type $t) (i64.const 1) (i32.const 0)))",
        ),
    ]
}

fn numbers() -> Vec<Row> {
    use Label::{Completed, UnstartedInvalidModule};
    const START: &str = "(func (export \"_start\"))";
    vec![
        text(
            "fifty_thousand_locals",
            UnstartedInvalidModule,
            format!("(func (export \"_start\") (local {}))", "i64 ".repeat(50_000)),
        ),
        text(
            "a_local_too_many",
            UnstartedInvalidModule,
            format!("(func (export \"_start\") (local {}))", "i64 ".repeat(50_001)),
        ),
        bytes("four_billion_locals", UnstartedInvalidModule, four_billion_locals),
        text(
            "a_parameter_too_many",
            UnstartedInvalidModule,
            format!("(func (param {})) {START}", "i32 ".repeat(1_001)),
        ),
        text(
            "thousand_results",
            Completed,
            format!(
                "(func $f (result {}) {}) (func (export \"_start\") (call $f) {})",
                "i32 ".repeat(1_000),
                "(i32.const 1)".repeat(1_000),
                "drop ".repeat(1_000)
            ),
        ),
        text(
            "twenty_thousand_functions",
            Completed,
            format!("{} {START}", "(func)".repeat(20_000)),
        ),
        text(
            "hundred_thousand_globals",
            Completed,
            format!("{} {START}", "(global (mut i64) (i64.const 1))".repeat(100_000)),
        ),
        text(
            "hundred_thousand_types",
            UnstartedInvalidModule,
            format!("{} {START}", "(type (func (param i32 i64)))".repeat(100_000)),
        ),
    ]
}

/// Components that hold nothing, each of which is made of the one before it twice.
fn doubling() -> Vec<u8> {
    let inner: String = (0..60)
        .map(|step| {
            format!(
                "(component $c{} (alias outer 1 $c{step} (component $it)) \
                 (instance (instantiate $it)) (instance (instantiate $it)))",
                step + 1
            )
        })
        .collect();
    format!("(component (component $c0) {inner} (instance (instantiate $c60)))").into_bytes()
}

/// One run of locals that says it has as many as a number can hold.
fn four_billion_locals() -> Vec<u8> {
    use wasm_encoder::{
        CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction, Module,
        TypeSection, ValType,
    };
    let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
    types.ty().function([], []);
    functions.function(0);
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0);
    let mut function = Function::new([(u32::MAX, ValType::I64), (u32::MAX, ValType::V128)]);
    function.instruction(&Instruction::End);
    let mut code = CodeSection::new();
    code.function(&function);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&exports).section(&code);
    module.finish()
}
