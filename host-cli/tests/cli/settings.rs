//! `--config FILE.toml`: what it says holds, and what it can't mean is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandtrap::Wall;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Ran, finish, guest, sandtrap, text_of};

/// A folder with settings and tasks in it.
struct Files(TempDir);

impl Files {
    fn new(config: &str, tasks: &[Value]) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        fs::write(files.config(), config).expect("a file");
        let lines: String = tasks.iter().map(|task| format!("{task}\n")).collect();
        fs::write(files.tasks(), lines).expect("a file");
        files
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("settings.toml")
    }

    fn tasks(&self) -> PathBuf {
        self.0.path().join("tasks.jsonl")
    }

    fn batch(&self, flags: &[&str]) -> Ran {
        let (tasks, config) = (self.tasks(), self.config());
        let line = ["batch", text_of(&tasks), "--config", text_of(&config)];
        finish(sandtrap([&line[..], flags].concat()))
    }
}

fn labels(ran: &Ran) -> Vec<String> {
    let of = |line: &str| {
        let report: Value = serde_json::from_str(line).expect("a report");
        report["verdict"]["label"].as_str().expect("a label").to_owned()
    };
    ran.text().lines().map(of).collect()
}

fn aborts(lines: usize) -> Vec<Value> {
    vec![json!({"program": text_of(&guest(Wall::Wasm, "abort"))}); lines]
}

#[test]
fn a_breaker_that_is_set_in_any_of_three_ways_opens() {
    for config in [
        "[breaker]\nfailures = 3",
        "breaker.failures = 3",
        "[crash_barrier]\ncircuit_failure_threshold = 3",
    ] {
        let files = Files::new(config, &aborts(5));
        let shown = files.batch(&["--show-config"]);
        assert!(shown.text().contains("[breaker]\nenabled = true\nfailures = 3\n"), "{config}");
        assert!(shown.text().contains("[quarantine]\nenabled = false\n"), "{config}");
        let ran = files.batch(&["--workers", "1"]);
        let refused = labels(&ran).iter().filter(|label| *label == "unstarted.rejected").count();
        assert_eq!((labels(&ran).len(), refused), (5, 2), "{config}: {}", ran.stderr);
    }
}

#[test]
fn an_input_that_kills_is_quarantined_and_late_tasks_have_copies_where_that_is_set() {
    let files = Files::new("[quarantine]\npoison_after = 2\ncluster = 9", &aborts(4));
    let ran = files.batch(&["--workers", "1"]);
    let expected = ["crashed.abort", "crashed.abort", "unstarted.rejected", "unstarted.rejected"];
    assert_eq!(labels(&ran), expected, "{}", ran.stderr);
    let files = Files::new("[hedge]\npercentile = 90", &[]);
    let shown = files.batch(&["--show-config"]);
    assert!(shown.text().contains("[hedge]\nenabled = true\npercentile = 90\n"), "{shown:?}");
}

#[test]
fn settings_that_fight_are_told_with_both_lines_and_nothing_runs() {
    let config = "[breaker]\nenabled = false\nfailures = 3";
    let files = Files::new(config, &aborts(1));
    for flags in [&[][..], &["--show-config"]] {
        let ran = files.batch(flags);
        ran.assert_refused(2);
        for words in ["settings.toml", "line 3: `breaker.failures`", "line 2 says `breaker.enabled"]
        {
            assert!(ran.stderr.contains(words), "{}", ran.stderr);
        }
    }
}

