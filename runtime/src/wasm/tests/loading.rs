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
        (b"(component)", "is a component"),
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

#[test]
fn what_this_version_does_not_offer_is_refused() {
    for text in [
        "(module (memory 1 1 shared))",
        "(module (memory i64 1))",
        "(module (tag) (func (export \"_start\") (throw 0)))",
        "(module (type (struct)) (func (param (ref null 0))))",
    ] {
        let error = load(&program(text)).err().expect(text);
        assert_eq!(error.into_refusal().step, Step::Parse, "{text}");
    }
}
