//! `sandtrap batch`: tasks in, reports out, and every way to stop and to go on.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use sandtrap::Wall;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Ran, finish, guest, sandtrap, text_of};
use crate::programs::script;
use crate::running::{Running, groups_of, is_alive, wait_for_ends};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn task(program: &Path) -> Value {
    json!({"program": text_of(program)})
}

/// A file with one task on each line.
fn tasks(folder: &Path, tasks: &[Value]) -> PathBuf {
    let lines: String = tasks.iter().map(|task| format!("{task}\n")).collect();
    let path = folder.join("tasks.jsonl");
    fs::write(&path, lines).expect("a file");
    path
}

fn batch(file: &Path, flags: &[&str]) -> Ran {
    finish(sandtrap([&["batch", text_of(file)], flags].concat()))
}

/// The reports, one on each line.
fn reports(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a report on each line")).collect()
}

fn labels(text: &str) -> Vec<String> {
    let of = |report: &Value| report["verdict"]["label"].as_str().expect("a label").to_owned();
    reports(text).iter().map(of).collect()
}

fn id(report: &Value) -> &str {
    report["task"]["id"].as_str().expect("an id")
}

#[test]
fn reports_come_in_the_order_of_the_lines_and_a_crash_costs_its_own_task_only() {
    let folder = folder();
    let module = folder.path().join("add.wat");
    let add = r#"(module (func (export "add") (param i32 i32) (result i32)
        (i32.add (local.get 0) (local.get 1))))"#;
    fs::write(&module, add).expect("a file");
    let (hello, abort) = (guest(Wall::Native, "hello"), guest(Wall::Wasm, "abort"));
    let call = json!({"program": text_of(&module), "function": "add", "arguments": ["i32:2", "i32:40"], "id": "sum"});
    let missing = json!({"program": "/nonexistent/program"});
    let all = [task(&hello), task(&abort), call, missing, task(&hello)];
    let ran = batch(&tasks(folder.path(), &all), &["--workers", "3"]);
    assert_eq!(
        labels(ran.text()),
        ["completed", "crashed.abort", "completed", "unstarted.not-found", "completed"]
    );
    let reports = reports(ran.text());
    assert_eq!(
        reports.iter().map(id).collect::<Vec<_>>(),
        ["line-1", "line-2", "sum", "line-4", "line-5"]
    );
    assert_eq!(reports[2]["output"]["result"], json!([42]), "{}", reports[2]["output"]);
    assert_eq!(reports[0]["output"]["stdout"], "hello from the guest\n");
    assert_eq!(ran.code, Some(1));
    for words in ["sandtrap: 5 tasks in ", "completed                           3", "crashed.abort"]
    {
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn if_all_is_well_the_exit_code_says_so_and_quiet_means_quiet() {
    let folder = folder();
    let file = tasks(folder.path(), &vec![task(&guest(Wall::Wasm, "hello")); 20]);
    let ran = batch(&file, &["--quiet", "--as-completed"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(labels(ran.text()), vec!["completed"; 20]);
    let mut ids: Vec<String> =
        reports(ran.text()).iter().map(|report| id(report).to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn tasks_may_come_from_stdin_and_have_an_input_and_a_time_of_their_own() {
    let mut running = Running::start(sandtrap(["batch", "-", "--workers", "1"]));
    let echo = guest(Wall::Native, "echo");
    running
        .say(&format!("{}\n\n", json!({"program": text_of(&echo), "stdin": "are you there?\n"})));
    let sleep = guest(Wall::Wasm, "sleep");
    running.say(&format!("{}\n", json!({"program": text_of(&sleep), "timeout": "200ms"})));
    running.close_stdin();
    let ran = running.finish();
    let labels = labels(ran.text());
    assert_eq!(labels[0], "completed");
    // On a slow machine its time is up before it has begun.
    assert!(["stopped.wall-time", "unstarted.rejected"].contains(&&*labels[1]), "{labels:?}");
    assert_eq!(reports(ran.text())[0]["output"]["stdout"], "are you there?\n");
}

#[test]
fn a_batch_goes_on_where_its_reports_end_even_if_the_last_one_is_torn() {
    let folder = folder();
    let hello = guest(Wall::Wasm, "hello");
    let file = tasks(folder.path(), &vec![task(&hello); 5]);
    let kept = folder.path().join("reports.jsonl");
    let flags = ["--resume", text_of(&kept)];
    let ran = batch(&tasks(folder.path(), &vec![task(&hello); 3]), &flags);
    assert_eq!((ran.code, ran.text()), (Some(0), ""));
    let mut text = fs::read_to_string(&kept).unwrap();
    assert_eq!(labels(&text).len(), 3);
    text.push_str("{\"schema\": 1, \"task\": {\"id\": \"line-4\"");
    fs::write(&kept, &text).unwrap();
    fs::write(&file, format!("{}\n", task(&hello)).repeat(5)).unwrap();
    let ran = batch(&file, &flags);
    assert!(ran.stderr.contains("done before                         3"), "{}", ran.stderr);
    let text = fs::read_to_string(&kept).unwrap();
    let ids: Vec<String> = reports(&text).iter().map(|report| id(report).to_owned()).collect();
    assert_eq!(ids, ["line-1", "line-2", "line-3", "line-4", "line-5"]);
    assert_eq!(batch(&file, &flags).code, Some(0));
    assert_eq!(fs::read_to_string(&kept).unwrap(), text, "there is nothing left to do");
    fs::write(&kept, "no report\n").unwrap();
    let ran = batch(&file, &flags);
    assert_eq!(ran.code, Some(125));
    assert!(
        ran.stderr.contains("line 1 of") && ran.stderr.contains("is no report"),
        "{}",
        ran.stderr
    );
}

/// A task that says that it runs, by a file, and then sleeps.
fn sleeper(folder: &Path) -> (Value, PathBuf) {
    let runs = folder.join("runs");
    let script = script(folder, &format!("echo > '{}'; exec sleep 600", runs.display()));
    (task(&script), runs)
}

fn wait_for(path: &Path) {
    while !path.exists() {
        std::thread::yield_now();
    }
}

#[test]
fn s70_the_first_ctrl_c_begins_nothing_more_the_second_stops_what_runs_and_resume_goes_on() {
    let folder = folder();
    let (sleeps, runs) = sleeper(folder.path());
    let hello = guest(Wall::Native, "hello");
    let file = tasks(folder.path(), &[task(&hello), sleeps, task(&hello)]);
    let kept = folder.path().join("reports.jsonl");
    let granted = format!("{}:rw", text_of(folder.path()));
    let flags = ["--workers", "1", "--wall", "10m", "--resume", text_of(&kept)];
    let flags = [&flags[..], &["--dir", &granted, "--profile", "process"]].concat();
    let running = Running::start(sandtrap([&["batch", text_of(&file)], &flags[..]].concat()));
    wait_for(&runs);
    running.signal(Signal::SIGINT);
    // A signal that is sent while the first one is looked at would be the same one.
    let mut running = running;
    running.signal_until_it_ends(Signal::SIGTERM);
    let ran = running.finish();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let text = fs::read_to_string(&kept).unwrap();
    let seen = labels(&text);
    assert_eq!(seen[0], "completed");
    assert!(seen[1].starts_with("stopped."), "{seen:?}");
    assert_eq!(seen.len(), 2, "nothing was begun after the first signal");
    assert!(ran.stderr.contains("go on with --resume"), "{}", ran.stderr);
    // What was stopped runs again, and what was done doesn't.
    script(folder.path(), "exit 0");
    let ran = batch(&file, &flags);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = fs::read_to_string(&kept).unwrap();
    assert_eq!(labels(&text)[2..], ["completed", "completed"]);
}

#[test]
fn s36_s42_only_an_idempotent_task_is_tried_again_and_its_report_tells_of_it() {
    let folder = folder();
    let flaky = |name: &str| {
        let tried = folder.path().join(name);
        let body = format!("test -e '{0}' && exit 0; echo > '{0}'; kill -SEGV $$", tried.display());
        json!({"program": "/bin/sh", "args": ["-c", body], "idempotent": name != "once"})
    };
    let file = tasks(folder.path(), &[flaky("again"), flaky("once")]);
    let granted = format!("{}:rw", text_of(folder.path()));
    let ran = batch(&file, &["--dir", &granted]);
    assert_eq!(labels(ran.text()), ["completed", "crashed.killed"]);
    let reports = reports(ran.text());
    assert_eq!((&reports[0]["attempts"], &reports[1]["attempts"]), (&json!(2), &json!(1)));
    assert_eq!(reports[0]["history"][0]["label"], "crashed.killed");
    assert_eq!(reports[0]["history"][1]["label"], "completed");
    let file = tasks(folder.path(), &[flaky("never")]);
    let ran = batch(&file, &["--retries", "0", "--dir", &granted]);
    assert_eq!(labels(ran.text()), ["crashed.killed"]);
}

#[test]
fn s47_settings_come_from_a_file_and_are_printed_as_they_hold() {
    let folder = folder();
    let config = folder.path().join("barrier.toml");
    fs::write(
        &config,
        "[crash_barrier]\nretry_max_attempts = 7\n[breaker]\nenabled = true\nfailures = 2\n",
    )
    .unwrap();
    let abort = task(&guest(Wall::Wasm, "abort"));
    let file = tasks(folder.path(), &vec![abort; 4]);
    let flags = ["--config", text_of(&config), "--workers", "1"];
    let shown = batch(&file, &[&flags[..], &["--show-config"]].concat());
    assert!(shown.text().contains("attempts = 7\n") && shown.text().contains("failures = 2\n"));
    let ran = batch(&file, &flags);
    let expected = ["crashed.abort", "crashed.abort", "unstarted.rejected", "unstarted.rejected"];
    assert_eq!(labels(ran.text()), expected);
    fs::write(&config, "[retry]\nfirst = 5").unwrap();
    let ran = batch(&file, &flags);
    ran.assert_refused(2);
    assert!(ran.stderr.contains("line 2: `retry.first` is a time"), "{}", ran.stderr);
    batch(&file, &["--workers", "0"]).assert_refused(2);
}

#[test]
fn a_guest_that_is_reused_goes_on_with_its_state_behind_both_walls() {
    let folder = folder();
    for wall in [Wall::Native, Wall::Wasm] {
        let stays = guest(wall, "stays");
        let next = json!({"program": text_of(&stays), "function": "next", "input": null});
        let all = tasks(folder.path(), &[next.clone(), next.clone(), next]);
        for (flags, said) in [
            (&["--workers", "1"][..], ["1", "1", "1"]),
            (&["--workers", "1", "--spares", "1"], ["1", "1", "1"]),
            (&["--workers", "1", "--reuse", "warm"], ["1", "2", "3"]),
            (&["--workers", "1", "--reuse", "warm", "--spares", "1"], ["1", "2", "3"]),
        ] {
            let ran = batch(&all, flags);
            let results: Vec<String> =
                reports(ran.text()).iter().map(|it| it["output"]["result"].to_string()).collect();
            assert_eq!(results, said, "{wall:?} {flags:?}: {}", ran.stderr);
        }
        // A command is over when it has ended; it is no guest to be kept.
        let command = json!({"program": text_of(&stays), "args": ["next", "null"]});
        let ran = batch(&tasks(folder.path(), &[command.clone(), command]), &["--reuse", "warm"]);
        assert_eq!(labels(ran.text()), ["completed", "completed"], "{}", ran.stderr);
    }
}

#[test]
fn each_module_that_dies_leaves_a_core_dump_named_after_its_task() {
    let folder = folder();
    let (abort, hello) = (guest(Wall::Wasm, "abort"), guest(Wall::Wasm, "hello"));
    let named = |id: &str| json!({"program": text_of(&abort), "id": id});
    let all = [task(&abort), named("../up"), task(&hello), task(&guest(Wall::Native, "hello"))];
    let dumps = folder.path().join("dumps");
    let ran = batch(&tasks(folder.path(), &all), &["--core-dumps", text_of(&dumps)]);
    let expected = ["crashed.abort", "crashed.abort", "completed", "unstarted.rejected"];
    assert_eq!(labels(ran.text()), expected, "{}", ran.stderr);
    let mut names: Vec<_> =
        fs::read_dir(&dumps).expect("it was made").map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["%2e.%2fup.core.wasm", "line-1.core.wasm"]);
    for (report, name) in
        reports(ran.text()).iter().zip(["line-1.core.wasm", "%2e.%2fup.core.wasm"])
    {
        let dump = fs::read(dumps.join(name)).expect("it is there");
        assert!(dump.starts_with(b"\0asm"), "another tool reads it as a module");
        assert_eq!(report["evidence"]["core_dump_bytes"], dump.len(), "{report:#}");
    }
}

#[test]
fn where_no_core_dump_can_be_written_nothing_is_run() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let all = tasks(folder.path(), &[task(&guest(Wall::Wasm, "abort"))]);
    let ran = batch(&all, &["--core-dumps", text_of(&file)]);
    assert_eq!((ran.code, ran.text()), (Some(125), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing was run"), "{}", ran.stderr);
}

#[test]
fn p10_neither_a_kept_process_nor_a_spare_outlives_a_host_that_is_killed() {
    let stays = guest(Wall::Native, "stays");
    let flags = ["batch", "-", "--workers", "1", "--reuse", "warm", "--spares", "1"];
    let mut running = Running::start(sandtrap(flags));
    let next = json!({"program": text_of(&stays), "function": "next", "input": null});
    running.say(&format!("{next}\n"));
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.extend(running.hear(1));
    }
    let report: Value = serde_json::from_slice(&line).expect("a report");
    let pid = report["task"]["pid"].as_u64().expect("a process");
    assert!(is_alive(pid), "it waits for its next call");
    // The keeper, the one that is kept, and the spare.
    while running.children().len() < 3 {
        std::thread::yield_now();
    }
    let (host, heir, children) = (running.pid(), running.heir(), running.children());
    running.signal_until_it_ends(Signal::SIGKILL);
    wait_for_ends(children.into_iter().chain(heir));
    assert_eq!(groups_of(host), Vec::<String>::new());
}

#[test]
fn p9_a_report_of_a_batch_names_the_file_of_a_large_result_and_the_file_stays() {
    let folder = folder();
    let results = folder.path().join("results");
    fs::create_dir(&results).expect("a folder");
    let payloads = format!("file:{}", text_of(&results));
    let input = vec![7; 90_000];
    let of = |wall| json!({"program": text_of(&guest(wall, "calls")), "function": "echo", "input": input});
    let file = tasks(folder.path(), &[of(Wall::Native), of(Wall::Wasm)]);
    let ran = batch(&file, &["--payloads", &payloads, "--reuse", "warm"]);
    for report in reports(ran.text()) {
        assert!(report["output"]["result"].is_null(), "{}", ran.stderr);
        let kept = fs::read(report["output"]["result_file"].as_str().expect("a name"));
        assert_eq!(
            serde_json::from_slice::<Vec<u8>>(&kept.expect("a file")).ok(),
            Some(input.clone())
        );
    }
    assert_eq!(results.read_dir().expect("a folder").count(), 2);
}

#[test]
fn reports_say_where_processes_were_if_they_are_asked() {
    let folder = folder();
    let function = json!({
        "program": text_of(&guest(Wall::Native, "calls")), "function": "panics", "input": "boom"
    });
    let file = tasks(folder.path(), &[task(&guest(Wall::Native, "wild_read")), function]);
    for (flags, is_told) in [(&[][..], false), (&["--backtrace"], true)] {
        let ran = batch(&file, flags);
        assert_eq!(labels(ran.text()), ["crashed.memory-fault", "failed.panic"], "{}", ran.stderr);
        for report in reports(ran.text()) {
            let trace = report["verdict"]["trace"].as_array().expect("a list");
            assert_eq!(!trace.is_empty(), is_told, "{flags:?}: {report}");
        }
    }
}