#[test]
fn a_line_names_its_device_whose_breaker_hears_of_its_signs() {
    let fails = json!({"program": "/bin/sh", "args": ["-c", "exit 43"], "device": "cuda:0"});
    let other = json!({"program": "/bin/sh", "args": ["-c", "exit 0"], "device": "cuda:1"});
    let config = "[device]\nexits = [43]\n[breaker]\nfailures = 2\ncounts = [\"crashed\"]";
    let tasks = [fails.clone(), fails.clone(), fails, other];
    let files = Files::new(config, &tasks);
    let ran = files.batch(&["--workers", "1", "--profile", "process"]);
    let expected = ["failed.exit", "failed.exit", "unstarted.rejected", "completed"];
    assert_eq!(labels(&ran), expected, "{}", ran.stderr);
    assert!(ran.text().contains("cuda:0"), "the report says whose breaker is open: {}", ran.text());
}

#[test]
fn a_line_names_a_breaker_of_its_own_where_there_are_breakers_and_how_long_it_may_wait() {
    let files = Files::new("[breaker]\nfailures = 2", &[]);
    let half = files.0.path().join("half.wat");
    let module = r#"(module (func (export "half") (param i32) (result i32)
        (i32.div_s (i32.const 100) (local.get 0))))"#;
    fs::write(&half, module).expect("a file");
    let line = |of: u32| {
        let arguments = [format!("i32:{of}")];
        json!({"program": text_of(&half), "function": "half", "arguments": arguments, "queue_time": "1h"})
    };
    let named = |of: u32| {
        let mut line = line(of);
        line["breaker"] = json!("tenant-7");
        line
    };
    // Of its program's breaker the second failure is the first in a row.
    let lines: String =
        [named(0), line(2), named(0), named(2), line(2)].map(|it| format!("{it}\n")).concat();
    fs::write(files.tasks(), lines).expect("a file");
    let ran = files.batch(&["--workers", "1"]);
    let (died, well, refused) = ("crashed.arithmetic", "completed", "unstarted.rejected");
    assert_eq!(labels(&ran), [died, well, died, refused, well]);
    assert!(ran.text().contains("tenant-7"), "{}", ran.text());
    fs::write(files.config(), "[retry]\nattempts = 2").expect("a file");
    let ran = files.batch(&[]);
    ran.assert_refused(2);
    assert!(ran.stderr.contains("write [breaker] into a file for --config"), "{}", ran.stderr);
}

#[test]
fn the_workers_of_a_flag_have_the_queue_of_their_number_unless_the_file_says_otherwise() {
    for (config, queue) in [
        ("[pool]\nworkers = 2", "workers = 8\nqueue = 32\n"),
        ("[retry]\nattempts = 2", "workers = 8\nqueue = 32\n"),
        ("[pool]\nqueue = 3", "workers = 8\nqueue = 3\n"),
        ("[pool]\nworkers = 2\nqueue = 8", "workers = 8\nqueue = 8\n"),
    ] {
        let shown = Files::new(config, &[]).batch(&["--workers", "8", "--show-config"]);
        assert!(shown.text().contains(queue), "{config}: {}", shown.text());
    }
}

#[test]
fn s30_crashes_are_written_down_where_a_file_is_named_for_that() {
    let files = Files::new("", &aborts(2));
    let history = files.0.path().join("crashes.jsonl");
    let config = |path: &str| format!("[health]\nhistory = {}\n", json!(path));
    fs::write(files.config(), config(text_of(&history))).expect("a file");
    for runs in 1..=2 {
        assert_eq!(labels(&files.batch(&["--quiet"])), ["crashed.abort"; 2]);
        let text = fs::read_to_string(&history).expect("a file");
        let crash = |line| serde_json::from_str::<Value>(line).expect("a crash");
        let labels: Vec<Value> = text.lines().map(|line| crash(line)["label"].clone()).collect();
        assert_eq!(labels, vec![json!("crashed.abort"); 2 * runs]);
    }
    let pipe = files.0.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for no_file in [files.0.path(), &pipe, Path::new("/dev/null")] {
        fs::write(files.config(), config(text_of(no_file))).expect("a file");
        let ran = files.batch(&[]);
        ran.assert_refused(125);
        assert!(ran.stderr.contains("cannot write the history of crashes to"), "{}", ran.stderr);
    }
}
