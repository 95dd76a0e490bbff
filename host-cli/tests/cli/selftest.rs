//! `sandtrap selftest`: the shipped cases, as a user of this machine runs them.

use std::collections::BTreeSet;
use std::path::Path;

use sandtrap_tests::guests;
use serde_json::{Value, json};

use crate::kit::{Ran, finish, sandtrap, text_of};

/// Names a static build of the command, where one was made: then all cases are run with it.
const STATIC: &str = "SANDTRAP_STATIC";

/// Guests that end at a limit or by their own fault: what stands around them besides plays no part.
const AT_THEIR_OWN: [&str; 18] = [
    "segfault",
    "null-call",
    "stack-overflow",
    "abort",
    "bad-instruction",
    "panic",
    "exit-3",
    "out-of-memory",
    "thread-bomb",
    "descriptor-flood",
    "flood-stdout",
    "sleep",
    "busy-loop",
    "forged-frames",
    "raised-fault",
    "killed-by-itself",
    "thread-crash",
    "host-killed",
];

const MODULES: [&str; 19] = [
    "module-divide",
    "module-unreachable",
    "module-out-of-bounds",
    "module-null-call",
    "module-recursion",
    "module-exit",
    "module-missing-import",
    "module-broken",
    "module-file",
    "module-growth",
    "module-table-growth",
    "module-too-large",
    "module-nesting",
    "module-many-locals",
    "module-output",
    "module-loop",
    "module-cpu",
    "module-fuel",
    "module-sleep",
];

fn selftest(flags: &[&str], names: &[&str]) -> Ran {
    let only = names.iter().flat_map(|name| ["--only", name]);
    finish(sandtrap(["selftest"].into_iter().chain(flags.iter().copied()).chain(only)))
}

fn outcomes(all: &Value) -> &[Value] {
    all["outcomes"].as_array().expect("a list of outcomes")
}

#[test]
fn i18_what_dies_at_its_own_fault_or_limit_ends_as_expected() {
    let ran = selftest(&["--json", "--profile", "compute"], &AT_THEIR_OWN);
    let all = ran.report();
    for outcome in outcomes(&all) {
        assert_eq!(outcome["as_expected"], true, "{outcome:#}");
        assert_eq!(outcome["profile"], "compute");
    }
    assert_eq!((ran.code, &all["total"]), (Some(0), &AT_THEIR_OWN.len().into()), "{all:#}");
}

#[test]
fn every_module_ends_as_expected() {
    let ran = selftest(&["--json"], &MODULES);
    let all = ran.report();
    for outcome in outcomes(&all) {
        assert_eq!(outcome["as_expected"], true, "{outcome:#}");
        assert_eq!(outcome["isolation"], "wasm");
    }
    assert_eq!((ran.code, &all["total"]), (Some(0), &MODULES.len().into()), "{all:#}");
}

#[test]
fn all_cases_run_under_each_profile_and_leave_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command =
        sandtrap(["selftest", "--json", "--profile", "compute", "--profile", "process"]);
    command.env("TMPDIR", scratch.path());
    let ran = finish(command);
    assert_eq!(ran.stderr, "");
    let all = ran.report();
    let different = outcomes(&all).iter().filter(|it| it["as_expected"] == false).count();
    assert_eq!(all["different"], different);
    assert_eq!(ran.code, Some(i32::from(different > 0)), "the exit code says whether one differs");
    // Where a guard is missing, it is right that a case comes through.
    if finish(sandtrap(["doctor"])).code == Some(0) {
        assert_eq!(different, 0, "{all:#}");
    }
    let names: BTreeSet<&str> =
        outcomes(&all).iter().filter_map(|it| it["name"].as_str()).collect();
    // The one in which the host dies runs once.
    assert_eq!(outcomes(&all).len(), 2 * names.len() - 1);
    for outcome in outcomes(&all) {
        // A guest that could not be started, or was asked for nothing it knows, tests nothing.
        let actual = outcome["actual"].as_str().unwrap();
        // Where nobody can make a root, there is no scratch to be full.
        let is_refused =
            actual == "unstarted.rejected" && outcome["name"].as_str().unwrap().contains("scratch");
        assert!(
            is_refused || !actual.starts_with("unstarted") && actual != "exit 43",
            "{outcome:#}"
        );
        assert!(!outcome["detail"].as_str().unwrap().is_empty(), "{outcome:#}");
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "something is left");
}

#[test]
fn there_is_a_line_for_each_case_with_what_was_expected_where_it_differs() {
    let ran = selftest(&["--profile", "jit"], &["exit-3", "exit-255"]);
    let lines: Vec<&str> = ran.text().lines().collect();
    assert_eq!(lines.len(), 4, "{}", ran.text());
    assert!(lines[0].starts_with("ok ") && lines[0].contains(" exit-3 "), "{}", lines[0]);
    assert_eq!((lines[3], ran.code), ("all 2 ended as expected", Some(0)));
}

#[test]
fn an_unknown_case_or_profile_is_wrong_usage_and_a_near_one_is_named() {
    let ran = selftest(&[], &["io-urign"]);
    ran.assert_refused(2);
    assert!(ran.stderr.contains("there is `io-uring`"), "{}", ran.stderr);
    selftest(&["--profile", "everything"], &[]).assert_refused(2);
}

