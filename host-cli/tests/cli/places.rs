//! Where things are written: nothing of a user's is replaced that he has not named for it, and nothing is lost without a word.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Command;

use sandtrap::Wall;
use serde_json::{Value, json};

use crate::kit::{Ran, finish, guest, sandtrap, text_of};

/// Runs it with both of its streams behind what stands in a file already, as a shell does for `>> log 2>&1`.
fn into(log: &Path, mut command: Command) -> String {
    fs::write(log, "before\n").unwrap();
    let opened = OpenOptions::new().write(true).open(log).unwrap();
    let mut position = &opened;
    std::io::Seek::seek(&mut position, std::io::SeekFrom::End(0)).unwrap();
    command.stdout(opened.try_clone().unwrap()).stderr(opened.try_clone().unwrap());
    command.status().unwrap();
    std::io::Write::write_all(&mut position, b"after\n").unwrap();
    fs::read_to_string(log).unwrap()
}

#[test]
fn what_is_compiled_takes_the_place_of_a_plain_file_only_and_never_that_of_its_module() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::copy(guest(Wall::Wasm, "hello"), at("hello.wasm")).unwrap();
    let module = fs::read(at("hello.wasm")).unwrap();
    fs::write(at("real.cwasm"), "old").unwrap();
    std::os::unix::fs::symlink(at("real.cwasm"), at("link.cwasm")).unwrap();
    std::os::unix::fs::symlink(at("hello.wasm"), at("again.wasm")).unwrap();
    let compile =
        |to: &Path| finish(sandtrap(["compile", text_of(&at("hello.wasm")), "-o", text_of(to)]));
    for itself in ["hello.wasm", "again.wasm"] {
        let ran = compile(&at(itself));
        ran.assert_refused(2);
        assert!(ran.stderr.contains("name another file"), "{}", ran.stderr);
    }
    assert_eq!(compile(Path::new("/dev/null")).code, Some(0));
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    assert_eq!(compile(&at("link.cwasm")).code, Some(0));
    assert!(fs::symlink_metadata(at("link.cwasm")).unwrap().is_symlink());
    assert_eq!(fs::read(at("hello.wasm")).unwrap(), module);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no draft is left");
    for verb in ["inspect", "run"] {
        assert_eq!(finish(sandtrap([verb, text_of(&at("real.cwasm"))])).code, Some(0), "{verb}");
    }
}

#[test]
fn what_is_open_already_is_written_behind_what_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let abort = guest(Wall::Wasm, "abort");
    for stream in ["/dev/stdout", "/dev/stderr", "/proc/self/fd/1"] {
        let said = into(&log, sandtrap(["run", "--report", stream, text_of(&abort)]));
        let (begin, end) = (said.find('{').unwrap(), said.rfind('}').unwrap());
        let report: Value = serde_json::from_str(&said[begin..=end]).unwrap();
        assert_eq!(report["verdict"]["label"], "crashed.abort", "{stream}");
        assert!(said.starts_with("before\n") && said.ends_with("after\n"), "{stream}: {said}");
        assert!(said.contains("[crashed.abort]"), "{stream}: {said}");
    }
    for flags in [["--stdout", "/dev/stdout"], ["--stderr", "/dev/stdout"]] {
        let hello = guest(Wall::Wasm, "hello");
        let said = into(&log, sandtrap(["run", flags[0], flags[1], text_of(&hello)]));
        assert!(said.starts_with("before\n") && said.ends_with("after\n"), "{flags:?}: {said}");
        assert!(said.contains("hello from the guest"), "{flags:?}: {said}");
    }
}

#[test]
fn one_file_for_two_things_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "input").unwrap();
    let hello = guest(Wall::Wasm, "hello");
    let run = |first: &str, second: &str| -> Ran {
        let flags = ["run", first, text_of(&file), second, text_of(&file), text_of(&hello)];
        finish(sandtrap(flags))
    };
    for (first, second) in [
        ("--report", "--core-dump"),
        ("--stdout", "--report"),
        ("--stderr", "--core-dump"),
        ("--stdin", "--stdout"),
        ("--stdin", "--report"),
    ] {
        let ran = run(first, second);
        assert_eq!(ran.code, Some(2), "{first} {second}: {}", ran.stderr);
        for words in [first, second, "nothing was run"] {
            assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "input");
    assert_eq!(run("--stdout", "--stderr").code, Some(0), "a guest's streams may share one");
}

#[test]
fn items_go_where_their_result_goes_and_not_into_a_report_that_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stdout");
    let calls = guest(Wall::Wasm, "calls");
    let call = |flags: &[&str]| {
        let words = ["call", text_of(&calls), "count", "--input", "2", "--stream"];
        finish(sandtrap([&words[..], flags].concat()))
    };
    let plain = call(&[]);
    assert_eq!((plain.code, plain.text().lines().count()), (Some(0), 3), "{}", plain.text());
    for target in ["null", text_of(&file)] {
        assert_eq!(call(&["--stdout", target]).text(), plain.text(), "{target}");
    }
    let ran = call(&["--json"]);
    ran.assert_refused(2);
    assert!(ran.stderr.contains("--stream --json"), "{}", ran.stderr);
}

#[test]
fn an_executable_that_is_cut_off_is_none_whatever_its_limits_are() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut");
    fs::copy(guest(Wall::Native, "hello"), &cut).unwrap();
    File::options().write(true).open(&cut).unwrap().set_len(5000).unwrap();
    let ran = finish(sandtrap(["run", "--memory", "2GiB", text_of(&cut)]));
    assert_eq!((ran.code, ran.label()), (Some(126), "unstarted.not-executable"), "{}", ran.stderr);
    assert!(ran.stderr.contains("cut off or damaged"), "{}", ran.stderr);
}

#[test]
fn an_input_that_is_no_text_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    fs::write(&file, b"\"\xff\"").unwrap();
    let input = format!("@{}", text_of(&file));
    let calls = guest(Wall::Wasm, "calls");
    let ran = finish(sandtrap(["call", text_of(&calls), "echo", "--input", &input]));
    ran.assert_refused(2);
    assert!(ran.stderr.contains("no UTF-8"), "{}", ran.stderr);
}

#[test]
fn a_batch_that_is_gone_on_with_knows_each_task_by_its_name_and_what_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, kept) = (folder.path().join("tasks.jsonl"), folder.path().join("kept.jsonl"));
    let (hello, abort) = (guest(Wall::Wasm, "hello"), guest(Wall::Wasm, "abort"));
    let line = |id: &str, program: &Path| json!({"id": id, "program": text_of(program)});
    let batch = |flags: &[&str]| finish(sandtrap([&["batch", text_of(&file)], flags].concat()));
    let write = |lines: &[Value]| {
        fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    };
    write(&[line("a", &hello), line("a", &abort)]);
    let ran = batch(&["--resume", text_of(&kept)]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("line 2") && ran.stderr.contains("that of line 1"),
        "{}",
        ran.stderr
    );
    assert_eq!(batch(&[]).code, Some(1), "nobody has to tell them apart");
    write(&[line("a", &hello), line("b", &abort)]);
    // The second time nothing runs, and what has failed has not completed by that.
    for _ in 0..2 {
        assert_eq!(batch(&["--resume", text_of(&kept)]).code, Some(1));
    }
    assert_eq!(fs::read_to_string(&kept).unwrap().lines().count(), 2);
    let ran = batch(&["--workers", "100000"]);
    ran.assert_refused(2);
    assert!(ran.stderr.contains("1024 at most"), "{}", ran.stderr);
}
