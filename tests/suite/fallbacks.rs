//! Hosts that lack something: the declared fall-back is used and the report says so, or the task is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use sandtrap_tests::guests;
use serde_json::Value;

/// Some of the guests fork.
fn run(without: &str, guards: &str, guest: &str) -> Value {
    run_under("process", without, guards, guest, &[])
}

fn run_under(profile: &str, without: &str, guards: &str, guest: &str, more: &[&str]) -> Value {
    let output = poor_host(profile, without, guards, guest, more);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn poor_host(profile: &str, without: &str, guards: &str, guest: &str, more: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_poor_host"))
        .args([without, guards, profile])
        .arg(guests::native(guest))
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

pub(super) fn guard<'a>(report: &'a Value, name: &str) -> &'a Value {
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

#[test]
fn where_tracing_is_refused_a_guest_that_stops_itself_keeps_nobody_busy() {
    let output = poor_host("process", "tracing", "best-effort", "stops_itself", &["soon"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"]["label"], "stopped.wall-time", "{report:#}");
    // Whoever hears of the same stop again and again spends all of its half second.
    let worked = String::from_utf8_lossy(&output.stderr).trim().parse::<u64>().unwrap();
    assert!(worked < 250, "{worked} ms");
}

/// What such a host lacks, what stands all the same, and which guard a task that requires all is refused for; as
/// root, and as nobody, who has no groups either.
pub(super) struct Poor {
    pub(super) without: &'static str,
    pub(super) missing: &'static [&'static str],
    pub(super) standing: &'static [&'static str],
    /// `None` where what stands in is as good.
    refused: Option<&'static str>,
}

const NAMESPACES: [&str; 6] = [
    "user-namespace",
    "mount-namespace",
    "network-namespace",
    "ipc-namespace",
    "uts-namespace",
    "pid-namespace",
];

pub(super) const POOR: [Poor; 7] = [
    Poor { without: "nothing", missing: &[], standing: &NAMESPACES, refused: None },
    Poor {
        without: "namespaces",
        missing: &NAMESPACES,
        standing: &["landlock", "landlock-scopes", "seccomp", "tracing"],
        refused: Some("user-namespace"),
    },
    Poor {
        without: "landlock",
        missing: &["landlock", "landlock-scopes"],
        standing: &["mount-namespace", "pid-namespace", "seccomp", "tracing"],
        refused: Some("landlock"),
    },
    Poor {
        without: "landlock-1",
        missing: &["landlock-scopes"],
        standing: &["landlock", "mount-namespace", "seccomp"],
        refused: None,
    },
    Poor {
        without: "landlock-3",
        missing: &["landlock-scopes"],
        standing: &["landlock", "mount-namespace", "seccomp"],
        refused: None,
    },
    Poor {
        without: "tracing",
        missing: &["tracing", "pid-namespace"],
        standing: &["landlock", "mount-namespace", "seccomp"],
        refused: Some("tracing"),
    },
    Poor {
        without: "filters",
        missing: &["seccomp", "pid-namespace"],
        standing: &["landlock", "mount-namespace", "tracing"],
        refused: Some("seccomp"),
    },
];

/// A host and its guest where everybody may execute them.
pub(super) struct OpenPlace(tempfile::TempDir);

impl OpenPlace {
    pub(super) fn make() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_poor_host"), place.path().join("host")).unwrap();
        fs::copy(guests::native("hello"), place.path().join("hello")).unwrap();
        Self(place)
    }

    /// The report of a host of root's, or of nobody's.
    pub(super) fn run(&self, as_nobody: bool, without: &str, guards: &str) -> Value {
        let mut command = Command::new(self.0.path().join("host"));
        command.args([without, guards, "compute"]).arg(self.0.path().join("hello"));
        if as_nobody {
            command.uid(65534).gid(65534);
        }
        let output = command.current_dir("/").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Whether there are memory groups. `None` where this host has less of all else itself: there is nothing to take away.
    pub(super) fn has_groups_and_all_else(&self, as_nobody: bool) -> Option<bool> {
        let plain = self.run(as_nobody, "nothing", "best-effort");
        let has = |name: &str| guard(&plain, name)["state"] == "in-force";
        let all_else = ["mount-namespace", "pid-namespace", "landlock-scopes"];
        all_else.into_iter().all(has).then(|| has("memory-group"))
    }
}

fn check_poor(report: &Value, poor: &Poor, whose: &str) {
    let context = format!("without {} as {whose}: {report:#}", poor.without);
    assert_eq!(report["verdict"]["label"], "completed", "{context}");
    for name in poor.missing {
        let found = guard(report, name);
        assert_eq!(found["state"], "missing", "{name} {context}");
        assert!(found["why"].as_str().is_some_and(|why| !why.is_empty()), "{name} {context}");
    }
    for name in poor.standing {
        assert_eq!(guard(report, name)["state"], "in-force", "{name} {context}");
    }
}

#[test]
fn each_guard_alone_can_be_missing_and_the_others_stand_for_root_and_for_nobody() {
    let place = OpenPlace::make();
    for (as_nobody, name) in whose() {
        let Some(has_groups) = place.has_groups_and_all_else(*as_nobody) else { continue };
        for poor in &POOR {
            check_poor(&place.run(*as_nobody, poor.without, "best-effort"), poor, name);
            let strict = place.run(*as_nobody, poor.without, "required");
            let refused = if has_groups { poor.refused } else { Some("memory-group") };
            let context = format!("without {} as {name}: {strict:#}", poor.without);
            match refused {
                None => assert_eq!(strict["verdict"]["label"], "completed", "{context}"),
                Some(refused) => {
                    assert_eq!(strict["verdict"]["label"], "unstarted.guard", "{context}");
                    assert_eq!(strict["evidence"]["guard"], refused, "{context}");
                }
            }
        }
    }
}

/// Who asks: root and nobody, or whoever runs this test.
pub(super) fn whose() -> &'static [(bool, &'static str)] {
    match nix::unistd::geteuid().is_root() {
        true => &[(false, "root"), (true, "nobody")],
        false => &[(false, "itself")],
    }
}

