//! Memories, tables and their segments: too large, too many, growing for ever, out of bounds.

use sandtrap::Label;

use super::{PAGES, Row, start, text};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = sizes();
    rows.extend(growth());
    rows.extend(bulk());
    rows.extend(segments());
    rows
}

fn many(count: usize, one: &str) -> String {
    one.repeat(count)
}

fn sizes() -> Vec<Row> {
    use Label::{Completed, UnstartedInvalidModule, UnstartedLimitTooSmall};
    const START: &str = "(func (export \"_start\"))";
    vec![
        text("memory_of_4_gib", UnstartedLimitTooSmall, format!("(memory 65536) {START}")),
        text("memory_beyond_4_gib", UnstartedInvalidModule, format!("(memory 65537) {START}")),
        text(
            "memory_one_page_above_the_cap",
            UnstartedLimitTooSmall,
            format!("(memory {}) {START}", PAGES + 1),
        ),
        text("memory_at_the_cap", Completed, format!("(memory {PAGES}) {START}")),
        text(
            "memory_with_64_bit_addresses",
            UnstartedLimitTooSmall,
            format!("(memory i64 281474976710656) {START}"),
        ),
        text("memory_shared", UnstartedInvalidModule, format!("(memory 1 2 shared) {START}")),
        text(
            "hundred_memories_above_the_cap",
            UnstartedLimitTooSmall,
            format!("{} {START}", many(100, "(memory 3)")),
        ),
        text(
            "thousand_memories",
            UnstartedInvalidModule,
            format!("{} {START}", many(1000, "(memory 0)")),
        ),
        text("table_of_80_mb", UnstartedLimitTooSmall, format!("(table 10000000 funcref) {START}")),
        text(
            "table_of_4_billion",
            UnstartedLimitTooSmall,
            format!("(table 4294967295 funcref) {START}"),
        ),
        text(
            "hundred_tables_above_the_cap",
            UnstartedLimitTooSmall,
            format!("{} {START}", many(100, "(table 100000 funcref)")),
        ),
        text(
            "thousand_tables",
            UnstartedInvalidModule,
            format!("{} {START}", many(1000, "(table 0 funcref)")),
        ),
    ]
}

fn growth() -> Vec<Row> {
    use Label::{Completed, CrashedOutOfMemory};
    let grow_each: String =
        (0..100).map(|index| format!("(drop (memory.grow {index} (i32.const 1)))")).collect();
    vec![
        start(
            "grows_page_by_page",
            CrashedOutOfMemory,
            "(loop (drop (memory.grow (i32.const 1))) (br 0))",
        ),
        start(
            "grows_by_4_gib_at_once",
            CrashedOutOfMemory,
            "(drop (memory.grow (i32.const 65535)))",
        ),
        start(
            "grows_beyond_what_can_be",
            CrashedOutOfMemory,
            "(drop (memory.grow (i32.const -1)))",
        ),
        text(
            "grows_beyond_its_own_maximum",
            Completed,
            "(memory 1 2) (func (export \"_start\") (drop (memory.grow (i32.const 100))))",
        ),
        text(
            "hundred_memories_that_grow",
            CrashedOutOfMemory,
            format!(
                "{} (func (export \"_start\") (loop {grow_each} (br 0)))",
                many(100, "(memory 1)")
            ),
        ),
        text(
            "table_grows_for_ever",
            CrashedOutOfMemory,
            "(table 0 funcref) (func (export \"_start\") \
             (loop (drop (table.grow (ref.null func) (i32.const 1000))) (br 0)))",
        ),
        text(
            "table_grows_by_4_billion",
            CrashedOutOfMemory,
            "(table 1 funcref) (func (export \"_start\") \
             (drop (table.grow (ref.null func) (i32.const 1000000000))))",
        ),
        text(
            "table_and_memory_by_turns",
            CrashedOutOfMemory,
            "(memory 1) (table 0 funcref) (func (export \"_start\") (loop \
             (drop (table.grow (ref.null func) (i32.const 8192))) \
             (drop (memory.grow (i32.const 1))) (br 0)))",
        ),
    ]
}

fn bulk() -> Vec<Row> {
    use Label::{CrashedMemoryFault, StoppedWallTime};
    let whole = PAGES * 65_536;
    let at_cap = |name, body: String| {
        text(
            name,
            StoppedWallTime,
            format!("(memory {PAGES}) (func (export \"_start\") (loop {body} (br 0)))"),
        )
        .hangs()
    };
    vec![
        at_cap(
            "fills_all_memory_for_ever",
            format!("(memory.fill (i32.const 0) (i32.const 7) (i32.const {whole}))"),
        ),
        at_cap(
            "copies_all_memory_for_ever",
            format!("(memory.copy (i32.const 1) (i32.const 0) (i32.const {}))", whole - 1),
        ),
        text(
            "fills_a_table_for_ever",
            StoppedWallTime,
            "(table 2000000 funcref) (func $f) (elem declare func $f) (func (export \"_start\") \
             (loop (table.fill (i32.const 0) (ref.func $f) (i32.const 2000000)) (br 0)))",
        )
        .hangs(),
        start(
            "fills_beyond_the_end",
            CrashedMemoryFault,
            "(memory.fill (i32.const 65535) (i32.const 7) (i32.const 2))",
        ),
        start(
            "copies_around_4_gib",
            CrashedMemoryFault,
            "(memory.copy (i32.const -8) (i32.const 0) (i32.const 16))",
        ),
        start(
            "loads_at_the_far_end",
            CrashedMemoryFault,
            "(drop (i64.load offset=4294967295 (i32.const -1)))",
        ),
        start(
            "stores_across_the_end",
            CrashedMemoryFault,
            "(i64.store (i32.const 65529) (i64.const 1))",
        ),
    ]
}

fn segments() -> Vec<Row> {
    use Label::{Completed, CrashedMemoryFault};
    let large = "x".repeat(8 << 20);
    let passive = many(20_000, "(data \"\")");
    vec![
        text(
            "data_beyond_the_end",
            CrashedMemoryFault,
            "(memory 1) (data (i32.const 65536) \"x\") (func (export \"_start\"))",
        ),
        text(
            "data_at_minus_one",
            CrashedMemoryFault,
            "(memory 1) (data (i32.const -1) \"xx\") (func (export \"_start\"))",
        ),
        text(
            "data_larger_than_its_memory",
            CrashedMemoryFault,
            format!("(memory 1) (data (i32.const 0) \"{large}\") (func (export \"_start\"))"),
        ),
        text(
            "data_without_end_in_number",
            Completed,
            format!("(memory 1) {passive} (func (export \"_start\"))"),
        ),
        text(
            "dropped_data_is_used",
            CrashedMemoryFault,
            "(memory 1) (data $d \"abc\") (func (export \"_start\") (data.drop $d) \
             (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)))",
        ),
        text(
            "elements_beyond_the_end",
            CrashedMemoryFault,
            "(table 1 funcref) (func $f) (elem (i32.const 1) $f) (func (export \"_start\"))",
        ),
        text(
            "elements_at_minus_one",
            CrashedMemoryFault,
            "(table 1 funcref) (func $f) (elem (i32.const -1) $f $f) (func (export \"_start\"))",
        ),
        text(
            "dropped_elements_are_used",
            CrashedMemoryFault,
            "(table 1 funcref) (func $f) (elem $e func $f) (func (export \"_start\") (elem.drop $e) \
             (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))",
        ),
    ]
}
