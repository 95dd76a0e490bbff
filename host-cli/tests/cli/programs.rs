//! What may stand where the program stands: files of every kind, names to be looked up, and nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sandtrap::Wall;
use sandtrap_tests::guests;
use tempfile::TempDir;

use crate::kit::{Ran, finish, guest, run, run_command, sandtrap};

/// Writes a script for `/bin/sh` into a folder.
#[track_caller]
pub(crate) fn script(folder: &Path, body: &str) -> PathBuf {
    file(folder, "script", &format!("#!/bin/sh\n{body}\n"), 0o755)
}

/// Writes a file with this mode into a folder.
#[track_caller]
fn file(folder: &Path, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its owner sets its mode");
    path
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// It never started, for this reason, and the diagnosis says these words.
#[track_caller]
fn assert_unstarted(ran: &Ran, code: i32, label: &str, words: &[&str]) {
    assert_eq!((ran.code, ran.label(), ran.text()), (Some(code), label, ""), "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}` in {}", ran.stderr);
    }
}

#[test]
fn a_missing_file_is_not_found() {
    let missing = folder().path().join("missing");
    let wasm = missing.with_extension("wasm");
    for path in [&missing, &wasm, Path::new("no-such-program")] as [&Path; 3] {
        let words = [&*path.to_string_lossy()];
        assert_unstarted(&run(&[], path), 127, "unstarted.not-found", &words);
    }
    let below_a_file = guest(Wall::Native, "hello").join("x");
    assert_unstarted(&run(&[], &below_a_file), 127, "unstarted.not-found", &[]);
}

#[test]
fn a_component_runs_as_a_module_does() {
    let hello = run(&[], &guests::component("hello"));
    assert_eq!((hello.code, hello.text()), (Some(0), "hello from the guest\n"), "{}", hello.stderr);
    let mut echo = run_command(&["--stdin", "-"], &guests::component("echo"), &[]);
    let mut child =
        echo.stdin(std::process::Stdio::piped()).spawn().expect("sandtrap can be started");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"over\0and out")
        .expect("a reader");
    let ran = Ran::from(child.wait_with_output().expect("an end"));
    assert_eq!((ran.code, ran.text()), (Some(0), "over\0and out"), "{}", ran.stderr);
    let overflows = run(&[], &guests::component("stack_overflow_wide_frames"));
    assert_eq!((overflows.code, overflows.label()), (Some(139), "crashed.stack-overflow"));
    let place = "stack_overflow_wide_frames.rs:";
    assert!(overflows.stderr.contains(place), "no `{place}` in {}", overflows.stderr);
    let words = ["`wasi:http/outgoing-handler@0.2.4`", "WASI 0.2.x"];
    let missing = run(&[], &guests::module("component_missing_import"));
    assert_unstarted(&missing, 126, "unstarted.missing-import", &words);
    let words = ["lacks the export `wasi:cli/run@0.2.x`; it exports `add`"];
    let library = run(&[], &guests::module("component_without_run"));
    assert_unstarted(&library, 126, "unstarted.invalid-module", &words);
}

#[test]
fn a_directory_cannot_be_executed() {
    let folder = folder();
    let ran = run(&[], folder.path());
    assert_unstarted(&ran, 126, "unstarted.not-executable", &["is a directory"]);
}

#[test]
fn a_directory_is_no_module_either() {
    let folder = folder();
    let path = folder.path().join("folder.wasm");
    fs::create_dir(&path).expect("a folder");
    let ran = run(&[], &path);
    assert_eq!((ran.code, ran.text()), (Some(126), ""), "{}", ran.stderr);
    assert!(ran.label().starts_with("unstarted."), "{}", ran.stderr);
}

#[test]
fn a_file_without_permission_cannot_be_executed() {
    let folder = folder();
    let path = file(folder.path(), "plain", "#!/bin/sh\necho ran\n", 0o644);
    let ran = run(&[], &path);
    assert_unstarted(&ran, 126, "unstarted.not-executable", &["chmod +x"]);
}

