//! A host that lacks something: runs one guest there and prints the report.
//!
//! `poor_host WHAT GUARDS PROFILE GUEST [PROCESSES]`, where WHAT is `tracing`, `groups`, `filters`, `users` (namespaces of
//! users), `namespaces` (all of them), `landlock`, `landlock-N` (its version N) or `nothing`, and GUARDS `required` or
//! `best-effort`. With a number of processes the guest has a short processor time for all of them.
//! `poor_host WHAT probe '' ''` prints what a probe finds there instead.
#![expect(clippy::print_stdout, reason = "its report is read by a test")]

use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use sandtrap::{
    ByteSize, GuardMode, Limits, Permissions, Profile, Program, Record, Runtime, Task, Wall,
};
use sandtrap_tests::landlock_mask;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, what, guards, profile, guest, more @ ..] = arguments.as_slice() else {
        panic!("four arguments, or five")
    };
    match what.as_str() {
        "tracing" => forbid_tracing(),
        "groups" => hide_groups(),
        "filters" => forbid_filters(),
        "users" => forbid_namespaces(nix::libc::CLONE_NEWUSER as u64),
        "namespaces" => forbid(nix::libc::SYS_unshare),
        "landlock" => forbid(nix::libc::SYS_landlock_create_ruleset),
        "nothing" => {}
        other => {
            let version = other.strip_prefix("landlock-").expect("something that can be lacked");
            landlock_mask::pretend(version.parse().expect("a version"));
        }
    }
    if guards == "probe" {
        for found in sandtrap::probe() {
            println!("{} {}", found.probe.name(), found.state.name());
        }
        return;
    }
    let mode = if guards == "required" { GuardMode::Required } else { GuardMode::BestEffort };
    // Where nobody traces, several processes make it uncertain whose a kill for memory was.
    let processes = if guest.contains("heap") { 1 } else { 3 };
    let mut limits = Limits { memory: ByteSize::mib(64), processes, ..Limits::default() };
    if let Some(processes) = more.first() {
        limits.processes = processes.parse().expect("a number");
        limits.cpu = Duration::from_millis(100);
    }
    let profile: Profile = profile.parse().expect("a profile");
    let permissions = Permissions { profile, ..Permissions::default() };
    let program = Program::file(guest).within(Wall::Native).limits(limits).guards(mode);
    let program = program.permissions(permissions).backtrace(true);
    let report = Runtime::new().expect("a runtime").run(program, &Task::command(["x"; 0]));
    println!("{}", serde_json::to_string(&Record::from(&report)).expect("a report is JSON"));
}

/// As a container does it: `ptrace` is an error, everything else is allowed.
fn forbid_tracing() {
    forbid(nix::libc::SYS_ptrace);
}

/// As where the kernel has no filters, or an outer sandbox keeps them to itself.
fn forbid_filters() {
    forbid(nix::libc::SYS_seccomp);
}

fn forbid(call: i64) {
    refuse(vec![(call, Vec::new())]);
}

/// As where a setting forbids some of them.
fn forbid_namespaces(kind: u64) {
    let (compare, size) = (SeccompCmpOp::MaskedEq(kind), SeccompCmpArgLen::Dword);
    let rule = || {
        let test = SeccompCondition::new(0, size.clone(), compare.clone(), kind);
        SeccompRule::new(vec![test.expect("a test")]).expect("a rule")
    };
    let calls = [nix::libc::SYS_unshare, nix::libc::SYS_clone];
    refuse(calls.map(|call| (call, vec![rule()])).into());
}

fn refuse(rules: Vec<(i64, Vec<SeccompRule>)>) {
    let filter = SeccompFilter::new(
        rules.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(nix::libc::EPERM as u32),
        std::env::consts::ARCH.try_into().expect("a known architecture"),
    );
    let program: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    seccompiler::apply_filter(&program).expect("filters are allowed");
}

/// Where control groups can't be written. Without being root they can't be anyway.
fn hide_groups() {
    if unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
        mount(none, "/sys/fs/cgroup", Some("tmpfs"), MsFlags::MS_RDONLY, none).expect("hidden");
    }
}
