//! Hosts that lack something: the declared fall-back is used and the report says so, or the task is refused.

use std::process::Command;

use sandtrap_tests::guests;
use serde_json::Value;

/// Some of the guests fork.
fn run(without: &str, guards: &str, guest: &str) -> Value {
    run_under("process", without, guards, guest, &[])
}

fn run_under(profile: &str, without: &str, guards: &str, guest: &str, more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_poor_host"))
        .args([without, guards, profile])
        .arg(guests::native(guest))
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn guard<'a>(report: &'a Value, name: &str) -> &'a Value {
    let guards = report["guards"].as_array().unwrap();
    guards.iter().find(|guard| guard["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn where_tracing_is_refused_only_the_status_is_claimed() {
    for (guest, label, certain) in [
        ("hello", "completed", true),
        ("exit_3", "failed.exit", true),
        ("wild_read", "crashed.memory-fault", false),
        // What the guest's own handler makes of it differs with what it can read of its mappings.
        ("stack_overflow", "crashed.memory-fault", false),
        ("divide_by_zero", "crashed.arithmetic", false),
        ("kill_self", "crashed.killed", true),
        ("heap_slow_growth", "crashed.out-of-memory", true),
        ("fork_bomb", "stopped.processes", true),
        ("seccomp_self", "crashed.killed", true),
        ("untraced_bomb", "crashed.killed", true),
        ("raise_segv", "crashed.memory-fault", false),
        ("int3", "crashed.abort", false),
        ("undecodable_instruction", "crashed.illegal-instruction", false),
        ("segfault_in_thread", "crashed.memory-fault", false),
        // The kernel counted a kill, and nobody saw that it was the child's.
        ("kills_after_child_oom", "crashed.out-of-memory", false),
    ] {
        let report = run("tracing", "best-effort", guest);
        assert_eq!(report["verdict"]["label"], label, "{guest}: {report:#}");
        assert_eq!(report["verdict"]["certain"], certain, "{guest}");
        assert_eq!(report["evidence"]["source"], "status", "{guest}");
        assert_eq!(report["evidence"]["access"], Value::Null, "{guest}");
        assert_eq!(report["evidence"]["fault"], Value::Null, "{guest}");
        assert_eq!(report["verdict"]["trace"], Value::Array(Vec::new()), "{guest}");
        assert_eq!(guard(&report, "tracing")["state"], "missing", "{guest}");
    }
}

#[test]
fn where_groups_are_hidden_the_address_space_is_capped() {
    for (guest, label, certain) in [
        ("hello", "completed", true),
        ("heap_slow_growth", "crashed.out-of-memory", false),
        ("heap_many_small", "crashed.out-of-memory", false),
        ("wild_read", "crashed.memory-fault", true),
        ("abort", "crashed.abort", true),
        ("stack_overflow", "crashed.stack-overflow", true),
        ("fork_bomb", "stopped.processes", true),
    ] {
        let report = run("groups", "best-effort", guest);
        assert_eq!(report["verdict"]["label"], label, "{guest}: {report:#}");
        assert_eq!(report["verdict"]["certain"], certain, "{guest}");
        let memory = guard(&report, "memory-group");
        assert_eq!(memory["state"], "missing", "{guest}");
        assert!(memory["why"].as_str().unwrap().contains("address space"), "{memory}");
    }
}

#[test]
fn where_filters_are_refused_every_call_is_allowed_and_the_report_says_so() {
    for (guest, label) in [
        ("hello", "completed"),
        // What no tracer sees is found all the same.
        ("untraced_sibling", "completed"),
        ("untraced_bomb", "stopped.processes"),
        ("seccomp_self", "denied.syscall"),
    ] {
        let report = run("filters", "best-effort", guest);
        assert_eq!(report["verdict"]["label"], label, "{guest}: {report:#}");
        assert_eq!(guard(&report, "seccomp")["state"], "missing", "{guest}");
        assert!(guard(&report, "seccomp")["why"].as_str().unwrap().contains("refuses"), "{guest}");
    }
}

#[test]
fn where_filters_are_refused_the_tracer_still_sees_processes_and_programs() {
    for (guest, call) in
        [("orphan", ["clone", "fork"]), ("exec_from_thread", ["execve", "execveat"])]
    {
        let report = run_under("compute", "filters", "best-effort", guest, &[]);
        assert_eq!(report["verdict"]["label"], "denied.syscall", "{guest}: {report:#}");
        assert_eq!(report["evidence"]["stopped_by_us"], "denied", "{guest}");
        assert_eq!(report["evidence"]["allowed_by"], "profile process", "{guest}");
        let name = report["evidence"]["syscall_name"].as_str().unwrap();
        assert!(call.contains(&name), "{guest}: {name}");
    }
}

#[test]
fn a_required_guard_that_is_missing_refuses_the_task() {
    for (without, name) in
        [("tracing", "tracing"), ("groups", "memory-group"), ("filters", "seccomp")]
    {
        let report = run(without, "required", "hello");
        assert_eq!(report["verdict"]["label"], "unstarted.guard", "{report:#}");
        assert_eq!(report["evidence"]["guard"], name);
        assert_eq!(report["usage"]["stdout_bytes"], 0);
    }
}

#[test]
fn a_host_that_lacks_nothing_meets_every_requirement() {
    let report = run("nothing", "required", "hello");
    // Where this test itself runs without groups (as an ordinary user, say), the refusal is right.
    let label = report["verdict"]["label"].as_str().unwrap();
    match label {
        "completed" => assert_eq!(guard(&report, "memory-group")["state"], "in-force"),
        _ => assert_eq!(
            (label, &report["evidence"]["guard"]),
            ("unstarted.guard", &"memory-group".into())
        ),
    }
}

#[test]
fn where_tracing_is_refused_the_group_counts_the_processor_time_of_the_tree() {
    if guard(&run("nothing", "best-effort", "hello"), "memory-group")["state"] != "in-force" {
        // Nobody counts it there: each process has a limit of its own from the kernel, in seconds.
        return;
    }
    let report = run_under("process", "tracing", "best-effort", "cpu_hog_children", &["3"]);
    assert_eq!(report["verdict"]["label"], "stopped.cpu-time", "{report:#}");
}
