//! `sandtrap call`: the functions of guests built with the SDK, behind both walls.

use std::io::Write as _;
use std::process::Stdio;

use sandtrap::Wall;
use serde_json::json;

use crate::kit::{Ran, WALLS, finish, guest, sandtrap, text_of};
use crate::programs::script;

fn call(wall: Wall, function: &str, flags: &[&str]) -> Ran {
    let path = guest(wall, "calls");
    let mut command = sandtrap(["call", text_of(&path), function]);
    command.args(flags);
    finish(command)
}

#[test]
fn json_goes_in_and_the_result_is_one_line_of_json() {
    for wall in WALLS {
        let ran = call(wall, "add", &["--input", "[2, -44]"]);
        assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "-42\n", ""), "{wall:?}");
        let ran = call(wall, "nothing", &[]);
        assert_eq!((ran.code, ran.text()), (Some(0), "null\n"), "{wall:?}: {}", ran.stderr);
    }
}

#[test]
fn the_input_may_be_a_file_or_come_on_stdin() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[1,\n 2]\n").unwrap();
    let named = format!("@{}", text_of(file.path()));
    for wall in WALLS {
        let ran = call(wall, "add", &["--input", &named]);
        assert_eq!((ran.code, ran.text()), (Some(0), "3\n"), "{wall:?}: {}", ran.stderr);
        let path = guest(wall, "calls");
        let mut command = sandtrap(["call", text_of(&path), "add", "--input", "-"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"[3, 4]").unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.text()), (Some(0), "7\n"), "{wall:?}: {}", ran.stderr);
    }
}

#[test]
fn items_are_lines_on_stdout_if_they_are_wanted_and_words_are_lines_on_stderr() {
    let words = " 50% 1/2 counting\n100% 2/2 counting\nwarning: that was all\n";
    for wall in WALLS {
        let ran = call(wall, "count", &["--input", "2", "--stream"]);
        assert_eq!((ran.text(), ran.stderr.as_str()), ("0\n1\n2\n", words), "{wall:?}");
        let ran = call(wall, "count", &["--input", "2"]);
        assert_eq!((ran.text(), ran.stderr.as_str()), ("2\n", words), "{wall:?}");
    }
}

#[test]
fn the_report_of_a_function_holds_its_result() {
    let input = r#"{"name": "x", "width": 1, "height": 2}"#;
    for wall in WALLS {
        let report = call(wall, "turn", &["--input", input, "--json"]).report();
        let turned = json!({"name": "x", "width": 2, "height": 1});
        assert_eq!(report["output"]["result"], turned, "{wall:?}");
        assert_eq!(report["output"]["result_codec"], "json");
        assert_eq!(report["task"]["entry"], "call");
        assert_eq!(report["task"]["function"], "turn");
        assert_eq!(report["task"]["isolation"], wall.name());
        let report = call(wall, "parse", &["--input", "\"x\"", "--json"]).report();
        assert_eq!(report["verdict"]["chain"], json!(["invalid digit found in string"]));
        assert_eq!(report["output"]["result"], json!(null));
    }
}

