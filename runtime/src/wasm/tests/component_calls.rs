//! Functions of components: found by their names, given values as JSON, and answering with such.

use serde_json::{Value as Json, json};

use super::waiting::{assert_stopped, soon};
use super::*;
use crate::payload::Payload;
use crate::quantity::ByteSize;

/// Functions of every kind: `same` gives back a list of nearly all types that there are, as it lies in its memory.
const FUNCTIONS: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 1024))
    (global $calls (mut i32) (i32.const 0))
    (data (i32.const 64) "too much")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "same") (param i32 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "next") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))
    (func (export "check") (param i32) (result i32)
      (if (i32.lt_u (local.get 0) (i32.const 10))
        (then (i32.store8 (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (local.get 0)))
        (else (i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 64))
          (i32.store (i32.const 24) (i32.const 8))))
      (i32.const 16))
    (func (export "dies") unreachable)
    (func (export "spins") (loop (br 0))))
  (core instance $m (instantiate $m))
  (type $point' (record (field "x" f64) (field "name" (option string))))
  (export $point "point" (type $point'))
  (type $shape' (variant (case "none") (case "circle" f32) (case "named" string)))
  (export $shape "shape" (type $shape'))
  (type $color' (enum "red" "green"))
  (export $color "color" (type $color'))
  (type $may' (flags "read" "write"))
  (export $may "may" (type $may'))
  (type $file' (resource (rep i32)))
  (export $file "file" (type $file'))
  (type $all (list (tuple $point $shape $color $may (option s64) (result u8 (error string)) char bool u64)))
  (func (export "same") (param "all" $all) (result $all)
    (canon lift (core func $m "same") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
  (func $add (param "a" s32) (param "b" u8) (result s32) (canon lift (core func $m "add")))
  (export "add" (func $add))
  (func (export "next") (result u32) (canon lift (core func $m "next")))
  (func (export "check") (param "one" u32) (result (result u32 (error string)))
    (canon lift (core func $m "check") (memory (core memory $m "memory"))))
  (func $dies (canon lift (core func $m "dies")))
  (func (export "spins") (canon lift (core func $m "spins")))
  (func (export "opens") (result (own $file)) (canon lift (core func $m "next")))
  (instance $one (export "plus" (func $add)) (export "dies" (func $dies)))
  (export "math:sums/one@1.0.0" (instance $one))
  (instance $two (export "plus" (func $add)))
  (export "math:sums/two@1.0.0" (instance $two)))"#;

fn task(function: &str, input: &Json) -> Task {
    Task::invoke_with(function, Payload::json(input).unwrap())
}

fn called(function: &str, input: Json) -> Evidence {
    run_task(&program(FUNCTIONS), &task(function, &input))
}

fn result(evidence: &Evidence) -> Json {
    assert_eq!(evidence.ending, Ending::Exited(0));
    evidence.testimony.result.as_ref().expect("a result").read().unwrap()
}

#[test]
fn values_of_every_type_arrive_and_come_back() {
    let all = json!([
        [{"x": 1.5, "name": "a"}, "none", "red", [], null, {"ok": 255}, "ä", true, u64::MAX],
        [{"x": "-inf", "name": null}, {"circle": 0.5}, "green", ["read", "write"], i64::MIN,
            {"err": "no"}, "\u{10ffff}", false, 0],
        [{"x": "nan", "name": ""}, {"named": "b"}, "green", ["write"], 7, {"err": ""}, "x", true, 1],
    ]);
    assert_eq!(result(&called("same", all.clone())), all);
    assert_eq!(result(&called("same", json!([]))), json!([]));
}

#[test]
fn arguments_are_an_array_an_object_or_the_only_one_itself() {
    for input in [json!([2, 40]), json!({"b": 40, "a": 2})] {
        assert_eq!(result(&called("add", input)), 42);
    }
    assert_eq!(result(&called("check", json!(7))), 7);
    assert_eq!(result(&called("next", json!(null))), 1);
    assert_eq!(result(&called("next", json!([]))), 1);
}

#[test]
fn a_function_is_named_alone_or_with_its_interface() {
    assert_eq!(result(&called("math:sums/two@1.0.0#plus", json!([2, 3]))), 5);
    let words = "may be each of `math:sums/one@1.0.0#plus`, `math:sums/two@1.0.0#plus`";
    for (function, words) in [
        ("plus", words),
        ("math:sums/one@1.0.0", "there is no function `math:sums/one@1.0.0`"),
        ("nothing", "the component exports `add`, `math:sums/one@1.0.0#plus`"),
        ("opens", "takes or returns a resource, for which JSON has no form"),
    ] {
        let evidence = called(function, json!(null));
        assert!(refusal(&evidence).detail.contains(words), "{:?}", evidence.ending);
    }
}

#[test]
fn what_is_no_such_value_is_refused_with_its_place() {
    let with = |change: fn(&mut Json)| {
        let mut one = json!([[{"x": 1}, "none", "red", [], null, {"ok": 1}, "x", true, 1]]);
        change(&mut one);
        one
    };
    for (function, input, words) in [
        ("add", json!([1]), "takes `a`, `b`, as an array or as an object"),
        ("add", json!([1, 256]), "b: a u8 is wanted, and not `256`"),
        ("add", json!([1.5, 2]), "a: an s32 is wanted, and not `1.5`"),
        ("next", json!([1]), "takes nothing"),
        ("check", json!("1"), "one: a u32 is wanted, and not `\"1\"`"),
        ("same", json!({}), "all: an array is wanted"),
        ("same", with(|all| all[0][0] = json!({})), "all[0][0].x: it is missing"),
        ("same", with(|all| all[0][0]["y"] = json!(1)), "there is no field `y`"),
        ("same", with(|all| all[0][0]["x"] = json!("1")), "all[0][0].x: a number is wanted"),
        ("same", with(|all| all[0][1] = json!("round")), "all[0][1]: one of `none`, `circle`"),
        ("same", with(|all| all[0][1] = json!({"none": 1})), "all[0][1].none: it has no value"),
        ("same", with(|all| all[0][2] = json!("blue")), "one of `red`, `green` is wanted"),
        ("same", with(|all| all[0][3] = json!(["run"])), "an array of `read`, `write`"),
        ("same", with(|all| all[0][5] = json!(1)), "an object with `ok` or `err`"),
        ("same", with(|all| all[0][6] = json!("ab")), "a text of one character"),
        ("same", with(|all| all[0][8] = json!(-1)), "all[0][8]: a u64 is wanted"),
        ("same", with(|all| all[0] = json!([])), "all[0]: an array of 9 is wanted"),
    ] {
        let evidence = called(function, input);
        assert!(refusal(&evidence).detail.contains(words), "{words}: {:?}", evidence.ending);
    }
    let raw = Task::invoke_with("check", Payload::raw("1"));
    let evidence = run_task(&program(FUNCTIONS), &raw);
    assert!(refusal(&evidence).detail.contains("takes JSON"), "{:?}", evidence.ending);
    let numbers = Task::call("check", [crate::task::Value::I32(1)]);
    let evidence = run_task(&program(FUNCTIONS), &numbers);
    assert!(refusal(&evidence).detail.contains("call them with JSON"), "{:?}", evidence.ending);
    let evidence = run_task(&program(FUNCTIONS), &command());
    assert!(refusal(&evidence).detail.contains("is no command"), "{:?}", evidence.ending);
}

#[test]
fn an_error_a_trap_a_deadline_and_a_long_result_are_told_apart() {
    let error = called("check", json!(10)).testimony;
    assert_eq!(error.error.expect("an error").message, "too much");
    assert_eq!(error.error_value.expect("its value").bytes(), b"\"too much\"");
    assert!(error.result.is_none());
    assert_eq!(called("dies", json!(null)).ending, Ending::Trapped(TrapCause::Unreachable));
    let spins = program(FUNCTIONS).limits(soon());
    assert_stopped(&run_task(&spins, &task("spins", &json!(null))), StopReason::WallTime);
    let short = Limits { result: ByteSize::bytes(8), ..limits() };
    let one = json!([{"x": 1}, "none", "red", [], null, {"ok": 1}, "x", true, 1]);
    let evidence = run_task(&program(FUNCTIONS).limits(short), &task("same", &json!([one])));
    assert_stopped(&evidence, StopReason::Result);
    assert!(evidence.testimony.result.is_none());
}

#[test]
fn a_component_that_is_kept_goes_on_with_its_state_until_it_traps() {
    let program = program(FUNCTIONS);
    let image = load(&program).unwrap();
    let mut kept = image.keep().unwrap();
    let mut call = |function: &str, input: Json| {
        let task = task(function, &input);
        let (limits, stdout, began) = (limits(), task.stdout, Instant::now());
        let attempt = Attempt {
            task: &task.id,
            entry: &task.entry,
            limits: &limits,
            stdout,
            began,
            silence: None,
        };
        kept.run(&attempt, &StopHandle::new(), &mut Deaf)
    };
    assert_eq!(result(&call("next", json!(null))), 1);
    assert!(call("check", json!(99)).testimony.error.is_some(), "which is orderly");
    assert!(matches!(call("check", json!([])).ending, Ending::NeverStarted(_)));
    assert_eq!(result(&call("next", json!(null))), 2);
    assert_eq!(call("dies", json!(null)).ending, Ending::Trapped(TrapCause::Unreachable));
    let evidence = call("next", json!(null));
    assert!(refusal(&evidence).detail.contains("this cell's guest is gone"));
}
