//! `sandtrap call`: one export of a plain module.

use std::path::PathBuf;

use sandtrap_tests::guests;
use serde_json::json;

use crate::kit::{Ran, finish, sandtrap, text_of};

fn call(module: &str, function: &str, flags: &[&str]) -> Ran {
    let path: PathBuf = guests::module(module);
    let mut command = sandtrap(["call", text_of(&path), function]);
    command.args(flags);
    finish(command)
}

#[test]
fn a_call_prints_what_the_export_returns() {
    let ran = call("no_start", "add", &["--arg", "i32:2", "--arg", "i32:-44"]);
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "-42\n", ""));
}

#[test]
fn the_report_of_a_call_holds_its_result() {
    let ran = call("no_start", "add", &["--arg", "i32:2", "--arg", "i32:40", "--json"]);
    let report = ran.report();
    assert_eq!(report["output"]["result"], json!([42]));
    assert_eq!(report["task"]["entry"], "call");
    assert_eq!(report["task"]["function"], "add");
    assert_eq!(report["task"]["isolation"], "wasm");
}

#[test]
fn a_call_that_traps_has_the_exit_code_of_its_verdict() {
    for (module, code, label) in [
        ("integer_divide_by_zero", 136, "crashed.arithmetic"),
        ("unreachable", 134, "crashed.abort"),
        ("stack_overflow_module", 139, "crashed.stack-overflow"),
        ("missing_import", 126, "unstarted.missing-import"),
        ("no_such_module", 127, "unstarted.not-found"),
    ] {
        let ran = call(module, "_start", &[]);
        let found = (ran.code, ran.label(), ran.text());
        assert_eq!(found, (Some(code), label, ""), "{module}: {}", ran.stderr);
    }
}

#[test]
fn a_call_of_what_is_not_there_or_with_the_wrong_values_never_starts() {
    for (function, flags) in [
        ("subtract", &["--arg", "i32:1", "--arg", "i32:1"][..]),
        ("memory", &[]),
        ("add", &[]),
        ("add", &["--arg", "i32:1"]),
        ("add", &["--arg", "i64:1", "--arg", "i32:1"]),
        ("add", &["--arg", "i32:1", "--arg", "i32:1", "--arg", "i32:1"]),
    ] {
        let ran = call("no_start", function, flags);
        assert!(ran.label().starts_with("unstarted."), "{function} {flags:?}: {ran:?}");
        assert!(matches!(ran.code, Some(125 | 126)), "{function} {flags:?}: {ran:?}");
        assert_eq!(ran.text(), "");
    }
}

#[test]
fn an_argument_without_a_type_or_a_number_is_refused_with_an_example() {
    for argument in ["5", "i32", "i32:x", "u8:1", "i32:2147483648"] {
        let ran = call("no_start", "add", &["--arg", argument]);
        ran.assert_refused(2);
        assert!(ran.stderr.contains("--arg") && ran.stderr.contains("i32:5"), "{}", ran.stderr);
    }
}
