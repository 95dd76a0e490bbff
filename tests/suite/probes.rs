//! What is tried on a host: that it leaves nothing behind, and sees what is missing.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use sandtrap::{Finding, ProbeState, probe};
use sandtrap_tests::children::children;

/// What a probe could have changed of the process that asks.
fn own_state() -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        state.insert(kind.to_owned(), link.display().to_string());
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kept = ["NoNewPrivs", "Seccomp", "Seccomp_filters", "CapEff", "CapBnd", "SigBlk", "SigIgn"];
    for line in status.lines() {
        if let Some((name, value)) = line.split_once(':')
            && kept.contains(&name)
        {
            state.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    state.insert("limits".to_owned(), fs::read_to_string("/proc/self/limits").unwrap());
    // Its owner is root's where memory can't be dumped.
    let owner =
        fs::metadata("/proc/self/maps").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta));
    state.insert("owner".to_owned(), owner.unwrap().to_string());
    state.insert("host name".to_owned(), fs::read_to_string("/proc/sys/kernel/hostname").unwrap());
    state
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn probing_changes_nothing_of_the_host_and_leaves_nothing() {
    // The first time makes what is kept: threads of the engine, and their descriptors.
    let first = probe();
    let (state, descriptors) = (own_state(), count("/proc/self/fd"));
    let second = probe();
    assert_eq!(first, second, "the same host answers the same");
    assert_eq!(own_state(), state);
    assert_eq!(count("/proc/self/fd"), descriptors);
    assert_eq!(children(), [0; 0]);
}

#[test]
fn i17_every_finding_is_told_once_and_what_is_missing_says_why() {
    let found = probe();
    for (index, finding) in found.iter().enumerate() {
        let Finding { probe, state, fact, failed, .. } = finding;
        assert!(found[..index].iter().all(|other| other.probe != *probe), "{probe:?} twice");
        let name = probe.name();
        assert!(
            name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')),
            "{name}"
        );
        if *state == ProbeState::Missing {
            assert!(fact.is_some() || failed.is_some(), "{finding:?}");
        }
    }
    assert_eq!(found.len(), 42, "{found:#?}");
}

fn states_on(poor: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_poor_host")).args([poor, "probe", "", ""]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn what_a_host_refuses_is_found_missing() {
    let states = states_on("tracing");
    assert!(states.lines().any(|line| line == "tracing missing"), "{states}");
    assert!(states.lines().any(|line| line == "seccomp ok"), "{states}");
    let states = states_on("groups");
    assert!(states.lines().any(|line| line == "memory-group missing"), "{states}");
    assert!(states.lines().any(|line| line == "tracing ok"), "{states}");
}
