//! Objects, references and exceptions: too many, too large, thrown for ever, of no type.

use sandtrap::Label;

use super::{Row, bytes, text};
use crate::bombs;

const NODE: &str = "(type $node (struct (field (mut (ref null $node))) (field i64)))";
const BYTES: &str = "(type $bytes (array (mut i8)))";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = objects();
    rows.extend(arrays());
    rows.extend(exceptions());
    rows.extend(types());
    rows
}

/// A module around a `_start` that does this.
fn does(name: &'static str, label: Label, declared: &str, body: &str) -> Row {
    text(name, label, format!("{declared} (func (export \"_start\") {body})"))
}

fn objects() -> Vec<Row> {
    use Label::{
        Completed, CrashedMemoryFault, CrashedOutOfMemory, CrashedUnknown, StoppedWallTime,
    };
    let list = format!("{NODE} (global $head (mut (ref null $node)) (ref.null $node))");
    let longer = "(global.set $head (struct.new $node (global.get $head) (i64.const 7)))";
    // Longer than any recursion could follow, and just within the limit: the collector goes through it often.
    let long = format!(
        "(local $n i32) (loop {longer} (local.set $n (i32.add (local.get $n) (i32.const 1))) \
         (br_if 0 (i32.lt_u (local.get $n) (i32.const 100000))))"
    );
    vec![
        does("list_without_end", CrashedOutOfMemory, &list, &format!("(loop {longer} (br 0))")),
        does("list_that_is_long", Completed, &list, &long),
        does(
            "garbage_without_end",
            StoppedWallTime,
            NODE,
            "(loop (drop (struct.new $node (ref.null $node) (i64.const 1))) (br 0))",
        )
        .hangs(),
        does(
            "garbage_beside_a_long_list",
            StoppedWallTime,
            &list,
            &format!(
                "{long} (loop (drop (struct.new $node (ref.null $node) (i64.const 1))) (br 0))"
            ),
        )
        .hangs(),
        does(
            "circle_of_objects",
            CrashedOutOfMemory,
            &format!("{list} (global $tail (mut (ref null $node)) (ref.null $node))"),
            &format!(
                "{longer} (global.set $tail (global.get $head)) (loop {longer} \
                 (struct.set $node 0 (global.get $tail) (global.get $head)) (br 0))"
            ),
        ),
        does(
            "field_of_nothing",
            CrashedMemoryFault,
            NODE,
            "(drop (struct.get $node 1 (ref.null $node)))",
        ),
        does(
            "cast_to_another_type",
            CrashedUnknown,
            &format!("{NODE} {BYTES}"),
            "(drop (ref.cast (ref $bytes) (struct.new $node (ref.null $node) (i64.const 1))))",
        ),
        does(
            "table_of_references_grows_for_ever",
            CrashedOutOfMemory,
            "(table 0 anyref)",
            "(loop (drop (table.grow (ref.i31 (i32.const 1)) (i32.const 1000))) (br 0))",
        ),
        does(
            "every_function_as_an_object",
            CrashedOutOfMemory,
            "(type $f (func)) (type $box (struct (field (ref null $box)) (field funcref))) \
             (global $head (mut (ref null $box)) (ref.null $box)) (func $g) (elem declare func $g)",
            "(loop (global.set $head (struct.new $box (global.get $head) (ref.func $g))) (br 0))",
        ),
    ]
}

fn arrays() -> Vec<Row> {
    use Label::{CrashedMemoryFault, CrashedOutOfMemory, StoppedWallTime};
    let new = |count: &str| format!("(drop (array.new_default $bytes (i32.const {count})))");
    vec![
        does("array_of_4_gib", CrashedOutOfMemory, BYTES, &new("-1")),
        does("array_of_1_gib", CrashedOutOfMemory, BYTES, &new("0x40000000")),
        does(
            "array_of_wide_elements",
            CrashedOutOfMemory,
            "(type $wide (array (mut v128)))",
            "(drop (array.new_default $wide (i32.const 0x0fffffff)))",
        ),
        does(
            "arrays_that_double",
            CrashedOutOfMemory,
            &format!("{BYTES} (global $kept (mut (ref null $bytes)) (ref.null $bytes))"),
            "(local $n i32) (local.set $n (i32.const 1)) (loop \
             (local.set $n (i32.mul (local.get $n) (i32.const 2))) \
             (global.set $kept (array.new_default $bytes (local.get $n))) (br 0))",
        ),
        does(
            "array_filled_for_ever",
            StoppedWallTime,
            BYTES,
            "(local $a (ref null $bytes)) (local.set $a (array.new_default $bytes (i32.const 1000000))) \
             (loop (array.fill $bytes (local.get $a) (i32.const 0) (i32.const 7) (i32.const 1000000)) (br 0))",
        )
        .hangs(),
        does(
            "array_beyond_its_end",
            CrashedMemoryFault,
            BYTES,
            "(drop (array.get_u $bytes (array.new_default $bytes (i32.const 7)) (i32.const 7)))",
        ),
        does(
            "array_copied_beyond_its_end",
            CrashedMemoryFault,
            BYTES,
            "(local $a (ref null $bytes)) (local.set $a (array.new_default $bytes (i32.const 7))) \
             (array.copy $bytes $bytes (local.get $a) (i32.const 1) (local.get $a) (i32.const 0) (i32.const 7))",
        ),
    ]
}