#[test]
fn json_goes_its_way_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, input) = (folder.path().join("tasks"), r#"{"name": "x", "width": 1, "height": 2}"#);
    // A guest that looks sees the same key twice.
    let twice = input.replace("\"x\"", "\"x\", \"name\": \"y\"");
    let result = r#""result":{"name":"x","width":2,"height":1},"#;
    for wall in WALLS {
        let ran = call(wall, "turn", &["--input", input, "--json"]);
        assert!(ran.text().contains(&result.replacen(':', ": ", 1)), "{wall:?}: {}", ran.text());
        let program = json!(text_of(&guest(wall, "calls")));
        let line =
            |input| format!(r#"{{"program": {program}, "function": "turn", "input": {input}}}"#);
        std::fs::write(&tasks, format!("{}\n{}\n", line(input), line(&twice))).unwrap();
        let ran = finish(sandtrap(["batch", text_of(&tasks)]));
        let (first, second) = ran.text().trim_end().split_once('\n').unwrap();
        assert!(first.contains(result), "{wall:?}: {first}");
        assert!(second.contains("duplicate field `name`"), "{wall:?}: {second}");
    }
}

#[test]
fn an_unknown_function_names_those_that_there_are() {
    for wall in WALLS {
        let ran = call(wall, "resize", &["--input", "null"]);
        assert_eq!((ran.code, ran.label(), ran.text()), (Some(1), "failed.error", ""), "{wall:?}");
        assert!(ran.stderr.contains("no function `resize`; this guest has"), "{}", ran.stderr);
        assert!(ran.stderr.contains("`add`, `echo`"), "{}", ran.stderr);
    }
}

#[test]
fn a_function_that_ends_badly_has_the_exit_code_of_its_verdict() {
    for wall in WALLS {
        for (function, input, code, label) in [
            ("divide", "[1, 0]", 1, "failed.error"),
            ("panics", "\"boom\"", 101, "failed.panic"),
            ("exits", "7", 7, "failed.exit"),
            ("exits", "0", 76, "crashed.protocol"),
            ("turn", "7", 1, "failed.error"),
        ] {
            let ran = call(wall, function, &["--input", input]);
            let found = (ran.code, ran.label(), ran.text());
            assert_eq!(found, (Some(code), label, ""), "{wall:?} {function}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_program_without_functions_that_is_called_is_told_to_have_said_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let endless = script(folder.path(), "while :; do :; done");
    for (program, flags, code, label) in [
        ("/bin/true", &[][..], 76, "crashed.protocol"),
        ("/bin/false", &[], 1, "failed.exit"),
        (text_of(&endless), &["--wall", "500ms"], 124, "stopped.wall-time"),
    ] {
        let ran = finish(sandtrap([&["call", program, "resize"], flags].concat()));
        assert_eq!((ran.code, ran.label()), (Some(code), label), "{}", ran.stderr);
        assert!(ran.stderr.contains("it never said hello"), "{}", ran.stderr);
    }
    let ran = finish(sandtrap(["call", "/bin/true", "resize"]));
    assert!(ran.stderr.contains("run it as a command, or serve its functions"), "{}", ran.stderr);
    let page = finish(sandtrap(["explain", "crashed.protocol"]));
    assert!(page.text().contains("never said hello"), "{}", page.text());
    // One that has functions, and dies before it could answer, is no stranger.
    let ran = call(Wall::Native, "exits", &["--input", "7"]);
    assert!(!ran.stderr.contains("never said hello"), "{}", ran.stderr);
}

#[test]
fn an_input_that_is_no_json_is_refused_with_an_example() {
    for input in ["", "[1", "resize", "1 2"] {
        let ran = call(Wall::Wasm, "add", &["--input", input]);
        ran.assert_refused(2);
        assert!(ran.stderr.contains("write it as in '[1, 2]'"), "{}", ran.stderr);
    }
    let ran = call(Wall::Wasm, "add", &["--input", "@/no/such/file"]);
    ran.assert_refused(125);
    assert!(ran.stderr.contains("`/no/such/file`"), "{}", ran.stderr);
    call(Wall::Wasm, "add", &["--input", "1", "--arg", "i32:1"]).assert_refused(2);
}

#[test]
fn p9_a_large_result_stays_in_its_file_and_its_name_is_the_next_input() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = format!("file:{}", text_of(folder.path()));
    let input = serde_json::to_string(&vec![7; 90_000]).unwrap();
    let file = folder.path().join("input");
    std::fs::write(&file, &input).unwrap();
    let named = format!("@{}", text_of(&file));
    for wall in WALLS {
        let ran = call(wall, "echo", &["--input", &named, "--payloads", &payloads]);
        let name = ran.text().trim_end();
        assert!(name.starts_with('@'), "{wall:?}: {}", ran.stderr);
        assert_eq!(std::fs::read_to_string(&name[1..]).unwrap(), input, "{wall:?}");
        let report = call(wall, "echo", &["--input", name, "--payloads", &payloads, "--json"]);
        let report = report.report();
        let kept = report["output"]["result_file"].as_str().unwrap();
        assert_eq!(std::fs::read_to_string(kept).unwrap(), input, "{wall:?}");
        assert_eq!(report["output"]["result_codec"], "json", "{wall:?}");
        let small = call(wall, "add", &["--input", "[2, 3]", "--payloads", &payloads]);
        assert_eq!(small.text(), "5\n", "{wall:?}");
    }
    let ran = call(Wall::Native, "add", &["--input", "[2, 3]", "--payloads", "file:/nonexistent"]);
    assert_eq!(ran.label(), "unstarted.rejected");
    call(Wall::Native, "add", &["--payloads", "disk"]).assert_refused(2);
}

const COMPONENT: &str = r#"(component
  (core module $m
    (global $calls (mut i32) (i32.const 0))
    (func (export "area") (param i32 i32) (result i32) (i32.mul (local.get 0) (local.get 1)))
    (func (export "next") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls)))
  (core instance $m (instantiate $m))
  (func (export "area") (param "width" u32) (param "height" u32) (result u32)
    (canon lift (core func $m "area")))
  (func $next (result u32) (canon lift (core func $m "next")))
  (instance $counts (export "next" (func $next)))
  (export "test:counts/from-one@1.0.0" (instance $counts)))"#;

#[test]
fn a_function_of_a_component_takes_and_returns_json() {
    let file = tempfile::NamedTempFile::with_suffix(".wat").unwrap();
    std::fs::write(file.path(), COMPONENT).unwrap();
    let call = |words: &[&str]| finish(sandtrap([&["call", text_of(file.path())], words].concat()));
    for words in
        [&["area", "--input", r#"{"width": 3, "height": 4}"#][..], &["area", "--input", "[3, 4]"]]
    {
        let ran = call(words);
        assert_eq!((ran.code, ran.text()), (Some(0), "12\n"), "{}", ran.stderr);
    }
    for name in ["next", "test:counts/from-one@1.0.0#next"] {
        assert_eq!(call(&[name]).text(), "1\n");
    }
    let ran = call(&["area", "--arg", "i32:3", "--arg", "i32:4"]);
    assert!(ran.stderr.contains("call them with JSON"), "{}", ran.stderr);
    let ran = call(&["width"]);
    let words = "the component exports `test:counts/from-one@1.0.0#next`, `area`";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);

    let looked = finish(sandtrap(["inspect", text_of(file.path())]));
    assert!(looked.text().contains("runs        by `sandtrap call`\n"), "{}", looked.text());
    let ran = finish(sandtrap(["run", text_of(file.path())]));
    assert!(ran.stderr.contains("`area`: call one of its functions instead"), "{}", ran.stderr);

    let line = json!({"program": text_of(file.path()), "function": "next", "input": null});
    let tasks = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tasks.path(), format!("{line}\n{line}\n")).unwrap();
    for (how, said) in [("fresh", "11"), ("warm", "12")] {
        let flags = ["batch", text_of(tasks.path()), "--workers", "1", "--reuse", how];
        let ran = finish(sandtrap(flags));
        let results: String = ran
            .text()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|report| report["output"]["result"].to_string())
            .collect();
        assert_eq!(results, said, "{}", ran.stderr);
    }
}

