//! `sandtrap inspect`: every kind of file, and what is said about it. Nothing of it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sandtrap::Wall;
use sandtrap_tests::guests;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Ran, finish, guest, sandtrap, text_of};

fn inspect(path: &Path) -> Ran {
    finish(sandtrap(["inspect", text_of(path)]))
}

fn facts(path: &Path, code: i32) -> Value {
    let ran = finish(sandtrap(["inspect", "--json", text_of(path)]));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{}", ran.text());
    ran.report()
}

/// A file with this content, which may be executed or not.
fn file(folder: &TempDir, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn needs(facts: &Value) -> Vec<&str> {
    let needs = facts["needs"].as_array().expect("a list of needs");
    needs.iter().filter_map(|need| need["what"].as_str()).collect()
}

#[test]
fn what_a_process_may_do_is_told_as_it_holds() {
    let found = finish(sandtrap(["inspect", "/bin/true"]));
    assert!(found.text().contains("Permissions\n  a process runs in a cage"), "{}", found.text());
    for words in ["no network", "no environment", "--profile", "`sandtrap doctor`"] {
        assert!(found.text().contains(words), "{words}: {}", found.text());
    }
    assert!(!found.text().contains("what its user may"), "{}", found.text());
}

#[test]
fn a_command_is_told_with_its_imports_its_stack_and_its_least_memory() {
    let path = guests::wasm("hello");
    let facts = facts(&path, 0);
    assert_eq!((&facts["kind"], &facts["wall"]), (&json!("module"), &json!("wasm")));
    assert_eq!(facts["obstacle"], Value::Null);
    assert_eq!(facts["bytes"], fs::metadata(&path).unwrap().len());
    let module = &facts["module"];
    assert_eq!((&module["role"], &module["is_text"]), (&json!("command"), &json!(false)));
    assert_eq!(module["stack"], json!({"top": 1 << 20, "most_bytes": 1 << 20}));
    assert_eq!((&module["has_names"], &module["has_debug_info"]), (&json!(true), &json!(true)));
    let group = &module["imports"][0];
    assert_eq!(group["module"], "wasi_snapshot_preview1");
    let write = group["items"].as_array().unwrap().iter().find(|item| item["name"] == "fd_write");
    let expected = json!({"name": "fd_write", "kind": "func", "type": "(i32, i32, i32, i32) -> (i32)", "offered": true});
    assert_eq!(write, Some(&expected));
    assert!(needs(&facts).contains(&"streams") && !needs(&facts).contains(&"files"), "{facts:#}");
    let producers = module["producers"].as_array().unwrap();
    assert!(producers.iter().any(|tool| tool.as_str().unwrap().starts_with("rustc ")));
    let least = module["least_memory_bytes"].as_u64().unwrap();
    assert!(least >= module["memories"][0]["minimum_bytes"].as_u64().unwrap());
}

/// With the least memory it starts; with a byte less it does not.
#[test]
fn the_least_memory_is_the_least() {
    let folder = TempDir::new().unwrap();
    let text = "(module (memory 3) (table 100 funcref) (func (export \"_start\")))";
    let path = file(&folder, "exact.wat", text.as_bytes(), 0o644);
    let least = facts(&path, 0)["module"]["least_memory_bytes"].as_u64().unwrap();
    assert_eq!(least, 3 * 65_536 + 100 * 8);
    for (bytes, label) in [(least, "completed"), (least - 1, "unstarted.limit-too-small")] {
        let ran = finish(sandtrap(["run", "--memory", &format!("{bytes}B"), text_of(&path)]));
        assert_eq!(ran.label(), label, "{}", ran.stderr);
    }
}

#[test]
fn what_a_module_uses_is_found_in_its_code() {
    let folder = TempDir::new().unwrap();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func (param i32)))
        (import "wasi_snapshot_preview1" "sock_shutdown" (func (param i32 i32) (result i32)))
        (memory (export "memory") 1 4) (memory 1)
        (global $__stack_pointer (mut i32) (i32.const 4096))
        (data (i32.const 1024) "data")
        (func (export "pair") (result i32 i64) (i32.const 1) (i64.extend8_s (i64.const 1)))
        (func (export "_initialize") (drop (v128.const i64x2 0 0))))"#;
    let path = file(&folder, "uses.wat", text.as_bytes(), 0o644);
    let facts = facts(&path, 126);
    let module = &facts["module"];
    assert_eq!(module["uses"], json!(["multi-memory", "multi-value", "sign-extension", "simd"]));
    assert_eq!(module["role"], "reactor");
    assert_eq!(module["stack"], json!({"top": 4096, "most_bytes": 4096 - 1028}));
    assert_eq!(module["memories"][0]["maximum_bytes"], 4 * 65_536);
    assert_eq!(module["exports"][1]["type"], "() -> (i32, i64)");
    let offered: Vec<&Value> =
        (0..2).map(|i| &module["imports"][0]["items"][i]["offered"]).collect();
    assert_eq!(offered, [&json!(false), &json!(true)], "the first has a type of its own");
    assert_eq!(facts["obstacle"]["label"], "unstarted.missing-import");
    assert_eq!(needs(&facts), ["files", "network"]);
    assert_eq!(facts["needs"][1]["grant"], "never");
}

