//! The values in the report, for guests of which every one is known.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::libc;
use sandtrap::Wall;
use serde_json::{Value, json};

use crate::kit::{WALLS, finish, guest, host_has, report, run_command};

fn native(name: &str, flags: &[&str]) -> Value {
    report(flags, &guest(Wall::Native, name))
}

fn wasm(name: &str, flags: &[&str]) -> Value {
    report(flags, &guest(Wall::Wasm, name))
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Each of these keys of a part has this value.
#[track_caller]
fn check(report: &Value, part: &str, expected: &Value) {
    for (key, value) in expected.as_object().expect("an object of expectations") {
        assert_eq!(&report[part][key], value, "`{part}.{key}` in {report:#}");
    }
}

#[test]
fn a_good_end_is_reported_with_its_output() {
    for wall in WALLS {
        let report = report(&[], &guest(wall, "hello"));
        let program = guest(wall, "hello").display().to_string();
        let task = json!({
            "program": program, "isolation": wall.name(), "entry": "command", "function": null
        });
        check(&report, "task", &task);
        let verdict = json!({
            "kind": "completed", "label": "completed", "message": "completed",
            "certain": true, "code": 0, "chain": [], "place": null
        });
        check(&report, "verdict", &verdict);
        let evidence = json!({"ending": "exited", "exit_code": 0, "signal": null, "trap": null});
        check(&report, "evidence", &evidence);
        let output = json!({
            "stdout": "hello from the guest\n", "stdout_encoding": "utf-8",
            "stderr_tail": "", "stderr_encoding": "utf-8", "result": null
        });
        check(&report, "output", &output);
        assert_eq!(report["attempts"], 1);
        assert_eq!(report["task"]["pid"].is_u64(), wall == Wall::Native);
    }
}

#[test]
fn the_guests_own_code_is_in_the_verdict_and_in_the_evidence() {
    for wall in WALLS {
        let report = report(&[], &guest(wall, "exit_3"));
        check(&report, "verdict", &json!({"kind": "failed", "label": "failed.exit", "code": 3}));
        check(&report, "evidence", &json!({"ending": "exited", "exit_code": 3}));
    }
}

#[test]
fn an_error_is_reported_with_its_causes() {
    for wall in WALLS {
        let report = report(&[], &guest(wall, "sdk_error"));
        let verdict = json!({
            "label": "failed.error", "message": "the task failed: line 3 is no number",
            "chain": ["invalid digit found in string"], "code": null
        });
        check(&report, "verdict", &verdict);
        let tail = "error: line 3 is no number\n  caused by: invalid digit found in string\n";
        check(&report, "output", &json!({"stderr_tail": tail}));
        assert_eq!(number(&report["usage"]["stderr_bytes"]), tail.len() as u64);
    }
}

#[test]
fn a_panic_is_reported_with_its_place() {
    for wall in WALLS {
        let report = report(&[], &guest(wall, "sdk_panic"));
        let verdict =
            json!({"label": "failed.panic", "message": "panicked: the guest panicked on purpose"});
        check(&report, "verdict", &verdict);
        let place = report["verdict"]["place"].as_str().expect("a place");
        assert!(place.contains("sdk_panic.rs:7:"), "{place}");
    }
}

#[test]
fn a_fault_of_a_process_is_reported_with_signal_and_address() {
    let report = native("wild_read", &[]);
    let evidence = json!({
        "source": "ptrace", "ending": "signalled", "signal": "SIGSEGV", "si_code": 1,
        "final_signal": "SIGSEGV",
        "address": "0x414141410000", "exit_code": null, "trap": null, "stopped_by_us": null
    });
    check(&report, "evidence", &evidence);
    check(&report, "verdict", &json!({"kind": "crashed", "certain": true}));
    let fault = &report["evidence"]["fault"];
    for register in ["instruction", "stack_pointer"] {
        let value = fault[register].as_str().expect("a register");
        let digits = value.strip_prefix("0x").expect("hexadecimal");
        assert!(u64::from_str_radix(digits, 16).is_ok_and(|value| value > 0), "{value}");
    }
}

#[test]
fn a_fault_that_ended_as_another_signal_is_reported_with_both() {
    let report = native("other_thread_aborts", &[]);
    check(&report, "evidence", &json!({"signal": "SIGSEGV", "final_signal": "SIGABRT"}));
    check(&report, "verdict", &json!({"label": "crashed.memory-fault", "certain": true}));
}

#[test]
fn a_signal_that_was_sent_is_reported_without_an_address() {
    let report = native("raise_segv", &[]);
    let evidence =
        json!({"signal": "SIGSEGV", "si_code": libc::SI_TKILL, "address": null, "fault": null});
    check(&report, "evidence", &evidence);
    check(&report, "verdict", &json!({"label": "crashed.killed"}));
}

#[test]
fn a_refused_system_call_is_reported_by_its_number_and_name() {
    let report = native("seccomp_self", &[]);
    let denied = format!("syscall {} (prctl)", libc::SYS_prctl);
    let evidence = json!({
        "signal": "SIGSYS", "syscall": libc::SYS_prctl, "syscall_name": "prctl", "syscall_abi": null,
        "denied": [denied.as_str()], "allowed_by": null
    });
    let arguments = &report["evidence"]["syscall_arguments"];
    assert_eq!(arguments[0], format!("{:#x}", libc::PR_SET_SECCOMP), "{report:#}");
    assert_eq!(arguments.as_array().map(Vec::len), Some(6));
    check(&report, "evidence", &evidence);
    check(&report, "verdict", &json!({"kind": "denied", "label": "denied.syscall"}));
}

#[test]
fn a_trap_of_a_module_is_reported_by_its_name() {
    for (name, trap, label) in [
        ("unreachable", "unreachable", "crashed.abort"),
        ("integer_divide_by_zero", "division-by-zero", "crashed.arithmetic"),
        ("out_of_bounds_load", "memory-out-of-bounds", "crashed.memory-fault"),
        ("null_call_indirect", "null-call", "crashed.bad-call"),
        ("mistyped_call_indirect", "bad-signature", "crashed.bad-call"),
        ("stack_overflow", "stack-overflow", "crashed.stack-overflow"),
    ] {
        let report = wasm(name, &[]);
        let evidence = json!({
            "source": "trap", "ending": "trapped", "trap": trap, "signal": null,
            "si_code": null, "exit_code": null
        });
        check(&report, "evidence", &evidence);
        check(&report, "verdict", &json!({"kind": "crashed", "label": label}));
    }
}

#[test]
fn refused_memory_is_reported_with_the_cap() {
    const CAP: u64 = 64 << 20;
    for wall in WALLS {
        let report = report(&["--memory", "64MiB"], &guest(wall, "heap_slow_growth"));
        let refused = &report["evidence"]["refused_memory"];
        assert_eq!(number(&refused["limit_bytes"]), CAP, "{report:#}");
        let peak = number(&report["usage"]["peak_memory_bytes"]);
        // The kernel counts by batches of pages, and so a little beyond.
        assert!((CAP / 2..=CAP + (1 << 20)).contains(&peak), "{peak}");
        let kills = number(&report["evidence"]["oom_kills"]);
        assert_eq!(kills > 0, wall == Wall::Native && host_has("memory-group"), "{report:#}");
    }
}

#[test]
fn a_stop_of_ours_is_reported_with_its_reason() {
    for wall in WALLS {
        for (name, flags, reason) in [
            ("sleep", ["--wall", "100ms"], "wall-time"),
            ("spin", ["--cpu", "100ms"], "cpu-time"),
            ("flood_stderr", ["--output", "64KiB"], "output"),
            ("channel_flood", ["--result", "64KiB"], "result"),
        ] {
            let report = report(&flags, &guest(wall, name));
            check(&report, "evidence", &json!({"stopped_by_us": reason}));
            check(&report, "verdict", &json!({"kind": "stopped"}));
        }
    }
    let bomb = native("fork_bomb", &["--profile", "process"]);
    check(&bomb, "evidence", &json!({"stopped_by_us": "processes"}));
}

#[test]
fn i21_what_was_used_is_plausible() {
    for wall in WALLS {
        let asleep = &report(&["--wall", "100ms"], &guest(wall, "sleep"))["usage"];
        assert!(number(&asleep["wall_us"]) >= 100_000, "{asleep}");
        let busy = &report(&["--cpu", "100ms"], &guest(wall, "spin"))["usage"];
        assert!(number(&busy["cpu_us"]) >= 90_000, "{busy}");
        assert!(number(&busy["wall_us"]) >= 90_000, "{busy}");
        let flooded = &report(&["--output", "64KiB"], &guest(wall, "flood_stdout"))["usage"];
        assert_eq!(number(&flooded["stdout_bytes"]), 65_536);
        let hello = &report(&[], &guest(wall, "hello"))["usage"];
        assert_eq!((&hello["stdout_bytes"], &hello["stderr_bytes"]), (&json!(21), &json!(0)));
        assert!(number(&hello["peak_memory_bytes"]) > 0 && number(&hello["wall_us"]) > 0);
        assert_eq!(hello["fuel"], Value::Null);
    }
}

#[test]
fn fuel_is_reported_where_it_is_counted() {
    let all = wasm("spin", &["--fuel", "100000"]);
    check(&all, "verdict", &json!({"label": "stopped.fuel"}));
    check(&all, "evidence", &json!({"ending": "trapped", "trap": "out-of-fuel"}));
    check(&all, "limits", &json!({"fuel": 100_000}));
    assert!((99_000..=100_000).contains(&number(&all["usage"]["fuel"])), "{all:#}");
    let some = wasm("hello", &["--fuel", "100000000"]);
    assert!((1..100_000_000).contains(&number(&some["usage"]["fuel"])), "{some:#}");
}

#[test]
fn the_limits_are_reported_as_they_were_given() {
    let flags = "--memory 65MiB --on-memory-limit refuse --wall 66s --cpu 67s --stack 2MiB --output 3MiB --stdin-bytes 10MiB --result 4MiB \
                 --processes 5 --threads 6 --open-files 16 --file-bytes 7MiB --grace 3s";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let mib = |count: u64| count << 20;
    let usual = sandtrap::Limits::default().scratch_files;
    for (wall, scratch, files) in [(Wall::Native, 8, 9), (Wall::Wasm, 0, usual)] {
        let limits = json!({
            "memory_bytes": mib(65), "on_memory_limit": "refuse", "wall_us": 66_000_000, "cpu_us": 67_000_000, "cpus": null, "fuel": null,
            "stack_bytes": mib(2), "output_bytes": mib(3), "stdin_bytes": mib(10), "result_bytes": mib(4),
            "processes": 5, "threads": 6, "open_files": 16, "file_bytes": mib(7),
            "scratch_bytes": mib(scratch), "scratch_files": files, "grace_us": 3_000_000
        });
        let own: &[&str] = &["--scratch", "8MiB", "--scratch-files", "9"];
        let own = if wall == Wall::Native { own } else { &[] };
        assert_eq!(report(&[&flags[..], own].concat(), &guest(wall, "hello"))["limits"], limits);
    }
}

#[test]
fn every_guard_is_listed_with_its_state() {
    for wall in WALLS {
        let report = report(&[], &guest(wall, "hello"));
        let guards = report["guards"].as_array().expect("a list");
        assert!(!guards.is_empty(), "{report:#}");
        for guard in guards {
            let state = guard["state"].as_str().expect("a state");
            assert!(["in-force", "missing", "off"].contains(&state), "{guard}");
            assert!(state != "missing" || guard["why"].is_string(), "{guard}");
        }
    }
    let report = native("hello", &[]);
    let guards = report["guards"].as_array().expect("a list");
    for name in ["memory-group", "tracing", "rlimits", "seccomp", "mount-namespace", "landlock"] {
        assert!(guards.iter().any(|guard| guard["name"] == name), "no `{name}` in {report:#}");
    }
}

#[test]
fn output_that_is_no_text_is_reported_in_base64() {
    let bytes: Vec<u8> = (0..=255).cycle().take(4096).collect();
    for wall in WALLS {
        let output = &report(&[], &guest(wall, "binary_stdout"))["output"];
        assert_eq!(output["stdout_encoding"], "base64");
        let text = output["stdout"].as_str().expect("a text");
        assert_eq!(STANDARD.decode(text).expect("base64"), bytes);
    }
}

#[test]
fn i5_the_report_keeps_the_end_of_a_long_stderr() {
    for wall in WALLS {
        let report = report(&["--output", "256KiB"], &guest(wall, "flood_stderr"));
        assert_eq!(number(&report["usage"]["stderr_bytes"]), 256 << 10);
        let tail = report["output"]["stderr_tail"].as_str().expect("a text");
        assert!((1..=65_536).contains(&tail.len()) && tail.bytes().all(|byte| byte == b'~'));
    }
}

#[test]
fn each_kind_of_verdict_has_its_word() {
    for (wall, name, flags, kind) in [
        (Wall::Native, "hello", &[][..], "completed"),
        (Wall::Wasm, "exit_3", &[], "failed"),
        (Wall::Wasm, "unreachable", &[], "crashed"),
        (Wall::Native, "sleep", &["--wall", "100ms"], "stopped"),
        (Wall::Native, "seccomp_self", &[], "denied"),
        (Wall::Wasm, "missing_import", &[], "unstarted"),
    ] {
        let report = report(flags, &guest(wall, name));
        check(&report, "verdict", &json!({"kind": kind}));
        let label = report["verdict"]["label"].as_str().expect("a label");
        assert_eq!(label.split('.').next(), Some(kind));
    }
}

#[test]
fn the_exit_code_is_the_same_with_and_without_a_report() {
    for wall in WALLS {
        for (name, code) in [("hello", 0), ("exit_3", 3), ("abort", 134), ("sdk_panic", 101)] {
            let ran = finish(run_command(&["--json"], &guest(wall, name), &[]));
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{name}");
        }
    }
}
