//! `sandtrap doctor`: what this host offers, tried, and left as it was.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::kit::{finish, host_has, sandtrap};

fn examined() -> (Option<i32>, Value) {
    let ran = finish(sandtrap(["doctor", "--json"]));
    assert_eq!(ran.stderr, "");
    (ran.code, ran.report())
}

fn state<'a>(all: &'a Value, name: &str) -> &'a Value {
    let findings = all["findings"].as_array().expect("a list of findings");
    let found = findings.iter().find(|found| found["name"] == name);
    &found.unwrap_or_else(|| panic!("nothing is said of {name}: {all:#}"))["state"]
}

#[test]
fn there_is_one_line_for_each_finding_and_the_same_as_json() {
    let (code, all) = examined();
    let text = finish(sandtrap(["doctor"]));
    assert_eq!((text.code, text.stderr.as_str()), (code, ""));
    let findings = all["findings"].as_array().unwrap();
    let lines: Vec<&str> = text.text().lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), findings.len(), "{}", text.text());
    for (line, finding) in lines.iter().zip(findings) {
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        assert_eq!([&finding["state"], &finding["name"]], [words[0], words[1]], "{line}");
        if finding["state"] == "missing" {
            assert!(finding["reason"].is_string() && finding["remedy"].is_string(), "{finding}");
            assert!(line.contains("try: "), "{line}");
        }
    }
    let names: BTreeSet<&str> = findings.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names.len(), findings.len(), "each has a name of its own");
}

#[test]
fn the_exit_code_says_whether_something_required_is_missing() {
    let (code, all) = examined();
    let findings = all["findings"].as_array().unwrap();
    let trouble = findings.iter().any(|it| it["required"] == true && it["state"] == "missing");
    assert_eq!((code, &all["sound"]), (Some(i32::from(trouble)), &Value::Bool(!trouble)));
}

#[test]
fn what_is_found_is_what_tasks_get() {
    let (_, all) = examined();
    for guard in [
        "memory-group",
        "tracing",
        "no-new-privileges",
        "rlimits",
        "session",
        "process-group",
        "descriptors",
        "environment",
    ] {
        let expected = if host_has(guard) { "ok" } else { "missing" };
        assert_eq!(state(&all, guard), expected, "{guard}");
    }
}
