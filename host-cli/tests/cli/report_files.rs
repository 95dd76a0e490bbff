//! `--report FILE`: the same object in a file, there whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use sandtrap::Wall;
use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{WALLS, finish, guest, run, run_command, sandtrap, text_of};
use crate::running::Running;

/// An empty folder, and a place in it for a report.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.json");
    (folder, file)
}

#[track_caller]
pub(crate) fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).expect("a report");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("no report: {error}\n{text}"))
}

#[test]
fn the_file_holds_the_same_object_that_is_printed() {
    for wall in WALLS {
        for name in ["hello", "wild_read", "sdk_error", "binary_stdout"] {
            let (_folder, file) = place();
            let ran = run(&["--json", "--report", text_of(&file)], &guest(wall, name));
            assert_eq!(fs::read_to_string(&file).expect("a report"), ran.text());
            assert_eq!(read(&file)["schema"], 1);
        }
    }
}

#[test]
fn with_a_report_in_a_file_the_output_still_streams() {
    for wall in WALLS {
        let (folder, file) = place();
        let flags = ["--stdin", "-", "--report", text_of(&file)];
        let mut running = Running::start(run_command(&flags, &guest(wall, "echo"), &[]));
        // The guest lives and waits for more, and what it wrote is here already.
        running.expect_echo();
        assert!(!file.exists());
        running.close_stdin();
        let ran = running.finish();
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "", ""));
        assert_eq!(read(&file)["output"]["stdout"], "are you there?\n");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}

#[test]
fn a_crash_leaves_its_report_in_the_file_and_its_diagnosis_on_stderr() {
    for wall in WALLS {
        let (_folder, file) = place();
        let ran = run(&["--report", text_of(&file)], &guest(wall, "abort"));
        assert_eq!((ran.code, ran.label(), ran.text()), (Some(134), "crashed.abort", ""));
        assert_eq!(read(&file)["verdict"]["label"], "crashed.abort");
    }
}

#[test]
fn an_old_report_is_replaced_even_by_that_of_a_guest_that_never_started() {
    let (_folder, file) = place();
    fs::write(&file, "an old report").expect("a file");
    let ran = run(&["--report", text_of(&file)], Path::new("./no-such-program"));
    assert_eq!(ran.code, Some(127));
    assert_eq!(read(&file)["verdict"]["label"], "unstarted.not-found");
}

#[test]
fn a_report_without_a_place_is_told_before_anything_runs() {
    let (folder, marker) = place();
    let script = crate::programs::script(folder.path(), &format!("echo > {}", text_of(&marker)));
    for place in ["/nonexistent/report.json", text_of(folder.path())] {
        let ran = run(&["--report", place], &script);
        ran.assert_refused(125);
        assert!(ran.stderr.contains(place) && ran.stderr.contains("nothing was run"), "{ran:?}");
        assert!(!marker.exists());
    }
    let granted = format!("{}:rw", text_of(folder.path()));
    assert_eq!(run(&["--dir", &granted], &script).code, Some(0));
    assert!(marker.exists(), "the script leaves no marker, so this test proves nothing");
}

#[test]
fn a_report_may_go_to_a_stream_of_our_own() {
    let ran = run(&["--stdout", "null", "--report", "/dev/stdout"], &guest(Wall::Native, "hello"));
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.report()["output"]["stdout"], "hello from the guest\n");
}

#[test]
fn a_file_in_shared_memory_is_a_file_like_any_other() {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let place = folder.path().join("report.json");
    for _ in 0..2 {
        let ran = run(&["--report", text_of(&place)], &guest(Wall::Wasm, "hello"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(read(&place)["verdict"]["label"], "completed");
    }
    let tasks = folder.path().join("tasks.jsonl");
    let line = serde_json::json!({"program": text_of(&guest(Wall::Wasm, "abort"))});
    fs::write(&tasks, line.to_string()).expect("a file");
    let dumps = folder.path().join("dumps");
    let ran = finish(sandtrap(["batch", text_of(&tasks), "--core-dumps", text_of(&dumps)]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(fs::read(dumps.join("line-1.core.wasm")).expect("a dump").starts_with(b"\0asm"));
}

#[test]
fn a_report_on_stdout_stands_behind_what_is_there_also_where_that_is_a_file() {
    let (folder, file) = place();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/stdout", &link).expect("a link");
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", text_of(&link)] {
        let mut command = run_command(&["--report", name], &guest(Wall::Wasm, "hello"), &[]);
        command.stdout(fs::File::create(&file).expect("a file"));
        assert_eq!(finish(command).code, Some(0), "{name}");
        let text = fs::read_to_string(&file).expect("a file");
        let json = text.strip_prefix("hello from the guest\n").expect("what the guest wrote");
        assert!(serde_json::from_str::<Value>(json).is_ok(), "{name}: {text}");
    }
}

#[test]
fn a_core_dump_is_written_of_a_module_that_died_and_refused_of_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("core.wasm");
    let shown = place.display().to_string();
    let flags = ["--core-dump", shown.as_str()];
    assert_eq!(run(&flags, &guest(Wall::Wasm, "hello")).code, Some(0));
    assert!(!place.exists(), "it ended in order");
    let ran = run(&flags, &guest(Wall::Wasm, "abort"));
    assert_eq!(ran.label(), "crashed.abort");
    assert!(ran.stderr.contains("\n  dump     "), "{}", ran.stderr);
    let dump = fs::read(&place).expect("it is there");
    assert!(dump.starts_with(b"\0asm"), "another tool reads it as a module");
    let ran = run(&flags, &guest(Wall::Native, "abort"));
    assert_eq!(ran.label(), "unstarted.rejected");
    assert!(ran.stderr.contains("made of a module"), "{}", ran.stderr);
}