#[test]
fn root_needs_no_namespace_of_users_and_an_ordinary_user_has_none_of_the_others_without_it() {
    let place = OpenPlace::make();
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let roots = place.run(false, "users", "best-effort");
    assert_eq!(guard(&roots, "user-namespace")["state"], "missing", "{roots:#}");
    for name in &NAMESPACES[1..] {
        assert_eq!(guard(&roots, name)["state"], "in-force", "{roots:#}");
    }
    let nobodys = place.run(true, "users", "best-effort");
    assert_eq!(nobodys["verdict"]["label"], "completed", "{nobodys:#}");
    for name in NAMESPACES {
        assert_eq!(guard(&nobodys, name)["state"], "missing", "{nobodys:#}");
    }
    assert_eq!(guard(&nobodys, "landlock")["state"], "in-force", "{nobodys:#}");
    assert_eq!(place.run(false, "users", "required")["evidence"]["guard"], "user-namespace");
}

#[test]
fn an_older_landlock_is_in_force_and_says_what_it_has_no_rules_for() {
    for (version, lacks) in [
        (
            "landlock-1",
            "moving files between folders, cutting files short, ports, controlling devices",
        ),
        ("landlock-4", "it has no rules for controlling devices"),
    ] {
        let report = run(version, "best-effort", "hello");
        let found = guard(&report, "landlock");
        if found["state"] == "in-force" {
            assert!(found["why"].as_str().unwrap().ends_with(lacks), "{found}");
        }
    }
    // A kernel that is older than that refuses what it is told that it could.
    let newest = run("landlock-6", "best-effort", "hello");
    let found = guard(&newest, "landlock");
    assert!(found["state"] != "in-force" || found["why"] == Value::Null, "{found}");
}

#[test]
fn who_comes_together_with_others_is_not_refused_for_what_one_of_them_finds_lacking() {
    for without in ["tracing", "filters", "users", "namespaces", "landlock"] {
        let output = Command::new(env!("CARGO_BIN_EXE_poor_host"))
            .args([without, "best-effort", "process"])
            .arg(guests::native("hello"))
            .arg("x6")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "completed\n".repeat(6), "{without}: {output:?}");
    }
}