#[test]
fn a_script_without_its_interpreter_cannot_be_executed() {
    let folder = folder();
    let path = file(folder.path(), "script", "#!/no/such/interpreter -x\n", 0o755);
    let ran = run(&[], &path);
    assert_unstarted(&ran, 126, "unstarted.not-executable", &["/no/such/interpreter"]);
}

#[test]
fn a_script_with_its_interpreter_runs() {
    let folder = folder();
    let path = script(folder.path(), "echo \"$# $1\"; exit 7");
    let ran = finish(run_command(&[], &path, &["a b", "c"]));
    assert_eq!((ran.code, ran.text(), ran.label()), (Some(7), "2 a b\n", "failed.exit"));
}

#[test]
fn an_empty_file_is_neither_a_module_nor_an_executable() {
    let folder = folder();
    let module = file(folder.path(), "empty.wasm", "", 0o644);
    assert_unstarted(&run(&[], &module), 126, "unstarted.invalid-module", &[]);
    let executable = file(folder.path(), "empty", "", 0o755);
    let ran = run(&[], &executable);
    assert_unstarted(&ran, 126, "unstarted.not-executable", &["neither an executable"]);
}

#[test]
fn a_letter_that_is_named_like_a_module_is_none() {
    let folder = folder();
    for name in ["letter.wat", "letter.wasm"] {
        let path = file(folder.path(), name, "Dear reader,\nthis is no module.\n", 0o644);
        assert_unstarted(&run(&[], &path), 126, "unstarted.invalid-module", &[]);
    }
}

#[test]
fn a_module_is_known_by_its_content_and_needs_no_permission() {
    let folder = folder();
    let path = folder.path().join("module-without-a-suffix");
    fs::copy(guest(Wall::Wasm, "hello"), &path).expect("a copy");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    let ran = run(&[], &path);
    assert_eq!((ran.code, ran.text()), (Some(0), "hello from the guest\n"), "{}", ran.stderr);
}

#[test]
fn a_text_module_runs_by_its_name() {
    let folder = folder();
    let text = "(module (func (export \"_start\")))";
    let ran = run(&[], &file(folder.path(), "tiny.wat", text, 0o644));
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn the_wall_can_be_said_against_the_content() {
    let ran = run(&["--in", "wasm"], &guest(Wall::Native, "hello"));
    assert_unstarted(&ran, 126, "unstarted.invalid-module", &[]);
    let folder = folder();
    let path = folder.path().join("hello.wasm");
    fs::copy(guest(Wall::Wasm, "hello"), &path).expect("a copy");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    let ran = run(&["--in", "native"], &path);
    assert_unstarted(&ran, 126, "unstarted.not-executable", &[]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    let ran = run(&["--in", "native"], &path);
    assert_unstarted(&ran, 126, "unstarted.not-executable", &["is a module", "wasm wall"]);
}

#[test]
fn b14_a_bare_name_is_looked_up_in_the_search_path() {
    let ran = finish(sandtrap(["run", "true"]));
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "", ""));
    let folder = folder();
    let own = script(folder.path(), "echo found");
    let name = own.file_name().expect("a name");
    let mut command = run_command(&[], Path::new(name), &[]);
    command.env("PATH", folder.path());
    assert_eq!(finish(command).text(), "found\n");
    let mut command = run_command(&[], Path::new(name), &[]);
    command.env("PATH", "/nonexistent");
    assert_unstarted(&finish(command), 127, "unstarted.not-found", &[]);
}

#[test]
fn a_relative_path_begins_in_the_current_directory() {
    let folder = folder();
    let below = folder.path().join("below");
    fs::create_dir(&below).expect("a folder");
    script(folder.path(), "echo here");
    script(&below, "echo below");
    for (path, text) in
        [("./script", "here\n"), ("below/script", "below\n"), ("below/../script", "here\n")]
    {
        let mut command = run_command(&[], Path::new(path), &[]);
        command.current_dir(folder.path());
        let ran = finish(command);
        assert_eq!((ran.code, ran.text()), (Some(0), text), "{path}: {}", ran.stderr);
    }
}
