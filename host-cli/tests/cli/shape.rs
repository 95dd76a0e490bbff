//! The shape of the report, key by key. Keys are public: one may be added here, and none ever goes away.

use sandtrap::Wall;
use serde_json::Value;

use crate::kit::{WALLS, guest, report};

/// A key, and what stands there: the words of [`kind`], with `?` where it may be null.
type Key = (&'static str, &'static str);

const TOP: &[Key] = &[
    ("attempts", "integer"),
    ("evidence", "object"),
    ("guards", "array"),
    ("history", "array"),
    ("limits", "object"),
    ("output", "object"),
    ("schema", "integer"),
    ("task", "object"),
    ("usage", "object"),
    ("verdict", "object"),
];

const TASK: &[Key] = &[
    ("entry", "string"),
    ("function", "string?"),
    ("id", "string"),
    ("input_bytes", "integer?"),
    ("input_digest", "string?"),
    ("isolation", "string"),
    ("pid", "integer?"),
    ("program", "string"),
];

const VERDICT: &[Key] = &[
    ("certain", "boolean"),
    ("chain", "array"),
    ("code", "integer?"),
    ("kind", "string"),
    ("label", "string"),
    ("message", "string"),
    ("place", "string?"),
    ("trace", "array"),
];

const EVIDENCE: &[Key] = &[
    ("access", "string?"),
    ("address", "string?"),
    ("allowed_by", "string?"),
    ("core_dump_bytes", "integer?"),
    ("denied", "array"),
    ("device_out_of_memory", "integer?"),
    ("ending", "string"),
    ("errno", "integer?"),
    ("error", "object?"),
    ("exception", "object?"),
    ("exit_code", "integer?"),
    ("fatal", "boolean"),
    ("fault", "object?"),
    ("final_signal", "string?"),
    ("guard", "string?"),
    ("host_oom", "string?"),
    ("hurried", "boolean"),
    ("memory_bytes", "integer?"),
    ("oom_kills", "integer"),
    ("oom_kills_of_others", "integer?"),
    ("refused_memory", "object?"),
    ("si_code", "integer?"),
    ("signal", "string?"),
    ("source", "string"),
    ("stopped_by_us", "string?"),
    ("syscall", "integer?"),
    ("syscall_abi", "string?"),
    ("syscall_arguments", "array?"),
    ("syscall_name", "string?"),
    ("told_to_end", "string?"),
    ("trap", "string?"),
    ("was_warming_up", "boolean"),
];

const FAULT: &[Key] = &[("instruction", "string"), ("stack_pointer", "string")];

const REFUSED_MEMORY: &[Key] = &[("limit_bytes", "integer"), ("wanted_bytes", "integer?")];

const USAGE: &[Key] = &[
    ("cpu_us", "integer"),
    ("fuel", "integer?"),
    ("peak_memory_bytes", "integer"),
    ("stderr_bytes", "integer"),
    ("stdout_bytes", "integer"),
    ("wall_us", "integer"),
];

const LIMITS: &[Key] = &[
    ("cpu_us", "integer"),
    ("cpus", "number?"),
    ("file_bytes", "integer"),
    ("fuel", "integer?"),
    ("grace_us", "integer"),
    ("memory_bytes", "integer"),
    ("on_memory_limit", "string"),
    ("open_files", "integer"),
    ("output_bytes", "integer"),
    ("processes", "integer"),
    ("result_bytes", "integer"),
    ("scratch_bytes", "integer"),
    ("scratch_files", "integer"),
    ("stack_bytes", "integer"),
    ("stdin_bytes", "integer?"),
    ("threads", "integer"),
    ("wall_us", "integer"),
];

const GUARD: &[Key] = &[("name", "string"), ("state", "string"), ("why", "string?")];

