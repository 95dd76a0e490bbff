//! The table of resets, row by row: what a bare process has from an untidy host, a caged one hasn't.

use std::process::Command;
use std::sync::LazyLock;

use sandtrap_tests::guests;
use serde_json::Value;

/// What the same guest says of its birth, bare and caged.
struct Births {
    bare: String,
    caged: String,
}

static BIRTHS: LazyLock<Births> = LazyLock::new(|| {
    let mut host = Command::new(env!("CARGO_BIN_EXE_poor_host"));
    host.args(["order", "best-effort", "compute"]).arg(guests::native("born_with"));
    let output = host.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let (bare, report) = said.trim_end().rsplit_once('\n').unwrap();
    let report: Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["verdict"]["label"], "completed", "{report:#}");
    let caged = report["output"]["stdout"].as_str().unwrap().to_owned();
    Births { bare: bare.to_owned(), caged }
});

/// One row of both.
#[track_caller]
fn row(name: &str) -> [&'static str; 2] {
    [&BIRTHS.bare, &BIRTHS.caged].map(|said| {
        let rows = said.lines().filter_map(|line| line.split_once(' '));
        rows.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap()
    })
}

#[test]
fn dispositions_are_the_kernels_own() {
    // Of the three that the host ignores, its own library lets go of SIGPIPE before it executes anything.
    assert_eq!(row("ignored"), ["2", "0"]);
}

#[test]
fn no_signal_is_blocked() {
    assert_eq!(row("blocked"), ["60", "0"]);
}

#[test]
fn the_mask_for_new_files_is_the_ordinary_one() {
    assert_eq!(row("umask"), ["000", "022"]);
}

#[test]
fn the_personality_is_the_ordinary_one() {
    assert_eq!(row("personality"), ["0x40000", "0x0"]);
}

#[test]
fn the_session_is_another_one() {
    let [bare, caged] = row("session");
    assert_ne!(bare, caged);
}

#[test]
fn the_process_group_is_its_own() {
    assert_eq!(row("leads-group"), ["false", "true"]);
}

#[test]
fn the_keyring_has_no_key_of_the_hosts() {
    let [bare, caged] = row("key");
    // In many a container nobody may have keys, and there is nothing to be set back.
    assert!(["true", "unheard-of"].contains(&bare), "{bare}");
    assert!(caged == "false" || bare == "unheard-of", "{caged}");
}

#[test]
fn descriptors_are_those_it_was_given() {
    let [bare, caged] = row("descriptors");
    assert!(bare != "[0, 1, 2]" && bare.starts_with("[0, 1, 2, "), "{bare}");
    assert_eq!(caged, "[0, 1, 2, 3]");
}

#[test]
fn the_environment_has_nothing_of_the_hosts() {
    let [bare, caged] = row("environment");
    assert!(bare.contains("SANDTRAP_SECRET") && bare.contains("PATH"), "{bare}");
    assert_eq!(caged, "[\"SANDTRAP_BACKTRACE\", \"SANDTRAP_CHANNEL\"]");
}
