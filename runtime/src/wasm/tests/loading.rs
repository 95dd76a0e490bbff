//! Programs that can't be loaded, each refused at its step and in words that help.

use super::*;
use crate::evidence::Step;

#[track_caller]
fn assert_refused(program: &Program, step: &Step, words: &str) {
    let error = load(program).err().expect("it was loaded");
    let refusal = error.into_refusal();
    assert_eq!(refusal.step, *step, "{}", refusal.detail);
    assert!(refusal.detail.contains(words), "{}", refusal.detail);
    assert!(!refusal.detail.contains('\n'), "{}", refusal.detail);
}

#[test]
fn files_that_are_no_modules_are_refused_at_their_step() {
    let folder = std::env::temp_dir().join(format!("sandtrap-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let gone = folder.join("gone.wasm");
    assert_refused(&Program::file(&gone), &Step::Find, "cannot read");
    assert_refused(&Program::file(&folder), &Step::Execute, "is a directory, not a file");
    for (bytes, words) in [
        (&b""[..], "is empty"),
        (b"#!/bin/sh\n", "is not a module"),
        (b"\0asm\x01\0\0\0\x01\x05", "is not a valid module"),
        (b"(module (func (unknown.instruction)))", "is no valid text module"),
        (
            b"(component)",
            "is no command: it lacks the export `wasi:cli/run@0.2.x`; it exports nothing",
        ),
    ] {
        let path = folder.join("bad.wasm");
        std::fs::write(&path, bytes).unwrap();
        assert_refused(&Program::file(&path), &Step::Parse, words);
    }
    let path = folder.join("good.wat");
    std::fs::write(&path, start("")).unwrap();
    let good = Program::file(&path);
    assert_eq!(run_task(&good, &command()).ending, Ending::Exited(0));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_mistake_with_a_very_long_name_is_told_in_short() {
    // Two exports of the same name, a hundred thousand characters that each take six in JSON.
    let name = [&[0xa0, 0x8d, 0x06][..], &[1; 100_000], &[0, 0]].concat();
    let exports = [&[2][..], &name, &name].concat();
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07".to_vec();
    let mut size = exports.len();
    for _ in 0..2 {
        module.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    module.push(size as u8);
    module.extend([&exports[..], b"\x0a\x04\x01\x02\0\x0b"].concat());
    let program = Program::module("long", module);
    let error = load(&program).err().expect("it was loaded").into_refusal();
    assert_eq!(error.step, Step::Parse, "{}", error.detail);
    assert!(error.detail.contains("duplicate export name"), "{}", error.detail);
    assert!(error.detail.len() < 1_100, "{} bytes", error.detail.len());
}

#[test]
fn every_import_that_nobody_offers_is_named() {
    let text = r#"(module
        (import "env" "launch" (func)) (import "env" "memory" (memory 1))
        (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (import "wasi_threads" "fd_write" (func)))"#;
    let words = "`env.launch`, `env.memory`, `wasi_threads.fd_write`; there is WASI preview 1";
    assert_refused(&program(text), &Step::Import, words);
}

#[test]
fn an_import_of_another_type_is_refused() {
    let text = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i64))))"#;
    assert_refused(&program(text), &Step::Import, "can't be linked");
}

/// A module around one function that does this.
fn does(body: &str) -> String {
    format!("(module (memory 1) (table 1 funcref) {body})")
}

#[test]
fn what_this_version_does_not_offer_is_refused_by_its_name() {
    for (text, words) in [
        ("(module (memory 1 1 shared))", "a memory to share between threads"),
        ("(module (tag) (func try throw 0 catch_all end))", "exceptions of the older kind: "),
        ("(module (type $f (func)) (type (cont $f)))", "uses stack switching: "),
        ("(module (global (shared mut i32) (i32.const 0)))", "uses shared-everything threads: "),
        ("(module (memory 1 (pagesize 1)))", "uses custom page sizes: "),
        (
            "(module (func (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1))))",
            "uses wide arithmetic: ",
        ),
        (
            "(module (memory 1) (func (memory.discard (i32.const 0) (i32.const 0))))",
            "uses memory control: ",
        ),
        ("(component (type (stream u8)))", "uses asynchronous functions between components"),
        ("(component (type (func async)))", "uses asynchronous functions between components"),
        ("(component (core module (memory 1 1 shared)))", "is no command"),
    ] {
        let error = load(&program(text)).err().expect(text);
        let refusal = error.into_refusal();
        assert_eq!(refusal.step, Step::Parse, "{text}");
        assert!(refusal.detail.contains(words), "{text}: {}", refusal.detail);
    }
}

#[test]
fn what_is_wrong_in_itself_is_not_blamed_on_a_feature() {
    for text in ["(module (func (result i32)))", "(module (tag) (func (i32.const 0)))"] {
        let error = load(&program(text)).err().expect(text);
        assert!(error.to_string().contains("is not a valid module: "), "{error}");
    }
}

#[test]
fn everything_else_that_modules_use_today_runs() {
    for body in [
        "(memory 1) (func (export \"_start\") (i32.store 1 (i32.const 0) (i32.const 0)))",
        "(func $f) (func (export \"_start\") (return_call $f))",
        "(func $f) (elem declare func $f) (func (export \"_start\") (call_ref 0 (ref.func $f)))",
        "(func (export \"_start\") (drop (v128.const i64x2 0 0)))",
        "(func (export \"_start\") (drop (i32x4.relaxed_trunc_f32x4_s (v128.const i64x2 0 0))))",
        "(func (export \"_start\") (memory.fill (i32.const 0) (i32.const 0) (i32.const 9)))",
        "(func (export \"_start\") (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))",
        "(func $f (result i32 i32) (i32.const 0) (i32.const 0))
         (func (export \"_start\") (call $f) (drop) (drop))",
        "(memory i64 1) (func (export \"_start\") (i32.store 1 (i64.const 0) (i32.const 0)))",
        "(table i64 1 funcref) (func (export \"_start\") (drop (table.get 1 (i64.const 0))))",
    ] {
        assert_eq!(run(&does(body)).ending, Ending::Exited(0), "{body}");
    }
}