/// For every module of the suite that can't be loaded, `inspect` says so with the label that `run` has.
#[test]
fn an_obstacle_has_the_label_that_a_run_would_have() {
    for name in guests::names("modules") {
        let path = guests::module(&name);
        let ran = finish(sandtrap(["inspect", "--json", text_of(&path)]));
        let found = ran.report()["obstacle"]["label"].as_str().map(str::to_owned);
        let run = finish(sandtrap(["run", "--wall", "1s", "--memory", "1GiB", text_of(&path)]));
        let expected = match run.label() {
            // What has no beginning can be called.
            _ if ["no_start", "component_without_run"].contains(&name.as_str()) => None,
            label @ ("unstarted.invalid-module" | "unstarted.missing-import") => {
                Some(label.to_owned())
            }
            _ => None,
        };
        assert_eq!(found, expected, "{name}: {}", ran.text());
        assert_eq!(ran.code, Some(if found.is_some() { 126 } else { 0 }), "{name}");
    }
}

#[test]
fn a_component_is_told_with_its_interfaces_and_its_modules() {
    let folder = TempDir::new().unwrap();
    let text = r#"(component
        (import "wasi:filesystem/types@0.2.0" (instance))
        (core module (memory 2) (func))
        (core module (memory 1))
        (instance $run)
        (export "wasi:cli/run@0.2.0" (instance $run)))"#;
    let path = file(&folder, "it.wat", text.as_bytes(), 0o644);
    let found = finish(sandtrap(["inspect", "--json", text_of(&path)])).report();
    assert_eq!((&found["kind"], &found["wall"]), (&json!("component"), &json!("wasm")));
    let component = &found["component"];
    assert_eq!(component["role"], "command");
    assert_eq!(component["imports"][0]["name"], "wasi:filesystem/types@0.2.0");
    assert_eq!(component["least_memory_bytes"], 3 * 65_536);
    assert_eq!(component["modules"][0]["functions"], 1);
    assert_eq!(needs(&found), ["files"]);
    assert!(inspect(&path).text().contains("WebAssembly component, command"));
}

#[test]
fn an_executable_is_told_with_its_loader_and_what_hinders_it() {
    let path = guest(Wall::Native, "hello");
    let hello = facts(&path, 0);
    assert_eq!((&hello["kind"], &hello["wall"]), (&json!("executable"), &json!("native")));
    let executable = &hello["executable"];
    assert_eq!(executable["architecture"], std::env::consts::ARCH);
    assert_eq!(
        (&executable["is_static"], &executable["has_permission"]),
        (&json!(false), &json!(true))
    );
    let libraries = executable["libraries"].as_array().unwrap();
    assert!(libraries.iter().any(|name| name.as_str().unwrap().starts_with("libc.so")));

    let folder = TempDir::new().unwrap();
    let mut content = fs::read(&path).unwrap();
    let plain = file(&folder, "plain", &content, 0o644);
    let obstacle = &facts(&plain, 126)["obstacle"];
    assert_eq!(obstacle["label"], "unstarted.not-executable");
    assert!(obstacle["detail"].as_str().unwrap().contains("chmod +x"), "{obstacle}");

    let cut = file(&folder, "cut", &content[..40], 0o755);
    assert_eq!(facts(&cut, 126)["kind"], "truncated");

    // The machine stands at this place of the header: S/390 is nobody's here.
    content[18] = 22;
    let foreign = file(&folder, "foreign", &content, 0o755);
    let found = facts(&foreign, 126);
    assert!(found["obstacle"]["detail"].as_str().unwrap().contains("s390x"), "{found:#}");
}

#[test]
fn a_bare_name_is_looked_up_as_run_does() {
    let ran = finish(sandtrap(["inspect", "--json", "sh"]));
    let found = ran.report();
    assert_eq!((ran.code, &found["wall"]), (Some(0), &json!("native")));
    assert!(found["program"].as_str().unwrap().ends_with("/sh"), "{found:#}");
}

