//! Commands, calls and reactors.

use super::*;
use crate::evidence::Step;
use crate::permissions::Permissions;
use crate::task::{Stdin, Value};

const EXPORTS: &str = r#"(module
    (global $ready (mut i32) (i32.const 0))
    (func (export "_initialize") (global.set $ready (i32.const 1)))
    (func (export "ready") (result i32) (global.get $ready))
    (func (export "swap") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
    (func (export "half") (param f32 f64) (result f32 f64)
      (f32.div (local.get 0) (f32.const 2)) (f64.div (local.get 1) (f64.const 2)))
    (func (export "vector") (result v128) (v128.const i64x2 0 0)))"#;

fn call(function: &str, arguments: &[Value]) -> Evidence {
    run_task(&program(EXPORTS), &Task::call(function, arguments))
}

#[test]
fn a_function_is_called_with_numbers_and_returns_numbers() {
    let evidence = call("swap", &[Value::I32(-7), Value::I64(1 << 40)]);
    assert_eq!(evidence.ending, Ending::Exited(0));
    assert_eq!(evidence.output.values, [Value::I64(1 << 40), Value::I32(-7)]);
    let evidence = call("half", &[Value::F32(3.0), Value::F64(-1.0)]);
    assert_eq!(evidence.output.values, [Value::F32(1.5), Value::F64(-0.5)]);
}

#[test]
fn a_reactor_is_made_ready_before_the_call() {
    assert_eq!(call("ready", &[]).output.values, [Value::I32(1)]);
}

#[test]
fn a_call_that_does_not_fit_is_refused_in_words_that_help() {
    for (function, arguments, words) in [
        ("sawp", &[][..], "no function `sawp`; the module exports `_initialize`, `ready`, `swap`"),
        ("swap", &[Value::I32(1)][..], "`swap` takes (i32, i64), and was given (i32)"),
        ("swap", &[Value::I64(1), Value::I64(1)][..], "given (i64, i64)"),
        ("vector", &[][..], "`vector` returns v128"),
    ] {
        let evidence = call(function, arguments);
        let refusal = refusal(&evidence);
        assert_eq!(refusal.step, Step::Accept);
        assert!(refusal.detail.contains(words), "{}", refusal.detail);
    }
}

#[test]
fn a_module_without_a_beginning_names_what_can_be_called() {
    let evidence = run(EXPORTS);
    assert_eq!(refusal(&evidence).step, Step::Parse);
    assert!(refusal(&evidence).detail.contains("Call one of its functions instead: `_initialize`"));
    assert!(refusal(&run("(module)")).detail.contains("no other function to call"));
    let odd = run("(module (func (export \"_start\") (param i32)))");
    assert!(refusal(&odd).detail.contains("its `_start` takes or returns something"));
}

#[test]
fn a_module_that_only_has_a_start_section_runs_by_itself() {
    assert_eq!(run("(module (func $f) (start $f))").ending, Ending::Exited(0));
}

/// Writes what `args_get` or `environ_get` gives to stdout.
fn prints(what: &str) -> String {
    format!(
        "(module
           (import \"wasi_snapshot_preview1\" \"{what}_sizes_get\" (func $sizes (param i32 i32) (result i32)))
           (import \"wasi_snapshot_preview1\" \"{what}_get\" (func $get (param i32 i32) (result i32)))
           (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
           (memory (export \"memory\") 1)
           (func (export \"_start\")
             (drop (call $sizes (i32.const 0) (i32.const 4)))
             (drop (call $get (i32.const 100) (i32.const 1000)))
             (i32.store (i32.const 8) (i32.const 1000))
             (i32.store (i32.const 12) (i32.load (i32.const 4)))
             (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))"
    )
}

#[test]
fn a_command_finds_its_name_its_arguments_and_the_variables_it_was_granted() {
    let task = Task::command(["one", "two words"]);
    let evidence = run_task(&program(&prints("args")), &task);
    assert_eq!(evidence.output.stdout_text(), "test.wat\0one\0two words\0");
    let mut permissions = Permissions::default();
    let none = run_task(&program(&prints("environ")), &command());
    assert_eq!(none.output.stdout_text(), "");
    permissions.grant_env("KEY", "value");
    let evidence = run_task(&program(&prints("environ")).permissions(permissions), &command());
    assert_eq!(evidence.output.stdout_text(), "KEY=value\0");
}

#[cfg(unix)]
#[test]
fn text_that_a_module_could_not_read_is_refused() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let odd = || OsString::from_vec(vec![0xff]);
    let evidence = run_task(&program(&start("")), &Task::command([odd()]));
    assert_eq!(refusal(&evidence).step, Step::Accept);
    let mut permissions = Permissions::default();
    permissions.grant_env("KEY", odd());
    let error = load(&program(&start("")).permissions(permissions)).err().unwrap();
    assert!(error.to_string().contains("`KEY` is not UTF-8"));
}

/// Copies stdin to stdout, and exits with the error number of the last read.
fn echo() -> String {
    wasi(
        "(memory (export \"memory\") 1)
         (func (export \"_start\") (local $error i32)
           (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 8) (i32.const 64))
           (loop $again
             (i32.store (i32.const 4) (i32.const 5))
             (local.set $error (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
             (i32.store (i32.const 12) (i32.load (i32.const 16)))
             (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 20)))
             (br_if $again (i32.load (i32.const 16))))
           (call $proc_exit (local.get $error)))",
    )
}

#[test]
fn a_command_reads_what_it_was_given_to_its_end() {
    let file = std::env::temp_dir().join(format!("sandtrap-stdin-{}", std::process::id()));
    std::fs::write(&file, b"from a file\xff").unwrap();
    for (stdin, expected) in [
        (Stdin::Null, &b""[..]),
        (Stdin::Bytes((&b"some bytes\0"[..]).into()), b"some bytes\0"),
        (Stdin::File(file.clone()), b"from a file\xff"),
    ] {
        let evidence = run_task(&program(&echo()), &command().stdin(stdin));
        assert_eq!(evidence.ending, Ending::Exited(0));
        assert_eq!(evidence.output.stdout.as_deref(), Some(expected));
    }
    std::fs::remove_file(&file).unwrap();
    let evidence = run_task(&program(&echo()), &command().stdin(Stdin::File(file)));
    assert_eq!(refusal(&evidence).step, Step::Accept);
}
