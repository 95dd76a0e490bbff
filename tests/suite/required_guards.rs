//! Guards that must be there, or need not, by their names.

use sandtrap::{
    GuardMode, Guarding, Network, Permissions, Program, Runtime, Task, Trust, UnstartedReason,
    Verdict,
};
use sandtrap_tests::guests;

use super::fallbacks::{OpenPlace, POOR, whose};

#[test]
fn each_guard_can_be_required_and_spared_by_its_name_for_root_and_for_nobody() {
    let place = OpenPlace::make();
    for (as_nobody, name) in whose() {
        let Some(has_groups) = place.has_groups_and_all_else(*as_nobody) else { continue };
        for poor in &POOR {
            let context = format!("without {} as {name}", poor.without);
            let standing: String = poor.standing.iter().map(|name| format!(",+{name}")).collect();
            let report = place.run(*as_nobody, poor.without, &format!("best-effort{standing}"));
            assert_eq!(report["verdict"]["label"], "completed", "{context}: {report:#}");
            for missing in poor.missing {
                let report =
                    place.run(*as_nobody, poor.without, &format!("best-effort,+{missing}"));
                assert_eq!(report["verdict"]["label"], "unstarted.guard", "{context}: {report:#}");
                assert_eq!(report["evidence"]["guard"], *missing, "{context}: {report:#}");
                let words = report["verdict"]["message"].as_str().unwrap();
                assert!(words.contains("; ") && words.contains(missing), "no hint: {words}");
                let is_asked = !missing.starts_with("landlock");
                assert!(!is_asked || report["evidence"]["errno"].is_i64(), "{context}: {report:#}");
            }
            let spared: String = poor.missing.iter().map(|name| format!(",-{name}")).collect();
            let groups = if has_groups { "" } else { ",-memory-group" };
            // It is made with the others.
            let spared = format!("required{spared},-cgroup-namespace{groups}");
            let report = place.run(*as_nobody, poor.without, &spared);
            assert_eq!(report["verdict"]["label"], "completed", "{context}: {report:#}");
        }
    }
}

#[test]
fn a_namespace_of_users_that_is_spared_leaves_root_the_others_and_nobody_none() {
    let place = OpenPlace::make();
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let wanted = "best-effort,+mount-namespace,+pid-namespace,+network-namespace";
    let roots = place.run(false, "users", wanted);
    assert_eq!(roots["verdict"]["label"], "completed", "{roots:#}");
    let nobodys = place.run(true, "users", wanted);
    assert_eq!(nobodys["verdict"]["label"], "unstarted.guard", "{nobodys:#}");
    assert_eq!(nobodys["evidence"]["guard"], "mount-namespace", "{nobodys:#}");
}

#[test]
fn a_guard_that_nothing_puts_up_is_refused_by_name_behind_both_walls() {
    let named = |name| Guarding::default().with(name, GuardMode::Required).unwrap();
    let refused = |program: Program, name: &'static str| {
        let report =
            Runtime::new().unwrap().run(program.guards(named(name)), &Task::command(["x"; 0]));
        let Verdict::Unstarted(unstarted) = &report.verdict else { panic!("{report:#?}") };
        assert_eq!(unstarted.reason, UnstartedReason::Guard { name }, "{}", report.verdict);
    };
    let native = || Program::file(guests::native("hello"));
    let wasm = || Program::file(guests::wasm("hello"));
    refused(native(), "fuel-limit");
    refused(native(), "cpu-group");
    let net = Permissions { net: Network::Host, ..Permissions::default() };
    refused(native().permissions(net), "network-namespace");
    // Nobody has set up a program to compile in.
    refused(wasm(), "compile-confinement");
    refused(wasm().trust(Trust::Own), "compile-confinement");
    for name in ["seccomp", "fuel-limit", "file-limits"] {
        refused(wasm().trust(Trust::Own), name);
    }
    for (program, name) in [(native(), "rlimits"), (wasm().trust(Trust::Own), "memory-limit")] {
        let report =
            Runtime::new().unwrap().run(program.guards(named(name)), &Task::command(["x"; 0]));
        assert!(report.verdict.is_completed(), "{}", report.verdict);
    }
}

#[test]
fn every_guard_of_a_report_has_a_name_that_can_be_required() {
    for guest in [guests::native("hello"), guests::wasm("hello"), guests::component("hello")] {
        let report = Runtime::new().unwrap().run(Program::file(guest), &Task::command(["x"; 0]));
        for guard in &report.guards {
            assert!(Guarding::NAMES.contains(&guard.name), "{}", guard.name);
        }
    }
}