#[test]
fn the_report_of_a_failure_has_the_error_as_a_value_and_tells_the_input_by_a_digest() {
    for wall in WALLS {
        let report = call(wall, "divide", &["--input", "[1, 0]", "--json"]).report();
        assert_eq!(report["output"]["error_value"], json!({"dividend": 1, "divisor": 0}));
        assert_eq!(report["output"]["error_codec"], "json", "{wall:?}");
        assert_eq!(report["task"]["input_bytes"], 6, "{wall:?}");
        assert_eq!(report["task"]["input_digest"].as_str().map(str::len), Some(32), "{wall:?}");
        let report = call(wall, "add", &["--input", "[1, 0]", "--json"]).report();
        assert!(
            report["output"]["error_value"].is_null() && report["task"]["input_bytes"].is_null()
        );
    }
}

/// A module always says it, so there it changes nothing.
#[test]
fn a_function_says_where_it_panicked_if_it_is_asked() {
    for wall in WALLS {
        for (flags, is_told) in [(&[][..], wall == Wall::Wasm), (&["--backtrace"], true)] {
            let asked = [&["--input", "\"boom\"", "--json"], flags].concat();
            let ran = call(wall, "panics", &asked);
            let report: serde_json::Value = serde_json::from_str(ran.text()).unwrap();
            assert_eq!(report["verdict"]["label"], "failed.panic", "{wall:?}");
            let trace = report["verdict"]["trace"].as_array().unwrap();
            let names_it =
                trace.iter().any(|it| it.as_str().is_some_and(|it| it.contains("calls::panics")));
            assert_eq!(names_it, is_told, "{wall:?} {flags:?}: {trace:?}");
        }
    }
}