fn exceptions() -> Vec<Row> {
    use Label::{
        Completed, CrashedOutOfMemory, CrashedStackOverflow, FailedPanic, StoppedWallTime,
    };
    const TAG: &str = "(tag $t (param i64))";
    const THROW: &str = "(throw $t (i64.const 7))";
    let catches =
        |body: &str| format!("(block (result i64) (try_table (catch $t 0) {body}) (i64.const 0))");
    vec![
        does("throws", FailedPanic, TAG, THROW),
        does(
            "throws_for_ever",
            StoppedWallTime,
            TAG,
            &format!("(loop (drop {}) (br 0))", catches(THROW)),
        )
        .hangs(),
        does(
            "throws_across_a_deep_stack",
            Completed,
            &format!(
                "{TAG} (func $deep (param i32) (if (i32.eqz (local.get 0)) (then {THROW})) \
                 (call $deep (i32.sub (local.get 0) (i32.const 1))) (nop))"
            ),
            &format!("(drop {})", catches("(call $deep (i32.const 4000))")),
        ),
        does(
            "throws_again_at_each_step",
            FailedPanic,
            &format!(
                "{TAG} (func $deep (param i32) (if (i32.eqz (local.get 0)) (then {THROW})) (block \
                 (result exnref) (try_table (catch_all_ref 0) (call $deep (i32.sub (local.get 0) \
                 (i32.const 1)))) unreachable) throw_ref)"
            ),
            "(call $deep (i32.const 500))",
        ),
        does(
            "recurses_in_its_catch",
            CrashedStackOverflow,
            &format!("{TAG} (func $f (drop {}) (call $f) (nop))", catches(THROW)),
            "(call $f)",
        ),
        does(
            "keeps_its_exceptions",
            CrashedOutOfMemory,
            &format!("{TAG} (table $kept 0 exnref)"),
            "(loop (drop (table.grow $kept (block (result exnref) (try_table (catch_all_ref 0) \
             (throw $t (i64.const 7))) unreachable) (i32.const 1))) (br 0))",
        ),
        text(
            "throws_at_the_start",
            FailedPanic,
            format!("{TAG} (start $s) (func $s {THROW}) (func (export \"_start\"))"),
        ),
    ]
}

fn types() -> Vec<Row> {
    use Label::{Completed, UnstartedInvalidModule};
    let chain: String = (0..62)
        .map(|depth| match depth {
            0 => "(type $t0 (sub (struct)))".to_owned(),
            _ => format!("(type $t{depth} (sub $t{} (struct)))", depth - 1),
        })
        .collect();
    let wide = format!("(type (struct {}))", "(field i64)".repeat(2_000));
    vec![
        bytes("group_of_a_million_types", UnstartedInvalidModule, || {
            let members = 1_000_000_u32;
            let mut section = vec![1, 0x4e];
            section.extend([0xc0, 0x84, 0x3d]);
            section.extend([0x5f, 0].repeat(members as usize));
            let length = section.len() as u32;
            let size =
                (0..5).map(|at| (length >> (7 * at)) as u8 & 0x7f | if at < 4 { 0x80 } else { 0 });
            [b"\0asm\x01\0\0\0\x01".to_vec(), size.collect(), section].concat()
        }),
        text("types_below_each_other", Completed, format!("{chain} (func (export \"_start\"))")),
        text(
            "types_far_too_deep",
            UnstartedInvalidModule,
            format!(
                "{chain} (type $deep (sub $t61 (struct))) (type (sub $deep (struct))) (type (sub $deep (struct (field i32)))) \
                     (type $more (sub $deep (struct))) (type (sub $more (struct))) (func (export \"_start\"))"
            ),
        ),
        bytes("types_as_many_as_a_host_may_keep", Completed, || bombs::types(15_000)),
        text("type_of_many_fields", Completed, format!("{wide} (func (export \"_start\"))")),
    ]
}