const OUTPUT: &[Key] = &[
    ("error_codec", "string?"),
    ("error_value", "array?"),
    ("result", "array?"),
    ("result_codec", "string?"),
    ("result_file", "string?"),
    ("stderr_encoding", "string"),
    ("stderr_tail", "string"),
    ("stdout", "string?"),
    ("stdout_encoding", "string"),
];

/// What a value is.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn fits(value: &Value, expected: &str) -> bool {
    match expected.strip_suffix('?') {
        Some(expected) => value.is_null() || kind(value) == expected,
        None => kind(value) == expected,
    }
}

#[track_caller]
fn check_keys(part: &Value, expected: &[Key], name: &str) {
    let part = part.as_object().unwrap_or_else(|| panic!("`{name}` is no object: {part}"));
    let mut found: Vec<&str> = part.keys().map(String::as_str).collect();
    found.sort_unstable();
    let names: Vec<&str> = expected.iter().map(|(key, _)| *key).collect();
    assert_eq!(found, names, "the keys of `{name}`");
    for (key, kind) in expected {
        assert!(fits(&part[*key], kind), "`{name}.{key}` is no {kind}: {}", part[*key]);
    }
}

#[track_caller]
fn check_texts(list: &Value, name: &str) {
    let list = list.as_array().unwrap_or_else(|| panic!("`{name}` is no list: {list}"));
    assert!(list.iter().all(Value::is_string), "`{name}` has more than texts: {list:?}");
}

#[track_caller]
fn check_shape(report: &Value) {
    check_keys(report, TOP, "the report");
    for (name, keys) in [
        ("task", TASK),
        ("verdict", VERDICT),
        ("evidence", EVIDENCE),
        ("usage", USAGE),
        ("limits", LIMITS),
        ("output", OUTPUT),
    ] {
        check_keys(&report[name], keys, name);
    }
    let evidence = &report["evidence"];
    for (name, keys) in [("fault", FAULT), ("refused_memory", REFUSED_MEMORY)] {
        if !evidence[name].is_null() {
            check_keys(&evidence[name], keys, name);
        }
    }
    for guard in report["guards"].as_array().expect("a list of guards") {
        check_keys(guard, GUARD, "a guard");
    }
    check_texts(&report["verdict"]["chain"], "chain");
    check_texts(&report["verdict"]["trace"], "trace");
    check_texts(&evidence["denied"], "denied");
    assert_eq!(report["schema"], 1);
}

#[test]
fn every_report_has_every_key_with_its_type_behind_both_walls() {
    for wall in WALLS {
        for (name, flags) in [
            ("hello", &[][..]),
            ("exit_3", &[]),
            ("sdk_error", &[]),
            ("sdk_panic", &[]),
            ("wild_read", &[]),
            ("stack_overflow", &[]),
            ("heap_slow_growth", &["--memory", "64MiB"]),
            ("flood_stdout", &["--output", "64KiB"]),
            ("spin", &["--wall", "100ms"]),
        ] {
            check_shape(&report(flags, &guest(wall, name)));
        }
    }
}

#[test]
fn what_never_started_has_a_report_of_the_same_shape() {
    for (wall, name) in [
        (Wall::Native, "no-such-program"),
        (Wall::Native, "."),
        (Wall::Wasm, "not_a_module"),
        (Wall::Wasm, "missing_import"),
        (Wall::Wasm, "memory_above_cap"),
    ] {
        let report = report(&["--in", wall.name()], &guest(wall, name));
        check_shape(&report);
        assert_eq!(report["evidence"]["ending"], "never-started", "{report:#}");
    }
}

#[test]
fn a_fault_and_a_refusal_of_memory_are_objects_where_there_are_any() {
    let fault = report(&[], &guest(Wall::Native, "wild_read"));
    check_keys(&fault["evidence"]["fault"], FAULT, "fault");
    for wall in WALLS {
        let refusal = report(&["--memory", "64MiB"], &guest(wall, "heap_slow_growth"));
        check_keys(&refusal["evidence"]["refused_memory"], REFUSED_MEMORY, "refused_memory");
    }
}
