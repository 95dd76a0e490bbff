//! `--retries`, `--config`, `--reuse` and `--start` of `run` and `call`: one task through an executor, or told why not.

use std::fs;
use std::path::Path;

use sandtrap::Wall;
use serde_json::{Value, json};

use crate::kit::{Ran, WALLS, finish, guest, sandtrap, text_of};

/// Runs a shell that dies at its first attempt, and says at each attempt which one it is.
fn flaky(folder: &Path, name: &str, flags: &[&str]) -> Ran {
    let (tried, granted) = (folder.join(name), format!("{}:rw", text_of(folder)));
    let mark = tried.display();
    let body = format!(
        "test -e '{mark}' && echo second && exit 0; echo first; echo > '{mark}'; kill -SEGV $$"
    );
    let line = [&["run", "--dir", &granted], flags, &["/bin/sh", "-c", &body]].concat();
    finish(sandtrap(line))
}

fn call(wall: Wall, flags: &[&str]) -> Ran {
    let calls = guest(wall, "calls");
    let line = ["call", text_of(&calls), "add", "--input", "[2, 3]"];
    finish(sandtrap([&line[..], flags].concat()))
}

#[test]
fn s36_a_run_is_tried_again_if_that_is_asked_for_and_every_attempt_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let ran = flaky(folder, "once", &[]);
    assert_eq!((ran.code, ran.text(), ran.label()), (Some(139), "first\n", "crashed.killed"));
    let ran = flaky(folder, "twice", &["--retries", "2"]);
    assert_eq!((ran.code, ran.text(), ran.stderr.as_str()), (Some(0), "first\nsecond\n", ""));
    let ran = flaky(folder, "told", &["--retries", "2", "--json"]);
    let report = ran.report();
    assert_eq!((&report["attempts"], &report["output"]["stdout"]), (&json!(2), &json!("second\n")));
    let labels: Vec<&Value> =
        report["history"].as_array().expect("a list").iter().map(|it| &it["label"]).collect();
    assert_eq!(labels, ["crashed.killed", "completed"]);
    let ran = flaky(folder, "never", &["--retries", "0"]);
    assert_eq!((ran.code, ran.text()), (Some(139), "first\n"));
}

#[test]
fn settings_of_a_file_hold_for_one_task_and_flags_count_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("settings.toml");
    let flags = ["--config", text_of(&config), "--retries", "3"];
    // Of four attempts that may be made, the breaker lets one through.
    fs::write(&config, "[breaker]\nfailures = 1\n[pool]\nworkers = 7").expect("a file");
    let ran = flaky(folder.path(), "broken", &[&flags[..], &["--json"]].concat());
    let report = ran.report();
    assert_eq!((ran.code, &report["attempts"]), (Some(139), &json!(1)), "{report:#}");
    // A file alone doesn't say that this task may be done twice.
    fs::write(&config, "[retry]\nattempts = 9\nfirst = \"1ms\"").expect("a file");
    assert_eq!(flaky(folder.path(), "unsaid", &flags[..2]).text(), "first\n");
    assert_eq!(flaky(folder.path(), "said", &flags).text(), "first\nsecond\n");
}

#[test]
fn a_call_has_the_same_answer_by_every_way_behind_both_walls() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("settings.toml");
    fs::write(&config, "[pool]\nkeep = true\nspares = 1").expect("a file");
    for wall in WALLS {
        for flags in [
            &["--reuse", "fresh"][..],
            &["--reuse", "warm"],
            &["--retries", "2"],
            &["--config", text_of(&config)],
            &["--config", text_of(&config), "--reuse", "fresh", "--retries", "0"],
        ] {
            let ran = call(wall, flags);
            let found = (ran.code, ran.text(), ran.stderr.as_str());
            assert_eq!(found, (Some(0), "5\n", ""), "{wall:?} {flags:?}");
            let report = call(wall, &[flags, &["--json"]].concat()).report();
            assert_eq!((&report["attempts"], &report["output"]["result"]), (&json!(1), &json!(5)));
        }
    }
}

#[test]
fn what_cannot_be_loaded_has_its_verdict_through_an_executor_too() {
    for (line, code, label) in [
        (&["run", "--retries", "1", "/no/such/program"][..], 127, "unstarted.not-found"),
        (&["call", "--reuse", "warm", "/no/such/program", "f"], 127, "unstarted.not-found"),
    ] {
        let ran = finish(sandtrap(line));
        assert_eq!((ran.code, ran.label()), (Some(code), label), "{}", ran.stderr);
    }
}

#[test]
fn what_only_functions_have_is_refused_for_a_run_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("settings.toml");
    let config = text_of(&config);
    let with = |text: &str| fs::write(config, text).expect("a file");
    let refused = |flags: &[&str], words: &[&str]| {
        let ran = finish(sandtrap([&["run"], flags, &["/bin/true"]].concat()));
        ran.assert_refused(2);
        for word in words {
            assert!(ran.stderr.contains(word), "{flags:?}: no `{word}` in {}", ran.stderr);
        }
    };
    refused(
        &["--start", "fork"],
        &["no moment at which it is warm", "sandtrap call PROGRAM FUNCTION"],
    );
    refused(&["--reuse", "warm"], &["nothing of it can be kept", "sandtrap call PROGRAM FUNCTION"]);
    refused(&["--retries", "-1"], &["--retries", "below zero"]);
    refused(
        &["--retries", "1", "--stdin", "-"],
        &["not there for the next one", "--stdin input.txt"],
    );
    for (text, words) in [
        ("[pool]\nkeep = true", "says `keep = true`"),
        ("[pool]\nspares = 1", "says `spares`"),
        ("[device]\nexits = [1]", "says `[device]`, and no device can be named here"),
        ("[breaker]\nfailure = 1", "line 2: `breaker.failure` is unknown"),
    ] {
        with(text);
        refused(&["--config", config], &["settings.toml", words]);
    }
    with("[executor]\nenabled = false");
    refused(&["--config", config, "--retries", "1"], &["`enabled = false`", "`--retries` needs"]);
    let ran = finish(sandtrap(["run", "--start", "spawn", "--reuse", "fresh", "/bin/true"]));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_policy_shows_how_a_task_is_tried() {
    for verb in ["run", "call"] {
        let ran = finish(sandtrap([verb, "--show-policy", "--retries", "3"]));
        for row in
            ["start        spawn", "reuse        fresh", "retries      3", "config       none"]
        {
            let found = ran.text().lines().any(|line| line.trim() == row);
            assert!(found, "{verb}: no `{row}` in\n{}", ran.text());
        }
    }
}
