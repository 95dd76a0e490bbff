//! `sandtrap schema` and `sandtrap man`: that reports are as the schema says, and that there is a page for each verb.

use sandtrap::Wall;
use serde_json::Value;

use crate::kit::{WALLS, finish, guest, report, sandtrap};

fn schema() -> Value {
    let ran = finish(sandtrap(["schema"]));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    ran.report()
}

/// The words of JSON Schema that the report's has. A further one is not passed over in silence.
const KNOWN: [&str; 14] = [
    "$defs",
    "$ref",
    "$schema",
    "anyOf",
    "const",
    "description",
    "enum",
    "format",
    "items",
    "minimum",
    "maximum",
    "properties",
    "required",
    "type",
];

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type of JSON Schema"),
    }
}

/// What is wrong with a value, by the schema and, as no field shall be forgotten there, by what it doesn't speak of.
fn faults(value: &Value, schema: &Value, root: &Value, place: &str) -> Vec<String> {
    let Some(rules) = schema.as_object() else { return Vec::new() };
    let mut found = Vec::new();
    for (word, rule) in rules {
        assert!(KNOWN.contains(&word.as_str()) || place == "report" && word == "title", "{word}");
        let fits = match word.as_str() {
            "type" => match rule {
                Value::String(kind) => is_of(value, kind),
                kinds => {
                    kinds.as_array().unwrap().iter().any(|it| is_of(value, it.as_str().unwrap()))
                }
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|key| value.get(key.as_str().unwrap()).is_some()),
            "$ref" => {
                let path = rule.as_str().unwrap().strip_prefix('#').unwrap();
                found.extend(faults(value, root.pointer(path).unwrap(), root, place));
                true
            }
            "anyOf" => {
                let mut ways = rule.as_array().unwrap().iter();
                ways.any(|way| faults(value, way, root, place).is_empty())
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(faults(item, rule, root, &format!("{place}[{index}]")));
                }
                true
            }
            "properties" => {
                for (key, part) in value.as_object().into_iter().flatten() {
                    match rule.get(key) {
                        Some(rule) => {
                            found.extend(faults(part, rule, root, &format!("{place}.{key}")))
                        }
                        None => found.push(format!("{place}.{key} is not in the schema")),
                    }
                }
                true
            }
            _ => true,
        };
        if !fits {
            found.push(format!("{place}: {value} is against {word} {rule}"));
        }
    }
    found
}

#[test]
fn real_reports_are_as_the_schema_says() {
    let schema = schema();
    for wall in WALLS {
        for (name, flags) in [
            ("hello", &[][..]),
            ("exit_3", &[]),
            ("sdk_error", &[]),
            ("sdk_panic", &[]),
            ("wild_read", &[]),
            ("stack_overflow", &[]),
            ("binary_stdout", &[]),
            ("heap_slow_growth", &["--memory", "64MiB"]),
            ("spin", &["--cpu", "50ms"]),
            ("no-such-program", &[]),
        ] {
            let report = report(&[&["--in", wall.name()], flags].concat(), &guest(wall, name));
            assert_eq!(faults(&report, &schema, &schema, "report"), [""; 0], "{wall:?} {name}");
        }
    }
}

#[test]
fn what_is_no_report_is_against_the_schema() {
    let schema = schema();
    let good = report(&[], &guest(Wall::Native, "hello"));
    for (path, wrong) in [
        ("/schema", Value::from("1")),
        ("/verdict/label", Value::from("crashed.of-boredom")),
        ("/usage/wall_us", Value::from(-1)),
        ("/usage/wall_us", Value::Null),
        ("/guards/0/state", Value::from("asleep")),
        ("/evidence/fault", Value::from("an unknown one")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = wrong;
        assert!(!faults(&bad, &schema, &schema, "report").is_empty(), "{path}");
    }
    let mut short = good;
    short.as_object_mut().unwrap().remove("limits");
    assert!(!faults(&short, &schema, &schema, "report").is_empty(), "a field is missing");
}

#[test]
fn there_is_a_manual_page_for_the_command_and_for_each_verb() {
    let whole = finish(sandtrap(["man"]));
    assert_eq!((whole.code, whole.stderr.as_str()), (Some(0), ""));
    assert!(whole.text().contains(".TH sandtrap 1"), "{}", whole.text());
    for verb in ["run", "call", "doctor", "selftest", "schema"] {
        let page = finish(sandtrap(["man", verb]));
        assert!(page.text().contains(&format!(".TH sandtrap-{verb} 1")), "{}", page.text());
    }
    let none = finish(sandtrap(["man", "everything"]));
    none.assert_refused(2);
    assert!(none.stderr.contains("there is no verb `everything`"), "{}", none.stderr);
}
