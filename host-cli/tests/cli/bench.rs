//! `sandtrap bench`: every mode that works has its figures, every other one its reason, in each form of output.

use std::fs;
use std::path::Path;
use std::process::Command;

use sandtrap::Wall;
use serde_json::Value;

use crate::kit::{Ran, finish, guest, sandtrap, text_of};

/// As little as can be measured: nothing here depends on the figures.
const BRIEFLY: [&str; 4] = ["bench", "--quick", "--rounds", "1"];

fn bench(flags: &[&str]) -> Command {
    let mut command = sandtrap(BRIEFLY);
    command.args(["--wall", "10m", "--cpu", "10m"]).args(flags);
    command
}

fn figures(flags: &[&str]) -> Value {
    let ran = finish(bench(&[&["--json", "--no-guards-cost"], flags].concat()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.report()
}

fn calls(wall: Wall) -> String {
    text_of(&guest(wall, "calls")).to_owned()
}

#[track_caller]
fn mode<'a>(figures: &'a Value, name: &str) -> &'a Value {
    let modes = figures["modes"].as_array().expect("a list");
    modes.iter().find(|mode| mode["mode"] == name).unwrap_or_else(|| panic!("{name}: {figures:#}"))
}

#[track_caller]
fn assert_measured(spread: &Value) {
    let number = |key: &str| spread[key].as_f64().unwrap_or_else(|| panic!("{key}: {spread}"));
    assert!(number("least_ns") > 0.0 && number("samples") >= 1.0, "{spread}");
    assert!(number("least_ns") <= number("median_ns"), "{spread}");
    assert!(number("median_ns") <= number("p95_ns"), "{spread}");
}

#[test]
fn one_guest_is_measured_in_every_mode_of_both_its_forms() {
    let (native, wasm) = (calls(Wall::Native), calls(Wall::Wasm));
    let crash = ["--crash", "panics=\"on purpose\""];
    let flags = [&[&*native, &*wasm, "--function", "add", "--input", "[2, 40]"], &crash[..]];
    let found = figures(&flags.concat());
    for name in ["native fresh", "native fork", "wasm fresh", "wasm warm"] {
        let mode = mode(&found, name);
        for spread in ["call", "start", "crash_to_next"] {
            assert_measured(&mode[spread]);
        }
        assert!(mode["calls_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{mode}");
        assert!(mode["first_ns"].as_i64().is_some_and(|time| time > 0), "{mode}");
        let payload = mode["payload"].as_array().expect("a list");
        assert_eq!(payload.len(), 3, "{mode}");
        payload.iter().for_each(|point| assert_measured(&point["call"]));
        assert_eq!(mode["live"].as_array().map(Vec::len), Some(3), "{mode}");
    }
    assert!(!found["advice"].as_array().expect("a list").is_empty());
    assert_eq!(found["schema"], 1);
}

#[test]
fn the_other_form_is_found_beside_the_one_that_is_named() {
    let found = figures(&[&calls(Wall::Wasm), "--function", "nothing"]);
    assert!(found["guest"]["native"].as_str().is_some_and(|path| path.ends_with("calls")));
    mode(&found, "native fresh");
}

#[test]
fn a_program_as_a_whole_stands_beside_its_bare_start() {
    let found = figures(&[&calls(Wall::Native).replace("calls", "hello")]);
    assert_measured(&found["bare"]);
    let payload = mode(&found, "native fresh")["payload"].as_array().expect("a list");
    assert!(!payload.is_empty(), "what is given on stdin is a payload, too");
    let left_out = found["left_out"].as_array().expect("a list");
    let why = left_out.iter().find(|mode| mode["mode"] == "wasm warm").expect("it can't be kept");
    assert!(why["why"].as_str().is_some_and(|why| why.contains("--function")), "{why}");
}

#[test]
fn an_export_of_a_plain_module_is_measured_behind_its_own_wall() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("math.wat");
    let text = r#"(module (func (export "add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1))))"#;
    fs::write(&path, text).expect("there is room");
    let found =
        figures(&[text_of(&path), "--function", "add", "--arg", "i32:2", "--arg", "i32:40"]);
    assert_measured(&mode(&found, "wasm warm")["call"]);
    let left_out = found["left_out"].to_string();
    assert!(left_out.contains("there is no process of this guest at"), "{left_out}");
}

#[test]
fn guards_are_measured_one_by_one() {
    let ran = finish(bench(&["--json", text_of(&guest(Wall::Native, "hello"))]));
    let found = ran.report();
    let guards = found["guards"].as_array().expect("a list");
    for name in ["fuel", "backtrace", "no network (a namespace of its own)"] {
        let guard = guards.iter().find(|guard| guard["name"] == name);
        let guard = guard.unwrap_or_else(|| panic!("{name}: {found:#}"));
        assert_measured(&guard["with"]);
        assert_measured(&guard["without"]);
    }
}

#[test]
fn the_page_is_one_file_that_loads_nothing_and_can_be_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("<bench>.html");
    let flags = ["--no-guards-cost", "--html", text_of(&path), &calls(Wall::Wasm)];
    let ran = finish(bench(&[&flags[..], &["--function", "nothing"]].concat()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let page = fs::read_to_string(&path).expect("it was written");
    for forbidden in ["<script", "http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let drawings = page.matches("role=\"img\"").count();
    assert_eq!(drawings, 4, "distribution, payload, live guests, memory");
    assert_eq!(page.matches("<desc ").count(), drawings);
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
}

#[test]
fn tables_and_markdown_have_the_same_parts() {
    let guest = calls(Wall::Wasm);
    let flags = ["--no-guards-cost", &*guest, "--function", "nothing"];
    let plain = finish(bench(&flags));
    let marked = finish(bench(&[&flags[..], &["--markdown"]].concat()));
    for part in ["Calls", "Starts and crashes", "Payload", "Many guests at once", "Advice"] {
        assert!(plain.text().lines().any(|line| line == part), "{part}: {}", plain.text());
        assert!(marked.text().contains(&format!("## {part}\n")), "{part}: {}", marked.text());
    }
    assert!(plain.stderr.is_empty(), "no bar where there is no terminal: {}", plain.stderr);
}

#[test]
fn what_cannot_be_compared_is_wrong_usage() {
    let (native, wasm) = (&*calls(Wall::Native), &*calls(Wall::Wasm));
    let hello = &*text_of(&guest(Wall::Native, "hello")).to_owned();
    for (flags, words) in [
        (&[][..], "<GUEST>"),
        (&[native, hello], "behind the same wall"),
        (&["/etc/passwd"], "neither a module nor a program"),
        (&[native, "--rounds", "0"], "write it as in --rounds 9"),
        (&[native, "--input", "1"], "--function"),
        (&[native, "--function", "add", "--input", "{"], "write it as in '[1, 2]'"),
        (&[wasm, "--function", "add", "--crash", "panics={"], "--crash"),
        (&[native, "--json", "--markdown"], "--markdown"),
    ] {
        let ran: Ran = finish(bench(flags));
        ran.assert_refused(2);
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
}

#[test]
fn a_guest_that_is_not_there_and_one_that_never_works_are_told_apart() {
    finish(bench(&["/nonexistent/guest"])).assert_refused(127);
    let ran = finish(bench(&[&calls(Wall::Native), "--function", "no-such-function"]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.text().contains("left out: wasm fresh: its first call ended otherwise"));
}

#[test]
fn a_page_that_cannot_be_written_is_said_before_anything_runs() {
    let place = Path::new("/nonexistent/folder/page.html");
    finish(bench(&["--html", text_of(place), &calls(Wall::Native)])).assert_refused(125);
}