#[test]
fn the_hidden_entrance_is_none_for_a_users_line() {
    finish(sandtrap(["sandtrap-tries-an-abuse", "exit-3"])).assert_refused(2);
}

#[test]
fn a_static_guest_plays_the_cases_under_the_profile_pure_too() {
    // Where the machine has no compiler for one, `scripts/test` says how it is had.
    let Some(guest) = guests::musl("plays_cases") else { return };
    let ran = selftest(&["--json", "--guest", text_of(&guest)], &["abort", "exit-3"]);
    let all = ran.report();
    let profiles: Vec<&str> =
        outcomes(&all).iter().map(|it| it["profile"].as_str().unwrap()).collect();
    let each = ["pure", "compute", "files", "process", "jit"];
    assert_eq!(profiles, each.map(|profile| [profile; 2]).concat(), "{all:#}");
    assert_eq!((ran.code, &all["different"]), (Some(0), &json!(0)), "{all:#}");
    assert_eq!(all["left_out"], Value::Null);
    // It is the named one that is asked: this case it doesn't know.
    let ran = selftest(&["--json", "--profile", "pure", "--guest", text_of(&guest)], &["exit-255"]);
    assert_eq!((ran.code, &ran.report()["outcomes"][0]["actual"]), (Some(1), &json!("exit 43")));
}

#[test]
fn without_a_static_guest_it_is_told_that_pure_is_not_tried_and_how_one_is_had() {
    let ran = selftest(&["--profile", "pure", "--profile", "compute"], &["exit-3"]);
    assert!(ran.text().contains("all 1 ended as expected"), "{}", ran.text());
    for words in ["the profile pure is not tried", "-linux-musl --bin sandtrap`", "--guest"] {
        assert!(ran.text().contains(words), "{words}: {}", ran.text());
    }
    // Alone it leaves nothing, of which nobody shall be told that it ended well.
    let ran = selftest(&["--profile", "pure"], &["exit-3"]);
    ran.assert_refused(2);
    assert!(ran.stderr.contains("the profile pure is not tried"), "{}", ran.stderr);
    let ran = selftest(&["--profile", "jit"], &MODULES);
    ran.assert_refused(2);
    assert!(ran.stderr.contains("none of these cases is run"), "{}", ran.stderr);
}

#[test]
fn a_guest_that_can_not_play_is_refused_before_anything_is_run_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (text, cut) = (folder.path().join("text"), folder.path().join("cut"));
    std::fs::write(&text, "no program").unwrap();
    std::fs::write(&cut, &std::fs::read("/bin/true").unwrap()[..100]).unwrap();
    let refused = |guest: &Path, words: &str| {
        let ran = selftest(&["--guest", text_of(guest)], &["exit-3"]);
        ran.assert_refused(125);
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains("--bin sandtrap` makes a static one"), "{}", ran.stderr);
    };
    refused(&folder.path().join("gone"), "there is no `");
    refused(folder.path(), "is not a static executable");
    refused(&text, "is not a static executable");
    refused(&cut, "is not a static executable");
    refused(Path::new(env!("CARGO_BIN_EXE_sandtrap")), "is not a static executable");
    // Static, and something else: it ends in its own way when it is asked who it is.
    let Some(other) = guests::musl("victim") else { return };
    refused(&other, concat!("is not sandtrap ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_case_ends_as_expected_with_a_static_build_where_there_is_one() {
    let Some(guest) = std::env::var_os(STATIC) else { return };
    let ran = selftest(&["--json", "--guest", text_of(Path::new(&guest))], &[]);
    let all = ran.report();
    let wrong: Vec<&Value> =
        outcomes(&all).iter().filter(|outcome| outcome["as_expected"] == false).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!((ran.code, &all["left_out"]), (Some(0), &Value::Null));
}

#[test]
fn another_cage_that_is_not_there_is_named_and_nothing_is_run() {
    let ran = selftest(&["--beside", "no-such-cage --unshare-all"], &["exit-3"]);
    ran.assert_refused(125);
    assert!(ran.stderr.contains("cannot run the other cage, `no-such-cage`"), "{}", ran.stderr);
}

#[test]
fn the_same_attacks_are_run_in_another_cage_and_written_down_beside() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("abuse.md");
    // No cage at all: it lets everything through that the kernel lets through.
    let flags = ["--json", "--profile", "compute", "--beside", "env --", "--markdown"];
    let flags = [&flags[..], &[table.to_str().unwrap()]].concat();
    let ran = selftest(&flags, &["host-secret", "exit-137", "sleep"]);
    let all = ran.report();
    let said = |name: &str| {
        let outcomes = all["beside"]["outcomes"].as_array().unwrap();
        outcomes.iter().find(|it| it["name"] == name).unwrap()["actual"].as_str().unwrap()
    };
    assert!(said("host-secret").starts_with("**reached**"), "{all:#}");
    assert_eq!((said("exit-137"), said("sleep")), ("exit code 137", "still there after 5 s"));
    let text = std::fs::read_to_string(&table).unwrap();
    assert!(
        text.contains("| 2 | host-secret | a file of its host's | contained | **reached** |"),
        "{text}"
    );
}