/// A program that was started ahead of time carries its memory as it was then, its stack included.
#[test]
fn a_picture_of_a_memory_says_nothing_about_the_room_for_a_stack() {
    let folder = TempDir::new().unwrap();
    let picture: String =
        (0..100).map(|at| format!("(data (i32.const {}) \"x\")", at * 64)).collect();
    let pointer = "(global $__stack_pointer (mut i32) (i32.const 8192))";
    let text = format!("(module (memory 1) {pointer} {picture} (func (export \"_start\")))");
    let path = file(&folder, "picture.wat", text.as_bytes(), 0o644);
    let stack = &facts(&path, 0)["module"]["stack"];
    assert_eq!(*stack, json!({"top": 8192, "most_bytes": null}));
}

#[test]
fn a_script_is_told_with_its_interpreter() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "it", b"#!/bin/sh -eu\necho never\n", 0o755);
    let found = facts(&path, 0);
    assert_eq!(found["kind"], "script");
    let expected = json!({"interpreter": "/bin/sh", "argument": "-eu", "has_permission": true});
    assert_eq!(found["script"], expected);
    let path = file(&folder, "lost", b"#!/nonexistent/sh\n", 0o755);
    let detail = &facts(&path, 126)["obstacle"]["detail"];
    assert!(detail.as_str().unwrap().contains("`/nonexistent/sh`"), "{detail}");
}

#[test]
fn what_is_no_program_is_named_for_what_it_is() {
    let folder = TempDir::new().unwrap();
    let hello = fs::read(guests::wasm("hello")).unwrap();
    for (name, content, kind, words) in [
        ("empty", &b""[..], "empty", "is empty"),
        ("empty.wasm", b"", "empty", "is empty"),
        ("magic", b"\0as", "truncated", "first four bytes"),
        ("half.wasm", &hello[..hello.len() / 2], "truncated", "is not a valid module"),
        ("version", b"\0asm\x07\0\0\0", "module", "is not a valid module"),
        ("precompiled", b"\x7fELF\x02\x01\x01\xc8\0\0\0\0\0\0\0\0", "precompiled", "precompiled"),
        ("text.wasm", b"hello\n", "other", "is not a module"),
        ("notes.txt", b"hello\n", "other", "is a text"),
        ("windows.exe", b"MZ\x90\0", "other", "Windows"),
        ("noise", b"\xff\xfe\xfd\xfc\xfb", "other", "begins with ff fe fd fc"),
    ] {
        let path = file(&folder, name, content, 0o755);
        let found = facts(&path, 126);
        let detail = found["obstacle"]["detail"].as_str().unwrap();
        assert_eq!(found["kind"], kind, "{name}: {detail}");
        assert!(detail.contains(words), "{name}: {detail}");
        let ran = inspect(&path);
        assert_eq!(ran.code, Some(126), "{name}");
        assert!(ran.text().contains(detail), "{name}: {}", ran.text());
    }
}

#[test]
fn what_can_not_be_read_is_refused_with_the_code_of_its_verdict() {
    for (path, code, label) in [
        ("/nonexistent", 127, "unstarted.not-found"),
        ("/tmp", 126, "unstarted.not-executable"),
        ("/dev/null", 126, "unstarted.not-executable"),
    ] {
        let ran = inspect(Path::new(path));
        ran.assert_refused(code);
        assert_eq!(ran.label(), label, "{}", ran.stderr);
    }
}

/// A name in a module may hold anything; on the terminal it ends no line and moves no cursor.
#[test]
fn names_of_a_module_are_made_plain() {
    let folder = TempDir::new().unwrap();
    let text = "(module (func (export \"a\\1b[2J\\0ab\")))";
    let path = file(&folder, "names.wat", text.as_bytes(), 0o644);
    let ran = inspect(&path);
    assert!(ran.text().contains("a\\u{1b}[2J\\nb"), "{}", ran.text());
}

#[test]
fn the_help_begins_with_an_example() {
    let ran = finish(sandtrap(["inspect", "--help"]));
    assert!(ran.text().starts_with("Example:\n  sandtrap inspect "), "{}", ran.text());
    assert!(finish(sandtrap(["--help"])).text().contains("  inspect "));
}

#[test]
fn of_a_native_file_that_is_nothing_but_holes_only_so_much_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = vec![0; 120];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    // One segment, which names a loader.
    for (at, value) in [(16, 2), (18, 62), (20, 1), (32, 64), (52, 64), (54, 56), (56, 1), (64, 3)]
    {
        bytes[at] = value;
    }
    // More than machines have memory, and more than one may have of it.
    for length in [1_u64 << 40, 1 << 30] {
        bytes[96..104].copy_from_slice(&length.to_le_bytes());
        let path = file(&folder, "holes", &bytes, 0o755);
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 41).unwrap();
        let found = facts(&path, 126);
        assert_eq!(found["kind"], json!("truncated"), "{found:#}");
    }
}
